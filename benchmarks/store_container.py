"""What changing an element costs in a set, dict or list of 100,000, against one of 10: time, log, rows, wire.

One process has a master on disk and a clone on disk, linked over loopback TCP; the clone asks for each change and waits
until it is durable.  Times are processor time of that process, all threads: the syncs would hide everything else.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

import broker
from benchmarks.disks import directory_on_disk
from benchmarks.harness import Options, Table
from benchmarks.peers import OURS_STORES
from benchmarks.stores import count_commits

__all__ = ["run"]

SIZES = (10, 100_000)
COUNT = 100
# A change of the large one costs at most so many times that of the small one.
TIMES_MAX = 2.0


@attrs.frozen
class _Cost:
    """Of one change, on average: processor time bytes of a log record, rows and bytes of commits, frames."""

    cpu_us: float
    log_bytes: float
    rows: float
    commit_bytes: float
    wire_bytes: float


_Change = Callable[[broker.StoreClone, str, int], Awaitable[Any]]
# What is inserted is removed again: the small ones stay small.
CHANGES: dict[tuple[str, str], _Change] = {
    ("set", "insert_into"): lambda store, key, number: store.insert_into(key, -1 - number),
    ("set", "remove_from"): lambda store, key, number: store.remove_from(key, -1 - number),
    ("dict", "insert_into"): lambda store, key, number: store.insert_into(key, -1 - number, number),
    ("dict", "remove_from"): lambda store, key, number: store.remove_from(key, -1 - number),
    ("list", "push"): lambda store, key, number: store.push(key, number),
    ("list", "pop"): lambda store, key, _number: store.pop(key),
}


def run(options: Options) -> Table:
    """Change containers of both sizes, in turns."""
    count = min(options.count or COUNT, COUNT)
    with directory_on_disk() as directory:
        costs = trio.run(_measure, directory, options.repeat, count)
    rows: list[Mapping[str, str | float]] = []
    figures: dict[str, float] = {}
    for (kind, change), by_size in costs.items():
        medians = [_median(by_size[size]) for size in SIZES]
        rows += [
            {"of": kind, "change": change, "elements": size, **_cells(cost)}
            for size, cost in zip(SIZES, medians, strict=True)
        ]
        small, large = (attrs.astuple(cost) for cost in medians)
        figures[f"{change} of a {kind}, the most of all ratios"] = max(
            more / less for less, more in zip(small, large, strict=True) if less
        )
    return Table(
        name="store-container",
        title=f"a change of a container, of {' and '.join(f'{size:,}' for size in SIZES)} elements",
        rows=tuple(rows),
        version=OURS_STORES.version(),
        figures=figures,
        limits=dict.fromkeys(figures, TIMES_MAX),
        notes=(
            f"{count} changes, one after the other, {options.repeat} times in turns; medians",
            "rows and commit bytes: what master and clone write together; wire bytes: both ways, acknowledgements too",
        ),
    )


async def _measure(directory: Path, repeat: int, count: int) -> dict[tuple[str, str], dict[int, list[_Cost]]]:
    costs: dict[tuple[str, str], dict[int, list[_Cost]]] = {name: {size: [] for size in SIZES} for name in CHANGES}
    async with (
        broker.Endpoint("master") as first,
        first.master("containers", path=directory / "master.store") as master,
        broker.Endpoint("clone") as second,
    ):
        await second.peer(await first.listen("tcp://127.0.0.1:0"))
        async with second.clone("containers", path=directory / "clone.store") as clone:
            for size in SIZES:
                await master.put(f"set {size}", set(range(size)))
                await master.put(f"dict {size}", dict.fromkeys(range(size), 0))
                await clone.wait_for(await master.put(f"list {size}", list(range(size))))
            meter = _Meter([first, second], [master, clone])
            for turn in range(repeat + 1):
                for (kind, change), make in CHANGES.items():
                    for size in SIZES:
                        cost = await meter.of(make, clone, f"{kind} {size}", count)
                        if turn:  # the first is the warm-up; it makes the small ones spread, too
                            costs[kind, change][size].append(cost)
    return costs


class _Meter:
    """Counts what changes cost."""

    def __init__(self, endpoints: list[broker.Endpoint], stores: list[broker.StoreMaster | broker.StoreClone]) -> None:
        self._sent = 0
        self._stores = stores
        self._commits = [count_commits(store) for store in stores]
        for endpoint in endpoints:
            self._count_frames(endpoint)

    def _count_frames(self, endpoint: broker.Endpoint) -> None:
        network: Any = endpoint._network  # noqa: SLF001 - what goes over the wire is what is measured
        send = network.send

        def send_and_count(wire: int, frame: bytes) -> None:
            self._sent += len(frame)
            send(wire, frame)

        network.send = send_and_count

    async def of(self, make: _Change, store: broker.StoreClone, key: str, count: int) -> _Cost:
        """Make so many changes and see what each costs; both replicas have them at the end."""
        for commits in self._commits:
            commits.clear()
        sent, log, start = self._sent, store.info().log_bytes, time.process_time()
        for number in range(count):
            await make(store, key, number)
        await store.wait_for(self._stores[0].position)
        spent = time.process_time() - start
        commits = [commit for one in self._commits for commit in one]
        return _Cost(
            spent / count * 1e6,
            (store.info().log_bytes - log) / count,
            sum(rows for _, rows, _ in commits) / count,
            sum(size for _, _, size in commits) / count,
            (self._sent - sent) / count,
        )


def _median(costs: list[_Cost]) -> _Cost:
    return _Cost(*(statistics.median(figures) for figures in zip(*map(attrs.astuple, costs), strict=True)))


def _cells(cost: _Cost) -> dict[str, float]:
    return {
        "CPU, us": cost.cpu_us,
        "log bytes": cost.log_bytes,
        "rows": cost.rows,
        "commit bytes": cost.commit_bytes,
        "wire bytes": cost.wire_bytes,
    }
