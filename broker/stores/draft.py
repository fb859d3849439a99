"""What is decided and not committed yet, over what is: the state that the next decision is made on, and operations
applied to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from broker.errors import Malformed, NotCarried
from broker.journaling import Commit, Journal, Position, Record, chain
from broker.stores.elements import elements_of, place_of, read_element, row_of, spread_kind
from broker.stores.entries import (
    DICT,
    ELEMENTS,
    ENTRIES,
    EXPIRIES,
    FOREVER,
    LIST,
    SET,
    WHOLE,
    WHOLE_BYTES_MAX,
    WRITERS,
    Entry,
    index_row,
    read_entry,
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
        self._entries: _Rows = {}
        self._elements: dict[bytes, _Rows] = {}  # by the prefix of the rows' keys: a spread value's together
        self._expiries: _Rows = {}
        self._writers: _Rows = {}
        self._cleared: list[tuple[int, bytes]] = []
        self._emptied = False  # the store was cleared: what is below does not count
        # Whether nothing expires, here and below: then what was there before a put has no row of EXPIRIES.
        self._lasting: bool = under._lasting if under is not None else not journal.count(EXPIRIES)

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.records)

    def settle(self) -> None:
        """Take note that what was on its way is committed: the journal shows it."""
        self._under = None

    def work(self, trim: int = 0) -> Commit:
        """Return what is to be committed."""
        changed: dict[int, _Rows] = {}
        if self._entries:
            changed[ENTRIES] = self._entries
        if self._elements:
            elements: _Rows = {}
            for rows in self._elements.values():
                elements.update(rows)
            changed[ELEMENTS] = elements
        if self._expiries:
            changed[EXPIRIES] = self._expiries
        if self._writers:
            changed[WRITERS] = self._writers
        return Commit(self.position, self.records, changed, self._cleared, trim)

    @property
    def changed_keys(self) -> Iterable[bytes] | None:
        """The packed keys of the entries that change; None: all of them."""
        return None if self._emptied else self._entries

    # -- reading ---------------------------------------------------------------------------------------------------

    def entry_row(self, key: bytes) -> bytes | None:
        """Return an entry's row as it will be."""
        if key in self._entries:
            return self._entries[key]
        if self._emptied:
            return None
        return self._journal.get(ENTRIES, key) if self._under is None else self._under.entry_row(key)

    def entry(self, key: bytes) -> Entry | None:
        """Return an entry as it will be."""
        row = self.entry_row(key)
        return None if row is None else read_entry(row)

    def element(self, entry: Entry, place: bytes) -> bytes | None:
        """Return the row of a spread value's element, at its place or index."""
        return self._element_row(entry.prefix, entry.prefix + place)

    def _element_row(self, prefix: bytes, key: bytes) -> bytes | None:
        rows = self._elements.get(prefix)
        if rows is not None and key in rows:
            return rows[key]
        if self._emptied:
            return None
        return self._journal.get(ELEMENTS, key) if self._under is None else self._under._element_row(prefix, key)

    def elements(self, entry: Entry) -> Iterator[tuple[bytes, bytes]]:
        """Give all rows of a spread value's elements as they will be, in order.  It takes as long as they are many."""
        layers: list[_Rows] = []
        draft: Draft | None = self
        emptied = False
        while draft is not None and not emptied:
            layers.append(draft._elements.get(entry.prefix, {}))
            emptied = draft._emptied
            draft = draft._under
        found: _Rows = {} if emptied else dict(self._journal.rows(ELEMENTS, entry.prefix))
        for layer in reversed(layers):
            found.update(layer)
        for key in sorted(found):
            row = found[key]
            if row is not None:
                yield key, row

    # -- writing ---------------------------------------------------------------------------------------------------

    def set_row(self, table: int, key: bytes, row: bytes | None) -> None:
        """Set a row that is no part of the store's contents: of WRITERS."""
        assert table == WRITERS
        self._writers[key] = row

    def append(self, body: bytes, operations: tuple[Operation, ...]) -> Position:
        """Append a record whose operations were applied with :meth:`apply`; returns its position."""
        before = self.position
        sequence = before.sequence + 1
        checksum = chain(before.checksum, body)
        self.records.append(Record(sequence, checksum, body))
        first = operations[0]
        epoch = first.epoch if type(first) is Epoch else before.epoch
        self.position = Position(before.journal, epoch, sequence, checksum)
        return self.position

    def apply(self, operation: Operation, place: int = 0) -> None:
        """Let an operation of the record that comes next take place, the ``place``-th of it.

        Raises Malformed when it makes no sense here, as one of a log that is not ours: then drop the draft.
        """
        _APPLY[type(operation)](self, operation, place)

    def absorb(self, other: Draft) -> None:
        """Take over what was drafted over this one."""
        if other._emptied:
            self._clear()
        for _, prefix in other._cleared:
            if prefix:
                self._clear_prefix(prefix)
        self._entries.update(other._entries)
        self._expiries.update(other._expiries)
        self._lasting &= other._lasting
        self._writers.update(other._writers)
        for prefix, rows in other._elements.items():
            self._rows_of(prefix).update(rows)

    def _known(self, key: bytes) -> Entry:
        entry = self.entry(key)
        if entry is None:
            raise Malformed("an operation on an entry that there is not")
        return entry

    def _set_expiry(self, key: bytes, old: int, new: int) -> None:
        if old != new:
            if old:
                self._expiries[old.to_bytes(8, "big") + key] = None
            if new:
                self._lasting = False
                self._expiries[new.to_bytes(8, "big") + key] = b""

    def _put(self, operation: Put, place: int) -> None:
        old = operation.old
        # Where there was nothing, or a whole value that does not expire, there is nothing to clear away: a third of the
        # time of a clone that catches up went into looking.
        blind = old is None or (old and self._lasting)
        self.put(operation, place, None if blind else self.entry_row(operation.key))

    def put(self, operation: Put, place: int, row: bytes | None) -> None:
        """Let a Put take place, as :meth:`apply` does, over the row that the entry has: for who has looked already."""
        key, value, expiry = operation.key, operation.value, operation.expiry
        # What makes no sense is found before anything is changed.
        spreads = len(value) > WHOLE_BYTES_MAX and spread_kind(value) != WHOLE
        elements = list(elements_of(value)) if spreads else None
        # Nearly always it was whole and for ever: what else it may be is not read, for a tenth of a put's time.
        if row is not None and not row.startswith(FOREVER):
            entry = read_entry(row)
            self._set_expiry(key, entry.expiry, expiry)
            if entry.kind != WHOLE:
                self._clear_prefix(entry.prefix)
        elif expiry:
            self._set_expiry(key, 0, expiry)
        if elements is None:
            self._entries[key] = whole_row(expiry, value)
        else:
            self._spread(key, Entry(spread_kind(value), expiry), elements, place)

    def _erase(self, operation: Erase, _place: int) -> None:
        key = operation.key
        entry = self._known(key)
        self._set_expiry(key, entry.expiry, 0)
        if entry.kind != WHOLE:
            self._clear_prefix(entry.prefix)
        self._entries[key] = None

    def _clear_prefix(self, prefix: bytes) -> None:
        """Remove a spread value's elements: those that are committed, and those that are drafted here."""
        self._cleared.append((ELEMENTS, prefix))
        self._elements.pop(prefix, None)

    def _touch(self, operation: Touch, _place: int) -> None:
        key = operation.key
        entry = self._known(key)
        self._set_expiry(key, entry.expiry, operation.expiry)
        entry.expiry = operation.expiry
        self._entries[key] = entry.row()

    def _clear(self, _operation: Clear | None = None, _place: int = 0) -> None:
        for rows in (self._entries, self._elements, self._expiries):
            rows.clear()
        self._cleared = [(table, b"") for table in (ENTRIES, ELEMENTS, EXPIRIES)]
        self._emptied = True

    def _begin_epoch(self, _operation: Epoch, place: int) -> None:
        """Nothing changes but the position, by :meth:`append`."""
        if place:
            raise Malformed("an epoch begins in the middle of a record")

    # -- elements --------------------------------------------------------------------------------------------------

    def _rows_of(self, prefix: bytes) -> _Rows:
        """Return the rows of a spread value that are drafted here, to be changed."""
        rows = self._elements.get(prefix)
        if rows is None:
            rows = self._elements[prefix] = {}
        return rows

    def _spread(self, key: bytes, entry: Entry, elements: Iterable[tuple[bytes, bytes]], place: int) -> Entry:
        """Give each element a row of its own."""
        entry.id = (self.position.sequence + 1) << 20 | place
        if entry.id >> 64:
            raise Malformed("a log of more than 2**44 records")
        prefix = entry.prefix
        rows: _Rows = {prefix + element: row for element, row in elements}
        entry.count = len(rows)
        self._elements[prefix] = rows
        self._entries[key] = entry.row()
        return entry

    def _opened(self, key: bytes, kinds: tuple[int, ...], place: int) -> Entry:
        """Return a container whose element is to be changed, spread."""
        entry = self._known(key)
        kind = spread_kind(entry.value) if entry.kind == WHOLE else entry.kind
        if kind not in kinds:
            raise Malformed("an operation that does not go with the type of the value")
        if entry.kind != WHOLE:
            return entry
        return self._spread(key, Entry(kind, entry.expiry), elements_of(entry.value), place)

    def _resized(self, key: bytes, entry: Entry, by: int) -> None:
        entry.count += by
        self._entries[key] = entry.row()

    def _set(self, operation: Set, place: int) -> None:
        key, element, value = operation.key, operation.element, operation.value
        entry = self._opened(key, (DICT,) if value else (SET,), place)
        at = _place_of(element)
        prefix = entry.prefix
        row = self._element_row(prefix, prefix + at)
        if row is None:
            self._resized(key, entry, 1)
        elif read_element(at, row)[0] != element:
            raise Malformed("an element is set that cannot be told from another one that is there")
        self._rows_of(prefix)[prefix + at] = row_of(element, at, value)

    def _drop(self, operation: Drop, place: int) -> None:
        key, element = operation.key, operation.element
        entry = self._opened(key, (DICT, SET), place)
        at = _place_of(element)
        prefix = entry.prefix
        row = self._element_row(prefix, prefix + at)
        if row is None or not entry.count or read_element(at, row)[0] != element:
            raise Malformed("an element is dropped that there is not")
        self._resized(key, entry, -1)
        self._rows_of(prefix)[prefix + at] = None

    def _push(self, operation: Push, place: int) -> None:
        key = operation.key
        entry = self._opened(key, (LIST,), place)
        prefix = entry.prefix
        self._rows_of(prefix)[index_row(prefix, entry.first + entry.count)] = operation.value
        self._resized(key, entry, 1)

    def _pop(self, operation: Pop, place: int) -> None:
        key = operation.key
        entry = self._opened(key, (LIST,), place)
        if not entry.count:
            raise Malformed("an element is taken from an empty list")
        self._resized(key, entry, -1)
        prefix = entry.prefix
        self._rows_of(prefix)[index_row(prefix, entry.first + entry.count)] = None


def _place_of(element: bytes) -> bytes:
    try:
        return place_of(element)
    except NotCarried as error:  # received values may be a little deeper than those that are sent
        raise Malformed(str(error)) from error


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
