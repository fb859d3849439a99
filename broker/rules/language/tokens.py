"""Text to tokens: the words, numbers, texts and signs of The Event Language, each with its place.

Only ``event``, ``extends`` and ``predicate`` are reserved; every other word is a name here, and the parser says by its
place whether it is one of the language's.  What is no token is told and passed over, so that one run tells all of it.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Final

import attrs

from broker.rules.language.problems import Place, Problems, shown

__all__ = ["Kind", "Token", "Tokens", "Comment", "tokenize"]

TEXT_MAX: Final = 1_000_000
"""Characters of a program: a hundred times the longest that people write, and read within seconds."""

INTEGER_MAX: Final = 2**64 - 1
"""The greatest integer that events carry.  Whole numbers above it are doubles."""

DURATION_NS_MAX: Final = 2**63 - 1
"""The longest duration: 292 years."""

UNITS_NS: Final = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""The units of durations in nanoseconds, the longest first."""

RESERVED: Final = frozenset({"event", "extends", "predicate"})


class Kind(Enum):
    """What a token is; the value is what messages call it."""

    TYPE = "a type's name"
    NAME = "a name"
    RESERVED = "a reserved word"
    NUMBER = "a number"
    DURATION = "a duration"
    TEXT = "a text"
    SIGN = "a sign"
    END = "the end of the file"


@attrs.frozen
class Token:
    """One token: ``value`` is a number's, a text's, or a duration's in nanoseconds; ``end`` the offset behind it."""

    kind: Kind
    text: str
    at: Place
    index: int
    value: int | float | str = ""

    @property
    def end(self) -> int:
        """The offset of the character behind the token."""
        return self.at.offset + len(self.text)

    def __str__(self) -> str:
        if self.kind is Kind.END:
            return str(self.kind.value)
        text = shown(self.text if len(self.text) <= 40 else f"{self.text[:37]}...")
        return text if self.kind is Kind.TEXT else f"'{text}'"


@attrs.frozen
class Comment:
    """A comment as it stands, with its signs; ``before`` is the index of the token that follows it."""

    text: str
    at: Place
    before: int


_PIECE: Final = re.compile(
    r"""
      (?P<space>[\s\ufeff]+)
    | (?P<comment>//(?!\*)[^\n]*|/\*.*?\*/)
    | (?P<unclosed>/\*)
    | (?P<TYPE>[A-Z][A-Za-z0-9_]*)
    | (?P<NAME>[a-z_][A-Za-z0-9_]*)
    | (?P<NUMBER>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_]|\.[0-9])
    | (?P<DURATION>(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h|d))+)(?![A-Za-z0-9_])
    | (?P<numeral>[0-9][A-Za-z0-9_]*(?:\.[0-9][A-Za-z0-9_]*)*)
    | (?P<TEXT>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<open>"[^\n]*)
    | (?P<SIGN>:=|->|==|!=|>=|<=|[-+*/^=<>!:;,.(){}\[\]])
    | (?P<stray>(?:(?![A-Za-z0-9_"\s\ufeff]|[-+*/^=<>!:;,.(){}\[\]]).)+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_PLAIN: Final = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Lexer:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._text = problems.text
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.damaged: set[int] = set()

    def run(self) -> None:
        text, position = self._text, 0
        while position < len(text):
            found = _PIECE.match(text, position)
            assert found is not None, "a stray character is a piece, too"
            kind, piece = str(found.lastgroup), found[0]
            if kind == "unclosed":
                self._problems.add(position, "this comment is not closed: '*/' is missing")
                self.damaged.add(len(self.tokens))
                break
            if kind != "space":
                self._take(kind, piece, position)
                if kind in ("numeral", "open", "stray"):
                    self.damaged.add(len(self.tokens))
            position = found.end()
        self._add(Kind.END, "", len(text))

    def _take(self, kind: str, piece: str, position: int) -> None:
        match kind:
            case "comment":
                self.comments.append(Comment(piece.rstrip(), self._problems.place(position), len(self.tokens)))
            case "NAME":
                self._add(Kind.RESERVED if piece in RESERVED else Kind.NAME, piece, position)
            case "NUMBER":
                self._add(Kind.NUMBER, piece, position, self._number(piece, position))
            case "DURATION":
                self._add(Kind.DURATION, piece, position, self._duration(piece, position))
            case "TEXT":
                self._add(Kind.TEXT, piece, position, self._unescaped(piece, position))
            case "numeral":
                units = ", ".join(reversed(UNITS_NS))
                self._problems.add(
                    position, f"'{piece[:40]}' is no number and no duration: the units of durations are {units}"
                )
                self._add(Kind.NUMBER, piece, position, 1)
            case "open":
                self._problems.add(position, "this text is not closed: '\"' is missing at its end, on the same line")
                self._add(Kind.TEXT, piece.rstrip(), position, "")
            case "stray":
                signs = "".join(dict.fromkeys(piece[:40]))[:10]
                quoted = repr(signs) if signs.isprintable() else ascii(signs)
                self._problems.add(position, f"{quoted} is no sign of the language")
            case _:
                self._add(Kind[kind], piece, position)

    def _add(self, kind: Kind, piece: str, position: int, value: float | str = "") -> None:
        self.tokens.append(Token(kind, piece, self._problems.place(position), len(self.tokens), value))

    def _number(self, piece: str, position: int) -> int | float:
        if piece.isdigit() and len(piece.lstrip("0")) <= 20:
            whole = int(piece[-20:])
            if whole <= INTEGER_MAX:
                return whole
        number = float(piece)
        if math.isinf(number):
            self._problems.add(position, "this number is out of range: the greatest is about 1.8e308")
            return 0
        return number

    def _duration(self, piece: str, position: int) -> int:
        total, units = 0, list(UNITS_NS)
        for number, unit in _PART.findall(piece):
            if unit not in units:
                self._problems.add(
                    position, f"'{piece[:40]}': the units of a duration go from long to short, each once"
                )
                return 1
            units = units[units.index(unit) + 1 :]
            whole, _, fraction = number.partition(".")
            scale = 10 ** len(fraction) if len(fraction) <= 20 else 0
            if not scale or len(whole) > 20:
                self._problems.add(position, "this duration has too many digits")
                return 1
            part, rest = divmod(int(whole + fraction) * UNITS_NS[unit], scale)
            if rest:
                self._problems.add(position, f"'{piece[:40]}' is no whole number of nanoseconds")
                return 1
            total += part
        if total > DURATION_NS_MAX:
            self._problems.add(position, "this duration is out of range: the longest is 292 years (106751d)")
            return 1
        return total

    def _unescaped(self, piece: str, position: int) -> str:
        def character(found: re.Match[str]) -> str:
            if found[1]:
                return chr(int(found[1], 16))
            if found[2] not in _PLAIN:
                known = r"\" \\ \n \t and \u with four hexadecimal digits"
                what = f"'\\{shown(found[2])}' says nothing in a text: there are {known}"
                self._problems.add(position + 1 + found.start(), what)
            return _PLAIN.get(found[2], "")

        text = _ESCAPE.sub(character, piece[1:-1])
        # Two escapes may be the halves of one character, as in JSON.
        if _SURROGATE.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            if _SURROGATE.search(text):
                self._problems.add(
                    position, "this text holds half of a character (a lone surrogate), which cannot be sent"
                )
        return text


@attrs.frozen
class Tokens:
    """A text as tokens, the last of them the end; ``damaged`` are the indices of those behind what is no token."""

    tokens: tuple[Token, ...]
    comments: tuple[Comment, ...]
    damaged: frozenset[int]


def tokenize(problems: Problems) -> Tokens:
    """The tokens of ``problems.text``; adds what is wrong to problems."""
    lexer = _Lexer(problems)
    lexer.run()
    return Tokens(tuple(lexer.tokens), tuple(lexer.comments), frozenset(lexer.damaged))
