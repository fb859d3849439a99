from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.frames import (
    Batch,
    Hello,
    Interest,
    InterestUpdate,
    Kind,
    Known,
    Learned,
    LostEvents,
    LostTopic,
    MemberUpdate,
    Neighbour,
    Probe,
    Refusal,
    Report,
    Run,
    Sync,
    Welcome,
)

KINDS: tuple[Any, ...] = (
    Hello,
    Welcome,
    Refusal,
    InterestUpdate,
    MemberUpdate,
    Sync,
    Learned,
    Report,
    Probe,
    LostEvents,
    Batch,
)
ids = st.binary(min_size=16, max_size=16)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
unsigned = st.integers(0, 2**64 - 1)
positive = st.integers(1, 2**63)
turns = st.integers(0, 2**62)
features = st.lists(names, max_size=3).map(tuple)
hellos = st.builds(Hello, names, ids, st.binary(max_size=16), unsigned, turns, features)
sessions = st.binary(min_size=1, max_size=16)
welcomes = st.builds(Welcome, st.integers(0, 255), names, ids, sessions, st.booleans(), unsigned, turns, features)
refusals = st.builds(Refusal, names, st.text(st.characters(codec="utf-8"), max_size=100), ids)
interests = st.builds(Interest, names, st.none() | st.lists(names, min_size=1, max_size=3).map(tuple))
many_interests = st.lists(interests, max_size=5).map(tuple)
updates = st.builds(InterestUpdate, ids, unsigned, positive, st.booleans(), many_interests, many_interests)
neighbours = st.builds(Neighbour, ids, st.booleans(), st.integers(0, 1 << 32))
members = st.builds(
    MemberUpdate,
    ids,
    names,
    positive,
    st.booleans(),
    st.booleans(),
    st.lists(neighbours, max_size=5).map(tuple),
    unsigned,
    unsigned,
)
syncs = st.builds(Sync, st.booleans(), st.lists(st.builds(Known, ids, unsigned, unsigned), max_size=5).map(tuple))
reports = st.builds(Report, positive, *[unsigned] * 4)
probes = st.builds(Probe, positive, positive, unsigned)
lost_topics = st.builds(LostTopic, st.text(max_size=60), st.text(max_size=60), positive)
losses = st.builds(LostEvents, st.lists(lost_topics, min_size=1, max_size=5).map(tuple))
counts = st.integers(1, frames.RUN_EVENTS)
runs = st.builds(Run, st.lists(names, min_size=1, max_size=3), names, counts, st.binary(), st.binary())
batches = st.builds(Batch, st.lists(runs, min_size=1, max_size=3))
of_the_mesh = updates | members | syncs | st.builds(Learned, unsigned)
of_flows = reports | probes | losses | batches
payloads = welcomes | refusals | of_the_mesh | of_flows


@given(payloads)
def test_every_payload_comes_back_as_it_was(payload: Any) -> None:
    assert frames.decode(type(payload), frames.encode(payload)) == payload


@given(hellos)
def test_a_hello_comes_back_with_its_versions(hello: Hello) -> None:
    version = frames.PROTOCOL_VERSION
    assert frames.decode_hello(frames.encode_hello(hello)) == (version, version, hello)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), unsigned, unsigned, st.binary(max_size=40))
def test_a_header_comes_back_whatever_follows_it(
    kind: int, flags: int, ttl: int, sequence: int, ack: int, payload: bytes
) -> None:
    packed = frames.pack_header(kind, flags, ttl, sequence, ack)
    assert len(packed) == frames.HEADER_BYTES == 20
    assert frames.unpack_header(packed + payload) == (kind, flags, ttl, sequence, ack)


def test_the_header_is_laid_out_as_documented() -> None:
    packed = frames.pack_header(Kind.EVENTS, 1, 32, 0x0102030405060708, 0x1112131415161718)
    assert packed.hex() == "20012000" + "0102030405060708" + "1112131415161718"


def test_kinds_are_told_apart_by_their_numbers() -> None:
    assert [kind for kind in Kind if kind < Kind.SYNC] == [
        Kind.HELLO,
        Kind.WELCOME,
        Kind.REFUSE,
        Kind.BYE,
        Kind.PING,
        Kind.PONG,
        Kind.ACK,
    ]
    assert [kind for kind in Kind if kind >= frames.ROUTED] == [
        Kind.LEARNED,
        Kind.ASK,
        Kind.REPORT,
        Kind.DENIED,
        Kind.EVENTS,
        Kind.LOST,
        Kind.PROBE,
    ]
    assert [kind for kind in Kind if kind >= frames.DATA] == [Kind.EVENTS, Kind.LOST, Kind.PROBE]


def test_the_first_six_bytes_of_a_hello_are_fixed_for_ever() -> None:
    payload = frames.encode_hello(Hello("a", bytes(16), b"", 0))
    assert payload[:6] == b"BRKR\x01\x01"


@pytest.mark.parametrize("size", range(frames.HEADER_BYTES))
def test_a_frame_shorter_than_its_header_is_malformed(size: int) -> None:
    with pytest.raises(Malformed, match="shorter than its header"):
        frames.unpack_header(bytes(size))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=200))
def test_garbage_is_a_payload_or_malformed_and_nothing_else(kind: Any, data: bytes) -> None:
    with suppress(Malformed):
        assert isinstance(frames.decode(kind, data), kind)


@given(payloads, st.data())
def test_a_mutated_payload_is_a_payload_or_malformed_and_nothing_else(payload: Any, data: st.DataObject) -> None:
    mutated = bytearray(frames.encode(payload))
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Malformed):
        assert isinstance(frames.decode(type(payload), bytes(mutated)), type(payload))


@given(st.binary(max_size=100))
def test_what_has_no_magic_is_not_a_hello(data: bytes) -> None:
    if not data.startswith(b"BRKR"):
        with pytest.raises(Malformed, match="is this a broker endpoint"):
            frames.decode_hello(data)


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=50))
def test_of_another_version_only_the_versions_are_read(low: int, high: int, rest: bytes) -> None:
    if low <= frames.PROTOCOL_VERSION <= high:
        return
    assert frames.decode_hello(b"BRKR" + bytes((low, high)) + rest) == (low, high, None)


def test_unknown_keys_and_further_elements_are_for_later_versions() -> None:
    later = {"code": "x", "text": "y", "id": b"", "hint": [1, 2]}
    assert frames.decode(Refusal, frames.encode(later)) == Refusal("x", "y")
    longer = [bytes(16), 0, 1, True, [["host/", None, None, "more"]], [], "more"]
    assert frames.decode(InterestUpdate, frames.encode(longer)).added == (Interest("host/", None),)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Hello, {"name": "", "id": bytes(16), "session": b"", "received": 0}),
        (Hello, {"name": "a", "id": bytes(15), "session": b"", "received": 0}),
        (Hello, {"name": "a", "id": bytes(16), "session": b"", "received": -1}),
        (Hello, {"name": "a", "id": bytes(16), "session": b"", "received": 0, "turn": 2**63}),
        (Batch, [[]]),
        (Batch, [[[[], "name", 1, b"", b"\x90"]]]),
        (Batch, [[[["a"] * 257, "name", 1, b"", b"\x90"]]]),
        (Batch, [[[["a"], "name", 0, b"", b"\x90"]]]),
        (Batch, [[[["a"], "name", frames.FRAME_BYTES_MAX + 1, b"", b"\x90"]]]),
        (InterestUpdate, [bytes(16), 0, 0, True, [], []]),
        (InterestUpdate, [bytes(16), -1, 1, True, [], []]),
        (InterestUpdate, [bytes(16), 0, 1, True, [["a", []]], []]),
        (InterestUpdate, [bytes(16), 0, 1, True, [["a", ["n"] * 1001]], []]),
        (MemberUpdate, [bytes(15), "a", 1, True, False, [], 0]),
        (MemberUpdate, [bytes(16), "", 1, True, False, [], 0]),
        (MemberUpdate, [bytes(16), "a", 0, True, False, [], 0]),
        (MemberUpdate, [bytes(16), "a", 1, True, False, [[bytes(16), True, 0]] * 10_001, 0]),
        (MemberUpdate, [bytes(16), "a", 1, True, False, [[bytes(16), True, 1 << 33]], 0]),
        (Sync, [True, [[bytes(16), 0, 0]] * 50_001]),
        (Sync, [True, [[bytes(16), -1, 0]]]),
        (Learned, [-1]),
        (Report, [0, 0, 0, 0, 0]),
        (Report, [1, -1, 0, 0, 0]),
        (Probe, [0, 1, 0]),
        (Probe, [1, 0, 0]),
        (LostEvents, [[]]),
        (LostEvents, [[["a", "n", 0]]]),
        (LostEvents, [[["a", "n", 1]] * 10_001]),
        (Refusal, {"code": "x" * 65, "text": ""}),
        (Refusal, {"code": "x", "text": "y" * 1001}),
    ],
)
def test_a_value_out_of_its_range_is_malformed(kind: Any, payload: Any) -> None:
    with pytest.raises(Malformed):
        frames.decode(kind, frames.encode(payload))


def test_a_charge_counts_bytes_and_messages() -> None:
    assert frames.charge_of(1000, 3) == 1000 + 3 * frames.MESSAGE_CHARGE
