from __future__ import annotations

from protocol_wiring import Wiring, read

from broker.protocol.members import FORGET_S
from broker.protocol.wires import Timing
from broker.status import MessagesLost, PeerAdded, PeeringFailed, PeerInterrupted, PeerLost, PeerResumed

# -- losing and bringing back ---------------------------------------------------------------------------------------


def test_a_link_whose_wire_is_cut_goes_on_over_another() -> None:
    wiring = Wiring("a", "b")
    one, _ = wiring.join("a", "b")
    session = one.session
    wiring.cut("a", "b", both_notice=False)
    wiring.pass_time(0.2)
    assert wiring["a"].link(wiring["b"]).session == session
    told = [type(status) for status in wiring["a"].status]
    assert told == [PeerAdded, PeerInterrupted, PeerResumed]
    assert [type(status) for status in wiring["b"].status] == [PeerAdded, PeerResumed]


def test_a_peer_that_falls_silent_is_interrupted_then_lost() -> None:
    timing = Timing()
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    del wiring.stations["b"]
    wiring.pass_time(timing.silence_s - 0.1)
    assert not wiring["a"].told(PeerInterrupted)
    wiring.pass_time(0.2)
    assert len(wiring["a"].told(PeerInterrupted)) == 1
    wiring.pass_time(timing.resume_s - 0.2)
    assert not wiring["a"].told(PeerLost)
    wiring.pass_time(0.2)
    assert [str(status) for status in wiring["a"].told(PeerLost)] == [
        "b (sim://b): lost: nothing came for 5.0 s; it did not come back within 10 s"
    ]


def test_an_idle_link_stays_and_measures_its_round_trip() -> None:
    wiring = Wiring("a", "b")
    one, two = wiring.join("a", "b")
    wiring.pass_time(60.0, step=0.25)
    assert one.rtt_s is not None
    assert two.rtt_s is not None
    assert [type(status) for status in wiring["a"].status] == [PeerAdded]


def test_dialling_again_backs_off_doubling_to_a_limit_with_jitter_of_up_to_half() -> None:
    timing = Timing()
    pauses: list[list[float]] = [[] for _ in range(12)]
    for seed in range(40):
        wiring = Wiring("a", seed=seed)
        peering = wiring["a"].node.peer("sim://nowhere", wiring.now)
        wiring.settle()
        for attempt in range(12):
            assert peering.dial_at is not None
            pauses[attempt].append(peering.dial_at - wiring.now)
            wiring.now = peering.dial_at
            wiring["a"].node.tick(wiring.now)
            wiring.settle()
    for attempt, found in enumerate(pauses):
        longest = min(timing.redial_max_s, timing.redial_first_s * 2**attempt)
        assert longest / 2 - 1e-9 <= min(found) < 0.6 * longest
        assert 0.9 * longest < max(found) <= longest + 1e-9


def test_a_silent_listener_costs_the_handshakes_patience() -> None:
    wiring = Wiring("a")
    wiring["a"].node.peer("sim://b", wiring.now)
    wiring.carry_out()
    wiring.dials.clear()  # the connection is made, nobody answers
    wiring["a"].node.tick(wiring.now + Timing().handshake_s)
    wiring.carry_out()
    (failed,) = wiring["a"].told(PeeringFailed)
    assert isinstance(failed, PeeringFailed)
    assert (failed.code, failed.final) == ("silent", False)


# -- withdrawing ----------------------------------------------------------------------------------------------------


def test_withdrawing_a_wish_ends_the_link_at_both_ends() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    assert wiring["a"].node.unpeer("sim://b")
    assert not wiring["a"].node.unpeer("sim://b")
    wiring.settle()
    wiring.pass_time(10.0)
    for name in ("a", "b"):
        assert not wiring[name].node.peers()
        assert not wiring[name].node.peerings.wires
        assert len(wiring[name].told(PeerLost)) == 1


def test_withdrawing_a_wish_while_it_is_dialled_again_leaves_no_link() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    wiring.cut("a", "b", both_notice=False)
    wiring.now += 0.06
    wiring["a"].node.tick(wiring.now)  # dials
    wiring.step()
    wiring["a"].node.unpeer("sim://b")
    wiring.settle()
    wiring.pass_time(20.0)
    assert not wiring["a"].node.peerings.links
    assert not wiring["a"].node.peerings.wires
    assert not wiring["b"].node.peerings.links


def test_a_wish_that_made_do_with_the_others_link_dials_when_that_is_withdrawn() -> None:
    wiring = Wiring("a", "b")
    wiring.join("b", "a")
    wiring.peer("a", "b")
    wiring.settle()
    wiring["b"].node.unpeer("sim://a")
    wiring.settle()
    assert wiring["a"].node.next_deadline() <= wiring.now + 5
    wiring.pass_time(1.0)
    assert [(peer.name, peer.dialled) for peer in wiring["a"].node.peers()] == [("b", True)]


def test_a_peer_that_gave_its_end_up_unheard_is_let_in_again_soon() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    # The goodbye is lost, b knows nothing of it, and a dials anew.
    wiring["a"].node.unpeer("sim://b")
    for station in wiring.stations.values():
        station.node.take_actions()
    wiring["a"].wires.clear()
    wiring["b"].wires.clear()
    wiring.peer("a", "b")
    started = wiring.now
    while not wiring["a"].node.peers():
        wiring.pass_time(0.1)
        assert wiring.now - started < 3.0


def test_an_endpoint_that_dials_whom_it_has_lost_a_wire_to_goes_on_with_the_old_session() -> None:
    wiring = Wiring("a", "b")
    one, _ = wiring.join("a", "b")
    session = one.session
    subscription = wiring["b"].node.subscribe("x")
    wiring.settle()
    wiring.publish("a", "x", 1)
    wiring.cut("a", "b", both_notice=False)  # a waits for its next attempt; b knows nothing
    wiring.peer("b", "a")
    wiring.settle()
    assert wiring["b"].link(wiring["a"]).session == wiring["a"].link(wiring["b"]).session == session
    assert subscription.pending == 1
    assert not wiring["a"].told(PeerLost)


def test_closing_says_goodbye_to_everybody() -> None:
    wiring = Wiring("a", "b", "c")
    wiring.join("a", "b")
    wiring.join("c", "a")
    wiring["a"].node.begin_close()
    wiring.settle()
    assert wiring["a"].node.is_drained
    wiring["a"].node.close()
    wiring.settle()
    for name in ("b", "c"):
        (lost,) = wiring[name].told(PeerLost)
        assert isinstance(lost, PeerLost)
        assert lost.reason == "it said goodbye: its endpoint was closed"
    assert not wiring["a"].node.peerings.wires


# -- sessions that one end has ended ----------------------------------------------------------------------------------


def test_a_session_that_its_dialler_gives_up_while_dialling_is_begun_anew_and_nobody_is_blamed() -> None:
    wiring = Wiring("a", "b")
    one, _ = wiring.join("a", "b")
    wiring.cut("a", "b", both_notice=False)
    wiring["a"].node.tick(wiring.now + 0.06)  # dials, to go on with the session
    wiring.step()
    wiring["a"].node.tick(wiring.now + Timing().resume_s)  # and has no more patience
    wiring.settle()
    wiring.now += Timing().resume_s
    wiring.pass_time(3.0)
    anew = wiring["a"].link(wiring["b"])
    assert anew.added
    assert anew.session != one.session
    for name in ("a", "b"):
        assert "protocol" not in "".join(str(status) for status in wiring[name].status)


def test_a_dialler_that_is_offered_a_session_it_has_ended_says_so_and_dials_anew() -> None:
    wiring = Wiring("a", "b")
    one, _ = wiring.join("a", "b")
    wiring.cut("a", "b")
    wiring["a"].node.unpeer("sim://b")  # b waits for it to come back
    wiring.peer("a", "b")
    wiring.pass_time(0.2)
    anew = wiring["a"].link(wiring["b"])
    assert anew.added
    assert anew.session != one.session
    assert len(wiring["b"].told(PeerLost)) == 1


def test_a_new_session_goes_on_with_the_room_that_its_flow_has() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["a"].node.subscribe("x")
    wiring.settle()
    wiring.publish("b", "x", *range(1000))
    wiring.pass_time(0.5)
    flow = wiring["b"].node.members.members[wiring["a"].node.id].out
    room = flow.room
    wiring.cut("a", "b")
    wiring["b"].node.tick(wiring.now + Timing().resume_s)  # b has given the session up, a has not
    wiring.now += 0.06
    wiring["a"].node.tick(wiring.now)
    wiring.settle()
    assert wiring["b"].link(wiring["a"]).added
    assert wiring["b"].node.members.members[wiring["a"].node.id].out is flow
    assert flow.room == room
    wiring.publish("b", "x", 1000)
    wiring.pass_time(0.5)
    assert [message.event.value for message in read(subscription)] == list(range(1001))


# -- endpoints that do not come back ----------------------------------------------------------------------------------


def test_what_passed_while_an_endpoint_was_away_is_told_when_it_is_forgotten() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    wiring["b"].node.subscribe("x")
    wiring.settle()
    wiring["b"].node.unpeer("sim://a")
    wiring["a"].node.unpeer("sim://b")
    wiring.publish("a", "x", 1)
    wiring.pass_time(Timing().resume_s + 1.0)
    wiring.publish("a", "x", 2, 3)
    wiring.pass_time(FORGET_S, step=5.0)
    assert not wiring["a"].node.members.members
    told = [status for status in wiring["a"].told(MessagesLost) if isinstance(status, MessagesLost)]
    assert sum(status.count for status in told) == 3
