from __future__ import annotations

import itertools

import pytest
from protocol_wiring import Wiring

from broker.protocol import frames
from broker.protocol.peerings import UNGREETED_WIRES_MAX
from broker.protocol.wires import Timing
from broker.status import PeerAdded, PeeringFailed, PeerInterrupted, PeerLost, PeerRefused


def test_dialling_links_both_ends_and_both_tell_it() -> None:
    wiring = Wiring("a", "b")
    one, two = wiring.join("a", "b")
    assert one.session == two.session
    assert wiring["a"].status == [PeerAdded("b", "sim://b")]
    assert wiring["b"].status == [PeerAdded("a", "sim://a")]
    assert [(peer.name, peer.dialled, peer.connected) for peer in wiring["a"].node.peers()] == [("b", True, True)]
    assert [(peer.name, peer.dialled, peer.connected) for peer in wiring["b"].node.peers()] == [("a", False, True)]


def test_the_same_wish_twice_dials_once() -> None:
    wiring = Wiring("a", "b")
    first = wiring["a"].node.peer("sim://b", wiring.now)
    assert wiring["a"].node.peer("sim://b", wiring.now) is first
    wiring.settle()
    assert len(wiring["b"].told(PeerAdded)) == 1


# -- refusals -------------------------------------------------------------------------------------------------------


def test_another_version_is_refused_for_good_and_told_at_both_ends() -> None:
    wiring = Wiring("a", "b")
    wiring.peer("a", "b")
    wiring.carry_out()
    wire = next(iter(wiring["a"].unconnected))
    hello = bytearray(wiring["a"].unconnected[wire][0])
    hello[frames.HEADER_BYTES + 4 : frames.HEADER_BYTES + 6] = b"\x07\x09"
    wiring["a"].unconnected[wire][0] = bytes(hello)
    wiring.settle()
    (failed,) = wiring["a"].told(PeeringFailed)
    assert isinstance(failed, PeeringFailed)
    assert (failed.code, failed.final) == ("version", True)
    assert "speaks version 1, you speak 7 to 9" in failed.reason
    (refused,) = wiring["b"].told(PeerRefused)
    assert isinstance(refused, PeerRefused)
    assert refused.code == "version"
    assert wiring["a"].node.next_deadline() == float("inf"), "it is not tried again"


def test_our_own_address_is_refused_for_good() -> None:
    wiring = Wiring("a")
    wiring.peer("a", "a")
    wiring.settle()
    (failed,) = wiring["a"].told(PeeringFailed)
    assert isinstance(failed, PeeringFailed)
    assert (failed.code, failed.final) == ("self", True)


def test_an_endpoint_of_our_own_name_is_refused() -> None:
    wiring = Wiring("a")
    wiring.stations["other"] = wiring.add("a", None)
    wiring.stations["other"].address = "sim://other"
    wiring.peer("other", "a")
    wiring.settle()
    (failed,) = wiring["other"].told(PeeringFailed)
    assert isinstance(failed, PeeringFailed)
    assert failed.code == "name"
    assert "give each endpoint a name of its own" in failed.reason


def test_a_second_endpoint_of_a_name_is_refused_while_the_first_shows_that_it_lives() -> None:
    wiring = Wiring("a", "b")
    wiring.join("b", "a")
    wiring.stations["impostor"] = wiring.add("b", None)
    wiring.stations["impostor"].address = "sim://impostor"
    wiring.peer("impostor", "a")
    wiring.settle()
    wiring.pass_time(20.0)
    assert {status.code for status in wiring["a"].told(PeerRefused) if isinstance(status, PeerRefused)} == {"name"}
    assert wiring["a"].told(PeerLost) == wiring["a"].told(PeerInterrupted) == []
    assert not wiring["impostor"].node.peers()


def test_a_restarted_endpoint_takes_its_dead_predecessors_place_within_seconds() -> None:
    wiring = Wiring("a", "b")
    wiring.join("b", "a")
    dead = wiring.stations.pop("b")
    for number, (end, _) in list(wiring["a"].wires.items()):
        assert end is dead  # nothing tells a that b has died
        del wiring["a"].wires[number]
    wiring.stations["b"] = wiring.add("b", None)
    wiring.peer("b", "a")
    started = wiring.now
    while not wiring["b"].node.peers():
        wiring.pass_time(0.1)
        assert wiring.now - started < 3.0
    reasons = [status.reason for status in wiring["a"].status if isinstance(status, PeerLost)]
    assert reasons == ["replaced by a new process of the same name"]
    assert wiring["a"].link(wiring["b"]).added


def test_a_stranger_is_refused_and_told_of() -> None:
    wiring = Wiring("a")
    node = wiring["a"].node
    wire = node.accept("sim://stranger", wiring.now)
    node.receive(wire, b"GET / HTTP/1.1\r\n\r\nHost: localhost\r\n", wiring.now)
    wiring.carry_out()
    (refused,) = wiring["a"].told(PeerRefused)
    assert isinstance(refused, PeerRefused)
    assert refused.code == "protocol"
    assert "is this a broker endpoint?" in refused.reason
    assert not node.peerings.wires


def test_silent_strangers_are_borne_up_to_a_number_and_for_a_time() -> None:
    wiring = Wiring("a")
    node = wiring["a"].node
    for _ in range(UNGREETED_WIRES_MAX + 100):
        node.accept("sim://stranger", wiring.now)
    assert len(node.peerings.wires) == UNGREETED_WIRES_MAX
    node.tick(wiring.now + Timing().handshake_s)
    assert not node.peerings.wires


# -- dialling both ways ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_dialling_both_ways_ends_in_one_link_whatever_the_interleaving(seed: int) -> None:
    # Every sequence of choices of what arrives next, as far as it is long enough to decide the race.
    for choices in itertools.product(range(3), repeat=7):
        wiring = Wiring("a", "b", seed=seed)
        wiring.peer("a", "b")
        wiring.peer("b", "a")
        for choice in choices:
            wiring.step(choice)
        wiring.settle()
        wiring.pass_time(0.5, step=0.1)
        one, two = wiring["a"].link(wiring["b"]), wiring["b"].link(wiring["a"])
        assert one.session == two.session, choices
        assert one.added
        assert two.added, choices
        number = one.wire
        assert number is not None
        assert wiring["a"].wires[number] == (wiring["b"], two.wire), "they use the same wire"
        assert len(wiring["a"].node.peerings.wires) == len(wiring["b"].node.peerings.wires) == 1
        assert [type(status) for status in wiring["a"].status] == [PeerAdded], choices
        assert [type(status) for status in wiring["b"].status] == [PeerAdded], choices


@pytest.mark.parametrize("seed", range(4))
def test_both_ends_bringing_a_link_back_at_once_end_on_one_wire_whatever_the_interleaving(seed: int) -> None:
    for choices in itertools.product(range(3), repeat=6):
        wiring = Wiring("a", "b", seed=seed)
        wiring.peer("a", "b")
        wiring.peer("b", "a")
        wiring.settle()
        subscription = wiring["b"].node.subscribe("x")
        wiring.settle()
        wiring.publish("a", "x", 1, 2)
        wiring.cut("a", "b")
        wiring.now += 0.06
        for name in ("a", "b"):
            wiring[name].node.tick(wiring.now)
        for choice in choices:
            wiring.step(choice)
        wiring.settle()
        wiring.pass_time(0.5, step=0.1)
        one, two = wiring["a"].link(wiring["b"]), wiring["b"].link(wiring["a"])
        assert one.session == two.session, choices
        assert one.wire is not None
        assert wiring["a"].wires[one.wire] == (wiring["b"], two.wire), choices
        assert subscription.pending == 2, choices
        assert not wiring["a"].told(PeerLost)
        assert not wiring["b"].told(PeerLost)
