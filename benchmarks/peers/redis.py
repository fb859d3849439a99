"""redis-py over a redis-server of its own, with the hiredis parser: pipelined PUBLISH, ``listen()``, pipelined SET."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import msgpack
import redis

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, NotThere, OutOfOrder, entry

CHANNEL = "host/web-01/disk"
# Found best for this work among 10, 100, 1,000 and 10,000.
PIPELINE = 1_000


def publish(channel: Channel, address: str, readers: int = 1) -> None:
    """PUBLISH in pipelines without a transaction: a round trip per event would be many times slower."""
    del readers  # a subscriber is ready only when the server has confirmed its subscription
    with redis.Redis.from_url(address) as connection:
        connection.ping()
        channel.tell(address=address)
        sequence = 0
        while (count := channel.order()) is not None:
            packb = msgpack.packb
            channel.tell(started=time.monotonic())
            end = sequence + count
            while sequence < end:
                pipeline = connection.pipeline(transaction=False)
                for number in range(sequence, min(sequence + PIPELINE, end)):
                    event = (HOST, MOUNT, USED, number)
                    pipeline.publish(CHANNEL, packb(event))
                pipeline.execute()
                sequence = min(sequence + PIPELINE, end)
            channel.tell(published=time.monotonic())


def subscribe(channel: Channel, address: str) -> None:
    """``for message in pubsub.listen()``, the exact channel subscribed (faster than a pattern)."""
    with redis.Redis.from_url(address) as connection, connection.pubsub() as pubsub:
        pubsub.subscribe(CHANNEL)
        messages = pubsub.listen()
        next(messages)  # the confirmation
        channel.tell(ready=True)
        expected = 0
        while (count := channel.order()) is not None:
            channel.tell(armed=True)
            unpackb = msgpack.unpackb
            end = expected + count
            first = 0.0
            for message in messages:
                _host, _mount, _used, number = unpackb(message["data"])
                if number != expected:
                    raise OutOfOrder(expected, number)
                expected += 1
                if not first:
                    first = time.monotonic()
                if expected == end:
                    break
            channel.tell(received=[first, time.monotonic()])


def write(channel: Channel, address: str, tasks: int = 1, batch: int = 100) -> None:
    """SET in pipelines of ``batch``; each of ``tasks`` threads has a connection and a pipeline at a time."""
    with redis.Redis.from_url(address) as connection, ThreadPoolExecutor(tasks) as threads:
        connection.ping()
        channel.tell(address=address)
        done = 0
        while (count := channel.order()) is not None:
            each = count // tasks
            start = time.perf_counter()
            for finished in [
                threads.submit(_write, connection, task, range(done, done + each), batch) for task in range(tasks)
            ]:
                finished.result()
            seconds = time.perf_counter() - start
            done += each
            for task in range(tasks):
                key, value = entry(task, done - 1)
                found = connection.get(key)
                if found != value:
                    raise NotThere(key, value, found)
            channel.tell(seconds=seconds)


def _write(connection: redis.Redis, task: int, numbers: range, batch: int) -> None:
    for first in range(numbers.start, numbers.stop, batch):
        pipeline = connection.pipeline(transaction=False)
        for number in range(first, min(first + batch, numbers.stop)):
            pipeline.set(*entry(task, number))
        pipeline.execute()
