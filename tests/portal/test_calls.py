"""Calls from blocking and asyncio programs: their order, their limits, and what is lost by none of them."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import threading
from collections.abc import Iterator

import pytest

import broker
from broker import aio, blocking


@broker.event
class Number:
    value: int


@pytest.fixture
def endpoint() -> Iterator[blocking.Endpoint]:
    with blocking.Endpoint("endpoint") as endpoint:
        yield endpoint


def test_what_was_published_before_a_call_goes_before_it(endpoint: blocking.Endpoint) -> None:
    with blocking.Endpoint("hub") as hub, hub.subscribe("n", queue_messages=20_000) as numbers:
        address = hub.listen("tcp://127.0.0.1:0")
        endpoint.peer(address)
        endpoint.subscribers("n")
        for value in range(9_000):
            endpoint.publish("n", Number(value))
        endpoint.unpeer(address)
        assert [numbers.receive(timeout=10).event.value for _ in range(9_000)] == [*range(9_000)]


def test_a_timeout_may_be_infinite(endpoint: blocking.Endpoint) -> None:
    with endpoint.subscribe("n", queue_messages=1) as numbers, endpoint.status() as reader:
        threading.Timer(0.05, endpoint.publish, ["n", Number(1)]).start()
        assert numbers.receive(timeout=math.inf).event == Number(1)
        assert endpoint.subscribers("n", timeout=math.inf) == 1
        while not endpoint._outbox.blocked:
            endpoint.publish("n", Number(2))
        for _ in range(10_000):
            endpoint._outbox.put(endpoint._outbox.encode("n", Number(3)))
        threading.Timer(0.05, lambda: [numbers.receive() for _ in range(10_000)]).start()
        endpoint.publish("n", Number(4), timeout=math.inf)
        with pytest.raises(TimeoutError):
            reader.receive(timeout=0)


def test_who_is_interrupted_while_it_asks_whether_there_is_anything_loses_nothing(
    endpoint: blocking.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = blocking.Subscriber._ask

    def interrupted(self: blocking.Subscriber, *arguments: object) -> None:
        ask(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with endpoint.subscribe("n") as numbers:
        endpoint.publish("n", Number(1))
        endpoint.subscribers("n")
        with monkeypatch.context() as patch:
            patch.setattr(blocking.Subscriber, "_ask", interrupted)
            with pytest.raises(KeyboardInterrupt):
                numbers.receive_nowait()
        assert numbers.receive_nowait().event == Number(1)
        with pytest.raises(BlockingIOError):
            numbers.receive_nowait()


@pytest.mark.parametrize("world", [blocking, aio], ids=["blocking", "aio"])
def test_handles_cannot_be_taken_to_other_processes(world: object) -> None:
    endpoint = world.Endpoint("endpoint")  # type: ignore[attr-defined]
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="opens an endpoint of its own"):
            take(endpoint)


def test_handles_may_be_left_after_their_endpoint() -> None:
    for others in (False, True):
        other = blocking.Endpoint("other")
        if others:
            other.__enter__()
        endpoint = blocking.Endpoint("endpoint").__enter__()
        handles = [endpoint.subscribe("n"), endpoint.master("store"), endpoint.status()]
        for handle in handles:
            handle.__enter__()
        endpoint.__exit__(None, None, None)
        for handle in handles:
            handle.__exit__(None, None, None)
        other.__exit__(None, None, None)


async def left_alone(endpoint: aio.Endpoint) -> None:
    """Begin what waits, and throw it away, as a task is thrown away whose event loop is gone."""
    async with endpoint.subscribe("n") as numbers:
        for waiting in (numbers.receive(), endpoint.subscribers("nobody"), endpoint.subscribe("n").__aenter__()):
            waiting.send(None)
            waiting.close()


def test_coroutines_that_are_thrown_away_do_not_wait_any_more() -> None:
    async def main() -> None:
        async with aio.Endpoint("endpoint") as endpoint:
            await left_alone(endpoint)
        other = await aio.Endpoint("other").__aenter__()
        with pytest.raises(StopIteration):
            other.__aexit__(GeneratorExit, GeneratorExit(), None).send(None)
        with pytest.raises(broker.EndpointClosed):
            other.peers()

    asyncio.run(main())
