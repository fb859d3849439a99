"""What is received a run at a time: the portal fills, the program's threads take.

Whoever waits leaves a function that wakes it up, and needs the portal only if there is something to take up already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from operator import length_hint
from typing import Final, Generic, Protocol, TypeVar

import trio

from broker.errors import EndpointClosed
from broker.handles.collector import Collector
from broker.handles.subscriber import Subscriber
from broker.portal.thread import Portal

__all__ = ["Reader", "Runs"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

# Messages that are taken up together, as far as they are there: with runs of 140, threads alternate a tenth as often.
_GATHER: Final = 2_000
# Taken over at once from a handle that gives one thing at a time.
_RUN_MAX: Final = 1000


class _Source(Protocol[T_co]):
    async def receive(self) -> T_co: ...
    def receive_nowait(self) -> T_co: ...


class Runs:
    """The runs that a subscriber or a collector takes up.

    A thread reads from the core's own iterator (``core._current``); where that is through, it waits here for another.
    """

    def __init__(self, core: Subscriber | Collector) -> None:
        self._core = core
        self._waiting: deque[Callable[[], object]] = deque()
        self._errors: deque[BaseException] = deque()
        self._portal: Portal | None = None
        core.on_wake = self._look

    # -- from any thread -------------------------------------------------------------------------------------------

    def wait(self, portal: Portal, wake: Callable[[], object]) -> None:
        """Have ``wake`` called when there is something to read, or to raise: see :meth:`check`."""
        portal.check()
        if portal is not self._portal:
            self._portal = portal
            portal.end_with(self)
        self._waiting.append(wake)
        # The rest of a run that others have begun counts, too: it may have come after we looked.
        if length_hint(self._core._current) or not self._core.idle:
            portal.soon(self._take_up)

    def forget(self, portal: Portal, wake: Callable[[], object]) -> None:
        """Wait no longer; if it was woken already, somebody else may have what is there."""
        try:
            self._waiting.remove(wake)
        except ValueError:
            with suppress(EndpointClosed):
                portal.soon(self._look)

    def check(self) -> None:
        """Raise what went wrong, once."""
        with suppress(IndexError):  # there is none, or another thread has it
            raise self._errors.popleft()

    # -- in the portal's thread ------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Do what was asked for, also where who asked has given up: asking acknowledges what came before."""
        if not self._waiting:
            try:
                self._fill()
            except BaseException as error:  # noqa: BLE001 - raised by check(), where it is waited for next
                self._errors.append(error)
        self._look()

    def _look(self) -> None:
        """Take up what there is, and wake as many as can have one."""
        while self._waiting:
            try:
                if not self._fill():
                    return
            except BaseException as error:  # noqa: BLE001 - raised by check(), where it is waited for
                self._errors.append(error)
                self._wake_one()
                continue
            for _ in range(min(length_hint(self._core._current), len(self._waiting))):
                self._wake_one()
            return

    def _wake_one(self) -> None:
        try:
            wake = self._waiting.popleft()
        except IndexError:
            return  # it has given up at just that moment
        wake()

    def _fill(self) -> bool:
        core = self._core
        return core.fill(_GATHER) if isinstance(core, Subscriber) else core.fill()

    def end(self, error: BaseException) -> None:
        """Let all who wait know that the portal has ended."""
        while self._waiting:
            self._errors.append(EndpointClosed(str(error)))  # one each: threads would add to each other's tracebacks
            self._wake_one()

    def forked(self) -> None:
        """Have nothing to do with the parent's threads."""
        self._waiting.clear()


class Reader(Generic[T]):
    """The run that comes from a handle which gives one thing at a time, such as a watch.

    A thread takes from :attr:`run`; where that is empty it has the portal fill it.
    """

    def __init__(self, source: _Source[T]) -> None:
        self._source = source
        self._asking = trio.Lock()
        self.run: deque[T] = deque()

    async def fill(self) -> None:
        """Wait for one, and take what else there is.  Cancelled, it has taken nothing.

        Of several one asks the source; the others wait for a run, whoever reads from it then.
        """
        async with self._asking:
            if not self.run:
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
