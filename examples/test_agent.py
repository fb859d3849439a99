"""Tests of one's own agent: agent.py, on a simulated network that is cut and forgets, without sockets and waiting.

    python -m pytest examples/test_agent.py

autojump_clock comes with broker, from pytest-trio: the clock jumps to the next thing that is due, so ten minutes
without a network take a fraction of a second.  A seed makes chance repeatable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from agent import run_agent

import broker
from broker.testing import Conditions, SimulatedNetwork


@asynccontextmanager
async def mesh(network: SimulatedNetwork) -> AsyncIterator[broker.Subscriber]:
    """A manager and an agent that runs; gives what the manager hears of its load."""
    async with (
        broker.Endpoint("manager", network=network) as manager,
        broker.Endpoint("web-01", network=network) as endpoint,
        manager.subscribe("host/web-01/load") as loads,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(run_agent, endpoint, "sim://manager")
        await trio.sleep(20)  # the agent is there first
        await manager.listen("sim://manager")
        yield loads
        nursery.cancel_scope.cancel()


@pytest.mark.trio
@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_over_a_bad_link(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    """The link is slow and is cut every seven seconds; what is in flight then is lost, and sent again."""
    network = SimulatedNetwork(seed, Conditions(delay_s=0.3, jitter_s=0.3))
    async with mesh(network) as loads:
        begun = trio.current_time()
        network.fabric.flap("web-01", "manager", period_s=7, times=8)
        heard = [await loads.receive() for _ in range(60)]
        assert trio.current_time() - begun < 70  # one a second
    assert network.fabric.cuts == 8
    assert [message.lost_before for message in heard] == [0] * 60


@pytest.mark.trio
async def test_it_is_heard_again_after_ten_minutes_without_a_network(autojump_clock: trio.testing.MockClock) -> None:
    """Old figures are lost then, but not the next ones."""
    network = SimulatedNetwork(seed=1)
    async with mesh(network) as loads:
        await loads.receive()
        network.fabric.partition("web-01", "manager")
        with pytest.raises(trio.TooSlowError), trio.fail_after(600):
            await loads.receive()
        network.fabric.heal("web-01", "manager")
        with trio.fail_after(60):
            assert (await loads.receive()).origin == "web-01"
