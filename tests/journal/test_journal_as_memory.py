"""A journal on disk shows what one in memory shows, whatever was done."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from journals import ID, TABLES, commit_of, contents, drained, in_memory, opened

from broker.journal import verify
from broker.journaling import Journal, Load, Position, Row, Swap

FEW = st.binary(max_size=3) | st.text("\0a\xff", max_size=4).map(str.encode)
LONG = st.builds(
    lambda first, length, last: first * length + last,
    st.sampled_from([b"a", b"\0", b"\xff"]),
    st.sampled_from([476, 477, 478, 479, 510, 511, 512, 700]),
    st.binary(max_size=2),
)
KEYS = FEW | LONG
VALUES = st.binary(max_size=5) | st.sampled_from([b"v" * 3000, b"w" * 9000])
TABLE = st.integers(0, len(TABLES) - 1)
CHANGES = st.dictionaries(TABLE, st.dictionaries(KEYS, st.none() | VALUES, max_size=5), max_size=2)
ROWS = st.lists(st.tuples(TABLE, KEYS, VALUES), max_size=12)


class SameAsMemory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "hosts.lmdb"
        self.disk = opened(self.path)
        self.memory = in_memory()
        self.snapshots: list[tuple[Any, list[Row]]] = []

    def both(self) -> tuple[Journal, Journal]:
        return self.disk, self.memory

    @rule(
        bodies=st.lists(st.binary(max_size=6), max_size=4),
        rows=CHANGES,
        cleared=st.lists(st.tuples(TABLE, KEYS), max_size=2),
        behind=st.integers(-1, 8),
        epoch=st.integers(1, 5),
    )
    def commit(
        self,
        bodies: list[bytes],
        rows: dict[int, dict[bytes, bytes | None]],
        cleared: list[tuple[int, bytes]],
        behind: int,
        epoch: int,
    ) -> None:
        for journal in self.both():
            trim = max(0, journal.position.sequence - behind)
            journal.carry_out(commit_of(journal.position, bodies, rows, cleared, trim, epoch))
            journal.refresh()

    @rule(rows=ROWS, first=st.booleans())
    def load(self, rows: list[Row], first: bool) -> None:
        for journal in self.both():
            journal.carry_out(Load(rows, first))

    @rule(sequence=st.integers(0, 50))
    def swap(self, sequence: int) -> None:
        for journal in self.both():
            journal.carry_out(Swap(Position(ID[::-1], 7, sequence, b"checksum")))

    @rule(rows=ROWS, sequence=st.integers(0, 50))
    def load_and_swap(self, rows: list[Row], sequence: int) -> None:
        self.load(rows, first=True)
        self.swap(sequence)

    @rule()
    def reopen(self) -> None:
        self.close_snapshots()
        self.disk.close()
        self.memory.carry_out(Load([], first=True))  # what was put aside is gone with the process
        self.disk = opened(self.path)

    @rule()
    def compact(self) -> None:
        self.disk.compact()

    @rule(tables=st.lists(TABLE, unique=True).map(tuple))
    def take_snapshot(self, tables: tuple[int, ...]) -> None:
        rows = drained(self.memory.snapshot(tables))
        self.snapshots.append((self.disk.snapshot(tables), sorted(rows)))

    @precondition(lambda self: self.snapshots)
    @rule(limit=st.integers(1, 5000))
    def read_snapshot(self, limit: int) -> None:
        snapshot, rows = self.snapshots.pop()
        assert sorted(drained(snapshot, limit)) == rows

    @rule(table=TABLE, prefix=KEYS)
    def look(self, table: int, prefix: bytes) -> None:
        assert self.disk.get(table, prefix) == self.memory.get(table, prefix)
        assert list(self.disk.rows(table, prefix)) == list(self.memory.rows(table, prefix))

    @invariant()
    def the_same(self) -> None:
        assert contents(self.disk) == contents(self.memory)

    def close_snapshots(self) -> None:
        for snapshot, _ in self.snapshots:
            snapshot.close()
        self.snapshots.clear()

    def teardown(self) -> None:
        self.close_snapshots()
        self.disk.close()
        report = verify(self.path)
        assert report.problems == ()
        assert report.records == self.memory.position.sequence - self.memory.first + 1
        assert report.rows == sum(map(self.memory.count, range(len(TABLES))))
        shutil.rmtree(self.directory)


TestSameAsMemory = SameAsMemory.TestCase
TestSameAsMemory.settings = settings(max_examples=30, stateful_step_count=25)
