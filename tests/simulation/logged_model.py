"""The truth about spools, read from their journals by itself: which records were committed, who is said to have them.

What a chunk, a cursor and an epoch are is said here a second time, from the format alone.
"""

from __future__ import annotations

import struct
from typing import Any

import attrs
import msgspec
from simulated_world import Broken

from broker.journaling import MemoryJournal

__all__ = ["Line", "Registration", "Spool"]

_CHUNK = struct.Struct(">IQIQ8sI8s")
_CURSORS = 0
_STATE = 3


@attrs.frozen
class Line:
    """A committed record."""

    number: int
    uid: int
    epoch: int
    mark: bytes
    at: float  # when its commit was seen


@attrs.define(eq=False)
class Registration:
    """A collector's name at a spool, as the spool has it written down."""

    name: str
    start: int  # up to there it never was to get anything
    at: float
    floor: int
    done: set[int] = attrs.field(factory=set)  # beyond the start
    lost: int = 0


@attrs.define(eq=False)
class Spool:
    """One journal of a writer."""

    journal: bytes
    stream: str
    writer: str
    limits: bool  # may drop records that not all have
    lines: dict[int, Line] = attrs.field(factory=dict)
    ghosts: dict[int, Line] = attrs.field(factory=dict)  # by uid: of a time line that ended with a restore
    taken: dict[int, int] = attrs.field(factory=dict)  # number -> uid: what programs were told that was taken
    tip: int = 0
    oldest: int = 1
    sequence: int = 0
    promised: int = 0  # up to there a program was told that it is on disk
    epoch: int = 0
    names: dict[str, Registration] = attrs.field(factory=dict)
    resets: dict[str, list[float]] = attrs.field(factory=dict)  # by name: forgotten, replayed, or all set back
    gone: bool = False  # lost for good
    restored: bool = False
    kept: Any = None  # the journal itself

    def reset(self, name: str, now: float) -> None:
        """Take note that a name begins anew."""
        self.resets.setdefault(name, []).append(now)

    def was_reset(self, name: str, since: float) -> bool:
        """Whether records may come again to a name that had them."""
        return any(at >= since for key in (name, "*") for at in self.resets.get(key, ()))

    # -- learning --------------------------------------------------------------------------------------------------

    def learn(self, journal: MemoryJournal, now: float) -> list[tuple[Registration, set[int], int]]:
        """Take note of what was committed; returns by name what is newly done, and how many more are lost."""
        self._learn_records(journal, now)
        changes = self._learn_cursors(journal, now)
        self._check_trim(journal)
        return changes

    def _learn_records(self, journal: MemoryJournal, now: float) -> None:
        for record in journal.read(max(self.sequence, journal.first - 1), 1 << 60):
            _, first, count, _, _, epoch, mark = _CHUNK.unpack_from(record.body)
            rows: list[Any] = msgspec.msgpack.decode(record.body[_CHUNK.size :])
            if journal.first > self.sequence + 1 and record.sequence == journal.first:
                self._fill(first, now)  # they were trimmed as soon as they were there
            if first != self.tip + 1 or count != len(rows) or count < 1:
                raise Broken(f"{self}: a chunk has {count} ({len(rows)}) records from {first} on, behind {self.tip}")
            if epoch < self.epoch:
                raise Broken(f"{self}: a chunk is of epoch {epoch}, after {self.epoch}")
            self.epoch = epoch
            for number, row in enumerate(rows, first):
                if self.taken.get(number) != row[1]:
                    raise Broken(f"{self}: {number} is {row[1]}, taken was {self.taken.get(number)}")
                self.lines[number] = Line(number, row[1], epoch, mark, now)
            self.tip += count
        state = journal.get(_STATE, b"state")
        if journal.first > self.sequence + 1 and state is not None:
            self._fill(msgspec.msgpack.decode(state)[0], now)
        self.sequence = journal.position.sequence

    def _fill(self, until: int, now: float) -> None:
        for number in range(self.tip + 1, until):
            self.lines[number] = Line(number, self.taken[number], self.epoch, b"", now)
            self.tip = number

    def _learn_cursors(self, journal: MemoryJournal, now: float) -> list[tuple[Registration, set[int], int]]:
        changes = []
        found: dict[str, Any] = {key.decode(): msgspec.msgpack.decode(row) for key, row in journal.rows(_CURSORS)}
        for name in [name for name in self.names if name not in found]:
            if not self.was_reset(name, now - 30.0):
                raise Broken(f"{self}: {name} is not known any more")
            del self.names[name]
        for name, (floor, ranges, _, lost, *_) in found.items():
            known = self.names.get(name)
            if known is not None and (floor < known.floor or lost < known.lost):
                if not self.was_reset(name, now - 30.0):
                    raise Broken(f"{self}: {name} went back from {known.floor} to {floor}")
                known = None
            if known is None:
                known = self.names[name] = Registration(name, floor, now, floor, lost=lost)
            done = {number for first, last in ranges for number in range(first, last + 1)}
            news = (done | set(range(known.floor + 1, floor + 1))) - known.done
            missing = {number for number in known.done if number > floor} - done
            if missing and not self.was_reset(name, now - 30.0):
                raise Broken(f"{self}: {name} had {sorted(missing)[:5]} done, and has not any more")
            if news or lost != known.lost:
                changes.append((known, news, lost - known.lost))
            known.floor, known.lost = floor, lost
            known.done |= news
            if max(known.done, default=0) > self.tip:
                raise Broken(f"{self}: {name} has {max(known.done)} done, there is {self.tip}")
        return changes

    def _check_trim(self, journal: MemoryJournal) -> None:
        records = journal.read(journal.first - 1, 1)
        oldest = _CHUNK.unpack_from(records[0].body)[1] if records else self.tip + 1
        for number in range(self.oldest, oldest):
            for registration in self.names.values():
                if registration.floor < number and number not in registration.done and not self.limits:
                    raise Broken(f"{self}: {number} was trimmed, and {registration.name} has not had it")
        self.oldest = oldest

    def set_back(self, journal: MemoryJournal, lines: dict[int, Line], now: float) -> None:
        """Take note that it was restored from a backup, which had these records."""
        self.restored = True
        self.reset("*", now)
        self.ghosts.update({line.uid: line for line in self.lines.values()})
        self.lines = dict(lines)
        self.sequence = journal.position.sequence
        self.tip = self.promised = max(lines, default=0)
        self.oldest = 1
        self.epoch = 0
        self.names.clear()
        self._learn_cursors(journal, now)

    def __str__(self) -> str:
        return f"spool {self.journal.hex()[:4]} of {self.stream} at {self.writer}"
