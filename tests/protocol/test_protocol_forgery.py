"""A peer that speaks in the name of a neighbour of ours, who is linked with us and can speak for itself."""

from __future__ import annotations

import pytest
from protocol_wiring import Wiring
from test_protocol_bad_input import following, one_event
from test_protocol_hostile import inject, prepared, still_serves

from broker.protocol import frames
from broker.protocol.addresses import address_of, entry_of
from broker.protocol.frames import TTL_DEFAULT, Interest, InterestUpdate, Kind, MemberUpdate, Probe, Report

unproven = pytest.mark.xfail(reason="what comes over another link in a neighbour's name is believed")


def in_the_name_of_good(wiring: Wiring, kind: Kind, flow: int, place: int, body: bytes) -> bytes:
    address = address_of(wiring["good"].node.id, [entry_of(wiring["a"].node.id, flow, place)])
    return following(wiring, kind, address + body, ttl=TTL_DEFAULT)


@unproven
def test_that_a_neighbour_has_left() -> None:
    wiring, subscription = prepared()
    lie = MemberUpdate(wiring["good"].node.id, "good", 1000, True, True, ())
    inject(wiring, following(wiring, Kind.MEMBER, frames.encode(lie)))
    wiring.pass_time(1.0)
    still_serves(wiring, subscription)


def test_that_a_neighbour_has_no_links() -> None:
    wiring, subscription = prepared()
    lie = MemberUpdate(wiring["good"].node.id, "good", 1000, False, False, ())
    inject(wiring, following(wiring, Kind.MEMBER, frames.encode(lie)))
    wiring.pass_time(1.0)
    assert wiring["a"].node.members.members[wiring["good"].node.id].forward
    still_serves(wiring, subscription)


@unproven
def test_that_a_neighbour_wants_something_else() -> None:
    wiring, _ = prepared()
    lie = InterestUpdate(wiring["good"].node.id, 0, 1000, True, (Interest("other", None),), ())
    inject(wiring, following(wiring, Kind.INTERESTS, frames.encode(lie)))
    wiring.pass_time(1.0)
    assert wiring["a"].node.readers("still/here") == 3
    wiring["good"].node.subscribe("more")
    wiring.pass_time(1.0)
    member = wiring["a"].node.members.members[wiring["good"].node.id]
    assert member.interests == {Interest("", None), Interest("more", None)}


@unproven
def test_events_in_a_neighbours_name_do_not_take_the_place_of_its_own() -> None:
    wiring, subscription = prepared()
    inject(wiring, in_the_name_of_good(wiring, Kind.EVENTS, 1, 1, one_event()))
    still_serves(wiring, subscription)


@unproven
def test_a_later_flow_in_a_neighbours_name_does_not_end_its_own() -> None:
    wiring, subscription = prepared()
    inject(wiring, in_the_name_of_good(wiring, Kind.PROBE, 9, 0, frames.encode(Probe(1, 1))))
    still_serves(wiring, subscription)


@unproven
def test_a_report_in_a_neighbours_name_is_not_heeded() -> None:
    wiring, subscription = prepared()
    flow = wiring["a"].node.members.members[wiring["good"].node.id].out
    inject(
        wiring, in_the_name_of_good(wiring, Kind.REPORT, flow.number, 0, frames.encode(Report(99, 0, 0, 0, 0, 0, 0)))
    )
    still_serves(wiring, subscription)
    wiring.publish("a", "x", 1)
    wiring.pass_time(1.0)
    assert not flow.pending
