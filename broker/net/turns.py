"""Turns: how wires share the endpoint's time, so that one that floods it holds up no other.

ZeroMQ gives out frames of a socket's connections in turn, one each.  But frames differ: one may take a microsecond, one
forty milliseconds, and a peer is free to send nothing but the latter.  So the time is measured that each wire's frames
take.  Until a wire has had :data:`SLICE_S` its frames are acted on as they are received; from then on they wait in a
queue of its own, and such wires are served in turn, a slice each; who took more than its slice waits the longer
(deficit round robin, Shreedhar and Varghese 1996).  When a socket has nothing more to give, and nobody waits, all begin
anew.  So a wire that is the only one to be served has all the time there is.

A queue is no place to keep a flood: a link's window bounds what an honest peer has under way.  Who lets more than
:data:`WAITING_BYTES_MAX` wait is cut off.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from time import perf_counter
from typing import Final

import trio

from broker.net.interface import Sink
from broker.net.sockets import TURN_S

__all__ = ["SLICE_S", "WAITING_BYTES_MAX", "Turns"]

# A few events' batches of 64 KiB; short enough that a dozen busy wires are gone through in what a round trip may take.
SLICE_S: Final = 0.002
# Eight times a link's window: what is told to a new peer of a large mesh is outside the window, and takes less.
WAITING_BYTES_MAX: Final = 64 << 20
# What a frame takes in a queue beyond its bytes.
_FRAME_CHARGE: Final = 64


class Turns:
    """Hands frames over to the endpoint, and keeps those of wires that have had their time."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._spent: dict[int, float] = {}
        self._queues: OrderedDict[int, deque[bytes]] = OrderedDict()
        self._waiting: dict[int, int] = {}  # how many bytes are in each queue
        self._ends: dict[int, tuple[str, str]] = {}  # what is to be told when a queue has been gone through
        self._idle = trio.lowlevel.ParkingLot()

    def take(self, number: int, frame: bytes) -> None:
        """Hand a frame over, now or when it is its wire's turn."""
        queue = self._queues.get(number)
        if queue is None:
            spent = self._spent.get(number, 0.0)
            if spent < SLICE_S:
                before = perf_counter()
                self._sink.received(number, frame)
                self._spent[number] = spent + perf_counter() - before
                return
            queue = self._queues[number] = deque()
            self._waiting[number] = 0
            self._idle.unpark()
        queue.append(frame)
        waiting = self._waiting[number] = self._waiting[number] + len(frame) + _FRAME_CHARGE
        if waiting > WAITING_BYTES_MAX:
            self.drop(number)
            self._sink.flooded(number, f"it has sent {WAITING_BYTES_MAX >> 20} MiB more than could be acted on")

    def lost(self, number: int, code: str, reason: str) -> None:
        """Tell the end of a wire, behind the frames that came before it."""
        if number in self._queues:
            self._ends[number] = (code, reason)
        else:
            self._sink.lost(number, code, reason)

    def drop(self, number: int) -> None:
        """Forget a wire, and what waits of it."""
        self._queues.pop(number, None)
        self._waiting.pop(number, None)
        self._ends.pop(number, None)
        self._spent.pop(number, None)

    def rest(self) -> None:
        """Let all begin anew, if nobody waits: a socket had nothing more to give."""
        if not self._queues:
            self._spent.clear()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve the wires that wait."""
        while True:
            while not self._queues:
                await self._idle.park()
            self._serve()
            self._sink.round_done()
            await trio.lowlevel.checkpoint()

    def _serve(self) -> None:
        end = perf_counter() + TURN_S
        while self._queues:
            number = next(iter(self._queues))
            self._serve_one(number, self._queues[number])
            if perf_counter() >= end:
                return

    def _serve_one(self, number: int, queue: deque[bytes]) -> None:
        """Give a wire its slice, less what it took too much last time."""
        self._queues.move_to_end(number)
        spent = max(0.0, self._spent.get(number, 0.0) - SLICE_S)
        while queue and spent < SLICE_S:
            frame = queue.popleft()
            self._waiting[number] -= len(frame) + _FRAME_CHARGE
            before = perf_counter()
            self._sink.received(number, frame)
            spent += perf_counter() - before
        self._spent[number] = spent
        if queue or number not in self._queues:
            return
        del self._queues[number], self._waiting[number]
        if number in self._ends:
            self._sink.lost(number, *self._ends.pop(number))
