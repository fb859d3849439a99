"""Durable puts in batches of 100, in puts/s: a master on disk, against redis-server with appendfsync always.

As in ``store-put``, ours is a proxy that forwards over loopback TCP.  First one batch at a time, then eight tasks (of
redis eight connections) with one each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import OURS_STORES, REDIS_DURABLE
from benchmarks.store_writing import IN_PROCESS, OVER_LOOPBACK, peer_writer, writers

__all__ = ["run"]

COUNT = 24_000
BATCH = 100
TASKS = 8
REDIS_MIN = 1.0


def run(options: Options) -> Result:
    """Measure ours and redis in turns, one batch at a time and several."""
    unit = BATCH * TASKS
    count = max(unit, (options.count or COUNT) // unit * unit)
    missing = {} if (why := REDIS_DURABLE.missing()) is None else {"redis": why}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for tasks in (1, TASKS):
            for where, take in writers(stack, count, tasks=tasks, batch=BATCH).items():
                takes[f"{where}, {tasks}"] = take
            if not missing:
                takes[f"redis, {tasks}"] = peer_writer(stack, REDIS_DURABLE, count, tasks=tasks, batch=BATCH)
        series = in_turns(takes, options.repeat)
    details = {}
    for tasks in (1, TASKS):
        of = f"{tasks} batch{'es' if tasks > 1 else ''} at a time"
        for where in (OVER_LOOPBACK, IN_PROCESS):
            ours = series[f"{where}, {tasks}"].median
            details[f"{of}: ours, {where}"] = ours
            if not missing:
                details[f"{of}: ours, {where}, against redis"] = ours / series[f"redis, {tasks}"].median
        if not missing:
            details[f"{of}: redis"] = series[f"redis, {tasks}"].median
    return Result(
        name="store-batch",
        unit="puts/s",
        better="higher",
        ours=series[f"{OVER_LOOPBACK}, 1"],
        version=OURS_STORES.version(),
        peers={} if missing else {"redis": series["redis, 1"]},
        versions={} if missing else {"redis": REDIS_DURABLE.version()},
        missing=missing,
        targets={"redis": REDIS_MIN},
        details=details,
        notes=(
            f"batches of {BATCH} puts, one at a time, {count} puts a repetition; synced on both sides, on one disk",
            "ours: a batch takes place as a whole; a proxy forwards it",
            "redis: pipelines without a transaction",
        ),
    )
