"""Verifying a journal, and writing out what is in it.

Both only read, and the file may be in use by another process.  Verifying walks its pages by plain reading before LMDB
follows them, recomputes the chain of the records, and checks each row and the facts.  What it cannot find: a bit that
flipped in a page that is not in use, and a state as a whole that was replaced by an older one of the same journal (its
position tells).  LMDB's own structure is checked for all that could lead astray or hide an entry (see
:mod:`broker.journal.pages`), not for each of its bits.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, NamedTuple

import lmdb
from msgspec import Struct

from broker.errors import JournalDamaged, JournalError, JournalUnreadable
from broker.journal.facts import Identity, State
from broker.journal.head import NO_TURNS, read_metas, take_turns
from broker.journal.keys import RowDamaged, plain_row
from broker.journal.lmdbs import Tables, facts_of, read_only_environment, translated
from broker.journal.opening import check_head, read_facts
from broker.journal.pages import PageDamaged, walk
from broker.journal.writing import SEQUENCE_BYTES
from broker.journaling import CHECKSUM_BYTES, Position, Record, chain

__all__ = ["Contents", "JournalReport", "TableRow", "dump", "verify"]

# One transaction sees so many records or rows: then the owner may use old pages again.
_STEP: Final = 20_000
_PROBLEMS_MAX: Final = 100  # of a file that is spoilt throughout, these say enough
_TRIES: Final = 10  # to read a file that is being replaced or written to


class JournalReport(Struct, frozen=True, kw_only=True):
    """What :func:`verify` found."""

    path: str
    kind: str = ""
    name: str = ""
    role: str = ""
    position: Position | None = None
    first: int = 0
    records: int = 0  # checked
    rows: int = 0  # checked
    pages: int = 0  # checked
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class TableRow(NamedTuple):
    """A row of :func:`dump`."""

    table: str
    key: bytes
    value: bytes


class Contents(Struct, frozen=True):
    """What :func:`dump` begins with."""

    identity: Identity
    position: Position
    first: int
    log_bytes: int


class _Replaced(Exception):
    """The file of that name is another one now."""


class _File:
    """A journal's file that is only read."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            if not S_ISREG(Path(path).stat().st_mode):
                raise JournalUnreadable(path, "it is no regular file: name a file")
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise JournalUnreadable(path, "there is no such file") from None
        except OSError as error:
            raise translated(path, error) from error
        try:
            check_head(path, self.fd)
            before = self._names()
            self.environment = read_only_environment(path, os.fstat(self.fd).st_size)
            self._opened = self._names()
            # LMDB opens the lock file and the file one after the other: both must be of one moment.
            if before[0] != self._opened[0] or before[1] not in {self._opened[1], None}:
                self.environment.close()
                raise _Replaced
        except BaseException as error:
            os.close(self.fd)
            if isinstance(error, (lmdb.Error, OSError)) and not isinstance(error, JournalError):
                raise translated(path, error) from error
            raise

    def _names(self) -> tuple[tuple[int, int] | None, ...]:
        """Return which files these are: by name the file and the lock file; the file must be the one that is open."""
        found: list[tuple[int, int] | None] = []
        for name in (self.path, f"{self.path}-lock"):
            try:
                stat = Path(name).stat()
                found.append((stat.st_dev, stat.st_ino))
            except FileNotFoundError:
                found.append(None)
        own = os.fstat(self.fd)
        if found[0] != (own.st_dev, own.st_ino):
            raise _Replaced
        return tuple(found)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A read transaction; raises :class:`_Replaced` when the file is no longer the one of that name."""
        if self._names() != self._opened:
            raise _Replaced
        try:
            transaction = self.environment.begin()
        except lmdb.MapResizedError:  # it has outgrown the address space that we took for it
            raise _Replaced from None
        with transaction:
            yield transaction

    def close(self) -> None:
        self.environment.close()
        os.close(self.fd)


@contextmanager
def _opened(path: str) -> Iterator[_File]:
    for attempt in range(_TRIES):
        try:
            file = _File(path)
            break
        except _Replaced:
            if attempt == _TRIES - 1:
                raise JournalUnreadable(path, "it is being replaced all the time") from None
    try:
        yield file
    finally:
        file.close()


def verify(path: str | os.PathLike[str]) -> JournalReport:
    """Check all of a journal; returns what was found, as far as it could be read.

    Raises JournalMismatch for what is no journal of a version that can be read, JournalUnreadable for what cannot be
    opened, JournalBusy when this process has it open itself.
    """
    path = os.path.abspath(path)  # noqa: PTH100 - links are left as they are
    for _ in range(_TRIES):
        try:
            with _opened(path) as file:
                return _Check(file).all()
        except _Replaced:
            continue
        except JournalDamaged as error:
            return JournalReport(path=path, problems=(error.reason,))
    raise JournalUnreadable(path, "it is being replaced all the time")


class _Check:
    """One run of :func:`verify`."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._problems: list[str] = []
        self._records = 0
        self._rows = 0

    def all(self) -> JournalReport:
        try:
            pages = self._pages()
        except PageDamaged as error:
            # LMDB would follow what is damaged: nothing more can be read in safety.
            return JournalReport(path=self._file.path, problems=(str(error),))
        try:
            facts = facts_of(self._file.path, self._file.environment)
            with self._file.reading() as transaction:
                identity, state = read_facts(self._file.path, transaction, facts)
            tables = Tables(self._file.environment, identity.tables, create=False)
            state = self._log(tables, state)
            for name, table in zip(identity.tables, tables.rows, strict=True):
                self._table(name, table)
        except lmdb.Error as error:
            raise JournalDamaged(self._file.path, f"its databases cannot be read: {error}") from None
        return JournalReport(
            path=self._file.path,
            kind=identity.kind,
            name=identity.name,
            role=identity.role,
            position=state.position,
            first=state.base + 1,
            records=self._records,
            rows=self._rows,
            pages=pages,
            problems=tuple(self._problems),
        )

    def _pages(self) -> int:
        unlike = 0
        while True:
            with self._file.reading() as transaction:
                metas = read_metas(self._file.path, self._file.fd)
                if not take_turns(metas):  # or commits came while they were read
                    unlike += 1
                    if unlike == _TRIES:
                        raise PageDamaged(NO_TURNS)
                    continue
                for meta in metas:  # it is neither's when two commits have come since
                    if meta.transaction == transaction.id():
                        return walk(self._file.fd, meta, tell=self._problem)

    def _problem(self, text: str) -> None:
        if len(self._problems) < _PROBLEMS_MAX:
            self._problems.append(text)
        elif len(self._problems) == _PROBLEMS_MAX:
            self._problems.append("there are more")

    def _log(self, tables: Tables, state: State) -> State:
        """Recompute the chain; returns the state that it was compared with at last."""
        sequence, checksum = state.base, state.base_checksum
        while True:
            with self._file.reading() as transaction:
                state = read_facts(self._file.path, transaction, tables.facts)[1]
                if state.base > sequence:  # trimmed meanwhile
                    sequence, checksum = state.base, state.base_checksum
                before = sequence
                for key, data in _step(transaction, tables.log, (sequence + 1).to_bytes(SEQUENCE_BYTES, "big")):
                    self._records += 1
                    found = int.from_bytes(key[:SEQUENCE_BYTES], "big")
                    if len(key) != SEQUENCE_BYTES or found <= sequence:
                        self._problem(f"a record behind {sequence} is out of order")
                        continue
                    if found != sequence + 1:
                        self._problem(f"record {sequence + 1} is missing: the next is {found}")
                    elif data[:CHECKSUM_BYTES] != chain(checksum, data[CHECKSUM_BYTES:]):
                        self._problem(f"record {found} is not what was written")
                    sequence, checksum = found, data[:CHECKSUM_BYTES]
                if sequence >= state.sequence or sequence == before:
                    self._end_of_log(transaction, tables, state, (sequence, checksum))
                    return state

    def _end_of_log(self, transaction: Any, tables: Tables, state: State, end: tuple[int, bytes]) -> None:
        if end != (state.sequence, state.checksum):
            self._problem(f"the log ends with record {end[0]} and checksum {end[1].hex()}, not as its position says")
        entries = transaction.stat(tables.log)["entries"]
        if entries != state.sequence - state.base:
            self._problem(f"the log has {entries} records, not {state.sequence - state.base}")

    def _table(self, name: str, table: Any) -> None:
        last = b""
        while True:
            count = 0
            with self._file.reading() as transaction:
                for stored, data in _step(transaction, table, last):
                    if stored == last:  # seen at the end of the step before
                        continue
                    if stored < last:
                        self._problem(f"table {name}: a row behind the key {last[:40].hex()} is out of order")
                        continue
                    count += 1
                    last = stored
                    try:
                        plain_row(stored, data)
                    except RowDamaged as error:
                        self._problem(f"table {name}: {error}")
            self._rows += count
            if not count:
                return


def _step(transaction: Any, table: Any, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the next entries from that key on, as many as one transaction may see."""
    with transaction.cursor(db=table) as cursor:
        if not (cursor.set_range(start) if start else cursor.first()):
            return
        for count, item in enumerate(cursor):
            if count > _STEP:
                return
            yield item


def dump(
    path: str | os.PathLike[str], *, log: bool = True, rows: bool = True
) -> Iterator[Contents | Record | TableRow]:
    """Give what is in a journal, at one moment: :class:`Contents`, the records, and the rows of each table.

    A file that another process is writing to is copied first, to the directory for temporary files.  Raises as
    :func:`verify` does, and JournalDamaged.
    """
    path = os.path.abspath(path)  # noqa: PTH100 - links are left as they are
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_opened(path))
            if not _kept_from_writers(file.fd):
                copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "copy.lmdb"
                file.environment.copy(str(copy), compact=True)
                file = stack.enter_context(_opened(str(copy)))
            facts = facts_of(path, file.environment)
            transaction = stack.enter_context(file.environment.begin())
            identity, state = read_facts(path, transaction, facts)
            yield Contents(identity, state.position, state.base + 1, state.log_bytes)
            if log:
                database = file.environment.open_db(b"log", txn=transaction, create=False)
                for key, data in transaction.cursor(db=database):
                    yield Record(int.from_bytes(key, "big"), data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:])
            for name in identity.tables if rows else ():
                database = file.environment.open_db(b"table." + name.encode(), txn=transaction, create=False)
                for stored, data in transaction.cursor(db=database):
                    yield TableRow(name, *plain_row(stored, data))
        except RowDamaged as error:
            raise JournalDamaged(path, f"{error} (broker journal verify finds all)") from None
        except lmdb.Error as error:
            raise translated(path, error) from error


def _kept_from_writers(fd: int) -> bool:
    """Keep others from writing to the file as long as it is open; False: somebody does."""
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False
