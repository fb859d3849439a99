"""Disks of a master and of a clone that fill: writes are refused, reads go on, and writes too when there is room."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest
from interop_disks import SmallDisk
from interop_members import LOOPBACK
from interop_stores import LOAD, Keeper, Refused, assert_in_step, keepers

SIZE = 50_000
SMALL_LOG = {"log_bytes": 200_000}


@pytest.fixture
def disk(tmp_path: Path) -> SmallDisk:
    (tmp_path / "small").mkdir()
    return SmallDisk(tmp_path / "small", "hosts.lmdb")


async def filled(one: Keeper, name: str) -> int:
    """Put values until there is no room; returns how many were put, and checks what the refusal says."""
    put = itertools.count()

    async def put_all() -> None:
        while True:
            await one.ask("put_text", key=f"fill/{name}/{next(put)}", size=SIZE)

    with pytest.raises(Refused, match="StoreFull") as raised:
        await put_all()
    assert "store 'hosts': nothing was written: " in raised.value.text
    assert "hosts.lmdb" in raised.value.text
    assert "make room; nothing of this was written, and reading goes on" in raised.value.text
    return next(put) - 1


async def test_a_masters_full_disk_refuses_all_writes_and_takes_them_again_when_there_is_room(disk: SmallDisk) -> None:
    async with keepers(60) as mesh:
        store = {"path": disk.path, **SMALL_LOG}
        master = await mesh.start("master", "master", listen=[LOOPBACK], store=store, inside=disk.inside)
        clone = await mesh.start("clone", "clone", peer=[await master.address()])
        for one in (master, clone):
            await one.entered()
        await disk.fill(master)
        put = await filled(master, "a")
        assert put > 10
        failing = await master.status("StoreFailing")
        assert (failing["store"], failing["lost"]) == ("hosts", 0)
        assert "hosts.lmdb" in failing["reason"]
        assert (await master.ask("info"))["problem"] == failing["reason"]
        await filled(clone, "b")  # a forwarded write, too
        state = await master.ask("state")
        assert state[1] >= put
        await clone.ask("synced")
        assert await clone.ask("state") == state
        await disk.empty(master)
        for one in (master, clone):
            await one.ask("start", kinds=LOAD)
            await one.answers(50)
        await master.status("StoreRecovered")
        for one in (master, clone):
            await one.ask("stop")
        await filled_again(master)
        contents = await assert_in_step(master, clone)
        mesh.ledger.check(contents, spared=("master", "clone"))
        assert (await master.ask("info"))["problem"] == ""


async def filled_again(one: Keeper) -> None:
    for number in range(10):
        await one.ask("put_text", key=f"fill/{number}", size=SIZE)


async def test_a_clones_full_disk_holds_nobody_up_and_it_catches_up_when_there_is_room(disk: SmallDisk) -> None:
    async with keepers(60) as mesh:
        master = await mesh.start("master", "master", listen=[LOOPBACK])
        start_clone = partial(mesh.start, "clone", peer=[await master.address()])
        clone = await start_clone("small", store={"path": disk.path, **SMALL_LOG}, inside=disk.inside)
        for one in (master, clone):
            await one.entered()
        await disk.fill(clone)
        await master.ask("put", key="early", value=1)
        await clone.ask("synced")
        for number in range(120):  # 6 MB
            await master.ask("put_text", key=f"fill/{number}", size=SIZE)
        failing = await clone.status("StoreFailing")
        assert failing["store"] == "hosts"
        assert "hosts.lmdb" in failing["reason"]
        assert "make room" in failing["reason"]
        await clone.ask("until_stale", seconds=2.0)
        assert await clone.ask("get", key="early") == 1
        info = await clone.ask("info")
        assert "make room" in info["problem"]
        assert info["master"] == "master"
        # It forwards all the same, and the master goes on; not so fast that the disk would be too small in the end.
        for one in (master, clone):
            await one.ask("start", kinds=LOAD, pause=0.01)
            await one.answers(50)
        await disk.empty(clone)
        await clone.status("StoreRecovered")
        for one in (master, clone):
            await one.ask("stop")
        await clone.ask("synced")
        mesh.ledger.check(await assert_in_step(master, clone), spared=("master", "small"))
        assert (await clone.ask("info"))["problem"] == ""


async def test_a_clones_disk_too_small_for_a_snapshot_is_told_and_gets_it_when_there_is_room(disk: SmallDisk) -> None:
    async with keepers(60) as mesh:
        master = await mesh.start("master", "master", listen=[LOOPBACK])
        await master.entered()
        store = {"path": disk.path, **SMALL_LOG, "timeout": 0.5}
        clone = await mesh.start("clone", "small", listen=[LOOPBACK], store=store, inside=disk.inside)
        await clone.entered()
        await disk.fill(clone)
        for number in range(120):
            await master.ask("put_text", key=f"fill/{number}", size=SIZE)
        bridge = await mesh.start("relay", "bridge", peer=[await master.address(), await clone.address()])
        await bridge.value("joined")
        assert "make room" in (await clone.status("StoreFailing"))["reason"]
        with pytest.raises(Refused, match=r"StaleData: store 'hosts': the clone has nothing yet"):
            await clone.ask("get", key="fill/0")
        await disk.empty(clone)
        await clone.status("StoreRecovered")
        assert (await clone.status("StoreSynced"))["snapshot"]
        await assert_in_step(master, clone)
