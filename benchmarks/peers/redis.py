"""redis-py over a redis-server of its own: pipelined PUBLISH, ``listen()``, the hiredis parser, msgpack."""

from __future__ import annotations

import time

import msgpack
import redis

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder

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
