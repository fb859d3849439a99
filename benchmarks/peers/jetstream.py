"""nats-py with JetStream over a nats-server of its own, a stream in files: publish_async; pull and push consumers.

AckAll: the last of a batch acknowledges the batch, which is a tenth faster than one acknowledgement a message and still
means that the collector has each.  The last of a round is acknowledged with ``ack_sync``, which the server answers.

A push consumer with a callback costs the collector a sixth of what ``fetch`` of a pull consumer does.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgpack
import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, Order, OutOfOrder, lags_ms, ticks

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
# So high that no run reaches them: a subscription past its limits drops messages.
QUEUED_MESSAGES_MAX = 10_000_000
QUEUED_BYTES_MAX = 2 * 1024**3


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
    channel: Channel,
    address: str,
    tasks: int = 1,
    batch: int = BATCH,
    *,
    push: bool = False,
    stamped: bool = False,
) -> None:
    """Read records in batches, each unpacked, checked and acknowledged."""

    async def main() -> None:
        connection = await nats.connect(address)
        order = Order(tasks)
        reader = (_Push if push else _Pull)(order, batch, stamped=stamped)
        await reader.subscribe(connection.jetstream(timeout=TIMEOUT_S), NAME)
        channel.tell(ready=True)
        while (count := await asyncio.to_thread(channel.order)) is not None:
            channel.tell(armed=True)
            reader.lags.clear()
            await reader.read(order.seen + count)
            channel.tell(acknowledged=time.monotonic())
            if stamped:
                channel.tell(lags=lags_ms(reader.lags))
        await connection.close()

    asyncio.run(main())


def replay(channel: Channel, address: str, batch: int = BATCH, *, push: bool = False) -> None:
    """For each order make a consumer with a new name, and read so many records from the first one on."""

    async def main() -> None:
        connection = await nats.connect(address)
        stream = connection.jetstream(timeout=TIMEOUT_S)
        channel.tell(ready=True)
        turn = 0
        while (count := await asyncio.to_thread(channel.order)) is not None:
            name = f"replay-{turn}"
            reader = (_Push if push else _Pull)(Order(), batch)
            start = time.monotonic()
            reader.arm(count)
            await reader.subscribe(stream, name)
            await reader.read(count)
            channel.tell(seconds=time.monotonic() - start)
            await reader.subscription.unsubscribe()
            await stream.delete_consumer(STREAM, name)
            turn += 1
        await connection.close()

    asyncio.run(main())


class _Reader:
    """What has been read, up to the ``end`` of a round."""

    subscription: Any

    def __init__(self, order: Order, batch: int, *, stamped: bool = False) -> None:
        self.order = order
        self._stamped = stamped
        self.lags: list[float] = []
        self._batch = batch
        self._end = 0

    def arm(self, end: int) -> None:
        """Say where the round will end."""
        self._end = end

    def _settings(self) -> ConsumerConfig:
        return ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=UNACKNOWLEDGED_MAX)

    async def _acknowledge(self, message: Msg) -> None:
        if self.order.seen < self._end:
            await message.ack()
        else:
            await message.ack_sync(timeout=TIMEOUT_S)


class _Pull(_Reader):
    """``fetch`` of a pull consumer."""

    async def subscribe(self, stream: JetStreamContext, name: str) -> None:
        self.subscription = await stream.pull_subscribe(SUBJECT, durable=name, stream=STREAM, config=self._settings())

    async def read(self, end: int) -> None:
        """Fetch up to the end of a round, never asking for more than is left: the server would wait for it."""
        self.arm(end)
        unpackb = msgpack.unpackb
        order = self.order
        while order.seen < end:
            messages = await self.subscription.fetch(min(self._batch, end - order.seen), timeout=TIMEOUT_S)
            records = [unpackb(message.data) for message in messages]
            order.check([number for _host, _mount, _used, number in records])
            if self._stamped:
                now = time.monotonic()
                self.lags += [now - used for _host, _mount, used, _number in records]
            await self._acknowledge(messages[-1])


class _Push(_Reader):
    """The callback of a push consumer."""

    def __init__(self, order: Order, batch: int, *, stamped: bool = False) -> None:
        super().__init__(order, batch, stamped=stamped)
        self._numbers: list[int] = []
        self._finished = asyncio.Event()
        # The client swallows what a callback raises.
        self._error: OutOfOrder | None = None

    async def subscribe(self, stream: JetStreamContext, name: str) -> None:
        self.subscription = await stream.subscribe(
            SUBJECT,
            durable=name,
            stream=STREAM,
            cb=self._receive,
            manual_ack=True,
            config=self._settings(),
            pending_msgs_limit=QUEUED_MESSAGES_MAX,
            pending_bytes_limit=QUEUED_BYTES_MAX,
        )

    async def read(self, end: int) -> None:
        """Wait for the end of a round."""
        self.arm(end)
        await self._finished.wait()
        self._finished.clear()
        if self._error is not None:
            raise self._error

    async def _receive(self, message: Msg) -> None:
        _host, _mount, used, number = msgpack.unpackb(message.data)
        self._numbers.append(number)
        if self._stamped:
            self.lags.append(time.monotonic() - used)
        if len(self._numbers) < self._batch and self.order.seen + len(self._numbers) < self._end:
            return
        numbers, self._numbers = self._numbers, []
        try:
            self.order.check(numbers)
        except OutOfOrder as error:
            self._error = error
        else:
            await self._acknowledge(message)
        if self._error is not None or self.order.seen == self._end:
            self._finished.set()
