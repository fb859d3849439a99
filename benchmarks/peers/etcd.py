"""One etcd node over gRPC, by its own interface: etcdserverpb.KV, requests in Protocol Buffers written by hand."""

from __future__ import annotations

import asyncio
import time

import grpc

from benchmarks.child import Channel
from benchmarks.workload import NotThere, entry

_PUT = "/etcdserverpb.KV/Put"
_RANGE = "/etcdserverpb.KV/Range"


def write(channel: Channel, address: str, tasks: int = 1) -> None:
    """``tasks`` asyncio tasks over one channel (HTTP/2 carries them beside each other), each awaiting its own puts."""
    asyncio.run(_write(channel, address, tasks))


async def _write(channel: Channel, address: str, tasks: int) -> None:
    async with grpc.aio.insecure_channel(address.removeprefix("http://")) as connection:
        # Bytes in, bytes out: nothing is encoded but what stands here.
        put, get = connection.unary_unary(_PUT), connection.unary_unary(_RANGE)

        async def write_all(task: int, numbers: range) -> None:
            for number in numbers:
                key, value = entry(task, number)
                await put(_field(1, key.encode()) + _field(2, value))

        await connection.channel_ready()
        channel.tell(address=address)
        loop = asyncio.get_running_loop()
        done = 0
        while (count := await loop.run_in_executor(None, channel.order)) is not None:
            each = count // tasks
            start = time.perf_counter()
            await asyncio.gather(*(write_all(task, range(done, done + each)) for task in range(tasks)))
            seconds = time.perf_counter() - start
            done += each
            for task in range(tasks):
                key, value = entry(task, done - 1)
                found = await get(_field(1, key.encode()))
                if value not in found:
                    raise NotThere(key, value, found)
            channel.tell(seconds=seconds)


def _field(number: int, data: bytes) -> bytes:
    """Return a field of bytes: its tag (wire type 2), its length as one byte, the bytes."""
    assert len(data) < 128
    return bytes((number << 3 | 2, len(data))) + data
