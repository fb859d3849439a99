"""Keys and values of tables as LMDB keeps them: any key, in order, with a check of every row.

LMDB refuses the empty key and keys of more than 511 bytes.  A key of up to :data:`KEPT_BYTES` is kept with a zero byte
behind it: this keeps the order and makes room for the empty key.  A longer one is kept as its first bytes, the BLAKE2b
digest of the whole (32 bytes) and a byte 1; the whole key stands in the value.  So only keys that share their first 478
bytes are not in order on disk, and whoever reads all of them can sort them.

A value stands behind 4 bytes of CRC-32 over key and value: LMDB itself has no checksums, and a bit that flipped on the
disk would be taken for what was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final
from zlib import crc32

__all__ = ["KEPT_BYTES", "RowDamaged", "in_order", "is_long", "plain_row", "scan_from", "stored_key", "stored_row"]

_LMDB_BYTES_MAX: Final = 511
_DIGEST_BYTES: Final = 32
KEPT_BYTES: Final = _LMDB_BYTES_MAX - _DIGEST_BYTES - 1
_LONG: Final = 1
_CHECK_BYTES: Final = 4
_LENGTH_BYTES: Final = 4


class RowDamaged(ValueError):
    """A row that is not what was written."""


def stored_key(key: bytes) -> bytes:
    """Return the key under which LMDB keeps a row."""
    if len(key) <= KEPT_BYTES:
        return key + b"\0"
    return b"%b%b\1" % (key[:KEPT_BYTES], blake2b(key, digest_size=_DIGEST_BYTES).digest())


def stored_row(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return the key and the value that LMDB keeps."""
    check = crc32(value, crc32(key)).to_bytes(_CHECK_BYTES, "big")
    if len(key) <= KEPT_BYTES:
        return key + b"\0", check + value
    return stored_key(key), b"%b%b%b%b" % (check, len(key).to_bytes(_LENGTH_BYTES, "big"), key, value)


def is_long(stored: bytes) -> bool:
    """Tell whether the whole key stands in the value."""
    return stored[-1] == _LONG


def plain_row(stored: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return key and value of what LMDB keeps; raises :class:`RowDamaged` when they are not what was written."""
    if stored[-1:] == b"\0":
        key, value = stored[:-1], data[_CHECK_BYTES:]
    else:
        start = _CHECK_BYTES + _LENGTH_BYTES
        end = start + int.from_bytes(data[_CHECK_BYTES:start], "big")
        key, value = data[start:end], data[end:]
        if stored != stored_key(key):
            raise RowDamaged(f"the row of the key {key[:40].hex()}... is not what was written")
    if crc32(value, crc32(key)) != int.from_bytes(data[:_CHECK_BYTES], "big"):
        raise RowDamaged(f"the row of the key {key[:40].hex()} is not what was written")
    return key, value


def scan_from(prefix: bytes) -> bytes:
    """Return what all stored keys begin with whose keys begin with ``prefix``.

    The converse does not hold: each key that is found is to be looked at.
    """
    return prefix[:KEPT_BYTES]


def in_order(rows: Iterable[tuple[bytes, tuple[bytes, bytes]]]) -> Iterable[tuple[bytes, bytes]]:
    """Give (stored key, row) in the order of the keys: long ones that share what is kept of them are sorted."""
    alike: list[tuple[bytes, bytes]] = []
    for stored, row in rows:
        if alike and not (is_long(stored) and row[0][:KEPT_BYTES] == alike[0][0][:KEPT_BYTES]):
            yield from sorted(alike)
            alike = []
        if is_long(stored):
            alike.append(row)
        else:
            yield row
    yield from sorted(alike)
