"""The TCP connections of a listening address, those included that have said nothing yet: strangers.

ZeroMQ's monitor tells when a connection is accepted and when it is gone, by the number of its descriptor, and each
message by which descriptor it came.  That is enough to keep within bounds what ZeroMQ does not:

- **Strangers.** ZeroMQ closes a connection that does not complete its handshake within three seconds, and keeps one for
  ever that has completed it and says nothing.  Here it has :data:`STRANGER_S`.
- **Descriptors.** Without any to be had ZeroMQ's thread accepts in a busy loop, and a program can open no file.  When
  three quarters of those that the process may have are in use the oldest stranger is closed for each connection that
  comes; where there is none, the new one.
- **Memory.** ZeroMQ bounds a part of a message, and how many messages wait; not how many parts a message has, of which
  none is given out before the last one is there.  So when the process has grown by :data:`GROWTH_BYTES`, the system is
  asked how much came by each connection, and who sent :data:`UNSEEN_BYTES_MAX` of which nothing was given out is cut.

A connection is closed by shutting it down, by a copy of its descriptor: to ZeroMQ it looks as if its peer had done so.
"""

from __future__ import annotations

import errno
import resource
import socket
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

__all__ = ["GROWTH_BYTES", "STRANGER_S", "UNSEEN_BYTES_MAX", "Connection", "Connections", "Growth", "shut_down"]

# A handshake with keys takes four round trips, the HELLO rides on the last.
STRANGER_S: Final = 5.0
GROWTH_BYTES: Final = 64 << 20
# Eight times a link's window.
UNSEEN_BYTES_MAX: Final = 64 << 20
# Of the descriptors that the process may have, those that connections may not take: programs have files to open, too.
_RESERVED: Final = 0.25
# What a frame takes on the wire beyond its bytes, at most: ZeroMQ's and CURVE's.
_OVERHEAD: Final = 64
# Where `struct tcp_info` (linux/tcp.h) has the bytes that came so far.
_BYTES_RECEIVED: Final = 128


class Connection(Struct, eq=False):
    """One connection: its descriptor and its two ends tell it from others."""

    descriptor: int
    ends: object
    opened: float
    number: int | None = None  # that of its wire; None: it has said nothing yet
    early: bool = False  # its first frame was seen before word of its having been accepted
    taken: int = 0  # bytes that came of it since it was looked at last
    hung_up: bool = False
    late: int = 0  # bytes that came of it since it was hung up
    _received: int = 0
    _unseen: int = 0

    def take(self, size: int) -> None:
        """Take note of a frame."""
        self.taken += size + _OVERHEAD

    def unseen(self) -> int:
        """Return how many bytes have come that were not given out, about: from one look to the next."""
        received = _bytes_received(self.descriptor)
        self._unseen = max(0, self._unseen + received - self._received - self.taken)
        self._received, self.taken = received, 0
        return self._unseen

    def shut_down(self) -> None:
        """Shut it down, unless somebody else has its number now."""
        with suppress(OSError), _copy_of(self.descriptor) as connection:
            if _names(connection) == self.ends:
                connection.shutdown(socket.SHUT_RDWR)


class Connections:
    """All of one address, in the order in which they came."""

    def __init__(self) -> None:
        self._by_descriptor: dict[int, deque[Connection]] = {}
        self._strangers: dict[Connection, None] = {}

    def __bool__(self) -> bool:
        return bool(self._by_descriptor)

    def __iter__(self) -> Iterator[Connection]:
        return (connection for found in self._by_descriptor.values() for connection in found)

    def opened(self, descriptor: int, now: float) -> Connection | None:
        """Take note of an accepted connection; returns the one that has to go for it, if any has to."""
        found = self._by_descriptor.setdefault(descriptor, deque())
        if found and found[-1].early:
            found[-1].early = False
            return None
        connection = Connection(descriptor, _ends_of(descriptor), now)
        found.append(connection)
        self._strangers[connection] = None
        if descriptor < _most_descriptors():
            return None
        return self._pop_stranger()

    def spoke(self, descriptor: int, number: int, now: float) -> Connection:
        """Take note of the first frame of a wire; returns its connection."""
        found = self._by_descriptor.setdefault(descriptor, deque())
        ends = _ends_of(descriptor)
        connection = found[-1] if found else None
        if connection is None or connection.number is not None or (ends is not None and ends != connection.ends):
            connection = Connection(descriptor, ends, now, early=True)
            found.append(connection)
        connection.number = number
        self._strangers.pop(connection, None)
        return connection

    def closed(self, descriptor: int) -> Connection | None:
        """Take note that a connection is gone, and return it."""
        found = self._by_descriptor.get(descriptor)
        if not found:
            return None
        connection = found.popleft()
        if not found:
            del self._by_descriptor[descriptor]
        self._strangers.pop(connection, None)
        return connection

    def overdue(self, now: float) -> Iterator[Connection]:
        """Give the strangers that have had their time, once each."""
        while self._strangers and next(iter(self._strangers)).opened + STRANGER_S <= now:
            yield self._pop_stranger()

    def _pop_stranger(self) -> Connection:
        connection = next(iter(self._strangers))
        del self._strangers[connection]
        return connection


class Growth:
    """Tells when the process has grown so much that somebody is to be asked why (on Linux)."""

    def __init__(self) -> None:
        self._size = _resident_bytes()

    def looked(self) -> bool:
        """Whether it has grown by GROWTH_BYTES since this was last so, or since it was smallest."""
        size = _resident_bytes()
        if size < self._size + GROWTH_BYTES:
            self._size = min(self._size, size)
            return False
        self._size = size
        return True


def shut_down(descriptor: int) -> None:
    """Shut down the connection that has this descriptor now."""
    Connection(descriptor, _ends_of(descriptor), 0.0).shut_down()


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _most_descriptors() -> int:
    """Return the number that no descriptor is to reach: the lowest that is free is always taken."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return int(limit * (1 - _RESERVED)) if limit != resource.RLIM_INFINITY else 1 << 30


@contextmanager
def _copy_of(descriptor: int) -> Iterator[socket.socket]:
    """Lend a copy of a connection that ZeroMQ may close at any time; its family is whatever it is."""
    try:
        copy = socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        with _itself(descriptor) as connection:  # there is no descriptor left for a copy
            yield connection
    else:
        with copy:
            yield copy


@contextmanager
def _itself(descriptor: int) -> Iterator[socket.socket]:
    """Lend a connection itself, to be asked something: ZeroMQ may close it meanwhile, which does the answer no harm."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
    try:
        yield connection
    finally:
        connection.detach()


def _names(connection: socket.socket) -> object:
    return connection.getsockname(), connection.getpeername()


def _ends_of(descriptor: int) -> object:
    """Return what a connection links; None when it is closed."""
    try:
        with _itself(descriptor) as connection:
            return _names(connection)
    except OSError:
        return None


def _bytes_received(descriptor: int) -> int:
    """Return how many bytes have come by a TCP connection; 0 for what is none."""
    try:
        with _itself(descriptor) as connection:
            found = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
    except (OSError, AttributeError):
        return 0
    return int(struct.unpack_from("=Q", found, _BYTES_RECEIVED)[0]) if len(found) >= _BYTES_RECEIVED + 8 else 0
