"""Real endpoints on a simulated network, as the tests of an agent use them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

import broker
from broker import Endpoint
from broker.testing import SimulatedNetwork


@broker.event(name="testing.Beat")
class Beat:
    host: str
    number: int


async def test_endpoints_meet_without_sockets_and_without_waiting(autojump_clock: trio.testing.MockClock) -> None:
    started = time.perf_counter()
    network = SimulatedNetwork(seed=1)
    async with Endpoint("manager", network=network) as manager, Endpoint("agent", network=network) as agent:
        address = await manager.listen("sim://manager")
        assert address == "sim://manager"
        async with manager.subscribe("beat/", Beat) as messages:
            await agent.peer(address)
            for number in range(100):
                await agent.publish("beat/agent", Beat("agent", number))
                await trio.sleep(60)
            assert [(await messages.receive()).event.number for _ in range(100)] == list(range(100))
        (peer,) = manager.peers()
        assert peer.connected
    assert trio.current_time() >= 6000
    assert time.perf_counter() - started < 30


async def test_a_partition_is_ridden_out_by_real_endpoints(autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork(seed=2)
    async with (
        Endpoint("manager", network=network) as manager,
        Endpoint("agent", network=network) as agent,
        manager.subscribe("beat/") as messages,
        agent.status() as changes,
    ):
        await agent.peer(await manager.listen("sim://manager"))
        network.fabric.partition("manager", "agent")
        await agent.publish("beat/agent", Beat("agent", 0))
        await trio.sleep(8)
        network.fabric.heal("manager", "agent")
        assert (await messages.receive()).event.number == 0
        told = [type(change) async for change in until(changes, broker.PeerResumed)]
    assert [kind for kind in told if kind is not broker.PeeringFailed] == [
        broker.PeerAdded,
        broker.PeerInterrupted,
        broker.PeerResumed,
    ]


async def test_a_partition_that_lasts_loses_the_peer_and_counts_what_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimulatedNetwork(seed=3)
    async with (
        Endpoint("manager", network=network) as manager,
        Endpoint("agent", network=network) as agent,
        manager.subscribe("beat/") as messages,
        agent.status() as changes,
    ):
        await agent.peer(await manager.listen("sim://manager"))
        network.fabric.partition("manager", "agent")
        for number in range(7):
            await agent.publish("beat/agent", Beat("agent", number))
        lost = [change async for change in until(changes, broker.MessagesLost)]
        assert [change.count for change in lost if isinstance(change, broker.MessagesLost)] == [7]
        network.fabric.heal_all()
        await agent.subscribers("beat/agent")
        await agent.publish("beat/agent", Beat("agent", 7))
        assert (await messages.receive()).event.number == 7


async def until(changes: broker.StatusReader, kind: type[broker.Status]) -> AsyncIterator[broker.Status]:
    async for change in changes:
        yield change
        if isinstance(change, kind):
            return


async def test_a_blocked_publisher_goes_on_when_its_reader_reads(autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork()
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        async with two.subscribe("", queue_messages=10) as messages, trio.open_nursery() as nursery:
            await one.peer(await two.listen("sim://b"))
            published = 0

            async def publish() -> None:
                nonlocal published
                for number in range(300):
                    await one.publish("x", broker.Event("testing.Large", (number, bytes(100_000))))
                    published += 1

            nursery.start_soon(publish)
            await trio.sleep(3)
            assert 40 <= published < 150
            for number in range(300):
                assert (await messages.receive()).event.args[0] == number
        assert published == 300


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "manager", ""])
async def test_a_simulated_network_has_its_own_addresses(address: str) -> None:
    async with Endpoint("a", network=SimulatedNetwork()) as endpoint:
        with pytest.raises(broker.AddressError, match="sim://"):
            await endpoint.listen(address)
        with pytest.raises(broker.AddressError, match="sim://"):
            await endpoint.peer(address)


async def test_a_simulated_address_is_listened_on_once(autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork()
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.listen("sim://x")
        with pytest.raises(broker.ListenError, match="in use"):
            await two.listen("sim://x")
    async with Endpoint("c", network=network) as three:
        assert await three.listen("sim://x") == "sim://x"


async def test_peering_with_nobody_takes_its_timeout_and_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    async with Endpoint("a", network=SimulatedNetwork()) as endpoint:
        started = trio.current_time()
        with pytest.raises(broker.PeerUnavailable, match="connection refused"):
            await endpoint.peer("sim://nobody", timeout=1000)
        assert trio.current_time() - started == pytest.approx(1000)
