"""What each operator and each aggregate means, on values that were computed by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

import pytest
from rule_expressions import same

import broker
from broker.rules.compiling import EventClasses, Variable, compile_expression
from broker.rules.model import (
    OPERATORS,
    Aggregate,
    Apply,
    Constant,
    EventType,
    Expression,
    Member,
    MemberType,
    Name,
    Program,
)
from broker.rules.operations import AGGREGATES, OPERATIONS
from broker.values import Timestamp

INF, NAN = math.inf, math.nan
HUGE = 10**400
V4, V4_LATER, V6 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv6Address("::1")
AT = Timestamp.from_ns(1_000_000_000_000_000_123)
LAST = Timestamp.from_ns(253402300799 * 10**9)
SECOND = timedelta(seconds=1)

GOLDEN: dict[str, list[tuple[Any, ...]]] = {
    # Numbers: integers are compared exactly, and computed with as doubles.
    "num.eq": [
        (1, 1.0, True),
        (2**53 + 1, float(2**53), False),
        (NAN, NAN, False),
        (0.0, -0.0, True),
        (None, 1, False),
    ],
    "num.ne": [(1, 2, True), (NAN, NAN, True), (2**53 + 1, float(2**53), True), (None, 1, False), (None, None, False)],
    "num.lt": [(1, 2, True), (2, 1, False), (1, NAN, False), (HUGE, INF, True), (None, 1, False)],
    "num.gt": [(2, 1, True), (1, 1, False), (NAN, 1, False), (1, None, False)],
    "num.le": [(1, 1, True), (2, 1, False), (None, None, False)],
    "num.ge": [(1, 1, True), (1, 2, False), (None, None, False)],
    "num.add": [
        (1, 2, 3.0),
        (2**53, 1, 2.0**53),
        (1e308, 1e308, INF),
        (INF, -INF, NAN),
        (HUGE, 1, INF),
        (None, 1, None),
    ],
    "num.sub": [(1, 2, -1.0), (INF, INF, NAN), (-HUGE, 1, -INF), (1, None, None)],
    "num.mul": [(2, 3, 6.0), (1e308, 10, INF), (0, INF, NAN), (-0.0, 1, -0.0), (None, None, None)],
    "num.div": [
        (1, 2, 0.5),
        (1, 0, INF),
        (-1, 0, -INF),
        (1, -0.0, -INF),
        (0, 0, NAN),
        (NAN, 0, NAN),
        (INF, INF, NAN),
        (1, HUGE, 0.0),
        (2**53 + 1, 3, 3002399751580330.5),
        (1, None, None),
        (None, 0, None),
    ],
    "num.pow": [
        (2, 10, 1024.0),
        (4, 0.5, 2.0),
        (0, 0, 1.0),
        (0, -1, INF),
        (-0.0, -1, -INF),
        (-0.0, -2, INF),
        (-8, 1 / 3, NAN),
        (-2, 3, -8.0),
        (10, 1000, INF),
        (-10, 1001, -INF),
        (-10, 1000, INF),
        (9**99, 9**99, INF),
        (1, NAN, 1.0),
        (None, 2, None),
    ],
    "num.neg": [(1, -1.0), (0, -0.0), (INF, -INF), (HUGE, -INF), (None, None)],
    "num.abs": [(-1, 1.0), (-0.0, 0.0), (-INF, INF), (-HUGE, INF), (None, None)],
    "num.min": [(2, 1, 1), (1, 2.0, 0.5, 0.5), (1, NAN, NAN), (NAN, 1, NAN), (3, 3), (1, None, None)],
    "num.max": [(2, 1, 2), (1, 2.0, 0.5, 2.0), (1, NAN, 5, NAN), (3, 3), (None, 1, None)],
    "num.in": [
        (1, (1.0, 2.0), True),
        (3, (1.0, 2.0), False),
        (NAN, (NAN,), False),
        (1, (), False),
        (None, (1.0,), False),
    ],
    # Vectors: the shorter one is filled up with 0; == asks for equal lengths, the orders for the common prefix.
    "vec.of": [((),), (1, (1.0,)), (1, 2.5, (1.0, 2.5)), (1, HUGE, (1.0, INF)), (None, 1, None)],
    "vec.eq": [((1,), (1.0,), True), ((1,), (1, 0), False), ((), (), True), ((NAN,), (NAN,), False), (None, (), False)],
    "vec.ne": [((1,), (1.0,), False), ((1,), (1, 0), True), ((NAN,), (NAN,), True), (None, (1,), False)],
    "vec.lt": [
        ((1, 2), (2, 3), True),
        ((1, 3), (2, 3), False),
        ((1,), (2, 0), True),
        ((), (1,), True),
        (None, (), False),
    ],
    "vec.gt": [
        ((2, 3), (1, 2), True),
        ((2, 0), (1, 1), False),
        ((2,), (1, 5), True),
        ((1,), (), True),
        ((), None, False),
    ],
    "vec.le": [((1, 2), (1, 3), True), ((1, 4), (1, 3), False), ((), (), True)],
    "vec.ge": [((1, 3), (1, 2), True), ((1, 1), (1, 2), False), ((), (), True)],
    "vec.add": [
        ((1, 2), (3,), (4.0, 2.0)),
        ((), (1,), (1.0,)),
        ((), (), ()),
        ((1e308,), (1e308,), (INF,)),
        (None, (1,), None),
    ],
    "vec.sub": [((1, 2), (3,), (-2.0, 2.0)), ((), (1,), (-1.0,)), ((HUGE,), (1,), (INF,)), ((1,), None, None)],
    "vec.neg": [((1, -2), (-1.0, 2.0)), ((), ()), (None, None)],
    "vec.scale": [(2, (1, 2), (2.0, 4.0)), (0, (INF,), (NAN,)), (2, (), ()), (None, (1,), None)],
    "vec.pow": [((2, 5), -1, 0.5), ((), 2, NAN), ((0,), -1, INF), ((-8,), 0.5, NAN), (None, 1, None)],
    "vec.len": [((1, 2), 2), ((), 0), (None, None)],
    "vec.contains": [
        ((1, 2), 2.0, True),
        ((1, 2), 3, False),
        ((NAN,), NAN, False),
        (None, 1, False),
        ((1,), None, False),
    ],
    # Booleans: None is not true.
    "bool.and": [(True, True, True), (True, False, False), (True, None, False), (True, True), (True, True, True, True)],
    "bool.or": [(False, True, True), (False, False, False), (None, False, False), (None, True, True), (False, False)],
    "bool.not": [(True, False), (False, True), (None, True)],
    "bool.eq": [(True, True, True), (True, False, False), (None, None, False)],
    "bool.ne": [(True, False, True), (True, True, False), (None, True, False)],
    # Texts.
    "str.eq": [("a", "a", True), ("a", "A", False), (None, None, False)],
    "str.ne": [("a", "A", True), ("a", "a", False), (None, "a", False)],
    "str.lt": [("a", "b", True), ("B", "a", True), ("ab", "a", False), (None, "a", False)],
    "str.gt": [("b", "a", True), ("a", "a", False)],
    "str.le": [("a", "a", True), ("b", "a", False)],
    "str.ge": [("a", "a", True), ("a", "b", False)],
    "str.concat": [("a", "b", "ab"), ("", "", ""), ("a", None, None), ("a" * 2**19, "b" * (2**19 + 1), None)],
    "str.contains": [
        ("abc", "bc", True),
        ("abc", "", True),
        ("abc", "d", False),
        (None, "a", False),
        ("a", None, False),
    ],
    "str.in": [("a", ("a", "b"), True), ("c", ("a", "b"), False), ("a", (), False), (None, ("a",), False)],
    "str.matches": [("web-01", r"^web-\d+$", True), ("db", "^web", False), (None, "a", False)],
    "str.len": [("", 0), ("äöü", 3), (None, None)],
    "str.lower": [("ÄB", "äb"), (None, None)],
    # Addresses: IPv4 before IPv6.
    "addr.eq": [(V4, V4, True), (V4, V6, False), (None, None, False)],
    "addr.ne": [(V4, V6, True), (V4, V4, False), (V4, None, False)],
    "addr.lt": [(V4, V4_LATER, True), (V4, V6, True), (V6, V4, False), (None, V4, False)],
    "addr.gt": [(V4_LATER, V4, True), (V6, V4, True), (V4, V4, False)],
    "addr.le": [(V4, V4, True), (V6, V4, False)],
    "addr.ge": [(V4, V4, True), (V4, V6, False)],
    "addr.in": [
        (V4, IPv4Network("10.0.0.0/8"), True),
        (V6, IPv4Network("0.0.0.0/0"), False),
        (None, IPv4Network("0.0.0.0/0"), False),
    ],
    # Times keep their nanoseconds where they are compared; durations have microseconds.
    "ts.eq": [(AT, AT, True), (AT, Timestamp.from_ns(AT.nanoseconds + 1), False), (None, None, False)],
    "ts.ne": [(AT, Timestamp.from_ns(AT.nanoseconds + 1), True), (AT, AT, False), (None, AT, False)],
    "ts.lt": [(AT, Timestamp.from_ns(AT.nanoseconds + 1), True), (AT, AT, False), (None, AT, False)],
    "ts.gt": [(LAST, AT, True), (AT, AT, False)],
    "ts.le": [(AT, AT, True), (LAST, AT, False)],
    "ts.ge": [(AT, AT, True), (AT, LAST, False)],
    "ts.sub": [(Timestamp.from_ns(AT.nanoseconds + 10**9), AT, SECOND), (AT, AT, timedelta(0)), (None, AT, None)],
    "ts.plus": [
        (AT, SECOND, Timestamp.from_ns(AT.nanoseconds + 10**9)),
        (LAST, timedelta(days=1), None),
        (AT, None, None),
    ],
    "ts.minus": [
        (AT, SECOND, Timestamp.from_ns(AT.nanoseconds - 10**9)),
        (AT, timedelta.max, None),
        (AT, timedelta.min, None),
    ],
    "dur.eq": [(SECOND, timedelta(milliseconds=1000), True), (SECOND, -SECOND, False), (None, None, False)],
    "dur.ne": [(SECOND, -SECOND, True), (SECOND, SECOND, False), (None, SECOND, False)],
    "dur.lt": [(-SECOND, SECOND, True), (SECOND, SECOND, False), (None, SECOND, False)],
    "dur.gt": [(SECOND, -SECOND, True), (SECOND, SECOND, False)],
    "dur.le": [(SECOND, SECOND, True), (SECOND, -SECOND, False)],
    "dur.ge": [(SECOND, SECOND, True), (-SECOND, SECOND, False)],
    "dur.add": [(SECOND, SECOND, 2 * SECOND), (timedelta.max, SECOND, None), (None, SECOND, None)],
    "dur.sub": [(SECOND, SECOND, timedelta(0)), (timedelta.min, SECOND, None)],
    "dur.neg": [(SECOND, -SECOND), (timedelta.min, timedelta(999999999)), (timedelta.max, None), (None, None)],
    "dur.abs": [(-SECOND, SECOND), (None, None)],
    "dur.scale": [
        (2, SECOND, 2 * SECOND),
        (0.5, SECOND, SECOND / 2),
        (NAN, SECOND, None),
        (INF, SECOND, None),
        (None, SECOND, None),
    ],
    "dur.shrink": [
        (SECOND, 2, SECOND / 2),
        (SECOND, 0, None),
        (SECOND, NAN, None),
        (SECOND, INF, timedelta(0)),
        (None, 1, None),
    ],
    "dur.ratio": [
        (SECOND, 2 * SECOND, 0.5),
        (SECOND, timedelta(0), INF),
        (-SECOND, timedelta(0), -INF),
        (timedelta(0), timedelta(0), NAN),
    ],
    # Anything: equality and containers.  True is not 1.
    "any.eq": [(b"a", b"a", True), (1, 1.0, True), (1, True, False), ("a", b"a", False), (None, None, False)],
    "any.ne": [(b"a", b"b", True), (1, True, True), (1, 1.0, False), (None, 1, False)],
    "any.contains": [
        ([1, "a"], "a", True),
        ([1], True, False),
        ({"a": 1}, "a", True),
        ("abc", "b", True),
        ("abc", 1, False),
        (5, 5, False),
        (None, 1, False),
    ],
}
CASES = [(name, case[:-1], case[-1]) for name, cases in GOLDEN.items() for case in cases]


def test_every_operator_has_its_values() -> None:
    assert GOLDEN.keys() == OPERATORS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize(("name", "operands", "result"), CASES)
def test_an_operator_means(name: str, operands: tuple[Any, ...], result: Any) -> None:
    assert same(OPERATIONS[name](*operands), result)


@pytest.mark.parametrize(("name", "operands", "result"), CASES)
def test_a_compiled_operator_means_the_same(name: str, operands: tuple[Any, ...], result: Any) -> None:
    members: list[Expression] = [Member(Name("e"), f"m{place}") for place in range(len(operands))]
    declared = EventType(
        "Operands", tuple(MemberType(f"m{place}", "any", optional=True) for place in range(len(operands)))
    )
    program = Program((declared,))
    event = EventClasses(program).accept(broker.Event("Operands", operands))
    constants: list[Expression] = [Constant(operand) for operand in operands]
    # A regular expression is a constant, and no constant is a list or a map.
    told = [constants] if name == "str.matches" else [members, [*members[:-1], *constants[-1:]]]
    if not any(isinstance(operand, list | dict) for operand in operands):
        told.append(constants)
    for given in told:
        function = compile_expression(program, Apply(name, tuple(given)), (Variable("e", "Operands", "event"),))
        assert same(function(event), result)


def test_moments_in_other_zones_are_the_same_moments() -> None:
    berlin = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    assert OPERATIONS["ts.eq"](berlin, utc)
    assert OPERATIONS["ts.sub"](berlin, utc) == timedelta(0)
    assert OPERATIONS["ts.plus"](berlin, SECOND) == Timestamp.from_ns(1767225601 * 10**9)


AGGREGATED: list[tuple[str, list[Any], Any]] = [
    ("count", [], 0),
    ("count", [1, None, "a"], 2),
    ("sum", [], 0.0),
    ("sum", [1, 2, None], 3.0),
    ("sum", [1e308, 1e308, -1e308], INF),
    ("sum", [0.1] * 10, 1.0),
    ("sum", [INF, -INF], NAN),
    ("mean", [], None),
    ("mean", [1, 2, None], 1.5),
    ("min", [], None),
    ("min", [2, 1, None], 1),
    ("min", [2, NAN], NAN),
    ("max", [2, 1], 2),
    ("max", [None], None),
    ("percentile", [], None),
    ("percentile", [4, 1, 2, 3], 2.5),
    ("percentile", [1, NAN], NAN),
    ("percentile", [-INF, INF], NAN),
    ("percentile", [INF, INF, 1], INF),
    ("distinct", [], 0),
    ("distinct", [1, 1.0, True, "1", None, [1], (1,), NAN, NAN, {"a": [1]}, {"a": (1.0,)}], 6),
    ("first", [None, 2, 3], 2),
    ("first", [], None),
    ("last", [1, 2, None], 2),
    ("slope", [1, 3, 5], 2.0),
    ("slope", [1], None),
    ("slope", [1, None, 5], 2.0),
    ("slope", [INF, 1], NAN),
]


def test_every_aggregate_has_its_values() -> None:
    assert {name for name, _, _ in AGGREGATED} == AGGREGATES.keys()


@pytest.mark.parametrize(("name", "items", "result"), AGGREGATED)
def test_an_aggregate_means(name: str, items: list[Any], result: Any) -> None:
    declared = EventType("Item", (MemberType("x", "any", optional=True),))
    program = Program((declared,))
    make = EventClasses(program).accept
    group = [
        broker.Message("t", make(broker.Event("Item", (item,))), place * 10**9, "o") for place, item in enumerate(items)
    ]
    aggregate: Any = name
    expression = Aggregate(aggregate, "g", Member(Name("g"), "x"), 50 if name == "percentile" else None)
    assert same(compile_expression(program, expression, (Variable("g", "Item", "group"),))(group), result)
