"""Commands decided: what becomes of each, on the state that there is.

A decision is a function of the draft, the command and the time, and nothing else: the operations it leads to are
applied to the draft at once and returned for the record, with the command's result.  What cannot be done raises a
:class:`~broker.errors.StoreError` before anything has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from broker.errors import (
    KeyExists,
    NoSuchElement,
    NoSuchKey,
    NotCarried,
    OutOfRange,
    StoreError,
    TypeClash,
    ValueDiffers,
)
from broker.stores.commands import (
    Add,
    Append,
    Command,
    Compare,
    Erasure,
    Expect,
    Fetch,
    Increment,
    Insert,
    PopLast,
    PushLast,
    Remove,
    SetTo,
    Truncate,
    Until,
)
from broker.stores.draft import Draft
from broker.stores.entries import (
    DICT,
    ELEMENTS,
    LIST,
    SET,
    WHOLE,
    Entry,
    elements_of,
    gather,
    index_row,
    pack_key,
    spread_kind,
    unpack_key,
)
from broker.stores.operations import Clear, Drop, Erase, Operation, Pop, Push, Put, Set, Touch
from broker.values import Count, Timestamp, pack, unpack
from broker.values.types import COUNT_MAX

__all__ = ["OLD_BYTES_MAX", "VALUE_BYTES_MAX", "Decider", "brief_key", "erase_expired"]

_INT_MIN: Final = -(1 << 63)
_EXPIRY_MAX: Final = (1 << 63) - 1  # the year 2262
# The largest value, as it is put; what is spread may grow beyond it, an element at a time.  A frame holds two.
VALUE_BYTES_MAX: Final = 4 << 20
# Larger values are not told to watches as what was there before: every change would cost twice its size.
OLD_BYTES_MAX: Final = 64 << 10
_KINDS: Final = {SET: "set", DICT: "dict", LIST: "list"}
_EMPTY: Final = {SET: pack(set()), DICT: pack({}), LIST: pack([])}


def brief_key(key: bytes) -> str:
    """Return a packed key as an error shows it."""
    return f"{unpack_key(key)!r:.100}"


def _old(entry: Entry | None) -> bytes | None:
    """Return what an operation tells of the value before it."""
    if entry is None:
        return None
    return entry.value if len(entry.value) <= OLD_BYTES_MAX else b""  # of what is spread it is empty


def erase_expired(draft: Draft, key: bytes, expiry: int) -> Erase | None:
    """Return the operation that removes an entry whose time has come, applied; None if it has another expiry now."""
    entry = draft.entry(key)
    if entry is None or entry.expiry != expiry:
        return None
    operation = Erase(key, True, _old(entry))
    draft.apply(operation)
    return operation


class Decider:
    """The decisions of one request at one time (``now_ns``: nanoseconds since 1970)."""

    def __init__(self, store: str, draft: Draft, now_ns: int) -> None:
        self._store = store
        self.draft = draft
        self._now_ns = now_ns
        self.operations: list[Operation] = []

    def decide(self, command: Command) -> bytes | None:
        """Decide one command; returns its result, packed.  Raises StoreError, and then nothing has changed."""
        return _DECISIONS[type(command)](self, command)

    # -- tools -----------------------------------------------------------------------------------------------------

    def _do(self, operation: Operation) -> None:
        self.draft.apply(operation, len(self.operations))
        self.operations.append(operation)

    def _expiry(self, lifetime: int) -> int:
        return min(self._now_ns + lifetime, _EXPIRY_MAX) if lifetime else 0

    def _extend(self, key: bytes, expiry: int, lifetime: int | None) -> None:
        """Give an entry that is changed another expiry, if that is asked for."""
        if lifetime is not None and expiry != (wanted := self._expiry(lifetime)):
            self._do(Touch(key, wanted))

    def _fail(self, error: type[StoreError], key: bytes, reason: str) -> StoreError:
        return error(self._store, f"{brief_key(key)} {reason}")

    def _entry(self, key: bytes) -> Entry:
        entry = self.draft.entry(key)
        if entry is None:
            raise self._fail(NoSuchKey, key, "is not there")
        return entry

    def _kind(self, key: bytes, entry: Entry, kinds: tuple[int, ...], doing: str) -> int:
        kind = spread_kind(entry.value) if entry.kind == WHOLE else entry.kind
        if kind not in kinds:
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            raise self._fail(TypeClash, key, f"is a {self._type(entry)}: only a {wanted} {doing}")
        return kind

    def _type(self, entry: Entry) -> str:
        return _KINDS[entry.kind] if entry.kind != WHOLE else type(unpack(entry.value)).__name__

    def _value(self, entry: Entry) -> bytes:
        """Return an entry's value, packed; of a spread one that takes as long as it is large."""
        if entry.kind == WHOLE:
            return entry.value
        return pack(gather(entry.kind, self.draft.rows(ELEMENTS, entry.prefix)))

    def _check(self, key: bytes, entry: Entry | None, expected: bytes | None) -> None:
        found = None if entry is None else self._value(entry)
        if found == expected or (found is not None and expected is not None and _same_dict(found, expected)):
            return
        reason = "is not there" if found is None else f"is {unpack(found)!r:.100}"
        wanted = "that there is no entry" if expected is None else f"{unpack(expected)!r:.100}"
        raise self._fail(ValueDiffers, key, f"{reason}; expected was {wanted}")

    # -- whole values ----------------------------------------------------------------------------------------------

    def _set_to(self, command: SetTo) -> None:
        key = command.key
        self._do(Put(key, command.value, self._expiry(command.lifetime), _old(self.draft.entry(key))))

    def _add(self, command: Add) -> None:
        if self.draft.entry(command.key) is not None:
            raise self._fail(KeyExists, command.key, "is there already")
        self._do(Put(command.key, command.value, self._expiry(command.lifetime), None))

    def _compare(self, command: Compare) -> None:
        entry = self.draft.entry(command.key)
        self._check(command.key, entry, command.expected)
        if command.value is not None:
            self._do(Put(command.key, command.value, self._expiry(command.lifetime), _old(entry)))
        elif entry is not None:
            self._do(Erase(command.key, False, _old(entry)))

    def _expect(self, command: Expect) -> None:
        self._check(command.key, self.draft.entry(command.key), command.expected)

    def _fetch(self, command: Fetch) -> bytes:
        value = self._value(self._entry(command.key))
        if len(value) > VALUE_BYTES_MAX:
            raise self._fail(OutOfRange, command.key, f"is too large to be sent whole: {len(value)} bytes")
        return value

    def _erase(self, command: Erasure) -> None:
        entry = self.draft.entry(command.key)
        if entry is None:
            if command.missing_ok:
                return
            raise self._fail(NoSuchKey, command.key, "is not there")
        self._do(Erase(command.key, False, _old(entry)))

    def _clear(self, _command: Truncate) -> None:
        self._do(Clear())

    def _until(self, command: Until) -> None:
        entry = self._entry(command.key)
        self._extend(command.key, entry.expiry, command.lifetime)

    # -- arithmetic ------------------------------------------------------------------------------------------------

    def _increment(self, command: Increment) -> bytes:
        key, entry = command.key, self.draft.entry(command.key)
        amount = unpack(command.amount)
        if entry is None:
            value = type(amount)()
        elif entry.kind == WHOLE:
            value = unpack(entry.value)
        else:
            raise self._fail(TypeClash, key, f"is a {_KINDS[entry.kind]}: only numbers and times can be changed so")
        try:
            packed = pack(_sum(value, amount, command.negative))
        except _Clash:
            how = "decremented" if command.negative else "incremented"
            reason = f"is a {type(value).__name__}: it cannot be {how} by a {type(amount).__name__}"
            raise self._fail(TypeClash, key, reason) from None
        except (NotCarried, OverflowError, ValueError):
            change = f"{'-' if command.negative else '+'} {amount!r:.50}"
            raise self._fail(OutOfRange, key, f"{change} gives what a {type(value).__name__} cannot hold") from None
        self._put_changed(key, packed, entry, command.lifetime)
        return packed

    def _put_changed(self, key: bytes, value: bytes, entry: Entry | None, lifetime: int | None) -> None:
        expiry = self._expiry(lifetime) if lifetime is not None else entry.expiry if entry is not None else 0
        self._do(Put(key, value, expiry, _old(entry)))

    def _append(self, command: Append) -> bytes:
        key, entry = command.key, self.draft.entry(command.key)
        tail = unpack(command.tail)
        if entry is None:
            value: Any = type(tail)()
        else:
            value = unpack(entry.value) if entry.kind == WHOLE else None
        if type(value) is not type(tail) or type(tail) not in {str, bytes}:
            found = self._type(entry) if entry is not None else type(tail).__name__
            reason = f"is a {found}: only a str or bytes can be appended to, by the same; lists have push"
            raise self._fail(TypeClash, key, reason)
        if len(value) + len(tail) > VALUE_BYTES_MAX // 4:  # of UTF-8 at most four bytes each
            raise self._fail(OutOfRange, key, f"would have more than {VALUE_BYTES_MAX // 4} characters")
        packed = pack(value + tail)
        self._put_changed(key, packed, entry, command.lifetime)
        return packed

    # -- elements --------------------------------------------------------------------------------------------------

    def _open(self, key: bytes, kind: int, doing: str) -> Entry:
        """Return the container of that kind, made if there is none."""
        entry = self.draft.entry(key)
        if entry is None:
            self._do(Put(key, _EMPTY[kind], 0, None))
            return self._entry(key)
        self._kind(key, entry, (kind,), doing)
        return entry

    def _element(self, entry: Entry, element: bytes) -> bytes | None:
        """Return an element's row, of a whole value as of a spread one."""
        if entry.kind != WHOLE:
            return self.draft.element(entry, element)
        whole = unpack(entry.value)
        key = unpack_key(element)
        if type(whole) is dict:
            return pack(whole[key]) if _has(whole, key) else None
        return b"" if _has(whole, key) else None

    def _insert(self, command: Insert) -> None:
        key, element = command.key, command.element
        kind = SET if command.value is None else DICT
        doing = "has members" if kind == SET else "has items"
        entry = self._open(key, kind, doing)
        row = command.value if command.value is not None else b""
        old = self._element(entry, element)
        if old is None:
            for twin in _twins(element):
                if self._element(entry, twin) is not None:
                    reason = f"has the element {brief_key(twin)}, which Python cannot tell from {brief_key(element)}"
                    raise self._fail(TypeClash, key, reason)
        if old != row:
            self._do(Set(key, element, row, old))
        self._extend(key, entry.expiry, command.lifetime)

    def _remove(self, command: Remove) -> None:
        entry = self._entry(command.key)
        self._kind(command.key, entry, (SET, DICT), "has elements that can be removed")
        old = self._element(entry, command.element)
        if old is None:
            raise self._fail(NoSuchElement, command.key, f"has no element {brief_key(command.element)}")
        self._do(Drop(command.key, command.element, old))
        self._extend(command.key, entry.expiry, command.lifetime)

    def _push(self, command: PushLast) -> None:
        entry = self._open(command.key, LIST, "can be pushed to")
        self._do(Push(command.key, command.value))
        self._extend(command.key, entry.expiry, command.lifetime)

    def _pop(self, command: PopLast) -> bytes:
        key = command.key
        entry = self._entry(key)
        self._kind(key, entry, (LIST,), "can be popped from")
        if entry.kind == WHOLE:
            whole = unpack(entry.value)
            last = pack(whole[-1]) if whole else None
        else:
            row = index_row(b"", entry.first + entry.count - 1)
            last = self.draft.element(entry, row) if entry.count else None
        if last is None:
            raise self._fail(NoSuchElement, key, "is empty")
        self._do(Pop(key, last))
        self._extend(key, entry.expiry, command.lifetime)
        return last


class _Clash(Exception):
    """Two types that cannot be added."""


def _same_dict(one: bytes, other: bytes) -> bool:
    """Whether both are dicts, and differ in their order alone."""
    if spread_kind(one) != DICT or spread_kind(other) != DICT or len(one) != len(other):
        return False
    return sorted(elements_of(one)) == sorted(elements_of(other))


def _twins(key: bytes) -> Iterator[bytes]:
    """Give the other numbers that Python takes for the same key: 1, 1.0, True and Count(1)."""
    value = unpack_key(key)
    if type(value) not in {bool, int, float, Count}:
        return
    for kind in (bool, int, float, Count):
        if kind is not type(value):
            with suppress(ValueError, OverflowError, NotCarried):
                twin = kind(value)
                if twin == value:
                    yield pack_key(twin)


def _has(whole: Any, key: Any) -> bool:
    """Whether a dict or set has exactly that key: 1 is not True."""
    return key in whole and any(type(found) is type(key) for found in whole if found == key)


def _sum(value: Any, amount: Any, negative: bool) -> Any:
    """Return value + amount, or value - amount, of the value's type."""
    kinds = (type(value), type(amount))
    if kinds in {(timedelta, timedelta), (Timestamp, timedelta), (datetime, timedelta)}:
        return value - amount if negative else value + amount
    if kinds[0] not in {int, float, Count} or kinds[1] not in {int, float, Count}:
        raise _Clash
    if kinds[1] is float and kinds[0] is not float:
        raise _Clash
    total = value - amount if negative else value + amount
    if kinds[0] is Count:
        return Count(total)
    if kinds[0] is int and not _INT_MIN <= total <= COUNT_MAX:
        raise OverflowError
    return float(total) if kinds[0] is float else int(total)


_DECISIONS: dict[type, Callable[[Decider, Any], bytes | None]] = {
    SetTo: Decider._set_to,
    Add: Decider._add,
    Compare: Decider._compare,
    Erasure: Decider._erase,
    Truncate: Decider._clear,
    Increment: Decider._increment,
    Append: Decider._append,
    Insert: Decider._insert,
    Remove: Decider._remove,
    PushLast: Decider._push,
    PopLast: Decider._pop,
    Until: Decider._until,
    Expect: Decider._expect,
    Fetch: Decider._fetch,
}
