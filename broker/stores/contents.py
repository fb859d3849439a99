"""What a store has, read: values by key, as Python has them.

Values that are read again and again are kept decoded: in memory all of them, over a disk the last
:data:`CACHED_MAX`.  What can be changed in place (a list, a dict, a set) is made anew for everybody who reads it, from
its bytes or its elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from broker.errors import NoSuchElement, NoSuchKey, NotCarried, TypeClash
from broker.journaling import Journal
from broker.stores.elements import elements_of, gather, is_of_its_own, place_of, read_element, spread_kind
from broker.stores.entries import (
    DICT,
    ELEMENTS,
    ENTRIES,
    LIST,
    SET,
    WHOLE,
    Entry,
    index_row,
    pack_key,
    read_entry,
    unpack_key,
    unpack_value,
)
from broker.values import pack

__all__ = ["CACHED_MAX", "Contents", "Fresh"]

# Of values of up to 1 KiB: at most some 100 MB over a disk, a tenth of that of the usual ones.
CACHED_MAX: Final = 65_536
_CACHED_BYTES: Final = 1024
_MISSING: Final = object()


class Fresh(Struct, frozen=True):
    """In the cache, in the place of a value that is made anew for each reader."""

    entry: Entry


class Contents:
    """The entries of one store, as committed."""

    def __init__(self, name: str, journal: Journal) -> None:
        self._name = name
        self._journal = journal
        # Of keys that are a str, values that nobody can change: handles look here first.
        self.plain: dict[str, Any] = {}
        # All others, by key where that is a str, else by the packed key: a key that is bytes itself is packed, too.
        self._cache: dict[str | bytes, Any] = {}

    def changed(self, keys: Iterable[bytes] | None) -> None:
        """Forget what was kept of these (packed) keys; None: of all."""
        plain, cache = self.plain, self._cache
        if keys is None:
            plain.clear()
            cache.clear()
        elif plain or cache:
            for key in keys:
                cached_as = _cached_as(key)
                plain.pop(cached_as, None)  # type: ignore[arg-type]
                cache.pop(cached_as, None)

    def find(self, key: object) -> Any:
        """Return a key's value; raises NoSuchKey."""
        if key.__class__ is str:  # not packed, when it is found: a third of the time
            value = self.plain.get(key, _MISSING)
            if value is _MISSING:
                value = self._cache.get(key, _MISSING)
            if value is _MISSING:
                value = self._load(key, pack_key(key))
        else:
            packed = pack_key(key)
            value = self._cache.get(_cached_as(packed), _MISSING)
            if value is _MISSING:
                value = self._load(key, packed)
        return self.fresh(value.entry) if value.__class__ is Fresh else value

    def _load(self, key: object, packed: bytes) -> Any:
        row = self._journal.get(ENTRIES, packed)
        if row is None:
            raise NoSuchKey(self._name, f"{key!r:.100} is not there")
        entry = read_entry(row)
        value = Fresh(entry) if entry.kind != WHOLE else unpack_value(entry.value)
        if is_of_its_own(value):
            value = Fresh(entry)
        if self._journal.volatile or len(row) <= _CACHED_BYTES:
            if not self._journal.volatile and len(self.plain) + len(self._cache) >= CACHED_MAX:
                fuller: dict[Any, Any] = max(self.plain, self._cache, key=len)
                del fuller[next(iter(fuller))]
            if type(key) is str and value.__class__ is not Fresh:
                self.plain[key] = value
            else:
                self._cache[_cached_as(packed)] = value
        return value

    def fresh(self, entry: Entry) -> Any:
        """Return a list, dict or set of an entry, for one reader."""
        if entry.kind == WHOLE:
            return unpack_value(entry.value)
        return gather(entry.kind, self._journal.rows(ELEMENTS, entry.prefix))

    def has(self, key: object) -> bool:
        """Whether there is an entry; False also for what can be no key."""
        try:
            return self._journal.get(ENTRIES, pack_key(key)) is not None
        except NotCarried:
            return False

    def expiry(self, key: object) -> int:
        """Return when an entry is over, in nanoseconds since 1970; 0: never.  Raises NoSuchKey."""
        row = self._journal.get(ENTRIES, pack_key(key))
        if row is None:
            raise NoSuchKey(self._name, f"{key!r:.100} is not there")
        return read_entry(row).expiry

    def element(self, key: object, index: object) -> Any:
        """Return a dict's value at a key, a list's element at an index, or whether a set has a member.

        At the cost of the element.  Raises NoSuchKey, NoSuchElement, TypeClash.
        """
        row = self._journal.get(ENTRIES, pack_key(key))
        if row is None:
            raise NoSuchKey(self._name, f"{key!r:.100} is not there")
        entry = read_entry(row)
        kind = spread_kind(entry.value) if entry.kind == WHOLE else entry.kind
        if kind == WHOLE:
            raise TypeClash(
                self._name, f"{key!r:.100} is a {type(unpack_value(entry.value)).__name__}: it has no elements"
            )
        found = self._at_index(entry, index) if kind == LIST else self._at_key(entry, pack_key(index))
        if kind == SET:
            return found is not None
        if found is None:
            raise NoSuchElement(self._name, f"{key!r:.100} has no element {index!r:.100}")
        return unpack_value(found)

    def _at_key(self, entry: Entry, element: bytes) -> bytes | None:
        place = place_of(element)
        if entry.kind == WHOLE:
            row = dict(elements_of(entry.value)).get(place)
        else:
            row = self._journal.get(ELEMENTS, entry.prefix + place)
        there, value = (b"", b"") if row is None else read_element(place, row)
        return value if there == element else None

    def _at_index(self, entry: Entry, index: object) -> bytes | None:
        if type(index) is not int:
            raise TypeClash(self._name, f"a list has an int as index, not a {type(index).__name__}")
        whole = unpack_value(entry.value) if entry.kind == WHOLE else None
        count = entry.count if whole is None else len(whole)
        place = index + count if index < 0 else index
        if not 0 <= place < count:
            return None
        if whole is not None:
            return pack(whole[place])
        return self._journal.get(ELEMENTS, index_row(entry.prefix, entry.first + place))

    def size(self, key: object) -> int:
        """Return how many elements a list, dict or set has, at no cost.  Raises NoSuchKey, TypeClash."""
        row = self._journal.get(ENTRIES, pack_key(key))
        if row is None:
            raise NoSuchKey(self._name, f"{key!r:.100} is not there")
        entry = read_entry(row)
        if entry.kind in {SET, DICT, LIST}:
            return entry.count
        if spread_kind(entry.value) == WHOLE:
            raise TypeClash(
                self._name, f"{key!r:.100} is a {type(unpack_value(entry.value)).__name__}: it has no elements"
            )
        return len(unpack_value(entry.value))

    def __len__(self) -> int:
        return self._journal.count(ENTRIES)

    def keys(self) -> Iterator[Any]:
        """Give all keys as they are now, in the order of their bytes."""
        for key, _ in self._journal.rows(ENTRIES):
            yield unpack_key(key)


def _cached_as(packed: bytes) -> str | bytes:
    if 0xA0 <= packed[0] <= 0xBF or 0xD9 <= packed[0] <= 0xDB:
        key: str = unpack_key(packed)
        return key
    return packed
