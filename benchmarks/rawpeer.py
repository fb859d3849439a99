"""A peer that is nobody's endpoint: ZMTP 3.1 and our frames spoken by hand over a TCP connection, as far as one likes.

Tests and the benchmark `hostile` attack with it.  It sends whatever it is given, reads only to find out what it needs,
and keeps no rule of the protocol by itself.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from types import TracebackType
from typing import Self

from broker.protocol import frames
from broker.protocol.addresses import address_of, entry_of
from broker.protocol.frames import (
    HEADER_BYTES,
    ROUTED,
    TTL_DEFAULT,
    Hello,
    Interest,
    InterestUpdate,
    Kind,
    MemberUpdate,
    Neighbour,
    Sync,
    Welcome,
)

__all__ = ["GREETING", "READY", "RawPeer", "part"]

# Signature, version 3.1, mechanism NULL, no server, filler.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
_READY_BODY = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER" + b"\x08Identity" + bytes(4)
READY = bytes((4, len(_READY_BODY))) + _READY_BODY

_MORE, _LONG = 1, 2
_SECONDS = 20.0


def part(payload: bytes, *, more: bool = False) -> bytes:
    """Return one part of a message as ZMTP sends it."""
    if len(payload) < 256:
        return bytes((more * _MORE, len(payload))) + payload
    return struct.pack(">BQ", more * _MORE | _LONG, len(payload)) + payload


class RawPeer:
    """One connection to an endpoint, and what is needed to seem to be one for as long as it takes."""

    def __init__(self, address: str, name: str = "hostile") -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self.name = name
        self.id = os.urandom(16)
        self.target = bytes(16)  # the endpoint's id, when it has said it
        self.sequence = 0
        self.sent_bytes = 0
        self.socket = socket.create_connection((host, int(port)), timeout=_SECONDS)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.socket.close()

    # -- ZMTP --------------------------------------------------------------------------------------------------------

    def greet(self) -> Self:
        """Do ZeroMQ's handshake."""
        self.socket.sendall(GREETING + READY)
        self._need(64)
        self._received = self._received[64:]
        self.read_part()
        return self

    def _need(self, count: int) -> None:
        while len(self._received) < count:
            some = self.socket.recv(1 << 16)
            if not some:
                raise ConnectionResetError("the endpoint closed the connection")
            self._received += some

    def read_part(self) -> tuple[int, bytes]:
        """Read the next part or command: its flags and its bytes."""
        self._need(2)
        flags, size, at = self._received[0], self._received[1], 2
        if flags & _LONG:
            self._need(9)
            size, at = int.from_bytes(self._received[1:9], "big"), 9
        self._need(at + size)
        body, self._received = self._received[at : at + size], self._received[at + size :]
        return flags, body

    def read_frame(self, kind: int) -> bytes:
        """Read until a frame of that kind comes; return its payload.  Raises ConnectionResetError at the end."""
        while True:
            _, body = self.read_part()
            if len(body) >= HEADER_BYTES and body[0] == kind:
                return body[HEADER_BYTES:]

    def read_to_the_end(self) -> None:
        """Read until the endpoint closes the connection."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass

    def send(self, data: bytes) -> None:
        """Send bytes as they are, and throw away what comes meanwhile, so that the endpoint never waits for us."""
        self.sent_bytes += len(data)
        rest = memoryview(data)
        self.socket.setblocking(False)
        while rest:
            readable, writable, _ = select.select([self.socket], [self.socket], [], _SECONDS)
            if readable and not self.socket.recv(1 << 20):
                raise ConnectionResetError("the endpoint closed the connection")
            if writable:
                rest = rest[self.socket.send(rest) :]
            elif not readable:
                raise TimeoutError("the endpoint takes nothing")

    def send_blindly(self, data: bytes) -> None:
        """Send bytes and read nothing."""
        self.sent_bytes += len(data)
        self.socket.setblocking(True)
        self.socket.settimeout(_SECONDS)
        self.socket.sendall(data)

    # -- frames ------------------------------------------------------------------------------------------------------

    def frame(self, kind: int, payload: bytes = b"", *, flags: int = 0, more: bool = False) -> bytes:
        """Return the next frame of the session as a part; a routed one is addressed to the endpoint."""
        sequence = 0
        if kind >= Kind.SYNC:
            self.sequence += 1
            sequence = self.sequence
        if kind >= ROUTED:
            payload = address_of(self.id, [entry_of(self.target, 1, 1)]) + payload
        return part(frames.pack_header(kind, flags, TTL_DEFAULT, sequence, 0) + payload, more=more)

    def hello(self) -> Self:
        """Say HELLO and read the WELCOME."""
        greeting = frames.encode_hello(Hello(self.name, self.id, b"", 0))
        self.socket.sendall(self.frame(Kind.HELLO, greeting))
        self.target = frames.decode(Welcome, self.read_frame(Kind.WELCOME)).id
        return self

    def join(self, *prefixes: str) -> Self:
        """Become a member of the mesh, one that wants these topics; returns when the endpoint has let it in."""
        wanted = tuple(Interest(prefix, None) for prefix in prefixes)
        self.socket.sendall(
            self.frame(Kind.SYNC, frames.encode(Sync(True, ())))
            + self.frame(Kind.MEMBER, self.member(1))
            + self.frame(Kind.INTERESTS, self.interests(0, 1, wanted))
            + self.frame(Kind.SYNCED)
        )
        self.read_frame(Kind.SYNCED)
        return self

    def member(self, version: int, id_: bytes | None = None, name: str | None = None) -> bytes:
        """Return an announcement of ourselves, or of somebody else whom we are linked with."""
        linked = (Neighbour(self.target if id_ is None else self.id, True, 100),)
        born = time.time_ns()
        return frames.encode(MemberUpdate(id_ or self.id, name or self.name, version, True, False, linked, 0, born))

    def interests(
        self,
        base: int,
        version: int,
        added: tuple[Interest, ...] = (),
        removed: tuple[Interest, ...] = (),
        *,
        final: bool = True,
    ) -> bytes:
        """Return an announcement of what we want."""
        return frames.encode(InterestUpdate(self.id, base, version, final, added, removed))
