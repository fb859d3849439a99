"""The endpoint's API, on a simulated network where the transport does not matter."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

import broker
from broker import Endpoint, EndpointClosed
from broker.errors import RuleError
from broker.rules import of
from broker.testing import SimulatedNetwork


@broker.event(name="endpoint.Tick")
class Tick:
    number: int


@broker.event(name="endpoint.Tock")
class Tock:
    number: int


@pytest.fixture
async def pair(autojump_clock: trio.testing.MockClock) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Two endpoints, a and b, linked.  A test that lets time pass asks for the clock too: it jumps for those alone."""
    network = SimulatedNetwork()
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.peer(await two.listen("sim://b"))
        yield one, two


# -- names and life ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "\ud800", 3, b"name"])
def test_a_name_is_printable_text_of_at_most_255_bytes(name: str) -> None:
    with pytest.raises(ValueError, match="an endpoint's name is printable text"):
        Endpoint(name)


def test_without_a_name_it_is_called_by_host_and_process() -> None:
    assert Endpoint().name != ""


@pytest.mark.parametrize("linger_s", ["2", -1, math.nan, None])
def test_how_long_leaving_may_wait_is_a_number_of_seconds(linger_s: Any) -> None:
    with pytest.raises(ValueError, match="linger_s is a number of seconds, at least 0"):
        Endpoint("one", linger_s=linger_s)


async def test_it_is_used_inside_async_with_once() -> None:
    endpoint = Endpoint("a", network=SimulatedNetwork())
    with pytest.raises(EndpointClosed, match="not started"):
        await endpoint.listen("sim://a")
    with pytest.raises(EndpointClosed, match="not started"):
        await endpoint.publish("x", Tick(1))
    async with endpoint:
        pass
    with pytest.raises(EndpointClosed, match="is closed"):
        await endpoint.peer("sim://b")
    with pytest.raises(EndpointClosed, match="is closed"):
        endpoint.publish_nowait("x", Tick(1))
    with pytest.raises(EndpointClosed, match="entered once"):
        await endpoint.__aenter__()


async def test_an_exception_passes_through_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Endpoint("a", network=SimulatedNetwork()):
            raise ZeroDivisionError


async def test_closing_wakes_whoever_waits(autojump_clock: trio.testing.MockClock) -> None:
    endpoint = Endpoint("a", network=SimulatedNetwork())
    ended = []

    async def read() -> None:
        async with endpoint.subscribe("x") as messages:
            with pytest.raises(EndpointClosed):
                await messages.receive()
        ended.append("reader")

    async def read_status() -> None:
        async with endpoint.status() as changes:
            with pytest.raises(EndpointClosed):
                await changes.receive()
        ended.append("status")

    async def wait_for_readers() -> None:
        with pytest.raises(EndpointClosed):
            await endpoint.subscribers("nobody")
        ended.append("subscribers")

    async def dial() -> None:
        with pytest.raises((EndpointClosed, broker.PeerUnavailable)):
            await endpoint.peer("sim://nobody", timeout=math.inf)
        ended.append("peer")

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery, endpoint:
            for task in (read, read_status, wait_for_readers, dial):
                nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(ended) == ["peer", "reader", "status", "subscribers"]


# -- peers ------------------------------------------------------------------------------------------------------------


async def test_peers_tells_both_ends_of_each_other(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    (there,), (here,) = one.peers(), two.peers()
    assert (there.name, there.address, there.dialled, there.connected) == ("b", "sim://b", True, True)
    assert (here.name, here.dialled, here.connected) == ("a", False, True)


async def test_unpeer_ends_the_link_and_asks_for_an_address_that_was_peered(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    await one.unpeer("sim://b")
    assert one.peers() == ()
    await trio.sleep(1)
    assert two.peers() == ()
    with pytest.raises(KeyError, match="sim://b is not peered with"):
        await one.unpeer("sim://b")
    await one.peer("sim://b")
    assert [peer.name for peer in one.peers()] == ["b"]


async def test_peering_again_with_a_peer_returns_at_once(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    started = trio.current_time()
    await one.peer("sim://b")
    await two.peer(await one.listen("sim://a"))
    assert trio.current_time() - started < 1
    assert len(one.peers()) == len(two.peers()) == 1


async def test_two_that_dial_each_other_at_once_end_in_one_link(autojump_clock: trio.testing.MockClock) -> None:
    for seed in range(20):
        network = SimulatedNetwork(seed)
        async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
            addresses = await one.listen("sim://a"), await two.listen("sim://b")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.peer, addresses[1])
                nursery.start_soon(two.peer, addresses[0])
            assert len(one.peers()) == len(two.peers()) == 1
            async with two.subscribe("x") as messages:
                await one.publish("x", Tick(seed))
                assert (await messages.receive()).event == Tick(seed)


async def test_a_wish_that_fails_is_withdrawn(autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork()
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        with pytest.raises(broker.PeerUnavailable):
            await one.peer("sim://b", timeout=0.5)
        await two.listen("sim://b")
        await trio.sleep(20)
        assert one.peers() == two.peers() == ()


# -- subscriptions ----------------------------------------------------------------------------------------------------


async def test_what_is_published_after_subscribe_has_returned_arrives(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    for number in range(50):
        async with two.subscribe("x") as first, two.subscribe("x") as second:
            await one.publish("x", Tick(number))
            assert (await first.receive()).event == (await second.receive()).event == Tick(number)


async def test_a_subscription_takes_the_classes_it_names(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with two.subscribe("x", Tick) as ticks, two.subscribe("x/", Tick, Tock) as both:
        for number, topic in enumerate(["x", "x/1", "y", "x/2"]):
            await one.publish(topic, Tick(number))
            await one.publish(topic, Tock(number))
        assert [(await ticks.receive()).event for _ in range(3)] == [Tick(0), Tick(1), Tick(3)]
        assert [(await both.receive()).event for _ in range(4)] == [Tick(1), Tock(1), Tick(3), Tock(3)]
        for messages in (ticks, both):
            with pytest.raises(trio.WouldBlock):
                messages.receive_nowait()


async def test_a_subscription_with_a_predicate_takes_what_that_accepts(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    high = of(Tick).number > 5
    async with two.subscribe("x", Tick, where=high) as there, one.subscribe("x", Tick, where=high) as here:
        for number in (1, 6, 5, 7):
            await one.publish("x", Tick(number))
        one.publish_nowait("x", Tock(9))
        one.publish_nowait("x", Tick(8))
        for messages in (there, here):
            assert [(await messages.receive()).event.number for _ in range(3)] == [6, 7, 8]
        assert one.figures().endpoint.filtered == 2
        assert two.figures().endpoint.received == 3
        assert one.subscriber_count("x") == 2


async def test_topics_with_and_without_predicates_share_a_batch(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with two.subscribe("p", Tick) as plain, two.subscribe("x", Tick, where=of(Tick).number > 5) as some:
        for number in range(10):
            await one.publish("p", Tick(number))
            await one.publish("x", Tick(number))
        assert [(await plain.receive()).event.number for _ in range(10)] == list(range(10))
        assert [(await some.receive()).event.number for _ in range(4)] == [6, 7, 8, 9]


async def test_a_predicate_is_one_on_the_class_that_is_subscribed_to(pair: tuple[Endpoint, Endpoint]) -> None:
    one, _ = pair
    with pytest.raises(RuleError, match="exactly one event class"):
        one.subscribe("x", Tick, Tock, where=of(Tick).number > 5)
    with pytest.raises(RuleError, match=r"a predicate on endpoint\.Tick, and a subscription to endpoint\.Tock"):
        one.subscribe("x", Tock, where=of(Tick).number > 5)


async def test_messages_say_where_they_come_from(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with two.subscribe("x") as messages:
        await one.publish("x/y", Tick(1))
        message = await messages.receive()
        assert (message.topic, message.origin, message.lost_before) == ("x/y", "a", 0)
        assert message.time.tzinfo is not None
        assert message.time.timestamp() == pytest.approx(message.time_ns / 1e9)


async def test_several_tasks_share_one_subscription_and_each_message_goes_to_one(
    pair: tuple[Endpoint, Endpoint],
) -> None:
    one, two = pair
    got: list[int] = []
    all_there = trio.Event()
    async with two.subscribe("x") as messages, trio.open_nursery() as nursery:

        async def read() -> None:
            async for message in messages:
                got.append(message.event.number)
                if len(got) == 1000:
                    all_there.set()
                await trio.lowlevel.checkpoint()

        for _ in range(5):
            nursery.start_soon(read)
        for number in range(1000):
            await one.publish("x", Tick(number))
        await all_there.wait()
        nursery.cancel_scope.cancel()
    assert sorted(got) == list(range(1000))


async def test_a_subscription_is_read_inside_its_block_only(pair: tuple[Endpoint, Endpoint]) -> None:
    one, _ = pair
    messages = one.subscribe("x")
    with pytest.raises(EndpointClosed, match="not subscribed yet"):
        await messages.receive()
    async with messages:
        await one.publish("x", Tick(1))
    with pytest.raises(EndpointClosed, match="has ended"):
        await messages.receive()
    with pytest.raises(EndpointClosed, match="entered once"):
        await messages.__aenter__()


async def test_a_queue_has_room_for_something(pair: tuple[Endpoint, Endpoint]) -> None:
    one, _ = pair
    with pytest.raises(ValueError, match="at least one"):
        one.subscribe("x", queue_messages=0)
    with pytest.raises(ValueError, match="at least one"):
        one.subscribe("x", queue_bytes=0)
    with pytest.raises(ValueError, match="overflow is one of block, drop_oldest, drop_newest"):
        one.subscribe("x", overflow="drop_all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stall_timeout"):
        one.subscribe("x", stall_timeout=0)
    with pytest.raises(broker.EventDefinitionError, match="not an event class"):
        one.subscribe("x", int)
    with pytest.raises(broker.TopicError):
        async with one.subscribe("x\n"):
            pass


async def test_subscribers_waits_for_as_many_as_asked_for(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    assert one.subscriber_count("x") == 0
    async with trio.open_nursery() as nursery:
        counted = []

        async def wait() -> None:
            counted.append(await one.subscribers("x", at_least=2))

        nursery.start_soon(wait)
        async with two.subscribe("x"):
            await trio.sleep(1)
            assert counted == []
            async with one.subscribe(""):
                await trio.sleep(1)
                assert counted == [2]
    await trio.sleep(1)
    assert one.subscriber_count("x") == 0


# -- publishing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nowait", [False, True])
async def test_what_cannot_be_published_raises_and_disturbs_nothing(
    pair: tuple[Endpoint, Endpoint], nowait: bool
) -> None:
    one, two = pair

    async def publish(topic: object, event: object) -> None:
        if nowait:
            one.publish_nowait(topic, event)  # type: ignore[arg-type]
        else:
            await one.publish(topic, event)  # type: ignore[arg-type]

    async with two.subscribe("") as messages:
        await publish("x", Tick(1))
        for topic in ("", "a\n", None, 3, ["x"], "x" * 256):
            with pytest.raises(broker.TopicError):
                await publish(topic, Tick(2))
        for event in (None, 3, "text", {}, object()):
            with pytest.raises(broker.EventDefinitionError, match=r"or publish broker\.Event\(name, args\)"):
                await publish("x", event)
        with pytest.raises(broker.EventMisfit, match=r"endpoint\.Tick\.number"):
            await publish("x", Tick("three"))  # type: ignore[arg-type]
        with pytest.raises(broker.NotCarried):
            await publish("x", broker.Event("free", (object(),)))
        await publish("x", Tick(4))
        assert [(await messages.receive()).event for _ in range(2)] == [Tick(1), Tick(4)]


async def test_a_lone_event_leaves_at_once(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with two.subscribe("x") as messages:
        started = trio.current_time()
        one.publish_nowait("x", Tick(1))
        await messages.receive()
        assert trio.current_time() - started < 0.01


async def test_publish_nowait_says_would_block_and_publish_waits(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with two.subscribe("x", queue_messages=1) as messages:
        taken = 0
        with suppress(trio.WouldBlock):
            while taken < 1000:
                one.publish_nowait("x", broker.Event("endpoint.Large", (taken, bytes(100_000))))
                taken += 1
                await trio.sleep(0.01)
        assert 10 < taken < 200
        with trio.move_on_after(5) as scope:
            await one.publish("x", Tick(0))
        assert scope.cancelled_caught
        for number in range(taken):
            assert (await messages.receive()).event.args[0] == number
        with trio.fail_after(5), pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await messages.receive()  # the cancelled one was not published
        await one.publish("x", Tick(1))
        assert (await messages.receive()).event == Tick(1)


# -- status -----------------------------------------------------------------------------------------------------------


async def test_a_slow_status_reader_loses_the_oldest_and_is_told_how_many(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with two.status(queue_size=2) as changes:
        with pytest.raises(trio.WouldBlock):
            changes.receive_nowait()
        for _ in range(3):
            await one.unpeer("sim://b")
            await trio.sleep(1)
            await one.peer("sim://b")
        told = [await changes.receive() for _ in range(3)]
    assert told[0] == broker.StatusLost(4)
    assert [type(change) for change in told[1:]] == [broker.PeerLost, broker.PeerAdded]
    with pytest.raises(ValueError, match="at least one"):
        two.status(queue_size=0)


async def test_an_open_endpoint_has_few_enough_attributes_for_quick_look_ups() -> None:
    """See where it is made: beyond 29 every event that is published pays for it."""
    async with broker.Endpoint("a") as endpoint:
        assert len(vars(endpoint)) <= 29
