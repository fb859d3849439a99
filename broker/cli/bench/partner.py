"""The other process of ``broker bench``: sends back what is sent to it alone, counts what comes in a flood."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import trio

import broker
from broker.cli.bench.traffic import Asked, Counted, Figure
from broker.cli.identity import Identity

__all__ = ["main"]

# The starter closes our standard input before its endpoint: what it has is acknowledged soon.
_LINGER_S: Final = 1.0


async def main(address: str, topic: str, identity: Identity, timeout_s: float) -> None:
    """Take part until the starter's end of standard input is closed."""
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(identity.endpoint(linger_s=_LINGER_S, forward=False))
        pings = await stack.enter_async_context(endpoint.subscribe(f"{topic}ping", Figure))
        flood = await stack.enter_async_context(endpoint.subscribe(f"{topic}flood"))
        nursery = await stack.enter_async_context(trio.open_nursery())
        await identity.peer_all(endpoint, [address], timeout_s)
        nursery.start_soon(_echo, endpoint, pings, f"{topic}pong")
        nursery.start_soon(_count, endpoint, flood, f"{topic}count")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


async def _echo(endpoint: broker.Endpoint, pings: broker.Subscriber, topic: str) -> None:
    async for message in pings:
        await endpoint.publish(topic, message.event)


async def _count(endpoint: broker.Endpoint, flood: broker.Subscriber, topic: str) -> None:
    received = lost = 0
    async for message in flood:
        lost += message.lost_before
        if type(message.event) is Asked:
            await endpoint.publish(topic, Counted(received, lost))
            received = lost = 0
        else:
            received += 1


def _started() -> None:
    given = json.loads(sys.argv[1])
    access = given["access"]
    identity = Identity(None, given["keys"], Path(access) if access else None, given["insecure"], given["peer_key"])
    trio.run(main, given["address"], given["topic"], identity, given["timeout_s"])


if __name__ == "__main__":
    _started()
