"""A manager and its agents with keys: encrypted, each known by its key, each held to its rights.

Make two keys, trust them with the rights of two groups that a new file of access rules has, and start both programs:

    export BROKER_KEYS=/tmp/keys                             where keys and access rules are
    broker keys trust $(broker keys new manager) --name manager --group operators
    broker keys trust $(broker keys new web-01) --name web-01 --group agents
    python examples/secured.py manager                       listens on tcp://127.0.0.1:4343
    python examples/secured.py agent web-01                  connects to it

Change the rules while both run: 'broker keys revoke web-01' cuts it off.  Ctrl-C stops each of them.
"""

from __future__ import annotations

import os
import sys

import trio

import broker

ADDRESS = "tcp://127.0.0.1:4343"


@broker.event
class Load:
    """How much a host has to do."""

    average: float


async def agent(name: str, address: str = ADDRESS) -> None:
    """Publish under our own name, which the group "agents" allows, and try another's, which nobody allows us."""
    async with broker.Endpoint(keys=name) as endpoint, trio.open_nursery() as nursery:  # the key of that name
        nursery.start_soon(tell, endpoint)
        await endpoint.peer(address, key="manager")  # whose key has to be there: nobody can pose as the manager
        try:
            await endpoint.publish("host/db-01/load", Load(0.0))
        except broker.NotPermitted as error:
            print(error, flush=True)
        while True:
            await endpoint.publish(f"host/{name}/load", Load(os.getloadavg()[0]))
            await trio.sleep(1)


async def manager(address: str = ADDRESS) -> None:
    """Print what agents publish; that a topic says who it is from is the rules' doing."""
    async with (
        broker.Endpoint(keys="manager") as endpoint,
        endpoint.subscribe("host/", Load) as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(tell, endpoint)
        print("listening on", await endpoint.listen(address), flush=True)
        async for message in messages:
            print(f"{message.topic}: {message.event.average:.2f}", flush=True)


async def tell(endpoint: broker.Endpoint) -> None:
    """Say who comes and goes, what is refused to whom, and which rules are in force."""
    async with endpoint.status() as changes:
        async for change in changes:
            print(change, flush=True)


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["manager", *rest]:
                trio.run(lambda: manager(*rest))
            case ["agent", name, *rest]:
                trio.run(lambda: agent(name, *rest))
            case _:
                sys.exit("usage: secured.py manager [ADDRESS], or secured.py agent NAME [ADDRESS]")
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:  # a key or rules that cannot be used, too: the text says what to do
        sys.exit("; ".join(map(str, group.exceptions)))
