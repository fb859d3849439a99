"""The way of routed frames through an endpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Malformed
from broker.protocol.addresses import address_of, entry_of, read_address
from broker.protocol.frames import HEADER_BYTES, TTL_DEFAULT, Header, Kind, pack_header, unpack_header
from broker.protocol.link import CONTROL_FRAMES, QUEUE_BYTES, Link, OutFrame
from broker.protocol.member import Member
from broker.protocol.members import Members
from broker.protocol.transit import Transit
from broker.trust.guard import Guard

OWN = b"own".ljust(16)
ORIGIN = b"origin".ljust(16)


class Nobody:
    """Who hears of changes that none of these tests makes."""

    def member_back(self, member: Member) -> None:
        raise AssertionError(member)

    def member_forgotten(self, member: Member, reason: str) -> None:
        raise AssertionError(member, reason)

    def ways_changed(self) -> None:
        raise AssertionError

    def roles_changed(self) -> None:
        raise AssertionError

    def refused(self, member: Member, right: str, what: str) -> None:
        raise AssertionError(member, right, what)


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def blame(link: Link, error: Malformed) -> None:
    raise error


def nothing() -> None:
    pass


def crossing(hops: dict[int, int | None], *, forward: bool = True) -> tuple[Transit, dict[int, Link]]:
    """Return a transit and its links; ``hops`` says over which of them each endpoint is reached."""
    links = {
        number: Link(f"peer {number}", id_of(1000 + number), b"s") for number in hops.values() if number is not None
    }
    for link in links.values():
        link.resume(1, 0)
    guard = Guard()
    members = Members(Member(OWN, "own", 0, forward=forward), {}, Nobody(), {}, blame, nothing, guard)
    for number, hop in hops.items():
        member = Member(id_of(number), f"n{number}", 1, hop=None if hop is None else links[hop])
        members.members[member.id] = member
    return Transit(members, guard), links


def routed(entries: list[bytes], body: bytes = b"body", ttl: int = 32, kind: int = Kind.EVENTS) -> bytes:
    return pack_header(kind, 0, ttl, 1, 0) + address_of(ORIGIN, entries) + body


def receive(transit: Transit, frame: bytes) -> bytes | None:
    """Let a frame come through; returns our own entry."""
    own = transit.receive(unpack_header(frame), read_address(frame, HEADER_BYTES), frame)
    return None if own is None else own.raw


def sent(link: Link) -> list[tuple[Header, bytes, list[bytes], bytes]]:
    """Return what leaves over a link: header, origin, entries and body."""
    found = []
    for frame in link.pump():
        address = read_address(frame, HEADER_BYTES)
        entries = [entry.raw for entry in address.entries()]
        found.append((unpack_header(frame), address.origin, entries, frame[HEADER_BYTES + address.size :]))
    return found


def test_an_address_is_split_by_the_first_link_of_the_way_to_each() -> None:
    transit, links = crossing({1: 7, 2: 8, 3: 7, 4: 9})
    entries = [entry_of(id_of(number), number, 100 * number) for number in (1, 2, 3)]
    assert receive(transit, routed(entries)) is None
    ((header, origin, first, body),) = sent(links[7])
    assert (header.kind, header.ttl, origin, first, body) == (
        Kind.EVENTS,
        31,
        ORIGIN,
        [entries[0], entries[2]],
        b"body",
    )
    assert [entry for _, _, copies, _ in sent(links[8]) for entry in copies] == [entries[1]]
    assert sent(links[9]) == []
    assert transit.relayed == 2


def test_a_frame_for_us_and_for_others_does_both() -> None:
    transit, links = crossing({1: 7})
    own, other = entry_of(OWN, 3, 40), entry_of(id_of(1), 5, 60)
    assert receive(transit, routed([own, other])) == own
    assert [entries for _, _, entries, _ in sent(links[7])] == [[other]]


@given(
    st.dictionaries(st.integers(1, 30), st.none() | st.integers(50, 54), min_size=1, max_size=20),
    st.sets(st.integers(1, 35), max_size=20),
    st.booleans(),
    st.binary(max_size=50),
    st.integers(2, TTL_DEFAULT),
)
def test_each_destination_is_in_exactly_one_copy_and_the_body_is_the_same(
    hops: dict[int, int | None], wanted: set[int], ours: bool, body: bytes, ttl: int
) -> None:
    transit, links = crossing(hops)
    entries = [entry_of(id_of(number), number, number) for number in sorted(wanted)]
    if ours or not entries:
        entries.append(entry_of(OWN, 1, 1))
    assert (receive(transit, routed(entries, body, ttl)) is not None) == (ours or not wanted)
    copies = [(number, copy) for number, link in links.items() for copy in sent(link)]
    assert all((header.ttl, origin, same) == (ttl - 1, ORIGIN, body) for _, (header, origin, _, same) in copies)
    assert len({number for number, _ in copies}) == len(copies), "one copy over each link at most"
    passed_on = [entry for _, (_, _, part, _) in copies for entry in part]
    reachable = [entry_of(id_of(number), number, number) for number in wanted if hops.get(number) is not None]
    assert sorted(passed_on) == sorted(reachable)
    assert transit.dropped == len(wanted) - len(reachable)


def test_a_frame_that_should_have_gone_no_further_breaks_the_protocol() -> None:
    transit, links = crossing({1: 7})
    for target in (OWN, id_of(1)):
        with pytest.raises(Malformed, match="should have gone no further"):
            receive(transit, routed([entry_of(target, 1, 1)], ttl=0))
    assert sent(links[7]) == []


def test_a_frame_with_one_hop_left_arrives_and_goes_no_further() -> None:
    transit, links = crossing({1: 7, 2: 8})
    own = entry_of(OWN, 1, 1)
    assert receive(transit, routed([own, *(entry_of(id_of(number), 1, 1) for number in (1, 2))], ttl=1)) == own
    assert sent(links[7]) == sent(links[8]) == []
    assert transit.dropped == 2


def test_a_leaf_passes_nothing_on() -> None:
    transit, links = crossing({1: 7}, forward=False)
    own = entry_of(OWN, 1, 1)
    assert receive(transit, routed([own, entry_of(id_of(1), 1, 1)])) == own
    assert sent(links[7]) == []
    assert transit.dropped == 1


def test_a_leaf_sends_what_is_its_own() -> None:
    transit, links = crossing({1: 7}, forward=False)
    (member,) = transit._members.members.values()
    transit.send(Kind.EVENTS, b"body", [(member, 4, 9)])
    ((header, origin, entries, body),) = sent(links[7])
    assert (header.ttl, origin, entries, body) == (TTL_DEFAULT, OWN, [entry_of(member.id, 4, 9)], b"body")


def test_a_full_link_drops_and_counts_and_the_others_do_not() -> None:
    transit, links = crossing({1: 7, 2: 7, 3: 8})
    for link in links.values():
        link.wire = None
    links[7].send(OutFrame(Kind.EVENTS, bytes(QUEUE_BYTES)))
    receive(transit, routed([entry_of(id_of(number), 1, 1) for number in (1, 2, 3)]))
    assert len(links[7].waiting) == 1
    assert len(links[8].waiting) == 1
    assert transit.dropped == 2
    members = list(transit._members.members.values())
    transit.send(Kind.EVENTS, b"body", [(member, 1, 1) for member in members])
    assert (len(links[7].waiting), len(links[8].waiting), transit.dropped) == (1, 2, 4)


def test_reports_pass_a_link_that_is_full_of_events_up_to_a_number() -> None:
    transit, links = crossing({1: 7})
    links[7].wire = None
    links[7].send(OutFrame(Kind.EVENTS, bytes(QUEUE_BYTES)))
    report = routed([entry_of(id_of(1), 1, 0)], kind=Kind.REPORT)
    receive(transit, report)
    assert len(links[7].control) == 1
    links[7].control.extend(OutFrame(Kind.REPORT, b"") for _ in range(CONTROL_FRAMES))
    receive(transit, report)
    assert len(links[7].control) == CONTROL_FRAMES + 1
    assert transit.dropped == 1


def test_what_was_sent_here_comes_back_to_nobody() -> None:
    transit, links = crossing({1: 7})
    frame = pack_header(Kind.EVENTS, 0, 20, 1, 0) + address_of(OWN, [entry_of(id_of(1), 1, 1)]) + b"body"
    assert receive(transit, frame) is None
    assert sent(links[7]) == []
    assert transit.dropped == 1


def test_what_is_sent_to_many_shares_one_body() -> None:
    transit, links = crossing({number: number % 3 for number in range(1, 10)})
    members = list(transit._members.members.values())
    body = bytes(1000)
    transit.send(Kind.EVENTS, body, [(member, 1, 1) for member in members])
    frames = [frame for link in links.values() for frame in link.waiting]
    assert len(frames) == 3
    assert all(frame.body is body for frame in frames)
