"""The handles of stores, in memory, on a simulated network: reading, writing, batches, expiry, life."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing

import broker
from broker import ABSENT, Endpoint, StoreClone, StoreMaster
from broker.testing import SimulatedNetwork

pytest_plugins = ["store_pairs"]  # its fixtures: network, ends, pair

Pair = tuple[StoreMaster, StoreClone]

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


# -- life --------------------------------------------------------------------------------------------------------------


async def test_a_handle_is_used_inside_its_block(
    ends: tuple[Endpoint, Endpoint], autojump_clock: trio.testing.MockClock
) -> None:
    one, _ = ends
    master = one.master("hosts")
    with pytest.raises(broker.StoreClosed, match="is used inside its 'with' or 'async with' block"):
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
