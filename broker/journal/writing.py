"""What one commit does inside LMDB's write transaction."""

from __future__ import annotations

from itertools import starmap
from typing import Any, Final

from broker.journal.facts import STATE_KEY, State
from broker.journal.keys import KEPT_BYTES, plain_row, scan_from, stored_key, stored_row
from broker.journal.lmdbs import Tables
from broker.journaling import CHECKSUM_BYTES, Commit

__all__ = ["SEQUENCE_BYTES", "apply", "is_shrinking"]

SEQUENCE_BYTES: Final = 8
# So many records a commit drops more than it appends: a long log is trimmed in steps, and nobody waits long for one.
_TRIM_MORE: Final = 1000


def is_shrinking(work: Commit) -> bool:
    """Tell whether it is about making room: it may then go a little over the limit, as LMDB copies what it changes."""
    removed = sum(value is None for rows in work.rows.values() for value in rows.values())
    set_ = sum(len(rows) for rows in work.rows.values()) - removed
    return removed + 100 * len(work.cleared) + (work.trim > 0) > set_


def apply(transaction: Any, tables: Tables, work: Commit, state: State, trim: int) -> State:
    """Do the work in the transaction; returns the state that it leads to."""
    for table, prefix in work.cleared:
        _clear(transaction, tables.rows[table], prefix)
    for table, changed in work.rows.items():
        _change(transaction, tables.rows[table], changed)
    if work.records:
        items = [
            (record.sequence.to_bytes(SEQUENCE_BYTES, "big"), record.checksum + record.body) for record in work.records
        ]
        transaction.cursor(db=tables.log).putmulti(items, append=True)
    log_bytes = state.log_bytes + sum([len(record.body) for record in work.records])
    journal, epoch, sequence, checksum = (
        work.position.journal,
        work.position.epoch,
        work.position.sequence,
        work.position.checksum,
    )
    after = State(journal, epoch, sequence, checksum, state.base, state.base_checksum, log_bytes)
    if trim > state.base:
        after = _trim(transaction, tables.log, after, min(trim, state.base + len(work.records) + _TRIM_MORE, sequence))
    transaction.put(STATE_KEY, after.packed(), db=tables.facts)
    return after


def _change(transaction: Any, table: Any, changed: dict[bytes, bytes | None]) -> None:
    present = [(key, value) for key, value in changed.items() if value is not None]
    if len(present) < len(changed):
        for key, value in changed.items():
            if value is None:
                transaction.delete(stored_key(key), db=table)
    if len(present) == 1:
        transaction.put(*stored_row(*present[0]), db=table)
    elif present:
        transaction.cursor(db=table).putmulti(sorted(starmap(stored_row, present)))


def _clear(transaction: Any, table: Any, prefix: bytes) -> None:
    if not prefix:
        transaction.drop(table, delete=False)
        return
    start = scan_from(prefix)
    with transaction.cursor(db=table) as cursor:
        found = cursor.set_range(start)
        while found:
            stored = bytes(cursor.key())
            if not stored.startswith(start):
                return
            # A stored key has more bytes than the key: whether it begins so, the key says.
            whole = len(prefix) < len(stored) and len(prefix) <= KEPT_BYTES
            if whole or plain_row(stored, bytes(cursor.value()))[0].startswith(prefix):
                found = cursor.delete()
            else:
                found = cursor.next()


def _trim(transaction: Any, log: Any, state: State, trim: int) -> State:
    base, checksum, log_bytes = state.base, state.base_checksum, state.log_bytes
    with transaction.cursor(db=log) as cursor:
        found = cursor.first()
        while found and base < trim:
            value = cursor.value()
            checksum = bytes(value[:CHECKSUM_BYTES])
            log_bytes -= len(value) - CHECKSUM_BYTES
            base += 1
            found = cursor.delete()
    return state._replace(base=base, base_checksum=checksum, log_bytes=log_bytes)
