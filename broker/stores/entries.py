"""The rows that a store keeps: keys, entries, elements.

==========  ==============================  =========================================================================
table       key                             row
==========  ==============================  =========================================================================
ENTRIES     the key, packed                 kind (1 byte), expiry (8: nanoseconds since 1970, 0: never), then
                                            WHOLE: the value, packed;
                                            SET, DICT, LIST: id (8), count (8), first index (8) of its elements
ELEMENTS    id (8), then a member's or      a dict's value, packed; empty for a set's member
            key's place, packed             (:mod:`broker.stores.elements`)
            or id (8), a list's index (8)   a list's element, packed
EXPIRIES    expiry (8), the key, packed     empty
WRITERS     writer (16), first number (8)   what came of writes that were forwarded (:mod:`broker.stores.writers`)
==========  ==============================  =========================================================================

All numbers are big-endian.  A value is kept whole until it is a list, dict or set of more than
:data:`WHOLE_BYTES_MAX`, or until an element of it is changed; then it is **spread** over rows of its own, so that a
further change costs what the element costs.  (A dict that is spread comes back equal, in the order of its keys' bytes.)
Replicas do so at the same operation: their rows are the same, byte for byte, and that is what snapshots carry.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from broker.errors import Malformed, NotCarried
from broker.values import pack, unpack

__all__ = [
    "DICT",
    "ELEMENTS",
    "ENTRIES",
    "EXPIRIES",
    "FIRST_INDEX",
    "FOREVER",
    "LIST",
    "OLD_BYTES_MAX",
    "SET",
    "TABLES",
    "WHOLE",
    "WHOLE_BYTES_MAX",
    "WRITERS",
    "Entry",
    "index_row",
    "old_of",
    "pack_key",
    "read_entry",
    "told",
    "unpack_key",
    "unpack_value",
]

ENTRIES: Final = 0
ELEMENTS: Final = 1
EXPIRIES: Final = 2
WRITERS: Final = 3
TABLES: Final = ("entries", "elements", "expiries", "writers")

WHOLE: Final = 0
SET: Final = 1
DICT: Final = 2
LIST: Final = 3

# A value of this size costs about as much to write again as the two rows of an element.
WHOLE_BYTES_MAX: Final = 1024
# Larger values are not told to watches as what was there before: every change would cost twice its size.
OLD_BYTES_MAX: Final = 64 << 10

_ENTRY = struct.Struct(">BQ")
_SPREAD = struct.Struct(">BQQQQ")
_HEAD: Final = _ENTRY.size
_NEVER: Final = bytes(8)
# What the row of a whole value without an expiry begins with.
FOREVER: Final = bytes(_HEAD)
# Where a list's first element goes: it may grow at both ends.
FIRST_INDEX: Final = 1 << 63
_INDEX_END: Final = (1 << 64) - 1

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode
# First bytes of what msgspec reads as broker.values does: integers, floats, texts, bytes, booleans and None.
_SCALARS: Final = frozenset(range(0x100)) - {
    *range(0x80, 0xA0),
    0xC1,
    *range(0xC7, 0xCA),
    *range(0xD4, 0xD9),
    *range(0xDC, 0xE0),
}


class Entry(Struct, gc=False):
    """An entry's row, read: a whole value's bytes, or where its elements are."""

    kind: int
    expiry: int
    value: bytes = b""
    id: int = 0
    count: int = 0
    first: int = FIRST_INDEX

    def row(self) -> bytes:
        """Return its bytes."""
        if self.kind == WHOLE:
            return whole_row(self.expiry, self.value)
        return _SPREAD.pack(self.kind, self.expiry, self.id, self.count, self.first)

    @property
    def prefix(self) -> bytes:
        """What the keys of its elements begin with."""
        return self.id.to_bytes(8, "big")


def read_entry(row: bytes) -> Entry:
    """Read an entry's row; raises Malformed when it is none."""
    if row and row[0] == WHOLE and len(row) > _HEAD:
        return Entry(WHOLE, int.from_bytes(row[1:9], "big"), row[_HEAD:])
    if len(row) == _SPREAD.size and row[0] in {SET, DICT, LIST}:
        kind, expiry, id_, count, first = _SPREAD.unpack(row)
        if first + count < _INDEX_END:
            return Entry(kind, expiry, b"", id_, count, first)
    raise Malformed(f"not an entry: {row[:40]!r}")


def expiries_of(rows: Iterable[tuple[int, bytes, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
    """Give the rows of EXPIRIES that go with rows of a snapshot, which does not carry them."""
    for table, key, row in rows:
        if table == ENTRIES and (expiry := row[1:_HEAD]) != _NEVER and len(row) > _HEAD:
            yield EXPIRIES, expiry + key, b""


def whole_row(expiry: int, value: bytes) -> bytes:
    """Return the row of a value that is kept whole."""
    return _ENTRY.pack(WHOLE, expiry) + value if expiry else FOREVER + value


def old_of(row: bytes | None) -> bytes | None:
    """Return what an operation tells of the entry that was before it."""
    if row is None:
        return None
    return row[_HEAD:] if row[0] == WHOLE and len(row) <= _HEAD + OLD_BYTES_MAX else b""


def told(value: bytes | None) -> bytes | None:
    """Return what an operation tells of the element that was before it: it, or nothing where it is large."""
    return value if value is None or len(value) <= OLD_BYTES_MAX else b""


def index_row(prefix: bytes, index: int) -> bytes:
    """Return the key of a list's element."""
    return prefix + index.to_bytes(8, "big")


def pack_key(key: object) -> bytes:
    """Return a key's bytes: the same for the same key, and for no other.

    Keys are told apart by type, too: 1, 1.0, True and Count(1) are four keys.  Raises NotCarried for what cannot be
    carried, and for what is no key in Python either: a list, a dict, a set.
    """
    if type(key) is str and key.isascii() and len(key) < 65536:
        return _encode(key)
    try:
        hash(key)
    except TypeError:
        reason = f"a {type(key).__name__} cannot be a key: use a tuple or a frozenset"
        raise NotCarried(reason, "key") from None
    return pack(key)


def unpack_value(data: bytes) -> Any:
    """Return what :func:`broker.values.unpack` does, scalars in a tenth of its time; raises Malformed."""
    try:
        if data[0] in _SCALARS:
            return _decode(data)
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        raise Malformed(f"no value: {error}") from error
    return unpack(data)


unpack_key: Final = unpack_value
"""The key of these bytes."""
