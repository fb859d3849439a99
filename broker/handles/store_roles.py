"""The two roles that an endpoint can have in a store: the master, and a clone."""

from __future__ import annotations

import math
import os
from time import time_ns
from typing import TYPE_CHECKING, Any

import trio

from broker.errors import MasterExists, NotMaster, StaleData, StoreFull
from broker.handles.store import Store
from broker.journaling import Journal, Position
from broker.stores.clone import Clone
from broker.stores.master import Master

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["StoreClone", "StoreMaster"]


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
        self._plain = machine.contents.plain

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
        self._clone().hurry()
        self._endpoint._carry_out()
        await self.until(lambda: self._clone().current_at >= since)

    @property
    def staleness(self) -> float:
        """For how many seconds something may have been missed; infinity: it never had everything.

        Up to half a second in peace: so often it asks the master.  However long answers are held up, it is not told
        too small.
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
            self._plain = machine.contents.plain  # there is something to read, however stale it may be
        elif self.staleness > self._stale_after:
            reason = (
                f"the clone may have missed something for {self.staleness:.1f} s, more than {self._stale_after:g} s"
            )
            raise StaleData(self.name, reason)

    async def backup(self, path: str | os.PathLike[str]) -> Position:  # noqa: ARG002 - the master's signature
        """Only a master's backup can be a master again: raises NotMaster."""
        raise NotMaster(self.name, f"back up the master ({self.master or 'not reachable now'}), not this clone")
