"""Rules and keys that change while a mesh lives.  It is long because what has to follow them is much."""

from __future__ import annotations

import pytest
from test_trust_attacks import batch_of
from trust_mesh import ALL, Intruder, Line, Mesh, Reading, Rights, secret_of, values

from broker.errors import NotPermitted
from broker.protocol.frames import Kind
from broker.status import AccessRefused, MessagesLost, PeerLost, StoreConflict


def refusals(mesh: Mesh, name: str) -> set[tuple[str, str, str]]:
    return {(told.peer, told.right, told.what) for told in mesh.told(name, AccessRefused)}


def everything(*names: str) -> Mesh:
    return Mesh(dict.fromkeys(names, ALL))


# -- who is trusted ----------------------------------------------------------------------------------------------------


def test_who_is_revoked_is_cut_off_at_once_and_linked_again_once_it_is_trusted_again() -> None:
    mesh = everything("a", "p")
    a, p = mesh.line("a", "p")
    mesh.rule("p", revoked=True)
    mesh.apply("a")
    assert not mesh.linked("a", "p")
    assert mesh.member("a", "p") is None
    mesh.run(0.1)
    assert not mesh.linked("p", "a")
    assert [lost.code for lost in mesh.told("a", PeerLost)] == ["refused"]
    assert [lost.code for lost in mesh.told("p", PeerLost)] == ["goodbye"]
    assert "revoked" in mesh.told("p", PeerLost)[0].reason
    mesh.run(20.0)
    assert not mesh.linked("a", "p")
    mesh.rule("p", revoked=False)
    mesh.apply("a")
    mesh.run(6.0)  # a dialler's longest pause
    assert mesh.linked("a", "p")
    reader = a.subscribe("")
    mesh.run(0.5)
    p.publish("x", Reading(1))
    mesh.run(0.5)
    assert values(reader) == [1]


@pytest.mark.parametrize("apart_s", [0.0, 0.5, 3.0, 30.0])
def test_who_is_trusted_again_beyond_a_relay_is_back_at_once(apart_s: float) -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    reader, other = a.subscribe("x/"), p.subscribe("y/")
    mesh.run(1.0)
    mesh.rule("p", revoked=True)
    mesh.apply("a")
    assert mesh.member("a", "p") is None
    mesh.run(apart_s)
    a.publish("y/1", Reading(1))
    mesh.rule("p", revoked=False)
    mesh.apply("a")
    mesh.run(0.2)
    assert mesh.reaches("a", "p")
    p.publish("x/1", Reading(2))
    a.publish("y/1", Reading(3))
    mesh.run(3.0)
    assert values(reader) == [2]
    assert values(other) == [3]


def test_who_was_not_trusted_when_it_came_is_there_once_it_is() -> None:
    mesh = everything("a", "r", "p")
    strict = Mesh(dict.fromkeys(("a", "r"), ALL))
    mesh.add("a", access=strict.access)
    mesh.add("r", "a")
    mesh.add("p", "r")
    mesh.run(30.0)
    assert mesh.member("a", "p") is None
    assert mesh.reaches("p", "a")
    mesh.apply("a")
    mesh.run(0.2)
    assert mesh.reaches("a", "p")


def test_rules_that_change_nothing_are_told_to_nobody() -> None:
    mesh = everything("a", "r", "p")
    mesh.line("a", "r", "p")
    mesh.run(3.0)
    carried = {name: mesh[name].node.members.own.version for name in "arp"}
    mesh.apply()
    mesh.run(0.2)
    assert {name: mesh[name].node.members.own.version for name in "arp"} == carried


def test_a_wish_that_our_own_rules_refused_is_tried_again_with_others() -> None:
    mesh = everything("a", "p")
    mesh.add("p")
    mesh.add("a", "p", access=Mesh({"a": ALL}).access)
    mesh.run(20.0)
    assert not mesh.linked("a", "p")
    mesh.apply("a")
    mesh.run(1.0)
    assert mesh.linked("a", "p")


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["a", "r", "p"])
def test_a_key_is_changed_while_messages_flow(who: str) -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    reader, back = a.subscribe("x/"), p.subscribe("y/")
    mesh.run(1.0)
    new = secret_of("new")
    mesh.rule(who, keys=(secret_of(who).public, new.public))
    mesh.apply()
    for number in range(60):
        p.publish("x/1", Reading(number))
        a.publish("y/1", Reading(number))
        if number == 20:
            mesh.trust(who, new)
        if number == 50:  # by now whoever had dialled it has found out that it has closed its connections
            mesh.rule(who, keys=(new.public,))
            mesh.apply()
        mesh.run(0.25)
    mesh.run(3.0)
    assert values(reader) == values(back) == list(range(60))
    assert {mesh.member(name, who).key for name in "arp" if name != who} == {new.public.raw}  # type: ignore[union-attr]
    for name in "arp":
        assert not mesh.told(name, AccessRefused, MessagesLost, PeerLost)


def test_who_keeps_its_old_key_when_the_rules_have_the_new_one_alone_is_cut_off() -> None:
    mesh = everything("a", "p")
    mesh.line("a", "p")
    mesh.rule("p", keys=(secret_of("new").public,))
    mesh.apply("a")
    mesh.run(0.1)
    assert not mesh.linked("a", "p")
    mesh.trust("p", secret_of("new"))
    mesh.run(6.0)
    assert mesh.linked("a", "p")
    assert mesh.reaches("a", "p")


# -- what may be published, and had ------------------------------------------------------------------------------------


def test_rights_that_are_taken_and_given_count_from_then_on() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    reader = a.subscribe("")
    mesh.run(1.0)
    p.publish("x/1", Reading(1))
    mesh.run(0.5)
    mesh.rule("p", own=Rights(publish=("y/",), relay=True))
    mesh.apply("a", "r")  # it does not know itself
    p.publish("x/1", Reading(2))
    p.publish("y/1", Reading(3))
    mesh.run(0.5)
    mesh.rule("p", own=ALL)
    mesh.apply("a", "r")
    p.publish("x/1", Reading(4))
    mesh.run(2.0)
    assert values(reader) == [1, 3, 4]
    assert refusals(mesh, "a") == refusals(mesh, "p") == {("p", "publish", "x/1")}
    assert sum(lost.count for lost in mesh.told("p", MessagesLost)) == 1
    assert sum(lost.count for lost in mesh.told("a", MessagesLost)) == 1


def test_who_may_not_have_it_any_more_gets_no_more_of_it() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    reader = a.subscribe("")
    mesh.run(1.0)
    p.publish("x/1", Reading(1))
    mesh.rule("a", own=Rights(subscribe=("y/",), relay=True))
    mesh.apply("p")
    p.publish("x/1", Reading(2))
    p.publish("y/1", Reading(3))
    mesh.run(0.5)
    mesh.rule("a", own=ALL)
    mesh.apply("p")
    p.publish("x/1", Reading(4))
    mesh.run(2.0)
    assert values(reader) == [1, 3, 4]
    assert refusals(mesh, "a") == refusals(mesh, "p") == {("a", "subscribe", "x/1")}


def test_our_own_rules_hold_us_and_follow_changes() -> None:
    mesh = Mesh({"a": Rights(publish=("x/",), subscribe=("x/",))})
    a = mesh.add("a")
    a.publish("x/1", Reading(1))
    a.subscribe("x/y/")
    for refused in (
        lambda: a.publish("y/1", Reading(1)),
        lambda: a.subscribe(""),
        lambda: a.master("s"),
        lambda: a.clone("s"),
        lambda: a.log("l", Line),
        lambda: a.collect("l", Line),
    ):
        with pytest.raises(NotPermitted, match="a"):
            refused()
    mesh.rule("a", own=Rights(publish=("y/",), stores={"s": ("read",)}))
    mesh.apply()
    with pytest.raises(NotPermitted):
        a.publish("x/1", Reading(1))
    a.publish("y/1", Reading(1))
    a.clone("s")


# -- relays ------------------------------------------------------------------------------------------------------------


def test_ways_lead_around_who_may_not_relay_any_more() -> None:
    mesh = everything("a", "m", "r", "s", "p")
    mesh.line("a", "m", "p")
    mesh.add("r", "a")
    mesh.add("s", "r", "p")
    mesh.run(1.0)
    a, p = mesh["a"], mesh["p"]
    reader = a.subscribe("")
    mesh.run(1.0)
    assert mesh.member("p", "a").hop.peer_name == "m"  # type: ignore[union-attr]
    mesh.rule("m", own=Rights(publish=("",)))
    mesh.apply()
    mesh.run(0.1)
    assert mesh.member("p", "a").hop.peer_name == "s"  # type: ignore[union-attr]
    relayed = mesh["m"].node.transit.relayed
    p.publish("x", Reading(1))
    mesh.run(0.5)
    assert values(reader) == [1]
    assert mesh["m"].node.transit.relayed == relayed


def test_what_comes_by_way_of_who_may_not_relay_is_not_taken_whatever_its_sender_thinks() -> None:
    mesh = everything("a", "m", "p")
    strict = everything("a", "m", "p")
    strict.rule("m", own=Rights(publish=("",)))
    mesh.add("a", access=strict.access)
    mesh.add("m", "a")
    p = mesh.add("p", "m")
    mesh.run(1.0)
    a = mesh["a"]
    reader = a.subscribe("")
    mesh.run(1.0)
    assert not mesh.reaches("a", "p")
    # By its own rules ``p`` has a way to ``a``, and sends what it has sealed as it should.
    sender, made = Intruder(p), batch_of(1, "x")
    sender.route(
        mesh["m"], p.node.id, a.node.id, Kind.EVENTS, made, flow=1, sequence=1,
        sealed=sender.seal(a, Kind.EVENTS, made, p.node.id, 1, 1),
    )  # fmt: skip
    mesh.run(1.0)
    assert values(reader) == []
    assert ("m", "relay", "p") in refusals(mesh, "a") & refusals(mesh, "m")


# -- stores ------------------------------------------------------------------------------------------------------------


def test_a_clone_that_may_not_read_any_more_gets_nothing_more_and_both_ends_are_told() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    master = a.master("s")
    mesh.run(0.5)
    clone = p.clone("s")
    mesh.run(0.5)
    master.put("k", 1)
    mesh.run(0.5)
    mesh.rule("p", own=Rights(stores={"s": ("write",)}, relay=True))
    mesh.apply("a")
    master.put("k", 2)
    mesh.run(5.0)
    assert clone.items() == {"k": 1}
    assert not clone.machine.following  # type: ignore[union-attr]
    assert "access rules" in clone.machine.refused  # type: ignore[union-attr]
    assert refusals(mesh, "a") == refusals(mesh, "p") == {("p", "store read", "s")}
    mesh.rule("p", own=ALL)
    mesh.apply("a")
    mesh.run(3.0)
    assert clone.items() == {"k": 2}


def test_a_clone_that_may_not_write_any_more_is_told_for_each_write() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    master = a.master("s")
    mesh.run(0.5)
    clone = p.clone("s")
    mesh.run(0.5)
    mesh.rule("p", own=Rights(stores={"s": ("read",)}, relay=True))
    mesh.apply("a")
    asked = clone.put("k", 1)
    mesh.run(1.0)
    assert type(asked.error).__name__ == "StoreNotPermitted"
    master.put("k", 2)
    mesh.run(1.0)
    assert clone.items() == {"k": 2}


def test_a_master_that_may_not_be_it_any_more_is_followed_no_more_from_that_moment() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    master = a.master("s")
    mesh.run(0.5)
    clone = p.clone("s")
    mesh.run(0.5)
    mesh.rule("a", own=Rights(stores={"s": ("read", "write")}, relay=True))
    master.put("k", 1)  # it is on its way when the rule changes
    mesh.apply("p")
    assert clone.machine.master is None  # type: ignore[union-attr]
    mesh.run(3.0)
    assert clone.items() == {}
    assert refusals(mesh, "a") == refusals(mesh, "p") == {("a", "store master", "s")}
    mesh.rule("a", own=ALL)
    mesh.apply("p")
    mesh.run(1.0)
    assert clone.items() == {"k": 1}
    assert not mesh.told("p", StoreConflict)


@pytest.mark.parametrize("who", ["a", "p"])
def test_a_store_goes_on_while_a_key_is_changed(who: str) -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    master = a.master("s")
    mesh.run(0.5)
    clone = p.clone("s")
    mesh.run(0.5)
    mesh.rule(who, keys=(secret_of(who).public, secret_of("new").public))
    mesh.apply()
    asked = []
    for number in range(20):
        asked.append(clone.increment("n", 1))
        if number == 10:
            mesh.trust(who, secret_of("new"))
        mesh.run(0.02)
    mesh.run(8.0)
    assert all(request.done and request.error is None for request in asked)
    assert master.items() == clone.items() == {"n": 20}


# -- log streams -------------------------------------------------------------------------------------------------------


def test_a_collector_that_may_not_collect_any_more_gets_nothing_more_and_is_told() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    log = a.log("l", Line)
    mesh.run(0.5)
    collector = p.collect("l", Line, name="n")
    mesh.run(0.5)
    log.write(Line(1))
    mesh.run(1.0)
    mesh.rule("p", own=Rights(relay=True))
    mesh.apply("a")
    log.write(Line(2))
    mesh.run(3.0)
    assert [message.record.value for message in collector.messages] == [1]
    assert "access rules" in p.node.logs.collectors[0].refused["a"]
    assert refusals(mesh, "a") == refusals(mesh, "p") == {("p", "log collect", "l")}
    mesh.rule("p", own=ALL)
    mesh.apply("a")
    mesh.run(0.5)
    assert [message.record.value for message in collector.messages] == [1, 2]


def test_a_writer_that_may_not_write_any_more_is_collected_no_more_from_that_moment() -> None:
    mesh = everything("a", "r", "p")
    a, _, p = mesh.line("a", "r", "p")
    log = a.log("l", Line)
    mesh.run(0.5)
    collector = p.collect("l", Line, name="n")
    mesh.run(0.5)
    mesh.rule("a", own=Rights(relay=True))
    log.write(Line(1))
    mesh.apply("p")
    mesh.run(3.0)
    assert collector.messages == []
    assert ("a", "log write", "l") in refusals(mesh, "a") & refusals(mesh, "p")
    mesh.rule("a", own=ALL)
    mesh.apply("p")
    mesh.run(5.0)
    assert [message.record.value for message in collector.messages] == [1]


# -- who does not trust us ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beyond", [True, False])
def test_who_does_not_trust_us_does_not_keep_us_from_publishing_to_others_for_ever(beyond: bool) -> None:
    """Rules come to different hosts at different times; one that does not know our key gives no room either."""
    mesh = everything("a", "r", "p")
    a, r, p = mesh.line("a", "r", "p")
    reader, other = a.subscribe(""), r.subscribe("")
    mesh.run(1.0)
    mesh.rule("p", revoked=True)
    mesh.apply("a" if beyond else "r")
    mesh.rule("p", revoked=False)
    mesh.run(0.5)
    number, blob = 0, "x" * 200
    for _ in range(60):
        for _ in range(400):
            number += p.publish(f"x/{blob}", Reading(number))
        mesh.run(1.0)
    assert number == 24_000
    assert len(other.messages) == (24_000 if beyond else 0)
    assert not reader.messages
    mesh.apply()
    mesh.run(30.0)
    assert p.publish("x/1", Reading(-1))
    mesh.run(1.0)
    assert values(reader)[-1] == values(other)[-1] == -1
