"""Spools without a collector, on disks that fill, lost, and opened twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from interop_disks import SmallDisk
from interop_logs import assert_all_once, numbers, shop
from interop_stores import Keeper

SIZE = 500  # of each record, at least


@pytest.fixture
def disk(tmp_path: Path) -> SmallDisk:
    (tmp_path / "small").mkdir()
    return SmallDisk(tmp_path / "small", "writer.spool")


async def got(collector: Keeper, count: int) -> None:
    """Wait until a collector has kept so many records."""
    await collector.until(lambda: collector.told.get("got", 0) >= count)


async def test_a_machine_without_its_collector_spools_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    async with shop(90, tmp_path) as here:
        await here.relay()
        writer = await here.writer(log={"collectors": ["archive"]})
        await writer.ask("write", count=10_000, durable=False, size=250)
        before = await writer.ask("memory")
        await writer.ask("write", count=190_000, durable=False, size=250)
        await writer.ask("flush")
        info = await writer.ask("info")
        assert (info["first"], info["last"], info["dropped"]) == (1, 200_000, 0)
        assert info["bytes"] > 55 << 20
        assert await writer.ask("memory") - before < 20 << 20
        collector = await here.collector(collect={"acknowledge": "auto"})
        await got(collector, 200_000)
        assert_all_once(here.received(size=250), {"writer": 200_000})
        await writer.ask("collected", name="archive")
        assert await writer.ask("memory") - before < 30 << 20
        assert await collector.ask("memory") < 150 << 20


async def test_writers_wait_while_a_spools_disk_is_full_and_nothing_is_lost(disk: SmallDisk, tmp_path: Path) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer(log={"path": disk.path}, inside=disk.inside)
        await disk.fill(writer)
        asked = await writer.begin("write", count=12_000, size=SIZE)
        failing = await writer.status("LogFailing")
        assert failing["stream"] == "lines"
        assert "writer.spool" in failing["reason"]
        wrote = writer.told["wrote"]
        info = await writer.ask("info")
        assert info["last"] >= wrote
        assert info["problem"]
        assert info["dropped"] == 0
        # What is on the disk can be collected meanwhile.
        collector = await here.collector()
        await got(collector, info["last"])
        await disk.empty(writer)
        await writer.status("LogRecovered")
        assert await writer.outcome(asked) == 12_000
        await got(collector, 12_000)
        await writer.ask("collected", name="archive")
        assert (await writer.ask("info"))["problem"] == ""
        assert writer.count("RecordsDropped") == 0
        assert_all_once(here.received(size=SIZE), {"writer": 12_000})


async def test_a_spool_on_a_full_disk_that_may_drop_the_oldest_does_and_counts_them(
    disk: SmallDisk, tmp_path: Path
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        how = {"path": disk.path, "overflow": "drop_oldest", "collectors": ["archive"]}
        writer = await here.writer(log=how, inside=disk.inside)
        await disk.fill(writer)
        await writer.ask("write", count=11_000, size=SIZE)
        dropped = (await writer.ask("info"))["dropped"]
        assert dropped > 1000
        collector = await here.collector()
        await got(collector, 11_000 - dropped)
        received = here.received(size=SIZE)
        assert numbers(received) == list(range(dropped + 1, 11_001))
        assert sum(one.lost for one in received) == dropped
        assert (await collector.status("RecordsLost"))["count"] == dropped
        assert (await writer.ask("info"))["collectors"]["archive"][4] == dropped
        await writer.leave()
        told = [status for status in writer.statuses if status["status"] == "RecordsDropped"]
        assert sum(status["count"] for status in told) == dropped
        assert {tuple(status["collectors"]) for status in told} == {("archive",)}


async def test_a_collector_is_told_of_a_writer_that_has_lost_its_spool_and_gets_what_that_writes_now(
    tmp_path: Path,
) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        collector = await here.collector(keeps=True)
        writer = await here.writer()
        await writer.ask("write", count=1000)
        await got(collector, 1000)
        await writer.kill()
        here.lose_spool("writer")
        writer = await here.writer()
        assert await writer.entered() == 0
        await writer.ask("write", count=500)
        reset = await collector.status("WriterReset")
        assert (reset["stream"], reset["writer"], reset["lost"]) == ("lines", "writer", 0)
        await got(collector, 1500)
        assert numbers(here.received()) == [*range(1, 1001), *range(1, 501)]
        assert collector.count("RecordsLost") == 0


async def test_a_spool_is_not_opened_by_two_processes_at_a_time(tmp_path: Path) -> None:
    async with shop(60, tmp_path) as here:
        await here.relay()
        writer = await here.writer()
        await writer.ask("write", count=100)
        path = str(here.spool("writer"))
        other = await here.mesh.start("log_writer", "other", peer=here.peers, log={"path": path})
        kind, text = await other.refused()
        assert kind == "JournalBusy"
        assert "writer.spool" in text
        await writer.ask("write", count=100)
        await writer.kill()
        # The lock dies with the process.
        other = await here.writer("other", log={"path": path}, writer="writer")
        await other.ask("write", count=100)
        collector = await here.collector()
        await got(collector, 300)
        assert_all_once(here.received(), {"writer": 300})
