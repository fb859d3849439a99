"""Explanations: each clause, its values, and why it does not hold."""

from __future__ import annotations

from datetime import timedelta
from textwrap import dedent

import pytest

import broker
from broker import rules
from broker.errors import RuleError
from broker.rules.compiling import EventClasses
from broker.rules.engine import Engine
from broker.rules.explaining import Part, explain_events
from broker.rules.model import Apply, Call, Clause, Constant, Function, Member, Name, Parameter, Program, Rule, Step


@broker.event(name="tests.explaining.Disk")
class Disk:
    host: str
    used: float
    note: str | None = None


@broker.event(name="tests.explaining.Other")
class Other:
    level: float


TYPE = rules.event_type(Disk)
disk = rules.of(Disk)


def message(host: str, used: float, time_s: int = 0) -> broker.Message:
    return broker.Message("t", Disk(host, used), time_s * 10**9, "o")


def test_a_predicate_is_explained_clause_by_clause() -> None:
    predicate = (disk.used > 0.9) & (disk.host.contains("web") | (disk.host == "db"))
    explained = rules.explain_where(predicate.where, Disk("mail", 0.95))
    assert not explained.holds
    assert [clause.holds for clause in explained.clauses] == [True, False]
    assert str(explained) == dedent("""\
        tests.explaining.Disk: does not hold
          event.used > 0.9: true
              event.used = 0.95
          event.host contains "web" or event.host == "db": false
              event.host = "mail"
              event.host contains "web" = false
              event.host == "db" = false
          because event.host contains "web" is false and event.host == "db" is false""")
    assert rules.explain_where(predicate.where, Disk("web", 0.95)).holds


@pytest.mark.parametrize(
    ("predicate", "why"),
    [
        (disk.note == "a", "event.note is missing"),
        (~(disk.used > 0), "event.used > 0 is true"),
        (~((disk.used > 0) & (disk.host == "a")), 'event.used > 0 and event.host == "a" is true'),
        ((disk.used > 0) & ((disk.used > 2) & (disk.used > 3) | False), "event.used > 2 is false and false is false"),
    ],
)
def test_why_a_clause_is_false(predicate: rules.Predicate, why: str) -> None:
    assert [each.why for each in rules.explain_where(predicate.where, Disk("a", 1)).clauses if each.why] == [why]


def test_a_rule_is_explained_for_the_events_that_are_there() -> None:
    first, group, later = rules.of(Disk, "a"), rules.group_of(Disk, "g"), rules.of(Disk, "b")
    spelt = rules.rule("Filling", first, group, later).where(
        group.host == first.host, rules.mean(group.used) > 0.5, later.used > group.used, later.used > 0
    )
    program = rules.program(spelt)
    entries = [message("b", 0.5), message("a", 0.75)]
    explained = rules.explain(program, program.rules[0], {"a": message("a", 0.1), "g": entries})
    assert [clause.holds for clause in explained.clauses] == [False, True, None, None]
    assert str(explained.clauses[0]) == dedent("""\
        g.host == a.host: false
            g.host = "b"
            a.host = "a"
        because g.host == a.host is false""")
    assert explained.clauses[1].parts == (Part("mean(g.used)", 0.625),)
    assert explained.clauses[2].why == "there is no event for b"


def test_a_predicate_of_the_program_is_opened() -> None:
    hot = Function(
        "hot", (Parameter("x", TYPE.name),), "boolean", Apply("num.gt", (Member(Name("x"), "used"), Constant(1)))
    )
    rule = Rule("Hot", (Step("d", TYPE.name),), (Clause(Call("hot", (Name("d"),)), "hot"),))
    (clause,) = rules.explain(Program((TYPE,), (hot,), (rule,)), rule, {"d": message("a", 0.5)}).clauses
    assert (clause.text, clause.name, clause.why) == ("hot(d)", "hot", "d.used > 1 is false")
    assert [str(part) for part in clause.parts] == ["d.used = 0.5"]


def test_a_clause_without_a_value_says_what_is_wrong() -> None:
    explained = rules.explain_where((disk.used > 1).where, broker.Event("tests.explaining.Disk", ()))
    assert not explained.holds
    assert "has no attribute 'used'" in explained.clauses[0].why


def test_values_are_shown_as_the_language_writes_them() -> None:
    values: list[tuple[object, str]] = [
        (None, "missing"),
        (True, "true"),
        (2.5, "2.5"),
        ("a", '"a"'),
        ([1, 2.5], "[1, 2.5]"),
    ]
    values += [("a" * 300, f'"{"a" * 196}...'), (timedelta(seconds=90), "1m30s"), ({"a": 1}, "{'a': 1}")]
    assert [str(Part("x", value)) for value, _ in values] == [f"x = {text}" for _, text in values]


def test_events_are_taken_for_the_steps_that_they_fit() -> None:
    first, group, later = rules.of(Disk, "a"), rules.group_of(Disk, "g"), rules.of(Disk, "b")
    gone = rules.absence_of(Other, "gone", within=3)
    spelt = rules.rule("Filling", first, group, later, gone).where(
        first.used == 0,
        rules.count(group) == 2,
        later.used == 3,
        gone.level == 7,
        rules.time(later) > rules.time(first),
    )
    program = rules.program(spelt)
    classes = EventClasses(program)

    def asked(*events: object) -> list[bool | None]:
        return [each.holds for each in explain_events(program, program.rules[0], events, classes).clauses]

    messages = [message("h", used, time_s=used) for used in range(4)]
    assert asked(*messages, Other(7)) == [True, True, True, True, True]
    assert asked(*(each.event for each in messages)) == [True, True, True, None, False]
    assert asked(Disk("h", 0)) == [True, None, None, None, None]
    with pytest.raises(RuleError, match=r"Filling: it is about tests\.explaining\.Disk, tests\.explaining\.Other, not"):
        asked(broker.Event("Elsewhere", ()))


def test_an_engine_explains_its_rules() -> None:
    engine = Engine(rules.program(rules.rule("Full", disk).where(disk.used > 0.9)), now_ns=0)
    assert engine.explain("Full", Disk("a", 0.95)).holds
    assert engine.explain("Full", message("a", 0.5)).clauses[0].why == "disk.used > 0.9 is false"
    with pytest.raises(KeyError):
        engine.explain("Empty", Disk("a", 0.95))
