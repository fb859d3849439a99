"""The log stream ``processes``: processes that agents saw start and stop, each written to the agent's disk at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from time import time_ns
from typing import Final, Literal

import psutil

import broker

__all__ = ["COLLECTOR", "STREAM", "ProcessChange", "ProcessWatch", "spool_path"]

STREAM: Final = "processes"
COLLECTOR: Final = "archive"


@broker.log_record("demo process")
class ProcessChange:
    """A process that started, or stopped."""

    at: broker.Timestamp = broker.column(description="when it was seen, at most a tenth of a second late")
    host: str = broker.column(description="the agent that saw it")
    change: Literal["start", "stop"]
    pid: int = broker.column("process.pid")
    name: str = broker.column("process.name")
    lived: timedelta | None = broker.column(description="from one to the other", unit="s", default=None)


def spool_path(directory: Path, agent: str) -> Path:
    """Where an agent has its spool."""
    return directory / f"{agent}.spool"


class ProcessWatch:
    """Compares the processes of our share with those of the last look."""

    def __init__(self, host: str, share: int, shares: int) -> None:
        self._host = host
        self._share = share
        self._shares = shares
        self._seen: dict[int, tuple[str, int | None]] = dict.fromkeys(self._pids(), ("?", None))

    def _pids(self) -> set[int]:
        return {pid for pid in psutil.pids() if pid % self._shares == self._share}

    def changes(self) -> list[ProcessChange]:
        """What has started and stopped since the last call; at first, since this was made."""
        now, pids = time_ns(), self._pids()
        at = broker.Timestamp.from_ns(now)
        found = []
        for pid in sorted(self._seen.keys() - pids):
            name, since = self._seen.pop(pid)
            lived = None if since is None else timedelta(microseconds=(now - since) // 1000)
            found.append(ProcessChange(at, self._host, "stop", pid, name, lived))
        for pid in sorted(pids - self._seen.keys()):
            name = _name_of(pid)
            self._seen[pid] = name, now
            found.append(ProcessChange(at, self._host, "start", pid, name))
        return found


def _name_of(pid: int) -> str:
    try:
        return psutil.Process(pid).name().encode(errors="replace").decode() or "?"
    except psutil.Error:  # gone already, or not ours to look at
        return "?"
