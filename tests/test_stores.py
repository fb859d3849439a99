"""The handles of stores, in memory, on a simulated network: what a program sees."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing

import broker
from broker import ABSENT, Endpoint, Replicated, StoreClone, StoreMaster
from broker.testing import SimulatedNetwork

Pair = tuple[StoreMaster, StoreClone]


@pytest.fixture
async def network(autojump_clock: trio.testing.MockClock) -> SimulatedNetwork:
    return SimulatedNetwork(seed=1)


@pytest.fixture
async def ends(network: SimulatedNetwork) -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Two endpoints, a and b, with a relay between them."""
    async with (
        Endpoint("a", network=network) as one,
        Endpoint("r", network=network) as relay,
        Endpoint("b", network=network) as two,
    ):
        await relay.listen("sim://r")
        await one.peer("sim://r")
        await two.peer("sim://r")
        yield one, two


@pytest.fixture
async def pair(ends: tuple[Endpoint, Endpoint]) -> AsyncIterator[Pair]:
    """A master at a and a clone at b."""
    one, two = ends
    async with one.master("hosts") as master, two.clone("hosts") as clone:
        yield master, clone


# -- reading and writing -----------------------------------------------------------------------------------------------


async def test_what_is_put_at_the_master_is_read_at_a_clone(pair: Pair) -> None:
    master, clone = pair
    position = await master.put("web-01", {"up": True, "load": [0.5, 1]})
    await clone.wait_for(position)
    assert clone["web-01"] == {"up": True, "load": [0.5, 1]}
    assert clone.get("web-02") is None
    assert clone.get("web-02", 7) == 7
    assert "web-01" in clone
    assert "web-02" not in clone
    assert len(clone) == 1
    assert list(clone) == list(clone.keys()) == ["web-01"]
    assert dict(clone) == {"web-01": {"up": True, "load": [0.5, 1]}}
    with pytest.raises(broker.NoSuchKey, match="store 'hosts': 'web-02' is not there"):
        clone["web-02"]
    with pytest.raises(KeyError):
        clone[b"web-01"]


async def test_a_clone_reads_its_own_write_behind_its_position(pair: Pair) -> None:
    master, clone = pair
    for number in range(20):
        await clone.wait_for(await clone.put("n", number))
        assert clone["n"] == number
    assert master["n"] == 19


async def test_what_a_reader_changes_is_its_own_copy(pair: Pair) -> None:
    master, _ = pair
    await master.put("web", {"tags": ["a"]})
    master["web"]["tags"].append("b")
    assert master["web"] == {"tags": ["a"]}


async def test_keys_are_told_apart_by_type(pair: Pair) -> None:
    _master, clone = pair
    keys = [1, True, 1.0, broker.Count(1), "1", b"1", (1,), None, frozenset({1}), "x" * 3000]
    for place, key in enumerate(keys):
        position = await clone.put(key, place)
    await clone.wait_for(position)
    assert [clone[key] for key in keys] == list(range(len(keys)))
    assert sorted(type(key).__name__ for key in clone) == sorted(type(key).__name__ for key in keys)


Ask = Callable[[broker.Store], Awaitable[Any]]
CHANGES: list[tuple[str, Ask, Any, Any]] = [
    ("put_unique", lambda s: s.put_unique("k", 1), None, 1),
    ("increment", lambda s: s.increment("k", 2), 2, 2),
    ("decrement", lambda s: s.decrement("k", 2), -2, -2),
    ("append", lambda s: s.append("k", "ab"), "ab", "ab"),
    ("push", lambda s: s.push("k", 3), None, [3]),
    ("insert", lambda s: s.insert_into("k", "m"), None, {"m"}),
    ("insert item", lambda s: s.insert_into("k", "m", 5), None, {"m": 5}),
    ("swap in", lambda s: s.compare_and_swap("k", ABSENT, 4), None, 4),
]


@pytest.mark.parametrize("at", ["master", "clone"])
@pytest.mark.parametrize(("ask", "result", "value"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
async def test_a_change_of_what_there_is_not_makes_it(pair: Pair, at: str, ask: Ask, result: Any, value: Any) -> None:
    store = pair[at == "clone"]
    outcome = await ask(store)
    position = outcome.position if isinstance(outcome, broker.Outcome) else outcome
    if isinstance(outcome, broker.Outcome):
        assert outcome.value == result
    await pair[1].wait_for(position)
    assert pair[0]["k"] == pair[1]["k"] == value


ERRORS: list[tuple[str, Ask, type[broker.StoreError], str]] = [
    ("unique", lambda s: s.put_unique("text", 1), broker.KeyExists, "'text' is there already"),
    ("swap", lambda s: s.compare_and_swap("text", "x", 1), broker.ValueDiffers, "'text' is 'abc'; expected was 'x'"),
    ("swap in", lambda s: s.compare_and_swap("text", ABSENT, 1), broker.ValueDiffers, "that there is no entry"),
    ("erase", lambda s: s.erase("none"), broker.NoSuchKey, "'none' is not there"),
    ("increment", lambda s: s.increment("text", 1), broker.TypeClash, "'text' is a str: it cannot be incremented"),
    ("overflow", lambda s: s.increment("large", 1), broker.OutOfRange, "'large' would be .*: an int holds"),
    ("push", lambda s: s.push("text", 1), broker.TypeClash, "'text' is a str: only a list can be pushed to"),
    ("pop", lambda s: s.pop("empty"), broker.NoSuchElement, "'empty' is empty"),
    ("remove", lambda s: s.remove_from("set", 9), broker.NoSuchElement, "'set' has no element 9"),
    ("touch", lambda s: s.touch("none", expires_in=1), broker.NoSuchKey, "'none' is not there"),
    ("fetch", lambda s: s.fetch("none"), broker.NoSuchKey, "'none' is not there"),
]


@pytest.mark.parametrize("at", ["master", "clone"])
@pytest.mark.parametrize(("ask", "error", "text"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
async def test_what_cannot_be_done_raises_the_same_error_at_both_ends(
    pair: Pair, at: str, ask: Ask, error: type[broker.StoreError], text: str
) -> None:
    master, _clone = pair
    values = {"text": "abc", "large": 2**64 - 1, "empty": [], "set": {1}}
    for key, value in values.items():
        await master.put(key, value)
    with pytest.raises(error, match=f"store 'hosts': .*{text}"):
        await ask(pair[at == "clone"])
    assert dict(master) == values


@pytest.mark.parametrize("at", ["master", "clone"])
async def test_what_cannot_be_carried_is_refused_where_it_is_said(pair: Pair, at: str) -> None:
    store = pair[at == "clone"]
    with pytest.raises(broker.NotCarried, match="object"):
        await store.put("k", [object()])
    with pytest.raises(broker.NotCarried, match="a list cannot be a key: use a tuple"):
        await store.put([1], 1)
    with pytest.raises(broker.NotCarried, match="at most 4194304"):
        await store.put("k", bytes(5 << 20))
    with pytest.raises(broker.NotCarried, match="at most 65536"):
        await store.put("k" * 70_000, 1)
    for expires_in in (-1, 0, math.nan, math.inf):
        with pytest.raises(ValueError, match="expires_in is a positive number of seconds"):
            await store.put("k", 1, expires_in=expires_in)
    with pytest.raises(TypeError, match="expires_in is seconds or a timedelta"):
        await store.put("k", 1, expires_in="soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level is 'applied', 'durable' or"):
        await store.put("k", 1, level="sure")  # type: ignore[arg-type]
    assert len(store) == 0


async def test_elements_are_read_and_changed_at_the_cost_of_the_element(pair: Pair) -> None:
    master, clone = pair
    await master.put("dict", {number: str(number) for number in range(5000)})
    await master.put("set", set(range(5000)))
    await master.put("list", list(range(5000)))
    await clone.insert_into("dict", "new", "n")
    await clone.remove_from("dict", 7)
    await clone.insert_into("set", -1)
    await clone.remove_from("set", 7)
    await clone.push("list", "last")
    popped = await clone.pop("list")
    assert popped.value == "last"
    await clone.wait_for(popped.position)
    for store in pair:
        assert store.get_index("dict", "new") == "n"
        assert store.get_index("set", -1) is True
        assert store.get_index("set", 7) is False
        assert store.get_index("list", -1) == 4999
        assert [store.size(key) for key in ("dict", "set", "list")] == [5000, 5000, 5000]
        assert store["set"] == (set(range(-1, 5000)) - {7})
        with pytest.raises(broker.NoSuchElement, match="'dict' has no element 7"):
            store.get_index("dict", 7)


async def test_numbers_and_times_keep_their_type(pair: Pair) -> None:
    master, _ = pair
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    await master.put("time", moment)
    assert (await master.increment("time", timedelta(days=1))).value == moment + timedelta(days=1)
    await master.put("count", broker.Count(3))
    outcome = await master.increment("count", 2)
    assert (outcome.value, type(outcome.value)) == (5, broker.Count)
    with pytest.raises(broker.OutOfRange):
        await master.decrement("count", 6)
    assert (await master.increment("ratio", 0.5)).value == 0.5


# -- batches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["master", "clone"])
async def test_a_batch_takes_place_as_a_whole(pair: Pair, at: str) -> None:
    master, clone = pair
    store = pair[at == "clone"]
    async with store.batch() as batch:
        batch.expect("a", ABSENT)
        batch.put("a", 1)
        batch.increment("a", 2)
        batch.push("list", "x")
        batch.pop("list")
    assert batch.results == [None, None, 3, None, "x"]
    assert batch.position is not None
    await clone.wait_for(batch.position)
    assert dict(clone) == dict(master) == {"a": 3, "list": []}
    with pytest.raises(broker.StoreClosed, match="a batch is sent once"):
        batch.put("b", 1)


@pytest.mark.parametrize("at", ["master", "clone"])
async def test_a_batch_that_fails_changes_nothing(pair: Pair, at: str) -> None:
    master, _ = pair
    store = pair[at == "clone"]
    await master.put("a", 1)
    position = master.position
    for condition in (2, ABSENT):
        batch = store.batch()
        batch.put("b", 1)
        batch.clear()
        batch.put("a", 1)
        batch.expect("a", condition)
        with pytest.raises(broker.ValueDiffers, match="'a' is 1"):
            await batch.commit()
    assert dict(master) == {"a": 1}
    assert master.position == position


async def test_an_exception_drops_a_batch(pair: Pair) -> None:
    master, clone = pair
    with suppress(ZeroDivisionError):
        async with clone.batch() as batch:
            batch.put("a", 1)
            raise ZeroDivisionError
    await clone.put("b", 1)
    assert dict(master) == {"b": 1}


# -- expiry ------------------------------------------------------------------------------------------------------------


async def test_an_entry_expires_at_all_replicas(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    master, clone = pair
    await clone.put("short", 1, expires_in=5)
    await clone.put("long", 1, expires_in=timedelta(minutes=5))
    position = await clone.put("ever", 1)
    await clone.wait_for(position)
    assert clone.expires("ever") is None
    assert clone.expires("short") is not None
    await trio.sleep(4.5)
    assert "short" in master
    assert "short" in clone
    await trio.sleep(1)
    assert sorted(clone) == sorted(master) == ["ever", "long"]
    await clone.touch("long", expires_in=None)
    await trio.sleep(400)
    assert sorted(clone) == sorted(master) == ["ever", "long"]


async def test_a_put_takes_the_expiry_away_and_an_increment_keeps_it(
    pair: Pair, autojump_clock: trio.testing.MockClock
) -> None:
    master, _ = pair
    await master.put("put", 1, expires_in=5)
    await master.put("put", 2)
    await master.put("incremented", 1, expires_in=5)
    await master.increment("incremented")
    await master.increment("extended", 1, expires_in=5)
    await master.increment("extended", 1, expires_in=50)
    await trio.sleep(6)
    assert dict(master) == {"put": 2, "extended": 2}


# -- watches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["master", "clone"])
async def test_a_watch_tells_every_change_in_order(pair: Pair, at: str, autojump_clock: trio.testing.MockClock) -> None:
    master, clone = pair
    watch = pair[at == "clone"].watch("web-")
    await clone.put("web-01", 1, expires_in=2)
    await clone.put("db-01", 1)
    await master.put("web-02", [1])
    await clone.push("web-02", 2)
    await clone.erase("web-02")
    await trio.sleep(3)
    found = [await watch.receive() for _ in range(5)]
    assert [(change.key, change.cause, change.old, change.new, change.writer) for change in found] == [
        ("web-01", "put", ABSENT, 1, "b"),
        ("web-02", "put", ABSENT, [1], "a"),
        ("web-02", "put", ABSENT, 2, "b"),
        ("web-02", "erase", broker.OMITTED, ABSENT, "b"),
        ("web-01", "expire", 1, ABSENT, ""),
    ]
    assert found[2].element is broker.LAST
    assert watch.position == master.position


async def test_a_watch_goes_on_where_another_ended(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    master, clone = pair
    watch = clone.watch(key="k")
    seen = []
    for number in range(300):
        await master.put("k", number)
        if number % 7 == 0:
            await master.put("other", number)
        if number % 50 == 49:
            seen += [(await watch.receive()).new for _ in range(number % 30)]
            watch = clone.watch(key="k", since=broker.Position.parse(str(watch.position)))
    while len(seen) < 300:
        seen.append((await watch.receive()).new)
    assert seen == list(range(300))


async def test_changes_of_a_batch_come_together(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    clone = pair[1]
    watch = clone.watch()
    start = watch.position
    async with clone.batch() as batch:
        for number in range(3):
            batch.put(f"k{number}", number)
    first = await watch.receive()
    assert not first.final
    assert watch.position == start
    rest = [await watch.receive() for _ in range(2)]
    assert [change.final for change in rest] == [False, True]
    assert {change.position for change in [first, *rest]} == {batch.position}
    assert watch.position == batch.position


async def test_a_watch_that_fell_behind_the_log_says_so(
    ends: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = ends
    async with one.master("small", log_bytes=1000) as master, two.clone("small", log_bytes=1000) as clone:
        for store in (master, clone):
            watch = store.watch()
            start = watch.position
            for number in range(100):
                position = await master.put("k", number)
            await clone.wait_for(position)
            with pytest.raises(broker.ChangesLost, match="not kept any more: read the store, then watch anew"):
                await watch.receive()
            with pytest.raises(broker.ChangesLost, match="is no longer in the log"):
                store.watch(since=start)


async def test_the_end_of_a_store_ends_its_watches(ends: tuple[Endpoint, Endpoint]) -> None:
    one, _ = ends
    seen: list[object] = []
    async with trio.open_nursery() as nursery, one.master("short") as master:

        async def read() -> None:
            seen.extend([change.key async for change in master.watch()])

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await master.put("k", 1)
        await trio.testing.wait_all_tasks_blocked()
    assert seen == ["k"]


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


# -- life --------------------------------------------------------------------------------------------------------------


async def test_a_handle_is_used_inside_its_block(
    ends: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, _ = ends
    master = one.master("hosts")
    with pytest.raises(broker.StoreClosed, match="is used inside 'async with"):
        master["k"]
    async with master:
        watch = master.watch()
    for use in (lambda: master["k"], lambda: len(master), lambda: master.position, master.info):
        with pytest.raises(broker.StoreClosed, match="its handle was left: make a new one"):
            use()
    with pytest.raises(broker.StoreClosed):
        await master.put("k", 1)
    with pytest.raises(broker.StoreClosed):
        await watch.receive()
    with pytest.raises(broker.StoreClosed, match="entered once"):
        async with master:
            pass


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", 3])
async def test_a_store_has_a_printable_name(ends: tuple[Endpoint, Endpoint], name: str) -> None:
    with pytest.raises(ValueError, match="a store's name is printable text"):
        ends[0].master(name)
    with pytest.raises(ValueError, match="a store's name is printable text"):
        ends[0].clone(name)


async def test_closing_the_endpoint_ends_its_stores(
    network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    endpoint = Endpoint("a", network=network)
    failed = []

    async def write() -> None:
        async with endpoint.clone("nowhere", timeout=0) as clone:
            with pytest.raises(broker.StoreError):
                await clone.put("k", 1)
            failed.append("write")

    async with trio.open_nursery() as nursery, endpoint:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
    assert failed == ["write"]


async def test_an_endpoint_can_leave_a_store_and_enter_it_again(
    ends: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, two = ends
    async with one.master("hosts") as master:
        for number in range(5):
            async with two.clone("hosts") as clone:
                await clone.put("n", number)
                await clone.synced()
                assert clone["n"] == number
        await trio.sleep(1)
        assert master.info().followers == ()
