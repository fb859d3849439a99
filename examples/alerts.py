"""Rules at an endpoint: what they make is published, and what they call is done here.

    python examples/alerts.py [ADDRESS [FILE...]]

It connects to tcp://127.0.0.1:4040, or to ADDRESS, where manager.py listens, and runs rules/silent_host.ev and
rules/disk_filling.ev, or the FILEs, on what the agents publish.  Stop an agent, and wait for half a minute.  Change a
file while this runs: the rules in it that are as they were go on where they are.  Ctrl-C stops it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

import broker

HERE = Path(__file__).parent
FILES = (HERE / "rules/silent_host.ev", HERE / "rules/disk_filling.ev")


# What the rules make.  A class is not needed, but nicer to have: without one it is a broker.Event.
@broker.event
class HostSilent:
    """A host has not been heard for half a minute."""

    host: str
    since: broker.Timestamp


@broker.event
class DiskFilling:
    """A disk that is full in four hours if it goes on like that."""

    host: str
    mount: str
    percent: float
    percent_per_hour: float


async def raise_alerts(endpoint: broker.Endpoint, address: str, files: Sequence[str | Path] = FILES) -> None:
    """Do what the rules want done, until cancelled.  A function of its endpoint, for test_alerts.py."""
    # With path="alerts.rules" what the rules know outlives this program: the next one goes on where it was.
    async with endpoint.rules(files) as actions:
        await endpoint.peer(address, timeout=math.inf)
        print("linked with", address, flush=True)
        async for action in actions:  # here somebody would be woken up
            match action.event:
                case HostSilent(host=host, since=since):
                    print(f"{action.name}: {host} is silent since {since:%H:%M:%S}", flush=True)
                case DiskFilling(host=host, mount=mount, percent=percent, percent_per_hour=speed):
                    print(f"{action.name}: {host}: {mount} {percent:.0f} %, {speed:.1f} % an hour", flush=True)
                case event:
                    print(f"{action.name}: {action.rule}: {event}", flush=True)
            print("    because of", action.because[-1].event, "from", action.because[-1].origin, flush=True)


async def main(address: str = "tcp://127.0.0.1:4040", *files: str) -> None:
    """Run the rules at an endpoint of their own."""
    async with broker.Endpoint("alerts") as endpoint:
        await raise_alerts(endpoint, address, files or FILES)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:  # rules that make no sense, too: file, line and column of each mistake
        sys.exit("; ".join(map(str, group.exceptions)))
