"""The elements of lists, dicts and sets that are spread over rows of their own, and how they are told apart.

**Places.**  Python takes 1, 1.0, True and Count(1) for the same member of a set, and so 0.0 and -0.0, a Timestamp and
the datetime of that instant, and tuples and frozensets of them; their bytes differ, for each comes back as what it
was.  A container that had two of them would collapse where it is read.  So an element's row is not under the element's
own bytes but under its **place**: the bytes of that value that stands for all that Python takes for the same (of 1,
1.0 and True it is 1).  Whoever is at that place already is found by the one look-up that is due anyway.

Nearly always an element is its own place, and its row is its value (a set's: empty).  Otherwise the row says who is
there: C1, which begins no packed value, then the element's size (4 bytes), the element, the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from broker.errors import Malformed, NotCarried
from broker.stores.entries import DICT, FIRST_INDEX, LIST, SET, WHOLE, index_row, pack_key, unpack_key
from broker.values import Count, Timestamp, pack, unpack
from broker.values.decoding import check_hashes
from broker.values.types import COUNT_MAX

__all__ = ["elements_of", "gather", "is_of_its_own", "place_of", "read_element", "row_of", "spread_kind"]

_INT_MIN: Final = -(1 << 63)
_ESCAPE: Final = 0xC1
# First bytes of what may stand elsewhere: booleans, floats, and ext types.
_ELSEWHERE: Final = frozenset({0xC2, 0xC3, 0xCA, 0xCB, *range(0xC7, 0xCA), *range(0xD4, 0xD9)})
# The ext type of sets: broker/values/DESIGN.md.
_SET_CODE: Final = 2


def place_of(element: bytes) -> bytes:
    """Return a packed element's place: the same for those that Python takes for the same, and for no others."""
    return element if element[0] not in _ELSEWHERE else pack(_settled(unpack(element)))


def _settled(value: Any) -> Any:
    kind = type(value)
    if kind is bool or kind is Count:
        return int(value)
    if kind is float:
        return int(value) if value.is_integer() and _INT_MIN <= value <= COUNT_MAX else value
    if kind is Timestamp:
        return value if value.nanoseconds % 1000 else value.to_datetime()
    if kind is tuple or kind is frozenset:
        return kind(map(_settled, value))
    return value


def row_of(element: bytes, place: bytes, value: bytes) -> bytes:
    """Return the row of an element (of a dict or set) at its place."""
    if place == element:
        return value
    return b"%c%b%b%b" % (_ESCAPE, len(element).to_bytes(4, "big"), element, value)


def read_element(place: bytes, row: bytes) -> tuple[bytes, bytes]:
    """Return who is at a place of a dict or set, packed, and its value."""
    if not row or row[0] != _ESCAPE:
        return place, row
    end = 5 + int.from_bytes(row[1:5], "big")
    return row[5:end], row[end:]


def spread_kind(value: bytes) -> int:
    """Return what a packed value would be if it were spread: SET, DICT or LIST; WHOLE: it never is."""
    head = value[0]
    if 0x90 <= head <= 0x9F or head in {0xDC, 0xDD}:
        return LIST
    if 0x80 <= head <= 0x8F or head in {0xDE, 0xDF}:
        return DICT
    if 0xC7 <= head <= 0xC9 or 0xD4 <= head <= 0xD8:
        at = 1 if head >= 0xD4 else 1 + (1 << (head - 0xC7))
        return SET if value[at : at + 1] == bytes((_SET_CODE,)) else WHOLE
    return WHOLE


def is_of_its_own(value: object) -> bool:
    """Whether a value is made anew for each reader, as it could be changed in place: a list, a tuple with a list."""
    try:
        hash(value)
    except TypeError:
        return True
    return False


def elements_of(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Take a packed list, dict or set apart: give the place of each element (a list's: its index), and its row.

    Raises Malformed.
    """
    whole = unpack(value)
    try:
        if type(whole) is dict:
            for key, item in whole.items():
                element = pack_key(key)
                place = place_of(element)
                yield place, row_of(element, place, pack(item))
        elif type(whole) is set:
            for member in whole:
                element = pack_key(member)
                place = place_of(element)
                yield place, row_of(element, place, b"")
        elif type(whole) is list:
            for index, item in enumerate(whole):
                yield index_row(b"", FIRST_INDEX + index), pack(item)
        else:
            raise Malformed(f"a {type(whole).__name__} has no elements")
    except NotCarried as error:  # received values may be a little deeper than those that are sent
        raise Malformed(str(error)) from error


def gather(kind: int, rows: Iterable[tuple[bytes, bytes]]) -> Any:
    """Return the set, dict or list of these rows of ELEMENTS; raises Malformed."""
    if kind == LIST:
        return [unpack(value) for _, value in rows]
    try:
        if kind == SET:
            members = [unpack_key(read_element(key[8:], row)[0]) for key, row in rows]
            check_hashes(members)  # they may have come one at a time
            return set(members)
        pairs = [read_element(key[8:], row) for key, row in rows]
        keys = [unpack_key(element) for element, _ in pairs]
        check_hashes(keys)
        return {key: unpack(value) for key, (_, value) in zip(keys, pairs, strict=True)}
    except TypeError as error:
        raise Malformed(f"an element that is no key: {error}") from error
