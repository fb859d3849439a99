"""Writes that clones forward: each is taken once, however often it is asked for.

A writer numbers its requests 1, 2, 3... and repeats those that are not answered: after a reconnect, after the master
was started again, after a while.  The master takes the next number and no other, and keeps what came of each until the
writer no longer asks for it (``oldest``), as rows that are committed with their effect, one for each writer and
commit; so it answers again what it has done before, also when it has died in between; whether clones had confirmed it
by then it finds out anew.  What failed has had no effect; whether it is answered from memory or decided anew after a
restart makes no difference to anybody.

A writer that was not heard of for :data:`REMEMBER_NS` is forgotten.  Its own patience is much shorter.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct, field

from broker.journaling import Journal
from broker.stores import wire
from broker.stores.entries import WRITERS
from broker.stores.requests import DURABLE
from broker.stores.wire import Commands, Item, Outcome, Outcomes

__all__ = ["REMEMBER_NS", "Writers"]

Origin = tuple[bytes, int]
"""Whose request it is: the writer, and its number."""

# A day, in nanoseconds.
REMEMBER_NS: Final = 24 * 3600 * 1_000_000_000


class _Writer(Struct, eq=False):
    """One writer, as the master knows it: the last number taken, and what came of those it may ask for again."""

    last: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    kept: dict[int, Outcome] = field(default_factory=dict)  # by a former life of the master, maybe not told yet
    rows: dict[int, int] = field(default_factory=dict)  # of WRITERS: their first numbers, and their last ones
    heard_ns: int = 0


class Taken(NamedTuple):
    """What becomes of requests that have come."""

    fresh: list[Item]
    again: list[Outcome]  # of those that were answered before
    unconfirmed: list[tuple[Item, Outcome]]  # done by a former life of the master; whether clones have it is not known
    settled: list[bytes]  # rows to remove


class Writers:
    """Those who forward to one master."""

    def __init__(self, journal: Journal) -> None:
        self._writers: dict[bytes, _Writer] = {}
        self.duplicates = 0  # requests that came again
        for key, row in journal.rows(WRITERS):
            writer = self._writers.setdefault(key[:16], _Writer())
            for outcome in wire.decode(Outcomes, row[8:]).items:
                writer.kept[outcome.number] = outcome
                writer.last = max(writer.last, outcome.number)
            writer.rows[int.from_bytes(key[16:], "big")] = max(writer.kept)
            writer.heard_ns = max(writer.heard_ns, int.from_bytes(row[:8], "big"))

    def take(self, commands: Commands, now_ns: int) -> Taken:
        """Take requests, each once."""
        writer = self._writers.setdefault(commands.writer, _Writer())
        writer.heard_ns = now_ns
        taken = Taken([], [], [], [])
        for item in commands.items:
            number = item.number
            if number == max(writer.last + 1, commands.oldest):
                writer.last = number
                taken.fresh.append(item)
            elif number <= writer.last:
                self.duplicates += 1
                kept = writer.kept.pop(number, None)
                if kept is not None and item.replicas > DURABLE and not kept.code:
                    taken.unconfirmed.append((item, kept))
                    continue
                if kept is not None:
                    writer.outcomes[number] = kept
                if number in writer.outcomes:
                    taken.again.append(writer.outcomes[number])
        settled = min(commands.oldest, writer.last)
        for outcomes in (writer.outcomes, writer.kept):
            for number in [number for number in outcomes if number < settled]:
                del outcomes[number]
        for first in [first for first, last in writer.rows.items() if last < settled]:
            del writer.rows[first]
            taken.settled.append(_row(commands.writer, first))
        return taken

    def rows_of(self, outcomes: Mapping[Origin, Outcome], now_ns: int) -> Iterator[tuple[bytes, bytes]]:
        """Give the rows of WRITERS that keep what is committed, with its outcomes."""
        by_writer: dict[bytes, list[Outcome]] = {}
        for (id_, _), outcome in outcomes.items():
            by_writer.setdefault(id_, []).append(outcome)
        for id_, items in by_writer.items():
            items.sort(key=_number)
            writer = self._writers.get(id_)
            if writer is not None:
                writer.rows[items[0].number] = items[-1].number
                yield _row(id_, items[0].number), row_of(id_, items, now_ns)

    def answered(self, writer: bytes, outcome: Outcome) -> None:
        """Take note of what came of a request."""
        if writer in self._writers:
            self._writers[writer].outcomes[outcome.number] = outcome

    def forgotten(self, now_ns: int, there: Container[bytes]) -> Iterator[bytes]:
        """Forget who was silent for long and is not ``there`` any more; give the rows to remove.

        What a writer that is there once asked may come again, from a relay that has kept it.
        """
        for id_, writer in list(self._writers.items()):
            if writer.heard_ns + REMEMBER_NS < now_ns and id_ not in there:
                del self._writers[id_]
                yield from (_row(id_, first) for first in writer.rows)


def row_of(writer: bytes, outcomes: list[Outcome], now_ns: int) -> bytes:
    """Return the row of WRITERS that keeps outcomes: the master's clock (8 bytes), then as they are sent."""
    return now_ns.to_bytes(8, "big") + wire.encode(Outcomes("-", writer, outcomes))


def _number(outcome: Outcome) -> int:
    return outcome.number


def _row(writer: bytes, number: int) -> bytes:
    return writer + number.to_bytes(8, "big")
