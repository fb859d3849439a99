"""The network of one endpoint: its listeners, the wires it dialled, and the numbers the node knows them by."""

from __future__ import annotations

from time import perf_counter
from typing import Final

import trio
import zmq

from broker.errors import AddressError, InsecureAddress, ListenError
from broker.net.address import Address, parse_address
from broker.net.dialled import Dialled
from broker.net.interface import Sink
from broker.net.listener import Listener
from broker.net.security import UNKNOWN_KEY, Security
from broker.net.sockets import NOBLOCK, NOBLOCK_MORE, TURN_S, readable
from broker.net.turns import Turns

__all__ = ["Network"]

_INSECURE: Final = (
    "leads to other machines, and this endpoint has no keys: anybody could listen, or pose as a peer.  Two commands "
    "help: 'broker keys new NAME' makes a key, for Endpoint(keys='NAME'), and 'broker keys trust KEY --name PEER' says "
    "whose is trusted.  Where the network itself is safe, say insecure=True"
)


class Network:
    """Carries frames for one endpoint; wires are known by the numbers that its node gives them."""

    def __init__(self, sink: Sink, nursery: trio.Nursery, security: Security | None = None) -> None:
        self._sink = sink
        self._security = security
        self._nursery = nursery
        self._listeners: dict[str, Listener] = {}
        self._dialled: dict[int, Dialled] = {}
        self._accepted: dict[int, tuple[Listener, bytes]] = {}
        self._touched: set[Dialled | Listener] = set()
        self._turns = Turns(sink)
        nursery.start_soon(self._turns.run)

    async def listen(self, text: str, *, insecure: bool = False) -> str:
        """Listen on an address; returns the bound one (a port for port 0).  Raises AddressError, ListenError."""
        address = self._checked(text, to_dial=False, insecure=insecure)
        try:
            listener = Listener(self._sink, self._turns, address, self._attach, self._security)
        except zmq.ZMQError as error:  # no more descriptors, no more sockets
            raise ListenError(error.errno or 0, f"{text}: no socket to listen with: {error.strerror}") from error
        self._listeners[listener.bound] = listener
        self._nursery.start_soon(listener.run)
        await trio.lowlevel.checkpoint()
        return listener.bound

    def _attach(self, listener: Listener, number: int, identity: bytes) -> None:
        self._accepted[number] = (listener, identity)

    def check(self, text: str, *, insecure: bool = False) -> None:
        """Raise AddressError when the address cannot be dialled."""
        self._checked(text, to_dial=True, insecure=insecure)

    def _checked(self, text: str, *, to_dial: bool, insecure: bool) -> Address:
        address = parse_address(text, to_dial=to_dial)
        if self._security is None:
            # As a host "lo" is whatever the resolver makes of it; as what to listen on it is the interface.
            stays = address.is_of_this_machine and not (to_dial and address.host == "lo")
            if not (insecure or stays):
                raise InsecureAddress(f"{text} {_INSECURE}")
        elif insecure:
            raise ValueError("this endpoint has keys: all that it says is encrypted, insecure=True makes no sense")
        elif address.transport == "inproc":
            raise AddressError(f"{text}: keys cannot be shown over inproc; use ipc://PATH or tcp://127.0.0.1:PORT")
        return address

    def secure(self, security: Security | None) -> None:
        """Use another key, or other rules of who is let in, for wires that are opened from now on."""
        self._security = security
        for listener in self._listeners.values():
            listener.secure(security)

    def dial(self, number: int, text: str) -> bytes:
        """Open a wire; what is sent on it before it is connected waits.  Returns the key its other end has to have."""
        security, key = self._security, None
        if security is not None:
            keys = security.keys_for(text)
            if not keys:
                self._sink.lost(number, "authentication", UNKNOWN_KEY)
                return b""
            key = keys[number % len(keys)]  # while it is being changed there are two: each attempt takes another
        try:
            wire = Dialled(self._sink, self._turns, number, parse_address(text, to_dial=True), security, key)
        except zmq.ZMQError as error:  # no more descriptors, no more sockets
            self._sink.lost(number, "unreachable", f"no socket to dial with: {error.strerror}")
            return b""
        self._dialled[number] = wire
        self._nursery.start_soon(wire.run)
        return b"" if key is None else key.raw

    def send(self, number: int, frame: bytes) -> None:
        """Send a frame; one for a wire that is gone is dropped, as the loss of the wire is told already or soon."""
        accepted = self._accepted.get(number)
        wire = self._dialled.get(number)
        try:
            if accepted is not None:
                listener, identity = accepted
                listener.socket.send(identity, NOBLOCK_MORE)
                listener.socket.send(frame, NOBLOCK)
                self._touched.add(listener)
            elif wire is not None:
                wire.send(frame)
                self._touched.add(wire)
        except zmq.Again:  # too many frames wait; a socket that was cut has no place for any and says the same
            if wire is None or not wire.tell_loss():
                self._sink.lost(number, "cut", "it does not read what it asks for")
        except zmq.ZMQError:  # a ROUTER no longer knows the identity
            if accepted is not None:
                accepted[0].drain()  # what the peer said before it went, a goodbye perhaps, counts
            self._turns.lost(number, "cut", "the connection was closed")

    def hangup(self, number: int) -> None:
        """Close a wire."""
        self._turns.drop(number)
        wire = self._dialled.pop(number, None)
        if wire is not None:
            self._touched.discard(wire)
            wire.close()
        accepted = self._accepted.pop(number, None)
        if accepted is not None:
            listener, identity = accepted
            listener.hangup(number, identity)

    def settle(self, began: float) -> bool:
        """Look at every socket that was sent on for frames whose edge that consumed; returns whether any were taken.

        Answers to what is taken here are sent on the same sockets, and so on: when that has gone on for a turn, since
        ``began`` (perf_counter), the rest is left to tasks, so that others get their turn.
        """
        found = False
        while self._touched:
            socket = self._touched.pop()
            if socket.closed or socket.draining or not readable(socket.socket):
                continue
            late = perf_counter() >= began + TURN_S
            found |= not late
            if late or socket.drain():
                socket.draining = True
                self._nursery.start_soon(self._drain_rest, socket)
        return found

    @trio.lowlevel.enable_ki_protection
    async def _drain_rest(self, socket: Dialled | Listener) -> None:
        while not socket.closed and socket.drain():
            self._sink.round_done()
            await trio.lowlevel.checkpoint()
        socket.draining = False
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
