"""A sequence of two events per key, through the engine and by hand: many rules, ways to select; what the state takes.

A disk is full, and in the next round of its host it is not.  Every event is a candidate of one of the two steps.  Of
eight rounds of a host the first two find the disk full; hosts are in different rounds at the same time.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from benchmarks.deciding import (
    BATCH,
    EACH_NS,
    Cost,
    Decide,
    Run,
    Side,
    at_engine,
    costs,
    decoded,
    engine_for,
    made,
    recorded,
    sizes,
)
from benchmarks.harness import Options, Table
from benchmarks.ours import DiskUsage
from benchmarks.peers import OURS
from benchmarks.processes import BenchmarkFailed
from broker.rules import spelling
from broker.rules.model import Program, Select
from broker.values.lowering import lower, packer

__all__ = ["run"]

COUNT = 200_000
KEYS = 10_000
RATE_MIN = 300_000
FULL, FREE = 0.9, 0.5
ROUNDS = 8


@attrs.frozen
class _Stream:
    """Events of so many hosts in turns; a rule's events are those of its mount point."""

    keys: int
    rules: int
    count: int

    def event(self, number: int) -> DiskUsage:
        key = number % self.keys
        is_full = (number // self.keys + key) % ROUNDS < 2
        return DiskUsage(f"web-{key:05d}", f"/disk-{key % self.rules:05d}", 0.95 if is_full else 0.25, number)

    def runs(self, first: int = 0) -> list[Run]:
        return recorded(map(self.event, range(first, first + self.count)), first=first)

    def within_s(self, rounds: float) -> float:
        return rounds * self.keys * EACH_NS / 10**9


@attrs.frozen
class _Way:
    """What of a pattern is measured: how long it may take, in rounds, and what is reported of it."""

    name: str = "each"
    rounds: float = 1.5
    select: Select = "each"
    absent: bool = False


EACH = _Way()
# Two full ones are still remembered: each reports up to two matches by one event.
OTHERS = (
    _Way("each, of two", 2.5),
    _Way("first, of two", 2.5, "first"),
    _Way("last, of two", 2.5, "last"),
    _Way("absence", 1.5, absent=True),
)


def run(options: Options) -> Table:
    """Measure each number of rules, few keys, each way to select; then what the state takes."""
    count = options.count or COUNT
    keys = max(1, min(KEYS, count // (2 * ROUNDS)))
    rows = []
    figures: dict[str, float] = {}
    plans = [(EACH, keys, rules) for rules in sizes(options)] + [(EACH, max(1, keys // 100), 1)]
    for way, of_keys, rules in [*plans, *((way, keys, 1) for way in OTHERS)]:
        found = costs(_sides(way, _Stream(of_keys, rules, count)), options)
        figures = figures or {f"one rule, {keys:,} keys, ns/event": found["engine"].deciding}
        rows.append(_row(way, rules, of_keys, found))
    return Table(
        name="rules-pattern",
        title="a full disk, and one that is not in the next round of its host, per host",
        rows=tuple(rows),
        version=OURS.version(),
        figures=figures | _state(_Stream(keys, 1, keys)),
        limits={f"one rule, {keys:,} keys, ns/event": 1e9 / RATE_MIN},
        notes=(
            "processor time of one process; rules have a mount point each; each event is a candidate of a step of one",
            "one match in eight events (each, absence); 'of two': the full one before that, too, two or three in eight",
            "absence: a full one that nothing follows; every side's matches are counted against the definition",
            "by hand: a dict of lists, no order of events, no watermark, no bound on memory",
            f"runs of {BATCH} events; the first {ROUNDS} rounds are not measured",
            "state: with full disks kept of each host, their messages included; packed as it is stored",
        ),
    )


def _row(way: _Way, rules: int, keys: int, found: dict[str, Cost]) -> dict[str, str | float]:
    return {
        "reports": way.name,
        "rules": rules,
        "keys": keys,
        "engine, ns/event": found["engine"].deciding,
        "engine, events/s": found["engine"].rate,
        "by hand, ns/event": found["by hand"].deciding,
        "decoding, ns/event": found["engine"].decoding,
        "codec's share, %": found["engine"].share,
    }


def _program(way: _Way, stream: _Stream) -> Program:
    full, free = spelling.of(DiskUsage, "full"), spelling.of(DiskUsage, "free")
    second = spelling.absence_of(DiskUsage, "free") if way.absent else free

    def rule(number: int) -> spelling.RuleSpelling:
        found = spelling.rule(f"freed-{number}", full, second).where(full.used > FULL, second.used < FREE)
        if stream.rules > 1:
            mount = f"/disk-{number:05d}"
            found = found.where(full.mount == mount, second.mount == mount)
        found = found.per(full.host).within(stream.within_s(way.rounds)).do("tell")
        return found if way.select == "each" else found.select(way.select)

    return spelling.program(*map(rule, range(stream.rules)))


def _sides(way: _Way, stream: _Stream) -> dict[str, Side]:
    warm = attrs.evolve(stream, count=stream.keys * ROUNDS)
    program = _program(way, stream)
    start_by_hand = partial(_by_hand, way, int(stream.within_s(way.rounds) * 10**9))
    sides = {
        "engine": Side(lambda: at_engine(engine_for(program)), made, stream.runs(warm.count), -1, warm.runs()),
        "by hand": Side(start_by_hand, len, stream.runs(warm.count), -1, warm.runs()),
    }
    expected = sum(_matches(way, stream, key, warm.count + stream.count) for key in range(stream.keys))
    return {name: attrs.evolve(side, expected=expected) for name, side in sides.items()}


def _matches(way: _Way, stream: _Stream, key: int, total: int) -> int:
    """How many matches a host's events are, by the definition, in a stream of so many events of all."""
    rounds = range(-(-(total - key) // stream.keys))
    reach = int(way.rounds)  # whole rounds: those of one host are exactly so far from each other
    full = [(round_ + key) % ROUNDS < 2 for round_ in rounds]
    if way.absent:
        # It is known when the watermark, which is the last event's time, is beyond.
        last = (total - 1 - key) / stream.keys
        alone = (at for at in rounds if full[at] and all(full[at + 1 : at + 1 + reach]))
        return sum(at + way.rounds < last for at in alone)
    before = (sum(full[max(0, at - reach) : at]) for at in rounds if not full[at])
    return sum(each if way.select == "each" else min(each, 1) for each in before)


def _by_hand(way: _Way, within_ns: int) -> Decide:
    """What a program does that knows this one pattern only."""
    waiting: dict[str, list[Any]] = {}

    def pairs(messages: list[Any]) -> list[Any]:
        found: list[Any] = []
        for message in messages:
            event = message.event
            if event.used > FULL:
                waiting.setdefault(event.host, []).append(message)
            elif event.used < FREE and (kept := waiting.get(event.host)):
                kept[:] = [full for full in kept if message.time_ns - full.time_ns <= within_ns]
                chosen = kept if way.select == "each" else kept[:1] if way.select == "first" else kept[-1:]
                found += [(full, message) for full in chosen]
        return found

    def alone(messages: list[Any]) -> list[Any]:
        found: list[Any] = []
        for message in messages:
            event = message.event
            while oldest := next(iter(pending), None):
                if pending[oldest].time_ns + within_ns >= message.time_ns:
                    break
                found.append(pending.pop(oldest))
            if event.used > FULL:
                pending[event.host, event.sequence] = message
                waiting.setdefault(event.host, []).append(event.sequence)
            elif event.used < FREE:
                for sequence in waiting.pop(event.host, ()):
                    pending.pop((event.host, sequence), None)
        return found

    pending: dict[tuple[str, int], Any] = {}
    return alone if way.absent else pairs


# --- state -------------------------------------------------------------------------------------------------------


def _state(stream: _Stream) -> dict[str, float]:
    """What a key and an event of it take in memory, and the state of all as it is stored."""
    program = _program(_Way(rounds=100 * ROUNDS), stream)
    engine = engine_for(program)
    full = [DiskUsage(f"web-{key:05d}", "/", 0.95, key) for key in range(stream.keys)]

    def see(runs: list[Run]) -> None:
        for messages in decoded(runs):
            if engine.receive(messages, messages[-1].time_ns).made:
                raise BenchmarkFailed("a full disk alone is no match")

    first = _bytes_of(partial(see, recorded(full)))
    second = _bytes_of(partial(see, recorded(full, first=stream.keys)))
    start = time.process_time()
    state = engine.state()
    saving = time.process_time() - start
    data = packer().pack(lower(state))
    start = time.process_time()
    again = engine_for(program)
    restored = again.restore(state)
    restoring = time.process_time() - start
    (figures,) = again.figures().rules.values()
    if restored.dropped or (figures.partitions, figures.events) != (stream.keys, 2 * stream.keys):
        raise BenchmarkFailed(f"restored: {figures.partitions} keys, {figures.events} events, {restored.dropped}")
    return {
        "memory of a key with its first event, bytes": first / stream.keys,
        "memory of a further event, its message included, bytes": second / stream.keys,
        f"state of {stream.keys:,} keys, two events each, taken, ms": 1000 * saving,
        "its bytes, packed": len(data),
        "put back, ms": 1000 * restoring,
    }


def _bytes_of(work: Callable[[], None]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
