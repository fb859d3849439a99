"""nats-py with JetStream over a nats-server of its own, a stream in files: publish_async, a pull consumer, AckAll.

AckAll: the last of a batch acknowledges the batch, which is much faster than one acknowledgement a message and still
means that the collector has each.  The last of a round is acknowledged with ``ack_sync``, which the server answers.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgpack
import nats
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, Order, lags_ms, ticks

STREAM = "USAGE"
SUBJECT = "log.usage"
NAME = "archive"
TIMEOUT_S = 60.0
# The client's own default; 500 and 1,000 do as well, 16,000 is a tenth slower.
PENDING_MAX = 4000
# Of 100, 500, 1,000 and 2,000: 100 is an eighth slower, the others differ by less than their spread.
BATCH = 1_000
# By default the server stops at 1,000 messages that are not yet acknowledged.
UNACKNOWLEDGED_MAX = 20_000


def log(channel: Channel, address: str, tasks: int = 1, rate: int | None = None, pending: int = PENDING_MAX) -> None:
    """``publish_async`` for each record; with several tasks each awaits its own ``publish``."""

    async def main() -> None:
        connection = await nats.connect(address)
        stream = connection.jetstream(timeout=TIMEOUT_S, publish_async_max_pending=pending)
        await stream.add_stream(name=STREAM, subjects=[SUBJECT], storage=StorageType.FILE)
        channel.tell(address=address)
        sequence = 0
        while (count := await asyncio.to_thread(channel.order)) is not None:
            numbers = range(sequence, sequence + count)
            channel.tell(started=time.monotonic())
            if rate is not None:
                await _publish_steadily(stream, rate, numbers)
            elif tasks == 1:
                await _publish(stream, numbers, USED)
            else:
                await asyncio.gather(*(_publish_one_by_one(stream, numbers[task::tasks]) for task in range(tasks)))
            await stream.publish_async_completed()
            channel.tell(finished=[time.monotonic()] * 2)
            sequence += count
        await connection.close()

    asyncio.run(main())


async def _publish(stream: JetStreamContext, numbers: range, used: float) -> None:
    packb = msgpack.packb
    for number in numbers:
        await stream.publish_async(SUBJECT, packb((HOST, MOUNT, used, number)))


async def _publish_one_by_one(stream: JetStreamContext, numbers: range) -> None:
    packb = msgpack.packb
    for number in numbers:
        await stream.publish(SUBJECT, packb((HOST, MOUNT, USED, number)))


async def _publish_steadily(stream: JetStreamContext, rate: int, numbers: range) -> None:
    for due, some in ticks(rate, numbers.start, len(numbers)):
        await asyncio.sleep(due - time.monotonic())
        await _publish(stream, some, due)


def collect(
    channel: Channel, address: str, tasks: int = 1, batch: int = BATCH, policy: str = "all", *, stamped: bool = False
) -> None:
    """``fetch`` in batches, each unpacked, checked and acknowledged; ``policy`` "explicit": each message by itself."""

    async def main() -> None:
        connection = await nats.connect(address)
        stream = connection.jetstream(timeout=TIMEOUT_S)
        subscription = await _consumer(stream, NAME, policy)
        channel.tell(ready=True)
        order = Order(tasks)
        while (count := await asyncio.to_thread(channel.order)) is not None:
            channel.tell(armed=True)
            lags = await _fetch_all(subscription, order, order.seen + count, batch, policy)
            channel.tell(acknowledged=time.monotonic())
            if stamped:
                channel.tell(lags=lags_ms(lags))
        await connection.close()

    asyncio.run(main())


def replay(channel: Channel, address: str, batch: int = BATCH) -> None:
    """For each order make a consumer with a new name, and read so many records from the first one on."""

    async def main() -> None:
        connection = await nats.connect(address)
        stream = connection.jetstream(timeout=TIMEOUT_S)
        channel.tell(ready=True)
        turn = 0
        while (count := await asyncio.to_thread(channel.order)) is not None:
            start = time.monotonic()
            subscription = await _consumer(stream, f"replay-{turn}", "all")
            await _fetch_all(subscription, Order(), count, batch, "all")
            channel.tell(seconds=time.monotonic() - start)
            await subscription.unsubscribe()
            await stream.delete_consumer(STREAM, f"replay-{turn}")
            turn += 1
        await connection.close()

    asyncio.run(main())


async def _consumer(stream: JetStreamContext, name: str, policy: str) -> Any:
    settings = ConsumerConfig(ack_policy=AckPolicy(policy), max_ack_pending=UNACKNOWLEDGED_MAX)
    return await stream.pull_subscribe(SUBJECT, durable=name, stream=STREAM, config=settings)


async def _fetch_all(subscription: Any, order: Order, end: int, batch: int, policy: str) -> list[float]:
    """Fetch up to the end of a round, never asking for more than is left: the server would wait for it."""
    unpackb = msgpack.unpackb
    lags: list[float] = []
    while order.seen < end:
        messages = await subscription.fetch(min(batch, end - order.seen), timeout=TIMEOUT_S)
        records = [unpackb(message.data) for message in messages]
        order.check([number for _host, _mount, _used, number in records])
        now = time.monotonic()
        lags += [now - used for _host, _mount, used, _number in records]
        if policy == "explicit":
            for message in messages[:-1]:
                await message.ack()
        if order.seen < end:
            await messages[-1].ack()
        else:
            await messages[-1].ack_sync(timeout=TIMEOUT_S)
    return lags
