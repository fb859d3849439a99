"""What is decided and not committed yet, over what is: the state that the next decision is made on, and operations
applied to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from broker.errors import Malformed
from broker.journaling import Commit, Journal, Position, Record, chain
from broker.stores.entries import (
    DICT,
    ELEMENTS,
    ENTRIES,
    EXPIRIES,
    LIST,
    SET,
    WHOLE,
    WHOLE_BYTES_MAX,
    Entry,
    elements_of,
    index_row,
    read_entry,
    spread_kind,
    whole_row,
)
from broker.stores.operations import Clear, Drop, Epoch, Erase, Operation, Pop, Push, Put, Set, Touch

__all__ = ["Draft"]

_Rows = dict[bytes, bytes | None]


class Draft:
    """Changes of one commit, over those of the commit that is on its way (``under``), over the journal."""

    def __init__(self, journal: Journal, under: Self | None = None) -> None:
        self._journal = journal
        self._under = under
        self.position: Position = under.position if under is not None else journal.position
        self.records: list[Record] = []
        self._rows: tuple[_Rows, _Rows, _Rows, _Rows] = ({}, {}, {}, {})
        self._cleared: list[tuple[int, bytes]] = []
        self._spread_here: set[bytes] = set()  # prefixes that there may be rows of here
        self._emptied = False  # the store was cleared: what is below does not count

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.records)

    def settle(self) -> None:
        """Take note that what was on its way is committed: the journal shows it."""
        self._under = None

    def work(self, trim: int = 0) -> Commit:
        """Return what is to be committed."""
        rows = {table: rows for table, rows in enumerate(self._rows) if rows}
        return Commit(self.position, self.records, rows, self._cleared, trim)

    @property
    def changed_keys(self) -> Iterable[bytes] | None:
        """The packed keys of the entries that change; None: all of them."""
        return None if self._emptied else self._rows[ENTRIES]

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, table: int, key: bytes) -> bytes | None:
        """Return a row as it will be."""
        draft: Draft | None = self
        while draft is not None:
            rows = draft._rows[table]
            if key in rows:
                return rows[key]
            if draft._emptied:
                return None
            draft = draft._under
        return self._journal.get(table, key)

    def entry(self, key: bytes) -> Entry | None:
        """Return an entry as it will be."""
        row = self.get(ENTRIES, key)
        return None if row is None else read_entry(row)

    def element(self, entry: Entry, element: bytes) -> bytes | None:
        """Return the row of a spread value's element."""
        return self.get(ELEMENTS, entry.prefix + element)

    def rows(self, table: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give all rows whose keys begin so as they will be, in order."""
        layers = []
        draft: Draft | None = self
        emptied = False
        while draft is not None and not emptied:
            layers.append(draft._rows[table])
            emptied = draft._emptied
            draft = draft._under
        found: dict[bytes, bytes | None] = {} if emptied else dict(self._journal.rows(table, prefix))
        for layer in reversed(layers):
            found.update({key: row for key, row in layer.items() if key.startswith(prefix)})
        for key in sorted(found):
            row = found[key]
            if row is not None:
                yield key, row

    # -- writing ---------------------------------------------------------------------------------------------------

    def set_row(self, table: int, key: bytes, row: bytes | None) -> None:
        """Set a row that is no part of the store's contents."""
        self._rows[table][key] = row

    def append(self, body: bytes, operations: tuple[Operation, ...], *, epoch: int | None = None) -> Position:
        """Append a record whose operations were applied with :meth:`apply`; returns its position."""
        before = self.position
        sequence = before.sequence + 1
        checksum = chain(before.checksum, body)
        self.records.append(Record(sequence, checksum, body))
        if epoch is None:
            epoch = before.epoch
            for operation in operations:
                if type(operation) is Epoch:
                    epoch = operation.epoch
        self.position = Position(before.journal, epoch, sequence, checksum)
        return self.position

    def apply(self, operation: Operation, place: int = 0) -> None:
        """Let an operation of the record that comes next take place, the ``place``-th of it.

        Raises Malformed when it makes no sense here, as one of a log that is not ours.
        """
        _APPLY[type(operation)](self, operation, place)

    def absorb(self, other: Draft) -> None:
        """Take over what was drafted over this one."""
        if other._emptied:
            self._clear()
        for _, prefix in other._cleared:
            if prefix:
                self._clear_prefix(prefix)
        for mine, theirs in zip(self._rows, other._rows, strict=True):
            mine.update(theirs)
        self._spread_here |= other._spread_here

    def _known(self, key: bytes) -> Entry:
        entry = self.entry(key)
        if entry is None:
            raise Malformed("an operation on an entry that there is not")
        return entry

    def _set_expiry(self, key: bytes, old: int, new: int) -> None:
        if old != new:
            if old:
                self._rows[EXPIRIES][old.to_bytes(8, "big") + key] = None
            if new:
                self._rows[EXPIRIES][new.to_bytes(8, "big") + key] = b""

    def _put(self, operation: Put, place: int) -> None:
        key, value, expiry = operation.key, operation.value, operation.expiry
        row = self.get(ENTRIES, key)
        if row is not None:
            entry = read_entry(row)
            self._set_expiry(key, entry.expiry, expiry)
            self._clear_elements(entry)
        elif expiry:
            self._rows[EXPIRIES][expiry.to_bytes(8, "big") + key] = b""
        self._rows[ENTRIES][key] = whole_row(expiry, value)
        if len(value) > WHOLE_BYTES_MAX and spread_kind(value) != WHOLE:
            self._spread(key, Entry(WHOLE, expiry, value), place)

    def _erase(self, operation: Erase, _place: int) -> None:
        key = operation.key
        entry = self._known(key)
        self._set_expiry(key, entry.expiry, 0)
        self._clear_elements(entry)
        self._rows[ENTRIES][key] = None

    def _clear_elements(self, entry: Entry) -> None:
        if entry.kind != WHOLE:
            self._clear_prefix(entry.prefix)

    def _clear_prefix(self, prefix: bytes) -> None:
        """Remove a spread value's elements: those that are committed, and those that are drafted here."""
        self._cleared.append((ELEMENTS, prefix))
        if prefix in self._spread_here:
            self._spread_here.discard(prefix)
            rows = self._rows[ELEMENTS]
            for row in [row for row in rows if row.startswith(prefix)]:
                del rows[row]

    def _touch(self, operation: Touch, _place: int) -> None:
        key = operation.key
        entry = self._known(key)
        self._set_expiry(key, entry.expiry, operation.expiry)
        entry.expiry = operation.expiry
        self._rows[ENTRIES][key] = entry.row()

    def _clear(self, _operation: Clear | None = None, _place: int = 0) -> None:
        for table in (ENTRIES, ELEMENTS, EXPIRIES):
            self._rows[table].clear()
        self._cleared = [(table, b"") for table in (ENTRIES, ELEMENTS, EXPIRIES)]
        self._spread_here.clear()
        self._emptied = True

    def _begin_epoch(self, _operation: Epoch, _place: int) -> None:
        """Nothing changes but the position, by :meth:`append`."""

    # -- elements --------------------------------------------------------------------------------------------------

    def _spread(self, key: bytes, entry: Entry, place: int) -> Entry:
        """Give each element of a whole value a row."""
        elements = list(elements_of(entry.value))
        id_ = (self.position.sequence + 1) << 20 | place
        spread = Entry(spread_kind(entry.value), entry.expiry, b"", id_, len(elements))
        prefix, rows = spread.prefix, self._rows[ELEMENTS]
        self._spread_here.add(prefix)
        for element, row in elements:
            rows[prefix + element] = row
        self._rows[ENTRIES][key] = spread.row()
        return spread

    def _spread_entry(self, key: bytes, kinds: tuple[int, ...], place: int) -> Entry:
        entry = self._known(key)
        kind = spread_kind(entry.value) if entry.kind == WHOLE else entry.kind
        if kind not in kinds:
            raise Malformed("an operation that does not go with the type of the value")
        if entry.kind == WHOLE:
            return self._spread(key, entry, place)
        self._spread_here.add(entry.prefix)
        return entry

    def _set(self, operation: Set, place: int) -> None:
        key, element, value = operation.key, operation.element, operation.value
        entry = self._spread_entry(key, (DICT,) if value else (SET,), place)
        row = entry.prefix + element
        if self.get(ELEMENTS, row) is None:
            entry.count += 1
            self._rows[ENTRIES][key] = entry.row()
        self._rows[ELEMENTS][row] = value

    def _drop(self, operation: Drop, place: int) -> None:
        key = operation.key
        entry = self._spread_entry(key, (DICT, SET), place)
        row = entry.prefix + operation.element
        if self.get(ELEMENTS, row) is None:
            raise Malformed("an element is dropped that there is not")
        entry.count -= 1
        self._rows[ENTRIES][key] = entry.row()
        self._rows[ELEMENTS][row] = None

    def _push(self, operation: Push, place: int) -> None:
        key = operation.key
        entry = self._spread_entry(key, (LIST,), place)
        self._rows[ELEMENTS][index_row(entry.prefix, entry.first + entry.count)] = operation.value
        entry.count += 1
        self._rows[ENTRIES][key] = entry.row()

    def _pop(self, operation: Pop, place: int) -> None:
        key = operation.key
        entry = self._spread_entry(key, (LIST,), place)
        if not entry.count:
            raise Malformed("an element is taken from an empty list")
        entry.count -= 1
        self._rows[ELEMENTS][index_row(entry.prefix, entry.first + entry.count)] = None
        self._rows[ENTRIES][key] = entry.row()


_APPLY: dict[type, Callable[[Draft, Any, int], None]] = {
    Put: Draft._put,
    Erase: Draft._erase,
    Clear: Draft._clear,
    Set: Draft._set,
    Drop: Draft._drop,
    Push: Draft._push,
    Pop: Draft._pop,
    Touch: Draft._touch,
    Epoch: Draft._begin_epoch,
}
