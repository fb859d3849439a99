"""The journal as the core sees it: positions, records, what is to be committed, and a journal in memory.

A **journal** is an ordered log of records with dense sequences, and tables of rows that change with it.  Both change in
one step, by :class:`Commit`, and nothing is told to anybody before that is done.  :mod:`broker.journal` keeps one on
disk, in LMDB; :class:`MemoryJournal` keeps one in memory; :mod:`broker.testing` has one on a simulated disk.

**Positions.**  Each record has a sequence (1, 2, 3...) and a checksum that is computed from the one before it and its
own bytes: a chain.  So two logs that agree in the checksum at one sequence agree in all before it, and a log that took
another course, as after a restore from an old backup, is found out by comparing one number.  An **epoch** counts how
often the journal's owner has begun to write as the authority.

**Tables** are ordered maps of bytes to bytes, called by their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol, Self

from msgspec import Struct
from sortedcontainers import SortedDict

__all__ = [
    "CHECKSUM_BYTES",
    "Commit",
    "Journal",
    "Load",
    "MemoryJournal",
    "Position",
    "Record",
    "Row",
    "Snapshot",
    "Swap",
    "Work",
    "chain",
    "prefix_end",
]

CHECKSUM_BYTES: Final = 8
_NO_CHECKSUM: Final = bytes(CHECKSUM_BYTES)

Row = tuple[int, bytes, bytes]
"""Of a snapshot: the table's number, the key and the value."""


class Position(Struct, frozen=True, array_like=True, gc=False):
    """A point in a journal's order: behind the record of that sequence; 0 is before the first.

    ``journal`` is the journal's id (16 random bytes, made with it), ``checksum`` the chain's value there.  As text, and
    back by :meth:`parse`: ``4b8b...:2:1017:90ab12cd34ef5678``.
    """

    journal: bytes
    epoch: int
    sequence: int
    checksum: bytes

    def __str__(self) -> str:
        return f"{self.journal.hex()}:{self.epoch}:{self.sequence}:{self.checksum.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` gave; raises ValueError for anything else."""
        try:
            journal, epoch, sequence, checksum = text.split(":")
            found = cls(bytes.fromhex(journal), int(epoch), int(sequence), bytes.fromhex(checksum))
        except (AttributeError, ValueError):
            raise ValueError(f"not a position: {text!r:.100}") from None
        if (len(found.journal), len(found.checksum)) != (16, CHECKSUM_BYTES) or min(found.epoch, found.sequence) < 0:
            raise ValueError(f"not a position: {text!r:.100}")
        return found


class Record(NamedTuple):
    """One entry of the log."""

    sequence: int
    checksum: bytes
    body: bytes


def chain(checksum: bytes, body: bytes) -> bytes:
    """Return a record's checksum from that of the record before it: BLAKE2b of both, 8 bytes (RFC 7693)."""
    return blake2b(checksum + body, digest_size=CHECKSUM_BYTES).digest()


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the least key behind all that begin with ``prefix``; None: there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


class Commit(Struct):
    """Append these records and change these rows, in one step that a crash leaves done or not done.

    ``cleared`` are (table, prefix): all rows whose keys begin so are removed before ``rows`` are set (None: removed).
    Records up to ``trim`` are dropped.
    """

    position: Position  # that of the last record when it is done
    records: list[Record]
    rows: dict[int, dict[bytes, bytes | None]]
    cleared: list[tuple[int, bytes]]
    trim: int = 0


class Load(Struct):
    """Put these rows aside, for the state that :class:`Swap` will put in place of the present one.

    ``first`` begins anew: what was put aside before is dropped.
    """

    rows: list[Row]
    first: bool


class Swap(Struct):
    """Put what was loaded in place of all that there is, in one step; the log begins anew behind ``position``."""

    position: Position


Work = Commit | Load | Swap


class Snapshot(Protocol):
    """Tables as they were at one position, while writing goes on.  Close it; it may be slow to read, but not idle."""

    position: Position

    def read(self, limit_bytes: int) -> list[Row]:
        """Return the next rows, of about so many bytes; none: that was all."""

    def close(self) -> None:
        """Let go of it."""


class Journal(Protocol):
    """One journal.  All but :meth:`carry_out` show what was committed, and are quick."""

    volatile: bool  # in memory: work may be carried out at once

    @property
    def position(self) -> Position:
        """The end of the log."""

    @property
    def first(self) -> int:
        """The sequence of the oldest record that is kept; one more than the position's when there is none."""

    @property
    def log_bytes(self) -> int:
        """About what the kept records take."""

    def checksum_at(self, sequence: int) -> bytes | None:
        """Return the checksum at a sequence; None when it is not known (trimmed, or not there yet)."""

    def read(self, after: int, limit_bytes: int) -> list[Record]:
        """Return the records behind a sequence, at least one if there is any and then up to so many bytes.

        Raises LookupError when the record after it is no longer kept.
        """

    def get(self, table: int, key: bytes) -> bytes | None:
        """Return a row."""

    def rows(self, table: int, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Give all rows whose keys begin so, in the order of keys.  Nothing may be committed meanwhile."""

    def count(self, table: int) -> int:
        """Return how many rows there are."""

    def snapshot(self, tables: tuple[int, ...]) -> Snapshot:
        """Return these tables as they are now."""

    def carry_out(self, work: Work) -> None:
        """Do it.  This takes the time of a disk: call it in a thread, one at a time.

        Raises :class:`broker.errors.JournalError` when it could not be done; then nothing of it was.
        """

    def refresh(self) -> None:
        """Let reading see what :meth:`carry_out` has done: call it in the thread that reads."""

    def close(self) -> None:
        """Let go of it."""


class MemoryJournal:
    """A journal in memory, which ends with the process.

    A table is a dict until its order is asked for, and kept in order from then on: a store that is only looked up in
    by key never pays for it, which is a row's whole price twice over.
    """

    volatile = True

    def __init__(self, id_: bytes, tables: int) -> None:
        self._position = Position(id_, 0, 0, _NO_CHECKSUM)
        self._tables: list[Any] = [{} for _ in range(tables)]  # dict or SortedDict of bytes to bytes
        # A list, as readers who are behind begin anywhere in it; what is trimmed goes from it when it is half of it.
        self._log: list[Record] = []
        self._trimmed = 0  # so many at the front of the list are
        self._log_bytes = 0
        self._base = _NO_CHECKSUM  # the checksum before the first record
        self._aside: list[Row] = []

    @property
    def position(self) -> Position:
        """The end of the log."""
        return self._position

    @property
    def first(self) -> int:
        """The sequence of the oldest record that is kept."""
        return self._position.sequence - len(self._log) + self._trimmed + 1

    @property
    def log_bytes(self) -> int:
        """What the kept records take."""
        return self._log_bytes

    def checksum_at(self, sequence: int) -> bytes | None:
        """Return the checksum at a sequence; None when it is not known."""
        index = sequence - self.first
        if index == -1:
            return self._base
        index += self._trimmed
        return self._log[index].checksum if self._trimmed <= index < len(self._log) else None

    def read(self, after: int, limit_bytes: int) -> list[Record]:
        """Return the records behind a sequence; raises LookupError when the next is no longer kept."""
        start = after + 1 - self.first
        if start < 0:
            raise LookupError(f"record {after + 1} is no longer kept: the log begins with {self.first}")
        found: list[Record] = []
        size = 0
        for index in range(start + self._trimmed, len(self._log)):
            record = self._log[index]
            size += len(record.body)
            if found and size > limit_bytes:
                break
            found.append(record)
        return found

    def get(self, table: int, key: bytes) -> bytes | None:
        """Return a row."""
        found: bytes | None = self._tables[table].get(key)
        return found

    def _ordered(self, table: int) -> Any:
        rows = self._tables[table]
        if type(rows) is dict:
            rows = self._tables[table] = SortedDict(rows)
        return rows

    def rows(self, table: int, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Give all rows whose keys begin so, in the order of keys."""
        rows = self._ordered(table)
        for key in rows.irange(prefix, prefix_end(prefix), inclusive=(True, False)):
            yield key, rows[key]

    def count(self, table: int) -> int:
        """Return how many rows there are."""
        return len(self._tables[table])

    def snapshot(self, tables: tuple[int, ...]) -> MemorySnapshot:
        """Return these tables as they are now: a copy of references, some 100 bytes for each row."""
        return MemorySnapshot(self._position, [(table, list(self._ordered(table).items())) for table in tables])

    def carry_out(self, work: Work) -> None:
        """Do it, at once."""
        if type(work) is Commit:
            self._commit(work)
        elif type(work) is Load:
            if work.first:
                self._aside = []
            self._aside += work.rows
        elif type(work) is Swap:
            self._swap(work.position, self._aside)
            self._aside = []

    def _commit(self, work: Commit) -> None:
        for table, prefix in work.cleared:
            self._remove(table, prefix)
        for table, changed in work.rows.items():
            rows = self._tables[table]
            for key, value in changed.items():
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        self._log += work.records
        for record in work.records:
            self._log_bytes += len(record.body)
        self._position = work.position
        if work.trim >= self.first:
            self._trim(work.trim)

    def _remove(self, table: int, prefix: bytes) -> None:
        if not prefix:
            self._tables[table].clear()
            return
        rows = self._ordered(table)
        for key in list(rows.irange(prefix, prefix_end(prefix), inclusive=(True, False))):
            del rows[key]

    def _trim(self, upto: int) -> None:
        kept = self._log
        end = min(len(kept), self._trimmed + upto - self.first + 1)
        if end == self._trimmed:
            return  # there is none
        self._base = kept[end - 1].checksum
        self._log_bytes -= sum([len(kept[index].body) for index in range(self._trimmed, end)])
        self._trimmed = end
        if 2 * end >= len(kept):
            del kept[:end]
            self._trimmed = 0

    def _swap(self, position: Position, loaded: Iterable[Row]) -> None:
        fresh: list[dict[bytes, bytes]] = [{} for _ in self._tables]
        for table, key, value in loaded:
            fresh[table][key] = value
        self._tables = list(fresh)
        self._log, self._trimmed, self._log_bytes = [], 0, 0
        self._position, self._base = position, position.checksum

    def refresh(self) -> None:
        """Reading sees everything as it is."""

    def close(self) -> None:
        """Nothing is held."""


class MemorySnapshot:
    """Tables of a :class:`MemoryJournal` as they were."""

    def __init__(self, position: Position, tables: list[tuple[int, list[tuple[bytes, bytes]]]]) -> None:
        self.position = position
        self._rows = ((table, key, value) for table, rows in tables for key, value in rows)

    def read(self, limit_bytes: int) -> list[Row]:
        """Return the next rows."""
        found: list[Row] = []
        size = 0
        for row in self._rows:
            found.append(row)
            size += len(row[1]) + len(row[2])
            if size >= limit_bytes:
                break
        return found

    def close(self) -> None:
        """Let go of it."""
        self._rows = iter(())  # type: ignore[assignment]
