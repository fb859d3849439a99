"""Bytes made to hurt: they cost bounded time and memory, and give a value or Malformed."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from broker.errors import Malformed
from broker.values import decoding, pack, unpack

MIB = 1024 * 1024


def array32(count: int, element: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + element * count


def peak_bytes(data: bytes) -> int:
    tracemalloc.start()
    try:
        unpack(data)
    except Malformed:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_a_declared_length_allocates_nothing(header: bytes) -> None:
    assert peak_bytes(header + b"\xff\xff\xff\xff") < 10_000


@pytest.mark.parametrize(
    "element",
    [b"\x80", b"\x90", b"\x81\xc0\xc0", b"\x91\xc0", b"\xd4\x02\x90", b"\xd5\x02\x91\xc0", b"\xa2ab", b"\xcd\x01\x01"],
    ids=bytes.hex,
)
def test_small_things_take_at_most_a_hundred_times_their_bytes(element: bytes) -> None:
    data = array32(MIB // 8 // len(element), element)
    assert peak_bytes(data) < 100 * len(data)


def test_more_elements_than_the_limit_are_refused_before_they_are_made() -> None:
    assert peak_bytes(array32(4 * MIB, b"\x80")) < 5 * MIB
    with pytest.raises(Malformed, match="more elements"):
        unpack(array32(4 * MIB, b"\x80"))


def test_more_bytes_than_the_limit_are_refused() -> None:
    with pytest.raises(Malformed, match="more than"):
        unpack(b"\xc6" + (17 * MIB).to_bytes(4, "big") + bytes(17 * MIB))


def test_the_longest_value_passes() -> None:
    value = bytes(16 * MIB - 5)
    assert unpack(pack(value)) == value


LONG = [["x" * 30, 1.5]] * 2000  # too long for the cheap bounds on depth


def deep(depth: int) -> bytes:
    return b"\x91" * (depth - 1) + b"\x90"


@pytest.mark.parametrize("filler", [[], ["x" * 100], [[1]] * 200, LONG], ids=["none", "text", "batch", "long"])
def test_depth_is_limited_however_long_the_bytes_are(filler: list[Any]) -> None:
    body = pack([*filler, None])[:-1]  # its last element is what we choose
    unpack(body + deep(79))
    with pytest.raises(Malformed, match="deeper than 80"):
        unpack(body + deep(80))


@pytest.mark.parametrize("filler", [[], LONG], ids=["short", "long"])
def test_depth_is_limited_without_the_stack_that_we_know(filler: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_WRAPPING", b"")
    body = pack([*filler, None])[:-1]
    unpack(body + deep(79))
    with pytest.raises(Malformed, match="deeper than 80"):
        unpack(body + deep(80))


def test_msgpack_has_the_stack_that_the_limit_on_depth_relies_on() -> None:
    assert len(decoding._WRAPPING) == 1024 - 80


def test_depth_inside_tuples_is_limited() -> None:
    def tuples(depth: int) -> bytes:
        payload = b"\x90"
        for _ in range(depth - 1):
            payload = b"\x91\xc8" + len(payload).to_bytes(2, "big") + b"\x01" + payload
        return b"\xc8" + len(payload).to_bytes(2, "big") + b"\x01" + payload

    unpack(tuples(80))
    with pytest.raises(Malformed, match="deeper than 80"):
        unpack(tuples(81))


def test_a_lookalike_of_a_fine_timestamp_changes_nothing() -> None:
    lookalike = bytes.fromhex("d7ff0000000400000001")
    batch = [["a", lookalike, n, 1.5] for n in range(200)]
    assert unpack(pack(batch)) == batch
    assert unpack(pack({"a": lookalike})) == {"a": lookalike}


def test_fine_timestamps_in_a_batch_are_found_among_lookalikes() -> None:
    fine = bytes.fromhex("d7ff0000000400000001")  # one second and one nanosecond
    row = b"\x93\xa1a\xc4\x0a" + fine + fine
    values = unpack(b"\xdc\x00\xc8" + row * 100 + pack([1, 2, 3]) * 100)
    assert len(values) == 200
    assert [value[2].nanoseconds for value in values[:100]] == [1_000_000_001] * 100
    assert all(value[1] == fine for value in values[:100])


def test_any_buffer_may_be_decoded() -> None:
    data = pack([1, "a", b"b"])
    assert unpack(memoryview(data)) == unpack(bytearray(data)) == [1, "a", b"b"]
