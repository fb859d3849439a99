"""Interests with predicates as they travel: to and from versions that know none, in frames that are bounded, and from
hostile peers."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Struct
from protocol_wiring import Wiring, header, read
from test_protocol_exchange import values
from test_protocol_where import NAME, joined, sent, subscribe

import broker
from broker.errors import NotCarried
from broker.protocol import frames
from broker.protocol.frames import WHERE_BYTES_MAX, Interest, InterestUpdate, Kind
from broker.protocol.member import Member
from broker.protocol.routes import INTERESTS_MAX, Routes, weight_of
from broker.protocol.subscriptions import Subscription
from broker.protocol.wishes import Wishes, decode_update, encode_update, parts_of
from broker.status import PeerLost

# -- older versions ---------------------------------------------------------------------------------------------------


class FormerInterest(Struct, frozen=True, array_like=True):
    """An interest as versions without predicates read and write it."""

    prefix: str
    names: tuple[str, ...] | None


class FormerUpdate(Struct, frozen=True, array_like=True):
    origin: bytes
    base: int
    version: int
    final: bool
    added: tuple[FormerInterest, ...]
    removed: tuple[FormerInterest, ...]


def as_former(payload: bytes) -> FormerUpdate:
    return msgspec.msgpack.decode(payload, type=FormerUpdate)


def test_an_older_version_reads_an_interest_with_a_predicate_as_the_prefix() -> None:
    update = InterestUpdate(bytes(16), 1, 2, True, (Interest("a/", ("E",), b"value>5"), Interest("b/", None)), ())
    assert as_former(encode_update(update)).added == (FormerInterest("a/", ("E",)), FormerInterest("b/", None))


def test_interests_without_predicates_travel_as_ever() -> None:
    update = InterestUpdate(bytes(16), 1, 2, True, (Interest("a/", ("E",)),), (Interest("b/", None),))
    former = FormerUpdate(bytes(16), 1, 2, True, (FormerInterest("a/", ("E",)),), (FormerInterest("b/", None),))
    assert encode_update(update) == frames.encode(former)
    assert decode_update(frames.encode(former)) == (update, 0)


def test_an_older_reader_of_all_changes_always_has_the_right_prefixes() -> None:
    wiring = joined("a", "b")
    node, former = wiring["b"].node, set[FormerInterest]()
    held: dict[bytes | None, Subscription] = {}
    before = len(wiring["b"].sent)
    for where in (b"value>5", None, b"value=0", b"value>5", None, b"value=0", None, b"value=0", None, b"value=0"):
        if where in held:
            node.unsubscribe(held.pop(where))
        else:
            held[where] = subscribe(node, "host/", where)
        wiring.settle()
        for frame in wiring["b"].sent[before:]:
            if frame[0] == Kind.INTERESTS:
                update = as_former(frame[frames.HEADER_BYTES :])
                former = (former - set(update.removed)) | set(update.added)
        before = len(wiring["b"].sent)
        assert former == ({FormerInterest("host/", (NAME,))} if held else set())
        routes = wiring["a"].node.exchange.routes
        assert bool(routes.route("host/x", NAME).lane.members) == bool(held)


def test_who_learned_of_an_interest_from_an_older_version_forgets_it_when_it_is_withdrawn() -> None:
    routes, one = Routes(), Member(b"1" * 16, "1", 1)
    routes.change(one, [Interest("a/", None)], [])  # as an older relay tells it
    routes.change(one, [], [Interest("a/", None, b"value>5")])
    assert not one.interests
    assert not routes.route("a/x", NAME).lane.anyone


def test_a_subscriber_takes_what_it_wants_from_a_publisher_that_knows_no_predicates() -> None:
    wiring = joined("a", "b")
    subscription = subscribe(wiring["b"].node, "host/", b"value>5")
    wiring.settle()
    routes = wiring["a"].node.exchange.routes
    (member,) = wiring["a"].node.members.members.values()
    routes.change(member, [Interest("host/", (NAME,))], [Interest("host/", (NAME,), b"value>5")])
    wiring.publish("a", "host/x", *range(10))
    wiring.settle()
    assert sent(wiring, "a") == [10]
    assert values(read(subscription)) == [6, 7, 8, 9]


# -- from hostile peers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["text", 7, {"a": [1]}, b"", b"x" * (WHERE_BYTES_MAX + 1), [None] * 40])
def test_what_is_no_predicate_is_read_over(where: object) -> None:
    wiring = joined("a", "b")
    node = wiring["b"].node
    link, interests = wiring["a"].link(wiring["b"]), [["host/", None, where], ["other/", None, b"value>5"]]
    payload = frames.encode([node.id, 0, 9, True, interests, []])
    wiring.inject("a", "b", header(Kind.INTERESTS, sequence=link.received + 1) + payload)
    assert not wiring["a"].told(PeerLost)
    (member,) = wiring["a"].node.members.members.values()
    assert member.interests == {Interest("host/", None), Interest("other/", None, b"value>5")}
    assert wiring["a"].node.figures(wiring.now).endpoint.unjudged == 1


def test_an_update_that_is_none_is_refused_whatever_its_predicates() -> None:
    with pytest.raises(broker.Malformed, match="not a InterestUpdate"):
        decode_update(frames.encode([bytes(16), 0, 9, True, [["host/", 7, "text"]], []]))


def test_large_predicates_weigh_as_much_as_many_interests() -> None:
    assert weight_of(Interest("a/", None)) == 1
    assert weight_of(Interest("a/", ("E", "F"), b"x")) == 3
    largest = weight_of(Interest("a/", None, bytes(WHERE_BYTES_MAX)))
    assert INTERESTS_MAX // largest * WHERE_BYTES_MAX < 128 << 20


def test_no_frame_of_interests_is_larger_than_a_frame_may_be() -> None:
    many = tuple(Interest(f"{number:0255}", None, number.to_bytes(2) * (WHERE_BYTES_MAX // 2)) for number in range(999))
    parts = list(parts_of(many))
    assert tuple(interest for part in parts for interest in part) == many
    for part in parts:
        assert len(encode_update(InterestUpdate(bytes(16), 0, 1, True, part, ()))) < frames.FRAME_BYTES_MAX
    names = tuple(Interest(str(number), tuple(f"{name:0255}" for name in range(1000))) for number in range(40))
    assert max(len(frames.encode(part)) for part in parts_of(names)) < frames.FRAME_BYTES_MAX
    assert list(parts_of(())) == [()]


def test_a_predicate_that_is_too_large_is_refused_where_it_is_made() -> None:
    node = Wiring("a")["a"].node
    with pytest.raises(NotCarried, match=str(WHERE_BYTES_MAX)):
        node.subscribe("x", [NAME], where=bytes(WHERE_BYTES_MAX + 1))


def test_equal_wishes_are_told_with_the_first_and_withdrawn_with_the_last() -> None:
    wishes = Wishes()
    plain, first, second = (Interest("a", None, where) for where in (None, b"1", b"2"))
    assert [wishes.add(one) for one in (first, first, plain, second)] == [True, False, True, True]
    assert [wishes.remove(one) for one in (first, first, second, plain)] == [None, (plain,), (plain,), ()]
    assert wishes.add(first)
    assert wishes.remove(first) == ()
