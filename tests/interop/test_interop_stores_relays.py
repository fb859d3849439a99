"""A relay between a master and its clones that is killed and started again: during writes, and during a snapshot."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest
from interop_members import LOOPBACK
from interop_stores import LOAD, a_moment, assert_in_step, keepers, sequence_of
from tcp_proxy import proxy_to

ENTRIES = 200_000


async def test_a_relay_killed_during_writes_loses_none_and_has_none_applied_twice(tmp_path: Path) -> None:
    chance = random.Random(6)
    async with keepers(90) as mesh:
        relay = await mesh.start("relay", "relay", listen=[LOOPBACK])
        address = await relay.address()
        store = {"path": str(tmp_path / "master"), "log_bytes": 1 << 30}
        master = await mesh.start("master", "master", peer=[address], store=store)
        start_clone = partial(mesh.start, "clone", peer=[address], watch=None)
        clones = [await start_clone("disk", store={"path": str(tmp_path / "clone")}), await start_clone("memory")]
        for one in (master, *clones):
            await one.entered()
            await one.ask("start", kinds=LOAD)
        for _ in range(6):
            for one in clones:
                await one.answers(chance.randrange(1, 100))
            await a_moment(chance)
            await relay.kill()
            await master.answers(20)
            relay = await mesh.start("relay", "relay", listen=[address])
        for one in (master, *clones):
            await one.answers(20)
            await one.ask("stop")
        contents = await assert_in_step(master, *clones)
        mesh.ledger.check(contents, spared=("master", "disk", "memory"))
        for clone in clones:
            *seen, twice = await master.ask("log", since=clone.told["watching"])
            assert twice == []
            assert await clone.ask("watched", sequence=sequence_of(seen[0])) == seen
            assert clone.count("StoreForked") == 0


@pytest.mark.parametrize("kept", ["disk", "memory"])
async def test_a_relay_killed_during_a_snapshot_holds_no_writer_up_and_the_clone_gets_it_whole(
    tmp_path: Path, kept: str
) -> None:
    async with keepers(120) as mesh:
        master = await mesh.start("master", "master", listen=[LOOPBACK], store={"path": str(tmp_path / "master")})
        address = await master.address()
        writer = await mesh.start("clone", "writer", peer=[address])
        await writer.entered()
        await master.ask("fill", count=ENTRIES, size=30)
        for one in (master, writer):
            await one.ask("start", kinds=[*LOAD, "batch"], pause=0.005)
        relay = await mesh.start("relay", "relay", listen=[LOOPBACK], peer=[address])
        near = await relay.address()
        async with proxy_to(near) as proxy:
            proxy.bytes_per_s = 8e6
            store = {"path": str(tmp_path / "clone")} if kept == "disk" else {}
            clone = await mesh.start("clone", "clone", peer=[proxy.address], store=store | {"timeout": 0.1})
            for share in (1, 2):
                await proxy.until(lambda share=share: proxy.passed["down"] > share * 3_000_000)  # type: ignore[misc]
                assert clone.count("StoreSynced") == 0
                await relay.kill()
                for one in (master, writer):
                    await one.answers(20)
                relay = await mesh.start("relay", "relay", listen=[near], peer=[address])
            await clone.entered()
            await clone.ask("look")
            proxy.bytes_per_s = float("inf")
            assert (await clone.status("StoreSynced"))["snapshot"]
            for one in (master, writer):
                await one.answers(20)
                await one.ask("stop")
            contents = await assert_in_step(master, writer, clone)
            assert len(contents) < (await clone.ask("info"))["entries"] - ENTRIES + 1
            mesh.ledger.check(contents, spared=("master", "writer"))
            assert "half" not in clone.told
