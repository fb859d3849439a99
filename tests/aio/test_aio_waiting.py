"""asyncio programs: cancellation that races with arrival, time limits, closing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import broker
from broker.aio import Endpoint


@broker.event(name="aio.Tick")
class Tick:
    number: int


@broker.log_record
class Flow:
    number: int


def test_time_limits_and_cancellation_that_race_with_arrival_lose_nothing() -> None:
    count = 1000

    async def main() -> None:
        got: list[int] = []
        timeouts = 0
        async with Endpoint("here") as endpoint, endpoint.subscribe("x") as messages:

            async def publish() -> None:
                for number in range(count):
                    await endpoint.publish("x", Tick(number))
                    if number % 3 == 0:
                        await asyncio.sleep(0.0002)

            publishing = asyncio.create_task(publish())
            while len(got) < count:
                try:
                    async with asyncio.timeout(0.0003 * (len(got) % 3)):
                        got.append((await messages.receive()).event.number)
                except TimeoutError:
                    timeouts += 1
            await publishing
        assert got == list(range(count))
        assert timeouts > 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_closing_ends_what_other_tasks_wait_for() -> None:
    async def main() -> None:
        async with Endpoint("here") as endpoint:
            messages = await endpoint.subscribe("x").__aenter__()
            store = await endpoint.master("hosts").__aenter__()
            tasks = [
                asyncio.create_task(messages.receive()),
                asyncio.create_task(store.watch().receive()),
                asyncio.create_task(endpoint.subscribers("nobody")),
            ]
            await asyncio.sleep(0)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in found] == [broker.EndpointClosed, broker.StoreClosed, broker.EndpointClosed]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_an_exception_passes_and_a_cancelled_block_is_left() -> None:
    async def use() -> None:
        async with Endpoint("here") as endpoint, endpoint.subscribe("x") as messages:
            await messages.receive()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(use(), 0.05)
        with pytest.raises(ZeroDivisionError):
            async with Endpoint("here"):
                raise ZeroDivisionError

    asyncio.run(asyncio.wait_for(main(), 60))


def test_who_gives_up_at_once_has_asked_for_the_next_record_and_acknowledged_the_one_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with Endpoint("here") as here:
            path = tmp_path / "flows.spool"
            async with here.log("flows", Flow, path=path) as log, here.collect("flows", name="x") as records:
                await log.write(Flow(1))
                await records.receive()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await records.receive()
                async with asyncio.timeout(5):
                    await log.collected("x")
                assert log.info().collectors[0].acknowledged == 1

    asyncio.run(main())
