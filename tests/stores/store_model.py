"""A store as a plain dict, and the helpers that tests of the real one share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from broker.errors import (
    KeyExists,
    NoSuchElement,
    NoSuchKey,
    OutOfRange,
    StoreError,
    TypeClash,
    ValueDiffers,
)
from broker.journaling import Commit, MemoryJournal, Record
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
from broker.stores.deciding import Decider
from broker.stores.draft import Draft
from broker.stores.entries import ELEMENTS, ENTRIES, EXPIRIES, TABLES
from broker.stores.operations import decode_body, encode_body
from broker.values import Count, Timestamp, pack, unpack

NOW_NS = 1_700_000_000_000_000_000
CONTENTS = (ENTRIES, ELEMENTS, EXPIRIES)


def journal(name: bytes = b"j") -> MemoryJournal:
    return MemoryJournal(name * 16, len(TABLES))


def rows_of(kept: MemoryJournal) -> dict[int, list[tuple[bytes, bytes]]]:
    return {table: list(kept.rows(table)) for table in CONTENTS}


def decide(draft: Draft, *commands: Command, now_ns: int = NOW_NS, writer: str = "web-01") -> list[bytes | None]:
    """Decide a request on a draft as the master does: a batch on a draft over it."""
    over = draft if len(commands) == 1 else Draft(draft._journal, draft)
    decider = Decider("hosts", over, now_ns)
    results = [decider.decide(command) for command in commands]
    if decider.operations:
        operations = tuple(decider.operations)
        draft.append(encode_body(now_ns, writer, operations), operations)
        if over is not draft:
            draft.absorb(over)
    return results


def do(kept: MemoryJournal, *commands: Command, now_ns: int = NOW_NS) -> list[bytes | None]:
    """Decide one request and commit it."""
    draft = Draft(kept)
    results = decide(draft, *commands, now_ns=now_ns)
    kept.carry_out(draft.work())
    return results


def apply_blindly(kept: MemoryJournal, records: list[Record]) -> Commit:
    """Apply a log's records as a replica does, in one commit."""
    draft = Draft(kept)
    for record in records:
        body = decode_body(record.body)
        for place, operation in enumerate(body.operations):
            draft.apply(operation, place)
        draft.append(record.body, body.operations)
        assert draft.records[-1] == record
    work = draft.work()
    kept.carry_out(work)
    return work


def normal(value: Any) -> bytes:
    """A value's bytes, whatever the order of its dicts."""
    return pack(_in_order(value))


def _in_order(value: Any) -> Any:
    if type(value) is dict:
        return [1, sorted(([pack(key), normal(item)] for key, item in value.items()), key=lambda pair: pair[0])]
    if type(value) in {list, tuple}:
        return [2, type(value).__name__, [normal(item) for item in value]]
    return value


class Model:
    """What the store should be: by packed key, the value and when it expires."""

    def __init__(self) -> None:
        self.entries: dict[bytes, tuple[Any, int]] = {}

    def copy(self) -> Model:
        other = Model()
        other.entries = dict(self.entries)  # values are replaced, never changed
        return other

    def do(self, command: Command, now_ns: int) -> Any:
        """Do one command; returns its result, or raises a StoreError without a text."""
        lifetime = getattr(command, "lifetime", None)
        expiry = min(now_ns + lifetime, 2**63 - 1) if lifetime else 0
        if type(command) is Truncate:
            self.entries.clear()
            return None
        key: bytes = command.key  # type: ignore[union-attr]
        there = self.entries.get(key)
        if isinstance(command, SetTo | Add | Compare | Expect | Erasure):
            self._whole(command, key, there, expiry)
            return None
        if there is None and isinstance(command, Remove | PopLast | Until | Fetch):
            raise NoSuchKey("", "")
        if type(command) is Fetch:
            return there[0]  # type: ignore[index]
        value, until = there if there is not None else (_beginning(command), 0)
        result, value = self._change(command, value)
        self.entries[key] = (value, until if lifetime is None else expiry)
        return result

    def _whole(self, command: Any, key: bytes, there: tuple[Any, int] | None, expiry: int) -> None:
        if type(command) is Add and there is not None:
            raise KeyExists("", "")
        if isinstance(command, Compare | Expect):
            found = None if there is None else normal(there[0])
            if found != (None if command.expected is None else normal(unpack(command.expected))):
                raise ValueDiffers("", "")
        if type(command) is Erasure and there is None and not command.missing_ok:
            raise NoSuchKey("", "")
        if type(command) is Erasure or (type(command) is Compare and command.value is None):
            self.entries.pop(key, None)
        elif isinstance(command, SetTo | Add | Compare):
            assert command.value is not None
            self.entries[key] = (unpack(command.value), expiry)

    def _change(self, command: Any, value: Any) -> tuple[Any, Any]:
        kind = type(command)
        if kind is Increment:
            value = _added(value, unpack(command.amount), -1 if command.negative else 1)
            return value, value
        if kind is Append:
            tail = unpack(command.tail)
            if type(tail) is not type(value) or type(tail) not in {str, bytes}:
                raise TypeClash("", "")
            return value + tail, value + tail
        if kind is Insert or kind is Remove:
            return None, _with_element(command, value)
        if kind is Until:
            return None, value
        if type(value) is not list:
            raise TypeClash("", "")
        if kind is PushLast:
            return None, [*value, unpack(command.value)]
        if not value:
            raise NoSuchElement("", "")
        return value[-1], value[:-1]


def _beginning(command: Any) -> Any:
    if type(command) is Insert:
        return set() if command.value is None else {}
    if type(command) is PushLast:
        return []
    kind = type(unpack(command.amount if type(command) is Increment else command.tail))
    if kind not in {int, float, Count, timedelta, str, bytes}:
        raise TypeClash("", "")
    return kind()


def _with_element(command: Any, value: Any) -> Any:
    element = unpack(command.element)
    kinds = {set, dict} if type(command) is Remove else {set if command.value is None else dict}
    if type(value) not in kinds:
        raise TypeClash("", "")
    others = [other for other in value if pack(other) != command.element]
    there = len(others) < len(value)
    if type(command) is Remove:
        if not there:
            raise NoSuchElement("", "")
        return {other: value[other] for other in others} if type(value) is dict else set(others)
    if not there and element in value:
        raise TypeClash("", "")
    if type(value) is set:
        return value if there else {*value, element}
    return {**{other: value[other] for other in others}, element: unpack(command.value)}


def _added(value: Any, amount: Any, sign: int) -> Any:
    kind, other = type(value), type(amount)
    if other is timedelta and kind in {timedelta, datetime, Timestamp}:
        try:
            return value + sign * amount
        except (OverflowError, ValueError):
            raise OutOfRange("", "") from None
    numbers = {int, Count} if kind in {int, Count} else {int, Count, float}
    if kind not in {int, Count, float} or other not in numbers:
        raise TypeClash("", "")
    if kind is float:
        return value + sign * float(amount) if other is float else value + sign * int(amount)
    total = int(value) + sign * int(amount)
    if not (0 if kind is Count else -(2**63)) <= total < 2**64:
        raise OutOfRange("", "")
    return kind(total)


def outcome(model: Model, commands: tuple[Command, ...], now_ns: int) -> tuple[Model, Any]:
    """The model after a request, and its results or the class of its error."""
    after = model.copy()
    try:
        return after, [after.do(command, now_ns) for command in commands]
    except StoreError as error:
        return model, type(error)
