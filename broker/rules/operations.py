"""What every operator and aggregate means, once: plain functions that the interpreter calls and compiled rules call.

- ``None`` is a member that is not there: what is computed from it is None, a comparison with it is false, and as a
  boolean it counts as false.
- Numbers compare exactly, integers too; arithmetic is that of IEEE 754 doubles: no operator raises for a division by
  zero or an overflow, they give infinities and NaN.
- Vectors are lists or tuples of numbers: ``+`` and ``-`` take 0 for what the shorter one lacks, ``==`` asks for
  equal lengths, the orders for every component of the common prefix, ``^`` is component 0 to a power (NaN if empty).
- What a timestamp or duration cannot hold (a year beyond 9999, a product with NaN) is None.
- Aggregates leave out items that are None.

An operand of another type than the operator's is the caller's error: TypeError and AttributeError may come of it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, Final

from broker.values import Timestamp
from broker.values.timestamps import nanoseconds_of

__all__ = ["AGGREGATES", "OPERATIONS", "TEXT_MAX", "between_ns", "to_double"]

TEXT_MAX: Final = 2**20
"""Characters that joined texts may have, so that an expression cannot grow a text without bound; beyond it is None."""

Operation = Callable[..., Any]


def to_double(number: Any) -> float:
    """A number as a double: an integer that is too large for one is an infinity."""
    try:
        return 1.0 * number  # type: ignore[no-any-return]
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _compared(test: Callable[[Any, Any], Any], convert: Callable[[Any], Any] | None = None) -> Operation:
    if convert is None:
        return lambda a, b: a is not None and b is not None and bool(test(a, b))
    return lambda a, b: a is not None and b is not None and bool(test(convert(a), convert(b)))


def _computed(function: Operation, *failures: type[Exception]) -> Operation:
    """The function, with None for operands that are None and for failures of these types."""

    def computed(*operands: Any) -> Any:
        if None in operands:
            return None
        try:
            return function(*operands)
        except failures:
            return None

    return computed


# -- numbers ---------------------------------------------------------------------------------------------------------


def _doubles(function: Callable[..., float]) -> Operation:
    """The function of doubles, for numbers."""
    return lambda *operands: (
        None if any(operand is None for operand in operands) else function(*map(to_double, operands))
    )


def _div(a: float, b: float) -> float:
    if b:
        return a / b
    if a != a or a == 0:  # noqa: PLR0124 - NaN
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _pow(base: float, exponent: float) -> float:
    """C99's pow: math.pow raises where that gives infinities and NaN."""
    odd = exponent % 2 == 1 if math.isfinite(exponent) else False
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base:
            return math.nan  # a root of a negative number
        return math.copysign(math.inf, base) if odd else math.inf


def _extreme(better: Callable[[Any, Any], bool]) -> Operation:
    def extreme(*numbers: Any) -> Any:
        if any(number is None for number in numbers):
            return None
        best = numbers[0]
        for number in numbers[1:]:
            if number != number or better(number, best):  # noqa: PLR0124 - NaN is the answer wherever it is
                best = number
                if best != best:  # noqa: PLR0124
                    break
        return best

    return extreme


# -- vectors ---------------------------------------------------------------------------------------------------------


def _vector_eq(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(map(operator.eq, a, b))


def _common(test: Callable[[Any, Any], Any]) -> Operation:
    """``map`` ends with the shorter vector."""
    return _compared(lambda a, b: all(map(test, a, b)))


def _vector_pow(vector: Sequence[float], exponent: float) -> float:
    return _pow(to_double(vector[0]), to_double(exponent)) if vector else math.nan


def _contains(vector: Iterable[float], number: float) -> bool:
    return any(number == item for item in vector)


# -- texts, addresses, times -----------------------------------------------------------------------------------------


def _concat(a: str, b: str) -> str | None:
    return a + b if len(a) + len(b) <= TEXT_MAX else None


def _matches(text: Any, pattern: Any) -> bool:
    # Here, because the package of the regular expressions is an optional one.
    from broker.rules import regex

    return text is not None and pattern is not None and bool(regex.compile(pattern).search(text))


def _address_key(address: Any) -> tuple[int, int]:
    """IPv4 comes before IPv6."""
    return address.version, int(address)


def _between(a: datetime, b: datetime) -> timedelta:
    """Both cut to whole microseconds, which is what durations have."""
    return between_ns(nanoseconds_of(a), nanoseconds_of(b))


def between_ns(a_ns: int, b_ns: int) -> timedelta:
    """The duration between two times in nanoseconds, each cut to whole microseconds."""
    return timedelta(microseconds=a_ns // 1000 - b_ns // 1000)


def _later(moment: datetime, duration: timedelta) -> Timestamp:
    return Timestamp.from_ns(nanoseconds_of(moment)) + duration


def _shrunk(duration: timedelta, by: float) -> timedelta:
    return timedelta(0) if math.isinf(to_double(by)) else duration / to_double(by)


def _ratio(a: timedelta, b: timedelta) -> float:
    return a / b if b else _div(a.total_seconds(), 0.0)


_too_large = (OverflowError, ValueError)  # of a duration or timestamp; ValueError also for NaN

# -- anything --------------------------------------------------------------------------------------------------------


def _any_eq(a: Any, b: Any) -> bool:
    return (type(a) is bool) is (type(b) is bool) and bool(a == b)


def _any_contains(container: Any, item: Any) -> bool:
    if isinstance(container, str):
        return isinstance(item, str) and item in container
    if not isinstance(container, list | tuple | set | frozenset | dict):
        return False
    return any(_any_eq(each, item) for each in container)


def _true(operand: Any) -> bool:
    return operand is True


_ORDERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "lt": operator.lt,
    "gt": operator.gt,
    "le": operator.le,
    "ge": operator.ge,
}


def _table() -> dict[str, Operation]:
    table: dict[str, Operation] = {}
    for prefix in ("num", "str", "addr", "ts", "dur", "bool"):
        table[f"{prefix}.eq"], table[f"{prefix}.ne"] = _compared(operator.eq), _compared(operator.ne)
    for name, test in _ORDERS.items():
        table |= {f"{prefix}.{name}": _compared(test) for prefix in ("num", "str", "ts", "dur")}
        table[f"addr.{name}"] = _compared(test, _address_key)
        table[f"vec.{name}"] = _common(test)
    return table | {
        "vec.eq": _compared(_vector_eq),
        "vec.ne": _compared(lambda a, b: not _vector_eq(a, b)),
        "any.eq": _compared(_any_eq),
        "any.ne": _compared(lambda a, b: not _any_eq(a, b)),
        "num.add": _doubles(operator.add),
        "num.sub": _doubles(operator.sub),
        "num.mul": _doubles(operator.mul),
        "num.div": _doubles(_div),
        "num.pow": _doubles(_pow),
        "num.neg": _doubles(operator.neg),
        "num.abs": _doubles(abs),
        "num.min": _extreme(operator.lt),
        "num.max": _extreme(operator.gt),
        "num.in": lambda number, vector: number is not None and vector is not None and _contains(vector, number),
        "vec.of": lambda *numbers: None if None in numbers else tuple(map(to_double, numbers)),
        "vec.add": _computed(
            lambda a, b: tuple(to_double(x) + to_double(y) for x, y in zip_longest(a, b, fillvalue=0))
        ),
        "vec.sub": _computed(
            lambda a, b: tuple(to_double(x) - to_double(y) for x, y in zip_longest(a, b, fillvalue=0))
        ),
        "vec.neg": _computed(lambda vector: tuple(-to_double(x) for x in vector)),
        "vec.scale": _computed(lambda factor, vector: tuple(to_double(factor) * to_double(x) for x in vector)),
        "vec.pow": _computed(_vector_pow),
        "vec.len": _computed(len),
        "vec.contains": lambda vector, number: vector is not None and number is not None and _contains(vector, number),
        "bool.and": lambda *operands: all(map(_true, operands)),
        "bool.or": lambda *operands: any(map(_true, operands)),
        "bool.not": lambda operand: operand is not True,
        "str.concat": _computed(_concat),
        "str.contains": _compared(operator.contains),
        "str.in": lambda text, texts: text is not None and texts is not None and text in texts,
        "str.matches": _matches,
        "str.len": _computed(len),
        "str.lower": _computed(str.lower),
        "addr.in": lambda address, network: address is not None and network is not None and address in network,
        "ts.sub": _computed(_between),
        "ts.plus": _computed(_later, *_too_large),
        "ts.minus": _computed(lambda moment, duration: _later(moment, -duration), *_too_large),
        "dur.add": _computed(operator.add, *_too_large),
        "dur.sub": _computed(operator.sub, *_too_large),
        "dur.neg": _computed(operator.neg, *_too_large),
        "dur.abs": _computed(abs, *_too_large),
        "dur.scale": _computed(lambda factor, duration: duration * to_double(factor), *_too_large),
        "dur.shrink": _computed(_shrunk, *_too_large, ZeroDivisionError),
        "dur.ratio": _computed(_ratio),
        "any.contains": _compared(_any_contains),
    }


OPERATIONS: Final = _table()
"""By the name of the operator."""

# -- aggregates ------------------------------------------------------------------------------------------------------
# Each takes the items of a group, and what it is said to need beside them.


def _there(items: Iterable[Any]) -> list[Any]:
    return [item for item in items if item is not None]


def _sum(items: Iterable[Any]) -> float:
    """The correctly rounded sum, whatever the order; the plain one where there are infinities on the way."""
    numbers = [to_double(item) for item in items if item is not None]
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):
        total = 0.0
        for number in numbers:
            total += number
        return total


def _mean(items: Iterable[Any]) -> float | None:
    numbers = _there(items)
    return _sum(numbers) / len(numbers) if numbers else None


def _percentile(items: Iterable[Any], parameter: float) -> float | None:
    """Between the two closest ranks in proportion, as numpy and spreadsheets do; NaN if there is a NaN."""
    numbers = sorted(map(to_double, _there(items)))
    if not numbers:
        return None
    if any(number != number for number in numbers):  # noqa: PLR0124
        return math.nan
    rank = (len(numbers) - 1) * parameter / 100
    below = math.floor(rank)
    low, high = numbers[below], numbers[min(below + 1, len(numbers) - 1)]
    share = rank - below
    return low if share == 0 or low == high else low * (1 - share) + high * share


def _key(item: Any) -> Any:
    """Something that is equal and hashed alike for items that `==` takes for equal."""
    if isinstance(item, float) and item != item:  # noqa: PLR0124
        return "NaN", None
    if isinstance(item, bool):
        return bool, item
    if isinstance(item, list | tuple):
        return tuple, tuple(map(_key, item))
    if isinstance(item, set | frozenset):
        return frozenset, frozenset(map(_key, item))
    if isinstance(item, dict):
        return dict, frozenset((_key(key), _key(value)) for key, value in item.items())
    return item


def _slope(items: Iterable[Any], times_ns: Iterable[int]) -> float | None:
    """The least-squares trend, per second of event time; None without two different times."""
    points = [(time_ns, to_double(item)) for item, time_ns in zip(items, times_ns, strict=True) if item is not None]
    if len({time_ns for time_ns, _ in points}) < 2:
        return None
    first = points[0][0]
    times = [(time_ns - first) / 1e9 for time_ns, _ in points]
    middle = math.fsum(times) / len(times)
    mean = _sum(number for _, number in points) / len(points)
    if not math.isfinite(mean):
        return math.nan
    return _sum((time - middle) * (number - mean) for time, (_, number) in zip(times, points, strict=True)) / math.fsum(
        (time - middle) ** 2 for time in times
    )


def _one(items: Iterable[Any], place: int) -> Any:
    found = _there(items)
    return found[place] if found else None


AGGREGATES: Final[dict[str, Operation]] = {
    "count": lambda items: len(_there(items)),
    "sum": _sum,
    "mean": _mean,
    "min": lambda items: OPERATIONS["num.min"](*found) if (found := _there(items)) else None,
    "max": lambda items: OPERATIONS["num.max"](*found) if (found := _there(items)) else None,
    "percentile": _percentile,
    "distinct": lambda items: len({_key(item) for item in items if item is not None}),
    "first": lambda items: _one(items, 0),
    "last": lambda items: _one(items, -1),
    "slope": _slope,
}
"""By name; percentile takes its parameter besides, slope the events' times."""
