"""Values of events, and what comparisons of them mean: those of JSON as Tornado has it.

Numbers have types: 1 is not equal to 1.0, though neither is greater; what does not fit 64 bits is a float.  Texts are
ordered by their characters' numbers, lists by their first difference; maps have no order, not even with themselves.
A value that is not there (:data:`MISSING`) equals only another one.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from broker.rules.model.trees import Comparison

__all__ = ["COMPARISONS", "MISSING", "compare", "equal", "narrowed", "number_text"]


class _Missing:
    """The class of what is not there."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()
"""What an accessor gives when there is nothing: it equals only itself."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1


def narrowed(number: int) -> int | float:
    """An int as it is, if 64 bits hold it, or else the nearest double."""
    if INT_MIN <= number <= INT_MAX:
        return number
    return _double(number)


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def equal(first: Any, second: Any) -> bool:
    """The two are the same value, of the same type at every place."""
    kind = type(first)
    if kind is str:
        return type(second) is str and first == second
    if kind is list or kind is tuple:
        return (
            type(second) in (list, tuple)
            and len(first) == len(second)
            and all(equal(one, other) for one, other in zip(first, second, strict=True))
        )
    if kind is dict:
        return (
            type(second) is dict
            and len(first) == len(second)
            and all(key in second and equal(value, second[key]) for key, value in first.items())
        )
    if kind is int or type(second) is int:
        first = narrowed(first) if kind is int else first
        second = narrowed(second) if type(second) is int else second
    return type(first) is type(second) and bool(first == second)


def compare(first: Any, second: Any) -> int | None:
    """Less than 0, 0, greater than 0; or None, where there is no order."""
    kind, other = type(first), type(second)
    if kind in (int, float) and other in (int, float):
        one, two = _double(first), _double(second)
        return (one > two) - (one < two) if one == one and two == two else None  # noqa: PLR0124 - NaN has no order
    if kind in (list, tuple) and other in (list, tuple):
        for one, two in zip(first, second, strict=False):
            order = compare(one, two)
            if order != 0:
                return order
        return (len(first) > len(second)) - (len(first) < len(second))
    if kind is not other:
        return None
    if kind is str or kind is bool:
        return int(first > second) - int(first < second)
    return 0 if first is None else None


def _greater_or_equal(first: Any, second: Any) -> bool:
    order = compare(first, second)
    return order is not None and order >= 0


def _greater(first: Any, second: Any) -> bool:
    order = compare(first, second)
    return order is not None and order > 0


def _less_or_equal(first: Any, second: Any) -> bool:
    order = compare(first, second)
    return order is not None and order <= 0


def _less(first: Any, second: Any) -> bool:
    order = compare(first, second)
    return order is not None and order < 0


def _unequal(first: Any, second: Any) -> bool:
    return not equal(first, second)


def _equal_ignoring_case(first: Any, second: Any) -> bool:
    return type(first) is str and type(second) is str and first.lower() == second.lower()


def _contains(first: Any, second: Any) -> bool:
    """A text has a text in it, a list a value, a map a key."""
    kind = type(first)
    if kind is list or kind is tuple:
        return second is not MISSING and any(equal(item, second) for item in first)
    return (kind is str or kind is dict) and type(second) is str and second in first


def _contains_ignoring_case(first: Any, second: Any) -> bool:
    """The same for texts alone: within a text, a list's items, a map's keys."""
    if type(second) is not str:
        return False
    sought = second.lower()
    if type(first) is str:
        return sought in first.lower()
    if type(first) in (list, tuple, dict):
        return any(type(item) is str and item.lower() == sought for item in first)
    return False


COMPARISONS: Final[dict[Comparison, Any]] = {
    "contains": _contains,
    "containsIgnoreCase": _contains_ignoring_case,
    "equals": equal,
    "equalsIgnoreCase": _equal_ignoring_case,
    "ge": _greater_or_equal,
    "gt": _greater,
    "le": _less_or_equal,
    "lt": _less,
    "ne": _unequal,
}
"""By name: a function of two values, each of which may be MISSING."""


def number_text(number: float) -> str:
    """A number as it stands in a text: the shortest digits that say it, without exponents; 13.0 is 13."""
    if type(number) is int:
        number = narrowed(number)
    if type(number) is int:
        return str(number)
    if not math.isfinite(number):
        return "null"
    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")
