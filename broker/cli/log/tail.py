"""``broker log tail``: show a log stream's records as they come, from spools and from the plain topic."""

from __future__ import annotations

import math
import time
from contextlib import AsyncExitStack
from typing import Any, Final, Literal

import attrs
import trio

import broker
from broker.cli.log.form import Shown, line_of, shown_of
from broker.cli.log.reach import LogReach
from broker.cli.log.table import RecordTable
from broker.cli.running import InputError, counted, follow_status
from broker.cli.standard import Output, note
from broker.sinks.tsv import Tsv, zeek_type

__all__ = ["LogTail"]

# Records that are rendered and written at once: enough to be quick in a flood, few enough to be seen soon.
_BATCH_RECORDS: Final = 500
Form = Literal["table", "json", "tsv"]


@attrs.frozen
class LogTail:
    """One run of the command."""

    reach: LogReach
    stream: str
    name: str | None  # the collector's
    since: Any
    count: int | None
    form: Form | None  # None: what suits standard output
    plain: bool

    async def __call__(self, output: Output) -> int:
        """Show records until ``count`` or for ever; always says how many there were."""
        shown = _ShownRecords(output, self.stream, self.form or ("table" if output.is_terminal else "json"), self.count)
        async with self.reach.identity.endpoint(linger_s=0) as endpoint, AsyncExitStack() as stack:
            changes = await stack.enter_async_context(endpoint.status())
            readers: list[broker.Collector | broker.Subscriber] = []
            try:
                topic = f"log/{self.stream}"
                if not self.plain:
                    collector = endpoint.collect(self.stream, name=self.name, since=self.since, acknowledge="explicit")
                    readers.append(await stack.enter_async_context(collector))
                readers.append(await stack.enter_async_context(endpoint.subscribe(topic)))
            except ValueError as error:
                raise InputError(str(error)) from None
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(follow_status, changes)
            for reader in readers:
                nursery.start_soon(self._show, reader, shown)
            await self.reach.link(endpoint)
            try:
                await shown.enough.wait()
            finally:
                nursery.cancel_scope.cancel()
                await shown.end()
                note(f"{counted(shown.records, 'record')} of {self.stream!r} shown")
        return 0

    async def _show(self, reader: broker.Collector | broker.Subscriber, shown: _ShownRecords) -> None:
        while True:
            messages: list[Any] = [await reader.receive()]
            try:
                while len(messages) < min(_BATCH_RECORDS, shown.wanted):
                    messages.append(reader.receive_nowait())
            except trio.WouldBlock:
                pass
            if isinstance(reader, broker.Subscriber):
                # Subscriptions are prefixes: log/conn has log/connections, too.
                messages = [message for message in messages if message.topic == f"log/{self.stream}"]
            taken = await shown.show([shown_of(message, self.stream) for message in messages])
            if isinstance(reader, broker.Collector):
                # Shown, and not before: one who is stopped half-way gets them again.
                for message in messages[:taken]:
                    reader.acknowledge(message)


class _ShownRecords:
    """What was shown so far, by both tasks that read."""

    def __init__(self, output: Output, stream: str, form: Form, count: int | None) -> None:
        self.records = 0
        self.enough = trio.Event()
        self._stream = stream
        self._count = count
        self._output = output
        self._form = form
        self._table = RecordTable() if form == "table" else None
        self._header: list[tuple[str, str]] = []
        self._tsv: Tsv | None = None

    @property
    def wanted(self) -> float:
        """How many more are wanted."""
        return math.inf if self._count is None else self._count - self.records

    async def show(self, records: list[Shown]) -> int:
        """Show them, as far as they are wanted; returns how many that were."""
        if self._count is not None:
            records = records[: max(0, self._count - self.records)]
        if not records:
            return 0
        self.records += len(records)
        await self._output.write(self._text(records))
        if self.records == self._count:
            self.enough.set()
        return len(records)

    def _text(self, records: list[Shown]) -> str:
        if self._table is not None:
            return self._table.rows(records)
        if self._form == "json":
            return "".join(map(line_of, records))
        return "".join(self._tsv_text(shown) for shown in records)

    def _tsv_text(self, shown: Shown) -> str:
        head = b""
        header = [(column.name, zeek_type(column.type)) for column in shown.columns]
        if self._tsv is None or header != self._header:
            head = self._tsv.end(time.time()) if self._tsv is not None else b""
            self._header, self._tsv = header, Tsv(self._stream, shown.columns)
            head += self._tsv.begin(time.time())
        return (head + self._tsv.rows([shown])).decode()

    async def end(self) -> None:
        """End a TSV log as Zeek does."""
        if self._tsv is not None:
            with trio.move_on_after(0.5, shield=True):
                await self._output.write(self._tsv.end(time.time()).decode())
