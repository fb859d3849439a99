"""Our side of the benchmarks of stores: a master, and programs that write to it, read and follow it.

Each tells its ``address`` when it is ready.  What it does for an order:

``master``, ``write``  do that many puts, and tell the ``seconds`` from the first one asked for to the last acknowledged
``churn``              a master: on 1 begin to put, again and again; on 0 end, and tell what was ``put``
``read``               read so many entries, and tell the ``seconds`` of each way to read them
``follow``             a clone: on 0 leave the master (``parted``); else meet it again, and tell when it has so many
                       records more (``followed``), and of how many records its commits were
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import trio

import broker
from benchmarks.child import Channel
from benchmarks.workload import NotThere, entry
from broker.values import pack, unpack

__all__ = ["churn", "count_commits", "fill", "follow", "master", "read", "write"]

STORE = "hosts"
PEER_TIMEOUT_S = 30.0

# Of entries that are there before anything is measured.
_FILL_BATCH = 2000

Store = broker.StoreMaster | broker.StoreClone


def master(
    channel: Channel, path: str | None, tasks: int = 1, batch: int = 1, entries: int = 0, value: Any = None
) -> None:
    """Be the master, on disk with a ``path``, of ``entries``; what is ordered it writes itself."""

    async def main() -> None:
        async with broker.Endpoint("master") as endpoint, endpoint.master(STORE, path=path) as store:
            await fill(store, entries, value)
            channel.tell(address=await endpoint.listen("tcp://127.0.0.1:0"))
            await _serve(channel, store, tasks, batch)

    trio.run(main)


def write(channel: Channel, address: str, tasks: int = 1, batch: int = 1) -> None:
    """Write through a proxy, which forwards to the master at ``address`` and has no replica, as a peer's client."""

    async def main() -> None:
        async with broker.Endpoint(f"writer-{os.getpid()}") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            async with endpoint.proxy(STORE) as store:
                channel.tell(address=address)
                await _serve(channel, store, tasks, batch)

    trio.run(main)


async def fill(store: Store, entries: int, value: Any = None) -> None:
    """Have so many entries: ``value``, or 64 bytes each."""
    for first in range(0, entries, _FILL_BATCH):
        async with store.batch(level="applied") as batch:
            for number in range(first, min(first + _FILL_BATCH, entries)):
                key, usual = entry(number // 1000, number)
                batch.put(key, usual if value is None else value)
    if entries:
        await store.put("filled", entries)


async def _serve(channel: Channel, store: Store | broker.StoreProxy, tasks: int, batch: int) -> None:
    done = 0
    while (count := await order(channel)) is not None:
        each = count // tasks
        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for task in range(tasks):
                nursery.start_soon(_write, store, task, range(done, done + each), batch)
        seconds = time.perf_counter() - start
        done += each
        for task in range(tasks):
            key, value = entry(task, done - 1)
            found = await store.fetch(key)
            if found != value:
                raise NotThere(key, value, found)
        channel.tell(seconds=seconds)


async def _write(store: Store | broker.StoreProxy, task: int, numbers: range, batch: int) -> None:
    if batch == 1:
        for number in numbers:
            key, value = entry(task, number)
            await store.put(key, value)
        return
    for first in range(numbers.start, numbers.stop, batch):
        async with store.batch() as changes:
            for number in range(first, min(first + batch, numbers.stop)):
                changes.put(*entry(task, number))


def churn(channel: Channel, path: str, entries: int = 0) -> None:
    """Be a master that is written to without pause while it is ordered to."""

    async def main() -> None:
        start = time.perf_counter()
        async with broker.Endpoint("master") as endpoint, endpoint.master(STORE, path=path) as store:
            opened = time.perf_counter() - start
            await fill(store, entries)
            channel.tell(address=await endpoint.listen("tcp://127.0.0.1:0"))
            channel.tell(opened=[opened, len(store)])
            while (await order(channel)) is not None:
                waits: list[float] = []
                async with trio.open_nursery() as nursery:
                    for task in range(_CHURNING_TASKS):
                        nursery.start_soon(_churn, store, task, waits)
                    start = time.perf_counter()
                    await order(channel)
                    nursery.cancel_scope.cancel()
                channel.tell(put=[len(waits), time.perf_counter() - start, max(waits)])

    trio.run(main)


_CHURNING_TASKS = 8


async def _churn(store: Store, task: int, waits: list[float]) -> None:
    number = 0
    while True:
        start = time.perf_counter()
        await store.put(*entry(task, number))
        waits.append(time.perf_counter() - start)
        number += 1


def follow(channel: Channel, address: str, path: str | None, timeout: float = PEER_TIMEOUT_S) -> None:
    """Be a clone, on disk with a ``path``, and nothing else."""

    async def main() -> None:
        async with broker.Endpoint(f"clone-{os.getpid()}") as endpoint:
            start = time.perf_counter()
            await endpoint.peer(address, timeout=timeout)
            async with endpoint.clone(STORE, path=path, timeout=timeout) as store:
                channel.tell(address=address)
                channel.tell(loaded=[time.perf_counter() - start, len(store)])
                commits = count_commits(store)
                while (count := await order(channel)) is not None:
                    if count == 0:
                        await endpoint.unpeer(address)
                        commits.clear()
                        channel.tell(parted=True)
                        continue
                    wanted = store.position.sequence + count
                    start = time.perf_counter()
                    await endpoint.peer(address, timeout=timeout)
                    await store.until(lambda wanted=wanted: store.position.sequence >= wanted)  # type: ignore[misc]
                    channel.tell(followed=[time.perf_counter() - start, [records for records, _, _ in commits]])

    trio.run(main)


def count_commits(store: Store) -> list[tuple[int, int, int]]:
    """Take down each commit from now on: how many records, rows, and bytes of both."""
    machine = store._machine  # noqa: SLF001 - how it commits is what is measured
    assert machine is not None
    journal: Any = machine.journal
    carry_out, commits = journal.carry_out, list[tuple[int, int, int]]()

    def carry_out_and_count(work: Any) -> None:
        carry_out(work)
        if hasattr(work, "records"):
            rows = [row for changed in work.rows.values() for row in changed.items()]
            size = sum(len(key) + len(row or b"") for key, row in rows) + sum(len(one.body) for one in work.records)
            commits.append((len(work.records), len(rows), size))

    journal.carry_out = carry_out_and_count
    return commits


def read(channel: Channel, address: str, path: str | None) -> None:
    """Be a clone, and read each entry for the first time and then again, beside a dict of the same."""

    async def main() -> None:
        async with broker.Endpoint(f"reader-{os.getpid()}") as endpoint:
            await endpoint.peer(address, timeout=PEER_TIMEOUT_S)
            async with endpoint.clone(STORE, path=path, timeout=PEER_TIMEOUT_S) as store:
                channel.tell(address=address)
                unread = sorted(key for key in store if key.startswith("host/"))
                while (count := await order(channel)) is not None:
                    keys, unread = unread[:count], unread[count:]
                    seconds = {"first": [_read(store, keys)]}
                    # Keys and values of its own: not those that the store has.
                    usual = {key.encode().decode(): unpack(pack(store[key])) for key in keys}
                    seconds |= {"again": [], "dict": [], "loop": []}
                    for _ in range(_READ_AGAIN):
                        seconds["again"].append(_read(store, keys))
                        seconds["dict"].append(_read(usual, keys))
                        seconds["loop"].append(_loop(keys))
                    channel.tell(seconds=seconds)

    trio.run(main)


_READ_AGAIN = 7


def _read(table: Mapping[Any, Any], keys: list[str]) -> float:
    start = time.perf_counter()
    for key in keys:
        table[key]
    return time.perf_counter() - start


def _loop(keys: list[str]) -> float:
    start = time.perf_counter()
    for _ in keys:
        pass
    return time.perf_counter() - start


async def order(channel: Channel) -> int | None:
    """Wait for the next order in a thread: the loop goes on answering its peers."""
    return await trio.to_thread.run_sync(channel.order, abandon_on_cancel=True)
