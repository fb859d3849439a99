"""redis-py with streams over a redis-server of its own: XADD in pipelines; XREADGROUP and one XACK a batch."""

from __future__ import annotations

import time
from typing import Any

import msgpack
import redis

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, Order, lags_ms, ticks

STREAM = "log/usage"
NAME = "archive"
FIELD = b"r"
BLOCK_MS = 60_000
# Of 100, 500, 1,000 and 5,000: 100 is a third slower, the others differ by less than their spread.
PIPELINE = 1_000
BATCH = 1_000


def log(channel: Channel, address: str, pipeline: int = PIPELINE, rate: int | None = None) -> None:
    """XADD in pipelines without a transaction, one after the other."""
    with redis.Redis.from_url(address) as connection:
        connection.ping()
        connection.xgroup_create(STREAM, NAME, id="0", mkstream=True)
        channel.tell(address=address)
        sequence = 0
        while (count := channel.order()) is not None:
            channel.tell(started=time.monotonic())
            if rate is not None:
                for due, some in ticks(rate, sequence, count):
                    time.sleep(max(0.0, due - time.monotonic()))
                    _add(connection, some, due)
            else:
                for first in range(sequence, sequence + count, pipeline):
                    _add(connection, range(first, min(first + pipeline, sequence + count)), USED)
            channel.tell(finished=[time.monotonic()] * 2)
            sequence += count


def _add(connection: redis.Redis, numbers: range, used: float) -> None:
    packb = msgpack.packb
    pipeline = connection.pipeline(transaction=False)
    for number in numbers:
        pipeline.xadd(STREAM, {FIELD: packb((HOST, MOUNT, used, number))})
    pipeline.execute()


def collect(channel: Channel, address: str, batch: int = BATCH, *, stamped: bool = False) -> None:
    """XREADGROUP in batches, each unpacked, checked and acknowledged."""
    with redis.Redis.from_url(address) as connection:
        connection.ping()
        channel.tell(ready=True)
        order = Order()
        while (count := channel.order()) is not None:
            channel.tell(armed=True)
            lags: list[float] | None = [] if stamped else None
            _read_all(connection, NAME, order, order.seen + count, batch, lags)
            channel.tell(acknowledged=time.monotonic())
            if lags is not None:
                channel.tell(lags=lags_ms(lags))


def replay(channel: Channel, address: str, batch: int = BATCH) -> None:
    """For each order make a group with a new name, and read so many records from the first one on."""
    with redis.Redis.from_url(address) as connection:
        connection.ping()
        channel.tell(ready=True)
        turn = 0
        while (count := channel.order()) is not None:
            start = time.monotonic()
            connection.xgroup_create(STREAM, f"replay-{turn}", id="0")
            _read_all(connection, f"replay-{turn}", Order(), count, batch)
            channel.tell(seconds=time.monotonic() - start)
            connection.xgroup_destroy(STREAM, f"replay-{turn}")
            turn += 1


def _read_all(
    connection: redis.Redis, group: str, order: Order, end: int, batch: int, lags: list[float] | None = None
) -> None:
    unpackb = msgpack.unpackb
    while order.seen < end:
        found: Any = connection.xreadgroup(group, "collector", {STREAM: ">"}, count=batch, block=BLOCK_MS)
        [(_stream, entries)] = found
        records = [unpackb(fields[FIELD]) for _id, fields in entries]
        order.check([number for _host, _mount, _used, number in records])
        if lags is not None:
            now = time.monotonic()
            lags += [now - used for _host, _mount, used, _number in records]
        connection.xack(STREAM, group, *(id_ for id_, _fields in entries))
