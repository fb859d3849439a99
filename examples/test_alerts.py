"""Tests of one's own rules: those of alerts.py, with an agent on a simulated network and a virtual clock.

    python -m pytest examples/test_alerts.py

Half a minute of silence takes no time here, and what rules make is the same each time.
"""

from __future__ import annotations

import pytest
import trio
import trio.testing
from agent import run_agent
from alerts import HostSilent, raise_alerts

import broker
from broker.testing import SimulatedNetwork


@pytest.mark.trio
async def test_who_falls_silent_is_told_and_who_is_back_too(autojump_clock: trio.testing.MockClock) -> None:
    """The agent runs all the time: it is its network that is away for ten minutes."""
    network = SimulatedNetwork(seed=1)
    async with (
        broker.Endpoint("manager", network=network) as manager,
        broker.Endpoint("alerts", network=network) as watcher,
        broker.Endpoint("web-01", network=network) as agent,
        manager.subscribe("alerts/host") as alerts,
        trio.open_nursery() as nursery,
    ):
        await manager.listen("sim://manager")
        nursery.start_soon(raise_alerts, watcher, "sim://manager")
        nursery.start_soon(run_agent, agent, "sim://manager")
        await trio.sleep(60)
        network.fabric.partition("web-01", "manager")
        with trio.fail_after(60):
            message = await alerts.receive()
        assert isinstance(message.event, HostSilent)
        assert message.event.host == "web-01"
        await trio.sleep(600)
        network.fabric.heal("web-01", "manager")
        with trio.fail_after(60):
            message = await alerts.receive()
        assert message.event.name == "HostBack"
        nursery.cancel_scope.cancel()
