"""What holds for all values and for all bytes."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.errors import Malformed
from broker.testing import strategies
from broker.values import Timestamp, pack, unpack
from broker.values.scanning import scan

# The same examples in every run, so that a failure belongs to a change; few enough for all to take seconds.
quick = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)


def same(one: Any, other: Any) -> bool:
    """Equal and of the same type all the way down; NaN is the same as NaN, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        # A datetime comes back in UTC: its type is the same, its zone need not be.
        return False
    match one:
        case float():
            return bool(one.hex() == other.hex())
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case dict():
            return len(one) == len(other) and all(
                same(key, other_key) and same(item, other_item)
                for (key, item), (other_key, other_item) in zip(one.items(), other.items(), strict=True)
            )
        case set() | frozenset():
            return one == other and {(type(m), m) for m in one} == {(type(m), m) for m in other}
        case _:
            return bool(one == other)


@quick
@given(strategies.values(max_leaves=12))
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert same(unpack(pack(value)), value)


@quick
@given(st.lists(strategies.scalars(), min_size=100, max_size=130).map(lambda row: [row[:7]] * 40 + row))
def test_a_batch_of_mixed_arrays_comes_back(batch: Any) -> None:
    assert same(unpack(pack(batch)), batch)


@quick
@given(strategies.values())
def test_what_came_back_is_packed_to_the_same_bytes(value: Any) -> None:
    data = pack(value)
    assert pack(unpack(data)) == data


@quick
@given(st.frozensets(strategies.hashable_values(), max_size=8), st.randoms(use_true_random=False))
def test_equal_sets_have_equal_bytes_however_they_were_made(members: Any, random: Any) -> None:
    order = list(members)
    random.shuffle(order)
    grown: set[Any] = set()
    for member in order:
        grown.add(member)
    assert pack(grown) == pack(set(members))


@quick
@given(strategies.values())
def test_the_scan_accepts_what_is_packed(value: Any) -> None:
    assert scan(pack(value), max_depth=64, max_elements=10_000) == []


def value_or_malformed(data: bytes) -> None:
    try:
        value = unpack(data)
    except Malformed:
        return
    pack(value)  # what was accepted is a value


@settings(quick, max_examples=400)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\x91" * 5000)
@example(b"\xd7\xff" * 700)
@example(b"\x9f\xd7\xff\x00\x00\x00\x04")
@example(b"\xdc\xff\xff" + b"\x90" * 100)
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    value_or_malformed(data)


@settings(quick, max_examples=400)
@given(strategies.values(), st.integers(0, 10_000), st.binary(min_size=1, max_size=3), st.booleans())
def test_damaged_bytes_are_a_value_or_malformed(value: Any, place: int, damage: bytes, cut: bool) -> None:
    data = pack([value, [value]])
    at = place % len(data)
    value_or_malformed(data[:at] if cut else data[:at] + damage + data[at + len(damage) :])


@quick
@given(strategies.timestamps(), strategies.timestamps())
def test_timestamps_are_ordered_by_their_nanoseconds(one: Timestamp, other: Timestamp) -> None:
    a, b = one.nanoseconds, other.nanoseconds
    assert (one < other, one <= other, one > other, one >= other, one == other, one != other) == (
        a < b,
        a <= b,
        a > b,
        a >= b,
        a == b,
        a != b,
    )


@quick
@given(strategies.timestamps())
def test_a_timestamp_keeps_its_nanoseconds(moment: Timestamp) -> None:
    again = Timestamp.from_ns(moment.nanoseconds)
    assert again == moment
    assert hash(again) == hash(moment)
    assert pickle.loads(pickle.dumps(moment)) == moment  # noqa: S301 - its own
    assert moment.astimezone(UTC) == moment.to_datetime()
    assert moment - timedelta(0) == moment


@quick
@given(strategies.datetimes())
def test_a_timestamp_of_whole_microseconds_is_its_datetime(moment: datetime) -> None:
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    timestamp = Timestamp.from_ns(microseconds * 1000)
    assert timestamp == moment
    assert moment == timestamp
    assert hash(timestamp) == hash(moment)
    later = Timestamp.from_ns(microseconds * 1000 + 1)
    assert later != moment
    assert moment < later
