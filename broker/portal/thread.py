"""The portal: a thread that runs trio, and what is asked of it from others."""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol
from weakref import WeakSet

import trio

from broker.errors import EndpointClosed

__all__ = ["Holder", "Job", "Portal"]

# How long the end of the process waits for endpoints that were not left: their goodbyes take a fifth of a second each.
_EXIT_S: Final = 5.0
_ENDED: Final = "the endpoint is closed"

_log = logging.getLogger("broker")

ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def _nothing() -> None:
    pass


class Ending(Protocol):
    """Who has to know when the portal ends."""

    def end(self, error: BaseException) -> None:
        """Take note of it."""

    def forked(self) -> None:
        """Take note that this process is a fork, in which it does not live on."""


class Job:
    """One thing that is asked of the portal: ``function``, which is awaited there unless it ``is_sync``.

    ``wake`` is called in the portal's thread when it is over; then :meth:`result` gives what it returned, or raises.
    """

    __slots__ = ("_error", "_function", "_timeout", "_value", "begun", "cancelled", "done", "is_sync", "scope", "wake")

    def __init__(
        self, function: Callable[[], Any], wake: Callable[[], object], *, timeout: float | None = None
    ) -> None:
        self._function = function
        self._timeout = timeout
        self._value: Any = None
        self._error: BaseException | None = None
        self.wake = wake
        self.is_sync = False
        self.begun = False
        self.cancelled = False
        self.done = False
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
            self._error = EndpointClosed(_ENDED)
            raise
        except BaseException as error:  # noqa: BLE001 - raised by result(), where it was asked for
            self._error = error
        finally:
            self.over()

    def over(self) -> None:
        """Let the one who asked know."""
        self.done = True
        wake, self.wake = self.wake, _nothing
        wake()

    def cancel(self) -> None:
        """Have it cancelled; it is over a moment later, and never begun if it was not yet.  The portal calls this."""
        self.cancelled = True
        if not self.begun:
            self.over()
        elif self.scope is not None:
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
        self.leaving: Job | None = None
        self.entered = False
        self._failure: BaseException | None = None  # that nobody was told of yet

    async def hold(self, entering: Job) -> None:
        """Enter, wait, leave."""
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
                except trio.Cancelled as cancelled:  # the program ends, or entering was cancelled too late
                    await self._manager.__aexit__(trio.Cancelled, cancelled, cancelled.__traceback__)
                    raise
                await self._manager.__aexit__(*self._info)
        except trio.Cancelled:
            if not entering.done:
                entering.fail(EndpointClosed(_ENDED))
            raise
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            self._failure = error
        finally:
            self.entered = False
            self._info = (None, None, None)
            for job in (entering, self.leaving):
                if job is not None and not job.done:
                    self._tell(job)

    def _tell(self, job: Job) -> None:
        if self._failure is not None:
            job.fail(self._failure)
            self._failure = None
        job.over()

    def leave(self, job: Job, info: ExceptionInfo) -> bool:
        """Leave, as on the way of that exception; whether the job is under way then.  The portal calls this."""
        if job.begun:
            return not job.done
        job.begun = True
        if not self.entered or self._leave.is_set():  # it has ended by itself, or another thread leaves it
            self._tell(job)
            return False
        job.scope = self._scope
        self.leaving, self._info = job, info
        self._leave.set()
        return True


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
        if self._failure is not None:
            raise self._failure

    # -- one for the process ---------------------------------------------------------------------------------------

    @staticmethod
    def opened() -> Portal:
        """Return the process's portal, started if need be; give it back with :meth:`release`."""
        global _current  # noqa: PLW0603 - one for the process
        with _lock:
            if _current is None or _current._closed:
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
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)

    # -- in its thread ---------------------------------------------------------------------------------------------

    def _run(self, started: threading.Event) -> None:
        try:
            trio.run(self._main, started)
        except BaseException as error:  # noqa: BLE001 - told in the log, and to all who ask for anything
            self._failure = error
            if started.is_set():
                _log.critical("broker's thread has failed, all endpoints with it", exc_info=error)
        finally:
            self._closed = True
            started.set()
            for job in [*self._jobs, *self._under_way]:
                job.fail(EndpointClosed(_ENDED))
                job.over()
            with _lock:
                others = list(self._others)
            for other in others:
                other.end(EndpointClosed(_ENDED))

    async def _main(self, started: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            started.set()
            await trio.sleep_forever()

    def _begin_jobs(self) -> None:
        jobs = self._jobs
        while jobs:
            job = jobs.popleft()
            if job.done:
                continue
            job.begun = True
            if job.is_sync:
                job.run()
            else:
                self._start(job, self._do, job)

    def _start(self, job: Job, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._under_way.add(job)
        try:
            self._nursery.start_soon(function, *args)
        except RuntimeError:  # the nursery is closed: the last endpoint was left at just that moment
            self._under_way.discard(job)
            job.fail(EndpointClosed(_ENDED))
            job.over()

    async def _do(self, job: Job) -> None:
        try:
            await job.wait()
        finally:
            self._under_way.discard(job)

    # -- from other threads ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise EndpointClosed where nothing can be asked of it, RuntimeError in its own thread."""
        self.check_open()
        if threading.get_ident() == self._thread.ident:
            raise RuntimeError("broker's own thread cannot wait for itself: call this from a thread of the program")

    def check_open(self) -> None:
        """Raise EndpointClosed where nothing can be asked of it."""
        if self._forked:
            raise EndpointClosed(
                "it was opened before this process was forked, and does not live on here: open endpoints in the child "
                "process (with multiprocessing: use the start method 'spawn', or open them in the function it runs)"
            )
        if self._closed:
            raise EndpointClosed(_ENDED) from self._failure

    def submit(self, job: Job) -> None:
        """Have a job done; who asks and waits calls :meth:`check` before."""
        self._jobs.append(job)
        self.soon(self._begin_jobs, idempotent=True)

    def soon(self, function: Callable[[], object], *, idempotent: bool = False) -> None:
        """Have a function called, which does not wait."""
        if self._forked:
            self.check_open()
        try:
            self._token.run_sync_soon(function, idempotent=idempotent)
        except trio.RunFinishedError:
            raise EndpointClosed(_ENDED) from self._failure

    def cancel(self, job: Job) -> bool:
        """Have a job cancelled, whether it was asked for already or not; whether it can be waited for then."""
        job.cancelled = True
        try:
            self.soon(job.cancel)
        except EndpointClosed:
            return False
        return True

    def enter(self, holder: Holder, entering: Job) -> None:
        """Have a handle entered."""
        self.soon(partial(self._hold, holder, entering))

    def leave(self, holder: Holder, leaving: Job, info: ExceptionInfo) -> None:
        """Have a handle left; to ask for it again does nothing."""
        self.soon(partial(self._let_go, holder, leaving, info))

    def _hold(self, holder: Holder, entering: Job) -> None:
        if not entering.done:
            entering.begun = True
            self._start(entering, self._held, holder, entering)

    async def _held(self, holder: Holder, entering: Job) -> None:
        try:
            await holder.hold(entering)
        finally:
            self._under_way.discard(entering)
            if holder.leaving is not None:
                self._under_way.discard(holder.leaving)

    def _let_go(self, holder: Holder, leaving: Job, info: ExceptionInfo) -> None:
        if holder.leave(leaving, info):
            self._under_way.add(leaving)

    def end_with(self, other: Ending) -> None:
        """Let that one know when the portal ends."""
        with _lock:
            self._others.add(other)

    @property
    def gone(self) -> bool:
        """Whether its thread has ended, or this process is a fork of the one it was opened in."""
        return self._closed or self._forked


_lock = threading.Lock()
_current: Portal | None = None


def _in_forked_child() -> None:
    """A thread does not survive a fork: what was opened is closed for the child, which may open anew."""
    global _lock, _current  # noqa: PLW0603
    _lock = threading.Lock()  # the parent may have held it
    if _current is not None:
        _current._forked = True
        for other in _current._others:
            other.forked()
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
