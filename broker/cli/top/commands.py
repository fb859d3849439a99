"""``broker top``: its arguments and its help."""

from __future__ import annotations

from collections.abc import Sequence

import click

from broker.cli.completing import addresses as known_addresses
from broker.cli.identity import Identity
from broker.cli.options import addresses_of, count_option, json_option, look_options

__all__ = ["top"]

# \b keeps click from filling the lines below it.
_HELP = """Watch a mesh, live: rates, losses, slow peers, round trips, stores' staleness, collectors' lag.

Joins the mesh at ADDRESS, as an endpoint that forwards nothing, and shows what its endpoints report of themselves,
what needs looking at first.  They report when they were made with Endpoint(report_every=SECONDS); of others there is
what the mesh knows.  Where there are keys, ours needs the right to subscribe to '$broker/'.  Ctrl-C ends it.

Elsewhere than in a terminal, or with --json, each look is a JSON object on a line; rates are per second, null until an
endpoint has reported twice:

\b
  {"time": ..., "endpoints": [{"endpoint": NAME, "reports": true, "out_per_s": ..., "lost": 0, "slow": [], ...}],
   "links": [...], "stores": [...], "streams": [...], "events": [{"time": ..., "endpoint": ..., "status": ...}]}
"""


@click.command(help=_HELP)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, shell_complete=known_addresses)
@look_options
@click.option("--once", is_flag=True, help="Show it once, when all that report have done so twice, or after 3 seconds.")
@click.option(
    "--interval",
    "interval_s",
    metavar="SECONDS",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    help="How often it is shown.",
)
@count_option("looks")
@json_option
def top(
    addresses: Sequence[str],
    connect: Sequence[str],
    identity: Identity,
    timeout_s: float,
    once: bool,
    interval_s: float,
    count: int | None,
    as_json: bool,
) -> int:
    """Watch a mesh, live."""
    from broker.cli.running import run
    from broker.cli.top.run import Top

    watch = Top(addresses_of(addresses, connect), identity, once, interval_s, count, timeout_s)
    return run(watch, at_first_signal=watch.stop, as_json=as_json)
