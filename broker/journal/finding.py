"""Looking rows up in LMDB's trees, without believing at once that one is not there.

LMDB has no checksums: where a bit has flipped in a key, or in one that leads to it from above, a search takes a wrong
turn and ends beside a row that is there.  But it ends next to the key that is wrong.  So, of what is not found, both
neighbours are looked at: whether they are what was written, and before and behind what was sought.  This takes some
4 µs, as often as something is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from broker.journal.keys import RowDamaged, plain_row, scan_from

__all__ = ["find", "scan"]

# A longer value is looked at only beside a key that could be the one that is sought, with a bit flipped.
_LOOKED_AT_BYTES: Final = 64 << 10


def find(transaction: Any, table: Any, stored: bytes) -> bytes | None:
    """Return what LMDB keeps under a key; None: there is nothing.  Raises RowDamaged, and what LMDB raises."""
    data: bytes | None = transaction.get(stored, db=table)
    if data is None:
        with transaction.cursor(db=table) as cursor:
            there = cursor.set_range(stored)
            if there:
                _check_beside(cursor, stored, behind=True)
            if cursor.prev() if there else cursor.last():
                _check_beside(cursor, stored, behind=False)
    return data


def scan(transaction: Any, table: Any, prefix: bytes) -> Iterator[tuple[bytes, tuple[bytes, bytes]]]:
    """Give (stored key, row) of the rows whose keys begin so; raises as :func:`find` does."""
    start = scan_from(prefix)
    with transaction.cursor(db=table) as cursor:
        if start:
            there = cursor.set_range(start)
            if cursor.prev() if there else cursor.last():
                _check_beside(cursor, start, behind=False)
            there = there and cursor.set_range(start)
        else:
            there = cursor.first()
        if not there:
            return
        for stored, data in cursor:
            if not stored.startswith(start):
                _check_beside(cursor, start, behind=True)
                return
            row = plain_row(stored, data)
            if row[0].startswith(prefix):
                yield stored, row


def _check_beside(cursor: Any, stored: bytes, *, behind: bool) -> None:
    """Check the row at which a search has ended: there must be nothing between it and what was sought."""
    key: bytes = cursor.key()
    if (key <= stored) if behind else (key >= stored):
        raise RowDamaged(f"the row of the key {key[:40].hex()} is out of order")
    data = cursor.value()
    if len(data) <= _LOOKED_AT_BYTES or _alike(key, stored):
        plain_row(key, data)


def _alike(one: bytes, other: bytes) -> bool:
    """Whether two keys differ in one bit."""
    return len(one) == len(other) and (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count() == 1
