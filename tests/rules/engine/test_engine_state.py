"""Saved and restored, replaced by its equal, fed one by one or in batches: an engine makes the same of a stream."""

from __future__ import annotations

import os
from typing import Any

import attrs
from engine_programs import message, patterns, program, rule, streams, windows
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.engine import Engine
from broker.rules.engine.running import is_stateless
from broker.rules.model import Program, Rule, Step, from_data, to_data
from broker.rules.model.checking import check
from broker.values import pack, unpack

EXAMPLES = int(os.environ.get("RULES_EXAMPLES", "30"))
SECOND = 1_000_000_000

rules = st.lists(patterns() | windows(), min_size=1, max_size=3)


def made_engine(found: list[Rule], **options: Any) -> tuple[Program, Engine]:
    """An engine with rules of which some make what others may see."""
    named = [rule_named(each, place) for place, each in enumerate(found)]
    whole = program(*named)
    assume(not check(whole))
    try:
        return whole, Engine(whole, now_ns=0, **options)
    except RuleError:
        assume(False)
        raise


def rule_named(rule: Rule, place: int) -> Rule:
    return attrs.evolve(rule, name=f"r{place}")


def told(outcome: Any) -> list[Any]:
    return [
        [(made.rule, made.event, made.topic, made.time_ns, made.because) for made in outcome.made],
        outcome.problems,
    ]


def joined(outcomes: list[Any]) -> list[Any]:
    return [[item for outcome in outcomes for item in told(outcome)[part]] for part in (0, 1)]


@settings(max_examples=EXAMPLES)
@given(found=rules, stream=streams(), sizes=st.lists(st.integers(1, 5)), lateness=st.integers(0, 3))
def test_batches_are_the_same_as_one_by_one(
    found: list[Rule], stream: list[Message], sizes: list[int], lateness: int
) -> None:
    whole, one = made_engine(found, lateness_s=lateness / SECOND)
    other = Engine(whole, now_ns=0, lateness_s=lateness / SECOND)
    singly = [one.receive([each], 0) for each in stream] + [one.tick(20 * SECOND)]
    batches, rest = [], list(stream)
    for size in [*sizes, len(rest)]:
        batches.append(other.receive(rest[:size], 0))
        del rest[:size]
    batches.append(other.tick(20 * SECOND))
    assert joined(singly) == joined(batches)
    assert one.figures() == other.figures()


@given(stream=streams(), split=st.integers(0, 12), lateness=st.integers(0, 3))
def test_rules_without_state_tell_the_watermark_of_all_that_came_at_once(
    stream: list[Message], split: int, lateness: int
) -> None:
    one = program(*(rule(name, [Step("e", name)]) for name in "ABC"))
    engine, other = (Engine(one, now_ns=0, lateness_s=lateness / SECOND) for _ in range(2))
    for part in (stream[:split], stream[split:]):
        singly = joined([engine.receive([each], 0) for each in part])
        assert singly == joined([other.receive(part, 0)])
        assert engine.figures() == other.figures()


@settings(max_examples=EXAMPLES)
@given(found=rules, stream=streams(), at=st.integers(0, 12), lateness=st.integers(0, 5))
def test_a_saved_state_goes_on_as_if_nothing_had_been(
    found: list[Rule], stream: list[Message], at: int, lateness: int
) -> None:
    whole, engine = made_engine(found, lateness_s=lateness / SECOND)
    engine.receive(stream[:at], 0)
    engine.tick(1)
    again = Engine(whole, now_ns=77, lateness_s=lateness / SECOND)
    restored = again.restore(unpack(pack(engine.state())))
    assert (restored.rules, restored.dropped) == (len(found), ())
    assert again.figures() == engine.figures()
    outcomes = [joined([one.receive(stream[at:], 5), one.tick(20 * SECOND)]) for one in (engine, again)]
    assert outcomes[0] == outcomes[1]
    assert engine.figures() == again.figures()
    assert engine.state() == again.state()


@settings(max_examples=EXAMPLES)
@given(found=rules, stream=streams(), at=st.integers(0, 12))
def test_an_equal_program_changes_nothing(found: list[Rule], stream: list[Message], at: int) -> None:
    whole, engine = made_engine(found)
    _, other = made_engine(found)
    for one in (engine, other):
        one.receive(stream[:at], 0)
    reloaded = other.replace(from_data(to_data(whole), Program))
    assert (reloaded.kept, reloaded.new, reloaded.gone) == (len(found), (), ())
    assert told(engine.receive(stream[at:], 0)) == told(other.receive(stream[at:], 0))
    assert told(engine.tick(20 * SECOND)) == told(other.tick(20 * SECOND))
    assert engine.figures() == other.figures()


@settings(max_examples=EXAMPLES)
@given(found=rules, stream=streams(), late=st.lists(st.integers(0, 4), min_size=30, max_size=30))
def test_disorder_within_the_lateness_changes_nothing(
    found: list[Rule], stream: list[Message], late: list[int]
) -> None:
    found = [each for each in found if not is_stateless(each)]  # they see events as they come
    _, engine = made_engine(found, lateness_s=4 / SECOND)
    _, other = made_engine(found, lateness_s=4 / SECOND)
    arrival = sorted(stream, key=lambda each: each.time_ns + late[each.time_ns])
    outcomes = [
        joined([one.receive(messages, 0), one.tick(20 * SECOND)])
        for one, messages in ((engine, stream), (other, arrival))
    ]
    assert outcomes[0] == outcomes[1]
    assert other.figures().late == 0


def test_state_that_fits_no_more_is_told_and_the_rest_goes_on() -> None:
    steps = [Step("a", "A"), Step("b", "B")]
    engine = Engine(program(rule("same", steps), rule("changed", steps), rule("gone", steps)), now_ns=0)
    engine.receive([message("A", 0, 1)], 0)
    saved = engine.state()
    other = Engine(program(rule("same", steps), rule("changed", steps, within_ns=1)), now_ns=0)
    restored = other.restore(saved)
    assert restored.rules == 1
    assert [(each.rule, each.text) for each in restored.dropped] == [
        ("changed", "it is not the rule whose state was saved: it begins anew"),
        ("gone", "there is no such rule any more"),
    ]
    assert [made.rule for made in other.receive([message("B", 1, 2)], 0).made] == ["same"]


def test_a_state_of_another_version_is_told() -> None:
    engine = Engine(program(rule("a", [Step("a", "A"), Step("b", "B")])), now_ns=0)
    restored = engine.restore({"version": 0})
    assert restored.rules == 0
    assert "version" in restored.dropped[0].text
