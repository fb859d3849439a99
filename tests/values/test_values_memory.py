"""What a value takes in memory where it is received is bounded by its bytes, and so is the time it takes.

Receiver and sender keep the same limits: nothing is sent that would be refused.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker import events
from broker.errors import Malformed, NotCarried
from broker.logs import wire as log_wire
from broker.logs.wire import Leave
from broker.protocol import frames
from broker.protocol.frames import Batch, InterestUpdate, Run
from broker.protocol.outbox import BATCH_BYTES
from broker.stores import wire as store_wire
from broker.stores.wire import Outcomes
from broker.values import DEFAULT_LIMITS, SMALL_BYTES, decoding, pack, scanning, unpack

KIB = 1024
MIB = 1024 * KIB
# What is granted for each byte, and beside it; texts with the widest characters may take 8 more for each byte.
PER_BYTE = 24
GRANTED = 22 * MIB


@broker.event(name="memory.Flag")
class Flag:
    up: bool


def array32(count: int, element: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + element * count


def distinct(head: bytes, size: int, tail: bytes = b"") -> Callable[[int], bytes]:
    """Return what makes ``count`` different elements."""
    return lambda count: b"".join(head + number.to_bytes(size, "big") + tail for number in range(count))


def wrapped(data: bytes, times: int) -> bytes:
    """Return the data inside so many tuples."""
    for _ in range(times):
        data = b"\x91" + data
        data = b"\xc9" + len(data).to_bytes(4, "big") + b"\x01" + data
    return data


def long_set(count: int) -> bytes:
    members = array32(0, b"")[:1] + count.to_bytes(4, "big") + distinct(b"\xce", 4)(count)
    return b"\xc9" + len(members).to_bytes(4, "big") + b"\x02" + members


SHAPES: dict[str, Callable[[int], bytes]] = {
    "empty dicts": lambda size: array32(size, b"\x80"),
    "empty lists": lambda size: array32(size, b"\x90"),
    "lists of one": lambda size: array32(size // 2, b"\x91\x00"),
    "dicts of one": lambda size: array32(size // 3, b"\x81\xc0\xc0"),
    "dicts in dicts": lambda size: array32(size // 79, b"\x81\xc0" * 39 + b"\x80"),
    "dicts in dicts, deep": lambda size: array32(size // 157, b"\x81\xc0" * 78 + b"\x80"),
    "lists in lists": lambda size: array32(size // 70, b"\x91" * 69 + b"\x90"),
    "dicts of six": lambda size: array32(size // 13, b"\x86" + b"".join(bytes((key, 0)) for key in range(6))),
    "dicts of eleven": lambda size: array32(size // 23, b"\x8b" + b"".join(bytes((key, 0)) for key in range(11))),
    "sets of one": lambda size: array32(size // 4, b"\xd5\x02\x91\xc0"),
    "sets of five": lambda size: array32(size // 9, b"\xc7\x06\x02\x95\x00\x01\x02\x03\x04"),
    "tuples of one": lambda size: array32(size // 4, b"\xd5\x01\x91\xc0"),
    "a large set": lambda size: long_set(size // 5),
    "a large dict": lambda size: (
        b"\xdf" + (size // 4).to_bytes(4, "big") + distinct(b"\xcd", 2, b"\xc0")(size // 4)
        if size // 4 < 1 << 16
        else b"\xdf" + (size // 6).to_bytes(4, "big") + distinct(b"\xce", 4, b"\xe0")(size // 6)
    ),
    "negative ints": lambda size: array32(size, b"\xe0"),
    "ints": lambda size: array32(size // 2, b"\xd0\x80"),
    "short texts": lambda size: array32(size // 3, b"\xa2ab"),
    "short Greek texts": lambda size: array32(size // 3, b"\xa2\xce\xb1"),
    "texts that an emoji makes wide": lambda size: array32(size // 32, b"\xbf" + b"a" * 27 + "\N{SNAKE}".encode()),
    "networks": lambda size: array32(size // 8, b"")[:5] + distinct(b"\xc7\x05\x08", 4, b"\x20")(size // 8),
    "wide networks": lambda size: array32(size // 20, b"")[:5] + distinct(b"\xc7\x11\x09", 16, b"\x80")(size // 20),
    "text in tuples": lambda size: wrapped(pack("x" * size), 79),
    "empty dicts in tuples": lambda size: wrapped(array32(size, b"\x80"), 79),
    "negative ints in tuples": lambda size: wrapped(array32(size, b"\xe0"), 79),
}


def peak_bytes(read: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        kept = read()
    except (Malformed, NotCarried):
        kept = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    del kept
    return peak


@pytest.mark.parametrize("size", [128 * KIB - 5000, 200 * KIB], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_bytes_take_what_is_granted_at_most(shape: str, size: int) -> None:
    data = SHAPES[shape](size)[: size + 1000]
    assert peak_bytes(lambda: unpack(data)) < GRANTED + (PER_BYTE + 8) * len(data)


def test_a_megabyte_of_empty_dicts_is_refused_before_they_are_made() -> None:
    data = array32(MIB - 5, b"\x80")
    assert peak_bytes(lambda: unpack(data)) < 5 * MIB
    with pytest.raises(Malformed, match="in memory: too many small containers"):
        unpack(array32(MIB // 2, b"\x80"))


# Of ext types inside each other the copies take memory, too: the test above has them.
@pytest.mark.parametrize("shape", [shape for shape, make in SHAPES.items() if make(20 * KIB)[0] != 0xC9])
def test_the_reckoning_is_not_below_what_python_takes(shape: str) -> None:
    data = SHAPES[shape](20 * KIB)
    reckoned, _ = scanning.measure(data, 80, MIB)
    assert peak_bytes(lambda: unpack(data)) < 1.05 * reckoned + 8 * len(data) + 10_000


ORDINARY: dict[str, Any] = {
    "rows": [[f"host-{n}", 1.5 + n, 1_700_000_000_000_000 + n, n] for n in range(60_000)],
    "rows of pairs": [[n, 1] for n in range(150_000)],
    "one large dict": {f"host-{n}": 1.5 * n for n in range(100_000)},
    "records": [{"name": f"host-{n}", "up": True, "load": n / 7, "cpus": 8} for n in range(30_000)],
    "tuples": [(f"host-{n}", n) for n in range(50_000)],
    "small negative ints": [-20] * 300_000,
    "a set": {f"host-{n}" for n in range(50_000)},
    "a set of numbers": set(range(100_000)),
    "bytes": bytes(range(256)) * 10_000,
    "Cyrillic": [f"привет {n}" for n in range(60_000)],
}


@pytest.mark.parametrize("name", ORDINARY)
def test_large_values_of_ordinary_data_are_carried(name: str) -> None:
    assert unpack(pack(ORDINARY[name])) == ORDINARY[name]


# The others are small or special enough to be looked at: that costs little beside decoding them.
@pytest.mark.parametrize("name", sorted(ORDINARY.keys() - {"tuples", "a set", "a set of numbers", "rows of pairs"}))
def test_ordinary_data_below_a_megabyte_need_no_scan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = ORDINARY[name]
    part: Any = dict(list(value.items())[:20_000]) if isinstance(value, dict) else value[:20_000]
    data = pack(part) if len(pack(part)) > 128 * KIB else pack([part] * 8)
    assert len(data) < MIB
    monkeypatch.setattr(decoding, "_scan_all", lambda data: pytest.fail("it was scanned"))
    unpack(data)


@pytest.mark.parametrize(
    "value",
    [[{}] * 400_000, [{"a": 1}] * 140_000, [{n} for n in range(200_000)], [[]] * 500_000],
    ids=["dicts", "dicts of one", "sets", "lists"],
)
def test_what_a_receiver_would_refuse_is_refused_where_it_is_sent(value: Any) -> None:
    with pytest.raises(NotCarried, match="send it in parts"):
        pack(value)


def test_what_is_sent_is_received_whatever_it_shares_a_batch_with() -> None:
    at_the_limit = pack([{}] * 342_000)  # a few more, and it is refused
    assert len(at_the_limit) > SMALL_BYTES
    with pytest.raises(NotCarried):
        pack([{}] * 350_000)
    dearest = b"\x81\xc0" * 78 + b"\x80"
    others = dearest * ((BATCH_BYTES - 1) // len(dearest))
    count = len(others) // len(dearest) + 1
    unpack(b"\xdc" + count.to_bytes(2, "big") + others + at_the_limit)


@pytest.mark.parametrize("shape", SHAPES)
def test_small_values_are_never_refused_for_their_memory(shape: str) -> None:
    data = SHAPES[shape](SMALL_BYTES)[:SMALL_BYTES]
    with suppress(Malformed):  # cut short, or another reason
        memory, _ = scanning.measure(data, 160, MIB)
        assert memory <= DEFAULT_LIMITS.max_memory + PER_BYTE * len(data) or "in tuples" in shape


@given(st.binary(min_size=1, max_size=30), st.integers(1, 40_000))
def test_cheap_and_exact_bounds_agree(element: bytes, count: int) -> None:
    """Whatever the exact one refuses, the cheap one does not let pass."""
    data = array32(count, element)
    try:
        memory, _ = scanning.measure(data, 80, MIB)
    except Malformed:
        return
    granted = 100_000 + PER_BYTE * len(data)
    if decoding.fits_frugally(data, 100_000):
        assert memory <= granted + 6 * len(data)


def test_the_cheap_bound_counts_large_maps_and_sets() -> None:
    keys = [bytes((0xCD, high, low)) for high in range(1, 128) for low in range(128)]
    large_map = b"\xde" + len(keys).to_bytes(2, "big") + b"".join(key + b"\xc0" for key in keys)
    members = b"\xdc" + len(keys).to_bytes(2, "big") + b"".join(keys)
    large_set = b"\xc8" + len(members).to_bytes(2, "big") + b"\x02" + members
    for data in (large_map, large_set):
        assert scanning.measure(data, 80, MIB)[0] > 35 * len(data)
        assert not decoding.fits_frugally(data, 8 * len(data))


def test_a_body_of_many_more_events_than_were_said_is_not_decoded() -> None:
    body = array32(80_000, b"\x92\x01\xc3")
    decode = events.decoder_for("memory.Flag")
    decode(b"\x91\x92\x01\xc3", 1, "t", "o")
    assert peak_bytes(lambda: decode(body, 1, "t", "o")) < GRANTED + (PER_BYTE + 8) * len(body)
    many = array32(80_000, b"\x91\x01")
    unknown = events.decoder_for("memory.unheard.of")
    assert peak_bytes(lambda: unknown(many, 80_000, "t", "o")) < GRANTED + 40 * len(many) + 250 * 8192


def test_frames_of_many_small_arrays_take_what_is_granted_at_most() -> None:
    interests = b"\x96\xc4\x10" + bytes(16) + b"\x00\x01\xc3" + array32(1_000_000, b"\x92\xa0\xc0") + b"\x90"
    assert peak_bytes(lambda: frames.decode(InterestUpdate, interests)) < 5 * MIB
    outcomes = b"\x93\xa1s\xc4\x10" + bytes(16) + array32(400_000, b"\x93\x01\xc0\x90")
    assert peak_bytes(lambda: store_wire.decode(Outcomes, outcomes)) < 5 * MIB
    claims = array32(5000, b"\x94\x00\xc4\x08" + bytes(8) + array32(100, b"\x92\x01\x01") + b"\x90")
    leave = b"\x94\xa1s\x01" + claims + b"\x90"
    with pytest.raises(Malformed, match=r"in memory|elements"):
        log_wire.decode(Leave, leave)


def test_a_run_says_how_many_events_it_has_and_not_more_than_a_reader_takes_at_once() -> None:
    with pytest.raises(Malformed, match="256"):
        frames.decode(Batch, frames.encode(Batch([Run(["x"], "n", 257, b"", b"\x90")])))


# --- time ---------------------------------------------------------------------------------------------------------


def colliding_uuids(count: int) -> bytes:
    return b"".join(b"\xd8\x0a" + (number * sys.hash_info.modulus + 5).to_bytes(16, "big") for number in range(count))


def colliding_pairs(count: int) -> bytes:
    """Pairs of ints with one hash: the second is worked out from the first, backwards through Python's xxHash."""
    wide = (1 << 64) - 1
    first_prime, second_prime, fifth_prime = 11400714785074694791, 14029467366897019727, 2870177450012600261
    undo_first, undo_second = pow(first_prime, -1, 1 << 64), pow(second_prime, -1, 1 << 64)
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        number += 1
        lane = fifth_prime + number * second_prime & wide
        lane = (lane << 31 | lane >> 33) * first_prime & wide
        wanted = 12345678901234567 * undo_first & wide
        second = ((wanted >> 31 | wanted << 33) - lane) * undo_second & wide
        second -= (second >> 63) << 64
        if abs(second) < sys.hash_info.modulus:
            found.append(b"\x92\xce" + number.to_bytes(4, "big") + b"\xd3" + second.to_bytes(8, "big", signed=True))
    return b"".join(found)


@pytest.mark.parametrize(("colliding", "size"), [(colliding_uuids, 18), (colliding_pairs, 15)])
def test_keys_chosen_to_have_one_hash_are_refused(colliding: Callable[[int], bytes], size: int) -> None:
    keys = colliding(100)
    entries = b"".join(keys[at : at + size] + b"\xc0" for at in range(0, len(keys), size))
    with pytest.raises(Malformed, match="one hash"):
        unpack(b"\xde\x00\x64" + entries)
    members = b"\xdc\x00\x64" + keys
    with pytest.raises(Malformed, match="one hash"):
        unpack(b"\xc8" + len(members).to_bytes(2, "big") + b"\x02" + members)


def test_ordinary_keys_of_any_type_are_not_taken_for_chosen_ones() -> None:
    pairs = {(a, b): None for a in range(60) for b in range(60)}
    assert unpack(pack(pairs)) == pairs
    floats = {2.0**power: power for power in range(-1000, 1000)}
    assert unpack(pack(floats)) == floats
    nested = {(a, (b, a)) for a in range(20) for b in range(9)}
    assert unpack(pack(nested)) == nested


def test_the_limits_are_what_the_documentation_says() -> None:
    assert DEFAULT_LIMITS.memory_per_byte == PER_BYTE
    assert DEFAULT_LIMITS.max_memory_received == GRANTED
    assert decoding._UNMEASURED_BYTES_MAX == 240_298
    assert SMALL_BYTES == 174_762
