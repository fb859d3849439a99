"""Exactly once, wherever the writer of log files dies: at every step that reaches the disk, and in its recovery too."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from killed_disk import Killed, KilledDisk, numbers_in, visible
from sink_records import Longer, Number, Written, numbers

from broker.log_records import columns_of
from broker.sinks import LogFiles
from broker.sinks.disk import Disk

RECORDS = 12
BATCH = 2


def batch_from(first: int) -> list[Written]:
    """The next records of a stream whose writer gets a longer class at the seventh."""
    batch = numbers(first, first + BATCH - 1)
    return batch if first < 7 else [Written(Longer(message.number), number=message.number) for message in batch]


def live(directory: Path, disk: Disk, **options: Any) -> None:
    """One life of a process that archives a stream of RECORDS records, from where the last one stopped."""
    ticks = iter(range(0, 100_000, 7))
    files = LogFiles(directory, "n", disk=disk, clock=lambda: 1_000_000.0 + next(ticks), **options)
    try:
        done = int(files.checkpoint or b"0")
        while done < RECORDS:
            batch = batch_from(done + 1)
            files.append(batch, columns_of(type(batch[0].record)))
            done += len(batch)
            files.commit(str(done).encode())
            if files.rotate_due():
                files.rotate()
                files.tidy()
        files.close()
    except Killed:
        with suppress(OSError):  # It died in close(), perhaps.
            os.close(files._lock)
        raise


def lock_freed(directory: Path, disk: KilledDisk, **options: Any) -> bool:
    """Whether a life was lived to its end; a death while opening closes the lock itself."""
    try:
        live(directory, disk, **options)
    except Killed:
        return False
    return True


def survivors(directory: Path, **options: Any) -> int:
    """How many records are committed, when the files are opened again and nothing else is done."""
    with LogFiles(directory, "n", **options) as files:
        return int(files.checkpoint or b"0")


FORMATS = [
    {"format": "tsv", "rotate_bytes": 240, "compress": "gzip"},
    {"format": "json", "rotate_s": 20},
    {"format": "parquet", "rotate_s": 40},
]


@pytest.mark.parametrize("options", FORMATS, ids=lambda options: options["format"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_every_record_is_there_once(tmp_path: Path, options: dict[str, Any], after: bool) -> None:
    at = 0
    while True:
        at += 1
        directory = tmp_path / str(at)
        whole = lock_freed(directory, KilledDisk(at, after=after, forgets=True), **options)
        committed = survivors(directory, **options)
        assert numbers_in(directory) == list(range(1, committed + 1)), f"killed at step {at}"
        live(directory, KilledDisk(0), **options)
        assert numbers_in(directory) == list(range(1, RECORDS + 1)), f"killed at step {at}"
        assert not [path.name for path in directory.iterdir() if "tmp" in path.name or "partial" in path.name]
        if whole:
            break
        shutil.rmtree(directory)
    assert at > 40
    assert len(visible(directory)) >= 3


@pytest.mark.parametrize("options", FORMATS, ids=lambda options: options["format"])
def test_killed_again_and_again_every_record_is_there_once(tmp_path: Path, options: dict[str, Any]) -> None:
    chance = random.Random(5)
    for life in range(25):
        directory = tmp_path / str(life)
        for _ in range(6):
            disk = KilledDisk(chance.randrange(1, 60), after=chance.random() < 0.5, forgets=chance.random() < 0.5)
            if lock_freed(directory, disk, **options):
                break
        live(directory, KilledDisk(0), **options)
        assert numbers_in(directory) == list(range(1, RECORDS + 1))
        shutil.rmtree(directory)


CHILD = """
import sys
from sink_records import Number, numbers
from broker.log_records import columns_of
from broker.sinks import LogFiles

with LogFiles(sys.argv[1], "n", rotate_bytes=20_000, compress="gzip") as files:
    done = int(files.checkpoint or b"0")
    while True:
        files.append(numbers(done + 1, done + 100), columns_of(Number))
        done += 100
        files.commit(str(done).encode())
        print(done, flush=True)
        if files.rotate_due():
            files.rotate()
            files.tidy()
"""


def test_a_process_killed_at_any_moment_has_written_each_record_once(tmp_path: Path) -> None:
    chance = random.Random(9)
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert child.stdout is not None
        told = child.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.1))
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read()
        child.stdout.close()
        child.wait()
        acknowledged = int(told.split(b"\n")[-2])
        committed = survivors(tmp_path, rotate_bytes=20_000, compress="gzip")
        assert committed >= acknowledged
        assert numbers_in(tmp_path) == list(range(1, committed + 1))
    assert columns_of(Number)
