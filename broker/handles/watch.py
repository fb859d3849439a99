"""Watching a store: every change, in order, once, from a position on.

A watch is a cursor in the log, and holds nothing but that: what it has not read yet waits in the log, however slow its
reader is.  When the log no longer goes back so far, or the clone has taken a snapshot instead of the operations
between, it raises ChangesLost, and never skips anything silently.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Self

import trio

from broker.errors import ChangesLost, StoreClosed
from broker.journaling import Journal, Position
from broker.stores.changes import Change, Want, changes_of, of_key, of_prefix

if TYPE_CHECKING:
    from broker.handles.store import Store
    from broker.handles.store_proxy import StoreProxy

__all__ = ["MISSING", "Watch", "wanted"]

MISSING: Final = object()
"""In the place of a key: all are wanted, None too."""

# Read at once: a burst's worth, and no longer than a loop should be held up.
_READ_BYTES: Final = 64 << 10


def wanted(prefix: str | None, key: object) -> Want | None:
    """Return what a watch wants: the keys that begin so, one key, or all.  Raises ValueError for both."""
    if key is not MISSING:
        if prefix is not None:
            raise ValueError("watch a prefix or a key, not both")
        return of_key(key)
    return of_prefix(prefix) if prefix else None


class Watch:
    """Changes of a store, as :meth:`Store.watch` gives them: iterate over it, or call :meth:`receive`.

    Guarantees: changes come in the order of the master's log; each once; none between two that are given is missing;
    those of one batch together, the last of them ``final``; and :attr:`position` is where to go on after a restart.
    """

    def __init__(self, store: Store | StoreProxy, journal: Journal, since: Position | None, want: Want | None) -> None:
        if since is not None and (
            since.journal != journal.position.journal or journal.checksum_at(since.sequence) != since.checksum
        ):
            raise ChangesLost(store.name, f"{since} is no longer in the log, or never was")
        self._store = store
        self._journal = journal
        self._want = want
        self._read = since if since is not None else journal.position  # the last record that was read
        self._given = self._read
        self._pending: deque[Change] = deque()

    def __repr__(self) -> str:
        return f"<Watch of {self._store.name!r}>"

    @property
    def position(self) -> Position:
        """Behind the last record of which all that is wanted was given; it moves also when nothing was wanted.

        A watch that is made with it as ``since`` goes on there: give it only behind a change that is ``final``.
        """
        return self._given if self._pending else self._read

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        try:
            return await self.receive()
        except StoreClosed:
            raise StopAsyncIteration from None

    async def receive(self) -> Change:
        """Return the next change; raises ChangesLost when it is not kept any more, StoreClosed at the store's end."""
        await trio.lowlevel.checkpoint()
        while not self._pending:
            self._store.check_open()
            if not self._fill():
                await self._store.changed.park()
        return self._give()

    def receive_nowait(self) -> Change:
        """Return the next change like :meth:`receive`, or raise :class:`trio.WouldBlock` where there is none yet."""
        self._store.check_open()
        if not self._pending:
            self._fill()
        if not self._pending:
            raise trio.WouldBlock
        return self._give()

    def _give(self) -> Change:
        change = self._pending.popleft()
        if change.final:
            self._given = change.position
        return change

    def _fill(self) -> bool:
        """Read on; whether there was anything to read."""
        journal, read = self._journal, self._read
        if journal.position == read:
            return False
        if journal.position.journal != read.journal or journal.checksum_at(read.sequence) != read.checksum:
            reason = f"the operations behind {read} are not kept any more: read the store, then watch anew"
            raise ChangesLost(self._store.name, reason)
        for record in journal.read(read.sequence, _READ_BYTES):
            self._read, changes = changes_of(record, self._read, self._want)
            self._pending += changes
        return True
