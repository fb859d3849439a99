"""Plain data of any size as parts that can be carried each, and back.

A value's limits (:mod:`broker.values.limits`) are those of what comes from others.  An engine's state is our own and
may be larger: what is too large is cut in halves, until each can be packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from broker.errors import Malformed, NotCarried
from broker.values import pack, unpack

__all__ = ["joined", "split"]

_ENTRIES_MAX: Final = 10_000
# The first byte of a part: what it is.
_WHOLE: Final = b"w"  # and the packed value
_HALVES: Final = b"h"  # a list or dict of the entries of the next two
_ITEM: Final = b"i"  # a list with the next one in it
_ENTRY: Final = b"e"  # and a packed key: a dict with the next one as its value


def split(value: Any) -> list[bytes]:
    """Return the parts of lists, dicts and what can be carried; raises NotCarried for what can't be, however small."""
    large = isinstance(value, list | dict) and len(value) > _ENTRIES_MAX  # it is not tried in vain
    try:
        if not large:
            return [_WHOLE + pack(value)]
    except NotCarried:
        if not isinstance(value, list | dict) or not value:
            raise
    if len(value) > 1:
        middle = len(value) // 2
        if isinstance(value, list):
            return [_HALVES, *split(value[:middle]), *split(value[middle:])]
        entries = iter(value.items())
        return [_HALVES, *split(dict(islice(entries, middle))), *split(dict(entries))]
    if isinstance(value, list):
        return [_ITEM, *split(value[0])]
    ((key, content),) = value.items()
    return [_ENTRY + pack(key), *split(content)]


def joined(parts: Iterable[bytes]) -> Any:
    """Return the value of parts; raises Malformed."""
    rest = iter(parts)
    value = _next(rest)
    if next(rest, None) is not None:
        raise Malformed("parts of more than one value")
    return value


def _next(rest: Iterator[bytes]) -> Any:
    part = next(rest, b"")
    kind, data = part[:1], part[1:]
    if kind == _WHOLE:
        return unpack(data)
    if kind == _ITEM:
        return [_next(rest)]
    if kind == _ENTRY:
        return {unpack(data): _next(rest)}
    if kind != _HALVES:
        raise Malformed("a part of a value that is not what was written")
    first, second = _next(rest), _next(rest)
    if isinstance(first, list) and isinstance(second, list):
        return first + second
    if isinstance(first, dict) and isinstance(second, dict):
        return first | second
    raise Malformed("halves of a value that do not fit each other")
