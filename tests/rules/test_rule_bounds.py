"""However events come, what rules keep, and do because of one of them, is bounded; what the bounds took is counted."""

from __future__ import annotations

import broker
from broker.rules import language
from broker.rules.engine import Engine, EngineFigures, Limits

LIMITS = Limits(events_max=50, partitions_max=20, search_max=1_000)
EVENTS = """
event Cpu { host: string, load: number };
event Other { host: string };
event Made { load: number };
Made made(Cpu c) := { load = c.load };
Made usual(Cpu+ c) := { load = mean(c.load) };
"""


def run(rules: str, loads: list[tuple[str, float]]) -> EngineFigures:
    """Figures after events of these hosts, one a second."""
    engine = Engine(language.load(EVENTS + rules), limits=LIMITS, now_ns=0)
    for second, (host, load) in enumerate(loads, 1):
        event = broker.Event("Cpu", (host, load))
        engine.receive([broker.Message("host/", event, second * 10**9, "o")], second * 10**9)
    return engine.figures()


def test_of_the_events_of_one_partition_the_oldest_go() -> None:
    figures = run("R: [Cpu c, Other o] per host -> made(c);", [("a", 1.0)] * 200).rules["R"]
    assert figures.events <= LIMITS.events_max
    assert figures.events + figures.dropped == 200


def test_of_a_window_too() -> None:
    figures = run("R: [Cpu c : count(c) > 1000] last 1h -> usual(c);", [("a", 1.0)] * 200).rules["R"]
    assert figures.events <= LIMITS.events_max
    assert figures.events + figures.dropped == 200


def test_of_the_partitions_the_one_that_was_used_longest_ago_goes() -> None:
    hosts = [(f"host-{number}", 1.0) for number in range(200)]
    figures = run("R: [Cpu c, Other o] per host -> made(c);", hosts).rules["R"]
    assert figures.partitions <= LIMITS.partitions_max
    assert figures.partitions + figures.dropped == 200


def test_combinations_that_one_event_has_to_be_tried_with_are_bounded() -> None:
    """Without a bound they are 40 to the third for the last event alone, and none of them matches."""
    rules = "R: [Cpu a, Cpu b, Cpu c, Cpu d : a.load + b.load + c.load + d.load == 0.5] -> made(d);"
    figures = run(rules, [("a", 1.0)] * 40).rules["R"]
    assert figures.matched == 0
    assert figures.dropped > 0
