"""What is in a spool's file, read beside the program that writes it, or without one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final

import msgspec

import broker
from broker.errors import JournalMismatch
from broker.journal import Contents, TableRow, dump, verify
from broker.journaling import Record
from broker.logs.chunks import Chunk, read_chunk
from broker.logs.ranges import Ranges
from broker.logs.spool import TABLES, Cursor, Epoch, State
from broker.logs.wire import Schema

__all__ = ["spool_form"]

_PROBLEMS_MAX: Final = 20


def spool_form(path: str) -> dict[str, Any]:
    """All there is to say of a spool, for JSON; it is only read, and may be in use.  Takes a while if it is large.

    Raises JournalError for what cannot be read, and JournalMismatch for what is no spool.
    """
    report = verify(path)
    if report.kind not in {"", "log"}:
        raise JournalMismatch(report.path, f"it is the journal of a {report.kind}, {report.name!r}: no spool")
    form: dict[str, Any] = {
        "path": report.path,
        "stream": report.name,
        "in_use": _in_use(report.path),
        "bytes": Path(report.path).stat().st_size,
    }
    problems = list(report.problems[:_PROBLEMS_MAX])
    if report.position is None:  # its pages are damaged: to follow them would not be safe
        return form | {"problems": problems}
    look = _Look()
    try:
        for part in dump(path):
            look.take(part)
    except broker.JournalDamaged as error:
        problems.append(error.reason)
    return form | look.form() | {"problems": problems}


def _in_use(path: str) -> bool:
    """Whether a program has it open to write."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


class _Look:
    """What the parts of a spool add up to."""

    def __init__(self) -> None:
        self._journal = ""
        self._log_bytes = 0
        self._records = 0
        self._chunks = 0
        self._damaged = 0
        self._first: Chunk | None = None
        self._last: Chunk | None = None
        self._rows: dict[str, dict[bytes, bytes]] = {name: {} for name in TABLES}

    def take(self, part: Contents | Record | TableRow) -> None:
        """Take a part."""
        if isinstance(part, Contents):
            self._journal = part.position.journal.hex()
            self._log_bytes = part.log_bytes
        elif isinstance(part, TableRow):
            self._rows.setdefault(part.table, {})[part.key] = part.value
        else:
            self._take_chunk(part.body)

    def _take_chunk(self, body: bytes) -> None:
        self._chunks += 1
        try:
            chunk = read_chunk(body)
        except broker.Malformed:
            self._damaged += 1
            return
        self._first = self._first or chunk
        self._last = chunk
        self._records += chunk.records

    def form(self) -> dict[str, Any]:
        """All of it, for JSON."""
        state = self._state()
        last = state.next - 1
        first = self._first.first if self._first is not None else state.next
        return {
            "journal": self._journal,
            "record_bytes": self._log_bytes,
            "records": self._records,
            "first": first,
            "last": last,
            "chunks": self._chunks,
            "damaged_chunks": self._damaged,
            "damaged_records": last - first + 1 - self._records if self._damaged else 0,
            "dropped": state.dropped,
            "oldest": None if self._first is None else _time(self._first.time_ns),
            "latest": None if self._last is None else _time(state.time_ns or self._last.time_ns),
            "schemas": [_schema_form(self._decoded(Schema, row)) for row in self._rows["schemas"].values()],
            "epochs": self._epochs(),
            "collectors": [
                self._collector(name.decode(errors="replace"), self._decoded(Cursor, row), last)
                for name, row in sorted(self._rows["cursors"].items())
            ],
        }

    def _state(self) -> State:
        row = self._rows["state"].get(b"state")
        state: State = State() if row is None else self._decoded(State, row)
        return state

    def _decoded(self, kind: Any, row: bytes) -> Any:
        try:
            return msgspec.msgpack.decode(row, type=kind)
        except msgspec.MsgspecError as error:
            raise broker.JournalDamaged("spool", f"not a {kind.__name__} of a spool: {error}") from None

    def _epochs(self) -> list[dict[str, Any]]:
        found = sorted((int.from_bytes(key, "big"), row) for key, row in self._rows["epochs"].items())
        epochs = [(number, self._decoded(Epoch, row)) for number, row in found]
        return [{"epoch": number, "first": epoch.first, "time": _time(epoch.time_ns)} for number, epoch in epochs]

    def _collector(self, name: str, cursor: Cursor, last: int) -> dict[str, Any]:
        done = Ranges(cursor.done)
        return {
            "name": name,
            "acknowledged": cursor.floor,
            "behind": max(0, last - cursor.floor - done.count),
            "lost": cursor.lost,
            "members": sorted(holder.endpoint for holder in cursor.holders),
        }


def _time(time_ns: int) -> str:
    return broker.Timestamp.from_ns(time_ns).isoformat()


def _schema_form(schema: Schema) -> dict[str, Any]:
    return {"record": schema.record, "columns": [f"{column.name}:{column.type}" for column in schema.columns]}
