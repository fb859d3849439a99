"""Findings as lines for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from broker.cli.doctor.steps import STEPS, Finding, State
from broker.cli.jsonform import dumps
from broker.cli.standard import printable

__all__ = ["finding_line", "finding_text", "verdict_line", "verdict_text"]

_SIGNS: Final[dict[State, tuple[str, str]]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "failed": ("✗", "bold red"),
    "skipped": ("-", "dim"),
}
_INDENT: Final = max(map(len, STEPS)) + 4


def finding_text(finding: Finding) -> str:
    """A finding for a terminal: a sign, the step and what was found; then what to do."""
    sign, style = _SIGNS[finding.state]
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as capture:
        head = Text.assemble((f"{sign} {finding.step.ljust(_INDENT - 2)}", style))
        quiet = "dim" if finding.state == "skipped" else ""
        lines = Text(printable(finding.found), style=quiet).wrap(console, max(20, console.width - _INDENT))
        console.print(head + (lines[0] if lines else Text()), soft_wrap=True)
        for line in lines[1:]:
            console.print(Text(" " * _INDENT) + line, soft_wrap=True)
        if finding.advice:
            console.print(Padding(Text(printable(finding.advice), style="italic " + quiet), (0, 0, 0, _INDENT)))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def finding_line(finding: Finding) -> str:
    """A finding as JSON."""
    form = {"step": finding.step, "state": finding.state, "found": finding.found, "advice": finding.advice or None}
    return dumps(form | {"details": dict(finding.details)}) + "\n"


def _failed(findings: Sequence[Finding]) -> str | None:
    return next((finding.step for finding in findings if finding.state == "failed"), None)


def verdict_text(address: str, findings: Sequence[Finding]) -> str:
    """What it comes to, in words."""
    failed = _failed(findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    if failed is not None:
        what = "the peering comes up, but see the" if failed == "rights" else "no peering, because of the"
        return f"\n{printable(address)}: {what} {failed}\n"
    return f"\n{printable(address)}: the peering comes up{f', with {warnings} to look at' if warnings else ''}\n"


def verdict_line(address: str, findings: Sequence[Finding]) -> str:
    """What it comes to, as JSON."""
    warnings = [finding.step for finding in findings if finding.state == "warning"]
    failed = _failed(findings)
    return dumps({"verdict": {"address": address, "ok": failed is None, "failed": failed, "warnings": warnings}}) + "\n"
