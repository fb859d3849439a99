"""A manager: it listens, subscribes to the figures of all agents, and prints them as they come.

Run it in one terminal, and one or more agents in others:

    python examples/manager.py                                    prints the address that it listens on
    python examples/agent.py web-01 tcp://127.0.0.1:4040

It listens on tcp://127.0.0.1:4040, or on the address given to it.  Ctrl-C stops it.
"""

from __future__ import annotations

import sys

import trio

import broker


# The agents have these two classes as well.  Programs agree on an event by its name and its fields, not by sharing
# code: an agent may be older or newer than its manager.
@broker.event
class CpuLoad:
    """How busy a host's processors are, in percent."""

    host: str
    percent: float


@broker.event
class DiskUsage:
    """How full a mounted file system is, in percent."""

    host: str
    mount: str
    percent: float


async def main(address: str) -> None:
    """Print what the agents publish, until Ctrl-C."""
    async with broker.Endpoint("manager") as endpoint, endpoint.subscribe("host/") as messages:
        print("listening on", await endpoint.listen(address), flush=True)
        async for message in messages:
            match message.event:
                case CpuLoad(host=host, percent=percent):
                    print(f"{message.time:%H:%M:%S} {host}: cpu {percent:.0f} %", flush=True)
                case DiskUsage(host=host, mount=mount, percent=percent):
                    print(f"{message.time:%H:%M:%S} {host}: {mount} {percent:.0f} % full", flush=True)


if __name__ == "__main__":
    try:
        trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:4040")
    except* KeyboardInterrupt:
        pass
