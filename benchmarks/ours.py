"""Our side, as a newcomer writes it: ``endpoint.publish`` in a loop, ``async for message in messages``."""

from __future__ import annotations

import contextlib
import os
import time

import trio

import broker
from benchmarks.child import Channel
from benchmarks.identities import credentials
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder

__all__ = ["DiskUsage", "echo", "ping", "publish", "relay", "subscribe"]

TOPIC = "host/web-01/disk"
PEER_TIMEOUT_S = 30.0


@broker.event
class DiskUsage:
    """The event that the benchmarks send."""

    host: str
    mount: str
    used: float
    sequence: int


def publish(channel: Channel, address: str, readers: int = 1, topics: int = 1, trust: str = "") -> None:
    """``await endpoint.publish`` for each event, over ``topics`` topics in turn; ``trust``: see identities.py."""
    names = [TOPIC] if topics == 1 else [f"{TOPIC}/{number}" for number in range(topics)]

    async def main() -> None:
        async with broker.Endpoint("publisher", **credentials("publisher", trust)) as endpoint:
            channel.tell(address=await endpoint.listen(address))
            sequence = 0
            while (count := await _order(channel)) is not None:
                await endpoint.subscribers(names[0], at_least=readers)
                channel.tell(started=time.monotonic())
                if topics == 1:
                    for number in range(sequence, sequence + count):
                        await endpoint.publish(TOPIC, DiskUsage(HOST, MOUNT, USED, number))
                else:
                    for number in range(sequence, sequence + count):
                        await endpoint.publish(names[number % topics], DiskUsage(HOST, MOUNT, USED, number))
                channel.tell(published=time.monotonic())
                sequence += count

    trio.run(main)


def subscribe(channel: Channel, address: str, others: int = 0, trust: str = "", listener: str | None = None) -> None:
    """Read one subscription; ``others`` more stand beside it that no event matches.

    ``listener`` is whose key is expected at the address.
    """

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            name = f"subscriber@{os.getpid()}"
            endpoint = await stack.enter_async_context(broker.Endpoint(name, **credentials("subscriber", trust)))
            # Before peering: the peer then gets them all at once instead of one exchange each.
            for number in range(others):
                await stack.enter_async_context(endpoint.subscribe(f"elsewhere/{number}/", DiskUsage))
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S, key=listener)
            messages = await stack.enter_async_context(endpoint.subscribe("host/", DiskUsage))
            channel.tell(ready=True)
            expected = 0
            while (count := await _order(channel)) is not None:
                channel.tell(armed=True)
                expected += count
                channel.tell(received=await _receive(messages, expected - count, expected))

    trio.run(main)


async def _receive(messages: broker.Subscriber, expected: int, end: int) -> list[float]:
    first = 0.0
    async for message in messages:
        number = message.event.sequence
        if number != expected:
            raise OutOfOrder(expected, number)
        expected += 1
        if not first:
            first = time.monotonic()
        if expected == end:
            break
    return [first, time.monotonic()]


def relay(channel: Channel, address: str, trust: str = "") -> None:
    """Stand between the publisher and the subscribers, and do nothing but be an endpoint."""

    async def main() -> None:
        async with broker.Endpoint("relay", **credentials("relay", trust)) as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S, key="publisher" if trust else None)
            channel.tell(address=await endpoint.listen("tcp://127.0.0.1:0"))
            while await _order(channel) is not None:
                pass

    trio.run(main)


def echo(channel: Channel, address: str, trust: str = "") -> None:
    """Publish on ``pong`` whatever comes on ``ping``."""

    async def main() -> None:
        async with broker.Endpoint("echo", **credentials("echo", trust)) as endpoint:
            address_bound = await endpoint.listen(address)
            async with endpoint.subscribe("ping", DiskUsage) as messages:
                channel.tell(address=address_bound)
                while (count := await _order(channel)) is not None:
                    for _ in range(count):
                        message = await messages.receive()
                        await endpoint.publish("pong", message.event)

    trio.run(main)


def ping(channel: Channel, address: str, trust: str = "") -> None:
    """Round trips of one event: made, published, received, published back, received."""

    async def main() -> None:
        async with broker.Endpoint("ping", **credentials("ping", trust)) as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S, key="echo" if trust else None)
            async with endpoint.subscribe("pong", DiskUsage) as messages:
                await endpoint.subscribers("ping", at_least=1)
                channel.tell(ready=True)
                while (count := await _order(channel)) is not None:
                    channel.tell(seconds=[await _round_trip(endpoint, messages, number) for number in range(count)])

    trio.run(main)


async def _round_trip(endpoint: broker.Endpoint, messages: broker.Subscriber, number: int) -> float:
    start = time.perf_counter()
    await endpoint.publish("ping", DiskUsage(HOST, MOUNT, USED, number))
    message = await messages.receive()
    seconds = time.perf_counter() - start
    if message.event.sequence != number:
        raise OutOfOrder(number, message.event.sequence)
    return seconds


async def _order(channel: Channel) -> int | None:
    # In a thread: the loop goes on answering its peers.
    return await trio.to_thread.run_sync(channel.order, abandon_on_cancel=True)
