"""A listening address: a ROUTER, on which every identity is a wire that somebody dialled.

A ROUTER does not tell when one of its peers goes, its monitor does: by the number of the connection's descriptor, which
the first frame of a wire tells too.  Numbers are used again, in order; :mod:`broker.net.connections` keeps them apart,
and closes those that take more than their share.

A ROUTER cannot close one of its connections either, and the other end of one that was hung up may be out of reach and
never close it.  So it is shut down by its descriptor, once the last frames have had time to leave, or at once when its
peer goes on talking.  ZeroMQ's own heartbeats would close it too, but abort the process when a connection breaks while
more frames wait than its socket holds (``Assertion failed: !_io_error``, libzmq 4.3.5).
"""

from __future__ import annotations

import errno
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import trio
import zmq

from broker.errors import ListenError
from broker.log_format import about
from broker.net.address import Address
from broker.net.connections import STRANGER_S, UNSEEN_BYTES_MAX, Connection, Connections, Growth, shut_down
from broker.net.interface import Sink
from broker.net.security import Gate, Security, guard_listening, set_own_key
from broker.net.sockets import (
    FRAMES_PER_TURN,
    LINGER_MS,
    NOBLOCK,
    OTHER_MECHANISM,
    TURN_S,
    monitor_event,
    new_monitor,
    new_socket,
    read_loop,
    readable,
    skip_parts,
)
from broker.net.turns import Turns

__all__ = ["Listener"]

_log = logging.getLogger("broker.net")

# Closed wires whose late frames are ignored; older ones are forgotten.
_CLOSED_MAX: Final = 4096
_FIRST_BYTES_MAX: Final = 128 << 10
# Who is hung up and sends more than this has not heard of it, or does not care.
_LATE_BYTES_MAX: Final = 64 << 10
# How often connections are looked after, as long as there are any.
_LOOK_S: Final = 0.1

# How long to wait before a port is tried again that somebody took while we were not bound to it.
_BIND_AGAIN_S: Final = 0.1

_FAILED: Final = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL

_WHY_NOT_LISTEN = {
    errno.EADDRINUSE: "is in use: another program listens there, or this one already does",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.EACCES: "is not permitted: ports below 1024 and some paths need privileges",
    errno.ENOENT: "has a folder in its path that does not exist",
    errno.ENODEV: "is not an address of this machine",
}


class Listener:
    """A bound ROUTER and its wires; ``attach`` is told the number and the identity of each new one."""

    def __init__(
        self,
        sink: Sink,
        turns: Turns,
        address: Address,
        attach: Callable[[Listener, int, bytes], None],
        security: Security | None = None,
    ) -> None:
        self.sink = sink
        self.turns = turns
        self._gate = Gate(security)
        self.socket = new_socket(zmq.ROUTER)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.IPV6, int(address.is_ipv6))
        self.closed = False
        self.draining = False  # a task drains it as long as there is anything
        self._attach = attach
        self._wires: dict[bytes, int] = {}
        self._connections = Connections()
        self._by_number: dict[int, Connection] = {}
        self._growth = Growth()
        self._skipping = False  # the rest of a message of many parts
        self._hung_up: deque[tuple[float, Connection]] = deque()  # when to shut down which
        self._ended: deque[tuple[float, int]] = deque()  # wires whose connections are gone: when to tell at the latest
        self._any = trio.lowlevel.ParkingLot()
        self._gone: OrderedDict[bytes, Connection | None] = OrderedDict()
        self._names: dict[bytes, str] = {}  # of each identity: the name that the gate gave its connection
        self._rekeyed = trio.Event()  # there is another key than the one that we were bound with
        self._unbound = trio.Event()
        try:
            guard_listening(self.socket, self._gate)
            self.socket.bind(address.text)
        except zmq.ZMQError as error:
            self.socket.close(0)
            self._gate.close()
            number = error.errno or 0
            why = _WHY_NOT_LISTEN.get(number, f"cannot be listened on: {error.strerror}")
            raise ListenError(number, f"{address.text} {why}") from error
        self._monitor = new_monitor(
            self.socket, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | _FAILED
        )
        self.bound = self.socket.get_string(zmq.LAST_ENDPOINT) if address.transport != "inproc" else address.text
        # ZeroMQ makes a folder for a path of its own choice, and removes it when it is bound no longer.
        self._folder = Path(self.bound.removeprefix("ipc://")).parent if address.text == "ipc://*" else None

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Read until the endpoint's tasks are cancelled, then close the sockets."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_loop, self.socket, self._read)
                nursery.start_soon(read_loop, self._monitor, self._watch)
                nursery.start_soon(self._look_after_connections)
                nursery.start_soon(self._bind_with_other_keys)
        finally:
            self.closed = True
            self.socket.disable_monitor()
            self._monitor.close(0)
            self.socket.close()
            self._gate.close()
            self._remove_folder()

    def _remove_folder(self) -> None:
        """Remove the folder of ipc://*: once we have bound to it anew, ZeroMQ no longer takes it for its own."""
        if self._folder is not None:
            with suppress(OSError):
                Path(self.bound.removeprefix("ipc://")).unlink(missing_ok=True)
                self._folder.rmdir()

    def secure(self, security: Security | None) -> None:
        """Judge by other rules from now on; show another key to who connects from now on."""
        former, self._gate.security = self._gate.security, security
        if security is None or former is None or former.secret == security.secret:
            return
        set_own_key(self.socket, security)
        self._rekeyed.set()

    @trio.lowlevel.enable_ki_protection
    async def _bind_with_other_keys(self) -> None:
        """Bind anew when there is another key, for ZeroMQ copies a socket's key when it binds.

        That closes the connections there are; their peers dial again.  The address is free when the monitor says so,
        and not before: a path would be taken away from under the new one.
        """
        while True:
            await self._rekeyed.wait()
            self._rekeyed, self._unbound = trio.Event(), trio.Event()
            self.socket.unbind(self.bound)
            await self._unbound.wait()
            await self._bind_again()

    async def _bind_again(self) -> None:
        """Bind to the address that was ours a moment ago, however long somebody else may have it meanwhile."""
        told, folder = False, self._folder
        while True:
            try:
                if folder is not None:
                    folder.mkdir(mode=0o700)  # fails when it is somebody else's now
                    folder = None
                self.socket.bind(self.bound)
            except (OSError, zmq.ZMQError) as error:
                if not told:
                    told_of = about(address=self.bound, reason=error.strerror)
                    _log.warning(
                        "%s: cannot be listened on with the new key yet: %s", self.bound, error.strerror, extra=told_of
                    )
                told = True
                await trio.sleep(_BIND_AGAIN_S)
            else:
                return

    def _read(self) -> bool:
        more = self.drain()
        self.sink.round_done()
        return more

    def drain(self) -> bool:
        """Hand over the frames that are there; returns whether some are left."""
        socket = self.socket
        end = perf_counter() + TURN_S
        if self._skipping and not self._skip(end):
            return True
        for _ in range(FRAMES_PER_TURN):
            if self.closed or not readable(socket):
                self._tell_ended()
                self.turns.rest()
                return False
            identity = socket.recv(NOBLOCK)
            number = self._wires.get(identity)
            if number is None and identity not in self._gone:
                if self._gate.security is not None and not _is_given(identity):
                    self._refuse_identity(identity)
                    continue
                number, frame = self._accept(identity)
            elif number is None:
                self._take_late(identity, len(socket.recv(NOBLOCK, copy=False)), broken=bool(socket.get(zmq.RCVMORE)))
            elif self._gate.security is None:
                frame = socket.recv(NOBLOCK)
            else:
                number, frame = self._authenticated(identity, number)
            broken = socket.get(zmq.RCVMORE)
            if number is not None:
                connection = self._by_number.get(number)
                if connection is not None:
                    connection.take(len(frame))
                self.turns.take(number, b"" if broken else frame)  # no frame of ours has parts
            if broken and not self._skip(end):
                break
            if perf_counter() >= end:
                break
        return True

    def _skip(self, end: float) -> bool:
        """Drop the rest of a message of many parts; returns whether that is done, or goes on in the next turn."""
        self._skipping = not skip_parts(self.socket, end)
        return not self._skipping

    def _take_late(self, identity: bytes, size: int, *, broken: bool) -> None:
        """Shut a connection down at once whose peer goes on talking after it was hung up."""
        connection = self._gone.get(identity)
        if connection is not None:
            connection.take(size)
            connection.late += size + 1
            if broken or connection.late > _LATE_BYTES_MAX:
                self._gone[identity] = None
                connection.shut_down()

    def _accept(self, identity: bytes) -> tuple[int, bytes]:
        first = self.socket.recv(NOBLOCK, copy=False)
        name = _name_of(first) if self._gate.security is not None else ""
        number = self._wires[identity] = self.sink.accepted(self.bound, bytes.fromhex(name))
        self._names[identity] = name
        self._attach(self, number, identity)
        try:
            descriptor: Any = first.get(zmq.SRCFD)
        except zmq.ZMQError:  # in-process
            pass
        else:
            self._by_number[number] = self._connections.spoke(descriptor, number, trio.current_time())
            self._any.unpark()
        # No greeting is as long: so much of it is enough to be told so.
        return number, bytes(first.buffer[:_FIRST_BYTES_MAX])

    def _refuse_identity(self, identity: bytes) -> None:
        """Close the connection of a peer that has chosen its identity.

        It could choose that of one that is just going, and be sent what is meant for that one.
        """
        first = self.socket.recv(NOBLOCK, copy=False)
        self._skip(perf_counter() + TURN_S)
        self._forget(identity, None)
        descriptor: Any = first.get(zmq.SRCFD)
        shut_down(descriptor)
        self.sink.turned_away(self.bound, "authentication", "it asks for a routing id of its own choice")

    def _authenticated(self, identity: bytes, number: int | None) -> tuple[int | None, bytes]:
        """Receive a frame, and whose it is by the key of its connection: identities are of the peers' own choice.

        Who takes the identity of one that has just gone is not taken for it.
        """
        frame = self.socket.recv(NOBLOCK, copy=False)
        if number is not None and _name_of(frame) != self._names.get(identity):
            number = None
        return number, frame.bytes

    def _watch(self) -> bool:
        """Read what the monitor tells; returns whether it has more to tell."""
        end = perf_counter() + TURN_S
        more = False
        while not self.closed and readable(self._monitor):
            event, value = monitor_event(self._monitor)
            if event == zmq.EVENT_ACCEPTED:
                self._take_accepted(value)
            elif event == zmq.EVENT_DISCONNECTED:
                self._take_disconnected(value)
            elif event == zmq.EVENT_CLOSED:
                self._unbound.set()
            else:
                self._tell_turned_away(event, value)
            if perf_counter() >= end:
                more = True
                break
        self.sink.round_done()
        return more

    def _take_accepted(self, descriptor: int) -> None:
        victim = self._connections.opened(descriptor, trio.current_time())
        self._any.unpark()
        if victim is not None:
            victim.shut_down()
            reason = (
                "it said nothing, and its descriptor was wanted: three quarters of all that there may be are in use"
            )
            self.sink.turned_away(self.bound, "full", reason)

    def _take_disconnected(self, descriptor: int) -> None:
        connection = self._connections.closed(descriptor)
        if connection is None or connection.number is None:
            return
        self._by_number.pop(connection.number, None)
        if not connection.hung_up:
            self._ended.append((trio.current_time() + LINGER_MS / 1000, connection.number))
            self.drain()

    def _tell_ended(self, now: float = math.inf) -> None:
        """Tell whose connections are gone: all that they sent has been received, or it takes too long."""
        while self._ended and self._ended[0][0] <= now:
            self.turns.lost(self._ended.popleft()[1], "cut", "the connection was closed")

    def _tell_turned_away(self, event: int, value: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            reason = self._gate.take_refused()
        elif value == OTHER_MECHANISM:
            reason = (
                "it shows no key" if self._gate.security is not None else "it asks for keys, this endpoint has none"
            )
        elif self._gate.security is not None:
            reason = "it shows no key, expects another one than ours, or does not speak ZeroMQ"
        else:
            return
        self.sink.turned_away(self.bound, "authentication", reason)

    def hangup(self, number: int, identity: bytes) -> None:
        """Ignore what still comes from a wire; close its connection soon, unless its other end does before."""
        self._wires.pop(identity, None)
        self._names.pop(identity, None)
        connection = self._by_number.get(number)
        self._forget(identity, connection)
        if connection is not None:
            connection.hung_up = True
            self._hung_up.append((trio.current_time() + LINGER_MS / 1000, connection))

    def _forget(self, identity: bytes, connection: Connection | None) -> None:
        """Ignore what still comes from an identity."""
        self._gone[identity] = connection
        if len(self._gone) > _CLOSED_MAX:
            self._gone.popitem(last=False)

    @trio.lowlevel.enable_ki_protection
    async def _look_after_connections(self) -> None:
        while True:
            while not self._connections:
                await self._any.park()
            await trio.sleep(_LOOK_S)
            self._watch()
            now = trio.current_time()
            self._tell_ended(now)
            while self._hung_up and self._hung_up[0][0] <= now:
                connection = self._hung_up.popleft()[1]
                if connection.number in self._by_number:
                    connection.shut_down()
            for stranger in self._connections.overdue(now):
                stranger.shut_down()
                self.sink.turned_away(self.bound, "silent", f"it connected, and said nothing for {STRANGER_S:g} s")
            if self._growth.looked():
                self._find_flood()
            self.sink.round_done()

    def _find_flood(self) -> None:
        """Cut off who has sent so much that does not come out of ZeroMQ."""
        for connection in list(self._connections):
            if connection.unseen() <= UNSEEN_BYTES_MAX:
                continue
            reason = f"it has sent {UNSEEN_BYTES_MAX >> 20} MiB more than could be received: a message without an end?"
            connection.shut_down()
            if connection.number is None:
                self.sink.turned_away(self.bound, "protocol", reason)
            else:
                self.sink.flooded(connection.number, reason)


def _is_given(identity: bytes) -> bool:
    """Whether an identity is one that ZeroMQ gives: a zero and a number, which begins anywhere."""
    return len(identity) == 5 and not identity[0]


def _name_of(frame: Any) -> str:
    """Return the name that the gate gave the connection that a frame came by."""
    name: str = frame.get("User-Id")
    return name
