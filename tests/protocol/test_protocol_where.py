"""Predicates of interests: what does not match never leaves its publisher, and who cannot ask them sends it all.

How predicates are spelt and compiled is nothing to the protocol: here they are such as ``value>5``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from protocol_wiring import NOW_NS, Reading, Wiring, read
from test_protocol_exchange import event_payloads, values

import broker
from broker import events
from broker.node import Node
from broker.protocol import frames
from broker.protocol.exchange import Published
from broker.protocol.frames import WHERE_BYTES_MAX, Batch, Interest, Kind
from broker.protocol.member import Member
from broker.protocol.predicates import ASKED_MAX, ASKED_TOTAL
from broker.protocol.routes import Routes
from broker.protocol.subscriptions import Subscription
from broker.status import MessagesLost
from broker.trust.judge import NOTHING

NAME = "protocol.Reading"
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {">": operator.gt, "<": operator.lt, "=": operator.eq}


class Asked:
    """Compiles predicates, and counts what is compiled and asked."""

    def __init__(self) -> None:
        self.compiled: list[bytes] = []
        self.asked: list[bytes] = []

    def __call__(self, where: bytes, kind: type) -> Callable[[object], bool]:
        self.compiled.append(where)
        found = re.fullmatch(r"(\w+)([<>=])(-?\d+)", where.decode())
        if found is None:
            raise ValueError("no predicate")
        field, sign, number = found.groups()
        if field not in {one.name for one in kind.__attrs_attrs__}:  # type: ignore[attr-defined]
            raise ValueError("no such field")

        def test(event: object) -> bool:
            self.asked.append(where)
            return OPERATORS[sign](getattr(event, field), int(number))

        return test


def taught(wiring: Wiring) -> dict[str, Asked]:
    """Teach every station to compile predicates."""
    found = {}
    for name, station in wiring.stations.items():
        found[name] = station.node.exchange.routes.predicates.make_test = Asked()
    return found


def joined(*names: str) -> Wiring:
    """Return stations of which each is linked with the next."""
    wiring = Wiring(*names)
    taught(wiring)
    for one, other in pairwise(names):
        wiring.join(one, other)
    wiring.pass_time(0.5)
    return wiring


def subscribe(node: Node, prefix: str, where: bytes | None, **limits: Any) -> Subscription:
    return node.subscribe(prefix, [NAME], where=where, **limits)


def sent(wiring: Wiring, name: str) -> list[int]:
    """Return how many events each frame had that a station sent or passed on."""
    return [sum(run.count for run in frames.decode(Batch, payload).runs) for payload in event_payloads(wiring, name)]


# -- who gets what ----------------------------------------------------------------------------------------------------


def test_what_a_predicate_does_not_accept_never_leaves_its_publisher() -> None:
    wiring = joined("a", "relay", "b")
    subscription = subscribe(wiring["b"].node, "host/", b"value>5")
    wiring.settle()
    wiring.publish("a", "host/x", *range(10))
    wiring.settle()
    assert values(read(subscription)) == [6, 7, 8, 9]
    assert sent(wiring, "a") == sent(wiring, "relay") == [4]
    figures = wiring["a"].node.figures(wiring.now).endpoint
    assert (figures.published, figures.filtered, figures.unjudged) == (4, 6, 0)
    assert wiring["b"].node.figures(wiring.now).endpoint.received == 4


def test_an_event_that_nobody_accepts_costs_no_frame() -> None:
    wiring = joined("a", "b")
    subscribe(wiring["b"].node, "host/", b"value>5")
    wiring.settle()
    before = len(wiring["a"].sent)
    assert wiring["a"].node.publish("host/x", Reading("a", 1), NOW_NS) is Published.GATHERED
    wiring["a"].node.flush()
    wiring.settle()
    assert len(wiring["a"].sent) == before
    assert wiring["a"].node.readers("host/x") == 1


def test_each_endpoint_gets_what_one_of_its_interests_accepts() -> None:
    wiring = joined("b", "a", "c")
    low, high = (subscribe(wiring["b"].node, "host/", where) for where in (b"value<3", b"value>7"))
    every = wiring["c"].node.subscribe("host/x")
    other = subscribe(wiring["c"].node, "host/", b"value=5")
    ours = subscribe(wiring["a"].node, "host/", b"value=8")
    wiring.settle()
    wiring.publish("a", "host/x", *range(10))
    wiring.publish("a", "host/y", *range(10))
    wiring.settle()
    assert values(read(low)) == [0, 1, 2] * 2
    assert values(read(high)) == [8, 9] * 2
    assert values(read(every)) == list(range(10))
    assert values(read(other)) == [5, 5]
    assert values(read(ours)) == [8, 8]
    assert wiring["b"].node.figures(wiring.now).endpoint.received == 10
    assert wiring["c"].node.figures(wiring.now).endpoint.received == 11


def test_a_predicate_is_asked_once_for_an_event_however_many_endpoints_share_it() -> None:
    wiring = Wiring("a", *(f"b{number}" for number in range(5)))
    asked = taught(wiring)["a"]
    for number in range(5):
        wiring.join("a", f"b{number}")
        subscribe(wiring[f"b{number}"].node, "host/", b"value>5")
        subscribe(wiring[f"b{number}"].node, "host/", b"value=2")
    wiring.settle()
    wiring.publish("a", "host/x", 1, 2, 7)
    wiring.publish("a", "host/y", 3)
    assert sorted(asked.asked) == [b"value=2"] * 4 + [b"value>5"] * 4
    wiring["a"].node.subscribe("host/")
    wiring.publish("a", "host/z", 3)
    assert sorted(asked.compiled) == [b"value=2", b"value>5"]
    links = wiring["a"].node.peerings.links.values()
    bodies = [frame.body for link in links for frame in link.sent if frame.kind == Kind.EVENTS]
    assert len(bodies) == 5
    assert all(body is bodies[0] for body in bodies)


def test_events_that_go_the_same_way_stay_one_run() -> None:
    wiring = joined("a", "b")
    subscribe(wiring["b"].node, "host/", b"value>5")
    wiring.settle()
    node = wiring["a"].node
    for value in (6, 1, 7, 2, 8):
        for topic in ("host/x", "host/y"):
            node.publish(topic, Reading("a", value), NOW_NS)
    node.flush()
    wiring.settle()
    (payload,) = event_payloads(wiring, "a")
    (run,) = frames.decode(Batch, payload).runs
    assert (run.count, run.topics) == (6, ["host/x", "host/y"])


def test_a_predicate_comes_and_goes_beside_a_plain_interest_of_the_same_prefix() -> None:
    wiring = joined("a", "b")
    node = wiring["b"].node
    received = []
    held: dict[bytes | None, Subscription] = {}
    for where in (b"value>5", None, b"value=0", b"value>5", None, b"value=0"):
        if where in held:
            node.unsubscribe(held.pop(where))
        else:
            held[where] = subscribe(node, "host/", where)
        wiring.settle()
        before = node.figures(wiring.now).endpoint.received
        wiring.publish("a", "host/x", *range(10))
        wiring.settle()
        received.append(node.figures(wiring.now).endpoint.received - before)
    assert received == [4, 10, 10, 10, 1, 0]


def test_a_late_joiner_and_one_whose_connection_was_cut_learn_of_predicates() -> None:
    wiring = joined("relay", "b")
    subscription = subscribe(wiring["b"].node, "host/", b"value>5")
    wiring.settle()
    wiring.stations["a"] = wiring.add("a")
    taught(wiring)
    wiring.join("a", "relay")
    wiring.pass_time(0.5)
    wiring.publish("a", "host/x", 1, 6)
    wiring.settle()
    wiring.cut("a", "relay")
    second = subscribe(wiring["b"].node, "host/", b"value=2")
    wiring.publish("a", "host/x", 1, 2, 7)  # it cannot know yet
    wiring.pass_time(2.0)
    wiring.publish("a", "host/x", 1, 2, 8)
    wiring.settle()
    assert values(read(subscription)) == [6, 7, 8]
    assert values(read(second)) == [2]
    assert sent(wiring, "relay") == [1, 1, 2]


def test_events_that_were_encoded_elsewhere_are_asked_about_too() -> None:
    wiring = joined("a", "b")
    subscription = subscribe(wiring["b"].node, "host/", b"value>5")
    wiring.settle()
    exchange = wiring["a"].node.exchange
    chunks = [events.encode(Reading("a", value), NOW_NS)[1] for value in range(600)]
    assert exchange.publish_encoded("host/x", Reading, NAME, chunks) is Published.FIRST
    assert exchange.publish_encoded("host/x", Reading, NAME, chunks[:3]) is Published.GATHERED
    exchange.publish("host/x", broker.Event(NAME, ("a", 3)), NOW_NS)
    exchange.publish("host/x", broker.Event(NAME, ("a", 9)), NOW_NS)
    wiring["a"].node.flush()
    wiring.settle()
    assert values(read(subscription)) == [*range(6, 600), 9]
    assert wiring["b"].node.figures(wiring.now).endpoint.received == 595
    assert wiring["a"].node.figures(wiring.now).endpoint.published == 595


def test_predicates_of_one_endpoint_on_several_topics_are_kept_apart() -> None:
    wiring = joined("a", "b")
    low, high = subscribe(wiring["b"].node, "host/x", b"value<3"), subscribe(wiring["b"].node, "host/y", b"value>7")
    wiring.settle()
    for topic in ("host/x", "host/y"):
        wiring.publish("a", topic, *range(10))
    wiring.settle()
    assert (values(read(low)), values(read(high))) == ([0, 1, 2], [8, 9])
    assert wiring["b"].node.figures(wiring.now).endpoint.received == 5


def test_access_rules_count_whatever_a_predicate_accepts() -> None:
    routes, one, two = Routes(), Member(b"1" * 16, "1", 1), Member(b"2" * 16, "2", 1, distance=1)
    routes.predicates.make_test = Asked()
    refused = []
    routes.refused = lambda member, right, what, count=1: refused.append((member, right, what))
    one.grants, one.distance = NOTHING, 1
    for member in (one, two):
        routes.change(member, [Interest("x", None, b"value>5")], [])
    route = routes.route("x", NAME)
    assert route.lane.fork is not None
    assert routes.choose(route, route.lane.fork, Reading("a", 6)).lane.members == (two,)
    assert refused == [(one, "subscribe", "x")]
    assert routes.count("x") == 1


# -- what cannot be asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [b"nonsense", b"elsewhere>5", b"\xff\xfe", b"x" * WHERE_BYTES_MAX])
def test_a_predicate_that_cannot_be_asked_at_the_publisher_brings_everything(where: bytes) -> None:
    wiring = joined("a", "b")
    plain = wiring["b"].node.subscribe("host/", [NAME], where=where)
    wiring.settle()
    wiring.publish("a", "host/x", 1, 2)
    wiring.settle()
    assert values(read(plain)) == [1, 2]
    assert wiring["a"].node.figures(wiring.now).endpoint.unjudged == 2
    assert wiring["b"].node.figures(wiring.now).endpoint.unjudged == 2


def test_a_predicate_that_raises_accepts() -> None:
    wiring = joined("a", "b")
    subscription = subscribe(wiring["b"].node, "host/", b"host>5")
    wiring.settle()
    wiring.publish("a", "host/x", 1)
    wiring.settle()
    assert values(read(subscription)) == [1]
    assert wiring["a"].node.figures(wiring.now).endpoint.unjudged == 1


def test_of_an_event_that_does_not_fit_its_class_the_receiver_decides() -> None:
    wiring = joined("a", "b")
    subscription = subscribe(wiring["b"].node, "host/", b"value>5")
    unknown = wiring["b"].node.subscribe("host/", ["protocol.unknown"], where=b"value>5")
    wiring.settle()
    node = wiring["a"].node
    node.publish("host/x", broker.Event(NAME, ("a", "nine")), NOW_NS)
    node.publish("host/x", broker.Event("protocol.unknown", (1,)), NOW_NS)
    node.flush()
    wiring.settle()
    assert read(subscription) == []
    assert len(read(unknown)) == 1
    assert wiring["b"].node.figures(wiring.now).endpoint.misfits == 1
    assert sum(sent(wiring, "a")) == 2


def test_who_has_too_many_predicates_for_one_topic_gets_everything() -> None:
    wiring = joined("a", "b")
    for number in range(ASKED_MAX):
        subscribe(wiring["b"].node, "host/", b"value=%d" % number)
    wiring.settle()
    wiring.publish("a", "host/x", -1)
    wiring.settle()
    assert sent(wiring, "a") == []
    subscribe(wiring["b"].node, "host/", b"value=%d" % ASKED_MAX)
    wiring.settle()
    wiring.publish("a", "host/x", -1)
    wiring.settle()
    assert sent(wiring, "a") == [1]


def test_the_predicates_that_are_asked_about_an_event_are_bounded() -> None:
    routes = Routes()
    routes.predicates.make_test = asked = Asked()
    members = [Member(bytes([number]) * 16, str(number), 1) for number in range(ASKED_TOTAL // ASKED_MAX + 1)]
    for number, member in enumerate(members):
        wheres = [b"value=%d" % (number * ASKED_MAX + place) for place in range(ASKED_MAX)]
        routes.change(member, [Interest("", (NAME,), where) for where in wheres], [])
    route = routes.route("x", NAME)
    assert route.lane.fork is not None
    assert routes.choose(route, route.lane.fork, Reading("a", -1)).lane.members == (members[-1],)
    assert len(asked.asked) == ASKED_TOTAL


# -- queues and losses ------------------------------------------------------------------------------------------------


def test_what_a_subscription_does_not_accept_takes_no_room_in_its_queue() -> None:
    wiring = joined("a", "b")
    node = wiring["b"].node
    node.subscribe("host/")
    few = subscribe(node, "host/", b"value=3", queue_messages=2, overflow="drop_newest")
    wiring.settle()
    blocking = subscribe(node, "host/", b"value=4")
    wiring.publish("a", "host/x", 1, 2)
    wiring.settle()
    assert few.empty
    assert blocking.empty
    wiring.publish("a", "host/x", *range(10))
    wiring.settle()
    assert 10 < few.pending_bytes < 30
    for _ in range(2):
        wiring.publish("a", "host/x", *range(10))
    wiring.settle()
    (figures,) = [one for one in node.figures(wiring.now).subscriptions if one.queue_messages == 2]
    assert (figures.delivered, figures.lost, figures.queued) == (2, 1, 2)
    assert values(read(few)) == [3, 3]
    assert few.pending_bytes == 0
    wiring.pass_time(1.0)
    assert sum(status.count for status in wiring["a"].told(MessagesLost) if isinstance(status, MessagesLost)) == 1


def test_who_is_held_by_a_slow_reader_is_not_held_from_publishing_what_that_reader_does_not_want() -> None:
    wiring = joined("a")
    node = wiring["a"].node
    slow = subscribe(node, "host/", b"value>5", queue_messages=1)
    wiring.publish("a", "host/x", 6)
    assert node.publish("host/x", Reading("a", 7), NOW_NS) is Published.BLOCKED
    assert node.publish("host/x", Reading("a", 1), NOW_NS) is Published.GATHERED
    assert values(read(slow)) == [6]
    node.drained(slow)
    assert node.publish("host/x", Reading("a", 7), NOW_NS) is Published.FIRST
    assert node.figures(wiring.now).endpoint.filtered == 0  # nobody elsewhere was spared anything


def test_encoded_events_wait_all_or_none() -> None:
    wiring = joined("a")
    node = wiring["a"].node
    slow = subscribe(node, "host/", b"value>5", queue_messages=1)
    wiring.publish("a", "host/x", 6)
    chunks = [events.encode(Reading("a", value), NOW_NS)[1] for value in (1, 7)]
    assert node.exchange.publish_encoded("host/x", Reading, NAME, chunks) is Published.BLOCKED
    assert values(read(slow)) == [6]
    node.drained(slow)
    assert node.exchange.publish_encoded("host/x", Reading, NAME, chunks) is Published.FIRST
    node.flush()
    assert values(read(slow)) == [7]


def test_the_mesh_tells_which_subscriptions_have_predicates() -> None:
    wiring = joined("a", "b")
    subscribe(wiring["b"].node, "host/", b"value>5")
    wiring["b"].node.subscribe("host/", [NAME])
    wiring.settle()
    (other,) = wiring["a"].node.mesh().named("b")
    assert other.subscriptions == (
        broker.MeshSubscription("host/", (NAME,)),
        broker.MeshSubscription("host/", (NAME,), True),
    )
