"""Random expressions of every operator, well typed, and events with the values that are hard."""

from __future__ import annotations

import math
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from hypothesis import strategies as st

import broker
from broker.rules.event_types import event_type
from broker.rules.model import OPERATORS, Aggregate, Apply, Constant, Expression, Member, Meta, Name
from broker.values import Timestamp


@broker.event(name="tests.rules.Everything")
class Everything:
    """A member of each type, and one of each that may be None."""

    n: float
    m: float | None
    v: list[float]
    w: tuple[float, ...] | None
    yes: bool
    no: bool | None
    s: str
    t: str | None
    a: IPv4Address | IPv6Address
    b: IPv4Address | None
    at: Timestamp
    until: Timestamp | None
    d: timedelta
    e: timedelta | None
    x: Any


TYPE = event_type(Everything)

NUMBERS = [0, 1, -1, 2, 3, 0.5, -0.0, -2.5, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan]
NUMBERS += [2**53 + 1, -(2**63), 2**64 - 1, 10**400, -(10**309)]
VALUES: dict[str, list[Any]] = {
    "number": NUMBERS,
    "boolean": [True, False],
    "string": ["", "a", "b", "ab", "B", "ß", "a.b"],
    "address": [IPv4Address("10.0.0.1"), IPv4Address("192.168.0.1"), IPv6Address("::1"), IPv6Address("fe80::2")],
    "network": [IPv4Network("10.0.0.0/8"), IPv6Network("fe80::/10"), IPv4Network("0.0.0.0/0")],
    "timestamp": [
        Timestamp.from_ns(ns) for ns in (0, 1, 10**9, 10**18 + 7, 253402300799 * 10**9, -62135596800 * 10**9)
    ],
    "duration": [timedelta(0), timedelta(seconds=1), -timedelta(days=2), timedelta.max, timedelta.min],
    "strings": [(), ("a",), ("ab", "b", "ß")],
    "any": [b"", b"a", 1, True, "a", 0.0],
}

numbers = st.sampled_from(NUMBERS)
vectors = st.lists(numbers, max_size=3)


def values(kind: str) -> st.SearchStrategy[Any]:
    """Values of a type, as constants have them."""
    return vectors.map(tuple) if kind == "vector" else st.sampled_from(VALUES[kind])


def members(kind: str) -> list[str]:
    """The members of that type."""
    return [member.name for member in TYPE.members if member.type == kind]


def _event_values() -> dict[str, st.SearchStrategy[Any]]:
    made: dict[str, st.SearchStrategy[Any]] = {}
    for member in TYPE.members:
        some = vectors if member.name == "v" else values(member.type)
        # Also where None is not declared: nothing may break then either.
        made[member.name] = st.one_of(some, some, some, st.none())
    made["x"] = st.one_of(made["x"], st.sampled_from([[], [1, "a"], {"a": 1}, frozenset([1]), "ab", None]))
    return made


events = st.builds(Everything, **_event_values())


_BY_RESULT = {
    kind: [operator for operator in OPERATORS.values() if operator.result == kind and operator.name != "str.matches"]
    for kind in VALUES
} | {"vector": [operator for operator in OPERATORS.values() if operator.result == "vector"]}
_PLAIN = ["number", "string", "boolean", "any"]


_AGGREGATES: list[Any] = ["count", "sum", "mean", "min", "max", "percentile", "distinct", "slope"]


@st.composite
def aggregates(draw: st.DrawFn, kind: str, groups: list[str], depth: int) -> Expression:
    """Aggregates of a type, over one of these groups."""
    group = draw(st.sampled_from(groups))
    function = draw(st.sampled_from(["first", "last", *(_AGGREGATES if kind == "number" else [])]))
    of = draw(st.sampled_from(_PLAIN)) if function in ("count", "distinct") else kind
    item = Name(group) if function == "count" and depth == 0 else draw(expressions(of, [group], depth))
    return Aggregate(
        function, group, item, draw(st.sampled_from([0, 50, 99.9, 100])) if function == "percentile" else None
    )


@st.composite
def expressions(
    draw: st.DrawFn, kind: str, variables: list[str], depth: int = 3, groups: tuple[str, ...] = (), meta: bool = False
) -> Expression:
    """Well-typed expressions of a type, over these variables."""
    operators = _BY_RESULT[kind] if depth else []
    named = members(kind)
    choice = draw(st.integers(0, 7 if groups or meta else 5))
    if choice == 6 and groups and depth and kind not in ("strings", "network"):
        return draw(aggregates(kind, list(groups), depth - 1))
    if choice == 7 and meta and kind in ("string", "timestamp"):
        field: Any = draw(st.sampled_from(["topic", "origin"])) if kind == "string" else "time"
        return Meta(draw(st.sampled_from(variables)), field)
    if operators and choice > 1:
        operator = draw(st.sampled_from(operators))
        kinds = operator.operands
        if operator.variadic:
            kinds += kinds[-1:] * draw(st.integers(-1, 1))
        kinds = tuple(draw(st.sampled_from(_PLAIN)) if each == "any" else each for each in kinds)
        return Apply(
            operator.name, tuple(draw(expressions(each, variables, depth - 1, groups, meta)) for each in kinds)
        )
    if named and (choice or kind == "any"):
        return Member(Name(draw(st.sampled_from(variables))), draw(st.sampled_from(named)))
    # An empty tuple is both a vector and a list of texts.
    return Constant(draw(values(kind).filter(lambda value: kind != "vector" or value)))


def same(one: object, other: object) -> bool:
    """Whether two values are equal to the last bit: NaN is NaN, 0.0 is not -0.0, 1 is not 1.0 nor True."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)
