"""One agent: ``python -m broker.cli.demo.agent NAME ADDRESS SHARE SHARES BURST DIRECTORY [KEY VICTIM]``.

It publishes figures, keeps an entry in the store ``hosts`` and logs which processes start and stop, until its standard
input ends: the manager closes it to stop the agent, and the system closes it when the manager dies, so no agent
outlives its manager.  With a VICTIM it also publishes in the name of that one, which it has no right to.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import trio

import broker
from broker.cli.demo.events import AgentReport
from broker.cli.demo.figures import Figures
from broker.cli.demo.hosts import EXPIRES_S, RENEW_S, STORE
from broker.cli.demo.processes import COLLECTOR, STREAM, ProcessChange, ProcessWatch, spool_path
from broker.cli.demo.secure import MANAGER, report_every_s
from broker.cli.demo.tally import NOT_BEGUN
from broker.cli.exits import FAILED

__all__ = ["main"]

_LINK_S = 10.0
# CPU and memory are read this often; disks and processes, which cost more, once every ten times.
_INTERVAL_S = 0.1
_SLOW_EVERY = 10
# How long the last events may take when the manager is slow, or gone.
_STOP_S = 5.0
# Of that, how long the collector may take for the last records; it may have been started again a moment ago.
_COLLECTED_S = 3.0
# How long the word may take that an event was refused.
_TOLD_S = 3.0


class Agent:
    """Publishes this machine's figures and counts what it publishes."""

    def __init__(
        self,
        name: str,
        figures: Figures,
        watch: ProcessWatch,
        burst: int,
        directory: Path,
        keys: str | None = None,
        victim: str = "",
    ) -> None:
        self._name = name
        self._keys = keys
        self._victim = victim
        self._refused = 0
        self._told = trio.Event()
        self._figures = figures
        self._watch = watch
        self._spool = spool_path(directory, name)
        self._burst = burst
        self._published: Counter[str] = Counter()
        self._writes = 0  # acknowledged by the store's master
        self._renew_at = float("-inf")
        self._stop = trio.Event()
        self._life = trio.CancelScope()

    async def run(self, address: str) -> int:
        """Publish to the manager at that address until standard input ends, then the burst and the report.

        Returns the exit code: 0 when the manager has everything.
        """
        endpoint = broker.Endpoint(
            self._name, keys=self._keys, linger_s=_STOP_S, report_every=report_every_s(self._keys)
        )
        with self._life:
            # The status is read until the endpoint has closed: the manager may go while the last events leave.
            async with trio.open_nursery() as nursery, AsyncExitStack() as stack, endpoint:
                changes = await stack.enter_async_context(endpoint.status())
                nursery.start_soon(self._watch_stdin, endpoint)
                nursery.start_soon(self._watch_manager, changes)
                await endpoint.peer(address, timeout=_LINK_S, key=MANAGER if self._keys else None)
                await endpoint.subscribers(self._topic("report"))
                began = trio.current_time()
                log = endpoint.log(STREAM, ProcessChange, path=self._spool, collectors=(COLLECTOR,))
                async with log, endpoint.clone(STORE) as hosts:
                    if self._victim:
                        await self._pose(endpoint)
                    await self._sample(endpoint, hosts, log)
                    await self._erase_entry(hosts)
                    with trio.move_on_after(_COLLECTED_S):
                        await log.collected()
                await self._publish_burst(endpoint)
                seconds = trio.current_time() - began
                published = dict(self._published)
                report = AgentReport(self._figures.host, published, seconds, self._writes, self._refused)
                await endpoint.publish(self._topic("report"), report)
                stack.callback(nursery.cancel_scope.cancel)
        if not self._life.cancelled_caught:
            return 0
        return FAILED if self._published else NOT_BEGUN

    async def _watch_stdin(self, endpoint: broker.Endpoint) -> None:
        """Stop when it ends; at once if the manager is gone."""
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        self._stop.set()
        self._life.deadline = trio.current_time() + _STOP_S
        if not any(peer.connected for peer in endpoint.peers()):
            self._life.cancel()

    async def _pose(self, endpoint: broker.Endpoint) -> None:
        """Publish in another's name, and wait for the word that it was refused."""
        await endpoint.publish(f"host/{self._victim}/cpu", self._figures.cpu())
        with trio.move_on_after(_TOLD_S):
            await self._told.wait()

    async def _watch_manager(self, changes: broker.StatusReader) -> None:
        """Give up when its connection breaks while we stop; before, it may come back."""
        with suppress(broker.EndpointClosed):
            async for change in changes:
                if isinstance(change, broker.AccessRefused):
                    self._refused += change.count
                    self._told.set()
                if self._stop.is_set() and isinstance(change, broker.PeerInterrupted):
                    self._life.cancel()

    def _topic(self, kind: str) -> str:
        return f"host/{self._name}/{kind}"

    async def _publish(self, endpoint: broker.Endpoint, kind: str, event: object) -> None:
        topic = self._topic(kind)
        await endpoint.publish(topic, event)
        self._published[topic] += 1

    async def _sample(self, endpoint: broker.Endpoint, hosts: broker.StoreClone, log: broker.LogWriter) -> None:
        """Publish figures until it is time to stop; publishing itself is not cut short, so that the count is right."""
        figures = self._figures
        due = trio.current_time()
        number = 0
        while not self._stop.is_set():
            cpu, memory = figures.cpu(), figures.memory()
            await self._publish(endpoint, "cpu", cpu)
            await self._publish(endpoint, "memory", memory)
            await self._renew_entry(hosts, cpu.percent, memory.percent)
            await log.write_all(self._watch.changes())
            if number % _SLOW_EVERY == 0:
                for disk in figures.disks():
                    await self._publish(endpoint, "disk", disk)
                for process in await trio.to_thread.run_sync(figures.processes):
                    await self._publish(endpoint, "process", process)
            number += 1
            due = max(due + _INTERVAL_S, trio.current_time())
            with trio.move_on_at(due):
                await self._stop.wait()

    async def _renew_entry(self, hosts: broker.StoreClone, cpu_percent: float, memory_percent: float) -> None:
        """Say in the store that we live, as of now, and how many do as far as we see."""
        now = trio.current_time()
        if now < self._renew_at:
            return
        self._renew_at = now + RENEW_S
        state = {"pid": os.getpid(), "cpu_percent": cpu_percent, "memory_percent": memory_percent, "sees": len(hosts)}
        await hosts.put(self._name, state, expires_in=EXPIRES_S)
        self._writes += 1

    async def _erase_entry(self, hosts: broker.StoreClone) -> None:
        """Leave in order."""
        with suppress(broker.NoSuchKey):  # it has expired: we were held up
            await hosts.erase(self._name)
            self._writes += 1

    async def _publish_burst(self, endpoint: broker.Endpoint) -> None:
        """Publish the last figures over and over, as fast as it goes."""
        samples = self._figures.processes() or [self._figures.own_process()]
        for number in range(self._burst):
            await self._publish(endpoint, "burst", samples[number % len(samples)])


def main(
    name: str,
    address: str,
    share: str,
    shares: str,
    burst: str,
    directory: str,
    keys: str | None = None,
    victim: str = "",
) -> None:
    """Run one agent and leave with its exit code; standard error says why it could not go on."""
    watch = ProcessWatch(name, int(share), int(shares))
    agent = Agent(name, Figures(int(share), int(shares)), watch, int(burst), Path(directory), keys, victim)
    code = FAILED
    try:
        code = trio.run(agent.run, address)
    except* broker.BrokerError as group:
        print(*map(str, group.exceptions), sep="; ", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
