"""The thread that does what a store or a spool wants done with its file, and what comes back from it.

One thread for each journal on disk, for as long as it is open: a commit takes one turn of trio's loop to be handed over
and one to come back.  (A task and a thread from the cache for each took four, and a third of a lone write's time.)
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import perf_counter
from typing import Any, TypeVar

import trio

from broker.errors import JournalError
from broker.journaling import Journal, Work

__all__ = ["JournalThread"]

T = TypeVar("T")


class JournalThread:
    """Does jobs one after the other, in a thread of its own.

    ``done`` is called in trio's thread, by :meth:`run`, with the error that a piece of work has ended with (None: it
    has not).
    """

    def __init__(self, name: str, journal: Journal, done: Callable[[JournalError | None], None]) -> None:
        self._journal = journal
        self._done = done
        self._jobs: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], trio.lowlevel.Task | None] | None]
        self._jobs = SimpleQueue()
        self.commit_s = 0.0  # what pieces of work have taken, in all
        self._results: deque[BaseException | None] = deque()
        self._waiting: trio.lowlevel.Task | None = None  # that of run()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._work, name=f"journal {name}", daemon=True)
        self._thread.start()

    def carry_out(self, work: Work) -> None:
        """Begin with a piece of work on the journal."""
        self._jobs.put((self._journal.carry_out, (work,), None))

    async def do(self, job: Callable[..., T], *arguments: Any) -> T:
        """Do something else with the file, in its turn, and return what comes of it; it is not left half done."""
        outcome: list[Any] = []

        def wrapped() -> None:
            try:
                outcome.append(job(*arguments))
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                outcome.append(error)

        self._jobs.put((wrapped, (), trio.lowlevel.current_task()))
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        result: Any = outcome[0]
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]

    async def run(self) -> None:
        """Take what comes back, for ever."""
        while True:
            while self._results:
                error = self._results.popleft()
                if error is not None and not isinstance(error, JournalError):
                    raise error
                self._journal.refresh()
                self._done(error)
            self._waiting = trio.lowlevel.current_task()

            def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
                self._waiting = None
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(give_up)

    async def close(self) -> None:
        """Close the journal when everything is done that was begun, and end."""
        await self.do(self._journal.close)
        self._jobs.put(None)

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, arguments, task = job
            error: BaseException | None = None
            began = perf_counter()
            try:
                call(*arguments)
            except BaseException as failed:  # noqa: BLE001 - what is no JournalError ends the endpoint, not this thread
                error = failed
            if task is None:
                self.commit_s += perf_counter() - began
            try:
                if task is not None:
                    self._token.run_sync_soon(trio.lowlevel.reschedule, task)
                else:
                    self._token.run_sync_soon(self._came_back, error)
            except trio.RunFinishedError:
                return

    def _came_back(self, error: BaseException | None) -> None:
        self._results.append(error)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(waiting)
