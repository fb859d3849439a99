"""The portal: a thread that runs trio, and what is asked of it from others."""

from __future__ import annotations

import atexit
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol
from weakref import WeakSet

import trio

from broker.errors import EndpointClosed

__all__ = ["Holder", "Job", "Portal", "would_block"]

# How long the end of the process waits for endpoints that were not left: their goodbyes take a fifth of a second each.
_EXIT_S: Final = 5.0

ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def _nothing() -> None:
    pass


class Ending(Protocol):
    """Who has to know when the portal ends."""

    def end(self, error: BaseException) -> None:
        """Take note of it."""


class Job:
    """One thing that is asked of the portal: ``function``, which is awaited there unless it ``is_sync``.

    ``wake`` is called in the portal's thread when it is over; then :meth:`result` gives what it returned, or raises.
    """

    __slots__ = ("_error", "_function", "_timeout", "_value", "cancelled", "is_sync", "scope", "wake")

    def __init__(
        self, function: Callable[[], Any], wake: Callable[[], object], *, timeout: float | None = None
    ) -> None:
        self._function = function
        self._timeout = timeout
        self._value: Any = None
        self._error: BaseException | None = None
        self.wake = wake
        self.is_sync = False
        self.cancelled = False
        self.scope: trio.CancelScope | None = None

    def run(self) -> None:
        """Carry it out where it needs no waiting."""
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised by result(), where it was asked for
            self._error = error
        self.over()

    async def wait(self) -> None:
        """Carry it out as a task."""
        try:
            with trio.CancelScope(deadline=_deadline(self._timeout)) as self.scope:
                if self.cancelled:
                    self.scope.cancel()
                self._value = await self._function()
            if self.scope.cancelled_caught:
                self._error = TimeoutError(
                    f"not done within {self._timeout:g} s" if self._timeout else "not done at once"
                )
        except trio.Cancelled:
            self._error = EndpointClosed("the program ends, and broker's thread with it")
            raise
        except BaseException as error:  # noqa: BLE001 - raised by result(), where it was asked for
            self._error = error
        finally:
            self.over()

    def over(self) -> None:
        """Let the one who asked know."""
        wake, self.wake = self.wake, _nothing
        wake()

    def cancel(self) -> None:
        """Have it cancelled; it is over a moment later.  The portal calls this."""
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()

    def fail(self, error: BaseException) -> None:
        """Have it raise this."""
        self._error = error

    def result(self) -> Any:
        """Return what came of it, or raise it."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        return self._value


class Holder:
    """A handle in use: a task of the portal's that enters it, and leaves it when that is asked for."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self._leave = trio.Event()
        self._info: ExceptionInfo = (None, None, None)
        self._scope = trio.CancelScope()
        self._failure: BaseException | None = None  # of a task of its own, before it was left
        self.leaving = Job(_nothing, _nothing)
        self.entered = False

    async def hold(self, entering: Job) -> None:
        """Enter, wait, leave."""
        failure: BaseException | None = None
        try:
            with self._scope:
                entering.scope = self._scope
                if entering.cancelled:
                    self._scope.cancel()
                await self._manager.__aenter__()
                entering.scope = None
                self.entered = True
                entering.over()
                try:
                    await self._leave.wait()
                except trio.Cancelled as cancelled:  # the program ends, entering was given up, a task of its own failed
                    await self._manager.__aexit__(trio.Cancelled, cancelled, cancelled.__traceback__)
                    raise
                await self._manager.__aexit__(*self._info)
        except trio.Cancelled:
            failure = EndpointClosed("the program ends, and broker's thread with it")
            raise
        except BaseException as error:  # noqa: BLE001 - raised where it is entered or left
            failure = error
            if self.entered:
                self._failure = error
        finally:
            if failure is not None:
                (self.leaving if self.entered else entering).fail(failure)
            self.entered = False
            self._info = (None, None, None)
            entering.over()
            self.leaving.over()

    def leave(self, job: Job, info: ExceptionInfo) -> None:
        """Leave, as on the way of that exception.  The portal calls this."""
        if not self.entered:
            failure, self._failure = self._failure, None
            if failure is not None:
                job.fail(failure)
            job.over()
            return
        job.scope = self._scope
        self.leaving, self._info = job, info
        self._leave.set()


class Portal:
    """A thread that runs trio; :meth:`opened` gives the process's one, for as long as somebody needs it.

    ``submit``, ``cancel``, ``enter``, ``leave`` and ``soon`` may be called from any thread but its own.
    """

    def __init__(self) -> None:
        self._users = 0
        self._jobs: deque[Job] = deque()  # to be begun
        self._under_way: set[Job] = set()
        self._others: WeakSet[Ending] = WeakSet()
        self._closed = False
        self._forked = False
        self._failure: BaseException | None = None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="broker", daemon=True)
        self._thread.start()
        started.wait()

    # -- one for the process ---------------------------------------------------------------------------------------

    @staticmethod
    def opened() -> Portal:
        """Return the process's portal, started if need be; give it back with :meth:`release`."""
        global _current  # noqa: PLW0603 - one for the process
        with _lock:
            if _current is None:
                _current = Portal()
            _current._users += 1
            return _current

    def release(self) -> None:
        """Need it no longer; the last one to do so ends the thread."""
        global _current  # noqa: PLW0603
        if self._forked:
            return
        with _lock:
            self._users -= 1
            if self._users:
                return
            if _current is self:
                _current = None
        self._end()
        self._thread.join()

    def _end(self) -> None:
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)

    # -- in its thread ---------------------------------------------------------------------------------------------

    def _run(self, started: threading.Event) -> None:
        try:
            trio.run(self._main, started)
        finally:
            self._closed = True
            started.set()
            error = EndpointClosed("broker's thread has ended")
            for job in [*self._jobs, *self._under_way]:
                job.fail(error)
                job.over()
            for other in self._others:
                other.end(error)

    async def _main(self, started: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            started.set()
            await trio.sleep_forever()

    def _begin_jobs(self) -> None:
        jobs = self._jobs
        while jobs:
            job = jobs.popleft()
            if job.is_sync:
                job.run()
            else:
                self._under_way.add(job)
                self._nursery.start_soon(self._do, job)

    async def _do(self, job: Job) -> None:
        try:
            await job.wait()
        finally:
            self._under_way.discard(job)

    # -- from other threads ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise EndpointClosed where nothing can be asked of it, RuntimeError in its own thread."""
        if self._forked:
            raise EndpointClosed(
                "it was opened before this process was forked, and does not live on here: open endpoints in the child "
                "process (with multiprocessing: use the start method 'spawn', or open them in the function it runs)"
            )
        if self._closed:
            raise EndpointClosed("the endpoint is closed")
        if threading.get_ident() == self._thread.ident:
            raise RuntimeError("broker's own thread cannot wait for itself: call this from a thread of the program")

    def submit(self, job: Job) -> None:
        """Have a job done."""
        self.check()
        self._jobs.append(job)
        self.soon(self._begin_jobs, idempotent=True)

    def soon(self, function: Callable[[], object], *, idempotent: bool = False) -> None:
        """Have a function called, which does not wait."""
        try:
            self._token.run_sync_soon(function, idempotent=idempotent)
        except trio.RunFinishedError:
            raise EndpointClosed("the endpoint is closed") from None

    def cancel(self, job: Job) -> None:
        """Have a job cancelled."""
        job.cancelled = True
        self.soon(job.cancel)

    def enter(self, holder: Holder, entering: Job) -> None:
        """Have a handle entered."""
        self.check()
        self.soon(partial(self._hold, holder, entering))

    def leave(self, holder: Holder, leaving: Job, info: ExceptionInfo) -> None:
        """Have a handle left."""
        self.check()
        self.soon(partial(self._let_go, holder, leaving, info))

    def _hold(self, holder: Holder, entering: Job) -> None:
        self._under_way.add(entering)
        self._nursery.start_soon(self._held, holder, entering)

    async def _held(self, holder: Holder, entering: Job) -> None:
        try:
            await holder.hold(entering)
        finally:
            self._under_way -= {entering, holder.leaving}

    def _let_go(self, holder: Holder, leaving: Job, info: ExceptionInfo) -> None:
        self._under_way.add(leaving)
        holder.leave(leaving, info)

    def end_with(self, other: Ending) -> None:
        """Let that one know when the portal ends."""
        self._others.add(other)

    @property
    def ended(self) -> bool:
        """Whether its endpoints were left, in this process: not because it is a fork."""
        return self._closed and not self._forked


_lock = threading.Lock()
_current: Portal | None = None


def _in_forked_child() -> None:
    """A thread does not survive a fork: what was opened is closed for the child, which may open anew."""
    global _lock, _current  # noqa: PLW0603
    _lock = threading.Lock()  # the parent may have held it
    if _current is not None:
        _current._forked = True
        _current = None


os.register_at_fork(after_in_child=_in_forked_child)


@atexit.register
def _at_exit() -> None:
    """Leave what the program has not left, as by an exception."""
    portal = _current
    if portal is not None and not portal._closed:
        portal._end()
        portal._thread.join(_EXIT_S)


def _deadline(timeout: float | None) -> float:
    if timeout is None:
        return math.inf
    if not timeout >= 0:
        raise ValueError(f"timeout is a number of seconds, None for no limit: {timeout!r}")
    return trio.current_time() + timeout


@contextmanager
def would_block() -> Iterator[None]:
    """Raise what every Python program knows in the place of trio's own exception."""
    try:
        yield
    except trio.WouldBlock:
        raise BlockingIOError("nothing to receive now, or no room: this would have to wait") from None
