"""``broker rules format``: files of the Event Language in their one layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path
from tempfile import NamedTemporaryFile

import attrs

import broker
from broker.cli.exits import INPUT_WRONG
from broker.cli.jsonform import dumps
from broker.cli.running import counted
from broker.cli.standard import Output, note
from broker.rule_files import read_text
from broker.rules import language

__all__ = ["Format"]


@attrs.define
class Format:
    """One run of the command."""

    files: Sequence[str]
    check: bool
    diff: bool
    wrong: int = 0  # files that make no sense
    changed: int = 0  # files that were changed, or would be

    async def __call__(self, output: Output) -> int:
        """Format all files; one that makes no sense is told and passed over."""
        for file in self.files:
            try:
                text = read_text(0 if file == "-" else file)
                formatted = language.format(text, "standard input" if file == "-" else file)
            except broker.RuleError as error:
                self.wrong += 1
                for line in str(error).split("\n"):
                    note(line)
                continue
            self.changed += formatted != text
            await self._give(output, file, text, formatted)
        if output.is_terminal and "-" not in self.files:
            would = "would change" if self.check or self.diff else "changed"
            note(f"{counted(self.changed, 'file')} {would}, {len(self.files) - self.changed - self.wrong} as they were")
        return INPUT_WRONG if self.wrong or (self.changed and (self.check or self.diff)) else 0

    async def _give(self, output: Output, file: str, text: str, formatted: str) -> None:
        if self.diff:
            lines = unified_diff(text.splitlines(True), formatted.splitlines(True), file, file)
            await output.write("".join(line if line.endswith("\n") else f"{line}\n" for line in lines))
            return
        if file == "-":
            if not self.check:
                await output.write(formatted)
            return
        if formatted != text and not self.check:
            _replace(Path(file), formatted)
        if not output.is_terminal:
            await output.write(dumps({"file": file, "changed": formatted != text}) + "\n")


def _replace(path: Path, text: str) -> None:
    """Put a text in a file's place, whole or not at all; links and permissions stay."""
    path = path.resolve()
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
