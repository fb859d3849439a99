"""What lives of stores reach: counted, so that it is seen when a change makes them harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from simulated_reach import Counting
from stored_scenarios import Scenario

from broker.stores import master
from broker.stores.clone import Clone
from broker.stores.followers import Followers
from broker.stores.master import Master
from broker.stores.writers import Writers
from broker.testing.disk import SimulatedDisk

__all__ = ["LEAST", "counting", "look"]

# How often the ordinary lives have to reach each of these at least: about a third of what they do.
LEAST: dict[str, int] = {
    "answer: MasterExists": 100,
    "answer: MasterUnavailable": 300,
    "answer: NotReplicated": 150,
    "answer: OutcomeUnknown": 200,
    "answer: StoreFull": 300,
    "answer: done": 8000,
    "answer: replicated": 1200,
    "asked while the disk was at work": 8,
    "clone asked for what it lacks": 90,
    "clone in memory again": 90,
    "clone on disk again": 70,
    "commit of a clone failed": 40,
    "commit of a master failed": 500,
    "confirmation asked for of a former life": 12,
    "conflict settled": 6,
    "crash while something was on its way to the disk": 9,
    "decided anew": 100,
    "entry expired": 1000,
    "expiry overtaken by a write": 20,
    "fault: crash_while_paused": 15,
    "fault: move_a_master": 18,
    "fault: restore": 8,
    "forwarded request that came again": 3000,
    "history continued in two ways": 25,
    "loss told by a clone": 90,
    "master in memory again": 25,
    "master on disk again": 70,
    "record": 9000,
    "records that came meanwhile": 20,
    "request": 12_000,
    "resumed by the log": 500,
    "snapshot begun": 700,
    "snapshot interrupted": 30,
    "snapshot put in place": 300,
    "told: StoreConflict": 40,
    "told: StoreFailing": 130,
    "told: StoreForked": 80,
    "told: StoreRecovered": 35,
    "told: StoreSynced": 480,
    "trimmed while a clone was behind": 12,
}


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what happens inside all stores."""
    counts: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        wrap = Counting(patch, counts)
        _count_growth(wrap, Followers, "follow", "resumed", "resumed by the log")
        _count_growth(wrap, Followers, "follow", "snapshots", "snapshot begun")
        _count_growth(wrap, Writers, "take", "duplicates", "forwarded request that came again")
        _count_masters(wrap)
        _count_clones(wrap)
        wrap.calls(SimulatedDisk, "crash", "crash while something was on its way to the disk", lambda *a: a[3])
        yield counts


def look(scenario: Scenario, counts: Counter[str]) -> None:
    """Count what a life has come to."""
    world = scenario.world
    counts.update(world.counts)
    counts.update({f"fault: {kind}": count for kind, count in scenario.faults.counts.items()})
    for program in world.lives:
        for status in program.endpoint.status:
            if type(status).__name__.startswith("Store"):
                counts[f"told: {type(status).__name__}"] += 1
    for store, books in world.books.items():
        history = world.histories[store]
        counts.update(books.counts)
        counts["request"] += len(books.asked)
        counts["record"] += len(history.order)
        counts["entry expired"] += history.expired
        counts["history continued in two ways"] += history.mixed


def _count_growth(wrap: Counting, kind: type, name: str, number: str, what: str) -> None:
    original: Callable[..., Any] = getattr(kind, name)

    def wrapped(self: Any, *arguments: Any) -> Any:
        before = getattr(self, number)
        result = original(self, *arguments)
        wrap.counts[what] += getattr(self, number) - before
        return result

    wrap.patch.setattr(kind, name, wrapped)


def _count_masters(wrap: Counting) -> None:
    wrap.calls(Followers, "_restart", "trimmed while a clone was behind")
    wrap.calls(Followers, "_send_again", "clone asked for what it lacks")
    wrap.calls(Master, "_failed", "commit of a master failed")
    wrap.calls(Master, "_failed", "decided anew", lambda self, *_: self._batch.requests)

    def taken(result: Any, *_: object) -> str | None:
        return "confirmation asked for of a former life" if result.unconfirmed else None

    def refused(operation: Any, draft: Any, key: bytes, _expiry: int) -> str | None:
        return "expiry overtaken by a write" if operation is None and draft.entry(key) is not None else None

    wrap.results(Writers, "take", taken)
    wrap.results(master, "erase_expired", refused)


def _count_clones(wrap: Counting) -> None:
    wrap.calls(Clone, "_ask", "snapshot interrupted", lambda self, _: self._loading is not None)
    wrap.calls(Clone, "_ask", "asked while the disk was at work", lambda self, _: self._busy is not None)
    wrap.calls(Clone, "_swapped", "snapshot put in place")
    wrap.calls(Clone, "_swapped", "records that came meanwhile", lambda self: self._held)
    wrap.calls(Clone, "_tell_applied", "loss told by a clone", lambda _, lost, **__: lost)

    def failed(_result: Any, _clone: Clone, error: object, *_: object) -> str | None:
        return "commit of a clone failed" if error is not None else None

    wrap.results(Clone, "carried_out", failed)
