"""Other programs for a test to talk to: children that speak JSON lines, and what their events are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import broker

__all__ = ["CHILD", "Child", "Sample", "child", "free_of_sockets", "next_status", "started_child"]

CHILD = Path(__file__).parent / "interop_child.py"


@broker.event(name="interop.Sample")
class Sample:
    source: str
    number: int
    value: float
    note: str | None = None


class Child:
    """A process of ``interop_child.py``: what it prints is read line by line."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._rest = b""

    async def tells(self) -> dict[str, Any]:
        """Return the next thing it says; raises EOFError when it has ended."""
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            some = await self.process.stdout.receive_some(65536)
            if not some:
                raise EOFError(f"the child has ended: {await self.process.wait()}")
            self._rest += some
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    async def tells_of(self, key: str) -> Any:
        """Return the value of the next thing it says that has this key."""
        while True:
            told = await self.tells()
            if key in told:
                return told[key]

    async def command(self, word: str) -> None:
        """Say something to it; only members (publisher, checker, relay) listen."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{word}\n".encode())


def child(role: str, *arguments: object) -> AbstractAsyncContextManager[Child]:
    """Start a child; it is killed at the end if it still lives."""
    return started_child((), role, *arguments)


@asynccontextmanager
async def started_child(inside: Sequence[str], role: str, *arguments: object) -> AsyncIterator[Child]:
    """Start a child by a command that runs the rest of its line, such as ``ip netns exec host``."""
    process = await trio.lowlevel.open_process(
        [*inside, sys.executable, str(CHILD), role, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield Child(process)
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.aclose()
            await process.stdout.aclose()


async def next_status(changes: broker.StatusReader, *kinds: type[broker.Status]) -> Any:
    """Return the next status event of these kinds."""
    async for change in changes:
        if isinstance(change, kinds):
            return change
    raise AssertionError("status events do not end")


async def free_of_sockets(before: int) -> None:
    """Wait until this process has no more open files than before; ZeroMQ closes some in the background."""
    with trio.fail_after(10):
        while len(os.listdir("/proc/self/fd")) > before:  # noqa: PTH208, ASYNC110 - nothing tells when ZeroMQ has closed
            await trio.sleep(0.01)
