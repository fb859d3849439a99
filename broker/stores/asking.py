"""Commands made of what a program says: keys and values packed, times checked.

What cannot be carried raises NotCarried here, at whoever asks, and names the path to it.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Final

import msgspec

from broker.errors import NotCarried
from broker.stores.changes import ABSENT
from broker.stores.commands import (
    Add,
    Append,
    Compare,
    Erasure,
    Expect,
    Increment,
    Insert,
    PopLast,
    PushLast,
    Remove,
    SetTo,
    Until,
)
from broker.stores.deciding import VALUE_BYTES_MAX
from broker.stores.entries import pack_key
from broker.values import pack

__all__ = [
    "ABSENT",
    "REQUEST_BYTES_MAX",
    "Lifetime",
    "add",
    "append",
    "compare",
    "erasure",
    "expect",
    "increment",
    "insert",
    "lifetime_of",
    "pack_value",
    "pop",
    "push",
    "put",
    "remove",
    "touch",
]

Lifetime = float | timedelta | None
"""How long an entry is to live: seconds, or a timedelta; None: as the operation says."""

# Longer than this a key costs more than what it is good for: use a digest of it.
KEY_BYTES_MAX: Final = 64 << 10
# All commands of one request together: its record, with what was there before, still fits in a frame.
REQUEST_BYTES_MAX: Final = VALUE_BYTES_MAX + (1 << 20)
_PLAIN: Final = frozenset({bool, float, int, str, type(None)})
_PLAIN_KEYS: Final = frozenset({int, str})
_FLAT_ELEMENTS_MAX: Final = 1000
_encode = msgspec.msgpack.Encoder().encode


def pack_value(value: object) -> bytes:
    """Return a value's bytes.  Raises NotCarried, also for one that is too large for a store."""
    if _is_flat(value):
        try:
            data = _encode(
                value
            )  # the same bytes as pack()'s: 0.4 us against 1.2 for an int, 1 against 8 for a dict of two
        except (OverflowError, UnicodeEncodeError):
            data = pack(value)  # says what is wrong, and where
    else:
        data = pack(value)
    if len(data) > VALUE_BYTES_MAX:
        reason = f"{len(data)} bytes, a value has at most {VALUE_BYTES_MAX}: store parts, or where to find it"
        raise NotCarried(reason, "value")
    return data


def _is_flat(value: Any) -> bool:
    """Whether it is a plain scalar, or a short list or dict of such."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        keys = len(value) < _FLAT_ELEMENTS_MAX and _PLAIN_KEYS.issuperset(map(type, value))
        return keys and _PLAIN.issuperset(map(type, value.values()))
    return kind is list and len(value) < _FLAT_ELEMENTS_MAX and _PLAIN.issuperset(map(type, value))


def _key(key: object) -> bytes:
    data = pack_key(key)
    if len(data) > KEY_BYTES_MAX:
        raise NotCarried(f"{len(data)} bytes, a key has at most {KEY_BYTES_MAX}: use a digest of it", "key")
    return data


def lifetime_of(expires_in: Lifetime) -> int | None:
    """Return nanoseconds; raises ValueError for what is no time, or none in the future."""
    if expires_in is None:
        return None
    seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"expires_in is seconds or a timedelta, not {type(expires_in).__name__}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"expires_in is a positive number of seconds, not {expires_in!r}; None: never")
    return max(1, min(round(seconds * 1e9), (1 << 62)))


def put(key: object, value: object, expires_in: Lifetime = None) -> SetTo:
    """Set an entry."""
    return SetTo(_key(key), pack_value(value), lifetime_of(expires_in) or 0)


def add(key: object, value: object, expires_in: Lifetime = None) -> Add:
    """Set an entry that there is not."""
    return Add(_key(key), pack_value(value), lifetime_of(expires_in) or 0)


def _expected(value: object) -> bytes | None:
    return None if value is ABSENT else pack_value(value)


def compare(key: object, expected: object, value: object, expires_in: Lifetime = None) -> Compare:
    """Set an entry that has a value, or is ABSENT, to another, or to ABSENT."""
    return Compare(_key(key), _expected(expected), _expected(value), lifetime_of(expires_in) or 0)


def expect(key: object, expected: object) -> Expect:
    """Go on only if the entry has that value, or is ABSENT."""
    return Expect(_key(key), _expected(expected))


def erasure(key: object, *, missing_ok: bool = False) -> Erasure:
    """Remove an entry."""
    return Erasure(_key(key), missing_ok)


def increment(key: object, amount: Any, expires_in: Lifetime = None, *, negative: bool = False) -> Increment:
    """Add to a number, or take away from it."""
    return Increment(_key(key), pack_value(amount), negative, lifetime_of(expires_in))


def append(key: object, tail: str | bytes, expires_in: Lifetime = None) -> Append:
    """Append to a text or to bytes."""
    return Append(_key(key), pack_value(tail), lifetime_of(expires_in))


def insert(key: object, element: object, value: object = ABSENT, expires_in: Lifetime = None) -> Insert:
    """Insert a member into a set, or with a value an item into a dict."""
    return Insert(_key(key), _key(element), _expected(value), lifetime_of(expires_in))


def remove(key: object, element: object, expires_in: Lifetime = None) -> Remove:
    """Remove a member from a set, or a key from a dict."""
    return Remove(_key(key), _key(element), lifetime_of(expires_in))


def push(key: object, value: object, expires_in: Lifetime = None) -> PushLast:
    """Append an element to a list."""
    return PushLast(_key(key), pack_value(value), lifetime_of(expires_in))


def pop(key: object, expires_in: Lifetime = None) -> PopLast:
    """Take the last element from a list."""
    return PopLast(_key(key), lifetime_of(expires_in))


def touch(key: object, expires_in: Lifetime) -> Until:
    """Give an entry another expiry; None: never."""
    return Until(_key(key), lifetime_of(expires_in) or 0)
