"""One agent: ``python -m broker.cli.demo.agent NAME ADDRESS SHARE SHARES BURST``.

It publishes until its standard input ends: the manager closes it to stop the agent, and the system closes it when
the manager dies, so no agent outlives its manager.
"""

from __future__ import annotations

import sys
from collections import Counter

import trio

import broker
from broker.cli.demo.events import AgentReport
from broker.cli.demo.figures import Figures

__all__ = ["main"]

_LINK_S = 10.0
# CPU and memory are read this often; disks and processes, which cost more, once every ten times.
_INTERVAL_S = 0.1
_SLOW_EVERY = 10
# How long the last events may take when the manager is slow, or gone.
_STOP_S = 5.0


class Agent:
    """Publishes this machine's figures and counts what it publishes."""

    def __init__(self, name: str, figures: Figures, burst: int) -> None:
        self._name = name
        self._figures = figures
        self._burst = burst
        self._published: Counter[str] = Counter()
        self._stop = trio.Event()
        self._life = trio.CancelScope()

    async def run(self, address: str) -> None:
        """Publish to the manager at that address until standard input ends, then the burst and the report."""
        with self._life:
            async with broker.Endpoint(self._name, linger_s=_STOP_S) as endpoint, trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_stdin)
                await endpoint.peer(address, timeout=_LINK_S)
                await endpoint.subscribers(self._topic("report"))
                began = trio.current_time()
                await self._sample(endpoint)
                await self._publish_burst(endpoint)
                seconds = trio.current_time() - began
                report = AgentReport(self._figures.host, dict(self._published), seconds)
                await endpoint.publish(self._topic("report"), report)
                nursery.cancel_scope.cancel()

    async def _watch_stdin(self) -> None:
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        self._stop.set()
        self._life.deadline = trio.current_time() + _STOP_S

    def _topic(self, kind: str) -> str:
        return f"host/{self._name}/{kind}"

    async def _publish(self, endpoint: broker.Endpoint, kind: str, event: object) -> None:
        topic = self._topic(kind)
        await endpoint.publish(topic, event)
        self._published[topic] += 1

    async def _sample(self, endpoint: broker.Endpoint) -> None:
        """Publish figures until it is time to stop; publishing itself is not cut short, so that the count is right."""
        figures = self._figures
        due = trio.current_time()
        number = 0
        while not self._stop.is_set():
            await self._publish(endpoint, "cpu", figures.cpu())
            await self._publish(endpoint, "memory", figures.memory())
            if number % _SLOW_EVERY == 0:
                for disk in figures.disks():
                    await self._publish(endpoint, "disk", disk)
                for process in await trio.to_thread.run_sync(figures.processes):
                    await self._publish(endpoint, "process", process)
            number += 1
            due = max(due + _INTERVAL_S, trio.current_time())
            with trio.move_on_at(due):
                await self._stop.wait()

    async def _publish_burst(self, endpoint: broker.Endpoint) -> None:
        """Publish the last figures over and over, as fast as it goes."""
        samples = self._figures.processes() or [self._figures.own_process()]
        for number in range(self._burst):
            await self._publish(endpoint, "burst", samples[number % len(samples)])


def main(name: str, address: str, share: str, shares: str, burst: str) -> None:
    """Run one agent; leaves with exit code 1 and the reason on standard error when it cannot go on."""
    agent = Agent(name, Figures(int(share), int(shares)), int(burst))
    try:
        trio.run(agent.run, address)
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))


if __name__ == "__main__":
    main(*sys.argv[1:])
