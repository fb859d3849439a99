"""Refusals are told at both ends, and a flood of them is none of words."""

from __future__ import annotations

import pytest
from trust_mesh import ALL, RELAY, Intruder, Mesh, Reading, Rights, secret_of

from broker.errors import NotPermitted
from broker.protocol import frames
from broker.protocol.frames import Denied, Kind, MemberUpdate
from broker.status import AccessRefused, PeerRefused


def flooding(rights: Rights) -> tuple[Mesh, Intruder]:
    mesh = Mesh({"a": ALL, "m": rights})
    mesh.line("a", "m")
    mesh["a"].subscribe("")
    mesh.run(1.0)
    intruder = Intruder(mesh["m"])
    intruder.node.exchange.permit = lambda topic: None
    return mesh, intruder


def test_one_topic_is_told_of_at_once_and_then_once_a_second_with_how_often() -> None:
    mesh, intruder = flooding(Rights())
    for _ in range(100):
        intruder.endpoint.publish("x", Reading(1))
        mesh.run(0.05)
    mesh.run(2.0)
    for name in ("a", "m"):
        told = mesh.told(name, AccessRefused)
        assert 5 <= len(told) <= 7
        assert told[0].count == 1
        assert sum(refusal.count for refusal in told) == 100
        assert {(refusal.peer, refusal.key, refusal.refused_by) for refusal in told} == {("m", "m", "a")}


def test_of_many_topics_some_are_told_of_apart_and_the_others_together() -> None:
    mesh, intruder = flooding(Rights())
    for number in range(2000):
        intruder.endpoint.publish(f"x/{number}", Reading(1))
    mesh.run(5.0)
    for name in ("a", "m"):
        told = mesh.told(name, AccessRefused)
        assert len(told) <= 60
        assert sum(refusal.count for refusal in told) == 2000
        assert {refusal.right for refusal in told} == {"publish"}
        assert "(others)" in {refusal.what for refusal in told}


@pytest.mark.parametrize("rights", [1, 5000])
def test_who_makes_up_refusals_does_not_flood_whom_it_tells(rights: int) -> None:
    mesh, intruder = flooding(Rights())
    a = mesh["a"]
    for number in range(5000):
        body = frames.encode(Denied(f"right {number % rights}", f"what {number}", 1))
        intruder.route(a, intruder.node.id, a.node.id, Kind.DENIED, body)
    mesh.run(5.0)
    told = mesh.told("a", AccessRefused)
    assert len(told) <= 70
    assert sum(refusal.count for refusal in told) == 5000
    assert {refusal.refused_by for refusal in told} == {"m"}


def test_what_somebody_says_was_refused_garbles_no_terminal() -> None:
    mesh, intruder = flooding(Rights())
    a = mesh["a"]
    intruder.route(a, intruder.node.id, a.node.id, Kind.DENIED, frames.encode(Denied("\x1b[31m", "two\nlines", 1)))
    mesh.run(2.0)
    (told,) = mesh.told("a", AccessRefused)
    assert str(told).isprintable()
    assert "two\\nlines" in told.what


def test_nothing_is_kept_of_refusals_that_are_over() -> None:
    mesh, intruder = flooding(Rights())
    for number in range(100):
        intruder.endpoint.publish(f"x/{number}", Reading(1))
    mesh.run(5.0)
    for name in ("a", "m"):
        refusals = mesh[name].node.refusals
        assert not refusals._accounts
        assert not refusals._apart
        assert refusals.next_deadline() == float("inf")


def test_who_announces_one_stranger_after_the_other_does_not_flood_whom_it_tells() -> None:
    mesh, intruder = flooding(RELAY)
    a = mesh["a"]
    for number in range(3000):
        stranger = secret_of(f"stranger {number % 300}").public.raw
        update = MemberUpdate(number.to_bytes(16, "big"), f"s{number}", 1, True, False, (), key=stranger)
        intruder.say(a, Kind.MEMBER, frames.encode(update))
    mesh.run(5.0)
    told = mesh.told("a", PeerRefused)
    assert 1 < len(told) <= 60
    assert set(told[0].reason.split()[:2]) == {"not", "let"}
    assert len(a.node.members.members) == 1
    assert mesh.linked("a", "m")


@pytest.mark.parametrize(
    ("right", "told"),
    [
        ("publish", "publish 'x'"),
        ("speak for", "speak for 'x'"),
        ("store write", "write the store 'x'"),
        ("store master", "be master of the store 'x'"),
        ("log collect", "collect the log stream 'x'"),
    ],
)
def test_a_right_that_lacks_is_told_in_words(right: str, told: str) -> None:
    assert f"a has no right to {told}: " in str(NotPermitted("a", right, "x"))
    once = AccessRefused("a@1", "a", right, "x", "b", 1)
    assert str(once) == f"a@1 (key a): has no right to {told}: refused once by b"
    assert str(AccessRefused("a@1", "a", right, "x", "b", 2)).endswith(": refused 2 times by b")
