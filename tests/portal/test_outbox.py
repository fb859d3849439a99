"""Publishing from threads: whoever is interrupted, wherever it comes from, and however it ends."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio

import broker
from broker import blocking


@broker.event
class Note:
    text: str


@broker.event
class Lump:
    data: bytes


@broker.log_record
class Line:
    number: int


LUMP = Lump(b"x" * (4 << 20 >> 1))


@pytest.fixture
def endpoint() -> Iterator[blocking.Endpoint]:
    with blocking.Endpoint("endpoint", linger_s=0.05) as endpoint:
        yield endpoint


def test_a_log_handler_that_publishes_works_in_the_portals_thread_too(endpoint: blocking.Endpoint) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            endpoint.publish("log", Note(record.getMessage()))

    handler, log = Handler(), logging.getLogger("broker.test")
    log.addHandler(handler)
    try:
        with endpoint.subscribe("log") as notes:
            endpoint._ask(log.warning, "of the portal")
            endpoint.publish("log", Note("of the program"))
            assert [notes.receive(timeout=10).event.text for _ in range(2)] == ["of the portal", "of the program"]
    finally:
        log.removeHandler(handler)


def test_who_was_interrupted_before_the_portal_knew_leaves_it_to_the_next_one(
    endpoint: blocking.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with endpoint.subscribe("note") as notes:
        with monkeypatch.context() as patch:
            patch.setattr(endpoint._outbox, "_wake", interrupted)
            with pytest.raises(KeyboardInterrupt):
                endpoint.publish("note", Note("first"))
        endpoint.publish("note", Note("second"))
        assert [notes.receive(timeout=10).event.text for _ in range(2)] == ["first", "second"]


def test_a_signal_handler_may_publish_while_its_thread_does(endpoint: blocking.Endpoint) -> None:
    with endpoint.subscribe("note") as notes:
        with endpoint._outbox._lock:
            endpoint.publish("note", Note("from a signal handler"))
        assert notes.receive(timeout=10).event.text == "from a signal handler"


def test_who_waits_for_room_for_large_events_is_told_when_the_endpoint_is_closed() -> None:
    raised: list[Exception] = []
    full = threading.Event()
    with blocking.Endpoint("endpoint", linger_s=0.05) as endpoint:

        def publish() -> None:
            try:
                while True:
                    if endpoint._outbox.blocked and endpoint._outbox._bytes >= 16 << 20:
                        full.set()
                    endpoint.publish("lump", LUMP)
            except broker.EndpointClosed as error:
                raised.append(error)

        endpoint.subscribe("lump", queue_messages=1).__enter__()
        publisher = threading.Thread(target=publish, daemon=True)
        publisher.start()
        assert full.wait(10)
    publisher.join(10)
    assert len(raised) == 1


def test_flush_waits_for_slow_readers_and_for_what_was_published_before_it_alone(endpoint: blocking.Endpoint) -> None:
    with endpoint.log("lines", Line) as lines, endpoint.subscribe("log/", queue_messages=2) as messages:
        endpoint.publish("log/x", Note("first"))
        messages.receive(timeout=10)
        while not endpoint._outbox.blocked:
            lines.write(Line(1))
        with pytest.raises(TimeoutError):
            lines.flush(timeout=0.01)
        flushed = threading.Event()

        def flush() -> None:
            lines.flush()
            flushed.set()

        threading.Thread(target=flush, daemon=True).start()
        while not flushed.is_set():
            messages.receive(timeout=10)
            lines.write(Line(2))  # there is always something that was published later


def test_what_fails_while_events_are_handed_over_ends_that_endpoint_alone(
    endpoint: blocking.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    other = blocking.Endpoint("other").__enter__()
    with other.subscribe("note") as notes:
        monkeypatch.setattr(other._outbox._exchange, "publish_encoded", fail)
        other.publish("note", Note("x"))
        with pytest.raises(broker.EndpointClosed):
            notes.receive(timeout=10)
    with pytest.raises(ExceptionGroup) as found:
        other.__exit__(None, None, None)
    assert found.group_contains(ZeroDivisionError)
    with endpoint.subscribe("note") as notes:
        endpoint.publish("note", Note("x"))
        assert notes.receive(timeout=10).event == Note("x")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_refused_whatever_the_parents_threads_were_doing(endpoint: blocking.Endpoint) -> None:
    def tried(call: Any, *arguments: object) -> bool:
        try:
            call(*arguments)
        except broker.EndpointClosed as error:
            return "forked" in str(error)
        return False

    with endpoint.subscribe("note") as notes:
        endpoint.publish("note", Note("x"))
        notes.receive(timeout=10)
        holding, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with endpoint._outbox._lock, endpoint._outbox._portal._token._reentry_queue.lock:  # type: ignore[union-attr]
                endpoint._outbox._awake = True
                holding.set()
                leave.wait(10)
                endpoint._outbox._awake = False

        holder = threading.Thread(target=hold)
        holder.start()
        holding.wait(10)
        child = os.fork()
        if not child:
            calls = tried(endpoint.publish, "note", Note("y")), tried(notes.receive), tried(endpoint.peers)
            notes.__exit__(None, None, None)
            endpoint.__exit__(None, None, None)
            os._exit(0 if all(calls) else 1)
        leave.set()
        holder.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        endpoint.publish("note", Note("z"))
        assert notes.receive(timeout=10).event.text == "z"


def test_a_reader_that_makes_room_at_once_is_not_missed(endpoint: blocking.Endpoint) -> None:
    with endpoint.subscribe("note", queue_messages=2) as notes:

        def fill_and_read() -> None:
            while not endpoint._outbox.blocked:
                endpoint.publish("note", Note("x"))
                endpoint._outbox._hand_over()
            with suppress(trio.WouldBlock):
                while True:
                    notes._core.receive_nowait()

        endpoint._ask(fill_and_read)
        endpoint.publish("note", Note("last"))
        while notes.receive(timeout=2).event.text != "last":
            pass
