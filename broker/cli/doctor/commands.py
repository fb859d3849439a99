"""``broker doctor``: its arguments and its help."""

from __future__ import annotations

from collections.abc import Sequence

import click

from broker.cli.completing import addresses as known_addresses
from broker.cli.identity import Identity, identity_options
from broker.cli.options import json_option, timeout_option
from broker.cli.standard import note

__all__ = ["doctor"]

# \b keeps click from filling the lines below it.
_HELP = """Find out why a peering with ADDRESS does not come up, or whether it does, step by step.

It looks at the address, our key, the host's name, the connection to each of its addresses, the path's MTU, ZeroMQ's
greeting, the security of both ends; then it peers, as an endpoint that forwards nothing, and looks at the handshake,
our rights (--subscribe), the round trip, frames that need many packets, the other end's clock and the mesh behind it.
What is wrong comes with what to do.

Elsewhere than in a terminal, or with --json, each step is a JSON object on a line, and the verdict the last:

\b
  {"step": "connection", "state": "failed", "found": ..., "advice": ..., "details": {...}}
  {"verdict": {"address": ..., "ok": false, "failed": "connection", "warnings": []}}

"state" is ok, warning, failed or skipped.  Exit codes: 0 the peering comes up; 1 it does not, or a right is lacking.
"""


@click.command(help=_HELP)
@click.argument("address", shell_complete=known_addresses)
@click.option("--subscribe", "prefixes", metavar="PREFIX", multiple=True, help="Try whether we may subscribe to that.")
@identity_options()
@timeout_option
@json_option
def doctor(address: str, prefixes: Sequence[str], identity: Identity, timeout_s: float, as_json: bool) -> int:
    """Find out why a peering with ADDRESS does not come up."""
    from broker.cli.doctor.run import Doctor
    from broker.cli.running import run
    from broker_mesh import sharing

    for other in sharing():
        note(
            f"{other} is installed here, too, and imported as broker: to upgrade or remove either spoils the other; "
            "give each an environment of its own"
        )
    return run(Doctor(address, identity, prefixes, timeout_s), as_json=as_json)
