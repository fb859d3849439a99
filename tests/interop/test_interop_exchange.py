from __future__ import annotations

import gc
import socket
from pathlib import Path

import pytest
import trio
from interop_programs import Sample, child, next_status

import broker
from broker import Endpoint

COUNT = 100_000


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(params=["tcp4", "tcp6", "localhost", "ipc", "inproc"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "tcp6" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    return {
        "tcp4": "tcp://127.0.0.1:0",
        "tcp6": "tcp://[::1]:0",
        "localhost": "tcp://localhost:0",
        "ipc": f"ipc://{tmp_path}/socket",
        "inproc": f"inproc://{tmp_path.name}",
    }[request.param]


async def test_two_processes_exchange_a_hundred_thousand_events_in_order_and_once() -> None:
    with trio.fail_after(60):
        async with Endpoint("reader") as endpoint, endpoint.subscribe("load/", Sample) as messages:
            address = await endpoint.listen("tcp://127.0.0.1:0")
            async with child("writer", address, COUNT) as writer:
                topics = set()
                for number in range(COUNT):
                    message = await messages.receive()
                    assert message.event == Sample("child-writer", number, number / 2)
                    assert message.origin == "child-writer"
                    topics.add(message.topic)
                assert await writer.tells_of("published") == COUNT
                assert await writer.process.wait() == 0
            assert len(topics) == 7
            with pytest.raises(trio.WouldBlock):
                messages.receive_nowait()


async def test_events_go_both_ways_over_one_connection_at_once() -> None:
    with trio.fail_after(60):
        async with Endpoint("asker") as endpoint, endpoint.subscribe("answer/") as answers:
            address = await endpoint.listen("tcp://127.0.0.1:0")
            async with child("echo", address) as echo, trio.open_nursery() as nursery:
                assert await echo.tells_of("ready")
                assert await endpoint.subscribers("ask/x") == 1

                async def ask() -> None:
                    for number in range(10_000):
                        await endpoint.publish("ask/x", Sample("asker", number, 0.0))

                nursery.start_soon(ask)
                for number in range(10_000):
                    assert (await answers.receive()).event.number == number


async def test_every_transport_carries_events_between_two_endpoints_of_one_process(address: str) -> None:
    with trio.fail_after(20):
        async with Endpoint("one") as one, Endpoint("two") as two:
            bound = await one.listen(address)
            async with one.subscribe("to/one") as at_one, two.subscribe("to/two") as at_two:
                await two.peer(bound)
                for number in range(500):
                    await two.publish("to/one", Sample("two", number, 0.5))
                    await one.publish("to/two", Sample("one", number, 0.5))
                assert [(await at_one.receive()).event.number for _ in range(500)] == list(range(500))
                assert [(await at_two.receive()).event.number for _ in range(500)] == list(range(500))


async def test_an_ipc_address_is_free_again_when_its_endpoint_is_closed(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/socket"
    for _ in range(3):
        async with Endpoint("one") as one, Endpoint("two") as two:
            await one.listen(address)
            await two.peer(address)


async def test_an_endpoint_that_subscribes_to_what_it_publishes_gets_it_once() -> None:
    with trio.fail_after(20):
        async with Endpoint("one") as one, Endpoint("two") as two:
            await two.peer(await one.listen("tcp://127.0.0.1:0"))
            async with one.subscribe("x") as at_one, two.subscribe("x") as at_two:
                assert await one.subscribers("x", at_least=2) == 2
                for number in range(2000):
                    await one.publish("x", Sample("one", number, 0.0))
                for messages in (at_one, at_two):
                    assert [(await messages.receive()).event.number for _ in range(2000)] == list(range(2000))
                    with pytest.raises(trio.WouldBlock):
                        messages.receive_nowait()


async def test_two_hundred_endpoints_peer_with_one_manager() -> None:
    gc.collect()
    with trio.fail_after(60):
        async with (
            Endpoint("manager") as manager,
            manager.subscribe("from/") as messages,
            trio.open_nursery() as nursery,
        ):
            address = await manager.listen("tcp://127.0.0.1:0")
            done = trio.Event()

            async def agent(number: int) -> None:
                async with Endpoint(f"agent-{number}") as endpoint:
                    await endpoint.peer(address, timeout=50)
                    for count in range(10):
                        await endpoint.publish(f"from/{number}", Sample(endpoint.name, count, 0.0))
                    await done.wait()

            for number in range(200):
                nursery.start_soon(agent, number)
            seen: dict[str, list[int]] = {}
            for _ in range(2000):
                message = await messages.receive()
                seen.setdefault(message.origin, []).append(message.event.number)
            assert seen == {f"agent-{number}": list(range(10)) for number in range(200)}
            assert len(manager.peers()) == 200
            done.set()


async def test_an_event_that_does_not_fit_the_receivers_class_is_told_and_skipped() -> None:
    with trio.fail_after(20):
        async with (
            Endpoint("new") as receiver,
            receiver.subscribe("load/") as messages,
            receiver.status() as changes,
            Endpoint("old") as sender,
        ):
            await sender.peer(await receiver.listen("tcp://127.0.0.1:0"))
            # What a program with another definition of this class would send.
            await sender.publish("load/1", broker.Event("interop.Sample", ("old", "one", 0.5)))
            await sender.publish("load/2", broker.Event("interop.Sample", ("old", 2, 0.5)))
            message = await messages.receive()
            assert (message.topic, message.event) == ("load/2", Sample("old", 2, 0.5))
            told = await next_status(changes, broker.EventMisfitted)
    assert told == broker.EventMisfitted("load/1", "old", "interop.Sample", "number", "int", "str 'one'")
