"""A listening address: a ROUTER, on which every identity is a wire that somebody dialled.

A ROUTER does not tell when one of its peers goes, its monitor does: by the number of the connection's descriptor, which
the first frame of a wire tells too.  Numbers are used again, in order; where a connection that never said anything held
one before, the wrong wire may be given up, and its peer dials again and goes on in the same session.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import trio
import zmq

from broker.errors import ListenError
from broker.net.address import Address
from broker.net.interface import Sink
from broker.net.sockets import (
    FRAMES_PER_TURN,
    NOBLOCK,
    monitor_event,
    new_monitor,
    new_socket,
    read_loop,
    readable,
    skip_parts,
)

__all__ = ["Listener"]

# Closed wires whose late frames are ignored; older ones are forgotten.
_CLOSED_MAX: Final = 4096

_WHY_NOT_LISTEN = {
    errno.EADDRINUSE: "is in use: another program listens there, or this one already does",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.EACCES: "is not permitted: ports below 1024 and some paths need privileges",
    errno.ENOENT: "has a folder in its path that does not exist",
    errno.ENODEV: "is not an address of this machine",
}


class Listener:
    """A bound ROUTER and its wires; ``attach`` is told the number and the identity of each new one."""

    def __init__(self, sink: Sink, address: Address, attach: Callable[[Listener, int, bytes], None]) -> None:
        self.sink = sink
        self.socket = new_socket(zmq.ROUTER)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.IPV6, int(address.is_ipv6))
        self.closed = False
        self._attach = attach
        self._wires: dict[bytes, int] = {}
        self._by_descriptor: dict[int, deque[int]] = {}
        self._gone: OrderedDict[bytes, None] = OrderedDict()
        try:
            self.socket.bind(address.text)
        except zmq.ZMQError as error:
            self.socket.close(0)
            number = error.errno or 0
            why = _WHY_NOT_LISTEN.get(number, f"cannot be listened on: {error.strerror}")
            raise ListenError(number, f"{address.text} {why}") from error
        self._monitor = new_monitor(self.socket, zmq.EVENT_DISCONNECTED)
        self.bound = self.socket.get_string(zmq.LAST_ENDPOINT) if address.transport != "inproc" else address.text

    async def run(self) -> None:
        """Read until the endpoint's tasks are cancelled, then close the sockets."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_loop, self.socket, self._read)
                nursery.start_soon(read_loop, self._monitor, self._watch)
        finally:
            self.closed = True
            self.socket.disable_monitor()
            self._monitor.close(0)
            self.socket.close()

    def _read(self) -> bool:
        more = self.drain()
        self.sink.round_done()
        return more

    def drain(self) -> bool:
        """Hand over the frames that are there; returns whether some are left."""
        socket = self.socket
        for _ in range(FRAMES_PER_TURN):
            if self.closed or not readable(socket):
                return False
            identity = socket.recv(NOBLOCK)
            number = self._wires.get(identity)
            if number is None and identity not in self._gone:
                number, frame = self._accept(identity)
            else:
                frame = socket.recv(NOBLOCK)  # there always is one behind an identity
            if socket.get(zmq.RCVMORE):
                frame = skip_parts(socket)
            if number is not None:
                self.sink.received(number, frame)
        return True

    def _accept(self, identity: bytes) -> tuple[int, bytes]:
        first = self.socket.recv(NOBLOCK, copy=False)
        number = self._wires[identity] = self.sink.accepted(self.bound)
        self._attach(self, number, identity)
        try:
            descriptor: Any = first.get(zmq.SRCFD)
        except zmq.ZMQError:  # in-process
            pass
        else:
            self._by_descriptor.setdefault(descriptor, deque()).append(number)
        return number, first.bytes

    def _watch(self) -> bool:
        while not self.closed and readable(self._monitor):
            descriptor = monitor_event(self._monitor)[1]
            wires = self._by_descriptor.get(descriptor)
            if not wires:
                continue
            number = wires.popleft()
            if not wires:
                del self._by_descriptor[descriptor]
            while self.drain():
                pass
            self.sink.lost(number, "cut", "the connection was closed")
        self.sink.round_done()
        return False

    def forget(self, identity: bytes) -> None:
        """Ignore what still comes from a wire that was hung up."""
        self._wires.pop(identity, None)
        self._gone[identity] = None
        if len(self._gone) > _CLOSED_MAX:
            self._gone.popitem(last=False)
