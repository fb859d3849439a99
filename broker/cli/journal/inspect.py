"""``broker journal``: is a journal whole, what is in it, and saving what is left of a spool that is not whole."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import attrs
import trio

from broker.cli.exits import FAILED
from broker.cli.jsonform import dumps, to_json
from broker.cli.progress import progress
from broker.cli.running import InputError, counted
from broker.cli.standard import Output, printable
from broker.errors import JournalBusy, JournalError, JournalMismatch, JournalUnreadable, Malformed
from broker.journal import Contents, JournalReport, RescueReport, TableRow, dump, rescue, verify
from broker.journaling import Record
from broker.values import unpack

__all__ = ["Dump", "Rescue", "Verify"]

_BATCH: Final = 500
_MISSING_SHOWN: Final = 20
_NOT_READ: Final = (JournalBusy, JournalMismatch, JournalUnreadable)


@attrs.frozen
class Verify:
    """One run of ``broker journal verify``."""

    path: str

    async def __call__(self, output: Output) -> int:
        """Show the report, as text in a terminal and as a JSON object elsewhere."""
        try:
            with progress(f"verifying {self.path}", counts=False):
                report = await trio.to_thread.run_sync(verify, self.path, abandon_on_cancel=True)
        except _NOT_READ as error:
            raise InputError(str(error)) from None
        await output.write(_report_text(report) if output.is_terminal else dumps(_report_form(report)) + "\n")
        return 0 if report.ok else FAILED


def _report_form(report: JournalReport) -> dict[str, Any]:
    return {
        "path": report.path,
        "kind": report.kind,
        "name": report.name,
        "role": report.role,
        "position": None if report.position is None else str(report.position),
        "first": report.first,
        "records": report.records,
        "rows": report.rows,
        "pages": report.pages,
        "problems": list(report.problems),
    }


def _report_text(report: JournalReport) -> str:
    lines = [f"{report.path}: journal of the {report.kind} {report.name!r} ({report.role})"]
    if report.position is None:
        lines = [report.path]
    else:
        lines.append(f"position {report.position}, log from {report.first}")
        checked = (counted(report.records, "record"), counted(report.rows, "row"), counted(report.pages, "page"))
        lines.append(f"checked {', '.join(checked)}")
    lines += [f"problem: {problem}" for problem in report.problems] or ["no problem found"]
    return "".join(printable(line) + "\n" for line in lines)


@attrs.frozen
class Rescue:
    """One run of ``broker journal rescue``."""

    path: str
    target: str
    stream: str | None

    async def __call__(self, output: Output) -> int:
        """Save what is intact, and show what that was and what is missing."""

        def job() -> RescueReport:
            return rescue(self.path, self.target, stream=self.stream)

        try:
            with progress(f"reading {self.path}", counts=False):
                report = await trio.to_thread.run_sync(job)
        except JournalError as error:
            raise InputError(str(error)) from None
        await output.write(_rescue_text(report) if output.is_terminal else dumps(_rescue_form(report)) + "\n")
        return 0 if report.ok else FAILED


def _rescue_form(report: RescueReport) -> dict[str, Any]:
    return {
        "path": report.path,
        "target": report.target,
        "stream": report.stream,
        "records": report.records,
        "chunks": report.chunks,
        "first": report.first,
        "last": report.last,
        "missing": [list(one) for one in report.missing],
        "collectors": list(report.collectors),
        "problems": list(report.problems),
    }


def _rescue_text(report: RescueReport) -> str:
    saved = f"saved {counted(report.records, 'record')} of the log stream {report.stream!r} in {report.target}"
    lines = [f"{saved} ({report.first} to {report.last})" if report.records else saved]
    lines.append(f"collectors that go on where they were: {', '.join(report.collectors) or 'none'}")
    for first, last in report.missing[:_MISSING_SHOWN]:
        lines.append(f"missing: record {first}" if first == last else f"missing: records {first} to {last}")
    if len(report.missing) > _MISSING_SHOWN:
        lines.append(f"missing: {len(report.missing) - _MISSING_SHOWN} further gaps (all of them in JSON)")
    lines += [f"problem: {problem}" for problem in report.problems]
    if report.ok:
        lines.append("nothing is missing")
    return "".join(printable(line) + "\n" for line in lines)


@attrs.frozen
class Dump:
    """One run of ``broker journal dump``."""

    path: str
    log: bool
    rows: bool

    async def __call__(self, output: Output) -> int:
        """Write each part as a JSON object on a line."""
        parts = dump(self.path, log=self.log, rows=self.rows)
        try:
            while lines := await trio.to_thread.run_sync(_next_lines, parts, abandon_on_cancel=True):
                await output.write(lines)
        except _NOT_READ as error:
            raise InputError(str(error)) from None
        return 0


def _next_lines(parts: Any) -> str:
    return "".join(dumps(_form(part)) + "\n" for part in islice(parts, _BATCH))


def _form(part: Contents | Record | TableRow) -> dict[str, Any]:
    if isinstance(part, Record):
        return {"record": part.sequence, "checksum": part.checksum.hex(), **_value("body", part.body)}
    if isinstance(part, TableRow):
        return {"row": part.table, **_value("key", part.key), **_value("value", part.value)}
    identity = part.identity
    return {
        "journal": identity.name,
        "kind": identity.kind,
        "role": identity.role,
        "format": identity.format,
        "lmdb": identity.lmdb,
        "tables": list(identity.tables),
        "position": str(part.position),
        "first": part.first,
        "log_bytes": part.log_bytes,
    }


def _value(name: str, data: bytes) -> dict[str, Any]:
    """Return a value where the bytes are one, else their hexadecimal digits."""
    try:
        return {name: to_json(unpack(data))}
    except Malformed:
        return {f"{name}_hex": data.hex()}
