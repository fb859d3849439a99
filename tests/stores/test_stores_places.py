"""Where masters and clones are, how stale a clone is, and what acknowledges a write."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

import broker
from broker import Endpoint, Replicated, StoreClone, StoreMaster
from broker.testing import SimulatedNetwork

pytest_plugins = ["store_pairs"]  # its fixtures: network, ends, pair

Pair = tuple[StoreMaster, StoreClone]

# -- where masters and clones are --------------------------------------------------------------------------------------


async def test_a_clone_may_begin_before_it_is_linked_and_before_there_is_a_master(
    network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async with (
        Endpoint("a", network=network) as one,
        Endpoint("b", network=network) as two,
        two.clone("hosts", timeout=0) as clone,
    ):
        assert master_of(clone) is None
        assert clone.staleness == math.inf
        with pytest.raises(broker.StaleData, match="nothing yet: no master can be reached; wait for synced"):
            clone.get("web-01")
        await two.peer(await one.listen("sim://a"))
        await trio.sleep(3)
        async with one.master("hosts") as master:
            await clone.put("web-01", 1)
            await clone.synced()
            assert clone["web-01"] == 1
            assert master_of(clone) == "a"
            assert clone.staleness < 2
            assert master.info().followers[0].endpoint == "b"


async def test_a_master_that_comes_back_elsewhere_is_followed(
    network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async with Endpoint("r", network=network) as relay, Endpoint("b", network=network) as two:
        await relay.listen("sim://r")
        await two.peer("sim://r")
        async with two.clone("hosts") as clone, two.status() as told:
            for name in ("one", "two"):
                async with Endpoint(name, network=network) as other:
                    await other.peer("sim://r")
                    async with other.master("hosts") as master:
                        await master.put("at", name)
                        await clone.put(name, 1)
                        await clone.synced()
                        assert master_of(clone) == name
                        assert dict(clone) == {"at": name, name: 1}
                await trio.sleep(1)
                assert master_of(clone) is None
                assert clone["at"] == name
            kinds = [type(change) async for change in until(told, 2, broker.StoreSynced)]
    assert broker.StoreForked in kinds  # the second has a history of its own


def master_of(clone: StoreClone) -> str | None:
    return clone.master


async def until(told: broker.StatusReader, count: int, kind: type) -> AsyncIterator[broker.Status]:
    async for change in told:
        yield change
        count -= type(change) is kind
        if not count:
            return


async def test_a_second_master_is_refused_and_told_of_the_first(
    ends: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = ends
    async with one.master("hosts"):
        await trio.sleep(1)
        with pytest.raises(broker.MasterExists, match="'hosts': a is its master: b cannot be, too; clone it"):
            async with two.master("hosts", timeout=1):
                pass
        for attach in (one.master, one.clone):
            with pytest.raises(broker.StoreInUse, match="this endpoint has a master of it already"):
                async with attach("hosts"):
                    pass
        assert two.stores() == {"hosts": ("a",)}


async def test_of_two_masters_that_meet_the_younger_gives_way(
    network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(Endpoint(name, network=network)) for name in "abc"]
        await three.peer(await two.listen("sim://b"))
        told = await stack.enter_async_context(two.status())
        elder = await stack.enter_async_context(one.master("hosts"))
        async with two.master("hosts") as younger, three.clone("hosts") as clone:
            await elder.put("at", "a")
            await clone.put("at", "b")
            await one.peer("sim://b")
            await trio.sleep(2)
            with pytest.raises(broker.MasterExists, match="a and b are both its masters; b writes nothing until"):
                await younger.put("at", "c")
            conflict = [change async for change in until(told, 1, broker.StoreConflict)][-1]
            assert conflict == broker.StoreConflict("hosts", "a", "b")
            assert one.stores() == {"hosts": ("a", "b")}
            await clone.synced()
            assert (clone.master, clone["at"], younger["at"]) == ("a", "a", "b")
            await elder.__aexit__(None, None, None)
            await trio.sleep(2)
            await younger.put("at", "d")
            await clone.synced()
            assert clone["at"] == "d"


async def test_staleness_grows_while_the_master_is_out_of_reach(
    network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await two.peer(await one.listen("sim://a"))
        async with one.master("hosts") as master, two.clone("hosts", stale_after=5) as clone:
            position = await master.put("k", 1)
            await clone.wait_for(position)
            await trio.sleep(20)
            assert clone.staleness < 2
            network.fabric.partition("a", "b")
            await trio.sleep(4)
            assert 3 < clone.staleness < 6
            assert clone["k"] == 1
            await trio.sleep(60)
            assert clone.staleness > 60
            with pytest.raises(broker.StaleData, match=r"may have missed something for 6.* s, more than 5 s"):
                clone["k"]
            await master.put("k", 2)
            network.fabric.heal("a", "b")
            await clone.synced()
            assert clone["k"] == 2


# -- acknowledgement ---------------------------------------------------------------------------------------------------


async def test_replicated_waits_for_clones(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    master, clone = pair
    position = await master.put("k", 1, level=Replicated(1))
    assert clone.position == position
    assert await clone.put("k", 2, level=Replicated(1)) == clone.position
    await clone.put("k", 3, level="applied")
    for store in pair:
        with pytest.raises(broker.NotReplicated, match=r"1 of 2 clones confirmed .* in time; the master has it"):
            await store.put("k", 4, level=Replicated(2), timeout=3)
    assert master["k"] == 4


async def test_a_write_that_reaches_no_master_raises_in_time(
    network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await two.peer(await one.listen("sim://a"))
        async with two.clone("hosts", timeout=0) as clone:
            with pytest.raises(broker.MasterUnavailable, match="no master could be reached in time"):
                await clone.put("k", 1, timeout=3)
            async with one.master("hosts") as master:
                await clone.put("k", 2)
                network.fabric.partition("b", "a")
                with pytest.raises(broker.OutcomeUnknown, match="it may be written, or not"):
                    await clone.put("k", 3, timeout=3)
                network.fabric.heal("b", "a")
                await clone.put("k", 4)
                assert master["k"] == 4
                assert clone.info().problem == ""


async def test_a_cancelled_write_is_not_waited_for_and_harms_nobody(
    pair: Pair, network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    master, clone = pair
    network.fabric.partition("a", "r")
    with trio.move_on_after(1) as scope:
        await clone.put("k", 1)
    assert scope.cancelled_caught
    network.fabric.heal("a", "r")
    await clone.put("l", 1)
    await clone.synced()
    assert dict(clone) == dict(master)


async def test_many_tasks_write_at_once_and_each_gets_its_own_outcome(
    pair: Pair, autojump_clock: trio.testing.MockClock
) -> None:
    master, clone = pair
    positions: dict[tuple[str, int], broker.Position] = {}

    async def write(store: broker.Store, at: str, task: int) -> None:
        for number in range(20):
            positions[at, 20 * task + number] = await store.put(f"{at}-{task}-{number}", number)
            await store.increment("all")

    async with trio.open_nursery() as nursery:
        for task in range(10):
            nursery.start_soon(write, master, "a", task)
            nursery.start_soon(write, clone, "b", task)
    await clone.synced()
    assert dict(clone) == dict(master)
    assert master["all"] == 400
    assert len({position.sequence for position in positions.values()}) == 400
