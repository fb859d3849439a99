"""Who takes the endpoint of another world is told which one is meant."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import trio

import broker
import broker.aio
import broker.blocking


async def _enter(endpoint: Any) -> None:
    async with endpoint:
        pass


def test_an_endpoint_for_trio_in_a_program_of_asyncio_names_the_one_for_asyncio() -> None:
    with pytest.raises(RuntimeError, match=r"programs of trio's, and asyncio runs this program: broker\.aio\.Endpoint"):
        asyncio.run(_enter(broker.Endpoint("one")))


def test_an_endpoint_for_asyncio_in_a_program_of_trio_names_the_one_for_trio() -> None:
    with pytest.raises(RuntimeError, match=r"programs of asyncio's, and trio runs this program: broker\.Endpoint"):
        trio.run(_enter, broker.aio.Endpoint("one"))


@pytest.mark.parametrize("endpoint", [broker.Endpoint("one"), broker.aio.Endpoint("one")], ids=["trio", "asyncio"])
def test_with_in_place_of_async_with_names_the_endpoint_for_plain_programs(endpoint: Any) -> None:
    with pytest.raises(TypeError, match=r"'async with', not 'with'; broker\.blocking\.Endpoint"), endpoint:
        pass
    with pytest.raises(RuntimeError, match=r"neither trio nor asyncio runs this program: broker\.blocking\.Endpoint"):
        _enter(endpoint).send(None)


def test_a_handle_that_was_not_entered_says_how_in_words_for_each_world() -> None:
    endpoint = broker.blocking.Endpoint("one")
    with pytest.raises(broker.EndpointClosed, match=r"inside its 'with' or 'async with' block"):
        endpoint.publish("x", broker.Event("Up"))
    with endpoint:
        for use in (
            endpoint.subscribe("x").receive,
            endpoint.master("hosts").clear,
            endpoint.proxy("hosts").clear,
            endpoint.collect("logins").receive,
        ):
            with pytest.raises(broker.BrokerError, match=r"inside its 'with' or 'async with' block"):
                use()


@pytest.mark.parametrize("world", [broker, broker.blocking, broker.aio], ids=["trio", "blocking", "asyncio"])
def test_endpoints_and_handles_show_their_names(world: Any) -> None:
    prefix = {"broker.blocking": "blocking ", "broker.aio": "aio "}.get(world.__name__, "")
    endpoint = world.Endpoint("one")
    shown = {
        endpoint: "Endpoint 'one'",
        endpoint.subscribe("host/"): "Subscriber to 'host/'",
        endpoint.status(): "StatusReader of 'one'",
        endpoint.proxy("hosts"): "StoreProxy 'hosts'",
        endpoint.collect("logins"): "Collector of 'logins'",
    }
    for handle, what in shown.items():
        assert repr(handle) == f"<{prefix}{what}>"
    assert repr(endpoint.master("hosts")) == f"<{prefix}StoreMaster 'hosts'>"
    assert repr(endpoint.clone("hosts")) == f"<{prefix}StoreClone 'hosts'>"
