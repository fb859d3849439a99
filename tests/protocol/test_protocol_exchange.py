from __future__ import annotations

import random

import pytest
from protocol_wiring import NOW_NS, Block, Reading, Wiring, read

import broker
from broker.errors import EventMisfit, NotCarried, TopicError
from broker.protocol import frames
from broker.protocol.addresses import read_address
from broker.protocol.exchange import EVENT_BYTES_MAX, Published
from broker.protocol.flows import REPORT_DELAY_S, ROOM_MAX
from broker.protocol.frames import RUN_EVENTS, Batch, Kind
from broker.protocol.wires import Timing
from broker.status import EventMisfitted, MessagesLost, PeerLost


def event_payloads(wiring: Wiring, name: str) -> list[bytes]:
    sent = [frame for frame in wiring[name].sent if frame[0] == Kind.EVENTS]
    return [frame[frames.HEADER_BYTES + read_address(frame, frames.HEADER_BYTES).size :] for frame in sent]


def values(messages: list[broker.Message]) -> list[int]:
    return [message.event.value for message in messages]


def test_an_event_arrives_with_its_topic_time_and_origin() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("host/")
    wiring.settle()
    wiring.publish("a", "host//cpu", 7)
    wiring.settle()
    assert read(subscription) == [broker.Message("host/cpu", Reading("a", 7), NOW_NS, "a")]


def test_events_for_many_peers_are_encoded_once() -> None:
    wiring = Wiring("a", *(f"b{number}" for number in range(5)))
    subscriptions = []
    for number in range(5):
        wiring.join("a", f"b{number}")
        subscriptions.append(wiring[f"b{number}"].node.subscribe("x"))
    wiring.settle()
    wiring.publish("a", "x", 1, 2, 3)
    links = wiring["a"].node.peerings.links.values()
    bodies = [frame.body for link in links for frame in link.sent if frame.kind == Kind.EVENTS]
    assert len(bodies) == 5
    assert all(body is bodies[0] for body in bodies)
    wiring.settle()
    assert [values(read(subscription)) for subscription in subscriptions] == [[1, 2, 3]] * 5


def test_each_link_gets_only_what_it_wants() -> None:
    wiring = Wiring("a", "b", "c")
    wiring.join("a", "b")
    wiring.join("a", "c")
    first = wiring["b"].node.subscribe("x/")
    second = wiring["c"].node.subscribe("y/")
    both = wiring["c"].node.subscribe("x/1")
    wiring.settle()
    node = wiring["a"].node
    for value, topic in enumerate(["x/0", "y/0", "x/1", "z/0", "y/1", "x/1"]):
        assert node.publish(topic, Reading("a", value), NOW_NS)
    node.flush()
    wiring.settle()
    assert values(read(first)) == [0, 2, 5]
    assert values(read(second)) == [1, 4]
    assert values(read(both)) == [2, 5]
    batches = [frames.decode(Batch, payload) for payload in event_payloads(wiring, "a")]
    assert sorted(topic for batch in batches for run in batch.runs for topic in run.topics).count("z/0") == 0


def test_events_keep_their_order_across_topics_and_classes() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("")
    some = wiring["b"].node.subscribe("t1")
    wiring.settle()
    node, rng = wiring["a"].node, random.Random(1)
    published = []
    for number in range(3000):
        topic = f"t{rng.randrange(300)}"
        event = Reading("a", number) if rng.random() < 0.5 else Block(number, b"")
        assert node.publish(topic, event, NOW_NS)
        published.append((topic, event))
        if rng.random() < 0.01:
            node.flush()
    node.flush()
    wiring.settle()
    assert [(message.topic, message.event) for message in read(subscription)] == published
    expected = [(topic, event) for topic, event in published if topic.startswith("t1")]
    assert [(message.topic, message.event) for message in read(some)] == expected


def test_a_batch_leaves_by_itself_when_it_is_full() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x")
    wiring.settle()
    codes = [wiring["a"].node.publish("x", Block(number, bytes(1000)), NOW_NS) for number in range(70)]
    assert codes[0] is Published.FIRST
    assert codes.count(Published.FULL) == 1
    assert set(codes[1:]) == {Published.GATHERED, Published.FULL, Published.FIRST}
    wiring.settle()
    assert len(read(subscription)) == codes.index(Published.FULL) + 1


def test_long_runs_travel_in_pieces_that_a_reader_decodes_one_at_a_time() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x")
    wiring.settle()
    wiring.publish("a", "x", *range(1000))
    wiring.settle()
    sizes = []
    while (messages := subscription.take()) is not None:
        sizes.append(len(messages))
    assert sizes == [RUN_EVENTS, RUN_EVENTS, RUN_EVENTS, 1000 - 3 * RUN_EVENTS]


def test_an_endpoint_gets_what_it_publishes_itself_in_order_with_the_rest() -> None:
    wiring = Wiring("a")
    subscription = wiring["a"].node.subscribe("x")
    wiring.publish("a", "x/1", 1)
    wiring.publish("a", "x/2", 2, 3)
    assert values(read(subscription)) == [1, 2, 3]


# -- what can't be published ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [False, True])
def test_an_event_that_is_too_large_is_refused_and_the_rest_arrives(wanted: bool) -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x" if wanted else "y")
    wiring.settle()
    node = wiring["a"].node
    assert node.publish("x", Block(1, b""), NOW_NS)
    with pytest.raises(NotCarried, match=r"protocol\.Block: .* an event has at most 4194304"):
        node.publish("x", Block(2, bytes(EVENT_BYTES_MAX)), NOW_NS)
    assert node.publish("x", Block(3, bytes(EVENT_BYTES_MAX - 100)), NOW_NS)
    node.flush()
    wiring.settle()
    assert [message.event.number for message in read(subscription)] == ([1, 3] if wanted else [])


def test_bad_topics_and_misfits_raise_whether_anybody_wants_them_or_not() -> None:
    node = Wiring("a")["a"].node
    with pytest.raises(TopicError):
        node.publish("", Reading("a", 1), NOW_NS)
    with pytest.raises(TopicError):
        node.publish(3, Reading("a", 1), NOW_NS)  # type: ignore[arg-type]
    with pytest.raises(TopicError):
        node.publish(["x"], Reading("a", 1), NOW_NS)  # type: ignore[arg-type]
    with pytest.raises(EventMisfit):
        node.publish("x", Reading("a", "one"), NOW_NS)  # type: ignore[arg-type]


def test_an_event_that_does_not_fit_here_is_told_and_reaches_nobody() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("")
    wiring.settle()
    node = wiring["a"].node
    for topic, args in [("x", ("h", 1)), ("y", ("h", "two")), ("x", ("h", 3)), ("z", ())]:
        assert node.publish(topic, broker.Event("protocol.Reading", args), NOW_NS)
    node.flush()
    wiring.settle()
    assert values(read(subscription)) == [1, 3]
    wiring.settle()
    told = wiring["b"].told(EventMisfitted)
    assert [(s.topic, s.origin, s.event, s.field) for s in told if isinstance(s, EventMisfitted)] == [
        ("y", "a", "protocol.Reading", "value"),
        ("z", "a", "protocol.Reading", "host"),
    ]
    assert wiring["b"].node.exchange.delivering.misfits == 2


# -- slow readers ---------------------------------------------------------------------------------------------------


def fill(wiring: Wiring, name: str, topic: str) -> int:
    """Publish blocks until one is not taken; returns how many were taken."""
    for number in range(1000):
        if wiring[name].node.publish(topic, Block(number, bytes(100_000)), NOW_NS) is Published.BLOCKED:
            return number
        wiring[name].node.flush()
        wiring.settle()
    raise AssertionError("never blocked")


def test_a_slow_reader_blocks_the_publisher_who_goes_on_when_it_has_read() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x", queue_messages=10)
    wiring.settle()
    taken = fill(wiring, "a", "x")
    assert 100_000 * taken < 10 * 100_000 + ROOM_MAX + 2 * 100_000
    assert wiring["a"].node.publish("other", Block(0, b""), NOW_NS) is not Published.BLOCKED
    got = read(subscription)
    wiring["b"].node.drained(subscription)
    wiring.settle()
    got += read(subscription)
    assert [message.event.number for message in got] == list(range(taken))
    assert wiring["a"].node.publish("x", Block(taken, b""), NOW_NS) is not Published.BLOCKED


def test_unsubscribing_unblocks_the_publisher() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x", queue_messages=1)
    wiring.settle()
    fill(wiring, "a", "x")
    wiring["b"].node.unsubscribe(subscription)
    wiring.settle()
    assert wiring["a"].node.publish("x", Block(0, b""), NOW_NS) is not Published.BLOCKED


def test_the_end_of_a_slow_peer_unblocks_the_publisher_and_its_losses_are_counted() -> None:
    wiring = Wiring("a", "b")
    wiring.join("b", "a")
    subscription = wiring["b"].node.subscribe("x", queue_messages=1)
    wiring.settle()
    taken = fill(wiring, "a", "x")
    wiring.pass_time(REPORT_DELAY_S + 0.1)
    arrived = subscription.pending
    assert 0 < arrived < taken
    wiring["b"].node.unpeer("sim://a")
    wiring.pass_time(Timing().resume_s - 0.1)
    assert not wiring["a"].told(MessagesLost), "it may come back"
    wiring.pass_time(0.3)
    (lost,) = wiring["a"].told(MessagesLost)
    assert isinstance(lost, MessagesLost)
    assert arrived + lost.count == taken
    assert wiring["a"].node.publish("x", Block(0, b""), NOW_NS) is not Published.BLOCKED


def test_our_own_slow_reader_blocks_our_own_publisher() -> None:
    wiring = Wiring("a")
    subscription = wiring["a"].node.subscribe("x", queue_messages=10)
    wiring.publish("a", "x", *range(10))
    node = wiring["a"].node
    assert node.publish("x", Reading("a", 10), NOW_NS) is Published.BLOCKED
    read(subscription)
    node.drained(subscription)
    assert node.publish("x", Reading("a", 10), NOW_NS) is Published.FIRST


def test_what_was_gathered_for_a_peer_that_left_is_told_as_lost_when_it_does_not_come_back() -> None:
    wiring = Wiring("a", "b")
    wiring.join("b", "a")
    wiring["b"].node.subscribe("x")
    wiring.settle()
    for value in range(3):
        assert wiring["a"].node.publish("x", Reading("a", value), NOW_NS)
    wiring["b"].node.unpeer("sim://a")
    wiring.settle()
    wiring["a"].node.flush()
    wiring.settle()
    assert len(wiring["a"].told(PeerLost)) == 1
    wiring.pass_time(Timing().resume_s + 0.1)
    assert sum(status.count for status in wiring["a"].told(MessagesLost) if isinstance(status, MessagesLost)) == 3
    assert not wiring["a"].node.exchange._obstacles, "who has gone is in nobody's way"


def test_what_was_interrupted_arrives_once_and_in_order_when_the_link_is_back() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    subscription = wiring["b"].node.subscribe("x")
    wiring.settle()
    sent = 0
    for round_ in range(10):
        for _ in range(20):
            if wiring["a"].node.publish("x", Reading("a", sent), NOW_NS) is Published.BLOCKED:
                break
            sent += 1
            wiring["a"].node.flush()
            wiring.step(round_)
        wiring.cut("a", "b", both_notice=bool(round_ % 2))
        wiring.pass_time(6.0)
    assert values(read(subscription)) == list(range(sent))
    assert sent > 100


def test_what_was_received_just_before_its_receiver_left_is_not_told_as_lost() -> None:
    wiring = Wiring("a", "b")
    wiring.join("a", "b")
    wiring["b"].node.subscribe("x")
    wiring.pass_time(0.5)
    wiring.publish("a", "x", 1, 2, 3)
    wiring.settle()
    wiring["b"].node.close()
    wiring.settle()
    wiring.pass_time(2.0)
    assert not wiring["a"].told(MessagesLost)


def test_an_event_that_would_fill_a_receivers_memory_is_refused_where_it_is_published() -> None:
    wiring = Wiring("a")
    subscription = wiring["a"].node.subscribe("")
    many = broker.Event("protocol.many", ([{}] * 400_000,))
    with pytest.raises(NotCarried, match=r"protocol\.many: .* send it in parts"):
        wiring["a"].node.publish("x", many, NOW_NS)
    few = broker.Event("protocol.many", ([{}] * 100_000,))
    wiring["a"].node.publish("x", few, NOW_NS)
    wiring["a"].node.flush()
    assert [message.event for message in read(subscription)] == [few]
