"""What is sent and stored, the same on every side, and the check that it arrived."""

from __future__ import annotations

__all__ = ["HOST", "MOUNT", "USED", "NotThere", "OutOfOrder", "entry"]

# One event of four fields.
HOST = "web-01"
MOUNT = "/"
USED = 0.91

# Of each task that writes.
_KEYS = 1000


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
