"""Sets of numbers, kept as ranges: what of a stream is done, in somebody's hands, or given out a second time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Range", "Ranges"]

Range = tuple[int, int]
"""The first and the last number, both inclusive."""


class Ranges:
    """A set of numbers; operations take the time of the ranges they touch, not of the numbers."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __len__(self) -> int:
        """Return how many ranges there are."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[Range]:
        return zip(self._firsts, self._lasts, strict=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"

    @property
    def first(self) -> int:
        """The least number; IndexError when there is none."""
        return self._firsts[0]

    @property
    def last(self) -> int:
        """The greatest number; IndexError when there is none."""
        return self._lasts[-1]

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._firsts, number) - 1
        return index >= 0 and number <= self._lasts[index]

    def add(self, first: int, last: int) -> None:
        """Add the numbers from ``first`` to ``last``; none when ``last`` is less."""
        if last < first:
            return
        firsts, lasts = self._firsts, self._lasts
        if lasts and first == lasts[-1] + 1:  # nearly always
            lasts[-1] = last
            return
        start = bisect_right(lasts, first - 2)  # the first range that touches it
        end = bisect_right(firsts, last + 1)
        if start < end:
            first, last = min(first, firsts[start]), max(last, lasts[end - 1])
        firsts[start:end], lasts[start:end] = [first], [last]

    def remove(self, first: int, last: int) -> None:
        """Take away the numbers from ``first`` to ``last``."""
        firsts, lasts = self._firsts, self._lasts
        if firsts and first <= firsts[0] <= last < lasts[0]:  # from the front, as records are acknowledged
            firsts[0] = last + 1
            return
        start = bisect_right(lasts, first - 1)
        end = bisect_right(firsts, last)
        if last < first or start >= end:
            return
        kept = [(firsts[start], first - 1), (last + 1, lasts[end - 1])]
        kept = [one for one in kept if one[0] <= one[1]]
        firsts[start:end], lasts[start:end] = [one[0] for one in kept], [one[1] for one in kept]

    def within(self, first: int, last: int) -> list[Range]:
        """Return what there is of the numbers from ``first`` to ``last``."""
        firsts, lasts = self._firsts, self._lasts
        start, end = bisect_right(lasts, first - 1), bisect_right(firsts, last)
        return [(max(first, firsts[i]), min(last, lasts[i])) for i in range(start, end)] if first <= last else []

    def gap(self, number: int) -> tuple[int, int | None]:
        """Return the first numbers from ``number`` on that are not there: first and last, None: without an end."""
        firsts, lasts = self._firsts, self._lasts
        index = bisect_right(firsts, number) - 1
        if index >= 0 and number <= lasts[index]:
            number = lasts[index] + 1
        following = index + 1
        return number, firsts[following] - 1 if following < len(firsts) else None

    def gaps(self, first: int, last: int) -> list[Range]:
        """Return which of the numbers from ``first`` to ``last`` are not there."""
        found: list[Range] = []
        while first <= last:
            start, end = self.gap(first)
            if start > last:
                break
            end = last if end is None else min(last, end)
            found.append((start, end))
            first = end + 1
        return found

    def copy(self) -> Ranges:
        """Return a copy."""
        made = Ranges()
        made._firsts, made._lasts = self._firsts[:], self._lasts[:]
        return made
