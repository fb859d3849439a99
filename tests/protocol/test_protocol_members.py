"""What endpoints tell of themselves reaches everybody, once over each link, and what is old never takes its place."""

from __future__ import annotations

import itertools

import pytest
from protocol_wiring import Wiring, header, read

from broker.protocol import frames
from broker.protocol.frames import Interest, InterestUpdate, Kind, MemberUpdate, Neighbour, Sync
from broker.protocol.member import Member
from broker.protocol.members import EDGES_MAX, FORGET_S, MEMBERS_MAX
from broker.protocol.wires import Timing
from broker.status import PeerLost


def announcements(wiring: Wiring, sender: str, about: str) -> list[MemberUpdate]:
    """Return what a station has sent of another's announcements."""
    id_ = wiring[about].node.id
    sent = [frame[frames.HEADER_BYTES :] for frame in wiring[sender].sent if frame[0] == Kind.MEMBER]
    return [update for update in (frames.decode(MemberUpdate, payload) for payload in sent) if update.id == id_]


def known(wiring: Wiring, name: str) -> dict[str, Member]:
    return {member.name: member for member in wiring[name].node.members.members.values()}


def meshed(*edges: str) -> Wiring:
    """Return stations with names of one letter, linked as the pairs say, that know all of each other."""
    wiring = Wiring(*sorted(set("".join(edges))))
    for edge in edges:
        wiring.join(edge[0], edge[1])
    wiring.pass_time(1.0)
    return wiring


def tell(wiring: Wiring, here: str, there: str, update: MemberUpdate) -> None:
    """Let ``there`` announce something to ``here``."""
    sequence = wiring[here].link(wiring[there]).received + 1
    wiring.inject(here, there, header(Kind.MEMBER, sequence=sequence) + frames.encode(update))


# -- flooding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", [("ab", "bc", "cd"), ("ab", "bc", "cd", "da"), ("ab", "ac", "ad", "bc", "bd", "cd")])
def test_everybody_knows_everybody_and_all_their_links(edges: tuple[str, ...]) -> None:
    wiring = meshed(*edges)
    ids = {wiring[name].node.id: name for name in wiring.stations}
    for name in wiring.stations:
        others = known(wiring, name)
        assert set(others) == set(wiring.stations) - {name}
        found = {frozenset((other, ids[id_])) for other, member in others.items() for id_ in member.neighbours}
        assert found == set(map(frozenset, edges))
        assert all(member.reachable for member in others.values())


def test_a_change_goes_over_each_link_once_in_each_direction_at_most() -> None:
    wiring = meshed("ab", "ac", "ad", "bc", "bd", "cd")
    for station in wiring.stations.values():
        station.sent.clear()
    wiring["a"].node.members.links_changed(wiring.now)
    wiring.pass_time(1.0)
    told = {name: len(announcements(wiring, name, "a")) for name in "abcd"}
    assert told["a"] == 3
    assert all(told[name] <= 2 for name in "bcd"), "not back to where it came from"


def test_announcements_in_quick_succession_are_gathered() -> None:
    wiring = meshed("ab")
    wiring["a"].sent.clear()
    for _ in range(20):
        wiring["a"].node.members.links_changed(wiring.now)
        wiring.pass_time(0.01, step=0.01)
    assert len(announcements(wiring, "a", "a")) <= 3


@pytest.mark.parametrize("older", [0, 1])
def test_an_older_announcement_and_the_same_again_change_nothing(older: int) -> None:
    wiring = meshed("ab", "bc")
    member = known(wiring, "a")["c"]
    before, version = dict(member.neighbours), member.version
    wiring["a"].sent.clear()
    lie = MemberUpdate(member.id, "c", version - older, False, True, ())
    tell(wiring, "a", "b", lie)
    assert known(wiring, "a")["c"] is member
    assert (member.version, member.neighbours, member.forward) == (version, before, True)
    assert announcements(wiring, "a", "c") == []


def test_a_new_link_brings_only_what_is_newer() -> None:
    wiring = meshed("ab", "bc", "cd")
    for station in wiring.stations.values():
        station.sent.clear()
    wiring.peer("d", "a")
    wiring.settle()  # without time: nobody has anything new to tell of itself
    for name, about in itertools.product("ad", "bc"):
        assert announcements(wiring, name, about) == []
    wiring.stations["e"] = wiring.add("e")
    wiring.pass_time(1.0)
    wiring["a"].sent.clear()
    wiring.join("e", "a")
    assert {name: len(announcements(wiring, "a", name)) for name in "abcd"} == {"a": 1, "b": 1, "c": 1, "d": 1}


def test_a_graph_in_two_parts_grows_together_over_one_link() -> None:
    wiring = Wiring(*"abcdef")
    for edge in ("ab", "bc", "de", "ef"):
        wiring.join(edge[0], edge[1])
    wiring.pass_time(1.0)
    subscription = wiring["f"].node.subscribe("x")
    wiring.join("c", "d")
    wiring.pass_time(1.0)
    for name in "abcdef":
        assert set(known(wiring, name)) == set("abcdef") - {name}
    assert known(wiring, "a")["f"].distance == 5
    wiring.publish("a", "x", 1)
    wiring.settle()
    assert [message.event.value for message in read(subscription)] == [1]


def test_a_link_of_ours_is_not_shown_as_interrupted_before_its_other_end_has_told_of_it() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")  # and no time passes
    for name in "ab":
        assert [link.interrupted for link in wiring[name].node.mesh().links] == [False]
    wiring.cut("a", "b")
    for name in "ab":
        assert [link.interrupted for link in wiring[name].node.mesh().links] == [True]


def test_a_link_of_others_is_shown_as_interrupted_when_either_end_says_so() -> None:
    wiring = meshed("ab", "bc")
    assert [link.interrupted for link in wiring["a"].node.mesh().links] == [False, False]
    member = known(wiring, "a")["c"]
    broken = (Neighbour(wiring["b"].node.id, False),)
    tell(wiring, "a", "b", MemberUpdate(member.id, "c", member.version + 1, True, False, broken, born=member.born))
    shown = {link.interrupted for link in wiring["a"].node.mesh().links if member.id.hex() in {link.one, link.other}}
    assert shown == {True}


# -- those who go ---------------------------------------------------------------------------------------------------


def test_who_leaves_is_forgotten_by_everybody_at_once_and_stays_so() -> None:
    wiring = meshed("ab", "bc", "cd")
    member = known(wiring, "a")["d"]
    wiring["d"].node.close()
    wiring.settle()
    assert [set(known(wiring, name)) for name in "abc"] == [set("bc"), set("ac"), set("ab")]
    tell(wiring, "a", "b", MemberUpdate(member.id, "d", member.version, True, False, ()))
    tell(wiring, "a", "b", MemberUpdate(member.id, "d", member.version + 10, True, False, ()))
    assert "d" not in known(wiring, "a"), "word of it that was on its way is late"


def test_a_relay_that_is_cut_off_takes_those_behind_it_out_of_reach() -> None:
    wiring = meshed("ab", "bc")
    wiring["b"].node.unpeer("sim://c")
    wiring.pass_time(0.5)
    member = known(wiring, "a")["c"]
    assert not member.reachable
    assert member.hop is None


def test_who_cannot_be_reached_is_forgotten_after_a_time() -> None:
    wiring = meshed("ab", "bc")
    del wiring.stations["c"]
    wiring.pass_time(FORGET_S, step=1.0)
    assert "c" in known(wiring, "a"), "it was out of reach a little later"
    wiring.pass_time(Timing().silence_s + Timing().resume_s + 2.0, step=1.0)
    assert set(known(wiring, "a")) == {"b"}
    assert set(known(wiring, "b")) == {"a"}


def test_who_was_forgotten_and_comes_back_is_known_again_with_what_it_wants() -> None:
    wiring = meshed("ab", "bc", "cd")
    subscription = wiring["d"].node.subscribe("x")
    wiring.pass_time(0.5)
    wiring["b"].node.unpeer("sim://c")
    wiring.pass_time(FORGET_S + 20.0, step=2.0)
    assert set(known(wiring, "a")) == {"b"}
    assert set(known(wiring, "d")) == {"c"}
    wiring.join("b", "c")
    wiring.pass_time(3.0)
    assert set(known(wiring, "a")) == set("bcd")
    wiring.publish("a", "x", 1)
    wiring.settle()
    assert [message.event.value for message in read(subscription)] == [1]


def test_who_only_one_endpoint_has_forgotten_is_asked_for_where_it_is_known() -> None:
    wiring = meshed("ab", "bc")
    subscription = wiring["c"].node.subscribe("x")
    wiring.pass_time(0.5)
    members = wiring["a"].node.members
    members.forget(known(wiring, "a")["c"], "as if it had been away for long")
    members.compute(wiring.now)
    wiring.pass_time(3.0)
    assert known(wiring, "a")["c"].reachable
    wiring.publish("a", "x", 1)
    wiring.pass_time(1.0)
    assert [message.event.value for message in read(subscription)] == [1]


def test_who_nobody_knows_is_asked_for_rarely() -> None:
    wiring = meshed("ab")
    member = known(wiring, "a")["b"]
    links = (Neighbour(wiring["a"].node.id, True), Neighbour(b"u" * 16, True))
    tell(wiring, "a", "b", MemberUpdate(member.id, "b", member.version + 1, True, False, links))
    wiring["a"].sent.clear()
    wiring["a"].node.take_actions()
    end = wiring.now + 25.0
    while wiring.now < end:
        wiring.now += 0.5
        wiring["a"].node.tick(wiring.now)
        for number in list(wiring["a"].node.peerings.wires):
            wiring["a"].node.peerings.wires[number].heard = wiring.now
    wiring.carry_out()
    asked = [frames.decode(Sync, sent[frames.HEADER_BYTES :]) for sent in wiring["a"].sent if sent[0] == Kind.SYNC]
    assert [[one.id for one in sync.known] for sync in asked] == [[b"u" * 16]] * 3
    assert not any(sync.complete for sync in asked)


def test_a_new_process_of_the_same_name_takes_its_predecessors_place_everywhere() -> None:
    wiring = meshed("ab", "bc")
    former = known(wiring, "a")["c"]
    del wiring.stations["c"]
    wiring.pass_time(Timing().silence_s + 1.0)  # it is silent: not reachable any more
    wiring.stations["c"] = wiring.add("c")
    wiring.join("c", "b")
    wiring.pass_time(1.0)
    for name in "ab":
        member = known(wiring, name)["c"]
        assert member.id == wiring["c"].node.id != former.id
        assert former.id not in wiring[name].node.members.members


def test_two_living_endpoints_of_one_name_far_apart_are_both_kept() -> None:
    wiring = meshed("ab", "bc")
    wiring.stations["other"] = other = wiring.add("a")
    other.address = "sim://other"
    wiring.join("other", "c")
    wiring.pass_time(1.0)
    assert {wiring["a"].node.id, other.node.id} <= set(wiring["b"].node.members.members)


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred"])
def test_a_name_that_would_garble_a_terminal_is_refused(name: str) -> None:
    wiring = meshed("ab")
    tell(wiring, "a", "b", MemberUpdate(bytes(16), name, 1, True, False, ()))
    (lost,) = wiring["a"].told(PeerLost)
    assert "not printable text" in str(lost)
    assert name not in str(lost)


def test_a_change_of_name_is_refused() -> None:
    wiring = meshed("ab", "bc")
    member = known(wiring, "a")["c"]
    tell(wiring, "a", "b", MemberUpdate(member.id, "d", member.version + 1, True, False, ()))
    (lost,) = wiring["a"].told(PeerLost)
    assert "the endpoint 'c' is said to be called 'd'" in str(lost)
    assert member.name == "c"


def test_endpoints_out_of_reach_make_way_when_there_are_too_many() -> None:
    wiring = meshed("ab")
    wiring.pass_time(0.1)
    for number in range(MEMBERS_MAX + 50):
        update = MemberUpdate(number.to_bytes(16, "big"), f"n{number}", 1, True, False, ())
        tell(wiring, "a", "b", update)
        if number % 1000 == 0:
            wiring.now += 0.2
            wiring["a"].node.tick(wiring.now)
    assert not wiring["a"].told(PeerLost), "they hang on nobody: no reason to cut anybody off"
    assert len(wiring["a"].node.members.members) <= MEMBERS_MAX
    assert "b" in known(wiring, "a")


def test_what_somebody_says_in_our_name_is_overruled_everywhere() -> None:
    wiring = meshed("ab", "bc", "cd")
    own = wiring["a"].node
    links = {name: set(known(wiring, name)["a"].neighbours) for name in "bcd"}
    tell(wiring, "b", "c", MemberUpdate(own.id, "a", 5000, False, False, ()))
    wiring.pass_time(1.0)
    for name in "bcd":
        member = known(wiring, name)["a"]
        assert member.version > 5000
        assert member.forward
        assert set(member.neighbours) == links[name]
        assert member.reachable


def test_interests_announced_in_our_name_are_overruled_everywhere() -> None:
    wiring = meshed("ab", "bc", "cd")
    own = wiring["a"].node
    own.subscribe("mine/")
    wiring.pass_time(0.3)
    forged = InterestUpdate(own.id, 0, 5000, True, (Interest("forged/", None),), ())
    sequence = wiring["b"].link(wiring["c"]).received + 1
    wiring.inject("b", "c", header(Kind.INTERESTS, sequence=sequence) + frames.encode(forged))
    wiring.pass_time(0.3)
    assert own.members.own.interests_version > 5000
    for name in "bd":
        assert {interest.prefix for interest in known(wiring, name)["a"].interests} == {"mine/"}


def test_round_trips_are_known_to_everybody_soon_after_they_were_measured() -> None:
    wiring = meshed("ab", "bc", "cd")
    wiring.pass_time(3.0)
    mesh = wiring["d"].node.mesh()
    assert len(mesh.links) == 3
    assert all(link.rtt_s is not None for link in mesh.links)
    before = [len(announcements(wiring, name, about)) for name in "abcd" for about in "abcd"]
    wiring.pass_time(20.0)
    after = [len(announcements(wiring, name, about)) for name in "abcd" for about in "abcd"]
    assert after == before, "what has not changed is not told again"


def test_one_link_more_of_many_is_told_in_a_frame_that_does_not_grow_with_them() -> None:
    names = "abcdefghijklmnopqrst"
    wiring = meshed(*(f"a{name}" for name in names[1:]))
    wiring.pass_time(3.0)
    before = len(announcements(wiring, "a", "a"))
    wiring.stations["z"] = wiring.add("z")
    wiring.join("z", "a")
    wiring.pass_time(1.0)
    flooded = [update for update in announcements(wiring, "a", "a")[before:] if update.base]
    assert {edge.id for update in flooded for edge in update.neighbours} == {wiring["z"].node.id}
    assert set(known(wiring, "t")["a"].neighbours) == set(wiring["a"].node.members.own.neighbours)
    assert len(known(wiring, "z")) == len(names)


def test_who_lacks_the_version_before_a_change_asks_for_all_of_it() -> None:
    wiring = meshed("ab", "bc", "cd")
    member = known(wiring, "a")["c"]
    links = set(member.neighbours)
    member.version -= 1
    member.neighbours.clear()
    wiring["c"].node.members.links_changed(wiring.now)
    wiring.pass_time(0.5)
    assert set(member.neighbours) == links
    assert known(wiring, "a")["d"].distance == 3


def test_a_goodbye_from_out_of_reach_while_there_are_too_many_is_no_accident() -> None:
    wiring = meshed("ab")
    wiring.pass_time(0.1)
    node = wiring["a"].node
    links = tuple(Neighbour(bytes(15) + bytes((number,)), True) for number in (1, 2))
    tell(wiring, "a", "b", MemberUpdate(bytes(16), "ghost", 1, True, False, links))
    wiring.now += 0.2
    node.tick(wiring.now)
    node.members._edges = EDGES_MAX + 1
    tell(wiring, "a", "b", MemberUpdate(bytes(16), "ghost", 2, True, True, links))
    assert "ghost" not in known(wiring, "a")
    tell(wiring, "a", "b", MemberUpdate(bytes(16), "ghost", 3, True, False, ()))
    assert "ghost" not in known(wiring, "a"), "it has left for good"
