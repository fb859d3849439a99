"""A handle that is entered and left by a task of the portal's, whoever gives up when."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import pytest
import trio
import trio.testing

from broker.errors import EndpointClosed
from broker.portal import Holder, Job, Portal, thread
from broker.portal.parts import Waiter

NO_INFO = (None, None, None)


class Managed:
    """What is entered and left."""

    def __init__(self) -> None:
        self.entering = trio.Event()
        self.may_enter = trio.Event()
        self.left_by: list[type[BaseException] | None] = []
        self.fails_with: Exception | None = None

    async def __aenter__(self) -> Self:
        self.entering.set()
        with trio.CancelScope(shield=True):
            await self.may_enter.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left_by.append(kind)
        if self.fails_with is not None:
            raise self.fails_with


def job() -> Job:
    return Job(lambda: None, lambda: None)


async def test_who_cancels_entering_too_late_can_leave_all_the_same() -> None:
    managed, entering, leaving = Managed(), job(), job()
    entering.begun = True
    holder = Holder(managed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(holder.hold, entering)
        await managed.entering.wait()
        entering.cancel()  # but entering cannot be cancelled any more
        managed.may_enter.set()
        entering.wake = lambda: holder.leave(leaving, NO_INFO)
    assert leaving.done
    assert managed.left_by == [trio.Cancelled]


async def test_two_threads_may_leave_it() -> None:
    managed, first, second = Managed(), job(), job()
    managed.may_enter.set()
    holder = Holder(managed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(holder.hold, job())
        await trio.testing.wait_all_tasks_blocked()
        holder.leave(first, NO_INFO)
        holder.leave(first, NO_INFO)  # asked for again by who was interrupted
        holder.leave(second, NO_INFO)
    assert first.done
    assert second.done
    assert managed.left_by == [None]


async def test_what_fails_before_it_is_left_is_raised_where_it_is_left() -> None:
    class Failing(Managed):
        async def __aenter__(self) -> Self:
            self.nursery_manager = trio.open_nursery()
            nursery = await self.nursery_manager.__aenter__()
            nursery.start_soon(self.fail)
            return self

        async def fail(self) -> None:
            raise ZeroDivisionError

        async def __aexit__(
            self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
        ) -> None:
            await self.nursery_manager.__aexit__(kind, value, traceback)

    holder, entering, leaving = Holder(Failing()), job(), job()
    await holder.hold(entering)
    assert entering.result() is None
    holder.leave(leaving, NO_INFO)
    assert leaving.done
    with pytest.raises(ExceptionGroup) as found:
        leaving.result()
    assert found.group_contains(ZeroDivisionError)


def test_who_was_woken_and_interrupted_at_once_does_not_wait_for_ever() -> None:
    waiter = Waiter()
    waiter.wake()
    waiter.wait()
    threading.Thread(target=waiter.wait_on, daemon=True).start()
    waiter.wait_on()


def test_a_job_that_is_cancelled_before_it_is_asked_for_is_over_and_never_done() -> None:
    portal = Portal.opened()
    try:
        called: list[str] = []
        over = threading.Event()
        early = Job(lambda: called.append("early"), over.set)
        early.is_sync = True
        assert portal.cancel(early)
        assert over.wait(10)
        portal.submit(early)
        late_over = threading.Event()
        late = Job(lambda: called.append("late"), late_over.set)
        late.is_sync = True
        portal.submit(late)
        assert late_over.wait(10)
        assert called == ["late"]
    finally:
        portal.release()
    assert not portal.cancel(Job(lambda: None, lambda: None))  # nobody is there to wait for
    with pytest.raises(EndpointClosed):
        portal.check()


def test_a_portal_that_cannot_start_says_why_and_the_next_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(trio, "run", fail)
        with pytest.raises(OSError, match="Too many open files"):
            Portal.opened()
    Portal.opened().release()


def test_after_a_failure_of_the_thread_new_endpoints_get_another(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    portal = Portal.opened()
    portal.soon(fail)
    portal._thread.join(10)
    assert "broker's thread has failed" in caplog.text
    with pytest.raises(EndpointClosed) as found:
        portal.check()
    assert isinstance(found.value.__cause__, trio.TrioInternalError)
    other = Portal.opened()
    try:
        assert other is not portal
        portal.release()
        assert thread._current is other
    finally:
        other.release()
