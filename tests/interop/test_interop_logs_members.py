"""Several collectors under one name, and collectors that move: what one had in hand goes to the other."""

from __future__ import annotations

from pathlib import Path

import trio
from interop_logs import LEASE_S, numbers, shop
from interop_stores import Keeper


async def got(collector: Keeper, count: int) -> None:
    """Wait until a collector has kept so many records."""
    await collector.until(lambda: collector.told.get("got", 0) >= count)


async def test_what_a_killed_collector_had_in_hand_comes_elsewhere_when_its_lease_is_over(tmp_path: Path) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer(lease_s=LEASE_S)
        collector = await here.collector("here", keeps=True, lease_s=LEASE_S)
        await writer.ask("write", count=1000)
        await got(collector, 1000)
        begun = trio.current_time()
        await collector.kill()
        collector = await here.collector("there", lease_s=LEASE_S)
        await writer.ask("write", count=500)
        await got(collector, 1500)
        assert trio.current_time() - begun > LEASE_S / 2
        there = here.received("there")
        # What nobody had in hand did not wait.
        assert numbers(there) == [*range(1001, 1501), *range(1, 1001)]
        assert [one.number for one in there if one.again] == list(range(1, 1001))


async def test_two_members_share_the_records_and_one_gets_what_the_other_had_when_that_is_killed(
    tmp_path: Path,
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer(lease_s=LEASE_S)
        first = await here.collector("first", lease_s=LEASE_S)
        second = await here.collector("second", lease_s=LEASE_S)
        for one in (first, second):  # both take part
            await one.linked("relay")
        while not all(one.told.get("got", 0) for one in (first, second)):
            await writer.ask("write", count=200)
        await writer.ask("write", count=20_000)
        await first.kill()
        await writer.ask("write", count=20_000)
        count = await writer.ask("write", count=1)
        await writer.ask("collected", name="archive")
        assert (await writer.ask("info"))["collectors"]["archive"][:4] == [count, 0, ["second"], 0]
        ours, theirs = here.received("first"), here.received("second")
        # A kill may cut what was being written.
        assert set(numbers(ours)) | set(numbers(theirs)) == set(range(1, count + 1))
        again = {one.number for one in theirs if one.again}
        assert set(numbers(ours)) & set(numbers(theirs)) <= again
        assert len(numbers(theirs)) == len(set(numbers(theirs)))


async def test_a_collector_that_stands_still_beyond_its_lease_is_replaced_by_the_other_and_takes_part_again_later(
    tmp_path: Path,
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer(lease_s=LEASE_S)
        first = await here.collector("first", lease_s=LEASE_S, keeps=True)
        await writer.ask("write", count=1000)
        await got(first, 1000)
        first.stop()
        second = await here.collector("second", lease_s=LEASE_S)
        await writer.ask("write", count=1000)
        await writer.ask("collected", name="archive")
        first.go_on()
        # What it acknowledges now is another's: it counts for nothing, and nothing of it comes again.
        await first.ask("acknowledge")
        kept = first.told["got"]
        while first.told["got"] == kept:
            await writer.ask("write", count=200)
        await first.ask("acknowledge")
        await first.leave()
        count = await writer.ask("write", count=200)
        await writer.ask("collected", name="archive")
        ours, theirs = here.received("first"), here.received("second")
        assert numbers(ours)[:1000] == list(range(1, 1001))
        assert {one.number for one in theirs if one.again} >= set(range(1, 1001))
        assert set(numbers(ours)) | set(numbers(theirs)) == set(range(1, count + 1))
        assert len(numbers(theirs)) == len(set(numbers(theirs)))
        assert len(numbers(ours)) == len(set(numbers(ours)))
        assert second.count("RecordsLost") == first.count("RecordsLost") == 0
