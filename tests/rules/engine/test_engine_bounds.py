"""What bounds an engine's work and memory, and what it takes for equal."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from engine_programs import message, program, rule

from broker.errors import Malformed
from broker.events import Event
from broker.messages import Message
from broker.rules.engine import Engine, Limits
from broker.rules.engine.partitions import Partitions
from broker.rules.language import load
from broker.rules.model import Limit, Step, Window

PAIR = """
event A { k: any };
event B { k: any };
event Out { n: number };
Out made(A a, B b) := { n = 1 };
R: [A a, B b] per k -> made;
"""


def pairs(first: Any, second: Any) -> int:
    """How many pairs there are of two events with these members, which have to be equal."""
    engine = Engine(load(PAIR), now_ns=0)
    saved = Engine(load(PAIR), now_ns=0)
    engine.receive([Message("t", Event("A", (first,)), 1, "o")], 0)
    saved.restore(engine.state())
    found = [len(each.receive([Message("t", Event("B", (second,)), 2, "o")], 0).made) for each in (engine, saved)]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (1, 1.0, True),
        (0, -0.0, True),
        (True, True, True),
        (True, 1, False),
        (0, False, False),
        (2**53, 2**53 + 1, False),
        ([1, [2]], [1, [2]], True),
        ({"a": [1]}, {"a": [1]}, True),
        ({1}, {1}, True),
        ("1", 1, False),
        (b"1", "1", False),
        (float("nan"), float("nan"), False),
        (None, None, False),
    ],
)
def test_members_are_equal_as_conditions_take_them(first: Any, second: Any, equal: bool) -> None:
    assert pairs(first, second) == equal


class Empty:
    gone = False

    def expired(self, time_ns: int) -> bool:
        return False


def test_partitions_are_as_quick_when_they_are_full() -> None:
    parts: Partitions[Empty] = Partitions(lambda _: Empty(), 50_000)
    started = perf_counter()
    for key in range(150_000):
        parts.use(key, 0)
    assert perf_counter() - started < 2  # several times that, if for each all that have gone are walked over
    assert (len(parts), parts.dropped, next(parts.items())[0]) == (50_000, 100_000, 100_000)


def test_a_leap_of_the_clock_reports_no_more_windows_than_it_may() -> None:
    rules = rule("r", [Step("a", "A")], window=Window(count=3, every_ns=1), per=("k",))
    engine = Engine(program(rules), now_ns=0, limits=Limits(boundaries_max=1_000))
    engine.receive([message("A", 1, place, place) for place in range(300)], 0)
    assert len(engine.tick(10**15).made) == 1_200  # four boundaries of 300 windows
    assert engine.figures().rules["r"].dropped == 1


def test_a_limit_counts_from_reports_by_time_too() -> None:
    window = rule(
        "r",
        [Step("a", "A")],
        window=Window(length_ns=8, every_ns=1),
        per=("k",),
        limit=Limit(1, 6),
        make=None,
        topic=None,
        actions=("tell",),
    )
    engine = Engine(program(window), now_ns=0, idle_s=1e-9)
    # The window of the first is empty, and its partition gone, when the second comes.
    stream = [message("A", 0, k=1), message("A", 10, k=2), message("A", 11, k=1), message("B", 30)]
    made = engine.receive(stream, 0).made + engine.tick(0).made
    assert [each.time_ns for each in made if each.because[0].event.k == 1] == [0, 6, 12, 18]


@pytest.mark.parametrize(
    "damage",
    [
        {"watermark": {}},
        {"watermark": None},
        {"counters": [1, 2, 3]},
        {"ordered": "1"},
        {"waiting": [7]},
        {"seen": []},
        {"events": [["A", b"\x91\x01", 1, "t"]]},
        {"events": []},
        {"rules": {"R": {}}},
        {"rules": []},
    ],
)
def test_a_saved_state_that_is_damaged_is_refused(damage: dict[str, Any]) -> None:
    engine = Engine(load(PAIR), now_ns=0)
    engine.receive([Message("t", Event("A", (1,)), 1, "o")], 0)
    state = engine.state()
    assert Engine(load(PAIR), now_ns=0).restore(state).rules == 1
    with pytest.raises(Malformed, match="a saved state that is not what was written"):
        Engine(load(PAIR), now_ns=0).restore(state | damage)
