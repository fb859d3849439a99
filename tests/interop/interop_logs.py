"""Writers and collectors of a log stream, each a process of its own, for a test to start and to harm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from interop_log_lines import text_of_line
from interop_members import LOOPBACK
from interop_stores import Keeper, Keepers, keepers

__all__ = ["LEASE_S", "Received", "Shop", "assert_all_once", "numbers", "shop"]

# A short lease, for tests that wait for one to be over.
LEASE_S: Final = 4.0


class Received(NamedTuple):
    """What a collector has written of a record."""

    writer: str
    number: int
    again: bool
    lost: int


class Shop:
    """The processes of one test around a relay, or around whoever listens."""

    def __init__(self, mesh: Keepers, directory: Path) -> None:
        self.mesh = mesh
        self.directory = directory
        self.peers: list[str] = []

    async def relay(self, address: str = LOOPBACK) -> Keeper:
        """Start a relay; who is started after it dials it."""
        relay = await self.mesh.start("relay", "relay", listen=[address])
        self.peers = [await relay.address()]
        return relay

    async def writer(self, name: str = "writer", *, log: dict[str, Any] | None = None, **options: Any) -> Keeper:
        """Start a writer, whose spool is called as it is; it has it when this returns."""
        how = {"path": str(self.spool(name)), **(log or {})}
        writer = await self.mesh.start("log_writer", name, peer=self.peers, log=how, **options)
        await writer.entered()
        return writer

    def spool(self, name: str) -> Path:
        return self.directory / f"{name}.spool"

    def lose_spool(self, name: str) -> None:
        for file in self.directory.glob(f"{name}.spool*"):
            file.unlink()

    async def collector(self, name: str = "collector", *, output: str = "", **options: Any) -> Keeper:
        """Start a collector, whose output is called as it is unless said otherwise."""
        path = str(self.directory / (output or name))
        collector = await self.mesh.start("log_collector", name, peer=self.peers, output=path, **options)
        await collector.entered()
        return collector

    def received(self, output: str = "collector", size: int = 0) -> list[Received]:
        """What a collector has written, which is what was to be written in each of those records."""
        found = []
        with (self.directory / output).open(encoding="utf-8") as lines:
            for text in lines:
                content, _, flags = text.partition(" | ")
                writer, counted, _ = content.split(" ", 2)
                number, _, again, lost = flags.split()
                assert number == counted
                assert content == text_of_line(writer, int(number), size)
                found.append(Received(writer, int(number), again == "1", int(lost)))
        return found


@asynccontextmanager
async def shop(seconds: float, directory: Path) -> AsyncIterator[Shop]:
    """Processes that are killed at the end if they still live; the test fails when it takes longer."""
    async with keepers(seconds) as mesh:
        yield Shop(mesh, directory)


def numbers(received: Iterable[Received], writer: str = "writer") -> list[int]:
    """The numbers that have come of one writer, in that order."""
    return [one.number for one in received if one.writer == writer]


def assert_all_once(received: Sequence[Received], counts: dict[str, int]) -> None:
    """Of each writer so many have come, once, in order, and nothing else, and none was said to be lost."""
    for writer, count in counts.items():
        assert numbers(received, writer) == list(range(1, count + 1)), writer
    assert {one.writer for one in received} <= set(counts)
    assert sum(one.lost for one in received) == 0
