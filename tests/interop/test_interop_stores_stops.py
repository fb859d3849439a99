"""Processes of a store that stand still for a while, as on a swapping or suspended machine, and go on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from interop_members import LOOPBACK
from interop_stores import LOAD, Refused, assert_in_step, keepers, sequence_of


async def test_while_a_master_stands_still_reads_go_on_and_clones_know_that_they_are_stale(tmp_path: Path) -> None:
    async with keepers(60) as mesh:
        master = await mesh.start("master", "master", listen=[LOOPBACK], store={"path": str(tmp_path / "master")})
        start_clone = partial(mesh.start, "clone", peer=[await master.address()])
        strict = await start_clone("strict", store={"path": str(tmp_path / "clone"), "stale_after": 1.5})
        lenient = await start_clone("lenient")
        for one in (strict, lenient):
            await one.entered()
            await one.ask("start", kinds=LOAD, timeout=1.0)
        await master.ask("put", key="k", value=1)
        for _ in range(2):
            for one in (strict, lenient):
                await one.answers(50)
            position = await master.ask("put", key="k", value=2)
            for one in (strict, lenient):
                await one.ask("wait_for", position=position)
            master.stop()
            before = await lenient.ask("until_stale", seconds=2.0)
            assert await lenient.ask("get", key="k") == 2
            await strict.ask("until_stale", seconds=2.0)
            with pytest.raises(Refused, match=r"StaleData: store 'hosts': the clone may have missed something for \d"):
                await strict.ask("get", key="k")
            with pytest.raises(Refused, match=r"OutcomeUnknown|MasterUnavailable"):
                await lenient.ask("put", key="from lenient", value=1, timeout=0.5)
            assert await lenient.ask("until_stale", seconds=before + 0.5) > before
            master.go_on()
            for one in (strict, lenient):
                await one.ask("synced")
            assert await strict.ask("get", key="k") == 2
        for one in (strict, lenient):
            await one.ask("stop")
        contents = await assert_in_step(master, strict, lenient)
        mesh.ledger.check(contents, errors=("OutcomeUnknown", "MasterUnavailable"))
        assert strict.count("StoreForked") == lenient.count("StoreForked") == 0


async def test_while_a_clone_stands_still_all_others_go_on_and_afterwards_it_catches_up(tmp_path: Path) -> None:
    async with keepers(60) as mesh:
        master = await mesh.start("master", "master", listen=[LOOPBACK], store={"path": str(tmp_path / "master")})
        start_clone = partial(mesh.start, "clone", peer=[await master.address()], watch=None)
        still = await start_clone("still", store={"path": str(tmp_path / "clone")})
        other = await start_clone("other")
        for one in (master, still, other):
            await one.entered()
            await one.ask("start", kinds=LOAD)
        for gone in (False, True):
            for one in (master, still, other):
                await one.answers(50)
            still.stop()
            if gone:
                await master.linked("still", wanted=False)
            for one in (master, other):
                await one.answers(300)
            await other.ask("put", key="k", value=3)
            assert await other.ask("fetch", key="k") == 3
            still.go_on()
            await still.ask("synced")
        for one in (master, still, other):
            await one.ask("stop")
        contents = await assert_in_step(master, still, other)
        mesh.ledger.check(contents, spared=("master", "still", "other"))
        *seen, twice = await master.ask("log", since=still.told["watching"])
        assert twice == []
        assert await still.ask("watched", sequence=sequence_of(seen[0])) == seen
