"""A way to a store's master without a replica: writes, single reads, and if it is wanted the changes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Self

import trio

from broker.errors import ChangesLost, StoreClosed, StoreError
from broker.handles.store_writing import StoreWriting, check_options
from broker.handles.watch import MISSING, Watch, wanted
from broker.journaling import MemoryJournal, Position, Swap
from broker.stores.bareclone import BareClone
from broker.stores.entries import TABLES
from broker.stores.proxy import Proxy

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["StoreProxy"]

# How long leaving it waits for what was asked of it.
_LINGER_S: Final = 2.0


class StoreProxy(StoreWriting):
    """A way to a store's master without a replica: what :meth:`Endpoint.proxy` gives.

    It writes as a clone does, and reads with :meth:`fetch` alone, at the master; it costs the same however large the
    store is.  Any other way to read raises StoreError: there is nothing here to read.  With ``since`` it follows the
    master's log, and can be watched.  It confirms nothing: it counts for no Replicated(n).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        *,
        since: Position | Literal["now"] | None,
        timeout: float,
        write_timeout: float,
    ) -> None:
        check_options(name, write_timeout)
        if since is not None and since != "now" and not isinstance(since, Position):
            raise TypeError(f"since is a Position or 'now', not {since!r:.100}")
        self.name = name
        self.changed = trio.lowlevel.ParkingLot()
        self._endpoint = endpoint
        self._since = since
        self._timeout = timeout
        self._write_timeout = write_timeout
        self._machine: Proxy | BareClone | None = None
        self._entered = False

    def __repr__(self) -> str:
        return f"<StoreProxy {self.name!r}>"

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Self:
        """Look for the master, at most ``timeout`` seconds; raises ChangesLost."""
        endpoint = self._endpoint
        endpoint._check_open()
        if self._entered:
            raise StoreClosed(self.name, "its handle is entered once: make a new one")
        self._entered = True
        self._machine = self._attach()
        endpoint._store_driver.handles[self.name] = self
        endpoint._carry_out()
        try:
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(self._timeout):
                await self.until(self._is_ready)
            self.check_open()
        except BaseException:
            self.end()
            raise
        return self

    def _attach(self) -> Proxy | BareClone:
        node, since, now = self._endpoint._node, self._since, trio.current_time()
        if since is None:
            return node.attach_proxy(self.name, now)
        journal = MemoryJournal(self._endpoint._store_driver.chance.randbytes(16), len(TABLES))
        if isinstance(since, Position):
            journal.carry_out(Swap(since))
        machine = node.attach_clone(self.name, journal, now, bare=True)
        assert isinstance(machine, BareClone)
        return machine

    def _is_ready(self) -> bool:
        machine = self._open()
        if isinstance(machine, Proxy):
            return machine.master is not None
        if machine.following and self._since == "now":
            self._since = machine.journal.position
        return machine.following or machine.lost

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait a moment for what was asked."""
        machine = self._machine
        if machine is None:
            return
        try:
            if kind is None:
                with trio.move_on_after(_LINGER_S):
                    await self.until(lambda: machine.idle)
        except StoreClosed:
            pass  # the endpoint was closed meanwhile
        finally:
            self.end()

    def end(self) -> None:
        """Ask no longer; who waits gets the error.  The endpoint calls this when it is closed."""
        endpoint, machine = self._endpoint, self._machine
        if machine is None:
            return
        self._machine = None
        endpoint._store_driver.handles.pop(self.name, None)
        if endpoint._state == "open":
            endpoint._node.detach_store(self.name, trio.current_time())
            endpoint._carry_out()
        self.changed.unpark_all()

    def _open(self) -> Proxy | BareClone:
        machine = self._machine
        if machine is None:
            what = "was left: make a new one" if self._entered else "is used inside its 'with' or 'async with' block"
            raise StoreClosed(self.name, f"its handle {what}")
        return machine

    def check_open(self) -> None:
        """Raise StoreClosed unless it is entered and not left, and ChangesLost where a watch has missed something."""
        machine = self._open()
        if isinstance(machine, BareClone) and machine.lost:
            reason = f"the master's log does not go on from {machine.journal.position}: read the store, then watch anew"
            raise ChangesLost(self.name, reason)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, which is looked at whenever something has come from the master."""
        while not condition():
            await self.changed.park()
            self._open()

    @property
    def master(self) -> str | None:
        """The endpoint that it asks; None: no master can be reached."""
        machine = self._open()
        return None if machine.master is None else machine.master.name

    def watch(self, prefix: str | None = None, *, key: object = MISSING) -> Watch:
        """Give every change from ``since`` on, in order and once, as :meth:`Store.watch` does.

        Raises StoreError without ``since``, and as long as "now" is not known because no master could be reached.
        """
        machine = self._open()
        if isinstance(machine, Proxy):
            raise StoreError(self.name, "to be watched, a proxy follows the log: endpoint.proxy(..., since='now')")
        if not isinstance(self._since, Position) and not self._is_ready():
            raise StoreError(self.name, "no master has been reached yet, and with it what is now")
        assert isinstance(self._since, Position)
        return Watch(self, machine.journal, self._since, wanted(prefix, key))

    @property
    def entries(self) -> int | None:
        """How many entries there were when it began to follow the log, or last did so anew; None without ``since``."""
        machine = self._open()
        return machine.entries if isinstance(machine, BareClone) else None

    def _nothing_here(self, *_arguments: object, **_options: object) -> NoReturn:
        """Raise StoreError: there is nothing of the contents here to be looked at."""
        raise StoreError(self.name, "a proxy has none of the contents: fetch() a value, or make a clone")

    __getitem__ = __contains__ = __len__ = __iter__ = _nothing_here
    get = get_index = size = expires = _nothing_here

    def __bool__(self) -> bool:
        return True  # a handle; there is no length
