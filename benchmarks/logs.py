"""Our side of the benchmarks of log streams, as a newcomer writes it: ``endpoint.log`` and ``endpoint.collect``.

The roles are those that :mod:`benchmarks.peers` tells of.  ``publish`` and ``subscribe`` are of a log without a spool.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

import broker
from benchmarks.child import Channel
from benchmarks.stores import order
from benchmarks.workload import HOST, MOUNT, USED, Order, OutOfOrder, lags_ms, ticks

__all__ = ["collect", "log", "publish", "replay", "subscribe"]

STREAM = "usage"
NAME = "archive"
BATCH = 500
PEER_TIMEOUT_S = 30.0
# More than any benchmark writes: a writer never waits for room, and what is to be kept is.
SPOOL_BYTES = 4 << 30


@broker.log_record("usage")
class Usage:
    """The log record that the benchmarks write: the fields of their event."""

    host: str
    mount: str
    used: float
    sequence: int


def log(
    channel: Channel,
    address: str,
    path: str,
    batch: int = BATCH,
    tasks: int = 1,
    rate: int | None = None,
    backlog: int = 0,
    collectors: Sequence[str] = (NAME,),
    *,
    durable: bool = True,
    keep: bool = False,
) -> None:
    """Write in batches, or a record at a time (``batch`` 1), or by ``tasks``; ``backlog`` records are there before."""

    async def main() -> None:
        async with (
            broker.Endpoint("writer") as endpoint,
            endpoint.log(
                STREAM,
                Usage,
                path=path,
                durable=durable,
                limit_bytes=SPOOL_BYTES,
                keep_bytes=SPOOL_BYTES if keep else 0,
                collectors=tuple(collectors),
            ) as writer,
        ):
            await _write_batches(writer, range(backlog), BATCH)
            await writer.flush()
            channel.tell(address=await endpoint.listen(address))
            sequence = backlog
            while (count := await order(channel)) is not None:
                numbers = range(sequence, sequence + count)
                channel.tell(started=time.monotonic())
                await _write(writer, numbers, batch, tasks, rate)
                written = time.monotonic()
                if collectors:
                    await writer.collected()
                channel.tell(finished=[written, time.monotonic()])
                sequence += count

    trio.run(main)


async def _write(writer: broker.LogWriter, numbers: range, batch: int, tasks: int, rate: int | None) -> None:
    if rate is not None:
        for due, some in ticks(rate, numbers.start, len(numbers)):
            await trio.sleep(max(0.0, due - time.monotonic()))
            await writer.write_all([Usage(HOST, MOUNT, due, number) for number in some])
    elif tasks > 1:
        async with trio.open_nursery() as nursery:
            for task in range(tasks):
                nursery.start_soon(_write_one_by_one, writer, numbers[task::tasks])
    elif batch == 1:
        await _write_one_by_one(writer, numbers)
    else:
        await _write_batches(writer, numbers, batch)


async def _write_one_by_one(writer: broker.LogWriter | broker.LogTopic, numbers: range) -> None:
    for number in numbers:
        await writer.write(Usage(HOST, MOUNT, USED, number))


async def _write_batches(writer: broker.LogWriter, numbers: range, batch: int) -> None:
    for first in range(0, len(numbers), batch):
        await writer.write_all([Usage(HOST, MOUNT, USED, number) for number in numbers[first : first + batch]])


def collect(channel: Channel, address: str, tasks: int = 1, *, batch: bool = True, stamped: bool = False) -> None:
    """``receive_batch``, or ``receive`` a record; each batch or record checked and acknowledged."""

    async def main() -> None:
        async with broker.Endpoint("collector") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            async with endpoint.collect(STREAM, Usage, name=NAME, acknowledge="explicit") as records:
                channel.tell(ready=True)
                seen = Order(tasks)
                while (count := await order(channel)) is not None:
                    channel.tell(armed=True)
                    receive = _receive_batches if batch else _receive
                    lags: list[float] | None = [] if stamped else None
                    await receive(records, seen, seen.seen + count, lags)
                    channel.tell(acknowledged=time.monotonic())
                    if lags is not None:
                        channel.tell(lags=lags_ms(lags))

    trio.run(main)


async def _receive_batches(records: broker.Collector, seen: Order, end: int, lags: list[float] | None = None) -> None:
    while seen.seen < end:
        messages = await records.receive_batch()
        seen.check([message.record.sequence for message in messages])
        if lags is not None:
            now = time.monotonic()
            lags += [now - message.record.used for message in messages]
        records.acknowledge(messages[-1], through=True)
    await records.confirmed()


async def _receive(records: broker.Collector, seen: Order, end: int, lags: list[float] | None = None) -> None:
    while seen.seen < end:
        message = await records.receive()
        seen.check([message.record.sequence])
        if lags is not None:
            lags.append(time.monotonic() - message.record.used)
        records.acknowledge(message)
    await records.confirmed()


def replay(channel: Channel, address: str) -> None:
    """For each order be a collector with a new name, and read so many records from the first one on."""

    async def main() -> None:
        async with broker.Endpoint("collector") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            channel.tell(ready=True)
            turn = 0
            while (count := await order(channel)) is not None:
                start = time.monotonic()
                async with endpoint.collect(
                    STREAM, Usage, name=f"replay-{turn}", since="earliest", acknowledge="explicit"
                ) as records:
                    await _receive_batches(records, Order(), count)
                    seconds = time.monotonic() - start
                channel.tell(seconds=seconds)
                turn += 1

    trio.run(main)


def publish(channel: Channel, address: str, readers: int = 1) -> None:
    """``await log.write`` for each record of a log without a spool."""

    async def main() -> None:
        async with broker.Endpoint("writer") as endpoint, endpoint.log(STREAM, Usage) as topic:
            channel.tell(address=await endpoint.listen(address))
            sequence = 0
            while (count := await order(channel)) is not None:
                await endpoint.subscribers(f"log/{STREAM}", at_least=readers)
                channel.tell(started=time.monotonic())
                await _write_one_by_one(topic, range(sequence, sequence + count))
                await topic.flush()
                channel.tell(published=time.monotonic())
                sequence += count

    trio.run(main)


def subscribe(channel: Channel, address: str) -> None:
    """Subscribe to the topic of a log without a spool, and read record by record."""

    async def main() -> None:
        async with broker.Endpoint("collector") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            async with endpoint.subscribe(f"log/{STREAM}", Usage) as messages:
                channel.tell(ready=True)
                expected = 0
                while (count := await order(channel)) is not None:
                    channel.tell(armed=True)
                    expected += count
                    channel.tell(received=await _receive_events(messages, expected - count, expected))

    trio.run(main)


async def _receive_events(messages: broker.Subscriber, expected: int, end: int) -> list[float]:
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
