"""When something is due for the first of many, without a look at all of them.

Most deadlines only move away: every frame that comes postpones the silence of its wire.  So a heap keeps a time for
each thing that is never later than when it is due, and is corrected only where such a time comes to the top.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

Thing = TypeVar("Thing")


class Deadlines(Generic[Thing]):
    """What is watched; ``due`` says of each when something is to be done about it."""

    def __init__(self, due: Callable[[Thing], float]) -> None:
        self._due = due
        self._heap: list[tuple[float, int, Thing]] = []
        self._entries: dict[Thing, int] = {}  # the number of its entry in the heap; others of it are void
        self._made = 0

    def watch(self, thing: Thing) -> None:
        """Begin to watch it; to be said again when it has become due sooner than before."""
        self._made += 1
        self._entries[thing] = self._made
        heappush(self._heap, (self._due(thing), self._made, thing))

    def forget(self, thing: Thing) -> None:
        """Watch it no longer."""
        self._entries.pop(thing, None)

    def next(self) -> float:
        """Return when something is due first; infinity when nothing ever is."""
        heap, entries = self._heap, self._entries
        while heap:
            at, number, thing = heap[0]
            if entries.get(thing) != number:
                heappop(heap)
                continue
            due = self._due(thing)
            if due <= at:
                return at
            heapreplace(heap, (due, number, thing))
        return float("inf")

    def take(self, now: float) -> list[Thing]:
        """Return all that is due, the first first.  It is not watched any more."""
        taken = []
        while self.next() <= now:
            thing = heappop(self._heap)[2]
            del self._entries[thing]
            taken.append(thing)
        return taken
