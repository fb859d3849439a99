"""What the manager counts: every message that came, against what each agent says it has published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from broker import Message
from broker.cli.demo.events import AgentReport, DiskUsage, ProcessSample
from broker.cli.demo.hosts import HostsTally
from broker.cli.demo.secure import Security

__all__ = ["BURST", "NOT_BEGUN", "AgentTally", "Tally", "kind_of"]

BURST = "burst"
# The exit code of an agent that was stopped before it published anything: it has nothing to report.
NOT_BEGUN = 3
T = TypeVar("T")


def kind_of(topic: str) -> str:
    """The last part of a topic: cpu, memory, disk, process, burst or report."""
    return topic.rpartition("/")[2]


class AgentTally:
    """One agent: what came from it, and how it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: Counter[str] = Counter()  # by topic, without the report
        self.report: AgentReport | None = None
        self.exit_code: int | None = None  # None while it runs
        self.latest: dict[type, Any] = {}
        self.disks: dict[str, DiskUsage] = {}
        self.busiest: ProcessSample | None = None  # of its last listing, which begins with it
        self._listing_ns = 0

    def take(self, message: Message) -> None:
        """Count a message and keep what is worth showing."""
        event = message.event
        if type(event) is AgentReport:
            self.report = event
            return
        self.received[message.topic] += 1
        if type(event) is DiskUsage:
            self.disks[event.mount] = event
        elif type(event) is ProcessSample:
            self._keep_busiest(message, event)
        else:
            self.latest[type(event)] = event

    def _keep_busiest(self, message: Message, event: ProcessSample) -> None:
        # The samples of one listing are published at once and the busiest first; listings are a second apart.
        if kind_of(message.topic) != BURST and message.time_ns > self._listing_ns + 500_000_000:
            self.busiest = event
            self._listing_ns = message.time_ns

    def last(self, kind: type[T]) -> T | None:
        """The last event of that class, of those of which there is one at a time."""
        return self.latest.get(kind)

    @property
    def ended(self) -> bool:
        """Whether its process has ended and all that can be expected from it has come."""
        return self.exit_code is not None and (self.exit_code != 0 or self.report is not None)

    @property
    def died(self) -> bool:
        """Whether it ended without a report, or with a failure."""
        if self.exit_code in (None, NOT_BEGUN):
            return False
        return self.exit_code != 0 or self.report is None

    @property
    def lost(self) -> int | None:
        """How many messages differ from what it reports, lost or twice; None without a report."""
        if self.exit_code == NOT_BEGUN:
            return self.received.total()
        if self.report is None:
            return None
        published = Counter(self.report.published)
        return sum(abs(published[topic] - self.received[topic]) for topic in published | self.received)

    def summary(self) -> dict[str, Any]:
        """What there is to say of it, for JSON."""
        return {
            "received": self.received.total(),
            "published": sum(self.report.published.values()) if self.report else None,
            "lost": self.lost,
            "exit_code": self.exit_code,
            "topics": dict(self.received),
        }


class Tally:
    """All agents together; times are the manager's own clock, in seconds."""

    def __init__(self, names: Iterable[str]) -> None:
        self.agents = {name: AgentTally(name) for name in names}
        self.hosts = HostsTally()
        self._hosts_summary: dict[str, Any] = {}
        self.logs: dict[str, Any] = {}  # what is known of the log stream at the end
        self.security: dict[str, Any] = {}  # what is known of keys and refusals at the end, if there were any
        self.alerts: dict[str, Any] = {}  # what the rules have raised
        self._burst_at: list[float] = []  # when the first and the last message of the burst came

    def take(self, messages: list[Message], now: float) -> None:
        """Count messages that have come by now."""
        for message in messages:
            agent = self.agents.get(message.origin)
            if agent is not None:  # anybody may connect while the demo runs
                agent.take(message)
        if kind_of(messages[-1].topic) == BURST or kind_of(messages[0].topic) == BURST:
            self._burst_at = [*self._burst_at[:1], now]

    def end_hosts(self, store: Mapping[Any, Any]) -> None:
        """Compare the store's changes with what agents report, and with what is in it, at the end."""
        agents = self.agents.values()
        reported = {agent.name: agent.report.writes for agent in agents if agent.report is not None}
        self._hosts_summary = self.hosts.summary(reported, store)

    def end_security(self, security: Security) -> None:
        """Take what was refused, at both ends."""
        tampered = security.summary(None)["tampered"]
        report = self.agents[tampered].report
        self.security = security.summary(None if report is None else report.refused)

    @property
    def events(self) -> int:
        """How many events have come from all agents."""
        return sum(agent.received.total() for agent in self.agents.values())

    @property
    def burst_events(self) -> int:
        """How many of them came in the burst."""
        return sum(
            count
            for agent in self.agents.values()
            for topic, count in agent.received.items()
            if kind_of(topic) == BURST
        )

    @property
    def burst_s(self) -> float:
        """How long the burst took to come."""
        return self._burst_at[-1] - self._burst_at[0] if self._burst_at else 0.0

    @property
    def lost(self) -> int:
        """How many messages of the agents that reported did not come, or came twice."""
        return sum(agent.lost or 0 for agent in self.agents.values())

    @property
    def died(self) -> list[str]:
        """The agents that ended without a report, or with a failure."""
        return [agent.name for agent in self.agents.values() if agent.died]

    @property
    def ok(self) -> bool:
        """Whether all that every agent published has come, all that it wrote and logged, and no more."""
        if self._hosts_summary.get("unlike") or self.logs.get("unlike"):
            return False
        if self.security.get("told") is not None and not (self.security["told"] and self.security["refused"]):
            return False
        return all(agent.ended and not agent.died and agent.lost == 0 for agent in self.agents.values())

    def summary(self, seconds: float) -> dict[str, Any]:
        """What there is to say at the end, for JSON; ``seconds`` is how long agents were watched before the burst."""
        watched = self.events - self.burst_events
        return {
            "seconds": round(seconds, 3),
            "events": self.events,
            "events_per_s": round(watched / seconds, 1) if seconds else 0.0,
            "burst": {
                "events": self.burst_events,
                "seconds": round(self.burst_s, 4),
                "events_per_s": round(self.burst_events / self.burst_s) if self.burst_s else 0,
            },
            "lost": self.lost,
            "hosts": self._hosts_summary,
            "logs": self.logs,
            "alerts": self.alerts,
            "security": self.security,
            "died": self.died,
            "agents": {name: agent.summary() for name, agent in self.agents.items()},
        }
