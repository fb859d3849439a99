"""What readers and callers may rely on, on a simulated network: small queues, shared subscribers, shared wishes."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing

import broker
from broker import Endpoint
from broker.testing import SimulatedNetwork


@broker.event(name="readers.Job")
class Job:
    number: int


@pytest.mark.parametrize("queue_messages", [1, 2, 100])
async def test_a_queue_that_was_read_takes_again(autojump_clock: trio.testing.MockClock, queue_messages: int) -> None:
    async with (
        Endpoint("one", network=SimulatedNetwork()) as endpoint,
        endpoint.subscribe("job", queue_messages=queue_messages) as jobs,
    ):
        for _ in range(3):
            with trio.fail_after(5):
                for number in range(queue_messages):
                    await endpoint.publish("job", Job(number))
                got = [(await jobs.receive()).event.number for _ in range(queue_messages)]
            assert got == list(range(queue_messages))


async def test_a_full_queue_of_our_own_makes_publish_nowait_say_so(autojump_clock: trio.testing.MockClock) -> None:
    async def publish_without_end() -> None:
        for number in range(10_000):
            endpoint.publish_nowait("job", Job(number))
            await trio.lowlevel.checkpoint()

    async with (
        Endpoint("one", network=SimulatedNetwork()) as endpoint,
        endpoint.subscribe("job", queue_messages=2) as jobs,
    ):
        with pytest.raises(trio.WouldBlock):
            await publish_without_end()
        assert (await jobs.receive()).event.number == 0


async def test_tasks_that_share_a_subscriber_share_a_batch(autojump_clock: trio.testing.MockClock) -> None:
    async with Endpoint("one", network=SimulatedNetwork()) as endpoint, endpoint.subscribe("job") as jobs:
        got: list[int] = []

        async def work_on_one() -> None:
            got.append((await jobs.receive()).event.number)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(work_on_one)
                await trio.testing.wait_all_tasks_blocked()
                for number in range(5):
                    endpoint.publish_nowait("job", Job(number))
        assert sorted(got) == list(range(5))


async def test_who_waits_for_a_message_is_told_that_the_endpoint_was_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        entered = trio.Event()
        async with Endpoint("one", network=SimulatedNetwork()) as endpoint:

            async def wait_for_a_message() -> None:
                async with endpoint.subscribe("job") as jobs:
                    entered.set()
                    with pytest.raises(broker.EndpointClosed):
                        await jobs.receive()

            async def wait_for_a_status() -> None:
                async with endpoint.status() as changes:
                    with pytest.raises(broker.EndpointClosed):
                        await changes.receive()

            nursery.start_soon(wait_for_a_message)
            nursery.start_soon(wait_for_a_status)
            await entered.wait()
            await trio.testing.wait_all_tasks_blocked()


async def test_one_call_of_peer_that_is_cancelled_does_not_withdraw_the_wish_of_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimulatedNetwork()
    async with Endpoint("here", network=network) as here, Endpoint("there", network=network) as there:
        async with trio.open_nursery() as nursery:
            first = trio.CancelScope()

            async def impatient() -> None:
                with first:
                    await here.peer("sim://there", timeout=math.inf)

            async def patient() -> None:
                await here.peer("sim://there", timeout=math.inf)

            nursery.start_soon(impatient)
            nursery.start_soon(patient)
            await trio.sleep(1)
            first.cancel()
            await there.listen("sim://there")
        assert [peer.name for peer in here.peers()] == ["there"]


async def test_unpeer_ends_the_wait_of_peer(autojump_clock: trio.testing.MockClock) -> None:
    async with Endpoint("here", network=SimulatedNetwork()) as here, trio.open_nursery() as nursery:

        async def wish() -> None:
            with pytest.raises(broker.PeerUnavailable, match="unpeered"):
                await here.peer("sim://nobody", timeout=math.inf)

        nursery.start_soon(wish)
        await trio.sleep(1)
        await here.unpeer("sim://nobody")


async def test_a_name_that_no_event_can_have_is_refused_where_it_is_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimulatedNetwork()
    async with Endpoint("here", network=network) as here, Endpoint("there", network=network) as there:
        with pytest.raises(broker.EventMisfit):
            here.subscribe("job", "\ud800")
        with pytest.raises(broker.TopicError):
            here.subscribe("job\n")
        await there.listen("sim://there")
        await here.peer("sim://there")
        async with there.subscribe("job", "readers.Job") as jobs:  # by name, without the class
            await here.publish("job", Job(7))
            assert (await jobs.receive()).event == Job(7)


async def test_the_class_instead_of_an_event_is_refused_in_words(autojump_clock: trio.testing.MockClock) -> None:
    async with Endpoint("here", network=SimulatedNetwork()) as here:
        with pytest.raises(broker.EventDefinitionError, match="not its class"):
            await here.publish("job", Job)


async def test_an_exception_passes_through_an_endpoint_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with Endpoint("here", network=SimulatedNetwork()):
            raise ValueError("mine")
