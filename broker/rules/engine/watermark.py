"""The watermark: how far event time has come.

Each origin is a **source**.  One that was heard in the last ``idle_ns`` of the engine's clock is *live*: it has come
as far as its latest time, less the allowed lateness.  One that is *silent* for longer goes on as the clock does from
there: how far it may have come is known up to ``idle_ns``, so an event that takes less than that to arrive is not
late, however seldom its source sends, and nobody waits for a silent source longer than that.  The watermark is the
smallest of what its sources have come to; it never goes back.

The sources' clocks need not agree with the engine's: only what has passed since a source was heard is taken from it.
It is the sum of the steps forward of what callers give as ``now_ns``: a clock that is set back stands still for a
while, and nothing else happens.  The watermark is a function of clock and sources alone, so it does not matter how
often somebody calls.

Sources that were silent for :data:`FORGOTTEN_NS`, and the longest silent ones of more than :data:`SOURCES_MAX`, are
forgotten.  When none is left, the watermark goes on as the clock does.

The smallest is found through two heaps, of latest times for live sources, and for silent ones of latest times less when
they were heard: among silent ones, that order stays while time passes.  Their keys may be older than the sources are:
only what is on top has to be looked at again.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush, heapreplace
from typing import Any, Final

__all__ = ["FORGOTTEN_NS", "SOURCES_MAX", "Watermark"]

FORGOTTEN_NS: Final = 3_600 * 1_000_000_000
"""An hour: whoever comes back after it is as new as one that was never heard."""

SOURCES_MAX: Final = 100_000
"""Each takes some 300 bytes; a mesh has about a thousand endpoints."""


class _Source:
    __slots__ = ("heard", "latest", "origin", "serial", "silent")

    def __init__(self, origin: str, latest: int, heard: int) -> None:
        self.origin = origin
        self.latest = latest  # event time
        self.heard = heard  # the engine's clock
        self.silent = False
        self.serial = 0  # of its one entry in a heap


class Watermark:
    """Event time, as told by the sources and by the engine's clock; times are in nanoseconds."""

    def __init__(self, lateness_ns: int, idle_ns: int, now_ns: int) -> None:
        self.at: int | None = None
        self.now_ns = now_ns  # the latest now_ns
        self.highest_ns = now_ns  # the highest
        self.clock = 0  # the sum of its steps forward
        self.idle_ns = idle_ns
        self._moved = 0  # when the watermark last moved, by the clock
        self._lateness_ns = lateness_ns
        # Both in the order in which they were heard; a dict that is popped in front would be slow to look into.
        self._live: OrderedDict[str, _Source] = OrderedDict()
        self._silent: OrderedDict[str, _Source] = OrderedDict()
        self._live_heap: list[tuple[int, int, _Source]] = []
        self._silent_heap: list[tuple[int, int, _Source]] = []
        self._serial = 0
        self._only: _Source | None = None  # the only source, if it was heard since time passed

    def knows(self, origin: str) -> bool:
        """Whether a source was heard, and is not forgotten."""
        return origin in self._live or origin in self._silent

    # --- time ----------------------------------------------------------------------------------------------------

    def pass_time(self, now_ns: int) -> None:
        """The engine's clock is there now."""
        self._only = None
        if now_ns > self.now_ns:
            self.clock += now_ns - self.now_ns
            if now_ns > self.highest_ns:
                self.highest_ns = now_ns
            self._silence()
            self._advance()
        self.now_ns = now_ns

    def hear(self, origin: str, time_ns: int) -> None:
        """A source tells of an event at that time, now."""
        source = self._only
        if source is not None and source.origin == origin:
            if time_ns > source.latest:
                source.latest = time_ns
                at = time_ns - self._lateness_ns
                if self.at is None or at > self.at:  # _move, in line
                    self.at, self._moved = at, self.clock
            return
        source = self._live.get(origin)
        if source is None:
            source = self._silent.pop(origin, None)
            if source is None:
                source = _Source(origin, time_ns, self.clock)
                self._bound()
            source.silent = False
            source.latest, source.heard = max(source.latest, time_ns), self.clock
            self._live[origin] = source
            self._push(self._live_heap, source.latest, source)
        else:
            if source.heard != self.clock:
                source.heard = self.clock
                self._live.move_to_end(origin)
            if time_ns > source.latest:
                source.latest = time_ns
        self._advance()
        self._only = source if len(self._live) == 1 and not self._silent else None

    def force(self, time_ns: int) -> None:
        """The watermark moves to a time, whatever the sources say."""
        self._move(time_ns)

    def reaches(self, time_ns: int, now_ns: int) -> int:
        """The ``now_ns`` at which it is worth asking again whether the watermark has reached a time.

        It is when the source that is slowest now will have come so far, if it stays silent.
        """
        passed = max(0, now_ns - self.now_ns)
        slowest = self._slowest()
        if slowest is not None:
            rest = slowest.heard + self.idle_ns + (time_ns + self._lateness_ns - slowest.latest) - self.clock - passed
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
            "sources": [
                [source.origin, source.latest, source.heard]
                for source in (*self._silent.values(), *self._live.values())
            ],
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take what :meth:`state` gave."""
        self.at, self.now_ns, self.highest_ns = data["at"], data["now"], data["highest"]
        self.clock, self._moved = data["clock"], data["moved"]
        sources = (_Source(origin, latest, heard) for origin, latest, heard in data["sources"])
        self._live = OrderedDict((source.origin, source) for source in sources)
        self._silent, self._live_heap, self._silent_heap, self._only = OrderedDict(), [], [], None
        for source in self._live.values():
            self._push(self._live_heap, source.latest, source)
        self._silence()

    # --- within --------------------------------------------------------------------------------------------------

    def _silence(self) -> None:
        """Time has passed: some sources are silent by now, and some for so long that they are forgotten."""
        while self._live:
            source = next(iter(self._live.values()))
            if source.heard + self.idle_ns > self.clock:
                break
            source.silent = True
            self._silent[source.origin] = self._live.pop(source.origin)
            self._push(self._silent_heap, source.latest - source.heard, source)
        while self._silent:
            source = next(iter(self._silent.values()))
            if source.heard + max(self.idle_ns, FORGOTTEN_NS) > self.clock:
                break
            self._silent.popitem(last=False)

    def _bound(self) -> None:
        if len(self._live) + len(self._silent) >= SOURCES_MAX:
            (self._silent or self._live).popitem(last=False)

    def _advance(self) -> None:
        slowest = self._slowest()
        if slowest is not None:
            self._move(self._come(slowest))
        elif self.at is not None:
            self._move(self.at + self.clock - self._moved)

    def _move(self, to_ns: int) -> None:
        if self.at is None or to_ns > self.at:
            self.at = to_ns
            self._moved = self.clock

    def _come(self, source: _Source) -> int:
        """How far a source has come."""
        silent_ns = self.clock - source.heard - self.idle_ns if source.silent else 0
        return source.latest - self._lateness_ns + silent_ns

    def _slowest(self) -> _Source | None:
        live, silent = self._slowest_live(), self._slowest_silent()
        if live is None or silent is None:
            return live or silent
        return live if self._come(live) <= self._come(silent) else silent

    def _slowest_live(self) -> _Source | None:
        heap = self._live_heap
        while heap:
            latest, serial, source = heap[0]
            if source.serial != serial or self._live.get(source.origin) is not source:
                heappop(heap)
            elif source.latest != latest:
                heapreplace(heap, (source.latest, serial, source))
            else:
                return source
        return None

    def _slowest_silent(self) -> _Source | None:
        heap = self._silent_heap
        while heap:
            _, serial, source = heap[0]
            if source.serial == serial and self._silent.get(source.origin) is source:
                return source
            heappop(heap)
        return None

    def _push(self, heap: list[tuple[int, int, _Source]], key: int, source: _Source) -> None:
        self._serial = source.serial = self._serial + 1
        heappush(heap, (key, self._serial, source))
