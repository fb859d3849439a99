"""What time it is for an endpoint: what it publishes is stamped with that, and its rules go by it."""

from __future__ import annotations

from time import time_ns

import trio

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """Wall time in nanoseconds at an endpoint on a simulated network: it goes on as trio's clock does.

    So under a clock that jumps, as that of a test, events are as old as they seem to be.
    """

    def __init__(self) -> None:
        self._started_ns = 0
        self._started_at = 0.0

    def __call__(self) -> int:
        """Return the time."""
        now = trio.current_time()
        if not self._started_ns:
            self._started_ns, self._started_at = time_ns(), now
        return self._started_ns + round((now - self._started_at) * 1e9)
