"""Cancellation and Ctrl-C, wherever they strike, leave no task and no socket behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from interop_programs import CHILD, Sample, child, free_of_sockets

import broker
from broker import Endpoint
from broker.node import Node

Operation = Callable[[Endpoint, str], Awaitable[object]]


async def peer(endpoint: Endpoint, address: str) -> None:
    await endpoint.peer(address)


async def peer_in_vain(endpoint: Endpoint, address: str) -> None:
    with suppress(broker.PeerUnavailable):
        await endpoint.peer("tcp://127.0.0.1:1", timeout=0.05)


async def listen(endpoint: Endpoint, address: str) -> None:
    await endpoint.listen("tcp://127.0.0.1:0")


async def enter_subscription(endpoint: Endpoint, address: str) -> None:
    await endpoint.peer(address)
    async with endpoint.subscribe("x"):
        pass


async def receive(endpoint: Endpoint, address: str) -> None:
    async with endpoint.subscribe("x") as messages:
        await messages.receive()


async def read_status(endpoint: Endpoint, address: str) -> None:
    async with endpoint.status() as changes:
        await changes.receive()


async def publish_until_blocked(endpoint: Endpoint, address: str) -> None:
    async with endpoint.subscribe("x", queue_messages=5):
        for number in range(100):
            await endpoint.publish("x", Sample("a", number, 0.0))


async def wait_for_subscribers(endpoint: Endpoint, address: str) -> None:
    await endpoint.subscribers("nobody/wants/this")


async def exchange(endpoint: Endpoint, address: str) -> None:
    await endpoint.peer(address)
    async with endpoint.subscribe("x") as messages:
        for number in range(3):
            await endpoint.publish("x", Sample("a", number, 0.0))
            await messages.receive()
    await endpoint.unpeer(address)


OPERATIONS: list[Operation] = [
    peer,
    peer_in_vain,
    listen,
    enter_subscription,
    receive,
    read_status,
    publish_until_blocked,
    wait_for_subscribers,
    exchange,
]


def tasks_alive() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def run_and_cancel(operation: Operation, address: str, rounds: int) -> None:
    """Use an endpoint, and cancel it after so many rounds of the loop."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def use() -> None:
                async with Endpoint("cancelled") as endpoint:
                    await operation(endpoint, address)

            nursery.start_soon(use)
            for _ in range(rounds):
                await trio.lowlevel.checkpoint()
            scope.cancel()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_cancelling_after_any_number_of_steps_leaves_nothing_behind(operation: Operation) -> None:
    with trio.fail_after(60):
        async with Endpoint("other") as other:
            address = await other.listen("tcp://127.0.0.1:0")
            await run_and_cancel(operation, address, 50)
            tasks, files = tasks_alive(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
            for rounds in range(24):
                await run_and_cancel(operation, address, rounds)
                assert tasks_alive() == tasks
            # One that was cancelled may still be known here; whoever comes next under its name takes its place.
            await free_of_sockets(files + 4)
            async with Endpoint("after") as after:
                await after.peer(address)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_cancelling_what_waits_leaves_the_endpoint_usable(operation: Operation) -> None:
    with trio.fail_after(60):
        async with Endpoint("other") as other, Endpoint("here") as here:
            address = await other.listen("tcp://127.0.0.1:0")
            for rounds in range(12):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(operation, here, address)
                    for _ in range(rounds):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
            assert not here._readers
            assert not here._status_readers
            await here.peer(address)
            async with other.subscribe("y") as messages:
                await here.publish("y", Sample("here", 1, 0.0))
                assert (await messages.receive()).event.number == 1


async def test_leaving_under_cancellation_is_prompt_even_when_a_peer_is_stopped() -> None:
    with trio.fail_after(30):
        async with child("waiting", "tcp://127.0.0.1:0") as reader:
            address = await reader.tells_of("address")
            with trio.CancelScope() as scope:
                async with Endpoint("writer", linger_s=1000) as endpoint:
                    await endpoint.peer(address)
                    reader.process.send_signal(signal.SIGSTOP)
                    await endpoint.publish("load/x", Sample("writer", 0, 0.0))
                    started = trio.current_time()
                    scope.cancel()
                    await trio.sleep_forever()
            assert trio.current_time() - started < 2
            reader.process.send_signal(signal.SIGCONT)


async def test_leaving_waits_for_what_was_published_to_be_acknowledged() -> None:
    with trio.fail_after(30):
        async with Endpoint("reader") as reader, reader.subscribe("load/") as messages:
            address = await reader.listen("tcp://127.0.0.1:0")
            for life in range(10):
                async with Endpoint("writer") as writer:
                    await writer.peer(address)
                    for number in range(life * 100):
                        await writer.publish("load/x", Sample("writer", number, 0.0))
                for number in range(life * 100):
                    assert (await messages.receive()).event.number == number


async def test_ctrl_c_ends_a_waiting_program_at_once_with_nothing_but_keyboardinterrupt() -> None:
    with trio.fail_after(30):
        await check_ctrl_c("waiting", "tcp://127.0.0.1:0", "address")


async def test_ctrl_c_ends_a_program_that_publishes_without_pause() -> None:
    with trio.fail_after(30):
        async with Endpoint("reader") as reader, trio.open_nursery() as nursery:

            async def read() -> None:
                async with reader.subscribe("load/") as messages:
                    async for _ in messages:
                        pass

            nursery.start_soon(read)
            await check_ctrl_c("flooding", await reader.listen("tcp://127.0.0.1:0"), "ready")
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("where", ["tick", "flush", "receive", "wire_lost"])
def test_ctrl_c_that_strikes_in_a_task_of_the_endpoints_own_leaves_it_as_keyboardinterrupt_alone(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(Node, where)
    struck: list[str] = []

    def strike(*arguments: Any) -> None:
        if not struck:
            struck.append(where)
            signal.raise_signal(signal.SIGINT)
        original(*arguments)

    async def run() -> None:
        async with Endpoint("one") as one, Endpoint("two", timing=broker.Timing(heartbeat_s=0.05)) as two:
            address = await one.listen("tcp://127.0.0.1:0")
            await two.peer(address)
            monkeypatch.setattr(Node, where, strike)
            one._published.unpark()  # the flusher's task
            if where == "wire_lost":
                two._network.hangup(1)
            with trio.fail_after(10):
                await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(run)
    assert struck


async def check_ctrl_c(role: str, address: str, ready: str) -> None:
    process = await trio.lowlevel.open_process(
        [sys.executable, str(CHILD), role, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = b""
    async with process.stdout, process.stderr:
        assert ready.encode() in await process.stdout.receive_some()
        process.send_signal(signal.SIGINT)
        with trio.fail_after(5):
            while some := await process.stderr.receive_some():
                errors += some
            code = await process.wait()
    text = errors.decode()
    assert code in (1, -signal.SIGINT, 130), text
    assert text.count("Traceback (most recent call last)") == 1, text
    assert text.rstrip().endswith("KeyboardInterrupt"), text
    assert "ExceptionGroup" not in text, text


async def test_what_is_cancelled_says_goodbye_and_its_records_are_on_disk_and_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "samples.spool"
    with trio.fail_after(20):
        async with Endpoint("other") as other, other.status() as changes:
            address = await other.listen("tcp://127.0.0.1:0")
            with trio.CancelScope() as scope:
                async with Endpoint("here") as here, here.log("samples", Sample, path=path) as log:
                    await here.peer(address)
                    async with here.collect("samples", Sample, name="archive") as records:
                        for number in range(1000):
                            await log.write(Sample("a", number, 0.0), durable=False)
                        assert [(await records.receive()).number for _ in range(3)] == [1, 2, 3]
                        began = trio.current_time()
                        scope.cancel()
                        await trio.sleep_forever()
            assert trio.current_time() < began + 2
            async for change in changes:
                if isinstance(change, broker.PeerLost):
                    assert change.code == "goodbye"
                    break
            async with other.log("samples", Sample, path=path) as log:
                (archive,) = log.info().collectors
                assert (log.info().last, archive.acknowledged) == (1000, 2)
