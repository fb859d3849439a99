"""``broker bench``: its arguments and its help."""

from __future__ import annotations

import click

from broker.cli.completing import addresses as known_addresses
from broker.cli.identity import Identity, identity_options
from broker.cli.options import json_option, timeout_option

__all__ = ["bench"]

# \b keeps click from filling the lines below it.
_HELP = """Measure the round trip of one event, and how many events a second get through.

Without ADDRESS, between two processes of this machine, over loopback TCP.  With it, the same two processes peer with
the endpoint there and not with each other: what is measured goes over the network and through that endpoint, twice for
a round trip.  It publishes on TOPIC, which nobody else should subscribe to; where there are keys, ours needs the right
to publish and subscribe to it.

It takes a few seconds, and is one run on a machine that may do other things: run it again before you believe it.
Elsewhere than in a terminal, or with --json, it is one JSON object:

\b
  {"way": ..., "address": ..., "round_trips": N, "round_trip_p50_s": ..., "round_trip_p99_s": ..., "events": N,
   "took_s": ..., "events_per_s": N, "lost": 0, "cpus": 2, "python": "3.12.3", "broker": "0.1.0"}

Exit codes: 0 all events arrived; 1 some were lost, or the endpoint is not there.
"""


@click.command(help=_HELP)
@click.argument("address", required=False, shell_complete=known_addresses)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 60),
    default=3.0,
    show_default=True,
    help="How long events are published as fast as it goes.",
)
@click.option("--topic", metavar="PREFIX", default="$bench/", show_default=True, help="What is published begins so.")
@identity_options()
@timeout_option
@json_option
def bench(address: str | None, seconds: float, topic: str, identity: Identity, timeout_s: float, as_json: bool) -> int:
    """Measure the round trip of one event, and how many events a second get through."""
    if address is None and identity.keys is not None:
        raise click.UsageError("say the ADDRESS of an endpoint, too: without one all is on this machine, without keys")
    from broker.cli.bench.run import Bench
    from broker.cli.running import run

    return run(Bench(address, identity, topic, seconds, timeout_s), as_json=as_json)
