"""Replication of a log to a clone on disk, in operations/s, against a bare LMDB loop that writes the same rows.

A clone that has been apart from its master meets it again and gets what was written meanwhile: counted from before it
dials until it has committed the last.  The master, in memory, is in another process.  The loop then writes rows of the
same keys and values, ready-made, in commits of as many records as the clone's.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from pathlib import Path

import lmdb

from benchmarks.disks import directory_on_disk
from benchmarks.harness import Options, Result, Series
from benchmarks.peers import OURS_STORES
from benchmarks.processes import Child
from benchmarks.workload import entry
from broker.stores.entries import pack_key, whole_row
from broker.stores.operations import Put, encode_body
from broker.values import pack

__all__ = ["run"]

COUNT = 60_000
# Operations of a record.
BATCHES = (1, 100)
# Of the loop's rate.
BARE_MIN = 0.4
_TASKS = 50
_CHECKSUM_BYTES = 8
_ROW_CHECK_BYTES = 4


def run(options: Options) -> Result:
    """Let clones catch up, and the loop write the same, in turns."""
    count = max(unit := _TASKS * max(BATCHES), (options.count or COUNT) // unit * unit)
    rates: dict[str, list[float]] = {}
    sizes: dict[int, list[int]] = {batch: [] for batch in BATCHES}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(directory_on_disk())
        pairs = {batch: _pair(stack, directory, batch) for batch in BATCHES}
        loops = {batch: _Loop(stack, directory / f"{batch}.mdb", batch) for batch in BATCHES}
        for turn in range(options.repeat + 1):
            for batch in BATCHES:
                seconds, commits = _catch_up(*pairs[batch], count, batch)
                bare = loops[batch].write(commits)
                if turn:  # the first is the warm-up
                    rates.setdefault(f"clone, {batch}", []).append(count / seconds)
                    rates.setdefault(f"loop, {batch}", []).append(count / bare)
                    sizes[batch] += commits
    series = {name: Series(tuple(figures)) for name, figures in rates.items()}
    details: dict[str, float] = {}
    for batch in BATCHES:
        ours, loop = series[f"clone, {batch}"].median, series[f"loop, {batch}"].median
        details |= {
            f"records of {batch}: operations/s": ours,
            f"records of {batch}: the loop's operations/s": loop,
            f"records of {batch}: of the loop's": ours / loop,
            f"records of {batch}: records a commit, median": statistics.median(sizes[batch]),
        }
    return Result(
        name="store-replicate",
        unit="operations/s",
        better="higher",
        ours=series["clone, 1"],
        version=OURS_STORES.version(),
        peers={"bare LMDB": series["loop, 1"]},
        versions={"bare LMDB": f"lmdb {lmdb.__version__}"},
        targets={"bare LMDB": BARE_MIN},
        details=details,
        notes=(
            f"{count} puts of 64 bytes in the log of a master that a clone on disk meets again",
            "both sync every commit, on one disk",
            "the loop: ready-made rows, putmulti, one log row a record, one entry row a put, one row for the state",
        ),
    )


def _pair(stack: contextlib.ExitStack, directory: Path, batch: int) -> tuple[Child, Child]:
    master = stack.enter_context(Child(OURS_STORES.module, "master", path=None, tasks=_TASKS, batch=batch))
    clone = stack.enter_context(
        Child(OURS_STORES.module, "follow", address=master.told("address"), path=str(directory / f"{batch}.store"))
    )
    clone.told("address")
    clone.told("loaded")
    return master, clone


def _catch_up(master: Child, clone: Child, count: int, batch: int) -> tuple[float, list[int]]:
    """Return the seconds a clone takes for so many operations, and of how many records its commits were."""
    clone.order(count=0)
    clone.told("parted")
    master.order(count=count)
    master.told("seconds")
    clone.order(count=count // batch)
    seconds, commits = clone.told("followed")
    return seconds, commits


class _Loop:
    """LMDB and nothing else."""

    def __init__(self, stack: contextlib.ExitStack, path: Path, batch: int) -> None:
        self._environment = lmdb.open(str(path), subdir=False, map_size=1 << 36, max_dbs=3)
        stack.callback(self._environment.close)
        self._entries, self._log, self._facts = [self._environment.open_db(name) for name in (b"e", b"l", b"f")]
        self._batch = batch
        self._sequence = 0

    def write(self, commits: list[int]) -> float:
        """Write commits of so many records; returns the seconds that takes, the making of the rows left out."""
        made = [self._rows(records) for records in commits]
        start = time.perf_counter()
        for entries, log in made:
            with self._environment.begin(write=True) as transaction:
                transaction.cursor(db=self._entries).putmulti(entries)
                transaction.cursor(db=self._log).putmulti(log, append=True)
                transaction.put(b"state", bytes(80), db=self._facts)
        return time.perf_counter() - start

    def _rows(self, records: int) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
        entries: dict[bytes, bytes] = {}
        log = []
        for _ in range(records):
            operations = []
            for place in range(self._batch):
                # As the master's tasks take turns.
                number = self._sequence // _TASKS * self._batch + place
                key, value = entry(self._sequence % _TASKS, number)
                key_packed, packed = pack_key(key), pack(value)
                entries[key_packed + b"\0"] = bytes(_ROW_CHECK_BYTES) + whole_row(0, packed)
                operations.append(Put(key_packed, packed, 0, packed))
            self._sequence += 1
            body = encode_body(time.time_ns(), "master", tuple(operations))
            log.append((self._sequence.to_bytes(8, "big"), bytes(_CHECKSUM_BYTES) + body))
        return sorted(entries.items()), log
