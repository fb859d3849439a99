"""What is asked of the portal: jobs, and handles that a task of the portal's holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final

import trio

from broker.errors import EndpointClosed

__all__ = ["ENDED", "ExceptionInfo", "Holder", "Job"]

ENDED: Final = "the endpoint is closed"
ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def _nothing() -> None:
    pass


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
            self._error = EndpointClosed(ENDED)
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
                entering.fail(EndpointClosed(ENDED))
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


def _deadline(timeout: float | None) -> float:
    if timeout is None:
        return math.inf
    if not timeout >= 0:
        raise ValueError(f"timeout is a number of seconds, None for no limit: {timeout!r}")
    return trio.current_time() + timeout
