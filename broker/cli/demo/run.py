"""The manager: it starts the agents and the collector of what they log, takes their events, is the master of their
store, shows both and sums up.

The agents are processes with groups of their own, so that Ctrl-C in a terminal reaches the manager alone, which then
stops them in order: it closes their standard input, they publish their burst and their report and leave.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

import broker
from broker.cli.demo.alerts import Alerts
from broker.cli.demo.hosts import STORE
from broker.cli.demo.secure import MANAGER, Security, report_every_s
from broker.cli.demo.shipping import Shipping
from broker.cli.demo.show import Show, show_for
from broker.cli.demo.tally import AgentTally, Tally
from broker.cli.events.sub import batch_of
from broker.cli.exits import FAILED
from broker.cli.standard import Output, note

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

    def __init__(
        self,
        seconds: float | None,
        agents: int,
        as_json: bool,
        logs: Path | None = None,
        limit_percent: float = 90.0,
        secure: bool = False,
    ) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self._as_json = as_json
        self._logs = logs
        self._limit_percent = limit_percent
        self._secure = secure
        self._security: Security | None = None
        self._tally = Tally(f"agent-{number}" for number in range(1, agents + 1))
        self._processes: dict[str, trio.Process] = {}
        self._stopping = False
        self._news = trio.Event()

    def stop(self) -> None:
        """Stop the agents and sum up."""
        self._stopping = True
        self._tell_news()

    async def __call__(self, output: Output) -> int:
        """Run the agents; returns the exit code: whether all that they published has come."""
        with TemporaryDirectory(prefix="broker-demo-") as directory:
            if self._secure:
                self._security = Security(Path(directory) / "keys", list(self._tally.agents))
            if self._logs is not None:
                await trio.Path(self._logs).mkdir(parents=True, exist_ok=True)
            return await self._run(output, self._logs or Path(directory))

    async def _run(self, output: Output, directory: Path) -> int:
        tally = self._tally
        show = show_for(output, tally, as_json=self._as_json)
        security = self._security
        note(f"starting {len(tally.agents)} agents{f', {security.plan}' if security else ''}")
        self._shipping = shipping = Shipping(directory, self._seconds, security)
        alerts = Alerts(self._limit_percent, directory)
        async with AsyncExitStack() as stack:
            keys = security.key_file(MANAGER) if security else None
            manager = broker.Endpoint(MANAGER, keys=keys, linger_s=0, report_every=report_every_s(keys))
            endpoint = await stack.enter_async_context(manager)
            changes = await stack.enter_async_context(endpoint.status())
            messages = await stack.enter_async_context(endpoint.subscribe("host/"))
            hosts = await stack.enter_async_context(endpoint.master(STORE))
            entries = hosts.watch()
            address = await endpoint.listen("tcp://127.0.0.1:0")
            if security is None:
                note(f"from another terminal, look at it with: broker top {address}")
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self._follow_status, changes)
            nursery.start_soon(self._receive, messages, show)
            nursery.start_soon(self._watch_store, entries, hosts)
            nursery.start_soon(alerts.run, endpoint)
            for name in tally.agents:
                nursery.start_soon(self._run_agent, name, address)
            nursery.start_soon(shipping.run_collector, address)
            nursery.start_soon(shipping.run_children)
            await self._until_all(lambda agent: bool(agent.received), _START_S)
            began = trio.current_time()
            nursery.start_soon(show.run)
            nursery.start_soon(shipping.kill_collector)
            await self._until_all(lambda _: False, self._seconds)
            seconds = trio.current_time() - began
            shipping.stop_children()
            await self._stop_agents()
            await shipping.stop_collector()
            nursery.cancel_scope.cancel()
            with suppress(trio.WouldBlock):
                while True:
                    tally.hosts.take(entries.receive_nowait(), hosts)
            tally.end_hosts(hosts)
        tally.alerts = alerts.summary()
        tally.logs = await trio.to_thread.run_sync(shipping.summary, list(tally.agents), tally.died)
        if security is not None:
            tally.end_security(security)
        await show.finish(seconds)
        if output.is_stuck:
            note("nobody reads standard output: the agents had to wait, and the summary is not there")
        return 0 if tally.ok else FAILED

    # -- agents ----------------------------------------------------------------------------------------------------

    async def _run_agent(self, name: str, address: str) -> None:
        """Run one agent to its end; kill it when we are cancelled."""
        agents = list(self._tally.agents)
        arguments = [name, address, str(agents.index(name)), str(len(agents)), str(BURST_EVENTS)]
        arguments.append(str(self._shipping.directory))
        if self._security is not None:
            arguments += self._security.arguments(name)
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "broker.cli.demo.agent", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        agent = self._tally.agents[name]
        assert process.stdin is not None
        try:
            self._processes[name] = process
            if self._stopping:
                await process.stdin.aclose()
            await _relay_errors(name, process)
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                agent.exit_code = await process.wait()
        if agent.died and agent.exit_code != 0:
            note(f"{name} died: exit code {agent.exit_code}")
        self._tell_news()

    async def _stop_agents(self) -> None:
        """Let the agents end, and wait for all that they have published."""
        self._stopping = True
        for process in self._processes.values():
            assert process.stdin is not None
            await process.stdin.aclose()
        with trio.move_on_after(_STOP_S):
            await self._until(lambda: all(agent.ended for agent in self._tally.agents.values()))
            return
        late = [agent.name for agent in self._tally.agents.values() if not agent.ended]
        note(f"no report within {_STOP_S:g} s from {', '.join(late)}")

    # -- what comes ------------------------------------------------------------------------------------------------

    async def _receive(self, messages: broker.Subscriber, show: Show) -> None:
        while True:
            batch = await batch_of(messages, _BATCH_MESSAGES)
            now = trio.current_time()
            await show.take(batch)
            self._tally.take(
                batch, now
            )  # what is counted has been shown: once all is counted, nothing is left to write
            self._tell_news()

    async def _watch_store(self, entries: broker.Watch, hosts: broker.StoreMaster) -> None:
        while True:
            change = await entries.receive()
            self._tally.hosts.take(change, hosts)
            if change.cause == "expire":
                note(f"the entry of {change.key} in the store {STORE!r} has expired")

    async def _follow_status(self, changes: broker.StatusReader) -> None:
        """Say what should not happen: that agents are linked, and leave at the end, is expected."""
        async for change in changes:
            if self._security is not None and isinstance(change, broker.AccessRefused):
                self._security.take(change)
            expected = isinstance(change, broker.PeerAdded)
            expected |= bool(self._shipping.kills) and getattr(change, "peer", "") == "collector"
            expected |= self._stopping and isinstance(change, (broker.PeerLost, broker.PeerInterrupted))
            if not expected:
                note(str(change))

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _tell_news(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._news.wait()

    async def _until_all(self, condition: Callable[[AgentTally], bool], timeout_s: float) -> None:
        """Wait until the condition holds for all agents that live, none lives, we are to stop, or time is up."""
        agents = self._tally.agents.values()

        def done() -> bool:
            return self._stopping or all(agent.exit_code is not None or condition(agent) for agent in agents)

        with trio.move_on_after(timeout_s):
            await self._until(done)


async def _relay_errors(name: str, process: trio.Process) -> None:
    """Say on standard error what an agent says there, until it has closed it."""
    assert process.stderr is not None
    rest = b""
    async with process.stderr:
        async for chunk in process.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                note(f"{name}: {line.decode(errors='replace')}")
    if rest:
        note(f"{name}: {rest.decode(errors='replace')}")
