"""The address of a routed frame: where it comes from, and for which endpoints this copy of it is.

::

    origin    16   the id of the endpoint that sent it
    count      2   how many entries follow, at least one
    entry     28   times count: the id of an endpoint (16), the number of the flow to it (4), and the place of the
                   frame's first message in that flow (8); both 0 outside flows; then, if the frame has the flag
                   SEALED, the seal for that endpoint (16, :mod:`broker.trust.guard`)

All numbers are big-endian.  An entry stands in exactly one copy: whoever passes a frame on splits its entries by the
way to each, so however the ways of different relays disagree for a moment, no endpoint is sent two copies.  The idea
is that of bit index explicit replication (RFC 8279), with ids in the place of bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from broker.errors import Malformed
from broker.protocol.frames import SEALED
from broker.trust.guard import SEAL_BYTES

__all__ = ["PLACE", "ENTRY_BYTES", "Address", "Entry", "address_of", "entry_of", "read_address"]

_HEAD = struct.Struct(">16sH")
_ENTRY = struct.Struct(">16sIQ")
ENTRY_BYTES: Final = _ENTRY.size
_ALONE_BYTES: Final = _HEAD.size + ENTRY_BYTES
_SEALED_BYTES: Final = ENTRY_BYTES + SEAL_BYTES

entry_of = _ENTRY.pack
# Of an entry: the flow and the place in it.
PLACE: Final = slice(16, ENTRY_BYTES)


class Entry(NamedTuple):
    """One endpoint that a frame is for."""

    id: bytes
    flow: int
    sequence: int
    raw: bytes


class Address(NamedTuple):
    """A frame's address as it was read: its bytes, and where the body begins."""

    origin: bytes
    head: bytes
    sealed: bool = False

    @property
    def size(self) -> int:
        """How many bytes it takes; the body follows."""
        return len(self.head)

    def alone(self, id_: bytes) -> Entry | None:
        """Return the entry of that endpoint if there is no other: the usual case, without a loop."""
        head = self.head
        if len(head) == _ALONE_BYTES and head[_HEAD.size : _HEAD.size + 16] == id_:
            _, flow, sequence = _ENTRY.unpack_from(head, _HEAD.size)
            return Entry(id_, flow, sequence, head[_HEAD.size :])
        return None

    def entries(self) -> Iterator[Entry]:
        """Give the entries in turn."""
        head, size = self.head, _SEALED_BYTES if self.sealed else ENTRY_BYTES
        for at in range(_HEAD.size, len(head), size):
            id_, flow, sequence = _ENTRY.unpack_from(head, at)
            yield Entry(id_, flow, sequence, head[at : at + size])


def address_of(origin: bytes, entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an address with these entries."""
    return _HEAD.pack(origin, len(entries)) + b"".join(entries)


def read_address(frame: bytes, at: int, flags: int = 0) -> Address:
    """Read the address that begins there; raises Malformed when it is cut short or names nobody."""
    if len(frame) < at + _HEAD.size:
        raise Malformed("a routed frame without an address")
    origin, count = _HEAD.unpack_from(frame, at)
    sealed = bool(flags & SEALED)
    end = at + _HEAD.size + count * (_SEALED_BYTES if sealed else ENTRY_BYTES)
    if not count or len(frame) < end:
        raise Malformed("a routed frame whose address names nobody, or is cut short")
    return Address(origin, frame[at:end], sealed)
