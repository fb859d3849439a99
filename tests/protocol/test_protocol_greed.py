"""Peers that keep each rule of a frame and ask for too much: cut off by name, or told at a bounded rate."""

from __future__ import annotations

from typing import Any

import pytest
from protocol_wiring import Wiring, header, read

import broker.node_life
import broker.protocol.interests
import broker.protocol.link
from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.announcements import announcement
from broker.protocol.budget import CHANGE_COST, Budget, Pace
from broker.protocol.flows import PROBE_S, UNANSWERED_MAX
from broker.protocol.frames import Interest, InterestUpdate, Kind, Known, Sync
from broker.status import MessagesLost, MessagesRecovered, PeerLost, PeerRefused

GREEDY = "greedy"


def joined() -> Wiring:
    """Return ``a`` with a good peer and a greedy one."""
    wiring = Wiring("a", "good", GREEDY)
    wiring.join("good", "a")
    wiring.join(GREEDY, "a")
    wiring.pass_time(0.5)
    return wiring


def say(wiring: Wiring, kind: Kind, payload: bytes) -> None:
    """Let the greedy peer say something, as the next frame of its session; it hears no answer any more."""
    here = wiring["a"]
    here.wires = {number: end for number, end in here.wires.items() if end[0] is not wiring[GREEDY]}
    link = wiring["a"].node.peerings.links.get(wiring[GREEDY].node.id)
    if link is not None:
        wiring.inject("a", GREEDY, header(kind, sequence=link.received + 1) + payload)


def change(wiring: Wiring, version: int, *wanted: str, base: int = 0, final: bool = True) -> bytes:
    interests = tuple(Interest(prefix, None) for prefix in wanted)
    return frames.encode(InterestUpdate(wiring[GREEDY].node.id, base, version, final, interests, ()))


def why_lost(wiring: Wiring) -> str:
    """Return why ``a`` gave its greedy peer up; the good one is there still."""
    wiring["a"].node.tick(wiring.now)
    wiring.settle()
    (lost,) = wiring["a"].told(PeerLost)
    assert isinstance(lost, PeerLost)
    assert (lost.peer, lost.code) == (GREEDY, "protocol")
    assert wiring["a"].link(wiring["good"]).wire is not None
    return lost.reason


def test_who_asks_twice_for_all_that_is_known_is_cut_off() -> None:
    wiring = joined()
    say(wiring, Kind.SYNC, frames.encode(Sync(True, ())))
    assert "a second time" in why_lost(wiring)


def test_who_asks_for_more_than_it_acknowledges_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.node_life, "_ANSWERS_BYTES_MAX", 10_000)
    wiring = joined()
    question = frames.encode(Sync(False, (Known(wiring["a"].node.id, 0, 0),)))
    link = wiring["a"].link(wiring[GREEDY])
    asked = 0
    while not link.ended and asked < 1000:
        say(wiring, Kind.SYNC, question)
        asked += 1
    assert "asks for more, and has not acknowledged" in why_lost(wiring)
    assert asked > 10  # an answer is small: an honest question or two are answered at any time


def test_who_acknowledges_nothing_of_the_meshs_word_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.node_life, "UNACKNOWLEDGED_BYTES_MAX", 10_000)
    wiring = joined()
    link = wiring["a"].link(wiring[GREEDY])
    for number in range(1000):
        wiring["a"].node.subscribe(f"some/prefix/{number}")
        wiring["a"].node.take_actions()
        wiring["a"].node.tick(wiring.now)
        if link.ended:
            break
        good = wiring["a"].link(wiring["good"])
        good._take_ack(good._next_sequence - 1)
    assert "has not acknowledged" in why_lost(wiring)


def test_a_change_in_parts_without_an_end_is_cut_off() -> None:
    wiring = joined()
    link = wiring["a"].link(wiring[GREEDY])
    parts = 0
    while not link.ended and parts < 1000:
        say(wiring, Kind.INTERESTS, change(wiring, 9, f"p/{parts}", final=False))
        parts += 1
    assert "too many parts" in why_lost(wiring)
    assert parts == broker.protocol.interests._PARTS_MAX + 1


def test_a_change_that_is_begun_anew_forgets_the_former_parts() -> None:
    wiring = joined()
    say(wiring, Kind.INTERESTS, change(wiring, 8, "former", final=False))
    say(wiring, Kind.INTERESTS, change(wiring, 9, "one", final=False))
    say(wiring, Kind.INTERESTS, change(wiring, 9, "two"))
    member = wiring["a"].node.members.members[wiring[GREEDY].node.id]
    assert {interest.prefix for interest in member.interests} == {"one", "two"}


def test_who_brings_most_of_too_many_interests_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.protocol.interests, "INTERESTS_TOTAL", 100)
    wiring = joined()
    say(wiring, Kind.INTERESTS, change(wiring, 9, *(f"p/{number}" for number in range(99))))
    assert wiring["a"].node.exchange.routes.weight == 99
    for number in range(2):
        wiring["good"].node.subscribe(f"modest/{number}")
    wiring.settle()
    assert "more than 100 topics and names" in why_lost(wiring)


def test_interests_are_weighed_as_they_come_and_go() -> None:
    wiring = joined()
    for number in range(3):
        say(wiring, Kind.INTERESTS, change(wiring, 9 + number, *(f"p/{index}" for index in range(5 - number))))
        assert wiring["a"].node.exchange.routes.weight == 5 - number


def test_a_receiver_that_answers_no_question_holds_its_publisher_up_no_longer() -> None:
    wiring = joined()
    wiring[GREEDY].node.subscribe("x")
    subscription = wiring["good"].node.subscribe("x")
    wiring.pass_time(0.5)
    greedy = wiring["a"].node.members.members[wiring[GREEDY].node.id]
    silenced = wiring[GREEDY].node.exchange.delivering
    silenced.tick = lambda now: None  # type: ignore[method-assign]
    unread: list[tuple[Any, ...]] = []
    silenced.take = lambda *frame: unread.append(frame)  # type: ignore[method-assign]
    wiring.publish("a", "x", 1)
    for _ in range(UNANSWERED_MAX + 2):
        wiring.pass_time(PROBE_S)
        assert wiring["a"].link(wiring[GREEDY]).wire is not None  # it answers heartbeats
    (lost,) = wiring["a"].told(MessagesLost)
    assert isinstance(lost, MessagesLost)
    assert (lost.peer, lost.count) == (GREEDY, 1)
    assert "answered none of" in lost.reason
    flow = greedy.out
    assert (flow.away, flow.congested) == (True, False)
    wiring.publish("a", "x", 2)
    wiring.settle()
    assert [message.event.value for message in read(subscription)] == [1, 2]
    # It reads after all: both ends settle what it has, and what is new reaches it.
    del silenced.tick, silenced.take
    late = wiring[GREEDY].node.subscribe("x")
    for frame in unread:
        silenced.take(*frame)
    wiring.pass_time(3.0)
    assert (flow.away, flow.congested) == (False, False)
    wiring.publish("a", "x", 3)
    wiring.settle()
    assert [message.event.value for message in read(late)] == [1, 3]
    (recovered,) = wiring["a"].told(MessagesRecovered)
    assert isinstance(recovered, MessagesRecovered)
    assert recovered.count == 1


def test_of_many_strangers_some_are_told_at_once_and_the_rest_counted() -> None:
    wiring = joined()
    node = wiring["a"].node
    for number in range(1000):
        wire = node.accept("sim://stranger", wiring.now)
        node.receive(wire, b"\0" * (number % 19), wiring.now)
    wiring.carry_out()
    assert len(wiring["a"].told(PeerRefused)) == 16
    wiring.pass_time(1.5)
    told = [status.reason for status in wiring["a"].told(PeerRefused) if isinstance(status, PeerRefused)]
    assert len(told) <= 16 + 17
    later = sum(int(reason.rsplit(", ", 1)[1].split()[0]) if reason.endswith(" times") else 1 for reason in told[16:])
    assert 16 + later == 1000


@pytest.mark.parametrize(("pace", "cost"), [("MEMBER_PACE", 1), ("INTERESTS_PACE", CHANGE_COST)])
def test_who_floods_others_with_word_of_itself_is_cut_off(
    pace: str, cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.protocol.link, pace, Pace(10.0, 200.0 * cost, "words"))
    wiring = joined()
    link = wiring["a"].link(wiring[GREEDY])
    say(wiring, Kind.INTERESTS, change(wiring, 9, "x"))
    told = 0
    while not link.ended and told < 1000:
        told += 1
        if cost == 1:
            say(wiring, Kind.MEMBER, announcement(wiring[GREEDY].node.members.own, (), base=1))
        else:
            say(wiring, Kind.INTERESTS, change(wiring, 100 + told, base=100))
    assert 190 < told <= 201
    assert "floods us with words" in why_lost(wiring)


def test_a_change_of_many_topics_counts_as_many_and_the_first_telling_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker.protocol.link, "INTERESTS_PACE", Pace(10.0, 500.0, "topics"))
    wiring = joined()
    link = wiring["a"].link(wiring[GREEDY])
    many = [f"p/{number}" for number in range(90)]
    assert wiring["a"].node.members.members[wiring[GREEDY].node.id].interests_version == 0
    told = 0
    while not link.ended and told < 100:
        told += 1
        say(wiring, Kind.INTERESTS, change(wiring, told, *many))
    assert told == 1 + 500 // (90 + CHANGE_COST) + 1
    assert "floods us with topics" in why_lost(wiring)


def test_a_change_of_predicates_counts_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.protocol.link, "INTERESTS_PACE", Pace(10.0, 500.0, "predicates"))
    wiring = joined()
    origin, link = wiring[GREEDY].node.id, wiring["a"].link(wiring[GREEDY])
    say(wiring, Kind.INTERESTS, change(wiring, 9, "x"))
    interest = Interest("x", None, bytes(720))
    told = 0
    while not link.ended and told < 100:
        told += 1
        say(wiring, Kind.INTERESTS, frames.encode(InterestUpdate(origin, 0, 100 + told, True, (interest,), ())))
    assert told == 500 // (720 // 8 + 1 + CHANGE_COST) + 1
    assert "floods us with predicates" in why_lost(wiring)


def test_what_stands_outside_the_sequence_is_small() -> None:
    wiring = joined()
    link = wiring["a"].link(wiring[GREEDY])
    wiring.inject("a", GREEDY, header(Kind.PING) + bytes(60_000))
    assert not link.ended
    wiring.inject("a", GREEDY, header(Kind.PING) + bytes(70_000))
    assert "a frame of kind 5 with 70020 bytes" in why_lost(wiring)


def test_who_keeps_to_its_pace_is_heard_for_ever() -> None:
    budget = Budget(Pace(8.0, 5.0, "frames"))
    for turn in range(1000):
        budget.take(turn / 8)
    for _ in range(4):
        budget.take(125.0)
    budget.take(125.0)
    with pytest.raises(Malformed, match="floods us with frames"):
        budget.take(125.0)
    budget.take(125.125)
