"""Each way in which a peer may break the protocol: it is dropped with an error that names it, the others go on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_wiring import NOW_NS, Station, Wiring, header, read
from test_protocol_hostile import HOSTILE, inject, prepared, still_serves

from broker.protocol import frames
from broker.protocol.addresses import address_of, entry_of
from broker.protocol.flows import ROOM_FIRST
from broker.protocol.frames import (
    DATA,
    ROUTED,
    TTL_DEFAULT,
    Batch,
    Hello,
    Interest,
    InterestUpdate,
    Kind,
    Learned,
    MemberUpdate,
    Neighbour,
    Report,
    Run,
)
from broker.protocol.members import FORGET_S, MEMBERS_MAX
from broker.status import PeerLost, PeerRefused
from broker.values import pack


def following(wiring: Wiring, kind: int, payload: bytes, *, ttl: int = 0) -> bytes:
    """Return the next frame of the hostile peer's session."""
    return header(kind, sequence=wiring["a"].link(wiring[HOSTILE]).received + 1, ttl=ttl) + payload


def routed(wiring: Wiring, kind: int, body: bytes, *, origin: str = HOSTILE, to: str = "a", place: int = 0) -> bytes:
    """Return the next frame of the hostile peer's session, addressed."""
    flow = wiring[origin].node.members.members[wiring[to].node.id].out.number if kind >= DATA else 0
    if kind == Kind.REPORT:
        flow = wiring[to].node.members.members[wiring[origin].node.id].out.number
    address = address_of(wiring[origin].node.id, [entry_of(wiring[to].node.id, flow, place)])
    return following(wiring, kind, address + body, ttl=TTL_DEFAULT)


def one_event(size: int = 0) -> bytes:
    return frames.encode(Batch([Run(["x"], "protocol.Block", 1, b"", pack([[NOW_NS, 1, bytes(size)]]))]))


def dropped(wiring: Wiring, why: str) -> None:
    """Check that the hostile peer was cut off, for that reason, and nobody else was."""
    wiring["a"].node.tick(wiring.now)
    wiring.settle()
    (lost,) = wiring["a"].told(PeerLost)
    assert isinstance(lost, PeerLost)
    assert (lost.peer, lost.code) == (HOSTILE, "protocol")
    assert lost.reason.startswith("broke the protocol")
    assert why in lost.reason


# -- names and ids --------------------------------------------------------------------------------------------------


def greet(wiring: Wiring, hello: Hello) -> Station:
    """Let a stranger dial ``a`` and say that."""
    node = wiring["a"].node
    wire = node.accept("sim://stranger", wiring.now)
    node.receive(wire, header(Kind.HELLO) + frames.encode_hello(hello), wiring.now)
    wiring.settle()
    assert wire not in node.peerings.wires
    return wiring["a"]


def test_who_claims_anothers_name_is_refused() -> None:
    wiring, subscription = prepared()
    (refused,) = greet(wiring, Hello("good", bytes(16), b"", 0)).told(PeerRefused)
    assert isinstance(refused, PeerRefused)
    assert (refused.peer, refused.code) == ("good", "name")
    still_serves(wiring, subscription)


@pytest.mark.parametrize("interrupted", [False, True])
def test_who_claims_anothers_boot_id_is_refused(interrupted: bool) -> None:
    wiring, subscription = prepared()
    if interrupted:
        wiring.cut("good", "a")
    session = wiring["a"].link(wiring["good"]).session
    for claimed in (b"", session, b"12345678"):
        before = len(wiring["a"].told(PeerRefused))
        here = greet(wiring, Hello("mallory", wiring["good"].node.id, claimed, 0))
        (refused,) = here.told(PeerRefused)[before:]
        assert isinstance(refused, PeerRefused)
        assert refused.code == "protocol"
        assert "'mallory' claims to be the process 'good'" in refused.reason
    wiring.pass_time(0.5)
    still_serves(wiring, subscription)


def test_who_says_that_another_is_called_otherwise_is_dropped() -> None:
    wiring, subscription = prepared()
    lie = MemberUpdate(wiring["good"].node.id, "bad", 1000, True, False, ())
    inject(wiring, following(wiring, Kind.MEMBER, frames.encode(lie)))
    dropped(wiring, "the endpoint 'good' is said to be called 'bad'")
    still_serves(wiring, subscription)


def test_who_speaks_in_our_name_to_others_is_not_passed_on() -> None:
    wiring, subscription = prepared()
    for kind in (Kind.EVENTS, Kind.PROBE, Kind.REPORT, Kind.LEARNED):
        address = address_of(wiring["a"].node.id, [entry_of(wiring["good"].node.id, 1, 1)])
        inject(wiring, following(wiring, kind, address + b"\xc1", ttl=TTL_DEFAULT))
    wiring.settle()
    assert not wiring["good"].told(PeerLost)
    still_serves(wiring, subscription)


def test_who_sends_garbage_in_anothers_name_does_not_have_that_one_cut_off() -> None:
    wiring, subscription = prepared()
    batch = frames.encode(Batch([Run(["x"], "protocol.Reading", 1, b"", b"\xc1")]))
    address = address_of(wiring["good"].node.id, [entry_of(wiring["a"].node.id, 1, 1)])
    inject(wiring, following(wiring, Kind.EVENTS, address + batch, ttl=TTL_DEFAULT))
    read(subscription)
    wiring["a"].node.tick(wiring.now)
    wiring.settle()
    assert "good" not in {getattr(status, "peer", "") for status in wiring["a"].told(PeerLost)}
    assert wiring["a"].link(wiring["good"]).added


def test_our_own_word_about_ourselves_is_the_last() -> None:
    wiring, subscription = prepared()
    node = wiring["a"].node
    lie = MemberUpdate(node.id, "a", 1000, False, True, (Neighbour(bytes(16), True),))
    inject(wiring, following(wiring, Kind.MEMBER, frames.encode(lie)))
    wiring.pass_time(0.5)
    for name in ("good", HOSTILE):
        member = wiring[name].node.members.members[node.id]
        assert member.version > 1000
        assert member.forward
        assert wiring["good"].node.id in member.neighbours
        assert bytes(16) not in member.neighbours
    still_serves(wiring, subscription)


# -- sessions -------------------------------------------------------------------------------------------------------


def test_who_rewinds_its_sequence_numbers_is_dropped() -> None:
    wiring, subscription = prepared()
    inject(wiring, header(Kind.SYNCED, sequence=1))
    dropped(wiring, "frame 1 came after frame")
    still_serves(wiring, subscription)


def test_who_acknowledges_what_was_never_sent_is_dropped() -> None:
    wiring, subscription = prepared()
    inject(wiring, header(Kind.ACK, ack=10_000))
    dropped(wiring, "it acknowledges frame 10000")
    still_serves(wiring, subscription)


def test_who_reports_what_was_never_sent_is_dropped() -> None:
    wiring, subscription = prepared()
    report = frames.encode(Report(1, 10_000, 0, 0, 0))
    inject(wiring, routed(wiring, Kind.REPORT, report))
    dropped(wiring, "it reports message 10000")
    still_serves(wiring, subscription)


def test_who_knows_interests_that_we_never_had_is_dropped() -> None:
    wiring, subscription = prepared()
    inject(wiring, routed(wiring, Kind.LEARNED, frames.encode(Learned(10_000))))
    dropped(wiring, "it knows version 10000 of our interests")
    still_serves(wiring, subscription)


@pytest.mark.parametrize(("ttl", "why"), [(0, "should have gone no further"), (33, "may travel 33 hops")])
def test_who_lies_about_its_ttl_is_dropped(ttl: int, why: str) -> None:
    wiring, subscription = prepared()
    address = address_of(wiring[HOSTILE].node.id, [entry_of(wiring["a"].node.id, 1, 1)])
    inject(wiring, following(wiring, Kind.EVENTS, address + one_event(), ttl=ttl))
    dropped(wiring, why)
    still_serves(wiring, subscription)


# -- floods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 2])
def test_who_overdraws_its_room_is_dropped(place: int) -> None:
    wiring, subscription = prepared()
    wiring["a"].node.subscribe("x", queue_messages=1)
    event = one_event(100_000)
    for number in range(1000):
        if wiring["a"].told(PeerLost):
            break
        inject(wiring, routed(wiring, Kind.EVENTS, event, place=place + number))
    assert (number - 1) * 100_000 <= ROOM_FIRST + 100_000
    dropped(wiring, "more events than there was room given for")
    still_serves(wiring, subscription)


@pytest.mark.parametrize("parts", [1, 3])
def test_who_floods_subscriptions_is_dropped(parts: int) -> None:
    wiring, subscription = prepared()
    names = tuple(str(number) for number in range(1000))
    for part in range(parts):
        interests = tuple(Interest(f"{part}/{number}", names) for number in range(1001 // parts + 1))
        update = InterestUpdate(wiring[HOSTILE].node.id, 0, 1000, part == parts - 1, interests, ())
        inject(wiring, following(wiring, Kind.INTERESTS, frames.encode(update)))
    dropped(wiring, "wants more than 1000000 topics and names")
    assert not wiring["good"].told(PeerLost), "we are not blamed for it"
    still_serves(wiring, subscription)


def million(wiring: Wiring) -> Iterable[bytes]:
    """Give the announcements of a graph that hangs on the hostile peer."""
    hostile = wiring[HOSTILE].node.id
    for number in range(1_000_000):
        id_ = number.to_bytes(16, "big")
        yield frames.encode(MemberUpdate(id_, f"n{number}", 1, True, False, (Neighbour(hostile, True),)))


def test_who_announces_a_graph_of_a_million_nodes_is_dropped_and_the_graph_forgotten() -> None:
    wiring, subscription = prepared()
    wiring["good"].node.tick(wiring.now)
    for payload in million(wiring):
        if HOSTILE not in {peer.name for peer in wiring["a"].node.peers()}:
            break
        inject(wiring, following(wiring, Kind.MEMBER, payload))
    dropped(wiring, f"it announces more than {MEMBERS_MAX} endpoints")
    assert not wiring["good"].told(PeerLost), "we are not blamed for it"
    for name in ("a", "good"):
        assert len(wiring[name].node.members.members) <= MEMBERS_MAX + 1
    wiring.pass_time(0.5)
    assert len(wiring["a"].node.members.members) < 10, "it is forgotten"
    still_serves(wiring, subscription)
    wiring[HOSTILE].node.close()
    wiring.pass_time(FORGET_S + 20.0, step=2.0)
    assert set(wiring["a"].node.members.members) == {wiring["good"].node.id}
    assert set(wiring["good"].node.members.members) == {wiring["a"].node.id}
    still_serves(wiring, subscription)


def test_who_announces_an_endpoint_with_too_many_links_is_dropped() -> None:
    wiring, subscription = prepared()
    for number in range(30):
        if HOSTILE not in {peer.name for peer in wiring["a"].node.peers()}:
            break
        links = tuple(Neighbour(link.to_bytes(16, "big"), True) for link in range(10_000))
        update = MemberUpdate((number + 20_000).to_bytes(16, "big"), f"n{number}", 1, True, False, links)
        inject(wiring, following(wiring, Kind.MEMBER, frames.encode(update)))
    dropped(wiring, "or 200000 links")
    assert not wiring["good"].told(PeerLost), "we are not blamed for it"
    still_serves(wiring, subscription)


# -- anything -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted({*map(int, Kind), 0, 8, 15, 20, 31, 35, 48, 255}))
@given(body=st.binary(max_size=80), ack=st.integers(0, 3), flow=st.integers(0, 3), place=st.integers(0, 5))
def test_whatever_bytes_come_after_a_valid_handshake_nothing_is_raised(
    kind: int, body: bytes, ack: int, flow: int, place: int
) -> None:
    wiring, subscription = prepared()
    if kind >= ROUTED:
        body = address_of(wiring[HOSTILE].node.id, [entry_of(wiring["a"].node.id, flow, place)]) + body
    sequence = wiring["a"].link(wiring[HOSTILE]).received + 1 if kind >= Kind.SYNC else 0
    inject(wiring, header(kind, sequence=sequence, ack=ack, ttl=TTL_DEFAULT) + body)
    read(subscription)
    still_serves(wiring, subscription)
