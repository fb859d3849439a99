"""A simulated network for real endpoints under trio: no sockets, and with trio's MockClock no waiting either.

:mod:`broker.testing` has an example.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from broker.errors import AddressError, ListenError
from broker.testing.fabric import Conditions, Fabric

if TYPE_CHECKING:
    from broker.endpoint import Endpoint
    from broker.net.security import Security

__all__ = ["SimulatedNetwork"]


class SimulatedNetwork:
    """Give it to endpoints as ``network=``; ``fabric`` makes the faults.  Addresses are ``sim://`` and any text."""

    def __init__(self, seed: int = 0, conditions: Conditions | None = None) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._calls = 0
        self._scope = trio.CancelScope()
        self._running = trio.Lock()
        self.fabric = Fabric(self, seed, conditions)

    def __call__(self, endpoint: Endpoint, nursery: trio.Nursery) -> _Driver:
        """Make the driver of one endpoint."""
        return _Driver(self, endpoint, nursery)

    def now(self) -> float:
        """Return trio's time."""
        return trio.current_time()

    def call_at(self, at: float, action: Callable[[], None]) -> None:
        """Call ``action`` at that time."""
        self._calls += 1
        heapq.heappush(self._due, (at, self._calls, action))
        if at < self._scope.deadline:
            self._scope.deadline = at

    async def run(self) -> None:
        """Call what is due.  Each driver runs this, one at a time, so that it goes on when some of them are closed."""
        async with self._running:
            while True:
                now = trio.current_time()
                while self._due and self._due[0][0] <= now:
                    heapq.heappop(self._due)[2]()
                deadline = self._due[0][0] if self._due else math.inf
                with trio.CancelScope(deadline=deadline) as self._scope:
                    await trio.sleep_forever()


class _Driver:
    """One endpoint's side: the endpoint is the port's program."""

    def __init__(self, network: SimulatedNetwork, endpoint: Endpoint, nursery: trio.Nursery) -> None:
        self.name = endpoint.name
        self._fabric = network.fabric
        self._endpoint = endpoint
        self.accepted = endpoint.accepted
        self.dialled = endpoint._node.dialled  # noqa: SLF001  # what the endpoint does for real wires
        self.received = endpoint.received
        self.lost = endpoint.lost
        self.round_done = endpoint.round_done
        nursery.start_soon(network.run)

    @property
    def key(self) -> bytes:
        security = self._endpoint.security()
        return b"" if security is None else security.secret.public.raw

    async def listen(self, text: str, *, insecure: bool = False) -> str:  # noqa: ARG002  # nobody listens in
        self.check(text)
        try:
            self._fabric.listen(self, text)
        except OSError as error:
            raise ListenError(str(error)) from error
        await trio.lowlevel.checkpoint()
        return text

    def check(self, text: str, *, insecure: bool = False) -> None:  # noqa: ARG002  # nobody listens in
        if not text.startswith("sim://"):
            raise AddressError(f"{text!r}: on a simulated network an address is sim://NAME")

    def dial(self, number: int, text: str) -> bytes:
        self._fabric.dial(self, number, text)
        return b""

    def secure(self, security: Security | None) -> None:
        """Nothing is to be done: the node judges by itself."""

    def send(self, number: int, frame: bytes) -> None:
        self._fabric.send(self, number, frame)

    def hangup(self, number: int) -> None:
        self._fabric.hangup(self, number)

    def settle(self, _began: float) -> bool:
        return False

    def close(self) -> None:
        self._fabric.detach(self)
