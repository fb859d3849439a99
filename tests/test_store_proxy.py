"""The proxy of a store: writes and single reads at the master, without a replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing

import broker
from broker import Endpoint
from broker.testing import Conditions, SimulatedNetwork


@pytest.fixture
async def pair(autojump_clock: trio.testing.MockClock) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Two endpoints, a and b, linked.  A test that lets time pass asks for the clock too: it jumps for those alone."""
    network = SimulatedNetwork()
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.peer(await two.listen("sim://b"))
        yield one, two


async def test_it_writes_and_fetches_at_the_master(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with one.master("hosts") as hosts, two.proxy("hosts") as proxy:
        assert proxy.master == "a"
        position = await proxy.put("web-01", {"up": True}, expires_in=60)
        assert hosts["web-01"] == {"up": True}
        assert position == hosts.position
        assert await proxy.fetch("web-01") == {"up": True}
        assert (await proxy.increment("restarts", 2)).value == 2
        async with proxy.batch() as batch:
            batch.put("x", 1)
            batch.erase("web-01")
        assert dict(hosts) == {"restarts": 2, "x": 1}


async def test_it_follows_nothing_however_large_the_store_is(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with one.master("hosts") as hosts, two.proxy("hosts") as proxy:
        await hosts.put("big", "x" * 1_000_000)
        await proxy.put("small", 1)
        await trio.sleep(10)
        assert hosts.info().followers == ()
        with pytest.raises(broker.NotReplicated):
            await proxy.put("small", 2, level=broker.Replicated(1), timeout=1)


async def test_the_master_s_errors_are_raised(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with one.master("hosts") as hosts, two.proxy("hosts") as proxy:
        await hosts.put("text", "x")
        with pytest.raises(broker.NoSuchKey, match="'nothing'"):
            await proxy.fetch("nothing")
        with pytest.raises(broker.KeyExists):
            await proxy.put_unique("text", 1)
        with pytest.raises(broker.TypeClash):
            await proxy.increment("text")
        with pytest.raises(broker.NotCarried):
            await proxy.put("text", object())


@pytest.mark.parametrize(
    "read",
    [
        lambda proxy: proxy["key"],
        lambda proxy: "key" in proxy,
        len,
        list,
        lambda proxy: proxy.get("key"),
        lambda proxy: proxy.get_index("key", 0),
    ],
)
async def test_other_ways_to_read_say_what_to_do(pair: tuple[Endpoint, Endpoint], read: Callable[[Any], Any]) -> None:
    one, two = pair
    async with one.master("hosts"), two.proxy("hosts") as proxy:
        with pytest.raises(broker.StoreError, match=r"fetch\(\) a value, or make a clone"):
            read(proxy)
        assert proxy


async def test_to_be_watched_it_says_since_when(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with one.master("hosts"), two.proxy("hosts") as proxy:
        with pytest.raises(broker.StoreError, match="since='now'"):
            proxy.watch()
    with pytest.raises(TypeError, match="since is a Position"):
        two.proxy("hosts", since=3)  # type: ignore[arg-type]


async def test_watched_from_now_on_it_gives_every_change_and_takes_nothing_else(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with one.master("hosts") as hosts:
        await hosts.put("list", [1] * 1000)
        async with two.status() as status, two.proxy("hosts", since="now") as proxy:
            assert proxy.entries == 1
            assert status.receive_nowait() == broker.StoreSynced("hosts", "a", snapshot=False)
            changes, of_b = proxy.watch(), proxy.watch("b")
            await proxy.put("a", 1, expires_in=5)
            await hosts.push("list", 2)
            await hosts.put("b", 2)
            await trio.sleep(10)
            told = [await changes.receive() for _ in range(4)]
            assert [(change.key, change.cause) for change in told] == [
                ("a", "put"),
                ("list", "put"),
                ("b", "put"),
                ("a", "expire"),
            ]
            assert (await of_b.receive()).key == "b"
            assert changes.position == of_b.position == hosts.position
            assert hosts.info().followers == ()
            with pytest.raises(broker.NotReplicated):
                await proxy.put("small", 2, level=broker.Replicated(1), timeout=1)


async def test_a_watch_goes_on_where_another_endpoint_s_ended(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with one.master("hosts") as hosts:
        async with two.proxy("hosts", since="now") as proxy:
            changes = proxy.watch()
            await proxy.put("a", 1)
            assert (await changes.receive()).new == 1
        for number in range(2, 10):
            await hosts.put("a", number)
        async with two.proxy("hosts", since=changes.position) as proxy:
            changes = proxy.watch(key="a")
            assert [(await changes.receive()).new for _ in range(8)] == list(range(2, 10))
            with pytest.raises(trio.WouldBlock):
                changes.receive_nowait()


async def test_a_position_that_is_not_in_the_log_is_told(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with one.master("hosts", log_bytes=1000) as hosts:
        old = await hosts.put("a", 0)
        for number in range(100):
            await hosts.put("a", number)
        other = broker.Position(bytes(16), 1, hosts.position.sequence, bytes(8))
        forked = broker.Position(hosts.position.journal, 1, hosts.position.sequence, bytes(8))
        future = broker.Position(hosts.position.journal, 1, hosts.position.sequence + 5, bytes(8))
        for position in (old, other, forked, future):
            with pytest.raises(broker.ChangesLost, match="does not go on from"):
                async with two.proxy("hosts", since=position):
                    pass


async def test_a_watch_that_has_missed_something_says_so(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with two.proxy("hosts", since="now", timeout=0.1) as proxy:
        with pytest.raises(broker.StoreError, match="no master has been reached yet"):
            proxy.watch()
        async with one.master("hosts") as hosts:
            await trio.sleep(1)
            changes = proxy.watch()
            await hosts.put("a", 1)
            assert (await changes.receive()).new == 1
        # In memory the next master's log is another one.
        async with one.master("hosts") as hosts:
            with pytest.raises(broker.ChangesLost):
                await changes.receive()
            await proxy.put("b", 1)
            assert dict(hosts) == {"b": 1}


@pytest.mark.parametrize("seed", range(5))
async def test_no_change_is_missed_or_told_twice_over_a_bad_link(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    network = SimulatedNetwork(seed, Conditions(delay_s=0.05, jitter_s=0.1))
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.peer(await two.listen("sim://b"))
        async with one.master("hosts") as hosts, two.proxy("hosts", since="now") as proxy:
            changes = proxy.watch()
            network.fabric.flap("a", "b", period_s=3, times=20)
            for number in range(200):
                await hosts.put("count", number)
                await trio.sleep(0.2)
            assert [(await changes.receive()).new for _ in range(200)] == list(range(200))
            assert network.fabric.cuts > 5


async def test_a_watch_goes_on_and_writes_arrive_once_after_minutes_without_a_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimulatedNetwork()
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.peer(await two.listen("sim://b"))
        async with one.master("hosts") as hosts, two.proxy("hosts", since="now", write_timeout=500) as proxy:
            changes = proxy.watch()
            network.fabric.partition("a", "b")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(proxy.increment, "restarts")
                for number in range(90):
                    await hosts.put("count", number)
                    await trio.sleep(1)
                assert proxy.master is None
                network.fabric.heal("a", "b")
            assert hosts["restarts"] == 1
            told = [await changes.receive() for _ in range(91)]
            assert [change.new for change in told if change.key == "count"] == list(range(90))
            assert [change.writer for change in told if change.key == "restarts"] == ["b"]


async def test_it_may_be_there_before_its_master_and_outlive_it(
    pair: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = pair
    async with two.proxy("hosts", timeout=0.1) as proxy, trio.open_nursery() as nursery:
        assert proxy.master is None
        nursery.start_soon(proxy.put, "early", 1)
        await trio.sleep(1)
        async with one.master("hosts") as hosts:
            assert await proxy.fetch("early") == 1
            assert dict(hosts) == {"early": 1}
        await trio.sleep(1)
        assert proxy.master is None
        with pytest.raises(broker.MasterUnavailable):
            await proxy.put("late", 1, timeout=1)
        async with one.master("hosts"):
            with pytest.raises(broker.NoSuchKey):
                await proxy.fetch("early")


@pytest.mark.parametrize("seed", range(5))
async def test_each_write_is_done_once_while_the_link_is_cut(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork(seed)
    async with Endpoint("a", network=network) as one, Endpoint("b", network=network) as two:
        await one.peer(await two.listen("sim://b"))
        async with one.master("hosts") as hosts, two.proxy("hosts") as proxy:
            network.fabric.flap("a", "b", period_s=0.7, times=40)
            for number in range(100):
                assert (await proxy.increment("count")).value == number + 1
                await trio.sleep(0.2)
            assert hosts["count"] == 100
            assert network.fabric.cuts > 10


@pytest.mark.parametrize("role", [Endpoint.proxy, Endpoint.clone])
async def test_writers_that_wait_for_room_go_on_when_all_is_refused(
    pair: tuple[Endpoint, Endpoint], role: Callable[..., Any]
) -> None:
    one, two = pair
    async with one.master("hosts") as hosts, role(two, "hosts") as proxy:
        await hosts.put("there", 1)
        refused = 0

        async def write() -> None:
            nonlocal refused
            with pytest.raises(broker.KeyExists):
                await proxy.put_unique("there", b"x" * 1_000_000)
            refused += 1

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(30):
                    nursery.start_soon(write)
        assert refused == 30


async def test_an_endpoint_has_one_handle_of_a_store(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    async with one.master("hosts"), two.proxy("hosts"):
        with pytest.raises(broker.StoreInUse, match="has a proxy of it already"):
            async with two.clone("hosts"):
                pass
        with pytest.raises(broker.StoreInUse, match="has a master of it already"):
            async with one.proxy("hosts"):
                pass
    async with one.master("hosts") as hosts, two.clone("hosts") as clone:
        await clone.wait_for(await hosts.put("a", 1))
        assert dict(clone) == {"a": 1}


async def test_outside_its_block_it_is_closed(pair: tuple[Endpoint, Endpoint]) -> None:
    one, two = pair
    proxy = two.proxy("hosts")
    with pytest.raises(broker.StoreClosed, match="async with"):
        await proxy.put("a", 1)
    async with one.master("hosts"), proxy:
        pass
    with pytest.raises(broker.StoreClosed, match="was left"):
        await proxy.fetch("a")
    with pytest.raises(broker.StoreClosed, match="entered once"):
        await proxy.__aenter__()


async def test_who_waits_when_the_endpoint_is_closed_gets_an_error(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        errors: list[Exception] = []

        async def ask(proxy: broker.StoreProxy) -> None:
            try:
                await proxy.put("a", 1)
            except broker.StoreError as error:
                errors.append(error)

        async with Endpoint("a", network=SimulatedNetwork()) as endpoint:
            proxy = endpoint.proxy("hosts", timeout=0.1)
            await proxy.__aenter__()
            nursery.start_soon(ask, proxy)
            await trio.sleep(1)
    assert [type(error) for error in errors] == [broker.MasterUnavailable]


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", 3])
def test_its_store_has_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="a store's name"):
        Endpoint("a", network=SimulatedNetwork()).proxy(name)
