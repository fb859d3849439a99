"""A relay: it joins two networks, or saves many agents from each having a link of its own to a manager far away.

    python examples/relay.py [ADDRESS [MANAGER]]

It listens on tcp://127.0.0.1:4041, or on ADDRESS, for agents: python examples/agent.py web-02 tcp://127.0.0.1:4041.
MANAGER is where manager.py listens.  Every endpoint passes on what others want (forward=False makes a leaf): a relay
is one with two links and nothing else to do.  This one prints who comes and goes.  Ctrl-C stops it.
"""

from __future__ import annotations

import math
import sys

import trio

import broker


async def main(address: str = "tcp://127.0.0.1:4041", manager: str = "tcp://127.0.0.1:4040") -> None:
    """Pass on, until Ctrl-C, what the manager wants and agents have, and the other way round."""
    async with (
        broker.Endpoint("relay") as endpoint,
        endpoint.status() as changes,
        trio.open_nursery() as nursery,
    ):
        print("listening on", await endpoint.listen(address), flush=True)
        nursery.start_soon(link_with, endpoint, manager)
        async for change in changes:
            print(change, flush=True)


async def link_with(endpoint: broker.Endpoint, manager: str) -> None:
    """Wait for the manager; the link is then kept up for as long as the endpoint lives."""
    await endpoint.peer(manager, timeout=math.inf)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
