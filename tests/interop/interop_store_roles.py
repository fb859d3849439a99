"""A keeper for ``interop_child.py``: an endpoint with one store, as its master or a clone, that does what it is told.

Options, as one JSON object: those of :mod:`interop_roles`, and

===============  =====================================================================================================
``role``         "master" or "clone"
``store``        keyword arguments of :meth:`Endpoint.master` or :meth:`Endpoint.clone`
``watch``        where a watch goes on (see :class:`Watching`; null: where the store is then); without it there is none
``joins_first``  its peers are linked before it has its store
``user``         whose id it takes on before it opens its store
===============  =====================================================================================================

Each line on its standard input is a JSON object: ``do`` names a method of :class:`Keeper`, the rest are its arguments;
the answer has its ``id``.  It tells ``addresses``, ``entered`` or ``refused``, every status event, and of the writes of
its load what was asked and what came of it, before and after each.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import trio
from interop_roles import member, tell

import broker
import broker.journal  # before it becomes another user, who may not read it
from broker.stores.entries import ELEMENTS, ENTRIES

__all__ = ["keeper", "obey"]

STORE: Final = "hosts"
# A watch tells how far it is this often, in changes.
WATCH_EVERY: Final = 10
# The new keys of loads: the process that writes, and a number.
LOADED: Final = re.compile(r"\w+-\d+/\d+")
# A load's batches put one value at all of these keys: nobody ever sees different ones.
WHOLE: Final = [f"whole/{number}" for number in range(20)]


class Watching:
    """A watch, and a chain over all that it gave: two that gave the same are at the same ``digest``.

    ``seen``: position, number of changes and digest behind the last change that was ``final``: there it can go on.
    """

    def __init__(self, store: broker.Store, seen: list[Any] | None) -> None:
        self.seen: list[Any] = seen or [str(store.position), 0, ""]
        self.count, self.digest = self.seen[1:]
        self.keys: Counter[str] = Counter()
        self.watch = store.watch(since=broker.Position.parse(self.seen[0]))
        self.sequence = broker.Position.parse(self.seen[0]).sequence

    def take(self, change: broker.Change) -> None:
        assert change.sequence >= self.sequence, f"{change} behind {self.sequence}"
        self.sequence = change.sequence
        text = f"{self.digest} {change.sequence} {change.key} {change.cause} {change.new} {change.writer}"
        self.digest = blake2b(text.encode(), digest_size=8).hexdigest()
        self.count += 1
        self.keys[str(change.key)] += 1
        if change.final:
            self.seen = [str(change.position), self.count, self.digest]

    async def run(self) -> None:
        try:
            async for change in self.watch:
                self.take(change)
                if self.count % WATCH_EVERY == 0:
                    tell(watched=self.seen)
        except broker.ChangesLost as error:
            tell(watch_lost=str(error))


class Load:
    """Tasks that write on and on: new keys, increments of one counter, and batches that put one value at many keys.

    ``tag`` is of this process alone; so a key that is there already means that a write was applied twice.
    """

    def __init__(self, store: broker.Store, tag: str, timeout: float | None, pause: float) -> None:
        self.store = store
        self.tag = tag
        self.timeout = timeout
        self.pause = pause
        self.number = 0
        self.running = 0
        self.stopped = False
        self.changed = trio.lowlevel.ParkingLot()

    async def run(self, kind: str, level: Any) -> None:
        kinds = {"unique": self._unique, "increment": self._increment, "batch": self._batch}
        write = partial(kinds[kind], level=level, timeout=self.timeout)
        self.running += 1
        while not self.stopped:
            self.number += 1
            number = self.number
            tell(asked=[self.tag, kind, number])
            try:
                result = await write(number)
            except broker.StoreError as error:
                tell(failed=[self.tag, kind, number, type(error).__name__, str(error)])
            else:
                tell(acked=[self.tag, kind, number, result])
            if self.pause:
                await trio.sleep(self.pause)
        self.running -= 1
        self.changed.unpark_all()

    async def _unique(self, number: int, **how: Any) -> int:
        return (await self.store.put_unique(f"{self.tag}/{number}", number, **how)).sequence

    async def _increment(self, number: int, **how: Any) -> int:
        return int((await self.store.increment(f"sum/{self.tag}", **how)).value)

    async def _batch(self, number: int, **how: Any) -> int:
        async with self.store.batch(**how) as batch:
            for key in WHOLE:
                batch.put(key, f"{self.tag}/{number}")
        assert batch.position is not None
        return batch.position.sequence


class Keeper:
    """What it can be told to do; the results are JSON."""

    def __init__(self, store: broker.Store, tag: str, nursery: trio.Nursery) -> None:
        self.store = store
        self.tag = tag
        self.nursery = nursery
        self.load: Load | None = None
        self.watching: Watching | None = None

    async def put(self, key: str, value: Any, level: Any = "durable", timeout: float | None = None) -> str:
        return str(await self.store.put(key, value, level=level_of(level), timeout=timeout))

    async def put_text(self, key: str, size: int) -> str:
        return str(await self.store.put(key, "x" * size))

    async def get(self, key: str) -> Any:
        return self.store[key]

    async def fetch(self, key: str, timeout: float | None = None) -> Any:
        return await self.store.fetch(key, timeout=timeout)

    async def erase(self, prefix: str) -> int:
        found = [key for key in self.store if key.startswith(prefix)]
        async with self.store.batch() as batch:
            for key in found:
                batch.erase(key)
        return len(found)

    async def fill(self, count: int, size: int) -> str:
        """So many entries of so many bytes, in batches."""
        value = "x" * size
        for first in range(0, count, 5000):
            async with self.store.batch() as batch:
                for number in range(first, min(count, first + 5000)):
                    batch.put(f"fill/{number}", value)
        return str(self.store.position)

    async def wait_for(self, position: str) -> None:
        await self.store.wait_for(broker.Position.parse(position))

    async def synced(self) -> None:
        assert isinstance(self.store, broker.StoreClone)
        await self.store.synced()

    async def position(self) -> str:
        return str(self.store.position)

    async def state(self) -> list[Any]:
        """The position, the number of entries and a digest of them all, as rows: equal at equal positions."""
        digest = blake2b(digest_size=8)
        journal = self.store._open().journal
        for table in (ENTRIES, ELEMENTS):
            for row in journal.rows(table):
                digest.update(repr(row).encode())
        return [str(self.store.position), len(self.store), digest.hexdigest()]

    async def contents(self, but: str = "fill/") -> dict[str, Any]:
        """All entries whose keys do not begin so."""
        return {key: self.store[key] for key in self.store if not key.startswith(but)}

    async def info(self) -> dict[str, Any]:
        info = self.store.info()
        return {
            "staleness": None if math.isinf(info.staleness) else info.staleness,
            "master": info.master,
            "problem": info.problem,
            "entries": info.entries,
        }

    async def until_stale(self, seconds: float) -> float:
        """Wait until it has not been sure to have everything for so long."""
        while self.store.staleness < seconds:  # noqa: ASYNC110 - it grows with time
            await trio.sleep(seconds - self.store.staleness)
        return self.store.staleness

    async def look(self) -> None:
        """Look from now on, whenever something has changed, whether there is ever a half of a batch; tell it."""
        self.nursery.start_soon(self._look)

    async def _look(self) -> None:
        looks = 0
        while True:
            with suppress(broker.StaleData):  # there is nothing yet
                values = {self.store.get(key) for key in WHOLE}
                looks += 1
                tell(looks=looks, **({"half": sorted(map(str, values))} if len(values) > 1 else {}))
            await self.store.changed.park()

    async def ballast(self, path: str, size: int) -> None:
        """Take so much room on a disk."""
        await trio.Path(path).write_bytes(bytes(size))

    async def unlink(self, path: str) -> None:
        await trio.Path(path).unlink()

    async def limit(self, size: int) -> None:
        """Let no file of this process become larger."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def log(self, since: str | None = None) -> list[Any]:
        """What a watch from there, or from the beginning, gives until now, and keys of loads that came twice."""
        end = self.store.position
        start = since or str(broker.Position(end.journal, 0, 0, bytes(8)))
        watching = Watching(self.store, [start, 0, ""])
        while watching.watch.position.sequence < end.sequence:
            watching.take(await watching.watch.receive())
        twice = [key for key, count in watching.keys.items() if count > 1 and LOADED.match(key)]
        return [*watching.seen, twice]

    async def watched(self, sequence: int) -> list[Any]:
        """What the watch has seen, when it has come so far."""
        assert self.watching is not None
        while self.watching.sequence < sequence:
            await self.store.changed.park()
            await trio.lowlevel.checkpoint()
        return self.watching.seen

    async def backup(self, path: str) -> str:
        return str(await self.store.backup(path))

    async def start(
        self, kinds: list[str], level: Any = "durable", timeout: float | None = None, pause: float = 0
    ) -> None:
        """Begin to write, a task for each kind."""
        self.load = Load(self.store, f"{self.tag}-{os.getpid()}", timeout, pause)
        for kind in kinds:
            self.nursery.start_soon(self.load.run, kind, level_of(level))

    async def stop(self) -> None:
        """Write no more; returns when all is answered."""
        load = self.load
        assert load is not None
        load.stopped = True
        while load.running:
            await load.changed.park()


def level_of(level: Any) -> Any:
    return level if isinstance(level, str) else broker.Replicated(level)


async def keeper(text: str) -> None:
    options = json.loads(text)
    async with member(options, listens=False) as here, trio.open_nursery() as nursery:
        tell(addresses=[await here.endpoint.listen(address) for address in options.get("listen", [])])
        for address in options.get("peer", []):
            if options.get("joins_first"):
                await here.endpoint.peer(address, timeout=math.inf)
            nursery.start_soon(partial(here.endpoint.peer, address, timeout=math.inf))
        if options.get("user") is not None:
            os.setgid(options["user"])
            os.setuid(options["user"])
        make = here.endpoint.master if options["role"] == "master" else here.endpoint.clone
        try:
            async with make(STORE, **options.get("store", {})) as store, trio.open_nursery() as tasks:
                doing = Keeper(store, options["name"], tasks)
                if "watch" in options:
                    doing.watching = Watching(store, options["watch"])
                    tasks.start_soon(doing.watching.run)
                tell(entered=str(store.position), watching=doing.watching and doing.watching.seen[0])
                await obey(doing, tasks)
                tasks.cancel_scope.cancel()
        except (broker.StoreError, broker.JournalError) as error:
            tell(refused=[type(error).__name__, str(error)])
        nursery.cancel_scope.cancel()


async def obey(doing: object, nursery: trio.Nursery) -> None:
    """Do what the lines of the standard input say, until the word ``leave``."""
    rest = b""
    async with trio.lowlevel.FdStream(os.dup(0)) as stream:
        async for some in stream:
            *lines, rest = (rest + some).split(b"\n")
            for line in lines:
                if line == b"leave":
                    return
                asked = json.loads(line)
                number, what = asked.pop("id"), getattr(doing, asked.pop("do"))
                nursery.start_soon(answer, number, partial(what, **asked))


async def answer(number: int, what: Callable[[], Awaitable[Any]]) -> None:
    try:
        result = await what()
    except broker.BrokerError as error:
        tell(reply=number, error=type(error).__name__, text=str(error))
    else:
        tell(reply=number, result=result)
