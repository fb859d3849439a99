"""A store of a simulated endpoint: what a program would ask of it, without waiting.

A write returns a :class:`~broker.stores.requests.Request`, whose ``done``, ``position``, ``results`` and ``error`` tell
later what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from broker.journaling import Position
from broker.stores.clone import Clone
from broker.stores.commands import Command, Erasure, Increment, SetTo
from broker.stores.entries import pack_key
from broker.stores.master import Master
from broker.stores.requests import DURABLE, Request
from broker.testing.disk import DiskUser
from broker.values import pack

if TYPE_CHECKING:
    from broker.testing.cluster import SimulatedEndpoint

__all__ = ["SimulatedStore"]


class SimulatedStore(DiskUser):
    """A master or a clone."""

    machine: Master | Clone

    def __init__(self, endpoint: SimulatedEndpoint, machine: Master | Clone) -> None:
        super().__init__(endpoint, machine)
        self.on_change: Callable[[], None] | None = None

    @property
    def position(self) -> Position:
        """Where it is."""
        return self.machine.journal.position

    def items(self) -> dict[Any, Any]:
        """Return all entries."""
        contents = self.machine.contents
        return {key: contents.find(key) for key in list(contents.keys())}

    def keys(self) -> Iterator[Any]:
        """Give all keys."""
        return self.machine.contents.keys()

    @property
    def staleness(self) -> float:
        """For how many seconds a clone may have missed something."""
        return self.machine.staleness(self.endpoint.cluster.now()) if isinstance(self.machine, Clone) else 0.0

    # -- writes ----------------------------------------------------------------------------------------------------

    def ask(
        self,
        *commands: Command,
        replicas: int = DURABLE,
        timeout: float = float("inf"),
        answered: Callable[[Request], None] | None = None,
    ) -> Request:
        """Ask for these commands, together or not at all."""
        request = Request(commands, replicas, self.endpoint.cluster.now() + timeout)
        self.endpoint.submit(self.machine, request, answered or _nothing)
        return request

    def put(self, key: object, value: object, *, expires_in: float = 0.0, **options: Any) -> Request:
        """Set an entry."""
        return self.ask(SetTo(pack_key(key), pack(value), round(expires_in * 1e9)), **options)

    def erase(self, key: object, **options: Any) -> Request:
        """Remove an entry."""
        return self.ask(Erasure(pack_key(key)), **options)

    def increment(self, key: object, amount: float, **options: Any) -> Request:
        """Add to a number."""
        return self.ask(Increment(pack_key(key), pack(amount)), **options)

    def changed(self) -> None:
        """Take note that something has changed."""
        if self.on_change is not None:
            self.on_change()


def _nothing(_request: Request) -> None:
    pass
