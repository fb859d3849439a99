"""What lives of log streams reach: counted, so that it is seen when a change makes them harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from logged_scenarios import Scenario
from simulated_reach import Counting

from broker.logs.collector import Collector
from broker.logs.groups import Group
from broker.logs.logs import Logs
from broker.logs.retention import Retention
from broker.logs.serving import Serving
from broker.logs.sessions import Session
from broker.logs.source import Source
from broker.logs.wire import LogKind
from broker.logs.writer import Writer
from broker.testing.disk import SimulatedDisk

__all__ = ["LEAST", "counting", "look"]

# How often the ordinary lives have to reach each of these at least: about a third of what they do.
LEAST: dict[str, int] = {
    "acknowledgement of a session that is over": 5,
    "answer that takes records away": 3,
    "answer with records unconfirmed": 20,
    "asked again, holding records": 90,
    "chunk dropped": 800,
    "collector refused": 1,
    "commit failed": 120,
    "commit with records failed": 80,
    "crash while something was on its way to the disk": 4,
    "effect in a database": 2500,
    "fault: crash_a_reader": 10,
    "fault: crash_a_writer": 9,
    "fault: crash_while_paused": 4,
    "fault: forget": 2,
    "fault: join": 10,
    "fault: leave": 15,
    "fault: lose_a_spool": 4,
    "fault: lose_frames": 10,
    "fault: move_a_reader": 9,
    "fault: pause_for_long": 3,
    "fault: restore": 8,
    "fault: tighten_a_disk": 12,
    "frames missing": 400,
    "gentle life": 3,
    "member left": 25,
    "member taken for dead that held records": 30,
    "member taken for dead, and nobody knows what it had": 60,
    "no room on the disk": 80,
    "record": 9000,
    "record done": 11_000,
    "record given": 14_000,
    "record given again": 2500,
    "record lost to a name": 3000,
    "records claimed that a member had": 140,
    "records gone when they were to be given out": 40,
    "records sent again": 350,
    "session refused": 30,
    "spool": 45,
    "taken and lost with its writer": 500,
    "told: LogFailing": 20,
    "told: LogRecovered": 15,
    "told: RecordsDropped": 30,
    "told: RecordsLost": 25,
    "told: WriterReset": 15,
    "waiting for members after a restart": 2000,
    "writer blocked": 1500,
}


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what happens inside all writers and collectors."""
    counts: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        wrap = Counting(patch, counts)
        _count_writers(wrap)
        _count_groups(wrap)
        _count_collectors(wrap)
        wrap.calls(SimulatedDisk, "crash", "crash while something was on its way to the disk", lambda *a: a[3])
        yield counts


def look(scenario: Scenario, counts: Counter[str]) -> None:
    """Count what a life has come to."""
    world = scenario.world
    counts.update(world.counts)
    counts.update({f"fault: {kind}": count for kind, count in scenario.faults.counts.items()})
    counts["gentle life"] += scenario.gentle
    counts["spool"] += len(world.spools)
    counts["effect in a database"] += sum(len(database.effects) for database in world.databases.values())
    for program in world.lives:
        for status in program.endpoint.status:
            name = type(status).__name__
            if name.startswith(("Log", "Record", "Writer", "Collector")):
                counts[f"told: {name}"] += 1


def _count_writers(wrap: Counting) -> None:
    wrap.calls(Writer, "_failed", "commit failed")
    wrap.calls(Writer, "_failed", "commit with records failed", lambda self, *_: self._under_way)
    wrap.calls(Retention, "_drop", "chunk dropped")
    wrap.calls(Retention, "no_room", "no room on the disk")
    wrap.results(Serving, "_reason_against", lambda reason, *_: "collector refused" if reason else None)
    wrap.calls(Serving, "_gone", "records gone when they were to be given out")
    wrap.calls(Serving, "_leave", "member left")

    def late(self: Serving, member: Any, leave: Any) -> bool:
        return (member.id, leave.serial) not in self._sessions

    wrap.calls(Serving, "_leave", "member left that was not known", late)
    wrap.calls(
        Serving,
        "_acknowledge",
        "acknowledgement of a session that is over",
        lambda self, member, word, _: (member.id, word.serial) not in self._sessions,
    )


def _count_groups(wrap: Counting) -> None:

    wrap.calls(Group, "expire", "member taken for dead that held records", lambda self, m: self.held.get(m))
    wrap.calls(
        Group, "expire", "member taken for dead, and nobody knows what it had", lambda self, m: m in self.unknown
    )
    wrap.calls(Group, "free_session", "waiting for members after a restart", lambda self: self.unknown)
    wrap.calls(Group, "restart", "begun anew")
    wrap.results(Group, "claim", lambda granted, *_: "records claimed that a member had" if granted else None)
    wrap.calls(Session, "_dispatch", "records sent")
    wrap.calls(Session, "_dispatch", "records sent again", lambda self, number, *_: number < self.sent)


def _count_collectors(wrap: Counting) -> None:
    wrap.calls(Collector, "_ask", "asked again, holding records", lambda self, source, _: source.held)
    wrap.calls(Source, "missing", "frames missing")
    wrap.calls(Source, "follow", "answer that takes records away", _takes_away)
    wrap.calls(Source, "follow", "answer with records unconfirmed", lambda self, *_, **__: self.done)
    wrap.calls(Logs, "_take", "session refused", lambda self, m, f, s, kind, b: kind == LogKind.NO_STREAM)


def _takes_away(source: Source, answer: Any, _: float, *, remembered: bool) -> bool:
    mine = {number for held in source.held.values() for one in held for number in range(one[0], one[1] + 1)}
    return remembered and not mine <= {number for one in answer.yours for number in range(one[0], one[1] + 1)}
