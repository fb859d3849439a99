"""Blocking programs: time limits, threads, Ctrl-C, forks and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

import broker
from broker.blocking import Endpoint

LIMIT_S = 20


@broker.event(name="blocking.Tick")
class Tick:
    number: int


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_time_limits_that_race_with_arrival_lose_nothing() -> None:
    got: list[int] = []
    enough = threading.Event()
    with Endpoint("here") as endpoint, endpoint.subscribe("x") as messages:

        def publish() -> None:
            number = 0
            while not enough.wait(0.0001 * (number % 4)):
                endpoint.publish("x", Tick(number))
                number += 1
            endpoint.publish("x", Tick(-1))

        publisher = in_thread(publish)
        timeouts = 0
        while not got or got[-1] >= 0:
            try:
                got.append(messages.receive(timeout=0.0001 * (len(got) % 4)).event.number)
            except TimeoutError:
                timeouts += 1
                if timeouts >= 50 and len(got) >= 50:
                    enough.set()
        publisher.join(LIMIT_S)
    assert got == [*range(len(got) - 1), -1]
    assert timeouts >= 50


def test_threads_that_iterate_over_one_subscription_get_each_message_once() -> None:
    count, got = 3000, [[] for _ in range(4)]  # type: ignore[var-annotated]
    all_there = threading.Event()
    with Endpoint("here") as endpoint, endpoint.subscribe("x") as messages:

        def read(mine: list[int]) -> None:
            with suppress(broker.EndpointClosed):
                for message in messages:
                    mine.append(message.event.number)
                    if sum(map(len, got)) >= count:
                        all_there.set()

        threads = [in_thread(lambda mine=mine: read(mine)) for mine in got]  # type: ignore[misc]
        for number in range(count):
            endpoint.publish("x", Tick(number))
        assert all_there.wait(LIMIT_S)
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert sorted(number for mine in got for number in mine) == list(range(count))
    assert all(mine == sorted(mine) for mine in got)


def test_closing_ends_what_other_threads_wait_for() -> None:
    ended: list[type[BaseException]] = []
    with Endpoint("here") as endpoint:
        store, records = endpoint.master("hosts").__enter__(), endpoint.collect("flows").__enter__()
        watch, messages = store.watch(), endpoint.subscribe("x").__enter__()
        waiting = (watch.receive, records.receive, messages.receive, lambda: endpoint.subscribers("nobody"))

        def wait(call: Callable[[], object]) -> None:
            with pytest.raises(broker.BrokerError) as raised:
                call()
            ended.append(raised.type)

        threads = [in_thread(lambda call=call: wait(call)) for call in waiting]  # type: ignore[misc]
    for thread in threads:
        thread.join(LIMIT_S)
    closed = broker.EndpointClosed
    assert sorted(map(str, ended)) == sorted(map(str, [broker.StoreClosed, broker.LogClosed, closed, closed]))


def test_a_full_outbox_lets_publish_wait_and_a_time_limit_says_that_nothing_was_sent() -> None:
    with Endpoint("here", linger_s=0) as endpoint, endpoint.subscribe("x", queue_messages=1) as messages:
        sent = 0
        with pytest.raises(TimeoutError, match="nothing was sent"):  # noqa: PT012 - the call that raises is not known
            while sent < 20_000:
                endpoint.publish(f"x/{sent % 2}", Tick(sent), timeout=0.2)
                sent += 1
        with pytest.raises(BlockingIOError):
            endpoint.publish_nowait("x", Tick(-1))
        assert [messages.receive(timeout=LIMIT_S).event.number for _ in range(100)] == list(range(100))
        assert sent > 1000


def test_a_fork_is_told_and_opens_its_own_and_its_parent_goes_on() -> None:
    with Endpoint("parent") as endpoint, endpoint.subscribe("x") as messages:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                try:
                    endpoint.peers()
                except broker.EndpointClosed as error:
                    told = "forked" in str(error)
                with Endpoint("child") as own, own.subscribe("y") as mine:
                    own.publish("y", Tick(1))
                    code = 0 if told and mine.receive(timeout=5).event == Tick(1) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        endpoint.publish("x", Tick(2))
        assert messages.receive(timeout=LIMIT_S).event == Tick(2)


WAITS = {
    "receive": "messages.receive()",
    "iterate": "next(messages)",
    "subscribers": "endpoint.subscribers('nobody')",
    "peer": "endpoint.peer('tcp://127.0.0.1:1', timeout=1000)",
    "publish": "while True: endpoint.publish('x', broker.Event('e', (b'x' * 1000,)))",
    "clone": "endpoint.clone('nowhere', timeout=1000).__enter__()",
}
PROGRAM = """
import broker, sys
from broker.blocking import Endpoint
with Endpoint("struck") as endpoint, endpoint.subscribe("x", queue_messages=1) as messages:
    try:
        print("ready", flush=True)
        exec(sys.argv[1])
    finally:
        print("body left", flush=True)
"""


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_ctrl_c_ends_what_waits_and_leaves_blocks_as_python_does(wait: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, wait], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        started = time.monotonic()
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=LIMIT_S)
        assert time.monotonic() - started < 3
    assert out == "body left\n"
    assert program.returncode == -signal.SIGINT
    assert err.count("Traceback") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")


NOT_LEFT = """
import sys
from broker.blocking import Endpoint
Endpoint("child").__enter__().peer(sys.argv[1])
"""


def test_an_endpoint_that_a_program_has_not_left_says_goodbye_at_its_end() -> None:
    with Endpoint("parent") as parent, parent.status() as changes:
        address = parent.listen("tcp://127.0.0.1:0")
        subprocess.run([sys.executable, "-c", NOT_LEFT, address], check=True, timeout=LIMIT_S)
        assert changes.receive(timeout=LIMIT_S).peer == "child"
        assert "it said goodbye" in str(changes.receive(timeout=LIMIT_S))
