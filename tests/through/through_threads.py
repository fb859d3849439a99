"""Who is at work beside trio's loop: a clock that jumps, and a test that waits until nothing goes on, have to know.

Facade code runs in threads of the program.  Each is at work from when it is given something until it waits for the
portal, and again from when that has woken it.  All of them wait in one place, a lock that they are woken by; so there
it is counted.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import threading
from typing import Any, Final

import trio
import trio.testing

__all__ = ["Call", "Interrupted", "Lock", "WatchedLoop", "at_work", "current_call", "watch_trio"]

# A thread that is at work for so long is not: something has gone wrong.
_STUCK_S: Final = 10.0


class Interrupted(BaseException):
    """What a blocking call is interrupted by where a trio task would be cancelled: as Ctrl-C does it."""


class _AtWork:
    """How many threads are at work, and how often one has come to rest."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.rests = 0
        self._count = 0

    def begin(self) -> None:
        """Count one more."""
        with self.condition:
            self._count += 1

    def end(self) -> None:
        """Count one less."""
        with self.condition:
            self._count -= 1
            self.rests += 1
            self.condition.notify_all()

    def wait(self) -> int:
        """Block until no thread is at work; returns how often one came to rest so far."""
        with self.condition:
            if not self.condition.wait_for(lambda: self._count == 0, _STUCK_S):
                raise AssertionError(f"{self._count} threads neither go on nor wait for the portal")
            return self.rests


at_work: Final = _AtWork()


class Call:
    """A call of the facade's that a trio task waits for."""

    def __init__(self) -> None:
        self.interrupted = False
        self.timed_out = False
        self._deadline = trio.current_effective_deadline()

    def interrupt(self) -> None:
        """Let it raise where it waits; or have waited long enough, if it has a time limit that has passed."""
        with at_work.condition:
            self.interrupted = True
            self.timed_out = self._deadline <= trio.current_time()
            at_work.condition.notify_all()


current_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("current_call", default=None)


class Lock:
    """Stands for the ``threading.Lock`` that one who asks the portal waits in, until it is released there.

    An interrupted call raises here, once.  Time limits are the test's, by a clock that may jump: it interrupts.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting = False

    def acquire(self, timeout: float = -1) -> bool:
        call = current_call.get()
        with at_work.condition:
            if not self._held:
                self._held = True
                return True
            self._waiting = True
            at_work.end()
            at_work.condition.wait_for(lambda: not self._held or (call is not None and call.interrupted))
            if self._waiting:  # nobody has counted us yet
                self._waiting = False
                at_work.begin()
            if self._held:
                assert call is not None
                call.interrupted = False
                if call.timed_out and timeout >= 0:
                    return False
                raise Interrupted
            self._held = True  # type: ignore[unreachable]
            return True

    def release(self) -> None:
        with at_work.condition:
            self._held = False
            if self._waiting:
                self._waiting = False
                at_work.begin()
            at_work.condition.notify_all()


class _WatchedSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        at_work.end()
        try:
            return super().select(timeout)
        finally:
            at_work.begin()


class WatchedLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that is at work unless it waits for something, and nothing is on its way to it."""

    def __init__(self) -> None:
        super().__init__(_WatchedSelector())

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        at_work.begin()

        def arrived() -> None:
            at_work.end()
            callback(*args)

        return super().call_soon_threadsafe(arrived, context=context)


def watch_trio() -> None:
    """Let trio's clock jump, and tests that wait until nothing goes on proceed, only when no thread is at work."""
    jump = trio.testing.MockClock._autojump
    wait = trio.testing.wait_all_tasks_blocked
    seen = 0

    def autojump(clock: trio.testing.MockClock) -> None:
        nonlocal seen
        rests = at_work.wait()
        if rests == seen:
            jump(clock)
        seen = rests  # those that have come to rest since may have left something for the loop to do

    async def wait_all_tasks_blocked(cushion: float = 0.0) -> None:
        while True:
            rests = at_work.wait()
            await wait(cushion)
            if at_work.wait() == rests:
                return

    trio.testing.MockClock._autojump = autojump  # type: ignore[method-assign,assignment]
    trio.testing.wait_all_tasks_blocked = wait_all_tasks_blocked
