"""Durable puts of 64 tasks, each awaiting its own, in puts/s: a master on disk, against one etcd node.

Ours is a clone in one process that forwards over loopback TCP to the master in another, as etcd's client does; beside
it the same tasks in the master's own process, which etcd has nothing like.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import ETCD, OURS_STORES
from benchmarks.store_writing import IN_PROCESS, OVER_LOOPBACK, peer_writer, writers

__all__ = ["run"]

COUNT = 12_800
TASKS = 64
ETCD_MIN = 4.0


def run(options: Options) -> Result:
    """Measure ours and etcd in turns."""
    count = max(TASKS, (options.count or COUNT) // TASKS * TASKS)
    missing = {} if (why := ETCD.missing()) is None else {"etcd": why}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = writers(stack, count, tasks=TASKS, batch=1)
        if not missing:
            takes["etcd"] = peer_writer(stack, ETCD, count, tasks=TASKS)
        series = in_turns(takes, options.repeat)
    in_process = series[IN_PROCESS].median
    details = {f"ours, {IN_PROCESS}": in_process}
    if not missing:
        details[f"ours, {IN_PROCESS}, against etcd"] = in_process / series["etcd"].median
    return Result(
        name="store-put",
        unit="puts/s",
        better="higher",
        ours=series[OVER_LOOPBACK],
        version=OURS_STORES.version(),
        peers={name: series[name] for name in ("etcd",) if name in series},
        versions={"etcd": ETCD.version()} if not missing else {},
        missing=missing,
        targets={"etcd": ETCD_MIN},
        details=details,
        notes=(
            f"{TASKS} tasks, {count // TASKS} puts each, one after the other; synced on both sides, on one disk",
            "ours: a proxy forwards over loopback TCP to the master in another process",
            "etcd: grpc.aio, one channel, requests written by hand",
        ),
    )
