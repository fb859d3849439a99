"""Patterns and windows report what their definitions say, on random patterns and streams."""

from __future__ import annotations

import os
from typing import Any

from engine_programs import member, message, number, patterns, program, rule, streams, windows
from engine_reference import Reference, WindowReference
from hypothesis import assume, given, settings

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.compiling import EventClasses
from broker.rules.engine import Engine, Outcome, Seen
from broker.rules.model import Program, Rule, Step
from broker.rules.model.checking import check

EXAMPLES = int(os.environ.get("RULES_EXAMPLES", "150"))


def reported(rules: Program, engine: Engine, stream: list[Message]) -> list[tuple[int, list[int]]]:
    """Time and the events' numbers of all that an engine makes of a stream."""
    made = engine.receive(stream, 0).made + engine.tick(20).made
    return [(each.time_ns, [int(seen.event.id) for seen in each.because]) for each in made]


def expected(reference: type[Reference], rules: Program, stream: list[Message], until_ns: int) -> Any:
    classes = EventClasses(rules)
    seen = [
        Seen(each.topic, classes.accept(each.event), each.time_ns, each.origin, order=place)
        for place, each in enumerate(stream)
    ]
    is_a = {each.name: [classes.class_of(name) for name in classes.subtypes(each.name)] for each in rules.types}
    return reference(rules, rules.rules[0], is_a).run(seen, until_ns)


@settings(max_examples=EXAMPLES)
@given(pattern=patterns(), stream=streams())
def test_a_pattern_reports_what_the_definitions_say(pattern: Rule, stream: list[Message]) -> None:
    rules = program(pattern)
    assume(not check(rules))
    try:
        engine = Engine(rules, now_ns=0, idle_s=1e-9)
    except RuleError:
        assume(False)
    found = reported(rules, engine, stream)
    assert found == expected(Reference, rules, stream, engine.figures().watermark_ns or 0)


@settings(max_examples=EXAMPLES)
@given(window=windows(), stream=streams())
def test_a_window_reports_what_the_definitions_say(window: Rule, stream: list[Message]) -> None:
    rules = program(window)
    assume(not check(rules))
    engine = Engine(rules, now_ns=0, idle_s=1e-9)
    found = reported(rules, engine, stream)
    assert found == expected(WindowReference, rules, stream, engine.figures().watermark_ns or 0)


def ids(outcome: Outcome) -> list[list[int]]:
    return [[seen.event.id for seen in each.because] for each in outcome.made]


def test_matches_are_in_the_order_of_their_first_events_also_where_a_later_step_decides_on_these() -> None:
    steps = [Step("a", "A", group=True), Step("b", "B"), Step("c", "C")]
    same = number("eq", member("a", "x"), member("b", "x"))
    stream = [
        message(name, time, time, x=x)
        for time, (name, x) in enumerate([("A", 1), ("A", 0), ("B", 0), ("B", 1), ("C", 0)])
    ]
    for select, found in {"each": [[0, 3, 4], [1, 2, 4]], "first": [[0, 3, 4]], "last": [[1, 2, 4]]}.items():
        engine = Engine(program(rule("r", steps, same, select=select)), now_ns=0)
        assert ids(engine.receive(stream, 0)) == found


def test_what_is_used_up_no_longer_waits() -> None:
    steps = [Step("a", "A"), Step("b", "A"), Step("c", "C", absent=True)]
    engine = Engine(program(rule("r", steps, within_ns=10, consume=True)), now_ns=0)
    stream = [*(message("A", time, time) for time in (1, 2, 3)), message("B", 100)]
    assert ids(engine.receive(stream, 0)) == [[1, 2]]
