"""What a watch is told of the log's records."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from store_model import do, journal

from broker.errors import Malformed, NotCarried
from broker.journaling import Position, Record, chain
from broker.stores.changes import ABSENT, LAST, OMITTED, Change, Want, changes_of, of_key, of_prefix
from broker.stores.commands import Insert, Remove
from broker.stores.entries import pack_key
from broker.stores.operations import (
    Clear,
    Drop,
    Epoch,
    Erase,
    Operation,
    Pop,
    Push,
    Put,
    Set,
    Touch,
    encode_body,
)
from broker.values import Count, Timestamp, pack

START = Position(b"j" * 16, 3, 41, b"c" * 8)
NOW_NS = 1_700_000_000_123_456_789


def tell(*operations: Operation, want: Want | None = None, writer: str = "web-01") -> list[Change]:
    return told_with_position(*operations, want=want, writer=writer)[1]


def told_with_position(
    *operations: Operation, want: Want | None = None, writer: str = ""
) -> tuple[Position, list[Change]]:
    body = encode_body(NOW_NS, writer, operations)
    return changes_of(Record(42, chain(START.checksum, body), body), START, want)


def put(key: object, value: object, old: bytes | None = None) -> Put:
    return Put(pack_key(key), pack(value), 0, old)


def seen(change: Change) -> tuple[Any, ...]:
    return change.key, change.cause, change.element, change.old, change.new


def test_a_put_tells_both_values_who_when_and_where_to_resume() -> None:
    (change,) = tell(put("cpu", {"load": 0.5}, pack([1])))
    assert seen(change) == ("cpu", "put", ABSENT, [1], {"load": 0.5})
    assert change.writer == "web-01"
    assert change.time == Timestamp.from_ns(NOW_NS)
    assert (change.sequence, change.position.journal, change.position.epoch) == (42, START.journal, 3)
    assert change.final


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (put("k", 1), ("k", "put", ABSENT, ABSENT, 1)),
        (put("k", None, pack(None)), ("k", "put", ABSENT, None, None)),
        (put("k", 1, b""), ("k", "put", ABSENT, OMITTED, 1)),
        (Erase(pack_key(7), False, pack("x")), (7, "erase", ABSENT, "x", ABSENT)),
        (Erase(pack_key(7), False, b""), (7, "erase", ABSENT, OMITTED, ABSENT)),
        (Erase(pack_key((1, "a")), True, pack(1)), ((1, "a"), "expire", ABSENT, 1, ABSENT)),
        (Clear(), (ABSENT, "clear", ABSENT, OMITTED, ABSENT)),
        (Set(pack_key("d"), pack_key("x"), pack(2), pack(1)), ("d", "put", "x", 1, 2)),
        (Set(pack_key("d"), pack_key("x"), pack(2), None), ("d", "put", "x", ABSENT, 2)),
        (Set(pack_key("d"), pack_key("x"), pack(2), b""), ("d", "put", "x", OMITTED, 2)),
        (Set(pack_key("s"), pack_key("x"), b"", None), ("s", "put", "x", ABSENT, True)),
        (Drop(pack_key("s"), pack_key("x"), b""), ("s", "erase", "x", True, ABSENT)),
        (Drop(pack_key("d"), pack_key("x"), pack(5)), ("d", "erase", "x", 5, ABSENT)),
        (Drop(pack_key("d"), pack_key("x"), None), ("d", "erase", "x", OMITTED, ABSENT)),
        (Push(pack_key("l"), pack(5)), ("l", "put", LAST, ABSENT, 5)),
        (Pop(pack_key("l"), pack(5)), ("l", "erase", LAST, 5, ABSENT)),
        (Pop(pack_key("l"), b""), ("l", "erase", LAST, OMITTED, ABSENT)),
    ],
)
def test_each_operation_is_told_as_the_table_says(operation: Operation, expected: tuple[Any, ...]) -> None:
    (change,) = tell(operation)
    assert seen(change) == expected


def test_a_touch_and_a_new_epoch_tell_nothing_and_the_position_moves() -> None:
    assert tell(Touch(pack_key("k"), 5)) == []
    position, changes = told_with_position(Epoch(9, b"salt"))
    assert changes == []
    assert (position.epoch, position.sequence) == (9, 42)


def test_the_last_change_that_is_told_of_a_record_is_final() -> None:
    batch = (put("a", 1), put("b", 2), put("aa", 3), Touch(pack_key("a"), 5))
    assert [change.final for change in tell(*batch)] == [False, False, True]
    assert [(change.key, change.final) for change in tell(*batch, want=of_key("b"))] == [("b", True)]
    assert [(change.key, change.final) for change in tell(*batch, want=of_prefix("a"))] == [("a", False), ("aa", True)]


def test_a_prefix_wants_str_keys_alone() -> None:
    batch = (put("host/a", 1), put(b"host/b", 2), put(("host/c",), 3), put("hos", 4), put("hôst/", 5), put(7, 6))
    assert [change.new for change in tell(*batch, want=of_prefix("host/"))] == [1]
    assert [change.new for change in tell(*batch, want=of_prefix("hô"))] == [5]
    assert [change.new for change in tell(*batch, want=of_prefix(""))] == [1, 4, 5]


def test_a_key_is_wanted_by_type_too() -> None:
    batch = (put(1, "int"), put(True, "bool"), put(1.0, "float"), put(Count(1), "count"))
    assert [[change.new for change in tell(*batch, want=of_key(key))] for key in (1, True, 1.0, Count(1))] == [
        ["int"],
        ["bool"],
        ["float"],
        ["count"],
    ]
    with pytest.raises(NotCarried, match="a list cannot be a key"):
        of_key([])


def test_a_clear_is_told_to_every_watch() -> None:
    assert [change.cause for change in tell(Clear(), want=of_key("k"))] == ["clear"]


def test_what_is_not_wanted_is_not_decoded() -> None:
    garbage = Put(pack_key("other"), b"\xc1", 0, b"\xc1")
    assert [change.key for change in tell(garbage, put("mine", 1), want=of_prefix("mi"))] == ["mine"]
    with pytest.raises(Malformed):
        tell(garbage)


def test_the_first_element_of_a_new_container_follows_a_put_of_the_empty_one() -> None:
    changes = tell(put("s", set()), Set(pack_key("s"), pack_key("x"), b"", None))
    assert [seen(change) for change in changes] == [
        ("s", "put", ABSENT, ABSENT, set()),
        ("s", "put", "x", ABSENT, True),
    ]


def test_marks_have_a_clear_repr_and_stay_themselves() -> None:
    assert [repr(mark) for mark in (ABSENT, OMITTED, LAST)] == ["ABSENT", "OMITTED", "LAST"]
    assert pickle.loads(pickle.dumps(OMITTED)) is OMITTED  # noqa: S301 - made here


def test_a_record_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed, match="not a record"):
        changes_of(Record(42, b"c" * 8, b"\x93\x00"), START)


def test_a_large_item_that_is_removed_is_omitted_not_taken_for_a_member() -> None:
    kept = journal()
    do(kept, Insert(pack_key("d"), pack_key("x"), pack("v" * 100_000)), Insert(pack_key("s"), pack_key("x")))
    before = kept.position
    do(kept, Remove(pack_key("d"), pack_key("x")), Remove(pack_key("s"), pack_key("x")))
    _, changes = changes_of(kept.read(before.sequence, 1)[0], before)
    assert [change.old for change in changes] == [OMITTED, True]
