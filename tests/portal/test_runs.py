"""Several threads that read from one subscriber: who is woken, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker.errors import EndpointClosed
from broker.portal import Runs


class Source:
    """Stands for the core's handle: it has the messages that the test gives it."""

    def __init__(self, *messages: str) -> None:
        self.queue = [*messages]
        self._current: Iterator[str] = iter(())
        self.error: Exception | None = None
        self.on_wake: Callable[[], None] = print

    @property
    def idle(self) -> bool:
        return not self.queue and self.error is None

    def fill(self) -> bool:
        if self.error is not None:
            raise self.error
        run, self.queue = [*self._current, *self.queue], []
        self._current = iter(run)
        return bool(run)


class Asked:
    """Stands for the portal: what is asked of it is done when the test says so."""

    def __init__(self) -> None:
        self.functions: list[Callable[[], object]] = []
        self.forked = self.ended = False

    def check(self) -> None:
        if self.forked:
            raise EndpointClosed("forked")

    def end_with(self, other: object) -> None: ...

    def soon(self, function: Callable[[], object]) -> None:
        if self.ended:
            raise EndpointClosed("ended")
        self.functions.append(function)

    def work(self) -> None:
        while self.functions:
            self.functions.pop(0)()


@pytest.fixture
def portal() -> Any:
    return Asked()


def runs_of(source: Source) -> Runs:
    return Runs(source)  # type: ignore[arg-type]


def test_who_gives_up_while_others_are_woken_does_no_harm(portal: Any) -> None:
    source = Source("1", "2")
    runs = runs_of(source)
    woken = []

    def second() -> None:
        woken.append("second")

    def first() -> None:
        woken.append("first")
        runs.forget(portal, second)

    runs.wait(portal, first)
    runs.wait(portal, second)
    portal.work()
    assert woken == ["first"]


def test_who_comes_to_wait_when_there_is_a_rest_of_a_run_is_woken_for_it(portal: Any) -> None:
    source = Source("1", "2")
    runs = runs_of(source)
    woken: list[str] = []
    runs.wait(portal, lambda: woken.append("first"))
    portal.work()
    runs.wait(portal, lambda: woken.append("second"))  # it looked before the first one was woken
    portal.work()
    assert woken == ["first", "second"]


def test_who_was_woken_and_gives_up_passes_it_on(portal: Any) -> None:
    source = Source()
    runs = runs_of(source)
    woken: list[str] = []

    def first() -> None:
        woken.append("first")

    runs.wait(portal, first)
    runs.wait(portal, lambda: woken.append("second"))
    source.queue = ["1"]
    source.on_wake()
    assert woken == ["first"]
    runs.forget(portal, first)
    portal.work()
    assert woken == ["first", "second"]


def test_giving_up_when_the_portal_has_ended_is_no_error_of_its_own(portal: Any) -> None:
    source = Source("1")
    runs = runs_of(source)
    runs.wait(portal, print)
    portal.work()
    portal.ended = True
    runs.forget(portal, print)


def test_who_waited_before_a_fork_is_refused_after_it(portal: Any) -> None:
    runs = runs_of(Source("1"))
    runs.wait(portal, print)
    portal.forked = True
    with pytest.raises(EndpointClosed, match="forked"):
        runs.wait(portal, print)


def test_each_who_waits_gets_an_exception_of_its_own_when_the_portal_ends(portal: Any) -> None:
    runs = runs_of(Source())
    woken: list[None] = []
    for _ in range(2):
        runs.wait(portal, lambda: woken.append(None))
    runs.end(EndpointClosed("ended"))
    assert len(woken) == 2
    raised = []
    for _ in range(2):
        with pytest.raises(EndpointClosed, match="ended") as found:
            runs.check()
        raised.append(found.value)
    assert raised[0] is not raised[1]
    runs.check()  # no more of them
