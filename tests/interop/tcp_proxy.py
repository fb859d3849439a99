"""A TCP proxy that misbehaves on demand, between a dialler and a listener of a test.

``up`` is the way from the dialler to the listener, ``down`` the way back.  Each connection has two lanes, and each lane
a task that takes bytes from one end and one that gives them to the other, with a bounded queue between them: so a delay
costs time and no bandwidth, and a stall holds what it has accepted and then, by TCP's own means, the sender.

What it does to connections:

=============  ======================================================================================================
delay_s        each chunk arrives so much later
bytes_per_s    both ways have this bandwidth, all connections together
stall, flow    hold the bytes of one way or both, of new connections too; let them go
cut            end every connection with RST (what is on its way is lost) or FIN
plan           do that by itself after exactly so many more bytes: in the middle of a frame, or of a handshake
half_open      forget the connections of now without a word, as a firewall does; new ones work
refuse, admit  close the port and open it again
=============  ======================================================================================================

``opened``, ``cuts`` and ``passed`` (bytes, each way) count, and :meth:`Proxy.until` waits for a count.
"""

from __future__ import annotations

import math
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

import trio

__all__ = ["How", "Proxy", "Way", "proxy_to", "random_cuts"]

Way = Literal["up", "down"]
How = Literal["rst", "fin"]

_BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
_CHUNK_BYTES: Final = 16384
# A lane holds at most 1 MiB: enough for a second of a stalled stream, little enough that its sender soon notices.
_CHUNKS_MAX: Final = 64
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Connection:
    """A dialler's connection and the one that the proxy opened for it."""

    def __init__(self, proxy: Proxy, dialler: trio.SocketStream, listener: trio.SocketStream) -> None:
        self._proxy = proxy
        self._dialler = dialler
        self._listener = listener
        self._lanes = trio.CancelScope()
        self._forgotten = trio.CancelScope()
        self._end: How | Literal["forgotten"] | None = None

    def end(self, how: How | Literal["forgotten"]) -> None:
        if self._end is None or (self._end == "forgotten" and how != "forgotten"):
            self._end = how
            self._forgotten.cancel()
        self._lanes.cancel()

    async def run(self) -> None:
        try:
            with self._lanes:
                async with trio.open_nursery() as nursery:
                    self._start_lane(nursery, "up", self._dialler, self._listener)
                    self._start_lane(nursery, "down", self._listener, self._dialler)
            if self._end == "forgotten":
                self._forgotten = trio.CancelScope()
                with self._forgotten:
                    await trio.sleep_forever()
            if self._end == "fin":
                await self._finish()
        finally:
            for stream in (self._dialler, self._listener):
                if self._end == "rst":
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                stream.socket.close()

    async def _finish(self) -> None:
        """End both sides with FIN: whoever closes with bytes unread sends RST instead."""
        with suppress(*_BROKEN):
            for stream in (self._dialler, self._listener):
                await stream.send_eof()
            for stream in (self._dialler, self._listener):
                while await stream.receive_some(_CHUNK_BYTES):
                    pass

    def _start_lane(self, nursery: trio.Nursery, way: Way, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        send, receive = trio.open_memory_channel[tuple[float, bytes]](_CHUNKS_MAX)
        nursery.start_soon(self._take, source, send)
        nursery.start_soon(self._give, way, receive, sink)

    async def _take(self, source: trio.SocketStream, lane: trio.MemorySendChannel[tuple[float, bytes]]) -> None:
        async with lane:
            try:
                while chunk := await source.receive_some(_CHUNK_BYTES):
                    await lane.send((trio.current_time() + self._proxy.delay_s, chunk))
            except _BROKEN:
                self.end("rst")

    async def _give(
        self, way: Way, lane: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream
    ) -> None:
        try:
            async for due, chunk in lane:
                await trio.sleep_until(due)
                await self._proxy.pass_on(way, chunk, sink)
            await sink.send_eof()
        except _BROKEN:
            self.end("rst")


class Proxy:
    """A port of this machine behind which there is another one."""

    def __init__(self, nursery: trio.Nursery, host: str, port: int) -> None:
        self.delay_s = 0.0
        self.bytes_per_s = math.inf
        self.opened = 0
        self.cuts = 0
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        self.port = 0
        self._nursery = nursery
        self._target = (host, port)
        self._connections: set[Connection] = set()
        self._stalled: set[Way] = set()
        self._free_at: dict[Way, float] = {"up": -math.inf, "down": -math.inf}
        self._plan: deque[tuple[int, How]] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self._listener: trio.SocketListener | None = None

    @property
    def address(self) -> str:
        """What is to be dialled instead of the listener."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections there are, forgotten ones included."""
        return len(self._connections)

    @property
    def planned(self) -> int:
        """How many planned cuts are still to come."""
        return len(self._plan)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the proxy counts."""
        while not condition():
            await self._changed.park()

    # -- faults ----------------------------------------------------------------------------------------------------

    def stall(self, *ways: Way) -> None:
        """Hold what goes these ways (none named: both), of new connections too, until :meth:`flow`."""
        self._stalled.update(ways or ("up", "down"))

    def flow(self) -> None:
        """End a stall: what was held goes on its way."""
        self._stalled.clear()
        self._changed.unpark_all()

    def cut(self, how: How) -> None:
        """End every connection."""
        self.cuts += bool(self._connections)
        for connection in self._connections:
            connection.end(how)

    def plan(self, cuts: Iterable[tuple[int, How]]) -> None:
        """Cut by itself: each after so many bytes, of both ways together, since the one before."""
        self._plan.extend(cuts)
        assert all(after > 0 for after, _ in self._plan)

    def half_open(self) -> None:
        """Pass nothing on any more over the connections there are, and let neither end know."""
        for connection in self._connections:
            connection.end("forgotten")

    def refuse(self) -> None:
        """Let nobody connect until :meth:`admit`."""
        assert self._listener is not None
        self._listener.socket.close()
        self._listener = None

    async def admit(self) -> None:
        """Listen, on the same port again if there was one."""
        (listener, *_) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        assert isinstance(listener, trio.SocketListener)
        self._listener = listener
        self.port = listener.socket.getsockname()[1]
        self._nursery.start_soon(self._accept, listener)

    # -- passing on ------------------------------------------------------------------------------------------------

    async def _accept(self, listener: trio.SocketListener) -> None:
        with suppress(trio.ClosedResourceError):
            while True:
                self._nursery.start_soon(self._connect, await listener.accept())

    async def _connect(self, dialler: trio.SocketStream) -> None:
        try:
            listener = await trio.open_tcp_stream(*self._target)
        except OSError:
            dialler.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            dialler.socket.close()
            return
        connection = Connection(self, dialler, listener)
        self._connections.add(connection)
        self.opened += 1
        self._changed.unpark_all()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._changed.unpark_all()

    async def pass_on(self, way: Way, chunk: bytes, sink: trio.SocketStream) -> None:
        """Give bytes to their receiver, as fast and as far as the faults of now allow."""
        while chunk:
            await self.until(lambda: way not in self._stalled)
            part = chunk[: self._claim(len(chunk))]
            if part:
                await self._wait_for_bandwidth(way, len(part))
                await sink.send_all(part)
                self.passed[way] += len(part)
                self._changed.unpark_all()
                chunk = chunk[len(part) :]
            if self._plan and self._plan[0][0] == 0:
                _, how = self._plan.popleft()
                self.cut(how)
                await trio.lowlevel.checkpoint()  # ends this lane

    def _claim(self, size: int) -> int:
        """Return how many of so many bytes may pass before the next planned cut, and count them towards it."""
        if not self._plan:
            return size
        left, how = self._plan[0]
        claimed = min(left, size)
        self._plan[0] = (left - claimed, how)
        return claimed

    async def _wait_for_bandwidth(self, way: Way, size: int) -> None:
        if self.bytes_per_s < math.inf:
            self._free_at[way] = max(self._free_at[way], trio.current_time()) + size / self.bytes_per_s
            await trio.sleep_until(self._free_at[way])


@asynccontextmanager
async def proxy_to(address: str) -> AsyncIterator[Proxy]:
    """A proxy in front of a ``tcp://host:port``; its connections are closed at the end."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    async with trio.open_nursery() as nursery:
        proxy = Proxy(nursery, host, int(port))
        await proxy.admit()
        try:
            yield proxy
        finally:
            nursery.cancel_scope.cancel()
            if proxy._listener is not None:
                proxy.refuse()


def random_cuts(seed: int, count: int, bytes_max: int) -> list[tuple[int, How]]:
    """A plan of cuts of both kinds, half of them soon after the one before, so that they strike handshakes too."""
    chance = random.Random(seed)
    return [
        (chance.randint(1, 1000 if number % 4 < 2 else bytes_max), "rst" if number % 2 else "fin")
        for number in range(count)
    ]
