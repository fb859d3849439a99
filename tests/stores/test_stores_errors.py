"""What cannot be done: a typed error that names the store, the key and what to do; and what can be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from store_model import NOW_NS, do, journal, rows_of

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
from broker.journaling import MemoryJournal
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
from broker.stores.contents import Contents
from broker.stores.deciding import VALUE_BYTES_MAX
from broker.stores.entries import pack_key
from broker.values import Count, Timestamp, pack, unpack

K = pack_key("restarts")
INT = "-2\\*\\*63 to 2\\*\\*64 - 1"


def store(value: object = None, lifetime: int = 0) -> MemoryJournal:
    kept = journal()
    if value is not None:
        do(kept, SetTo(K, pack(value), lifetime))
    return kept


def value_of(kept: MemoryJournal) -> Any:
    return Contents("hosts", kept).find("restarts")


def plus(amount: object, *, negative: bool = False) -> Increment:
    return Increment(K, pack(amount), negative)


MISSING: list[tuple[Command, type[StoreError], str]] = [
    (Erasure(K), NoSuchKey, "is not there; with missing_ok=True that does not matter"),
    (Until(K, 5), NoSuchKey, "is not there"),
    (Fetch(K), NoSuchKey, "is not there"),
    (Remove(K, pack("x")), NoSuchKey, "is not there"),
    (PopLast(K), NoSuchKey, "is not there"),
    (Compare(K, pack(1), pack(2)), ValueDiffers, "is not there; expected was 1: read it again"),
    (Expect(K, pack(1)), ValueDiffers, "is not there; expected was 1"),
    (plus("x"), TypeClash, "cannot be changed by a str: numbers and spans can"),
    (plus(datetime(2026, 1, 1, tzinfo=UTC)), TypeClash, "cannot be changed by a datetime"),
    (plus([1]), TypeClash, "cannot be changed by a list"),
    (plus(True), TypeClash, "cannot be changed by a bool"),
    (Append(K, pack(5)), TypeClash, "cannot be appended an int: only a str or bytes"),
]
PRESENT: list[tuple[object, Command, type[StoreError], str]] = [
    (1, Add(K, pack(1)), KeyExists, "is there already: put replaces it"),
    (1, Compare(K, pack(2), None), ValueDiffers, "is 1; expected was 2: read it again, and decide anew"),
    (1, Compare(K, pack(1.0), None), ValueDiffers, "is 1; expected was 1.0"),
    (1, Compare(K, pack(True), None), ValueDiffers, "is 1; expected was True"),
    (0.0, Compare(K, pack(-0.0), None), ValueDiffers, "is 0.0; expected was -0.0"),
    ([1], Compare(K, pack((1,)), None), ValueDiffers, r"is \[1\]; expected was \(1,\)"),
    ("x" * 5000, Compare(K, pack("y" * 5000), None), ValueDiffers, "is a value of 5003 bytes; expected was a value of"),
    (1, Expect(K, None), ValueDiffers, "is 1; expected was that there is no entry"),
    ("up", plus(1), TypeClash, "is a str: it cannot be incremented by an int"),
    (True, plus(1), TypeClash, "is a bool: it cannot be incremented by an int"),
    (1, plus(0.5, negative=True), TypeClash, "is an int: it cannot be decremented by a float"),
    (1, plus(timedelta(1)), TypeClash, "is an int: it cannot be incremented by a timedelta"),
    (timedelta(1), plus(1), TypeClash, "times and spans by a timedelta"),
    ([1], plus(1), TypeClash, "is a list: it cannot be incremented"),
    (set(range(2000)), plus(1), TypeClash, "is a set: only numbers and times can be added to"),
    (2**64 - 1, plus(1), OutOfRange, rf"would be 18446744073709551615 \+ 1: an int holds {INT}"),
    (-(2**63), plus(1, negative=True), OutOfRange, f"would be -9223372036854775808 - 1: an int holds {INT}"),
    (Count(2), plus(3, negative=True), OutOfRange, r"would be 2 - 3: a Count holds 0 to 2\*\*64 - 1"),
    (Count(2**64 - 1), plus(1), OutOfRange, "a Count holds 0 to"),
    (datetime(9999, 12, 31, tzinfo=UTC), plus(timedelta(2)), OutOfRange, "a datetime holds the years 1 to 9999"),
    (Timestamp(1, 1, 1), plus(timedelta(2), negative=True), OutOfRange, "a Timestamp holds the years 1 to 9999"),
    (timedelta.max, plus(timedelta(1)), OutOfRange, "a timedelta holds 999,999,999 days either way"),
    (1, Append(K, pack("x")), TypeClash, "is an int, and a str is appended to its own kind alone; lists have push"),
    ("x", Append(K, pack(b"x")), TypeClash, "is a str, and bytes is appended to its own kind"),
    ([1], Append(K, pack("x")), TypeClash, "is a list, and"),
    (list(range(2000)), Append(K, pack("x")), TypeClash, "is a list, and"),
    ("x" * (1 << 20), Append(K, pack("x")), OutOfRange, "would have more than 1048576 characters: begin another"),
    ([1], Insert(K, pack(1)), TypeClash, "is a list: only a set has members"),
    ({1: 1}, Insert(K, pack(1)), TypeClash, "is a dict: only a set has members"),
    ({1}, Insert(K, pack(1), pack(1)), TypeClash, "is a set: only a dict has items"),
    ("x", Remove(K, pack(1)), TypeClash, "is a str: only a set or dict has elements that can be removed"),
    ((1,), PushLast(K, pack(1)), TypeClash, "is a tuple: only a list can be pushed to"),
    ({1}, PopLast(K), TypeClash, "is a set: only a list can be popped from"),
    ([], PopLast(K), NoSuchElement, "is empty: there is nothing to pop"),
    ({1}, Remove(K, pack(2)), NoSuchElement, "has no element 2"),
    (set(range(2000)), Remove(K, pack("x")), NoSuchElement, "has no element 'x'"),
]


@pytest.mark.parametrize(("command", "error", "text"), MISSING, ids=lambda value: str(value)[:50])
def test_what_cannot_be_done_where_there_is_nothing(command: Command, error: type[StoreError], text: str) -> None:
    kept = store()
    with pytest.raises(error, match=f"store 'hosts': 'restarts' .*{text}"):
        do(kept, command)
    assert not Contents("hosts", kept).has("restarts")


@pytest.mark.parametrize(("value", "command", "error", "text"), PRESENT, ids=lambda value: str(value)[:50])
def test_what_cannot_be_done_with_what_is_there(
    value: object, command: Command, error: type[StoreError], text: str
) -> None:
    kept = store(value)
    before = rows_of(kept)
    with pytest.raises(error, match=f"store 'hosts': 'restarts' .*{text}"):
        do(kept, command)
    with pytest.raises(error):  # not even what comes before it in a batch
        do(kept, SetTo(pack_key("other"), pack(1)), PushLast(pack_key("list"), pack(1)), command)
    assert rows_of(kept) == before


def test_a_value_too_large_to_be_sent_whole_is_not_fetched() -> None:
    kept = store()
    for number in range(5):
        do(kept, PushLast(K, pack(bytes(1 << 20))))
        assert len(value_of(kept)) == number + 1
    with pytest.raises(OutOfRange, match=r"is too large to be sent whole, 52\d{5} bytes: ask for its elements"):
        do(kept, Fetch(K))
    assert VALUE_BYTES_MAX < 5 << 20


@pytest.mark.parametrize(
    ("value", "amount", "negative", "expected"),
    [
        (None, 1, False, 1),
        (None, 1, True, -1),
        (None, Count(5), False, Count(5)),
        (None, 0.5, True, -0.5),
        (None, timedelta(1), False, timedelta(1)),
        (1, Count(2), False, 3),
        (Count(1), 2, False, Count(3)),
        (Count(3), 3, True, Count(0)),
        (2**64 - 2, 1, False, 2**64 - 1),
        (1.5, 1, False, 2.5),
        (1.5, Count(1), True, 0.5),
        (math.inf, 1, False, math.inf),
        (1e308, 1e308, False, math.inf),
        (timedelta(3), timedelta(1), True, timedelta(2)),
        (datetime(2026, 1, 1, tzinfo=UTC), timedelta(1), False, datetime(2026, 1, 2, tzinfo=UTC)),
        (Timestamp.from_ns(NOW_NS + 1), timedelta(seconds=1), False, Timestamp.from_ns(NOW_NS + 10**9 + 1)),
    ],
)
def test_what_is_added_keeps_the_type_of_what_was_there(
    value: object, amount: object, negative: bool, expected: object
) -> None:
    kept = store(value)
    (result,) = do(kept, plus(amount, negative=negative))
    assert result == pack(expected)
    assert type(value_of(kept)) is type(expected)
    assert value_of(kept) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([{"a": 1, "b": {"x": 1, "y": 2}}], [{"b": {"y": 2, "x": 1}, "a": 1}]),
        ({"t": ({"a": 1, "b": 2},)}, {"t": ({"b": 2, "a": 1},)}),
        ({f"{n:04}": n for n in range(500)}, {f"{n:04}": n for n in reversed(range(500))}),
        (set(range(500)), set(range(499, -1, -1))),
        ({"x", "y"}, {"y", "x"}),
        (math.nan, math.nan),
        ({"load": math.nan}, {"load": math.nan}),
        (-0.0, -0.0),
        ({True: 1, 2.0: 1}, {2.0: 1, True: 1}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_that_differ_in_order_alone_are_the_same_for_compare_and_swap(value: object, expected: object) -> None:
    kept = store(value)
    do(kept, Expect(K, pack(expected)), Compare(K, pack(expected), pack("swapped")))
    assert value_of(kept) == "swapped"


def test_a_swap_to_nothing_erases_and_from_nothing_makes() -> None:
    kept = store(5)
    do(kept, Compare(K, pack(5), None))
    assert not Contents("hosts", kept).has("restarts")
    do(kept, Compare(K, None, None))
    do(kept, Compare(K, None, pack(6)))
    assert value_of(kept) == 6


def test_results_are_the_new_number_the_joined_text_and_the_popped_element() -> None:
    kept = store([1, "last"])
    commands = (PopLast(K), Append(pack_key("t"), pack("ab")), Append(pack_key("t"), pack("c")), Fetch(pack_key("t")))
    assert [unpack(result) for result in do(kept, *commands) if result is not None] == ["last", "ab", "abc", "abc"]


def test_an_entry_keeps_its_expiry_unless_another_is_asked_for() -> None:
    contents = Contents("hosts", kept := store(1, 1000))
    assert contents.expiry("restarts") == NOW_NS + 1000
    do(kept, plus(1))
    assert contents.expiry("restarts") == NOW_NS + 1000
    do(kept, Increment(K, pack(1), False, 2000))
    assert contents.expiry("restarts") == NOW_NS + 2000
    do(kept, Increment(K, pack(1), False, 0))
    assert contents.expiry("restarts") == 0
    do(kept, Until(K, (1 << 63) - 1))
    assert contents.expiry("restarts") == (1 << 63) - 1
    do(kept, SetTo(K, pack(1)))
    assert contents.expiry("restarts") == 0
    assert rows_of(kept)[2] == []


def test_a_change_of_an_element_may_give_its_container_another_expiry() -> None:
    contents = Contents("hosts", kept := store())
    do(kept, Insert(K, pack(1), None, 1000))
    do(kept, Insert(K, pack(2)))
    assert contents.expiry("restarts") == NOW_NS + 1000
    do(kept, Remove(K, pack(2), 0))
    assert contents.expiry("restarts") == 0
    do(kept, SetTo(K, pack([])), PushLast(K, pack(1), 7), PushLast(K, pack(1)))
    assert contents.expiry("restarts") == NOW_NS + 7
    assert len(rows_of(kept)[2]) == 1
    do(kept, Truncate())
    assert rows_of(kept) == {0: [], 1: [], 2: []}


def test_what_replaces_a_spread_value_leaves_no_row_of_it_alone_or_in_a_batch() -> None:
    other = SetTo(pack_key("other"), pack(1))
    changes: list[Command] = [SetTo(K, pack(1)), SetTo(K, pack(list(range(2000)))), Erasure(K), Truncate()]
    for change in changes:
        for commands in ((change,), (other, change), (PushLast(K, pack(5)), change, SetTo(K, pack([]), 7), change)):
            kept = store(list(range(3000)), 1000)
            do(kept, *commands)
            entries, elements, expiries = rows_of(kept).values()
            assert len(elements) == (2000 if change is changes[1] else 0)
            assert expiries == []
            assert len(entries) == (change in changes[:2]) + (other in commands and change is not changes[3])


def test_an_element_that_is_there_already_is_no_change() -> None:
    kept = store({"x"})
    before = kept.position.sequence
    do(kept, Insert(K, pack("x")))
    assert rows_of(kept)[1] == []
    assert kept.position.sequence == before


def test_reading_what_is_not_there_names_store_and_key() -> None:
    contents = Contents("hosts", store([1, 2]))
    for read in (contents.find, contents.expiry, contents.size):
        with pytest.raises(NoSuchKey, match="store 'hosts': 'other' is not there"):
            read("other")
    with pytest.raises(NoSuchElement, match="store 'hosts': 'restarts' has no element 2"):
        contents.element("restarts", 2)
    with pytest.raises(TypeClash, match="a list has an int as index, not a str"):
        contents.element("restarts", "x")
    assert (contents.element("restarts", -1), contents.element("restarts", 0)) == (2, 1)
    with pytest.raises(NoSuchElement):
        contents.element("restarts", -3)
    with pytest.raises(NotCarried, match="a list cannot be a key"):
        contents.find([])
    assert not contents.has([])


def test_what_can_be_changed_in_place_is_made_anew_for_each_reader() -> None:
    changeable: list[Any] = [[1], {1: 2}, {1}, ([1], 2), (({},),), list(range(2000))]
    for value in changeable:
        contents = Contents("hosts", store(value))
        for _ in range(2):
            found = contents.find("restarts")
            assert found == value
            inner = found
            while type(inner) is tuple:
                inner = inner[0]
            inner.clear()
    contents = Contents("hosts", store((1, "x")))
    assert contents.find("restarts") is contents.find("restarts")
