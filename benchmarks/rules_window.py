"""Figures of sliding windows per key: through the engine, and worked out anew for each event by hand.

``mean(used) > 0.9`` of a host's last events, asked with each event.  Disks are full for as many events as a window has,
then free for as many.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import accumulate
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
    engine_for,
    made,
    recorded,
    sizes,
)
from benchmarks.harness import Options, Table
from benchmarks.ours import DiskUsage
from benchmarks.peers import OURS
from broker.rules import spelling
from broker.rules.model import Program

__all__ = ["run"]

COUNT = 100_000
KEYS = 1_000
LIMIT = 0.9
FULL, FREE = 1.0, 0.25
LENGTH_S = 300


@attrs.frozen
class _Window:
    """A host's last so many events: told as a number, or as those of the last five minutes, which are as many."""

    events: int
    keys: int = KEYS
    timed: bool = False
    rules: int = 1

    def __str__(self) -> str:
        return f"last 5m ({self.events} events)" if self.timed else f"last {self.events}"

    @property
    def each_ns(self) -> int:
        """From one event to the next, of all hosts."""
        return LENGTH_S * 10**9 // (self.events * self.keys) if self.timed else EACH_NS

    def used(self, key: int, round_: int) -> float:
        return FULL if (round_ + key) % (2 * self.events) < self.events else FREE

    def runs(self, first: int, count: int) -> list[Run]:
        numbers = range(first, first + count)
        return recorded(map(self._event, numbers), first=first, each_ns=self.each_ns)

    def _event(self, number: int) -> DiskUsage:
        key = number % self.keys
        return DiskUsage(f"web-{key:04d}", _mount(key % self.rules), self.used(key, number // self.keys), number)

    def expected(self, total: int) -> int:
        """Of so many events, after how many of them the mean of their host's window is high."""
        found = 0
        for key in range(self.keys):
            rounds = -(-(total - key) // self.keys)
            sums = [0.0, *accumulate(self.used(key, round_) for round_ in range(rounds))]
            begins = ((max(0, end - self.events), end) for end in range(1, rounds + 1))
            found += sum((sums[end] - sums[begin]) / (end - begin) > LIMIT for begin, end in begins)
        return found


MAIN = _Window(100)
OTHERS = (_Window(10), _Window(1_000, keys=10), _Window(100, timed=True), _Window(1_000, keys=10, timed=True))


def run(options: Options) -> Table:
    """Measure each number of rules, then other windows."""
    windows = [*(attrs.evolve(MAIN, rules=rules) for rules in sizes(options)), *OTHERS]
    count = options.count or COUNT
    if options.count is not None:
        windows = [attrs.evolve(window, events=10, keys=min(window.keys, 10)) for window in windows]
    rows = tuple(
        _row(window, costs(_sides(window, count * 100 // max(100, window.events)), options)) for window in windows
    )
    return Table(
        name="rules-window",
        title="mean(used) > 0.9 of a sliding window per host, asked with each event",
        rows=rows,
        version=OURS.version(),
        notes=(
            "processor time of one process; each rule has a mount point, each host's disk is at one of them",
            "by hand: a deque for each host, its mean worked out anew with each event; no bound on memory",
            f"runs of {BATCH} events; windows are full before it is measured; one event in eight reports",
        ),
    )


def _row(window: _Window, found: dict[str, Cost]) -> dict[str, str | float]:
    return {
        "window": str(window),
        "rules": window.rules,
        "keys": window.keys,
        "engine, ns/event": found["engine"].deciding,
        "engine, events/s": found["engine"].rate,
        "by hand, ns/event": found["by hand"].deciding,
        "decoding, ns/event": found["engine"].decoding,
        "codec's share, %": found["engine"].share,
    }


def _mount(number: int) -> str:
    return f"/disk-{number:05d}"


def _program(window: _Window) -> Program:
    disks = spelling.group_of(DiskUsage)

    def rule(number: int) -> spelling.RuleSpelling:
        found = spelling.rule(f"high-{number}", disks).where(spelling.mean(disks.used) > LIMIT)
        if window.rules > 1:
            found = found.where(disks.mount == _mount(number))
        found = found.per(disks.host).do("tell")
        return found.over(seconds=LENGTH_S) if window.timed else found.over(events=window.events)

    return spelling.program(*map(rule, range(window.rules)))


def _sides(window: _Window, count: int) -> dict[str, Side]:
    filling = window.keys * window.events
    program = _program(window)
    side = partial(
        Side, runs=window.runs(filling, count), warm=window.runs(0, filling), expected=window.expected(filling + count)
    )
    return {
        "engine": side(lambda: at_engine(engine_for(program)), made),
        "by hand": side(partial(_by_hand, window), len),
    }


def _by_hand(window: _Window) -> Decide:
    length_ns = LENGTH_S * 10**9
    kept: dict[str, deque[Any]] = {}

    def of_number(messages: list[Any]) -> list[Any]:
        found = []
        for message in messages:
            event = message.event
            last = kept.get(event.host)
            if last is None:
                last = kept[event.host] = deque(maxlen=window.events)
            last.append(event)
            if sum([each.used for each in last]) / len(last) > LIMIT:
                found.append(message)
        return found

    def of_length(messages: list[Any]) -> list[Any]:
        found = []
        for message in messages:
            event = message.event
            last = kept.setdefault(event.host, deque())
            last.append(message)
            while last[0].time_ns <= message.time_ns - length_ns:
                last.popleft()
            if sum([each.event.used for each in last]) / len(last) > LIMIT:
                found.append(message)
        return found

    return of_length if window.timed else of_number
