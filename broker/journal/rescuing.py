"""Saving what is left of a spool that was damaged: every chunk of records whose bytes are intact, in a new file.

LMDB's own pages have no checksums, so one that a disk has spoilt can take a whole spool with it.  Here the file is read
without LMDB (:mod:`broker.journal.carving`), and everything is believed that proves itself: chunks by their CRC-32,
rows by theirs.  Then it is decided what of that counts, as pages that are no longer used hold old versions of both:

- Facts and the spool's state only ever go forward: the greatest counts.
- Cursors: as the newest tree has them, if it is whole; else of each name the one that is farthest.  A name that was
  forgotten may come back then, and one that was replayed be where it was before.
- Chunks: records are never changed, so of one number every version is the same, but for those that a writer was
  committing when it died and that were never told of: they belong to an epoch that ended before their numbers.
- What was trimmed is not brought back: the facts say up to where that was; where they are lost, the cursors do.

The new file has the old one's journal id, so collectors go on where they were.  Chunks keep the numbers of their
records, and get new sequences.  A writer that opens it begins a new epoch, as always.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Struct

from broker.errors import JournalDamaged, JournalError, JournalMismatch, JournalUnreadable, Malformed
from broker.journal.carving import Carver, Found
from broker.journal.facts import FORMAT, IDENTITY_KEY, STATE_KEY, FactsDamaged, Identity, State
from broker.journal.head import Meta, page_bytes_of, read_meta
from broker.journal.keys import RowDamaged, plain_row
from broker.journal.lmdbs import appear, lock_file, remove_file, translated
from broker.journal.opening import open_journal
from broker.journal.pages import PageDamaged, entries_of
from broker.journal.writing import SEQUENCE_BYTES
from broker.journaling import CHECKSUM_BYTES, Commit, Position, Record, chain
from broker.logs.chunks import Chunk, cut, measure_chunk, read_chunk
from broker.logs.ranges import Range, Ranges
from broker.logs.spool import CURSORS, EPOCHS, SCHEMAS, STATE, TABLES, Cursor, Epoch, epoch_key, schema_id, state_key
from broker.logs.spool import State as SpoolState

__all__ = ["RescueReport", "rescue"]

_COMMIT_BYTES: Final = 1 << 20
_PAGE_BYTES: Final = 4096  # where no meta page says
_RECORD_TABLES: Final = tuple(b"table." + name.encode() for name in TABLES)


class RescueReport(Struct, frozen=True, kw_only=True):
    """What :func:`rescue` has saved."""

    path: str
    target: str
    stream: str
    records: int
    chunks: int
    first: int  # the number of the oldest record that is saved; 0: none is
    last: int
    missing: tuple[Range, ...]  # records that should have been there, by their numbers
    collectors: tuple[str, ...]
    problems: tuple[str, ...]  # what else is lost, and what follows from that

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing and not self.problems


class _Saved(NamedTuple):
    """A chunk's place in the file, and what it says of itself."""

    first: int
    last: int
    epoch: int
    mark: bytes
    time_ns: int
    check: int
    sequence: int  # 0: not known
    found: Found


def rescue(path: str | os.PathLike[str], target: str | os.PathLike[str], *, stream: str | None = None) -> RescueReport:
    """Write what is intact of the spool at ``path`` to a new file; the spool itself is not touched.

    ``stream`` is needed only where the file no longer says of which one it is.  Nobody may have the spool open.  Raises
    JournalBusy, JournalUnreadable; JournalMismatch for a file that is no spool, and for a target that is there already;
    JournalDamaged when nothing of a spool is found in it.
    """
    path, target = os.path.realpath(path), os.path.realpath(target)
    if Path(target).exists():
        raise JournalMismatch(target, "it is there already: name a new file")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise JournalUnreadable(path, "there is no such file") from None
    except OSError as error:
        raise translated(path, error) from error
    try:
        lock_file(path, fd)
        found = _Rescue(path, fd, stream)
        found.look()
        return found.write(target)
    except OSError as error:
        if isinstance(error, JournalError):
            raise
        raise translated(path, error) from error
    finally:
        os.close(fd)


def _is_whole(key: bytes, data: bytes) -> bool:
    """Whether a row is one of a spool's, and what was written."""
    if key in {IDENTITY_KEY, STATE_KEY}:
        with suppress(FactsDamaged):
            return bool(State.unpacked(data) if key == STATE_KEY else Identity.unpacked(data))
    if len(key) == SEQUENCE_BYTES:
        with suppress(Malformed):
            return bool(read_chunk(data[CHECKSUM_BYTES:]))
    if key[-1:] in {b"\0", b"\1"}:
        with suppress(RowDamaged):
            return bool(plain_row(key, data))
    return False


def _size_of(data: bytes, least: int) -> int:
    """Return how long the entry of the log is that begins these bytes."""
    size = measure_chunk(data[CHECKSUM_BYTES:], max(0, least - CHECKSUM_BYTES))
    return size and size + CHECKSUM_BYTES


class _Rescue:
    """One run of :func:`rescue`."""

    def __init__(self, path: str, fd: int, stream: str | None) -> None:
        self._path = path
        self._fd = fd
        self._stream = stream
        self._identity: Identity | None = None
        self._facts: State | None = None
        self._facts_page = 0
        self._state: SpoolState | None = None
        self._chunks: dict[tuple[int, int, int], _Saved] = {}
        self._rows: dict[int, dict[bytes, list[tuple[int, Any, bytes]]]] = {table: {} for table in range(len(TABLES))}
        self._problems: list[str] = []
        page_bytes = page_bytes_of(path, fd) or _PAGE_BYTES
        self._carver = Carver(fd, page_bytes, _is_whole, _size_of)

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Find everything that is whole."""
        for found in self._carver.all():
            data = self._carver.read(found)
            if found.key == IDENTITY_KEY:
                self._take_identity(Identity.unpacked(data))
            elif found.key == STATE_KEY:
                self._take_facts(found.page, State.unpacked(data))
            elif not found.key:
                self._take_chunk(found, data)
            # A name of seven letters has as many bytes as a sequence.
            elif len(found.key) != SEQUENCE_BYTES or not self._take_chunk(found, data):
                self._take_row(found.page, *plain_row(found.key, data))
        if self._identity is None and not self._stream:
            what = "it no longer says of which stream it is the spool: name that (--stream)"
            if not self._chunks:
                what = "nothing of a log stream's spool was found in it: restore it from a backup"
            raise JournalDamaged(self._path, what)

    def _take_identity(self, identity: Identity) -> None:
        if identity.kind == "log" and (identity.format > FORMAT or identity.tables != TABLES):
            raise JournalMismatch(self._path, "it was made by another version of broker: rescue it with that one")
        if identity.kind != "log":
            raise JournalMismatch(
                self._path,
                f"it is the journal of the {identity.kind} {identity.name!r}: only log streams' spools are rescued; a "
                "store is restored from a backup, or loaded again from one of its clones",
            )
        if self._stream and self._stream != identity.name:
            raise JournalMismatch(self._path, f"it is the spool of {identity.name!r}, not of {self._stream!r}")
        self._identity = identity

    def _take_facts(self, page: int, facts: State) -> None:
        if self._facts is None or _age(facts) >= _age(self._facts):
            self._facts, self._facts_page = facts, page

    def _take_chunk(self, found: Found, data: bytes) -> bool:
        try:
            chunk = read_chunk(data[CHECKSUM_BYTES:])
        except Malformed:
            return False
        check = crc32(data[CHECKSUM_BYTES:])
        sequence = int.from_bytes(found.key, "big")
        saved = _Saved(chunk.first, chunk.last, chunk.epoch, chunk.mark, chunk.time_ns, check, sequence, found)
        before = self._chunks.get((chunk.first, chunk.last, check))
        if before is None or before.sequence < sequence:
            self._chunks[chunk.first, chunk.last, check] = saved
        return True

    def _take_row(self, page: int, key: bytes, value: bytes) -> None:
        table, row = _row_of(key, value)
        if table == STATE:
            self._state = max(self._state or row, row, key=lambda state: (state.next, state.dropped))
        elif table is not None:
            self._rows[table].setdefault(key, []).append((page, row, value))

    # -- deciding ----------------------------------------------------------------------------------------------------

    def _whole_table(self, name: bytes, pages_of: dict[int, int]) -> set[int] | None:
        """Return the pages of a database if all its rows were found; None: they were not."""
        try:
            meta: Meta = read_meta(self._path, self._fd)
            pages, entries = entries_of(self._fd, meta, name)
        except (JournalError, PageDamaged):
            return None
        return pages if sum(count for page, count in pages_of.items() if page in pages) == entries else None

    def _table(self, table: int, age: Any) -> dict[bytes, tuple[Any, bytes]]:
        """Return the rows of a table as they count: the newest tree's if it is whole, else the farthest of each key."""
        counts: dict[int, int] = {}
        for versions in self._rows[table].values():
            for page, _, _ in versions:
                counts[page] = counts.get(page, 0) + 1
        pages = self._whole_table(_RECORD_TABLES[table], counts)
        chosen: dict[bytes, tuple[Any, bytes]] = {}
        for key, versions in self._rows[table].items():
            known = [one for one in versions if pages is None or one[0] in pages]
            if known:
                _, row, value = max(known, key=lambda one: age(one[1]))
                chosen[key] = row, value
        if pages is None:
            self._problems.append(f"the table of {TABLES[table]} is damaged: what was found of it is taken")
        return chosen

    def _epochs(self) -> dict[int, Epoch]:
        """Return all epochs; one that is known by its chunks alone begins with the first of them."""
        rows = self._table(EPOCHS, lambda epoch: epoch.time_ns)
        epochs = {int.from_bytes(key, "big"): row for key, (row, _) in rows.items()}
        for saved in sorted(self._chunks.values()):
            if saved.epoch not in epochs:
                epochs[saved.epoch] = Epoch(saved.first, saved.mark, saved.time_ns)
        return epochs

    def _kept(self, epochs: dict[int, Epoch], floor: int | None) -> list[tuple[_Saved, int, int]]:
        """Return the chunks that count, in order, each with the records that are to be taken from it."""
        base = self._base()
        firsts = sorted((number, epoch.first) for number, epoch in epochs.items())
        have = Ranges()
        kept: list[tuple[_Saved, int, int]] = []
        for saved in sorted(self._chunks.values(), key=lambda one: (-one.epoch, one.first, -one.last)):
            end = min((first for number, first in firsts if number > saved.epoch), default=1 << 63) - 1
            if base is not None and saved.sequence:
                trimmed = saved.sequence <= base
            else:
                trimmed = floor is not None and saved.last <= floor
            if epochs[saved.epoch].mark != saved.mark or trimmed:
                continue
            for first, last in have.gaps(saved.first, min(saved.last, end)):
                have.add(first, last)
                kept.append((saved, first, last))
        return sorted(kept, key=lambda one: one[1])

    def _base(self) -> int | None:
        """Return up to which sequence the log was trimmed, if the newest facts are there to tell."""
        if self._facts is None:
            return None
        try:
            pages, _ = entries_of(self._fd, read_meta(self._path, self._fd), b"facts")
        except (JournalError, PageDamaged):
            return None
        return self._facts.base if self._facts_page in pages else None

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, target: str) -> RescueReport:
        """Write what counts to a new file."""
        cursors = self._table(CURSORS, lambda cursor: (cursor.floor, sum(last - first for first, last in cursor.done)))
        floor = min((cursor.floor for cursor, _ in cursors.values()), default=None)
        epochs = self._epochs()
        schemas = self._table(SCHEMAS, lambda _: 0)
        kept = self._kept(epochs, floor)
        state = self._state_of(kept, cursors.values())
        rows: dict[int, dict[bytes, bytes | None]] = {
            CURSORS: {key: value for key, (_, value) in cursors.items()},
            SCHEMAS: {key: value for key, (_, value) in schemas.items()},
            EPOCHS: {epoch_key(number): msgspec.msgpack.encode(epoch) for number, epoch in epochs.items()},
            STATE: {state_key(): msgspec.msgpack.encode(state)},
        }
        if self._facts is None:
            self._problems.append("its journal's id is lost: it has a new one, and is another spool to collectors")
        stream = self._identity.name if self._identity is not None else str(self._stream)
        partial = f"{target}.partial"
        remove_file(partial)
        try:
            self._fill(partial, stream, kept, rows, max(epochs, default=0))
            appear(partial, target)
        except FileExistsError:
            raise JournalMismatch(target, "it is there already: name a new file") from None
        finally:
            remove_file(partial)
        return self._report(target, stream, kept, state.next - 1, floor, tuple(sorted(map(bytes.decode, cursors))))

    def _state_of(self, kept: list[tuple[_Saved, int, int]], cursors: Iterable[tuple[Cursor, bytes]]) -> SpoolState:
        """Return the spool's state: no number is given out again that somebody may know."""
        known = self._state or SpoolState()
        if self._state is None:
            self._problems.append("the spool's state is lost: its next number follows from what else was found")
        numbers = [known.next - 1, *(last for _, _, last in kept)]
        for cursor, _ in cursors:
            numbers += [cursor.floor, *(last for _, last in cursor.done)]
        time_ns = max((saved.time_ns for saved, _, _ in kept), default=0)
        return SpoolState(max(numbers) + 1, max(known.time_ns, time_ns), known.dropped)

    def _fill(
        self,
        path: str,
        stream: str,
        kept: list[tuple[_Saved, int, int]],
        rows: dict[int, dict[bytes, bytes | None]],
        epoch: int,
    ) -> None:
        id_ = None if self._facts is None else self._facts.journal
        journal = open_journal(path, kind="log", name=stream, role="writer", tables=TABLES, id_=id_)
        try:
            position = journal.position
            sequence, checksum, size = 0, position.checksum, 0
            records: list[Record] = []
            for index, (saved, first, last) in enumerate(kept):
                body = self._body(saved, first, last)
                sequence, checksum, size = sequence + 1, chain(checksum, body), size + len(body)
                records.append(Record(sequence, checksum, body))
                if size >= _COMMIT_BYTES and index < len(kept) - 1:
                    at = Position(position.journal, epoch, sequence, checksum)
                    journal.carry_out(Commit(at, records, {}, []))
                    journal.refresh()
                    records, size = [], 0
            journal.carry_out(Commit(Position(position.journal, epoch, sequence, checksum), records, rows, []))
        finally:
            journal.close()

    def _body(self, saved: _Saved, first: int, last: int) -> bytes:
        body = self._carver.read(saved.found)[CHECKSUM_BYTES:]
        chunk: Chunk = read_chunk(body)
        return body if (first, last) == (chunk.first, chunk.last) else cut(chunk, first, last)

    def _report(
        self,
        target: str,
        stream: str,
        kept: list[tuple[_Saved, int, int]],
        last: int,
        floor: int | None,
        collectors: tuple[str, ...],
    ) -> RescueReport:
        have = Ranges((first, end) for _, first, end in kept)
        oldest = have.first if have else last + 1
        if floor is not None:
            oldest = min(oldest, floor + 1)
        elif self._facts is not None and self._facts.base == 0:
            oldest = 1
        return RescueReport(
            path=self._path,
            target=target,
            stream=stream,
            records=have.count,
            chunks=len(kept),
            first=have.first if have else 0,
            last=have.last if have else 0,
            missing=tuple(have.gaps(oldest, last)),
            collectors=collectors,
            problems=tuple(self._problems),
        )


def _age(state: State) -> tuple[int, int, int]:
    return state.epoch, state.sequence, state.base


def _row_of(key: bytes, value: bytes) -> tuple[int | None, Any]:
    """Return which table's row this is, and what it says: tables are told apart by what their rows look like."""
    if schema_id(value) in {key, key[1:]}:
        return SCHEMAS, None
    kinds: list[tuple[int, bool, type[Struct]]] = [
        (STATE, key == state_key(), SpoolState),
        (EPOCHS, len(key) == len(epoch_key(0)), Epoch),
        (CURSORS, True, Cursor),
    ]
    for table, fits, kind in kinds:
        if fits:
            with suppress(msgspec.MsgspecError, ValueError):  # the latter: a text that is not UTF-8
                return table, msgspec.msgpack.decode(value, type=kind)
    return None, None
