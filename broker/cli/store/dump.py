"""``broker store dump`` and ``load``: all entries of a store as lines of JSON, out and in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time_ns
from typing import Any, Final

import attrs

import broker
from broker.cli.jsonform import FormError, dumps
from broker.cli.progress import progress
from broker.cli.running import InputError, counted
from broker.cli.standard import Lines, LineTooLong, Output, note
from broker.cli.store.entries import Reach, unlink, write_entries
from broker.cli.store.form import entry_of

__all__ = ["Dump", "Load"]

# Entries that are put together: enough that the round trip does not count.
_BATCH_ENTRIES: Final = 1000
# Of JSON; packed it is at most twice that (a float of three characters has nine bytes), a third of what a batch may be.
_BATCH_BYTES: Final = 512 << 10
# What a line of input can have wrong with it.
_LINE_ERRORS: Final = (FormError, LineTooLong, UnicodeDecodeError, broker.NotCarried)


@attrs.frozen
class Dump:
    """One run of ``broker store dump``."""

    reach: Reach
    store: str

    async def __call__(self, output: Output) -> int:
        """Print all entries as they were at one position; says at which."""
        async with self.reach.endpoint() as endpoint, self.reach.clone(endpoint, self.store) as store:
            await unlink(endpoint, self.reach.connect)
            keys = list(store)
            if output.is_terminal:
                await write_entries(output, store, keys)
            else:
                with progress("dumping", len(keys)) as advance:
                    await write_entries(output, store, keys, advance)
            note(f"{counted(len(keys), 'entry', 'entries')} at {store.position}")
        return 0


@attrs.define
class Load:
    """One run of ``broker store load``, and what it has done."""

    reach: Reach
    store: str
    path: str  # "-": standard input
    level: broker.Level
    as_json: bool = False  # how many, at the end
    loaded: int = 0
    expired: int = 0  # left out: their time was over

    async def __call__(self, output: Output) -> int:
        """Put all entries, a batch at a time and in order, up to the first that is wrong; says how many."""
        async with self.reach.endpoint() as endpoint, self.reach.proxy(endpoint, self.store) as store:
            try:
                with _opened(self.path) as lines, progress("loading", _bytes_in(self.path), counts=False) as advance:
                    await self._load(store, lines, advance)
            finally:
                note(self._summary())
        if self.as_json:
            await output.write(dumps({"loaded": self.loaded, "expired": self.expired}) + "\n")
        return 0

    async def _load(self, store: broker.StoreProxy, lines: Lines, advance: Callable[[float], None]) -> None:
        batch, size, first, read = self._new_batch(store), 0, 1, 0
        wrong: InputError | None = None
        while wrong is None:
            try:
                line = await lines.read()
                if line is None:
                    break
                if len(batch) >= _BATCH_ENTRIES or size + len(line) > _BATCH_BYTES:
                    await self._commit(batch, f"lines {first} to {lines.number - 1}")
                    advance(read)
                    batch, size, first = self._new_batch(store), 0, lines.number
                self._add(batch, *entry_of(line.decode()))
                size += len(line)
                read += len(line) + 1
            except _LINE_ERRORS as error:
                wrong = InputError(f"line {lines.number}: {error}")
        await self._commit(batch, f"lines {first} to {lines.number}")
        if wrong is not None:
            raise wrong

    def _new_batch(self, store: broker.StoreProxy) -> broker.Batch:
        return store.batch(level=self.level, timeout=self.reach.timeout_s)

    def _add(self, batch: broker.Batch, key: Any, value: Any, expires: broker.Timestamp | None) -> None:
        expires_s = None
        if expires is not None:
            expires_s = (expires.nanoseconds - time_ns()) / 1e9
            if expires_s <= 0:
                self.expired += 1
                return
        batch.put(key, value, expires_in=expires_s)

    async def _commit(self, batch: broker.Batch, which: str) -> None:
        try:
            await batch.commit()
        except broker.StoreError:
            note(f"{which} were not acknowledged")
            raise
        self.loaded += len(batch)

    def _summary(self) -> str:
        expired = f", {self.expired:,} had expired and were left out" if self.expired else ""
        return f"{counted(self.loaded, 'entry', 'entries')} loaded{expired}"


def _bytes_in(path: str) -> int | None:
    """How large a file is; None for standard input and what else has no size."""
    return (os.path.getsize(path) or None) if path != "-" else None  # noqa: PTH202 - "-" is no path


@contextmanager
def _opened(path: str) -> Iterator[Lines]:
    """The lines of a file; "-": of standard input."""
    if path == "-":
        yield Lines()
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Lines(descriptor)
    finally:
        os.close(descriptor)
