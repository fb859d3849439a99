"""The handles of stores: a mapping to read, awaitable methods to write, and changes to watch.

Reads are local and show what is committed; writes are in :mod:`broker.handles.store_writing`, what masters and clones
have of their own in :mod:`broker.handles.store_roles`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import trio
from msgspec import Struct

from broker.errors import NoSuchKey, StoreClosed, StoreError
from broker.handles.journal_thread import JournalThread
from broker.handles.store_writing import StoreWriting, check_options
from broker.handles.watch import MISSING, Watch, wanted
from broker.journaling import Journal, MemoryJournal, Position
from broker.stores.clone import Clone
from broker.stores.entries import TABLES
from broker.stores.master import Master
from broker.values import Timestamp

if TYPE_CHECKING:
    from broker.endpoint import Endpoint
    from broker.journal import DiskJournal

__all__ = ["Store", "StoreFollower", "StoreInfo"]

# A smaller file has no room for the tables and the log.
_LIMIT_BYTES_MIN: Final = 1 << 20
# How long leaving a store waits for what was asked of it.
_LINGER_S: Final = 2.0
_MISSING: Final = object()
# All of a store of some 20,000 small entries; of a larger one so much as does not show in the time that opening takes.
_CHECKED_PAGES: Final = 500


class StoreFollower(Struct, frozen=True):
    """A clone, as its master sees it."""

    endpoint: str
    sequence: int  # the last operation that it has committed
    loading: bool  # it loads a snapshot


class StoreInfo(Struct, frozen=True):
    """What is to be said of a store, as :meth:`Store.info` gives it."""

    name: str
    role: Literal["master", "clone"]
    master: str | None  # the endpoint that is master, if it can be reached
    position: Position
    entries: int
    staleness: float  # seconds
    log_first: int  # the sequence of the oldest operation that is kept; watches and clones can go on from there
    log_bytes: int
    path: str | None
    file_bytes: int | None
    followers: tuple[StoreFollower, ...]  # of a master
    problem: str  # why writes or following fail; empty: they do not


class Store(StoreWriting, Mapping[Any, Any]):
    """What masters and clones have in common: ``store[key]``, ``key in store``, ``len(store)``, writes and watches.

    Keys are any hashable values that can be carried.  A key's type counts: 1 and True are two keys.  Lists, dicts and
    sets are read as copies of one's own; :meth:`get_index` reads an element of one at the cost of the element.

    Reading raises NoSuchKey (a KeyError), and StaleData where that was asked for.  Iteration gives the keys that there
    were when it began.
    """

    _role: Literal["master", "clone"]

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        path: str | os.PathLike[str] | None,
        *,
        log_bytes: int,
        write_timeout: float,
        limit_bytes: int | None = None,
    ) -> None:
        check_options(name, write_timeout)
        if log_bytes < 0:
            raise ValueError(f"log_bytes is a number of bytes, not {log_bytes!r}")
        if limit_bytes is not None and limit_bytes < _LIMIT_BYTES_MIN:
            raise ValueError(
                f"limit_bytes is at least {_LIMIT_BYTES_MIN}, not {limit_bytes!r}; None: as the disk allows"
            )
        self.name = name
        self.changed = trio.lowlevel.ParkingLot()
        self.disk: JournalThread | None = None  # of one that is not in memory
        self._endpoint = endpoint
        self._path = None if path is None else Path(path)
        self._log_bytes = log_bytes
        self._limit_bytes = limit_bytes
        self._write_timeout = write_timeout
        self._machine: Master | Clone | None = None
        self._journal: Journal | None = None  # to be closed
        self._plain: dict[str, Any] = {}  # what can be read without a look at anything else
        self._entered = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    # -- life --------------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Self:
        """Open the journal and take part."""
        endpoint = self._endpoint
        endpoint._check_open()
        if self._entered:
            raise StoreClosed(self.name, "its handle is entered once: make a new one")
        self._entered = True
        driver, stores = endpoint._store_driver, endpoint._node.stores
        stores.check_free(self.name)
        if self.name in driver.opening:
            raise StoreError(self.name, "it is just being opened by another task of this endpoint")
        driver.opening.add(self.name)
        try:
            await self._before_opening()
            journal = await self._open_journal()
        finally:
            driver.opening.discard(self.name)
        try:
            self._journal = journal
            endpoint._check_open()
            self._attach(journal)
            endpoint._carry_out()
            await self._after_attaching()
        except BaseException:
            await self._close(journal, linger_s=0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish what was asked for, then take part no longer."""
        if self._journal is not None:
            await self._close(self._journal, linger_s=_LINGER_S if kind is None else 0)

    async def _before_opening(self) -> None:
        await trio.lowlevel.checkpoint()

    async def _open_journal(self) -> Journal:
        if self._path is None:
            return MemoryJournal(self._endpoint._store_driver.chance.randbytes(16), len(TABLES))
        from broker.journal import open_journal  # a program without stores on disk does not load LMDB

        path = self._path

        def open_it() -> DiskJournal:
            return open_journal(
                path,
                kind="store",
                name=self.name,
                role=self._role,
                tables=TABLES,
                limit_bytes=self._limit_bytes,
                check_pages=_CHECKED_PAGES,
            )

        return await trio.to_thread.run_sync(open_it)

    def _attach(self, journal: Journal) -> None:
        raise NotImplementedError

    async def _after_attaching(self) -> None:
        raise NotImplementedError

    def _begin(self, machine: Master | Clone) -> None:
        self._machine = machine
        self._endpoint._store_driver.handles[self.name] = self
        if not machine.journal.volatile:
            self.disk = self._endpoint._store_driver.begin_disk(machine)

    async def _close(self, journal: Journal, *, linger_s: float) -> None:
        endpoint, machine = self._endpoint, self._machine
        with trio.CancelScope(shield=True):
            if machine is not None and endpoint._state == "open":
                with trio.move_on_after(linger_s):
                    await self.until(lambda: machine.idle or bool(machine.failing))
            self.end()
            self._journal = None
            if self.disk is not None:
                await self.disk.close()
                self.disk = None
            elif not journal.volatile:
                await trio.to_thread.run_sync(journal.close)

    def end(self) -> None:
        """Take part no longer; who waits for anything gets StoreClosed.  The endpoint calls this when it is closed."""
        endpoint, machine = self._endpoint, self._machine
        if machine is None:
            return
        self._machine = None
        self._plain = {}
        endpoint._store_driver.handles.pop(self.name, None)
        if endpoint._state == "open":
            endpoint._node.detach_store(self.name, trio.current_time())
            endpoint._carry_out()
        self.changed.unpark_all()

    def check_open(self) -> None:
        """Raise StoreClosed unless it is entered and not left."""
        self._open()

    def _open(self) -> Master | Clone:
        machine = self._machine
        if machine is None:
            what = "was left: make a new one" if self._entered else "is used inside its 'with' or 'async with' block"
            raise StoreClosed(self.name, f"its handle {what}")
        return machine

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, which is looked at whenever the store has changed."""
        while not condition():
            await self.changed.park()
            self._open()

    # -- reading -----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: object) -> Any:
        """Return a key's value; raises NoSuchKey, StaleData."""
        # What was read before costs a dict's look-up and this call.
        try:
            return self._plain[key]  # type: ignore[index]
        except (KeyError, TypeError):
            pass
        self._check_fresh()
        return self._open().contents.find(key)

    def get(self, key: object, default: Any = None) -> Any:
        """Return a key's value, or ``default`` where there is no entry; raises StaleData."""
        try:
            return self[key]
        except NoSuchKey:
            return default

    def __contains__(self, key: object) -> bool:
        self._check_fresh()
        return self._open().contents.has(key)

    def __len__(self) -> int:
        self._check_fresh()
        return len(self._open().contents)

    def __iter__(self) -> Iterator[Any]:
        self._check_fresh()
        return iter(list(self._open().contents.keys()))

    def __bool__(self) -> bool:
        return True  # a handle, whatever is in it

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def get_index(self, key: object, index: object) -> Any:
        """Return a dict's value at a key, a list's element at an index, or whether a set has a member.

        Raises NoSuchKey, NoSuchElement, TypeClash.
        """
        self._check_fresh()
        return self._open().contents.element(key, index)

    def size(self, key: object) -> int:
        """Return how many elements a list, dict or set has; raises NoSuchKey, TypeClash."""
        self._check_fresh()
        return self._open().contents.size(key)

    def expires(self, key: object) -> Timestamp | None:
        """Return when an entry is over; None: never.  Raises NoSuchKey."""
        self._check_fresh()
        expiry = self._open().contents.expiry(key)
        return Timestamp.from_ns(expiry) if expiry else None

    def _check_fresh(self) -> None:
        """Raise StaleData where what there is must not be read."""

    @property
    def position(self) -> Position:
        """Where the contents are in the order of all operations."""
        return self._open().journal.position

    @property
    def staleness(self) -> float:
        """For how many seconds something may have been missed: 0 at a master."""
        return 0.0

    async def wait_for(self, position: Position) -> None:
        """Wait until the contents are at ``position`` or behind it: reads then see what was written there.

        Raises StoreError when the contents are of another history, in which that position will not come.
        """
        await trio.lowlevel.checkpoint()
        await self.until(lambda: self._is_at(position))

    def _is_at(self, position: Position) -> bool:
        journal = self._open().journal
        if journal.position.journal != position.journal:
            if self._knows_its_journal:
                raise StoreError(self.name, f"{position} is a position of another store than this one")
            return False
        return journal.position.sequence >= position.sequence

    @property
    def _knows_its_journal(self) -> bool:
        return True

    # -- watching and looking after --------------------------------------------------------------------------------

    def watch(self, prefix: str | None = None, *, key: object = MISSING, since: Position | None = None) -> Watch:
        """Give every change, in order and once: ``async for change in store.watch("web-"):``.

        Of keys that are a str and begin with ``prefix``, or of one ``key``; of all without either.  ``since`` goes on
        behind a position (:attr:`Watch.position`, or a change's); else it begins now.  Raises ChangesLost when the
        operations behind that are no longer kept.
        """
        want = wanted(prefix, key)
        self._check_fresh()
        return Watch(self, self._open().journal, since, want)

    def _disk_journal(self) -> tuple[JournalThread, DiskJournal]:
        journal: Any = self._open().journal
        if self.disk is None:
            raise StoreError(self.name, "it is kept in memory: there is no file")
        return self.disk, journal

    async def backup(self, path: str | os.PathLike[str]) -> Position:
        """Copy the store as it is now to a new file, while it is used; returns the copy's position.

        Writes wait meanwhile.  Raises JournalError: the file is there already, or cannot be written.
        """
        disk, journal = self._disk_journal()

        def copy() -> Position:
            journal.backup(Path(path))
            return journal.position

        position: Position = await disk.do(copy)
        return position

    async def compact(self) -> None:
        """Give the disk back what erased entries and the trimmed log have left free; writes wait meanwhile."""
        disk, journal = self._disk_journal()
        await disk.do(journal.compact)
        journal.refresh()

    def info(self) -> StoreInfo:
        """Return what there is to say of it."""
        machine = self._open()
        journal = machine.journal
        followers: tuple[StoreFollower, ...] = ()
        if isinstance(machine, Master):
            followers = tuple(StoreFollower(*follower) for follower in machine.followers.survey())
        return StoreInfo(
            self.name,
            self._role,
            self._master_name(),
            journal.position,
            len(machine.contents),
            self.staleness,
            journal.first,
            journal.log_bytes,
            None if self._path is None else str(self._path),
            None if self._path is None else self._path.stat().st_size,
            followers,
            machine.failing or self._problem(),
        )

    def _master_name(self) -> str | None:
        raise NotImplementedError

    def _problem(self) -> str:
        return ""
