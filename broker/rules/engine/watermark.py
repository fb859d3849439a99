"""The watermark: how far event time has come.

Each origin is a source.  The watermark is the smallest of the latest times of the live sources, less the allowed
lateness; it never goes back.  A source that was silent for ``idle_ns`` of the engine's clock is forgotten.  When none
is left, the watermark advances as the clock does.

The engine's clock is the sum of the steps forward of what callers give as ``now_ns``: a clock that is set back stands
still for a while, and nothing else happens.  Sources are forgotten at the very instant at which they have been silent
for so long, whenever a call tells that it has passed, so it does not matter how often somebody calls.

The smallest time is found through a heap of sources whose keys may be older than the sources' times: times only grow,
so only the one on top has to be looked at again.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import Any

__all__ = ["Watermark"]


class _Source:
    __slots__ = ("gone", "heard", "latest", "origin")

    def __init__(self, origin: str, latest: int, heard: int) -> None:
        self.origin = origin
        self.latest = latest  # event time
        self.heard = heard  # the engine's clock
        self.gone = False


class Watermark:
    """Event time, as told by the sources and by the engine's clock; times are in nanoseconds."""

    def __init__(self, lateness_ns: int, idle_ns: int, now_ns: int) -> None:
        self.at: int | None = None
        self.now_ns = now_ns  # the latest now_ns
        self.highest_ns = now_ns  # the highest
        self.clock = 0  # the sum of its steps forward
        self._moved = 0  # when the watermark last moved, by the clock
        self._lateness_ns = lateness_ns
        self._idle_ns = idle_ns
        self._sources: dict[str, _Source] = {}
        self._heap: list[tuple[int, int, _Source]] = []
        self._serial = 0
        self._only: _Source | None = None  # the only source, if it was heard since time passed

    # --- time ----------------------------------------------------------------------------------------------------

    def pass_time(self, now_ns: int) -> None:
        """The engine's clock is there now."""
        self._only = None
        if now_ns > self.now_ns:
            self.clock += now_ns - self.now_ns
            if now_ns > self.highest_ns:
                self.highest_ns = now_ns
        self.now_ns = now_ns
        gone_at = None  # when the last of the sources that are gone now was silent for long enough
        while (source := self._slowest()) is not None:
            silent_at = source.heard + self._idle_ns
            if gone_at is not None and silent_at > gone_at:
                self._move(source.latest - self._lateness_ns, gone_at)
            if silent_at > self.clock:
                return
            heappop(self._heap)
            self._forget(source)
            gone_at = silent_at if gone_at is None else max(gone_at, silent_at)
        if self.at is not None:
            self._move(self.at + self.clock - self._moved, self.clock)

    def hear(self, origin: str, time_ns: int) -> None:
        """A source tells of an event at that time, now."""
        source = self._only
        if source is not None and source.origin == origin:
            if time_ns > source.latest:
                source.latest = time_ns
                at = time_ns - self._lateness_ns
                if self.at is None or at > self.at:  # _move, in line
                    self.at = at
                    self._moved = self.clock
            return
        source = self._sources.get(origin)
        if source is not None and source.heard + self._idle_ns <= self.clock:
            self._forget(source)
            source = None
        if source is None:
            source = self._sources[origin] = _Source(origin, time_ns, self.clock)
            self._push(source)
        else:
            source.heard = self.clock
            if time_ns > source.latest:
                source.latest = time_ns
        while (slowest := self._slowest()) is not None and slowest.heard + self._idle_ns <= self.clock:
            self._forget(slowest)
        if slowest is not None:
            self._move(slowest.latest - self._lateness_ns, self.clock)
        self._only = slowest if len(self._sources) == 1 else None

    def force(self, time_ns: int) -> None:
        """The watermark moves to a time, whatever the sources say."""
        self._move(time_ns, self.clock)

    def reaches(self, time_ns: int, now_ns: int) -> int:
        """The ``now_ns`` at which it is worth asking again whether the watermark has reached a time.

        If sources are live it is when the slowest of them would be forgotten.
        """
        passed = max(0, now_ns - self.now_ns)
        slowest = self._slowest()
        if slowest is not None:
            rest = slowest.heard + self._idle_ns - self.clock - passed
        else:
            rest = 0 if self.at is None else time_ns - self.at - (self.clock - self._moved) - passed
        return now_ns + max(0, rest)

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "at": self.at,
            "now": self.now_ns,
            "highest": self.highest_ns,
            "clock": self.clock,
            "moved": self._moved,
            "sources": [[source.origin, source.latest, source.heard] for source in self._sources.values()],
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take what :meth:`state` gave."""
        self.at, self.now_ns, self.highest_ns = data["at"], data["now"], data["highest"]
        self.clock, self._moved = data["clock"], data["moved"]
        self._sources = {origin: _Source(origin, latest, heard) for origin, latest, heard in data["sources"]}
        self._heap = []
        self._only = None
        for source in self._sources.values():
            self._push(source)

    # --- within --------------------------------------------------------------------------------------------------

    def _move(self, to_ns: int, clock: int) -> None:
        if self.at is None or to_ns > self.at:
            self.at = to_ns
            self._moved = clock

    def _push(self, source: _Source) -> None:
        self._serial += 1
        heappush(self._heap, (source.latest, self._serial, source))

    def _forget(self, source: _Source) -> None:
        source.gone = True
        self._sources.pop(source.origin, None)

    def _slowest(self) -> _Source | None:
        heap = self._heap
        while heap:
            latest, serial, source = heap[0]
            if source.gone:
                heappop(heap)
            elif source.latest != latest:
                heapreplace(heap, (source.latest, serial, source))
            else:
                return source
        return None
