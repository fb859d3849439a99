"""A subscription with a predicate: what does not match is not even sent, as the agents themselves ask it.

    python examples/full_disks.py [PERCENT [ADDRESS]]

It shows disks that are fuller than 80 percent, or PERCENT, of the agents at tcp://127.0.0.1:4040, or ADDRESS, where
manager.py listens.  Ctrl-C stops it.
"""

from __future__ import annotations

import math
import sys

import trio

import broker
from broker.rules import of


@broker.event
class DiskUsage:
    """How full a mounted file system is, in percent."""

    host: str
    mount: str
    percent: float


async def main(percent: str = "80", address: str = "tcp://127.0.0.1:4040") -> None:
    """Print what is too full, as it is told."""
    disk = of(DiskUsage)
    full = (disk.percent > float(percent)) & ~disk.mount.is_in(["/boot", "/snap"])
    async with (
        broker.Endpoint(f"disks-over-{percent}") as endpoint,
        endpoint.subscribe("host/", DiskUsage, where=full) as messages,
    ):
        await endpoint.peer(address, timeout=math.inf)
        print("linked with", address, flush=True)
        async for message in messages:
            print(f"{message.event.host}: {message.event.mount} {message.event.percent:.0f} % full", flush=True)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
