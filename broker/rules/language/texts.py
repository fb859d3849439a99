"""Several texts of the Event Language as one program: what one declares, the others may use."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from broker.errors import RuleError, RuleProblem
from broker.rules import language
from broker.rules.language import Find
from broker.rules.model import Program

__all__ = ["load_texts"]

_IN_LINE = re.compile(r"\bin line (\d+)\b")


def load_texts(texts: Sequence[tuple[str, str]], find: Find | None = None) -> Program:
    """Return the program of texts, each with the name of its file.

    ``find``: see :func:`broker.rules.language.load`.  Raises RuleError with all that is wrong, in the files' order.
    """
    if len(texts) == 1:
        ((file, text),) = texts
        return language.load(text, file, find)
    problems: list[RuleProblem] = []
    for file, text in texts:
        try:
            language.parse(text, file)
        except RuleError as error:
            problems += error.problems
    if problems:  # what they mean together nobody knows
        raise RuleError(problems)
    try:
        return language.load("\n".join(text for _, text in texts), "", find)
    except RuleError as error:
        places = _Places(texts)
        raise RuleError(map(places.back, error.problems)) from None


class _Places:
    """Where the lines of the joined text came from."""

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        self._files = [file for file, _ in texts]
        self._starts = []  # the line before each file's first
        line = 0
        for _, text in texts:
            self._starts.append(line)
            line += text.count("\n") + 1

    def _place(self, line: int) -> tuple[str, int]:
        index = bisect_right(self._starts, line - 1) - 1
        return self._files[index], line - self._starts[index]

    def back(self, problem: RuleProblem) -> RuleProblem:
        """Return a problem with its own file's name and line."""
        if not problem.line:
            return problem
        file, line = self._place(problem.line)
        what = problem.what
        if found := _IN_LINE.search(what):
            other, there = self._place(int(found[1]))
            told = f"in line {there}{'' if other == file else f' of {other}'}"
            what = f"{what[: found.start()]}{told}{what[found.end() :]}"
        return problem._replace(source=file, line=line, what=what)
