"""What is sent and stored, the same on every side, and the check that it arrived."""

from __future__ import annotations

import time
from collections.abc import Iterator

__all__ = ["HOST", "MOUNT", "USED", "NotThere", "Order", "OutOfOrder", "entry", "lags_ms", "ticks"]

# One event of four fields.
HOST = "web-01"
MOUNT = "/"
USED = 0.91

# Of each task that writes.
_KEYS = 1000

# How often a writer at a steady rate writes what is due.
TICK_S = 0.005


class OutOfOrder(Exception):
    """An event was lost, came twice, or came out of order."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"event {expected} was to come and event {found} came")


class NotThere(Exception):
    """What was acknowledged is not what is read."""

    def __init__(self, key: str, expected: object, found: object) -> None:
        super().__init__(f"{key} was to be {expected!r} and is {found!r}")


def entry(task: int, number: int) -> tuple[str, bytes]:
    """Return what a task puts the ``number``-th time: a key of some 20 characters, a value of 64 bytes."""
    return f"host/web-{task:03d}/disk-{number % _KEYS:03d}", b"%064d" % number


class Order:
    """What a collector has seen: of each task that writes every record once, and in order.

    Record n is one of task n modulo ``tasks``: with one task there is one order of all.
    """

    def __init__(self, tasks: int = 1) -> None:
        self._tasks = tasks
        self._next = list(range(tasks))
        self.seen = 0

    def check(self, numbers: list[int]) -> None:
        """Take the numbers of a batch; raise OutOfOrder for one that was not to come."""
        if self._tasks == 1:
            expected = self.seen
            if numbers != list(range(expected, expected + len(numbers))):
                raise next(OutOfOrder(e, found) for e, found in enumerate(numbers, expected) if e != found)
        else:
            for number in numbers:
                task = number % self._tasks
                if number != self._next[task]:
                    raise OutOfOrder(self._next[task], number)
                self._next[task] += self._tasks
        self.seen += len(numbers)


def ticks(rate: int, first: int, count: int) -> Iterator[tuple[float, range]]:
    """Give the moments (monotonic) at which to write, and the numbers of the records that are then due.

    A writer that is late finds moments that are past: a record's lag counts from when it was due.
    """
    start, each = time.monotonic(), max(1, round(rate * TICK_S))
    for done in range(0, count, each):
        yield start + done / rate, range(first + done, first + min(done + each, count))


def lags_ms(lags: list[float]) -> list[float]:
    """Return the 50th and the 99th of a hundred and the longest of so many seconds, in milliseconds."""
    ordered = sorted(lags)
    return [1000 * ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99, 1)]
