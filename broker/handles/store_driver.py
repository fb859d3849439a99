"""What carries out what stores want done: commits in threads, answers to tasks that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from broker.errors import JournalError
from broker.handles.journal_thread import JournalThread
from broker.protocol.actions import Action, Answered, CarryOut, StoreChanged
from broker.protocol.wires import Chance
from broker.stores.clone import Clone
from broker.stores.master import Master
from broker.stores.proxy import Proxy
from broker.stores.requests import Request

if TYPE_CHECKING:
    from broker.endpoint_life import EndpointLife
    from broker.handles.store import Store
    from broker.handles.store_proxy import StoreProxy

__all__ = ["StoreDriver"]


class StoreDriver:
    """The trio side of all stores of one endpoint."""

    def __init__(self, endpoint: EndpointLife, chance: Chance) -> None:
        self._endpoint = endpoint
        self.chance = chance  # where stores in memory have their identities from
        self.handles: dict[str, Store | StoreProxy] = {}  # those that are attached
        self.opening: set[str] = set()  # stores whose journals are just being opened
        self.flush_due = False  # the flusher has been told that something was asked of a store
        self._tasks: dict[object, trio.lowlevel.Task] = {}  # who waits for what

    def carry_out(self, action: Action) -> None:
        """Do what a store wants done, as far as it can be done at once."""
        if type(action) is Answered:  # nearly always
            task = self._tasks.pop(action.request, None)
            if task is not None:
                trio.lowlevel.reschedule(task)
        elif type(action) is StoreChanged:
            handle = self.handles.get(action.store)
            if handle is not None:
                handle.changed.unpark_all()
        elif type(action) is CarryOut:
            owner: Any = action.owner
            disk: JournalThread | None = getattr(self.handles.get(owner.name), "disk", None)
            if disk is not None:  # else it was just left, and its journal is being closed
                disk.carry_out(action.work)

    def begin_disk(self, machine: Master | Clone) -> JournalThread:
        """Let a store's journal be written from now on."""
        endpoint = self._endpoint

        def done(error: JournalError | None) -> None:
            endpoint._node.carried_out(machine, error, trio.current_time())
            endpoint._carry_out()

        disk = JournalThread(machine.name, machine.journal, done)
        endpoint._nursery.start_soon(disk.run)
        return disk

    async def ask(self, machine: Master | Clone | Proxy, request: Request, now: float) -> None:
        """Have a request decided, and wait for its outcome; the endpoint's flusher sees to its leaving."""
        endpoint = self._endpoint
        endpoint._node.submit(machine, request, now)
        if not self.flush_due:
            self.flush_due = True
            endpoint._published.unpark()
        self._tasks[request] = trio.lowlevel.current_task()

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._tasks.pop(request, None)
            if not isinstance(machine, Master):
                machine.forwarding.withdraw(request)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
