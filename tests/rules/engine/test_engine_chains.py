"""What rules make is seen by others, at the time of what completed it."""

from __future__ import annotations

from engine_programs import member, message, number, program, rule

from broker.events import Event
from broker.rules.engine import Engine
from broker.rules.model import Constant, Make, Step


def two_of(expression: object) -> Make:
    return Make("Two", (("x", expression),))  # type: ignore[arg-type]


def test_a_rule_sees_what_others_made_from_the_same_message() -> None:
    first = rule("first", [Step("a", "A")], number("ge", member("a", "x"), 1))
    second = rule("second", [Step("o", "Out")], make=two_of(member("o", "x")))
    outcome = Engine(program(second, first), now_ns=0).receive([message("A", 5, x=1)], 0)
    assert [(made.rule, made.topic, made.event, made.time_ns) for made in outcome.made] == [
        ("first", "first", Event("Out", (1,)), 5),
        ("second", "second", Event("Two", (1,)), 5),
    ]


def test_what_absence_made_is_seen_at_its_time_and_before_what_comes_later() -> None:
    silent = rule("silent", [Step("a", "A"), Step("b", "B", absent=True)], within_ns=10)
    after = rule("after", [Step("o", "Out"), Step("c", "C")], make=two_of(member("c", "x")), topic=None)
    engine = Engine(program(after, silent), now_ns=0)
    outcome = engine.receive([message("A", 0), message("C", 10, x=1), message("C", 11, x=2)], 0)
    assert [(made.rule, made.time_ns) for made in outcome.made] == [("silent", 10), ("after", 11)]
    assert outcome.made[1].topic is None
    assert outcome.made[1].event == Event("Two", (2,))


def test_rules_that_complete_at_one_instant_go_in_the_order_of_their_chain() -> None:
    """``never`` waits for what ``silent`` makes at the very instant at which it would report its absence."""
    never = rule("never", [Step("a", "A"), Step("o", "Out", absent=True)], within_ns=10, make=two_of(Constant(1)))
    silent = rule("silent", [Step("a", "A"), Step("b", "B", absent=True)], within_ns=10)
    engine = Engine(program(never, silent), now_ns=0)
    outcome = engine.receive([message("A", 0), message("C", 11)], 0)
    assert [made.rule for made in outcome.made] == ["silent"]


def test_what_a_rule_with_state_made_is_seen_by_one_without() -> None:
    pair = rule("pair", [Step("a", "A"), Step("b", "B")])
    after = rule("after", [Step("o", "Out")], make=two_of(member("o", "x")))
    outcome = Engine(program(pair, after), now_ns=0).receive([message("A", 0), message("B", 1)], 0)
    assert [made.rule for made in outcome.made] == ["pair", "after"]


def test_what_is_made_of_a_late_message_is_late_too_in_one_batch() -> None:
    one = rule("one", [Step("a", "A")])
    other = rule("other", [Step("c", "C")], make=two_of(Constant(1)))
    pair = rule("pair", [Step("o", "Out"), Step("b", "B")], make=two_of(Constant(2)))
    engine = Engine(program(one, other, pair), now_ns=0)
    engine.receive([message("C", 0), message("A", 0)], 0)
    engine.receive([message("C", 100), message("A", 50)], 0)
    assert engine.figures().late == 1


def test_rules_in_another_order_keep_their_state() -> None:
    first, second = (rule(name, [Step("a", "A"), Step("b", "B")]) for name in ("first", "second"))
    engine = Engine(program(first, second), now_ns=0)
    engine.receive([message("A", 0)], 0)
    assert engine.replace(program(second, first)).kept == 2
    assert [made.rule for made in engine.receive([message("B", 1)], 0).made] == ["second", "first"]
