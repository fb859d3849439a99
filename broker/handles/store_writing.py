"""Writing to a store: each write goes to the master, wherever it is, and returns when it is acknowledged.

================  ====================================================================================================
``"applied"``     decided; lost only if the master dies, or its disk refuses, within the moment until the commit
``"durable"``     committed on the master's disk, and synced (a master in memory: committed); the default
``Replicated(n)`` that, and committed by n clones
================  ====================================================================================================

(When a commit fails, writes that were ``applied`` on top of it are decided anew: the position that was returned for
them may then be another's.  StoreFailing tells of it, and how many came to nothing.)

A write that raises had no effect, unless it raises :class:`~broker.errors.OutcomeUnknown` or
:class:`~broker.errors.NotReplicated`, or was cancelled: then it may have had it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import trio
from msgspec import Struct

from broker.errors import StoreError
from broker.handles.batch import Batch
from broker.journaling import Position
from broker.stores import asking
from broker.stores.asking import Lifetime
from broker.stores.clone import Clone
from broker.stores.commands import Command, Fetch, Truncate
from broker.stores.entries import pack_key
from broker.stores.master import Master
from broker.stores.proxy import Proxy
from broker.stores.requests import APPLIED, DURABLE, Request
from broker.values import unpack

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["Level", "Outcome", "Replicated", "StoreWriting", "check_options"]


class Replicated(Struct, frozen=True):
    """An acknowledgement level: so many clones have committed it, too."""

    clones: int = 1


Level = Literal["applied", "durable"] | Replicated
"""How safe a write is when it returns: the master has decided it, has it on disk, or so many clones have it, too."""


class Outcome(NamedTuple):
    """What came of a write that has a result."""

    value: Any
    position: Position


class StoreWriting:
    """The writes of a store's handle, for masters, clones and proxies alike."""

    name: str
    _endpoint: Endpoint
    _write_timeout: float

    def _open(self) -> Master | Clone | Proxy:
        raise NotImplementedError

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, which is looked at whenever the store has changed."""
        raise NotImplementedError

    async def _ask(
        self, commands: tuple[Command, ...], level: Level, timeout: float | None
    ) -> tuple[Position, list[Any]]:
        """Have commands carried out together; returns their position and results."""
        machine = self._open()
        now = trio.current_time()
        patience = self._write_timeout if timeout is None else timeout
        request = Request(commands, _replicas(level), now + patience)
        if request.size > asking.REQUEST_BYTES_MAX:
            raise StoreError(self.name, f"a write of {request.size} bytes: at most {asking.REQUEST_BYTES_MAX}")
        if not machine.has_room:
            await self.until(lambda: machine.has_room)
            now = trio.current_time()
        await self._endpoint._store_driver.ask(machine, request, now)
        if request.error is not None:
            raise request.error
        assert request.position is not None
        return request.position, [None if result is None else unpack(result) for result in request.results]

    async def _write(self, command: Command, level: Level, timeout: float | None) -> Position:
        return (await self._ask((command,), level, timeout))[0]

    async def _change(self, command: Command, level: Level, timeout: float | None) -> Outcome:
        position, results = await self._ask((command,), level, timeout)
        return Outcome(results[0], position)

    async def put(
        self,
        key: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Set an entry, and when it expires (in seconds; None: never); returns the write's position.

        Every write raises NotCarried for what cannot be carried, StoreFull when the master's disk has no room,
        MasterExists when two masters are in conflict, MasterUnavailable when none could be reached within ``timeout``
        seconds (by default the handle's ``write_timeout``), OutcomeUnknown when it did not answer.
        """
        return await self._write(asking.put(key, value, expires_in), level, timeout)

    async def put_unique(
        self,
        key: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Set an entry that there is not; raises KeyExists if there is."""
        return await self._write(asking.add(key, value, expires_in), level, timeout)

    async def compare_and_swap(
        self,
        key: object,
        expected: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Set an entry that has the value ``expected``; :data:`~broker.ABSENT` for no entry, at either place.

        Raises ValueDiffers, which says what there is.
        """
        return await self._write(asking.compare(key, expected, value, expires_in), level, timeout)

    async def erase(
        self, key: object, *, missing_ok: bool = False, level: Level = "durable", timeout: float | None = None
    ) -> Position:
        """Remove an entry; raises NoSuchKey where there is none, unless that does not matter."""
        return await self._write(asking.erasure(key, missing_ok=missing_ok), level, timeout)

    async def clear(self, *, level: Level = "durable", timeout: float | None = None) -> Position:
        """Remove all entries."""
        return await self._write(Truncate(), level, timeout)

    async def increment(
        self,
        key: object,
        amount: Any = 1,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Add to a number, a timedelta or a timestamp; an entry that there is not begins with 0.

        Returns the new value and the position.  Raises TypeClash, OutOfRange.  Without ``expires_in`` the entry's
        expiry stays as it is, here and with all that follow.
        """
        return await self._change(asking.increment(key, amount, expires_in), level, timeout)

    async def decrement(
        self,
        key: object,
        amount: Any = 1,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Take away from a number; a Count does not go below 0 (OutOfRange)."""
        return await self._change(asking.increment(key, amount, expires_in, negative=True), level, timeout)

    async def append(
        self,
        key: object,
        tail: str | bytes,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Append to a str, or to bytes; returns what it has become.  Raises TypeClash."""
        return await self._change(asking.append(key, tail, expires_in), level, timeout)

    async def insert_into(
        self,
        key: object,
        element: object,
        value: object = asking.ABSENT,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Insert a member into a set or, with a value, an item into a dict; makes one where there is none.

        Costs what the element costs, however large the set or dict.  Raises TypeClash.
        """
        return await self._write(asking.insert(key, element, value, expires_in), level, timeout)

    async def remove_from(
        self,
        key: object,
        element: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Remove a member from a set, or a key from a dict; raises NoSuchKey, NoSuchElement, TypeClash."""
        return await self._write(asking.remove(key, element, expires_in), level, timeout)

    async def push(
        self,
        key: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Append an element to a list, made where there is none; raises TypeClash."""
        return await self._write(asking.push(key, value, expires_in), level, timeout)

    async def pop(
        self,
        key: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Take the last element from a list; raises NoSuchKey, NoSuchElement (it is empty), TypeClash."""
        return await self._change(asking.pop(key, expires_in), level, timeout)

    async def touch(
        self, key: object, *, expires_in: Lifetime, level: Level = "durable", timeout: float | None = None
    ) -> Position:
        """Let an entry live so many seconds from now on (None: for ever); raises NoSuchKey."""
        return await self._write(asking.touch(key, expires_in), level, timeout)

    async def fetch(self, key: object, *, timeout: float | None = None) -> Any:
        """Read a value at the master: what it is after all writes that were acknowledged.  Raises NoSuchKey."""
        return (await self._ask((Fetch(pack_key(key)),), "applied", timeout))[1][0]

    def batch(self, *, level: Level = "durable", timeout: float | None = None) -> Batch:
        """Gather changes that take place together: ``async with store.batch() as batch: batch.put(...)``."""
        return Batch(self.name, lambda commands: self._ask(commands, level, timeout))


def check_options(name: str, write_timeout: float) -> None:
    """Raise ValueError for what no store can be called, or for no time."""
    if type(name) is not str or not 1 <= len(name.encode(errors="replace")) <= 255 or not name.isprintable():
        raise ValueError(f"a store's name is printable text of 1 to 255 bytes: {name!r:.100}")
    if not write_timeout > 0:
        raise ValueError(f"write_timeout is a positive number of seconds, not {write_timeout!r}")


def _replicas(level: Level) -> int:
    if level == "durable":
        return DURABLE
    if level == "applied":
        return APPLIED
    if isinstance(level, Replicated):
        if not 1 <= level.clones <= 10_000:
            raise ValueError(f"Replicated takes 1 to 10,000 clones, not {level.clones}")
        return level.clones
    raise ValueError(f"level is 'applied', 'durable' or Replicated(n), not {level!r}")
