"""The two worlds of facade code, threads and asyncio, as trio tasks call into them; and the portal in a test's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol

import outcome
import trio
from through_threads import Call, Interrupted, Lock, WatchedLoop, at_work, current_call

import broker.aio.base
import broker.blocking.base
import broker.portal.parts
from broker.portal import Job, Portal

__all__ = ["AioWorld", "BlockingWorld", "LoopPortal", "World", "chosen_portal"]


class World(Protocol):
    """How facade code is called."""

    facade: ModuleType
    enter: str
    leave: str
    step: str

    async def call(self, function: Callable[..., Any], *args: Any, shielded: bool = False, **options: Any) -> Any:
        """Have it called and wait for it; cancelled, it is interrupted, and waited for all the same."""
        ...


async def _until_over(begin: Callable[[Callable[[Any], None]], None], abort: Callable[[], None]) -> Any:
    """Wait for what ``begin`` begins, which tells the outcome from whatever thread; ``abort`` is for cancelling it."""
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()

    def over(found: Any) -> None:
        token.run_sync_soon(trio.lowlevel.reschedule, task, outcome.Value(found))

    def cancelled(_raise: Any) -> trio.lowlevel.Abort:
        abort()
        return trio.lowlevel.Abort.FAILED

    begin(over)
    found = await trio.lowlevel.wait_task_rescheduled(cancelled)
    try:
        return found.unwrap()
    except (Interrupted, asyncio.CancelledError):
        await trio.lowlevel.checkpoint_if_cancelled()
        raise


class BlockingWorld:
    """A call runs in a thread of its own."""

    facade = broker.blocking
    enter, leave, step = "__enter__", "__exit__", "__next__"

    def __init__(self) -> None:
        replacement = SimpleNamespace(Lock=Lock, TIMEOUT_MAX=threading.TIMEOUT_MAX)
        vars(broker.blocking.base)["threading"] = vars(broker.portal.parts)["threading"] = replacement

    async def call(self, function: Callable[..., Any], *args: Any, shielded: bool = False, **options: Any) -> Any:
        """Have it called in a thread."""
        call, context = Call(), contextvars.copy_context()

        def work() -> Any:
            current_call.set(call)
            try:
                return function(*args, **options)
            except StopIteration:
                raise StopAsyncIteration from None

        def begin(over: Callable[[Any], None]) -> None:
            def deliver(found: Any) -> None:
                over(found)
                at_work.end()

            at_work.begin()
            trio.lowlevel.start_thread_soon(lambda: context.run(work), deliver)

        if not shielded:
            return await _until_over(begin, call.interrupt)
        with trio.CancelScope(shield=True):
            return await _until_over(begin, call.interrupt)


class AioWorld:
    """A call is a task in an asyncio loop, which is in a thread beside trio's."""

    facade = broker.aio
    enter, leave, step = "__aenter__", "__aexit__", "__anext__"

    def __init__(self) -> None:
        replacement = SimpleNamespace(Lock=Lock, TIMEOUT_MAX=threading.TIMEOUT_MAX)
        vars(broker.portal.parts)["threading"] = replacement
        self._loop = WatchedLoop()
        at_work.begin()  # until it waits for the first time
        threading.Thread(target=self._loop.run_forever, name="asyncio", daemon=True).start()

    async def call(self, function: Callable[..., Any], *args: Any, shielded: bool = False, **options: Any) -> Any:
        """Have it awaited there."""
        loop, context = self._loop, contextvars.copy_context()
        task: asyncio.Task[Any] | None = None

        async def work() -> Any:
            return await function(*args, **options)

        def begin(over: Callable[[Any], None]) -> None:
            def start() -> None:
                nonlocal task
                task = loop.create_task(work(), context=context)
                task.add_done_callback(lambda task: over(outcome.capture(task.result)))

            loop.call_soon_threadsafe(start)

        def abort() -> None:
            loop.call_soon_threadsafe(lambda: task and task.cancel())

        if not shielded:
            return await _until_over(begin, abort)
        with trio.CancelScope(shield=True):
            return await _until_over(begin, abort)


class _SystemTasks:
    """Stands for the portal's nursery."""

    def start_soon(self, function: Callable[..., Any], *args: Any) -> None:
        trio.lowlevel.spawn_system_task(function, *args)


class LoopPortal(Portal):
    """A portal whose thread is that of the test: its clock may jump, and its network is the simulated one."""

    def __init__(self) -> None:
        super().__init__()
        self._thread.join()
        self._thread = threading.current_thread()
        self._token = trio.lowlevel.current_trio_token()
        self._nursery = _SystemTasks()  # type: ignore[assignment]

    def _run(self, started: threading.Event) -> None:
        """It needs no thread of its own."""
        started.set()

    def check(self) -> None:
        """Let the test's own task ask, too: what needs no waiting is done at once."""

    def submit(self, job: Job) -> None:
        if job.is_sync and threading.current_thread() is self._thread:
            job.run()
        else:
            super().submit(job)

    def release(self) -> None:
        """It ends with the test's loop."""


chosen_portal: contextvars.ContextVar[Portal | None] = contextvars.ContextVar("chosen_portal", default=None)
_opened = Portal.opened


def _opened_for_test() -> Portal:
    return chosen_portal.get() or _opened()


Portal.opened = staticmethod(_opened_for_test)  # type: ignore[method-assign]
