"""What the portal owes to those who enter, leave and wait: each is told, whatever happens at that moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest
import trio
import trio.lowlevel

import broker
from broker.blocking import Endpoint
from broker.portal import Holder, Job, Portal

LOOPBACK = "tcp://127.0.0.1:0"


@broker.event(name="portal.Tick")
class Tick:
    number: int


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal.opened()
    yield portal
    portal.release()


class Asked(Job):
    """A job that can be waited for."""

    def __init__(self) -> None:
        self.over_with = threading.Event()
        super().__init__(lambda: None, self.over_with.set)

    __slots__ = ("over_with",)

    def wait_for(self) -> Any:
        assert self.over_with.wait(10), "nobody was told"
        return self.result()


class Slow:
    """A handle that is entered though that is given up, and takes a while to be left."""

    def __init__(self) -> None:
        self.leaving, self.go = threading.Event(), trio.Event()

    async def __aenter__(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leaving.set()
        with trio.CancelScope(shield=True):
            await self.go.wait()


class Failing:
    """A handle of which a task fails after it was entered."""

    def __init__(self) -> None:
        self.fail = trio.Event()
        self.left = threading.Event()

    async def __aenter__(self) -> None:
        self.nursery_manager = trio.open_nursery()
        nursery = await self.nursery_manager.__aenter__()
        nursery.start_soon(self.run)

    async def run(self) -> None:
        await self.fail.wait()
        raise ZeroDivisionError

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.nursery_manager.__aexit__(None, None, None)
        finally:
            self.left.set()


def test_who_gives_up_entering_at_the_moment_of_entry_can_leave(portal: Portal) -> None:
    slow, entering, leaving = Slow(), Asked(), Asked()
    holder = Holder(slow)
    entering.cancelled = True
    portal.enter(holder, entering)
    assert slow.leaving.wait(10)
    entering.wait_for()
    portal.leave(holder, leaving, (None, None, None))
    portal.soon(slow.go.set)
    leaving.wait_for()


def test_what_fails_in_a_task_of_the_handles_own_is_raised_where_it_is_left(portal: Portal) -> None:
    failing, entering, leaving = Failing(), Asked(), Asked()
    holder = Holder(failing)
    portal.enter(holder, entering)
    entering.wait_for()
    portal.soon(failing.fail.set)
    assert failing.left.wait(10)
    portal.leave(holder, leaving, (None, None, None))
    with pytest.raises(ExceptionGroup) as raised:
        leaving.wait_for()
    assert raised.group_contains(ZeroDivisionError)


def test_a_run_that_is_taken_up_just_before_another_thread_waits_wakes_that_too() -> None:
    with Endpoint("here") as endpoint, endpoint.subscribe("x") as messages:
        for number in range(3):
            endpoint.publish("x", Tick(number))
        assert messages.receive(timeout=10).event == Tick(0)
        while not messages._ask(messages._core.fill):
            endpoint.subscriber_count("x")
        messages._wait(time.monotonic() + 10)  # it found nothing to read a moment ago
        assert messages.receive(timeout=10).event == Tick(1)


def test_a_handle_can_be_left_after_its_endpoint_the_last_of_the_program() -> None:
    with Endpoint("here") as endpoint:
        handles = [
            endpoint.master("hosts").__enter__(),
            endpoint.collect("flows", name="x").__enter__(),
            endpoint.subscribe("x").__enter__(),
            endpoint.status().__enter__(),
        ]
    for handle in handles:
        handle.__exit__(None, None, None)


def test_after_its_endpoint_a_handle_says_the_same_whether_another_endpoint_is_open_or_not() -> None:
    def use() -> list[type[BaseException]]:
        with Endpoint("here") as endpoint, endpoint.master("hosts") as store, endpoint.collect("flows") as records:
            watch, messages = store.watch(), endpoint.subscribe("x").__enter__()
        assert list(watch) == []
        found: list[type[BaseException]] = []
        for call in (lambda: store["k"], lambda: store.put("k", 1), records.receive, messages.receive, endpoint.peers):
            with pytest.raises(broker.BrokerError) as raised:  # noqa: PT012 - peers() of a closed endpoint may be told
                call()
                raise broker.EndpointClosed("peers of a closed endpoint are none")
            found.append(raised.type)
        return found

    expected = [broker.StoreClosed, broker.StoreClosed, broker.LogClosed, broker.EndpointClosed, broker.EndpointClosed]
    assert use() == expected
    with Endpoint("another"):
        assert use() == expected


def test_what_cannot_be_read_at_a_proxy_says_what_to_do() -> None:
    with Endpoint("here") as endpoint, endpoint.proxy("hosts", timeout=0) as proxy:
        reads: list[Callable[[], Any]] = [
            lambda: proxy["k"],
            lambda: "k" in proxy,
            lambda: len(proxy),
            lambda: proxy.get("k"),
        ]
        for read in reads:
            with pytest.raises(broker.StoreError, match=r"fetch\(\) a value, or make a clone"):
                read()
        assert proxy
