"""Event time: sources, the watermark, what is late or ahead, silence, and clocks that jump."""

from __future__ import annotations

from random import Random

import pytest
from engine_programs import message, program, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.rules.engine import Engine, Limits
from broker.rules.engine.watermark import Watermark
from broker.rules.model import Step, Window

SECOND = 1_000_000_000
sequence = rule("sequence", [Step("a", "A"), Step("b", "B")])
silent = rule("silent", [Step("a", "A"), Step("b", "B", absent=True)], within_ns=10 * SECOND)


def test_the_slowest_source_holds_the_watermark() -> None:
    engine = Engine(program(sequence), now_ns=0)
    engine.receive([message("C", 10, origin="slow"), message("A", 20, 1, origin="quick")], 0)
    assert engine.figures().watermark_ns == 10
    assert not engine.receive([message("B", 40, 2, origin="quick")], 0).made
    assert engine.figures().waiting == 2
    made = engine.receive([message("C", 30, origin="slow"), message("A", 35, 3, origin="slow")], 0).made
    assert not made
    made = engine.receive([message("C", 41, origin="slow")], 0).made
    assert [[seen.event.id for seen in each.because] for each in made] == [[1, 2], [3, 2]]


def test_what_is_below_the_watermark_is_late_for_rules_with_state_only() -> None:
    one = rule("one", [Step("a", "A")])
    engine = Engine(program(sequence, one), now_ns=0)
    engine.receive([message("B", 100)], 0)
    outcome = engine.receive([message("A", 99)], 0)
    assert [made.rule for made in outcome.made] == ["one"]
    assert [(each.rule, each.text) for each in outcome.problems] == [("", "A from o is late by 1 ns")]
    assert engine.figures().late == 1
    assert not engine.receive([message("B", 101)], 0).made


def test_an_event_at_the_watermark_is_not_late() -> None:
    engine = Engine(program(sequence), now_ns=0)
    engine.receive([message("C", 100), message("A", 100)], 0)
    assert len(engine.receive([message("B", 100)], 0).made) == 1


def test_one_wrong_clock_does_not_make_everybody_else_late() -> None:
    engine = Engine(program(sequence), now_ns=0, future_s=60)
    outcome = engine.receive([message("A", 2**63), message("B", SECOND, origin="p")], SECOND)
    assert engine.figures().ahead == 1
    assert engine.figures().watermark_ns == SECOND
    assert [made.time_ns for made in outcome.made] == [SECOND]


def test_a_silent_source_is_not_waited_for() -> None:
    engine = Engine(program(sequence), now_ns=0, idle_s=5)
    engine.receive([message("C", 10, origin="gone"), message("A", 20, origin="quick")], 0)
    engine.receive([message("B", 30, origin="quick")], SECOND)
    assert engine.next_deadline(SECOND) == 5 * SECOND + 10  # it goes on from 10 then
    assert not engine.tick(5 * SECOND + 19).made
    assert len(engine.tick(5 * SECOND + 20).made) == 1


def test_absence_is_told_when_everybody_is_silent_and_no_earlier() -> None:
    engine = Engine(program(silent), now_ns=0, idle_s=5)
    engine.receive([message("A", 1000)], 7)
    now = 7
    deadlines = []
    while (deadline := engine.next_deadline(now)) is not None:
        assert deadline > now
        now = deadline
        deadlines.append(now)
        made = engine.tick(now).made
    assert deadlines == [7 + 15 * SECOND + 1]  # what would have been sent in time may take 5 s
    assert [each.time_ns for each in made] == [1000 + 10 * SECOND]


def test_how_often_somebody_asks_does_not_matter() -> None:
    """Two sources that fell silent one after the other: the watermark is where it would be had somebody ticked."""
    engines = [Engine(program(silent), now_ns=0, idle_s=5) for _ in range(2)]
    for engine in engines:
        engine.receive([message("A", 100, origin="p")], 0)
        engine.receive([message("A", 200, origin="q")], SECOND)
    for now in range(SECOND, 9 * SECOND, SECOND // 3):
        engines[0].tick(now)
    for engine in engines:
        engine.tick(9 * SECOND)
    assert engines[0].figures() == engines[1].figures()
    assert engines[0].figures().watermark_ns == 200 + 3 * SECOND  # q was heard at 1 s and was waited for until 6 s


def test_too_many_events_that_wait_move_the_watermark() -> None:
    engine = Engine(program(sequence), limits=Limits(waiting_max=3), now_ns=0)
    engine.receive([message("C", 0, origin="slow")], 0)
    engine.receive([message("A", time, time) for time in (4, 2, 3)], 0)
    assert engine.figures().waiting == 3
    engine.receive([message("A", 5)], 0)
    figures = engine.figures()
    assert (figures.waiting, figures.forced, figures.watermark_ns) == (3, 1, 2)


@pytest.mark.parametrize("every", [1, 7])
def test_a_jump_of_a_century_is_not_looked_at_by_the_nanosecond(every: int) -> None:
    last = rule("last", [Step("a", "A")], window=Window(count=2, every_ns=every))
    engine = Engine(program(last), limits=Limits(boundaries_max=10), now_ns=0)
    made = engine.receive([message("A", 0), message("A", 100 * 365 * 86400 * SECOND)], 2**62).made
    assert [each.time_ns for each in made] == [every * number for number in range(10)]
    assert engine.figures().rules["last"].dropped == 1


times = st.sampled_from([0, 1, -1, SECOND, -SECOND, 2**62, 2**63, 2**64 - 1, -(2**63), 10**18]) | st.integers(0, 50)


@settings(max_examples=100)
@given(st.lists(st.tuples(times, times, st.sampled_from("ABC"), st.sampled_from("pq"))))
def test_clocks_may_jump(rows: list[tuple[int, int, str, str]]) -> None:
    """Nothing raises, reports are in the order of event time, the watermark never goes back."""
    every = rule("every", [Step("a", "A")], window=Window(length_ns=10, every_ns=5))
    engine = Engine(program(sequence, silent, every), limits=Limits(boundaries_max=10), now_ns=0)
    made, before = [], None
    for time_ns, now_ns, name, origin in rows:
        made += engine.receive([message(name, time_ns, origin=origin)], now_ns).made
        deadline = engine.next_deadline(now_ns)
        assert deadline is None or deadline >= now_ns
        made += engine.tick(now_ns).made
        watermark = engine.figures().watermark_ns
        assert before is None or (watermark is not None and watermark >= before)
        before = watermark
    assert [each.time_ns for each in made] == sorted(each.time_ns for each in made)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("pqr"), st.integers(0, 20), st.integers(0, 6)), max_size=30), st.integers(0, 3)
)
def test_the_watermark_is_the_smallest_of_what_sources_have_come_to(
    rows: list[tuple[str, int, int]], lateness: int
) -> None:
    idle, mark, now = 4, Watermark(lateness, 4, 0), 0
    latest: dict[str, tuple[int, int]] = {}
    expected = -100

    def come() -> int:
        return min(time - lateness + max(0, now - heard - idle) for time, heard in latest.values())

    for origin, time_ns, passed in rows:
        now += passed
        mark.pass_time(now)
        if latest:
            expected = max(expected, come())
            assert mark.at == expected
        latest[origin] = (max(time_ns, latest.get(origin, (time_ns, 0))[0]), now)
        mark.hear(origin, time_ns)
        expected = max(expected, come())
        assert mark.at == expected


def test_who_sends_seldom_loses_nothing_whoever_else_sends_often() -> None:
    """An event takes 1 to 3 ms, and one source is silent for much longer than the engine waits."""
    engine, chance = Engine(program(sequence), now_ns=0, idle_s=2), Random(7)
    sent = [(at * SECOND, "often") for at in range(1, 120)] + [(at * SECOND, "new") for at in (55, 62)]
    sent += [(at * SECOND + 1, "seldom") for at in range(3, 120, 10)]
    arrivals = [(at + chance.randrange(1, 4) * SECOND // 1000, at, who) for at, who in sent]
    for now, time_ns, who in sorted(arrivals):
        engine.tick(now)
        engine.receive([message("A", time_ns, origin=who)], now)
    assert engine.figures().late == 0


def test_the_first_event_of_a_source_is_taken_as_of_the_watermark_if_it_is_close() -> None:
    engine = Engine(program(sequence), now_ns=0, idle_s=2)
    engine.receive([message("A", 10 * SECOND)], 10 * SECOND)
    engine.receive([message("A", 9 * SECOND, origin="close")], 10 * SECOND)
    assert engine.figures().late == 0
    engine.receive([message("A", 7 * SECOND, origin="far")], 10 * SECOND)
    outcome = engine.receive([message("A", 7 * SECOND, origin="close")], 10 * SECOND)
    assert engine.figures().late == 2
    assert "A from close is late by 3.000 s" in str(outcome.problems)
