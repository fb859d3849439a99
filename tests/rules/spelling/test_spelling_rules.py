"""Whole rules in Python become the same model that text becomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

import broker
from broker import rules
from broker.errors import RuleError
from broker.rules import language, model
from broker.rules.compiling import EventClasses, Variable, compile_expression
from broker.rules.event_types import event_type


@broker.event(name="Spelt")
class Spelt:
    host: str
    user: str
    used: float


@broker.event(name="SpeltAlarm")
class SpeltAlarm:
    host: str
    value: float = 0.0
    note: str | None = None
    path: list[float] = attrs.Factory(list)


TYPES = {"Spelt": event_type(Spelt), "SpeltAlarm": event_type(SpeltAlarm)}
SECOND = 10**9


def test_a_rule_says_what_the_same_rule_in_text_says() -> None:
    first, more, gone = rules.of(Spelt, "a"), rules.group_of(Spelt, "b"), rules.absence_of(Spelt, "c", within=10)
    spelt = (
        rules.rule("Both", first, more, gone)
        .where(first.used > 0.5, more.user == first.user, rules.mean(more.used) > 1)
        .within(timedelta(minutes=1))
        .per(first.host)
        .select("first")
        .consume()
        .limit(1, 300)
        .on("host/", "db/")
        .make(SpeltAlarm, host=first.host, value=rules.count(more) * 2, path=[1, 2])
        .to("alarms/" + first.host)
        .do("page")
    )
    text = """
        SpeltAlarm made(Spelt a, Spelt+ b) := { host = a.host, value = count(b) * 2, note = a.host, path = [1, 2] };
        Both: [Spelt a, Spelt+ b, !Spelt c within 10s : a.used > 0.5, b.user == a.user, mean(b.used) > 1]
            within 1m per host first consume limit 1 per 5m on "host/", "db/"
            -> made(a, b) to "alarms/" + a.host do page;
    """
    written = language.load(text, find=TYPES).rules[0]
    lowered = rules.program(spelt).rules[0]
    assert attrs.evolve(lowered, make=None) == attrs.evolve(written, make=None)
    made = lowered.make
    assert isinstance(made, model.Make)
    members = dict(made.members)
    assert members["value"] == model.Apply(
        "num.mul", (model.Aggregate("count", "b", model.Name("b")), model.Constant(2))
    )
    assert members["note"] == model.Constant(None)
    assert members["path"] == model.Constant((1.0, 2.0))


def test_a_window_is_over_a_group() -> None:
    group = rules.group_of(Spelt)
    rule = rules.rule("Mean", group).where(rules.percentile(group.used, 95) > 0.9).make(SpeltAlarm, host="x", path=())
    assert rule.over(seconds=300, every=60).model.window == model.Window(length_ns=300 * SECOND, every_ns=60 * SECOND)
    assert rule.over(events=100).model.window == model.Window(count=100)
    assert rule.model.window is None
    with pytest.raises(TypeError, match=r"over events=\.\.\. or over seconds"):
        rule.over()
    with pytest.raises(TypeError, match="one variable, and that is a group"):
        rules.rule("One", rules.of(Spelt)).over(events=3)


def test_variables_of_one_class_get_names_of_their_own() -> None:
    steps = rules.rule("Three", rules.of(Spelt), rules.of(Spelt), rules.of(Spelt, "last")).model.steps
    assert [step.name for step in steps] == ["spelt", "spelt_2", "last"]


def test_what_is_made_can_be_compiled() -> None:
    group = rules.group_of(Spelt)
    spelt = (
        rules.rule("Trend", group)
        .over(events=3)
        .make(SpeltAlarm, host=rules.last(group.host), value=rules.slope(group.used), path=[])
    )
    program = rules.program(spelt)
    make = program.rules[0].make
    assert make is not None
    function = compile_expression(program, make, (Variable("spelt", "Spelt", "group"),), EventClasses(program))
    entries = [broker.Message("t", Spelt("a", "u", float(place)), place * SECOND, "o") for place in range(3)]
    assert function(entries) == SpeltAlarm("a", 1.0, None, [])


def test_aggregates_ask_for_one_group() -> None:
    group = rules.group_of(Spelt)
    for term, name in (
        (rules.min(group.used), "min"),
        (rules.max(group.used), "max"),
        (rules.distinct(group.user), "distinct"),
        (rules.first(group.user), "first"),
        (rules.sum(group.used * 2), "sum"),
    ):
        assert isinstance(term.expression, model.Aggregate)
        assert term.expression.function == name
    with pytest.raises(TypeError, match="there is no mean of a string"):
        rules.mean(group.host)
    with pytest.raises(TypeError, match="inside an aggregate"):
        rules.mean(rules.mean(group.used) + group.used)
    with pytest.raises(ValueError, match="from 0 to 100"):
        rules.percentile(group.used, 101)


UNTYPED: Any = Spelt
one, other = rules.of(Spelt), rules.of(Spelt)
RULE: Any = rules.rule("R", one)


@pytest.mark.parametrize(
    ("build", "error", "told"),
    [
        (lambda: rules.rule("R"), TypeError, "a rule needs events"),
        (lambda: rules.rule("R", one, one), TypeError, r"an of\(\.\.\.\) of its own"),
        (lambda: rules.rule("R", UNTYPED), TypeError, r"expected what of\(\.\.\.\)"),
        (lambda: RULE.where(one.used), TypeError, "is a number, and no condition"),
        (lambda: RULE.where(other.used > 1), RuleError, "no step of this rule"),
        (lambda: RULE.per(one.used > 1), TypeError, "expected members of the events"),
        (lambda: RULE.within(0), ValueError, "more than 0 seconds"),
        (lambda: RULE.within("60s"), TypeError, "a number of seconds or a timedelta, not str"),
        (lambda: RULE.select("all"), ValueError, "expected one of each, first, last"),
        (lambda: RULE.make(SpeltAlarm, hots="a"), TypeError, "no member 'hots'; did you mean 'host'"),
        (lambda: RULE.make(SpeltAlarm, path=[]), TypeError, "is made without host"),
        (lambda: RULE.make(SpeltAlarm, host=one.used, path=[]), TypeError, "is a string, and .* a number"),
        (lambda: RULE.to(one.used), TypeError, "a topic is a string"),
        (lambda: RULE.to(""), broker.TopicError, "empty"),
        (lambda: rules.program(RULE.to("a")), RuleError, "makes no event to publish"),
        (lambda: rules.program(RULE, RULE), RuleError, "another 'R'"),
        (lambda: rules.program(RULE.make(Spelt, host="a", user="b", used=1)), RuleError, "sets itself off"),
        (lambda: rules.program(rules.rule("R", one, rules.absence_of(Spelt))), RuleError, "needs a `within`"),
    ],
)
def test_what_makes_no_sense_is_refused(build: Callable[[], object], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        build()
