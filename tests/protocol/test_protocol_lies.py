"""A peer that lies in a handshake breaks off its own wire, and nothing else."""

from __future__ import annotations

import pytest
from protocol_wiring import NOW_NS, Block, Reading, Wiring, read

from broker.protocol import frames
from broker.protocol.exchange import EVENT_BYTES_MAX, Published
from broker.protocol.flows import ROOM_MAX, ROOM_TOTAL
from broker.protocol.frames import Hello, Kind
from broker.protocol.subscriptions import QUEUE_BYTES
from broker.status import MessagesLost, PeerLost, PeerRefused


def hello_on_a_new_wire(wiring: Wiring, hello: Hello) -> int:
    """Let a stranger dial ``here`` and say that; returns the wire's number."""
    node = wiring["here"].node
    wire = node.accept("stranger", wiring.now)
    node.receive(wire, frames.pack_header(Kind.HELLO, 0, 0, 0, 0) + frames.encode_hello(hello), wiring.now)
    wiring.settle()
    return wire


def linked() -> Wiring:
    wiring = Wiring("here", "there")
    wiring["there"].node.peer("sim://here", wiring.now)
    wiring.settle()
    return wiring


def test_who_claims_to_have_received_what_was_never_sent_changes_nothing() -> None:
    wiring = linked()
    here, there = wiring["here"], wiring["there"]
    link = here.link(there)
    before = link.wire
    lie = Hello("there", there.node.id, link.session, 1_000_000, turn=link.turn + 1)
    wire = hello_on_a_new_wire(wiring, lie)
    assert wire not in here.node.peerings.wires
    assert here.link(there) is link
    assert link.wire == before
    assert here.told(PeerRefused)
    assert not here.told(PeerLost)
    readings = here.node.subscribe("host/")
    wiring.settle()
    there.node.publish("host/x", Reading("x", 1), NOW_NS)
    there.node.flush()
    wiring.settle()
    assert [message.event.value for message in read(readings)] == [1]


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred"])
def test_a_name_that_would_garble_a_terminal_is_refused(name: str) -> None:
    wiring = linked()
    wire = hello_on_a_new_wire(wiring, Hello(name, bytes(16), b"", 0))
    assert wire not in wiring["here"].node.peerings.wires
    assert len(wiring["here"].node.peers()) == 1


def test_an_ended_subscription_is_fed_no_more() -> None:
    wiring = Wiring("here")
    node = wiring["here"].node
    for number in range(100):
        readings = node.subscribe("host/", queue_messages=1)
        node.publish("host/x", Reading("x", number), NOW_NS)
        node.unsubscribe(readings)
        node.flush()
        assert readings.empty
    readings = node.subscribe("host/", queue_messages=1)
    node.publish("host/x", Reading("x", 1), NOW_NS)
    node.flush()
    assert len(read(readings)) == 1


def test_a_peer_that_comes_again_and_again_gets_no_new_room_for_it() -> None:
    wiring = Wiring("here", "there")
    here, there = wiring["here"], wiring["there"]
    readings = here.node.subscribe("host/", queue_messages=10)
    published = 0
    for _ in range(20):
        wiring.join("there", "here")
        wiring.pass_time(0.5)
        while there.node.publish("host/x", Block(published, bytes(100_000)), NOW_NS) is not Published.BLOCKED:
            published += 1
            there.node.flush()
            wiring.settle()
            assert published < 100
        there.node.unpeer("sim://here")
        wiring.settle()
    assert 100_000 * readings.pending < 10 * 100_000 + ROOM_MAX + 2 * 100_000
    wiring.join("there", "here")
    wiring.pass_time(0.5)
    taken = read(readings)
    here.node.drained(readings)
    wiring.pass_time(2.0)
    taken += read(readings)
    assert [message.event.number for message in taken] == list(range(published))


def test_ever_new_processes_fill_a_queue_that_blocks_to_a_limit_and_the_rest_is_counted() -> None:
    wiring = Wiring("here")
    here = wiring["here"]
    readings = here.node.subscribe("host/", queue_messages=10)
    size = EVENT_BYTES_MAX - 100
    rounds = 40
    for number in range(rounds):
        there = wiring.stations["there"] = wiring.add("there")
        there.node.peer("sim://here", wiring.now)
        wiring.settle()
        there.node.publish("host/x", Block(number, bytes(size)), NOW_NS)
        there.node.flush()
        wiring.settle()
        there.node.close()
        wiring.settle()
    assert readings.pending < rounds
    assert readings.pending * size < QUEUE_BYTES + ROOM_TOTAL + (48 << 20)
    assert readings.pending + readings.lost == rounds
    kept = readings.pending
    assert [message.event.number for message in read(readings)] == list(range(kept))
    here.node.drained(readings)
    wiring.pass_time(1.5)
    told = [status for status in here.told(MessagesLost) if isinstance(status, MessagesLost)]
    assert sum(status.count for status in told) == rounds - kept
    assert {status.peer for status in told} == {"there"}
    last = wiring.stations["there"] = wiring.add("there")
    last.node.peer("sim://here", wiring.now)
    wiring.settle()
    last.node.publish("host/x", Block(rounds, b""), NOW_NS)
    last.node.flush()
    wiring.settle()
    assert [(message.event.number, message.lost_before) for message in read(readings)] == [(rounds, rounds - kept)]
