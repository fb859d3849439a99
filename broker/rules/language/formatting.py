"""The canonical layout of a program: its tokens in their order, with its comments, on lines of their own choice.

Tokens are neither added nor removed, so a formatted program means the same.  Of the old layout only two things count:
whether a blank line stood between declarations, and whether a comment behind a declaration stood on its line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import attrs

from broker.rules.language.layout import HARD, Break, Doc, Group, Indent, render
from broker.rules.language.parser import Parsed, read
from broker.rules.language.tokens import Comment, Kind

__all__ = ["format_text"]

_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_TIGHT: Final = ("(", "[", ".", "^", "!")  # no space behind
_CLOSED: Final = (")", "]", ",", ";", ":", ".", "^")  # no space before


def format_text(text: str, file: str = "") -> str:
    """A program in its canonical layout.  Raises RuleError if it does not parse."""
    parsed = read(text, file)
    return _Formatter(parsed).run()


@attrs.frozen
class _Line:
    """A declaration, or a comment outside of one, with its first and last line in the old layout."""

    text: str
    first: int
    last: int


class _Formatter:
    def __init__(self, parsed: Parsed) -> None:
        self._tokens = parsed.tokens.tokens
        self._words = parsed.words
        self._comments: dict[int, list[Comment]] = defaultdict(list)
        for comment in parsed.tokens.comments:
            self._comments[comment.before].append(comment)

    def run(self) -> str:
        lines: list[_Line] = []
        start = 0
        while self._tokens[start].kind is not Kind.END:
            end = start
            while self._tokens[end].text != ";" or self._tokens[end].kind is not Kind.SIGN:
                end += 1
            self._outside(start, lines)
            text = render(self._declaration(start, end))
            lines.append(_Line(text, self._tokens[start].at.line, self._tokens[end].at.line))
            start = end + 1
        self._outside(start, lines)
        return _joined(lines)

    def _outside(self, index: int, lines: list[_Line]) -> None:
        """The comments between declarations, before the token of that index."""
        for comment in self._comments.pop(index, []):
            text = _tidy(comment.text)
            first = comment.at.line
            last = first + comment.text.count("\n")
            if lines and lines[-1].last == first:
                former = lines.pop()
                lines.append(_Line(f"{former.text}  {text}", former.first, last))
            else:
                lines.append(_Line(text, first, last))

    # -- a declaration -------------------------------------------------------------------------------------------------

    def _declaration(self, start: int, end: int) -> list[Doc]:
        tokens = self._tokens
        if tokens[start].kind is Kind.TYPE and tokens[start + 1].text == ":":
            return [Group(self._rule(start, end))]
        body = self._definition(start, end)
        if body is None:
            return [Group(self._sequence(start, end + 1))]
        value = Group(self._sequence(body + 1, end + 1))
        if tokens[body + 1].text == "{" and body + 1 not in self._comments:
            return [*self._sequence(start, body + 1), " ", value]
        return [*self._sequence(start, body + 1), Group([Indent([*self._break(body + 1), value])])]

    def _definition(self, start: int, end: int) -> int | None:
        """The index of the ':=' or '=' that what is defined stands behind; None in events."""
        if self._tokens[start].text == "event":
            return None
        return next(index for index in range(start, end) if self._tokens[index].text in (":=", "="))

    def _rule(self, start: int, end: int) -> list[Doc]:
        close = self._matching(start + 2)
        arrow = next(index for index in range(close, end) if self._tokens[index].text == "->")
        parts = self._sequence(start, close + 1)
        for first, behind in ((close + 1, arrow), (arrow, end + 1)):
            if first < behind:
                group = Group(self._sequence(first, behind, words=True))
                parts.append(Indent([*self._break(first), group]))
        return parts

    def _matching(self, index: int) -> int:
        """The index of the sign that closes the one of that index."""
        depth = 0
        for place in range(index, len(self._tokens)):
            depth += self._opens(place)
            if not depth:
                return place
        raise AssertionError("the parser saw to it that all is closed")

    def _opens(self, index: int) -> int:
        """1 for a sign that opens, -1 for one that closes, else 0."""
        token = self._tokens[index]
        if token.kind is not Kind.SIGN:
            return 0
        return (token.text in _OPENING) - (token.text in _OPENING.values())

    def _sequence(self, start: int, end: int, *, words: bool = False) -> list[Doc]:
        """The tokens from start to end.  With ``words`` lines may end before the words of modifiers and results."""
        parts: list[Doc] = []
        index = start
        while index < end:
            if index > start:
                parts += self._break(index) if self._may_break(index, words=words) else self._gap(index)
            if self._opens(index) == 1:
                close = self._matching(index)
                parts.append(self._bracketed(index, close))
                index = close + 1
            else:
                parts.append(self._tokens[index].text)
                index += 1
        return parts

    def _may_break(self, index: int, *, words: bool) -> bool:
        word = self._tokens[index].text
        if index not in self._words or word in ("not", "in", "contains", "matches"):
            return False
        if word in ("and", "or"):
            return not words
        # The 'per' of a limit belongs to it.
        return words and not (word == "per" and index - 2 in self._words and self._tokens[index - 2].text == "limit")

    def _bracketed(self, start: int, end: int) -> Doc:
        """What stands in brackets: on one line, or each item on one of its own."""
        opening, closing = self._tokens[start].text, self._tokens[end].text
        if end == start + 1:
            return Group([opening, *self._gap(end), closing])
        flat = " " if opening == "{" else ""
        inner: list[Doc] = []
        items: list[Doc] = []
        item = start + 1
        for index in self._separators(start, end):
            items.append(Group(self._sequence(item, index)))
            item = index + 1
            if self._tokens[index].text == ",":
                items += [*self._gap(index), ",", *self._break(item)]
            else:
                inner += [Group(items), *self._break(index), ":", *self._gap(item)]
                items = []
        items.append(Group(self._sequence(item, end)))
        inner += [Group([Indent(items)])] if inner else items
        return Group([opening, Indent([*self._break(start + 1, flat), *inner]), *self._break(end, flat), closing])

    def _separators(self, start: int, end: int) -> list[int]:
        """The commas directly inside, and the ':' between the events of a rule and its clauses."""
        found, depth = [], 0
        signs = (",", ":") if self._tokens[start].text == "[" else (",",)
        for index in range(start + 1, end):
            depth += self._opens(index)
            if not depth and self._tokens[index].text in signs:
                found.append(index)
        return found

    # -- between two tokens --------------------------------------------------------------------------------------------

    def _break(self, index: int, flat: str = " ") -> list[Doc]:
        """A place where a line may end, before the token of that index and behind the comments that stand there."""
        comments = self._comments.pop(index, [])
        parts = self._written(comments)
        if comments and _ends_line(comments[-1]):
            return [*parts, HARD]
        return [*parts, Break(" " if comments else flat)]

    def _gap(self, index: int) -> list[Doc]:
        """What separates a token from the one before it on one line, comments included."""
        comments = self._comments.pop(index, [])
        if not comments:
            return [" "] if self._spaced(index) else []
        return [*self._written(comments), HARD if _ends_line(comments[-1]) else " "]

    def _written(self, comments: Sequence[Comment]) -> list[Doc]:
        parts: list[Doc] = []
        for place, comment in enumerate(comments):
            parts += [HARD if place and _ends_line(comments[place - 1]) else " ", _tidy(comment.text)]
        return parts

    def _spaced(self, index: int) -> bool:
        before, token = self._tokens[index - 1], self._tokens[index]
        if before.kind is Kind.SIGN and (before.text in _TIGHT or self._turns_sign(index - 1)):
            return False
        if token.kind is not Kind.SIGN:
            return True
        if token.text in _CLOSED or (token.text == "+" and before.kind is Kind.TYPE):
            return False
        return token.text != "(" or before.kind is not Kind.NAME or index - 1 in self._words

    def _turns_sign(self, index: int) -> bool:
        """Whether the token is a '-' with nothing on its left."""
        if self._tokens[index].text != "-":
            return False
        before = self._tokens[index - 1]
        if before.kind is Kind.SIGN:
            return before.text not in _OPENING.values()
        return index - 1 in self._words


def _ends_line(comment: Comment) -> bool:
    return comment.text.startswith("//") or "\n" in comment.text


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _joined(lines: Sequence[_Line]) -> str:
    out: list[str] = []
    for place, line in enumerate(lines):
        if place and line.first > lines[place - 1].last + 1:
            out.append("")
        out.append(line.text)
    return "\n".join(out) + "\n"
