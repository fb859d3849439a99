"""Tables as they were at one position, while writing goes on.

A snapshot reads from a transaction, which keeps LMDB from using old pages again: a file under heavy writing grows by
what is written as long as it is open.  So that has an end: the first commit after ``snapshot_s`` seconds copies what is
not read yet to a file without a name, and the snapshot goes on from there at the same row.  While nothing is committed
nothing grows, and nothing need be copied.  The main thread may read while the worker copies.
"""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from broker.errors import JournalDamaged, JournalError
from broker.journal.home import View
from broker.journal.keys import RowDamaged, plain_row
from broker.journal.lmdbs import quick_switching, translated
from broker.journaling import Row

__all__ = ["DiskSnapshot"]

# So much is copied without a pause for the reader.
_BATCH_ROWS: Final = 1000
_BATCH_BYTES: Final = 1 << 20
_COUNT_BYTES: Final = 8
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, bytes, bytes]]).decode

_Place = tuple[int, bytes]  # index into the snapshot's tables, and the stored key of the last row; empty: none yet


class DiskSnapshot:
    """Rows come in the order of tables, and of each table in that of stored keys: see :mod:`broker.journal.keys`."""

    def __init__(
        self,
        path: str,
        view: View,
        tables: tuple[int, ...],
        until_s: float,
        release: Callable[[View], None],
        closed: Callable[[DiskSnapshot], None],
    ) -> None:
        self.position = view.position
        self.until_s = until_s  # on the journal's clock: then the transaction ends with the next commit
        self._path = path
        self._view: View | None = view
        self._tables = tables
        self._release = release
        self._closed = closed
        self._lock = threading.Lock()
        self._place: _Place = (0, b"")
        self._given = 0  # rows
        self._rows = _scan(view, tables, self._place)
        self._error: JournalError | None = None
        self._copy: _Copy | None = None

    @property
    def holds_pages(self) -> bool:
        """Whether its transaction is open."""
        return self._view is not None

    def read(self, limit_bytes: int) -> list[Row]:
        """Return the next rows, of about so many bytes; none: that was all.

        Raises JournalError when a row is damaged, or when there was no room for the copy of what was not read.
        """
        found: list[Row] = []
        size = 0
        with self._lock:
            if self._error is not None:
                raise self._error
            try:
                for place, row in self._rows:
                    found.append(row)
                    size += len(row[1]) + len(row[2])
                    if size >= limit_bytes:
                        self._place = place
                        break
            except (lmdb.Error, OSError, RowDamaged) as error:
                raise self._failure(error) from error
            self._given += len(found)
        if size < limit_bytes:  # that was the last of them
            self.close()
        return found

    def _failure(self, error: Exception) -> JournalError:
        if isinstance(error, RowDamaged):
            return JournalDamaged(self._path, f"{error}: restore it from a backup")
        return translated(self._path, error)

    def let_go(self) -> None:
        """End the transaction; what was not read is copied before.  For the worker: the main thread may read on."""
        with self._lock:
            if self._view is None:
                return
            rows, given = _scan(self._view, self._tables, self._place), self._given
        copy: _Copy | None = None
        try:
            copy = _Copy(Path(self._path).parent)
            with quick_switching():
                while batch := self._batch(rows):
                    copy.add(batch)
        except (lmdb.Error, OSError, RowDamaged) as raised:
            self._go_on_from(copy, given, self._failure(raised))
        else:
            self._go_on_from(copy, given, None)

    def _go_on_from(self, copy: _Copy | None, given: int, error: JournalError | None) -> None:
        """Read from the copy from now on; ``given`` rows had been given when it was begun."""
        with self._lock:
            wanted = self._view is not None  # not read to its end meanwhile, nor closed
            if wanted and error is None and copy is not None:
                self._copy, self._rows = copy, copy.rows(self._given - given)
            else:
                self._error = error if wanted else None
                if copy is not None:
                    copy.close()
            self._end_transaction()

    def _batch(self, rows: Iterator[tuple[_Place, Row]]) -> list[Row]:
        """Return the next rows to copy; none: that was all, or nobody wants them any more."""
        found: list[Row] = []
        size = 0
        with self._lock:
            if self._view is None:
                return found
            for _, row in rows:
                found.append(row)
                size += len(row[1]) + len(row[2])
                if len(found) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                    break
        return found

    def _end_transaction(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            self._release(view)

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            self._rows = iter(())
            self._end_transaction()
            copy, self._copy = self._copy, None
            if copy is not None:
                copy.close()
        self._closed(self)


def _scan(view: View, tables: tuple[int, ...], place: _Place) -> Iterator[tuple[_Place, Row]]:
    """Give the rows behind that place, each with its own."""
    first, last = place
    for index in range(first, len(tables)):
        with view.transaction.cursor(db=view.tables.rows[tables[index]]) as cursor:
            there = cursor.set_range(last) if last else cursor.first()
            if there and last and cursor.key() == last:
                there = cursor.next()
            for stored, data in cursor if there else ():
                key, value = plain_row(stored, data)
                yield (index, stored), (tables[index], key, value)
        last = b""


class _Copy:
    """Rows in a file without a name: pages of a row count, a length and msgpack."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed by close()

    def add(self, rows: list[Row]) -> None:
        """Write a page; raises OSError."""
        data = _encode(rows)
        page = memoryview(len(rows).to_bytes(_COUNT_BYTES, "big") + len(data).to_bytes(_COUNT_BYTES, "big") + data)
        while page:
            page = page[self._file.write(page) :]

    def rows(self, skip: int) -> Iterator[tuple[_Place, Row]]:
        """Give all rows but the first so many."""
        self._file.seek(0)
        while header := self._file.read(2 * _COUNT_BYTES):
            count = int.from_bytes(header[:_COUNT_BYTES], "big")
            length = int.from_bytes(header[_COUNT_BYTES:], "big")
            if skip >= count:
                skip -= count
                self._file.seek(length, io.SEEK_CUR)
                continue
            for row in _decode(self._file.read(length))[skip:]:
                yield (0, b""), row
            skip = 0

    def close(self) -> None:
        """Give the room back."""
        self._file.close()
