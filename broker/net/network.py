"""The network of one endpoint: its listeners, the wires it dialled, and the numbers the node knows them by."""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import trio
import zmq
from zmq.utils.monitor import parse_monitor_message

from broker.errors import ListenError
from broker.net.address import Address, parse_address
from broker.net.sockets import FRAMES_PER_TURN, NOBLOCK, NOBLOCK_MORE, new_socket, read_loop, readable, skip_parts

__all__ = ["Network", "Sink"]

# Closed wires of a listener whose late frames are ignored; older ones are forgotten.
_CLOSED_MAX: Final = 4096

_WHY_NOT_LISTEN = {
    errno.EADDRINUSE: "is in use: another program listens there, or this one already does",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.EACCES: "is not permitted: ports below 1024 and some paths need privileges",
    errno.ENOENT: "has a folder in its path that does not exist",
    errno.ENODEV: "is not an address of this machine",
}


class Sink(Protocol):
    """Who is told of frames and wires: the endpoint.  It carries out what follows from them after each round."""

    def accepted(self, address: str) -> int:
        """Somebody opened a wire to us; returns its number."""

    def received(self, wire: int, frame: bytes) -> None:
        """A frame came."""

    def lost(self, wire: int, code: str, reason: str) -> None:
        """A wire is gone."""

    def round_done(self) -> None:
        """All frames that were there have been handed over."""


class _Dialled:
    """A wire that we dialled: a DEALER of its own, disposed of with the wire."""

    def __init__(self, sink: Sink, number: int, address: Address) -> None:
        self.sink = sink
        self.number = number
        self.address = address
        self.socket = new_socket(zmq.DEALER)
        self.socket.set(zmq.RECONNECT_IVL, -1)
        self._monitor = self.socket.get_monitor_socket()
        self._early: list[bytes] | None = []  # frames that wait for connect()
        self.closed = False
        self.scope = trio.CancelScope()

    def send(self, frame: bytes) -> None:
        if self._early is not None:
            self._early.append(frame)
        else:
            self.socket.send(frame, NOBLOCK)

    async def run(self) -> None:
        """Connect, then read until the wire is closed or cut.  The sockets are closed here and nowhere else:

        nobody may still wait for a descriptor when it is closed.
        """
        try:
            with self.scope:
                await self._connect()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read_loop, self.socket, self._read)
                    nursery.start_soon(read_loop, self._monitor, self._watch)
        finally:
            self.closed = True
            self.socket.disable_monitor()
            self._monitor.close(0)
            self.socket.close()

    async def _connect(self) -> None:
        try:
            self.socket.connect(await self._resolve())
        except OSError as error:  # zmq.ZMQError is one
            self.sink.lost(self.number, "unreachable", f"{self.address.host}: {error.strerror or error}")
            self.sink.round_done()
            return
        early, self._early = self._early or [], None
        for frame in early:
            self.socket.send(frame, NOBLOCK)

    async def _resolve(self) -> str:
        address = self.address
        if address.transport != "tcp":
            return address.text
        found = await trio.socket.getaddrinfo(address.host, address.port, type=stdlib_socket.SOCK_STREAM)
        host = str(found[0][4][0])
        self.socket.set(zmq.IPV6, int(":" in host))
        return address.with_host(host)

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
            frame = socket.recv(NOBLOCK)
            if socket.get(zmq.RCVMORE):
                frame = skip_parts(socket)
            self.sink.received(self.number, frame)
        return True

    def _watch(self) -> bool:
        while not self.closed and readable(self._monitor):
            parts = self._monitor.recv_multipart(NOBLOCK)
            loss = self._loss_in(zmq.Event(parse_monitor_message(parts)["event"]))
            if loss is not None:
                while self.drain():
                    pass
                self.sink.lost(self.number, *loss)
                self.sink.round_done()
        return False

    def _loss_in(self, event: zmq.Event) -> tuple[str, str] | None:
        """Say what a monitor's event means for the wire: nothing, or its end with code and reason."""
        if event == zmq.Event.CLOSED:
            return "refused", "nothing listens there (connection refused): is it started, is the address right?"
        if event in (zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, zmq.Event.HANDSHAKE_FAILED_PROTOCOL):
            return "foreign", "what listens there does not speak ZeroMQ: is the port right?"
        if event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            return "authentication", "it does not accept our key"
        if event == zmq.Event.DISCONNECTED:
            return "cut", "the connection was closed"
        return None

    def close(self) -> None:
        self.closed = True
        self.scope.cancel()


class _Listener:
    """A bound ROUTER; every identity on it is an accepted wire."""

    def __init__(self, sink: Sink, address: Address) -> None:
        self.sink = sink
        self.socket = new_socket(zmq.ROUTER)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.IPV6, int(address.is_ipv6))
        self.closed = False
        self.wires: dict[bytes, int] = {}
        self._gone: OrderedDict[bytes, None] = OrderedDict()
        try:
            self.socket.bind(address.text)
        except zmq.ZMQError as error:
            self.socket.close(0)
            why = _WHY_NOT_LISTEN.get(error.errno or 0, f"cannot be listened on: {error.strerror}")
            raise ListenError(error.errno, f"{address.text} {why}") from error
        self.bound = self.socket.get_string(zmq.LAST_ENDPOINT) if address.transport != "inproc" else address.text
        self.attach: Callable[[int, bytes], None]  # set by the network

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
            frame = socket.recv(NOBLOCK)  # there always is one behind an identity
            if socket.get(zmq.RCVMORE):
                frame = skip_parts(socket)
            if identity in self._gone:
                continue
            number = self.wires.get(identity)
            if number is None:
                number = self.wires[identity] = self.sink.accepted(self.bound)
                self.attach(number, identity)
            self.sink.received(number, frame)
        return True

    def forget(self, identity: bytes) -> None:
        self.wires.pop(identity, None)
        self._gone[identity] = None
        if len(self._gone) > _CLOSED_MAX:
            self._gone.popitem(last=False)

    async def run(self) -> None:
        """Read until the endpoint's tasks are cancelled, then close the socket."""
        try:
            await read_loop(self.socket, self._read)
        finally:
            self.closed = True
            self.socket.close()


class Network:
    """Carries frames for one endpoint; wires are known by the numbers that its node gives them."""

    def __init__(self, sink: Sink, nursery: trio.Nursery) -> None:
        self._sink = sink
        self._nursery = nursery
        self._listeners: dict[str, _Listener] = {}
        self._dialled: dict[int, _Dialled] = {}
        self._accepted: dict[int, tuple[_Listener, bytes]] = {}
        self._touched: set[_Dialled | _Listener] = set()

    async def listen(self, text: str) -> str:
        """Listen on an address; returns the bound one (a port for port 0).  Raises AddressError, ListenError."""
        address = parse_address(text, to_dial=False)
        listener = _Listener(self._sink, address)
        listener.attach = lambda number, identity: self._accepted.__setitem__(number, (listener, identity))
        self._listeners[listener.bound] = listener
        self._nursery.start_soon(listener.run)
        await trio.lowlevel.checkpoint()
        return listener.bound

    def check(self, text: str) -> None:
        """Raise AddressError when the address cannot be dialled."""
        parse_address(text, to_dial=True)

    def dial(self, number: int, text: str) -> None:
        """Open a wire; what is sent on it before it is connected waits."""
        wire = self._dialled[number] = _Dialled(self._sink, number, parse_address(text, to_dial=True))
        self._nursery.start_soon(wire.run)

    def send(self, number: int, frame: bytes) -> None:
        """Send a frame; one for a wire that is gone is dropped, as the loss of the wire is told already or soon."""
        accepted = self._accepted.get(number)
        try:
            if accepted is not None:
                listener, identity = accepted
                listener.socket.send(identity, NOBLOCK_MORE)
                listener.socket.send(frame, NOBLOCK)
                self._touched.add(listener)
            else:
                wire = self._dialled.get(number)
                if wire is not None:
                    wire.send(frame)
                    self._touched.add(wire)
        except zmq.ZMQError as error:
            self._sink.lost(number, "cut", f"the connection was closed ({os.strerror(error.errno or 0)})")

    def hangup(self, number: int) -> None:
        """Close a wire."""
        wire = self._dialled.pop(number, None)
        if wire is not None:
            self._touched.discard(wire)
            wire.close()
        accepted = self._accepted.pop(number, None)
        if accepted is not None:
            listener, identity = accepted
            listener.forget(identity)

    def settle(self) -> bool:
        """Look at every socket that was sent on for frames whose edge that consumed; returns whether there were any."""
        found = False
        while self._touched:
            socket = self._touched.pop()
            if not socket.closed and readable(socket.socket):
                found = True
                if socket.drain():
                    self._nursery.start_soon(self._drain_rest, socket)
        return found

    async def _drain_rest(self, socket: _Dialled | _Listener) -> None:
        more = True
        while more and not socket.closed:
            self._sink.round_done()
            await trio.lowlevel.checkpoint()
            more = socket.drain()
        self._sink.round_done()

    def close(self) -> None:
        """Close every wire; the listeners are closed with the nursery's tasks."""
        for wire in self._dialled.values():
            wire.close()
        for listener in self._listeners.values():
            listener.closed = True
        self._dialled.clear()
        self._accepted.clear()
        self._listeners.clear()
