"""Where the statements of a TOML text stand, so that one can be pointed at, or changed with all else left as it is.

Texts are valid TOML already; tables within braces are not looked into.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["Statement", "statements", "value_end"]

_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = rf"[ \t]*({_PART}(?:[ \t]*\.[ \t]*{_PART})*)[ \t]*"
_HEADER: Final = re.compile(rf"[ \t]*\[{_DOTTED}\]")
_ITEM: Final = re.compile(rf"[ \t]*\[\[{_DOTTED}\]\]")
_ASSIGNED: Final = re.compile(rf"{_DOTTED}=[ \t]*")
# What may go on behind its line; other values cannot.
_LONG: Final = ("[", "{", '"""', "'''")


class Statement(NamedTuple):
    """The header of a table, or a key with its value: ``path`` is its whole path, ``table`` that of the table it is in.

    The number of an item, from 0, stands behind the name of a list of tables, ``[[name]]``.

    It takes the lines from ``first`` up to but not with ``last``, counted from 0; a value begins at column ``value``.
    """

    path: tuple[str | int, ...]
    table: tuple[str | int, ...]
    first: int
    last: int
    value: int | None

    @property
    def is_header(self) -> bool:
        """Whether it is a header, which has no value."""
        return self.value is None


def statements(lines: Sequence[str]) -> Iterator[Statement]:
    """Give the statements of a text in turn; the lines are without their ends."""
    table: tuple[str | int, ...] = ()
    items: dict[tuple[str | int, ...], int] = {}  # of each list of tables, the last one
    at = 0
    while at < len(lines):
        line = lines[at]
        item = _ITEM.match(line)
        header = item or _HEADER.match(line)
        assigned = None if header else _ASSIGNED.match(line)
        last = at + 1
        if header:
            table = _numbered(_parts(header[1]), items, another=item is not None)
            yield Statement(table, table, at, last, None)
        elif assigned:
            if line.startswith(_LONG, assigned.end()):
                last = _last_of(lines, at)
            yield Statement(table + _parts(assigned[1]), table, at, last, assigned.end())
        at = last


def _numbered(
    parts: tuple[str, ...], items: dict[tuple[str | int, ...], int], *, another: bool
) -> tuple[str | int, ...]:
    """Return the path of a header, with the numbers of the items that it lies in, or which it begins."""
    path: tuple[str | int, ...] = ()
    for part in parts:
        path += (part,)
        if another and len(path) - sum(type(each) is int for each in path) == len(parts):
            items[path] = items.get(path, -1) + 1
        if path in items:
            path += (items[path],)
    return path


def _last_of(lines: Sequence[str], first: int) -> int:
    for last in range(first + 1, len(lines) + 1):
        # A list ends with a bracket, a text with quotes: most lines within it need no closer look.
        if any(end in lines[last - 1] for end in ("]", "}", '"""', "'''")) and _is_whole("\n".join(lines[first:last])):
            return last
    return first + 1


def _is_whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@lru_cache(maxsize=1024)
def _parts(key: str) -> tuple[str, ...]:
    """Return the parts of a dotted key as it stands in TOML; none for a key of hundreds, which takes long to read."""
    if len(key) > 1000:
        return ()
    table: Any = tomllib.loads(f"{key} = 0")
    parts = []
    while type(table) is dict:
        ((part, table),) = table.items()
        parts.append(part)
    return tuple(parts)


def value_end(text: str) -> int:
    """Return where the value of a statement ends in its text: white space and a comment may follow."""
    whole = tomllib.loads(text)
    for found in re.finditer(r"[ \t]*#", text):
        before = text[: found.start()]
        if _is_whole(before) and tomllib.loads(before) == whole:
            return found.start()
    return len(text.rstrip())
