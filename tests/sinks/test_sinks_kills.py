"""Exactly once, wherever the writer of log files dies: at every step that reaches the disk, and in its recovery too."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from killed_disk import Killed, KilledDisk, numbers_in, visible
from sink_records import Longer, Written, numbers

from broker.log_records import columns_of
from broker.sinks import LogFiles
from broker.sinks.disk import Disk


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: thousands of renames on a disk take their time."""
    memory = Path("/dev/shm")  # noqa: S108 - the directory in it is made safely
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


RECORDS = 12
BATCH = 2


def batch_from(first: int) -> list[Written]:
    """The next records of a stream whose writer gets a longer class at the seventh."""
    batch = numbers(first, first + BATCH - 1)
    return batch if first < 7 else [Written(Longer(message.number), number=message.number) for message in batch]


def live(directory: Path, disk: Disk, told: list[int], **options: Any) -> None:
    """One life of a process that archives a stream of RECORDS records, from where the last one stopped.

    ``told`` gets the numbers up to which it could acknowledge.
    """
    ticks = iter(range(0, 100_000, 7))
    files = LogFiles(directory, "n", disk=disk, clock=lambda: 1_000_000.0 + next(ticks), **options)
    try:
        done = int(files.checkpoint or b"0")
        while done < RECORDS:
            batch = batch_from(done + 1)
            files.append(batch, columns_of(type(batch[0].record)))
            done += len(batch)
            if files.commit(str(done).encode()):
                told.append(done)
            if files.rotate_due() and files.rotate():
                told.append(done)
                files.tidy()
        files.close()
        told.append(done)
    except Killed:
        with suppress(OSError):  # It died in close(), perhaps.
            os.close(files._lock)
        raise


def lives(directory: Path, disk: Disk, told: list[int], **options: Any) -> bool:
    """Whether a life is lived to its end."""
    try:
        live(directory, disk, told, **options)
    except Killed:
        return False
    return True


def survivors(directory: Path, **options: Any) -> tuple[int, list[int]]:
    """How many records are committed, and which there are, when the files are opened again and nothing else is done."""
    with LogFiles(directory, "n", disk=KilledDisk(0), **options) as files:
        return int(files.checkpoint or b"0"), numbers_in(directory)


FORMATS = [
    {"format": "tsv", "rotate_bytes": 240, "compress": "gzip"},
    {"format": "json", "rotate_s": 20},
    {"format": "parquet", "rotate_s": 40},
]


@pytest.mark.parametrize("options", FORMATS, ids=lambda options: options["format"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_every_record_is_there_once(memory_path: Path, options: dict[str, Any], after: bool) -> None:
    at = 0
    while True:
        at += 1
        directory = memory_path / str(at)
        # What is forgotten cannot be too much: so both.
        told = [0]
        whole = lives(directory, KilledDisk(at, after=after, forgets=not after), told, **options)
        committed, found = survivors(directory, **options)
        assert found == list(range(1, committed + 1)), f"killed at step {at}"
        assert committed >= told[-1], f"killed at step {at}"
        live(directory, KilledDisk(0), told, **options)
        assert numbers_in(directory) == list(range(1, RECORDS + 1)), f"killed at step {at}"
        assert not [path.name for path in directory.iterdir() if "tmp" in path.name or "partial" in path.name]
        if whole:
            break
        shutil.rmtree(directory)
    assert at > 40
    assert len(visible(directory)) >= 3


@pytest.mark.parametrize("options", FORMATS, ids=lambda options: options["format"])
def test_killed_again_and_again_every_record_is_there_once(memory_path: Path, options: dict[str, Any]) -> None:
    chance = random.Random(5)
    for life in range(25):
        directory = memory_path / str(life)
        for _ in range(6):
            disk = KilledDisk(chance.randrange(1, 60), after=chance.random() < 0.5, forgets=chance.random() < 0.5)
            if lives(directory, disk, [], **options):
                break
        live(directory, KilledDisk(0), [], **options)
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
    for _ in range(3):
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
        committed, found = survivors(tmp_path, rotate_bytes=20_000, compress="gzip")
        assert committed >= acknowledged
        assert found == list(range(1, committed + 1))
