from __future__ import annotations

from collections.abc import Callable

import pytest
from protocol_wiring import NOW_NS, Reading, Wiring, header, kinds, read

from broker.errors import TopicError
from broker.protocol import frames
from broker.protocol.frames import Interest, InterestUpdate, Kind
from broker.protocol.interests import ASK_S, ASKS_MAX
from broker.protocol.member import Member
from broker.protocol.routes import ROUTES_MAX, Routes
from broker.protocol.subscriptions import Subscription
from broker.status import PeerLost


def interest_updates(wiring: Wiring, name: str) -> list[InterestUpdate]:
    return [
        frames.decode(InterestUpdate, frame[frames.HEADER_BYTES :])
        for frame in wiring[name].sent
        if frame[0] == Kind.INTERESTS
    ]


def test_a_subscription_is_announced_once_every_peer_has_acknowledged_it() -> None:
    wiring = Wiring("a", "b", "c")
    wiring.join("a", "b")
    wiring.join("a", "c")
    node = wiring["a"].node
    subscription = node.subscribe("x")
    assert not node.is_announced(subscription)
    wiring.step()
    assert not node.is_announced(subscription)
    wiring.pass_time(0.1)  # the links are new: word waits until ways have been worked out
    assert node.is_announced(subscription)
    assert wiring["b"].node.readers("x/1") == wiring["c"].node.readers("x/1") == 1


def test_without_peers_a_subscription_is_announced_at_once() -> None:
    node = Wiring("a")["a"].node
    assert node.is_announced(node.subscribe("x"))


def test_a_peer_that_goes_away_is_not_waited_for() -> None:
    wiring = Wiring("a", "b")
    wiring.join("b", "a")
    subscription = wiring["a"].node.subscribe("x")
    wiring["b"].node.close()
    wiring.settle()
    assert wiring["a"].node.is_announced(subscription)


def test_equal_interests_are_announced_with_the_first_and_withdrawn_with_the_last() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    node = wiring["a"].node
    before = len(interest_updates(wiring, "a"))
    first, second = node.subscribe("x"), node.subscribe("x")
    wiring.settle()
    assert [update.added for update in interest_updates(wiring, "a")[before:]] == [(Interest("x", None),)]
    node.unsubscribe(first)
    wiring.settle()
    assert wiring["b"].node.readers("x") == 1
    node.unsubscribe(second)
    wiring.settle()
    assert [update.removed for update in interest_updates(wiring, "a")[before + 1 :]] == [(Interest("x", None),)]
    assert wiring["b"].node.readers("x") == 0


def test_a_second_equal_subscription_waits_for_the_firsts_acknowledgement() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    node = wiring["a"].node
    first, second = node.subscribe("x"), node.subscribe("x")
    assert not node.is_announced(second)
    node.unsubscribe(first)
    assert not node.is_announced(second)
    wiring.settle()
    assert node.is_announced(second)


def test_interests_of_one_prefix_with_other_names_are_not_equal() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    node = wiring["a"].node
    every = node.subscribe("x")
    node.subscribe("x", ["protocol.Reading", "other"])
    wiring.settle()
    node.unsubscribe(every)
    wiring.settle()
    other = wiring["b"].node
    assert other.exchange.routes.route("x", "protocol.Reading").lane.anyone
    assert not other.exchange.routes.route("x", "third").lane.anyone


def test_twenty_thousand_interests_travel_in_several_frames_and_count_as_one_change() -> None:
    wiring = Wiring("a", "b")
    node = wiring["a"].node
    for number in range(20_000):
        node.subscribe(f"host/{number:05}/")
    wiring.join("a", "b")
    updates = interest_updates(wiring, "a")
    assert [(update.base, update.final, len(update.added)) for update in updates] == [
        (0, False, 8192),
        (0, False, 8192),
        (0, True, 20_000 - 2 * 8192),
    ]
    assert len({update.version for update in updates}) == 1
    (peer,) = wiring["b"].node.peers()
    assert peer.interests == 20_000
    assert wiring["b"].node.readers("host/19999/cpu") == 1


def test_a_subscription_made_while_a_link_begins_is_known_when_it_is_added() -> None:
    for steps in range(12):
        wiring = Wiring("a", "b")
        wiring.peer("a", "b")
        for _ in range(steps):
            wiring.step()
        subscription = wiring["b"].node.subscribe("x")
        while not (wiring["a"].node.peers() and wiring["b"].node.is_announced(subscription)):
            assert wiring.step()
        wiring.publish("a", "x", 1)
        wiring.settle()
        assert len(read(subscription)) == 1, steps


def test_a_prefix_that_is_no_prefix_is_refused() -> None:
    with pytest.raises(TopicError):
        Wiring("a")["a"].node.subscribe("x\n")


@pytest.mark.parametrize("prefix", ["a//b", "é" + "\n", "x" * 300, "e\N{COMBINING ACUTE ACCENT}"])
def test_a_peer_that_announces_what_is_no_prefix_breaks_the_protocol_and_no_more(prefix: str) -> None:
    wiring = Wiring("a", "b", "c")
    link, _ = wiring.join("a", "b")
    wiring.join("a", "c")
    update = InterestUpdate(wiring["b"].node.id, 0, 9, True, (Interest(prefix, None),), ())
    wiring.inject("a", "b", header(Kind.INTERESTS, sequence=link.received + 1) + frames.encode(update))
    (lost,) = wiring["a"].told(PeerLost)
    assert isinstance(lost, PeerLost)
    assert lost.reason.startswith("broke the protocol")
    assert [peer.name for peer in wiring["a"].node.peers()] == ["c"]
    assert Kind.BYE in kinds(wiring["a"].sent)


# -- routes -----------------------------------------------------------------------------------------------------------


def member(name: str) -> Member:
    return Member(name.encode().ljust(16), name, 1, distance=1)


def test_a_route_holds_whoever_wants_a_prefix_of_the_topic_once() -> None:
    routes = Routes()
    one, two = member("1"), member("2")
    routes.change(one, [Interest("a", None), Interest("a/b", None), Interest("", ("E",))], [])
    routes.change(two, [Interest("a/b", ("E", "F"))], [])
    subscription = Subscription(Interest("a/", ("F",)))
    routes.add_local(subscription)
    assert routes.route("a/b", "E").lane.members == (one, two)
    assert routes.route("a/b", "E").lane.local == ()
    assert routes.route("a/b", "F").lane.local == (subscription,)
    assert routes.route("a", "F").lane.members == (one,)
    assert routes.route("z", "E").lane.members == (one,)
    assert not routes.route("z", "F").lane.anyone
    assert routes.count("a/b") == 3


def test_a_route_is_kept_until_an_interest_changes() -> None:
    routes = Routes()
    told: list[bool] = []
    routes.invalidated = lambda: told.append(True)
    one = member("1")
    changes: list[Callable[[], None]] = [
        lambda: routes.change(one, [Interest("a", None)], []),
        lambda: routes.change(one, [], [Interest("a", None)]),
        lambda: routes.forget(one),
    ]
    for count, change in enumerate(changes, 1):
        before = routes.route("a", "E")
        assert routes.route("a", "E") is before
        change()
        assert len(told) == count
        assert routes.route("a", "E") is not before
    assert not routes.route("a", "E").lane.anyone


def test_topics_that_go_the_same_way_share_a_lane() -> None:
    routes = Routes()
    routes.change(member("1"), [Interest("a/", None)], [])
    assert routes.route("a/1", "E").lane is routes.route("a/2", "E").lane
    assert routes.route("a/1", "E").lane is not routes.route("a/1", "F").lane


def test_any_number_of_topics_keeps_a_bounded_number_of_routes() -> None:
    routes = Routes()
    for number in range(ROUTES_MAX + 10):
        routes.route(str(number), "E")
    assert len(routes._routes) == 10
    assert len(routes._lanes) <= 1


def test_withdrawing_what_was_never_wanted_changes_nothing() -> None:
    routes = Routes()
    one = member("1")
    routes.change(one, [Interest("a", None)], [Interest("b", None), Interest("a", ("E",))])
    assert (one.interests, one.interests_weight) == ({Interest("a", None)}, 1)
    routes.forget(one)
    routes.forget(one)
    assert (one.interests, one.interests_weight) == (set(), 0)


def test_a_change_of_interests_takes_effect_between_two_events_of_a_batch() -> None:
    wiring = Wiring("a")
    node = wiring["a"].node
    first = node.subscribe("x")
    assert node.publish("x", Reading("a", 1), NOW_NS)
    second = node.subscribe("x/")
    assert node.publish("x/y", Reading("a", 2), NOW_NS)
    node.unsubscribe(first)
    assert node.publish("x/y", Reading("a", 3), NOW_NS)
    node.flush()
    assert [message.event.value for message in read(second)] == [2, 3]


def test_who_never_answers_holds_a_subscription_up_for_a_limited_time() -> None:
    wiring = Wiring("a", "b", "mute")
    wiring.join("a", "b")
    wiring.join("a", "mute")
    wiring.pass_time(0.5)
    wiring["mute"].node.interests.tell_learned = lambda member: None  # type: ignore[method-assign]
    node = wiring["a"].node
    subscription = node.subscribe("x")
    wiring.pass_time(ASKS_MAX * ASK_S / 2)
    assert not node.is_announced(subscription)
    wiring.pass_time(ASKS_MAX * ASK_S)
    assert node.is_announced(subscription)
    assert wiring["b"].node.readers("x") == 1


def test_a_peer_that_never_tells_what_it_knows_holds_a_subscription_up_for_a_limited_time() -> None:
    wiring = Wiring("a", "mute")
    wiring["mute"].node._take_sync = lambda link, sync: None  # type: ignore[method-assign]
    wiring.peer("mute", "a")
    wiring.settle()
    node = wiring["a"].node
    subscription = node.subscribe("x")
    wiring.pass_time(ASKS_MAX * ASK_S / 2)
    assert not node.is_announced(subscription)
    wiring.pass_time(ASKS_MAX * ASK_S)
    assert node.is_announced(subscription)
