"""nats-py over a nats-server of its own: core publish and subscribe on asyncio, pending limits raised, msgpack."""

from __future__ import annotations

import asyncio
import time

import msgpack
import nats
from nats.aio.msg import Msg

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder

SUBJECT = "host.web-01.disk"
# So high that no run reaches them: a subscription past its limits drops events.
PENDING_MESSAGES_MAX = 10_000_000
PENDING_BYTES_MAX = 2 * 1024**3


def publish(channel: Channel, address: str, readers: int = 1) -> None:
    """``await connection.publish`` for each event, ``flush`` at the end of a round."""
    del readers  # a subscriber is ready only when the server has its subscription

    async def main() -> None:
        connection = await nats.connect(address)
        channel.tell(address=address)
        sequence = 0
        while (count := await asyncio.to_thread(channel.order)) is not None:
            packb = msgpack.packb
            channel.tell(started=time.monotonic())
            for number in range(sequence, sequence + count):
                event = (HOST, MOUNT, USED, number)
                await connection.publish(SUBJECT, packb(event))
            await connection.flush(60)
            channel.tell(published=time.monotonic())
            sequence += count
        await connection.close()

    asyncio.run(main())


def subscribe(channel: Channel, address: str) -> None:
    """A callback on the subscription: about four times as fast as ``async for message in subscription.messages``."""

    async def main() -> None:
        connection = await nats.connect(address)
        round_ = _Round()
        await connection.subscribe(
            "host.>",
            cb=round_.receive,
            pending_msgs_limit=PENDING_MESSAGES_MAX,
            pending_bytes_limit=PENDING_BYTES_MAX,
        )
        await connection.flush()
        channel.tell(ready=True)
        while (count := await asyncio.to_thread(channel.order)) is not None:
            round_.begin(count)
            channel.tell(armed=True)
            await round_.finished.wait()
            if round_.error is not None:
                raise round_.error
            channel.tell(received=[round_.first, round_.last])
        await connection.close()

    asyncio.run(main())


class _Round:
    """The subscriber's callback and what it has seen."""

    def __init__(self) -> None:
        self._expected = 0
        self.begin(0)

    def begin(self, count: int) -> None:
        self._end = self._expected + count
        self.first = 0.0
        self.last = 0.0
        # The client swallows what a callback raises.
        self.error: OutOfOrder | None = None
        self.finished = asyncio.Event()

    async def receive(self, message: Msg) -> None:
        _host, _mount, _used, number = msgpack.unpackb(message.data)
        if number != self._expected:
            self.error = OutOfOrder(self._expected, number)
            self.finished.set()
        self._expected += 1
        if not self.first:
            self.first = time.monotonic()
        if self._expected == self._end:
            self.last = time.monotonic()
            self.finished.set()


def echo(channel: Channel, address: str) -> None:
    """Answer requests with what they hold, without decoding it."""

    async def main() -> None:
        connection = await nats.connect(address)
        subscription = await connection.subscribe("ping")
        await connection.flush()
        channel.tell(address=address)
        while (count := await asyncio.to_thread(channel.order)) is not None:
            for _ in range(count):
                message = await subscription.next_msg(timeout=30)
                await message.respond(message.data)
        await connection.close()

    asyncio.run(main())


def ping(channel: Channel, address: str) -> None:
    """Round trips by ``connection.request``, with an event packed once."""
    body = msgpack.packb((HOST, MOUNT, USED, 0))

    async def main() -> None:
        connection = await nats.connect(address)
        channel.tell(ready=True)
        while (count := await asyncio.to_thread(channel.order)) is not None:
            seconds = []
            for _ in range(count):
                start = time.perf_counter()
                await connection.request("ping", body, timeout=30)
                seconds.append(time.perf_counter() - start)
            channel.tell(seconds=seconds)
        await connection.close()

    asyncio.run(main())
