"""``broker rules explain``: why a rule does or does not hold, for recorded events."""

from __future__ import annotations

from collections.abc import Iterator
from time import time_ns
from typing import Any, Final

import attrs
import trio

import broker
from broker.cli.jsonform import dumps, to_json
from broker.cli.rules.lines import LINE_ERRORS, Reader
from broker.cli.running import InputError, counted
from broker.cli.standard import Lines, Output, note, printable
from broker.handles.rule_sources import Loaded
from broker.rule_files import RuleFiles
from broker.rules.explaining import Explanation
from broker.rules.explaining.streams import rule_named
from broker.rules.model import Program

__all__ = ["Explain"]

# Events that are looked at together.
_EVENTS_MAX: Final = 1000


@attrs.frozen
class Explain:
    """One run of the command."""

    file: str
    rule: str
    topic: str | None
    event: str | None
    descriptor: int = 0  # where lines come from

    async def __call__(self, output: Output) -> int:
        """Explain the rule for each event; one of several steps, or with a window, for all of them."""
        loaded = await trio.to_thread.run_sync(
            lambda: Loaded.of(RuleFiles(self.file).load(), checked=True), abandon_on_cancel=True
        )
        program = loaded.program
        try:
            loaded.explain(self.rule, [])
        except KeyError as error:
            raise InputError(f"{self.file}: {error.args[0]}") from None
        together = False
        if isinstance(program, Program):
            rule = rule_named(program, self.rule)
            together = len(rule.steps) > 1 or rule.steps[0].group or rule.window is not None
        reader, lines = Reader(loaded.types, self.topic, self.event, time_ns), Lines(self.descriptor)
        messages: list[broker.Message] = []
        while (line := await lines.read()) is not None:
            try:
                message = reader.message(line.decode())[0]
                if together:
                    messages.append(message)
                else:
                    await self._show(output, loaded.explain(self.rule, [message]))
            except (*LINE_ERRORS, broker.RuleError) as error:
                raise InputError(f"line {lines.number}: {error}") from None
            if len(messages) > _EVENTS_MAX:
                raise InputError(f"more than {counted(_EVENTS_MAX, 'event')}: give those that it is about")
        if together:
            await self._show(output, loaded.explain(self.rule, messages))
        elif not lines.number:
            note("no events: they are read from standard input, one a line")
        return 0

    async def _show(self, output: Output, explanation: Explanation | str) -> None:
        if isinstance(explanation, str):  # of a tree: the rule, and what is around it
            form = {"rule": self.rule, "lines": explanation.split("\n")}
            text = "".join(f"{printable(line)}\n" for line in form["lines"])
            await output.write(text if output.is_terminal else dumps(form) + "\n")
        elif output.is_terminal:
            await output.write("".join(f"{printable(line)}\n" for line in str(explanation).split("\n")))
        else:
            await output.write(dumps(_form(explanation)) + "\n")


def _form(explanation: Explanation) -> dict[str, Any]:
    return {"rule": explanation.rule, "holds": explanation.holds, "clauses": list(_clauses(explanation))}


def _clauses(explanation: Explanation) -> Iterator[dict[str, Any]]:
    for clause in explanation.clauses:
        parts = {part.text: _value(part.value) for part in clause.parts}
        yield {"clause": clause.text, "name": clause.name, "holds": clause.holds, "parts": parts, "why": clause.why}


def _value(value: Any) -> Any:
    try:
        return to_json(list(value) if type(value) is tuple else value)
    except (KeyError, TypeError):  # an event, or a group of them
        return str(value)
