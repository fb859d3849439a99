"""The handle that a program reads status events with."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from broker.status import Status, StatusLost

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["StatusReader"]


class StatusReader:
    """Status events since it was entered, in order; a slow reader loses the oldest and is told how many."""

    def __init__(self, endpoint: Endpoint, queue_size: int) -> None:
        if queue_size < 1:
            raise ValueError("a queue has room for at least one status event")
        self._endpoint = endpoint
        self._queue: deque[Status] = deque()
        self._queue_size = queue_size
        self._lost = 0
        self._waiting = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<StatusReader of {self._endpoint.name!r}>"

    async def __aenter__(self) -> Self:
        """Begin to take note of status events."""
        await trio.lowlevel.checkpoint()  # first: cancelled here, it is not entered
        self._endpoint._check_open()
        self._endpoint._status_readers.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; what was not read is dropped."""
        self._endpoint._status_readers.discard(self)

    def end(self) -> None:
        """Let one who waits find out that the endpoint is closed; the endpoint calls this."""
        self._waiting.unpark_all()

    def put(self, status: Status) -> None:
        """Add a status event; the endpoint calls this."""
        if len(self._queue) >= self._queue_size:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(status)
        self._waiting.unpark()

    def __aiter__(self) -> Self:
        """Iterate over the status events, for ever."""
        return self

    async def __anext__(self) -> Status:
        """Return the next status event, waiting for it."""
        return await self.receive()

    async def receive(self) -> Status:
        """Return the next status event, waiting for it."""
        await trio.lowlevel.checkpoint()
        while not self._queue:
            self._endpoint._check_open()
            await self._waiting.park()
        return self.receive_nowait()

    def receive_nowait(self) -> Status:
        """Return the next status event, or raise :class:`trio.WouldBlock` when there is none."""
        if self._lost:
            lost, self._lost = self._lost, 0
            return StatusLost(lost)
        if not self._queue:
            raise trio.WouldBlock
        return self._queue.popleft()
