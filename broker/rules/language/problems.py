"""What is wrong with a program: found place by place, told all at once.

A place is an offset into the text; people are told the line and the column, both from 1 and in characters, and see the
line with a caret below.  The line is shown so that no terminal is led astray by it: signs without a picture stand as
``\N{REPLACEMENT CHARACTER}``, and of a long line what is around the place.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

import attrs

from broker.errors import RuleError, RuleProblem

__all__ = ["Place", "Problems", "shown", "suggestion"]

TOLD_MAX: Final = 20
"""Problems told of a run: more than fit a screen help nobody."""

_SHOWN_MAX: Final = 120
_BEFORE: Final = 80
_NAME_MAX: Final = 60


@attrs.frozen
class Place:
    """A place in a text: the offset from 0, line and column from 1, all in characters."""

    offset: int
    line: int
    column: int


def suggestion(name: str, known: Iterable[str]) -> str:
    """A question for the end of a message, if a known name is close enough to be meant; else nothing."""
    if len(name) > _NAME_MAX:
        return ""
    candidates = sorted({other for other in known if len(other) <= _NAME_MAX and other != name})
    close = get_close_matches(name, candidates, 1, 0.6) or [
        other for other in candidates if other.lower() == name.lower()
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


class Problems:
    """The problems of one program text; ``file`` is the name that they are told under, or empty."""

    def __init__(self, text: str, file: str = "") -> None:
        self.text = text
        self.file = file
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._found: dict[tuple[int, str], None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def place(self, offset: int) -> Place:
        """Where the character at that offset stands."""
        line = bisect_right(self._starts, offset)
        return Place(offset, line, offset - self._starts[line - 1] + 1)

    def add(self, at: int | Place, what: str) -> None:
        """One more problem.  The same one at the same place counts once."""
        offset = at if isinstance(at, int) else at.offset
        self._found[offset, what] = None

    def check(self) -> None:
        """Raises RuleError with all that was found, in the order of the text; does nothing if nothing was."""
        if not self._found:
            return
        found = sorted(self._found, key=lambda problem: problem[0])
        told = [self._problem(offset, what) for offset, what in found[:TOLD_MAX]]
        if more := len(found) - len(told):
            told.append(RuleProblem(self.file, 0, 0, "", f"and {more} more"))
        raise RuleError(told)

    def _problem(self, offset: int, what: str) -> RuleProblem:
        place = self.place(offset)
        start = self._starts[place.line - 1]
        end = self._starts[place.line] - 1 if place.line < len(self._starts) else len(self.text)
        excerpt = _excerpt(self.text[start:end].rstrip("\r"), place)
        return RuleProblem(self.file, place.line, place.column, "", what, excerpt)


def _excerpt(line: str, place: Place) -> str:
    """The line, numbered, and a caret below the place."""
    index = place.column - 1
    first = max(0, index - _BEFORE) if len(line) > _SHOWN_MAX else 0
    part = line[first : first + _SHOWN_MAX]
    before, behind = "..." if first else "", "..." if first + _SHOWN_MAX < len(line) else ""
    shown_line = before + shown(part) + behind
    # Tabs stay, so that the caret stands right wherever a terminal puts them; broad characters take two places.
    pad = " " * len(before) + "".join(map(_blank, part[: index - first]))
    gutter = str(place.line)
    return f"  {gutter} | {shown_line}\n  {' ' * len(gutter)} | {pad}^"


def shown(text: str) -> str:
    """A part of a program as messages may show it."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\t" or character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def _blank(character: str) -> str:
    if character == "\t":
        return "\t"
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in ("W", "F") else " "
