"""What an engine keeps is bounded, and what it drops is counted."""

from __future__ import annotations

import pytest
from engine_programs import member, message, number, program, rule

from broker.errors import RuleError
from broker.events import Event
from broker.messages import Message
from broker.rules.engine import Engine, Limits, Outcome
from broker.rules.model import Apply, Constant, Make, Step, Window

AB = [Step("a", "A"), Step("b", "B")]


def ids(outcome: Outcome) -> list[list[int]]:
    return [[seen.event.id for seen in each.because] for each in outcome.made]


def test_a_partition_drops_its_oldest_events() -> None:
    engine = Engine(program(rule("r", AB)), limits=Limits(events_max=2), now_ns=0)
    outcome = engine.receive([*(message("A", time, time) for time in (1, 2, 3)), message("B", 4, 4)], 0)
    assert ids(outcome) == [[2, 4], [3, 4]]
    assert engine.figures().rules["r"].dropped == 1


def test_the_partition_that_was_used_longest_ago_goes() -> None:
    engine = Engine(program(rule("r", AB, per=("k",))), limits=Limits(partitions_max=2), now_ns=0)
    stream = [("A", 1, 1), ("A", 2, 2), ("A", 3, 1), ("A", 4, 3), ("B", 5, 1), ("B", 6, 2)]
    outcome = engine.receive([message(name, time, time, k) for name, time, k in stream], 0)
    assert ids(outcome) == [[1, 5], [3, 5]]
    figures = engine.figures().rules["r"]
    assert (figures.partitions, figures.dropped) == (2, 1)  # the other B begins nothing, and takes no room


def test_partitions_with_nothing_in_them_are_no_loss() -> None:
    engine = Engine(program(rule("r", AB, per=("k",), within_ns=10)), limits=Limits(partitions_max=2), now_ns=0)
    engine.receive([message("A", 20 * k, k=k) for k in range(100)], 0)
    figures = engine.figures().rules["r"]
    assert figures.dropped == 0
    assert figures.partitions <= 2


def test_a_pattern_with_too_many_combinations_does_not_stop_the_stream() -> None:
    steps = [Step(f"v{place}", "A") for place in range(4)] + [Step("b", "B")]
    engine = Engine(program(rule("r", steps, number("eq", member("v3", "x"), member("b", "x")))), now_ns=0)
    stream = [message("A", time, x=1) for time in range(100)] + [message("B", 100)]
    engine = Engine(engine._book.program, limits=Limits(search_max=1000), now_ns=0)
    assert not engine.receive(stream, 0).made
    assert engine.figures().rules["r"].dropped == 1


def test_rules_that_set_off_each_other_end() -> None:
    again = rule("again", [Step("o", "Out")], make=Make("Out", (("x", Constant(1)),)))
    engine = Engine(program(again), limits=Limits(made_max=10), now_ns=0)
    outcome = engine.receive([Message("t", Event("Out", (1,)), 0, "o")], 0)
    assert len(outcome.made) == 10
    assert "made 10 events of one" in outcome.problems[0].text


def test_an_event_that_does_not_fit_is_told_with_rule_event_and_member() -> None:
    engine = Engine(program(rule("r", AB)), now_ns=0)
    outcome = engine.receive([Message("t", Event("A", (1, 2, "x")), 0, "o"), message("A", 1), message("B", 2)], 0)
    assert len(outcome.made) == 1
    assert engine.figures().misfits == 1
    assert outcome.problems[0].rule == "r"
    assert outcome.problems[0].text.startswith("A.x: expected number, found str")


def test_problems_are_counted_and_not_all_told() -> None:
    steps = [Step("a", "A")]
    failing = rule("r", steps, topic=Apply("str.concat", (Constant("\n"), Constant(""))))
    engine = Engine(program(failing), limits=Limits(problems_max=3), now_ns=0)
    outcome = engine.receive([message("A", 0)] * 20, 0)
    assert not outcome.made
    assert len(outcome.problems) == 3
    assert engine.figures().rules["r"].failed == 20
    assert len(engine.receive([message("A", 0)] * 20, 10 * 10**9).problems) == 3


def test_rules_with_equality_conditions_are_found_and_not_tried() -> None:
    """A rule that is not meant is not even looked at: its other conditions would be told as failing."""
    rules = [
        rule(
            f"r{place}",
            [Step("a", "A")],
            Apply("bool.and", (number("eq", Constant(place), member("a", "x")), number("ge", member("a", "k"), 0))),
        )
        for place in range(50)
    ]
    engine = Engine(program(*rules), now_ns=0)
    watchers = engine._book.routes["A"].now
    assert len(watchers.all()) == 50
    assert not watchers._scanned
    assert [made.rule for made in engine.receive([message("A", 0, x=7)], 0).made] == ["r7"]


def test_rules_of_one_event_go_in_the_order_of_the_program() -> None:
    rules = [
        rule("scanned", [Step("a", "A")]),
        rule("found", [Step("a", "A")], number("eq", member("a", "x"), 1)),
        rule("too", [Step("a", "A")], number("ge", member("a", "x"), 1)),
        rule("other", [Step("a", "A")], number("eq", member("a", "k"), 0)),
    ]
    engine = Engine(program(*rules), now_ns=0)
    made = engine.receive([message("A", 0, x=1)], 0).made
    assert [each.rule for each in made] == ["scanned", "found", "too", "other"]


def test_a_rule_that_is_added_sees_what_comes_and_the_others_go_on() -> None:
    first, second = rule("first", AB), rule("second", AB)
    engine = Engine(program(first), now_ns=0)
    engine.receive([message("A", 0, 0)], 0)
    reloaded = engine.replace(program(first, second))
    assert (reloaded.kept, reloaded.new, reloaded.gone) == (1, ("second",), ())
    made = engine.receive([message("A", 1, 1), message("B", 2, 2)], 0).made
    assert [(each.rule, each.because[0].event.id) for each in made] == [("first", 0), ("first", 1), ("second", 1)]
    assert engine.figures().rules["second"].seen == 2
    reloaded = engine.replace(program(second))
    assert (reloaded.kept, reloaded.new, reloaded.gone) == (1, (), ("first",))


def test_a_program_that_cannot_run_leaves_the_former_one() -> None:
    engine = Engine(program(rule("r", AB)), now_ns=0)
    with pytest.raises(RuleError):
        engine.replace(program(rule("r", AB), rule("r", AB)))
    assert len(engine.receive([message("A", 0), message("B", 1)], 0).made) == 1


def test_what_rules_take_is_measured_by_the_clock_that_is_given() -> None:
    ticks = iter(range(0, 10**9, 5))
    found = program(rule("one", [Step("a", "A")]), rule("two", AB), rule("other", [Step("c", "C")]))
    engine, plain = (Engine(found, now_ns=0, clock=clock) for clock in (lambda: next(ticks), None))
    for time in range(64):
        stream = [message("A", time)]
        assert engine.receive(stream, 0).made == plain.receive(stream, 0).made
    spent = {name: each.spent_ns for name, each in engine.figures().rules.items()}
    assert spent == {"one": 64 * 5, "two": 64 * 5, "other": 0}
    assert all(each.spent_ns == 0 for each in plain.figures().rules.values())


def test_a_window_cannot_hold_more_than_a_partition() -> None:
    engine = Engine(program(rule("r", [Step("a", "A")], window=Window(count=5))), limits=Limits(events_max=2), now_ns=0)
    outcome = engine.receive([message("A", time, time) for time in range(4)], 0)
    assert ids(outcome) == [[0], [0, 1], [1, 2], [2, 3]]
    assert engine.figures().rules["r"].dropped == 2
