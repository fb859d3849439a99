"""The master elsewhere, or with an older state: clones take what there is now, in whole, and tell a fork."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from interop_members import LOOPBACK
from interop_stores import Keeper, assert_in_step, keepers, sequence_of

BATCHES = ["batch", "unique", "increment"]


async def assert_never_saw_half(*clones: Keeper) -> None:
    for clone in clones:
        assert "half" not in clone.told, clone.told["half"]
        assert clone.told["looks"] > 10


async def written(one: Keeper, count: int) -> None:
    """Let it write so much, in batches and otherwise."""
    await one.ask("start", kinds=BATCHES)
    await one.answers(count)
    await one.ask("stop")


async def test_a_master_restored_from_an_older_backup_is_followed_in_its_own_history_alone(tmp_path: Path) -> None:
    """Also by a clone that was not there, and comes when the new history is longer than its own."""
    path = tmp_path / "master"
    async with keepers(60) as mesh:
        start_master = partial(mesh.start, "master", "master", store={"path": str(path)})
        master = await start_master(listen=[LOOPBACK])
        address = await master.address()
        start_clone = partial(mesh.start, "clone", peer=[address])
        start_later = partial(start_clone, "later", store={"path": str(tmp_path / "later")})
        on_disk = await start_clone("disk", store={"path": str(tmp_path / "clone")}, watch=None)
        in_memory, later = await start_clone("memory", watch=None), await start_later()
        for one in (on_disk, in_memory, later):
            await one.entered()
            await one.ask("look")
        await written(master, 100)
        await master.ask("backup", path=str(tmp_path / "backup"))
        await master.ask("put", key="after the backup", value=True)
        await written(master, 100)
        before = await assert_in_step(master, on_disk, in_memory, later)
        assert before["after the backup"]
        had = await on_disk.ask("position")
        await later.leave()
        await master.leave()

        shutil.copy(tmp_path / "backup", path)
        master = await start_master(listen=[address])
        await master.entered()
        for one in (on_disk, in_memory):
            forked = await one.status("StoreForked")
            assert (forked["store"], forked["master"], forked["had"]) == ("hosts", "master", had)
            assert (await one.status("StoreSynced"))["snapshot"]
            assert "is no longer" in await one.value("watch_lost") or "not kept any more" in one.told["watch_lost"]
        await written(on_disk, 300)
        later = await start_later()
        assert (await later.status("StoreForked"))["had"] == had
        assert (await later.status("StoreSynced"))["snapshot"]
        await later.entered()
        after = await assert_in_step(master, on_disk, in_memory, later)
        assert "after the backup" not in after
        ours = {tag for tag in mesh.ledger.asked if tag.startswith("disk-")}
        assert len({key for key in after if key.split("/")[0] in ours}) > 50
        await assert_never_saw_half(on_disk, in_memory)


async def test_a_master_on_the_same_file_at_another_endpoint_goes_on_with_all_forwarded_writes(tmp_path: Path) -> None:
    """The first one is killed and its file is taken elsewhere; the mesh keeps together by a relay."""
    async with keepers(60) as mesh:
        relay = await mesh.start("relay", "relay", listen=[LOOPBACK])
        place: dict[str, Any] = {"peer": [await relay.address()]}
        first = await mesh.start("master", "first", store={"path": str(tmp_path / "first")}, **place)
        on_disk = await mesh.start("clone", "disk", store={"path": str(tmp_path / "clone")}, watch=None, **place)
        in_memory = await mesh.start("clone", "memory", watch=None, **place)
        clones = (on_disk, in_memory)
        for one in (first, *clones):
            await one.entered()
            await one.ask("start", kinds=BATCHES)
        for one in clones:
            await one.ask("look")
            await one.answers(100)
        await first.kill()
        shutil.copy(tmp_path / "first", tmp_path / "second")
        second = await mesh.start("master", "second", store={"path": str(tmp_path / "second")}, **place)
        await second.entered()
        for one in clones:
            await one.answers(100)
            await one.ask("stop")
        contents = await assert_in_step(second, *clones)
        mesh.ledger.check(contents, spared=("disk", "memory"))
        for one in clones:
            assert (await one.ask("info"))["master"] == "second"
            assert one.count("StoreForked") == 0
            synced = [status["snapshot"] for status in one.statuses if status["status"] == "StoreSynced"]
            assert not any(synced[1:])
            *seen, _ = await second.ask("log", since=one.told["watching"])
            assert await one.ask("watched", sequence=sequence_of(seen[0])) == seen
        await assert_never_saw_half(*clones)


async def test_a_second_master_of_a_store_is_refused_while_the_first_is_there(tmp_path: Path) -> None:
    async with keepers(60) as mesh:
        first = await mesh.start("master", "first", listen=[LOOPBACK], store={"path": str(tmp_path / "first")})
        await first.entered()
        await written(first, 10)
        await first.ask("backup", path=str(tmp_path / "copy"))
        clone = await mesh.start("clone", "second", peer=[await first.address()])
        await clone.entered()
        before = (tmp_path / "copy").read_bytes()
        store = {"path": str(tmp_path / "copy"), "timeout": 0.1}
        third = await mesh.start("master", "third", peer=[await first.address()], store=store, joins_first=True)
        kind, text = await third.refused()
        assert kind == "MasterExists"
        assert text == "store 'hosts': first is its master: third cannot be, too; clone it instead"
        assert (tmp_path / "copy").read_bytes() == before
        await assert_in_step(first, clone)
