"""A batch: changes of a store that take place together, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from broker.errors import StoreClosed
from broker.journaling import Position
from broker.stores import asking
from broker.stores.asking import Lifetime
from broker.stores.commands import COMMANDS_MAX, Command, Truncate

__all__ = ["Batch"]

Send = Callable[[tuple[Command, ...]], Awaitable[tuple[Position, list[Any]]]]


class Batch:
    """Gathers changes, and conditions for them; leaving its block has them done.

    ``position`` and ``results`` (one for each change and condition: the new value of an increment, an append; what a
    pop took; else None) are there behind the block.  When a condition does not hold, or a change cannot be made,
    leaving the block raises what that change alone would have raised, and nothing was done.  An exception in the
    block drops the batch.
    """

    def __init__(self, store: str, send: Send) -> None:
        self._store = store
        self._send = send
        self._commands: list[Command] = []
        self._left = False
        self.position: Position | None = None
        self.results: list[Any] = []

    async def __aenter__(self) -> Self:
        """Begin to gather."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have all of it done; returns when it is acknowledged."""
        if kind is None:
            await self.commit()
        self._left = True

    async def commit(self) -> Position | None:
        """Have all of it done now, without a block; returns its position, None for an empty batch."""
        if self._left:
            raise StoreClosed(self._store, "a batch is sent once: make a new one")
        self._left = True
        if self._commands:
            self.position, self.results = await self._send(tuple(self._commands))
        return self.position

    def __len__(self) -> int:
        """Return how many changes and conditions it has."""
        return len(self._commands)

    def _add(self, command: Command) -> None:
        if self._left:
            raise StoreClosed(self._store, "a batch is sent once: make a new one")
        if len(self._commands) >= COMMANDS_MAX:
            raise ValueError(f"a batch has at most {COMMANDS_MAX} changes: divide it")
        self._commands.append(command)

    # -- conditions --------------------------------------------------------------------------------------------------

    def expect(self, key: object, value: object) -> None:
        """Let the batch take place only if the entry has this value; :data:`~broker.ABSENT`: if there is none."""
        self._add(asking.expect(key, value))

    # -- changes -----------------------------------------------------------------------------------------------------

    def put(self, key: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Set an entry, as :meth:`Store.put` does."""
        self._add(asking.put(key, value, expires_in))

    def put_unique(self, key: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Set an entry that there is not: else the batch raises KeyExists.  See :meth:`Store.put_unique`."""
        self._add(asking.add(key, value, expires_in))

    def compare_and_swap(self, key: object, expected: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Set an entry that has the value ``expected``: else the batch raises ValueDiffers.

        See :meth:`Store.compare_and_swap`.
        """
        self._add(asking.compare(key, expected, value, expires_in))

    def erase(self, key: object, *, missing_ok: bool = False) -> None:
        """Remove an entry, as :meth:`Store.erase` does."""
        self._add(asking.erasure(key, missing_ok=missing_ok))

    def clear(self) -> None:
        """Remove all entries there are before the batch, or that it has made so far."""
        self._add(Truncate())

    def increment(self, key: object, amount: Any = 1, *, expires_in: Lifetime = None) -> None:
        """Add to a number; the new value is in ``results``.  See :meth:`Store.increment`."""
        self._add(asking.increment(key, amount, expires_in))

    def decrement(self, key: object, amount: Any = 1, *, expires_in: Lifetime = None) -> None:
        """Take away from a number; the new value is in ``results``.  See :meth:`Store.decrement`."""
        self._add(asking.increment(key, amount, expires_in, negative=True))

    def append(self, key: object, tail: str | bytes, *, expires_in: Lifetime = None) -> None:
        """Append to a str, or to bytes; what it has become is in ``results``.  See :meth:`Store.append`."""
        self._add(asking.append(key, tail, expires_in))

    def insert_into(
        self, key: object, element: object, value: object = asking.ABSENT, *, expires_in: Lifetime = None
    ) -> None:
        """Insert a member into a set, or an item into a dict, as :meth:`Store.insert_into` does."""
        self._add(asking.insert(key, element, value, expires_in))

    def remove_from(self, key: object, element: object, *, expires_in: Lifetime = None) -> None:
        """Remove a member from a set, or a key from a dict, as :meth:`Store.remove_from` does."""
        self._add(asking.remove(key, element, expires_in))

    def push(self, key: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Append an element to a list, as :meth:`Store.push` does."""
        self._add(asking.push(key, value, expires_in))

    def pop(self, key: object, *, expires_in: Lifetime = None) -> None:
        """Take the last element from a list; it is in ``results``.  See :meth:`Store.pop`."""
        self._add(asking.pop(key, expires_in))

    def touch(self, key: object, *, expires_in: Lifetime) -> None:
        """Let an entry live so many seconds from now on, as :meth:`Store.touch` does."""
        self._add(asking.touch(key, expires_in))
