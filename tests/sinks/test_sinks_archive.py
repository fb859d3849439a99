"""The loop from a collector to log files, with a collector that is but a list."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from killed_disk import numbers_in, visible
from sink_records import Written, numbers

from broker.sinks import LogFiles, archive
from broker.sinks.disk import Disk


@attrs.define
class ListedRecords:
    """A collector of one writer: batches come when they are sent, and what happens is written down."""

    files: LogFiles
    acknowledged: int = 0
    ended: bool = False
    arrived: trio.Event = attrs.field(factory=trio.Event)
    changed: trio.Event = attrs.field(factory=trio.Event)
    batches: list[Sequence[Written]] = attrs.field(factory=list)
    told: list[tuple[str, int]] = attrs.field(factory=list)

    def send(self, first: int, last: int) -> None:
        self.batches.append(numbers(first, last))
        self.arrived.set()

    def end(self) -> None:
        self.ended = True
        self.arrived.set()

    async def receive_batch(self) -> Sequence[Written]:
        while not self.batches:
            if self.ended:
                raise trio.EndOfChannel
            self.arrived = trio.Event()
            await self.arrived.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        return self.batches.pop(0)

    def checkpoint(self, *, through: Sequence[Any]) -> bytes:
        return str(max(message.number for message in through)).encode()

    def acknowledge(self, message: Any, *, through: bool = False) -> None:
        assert through
        # What is acknowledged is on the disk, and so is the checkpoint that says it.
        assert int(self.files.checkpoint or b"0") >= message.number
        self.acknowledged = message.number
        self.told.append((message.origin, message.number))
        self.changed.set()
        self.changed = trio.Event()

    async def until_acknowledged(self, number: int) -> None:
        with trio.fail_after(10):
            while self.acknowledged < number:
                await self.changed.wait()


async def test_records_are_acknowledged_after_their_commit(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        records = ListedRecords(files)
        async with trio.open_nursery() as own:
            own.start_soon(lambda: archive(records, files, commit_s=0.01))
            records.send(1, 3)
            records.send(4, 5)
            await records.until_acknowledged(5)
            assert numbers_in(tmp_path) == [1, 2, 3, 4, 5]
            own.cancel_scope.cancel()


async def test_many_records_are_committed_before_the_time_is_up(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        records = ListedRecords(files)
        async with trio.open_nursery() as own:
            own.start_soon(lambda: archive(records, files, commit_s=3600, commit_records=10))
            records.send(1, 9)
            records.send(10, 12)
            await records.until_acknowledged(12)
            own.cancel_scope.cancel()


async def test_what_comes_late_does_not_hide_what_came_before(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        records = ListedRecords(files)
        records.send(11, 20)
        records.send(1, 10)  # another member of the name had them, and died
        records.end()
        with trio.fail_after(10):
            await archive(records, files, commit_s=3600)
        assert records.told == [("web-01", 20)]
        assert files.checkpoint == b"20"


async def test_the_end_of_the_records_ends_it(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        records = ListedRecords(files)
        records.send(1, 3)
        records.end()
        with trio.fail_after(10):
            await archive(records, files, commit_s=3600)
        assert records.acknowledged == 3


async def test_the_last_of_each_writer_is_acknowledged(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        records = ListedRecords(files)
        for first, origin in ((1, "web-01"), (3, "web-02"), (5, "web-01"), (7, "web-03")):
            records.batches.append([attrs.evolve(message, origin=origin) for message in numbers(first, first + 1)])
        records.end()
        with trio.fail_after(10):
            await archive(records, files, commit_s=3600)
        assert records.told == [("web-01", 6), ("web-02", 4), ("web-03", 8)]
    assert numbers_in(tmp_path) == list(range(1, 9))


async def test_cancelled_it_commits_what_it_has(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        records = ListedRecords(files)
        async with trio.open_nursery() as own:
            own.start_soon(lambda: archive(records, files, commit_s=3600))
            records.send(1, 3)
            with trio.fail_after(10):
                while not files.pending_bytes:  # noqa: ASYNC110 - a thread sets it
                    await trio.sleep(0.001)
                await trio.testing.wait_all_tasks_blocked()
            own.cancel_scope.cancel()
        assert records.acknowledged == 3
    assert numbers_in(tmp_path) == [1, 2, 3]


class SmallDisk(Disk):
    full = True
    tried = 0

    def write(self, fd: int, data: bytes, offset: int) -> None:
        self.tried += 1
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data, offset)


async def test_it_waits_for_room_on_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = SmallDisk()
    with LogFiles(tmp_path, "n", disk=disk) as files:
        records = ListedRecords(files)
        with caplog.at_level(logging.WARNING, "broker.sinks"):
            async with trio.open_nursery() as own:
                own.start_soon(lambda: archive(records, files, commit_s=0.01, retry_s=0.01))
                records.send(1, 3)
                with trio.fail_after(10):
                    while disk.tried < 3:  # noqa: ASYNC110 - a thread sets it
                        await trio.sleep(0.001)
                assert records.acknowledged == 0
                disk.full = False
                await records.until_acknowledged(3)
                own.cancel_scope.cancel()
    assert numbers_in(tmp_path) == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        "log files wait for room on the disk: [Errno 28] No space left on device"
    ]


async def test_another_failure_of_the_disk_ends_it(tmp_path: Path) -> None:
    class Broken(Disk):
        def write(self, fd: int, data: bytes, offset: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with LogFiles(tmp_path, "n", disk=Broken()) as files:
        records = ListedRecords(files)
        records.send(1, 3)
        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="Input/output error")):
            await archive(records, files, commit_s=0.01)
        assert records.acknowledged == 0


async def test_files_are_rotated_and_tidied(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", rotate_bytes=150, compress="gzip") as files:
        records = ListedRecords(files)
        for last in range(10, 60, 10):
            records.send(last - 9, last)
        records.end()
        with trio.fail_after(10):
            await archive(records, files, commit_records=10)
        assert files.stats.files == 5
        files.tidy()
    assert [path.suffix for path in visible(tmp_path)] == [".gz"] * 5
    assert numbers_in(tmp_path) == list(range(1, 51))


async def test_cancelled_it_finishes_a_parquet_file_and_acknowledges_what_is_in_it(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", format="parquet", rotate_s=3600) as files:
        records = ListedRecords(files)
        async with trio.open_nursery() as own:
            own.start_soon(lambda: archive(records, files, commit_s=0.01))
            records.send(1, 3)
            with trio.fail_after(10):
                while not files.stats.records and not files._held_records:  # noqa: ASYNC110 - a thread sets it
                    await trio.sleep(0.001)
            own.cancel_scope.cancel()
        assert records.acknowledged == 3
        assert files.stats.files == 1


async def test_parquet_is_acknowledged_when_a_file_is_finished(tmp_path: Path) -> None:
    clock = iter(range(0, 100_000, 3))
    with LogFiles(tmp_path, "n", format="parquet", rotate_s=60, clock=lambda: float(next(clock))) as files:
        records = ListedRecords(files)
        async with trio.open_nursery() as own:
            own.start_soon(lambda: archive(records, files, commit_records=1))
            for number in range(1, 40):
                records.send(number, number)
            await records.until_acknowledged(5)
            own.cancel_scope.cancel()
    assert numbers_in(tmp_path) == list(range(1, int(files.checkpoint or b"0") + 1))
