"""Chunks: how records lie in a spool and travel.

A chunk is one record of the journal, and holds the log records that were written together: many share a commit, a
frame and a checksum.  Its bytes, big-endian:

    crc32       4   of all that follows
    first       8   the number of its first record; the others follow without a gap
    count       4
    time_ns     8   of the latest record up to here, in nanoseconds since 1970; it never goes back
    schema      8   which schema the records have
    epoch       4   in which epoch they were written,
    mark        8   and that epoch's mark
    run             a MessagePack array of ``count`` arrays [time, field, ...]: a run of events (:mod:`broker.schema`)
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from broker.errors import Malformed

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_RECORDS",
    "Chunk",
    "Cutter",
    "cut",
    "measure_chunk",
    "pack_chunk",
    "read_chunk",
]

# A frame's worth: what shares a chunk is read, sent and checked together.
CHUNK_BYTES: Final = 64 << 10
CHUNK_RECORDS: Final = 8192

_CHECK: Final = Layout(">I")
_HEADER: Final = Layout(">QIQ8sI8s")
_START: Final = _CHECK.size + _HEADER.size
_RAWS: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Chunk(NamedTuple):
    """A chunk's head, and its run."""

    first: int
    records: int
    time_ns: int
    schema: bytes
    epoch: int
    mark: bytes
    run: bytes

    @property
    def last(self) -> int:
        """The number of its last record."""
        return self.first + self.records - 1


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def pack_chunk(first: int, time_ns: int, schema: bytes, epoch: int, mark: bytes, parts: list[bytes]) -> bytes:
    """Return the bytes of a chunk with these records, each an array as :mod:`broker.events` encodes it."""
    count = len(parts)
    data = b"".join((_HEADER.pack(first, count, time_ns, schema, epoch, mark), _array_header(count), *parts))
    return _CHECK.pack(crc32(data)) + data


def read_chunk(data: bytes) -> Chunk:
    """Return what a chunk holds; raises Malformed when it is not what was written.  The run is not looked into."""
    if len(data) <= _START or _CHECK.unpack_from(data)[0] != crc32(memoryview(data)[_CHECK.size :]):
        raise Malformed("a chunk of log records that is not what was written")
    first, count, time_ns, schema, epoch, mark = _HEADER.unpack_from(data, _CHECK.size)
    if not 1 <= count <= CHUNK_RECORDS or not 1 <= first < 1 << 63 or time_ns >= 1 << 63:
        raise Malformed("a chunk of log records that has none, or impossible numbers")
    return Chunk(first, count, time_ns, schema, epoch, mark, data[_START:])


def measure_chunk(data: bytes, least: int) -> int:
    """Return how many bytes the chunk has that begins these, at least so many; 0: they begin with none that is intact.

    For bytes whose length is lost: any that the checksum fits is taken.
    """
    start = max(least, _START + 1)
    if len(data) < start or not 1 <= int.from_bytes(data[12:16], "big") <= CHUNK_RECORDS:
        return 0
    expected = _CHECK.unpack_from(data)[0]
    check = crc32(memoryview(data)[_CHECK.size : start])
    for size in range(start, len(data) + 1):
        if check == expected:
            return size
        check = crc32(data[size : size + 1], check)
    return 0


class Cutter:
    """Cuts chunks, and remembers the records of the last one: who wants every other of them asks many times."""

    def __init__(self) -> None:
        self._key = b""
        self._parts: list[bytes] = []

    def cut(self, key: bytes, chunk: Chunk, first: int, last: int) -> bytes:
        """Return a chunk with the records of these numbers alone; ``key`` tells chunks apart.

        Raises Malformed when they are not there.
        """
        if key != self._key:
            try:
                parts = [bytes(raw) for raw in _RAWS.decode(chunk.run)]
            except msgspec.MsgspecError:
                raise Malformed("a chunk of log records that is not what was written") from None
            self._key, self._parts = key, parts
        parts = self._parts[first - chunk.first : last - chunk.first + 1]
        if len(parts) != last - first + 1:
            raise Malformed("a chunk of log records with fewer than it says")
        return pack_chunk(first, chunk.time_ns, chunk.schema, chunk.epoch, chunk.mark, parts)


def cut(chunk: Chunk, first: int, last: int) -> bytes:
    """Return a chunk with the records of these numbers alone; raises Malformed when they are not there."""
    return Cutter().cut(b"x", chunk, first, last)
