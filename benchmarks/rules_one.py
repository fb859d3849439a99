"""One typed predicate on decoded events: through the engine, as a function, and by hand; then more of them.

The predicates are comparisons with thresholds, in which no index helps: each rule looks at every event.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.deciding import (
    BATCH,
    FULL,
    Cost,
    Decide,
    Side,
    at_engine,
    costs,
    engine_for,
    made,
    recorded,
    sizes,
    used_by,
)
from benchmarks.harness import Options, Table
from benchmarks.ours import DiskUsage
from benchmarks.peers import OURS
from benchmarks.workload import HOST, MOUNT
from broker.rules import spelling
from broker.rules.compiling import compile_filter

__all__ = ["run"]

COUNT = 200_000
RATE_MIN = 2_000_000
# Predicates asked of events in a repetition, if there are many rules.
ASKED = 4_000_000
# Events a second with one simple rule on one core, as it was measured elsewhere: for orientation, not a side of ours.
TORNADO = 1_000_000


def run(options: Options) -> Table:
    """Measure each number of rules: of all, only the first ever holds."""
    rows: list[dict[str, str | float]] = []
    found: dict[str, Cost] = {}
    for rules in sizes(options):
        count = max(BATCH, min(options.count or COUNT, ASKED // rules))
        found = costs(_sides(rules, count), options)
        if not rows:
            first = found
        rows.append(
            {
                "rules": rules,
                "engine, ns/event": found["engine"].deciding,
                "engine, events/s": found["engine"].rate,
                "functions, ns/event": found["functions"].deciding,
                "by hand, ns/event": found["by hand"].deciding,
                "decoding, ns/event": found["engine"].decoding,
                "codec's share, %": found["engine"].share,
            }
        )
    return Table(
        name="rules-one",
        title="typed predicates on decoded events, one of a hundred events matches",
        rows=tuple(rows),
        version=OURS.version(),
        figures={
            "one rule through the engine, ns/event": first["engine"].deciding,
            "one predicate as a function of many events, ns/event": first["functions"].deciding,
            "decoded and decided, one rule, events/s": 1e9 / (first["engine"].deciding + first["engine"].decoding),
            "Tornado, one rule, measured elsewhere, events/s": TORNADO,
        },
        limits={
            "one rule through the engine, ns/event": 1e9 / RATE_MIN,
            "one predicate as a function of many events, ns/event": 1e9 / RATE_MIN,
        },
        notes=(
            "processor time of one process; rules: used > 0.985, and more of them that never hold",
            "functions: broker's compile_filter for each predicate; by hand: a comprehension, or one in another",
            f"runs of {BATCH} events are decoded and then decided on; the codec's share is of both together",
            "Tornado's figure is for orientation: another machine, in Rust, its events were JSON values",
        ),
    )


def _sides(rules: int, count: int) -> dict[str, Side]:
    thresholds = [FULL, *(2.0 + number for number in range(1, rules))]
    disk = spelling.of(DiskUsage)
    program = spelling.program(
        *(spelling.rule(f"full-{n}", disk).where(disk.used > least).do("tell") for n, least in enumerate(thresholds))
    )
    keeps = [compile_filter((disk.used > least).where, DiskUsage) for least in thresholds]
    runs = recorded(DiskUsage(HOST, MOUNT, used_by(number), number) for number in range(count))
    side = partial(Side, runs=runs, expected=sum(used_by(number) > FULL for number in range(count)))

    def functions(messages: list[Any]) -> list[Any]:
        decoded = [message.event for message in messages]
        return [event for keep in keeps for event in keep(decoded)]

    def one(messages: list[Any]) -> list[Any]:
        return [message for message in messages if message.event.used > FULL]

    def several(messages: list[Any]) -> list[Any]:
        return [(message, least) for message in messages for least in thresholds if message.event.used > least]

    by_hand: Decide = one if rules == 1 else several
    engine = at_engine(engine_for(program))
    return {
        "engine": side(start=lambda: engine, count=made),
        "functions": side(start=lambda: functions, count=len),
        "by hand": side(start=lambda: by_hand, count=len),
    }
