"""Bytes from elsewhere: records, rows and commands that are none are Malformed, and nothing else happens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import decide, do, journal, rows_of

from broker.errors import Malformed, NotCarried, StoreError
from broker.journaling import Load, MemoryJournal, Position, Swap
from broker.stores.admission import admit
from broker.stores.commands import Append, Command, Compare, Expect, Fetch, Increment, Insert, PushLast, Remove, SetTo
from broker.stores.contents import Contents
from broker.stores.draft import Draft
from broker.stores.elements import elements_of, gather, place_of, read_element, spread_kind
from broker.stores.entries import DICT, LIST, SET, pack_key, read_entry, unpack_key, unpack_value
from broker.stores.operations import (
    Body,
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
    decode_body,
    encode_body,
)
from broker.testing import strategies
from broker.values import pack, unpack

KEYS = [pack_key(key) for key in ("set", "dict", "list", "text", "large set", "large dict", "large list", "none")]
garbage = st.binary(min_size=1, max_size=12) | st.sampled_from(
    [b"\xc1", b"\xc7\x05", b"\xc9", b"\xd4", b"\xd4\x02\x90", b"\xd4\x01", b"\xa2\xff\xff", b"\x90", b"\x80", b"\xdd"]
)
valid = strategies.values(4).map(pack)
deep = st.just(b"\x91" * 70 + b"\x90") | st.just(b"\xd4\x01\x90" * 2)
packed = st.one_of(garbage, valid, deep)
large = st.sampled_from([b"\xdc\x08\x00" + b"\x91" * 2048, b"\xc8\x08\x00\x02" + bytes(2048), pack(list(range(2000)))])
key = st.sampled_from(KEYS) | packed
old = st.none() | st.just(b"") | packed
expiry = st.integers(0, 2**63 - 1)
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Put, key, packed | large, expiry, old),
    st.builds(Erase, key, st.booleans(), old),
    st.builds(Clear),
    st.builds(Set, key, packed, st.just(b"") | packed, old),
    st.builds(Drop, key, packed, old),
    st.builds(Push, key, packed),
    st.builds(Pop, key, packed),
    st.builds(Touch, key, expiry),
    st.builds(Epoch, st.integers(1, 2**62), st.binary(max_size=16)),
)


def filled() -> MemoryJournal:
    kept = journal()
    values: list[Any] = [{1}, {1: 2}, [1], "text", set(range(900)), {f"{n}": n for n in range(300)}, [*range(900)]]
    for name, value in zip(KEYS, values, strict=False):
        do(kept, SetTo(name, pack(value)))
    return kept


@given(st.binary(max_size=60))
def test_bytes_that_are_no_record_are_malformed(data: bytes) -> None:
    try:
        body = decode_body(data)
    except Malformed:
        return
    assert decode_body(encode_body(body.time_ns, body.writer, body.operations)) == body


@pytest.mark.parametrize(
    "body",
    [
        [0, "w", []],
        [-1, "w", [[2]]],
        [1 << 63, "w", [[2]]],
        [0, b"w", [[2]]],
        [0, "w", [[9]]],
        [0, "w", [[0, b"", b"\x01", 0, None]]],
        [0, "w", [[0, b"\x01", b"", 0, None]]],
        [0, "w", [[0, b"\x01", b"\x01", -1, None]]],
        [0, "w", [[0, b"\x01", b"\x01", 1 << 63, None]]],
        [0, "w", [[8, 0, b"salt"]]],
        [0, "w", [[8, 1 << 63, b"salt"]]],
        [0, "w", [[8, 1, bytes(65)]]],
        [0, "w"],
        [[[]]] * 3,
    ],
    ids=repr,
)
def test_a_record_outside_the_limits_is_malformed(body: list[Any]) -> None:
    with pytest.raises(Malformed, match="not a record of a store"):
        decode_body(pack(body))


def test_a_record_cut_short_or_too_long_is_malformed() -> None:
    whole = encode_body(5, "web-01", (Put(b"\x01", b"\x02", 0, None), Clear()))
    assert decode_body(whole) == Body(5, "web-01", (Put(b"\x01", b"\x02", 0, None), Clear()))
    for end in range(len(whole)):
        with pytest.raises(Malformed):
            decode_body(whole[:end])
    with pytest.raises(Malformed):
        decode_body(whole + b"\x00")


@settings(max_examples=300)
@given(st.lists(operations, min_size=1, max_size=8))
def test_operations_that_make_no_sense_are_malformed_and_change_nothing(decided: list[Operation]) -> None:
    kept = FILLED
    before = rows_of(kept)
    draft = Draft(kept)
    with suppress(Malformed):
        for place, operation in enumerate(decided):
            draft.apply(operation, place)
        draft.append(b"body", tuple(decided))
        draft.work()
    assert rows_of(kept) == before
    again = Draft(kept)
    assert again.work().rows == {}


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(SetTo, st.sampled_from(KEYS), packed | large, expiry),
    st.builds(Compare, st.sampled_from(KEYS), st.none() | packed, st.none() | packed | large),
    st.builds(Increment, st.sampled_from(KEYS), packed),
    st.builds(Append, st.sampled_from(KEYS), packed),
    st.builds(Insert, st.sampled_from(KEYS), packed, st.none() | packed),
    st.builds(Remove, st.sampled_from(KEYS), packed),
    st.builds(PushLast, st.sampled_from(KEYS), packed, st.none() | expiry),
    st.builds(Expect, st.sampled_from(KEYS), packed),
)


@settings(max_examples=300)
@given(commands)
def test_a_command_of_garbage_that_was_let_in_is_refused_before_anything_has_changed(command: Command) -> None:
    draft = Draft(FILLED)
    try:
        decide(draft, command)
    except (StoreError, Malformed, NotCarried):
        assert draft.work() == Draft(FILLED).work()


@pytest.mark.parametrize(
    "operation",
    [
        Erase(KEYS[-1], False, None),
        Touch(KEYS[-1], 5),
        Push(KEYS[0], b"\x01"),
        Set(KEYS[0], b"\x01", b"\x01", None),
        Set(KEYS[1], b"\x01", b"", None),
        Set(KEYS[0], pack(True), b"", None),
        Set(KEYS[4], pack(1.0), b"", None),
        Set(KEYS[3], b"\x01", b"", None),
        Drop(KEYS[0], pack(True), None),
        Drop(KEYS[0], b"\x05", None),
        Drop(KEYS[2], b"\x01", None),
        Pop(KEYS[0], b"\x01"),
        Set(KEYS[0], b"\xd4\x01", b"", None),
        Set(KEYS[0], b"\xc7\x47\x01" + b"\x91" * 70 + b"\x90", b"", None),
    ],
    ids=repr,
)
def test_an_operation_that_cannot_follow_is_malformed(operation: Operation) -> None:
    with pytest.raises(Malformed):
        Draft(filled()).apply(operation)


def test_more_elements_are_popped_than_there_are() -> None:
    draft = Draft(filled())
    draft.apply(Pop(KEYS[2], b"\x01"))
    with pytest.raises(Malformed, match="empty list"):
        draft.apply(Pop(KEYS[2], b"\x01"))


def test_an_epoch_in_the_middle_of_a_record_is_malformed() -> None:
    with pytest.raises(Malformed, match="epoch"):
        Draft(filled()).apply(Epoch(2, b""), 1)


def test_a_log_that_claims_to_be_too_long_is_malformed() -> None:
    kept = filled()
    kept.carry_out(Swap(Position(b"j" * 16, 1, (1 << 63) - 1, bytes(8))))
    with pytest.raises(Malformed, match="records"):
        Draft(kept).apply(Put(KEYS[0], pack(list(range(2000))), 0, None))


@given(st.binary(max_size=50) | st.binary(min_size=32, max_size=32).map(lambda rest: b"\x03" + rest))
def test_rows_that_are_no_entries_are_malformed(row: bytes) -> None:
    try:
        entry = read_entry(row)
    except Malformed:
        return
    assert entry.row() == row
    entry.count += 1
    assert entry.prefix


@given(packed | large)
def test_values_that_cannot_be_taken_apart_are_malformed(value: bytes) -> None:
    for step in (lambda: list(elements_of(value)), lambda: place_of(value), lambda: unpack_key(value)):
        with suppress(Malformed, NotCarried):  # NotCarried: it is deeper than what is sent
            step()
    assert spread_kind(value) in range(4)


@given(st.sampled_from([SET, DICT, LIST]), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))))
def test_rows_that_are_no_elements_are_malformed(kind: int, rows: list[tuple[bytes, bytes]]) -> None:
    for place, row in rows:
        read_element(place, row)
    with suppress(Malformed):
        gather(kind, rows)


@given(st.lists(st.tuples(st.integers(0, 1), key, packed | st.binary(max_size=40)), max_size=6))
def test_a_snapshot_of_garbage_is_malformed_where_it_is_read(rows: list[tuple[int, bytes, bytes]]) -> None:
    kept = journal()
    kept.carry_out(Load(list(rows), first=True))
    kept.carry_out(Swap(Position(b"j" * 16, 1, 5, bytes(8))))
    contents = Contents("hosts", kept)
    for read in (contents.find, contents.size, contents.expiry, lambda name: contents.element(name, 1)):
        for name in ("set", "dict", "large list"):
            try:
                read(name)
            except (Malformed, LookupError, TypeError) as error:
                assert type(error).__module__ == "broker.errors"  # noqa: PT017 - whatever it is, it is ours


@pytest.mark.parametrize(
    "command",
    [
        SetTo(b"\xc1", b"\x01"),
        SetTo(b"\x90", b"\x01"),
        SetTo(b"\xa2\xff\xff", b"\x01"),
        SetTo(b"\xd0\x01", b"\x01"),
        SetTo(b"\x01", b"\xc1"),
        SetTo(b"\x01", b"\x01\x01"),
        SetTo(b"\x01", pack("x" * (5 << 20))),
        Insert(b"\x01", b"\xd4\x02\x90"),
        Insert(b"\x01", b"\x01", b"\xc1"),
        Expect(b"\x01", b"\xc1"),
        Fetch(b"\xa1"),
    ],
    ids=lambda command: repr(command)[:60],
)
def test_commands_from_elsewhere_hold_keys_and_values(command: Command) -> None:
    with pytest.raises(Malformed):
        admit((Fetch(b"\x01"), command))


@given(strategies.hashable_values(), strategies.values(5))
def test_commands_that_were_packed_here_are_admitted(name: Any, value: Any) -> None:
    admit((SetTo(pack_key(name), pack(value)), Insert(pack_key(name), pack_key(name)), Expect(pack_key(name), None)))


@settings(max_examples=500)
@given(
    st.binary(max_size=12)
    | packed
    | st.binary(min_size=1, max_size=4).map(lambda text: bytes((0xA0 + len(text),)) + text)
)
def test_scalars_are_read_as_the_codec_reads_them(data: bytes) -> None:
    try:
        expected = unpack(data)
    except Malformed:
        with pytest.raises(Malformed):
            unpack_value(data)
        return
    found = unpack_value(data)
    assert (type(found), repr(found)) == (type(expected), repr(expected))


FILLED = filled()


def test_a_record_of_more_clears_than_there_can_be_is_refused() -> None:
    def record(clears: int) -> bytes:
        return b"\x93\x01\xa0\xdd" + clears.to_bytes(4, "big") + b"\x91\x02" * clears

    assert len(decode_body(record(10_000)).operations) == 10_000
    with pytest.raises(Malformed, match="that many cannot be"):
        decode_body(record(20_000))
