"""Layout: pieces of text with places where a line may end, and how they fill a page of a certain width.

After Wadler's "A prettier printer" (2003), with a stack in the place of laziness.  A :class:`Group` is written on one
line if what it holds, with what follows it up to the next possible break, fits; else all breaks that are directly in
it are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs

__all__ = ["HARD", "Break", "Doc", "Group", "Indent", "render"]

WIDTH: Final = 100
STEP: Final = 4


@attrs.frozen
class Break:
    """A line may end here, else ``flat`` stands; if ``hard``, it ends here always."""

    flat: str = " "
    hard: bool = False


HARD: Final = Break(hard=True)


@attrs.frozen
class Indent:
    """Lines that begin inside are indented one step further."""

    parts: Sequence[Doc]


@attrs.frozen
class Group:
    """What stands on one line if it fits."""

    parts: Sequence[Doc]


Doc: TypeAlias = str | Break | Indent | Group
_Task: TypeAlias = tuple[int, bool, Doc]  # how far lines are indented, whether all is on one line, what


def render(parts: Sequence[Doc]) -> str:
    """The text, without a line's end behind it."""
    out: list[str] = []
    column = 0
    waiting: list[_Task] = [(0, False, part) for part in reversed(parts)]
    while waiting:
        indent, flat, doc = waiting.pop()
        match doc:
            case str():
                out.append(doc)
                column = len(doc) - doc.rfind("\n") - 1 if "\n" in doc else column + len(doc)
            case Break() if flat and not doc.hard:
                out.append(doc.flat)
                column += len(doc.flat)
            case Break():
                out.append("\n" + " " * indent)
                column = indent
            case Indent():
                waiting += [(indent + STEP, flat, part) for part in reversed(doc.parts)]
            case Group():
                fits = flat or _fits(doc, indent, waiting, WIDTH - column)
                waiting += [(indent, fits, part) for part in reversed(doc.parts)]
    return "\n".join(line.rstrip() for line in "".join(out).split("\n"))


def _fits(group: Group, indent: int, rest: Sequence[_Task], room: int) -> bool:
    """Whether a group on one line, and what follows up to the next break, takes no more than the room."""
    waiting: list[_Task] = [(indent, True, part) for part in reversed(group.parts)]
    behind = len(rest)
    while room >= 0:
        if not waiting:
            if not behind:
                return True
            behind -= 1
            waiting.append(rest[behind])
        _, flat, doc = waiting.pop()
        match doc:
            case str():
                if "\n" in doc:
                    return flat is False
                room -= len(doc)
            case Break():
                if doc.hard or not flat:
                    return not flat
                room -= len(doc.flat)
            case Indent() | Group():
                # What follows is taken to break wherever it can.
                waiting += [(indent, flat, part) for part in reversed(doc.parts)]
    return False
