"""Explanations: each clause, its values, and why it does not hold."""

from __future__ import annotations

from textwrap import dedent

import pytest

import broker
from broker import rules
from broker.rules.explaining import Part
from broker.rules.model import Apply, Call, Clause, Constant, Function, Member, Name, Parameter, Program, Rule, Step
from broker.rules.showing import show, show_value


@broker.event(name="tests.explaining.Disk")
class Disk:
    host: str
    used: float
    note: str | None = None


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
    entries = [message("a", 0.5), message("b", 0.75)]
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


def test_expressions_are_shown_as_the_language_writes_them() -> None:
    group = rules.group_of(Disk, "g")
    shown: list[tuple[rules.Term, str]] = [
        (rules.percentile(group.used, 95) > 1, "percentile(g.used, 95) > 1"),
        (rules.count(group) - (1 - rules.sum(group.used)), "count(g) - (1 - sum(g.used))"),
    ]
    for term, text in shown:
        assert repr(term).partition(" ")[2] == f"{text}>"
    one = Constant(1)
    negative = Apply("num.neg", (one,))
    assert show(Apply("num.pow", (negative, Constant(-2)))) == "(-1)^(-2)"
    assert show(Apply("num.eq", (Apply("num.eq", (one, one)), one))) == "(1 == 1) == 1"
    assert show(Apply("num.mul", (Apply("num.add", (one, one)), Apply("num.mul", (one, one))))) == "(1 + 1) * (1 * 1)"
    assert show(Apply("bool.not", (Apply("bool.or", (Constant(True), Constant(False))),))) == "not (true or false)"
    assert show_value("a" * 300) == f'"{"a" * 196}...'
    assert show_value([1, 2.5, None]) == "[1, 2.5, none]"
