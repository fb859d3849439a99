"""``broker rules check``: everything that is wrong in files of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import trio

import broker
from broker.cli.exits import INPUT_WRONG
from broker.cli.jsonform import dumps
from broker.cli.running import counted
from broker.cli.standard import Output, printable
from broker.rule_files import RuleFiles
from broker.rules.model import Program

__all__ = ["Check"]


def _text(problem: broker.RuleProblem) -> str:
    return "".join(printable(line) + "\n" for line in str(problem).split("\n"))


def _form(problem: broker.RuleProblem) -> dict[str, Any]:
    return {
        "source": problem.source,
        "line": problem.line or None,
        "column": problem.column or None,
        "path": problem.path or None,
        "problem": problem.what,
    }


@attrs.frozen
class Check:
    """One run of the command."""

    files: Sequence[str]

    async def __call__(self, output: Output) -> int:
        """Say all that is wrong."""
        problems: Iterable[broker.RuleProblem] = ()
        found: Any = None
        try:
            found = await trio.to_thread.run_sync(RuleFiles(*self.files).load, abandon_on_cancel=True)
        except broker.RuleError as error:
            problems = error.problems
        for problem in problems:
            await output.write(_text(problem) if output.is_terminal else dumps(_form(problem)) + "\n")
        if output.is_terminal and not problems:
            what = counted(len(found.rules), "rule") if isinstance(found, Program) else "a tree of Tornado's"
            await output.write(f"{what}, no problem\n")
        return INPUT_WRONG if problems else 0
