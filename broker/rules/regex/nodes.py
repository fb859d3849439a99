"""What a regular expression is made of, and the cursor that its text is read with."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "Alternatives",
    "Assertion",
    "Cursor",
    "Flags",
    "Group",
    "Node",
    "Parsed",
    "Repeat",
    "Sequence",
    "Set",
    "SyntaxProblem",
]


class SyntaxProblem(ValueError):
    """What is wrong with a regular expression, in words."""


class Set(NamedTuple):
    """One character of a set (the inside of a class of RE2); ``fold``: whatever its case."""

    text: str
    fold: bool


class Assertion(NamedTuple):
    r"""A place in the text: one of ``\A \z (?m:^) (?m:$)``, or a word's boundary."""

    kind: str


class Repeat(NamedTuple):
    """So many times, as often as possible or as rarely."""

    node: Node
    least: int
    most: int | None
    greedy: bool


class Group(NamedTuple):
    """A group that is captured, by its number from 1."""

    number: int
    node: Node


class Sequence(NamedTuple):
    """One after the other."""

    nodes: tuple[Node, ...]


class Alternatives(NamedTuple):
    """The first that goes."""

    nodes: tuple[Node, ...]


Node = Set | Assertion | Repeat | Group | Sequence | Alternatives


class Parsed(NamedTuple):
    """A regular expression: its tree, the names of its groups with their numbers, how many groups it has."""

    node: Node
    names: tuple[tuple[str, int], ...]
    groups: int


class Flags(NamedTuple):
    """What is on at a place: letters in ``(?imsUux)``."""

    fold: bool = False  # i
    lines: bool = False  # m
    dot_all: bool = False  # s
    swap_greed: bool = False  # U
    unicode: bool = True  # u
    free: bool = False  # x


_WHITE: Final = " \t\n\v\f\r\x85\u200e\u200f\u2028\u2029"


class Cursor:
    """A pattern, and the place up to which it is read."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0

    def problem(self, what: str, place: int | None = None) -> SyntaxProblem:
        """What is wrong, and where: at the cursor, or at another place."""
        at = self.place if place is None else place
        return SyntaxProblem(f"{what} (at character {at + 1})")

    def peek(self, text: str) -> bool:
        """The text comes next."""
        return self.pattern.startswith(text, self.place)

    def take(self, text: str) -> bool:
        """Go on behind the text, if it comes next."""
        if self.peek(text):
            self.place += len(text)
            return True
        return False

    def next(self, what: str) -> str:
        """The next character; ``what`` is what is not closed if there is none."""
        if self.place >= len(self.pattern):
            raise self.problem(f"{what} is not closed")
        self.place += 1
        return self.pattern[self.place - 1]

    def skip(self, flags: Flags) -> None:
        """White space and comments, where they mean nothing."""
        while flags.free and self.place < len(self.pattern):
            if self.pattern[self.place] == "#":
                end = self.pattern.find("\n", self.place)
                self.place = len(self.pattern) if end < 0 else end + 1
            elif self.pattern[self.place] in _WHITE:
                self.place += 1
            else:
                break
