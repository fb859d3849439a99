"""Snapshots are of one moment, however slowly they are read, and the file does not grow by it for long."""

from __future__ import annotations

from pathlib import Path

import pytest
from journals import TABLES, commit, drained, opened, replaced

from broker.errors import JournalFull
from broker.journal import DiskJournal
from broker.journaling import Position, Row

ROWS = [(0, b"%06d" % number, b"v" * 40) for number in range(5000)]
POSITION = Position(bytes(16), 1, 9, bytes(8))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rewrite(journal: DiskJournal, times: int) -> None:
    """Change every tenth row, so many times."""
    for number in range(times):
        commit(journal, b"record", rows={0: {key: b"%040d" % number for _, key, _ in ROWS[number % 10 :: 10]}})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> DiskJournal:
    journal = opened(tmp_path / "hosts.lmdb", clock=clock, snapshot_s=5)
    replaced(journal, ROWS, POSITION)
    return journal


def test_snapshot_is_of_the_moment_it_was_taken(journal: DiskJournal) -> None:
    snapshot = journal.snapshot((0, 1))
    commit(journal, b"later", rows={0: {ROWS[0][1]: None}, 1: {b"x": b"y"}})
    assert snapshot.position == POSITION
    assert drained(snapshot) == ROWS
    assert journal.position.sequence == POSITION.sequence + 1
    journal.close()


@pytest.mark.parametrize("read_before", [0, 1, 999, 1000, 2500, 4999, 5000])
def test_overdue_snapshot_goes_on_at_the_same_row(journal: DiskJournal, clock: Clock, read_before: int) -> None:
    snapshot = journal.snapshot((0,))
    found: list[Row] = []
    while len(found) < read_before:
        found += snapshot.read(1)
    clock.now += 6
    commit(journal, rows={0: {ROWS[-1][1]: None}})
    assert not snapshot.holds_pages
    assert found + drained(snapshot) == ROWS
    journal.close()


def test_reading_while_the_rest_is_copied_loses_and_repeats_nothing(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = journal.snapshot((0,))
    found = snapshot.read(4000)
    batch_of = type(snapshot)._batch

    def batch_and_read(self: object, rows: object) -> list[Row]:
        found.extend(snapshot.read(9000))
        return batch_of(snapshot, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(type(snapshot), "_batch", batch_and_read)
    snapshot.let_go()
    assert not snapshot.holds_pages
    assert found + drained(snapshot) == ROWS
    journal.close()


@pytest.mark.parametrize("ends", ["read", "closed"])
def test_snapshot_may_end_while_it_is_copied(journal: DiskJournal, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    snapshot = journal.snapshot((0,))
    batch_of = type(snapshot)._batch

    def batch_and_end(self: object, rows: object) -> list[Row]:
        if ends == "closed":
            snapshot.close()
        else:
            assert drained(snapshot) == ROWS
        return batch_of(snapshot, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(type(snapshot), "_batch", batch_and_end)
    snapshot.let_go()
    assert snapshot.read(1000) == []
    journal.close()


def test_stalled_snapshot_makes_the_file_grow_for_its_time_alone(journal: DiskJournal, clock: Clock) -> None:
    rewrite(journal, 20)
    before = journal.info().file_bytes
    snapshot = journal.snapshot((0,))
    rows = drained(journal.snapshot((0,)))
    snapshot.read(1000)
    clock.now += 6
    rewrite(journal, 300)
    assert journal.info().file_bytes < 1.5 * before
    assert len(drained(snapshot)) + 22 >= len(rows)
    journal.close()


def test_snapshot_that_keeps_its_transaction_lets_the_file_grow(journal: DiskJournal) -> None:
    # What the test above would see without a deadline.
    rewrite(journal, 20)
    before = journal.info().file_bytes
    snapshot = journal.snapshot((0,))
    rewrite(journal, 300)
    assert journal.info().file_bytes > 10 * before
    snapshot.close()
    journal.close()


def test_journal_that_is_not_read_does_not_grow(journal: DiskJournal) -> None:
    rewrite(journal, 20)
    before = journal.info().file_bytes
    next(journal.rows(0))  # and no more of them
    rewrite(journal, 100)
    assert journal.info().file_bytes < 1.5 * before
    journal.close()


def test_snapshot_survives_swap_and_compaction(journal: DiskJournal) -> None:
    snapshot = journal.snapshot((0,))
    part = snapshot.read(1000)
    replaced(journal, [(0, b"new", b"state")], POSITION)
    journal.compact()
    assert part + drained(snapshot) == ROWS
    assert drained(journal.snapshot(tuple(range(len(TABLES))))) == [(0, b"new", b"state")]
    journal.close()


def test_no_room_for_the_copy_ends_the_snapshot_not_the_commit(
    journal: DiskJournal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    snapshot = journal.snapshot((0,))
    monkeypatch.setattr("broker.journal.snapshots._Copy.add", no_room)
    clock.now += 6
    commit(journal, b"goes on")
    assert not snapshot.holds_pages
    with pytest.raises(JournalFull, match="No space left"):
        snapshot.read(1000)
    snapshot.close()
    journal.close()


def test_snapshots_end_with_their_journal(journal: DiskJournal, tmp_path: Path) -> None:
    journal.snapshot((0,)).read(10)
    journal.close()
    opened(tmp_path / "hosts.lmdb").close()
