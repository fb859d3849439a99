"""An agent with its tests: they take it through faults of the network, without sockets and without waiting.

    pytest examples/test_agent.py

The agent measures once a minute and warns when a disk is nearly full.  It is a function that is given an endpoint: its
program gives it one on ZeroMQ (agent.py shows that), its tests give it one on a simulated network.  The fixture
autojump_clock comes with broker, from pytest-trio: the clock jumps to the next thing that is due, so ten minutes
without a network take half a second.  A seed makes chance repeatable.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

import broker
from broker.testing import Conditions, SimulatedNetwork

MANAGER = "sim://manager"


@broker.event
class DiskWarning:
    """A disk is nearly full; ``number`` counts the warnings of a host."""

    host: str
    percent: float
    number: int


async def run_agent(endpoint: broker.Endpoint, manager: str, measure: Callable[[], float]) -> None:
    """Measure once a minute, and warn of more than 90 %."""
    await endpoint.peer(manager, timeout=math.inf)
    number = 0
    while True:
        percent = measure()
        if percent > 90:
            await endpoint.publish(f"host/{endpoint.name}/disk", DiskWarning(endpoint.name, percent, number))
            number += 1
        await trio.sleep(60)


@asynccontextmanager
async def mesh(network: SimulatedNetwork) -> AsyncIterator[broker.Subscriber]:
    """A manager, and an agent whose disk is full; gives what the manager hears."""
    async with (
        broker.Endpoint("manager", network=network) as manager,
        broker.Endpoint("web-01", network=network) as agent,
        manager.subscribe("host/", DiskWarning) as warnings,
        trio.open_nursery() as nursery,
    ):
        await manager.listen(MANAGER)
        nursery.start_soon(run_agent, agent, MANAGER, lambda: 97.0)
        yield warnings
        nursery.cancel_scope.cancel()


async def number_of_next(warnings: broker.Subscriber, within_s: float = 61) -> int:
    """Wait for the next warning, in virtual seconds."""
    with trio.fail_after(within_s):
        message = await warnings.receive()
    assert isinstance(message.event, DiskWarning)
    return message.event.number


@pytest.mark.trio
async def test_a_full_disk_is_reported_every_minute(autojump_clock: trio.testing.MockClock) -> None:
    """The ordinary case."""
    async with mesh(SimulatedNetwork(seed=1)) as warnings:
        assert [await number_of_next(warnings) for _ in range(10)] == list(range(10))


@pytest.mark.trio
@pytest.mark.parametrize("seed", range(10))
async def test_no_warning_is_lost_over_a_bad_link(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    """The link is slow and cut every seven seconds; what is in flight is lost from somewhere on."""
    network = SimulatedNetwork(seed, Conditions(delay_s=0.3, jitter_s=0.3))
    async with mesh(network) as warnings:
        assert await number_of_next(warnings) == 0
        network.fabric.flap("web-01", "manager", period_s=7, times=80)
        assert [await number_of_next(warnings, 75) for _ in range(9)] == list(range(1, 10))
        assert network.fabric.cuts > 50


@pytest.mark.trio
async def test_the_agent_is_heard_again_after_ten_minutes_without_a_network(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Old warnings may be lost then, but not the next one."""
    network = SimulatedNetwork(seed=1)
    async with mesh(network) as warnings:
        assert await number_of_next(warnings) == 0
        network.fabric.partition("web-01", "manager")
        await trio.sleep(600)
        network.fabric.heal("web-01", "manager")
        assert await number_of_next(warnings, within_s=70) >= 1


@pytest.mark.trio
async def test_a_wire_that_a_firewall_forgets_is_replaced(autojump_clock: trio.testing.MockClock) -> None:
    """Neither end is told: only silence shows it."""
    network = SimulatedNetwork(seed=1)
    async with mesh(network) as warnings:
        assert await number_of_next(warnings) == 0
        network.fabric.half_open("web-01", "manager")
        assert await number_of_next(warnings, within_s=75) == 1
