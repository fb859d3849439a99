"""``kill -9`` of a store's master and of its clones, under load: what was acknowledged is there, once, everywhere."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from interop_members import LOOPBACK
from interop_stores import LOAD, Keeper, a_moment, assert_in_step, keepers, sequence_of

# All of the log is kept: at the end it is compared with what watches have given.
WHOLE_LOG = {"log_bytes": 1 << 30}


async def assert_no_key_was_put_twice(master: Keeper) -> None:
    assert (await master.ask("log"))[-1] == []


async def assert_watch_was_whole(clone: Keeper, master: Keeper, since: str) -> None:
    """What its watch has given since it was first there is what is in the master's log, each change once, in order."""
    *seen, _ = await master.ask("log", since=since)
    assert seen[1] > 0
    assert await clone.ask("watched", sequence=sequence_of(seen[0])) == seen


async def test_a_master_killed_at_random_moments_loses_no_acknowledged_write_and_applies_none_twice(
    tmp_path: Path,
) -> None:
    chance = random.Random(4)
    async with keepers(120) as mesh:
        start_master = partial(mesh.start, "master", "master", store={"path": str(tmp_path / "master"), **WHOLE_LOG})
        master = await start_master(listen=[LOOPBACK], watch=None)
        first = await master.value("watching")
        address = await master.address()
        start_clone = partial(mesh.start, "clone", peer=[address], watch=None)
        on_disk = await start_clone("disk", store={"path": str(tmp_path / "clone"), **WHOLE_LOG})
        in_memory = await start_clone("memory", store=WHOLE_LOG)
        clones = (on_disk, in_memory)
        for one in clones:
            await one.entered()
        await on_disk.ask("start", kinds=LOAD)
        await in_memory.ask("start", kinds=LOAD, level=2)
        seen = None  # by a watch at the master, which goes on after each restart
        for kill in range(14):
            if kill % 5 == 3:  # while it opens its store, links, or takes up its writers again
                await master.value("addresses")
            else:
                await master.entered()
                await master.ask("start", kinds=LOAD)
                for one in clones:
                    await one.answers(chance.randrange(1, 100))
            await a_moment(chance)
            await master.kill()
            seen = master.told.get("watched") or seen
            master = await start_master(listen=[address], watch=seen)
        await master.entered()
        for one in clones:
            await one.ask("stop")
        await master.ask(
            "put", key="last", value=True
        )  # behind the record of the master's new epoch, which is no change
        contents = await assert_in_step(master, *clones)
        mesh.ledger.check(contents, spared=("disk", "memory"))
        await assert_no_key_was_put_twice(master)
        await assert_watch_was_whole(master, master, since=first)
        for one in clones:
            await assert_watch_was_whole(one, master, since=one.told["watching"])
            assert one.count("StoreForked") == one.count("StoreFailing") == 0
            synced = [status["snapshot"] for status in one.statuses if status["status"] == "StoreSynced"]
            assert len(synced) > 5
            assert not any(synced[1:])


async def test_clones_killed_at_random_moments_go_on_from_where_they_were_and_hold_nobody_up(tmp_path: Path) -> None:
    chance = random.Random(5)
    async with keepers(120) as mesh:
        store = {"path": str(tmp_path / "master"), **WHOLE_LOG}
        master = await mesh.start("master", "master", listen=[LOOPBACK], store=store)
        start_clone = partial(mesh.start, "clone", peer=[await master.address()])
        start = {
            "disk": partial(start_clone, "disk", store={"path": str(tmp_path / "clone"), **WHOLE_LOG}),
            "memory": partial(start_clone, "memory", store=WHOLE_LOG),
        }
        await master.entered()
        await master.ask("start", kinds=LOAD)
        clones = {"disk": await start["disk"](watch=None), "memory": await start["memory"]()}
        first = await clones["disk"].value("watching")
        for kill in range(14):
            name = chance.choice(list(clones)) if kill > 1 else list(clones)[kill]
            clone = clones[name]
            await clone.entered()
            await clone.ask("start", kinds=LOAD)
            for one in (master, clone):
                await one.answers(chance.randrange(1, 100))
            await a_moment(chance)
            await clone.kill()
            seen = clone.told.get("watched", [first, 0, ""])
            clones[name] = await (start["disk"](watch=seen) if name == "disk" else start["memory"]())
            assert (await clones[name].status("StoreSynced"))["snapshot"] == (name == "memory")
        for one in clones.values():
            await one.entered()
        await master.ask("stop")
        contents = await assert_in_step(master, *clones.values())
        mesh.ledger.check(contents, spared=("master",))
        await assert_no_key_was_put_twice(master)
        await assert_watch_was_whole(clones["disk"], master, since=first)
        assert clones["disk"].count("StoreForked") == 0
