"""Watches of stores: every change in order, once, and from where another ended."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import broker
from broker import ABSENT, Endpoint, StoreClone, StoreMaster

pytest_plugins = ["store_pairs"]  # its fixtures: network, ends, pair

Pair = tuple[StoreMaster, StoreClone]

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
