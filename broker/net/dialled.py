"""A wire that we dialled: a DEALER of its own, disposed of with the wire."""

from __future__ import annotations

import socket as stdlib_socket
from time import perf_counter

import trio
import zmq

from broker.net.address import Address
from broker.net.interface import Sink
from broker.net.security import Security, guard_dialled
from broker.net.sockets import (
    FRAMES_PER_TURN,
    NOBLOCK,
    OTHER_MECHANISM,
    TURN_S,
    monitor_event,
    new_monitor,
    new_socket,
    read_loop,
    readable,
)
from broker.net.turns import Turns
from broker.trust.keys import PublicKey

__all__ = ["Dialled"]


class Dialled:
    """A wire that we dialled: a DEALER of its own, disposed of with the wire."""

    def __init__(
        self,
        sink: Sink,
        turns: Turns,
        number: int,
        address: Address,
        security: Security | None = None,
        key: PublicKey | None = None,
    ) -> None:
        self.sink = sink
        self.turns = turns
        self.number = number
        self.address = address
        self._key = key  # the one that is expected there
        self.socket = new_socket(zmq.DEALER)
        if security is not None and key is not None:
            guard_dialled(self.socket, security, key)
        self.socket.set(zmq.RECONNECT_IVL, -1)
        self._monitor = new_monitor(self.socket, zmq.EVENT_ALL)
        self._early: list[bytes] | None = []  # frames that wait for connect()
        self.closed = False
        self.draining = False  # a task drains it as long as there is anything
        self.scope = trio.CancelScope()

    def send(self, frame: bytes) -> None:
        """Send a frame, or keep it until the socket is connected."""
        if self._early is not None:
            self._early.append(frame)
        else:
            self.socket.send(frame, NOBLOCK)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Connect, then read until the wire is closed or cut.

        The sockets are closed here and nowhere else: nobody may still wait for a descriptor when it is closed.
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
        except (OSError, zmq.ZMQError, UnicodeError) as error:  # UnicodeError: no host can be called so
            why = getattr(error, "strerror", None) or error
            self.sink.lost(self.number, "unreachable", f"{self.address.host}: {why}")
            self.sink.round_done()
            return
        early, self._early = self._early or [], None
        try:
            for frame in early:
                self.socket.send(frame, NOBLOCK)
        except zmq.ZMQError:  # cut already: a socket that does not reconnect has no pipe left
            if not self.tell_loss():
                self.sink.lost(self.number, "cut", "the connection was closed")
            self.sink.round_done()

    async def _resolve(self) -> str:
        address = self.address
        if address.transport != "tcp":
            return address.text
        found = await trio.socket.getaddrinfo(address.host, address.port, type=stdlib_socket.SOCK_STREAM)
        # A name may stand for several addresses: each attempt, a wire of its own, takes another.
        host = str(found[self.number % len(found)][4][0])
        self.socket.set(zmq.IPV6, int(":" in host))
        return address.with_host(host)

    def _read(self) -> bool:
        more = self.drain()
        self.sink.round_done()
        return more

    def drain(self) -> bool:
        """Hand over the frames that are there; returns whether some are left."""
        socket = self.socket
        end = perf_counter() + TURN_S
        for _ in range(FRAMES_PER_TURN):
            if self.closed or not readable(socket):
                self.turns.rest()
                return False
            frame = socket.recv(NOBLOCK)
            # No frame of ours has parts: the first one of several breaks the protocol, so the others do not matter.
            self.turns.take(self.number, b"" if socket.get(zmq.RCVMORE) else frame)
            if perf_counter() >= end:
                break
        return True

    def _watch(self) -> bool:
        self.tell_loss()
        self.sink.round_done()
        return False

    def tell_loss(self) -> bool:
        """Tell what the socket says of the wire's end, behind the frames that came before it; False when it lives."""
        lost = False
        while not self.closed and readable(self._monitor):
            loss = self._loss_in(*monitor_event(self._monitor))
            if loss is not None:
                while self.drain():
                    pass
                self.turns.lost(self.number, *loss)
                lost = True
        return lost

    def _loss_in(self, event: int, value: int) -> tuple[str, str] | None:
        """Say what a monitor's event means for the wire: nothing, or its end with code and reason."""
        if event == zmq.Event.CLOSED:
            return "refused", "nothing listens there (connection refused): is it started, is the address right?"
        if event == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            if value == OTHER_MECHANISM:
                if self._key is None:
                    return (
                        "authentication",
                        "it asks for keys, and this endpoint has none: give Endpoint(keys=...), or --keys NAME",
                    )
                return "authentication", "it has no keys, and we talk only to who has: start it with keys, too"
            return "foreign", "what listens there does not speak ZeroMQ: is the port right?"
        # A proxy whose program is away closes without a word, or one just dying; half of the time, so does one that has
        # keys when we have none, or none when we have: whichever end sees it first closes.
        if event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL:
            if self._key is not None:
                return (
                    "key",
                    f"it closed the connection: has it no key, or another than {self._key}, is the port right?",
                )
            why = "is the port right, does it ask for keys, and this endpoint has none?"
            return "cut", f"what listens there closed the connection without a word of ZeroMQ: {why}"
        if event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            return (
                "authentication",
                "it does not trust our key: 'broker keys trust' at its end, or has it expired, or been revoked?",
            )
        if event == zmq.Event.DISCONNECTED:
            return "cut", "the connection was closed"
        return None

    def close(self) -> None:
        """Let :meth:`run` come to its end."""
        self.closed = True
        self.scope.cancel()
