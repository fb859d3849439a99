"""An exact look at packed bytes before anything is made of them.

Pure Python and some 100 nanoseconds an element, so it is for what cheaper bounds leave open: long bytes, ext containers
that may be nested deeply, timestamps that may have digits below the microsecond.  decoding.py says when.

**Memory** is reckoned by a table (below) of what CPython takes for each value, rounded up, and what is made and dropped
on the way to the largest map or set.  The table is part of the protocol: a sender and its receivers use the same, so
what a receiver would refuse is refused where it is sent.  Texts with characters beyond the first plane take up to 8
times their bytes more than it says.
"""

from __future__ import annotations

import sys
from typing import Final

from msgpack import Unpacker

from broker.errors import Malformed
from broker.values.ext import CONTAINER_CODES, IPV4_NETWORK, IPV6_NETWORK, TIMESTAMP, TUPLE

__all__ = [
    "ARRAY_HEADERS",
    "MEMORY_PER_BYTE_MAX",
    "MSGPACK_TIMESTAMP",
    "TooMuchMemory",
    "fine_timestamps",
    "fine_timestamps_perhaps",
    "measure",
    "scan",
    "with_our_timestamps",
]

MSGPACK_TIMESTAMP: Final = -1
"""The ext code of msgpack's own timestamp type."""

ARRAY_HEADERS: Final = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})
"""The first bytes of an array."""

# Bytes of each scalar whose first byte tells its length, that byte included; 0 for all others.
_FIXED = bytes(
    [
        *(1 for _ in range(0x80)),  # 00-7f positive fixint
        *(0 for _ in range(0x20)),  # 80-9f fixmap, fixarray
        *(1 + size for size in range(0x20)),  # a0-bf fixstr
        *(1, 0, 1, 1),  # c0 nil, c1 never used, c2 false, c3 true
        *(0, 0, 0, 0, 0, 0),  # c4-c6 bin, c7-c9 ext
        *(5, 9, 2, 3, 5, 9, 2, 3, 5, 9),  # ca-cb float, cc-cf uint, d0-d3 int
        *(0 for _ in range(0x0C)),  # d4-d8 fixext, d9-db str, dc-dd array, de-df map
        *(1 for _ in range(0x20)),  # e0-ff negative fixint
    ]
)
# Width of the length that follows the first byte.
_WIDTHS: Final = (
    {0xC4: 1, 0xC5: 2, 0xC6: 4}  # bin
    | {0xC7: 1, 0xC8: 2, 0xC9: 4}  # ext
    | {0xD9: 1, 0xDA: 2, 0xDB: 4}  # str
    | {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # array, map
)

# --- memory: bytes of each object as tracemalloc shows them under CPython 3.11, rounded up ---------------------------

# Of scalars by their first byte; 0 for those that exist once (small ints) and for all that have a header of their own.
_TAKES: Final = bytes(
    [
        *(0 for _ in range(0xA0)),  # 00-9f
        *(0, 0, *(max(76, 52 + size) for size in range(2, 0x20))),  # a0-bf fixstr; Python has the shortest once
        *(0 for _ in range(0x0A)),  # c0-c9
        *(24, 24, *(36 for _ in range(8))),  # ca-cb float, cc-d3 uint, int
        *(0 for _ in range(0x0C)),  # d4-df
        *(32 for _ in range(0x20)),  # e0-ff negative fixint
    ]
)
_TEXT: Final = 52
_LIST: Final = 64
_SLOT: Final = 8  # of a list or tuple
_TUPLE: Final = 128  # the list that it is made of, too
_EMPTY_MAP: Final = 64
_MAP: Final = 240  # with up to 5 entries
_MAP_ENTRY: Final = 55
_MAP_SCRATCH: Final = 80  # a pair of the list that the map is made of
_SET: Final = 240  # with up to 4 members
_SET_MEMBER: Final = 110
_SET_SCRATCH: Final = 64  # a list, and the table that it grows out of
# An ext type that is a leaf: the largest by far are networks.
_LEAF: Final = 160
_NETWORK: Final = 560
_NETWORKS: Final = frozenset({IPV4_NETWORK, IPV6_NETWORK})

MEMORY_PER_BYTE_MAX: Final = 120
"""What a packed byte can take at most: maps of one entry inside each other, two bytes and 240 of memory each."""

_FIXEXT: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class TooMuchMemory(Malformed):
    """The value would take more memory than is granted."""

    def __init__(self, granted: int, size: int) -> None:
        super().__init__(f"{size} bytes that take more than {granted} in memory: too many small containers")


class _Scan:
    """The walk over one buffer.  ``stack`` holds, for each open container, what is left to read in the one around
    it and the byte where an ext payload must end (-1 for none).
    """

    def __init__(self, data: bytes, max_depth: int, max_elements: int, max_memory: int = sys.maxsize) -> None:
        self.data = data
        self.max_memory = max_memory
        self.max_depth = max_depth
        self.elements_left = max_elements
        self.stack: list[tuple[int, int]] = []
        self.fine_timestamps: list[int] = []
        self.held = 0  # bytes of memory
        self.scratch = 0  # and those that the largest container takes while it is made

    def run(self) -> None:
        """Walk over all of it.  Raises Malformed."""
        data, size, fixed, takes, stack = self.data, len(self.data), _FIXED, _TAKES, self.stack
        at, left, held = 0, 1, 0
        while True:
            while not left:
                if not stack:
                    self._finish(at, held)
                    return
                left, boundary = stack.pop()
                if boundary not in (-1, at):
                    raise Malformed("an ext payload that is not one array")
            if at >= size:
                raise Malformed("the bytes end too soon")
            left -= 1
            head = data[at]
            step = fixed[head]
            if step:
                at += step
                held += takes[head]
                continue
            if 0x90 <= head < 0xA0:  # What rows are made of: without a call.
                inside, at = head & 0x0F, at + 1
                held += _LIST + _SLOT * inside
                self._count(inside)
                stack.append((left, -1))
                if len(stack) > self.max_depth:
                    raise Malformed(f"nested deeper than {self.max_depth} containers")
                if held > self.max_memory:
                    raise TooMuchMemory(self.max_memory, size)
                left = inside
                continue
            at, inside, boundary = self._enter(at)
            if inside >= 0:
                stack.append((left, boundary))
                if len(stack) > self.max_depth:
                    raise Malformed(f"nested deeper than {self.max_depth} containers")
                left = inside

    def _finish(self, at: int, held: int) -> None:
        size = len(self.data)
        if at != size:
            raise Malformed(f"{size - at} bytes after the value" if at < size else "the bytes end too soon")
        self.held += held
        if self.held + self.scratch > self.max_memory:
            raise TooMuchMemory(self.max_memory, size)

    def _enter(self, at: int, boundary: int = -1, code: int = 0) -> tuple[int, int, int]:
        """Read a header.  Gives where to go on, how many values are inside (-1 for a scalar, which is skipped), and
        the end of the ext payload that the container fills (-1 for none), whose ``code`` is given.
        """
        head = self.data[at]
        if 0x80 <= head < 0xA0:
            length, at = head & 0x0F, at + 1
        elif head in _FIXEXT:
            length, at = _FIXEXT[head], at + 1
        elif head in _WIDTHS:
            width = _WIDTHS[head]
            length, at = int.from_bytes(self.data[at + 1 : at + 1 + width], "big"), at + 1 + width
        else:
            raise Malformed(f"the byte 0x{head:02x} begins no value")
        if length > len(self.data) - at:
            raise Malformed(f"a length of {length} with {max(len(self.data) - at, 0)} bytes left")
        if 0xC7 <= head <= 0xC9 or head in _FIXEXT:
            return self._ext(at, length)
        if head in ARRAY_HEADERS:
            self._hold_array(length, code)
            return at, self._count(length), boundary
        if head < 0x90 or head >= 0xDE:
            own = (_MAP if length else _EMPTY_MAP) if length < 6 else _MAP + _MAP_ENTRY * length
            self._hold(own, _MAP_SCRATCH * length)
            return at, self._count(2 * length), boundary
        self.held += _TEXT + length
        return at + length, -1, -1

    def _hold(self, held: int, scratch: int) -> None:
        self.held += held
        if self.held > self.max_memory:  # as soon as that is known: the look itself takes time
            raise TooMuchMemory(self.max_memory, len(self.data))
        if scratch > self.scratch:
            self.scratch = scratch

    def _hold_array(self, length: int, code: int) -> None:
        if not code:
            self.held += _LIST + _SLOT * length
        elif code == TUPLE:
            self._hold(_TUPLE + _SLOT * length, _SLOT * length)
        else:
            self._hold(_SET if length < 5 else _SET + _SET_MEMBER * length, _SET_SCRATCH * length)

    def _count(self, elements: int) -> int:
        self.elements_left -= elements
        if self.elements_left < 0:
            raise Malformed("more elements than the limit")
        return elements

    def _ext(self, at: int, length: int) -> tuple[int, int, int]:
        code_at, body, end = at, at + 1, at + 1 + length
        code = self.data[code_at]
        if code in CONTAINER_CODES:
            if not length or end > len(self.data) or self.data[body] not in ARRAY_HEADERS:
                raise Malformed("an ext payload that is not one array")
            self.held += length  # a copy, as long as the container is being made
            return self._enter(body, end, code)
        if code == MSGPACK_TIMESTAMP & 0xFF and _fraction_below_us(self.data[body:end]):
            self.fine_timestamps.append(code_at)
        self.held += _NETWORK if code in _NETWORKS else _LEAF
        return end, -1, -1


def measure(data: bytes, max_depth: int, max_elements: int, max_memory: int = sys.maxsize) -> tuple[int, list[int]]:
    """The memory that the value of these bytes takes at most while it is made, and what :func:`scan` gives.

    Raises Malformed, and TooMuchMemory when it is more than ``max_memory``.
    """
    walk = _Scan(data, max_depth, max_elements, max_memory)
    walk.run()
    return walk.held + walk.scratch, walk.fine_timestamps


def scan(data: bytes, max_depth: int, max_elements: int) -> list[int]:
    """Check that the bytes are one well-formed value within the limits, ext containers included.

    Gives the places of the type bytes of msgpack timestamps with digits below the microsecond.  What is inside
    scalars (UTF-8, an ext type's own payload) is left to the decoder.  Raises Malformed.
    """
    walk = _Scan(data, max_depth, max_elements)
    walk.run()
    return walk.fine_timestamps


def _fraction_below_us(payload: bytes) -> bool:
    """Whether the payload of msgpack's timestamp type has digits below the microsecond.

    Also true for some payloads that are none; the decoder refuses those.
    """
    if len(payload) == 8:
        return (int.from_bytes(payload[:4], "big") >> 2) % 1000 != 0
    return len(payload) == 12 and int.from_bytes(payload[:4], "big") % 1000 != 0


# --- timestamps with digits below the microsecond ------------------------------------------------------------------


def fine_timestamps_perhaps(data: bytes) -> list[int]:
    """The places of what may be such timestamps of msgpack's type, or happen to look like one, in order.

    Looks for single bytes, as C does at 20 GB/s, and further only where one is found: a look for two at once costs
    as much as decoding.
    """
    places = []
    for first, rest, length in ((0xD7, b"\xff", 8), (0xC7, b"\x0c\xff", 12)):
        at = data.find(first)
        while at >= 0:
            body = at + 1 + len(rest)
            if data.startswith(rest, at + 1) and _fraction_below_us(data[body : body + length]):
                places.append(at)
            at = data.find(first, at + 1)
    places.sort()
    return places


def fine_timestamps(data: bytes, suspects: list[int], max_depth: int, max_elements: int) -> list[int]:
    """The places of the type bytes of those that are such timestamps.

    In a batch, elements without a suspect are skipped, in C.  Raises Malformed, or what msgpack raises.
    """
    if data[0] not in ARRAY_HEADERS:
        return scan(data, max_depth, max_elements)
    unpacker = Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    found: list[int] = []
    end, scanned_to = 0, -1
    elements_left = unpacker.read_array_header()
    for suspect in suspects:
        if suspect < scanned_to:
            continue
        while elements_left and end <= suspect:
            start = unpacker.tell()
            unpacker.skip()
            end = unpacker.tell()
            elements_left -= 1
        if end <= suspect:
            break  # behind all elements: the decoder refuses that
        scanned_to = end
        found.extend(start + place for place in scan(data[start:end], max_depth, max_elements))
    return found


def with_our_timestamps(data: bytes, places: list[int]) -> bytes:
    """The bytes with the ext type at these places changed to :class:`broker.values.Timestamp`'s."""
    if not places:
        return data
    changed = bytearray(data)
    for place in places:
        changed[place] = TIMESTAMP
    return bytes(changed)
