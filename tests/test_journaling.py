"""The journal in memory, against a list and plain dicts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.journaling import Commit, Load, MemoryJournal, Position, Record, Row, Swap, chain, prefix_end

TABLES = 3
keys = st.binary(max_size=2) | st.sampled_from([b"", b"\xff", b"\xff\xff", b"a", b"a\xff"])
rows = st.dictionaries(st.integers(0, TABLES - 1), st.dictionaries(keys, st.none() | st.binary(max_size=3), max_size=6))
commits = st.tuples(
    rows, st.lists(st.tuples(st.integers(0, TABLES - 1), keys), max_size=2), st.integers(0, 4), st.integers(0, 6)
)
loads = st.lists(st.tuples(st.integers(0, TABLES - 1), keys, st.binary(max_size=3)), max_size=5)


def follow(position: Position, count: int) -> tuple[Position, list[Record]]:
    """So many records behind a position, and the position behind them."""
    records = []
    for _ in range(count):
        body = b"body %d" % position.sequence
        checksum = chain(position.checksum, body)
        records.append(Record(position.sequence + 1, checksum, body))
        position = Position(position.journal, position.epoch, position.sequence + 1, checksum)
    return position, records


def appended(kept: MemoryJournal, count: int, trim: int = 0) -> list[Record]:
    position, records = follow(kept.position, count)
    kept.carry_out(Commit(position, records, {}, [], trim))
    return records


@settings(max_examples=200)
@given(st.lists(commits | loads, max_size=12))
def test_it_keeps_what_a_list_and_dicts_would_keep(steps: list[object]) -> None:
    kept = MemoryJournal(b"j" * 16, TABLES)
    tables: list[dict[bytes, bytes]] = [{} for _ in range(TABLES)]
    log: list[Record] = []
    base = bytes(8)
    for step in steps:
        if isinstance(step, list):
            position = Position(b"k" * 16, 2, kept.position.sequence + 3, b"c" * 8)
            kept.carry_out(Load([(0, b"dropped", b"")], first=True))
            kept.carry_out(Load(step[:2], first=True))
            kept.carry_out(Load(step[2:], first=False))
            kept.carry_out(Swap(position))
            tables = [{key: row for table, key, row in step if table == number} for number in range(TABLES)]
            log, base = [], position.checksum
        else:
            assert isinstance(step, tuple)
            changed, cleared, count, behind = step
            position, records = follow(kept.position, count)
            trim = max(0, position.sequence - behind)
            kept.carry_out(Commit(position, records, changed, cleared, trim))
            for table, prefix in cleared:
                tables[table] = {key: row for key, row in tables[table].items() if not key.startswith(prefix)}
            for table, new in changed.items():
                tables[table].update(new)
                tables[table] = {key: row for key, row in tables[table].items() if row is not None}
            log += records
            while log and log[0].sequence <= trim:
                base = log.pop(0).checksum
        check(kept, tables, log, base)


def check(kept: MemoryJournal, tables: list[dict[bytes, bytes]], log: list[Record], base: bytes) -> None:
    first = kept.position.sequence - len(log) + 1
    assert kept.first == first
    assert kept.log_bytes == sum(len(record.body) for record in log)
    assert kept.read(first - 1, 1 << 30) == log
    assert [kept.checksum_at(record.sequence) for record in log] == [record.checksum for record in log]
    assert kept.checksum_at(first - 1) == base
    assert kept.checksum_at(first - 2) is None
    assert kept.checksum_at(kept.position.sequence + 1) is None
    for table, expected in enumerate(tables):
        assert kept.count(table) == len(expected)
        assert all(kept.get(table, key) == row for key, row in expected.items())
        assert kept.get(table, b"not there") is None
        if table:  # one is left as it is, out of order
            assert list(kept.rows(table)) == sorted(expected.items())
            for prefix in (b"a", b"\xff", b"\xff\xff"):
                inside = [(key, row) for key, row in sorted(expected.items()) if key.startswith(prefix)]
                assert list(kept.rows(table, prefix)) == inside


def test_records_are_read_up_to_a_size_and_at_least_one() -> None:
    kept = MemoryJournal(b"j" * 16, 1)
    records = appended(kept, 10)
    assert kept.read(3, 1) == records[3:4]
    assert kept.read(3, 2 * len(records[0].body)) == records[3:5]
    assert kept.read(10, 100) == []


def test_records_that_were_trimmed_are_not_read() -> None:
    kept = MemoryJournal(b"j" * 16, 1)
    appended(kept, 10)
    appended(kept, 1, trim=4)
    assert kept.read(4, 1 << 30)[0].sequence == 5
    with pytest.raises(LookupError, match="record 4 is no longer kept: the log begins with 5"):
        kept.read(3, 100)


def test_a_snapshot_stays_as_it_was_while_writing_goes_on() -> None:
    kept = MemoryJournal(b"j" * 16, 2)
    kept.carry_out(Commit(kept.position, [], {0: {b"b": b"2", b"a": b"1"}, 1: {b"c": b"3"}}, []))
    snapshot = kept.snapshot((0, 1))
    kept.carry_out(Commit(kept.position, [], {0: {b"a": None}, 1: {b"d": b"4"}}, [(1, b"")]))
    found: list[Row] = []
    while part := snapshot.read(1):
        assert len(part) == 1
        found += part
    assert found == [(0, b"a", b"1"), (0, b"b", b"2"), (1, b"c", b"3")]
    again = kept.snapshot((0, 1))
    again.close()
    assert again.read(100) == []


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_end_of_a_prefix_is_behind_all_that_begin_with_it_and_before_the_rest(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert (prefix <= key and (end is None or key < end)) == key.startswith(prefix)


@given(
    st.binary(min_size=16, max_size=16), st.integers(0, 2**63), st.integers(0, 2**63), st.binary(min_size=8, max_size=8)
)
def test_a_position_comes_back_from_its_text(name: bytes, epoch: int, sequence: int, checksum: bytes) -> None:
    position = Position(name, epoch, sequence, checksum)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "x", "00:1:2:00", f"{'00' * 16}:-1:2:{'00' * 8}", f"{'00' * 16}:1:2:{'00' * 8}:3"]
)
def test_a_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        Position.parse(text)


def test_a_log_without_records_can_be_trimmed() -> None:
    kept = MemoryJournal(bytes(16), TABLES)
    kept.carry_out(Commit(kept.position, [], {}, [], 5))
    assert (kept.first, kept.log_bytes, kept.checksum_at(0)) == (1, 0, bytes(8))
    appended(kept, 3, trim=3)
    appended(kept, 0, trim=9)
    assert (kept.first, kept.log_bytes) == (4, 0)
    assert kept.checksum_at(3) == kept.position.checksum
