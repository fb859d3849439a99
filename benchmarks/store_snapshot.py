"""A snapshot of a large store to a new clone on disk, while the master is written to: its rate, and what it takes.

Master and clone are on disk, in two processes over loopback TCP.  Eight tasks put without pause at the master while it
is read.  Memory is looked up every 50 ms: ``own`` is what a process has for itself, ``resident`` has the pages of the
store's file in it, too, which the system takes back when it needs them.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import attrs

from benchmarks.disks import directory_on_disk
from benchmarks.harness import Options, Table
from benchmarks.memory import Memory
from benchmarks.peers import OURS_STORES
from benchmarks.processes import Child

__all__ = ["run"]

ENTRIES = 1_000_000
ENTRIES_PER_S_MIN = 300_000
CLONE_MB_MAX = 300.0
OPEN_S_MAX = 1.0
# Of the master while it is read: some windows of frames, whatever the store's size.
MASTER_GROWS_MB_MAX = 64.0
LOAD_TIMEOUT_S = 55.0


@attrs.frozen
class _Loaded:
    """What one snapshot took."""

    entries: int
    seconds: float
    puts: int
    putting: float
    longest: float
    master: Memory
    clone: Memory


def run(options: Options) -> Table:
    """Fill a store, have it cloned again and again, then open it once more."""
    entries = options.count or ENTRIES
    with directory_on_disk() as directory:
        path = str(directory / "master.store")
        with Child(OURS_STORES.module, "churn", path=path, entries=entries) as master:
            address = master.told("address")
            master.told("opened")
            loaded = [_load(master, address, directory / f"{turn}.store") for turn in range(options.repeat)]
        opened = [_open(path) for _ in range(options.repeat)]
    seconds = statistics.median(one.seconds / one.entries for one in loaded)
    return Table(
        name="store-snapshot",
        title=f"{entries} entries to a new clone on disk",
        rows=tuple(_row(one) for one in loaded),
        version=OURS_STORES.version(),
        figures={
            "entries/s, median": 1 / seconds,
            "ns an entry, median": seconds * 1e9,
            "opening the master's store, s, median": statistics.median(opened),
            "own memory of the clone, MB, most": max(one.clone.own for one in loaded),
            "growth of the master's own memory, MB, most": max(one.master.own - one.master.before[0] for one in loaded),
        },
        limits={
            "ns an entry, median": 1e9 / ENTRIES_PER_S_MIN,
            "opening the master's store, s, median": OPEN_S_MAX,
            "own memory of the clone, MB, most": CLONE_MB_MAX,
            "growth of the master's own memory, MB, most": MASTER_GROWS_MB_MAX,
        },
        notes=(
            "keys of some 20 characters, values of 64 bytes; from before the clone dials until it has everything",
            "MB: the most, but for the one before",
            "opening: a new process enters the store that is there, the file being in the system's cache",
        ),
    )


def _load(master: Child, address: str, path: Path) -> _Loaded:
    with Memory(master.pid) as of_master:
        master.order(count=1)
        clone = Child(OURS_STORES.module, "follow", address=address, path=str(path), timeout=LOAD_TIMEOUT_S)
        with clone, Memory(clone.pid) as of_clone:
            clone.told("address")
            seconds, entries = clone.told("loaded")
            master.order(count=0)
            puts, putting, longest = master.told("put")
            time.sleep(0.1)  # its memory is looked up once more
    return _Loaded(entries, seconds, puts, putting, longest, of_master, of_clone)


def _open(path: str) -> float:
    with Child(OURS_STORES.module, "churn", path=path) as master:
        master.told("address")
        seconds, _entries = master.told("opened")
    return float(seconds)


def _row(one: _Loaded) -> dict[str, str | float]:
    return {
        "entries/s": one.entries / one.seconds,
        "s": one.seconds,
        "puts/s meanwhile": one.puts / one.putting,
        "longest put, ms": one.longest * 1000,
        "master own MB before": one.master.before[0],
        "master own MB": one.master.own,
        "master resident MB": one.master.resident,
        "clone own MB": one.clone.own,
        "clone resident MB": one.clone.resident,
    }
