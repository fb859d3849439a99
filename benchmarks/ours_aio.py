"""Our side as an asyncio program writes it; its subscriber takes messages in batches."""

from __future__ import annotations

import asyncio
import time

import broker.aio
from benchmarks.child import Channel
from benchmarks.ours import PEER_TIMEOUT_S, TOPIC, DiskUsage
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder

__all__ = ["echo", "ping", "publish", "subscribe"]


def publish(channel: Channel, address: str, readers: int = 1) -> None:
    """``await endpoint.publish`` for each event."""

    async def main() -> None:
        async with broker.aio.Endpoint("publisher") as endpoint:
            channel.tell(address=await endpoint.listen(address))
            sequence = 0
            while (count := await asyncio.to_thread(channel.order)) is not None:
                await endpoint.subscribers(TOPIC, at_least=readers)
                channel.tell(started=time.monotonic())
                for number in range(sequence, sequence + count):
                    await endpoint.publish(TOPIC, DiskUsage(HOST, MOUNT, USED, number))
                channel.tell(published=time.monotonic())
                sequence += count

    asyncio.run(main())


def subscribe(channel: Channel, address: str) -> None:
    """``await messages.receive_batch()``."""

    async def main() -> None:
        async with broker.aio.Endpoint("subscriber") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            async with endpoint.subscribe("host/", DiskUsage) as messages:
                channel.tell(ready=True)
                expected = 0
                while (count := await asyncio.to_thread(channel.order)) is not None:
                    channel.tell(armed=True)
                    first, end = 0.0, expected + count
                    while expected < end:
                        batch = await messages.receive_batch()
                        first = first or time.monotonic()
                        for message in batch:
                            if message.event.sequence != expected:
                                raise OutOfOrder(expected, message.event.sequence)
                            expected += 1
                    channel.tell(received=[first, time.monotonic()])

    asyncio.run(main())


def echo(channel: Channel, address: str) -> None:
    """Publish on ``pong`` whatever comes on ``ping``."""

    async def main() -> None:
        async with broker.aio.Endpoint("echo") as endpoint:
            address_bound = await endpoint.listen(address)
            async with endpoint.subscribe("ping", DiskUsage) as messages:
                channel.tell(address=address_bound)
                while (count := await asyncio.to_thread(channel.order)) is not None:
                    for _ in range(count):
                        await endpoint.publish("pong", (await messages.receive()).event)

    asyncio.run(main())


def ping(channel: Channel, address: str) -> None:
    """Round trips of one event."""

    async def main() -> None:
        async with broker.aio.Endpoint("ping") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            async with endpoint.subscribe("pong", DiskUsage) as messages:
                await endpoint.subscribers("ping", at_least=1)
                channel.tell(ready=True)
                while (count := await asyncio.to_thread(channel.order)) is not None:
                    channel.tell(seconds=[await _round_trip(endpoint, messages, number) for number in range(count)])

    asyncio.run(main())


async def _round_trip(endpoint: broker.aio.Endpoint, messages: broker.aio.Subscriber, number: int) -> float:
    start = time.perf_counter()
    await endpoint.publish("ping", DiskUsage(HOST, MOUNT, USED, number))
    found = (await messages.receive()).event.sequence
    seconds = time.perf_counter() - start
    if found != number:
        raise OutOfOrder(number, found)
    return seconds
