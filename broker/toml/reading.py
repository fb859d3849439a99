"""Values of TOML that are not what they should be: which, where, and what may have been meant.

A **path** leads to a value: the names of tables and keys, and the numbers of items of lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from broker.toml.layout import Statement

__all__ = [
    "Path",
    "Wrong",
    "as_flag",
    "as_table",
    "as_text",
    "as_texts",
    "dotted",
    "expected",
    "key_text",
    "line_of",
    "meant",
    "not_toml",
    "quoted",
    "unknown",
]

Path = tuple[str | int, ...]


class Wrong(Exception):
    """What is wrong, and at which place."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(what)
        self.path = path
        self.what = what


def not_toml(error: ValueError) -> str:
    """Return what a reader of TOML complains of, where first."""
    what = str(error)
    found = re.search(r" \(at (line \d+, column \d+|end of document)\)$", what)
    if found is None:
        return f"not TOML: {what:.200}"
    hint = ": is it a text without quotes?" if what.startswith("Invalid value") else ""
    return f"{found[1]}: not TOML: {what[: found.start()]}{hint}"


# --- values ------------------------------------------------------------------------------------------------------


def unknown(name: str, known: Sequence[str]) -> str:
    """Say that there is no such word, and which there are."""
    return f"nothing of that name is known{meant(name, known)}; {', '.join(known)} are"


def meant(name: str, known: Iterable[str]) -> str:
    """Return a question whether the known name that is most alike was meant; empty when none is like it."""
    close = get_close_matches(name[:100], known, 1)
    return f": did you mean {close[0]!r}?" if close else ""


def as_table(path: Path, value: Any) -> dict[str, Any]:
    """Return a table; raises Wrong."""
    return value if type(value) is dict else expected("a table", path, value)


def as_texts(path: Path, value: Any) -> list[tuple[Path, str]]:
    """Return the texts of a list, each with its path; raises Wrong."""
    if type(value) is not list:
        expected('a list of texts, such as ["..."]', path, value)
    return [((*path, index), as_text((*path, index), item)) for index, item in enumerate(value)]


def as_text(path: Path, value: Any) -> str:
    """Return a text; raises Wrong."""
    return value if type(value) is str else expected('a text in quotes, "..."', path, value)


def as_flag(path: Path, value: Any) -> bool:
    """Return a truth value; raises Wrong."""
    return value if type(value) is bool else expected("true or false", path, value)


_KINDS: Final[Mapping[type, str]] = {
    str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table",
    datetime: "a time without a zone", date: "a day without a time", time: "a time without a day",
}  # fmt: skip


def expected(what: str, path: Path, value: Any) -> NoReturn:
    """Raise Wrong: something else was expected there.  The value is not repeated: it may be a secret key."""
    found = _KINDS.get(type(value), type(value).__name__)
    if type(value) is datetime and value.tzinfo is not None:
        found = "a day and time"
    raise Wrong(path, f"expected {what}, found {found}")


# --- places ------------------------------------------------------------------------------------------------------

_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")


def key_text(name: str) -> str:
    """Write a name as a key of a table."""
    return name if _BARE.fullmatch(name) else quoted(name)


def quoted(what: str) -> str:
    """Write a text in quotes."""
    # What JSON escapes, TOML reads the same; but for DEL, which TOML wants escaped, and surrogates, which it refuses.
    return json.dumps(what, ensure_ascii=False).replace("\x7f", "\\u007f")


def dotted(path: Path) -> str:
    """Write a path as people do; empty for the whole of a text."""
    written = ""
    for part in path:
        if type(part) is int:
            written += f"[{part}]"
        else:
            written += f".{key_text(str(part)):.120}"
    return written.removeprefix(".")


def line_of(found: Iterable[Statement], path: Path) -> int:
    """Return the line, from 1, of the statement that says the most of a path; 0 when none does."""
    best, line = 0, 0
    for statement in found:
        common = min(len(statement.path), len(path))
        if common > best and statement.path[:common] == path[:common]:
            best, line = common, statement.first + 1
    return line
