"""The journal on disk: what :class:`broker.journaling.Journal` asks for, and backups."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb
from msgspec import Struct

from broker.errors import JournalDamaged, JournalError
from broker.journal.facts import FactsDamaged, Identity
from broker.journal.finding import find, scan
from broker.journal.home import Home
from broker.journal.keys import RowDamaged, in_order, plain_row, stored_key
from broker.journal.lmdbs import appear, lock_alone, probed, quick_switching, remove_file, translated
from broker.journal.loading import Incoming
from broker.journal.snapshots import DiskSnapshot
from broker.journal.writing import SEQUENCE_BYTES, apply, is_shrinking
from broker.journaling import CHECKSUM_BYTES, Commit, Load, Position, Record, Swap, Work

__all__ = ["DiskJournal", "JournalInfo"]

_OVER_LIMIT_BYTES_MIN: Final = 1 << 20


class JournalInfo(Struct, frozen=True, kw_only=True):
    """What a journal is and takes."""

    path: str
    kind: str
    name: str
    role: str
    format: int
    lmdb: str  # the version that made the file
    file_bytes: int
    used_bytes: int  # of the file; the rest is free for what is written next
    map_bytes: int  # address space: what the file can grow to, until more is taken
    rows: dict[str, int]  # of each table
    first: int
    last: int
    position: Position


class DiskJournal:
    """A journal in one file, made by :func:`broker.journal.open_journal`.

    One thread reads, at any time.  :meth:`carry_out` and :meth:`compact` are called in a worker thread, one at a time;
    :meth:`backup` in any.  What is read is what was committed before the last :meth:`refresh`: position, log and rows
    of one moment.  (Only :class:`Swap` and :meth:`compact`, which replace the file, show at once what there is.)
    """

    volatile = False

    def __init__(
        self, home: Home, identity: Identity, limit_bytes: int | None, snapshot_s: float, clock: Callable[[], float]
    ) -> None:
        self.path = home.path
        self.identity = identity
        self._home = home
        self._limit_bytes = limit_bytes
        self._snapshot_s = snapshot_s
        self._clock = clock
        self._snapshots: set[DiskSnapshot] = set()
        self._snapshots_lock = threading.Lock()
        self._incoming: Incoming | None = None
        self._trim = 0  # what a commit has left to the next ones
        home.end_snapshots = self._let_snapshots_go
        home.has_snapshots = self._has_snapshots

    def __repr__(self) -> str:
        return f"<DiskJournal {self.path}>"

    # -- reading: the main thread --

    @property
    def position(self) -> Position:
        """The end of the log."""
        with self._home.lock:
            return self._home.view().position

    @property
    def first(self) -> int:
        """The sequence of the oldest record that is kept."""
        with self._home.lock:
            return self._home.view().state.base + 1

    @property
    def log_bytes(self) -> int:
        """What the kept records take."""
        with self._home.lock:
            return self._home.view().state.log_bytes

    def checksum_at(self, sequence: int) -> bytes | None:
        """Return the checksum at a sequence; None when it is not known."""
        with self._home.lock:
            view = self._home.view()
            if sequence == view.state.base:
                return view.state.base_checksum
            if not view.state.base < sequence <= view.state.sequence:
                return None
            try:
                found = view.transaction.get(sequence.to_bytes(SEQUENCE_BYTES, "big"), db=view.tables.log)
            except lmdb.Error as error:
                raise self._home.failed_view(error) from error
        if found is None:
            raise JournalDamaged(self.path, f"record {sequence} is missing: restore it from a backup")
        return bytes(found[:CHECKSUM_BYTES])

    def read(self, after: int, limit_bytes: int) -> list[Record]:
        """Return the records behind a sequence; raises LookupError when the next is no longer kept."""
        found: list[Record] = []
        size = 0
        with self._home.lock:
            view = self._home.view()
            if after < view.state.base:
                raise LookupError(f"record {after + 1} is no longer kept: the log begins with {view.state.base + 1}")
            if after >= view.state.sequence:
                return found
            try:
                with view.transaction.cursor(db=view.tables.log) as cursor:
                    cursor.set_key((after + 1).to_bytes(SEQUENCE_BYTES, "big"))
                    for key, data in cursor:
                        size += len(data) - CHECKSUM_BYTES
                        if found and size > limit_bytes:
                            break
                        found.append(
                            Record(int.from_bytes(key, "big"), data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]),
                        )
            except lmdb.Error as error:
                raise self._home.failed_view(error) from error
        return found

    def get(self, table: int, key: bytes) -> bytes | None:
        """Return a row; raises JournalDamaged when it is not what was written."""
        stored = stored_key(key)
        try:
            with self._home.lock:
                view = self._home.view()
                try:
                    data = find(view.transaction, view.tables.rows[table], stored)
                except lmdb.Error as error:
                    raise self._home.failed_view(error) from error
            return None if data is None else plain_row(stored, data)[1]
        except RowDamaged as error:
            raise self._damaged(error) from None

    def _damaged(self, error: RowDamaged) -> JournalDamaged:
        return JournalDamaged(self.path, f"{error}: restore it from a backup (broker journal verify finds all)")

    def rows(self, table: int, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Give all rows whose keys begin so, in the order of keys; raises JournalDamaged at one that is damaged.

        It is the rows of one moment, even while something is committed.
        """
        with self._home.using_view() as view:
            try:
                yield from in_order(scan(view.transaction, view.tables.rows[table], prefix))
            except RowDamaged as error:
                raise self._damaged(error) from None
            except lmdb.Error as error:  # damaged, or closed meanwhile
                with self._home.lock:
                    raise self._home.failed_view(error) from error

    def count(self, table: int) -> int:
        """Return how many rows there are."""
        with self._home.lock:
            view = self._home.view()
            try:
                entries: int = view.transaction.stat(view.tables.rows[table])["entries"]
            except lmdb.Error as error:
                raise self._home.failed_view(error) from error
            return entries

    def snapshot(self, tables: tuple[int, ...]) -> DiskSnapshot:
        """Return these tables as they are now."""
        with self._home.lock:
            try:
                view = self._home.snapshot_view()
            except (lmdb.Error, FactsDamaged) as error:
                raise self._home.failure(error) from error
            until_s = self._clock() + self._snapshot_s
            made = DiskSnapshot(self.path, view, tables, until_s, self._home.release, self._forget)
            with self._snapshots_lock:
                self._snapshots.add(made)
        return made

    def _has_snapshots(self) -> bool:
        with self._snapshots_lock:
            return any(snapshot.holds_pages for snapshot in self._snapshots)

    def _forget(self, snapshot: DiskSnapshot) -> None:
        with self._snapshots_lock:
            self._snapshots.discard(snapshot)

    def _let_snapshots_go(self, now: float | None = None) -> None:
        """End the transactions of snapshots that have had their time; of all without a time."""
        if not self._snapshots:
            return
        with self._snapshots_lock:
            due = [one for one in self._snapshots if one.holds_pages and (now is None or one.until_s <= now)]
        for snapshot in due:
            snapshot.let_go()

    def refresh(self) -> None:
        """Let reading see what :meth:`carry_out` has done: call it in the thread that reads."""
        self._home.refresh()

    # -- writing: a worker thread --

    def carry_out(self, work: Work) -> None:
        """Do it.  Raises JournalError when it could not be done; then nothing of it was."""
        if type(work) is Commit:
            self._commit(work)
        elif type(work) is Load:
            self._load(work)
        elif type(work) is Swap:
            self._swap(work.position)

    def _commit(self, work: Commit) -> None:
        if self._snapshots:
            self._let_snapshots_go(self._clock())
        over = False
        try:
            while True:
                try:
                    return self._commit_once(work)
                except lmdb.MapFullError as error:
                    # Making room needs some: LMDB copies what it changes.
                    allowed = 0
                    if self._limit_bytes is not None and not over and is_shrinking(work):
                        over, allowed = True, max(self._limit_bytes // 8, _OVER_LIMIT_BYTES_MIN)
                    if not self._home.grow(over_limit_bytes=allowed):
                        raise translated(self.path, error) from error
        finally:
            if over:
                self._home.shrink_to_limit()

    def _commit_once(self, work: Commit) -> None:
        """Commit; raises MapFullError when the map is full, and JournalError for all else."""
        home = self._home
        state = home.state
        if home.environment is None:
            raise home.closed()
        if work.position.sequence != state.sequence + len(work.records):
            raise ValueError(f"{len(work.records)} records from {state.sequence} to {work.position.sequence}")
        trim = max(self._trim, min(work.trim, work.position.sequence))
        try:
            with quick_switching(), home.environment.begin(write=True, buffers=True) as transaction:
                after = apply(transaction, home.tables, work, state, trim)
        except lmdb.MapFullError:
            raise
        except (lmdb.Error, OSError) as error:
            reason = probed(home.fd, error)
            home.recover()
            raise translated(self.path, reason) from error
        home.state = after
        home.fit()
        self._trim = trim if trim > after.base else 0

    def _load(self, work: Load) -> None:
        if work.first:
            self._drop_incoming()
        try:
            if self._incoming is None:
                self._incoming = self._new_incoming()
            self._incoming.add(work.rows)
        except (lmdb.Error, OSError) as error:
            reason = error if self._incoming is None else self._incoming.probed(error)
            raise translated(f"{self.path}.incoming", reason) from error

    def _new_incoming(self) -> Incoming:
        return Incoming(f"{self.path}.incoming", self.identity, self._home.state.position, self._limit_bytes)

    def _drop_incoming(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.drop()

    def _swap(self, position: Position) -> None:
        try:
            incoming = self._incoming or self._new_incoming()
            self._incoming = incoming
            fd = incoming.finish(position)
        except (lmdb.Error, OSError) as error:
            raise translated(self.path, error) from error
        self._incoming = None
        self._trim = 0
        self._put_in_place(incoming.path, fd)

    def _put_in_place(self, path: str, fd: int) -> None:
        try:
            self._home.replace(path, fd)
        except JournalError:
            if fd != self._home.fd:
                os.close(fd)
                remove_file(path)
            raise

    def compact(self) -> None:
        """Write the file anew without its free pages; nothing may be committed meanwhile.

        Raises JournalError; then the file is as it was.
        """
        path = f"{self.path}.compact"
        fd = self._copy_to(path)
        self._put_in_place(path, fd)

    def backup(self, target: str | os.PathLike[str]) -> None:
        """Copy the journal as it is on disk now to a new file, which appears when it is whole and on disk.

        It is a journal like this one.  Writing goes on, but the file grows by what is written meanwhile.  Raises
        JournalError: the file is there already, or cannot be written.
        """
        target = os.fspath(target)
        if Path(target).exists():
            raise JournalError(target, "it is there already: name a new file")
        fd = self._copy_to(f"{target}.partial")
        try:
            appear(f"{target}.partial", target)
        except FileExistsError:
            raise JournalError(target, "it is there already: name a new file") from None
        except OSError as error:
            raise translated(target, error) from error
        finally:
            os.close(fd)
            remove_file(f"{target}.partial")

    def _copy_to(self, path: str) -> int:
        """Write a compacted copy, on disk when this returns; returns its descriptor, which holds its lock."""
        try:
            fd = lock_alone(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                os.ftruncate(fd, 0)
                with self._home.using_environment() as environment:
                    environment.copyfd(fd, compact=True)
                os.fsync(fd)
            except BaseException:
                os.close(fd)
                remove_file(path)
                raise
        except (lmdb.Error, OSError) as error:
            raise translated(path, error) from error
        return fd

    # -- about it --

    def info(self) -> JournalInfo:
        """Tell what it is and what it takes."""
        with self._home.lock:
            view = self._home.view()
            about, page = self._home.environment.info(), self._home.environment.stat()["psize"]
            stats = [view.transaction.stat(table) for table in (*view.tables.rows, view.tables.log, view.tables.facts)]
        pages = sum(stat[kind] for stat in stats for kind in ("branch_pages", "leaf_pages", "overflow_pages"))
        names = self.identity.tables
        return JournalInfo(
            path=self.path,
            kind=self.identity.kind,
            name=self.identity.name,
            role=self.identity.role,
            format=self.identity.format,
            lmdb=self.identity.lmdb,
            file_bytes=self._home.file_bytes(),
            used_bytes=pages * page,
            map_bytes=about["map_size"],
            rows={name: stat["entries"] for name, stat in zip(names, stats, strict=False)},
            first=view.state.base + 1,
            last=view.state.sequence,
            position=view.position,
        )

    def close(self) -> None:
        """Let go of it: of snapshots too.  Not while something is carried out."""
        with self._snapshots_lock:
            snapshots = list(self._snapshots)
        for snapshot in snapshots:
            snapshot.close()
        with suppress(OSError):
            self._drop_incoming()
        self._home.close()
