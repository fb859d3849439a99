"""Patterns report what their definitions say, on random patterns and streams."""

from __future__ import annotations

import os

from engine_programs import patterns, program, streams
from engine_reference import Reference
from hypothesis import assume, given, settings

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.engine import Engine, Seen
from broker.rules.model import Rule
from broker.rules.model.checking import check

EXAMPLES = int(os.environ.get("RULES_EXAMPLES", "150"))


@settings(max_examples=EXAMPLES)
@given(pattern=patterns(), stream=streams())
def test_a_pattern_reports_what_the_definitions_say(pattern: Rule, stream: list[Message]) -> None:
    rules = program(pattern)
    assume(not check(rules))
    try:
        engine = Engine(rules, now_ns=0, idle_s=1e-9)
    except RuleError:
        assume(False)
    made = engine.receive(stream, 0).made + engine.tick(20).made
    classes = engine._book.classes
    seen = [
        Seen(each.topic, classes.accept(each.event), each.time_ns, each.origin, order=place)
        for place, each in enumerate(stream)
    ]
    is_a = {each.name: [classes.class_of(name) for name in classes.subtypes(each.name)] for each in rules.types}
    expected = Reference(rules, pattern, is_a).run(seen, engine.figures().watermark_ns or 0)
    assert [(each.time_ns, [int(seen.event.id) for seen in each.because]) for each in made] == expected
