"""A program for tests to start: ``interop_child.py ROLE ADDRESS ...``; it tells what happens as JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable

import trio
from interop_log_roles import log_collector, log_writer, log_writers
from interop_programs import Sample
from interop_roles import checker, publisher, relay, tell
from interop_store_roles import keeper

import broker


async def writer(address: str, count: str) -> None:
    """Dial, publish so many, and end."""
    async with broker.Endpoint("child-writer", linger_s=30.0) as endpoint:
        await endpoint.peer(address, timeout=20.0)
        await endpoint.subscribers("load/x")
        tell(ready=True)
        for number in range(int(count)):
            await endpoint.publish(f"load/{number % 7}", Sample("child-writer", number, number / 2))
    tell(published=int(count))


async def echo(address: str) -> None:
    """Dial, and publish under another topic whatever comes."""
    async with broker.Endpoint("child-echo") as endpoint, endpoint.subscribe("ask/") as messages:
        await endpoint.peer(address, timeout=20.0)
        tell(ready=True)
        async for message in messages:
            await endpoint.publish("answer/" + message.topic, message.event)


async def waiting(address: str) -> None:
    """Listen, subscribe, publish now and then, and wait for Ctrl-C."""
    async with broker.Endpoint("child-waiting") as endpoint, endpoint.subscribe("") as messages:
        tell(address=await endpoint.listen(address))
        async for _ in messages:
            pass


async def flooding(address: str) -> None:
    """Dial and publish for ever."""
    async with broker.Endpoint("child-flooding") as endpoint:
        await endpoint.peer(address, timeout=20.0)
        await endpoint.subscribers("load/x")
        tell(ready=True)
        number = 0
        while True:
            await endpoint.publish("load/x", Sample("child-flooding", number, 0.0))
            number += 1


async def bursts(address: str, name: str, count: str) -> None:
    """Dial; for each line of standard input publish so many on load/, of which one in a hundred has the value 99."""
    number = 0
    async with broker.Endpoint(name) as endpoint, trio.lowlevel.FdStream(os.dup(0)) as words:
        await endpoint.peer(address, timeout=20.0)
        tell(ready=True)
        async for some in words:
            for _ in range(some.count(b"\n")):
                for _ in range(int(count)):
                    await endpoint.publish(f"load/{number % 7}", Sample(name, number, float(number % 100)))
                    number += 1
                await endpoint.publish("done/", Sample(name, number, 0.0))
                figures = endpoint.figures().endpoint
                tell(filtered=figures.filtered, unjudged=figures.unjudged)


ROLES: dict[str, Callable[..., Awaitable[None]]] = {
    "writer": writer,
    "echo": echo,
    "waiting": waiting,
    "flooding": flooding,
    "bursts": bursts,
    "publisher": publisher,
    "checker": checker,
    "relay": relay,
    "keeper": keeper,
    "log_writer": log_writer,
    "log_writers": log_writers,
    "log_collector": log_collector,
}

if __name__ == "__main__":
    trio.run(ROLES[sys.argv[1]], *sys.argv[2:])
