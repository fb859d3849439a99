"""``broker mesh`` and ``peers``: their arguments and their help."""

from __future__ import annotations

from collections.abc import Sequence

import click

from broker.cli.completing import addresses as known_addresses
from broker.cli.identity import Identity
from broker.cli.options import addresses_of, json_option, look_options

__all__ = ["mesh", "peers"]


# \b keeps click from filling the lines below it.
_MESH_HELP = """Show who is in the mesh, who is linked with whom, and who subscribes to what.

Joins the mesh for that long at each ADDRESS, as an endpoint that forwards nothing.  In a terminal the links are drawn
as a tree from the endpoints at ADDRESS, by the shortest ways, with the links beside it below each endpoint; then comes
a table of subscriptions.  Endpoints that look alike are cut to a few and a number.

Elsewhere, or with --json, each endpoint and each link is a JSON object on a line:

\b
  {"endpoint": {"name": ..., "id": ..., "forward": true, "hops": 1,
                "subscriptions": [{"prefix": "host/", "events": null}]}}
  {"link": {"one": ID, "other": ID, "rtt_s": 0.0004, "interrupted": false}}

"hops" are the links between this command and the endpoint, null where there is no way to it now; "forward" is false
for a leaf, which passes nothing on; "events" are names, null for any; "rtt_s" is the last round trip in seconds or
null.  With --watch there is one object a change, a round trip alone being none:

\b
  {"time": ..., "endpoints": [{"name": ...}, ...], "links": [{"one": ...}, ...]}
"""


@click.command(help=_MESH_HELP)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, shell_complete=known_addresses)
@look_options
@json_option
@click.option("--watch", is_flag=True, help="Show it again whenever it has changed, until Ctrl-C.")
@click.option("--all", "everything", is_flag=True, help="Show this command's own endpoint too, and cut nothing.")
def mesh(
    addresses: Sequence[str],
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    as_json: bool,
    watch: bool,
    everything: bool,
) -> int:
    """Show who is in the mesh, who is linked with whom, and who subscribes to what."""
    from broker.cli.mesh.show import Mesh
    from broker.cli.running import run

    return run(Mesh(addresses_of(addresses, connect), identity, as_json, watch, everything, timeout_s))


_PEERS_HELP = """Show the links of the endpoint at ADDRESS, as it tells of them.

Joins the mesh for a moment there, as 'broker mesh' does, which draws all links of the mesh.  Elsewhere than in a
terminal, or with --json, each link is a JSON object on a line:

\b
  {"of": NAME, "address": ADDRESS, "peer": {"name": ..., "id": ..., "forward": true, "hops": 2,
   "subscriptions": [{"prefix": "host/", "events": null}]}, "rtt_s": 0.0004, "interrupted": false}
"""


@click.command(help=_PEERS_HELP)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, shell_complete=known_addresses)
@look_options
@json_option
@click.option("--all", "everything", is_flag=True, help="Show this command's own link, too.")
def peers(
    addresses: Sequence[str],
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    as_json: bool,
    everything: bool,
) -> int:
    """Show the links of the endpoint at ADDRESS."""
    from broker.cli.mesh.peers import Peers
    from broker.cli.running import run

    return run(Peers(addresses_of(addresses, connect), identity, everything, timeout_s), as_json=as_json)
