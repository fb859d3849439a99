"""Attacks on an endpoint, each a function that goes on until it is told to stop: see :data:`ATTACKS`.

An attacker that is cut off comes back at once under another name.  What it does is counted: connections, and bytes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.rawpeer import GREETING, READY, RawPeer, part
from broker.logs import wire as logs
from broker.logs.wire import Collect, LogKind, Since
from broker.protocol import frames
from broker.protocol.frames import FRAME_BYTES_MAX, HEADER_BYTES, Interest, InterestUpdate, Kind, Known, Report, Sync
from broker.stores import wire as stores
from broker.stores.wire import Follow, StoreKind

__all__ = ["ATTACKS", "STORE", "Attacker"]

STORE: Final = "hosts"  # a store that the endpoint is master of
# What is sent at once: so many frames, or bytes.
_BURST: Final = 64
_BURST_BYTES: Final = 1 << 20


class Attacker:
    """One attack under way."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.stop = threading.Event()
        self.connections = 0
        self.sent_bytes = 0


Attack = Callable[[Attacker], None]


def _session(attack: Callable[[Attacker, RawPeer], None]) -> Attack:
    """Make an attack of what is done on one connection; it is done again whenever that ends."""

    def run(attacker: Attacker) -> None:
        while not attacker.stop.is_set():
            try:
                with RawPeer(attacker.address, f"hostile-{os.getpid()}-{attacker.connections}") as peer:
                    attacker.connections += 1
                    try:
                        attack(attacker, peer)
                    finally:
                        attacker.sent_bytes += peer.sent_bytes
            except OSError:
                time.sleep(0.001)

    return run


def _member(make: Callable[[RawPeer], Iterator[bytes]]) -> Attack:
    """Make an attack of a flood of frames by a member of the mesh; ``make`` gives parts to send, for ever."""

    def attack(attacker: Attacker, peer: RawPeer) -> None:
        parts = make(peer.greet().hello().join())
        while not attacker.stop.is_set():
            burst: list[bytes] = []
            while len(burst) < _BURST and sum(map(len, burst[-_BURST:])) < _BURST_BYTES:
                burst.append(next(parts))
            peer.send(b"".join(burst))

    return _session(attack)


# -- floods of frames ------------------------------------------------------------------------------------------------


def _spin(attacker: Attacker) -> None:
    """The control: nothing is sent, a core is used."""
    while not attacker.stop.is_set():
        sum(range(1000))


def _garbage(size: int) -> Attack:
    data = part(bytes(size)) * max(1, (1 << 16) // (size + 2))

    def attack(attacker: Attacker, peer: RawPeer) -> None:
        peer.greet()
        while not attacker.stop.is_set():
            peer.send(data)

    return _session(attack)


def _after_hello(attacker: Attacker, peer: RawPeer) -> None:
    """PINGs of somebody who has been let in, and tells nothing of itself."""
    data = peer.greet().hello().frame(Kind.PING, bytes(8)) * _BURST
    while not attacker.stop.is_set():
        peer.send(data)


def _pings(peer: RawPeer) -> Iterator[bytes]:
    while True:
        yield peer.frame(Kind.PING, bytes(8), flags=1)


def _large_pings(peer: RawPeer) -> Iterator[bytes]:
    data = peer.frame(Kind.PING, bytes(FRAME_BYTES_MAX - HEADER_BYTES))
    while True:
        yield data


def _syncs(peer: RawPeer) -> Iterator[bytes]:
    payload = frames.encode(Sync(True, ()))
    while True:
        yield peer.frame(Kind.SYNC, payload)


def _questions(peer: RawPeer) -> Iterator[bytes]:
    payload = frames.encode(Sync(False, (Known(peer.target, 0, 0),)))
    while True:
        yield peer.frame(Kind.SYNC, payload)


def _members(peer: RawPeer) -> Iterator[bytes]:
    for version in itertools.count(2):
        yield peer.frame(Kind.MEMBER, peer.member(version))


def _new_members(peer: RawPeer) -> Iterator[bytes]:
    for number in itertools.count(1):
        yield peer.frame(Kind.MEMBER, peer.member(1, os.urandom(16), f"nobody-{number}"))


def _reports(peer: RawPeer) -> Iterator[bytes]:
    for serial in itertools.count(1):
        yield peer.frame(Kind.REPORT, frames.encode(Report(serial, 0, 1 << 20, 0, 0)))


def _asks(peer: RawPeer) -> Iterator[bytes]:
    while True:
        yield peer.frame(Kind.ASK)


# -- interests -------------------------------------------------------------------------------------------------------


def _wanted(first: int, count: int) -> tuple[Interest, ...]:
    return tuple(Interest(f"flood/{number}/", None) for number in range(first, first + count))


def _interests(peer: RawPeer) -> Iterator[bytes]:
    """One interest comes and goes."""
    some = _wanted(0, 1)
    for version in itertools.count(1):
        added, removed = (some, ()) if version % 2 else ((), some)
        yield peer.frame(Kind.INTERESTS, peer.interests(version, version + 1, added, removed))


def _many_interests(peer: RawPeer) -> Iterator[bytes]:
    """A hundred thousand come, and go."""
    batches = [_wanted(first, 8192) for first in range(0, 100_000, 8192)]
    versions = itertools.count(1)
    while True:
        for batch in batches:
            yield peer.frame(Kind.INTERESTS, peer.interests(v := next(versions), v + 1, batch))
        for batch in batches:
            yield peer.frame(Kind.INTERESTS, peer.interests(v := next(versions), v + 1, (), batch))


def _too_many_interests(peer: RawPeer) -> Iterator[bytes]:
    """They come, and come, up to the limit and beyond."""
    for number in itertools.count():
        yield peer.frame(Kind.INTERESTS, peer.interests(number + 1, number + 2, _wanted(number * 8192, 8192)))


def _endless_interests(peer: RawPeer) -> Iterator[bytes]:
    """One change in parts, of which none is the last."""
    for number in itertools.count():
        yield peer.frame(Kind.INTERESTS, peer.interests(1, 2, _wanted(number, 1), final=False))


def _large_interests(peer: RawPeer) -> Iterator[bytes]:
    """Frames of 8 MiB, as many small interests in each as there is room for."""
    head = frames.encode(InterestUpdate(peer.id, 1, 2, True, (), ()))
    count = (FRAME_BYTES_MAX - HEADER_BYTES - 64) // 8
    each = b"".join(b"\x92\xa5" + b"%05x" % (number % (1 << 20)) + b"\xc0" for number in range(count))
    payload = head[:-2] + struct.pack(">BI", 0xDD, count) + each[: count * 8] + b"\x90"
    while True:
        yield peer.frame(Kind.INTERESTS, payload)


# -- messages of many parts ------------------------------------------------------------------------------------------


def _many_parts(attacker: Attacker, peer: RawPeer) -> None:
    peer.greet().hello().join()
    data = part(b"x", more=True) * 4999 + part(b"x")
    while not attacker.stop.is_set():
        peer.send(data)


def _endless_parts(size: int, *, before_hello: bool) -> Attack:
    data = part(bytes(size), more=True) * max(1, (1 << 18) // (size + 2))

    def attack(attacker: Attacker, peer: RawPeer) -> None:
        peer.greet()
        if not before_hello:
            peer.hello().join()
        while not attacker.stop.is_set():
            peer.send(data)

    return _session(attack)


# -- connections -----------------------------------------------------------------------------------------------------


def _hold(attacker: Attacker, begin: Callable[[socket.socket], None], most: int = 1 << 30) -> None:
    """Open as many connections as there may be, and again those that are closed."""
    host, _, port = attacker.address.removeprefix("tcp://").rpartition(":")
    held: list[socket.socket] = []
    most = min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
    while not attacker.stop.is_set():
        if len(held) >= most:
            held = [connection for connection in held if not _ended(connection)]
            if len(held) >= most:
                attacker.stop.wait(0.05)
                continue
        try:
            connection = socket.create_connection((host, int(port)), timeout=1.0)
            held.append(connection)
            begin(connection)
            connection.setblocking(False)
            attacker.connections += 1
        except OSError:
            attacker.stop.wait(0.001)
    for connection in held:
        connection.close()


def _ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    connection.close()
    return True


def _silent(attacker: Attacker) -> None:
    _hold(attacker, lambda _: None)


def _half_greeting(attacker: Attacker) -> None:
    _hold(attacker, lambda connection: connection.sendall(GREETING[:32]))


def _never_hello(attacker: Attacker) -> None:
    _hold(attacker, lambda connection: connection.sendall(GREETING + READY))


def _only_hello(attacker: Attacker) -> None:
    numbers = itertools.count(1)

    def begin(connection: socket.socket) -> None:
        hello = frames.encode_hello(frames.Hello(f"hostile-{os.getpid()}-{next(numbers)}", os.urandom(16), b"", 0))
        connection.sendall(GREETING + READY + part(frames.pack_header(Kind.HELLO, 0, 0, 0, 0) + hello))

    _hold(attacker, begin, 15_000)


def _churn(attacker: Attacker) -> None:
    host, _, port = attacker.address.removeprefix("tcp://").rpartition(":")
    while not attacker.stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0) as connection:
            attacker.connections += 1
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# -- slow readers ----------------------------------------------------------------------------------------------------


def _slow_reader(seconds: float) -> Attack:
    def attack(attacker: Attacker, peer: RawPeer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.greet().hello().join("")
        while not attacker.stop.wait(seconds):
            peer.send_blindly(peer.frame(Kind.PING, bytes(8)))
            peer.socket.recv(1)

    return _session(attack)


# -- stores and log streams ------------------------------------------------------------------------------------------


def _follows(store: str) -> Callable[[RawPeer], Iterator[bytes]]:
    def make(peer: RawPeer) -> Iterator[bytes]:
        for serial in itertools.count(1):
            yield peer.frame(StoreKind.FOLLOW, stores.encode(Follow(store, serial, None)))

    return make


def _commands(store: str) -> Callable[[RawPeer], Iterator[bytes]]:
    def make(peer: RawPeer) -> Iterator[bytes]:
        writer = os.urandom(16)
        for number in itertools.count(1):
            body: list[Any] = [store, writer, number, [[number, -1, 1000, [[0, b"\xa1k", b"\xa1v"]]]]]
            yield peer.frame(StoreKind.COMMANDS, stores.encode(body))

    return make


def _collects(peer: RawPeer) -> Iterator[bytes]:
    for serial in itertools.count(1):
        wanted = Collect("none", serial, "", peer.id, bytes(16), (), Since("earliest"), False, 1 << 20, None)
        yield peer.frame(LogKind.COLLECT, logs.encode(wanted))


ATTACKS: Final[dict[str, Attack]] = {
    "spin": _spin,
    "garbage": _garbage(24),
    "garbage-8MiB": _garbage(FRAME_BYTES_MAX),
    "after-hello": _session(_after_hello),
    "pings": _member(_pings),
    "pings-8MiB": _member(_large_pings),
    "syncs": _member(_syncs),
    "questions": _member(_questions),
    "members": _member(_members),
    "new-members": _member(_new_members),
    "reports": _member(_reports),
    "asks": _member(_asks),
    "interests": _member(_interests),
    "interests-100k": _member(_many_interests),
    "interests-1M": _member(_too_many_interests),
    "interests-parts": _member(_endless_interests),
    "interests-8MiB": _member(_large_interests),
    "parts-5000": _session(_many_parts),
    "parts-endless": _endless_parts(1024, before_hello=False),
    "parts-before-hello": _endless_parts(1 << 20, before_hello=True),
    "silent": _silent,
    "half-greeting": _half_greeting,
    "never-hello": _never_hello,
    "only-hello": _only_hello,
    "churn": _churn,
    "slow-reader": _slow_reader(1.0),
    "follows": _member(_follows(STORE)),
    "follows-nowhere": _member(_follows("nowhere")),
    "commands": _member(_commands(STORE)),
    "commands-nowhere": _member(_commands("nowhere")),
    "collects": _member(_collects),
}
