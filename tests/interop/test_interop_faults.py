"""What happens to real processes: killed, stopped."""

from __future__ import annotations

import signal

import psutil
import pytest
import trio
from interop_programs import Sample, child, next_status

import broker
from broker import Endpoint


async def test_a_subscriber_killed_in_the_stream_is_told_of_and_a_new_one_goes_on() -> None:
    with trio.fail_after(60):
        timing = broker.Timing(resume_s=0.5)
        async with Endpoint("writer", timing=timing) as endpoint, endpoint.status() as changes:
            async with trio.open_nursery() as nursery:

                async def write() -> None:
                    number = 0
                    while True:
                        await endpoint.publish("load/x", Sample("writer", number, 0.0))
                        number += 1

                async with child("reader", "tcp://127.0.0.1:0") as first:
                    address = await first.tells_of("address")
                    await endpoint.peer(address)
                    nursery.start_soon(write)
                    assert await first.tells_of("received") == 1000
                    first.kill()
                    assert (await next_status(changes, broker.PeerInterrupted)).peer == "child-reader"
                    lost = await next_status(changes, broker.PeerLost)
                    assert "did not come back" in lost.reason
                    assert (await next_status(changes, broker.MessagesLost)).count > 0
                nursery.cancel_scope.cancel()
            async with child("reader", address) as second, trio.open_nursery() as nursery:
                assert await second.tells_of("address") == address
                await next_status(changes, broker.PeerAdded)

                async def write_anew() -> None:
                    for number in range(3000):
                        await endpoint.publish("load/x", Sample("anew", number, 0.0))

                nursery.start_soon(write_anew)
                assert [await second.tells_of("received") for _ in range(3)] == [1000, 2000, 3000]


async def test_a_publisher_killed_in_the_stream_leaves_a_prefix_and_a_new_one_takes_its_name() -> None:
    with trio.fail_after(60):
        async with (
            Endpoint("reader") as endpoint,
            endpoint.status() as changes,
            endpoint.subscribe("load/") as messages,
        ):
            address = await endpoint.listen("tcp://127.0.0.1:0")
            async with child("flooding", address) as first:
                await first.tells_of("ready")
                for number in range(20_000):
                    assert (await messages.receive()).event.number == number
                first.kill()
                await first.process.wait()
            expected = 20_000
            async with child("flooding", address) as second:
                while (number := (await messages.receive()).event.number) != 0:
                    assert number == expected
                    expected += 1
                assert (
                    await next_status(changes, broker.PeerLost)
                ).reason == "replaced by a new process of the same name"
                await second.tells_of("ready")
                for number in range(1, 1000):
                    assert (await messages.receive()).event.number == number


async def test_a_stopped_subscriber_makes_the_publisher_wait_in_bounded_memory_and_go_on() -> None:
    with trio.fail_after(60):
        async with Endpoint("writer") as endpoint, child("reader", "tcp://127.0.0.1:0", 50_000) as reader:
            await endpoint.peer(await reader.tells_of("address"))
            async with trio.open_nursery() as nursery:
                written = 0

                async def write() -> None:
                    nonlocal written
                    while True:
                        await endpoint.publish("load/x", Sample("writer", written, 0.0, "x" * 100))
                        written += 1

                nursery.start_soon(write)
                assert await reader.tells_of("received") == 50_000
                reader.process.send_signal(signal.SIGSTOP)
                before = psutil.Process().memory_info().rss
                blocked = False
                while not blocked:
                    at = written
                    with trio.move_on_after(0.5):
                        while written == at:  # noqa: ASYNC110 - nothing tells of an event published
                            await trio.sleep(0.01)
                    blocked = written == at
                with pytest.raises(trio.WouldBlock):
                    endpoint.publish_nowait("load/x", Sample("writer", written, 0.0))
                await endpoint.publish("elsewhere", Sample("writer", 0, 0.0))
                assert psutil.Process().memory_info().rss - before < 64 << 20
                reader.process.send_signal(signal.SIGCONT)
                target = written + 100_000
                while (await reader.tells_of("received")) < target:
                    pass
                nursery.cancel_scope.cancel()
            (peer,) = endpoint.peers()
            assert peer.connected
