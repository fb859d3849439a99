"""``broker store list``, ``get``, ``put``, ``erase`` and ``info``: look into stores of a mesh, and change them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import attrs
import msgspec
import trio

import broker
from broker.cli.identity import Identity
from broker.cli.jsonform import dumps, to_json
from broker.cli.progress import progress
from broker.cli.running import InputError
from broker.cli.standard import Output, printable
from broker.cli.store.form import entry_line, shown, typed
from broker.cli.store.tables import entries_table, stores_table
from broker.cli.tables import fields_table

__all__ = ["Erase", "Get", "Info", "List", "Put", "Reach", "write_entries", "unlink"]

# Entries that are rendered and written at once.
CHUNK_ENTRIES: Final = 500


@attrs.frozen
class Reach:
    """How a command gets to the mesh: as a leaf, which forwards nothing."""

    connect: Sequence[str]
    identity: Identity
    timeout_s: float

    @asynccontextmanager
    async def endpoint(self) -> AsyncIterator[broker.Endpoint]:
        """An endpoint that is linked."""
        async with self.identity.endpoint(linger_s=0, forward=False) as endpoint:
            await self.identity.peer_all(endpoint, self.connect, self.timeout_s)
            yield endpoint

    @asynccontextmanager
    async def proxy(
        self, endpoint: broker.Endpoint, store: str, since: broker.Position | Literal["now"] | None = None
    ) -> AsyncIterator[broker.StoreProxy]:
        """A proxy of a store that has a master."""
        try:
            proxy = endpoint.proxy(store, since=since, timeout=self.timeout_s, write_timeout=self.timeout_s)
        except ValueError as error:
            raise InputError(str(error)) from None
        async with proxy:
            if proxy.master is None:
                raise self._no_master(endpoint, store)
            yield proxy

    @asynccontextmanager
    async def clone(self, endpoint: broker.Endpoint, store: str) -> AsyncIterator[broker.StoreClone]:
        """A clone that has all that the master had; a large one may take its time as long as there is a master."""
        try:
            clone = endpoint.clone(store, timeout=self.timeout_s)
        except ValueError as error:
            raise InputError(str(error)) from None
        async with clone:
            with progress(f"copying {store!r}", counts=False):
                while clone.staleness == math.inf:
                    if clone.master is None:
                        raise self._no_master(endpoint, store)
                    problem = clone.info().problem
                    if problem:
                        raise broker.StoreError(store, f"{clone.master} does not let us follow it: {problem}")
                    with trio.move_on_after(self.timeout_s):
                        await clone.synced()
            yield clone

    def _no_master(self, endpoint: broker.Endpoint, store: str) -> broker.BrokerError:
        others = ", ".join(map(repr, endpoint.stores())) or "none"
        reason = f"nobody in this mesh is its master ({self.timeout_s:g} s waited); stores that have one: {others}"
        return broker.MasterUnavailable(store, reason)


async def write_entries(
    output: Output, store: broker.StoreClone, keys: Sequence[Any], advance: Callable[[float], None] = lambda _: None
) -> None:
    """Write the lines of these entries, letting the endpoint answer its peers in between."""
    for start in range(0, len(keys), CHUNK_ENTRIES):
        lines = [entry_line(key, store[key], store.expires(key)) for key in keys[start : start + CHUNK_ENTRIES]]
        await output.write("".join(lines))
        advance(start + len(lines))


@attrs.frozen
class List:
    """One run of ``broker store list``: the mesh's stores, or one store's entries."""

    reach: Reach
    store: str | None
    prefix: str | None
    as_json: bool

    async def __call__(self, output: Output) -> int:
        """Show them."""
        drawn = output.is_terminal and not self.as_json
        async with self.reach.endpoint() as endpoint:
            if self.store is None:
                stores = await self._stores(endpoint)
                names = ("store", "masters", "entries")
                lines = [dumps(dict(zip(names, row, strict=True))) + "\n" for row in stores]
                await output.write(stores_table(stores) if drawn else "".join(lines))
                return 0
            async with self.reach.clone(endpoint, self.store) as store:
                await unlink(endpoint, self.reach.connect)
                keys = [key for key in store if self._wants(key)]
                if drawn:
                    rows = [(shown(key), shown(store[key]), store.expires(key)) for key in keys]
                    await output.write(entries_table(self.store, rows))
                else:
                    await write_entries(output, store, keys)
        return 0

    async def _stores(self, endpoint: broker.Endpoint) -> list[tuple[str, list[str], int | None]]:
        """Each store with its masters, and how many entries it has; None: its master did not say."""
        stores = endpoint.stores()
        counts: dict[str, int | None] = dict.fromkeys(stores)

        async def count(store: str) -> None:
            async with endpoint.proxy(store, since="now", timeout=self.reach.timeout_s) as proxy:
                counts[store] = proxy.entries

        async with trio.open_nursery() as nursery:
            for store in stores:
                nursery.start_soon(count, store)
        return [(store, list(masters), counts[store]) for store, masters in stores.items()]

    def _wants(self, key: object) -> bool:
        return self.prefix is None or (isinstance(key, str) and key.startswith(self.prefix))


async def unlink(endpoint: broker.Endpoint, addresses: Sequence[str]) -> None:
    """Leave the mesh: from now on a clone stays as it is, at one position, however long it takes to read it."""
    for address in dict.fromkeys(addresses):
        await endpoint.unpeer(address)


@attrs.frozen
class Get:
    """One run of ``broker store get``."""

    reach: Reach
    store: str
    key: str

    async def __call__(self, output: Output) -> int:
        """Print the value that the master has."""
        key = typed(self.key, "key")
        async with self.reach.endpoint() as endpoint, self.reach.proxy(endpoint, self.store) as store:
            text = dumps(to_json(await store.fetch(key)))
        await output.write((printable(text) if output.is_terminal else text) + "\n")
        return 0


@attrs.frozen
class Put:
    """One run of ``broker store put``."""

    reach: Reach
    store: str
    key: str
    value: str
    expires_s: float | None
    unique: bool
    level: broker.Level

    async def __call__(self, output: Output) -> int:
        """Put the entry, and print where that stands in the order of all changes."""
        key, value = typed(self.key, "key"), typed(self.value, "value")
        async with self.reach.endpoint() as endpoint, self.reach.proxy(endpoint, self.store) as store:
            put = store.put_unique if self.unique else store.put
            position = await put(key, value, expires_in=self.expires_s, level=self.level)
        await output.write(dumps({"position": str(position)}) + "\n")
        return 0


@attrs.frozen
class Erase:
    """One run of ``broker store erase``."""

    reach: Reach
    store: str
    key: str
    missing_ok: bool
    level: broker.Level

    async def __call__(self, output: Output) -> int:
        """Erase the entry, and print where that stands in the order of all changes."""
        key = typed(self.key, "key")
        async with self.reach.endpoint() as endpoint, self.reach.proxy(endpoint, self.store) as store:
            position = await store.erase(key, missing_ok=self.missing_ok, level=self.level)
        await output.write(dumps({"position": str(position)}) + "\n")
        return 0


@attrs.frozen
class Info:
    """One run of ``broker store info``."""

    reach: Reach
    store: str
    as_json: bool

    async def __call__(self, output: Output) -> int:
        """Show what a clone can say of the store."""
        async with self.reach.endpoint() as endpoint, self.reach.clone(endpoint, self.store) as store:
            info = store.info()
            masters = endpoint.stores().get(self.store, ())
        form = {
            **msgspec.structs.asdict(info),
            "masters": list(masters),
            "position": str(info.position),
            "followers": [msgspec.structs.asdict(follower) for follower in info.followers],
        }
        if output.is_terminal and not self.as_json:
            await output.write(fields_table(form | {"staleness": f"{info.staleness:.3f} s"}))
        else:
            await output.write(dumps(form) + "\n")
        return 0
