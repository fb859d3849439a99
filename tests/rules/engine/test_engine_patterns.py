"""Patterns and windows report what their definitions say, on random patterns and streams."""

from __future__ import annotations

import os
from typing import Any

from engine_programs import patterns, program, streams, windows
from engine_reference import Reference, WindowReference
from hypothesis import assume, given, settings

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.compiling import EventClasses
from broker.rules.engine import Engine, Seen
from broker.rules.model import Program, Rule
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
