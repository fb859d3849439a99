"""Journals for tests, and work for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from broker.journal import DiskJournal, open_journal
from broker.journaling import Commit, Journal, Load, MemoryJournal, Position, Record, Row, Swap, chain

TABLES = ("entries", "elements", "expiries")
ID = bytes(range(16))


def opened(path: Path, **options: Any) -> DiskJournal:
    """The journal of the store "hosts" in that file."""
    given: dict[str, Any] = {"kind": "store", "name": "hosts", "role": "master", "tables": TABLES, "id_": ID}
    return open_journal(path, **(given | options))


def in_memory() -> MemoryJournal:
    return MemoryJournal(ID, len(TABLES))


def commit_of(
    position: Position,
    bodies: Iterable[bytes] = (),
    rows: dict[int, dict[bytes, bytes | None]] | None = None,
    cleared: Iterable[tuple[int, bytes]] = (),
    trim: int = 0,
    epoch: int = 1,
) -> Commit:
    """The commit that appends these bodies behind a position."""
    records = []
    sequence, checksum = position.sequence, position.checksum
    for body in bodies:
        sequence, checksum = sequence + 1, chain(checksum, body)
        records.append(Record(sequence, checksum, body))
    return Commit(Position(position.journal, epoch, sequence, checksum), records, rows or {}, list(cleared), trim)


def commit(journal: Journal, *bodies: bytes, **rest: Any) -> None:
    journal.carry_out(commit_of(journal.position, bodies, **rest))
    journal.refresh()


def replaced(journal: Journal, rows: list[Row], position: Position) -> None:
    """Load these rows and swap them in."""
    journal.carry_out(Load(rows, first=True))
    journal.carry_out(Swap(position))
    journal.refresh()


def contents(journal: Journal) -> dict[str, Any]:
    """All that a journal shows."""
    first, end = journal.first, journal.position.sequence
    return {
        "position": journal.position,
        "first": first,
        "log_bytes": journal.log_bytes,
        "log": journal.read(first - 1, 1 << 30),
        "checksums": [journal.checksum_at(sequence) for sequence in range(max(0, first - 3), end + 2)],
        "rows": [list(journal.rows(table)) for table in range(len(TABLES))],
        "counts": [journal.count(table) for table in range(len(TABLES))],
    }


def drained(snapshot: Any, limit_bytes: int = 1000) -> list[Row]:
    """All rows of a snapshot, which is then closed."""
    found: list[Row] = []
    while batch := snapshot.read(limit_bytes):
        found += batch
    snapshot.close()
    return found
