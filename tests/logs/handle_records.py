"""What the tests of handles of log streams share: record classes, a disk that can be held, spools in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

import broker
from broker import Endpoint
from broker.journaling import MemoryJournal


@broker.event(name="handles.Flow")
class Flow:
    n: int
    note: str = ""


@broker.event(name="handles.Other")
class Other:
    n: int


Ends = tuple[Endpoint, Endpoint]


class Spools:
    """Spools in memory, by path: they outlive their writers."""

    def __init__(self) -> None:
        self.journals: dict[str, MemoryJournal] = {}

    def open(self, path: Path, *, tables: tuple[str, ...], **_rest: Any) -> MemoryJournal:
        key = str(path)
        if key not in self.journals:
            self.journals[key] = MemoryJournal(bytes([len(self.journals) + 1]) * 16, len(tables))
        return self.journals[key]


class Disk:
    """The disk of all spools: it can be held, and be full."""

    def __init__(self) -> None:
        self.commits = 0
        self.full = False
        self.go = threading.Event()
        self.go.set()

    def hold(self) -> None:
        """Let commits wait."""
        self.go.clear()

    def go_on(self) -> None:
        """Let them be done."""
        self.go.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a disk or another endpoint brings about."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await trio.sleep(0.001)


async def numbers(records: broker.Collector, count: int) -> list[int]:
    """What the next records say."""
    return [(await records.receive()).record.n for _ in range(count)]


async def messages(records: broker.Collector, count: int) -> list[broker.LogMessage]:
    """The next records."""
    return [await records.receive() for _ in range(count)]


async def told(status: Any, kind: type) -> Any:
    """The next status event of that class."""
    while True:
        found = await status.receive()
        if type(found) is kind:
            return found
