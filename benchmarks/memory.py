"""How much memory a process takes, looked up from outside while it works."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Memory", "memory_mb"]

_EVERY_S = 0.05


def memory_mb(pid: int) -> tuple[float, float]:
    """Return a process's own memory and all that is resident, files it has mapped included, in MB (Linux)."""
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in {"RssAnon", "VmRSS"}:
            found[name] = int(value.split()[0]) / 1000
    return found.get("RssAnon", 0.0), found.get("VmRSS", 0.0)


class Memory:
    """The most that a process takes in a block: ``own`` and ``resident``, in MB, and what it took ``before``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = memory_mb(pid)
        self.own, self.resident = self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look a last time."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            own, resident = memory_mb(self._pid)
            self.own, self.resident = max(self.own, own), max(self.resident, resident)
            if self._over.wait(_EVERY_S):
                return
