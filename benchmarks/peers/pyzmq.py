"""pyzmq as a careful user writes it: blocking sockets, no high-water mark, one message per event, msgpack.

XPUB is PUB that also tells who subscribed (libzmq derives PUB from it), so that no event is published before the
subscriptions are there.
"""

from __future__ import annotations

import time

import msgpack
import zmq

from benchmarks.child import Channel
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder

TOPIC = b"host/web-01/disk"
# As long as the event is in our frames, nearly enough.
PING = msgpack.packb((HOST, MOUNT, USED, 0))


def publish(channel: Channel, address: str, readers: int = 1) -> None:
    """Publish tuples packed with ``msgpack.packb``, one message each."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.sndhwm = 0
        socket.linger = 0
        socket.xpub_verboser = True
        socket.bind(address)
        channel.tell(address=_bound_address(socket))
        for _ in range(readers):
            socket.recv()
        sequence = 0
        while (count := channel.order()) is not None:
            packb = msgpack.packb
            channel.tell(started=time.monotonic())
            for number in range(sequence, sequence + count):
                event = (HOST, MOUNT, USED, number)
                socket.send_multipart([TOPIC, packb(event)])
            channel.tell(published=time.monotonic())
            sequence += count


def subscribe(channel: Channel, address: str) -> None:
    """Receive and unpack, one message at a time."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.rcvhwm = 0
        socket.connect(address)
        socket.subscribe(b"host/")
        channel.tell(ready=True)
        expected = 0
        while (count := channel.order()) is not None:
            channel.tell(armed=True)
            unpackb = msgpack.unpackb
            end = expected + count
            first = 0.0
            while expected < end:
                _topic, body = socket.recv_multipart()
                _host, _mount, _used, number = unpackb(body)
                if number != expected:
                    raise OutOfOrder(expected, number)
                expected += 1
                if not first:
                    first = time.monotonic()
            channel.tell(received=[first, time.monotonic()])


def echo(channel: Channel, address: str) -> None:
    """Send back on a bare ROUTER whatever comes, without decoding it."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        socket.bind(address)
        channel.tell(address=_bound_address(socket))
        while (count := channel.order()) is not None:
            for _ in range(count):
                socket.send_multipart(socket.recv_multipart())


def ping(channel: Channel, address: str) -> None:
    """Round trips on a bare DEALER, blocking, with an event packed once."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(address)
        channel.tell(ready=True)
        while (count := channel.order()) is not None:
            seconds = []
            for _ in range(count):
                start = time.perf_counter()
                socket.send(PING)
                socket.recv()
                seconds.append(time.perf_counter() - start)
            channel.tell(seconds=seconds)


def _bound_address(socket: zmq.Socket[bytes]) -> str:
    address = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(address, bytes)
    return address.decode()
