"""What is sent: one event of four fields, and the check that each arrived once and in order."""

from __future__ import annotations

__all__ = ["HOST", "MOUNT", "USED", "OutOfOrder"]

HOST = "web-01"
MOUNT = "/"
USED = 0.91


class OutOfOrder(Exception):
    """An event was lost, came twice, or came out of order."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"event {expected} was to come and event {found} came")
