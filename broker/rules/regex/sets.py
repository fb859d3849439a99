r"""Sets of characters in regular expressions: Unicode's classes by their names, and the algebra of sets.

A set is written as the inside of a class of RE2, such as ``a-z\p{Greek}``.  RE2 has no intersections, differences and
negated sets inside sets: those are computed, over all characters, once for each set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

from broker.extras import needed_for

with needed_for("regular expressions in rules"):
    import re2

__all__ = ["ASCII_PERL", "PERL", "WORD", "Ranges", "char", "combine", "negate", "posix", "property_set", "text_of"]

Ranges = tuple[tuple[int, int], ...]
"""Code points, each range with its last, in order and apart from each other."""

DIGIT: Final = r"\p{Nd}"
# Alphabetic, marks, decimal numbers, connectors and join controls; letters in circles and squares are alphabetic, too.
WORD: Final = (
    r"\p{L}\p{Nl}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}"
    r"\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"
)
SPACE: Final = r"\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
NOT_SPACE: Final = (
    r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}"
)
PERL: Final = {"d": DIGIT, "D": r"\P{Nd}", "s": SPACE, "S": NOT_SPACE, "w": WORD}
"""What ``\\d`` and its like mean; ``\\W`` has to be computed."""

ASCII_PERL: Final = {"d": "0-9", "s": r"\t-\r ", "w": "0-9A-Z_a-z"}
"""What they mean with ``(?-u)``."""

_ANY: Final = r"\x{0}-\x{10ffff}"

_POSIX: Final = frozenset(
    ("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper")
) | {"word", "xdigit"}

_CATEGORIES: Final = {
    "L": "letter", "Lu": "uppercaseletter", "Ll": "lowercaseletter", "Lt": "titlecaseletter", "Lm": "modifierletter",
    "Lo": "otherletter", "M": "mark", "Mn": "nonspacingmark", "Mc": "spacingmark", "Me": "enclosingmark", "N": "number",
    "Nd": "decimalnumber", "Nl": "letternumber", "No": "othernumber", "P": "punctuation", "Pc": "connectorpunctuation",
    "Pd": "dashpunctuation", "Ps": "openpunctuation", "Pe": "closepunctuation", "Pi": "initialpunctuation",
    "Pf": "finalpunctuation", "Po": "otherpunctuation", "S": "symbol", "Sm": "mathsymbol", "Sc": "currencysymbol",
    "Sk": "modifiersymbol", "So": "othersymbol", "Z": "separator", "Zs": "spaceseparator", "Zl": "lineseparator",
    "Zp": "paragraphseparator", "Cc": "control", "Cf": "format", "Co": "privateuse",
}  # fmt: skip
_MORE_NAMES: Final = {"digit": "Nd", "punct": "P", "combiningmark": "M", "cntrl": "Cc"}
_SHORT: Final = (
    {short.lower(): short for short in _CATEGORIES} | {long: short for short, long in _CATEGORIES.items()} | _MORE_NAMES
)
_SPECIAL: Final = {"any": _ANY, "ascii": r"\x{0}-\x{7f}", "whitespace": SPACE, "wspace": SPACE, "space": SPACE}


def char(code: int) -> str:
    """A character as it is written in a class, and anywhere else."""
    if code < 128 and (chr(code).isalnum() or code == 32):
        return chr(code)
    return rf"\x{{{code:x}}}"


def posix(name: str) -> str | None:
    """The set of ``[:name:]`` or ``[:^name:]``, if there is one."""
    return f"[:{name}:]" if name.removeprefix("^") in _POSIX else None


def property_set(name: str) -> str | None:
    r"""The set that ``\p{name}`` means, if it is one that RE2 knows as well: a category, a script, or a few others."""
    kind, sign, value = name.partition("=") if "=" in name else name.partition(":")
    loose = _loose(value if sign else name)
    if sign and _loose(kind) in ("gc", "generalcategory"):
        return rf"\p{{{_SHORT[loose]}}}" if loose in _SHORT else None
    if sign and _loose(kind) not in ("sc", "script"):
        return None
    if not sign:
        if loose in _SPECIAL:
            return _SPECIAL[loose]
        if loose in _SHORT:
            return rf"\p{{{_SHORT[loose]}}}"
    script = next((each for each in _scripts(loose) if _known(each)), None)
    return None if script is None else rf"\p{{{script}}}"


def _loose(name: str) -> str:
    text = "".join(letter for letter in name.lower() if letter not in " -_")
    return text.removeprefix("is") if len(text) > 2 else text


def _scripts(loose: str) -> list[str]:
    """How RE2 may write the name of a script: its words begin with capital letters, and no name tells where they do."""
    whole = loose.capitalize()
    splits = [f"{loose[:place].capitalize()}_{loose[place:].capitalize()}" for place in range(2, len(loose) - 1)]
    return [whole, *splits]


@lru_cache(maxsize=1_000)
def _known(script: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(rf"\p{{{script}}}", options)
    except re2.error:
        return False
    return len(script) > 2  # shorter ones are categories


# -- algebra ---------------------------------------------------------------------------------------------------------


def text_of(ranges: Ranges) -> str:
    """A set written out; that of no character is what nothing matches."""
    if not ranges:
        return rf"^{_ANY}"
    return "".join(char(first) if first == last else f"{char(first)}-{char(last)}" for first, last in ranges)


def negate(text: str, *, fold: bool) -> str:
    """All other characters."""
    return text_of(_outside(_ranges(text, fold)))


def combine(operator: str, first: str, second: str, *, fold: bool) -> str:
    """The intersection (``&&``), the difference (``--``) or what is in one set alone (``~~``)."""
    test: Callable[[bool, bool], bool] = {
        "&&": lambda one, two: one and two,
        "--": lambda one, two: one and not two,
        "~~": lambda one, two: one != two,
    }[operator]
    one, two = _ranges(first, fold), _ranges(second, fold)
    starts = sorted({0} | {edge for low, high in (*one, *two) for edge in (low, high + 1)})
    found: list[tuple[int, int]] = []
    for place, start in enumerate(starts):
        last = starts[place + 1] - 1 if place + 1 < len(starts) else sys.maxunicode
        if start <= last and test(_inside(start, one), _inside(start, two)):
            if found and found[-1][1] == start - 1:
                found[-1] = (found[-1][0], last)
            else:
                found.append((start, last))
    return text_of(tuple(found))


def _inside(code: int, ranges: Ranges) -> bool:
    low, high = 0, len(ranges)
    while low < high:
        middle = (low + high) // 2
        if ranges[middle][1] < code:
            low = middle + 1
        else:
            high = middle
    return low < len(ranges) and ranges[low][0] <= code


def _outside(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for first, last in ranges:
        if start < first:
            found.append((start, first - 1))
        start = last + 1
    if start <= sys.maxunicode:
        found.append((start, sys.maxunicode))
    return tuple(found)


@cache
def _characters() -> bytes:
    """All characters in order: 4 MB, once a set has to be computed."""
    return "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1)))).encode()


@lru_cache(maxsize=100)
def _ranges(text: str, fold: bool) -> Ranges:
    """The code points of a set, as RE2 has them."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not fold
    runs = re2.compile(f"[{text}]+".encode(), options)
    found = []
    for match in runs.finditer(_characters()):
        run = match.group().decode()
        found.append((ord(run[0]), ord(run[-1])))
    return tuple(found)
