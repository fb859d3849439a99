"""An exact look at packed bytes before anything is made of them.

Pure Python and some 100 nanoseconds an element, so it is for what cheaper bounds leave open: long bytes, ext containers
that may be nested deeply, timestamps that may have digits below the microsecond.  decoding.py says when.
"""

from __future__ import annotations

from typing import Final

from msgpack import Unpacker

from broker.errors import Malformed
from broker.values.ext import CONTAINER_CODES, TIMESTAMP

__all__ = [
    "ARRAY_HEADERS",
    "MSGPACK_TIMESTAMP",
    "fine_timestamps",
    "fine_timestamps_perhaps",
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
_FIXEXT: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class _Scan:
    """The walk over one buffer.  ``stack`` holds, for each open container, what is left to read in the one around
    it and the byte where an ext payload must end (-1 for none).
    """

    def __init__(self, data: bytes, max_depth: int, max_elements: int) -> None:
        self.data = data
        self.max_depth = max_depth
        self.elements_left = max_elements
        self.stack: list[tuple[int, int]] = []
        self.fine_timestamps: list[int] = []

    def run(self) -> None:
        """Walk over all of it.  Raises Malformed."""
        data, size, fixed, stack = self.data, len(self.data), _FIXED, self.stack
        at, left = 0, 1
        while True:
            while not left:
                if not stack:
                    if at != size:
                        raise Malformed(f"{size - at} bytes after the value" if at < size else "the bytes end too soon")
                    return
                left, boundary = stack.pop()
                if boundary not in (-1, at):
                    raise Malformed("an ext payload that is not one array")
            if at >= size:
                raise Malformed("the bytes end too soon")
            left -= 1
            step = fixed[data[at]]
            if step:
                at += step
                continue
            at, inside, boundary = self._enter(at)
            if inside >= 0:
                stack.append((left, boundary))
                if len(stack) > self.max_depth:
                    raise Malformed(f"nested deeper than {self.max_depth} containers")
                left = inside

    def _enter(self, at: int, boundary: int = -1) -> tuple[int, int, int]:
        """Read a header.  Gives where to go on, how many values are inside (-1 for a scalar, which is skipped), and
        the end of the ext payload that the container fills (-1 for none).
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
            return at, self._count(length), boundary
        if head < 0x90 or head >= 0xDE:
            return at, self._count(2 * length), boundary
        return at + length, -1, -1

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
            return self._enter(body, end)
        if code == MSGPACK_TIMESTAMP & 0xFF and _fraction_below_us(self.data[body:end]):
            self.fine_timestamps.append(code_at)
        return end, -1, -1


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
