"""A manager: it listens, subscribes to what all agents publish, and prints it as it comes.

    python examples/manager.py [ADDRESS]

It listens on tcp://127.0.0.1:4040, or on ADDRESS.  Start one or more of agent.py beside it.  Ctrl-C stops it.
"""

from __future__ import annotations

import sys

import trio

import broker


# The agents have these two classes as well.  Programs agree on an event by its name and its fields, not by sharing
# code: an agent may be older or newer than its manager.
@broker.event
class Load:
    """How many programs of a host want to run, on average over a minute."""

    host: str
    average: float


@broker.event
class DiskUsage:
    """How full a mounted file system is, in percent."""

    host: str
    mount: str
    percent: float


async def main(address: str = "tcp://127.0.0.1:4040") -> None:
    """Print what the agents publish, until Ctrl-C."""
    async with broker.Endpoint("manager") as endpoint, endpoint.subscribe("host/") as messages:
        print("listening on", await endpoint.listen(address), flush=True)
        async for message in messages:
            match message.event:
                case Load(host=host, average=average):
                    print(f"{message.time:%H:%M:%S} {host}: load {average:.2f}", flush=True)
                case DiskUsage(host=host, mount=mount, percent=percent):
                    print(f"{message.time:%H:%M:%S} {host}: {mount} {percent:.0f} % full", flush=True)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
