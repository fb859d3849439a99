"""``broker rules run`` on standard input: rules over recorded events, without a mesh."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from time import time_ns
from typing import Any, Final

import attrs
import trio

from broker.cli.events.records import event_name
from broker.cli.exits import FAILED
from broker.cli.rules.lines import LINE_ERRORS, Reader, made_line
from broker.cli.rules.summary import summary
from broker.cli.running import counted
from broker.cli.standard import Lines, Output, note, printable
from broker.handles.rule_sources import EngineOptions, Loaded
from broker.rule_files import RuleFiles

__all__ = ["Recorded"]

# Of a file of the wrong kind every line is wrong: so many are told.
_TOLD_MAX: Final = 20
_SECOND_NS: Final = 1_000_000_000
# An engine that never comes to where it should is not waited for: so many steps.
_STEPS_MAX: Final = 100_000


@attrs.define
class Recorded:
    """One run of the command, and what it has done."""

    files: Sequence[str]
    topic: str | None
    event: str | None
    lateness_s: float
    settle_s: float
    descriptor: int = 0  # where lines come from
    read: int = 0
    wrong: int = 0  # lines that were passed over
    made: int = 0
    now_ns: int = 0  # the engine's clock
    by_events: bool | None = None  # whether events have times, which then are all that counts

    async def __call__(self, output: Output) -> int:
        """Give the rules every line; says at the end what came of them."""
        loaded = await trio.to_thread.run_sync(
            lambda: Loaded.of(RuleFiles(*self.files).load(), checked=True), abandon_on_cancel=True
        )
        if os.isatty(self.descriptor):
            note("events are read from standard input, one a line, until Ctrl-D")
        lines = Lines(self.descriptor)
        run = _Run(self, output, loaded)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run.follow_clock)
                while (line := await run.next(lines)) is not None:
                    await run.take(line, lines.number)
                nursery.cancel_scope.cancel()
            await run.settle(round(self.settle_s * _SECOND_NS))
        finally:
            wrong = f", {counted(self.wrong, 'line')} passed over" if self.wrong else ""
            note(f"{counted(self.read, 'event')} read{wrong}, {self.made:,} made")
            if run.engine is not None:
                figures = run.engine.figures()
                self.wrong += figures.misfits
                for told in (*run.unknown(), *summary(figures)):
                    note(told)
        return FAILED if self.wrong else 0


class _Run:
    """The engine of a run, and the event times that it is driven by."""

    def __init__(self, command: Recorded, output: Output, loaded: Loaded) -> None:
        self._command = command
        self._output = output
        self._loaded = loaded
        self._types = loaded.types
        self._reader = Reader(self._types, command.topic, command.event, time_ns)
        self._last_ns = 0  # the latest event's time
        self._line = 0
        self._names: Counter[str] = Counter()  # of events that no rule knows
        self.engine: Any = None

    async def next(self, lines: Lines) -> bytes | None:
        """The next line; one that is too long ends it all."""
        return await lines.read()

    async def take(self, line: bytes, number: int) -> None:
        """Give the engine an event; a line that is wrong is told and passed over."""
        command = self._command
        self._line = number
        try:
            message, timed = self._reader.message(line.decode())
        except LINE_ERRORS as error:
            self._wrong(str(error))
            return
        command.read += 1
        self._count(event_name(message.event))
        if self.engine is None:
            command.by_events = timed
            command.now_ns = message.time_ns
            self.engine = self._loaded.engine(EngineOptions(lateness_s=command.lateness_s), message.time_ns)
        self._last_ns = max(self._last_ns, message.time_ns)
        command.now_ns = max(command.now_ns, message.time_ns) if command.by_events else time_ns()
        await self._give(self.engine.receive([message], command.now_ns))

    def _count(self, name: str) -> None:
        if self._types and name not in self._types and (name in self._names or len(self._names) < _TOLD_MAX):
            self._names[name] += 1

    def unknown(self) -> Iterator[str]:
        """Tell of events whose types the rules do not know: as a rule a name is misspelt."""
        for name, count in self._names.items():
            close = get_close_matches(name, self._types, n=1)
            meant = f": did you mean {close[0]}?" if close else ""
            yield f"{counted(count, 'event')} of the type {printable(name)}, which no rule knows{meant}"

    def _wrong(self, what: str) -> None:
        command = self._command
        command.wrong += 1
        if command.wrong <= _TOLD_MAX:
            note(f"line {self._line}: {what}")
        elif command.wrong == _TOLD_MAX + 1:
            note("further lines that are wrong are counted, not told")

    async def _give(self, outcome: Any) -> None:
        for problem in outcome.problems:
            rule = f"rule {problem.rule}: " if problem.rule else ""
            note(f"line {self._line}: {rule}{problem.text}")
        for made in outcome.made:
            self._command.made += 1
            for action in made.actions or ("",):
                await self._output.write(
                    made_line(
                        self._types,
                        rule=made.rule,
                        action=action,
                        topic=made.topic or "",
                        time_ns=made.time_ns,
                        event=made.event,
                    )
                )

    async def follow_clock(self) -> None:
        """Where events have no times of their own: tell the engine the time when it wants to know it, for ever."""
        while True:
            due_ns = self.engine.next_deadline(time_ns()) if self.engine is not None else None
            wait_s = 0.1 if due_ns is None else min(0.1, (due_ns - time_ns()) / _SECOND_NS)
            await trio.sleep(max(wait_s, 0.001))
            if due_ns is not None and self._command.by_events is False and due_ns <= time_ns():
                self._command.now_ns = time_ns()
                await self._give(self.engine.tick(self._command.now_ns))

    async def settle(self, more_ns: int) -> None:
        """Let time go on until the rules have seen every event, and so much longer."""
        command = self._command
        if self.engine is None:
            return
        until_ns = self._last_ns + more_ns
        for _ in range(_STEPS_MAX):
            at_ns = self.engine.figures().watermark_ns
            if at_ns is None or at_ns >= until_ns:
                break
            due_ns = self.engine.next_deadline(command.now_ns)
            if due_ns is None:  # nothing waits: no rule wants to know
                break
            command.now_ns = max(due_ns, command.now_ns + 1)
            await self._give(self.engine.tick(command.now_ns))
