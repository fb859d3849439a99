"""Patterns: what a syntax tree becomes, for RE2 and for the machine; and how many are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from broker.errors import BadRegex
from broker.extras import needed_for
from broker.rules.regex.nodes import (
    Alternatives,
    Assertion,
    Group,
    Node,
    Parsed,
    Repeat,
    Sequence,
    Set,
    SyntaxProblem,
)
from broker.rules.regex.syntax import parse
from broker.rules.regex.words import Machine, machine

with needed_for("regular expressions in rules"):
    import re2

__all__ = ["MEMORY_BYTES_MAX", "PATTERN_CHARS_MAX", "Pattern", "compile"]

PATTERN_CHARS_MAX: Final = 16_384
"""Characters of a pattern: many times the longest that people write, and read in milliseconds."""

MEMORY_BYTES_MAX: Final = 8 * 2**20
"""What RE2 may need for one pattern: its own default.  Larger alternatives need rules of their own."""

REPEATS_MAX: Final = 1_000
"""How often RE2 repeats at most, repetitions of repetitions multiplied."""

OPTIONAL_MAX: Final = 4_000
"""Repetitions that may be left out, as 900 in ``a{100,1000}``: RE2's time to compile grows with their square (a tenth
of a second for so many, a minute for a hundred thousand)."""

_COMPILED_MAX: Final = 1_000
"""Patterns that are kept for whoever compiles them again."""

_WORDS_FACTOR: Final = 10
"""The machine for words takes longer than RE2: a hundred times, where the rest of the pattern is found at all."""

_NONE: Final = (-1, -1)

Spans = list[tuple[int, int]]


class Pattern:
    """A compiled regular expression; made by :func:`compile`."""

    __slots__ = (
        "_find",
        "_parsed",
        "_perhaps",
        "_searcher",
        "_taker",
        "_words",
        "groups",
        "names",
        "pattern",
        "places",
    )

    def __init__(self, pattern: str, parsed: Parsed, places: int, engine: Any, perhaps: Any = None) -> None:
        self.pattern: Final = pattern
        self.places: Final = places if perhaps is None else _WORDS_FACTOR * places
        """What may follow a character of a text at most: the time that a match takes for each character."""
        self.names: Final = parsed.names
        """Of each named group its name and its number."""
        self.groups: Final = parsed.groups
        """How many groups there are besides the whole match, which is group 0."""
        self._find = _finder(engine)
        self._parsed = parsed
        self._words = perhaps is not None
        # It asks for no boundaries of words, so it finds more: where it does not, the machine need not look.
        self._perhaps = self._find if perhaps is None else _finder(perhaps)
        self._searcher: Machine | None = None
        self._taker: Machine | None = None

    def __repr__(self) -> str:
        return f"<Pattern {self.pattern!r:.80}>"

    def search(self, text: str) -> bool:
        """It is found somewhere in the text."""
        if self._words and not text.isascii():
            if self._perhaps(_encoded(text), 0) is None:
                return False
            if self._searcher is None:
                self._searcher = machine(self._parsed, self.pattern, captures=False)
            return self._searcher.find(text, 0) is not None
        return self._find(_encoded(text), 0) is not None

    def captures(self, text: str) -> tuple[str | None, ...] | None:
        """What the first match takes: the whole and each group, None for a group that took no part; or None."""
        return next(self.captures_all(text), None)

    def captures_all(self, text: str) -> Iterator[tuple[str | None, ...]]:
        """What each match takes, from left to right; an empty match does not touch the one before it."""
        source, matches = self._matches(text)
        for spans in matches:
            if type(source) is str:
                yield tuple([None if start < 0 else source[start:end] for start, end in spans])
            else:
                yield tuple([None if start < 0 else _decoded(source[start:end]) for start, end in spans])

    def replace_all(self, text: str, replacement: str) -> str:
        """The text with every match replaced; ``$1``, ``$name`` and ``${name}`` are groups, ``$$`` is a dollar."""
        parts = _template(replacement)
        numbers = dict(self.names)
        source, matches = self._matches(text)
        made, done = [], 0
        for spans in matches:
            made.append(source[done : spans[0][0]])
            made += [_expanded(part, spans, source, numbers) for part in parts]
            done = spans[0][1]
        made.append(source[done:])
        return "".join([part if type(part) is str else _decoded(part) for part in made])

    def _matches(self, text: str) -> tuple[Any, Iterator[Spans]]:
        """The matches, and what their places are places of: the text, or its bytes."""
        if text.isascii():
            return text, self._spans(text.encode())
        data = _encoded(text)
        if self._words:
            return text, self._in_words().find_all(text) if self._perhaps(data, 0) else iter(())
        return data, self._spans(data)

    def _spans(self, data: bytes) -> Iterator[Spans]:
        find, place, last = self._find, 0, -1
        while place <= len(data):
            spans = find(data, place)
            if spans is None:
                return
            start, end = spans[0]
            if start == end and (end == last or (end < len(data) and data[end] & 0xC0 == 0x80)):
                place = _next(data, max(end, place))
                continue
            yield spans
            place = last = end

    def _in_words(self) -> Machine:
        if self._taker is None:
            self._taker = machine(self._parsed, self.pattern)
        return self._taker


def _finder(engine: Any) -> Callable[[bytes, int], Spans | None]:
    """The function that finds a match from a place on: where it and its groups are.

    RE2 itself is asked, behind its wrapper for Python, which takes five times as long as it.
    """
    try:
        match, anywhere = engine._regexp.Match, re2._Anchor.UNANCHORED  # noqa: SLF001
    except AttributeError:  # another version's: the wrapper does the same
        return lambda data, place: _through_wrapper(engine, data, place)

    def find(data: bytes, place: int) -> Spans | None:
        spans: Spans = match(anywhere, data, place, len(data))
        return None if spans[0] == _NONE else spans

    return find


def _through_wrapper(engine: Any, data: bytes, place: int) -> Spans | None:
    match = engine.search(data, place)
    return None if match is None else [match.span(number) for number in range(engine.groups + 1)]


def _next(data: bytes, place: int) -> int:
    """Where the next character begins."""
    place += 1
    while place < len(data) and data[place] & 0xC0 == 0x80:
        place += 1
    return place


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode(errors="surrogatepass")


# -- compiling -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=_COMPILED_MAX)
def compile(pattern: str) -> Pattern:  # noqa: A001 - as in re, and regex.compile is what it is called
    """Read a regular expression; raises :class:`~broker.errors.BadRegex`."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise BadRegex(pattern, f"it has {len(pattern):,} characters, and may have {PATTERN_CHARS_MAX:,}")
    try:
        parsed = parse(pattern)
    except SyntaxProblem as problem:
        raise BadRegex(pattern, str(problem)) from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_BYTES_MAX
    writer = _Writer(pattern)
    texts = [writer.write(parsed.node)]
    if writer.words:
        machine(parsed, pattern)  # it is made when it is first wanted: what is wrong with it is told now
        texts.append(_Writer(pattern, ask_words=False).write(parsed.node))
    try:
        engines = [re2.compile(text.encode(), options) for text in texts]
    except re2.error as error:
        raise BadRegex(pattern, _reason(error)) from None
    return Pattern(pattern, parsed, writer.places, *engines)


def _reason(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    told = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    if "too large" in told:
        return f"it needs more than {MEMORY_BYTES_MAX:,} bytes"
    if "repetition" in told:
        return f"repetitions of repetitions: more than {REPEATS_MAX:,} times in all"
    return told or "RE2 does not take it"


class _Writer:
    """The tree as RE2 writes it, with or without the boundaries of words that it asks for."""

    def __init__(self, pattern: str, *, ask_words: bool = True) -> None:
        self.pattern = pattern
        self.words = False
        self._ask_words = ask_words
        self.places = 0
        self._times = 1  # how often what is being written is repeated
        self._optional = 0

    def write(self, node: Node) -> str:
        match node:
            case Set(text=text, fold=fold):
                self.places += self._times
                return f"(?i:[{text}])" if fold else f"[{text}]"
            case Assertion(kind=kind):
                if kind in ("\\b", "\\B"):
                    self.words = True
                    return kind if self._ask_words else "(?:)"
                return kind.removeprefix("(?-u)")
            case Group(node=inner):
                return f"({self.write(inner)})"
            case Sequence(nodes=nodes):
                return "".join(self._one(each) for each in nodes) or "(?:)"
            case Alternatives(nodes=nodes):
                return "|".join(map(self.write, nodes))
            case Repeat():
                return self._repeat(node)

    def _one(self, node: Node) -> str:
        return f"(?:{self.write(node)})" if isinstance(node, Alternatives) else self.write(node)

    def _repeat(self, node: Repeat) -> str:
        least, most = node.least, node.most
        outside = self._times
        self._optional += outside * (0 if most is None else most - least)
        if self._optional > OPTIONAL_MAX:
            raise BadRegex(self.pattern, f"repetitions that may be left out: more than {OPTIONAL_MAX:,} in all")
        self._times *= max(least, most or 0, 1)
        one = self.write(node.node)
        self._times = outside
        if not isinstance(node.node, Set | Group):
            one = f"(?:{one})"
        lazy = "" if node.greedy else "?"
        if max(least, most or 0) <= REPEATS_MAX:
            sign = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
            if sign is None:
                sign = f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"
            return one + sign + lazy
        if max(least, most or 0) > 100 * REPEATS_MAX or "(" in one.replace("(?", ""):
            raise BadRegex(self.pattern, f"it repeats something more than {REPEATS_MAX:,} times")
        required = one + f"{{{REPEATS_MAX}}}"
        made = required * (least // REPEATS_MAX) + (f"{one}{{{least % REPEATS_MAX}}}" if least % REPEATS_MAX else "")
        if most is None:
            return f"(?:{made}{one}*{lazy})"
        more = most - least
        chunk = f"{one}{{0,{REPEATS_MAX}}}{lazy}"
        return f"(?:{made}{chunk * (more // REPEATS_MAX)}{one}{{0,{more % REPEATS_MAX}}}{lazy})"


# -- replacing -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=_COMPILED_MAX)
def _template(text: str) -> tuple[str | tuple[str], ...]:
    """The parts of a replacement: texts, and names of groups (each in a tuple)."""
    parts: list[str | tuple[str]] = []
    place = 0
    while True:
        dollar = text.find("$", place)
        if dollar < 0:
            parts.append(text[place:])
            return tuple(part for part in parts if part)
        parts.append(text[place:dollar])
        place, name = _reference(text, dollar)
        parts.append("$" if name is None else (name,))


def _reference(text: str, dollar: int) -> tuple[int, str | None]:
    """What a dollar begins: where it ends, and the name of a group; None for a dollar itself."""
    if text.startswith("$$", dollar):
        return dollar + 2, None
    if text.startswith("${", dollar):
        end = text.find("}", dollar)
        return (dollar + 1, None) if end < 0 else (end + 1, text[dollar + 2 : end])
    end = dollar + 1
    while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return (dollar + 1, None) if end == dollar + 1 else (end, text[dollar + 1 : end])


def _expanded(part: str | tuple[str], spans: Spans, source: Any, numbers: dict[str, int]) -> Any:
    if type(part) is str:
        return part
    name = part[0]
    number = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else numbers.get(name, -1)
    start, end = spans[number] if 0 <= number < len(spans) else _NONE
    return source[start:end] if start >= 0 else ""
