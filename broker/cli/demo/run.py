"""The manager: it starts the agents, takes their events, shows them and sums up.

The agents are processes with groups of their own, so that Ctrl-C in a terminal reaches the manager alone, which then
stops them in order: it closes their standard input, they publish their burst and their report and leave.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import trio

import broker
from broker.cli.demo.show import Show, show_for
from broker.cli.demo.tally import Tally
from broker.cli.running import FAILED, follow_status
from broker.cli.standard import Output, note
from broker.cli.sub import batch_of

__all__ = ["Demo"]

# Each agent publishes so many events as fast as it can, at the end.
BURST_EVENTS: Final = 10_000
# Interpreters start slowly on a busy machine.
_START_S: Final = 30.0
# An agent gives up by itself before that.
_STOP_S: Final = 8.0
_BATCH_MESSAGES: Final = 1000


class Demo:
    """One run: ``stop()`` ends it early, in order."""

    def __init__(self, seconds: float | None, agents: int, as_json: bool) -> None:  # noqa: FBT001
        self._seconds = seconds
        self._as_json = as_json
        self._tally = Tally(f"agent-{number}" for number in range(1, agents + 1))
        self._processes: dict[str, trio.Process] = {}
        self._stop = trio.Event()
        self._changed = trio.Condition()

    def stop(self) -> None:
        """Stop the agents and sum up."""
        self._stop.set()

    async def __call__(self, output: Output) -> int:
        """Run the agents; returns the exit code: whether all that they published has come."""
        tally = self._tally
        show = show_for(output, tally, as_json=self._as_json)
        async with AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(broker.Endpoint("manager"))
            changes = await stack.enter_async_context(endpoint.status())
            messages = await stack.enter_async_context(endpoint.subscribe("host/"))
            address = await endpoint.listen("tcp://127.0.0.1:0")
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(follow_status, changes)
            nursery.start_soon(self._receive, messages, show)
            for name in tally.agents:
                nursery.start_soon(self._run_agent, name, address)
            await self._until_started()
            began = trio.current_time()
            nursery.start_soon(show.run)
            with trio.move_on_after(self._seconds or float("inf")):
                await self._until_stopped()
            seconds = trio.current_time() - began
            await self._stop_agents()
            nursery.cancel_scope.cancel()
        await show.finish(seconds)
        return 0 if tally.ok else FAILED
