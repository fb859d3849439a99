"""Predicates in Python: operators make expressions, and what does not fit is refused where it is written."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

import attrs
import pytest

import broker
from broker import rules
from broker.errors import BadRegex, EventDefinitionError, RuleError
from broker.rules import spelling
from broker.rules.model import (
    OPERATORS,
    Apply,
    Constant,
    EventType,
    Member,
    MemberType,
    Name,
    Where,
    from_data,
    to_data,
    walk,
)


@broker.event(name="tests.spelling.Disk")
class Disk:
    host: str
    used: float
    inodes: int | None = None
    history: list[float] = attrs.Factory(list)
    address: IPv4Address | IPv6Address = IPv4Address("10.1.2.3")
    mounted: bool = True
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    age: timedelta = timedelta(0)
    tags: dict[str, str] = attrs.Factory(dict)


disk = rules.of(Disk)
untyped: Any = disk  # for what type checkers refuse, too
DISK = Disk("web-01", 0.95, history=[1, 2], tags={"rack": "a"})


def operators(term: spelling.Term) -> set[str]:
    return {part.operator for part in walk(term.expression) if isinstance(part, Apply)}


def test_a_predicate_is_data_and_can_be_called() -> None:
    full = (disk.used > 0.9) & disk.host.matches("^web")
    assert full.where == Where(
        rules.event_type(Disk),
        Apply(
            "bool.and",
            (
                Apply("num.gt", (Member(Name("event"), "used"), Constant(0.9))),
                Apply("str.matches", (Member(Name("event"), "host"), Constant("^web"))),
            ),
        ),
    )
    assert from_data(to_data(full.where), Where) == full.where
    assert full(DISK)
    assert not full(Disk("db-01", 0.95))
    assert not full(Disk("web-01", 0.5))
    assert not full(broker.Event("tests.spelling.Disk", ("web-01", 0.95)))


PREDICATES: list[tuple[Any, bool]] = [
    (disk.used == 0.95, True),
    (disk.used != 0.95, False),
    (disk.used > 0.9, True),
    (disk.used >= 1, False),
    (disk.used <= disk.used, True),
    (disk.inodes == 3, False),
    ((disk.used + 1 - 1) * 2 / 4 == 0.475, True),
    (1 + disk.used == 2 - disk.used, False),
    (2**disk.used > 1, True),
    (2 * disk.used / disk.used == 2, True),
    (1 / disk.used > 1, True),
    (-disk.used < 0, True),
    (abs(-disk.used) == 0.95, True),
    (disk.used**2 < 1, True),
    (disk.used.is_in([0.5, 0.95]), True),
    (disk.used.is_in({0.5}), False),
    (rules.min(disk.used, 2, 0.1) == 0.1, True),
    (rules.max(1, disk.used) == 1, True),
    (disk.history == [1, 2], True),
    (disk.history + disk.history == [2, 4], True),
    (disk.history.__radd__([1]) == [2, 2], True),
    ([1] - disk.history == [0, -2], True),
    (2 * disk.history == disk.history * 2, True),
    (-disk.history < disk.history, True),
    (disk.history**2 == 1, True),
    (disk.history.contains(2), True),
    (rules.len_(disk.history) == 2, True),
    (disk.history < [disk.used + 1, 5], True),
    (rules.len_(disk.host) == 6, True),
    (disk.host + "/" + "disk" == "web-01/disk", True),
    ("x/" + disk.host == "x/web-01", True),
    (disk.host.contains("eb"), True),
    (disk.host.is_in(["db-01", "web-01"]), True),
    (disk.host.is_in([]), False),
    (disk.host.is_in("all: web-01, web-02"), True),
    (disk.host.lower() == "web-01", True),
    (disk.host < "x", True),
    (disk.address.is_in("10.0.0.0/8"), True),
    (disk.address.is_in(IPv4Network("192.168.0.0/16")), False),
    (disk.address == "10.1.2.3", True),
    (disk.address < "10.1.2.4", True),
    (disk.address != IPv4Address("10.1.2.3"), False),
    (disk.mounted, True),
    (~disk.mounted, False),
    (disk.mounted == True, True),  # noqa: E712 - an operator of the rules
    (disk.mounted & True & (disk.used > 1), False),
    (False | disk.mounted | False, True),
    (disk.since == datetime(2026, 1, 1, tzinfo=UTC), True),
    (disk.since + timedelta(1) > datetime(2026, 1, 1, tzinfo=UTC), True),
    (disk.since - timedelta(1) > disk.since, False),
    (disk.since - disk.since == timedelta(0), True),
    (disk.age == timedelta(0), True),
    (disk.age + timedelta(1) > disk.age, True),
    (timedelta(2) - disk.age > timedelta(1), True),
    (abs(-disk.age) == disk.age * 2, True),
    ((disk.age + timedelta(4)) / 2 == timedelta(2), True),
    ((disk.age + timedelta(4)) / timedelta(2) == 2, True),
    (disk.tags.contains("rack"), True),
    (disk.tags == "a", False),
    (disk.tags != "a", True),
]


@pytest.mark.parametrize(("predicate", "holds"), PREDICATES, ids=repr)
def test_operators_mean_what_they_say(predicate: spelling.Predicate, holds: bool) -> None:
    assert predicate(DISK) is holds


def test_every_operator_can_be_spelt() -> None:
    spelt = set().union(*(operators(predicate) for predicate, _ in PREDICATES), {"str.matches"})
    # One comparison of each type will do: all of them are spelt alike.
    comparisons = ("eq", "ne", "lt", "gt", "le", "ge")
    assert {name for name in OPERATORS.keys() - spelt if name.partition(".")[2] not in comparisons} == set()


@pytest.mark.parametrize(
    ("spell", "told"),
    [
        (lambda: untyped.host < 3, r"disk\.host < 3: there is no string < number"),
        (lambda: untyped.used == "a", "there is no number == string"),
        (lambda: untyped.used > True, "there is no number > boolean"),
        (lambda: untyped.mounted < True, "there is no boolean < boolean"),
        (lambda: untyped.history / 2, "there is no vector / number"),
        (lambda: 2 / untyped.history, "there is no number / vector"),
        (lambda: untyped.used + "a", r"there is no number \+ string; \+ takes a number and a number"),
        (lambda: -untyped.host, "there is no - of a string"),
        (lambda: untyped.used.contains(1), "there is no number contains number"),
        (lambda: untyped.used.matches("a"), "there is no number matches string"),
        (lambda: untyped.host.matches(3), "a regular expression is a str, not int"),
        (lambda: untyped.used.is_in(["a"]), "is no vector: expected numbers alone"),
        (lambda: untyped.history > [untyped.host], r"\[disk\.host\]: a vector is of numbers, not of a string"),
        (lambda: untyped.host.is_in([1]), "expected texts alone"),
        (untyped.used.lower, "there is no lower of a number"),
        (lambda: rules.min(untyped.host, "a"), "there is no min of a string"),
        (lambda: untyped.used > object(), "rules have no type for object"),
        (lambda: untyped.used > None, "rules have no type for NoneType None"),
        (lambda: untyped.since > datetime(2026, 1, 1), "rules have no type for datetime"),  # noqa: DTZ001
        (lambda: untyped.used & untyped.mounted, r"disk\.used is a number: & takes conditions"),
        (
            lambda: untyped.mounted & untyped.used,
            r"disk\.used is a number: & takes conditions; brackets may be missing",
        ),
        (lambda: untyped.mounted and untyped.mounted, "write & | ~ for and, or, not"),
        (lambda: 1 < untyped.used < 2, r"\(a > 1\) & \(a < 5\) for 1 < a < 5"),
        (lambda: not untyped.mounted, "has no truth value"),
        (lambda: "a" in untyped.host, r"write \.contains\(\.\.\.\)"),
        (lambda: list(untyped.history), "cannot be gone through"),
        (lambda: len(untyped.host), r"write len_\(disk\.host\)"),
        (lambda: {untyped.used}, "unhashable"),
        (lambda: rules.mean(untyped.used), r"one group_of\(\.\.\.\)"),
        (lambda: rules.count(untyped), "it is one event"),
        (lambda: untyped > 3, "not supported"),
        (lambda: rules.time(untyped.used), r"expected what of\(\.\.\.\)"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(spell: Callable[[], object], told: str) -> None:
    with pytest.raises(TypeError, match=told.replace(" | ~", r" \| ~")):
        spell()


def test_names_that_are_not_there_are_told_with_a_suggestion() -> None:
    with pytest.raises(AttributeError, match=r"tests\.spelling\.Disk has no member 'usd'; did you mean 'used'\?"):
        _ = disk.usd
    with pytest.raises(AttributeError, match="no member 'zzz'; it has host, used"):
        _ = disk.zzz
    with pytest.raises(AttributeError, match=r"is a string, for which rules have no 'startswith': write \.matches"):
        disk.host.startswith("web")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="events are not changed"):
        disk.used = 3
    with pytest.raises(EventDefinitionError, match="not an event class"):
        rules.of(int)
    with pytest.raises(BadRegex):
        disk.host.matches("(")


def test_conditions_that_are_joined_stand_side_by_side() -> None:
    joined = (disk.used > 1) & disk.mounted & ((disk.used < 3) | disk.mounted | (disk.used == 5))
    assert isinstance(joined.expression, Apply)
    assert [joined.expression.operator, len(joined.expression.operands)] == ["bool.and", 3]
    either = joined.expression.operands[2]
    assert isinstance(either, Apply)
    assert [either.operator, len(either.operands)] == ["bool.or", 3]


def test_a_predicate_is_about_one_event() -> None:
    other = rules.of(Disk)
    for predicate in (disk.used > other.used, rules.group_of(Disk).used > 1, rules.topic(disk) == "a"):
        with pytest.raises(RuleError):
            _ = predicate.where
    assert (disk.mounted | True)(DISK)


def test_a_declared_type_is_spelt_as_a_class() -> None:
    declared = EventType("Position", (MemberType("time", "vector"),))
    predicate = rules.of(declared).time > [1]
    assert predicate.where.type == declared


def test_terms_show_what_they_are() -> None:
    assert repr(~((disk.used > 0.9) | disk.mounted)) == "<Predicate not (disk.used > 0.9 or disk.mounted)>"
    assert repr(rules.of(Disk, "d").host + "a") == '<Term d.host + "a">'
    assert repr(rules.group_of(Disk)) == "<disk: tests.spelling.Disk+>"
    assert {"host", "used"} <= set(dir(disk))
    assert repr(copy.copy(disk.used > 1)) == "<Predicate disk.used > 1>"


def test_what_spells_rules_is_loaded_when_it_is_wanted() -> None:
    assert {name for name in rules.__all__ if name in spelling.__all__} == set(spelling.__all__)
    assert all(getattr(rules, name) for name in rules.__all__)
    with pytest.raises(AttributeError, match="no attribute 'off'"):
        _ = rules.off  # type: ignore[attr-defined]
    code = "import sys, broker.rules.model; print([m for m in sys.modules if 'spelling' in m or 're2' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
