"""kill -9 of writers, relays and collectors of a log stream, while records pass: each comes exactly once."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from interop_logs import assert_all_once, numbers, shop
from interop_stores import Keeper
from logs_kill_test import ROLES, Trial, run

from broker.logs.groups import LEASE_S

# Nobody has waited for a lease when everything went by so quickly.
AT_ONCE_S: Final = LEASE_S / 2


async def got(collector: Keeper, count: int) -> None:
    """Wait until a collector has kept so many records."""
    await collector.until(lambda: collector.told.get("got", 0) >= count)


async def test_each_record_comes_exactly_once_whoever_is_killed_meanwhile(tmp_path: Path) -> None:
    # At its full length: make kill-test.
    report = await run(Trial(100_000, 12, seed=8, directory=tmp_path, seconds=120.0, say=print))
    assert report.records == 100_000
    assert [report.kills[role] for role in ROLES] == [4, 4, 4]


async def test_records_take_another_way_when_one_of_two_relays_is_killed(tmp_path: Path) -> None:
    report = await run(Trial(15_000, 4, seed=5, directory=tmp_path, writers=1, relays=2, seconds=60.0, say=print))
    assert report.records == 15_000


async def test_a_writer_killed_while_it_writes_goes_on_in_its_spool_and_nobody_waits_for_a_lease(
    tmp_path: Path,
) -> None:
    chance = random.Random(1)
    async with shop(60, tmp_path) as here:
        await here.relay()
        collector = await here.collector()
        count = 60_000
        # A small spool: it is never far ahead.
        start = partial(here.writer, load={"count": count, "seed": 1}, log={"limit_bytes": 1 << 20})
        writer = await start()
        for _ in range(3):
            await got(collector, collector.told.get("got", 0) + chance.randrange(1, 1500))
            await trio.sleep(chance.random() * 0.03)
            await writer.kill()
            durable = writer.told.get("durable", 0)
            writer = await start()
            begun = trio.current_time()
            at = await writer.entered()
            assert durable <= at < count
            await got(collector, at + 1)
            assert trio.current_time() - begun < AT_ONCE_S
        await writer.value("finished")
        await got(collector, count)
        assert_all_once(here.received(), {"writer": count})
        assert collector.count("WriterReset") == 0


async def test_a_collector_killed_without_a_checkpoint_goes_on_at_once_and_gets_what_it_had_in_hand_again(
    tmp_path: Path,
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer()
        collector = await here.collector(output="first")
        await writer.ask("write", count=500)
        await got(collector, 500)
        await collector.ask("confirmed")
        await collector.kill()
        # What the next life keeps, and does not acknowledge, is what it has in hand.
        collector = await here.collector(output="second", keeps=True)
        await writer.ask("write", count=700)
        await got(collector, 700)
        await collector.kill()
        begun = trio.current_time()
        collector = await here.collector(output="third")
        await got(collector, 700)
        assert trio.current_time() - begun < AT_ONCE_S
        await writer.ask("write", count=100)
        await got(collector, 800)
        assert numbers(here.received("first")) == list(range(1, 501))
        assert numbers(here.received("second")) == list(range(501, 1201))
        third = here.received("third")
        assert numbers(third) == list(range(501, 1301))
        assert [one.number for one in third if one.again] == list(range(501, 1201))


async def test_a_batch_that_was_not_dealt_with_when_its_collector_was_killed_comes_again_as_a_whole(
    tmp_path: Path,
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer()
        collector = await here.collector(output="first", collect={"acknowledge": "auto"})
        await collector.ask("rest", seconds=60)
        await writer.ask("write", count=500)
        while (await writer.ask("info"))["collectors"].get("archive", [0, 0, [], 0])[3] < 500:
            pass
        await trio.sleep(0.2)  # in which what it has done of the batch would be acknowledged
        await collector.kill()
        collector = await here.collector(output="second")
        await got(collector, 500)
        assert here.received("first") == []
        second = here.received("second")
        assert numbers(second) == list(range(1, 501))
        assert all(one.again for one in second)


async def test_a_collector_that_leaves_is_followed_by_one_elsewhere_at_once_and_nothing_comes_twice(
    tmp_path: Path,
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer(load={"count": 60_000, "seed": 2, "granted": 0})
        kept = 0
        for place, name in enumerate(["here", "there", "elsewhere"]):
            begun = trio.current_time()
            collector = await here.collector(name, collect={"acknowledge": ("explicit", "auto")[place % 2]})
            await writer.ask("grant", upto=20_000 * place + 10_000)
            await got(collector, 1)
            assert trio.current_time() - begun < AT_ONCE_S
            await writer.ask("grant", upto=20_000 * place + 20_000)
            if place == 2:
                await got(collector, 60_000 - kept)
            await collector.leave()
            kept += len(here.received(name))
        received = [one for name in ("here", "there", "elsewhere") for one in here.received(name)]
        assert_all_once(received, {"writer": 60_000})
        # What one had received, but not acknowledged, is marked for the next: it may have begun with it.
        assert sum(one.again for one in received) < 20_000


async def test_a_relay_killed_during_a_replay_costs_nothing_of_it(tmp_path: Path) -> None:
    chance = random.Random(3)
    async with shop(60, tmp_path) as here:
        relay = await here.relay()
        writer = await here.writer(log={"keep_bytes": 1 << 30})
        await writer.ask("write", count=30_000, durable=False)
        collector = await here.collector(output="first")
        await got(collector, 30_000)
        await collector.leave()
        # A small queue: little is on its way at a time.
        anew = {"since": "earliest", "replay": True, "queue_bytes": 1 << 17}
        collector = await here.collector(output="again", collect=anew)
        for _ in range(2):
            before = collector.told.get("got", 0)
            await got(collector, before + chance.randrange(1, 5000))
            await trio.sleep(chance.random() * 0.02)
            assert collector.told["got"] < 30_000
            await relay.kill()
            relay = await here.relay(here.peers[0])
        await got(collector, 30_000)
        for output in ("first", "again"):
            assert_all_once(here.received(output), {"writer": 30_000})


async def test_one_collector_gets_everything_from_thirty_endpoints_once(tmp_path: Path) -> None:
    async with shop(90, tmp_path) as here:
        await here.relay()
        collector = await here.collector(checkpoint=str(tmp_path / "checkpoint"))
        fleet: dict[str, Any] = {"endpoints": 15, "count": 1000, "spools": str(tmp_path)}
        fleets = [await here.mesh.start("log_writers", name, peer=here.peers, **fleet) for name in ("north", "south")]
        await got(collector, 10_000)
        await collector.kill()
        collector = await here.collector(checkpoint=str(tmp_path / "checkpoint"))
        for one in fleets:
            await one.until_ended()
        await got(collector, 30_000)
        names = [f"{name}-{number}" for name in ("north", "south") for number in range(15)]
        assert_all_once(here.received(), dict.fromkeys(names, 1000))
