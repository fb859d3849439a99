"""A peer that lies in a handshake breaks off its own wire, and nothing else."""

from __future__ import annotations

import pytest
from protocol_wiring import NOW_NS, Reading, Wiring, read

from broker.protocol import frames
from broker.protocol.frames import Hello, Kind
from broker.protocol.link import CREDIT_BYTES
from broker.status import PeerLost, PeerRefused


def hello_on_a_new_wire(wiring: Wiring, hello: Hello) -> int:
    """Let a stranger dial ``here`` and say that; returns the wire's number."""
    node = wiring["here"].node
    wire = node.accept("stranger", wiring.now)
    node.receive(wire, frames.pack_header(Kind.HELLO, 0, 0, 0, 0, 0) + frames.encode_hello(hello), wiring.now)
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
    lie = Hello("there", there.node.id, link.session, 1_000_000, CREDIT_BYTES, turn=link.turn + 1)
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
    wire = hello_on_a_new_wire(wiring, Hello(name, bytes(16), b"", 0, CREDIT_BYTES))
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


def test_peers_that_come_again_and_again_do_not_fill_a_queue_further() -> None:
    wiring = Wiring("here")
    here = wiring["here"]
    readings = here.node.subscribe("host/", queue_messages=10)
    for _ in range(20):
        there = wiring.stations["there"] = wiring.add("there")
        there.node.peer("sim://here", wiring.now)
        wiring.settle()
        for number in range(50):
            there.node.publish("host/x", Reading("x", number), NOW_NS)
        there.node.flush()
        wiring.settle()
        there.node.unpeer("sim://here")
        wiring.settle()
    assert readings.pending == 50  # what the first one had credit for
    read(readings)
    here.node.drained(readings)
    last = wiring.stations["there"] = wiring.add("there")
    last.node.peer("sim://here", wiring.now)
    wiring.settle()
    last.node.publish("host/x", Reading("x", 7), NOW_NS)
    last.node.flush()
    wiring.settle()
    assert [message.event.value for message in read(readings)] == [7]
