"""Rules at an endpoint: what they make is published, and what they call is done here.

    python examples/alerts.py [ADDRESS [FILE...]]

It connects to tcp://127.0.0.1:4040, or to ADDRESS, where manager.py listens, and runs the rules in rules/silent_host.ev
and rules/disk_filling.ev, or in the FILEs, on what the agents publish.  Start agent.py, stop it, and wait for half a
minute.  Change a file while this runs: the rules that you did not touch go on where they are.  Ctrl-C stops it.
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


async def raise_alerts(endpoint: broker.Endpoint, files: Sequence[str | Path] = FILES) -> None:
    """Do what the rules want done, until cancelled."""
    # Add path="alerts.rules": then the rules' state survives this program, and goes on where it was.
    async with endpoint.rules(files) as actions:
        async for action in actions:
            match action.name:
                case "page":  # here somebody would be woken up
                    print(f"{action.time:%H:%M:%S} {action.rule}: {action.event}", flush=True)
                    for message in action.because:
                        print(f"    because {message.origin} published {message.event}", flush=True)
                case other:
                    print("what is", other, "?", flush=True)


async def main(address: str = "tcp://127.0.0.1:4040", *files: str) -> None:
    """Run the rules at an endpoint of their own."""
    async with broker.Endpoint("alerts") as endpoint:
        await endpoint.peer(address, timeout=math.inf)
        print("linked with", address, flush=True)
        await raise_alerts(endpoint, files or FILES)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:  # rules that make no sense, too: file, line and column of each mistake
        sys.exit("; ".join(map(str, group.exceptions)))
