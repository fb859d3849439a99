"""What a journal on disk promises beyond what one in memory does: lasting, threads, long trims, backups."""

from __future__ import annotations

import resource
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from journals import ID, commit, commit_of, contents, opened, replaced

from broker.errors import JournalDamaged, JournalError
from broker.journal import DiskJournal, lmdbs, verify
from broker.journaling import Load, Position, Swap


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hosts.lmdb"


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    journal = opened(path)
    commit(journal, b"one", b"two", rows={0: {b"key": b"value", b"": b""}}, epoch=3)
    before = contents(journal)
    journal.close()
    journal = opened(path)
    assert contents(journal) == before
    assert journal.position.epoch == 3
    assert journal.info().rows == {"entries": 2, "elements": 0, "expiries": 0}
    journal.close()


def test_closed_journal_says_so_and_closes_twice(path: Path) -> None:
    journal = opened(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        _ = journal.position
    with pytest.raises(JournalError, match="closed"):
        journal.carry_out(commit_of(Position(ID, 0, 0, bytes(8)), [b"late"]))


def test_records_out_of_sequence_are_refused_and_nothing_of_them_is_done(path: Path) -> None:
    journal = opened(path)
    wrong = commit_of(Position(ID, 0, 7, bytes(8)), [b"from elsewhere"], rows={0: {b"key": b"value"}})
    with pytest.raises(ValueError, match="1 records from 0 to 8"):
        journal.carry_out(wrong)
    assert journal.get(0, b"key") is None
    journal.close()


def test_long_log_is_trimmed_in_steps(path: Path) -> None:
    journal = opened(path)
    commit(journal, *[b"body"] * 5000)
    commit(journal, b"next", trim=4000)
    assert 1 < journal.first < 4001  # bounded: nobody waits long for one commit
    steps = 0
    while journal.first <= 4000:
        first = journal.first
        commit(journal)
        assert journal.first > first
        steps += 1
    assert steps < 10
    assert journal.first == 4001
    assert journal.log_bytes == 1001 * 4
    assert journal.checksum_at(4000) is not None
    with pytest.raises(LookupError, match="record 4000 is no longer kept: the log begins with 4001"):
        journal.read(3999, 100)
    journal.close()


def test_reader_sees_one_moment_while_another_thread_commits(path: Path) -> None:
    journal = opened(path)
    end = threading.Event()
    commits = 300

    def work() -> None:
        position = journal.position
        for number in range(1, commits + 1):
            # Both rows and the record say the same number.
            made = commit_of(position, [b"%d" % number], {0: {b"a": b"%d" % number, b"b" * 600: b"%d" % number}})
            journal.carry_out(made)
            position = made.position
        end.set()

    seen: set[int] = set()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        while not end.is_set() and not done.done():
            rows = dict(journal.rows(0))
            assert len(set(rows.values())) <= 1
            sequence = journal.position.sequence
            assert int(journal.get(0, b"a") or 0) == sequence
            assert journal.first + journal.count(0) >= 1
            snapshot = journal.snapshot((0,))
            found = snapshot.read(1 << 20)
            assert {int(value) for _, _, value in found} <= {sequence}
            assert snapshot.position.sequence == sequence
            snapshot.close()
            seen.add(sequence)
            journal.refresh()
        done.result()
    journal.refresh()
    assert journal.position.sequence == commits
    assert len(seen) > 1
    journal.close()


def test_reader_survives_swaps_and_compactions_in_another_thread(path: Path) -> None:
    journal = opened(path)
    rounds = 30

    def work() -> None:
        for number in range(1, rounds + 1):
            rows = [(0, b"%d" % key, b"%d" % number) for key in range(50)]
            journal.carry_out(Load(rows, first=True))
            journal.carry_out(Swap(Position(ID, 1, number, bytes(8))))
            journal.compact()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        while not done.done():
            values = {value for _, value in journal.rows(0)}
            assert len(values) <= 1
            journal.get(0, b"7")
            assert journal.position.sequence <= rounds
        done.result()
    assert journal.position.sequence == rounds
    journal.close()
    assert verify(path).ok


def test_reading_sees_what_was_done_when_it_is_told_so(path: Path) -> None:
    journal = opened(path)
    commit(journal, b"one", rows={0: {b"key": b"one"}})
    before = contents(journal)
    first = commit_of(journal.position, [b"two"], rows={0: {b"key": b"two"}})
    journal.carry_out(first)
    assert contents(journal) == before
    snapshot = journal.snapshot((0,))  # of what is seen, not of what is on disk
    assert snapshot.position == before["position"]
    journal.carry_out(commit_of(first.position, [b"three"], rows={0: {b"key": b"three"}}))
    assert contents(journal) == before
    journal.refresh()
    assert journal.get(0, b"key") == b"three"
    assert journal.position.sequence == 3
    assert snapshot.read(1000) == [(0, b"key", b"one")]
    snapshot.close()
    journal.close()


def test_work_may_come_from_different_threads(path: Path) -> None:
    journal = opened(path)
    for _ in range(5):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(commit, journal, b"body", rows={0: {b"key": b"value"}}).result()
            pool.submit(replaced, journal, [(1, b"key", b"value")], journal.position).result()
    assert journal.position.sequence == 5
    journal.close()


def test_rows_that_are_being_read_are_of_one_moment(path: Path) -> None:
    journal = opened(path)
    commit(journal, rows={0: {b"%03d" % number: b"old" for number in range(100)}})
    rows = journal.rows(0)
    first = next(rows)
    commit(journal, rows={0: {b"%03d" % number: b"new" for number in range(100)}})
    assert {value for _, value in (first, *rows)} == {b"old"}
    assert journal.get(0, b"000") == b"new"
    journal.close()


def test_closing_ends_iterators_that_were_left(path: Path) -> None:
    journal = opened(path)
    commit(journal, rows={0: {b"%03d" % number: b"old" for number in range(100)}})
    rows = journal.rows(0)
    next(rows)
    commit(journal, b"body")
    journal.close()
    with pytest.raises(JournalError):
        list(rows)
    opened(path).close()


def test_load_that_was_not_swapped_in_leaves_nothing(path: Path) -> None:
    journal = opened(path)
    commit(journal, b"body", rows={0: {b"key": b"value"}})
    before = contents(journal)
    journal.carry_out(Load([(0, b"other", b"state")], first=True))
    assert contents(journal) == before
    journal.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["hosts.lmdb", "hosts.lmdb-lock"]


def test_backup_is_a_journal_of_its_moment(path: Path) -> None:
    journal = opened(path)
    commit(journal, *[b"body"] * 100, rows={0: {b"%d" % number: b"value" for number in range(1000)}})
    before = contents(journal)
    target = path.with_name("backup.lmdb")
    journal.backup(target)
    whole = target.read_bytes()
    with pytest.raises(JournalError, match="it is there already"):
        journal.backup(target)
    assert target.read_bytes() == whole
    commit(journal, b"later")
    assert verify(target).ok
    restored = opened(target)
    assert contents(restored) == before
    restored.close()
    assert not list(path.parent.glob("*.partial*"))
    journal.close()


def test_backup_while_another_thread_commits(path: Path) -> None:
    journal = opened(path)

    def work() -> None:
        for number in range(200):
            commit(journal, b"body", rows={0: {b"k%d" % number: b"v"}})

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        copies = 0
        while not done.done():
            target = path.with_name(f"backup {copies}.lmdb")
            journal.backup(target)
            report = verify(target)
            assert report.ok
            assert report.position is not None
            assert report.rows == report.position.sequence
            copies += 1
        done.result()
    assert copies > 1
    journal.close()


def test_backup_to_nowhere_says_so_and_harms_nothing(path: Path) -> None:
    journal = opened(path)
    commit(journal, b"body")
    with pytest.raises(JournalError, match="No such file or directory"):
        journal.backup(path.parent / "none" / "backup.lmdb")
    commit(journal, b"body")
    journal.close()


def test_compaction_gives_room_back(path: Path) -> None:
    journal = opened(path)
    commit(journal, rows={0: {b"%05d" % number: b"value" * 20 for number in range(20_000)}})
    commit(journal, rows={0: {}}, cleared=[(0, b"0"), (0, b"10")])
    before, large = contents(journal), journal.info()
    journal.compact()
    small = journal.info()
    assert small.file_bytes < large.file_bytes / 1.5
    assert contents(journal) == before
    commit(journal, b"goes on")
    journal.close()
    assert verify(path).ok


def test_failed_swap_leaves_the_old_state_and_can_be_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(path)
    commit(journal, b"body", rows={0: {b"key": b"old"}})
    before = contents(journal)

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    journal.carry_out(Load([(0, b"key", b"new")], first=True))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.carry_out(Swap(Position(ID, 2, 9, bytes(8))))
        assert contents(journal) == before
        with pytest.raises(JournalError, match="Input/output error"):
            journal.compact()
        assert contents(journal) == before
    commit(journal, b"goes on")
    replaced(journal, [(0, b"key", b"new")], Position(ID, 2, 9, bytes(8)))
    assert journal.get(0, b"key") == b"new"
    journal.close()


def test_damaged_row_is_never_taken_for_what_was_written(path: Path) -> None:
    journal = opened(path)
    commit(journal, b"body", rows={1: {b"key": b"precious", b"long" * 200: b"as well"}})
    journal.close()
    path.write_bytes(path.read_bytes().replace(b"precious", b"gracious").replace(b"as well", b"as bell"))
    journal = opened(path)
    for read in (lambda: journal.get(1, b"key"), lambda: list(journal.rows(1)), lambda: journal.get(1, b"long" * 200)):
        with pytest.raises(JournalDamaged, match="is not what was written: restore it from a backup"):
            read()
    snapshot = journal.snapshot((1,))
    with pytest.raises(JournalDamaged):
        snapshot.read(1000)
    journal.close()


def test_map_grows_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.journal.lmdbs._RESERVED_BYTES", 1 << 20)
    journal = opened(path)
    snapshot = journal.snapshot((0,))
    for number in range(60):
        commit(journal, b"body", rows={0: {b"%d" % number: b"v" * 100_000}})
    info = journal.info()
    assert info.file_bytes > 5 << 20
    assert info.map_bytes >= info.file_bytes
    assert snapshot.read(1000) == []
    assert journal.get(0, b"0") == b"v" * 100_000
    journal.close()
    assert verify(path).ok


def test_less_address_space_is_taken_where_there_is_less(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, hard))
    try:
        journal = opened(path)
        assert lmdbs._RESERVED_BYTES_MIN <= journal.info().map_bytes <= 1 << 30
        commit(journal, b"body")
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_switch_interval_is_as_before(path: Path) -> None:
    before = sys.getswitchinterval()
    journal = opened(path)
    commit(journal, b"body")
    assert sys.getswitchinterval() == before
    journal.close()


def test_reading_ahead_of_the_log_gives_nothing(path: Path) -> None:
    journal: DiskJournal = opened(path)
    commit(journal, b"a", b"b" * 50, b"c")
    assert [record.sequence for record in journal.read(0, 51)] == [1, 2]
    assert [record.sequence for record in journal.read(1, 1)] == [2]
    assert journal.read(3, 100) == []
    assert journal.read(9, 100) == []
    assert journal.checksum_at(4) is None
    journal.close()
