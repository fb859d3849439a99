"""What is received a run at a time: the portal fills, the program's threads take."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

import trio

__all__ = ["Reader"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

# Taken over at once from a handle that gives one thing at a time.
_RUN_MAX: Final = 1000


class _Source(Protocol[T_co]):
    async def receive(self) -> T_co: ...
    def receive_nowait(self) -> T_co: ...


class Reader(Generic[T]):
    """The run that comes from a handle which gives one thing at a time, such as a watch.

    A thread takes from :attr:`run`; where that is empty it has the portal fill it.
    """

    def __init__(self, source: _Source[T]) -> None:
        self._source = source
        self.run: deque[T] = deque()

    async def fill(self) -> None:
        """Wait for one, and take what else there is.  Cancelled, it has taken nothing."""
        if self.run:
            return
        self.run.append(await self._source.receive())
        self.fill_nowait()

    def fill_nowait(self) -> None:
        """Take what there is."""
        try:
            while len(self.run) < _RUN_MAX:
                self.run.append(self._source.receive_nowait())
        except trio.WouldBlock:
            pass
        except Exception:
            if not self.run:
                raise
