"""The events that agents publish, on ``host/<agent>/cpu`` and so on, and what the manager's rules make of them."""

from __future__ import annotations

import broker

__all__ = ["AgentReport", "CpuLoad", "DiskUsage", "LimitCrossed", "MemoryUsage", "ProcessSample"]


@broker.event
class CpuLoad:
    """How busy the processors were since the last one: percent of each, and of all together (0 to 100)."""

    host: str
    percent: float
    each_percent: list[float]
    load_1min: float


@broker.event
class MemoryUsage:
    """Memory in bytes; ``available`` is what programs can still get without swapping."""

    host: str
    total_bytes: int
    available_bytes: int
    percent: float
    swap_percent: float


@broker.event
class DiskUsage:
    """A mounted file system, in bytes; ``percent`` is of what ordinary users may fill."""

    host: str
    mount: str
    total_bytes: int
    free_bytes: int
    percent: float


@broker.event
class ProcessSample:
    """A process: percent of one processor since the last one (above 100 with several threads), resident memory."""

    host: str
    pid: int
    name: str
    cpu_percent: float
    resident_bytes: int
    threads: int


@broker.event
class AgentReport:
    """The last event of an agent: how many it has published before it on each topic, in how many seconds.

    ``writes`` is how many writes to the store were acknowledged to it, ``refused`` how many events it was told that
    it had no right to publish.
    """

    host: str
    published: dict[str, int]
    seconds: float
    writes: int = 0
    refused: int = 0


@broker.event
class LimitCrossed:
    """A figure of a host is over the limit, both in percent; ``what`` is cpu, memory or the mount of a disk."""

    host: str
    what: str
    percent: float
    limit: float
