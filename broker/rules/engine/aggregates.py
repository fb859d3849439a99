"""Aggregates of windows that are kept up to date, event by event, instead of being computed anew.

Each gives just what :data:`broker.rules.operations.AGGREGATES` gives of the same items; sums are exact inside (a list
of floats that do not overlap, as ``math.fsum`` keeps) and are rounded once, so what has left leaves no trace.  Items
that are not plain finite numbers (None, NaN, infinities, what cannot be computed) make a window *irregular* as long as
they are in it: it is then computed anew.

In a rule's expressions an aggregate is replaced by a member of a variable of its own: a :class:`Figures`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs

from broker.rules.interpreter import EvaluationFailed
from broker.rules.model import Aggregate, Apply, Call, Expression, Make, Member, Name

__all__ = ["FIGURES", "Figures", "Kept", "WindowFigures", "replaced"]

FIGURES: Final = "figures of the window"
"""The variable's name: none that a program can have."""

_LARGEST: Final = 1e300  # sums of numbers up to here cannot overflow on the way


@attrs.frozen
class Kept:
    """An aggregate that is kept: which, of what."""

    function: str
    item: Expression
    parameter: float | None


class Figures:
    """The values of a window's aggregates, as members."""

    def __init__(self) -> None:
        self.f0: Any = None


class _Kind(Protocol):
    def add(self, item: Any) -> None:
        """An item that enters."""

    def remove(self, item: Any) -> None:
        """The oldest item leaves."""

    def value(self) -> Any:
        """The aggregate."""


class _Sum:
    def __init__(self) -> None:
        self.count = 0
        self._partials: list[float] = []

    def add(self, item: float) -> None:
        self.count += 1
        self._put(float(item))

    def remove(self, item: float) -> None:
        self.count -= 1
        self._put(-float(item))

    def _put(self, x: float) -> None:
        # Shewchuk's: the exact sum of floats is that of a few which do not overlap.
        kept = 0
        partials = self._partials
        for y in partials:
            big, small = (x, y) if abs(x) >= abs(y) else (y, x)
            high = big + small
            low = small - (high - big)
            if low:
                partials[kept] = low
                kept += 1
            x = high
        partials[kept:] = [x]

    def value(self) -> float:
        return math.fsum(self._partials)


class _Mean(_Sum):
    def value(self) -> float | None:  # type: ignore[override]
        return math.fsum(self._partials) / self.count if self.count else None


class _Extreme:
    """The items that can still become the smallest (or largest), the first one now."""

    def __init__(self, *, largest: bool) -> None:
        self._largest = largest
        self._items: deque[Any] = deque()

    def add(self, item: Any) -> None:
        items = self._items
        while items and (item > items[-1] if self._largest else item < items[-1]):
            items.pop()
        items.append(item)

    def remove(self, item: Any) -> None:
        if self._items and self._items[0] is item:
            self._items.popleft()

    def value(self) -> Any:
        return self._items[0] if self._items else None


class _Percentile:
    def __init__(self, parameter: float) -> None:
        self._parameter = parameter
        self._sorted: list[float] = []

    def add(self, item: float) -> None:
        insort(self._sorted, float(item))

    def remove(self, item: float) -> None:
        del self._sorted[bisect_left(self._sorted, float(item))]

    def value(self) -> float | None:
        numbers = self._sorted
        if not numbers:
            return None
        rank = (len(numbers) - 1) * self._parameter / 100
        below = math.floor(rank)
        low, high = numbers[below], numbers[min(below + 1, len(numbers) - 1)]
        share = rank - below
        return low if share == 0 or low == high else low * (1 - share) + high * share


def _kind(kept: Kept) -> _Kind:
    match kept.function:
        case "sum":
            return _Sum()
        case "mean":
            return _Mean()
        case "percentile":
            return _Percentile(kept.parameter or 0)
        case function:
            return _Extreme(largest=function == "max")


_KEPT: Final = frozenset({"sum", "mean", "min", "max", "percentile"})


class WindowFigures:
    """The kept aggregates of one window."""

    __slots__ = ("_functions", "_irregular", "_items", "_kinds", "figures")

    def __init__(self, kept: list[Kept], functions: list[Callable[[Any], Any]]) -> None:
        self._functions = functions
        self._kinds = [_kind(each) for each in kept]
        self._items: list[deque[Any]] = [deque() for _ in kept]
        self._irregular = 0
        self.figures = Figures()

    @property
    def regular(self) -> bool:
        """Whether the figures stand for the aggregates."""
        return not self._irregular

    def add(self, seen: Any) -> None:
        """An event enters."""
        for function, kind, items in zip(self._functions, self._kinds, self._items, strict=True):
            try:
                item = function(seen)
            except EvaluationFailed:
                item = None
            cls = item.__class__
            if (cls is not float and cls is not int) or not -_LARGEST <= item <= _LARGEST:
                self._irregular += 1
                items.append(None)
            else:
                items.append(item)
                kind.add(item)

    def remove(self, count: int) -> None:
        """The oldest events leave."""
        for kind, items in zip(self._kinds, self._items, strict=True):
            for _ in range(count):
                item = items.popleft()
                if item is None:
                    self._irregular -= 1
                else:
                    kind.remove(item)

    def update(self) -> Figures:
        """The figures as they are now."""
        figures = self.figures
        for place, kind in enumerate(self._kinds):
            setattr(figures, f"f{place}", kind.value())
        return figures


def replaced(expression: Expression, group: str, kept: list[Kept]) -> Expression:
    """The expression with members of the figures in the place of aggregates that are kept, which are added to ``kept``.

    Aggregates inside of functions that take the group stay as they are.
    """
    match expression:
        case Aggregate(function=function, group=of, item=item, parameter=parameter) if (
            of == group and function in _KEPT
        ):
            wanted = Kept(function, item, parameter)
            if wanted not in kept:
                kept.append(wanted)
            return Member(Name(FIGURES), f"f{kept.index(wanted)}")
        case Apply(operator=operator, operands=operands):
            return Apply(operator, tuple(replaced(operand, group, kept) for operand in operands))
        case Call(function=called, arguments=arguments):
            return Call(called, tuple(replaced(argument, group, kept) for argument in arguments))
        case Make(type=made, members=members):
            return Make(made, tuple((name, replaced(value, group, kept)) for name, value in members))
        case Member(of=of, name=name):
            return Member(replaced(of, group, kept), name)
        case _:
            return expression
