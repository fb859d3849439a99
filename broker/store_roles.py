"""The roles that an endpoint can have in a store: the master, a clone, and a proxy, which only asks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import trio

from broker.errors import MasterExists, NotMaster, StaleData, StoreClosed, StoreError, StoreFull
from broker.journaling import Journal, Position
from broker.store import Store
from broker.store_writing import StoreWriting, check_options
from broker.stores.clone import Clone
from broker.stores.master import Master
from broker.stores.proxy import Proxy

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["StoreClone", "StoreMaster", "StoreProxy"]

# How long leaving a proxy waits for what was asked of it.
_LINGER_S: Final = 2.0


class StoreMaster(Store):
    """The authority of a store: what :meth:`Endpoint.master` gives."""

    _role = "master"

    def __init__(
        self, endpoint: Endpoint, name: str, path: str | os.PathLike[str] | None, *, timeout: float, **options: Any
    ) -> None:
        super().__init__(endpoint, name, path, **options)
        self._timeout = timeout

    async def _before_opening(self) -> None:
        """Wait until no other endpoint is master: it may have died and not be missed yet."""
        endpoint, stores = self._endpoint, self._endpoint._node.stores
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(self._timeout):
            await endpoint._until(lambda: stores.other_master(self.name) is None)
        other = stores.other_master(self.name)
        if other is not None:
            raise MasterExists(self.name, f"{other} is its master: {endpoint.name} cannot be, too; clone it instead")

    def _attach(self, journal: Journal) -> None:
        node = self._endpoint._node
        self._begin(node.attach_master(self.name, journal, trio.current_time(), time_ns(), log_bytes=self._log_bytes))

    async def _after_attaching(self) -> None:
        machine = self._open()
        assert isinstance(machine, Master)
        await trio.lowlevel.checkpoint()
        await self.until(lambda: machine.ready or bool(machine.failing))
        if not machine.ready:
            raise StoreFull(self.name, f"it cannot be written: {machine.failing}")
        self._readable = True

    def _master_name(self) -> str:
        return self._endpoint.name

    def _problem(self) -> str:
        machine = self._open()
        assert isinstance(machine, Master)
        return "" if machine.rival is None else f"{machine.rival} is its master, too: nothing is written here"


class StoreClone(Store):
    """A replica of a store: what :meth:`Endpoint.clone` gives.

    It shows what the master had at one position.  ``stale_after`` seconds after it has last been sure to have
    everything, reading raises StaleData; also as long as it never had anything.
    """

    _role = "clone"

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        path: str | os.PathLike[str] | None,
        *,
        timeout: float,
        stale_after: float | None,
        **options: Any,
    ) -> None:
        super().__init__(endpoint, name, path, **options)
        if stale_after is not None and not stale_after > 0:
            raise ValueError(f"stale_after is a positive number of seconds, not {stale_after!r}; None: for ever")
        self._timeout = timeout
        self._stale_after = math.inf if stale_after is None else stale_after

    def _attach(self, journal: Journal) -> None:
        self._begin(
            self._endpoint._node.attach_clone(self.name, journal, trio.current_time(), log_bytes=self._log_bytes)
        )

    async def _after_attaching(self) -> None:
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(self._timeout):
            await self.synced()

    def _clone(self) -> Clone:
        machine = self._open()
        assert isinstance(machine, Clone)
        return machine

    async def synced(self) -> None:
        """Wait until it has everything that the master had when this was called, or a moment later."""
        since = trio.current_time()
        await self.until(lambda: self._clone().current_at >= since)

    @property
    def staleness(self) -> float:
        """For how many seconds something may have been missed; infinity: it never had everything.

        Half a second in peace, when nothing is written: so often a master says that nothing was.
        """
        return self._clone().staleness(trio.current_time())

    @property
    def master(self) -> str | None:
        """The endpoint that it follows; None: no master can be reached."""
        machine = self._clone()
        return machine.master.name if machine.master is not None else None

    def _master_name(self) -> str | None:
        return self.master

    def _problem(self) -> str:
        return self._clone().refused

    @property
    def _knows_its_journal(self) -> bool:
        return self._clone().following

    def _check_fresh(self) -> None:
        machine = self._clone()
        if not machine.synced_once:
            where = f"{machine.master.name} has not answered yet" if machine.master else "no master can be reached"
            raise StaleData(self.name, f"the clone has nothing yet: {where}; wait for synced()")
        if self._stale_after == math.inf:
            self._readable = True
        elif self.staleness > self._stale_after:
            reason = (
                f"the clone may have missed something for {self.staleness:.1f} s, more than {self._stale_after:g} s"
            )
            raise StaleData(self.name, reason)

    async def backup(self, path: str | os.PathLike[str]) -> Position:  # noqa: ARG002 - the master's signature
        """Only a master's backup can be a master again: raises NotMaster."""
        raise NotMaster(self.name, f"back up the master ({self.master or 'not reachable now'}), not this clone")


class StoreProxy(StoreWriting):
    """A way to a store's master without a replica: what :meth:`Endpoint.proxy` gives.

    It writes as a clone does, and reads with :meth:`fetch` alone, at the master; it costs the same however large the
    store is.  Any other way to read raises StoreError: there is nothing here to read.
    """

    def __init__(self, endpoint: Endpoint, name: str, *, timeout: float, write_timeout: float) -> None:
        check_options(name, write_timeout)
        self.name = name
        self.changed = trio.lowlevel.ParkingLot()
        self._endpoint = endpoint
        self._timeout = timeout
        self._write_timeout = write_timeout
        self._machine: Proxy | None = None
        self._entered = False

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Self:
        """Look for the master, at most ``timeout`` seconds."""
        endpoint = self._endpoint
        endpoint._check_open()
        if self._entered:
            raise StoreClosed(self.name, "its handle is entered once: make a new one")
        self._entered = True
        self._machine = endpoint._node.attach_proxy(self.name, trio.current_time())
        endpoint._store_driver.handles[self.name] = self
        endpoint._carry_out()
        try:
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(self._timeout):
                await self.until(lambda: self._open().master is not None)
        except BaseException:
            self.end()
            raise
        return self

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

    def _open(self) -> Proxy:
        machine = self._machine
        if machine is None:
            what = "was left: make a new one" if self._entered else "is used inside 'async with ... as store:'"
            raise StoreClosed(self.name, f"its handle {what}")
        return machine

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

    def _nothing_here(self, *_arguments: object, **_options: object) -> NoReturn:
        raise StoreError(self.name, "a proxy has none of the contents: fetch() a value, or make a clone")

    __getitem__ = __contains__ = __len__ = __iter__ = _nothing_here
    get = get_index = size = expires = watch = _nothing_here

    def __bool__(self) -> bool:
        return True  # a handle; there is no length
