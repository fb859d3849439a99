"""``broker log write``: lines of standard input as records of a log stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import attrs
import trio

import broker
from broker.cli.exits import FAILED, INPUT_WRONG
from broker.cli.jsonform import FormError, dumps
from broker.cli.log.reach import LogReach
from broker.cli.log.records import Reader
from broker.cli.log.values import ValueWrong
from broker.cli.progress import progress
from broker.cli.running import InputError, counted, follow_status
from broker.cli.standard import Lines, LineTooLong, Output, note

__all__ = ["LogWrite"]

# What a line of input can have wrong with it; too long a line spoils those behind it.
_LINE_ERRORS: Final = (FormError, ValueWrong, UnicodeDecodeError, broker.NotCarried, broker.EventMisfit)
_PROBLEMS_TOLD: Final = 20
_FULL_S: Final = 2.0
_SHOWN_EVERY: Final = 200


@attrs.define
class LogWrite:
    """One run of the command, and what it has done."""

    reach: LogReach
    stream: str
    spool: str | None  # None: into the plain topic
    record: str  # the name of the class
    columns: Sequence[broker.Column] | None
    wait: str | None  # until this collector has all
    strict: bool
    limit_bytes: int = 1 << 30
    drop_oldest: bool = False
    as_json: bool = False  # how many, at the end
    written: int = 0
    wrong: int = 0
    lost: int = 0
    last: int = 0  # the number of the last record
    _waits: bool = False  # for a record to be taken
    _advance: Callable[[float], None] = lambda _: None

    async def __call__(self, output: Output) -> int:
        """Write everything; says how many records were written, and how many lines were not."""
        lines = Lines(strip=b"\r\n")
        reader = self._reader()
        async with AsyncExitStack() as stack:
            try:
                linger_s = 0 if self.spool else self.reach.timeout_s
                async with self.reach.identity.endpoint(linger_s=linger_s) as endpoint:
                    # Losses may be told as late as when the endpoint closes: the reader outlives it.
                    changes = await stack.enter_async_context(endpoint.status())
                    await self.reach.link(endpoint)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(follow_status, changes, self._count)
                        with progress("records") as self._advance:
                            await self._write(endpoint, self._records(lines, reader), reader)
                        nursery.cancel_scope.cancel()
            finally:
                self._count_at_close(changes)
                note(self._summary())
        if self.as_json:
            form = {"written": self.written, "wrong": self.wrong, "lost": self.lost, "last": self.last}
            await output.write(dumps(form) + "\n")
        return FAILED if self.lost else INPUT_WRONG if self.wrong else 0

    def _reader(self) -> Reader:
        try:
            return Reader(self.record, self.columns)
        except (FormError, broker.EventDefinitionError) as error:
            raise InputError(f"--columns: {error}") from None

    async def _records(self, lines: Lines, reader: Reader) -> AsyncIterator[Any]:
        """The records, each with the number of its line; the reader knows what they are from the first of them on."""
        while True:
            try:
                line = await lines.read()
                if line is None:
                    return
                record = reader.take(line.decode())
            except LineTooLong as error:
                raise InputError(f"line {lines.number + 1}: {error}") from None
            except (*_LINE_ERRORS, broker.EventDefinitionError) as error:
                self._line_wrong(lines.number, error)
            else:
                if record is not None:
                    yield lines.number, record

    def _line_wrong(self, number: int, error: Exception) -> None:
        if self.strict:
            raise InputError(f"line {number}: {error}") from None
        self.wrong += 1
        if self.wrong <= _PROBLEMS_TOLD:
            note(f"line {number}: {error}")
        elif self.wrong == _PROBLEMS_TOLD + 1:
            note("more lines are wrong; the number of all is told at the end")

    async def _write(self, endpoint: broker.Endpoint, records: Any, reader: Reader) -> None:
        first = None
        if reader.record is None:
            first = await anext(records, None)
            if reader.record is None:
                return
        async with self._log(endpoint, reader.record) as log, trio.open_nursery() as nursery:
            if isinstance(log, broker.LogWriter):
                nursery.start_soon(self._tell_when_full, log)
            if first is not None:
                await self._write_one(endpoint, log, *first)
            async for number, record in records:
                await self._write_one(endpoint, log, number, record)
            await log.flush()
            if self.wait is not None and isinstance(log, broker.LogWriter):
                await self._wait_for(log, self.wait)
            nursery.cancel_scope.cancel()

    def _log(self, endpoint: broker.Endpoint, record: type) -> broker.LogWriter | broker.LogTopic:
        try:
            if self.spool is None:
                return endpoint.log(self.stream, record)
            names = () if self.wait is None else (self.wait,)
            return endpoint.log(
                self.stream,
                record,
                path=self.spool,
                durable=False,
                collectors=names,
                limit_bytes=self.limit_bytes,
                overflow="drop_oldest" if self.drop_oldest else "block",
            )
        except ValueError as error:
            raise InputError(str(error)) from None

    async def _tell_when_full(self, log: broker.LogWriter) -> None:
        """Say once why nothing goes on."""
        while True:
            before = self.written
            await trio.sleep(_FULL_S)
            if self._waits and self.written == before:
                lacking = [one.name for one in log.info().collectors if one.behind]
                whom = ", ".join(map(repr, lacking)) or "a first collector"
                note(f"waiting for {whom}: {self.spool} is full ({self.limit_bytes:,} bytes; --limit, --drop-oldest)")
                return

    async def _write_one(
        self, endpoint: broker.Endpoint, log: broker.LogWriter | broker.LogTopic, number: int, record: Any
    ) -> None:
        if not self.written and isinstance(log, broker.LogTopic):
            await self._wait_for_reader(endpoint, log.topic)
        self._waits = True
        try:
            self.last = await log.write(record)
            self.written += 1
            if not self.written % _SHOWN_EVERY:
                self._advance(self.written)
        except _LINE_ERRORS as error:
            self._line_wrong(number, error)
        finally:
            self._waits = False

    async def _wait_for_reader(self, endpoint: broker.Endpoint, topic: str) -> None:
        with trio.move_on_after(self.reach.timeout_s):
            await endpoint.subscribers(topic)
            return
        raise broker.BrokerError(
            f"nobody reads {topic!r} ({self.reach.timeout_s:g} s waited): start a reader ('broker log tail "
            f"{self.stream}'), wait longer (--timeout), or write into a spool (--spool FILE), which keeps records"
        )

    @staticmethod
    async def _wait_for(log: broker.LogWriter, name: str) -> None:
        behind = next((one.behind for one in log.info().collectors if one.name == name), 0)
        if behind:
            note(f"waiting until {name!r} has {counted(behind, 'record')}")
        await log.collected(name)

    def _count(self, change: broker.Status) -> None:
        if isinstance(change, broker.MessagesLost):
            self.lost += change.count

    def _count_at_close(self, changes: broker.StatusReader) -> None:
        """Count what closing the endpoint gave up; that its links are gone goes without saying."""
        with suppress(trio.WouldBlock):
            while True:
                change = changes.receive_nowait()
                self._count(change)
                if not isinstance(change, broker.PeerLost):
                    note(str(change))

    def _summary(self) -> str:
        where = f"to {self.spool}" if self.spool else f"to the topic log/{self.stream}"
        parts = [f"{counted(self.written, 'record')} of {self.stream!r} written {where}"]
        if self.spool and self.written:
            parts.append(f"the last is number {self.last:,}")
        if self.wrong:
            parts.append(f"{counted(self.wrong, 'line')} left out")
        if self.lost:
            parts.append(f"{self.lost:,} lost")
        return ", ".join(parts)
