"""Members of a mesh, each a process of its own, for a test to start, to watch and to harm."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psutil
import trio
from interop_programs import Child, started_child

__all__ = ["QUICK", "Member", "assert_all_arrived", "member"]

LOOPBACK = "tcp://127.0.0.1:0"
# For tests that wait for silence to be noticed: a fifth of the usual times, a connection is missed after one second.
QUICK = {"heartbeat_s": 0.2, "silence_s": 1.0, "handshake_s": 0.6, "redial_max_s": 0.5}


class Member:
    """A child whose lines are read as they come: ``told`` is the last of each key, ``statuses`` all its events."""

    def __init__(self, child: Child, name: str) -> None:
        self.name = name
        self.told: dict[str, Any] = {"received": 0, "published": 0}
        self.statuses: list[dict[str, Any]] = []
        self.reports: dict[str, dict[str, Any]] = {}
        self._child = child
        self._cursor = 0
        self._ended = False
        self._changed = trio.lowlevel.ParkingLot()

    async def pump(self) -> None:
        try:
            while True:
                self.take(await self._child.tells())
                self._changed.unpark_all()
        except EOFError:
            self._ended = True
            self._changed.unpark_all()
            code = await self._child.process.wait()
            assert code in {0, -signal.SIGKILL}, f"{self.name} has failed ({code}): {self.told}"

    def take(self, told: dict[str, Any]) -> None:
        if "status" in told:
            self.statuses.append(told)
        elif "report" in told:
            self.reports[told["source"]] = told["report"]
        self.told |= told

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that it tells; fails when it ends without."""
        while not condition():
            assert not self._ended, f"{self.name} has ended: {self.told}, {self.statuses[-5:]}"
            await self._changed.park()

    async def until_ended(self) -> None:
        """Wait until all that it has told is taken note of."""
        while not self._ended:
            await self._changed.park()

    async def value(self, key: str) -> Any:
        """Wait until it has told this."""
        await self.until(lambda: key in self.told)
        return self.told[key]

    async def address(self) -> str:
        """The one address that it listens on."""
        (address,) = await self.value("addresses")
        return str(address)

    async def more(self, key: str, count: int) -> None:
        """Wait until a count that it tells has grown by so much."""
        target = self.told[key] + count
        await self.until(lambda: self.told[key] >= target)

    async def report(self, source: str) -> dict[str, Any]:
        """Wait for what the checker says of a source's numbers."""
        await self.until(lambda: source in self.reports)
        return self.reports[source]

    async def status(self, *names: str) -> dict[str, Any]:
        """The next status event of one of these names, after the last one that was asked for."""
        while True:
            await self.until(lambda: len(self.statuses) > self._cursor)
            status = self.statuses[self._cursor]
            self._cursor += 1
            if status["status"] in names:
                return status

    async def linked(self, peer: str, *, wanted: bool = True) -> None:
        """Wait until it is linked with a peer, or no longer."""
        await self.until(lambda: self._is_linked(peer) == wanted)

    def _is_linked(self, peer: str) -> bool:
        said = [status["status"] for status in self.statuses if status.get("peer") == peer]
        lives = [status for status in said if status in {"PeerAdded", "PeerInterrupted", "PeerResumed", "PeerLost"}]
        return bool(lives) and lives[-1] in {"PeerAdded", "PeerResumed"}

    def count(self, name: str) -> int:
        """How many status events of this name it has told."""
        return sum(status["status"] == name for status in self.statuses)

    def reasons(self, name: str) -> set[str]:
        """What its status events of this name gave as reason."""
        return {status["reason"] for status in self.statuses if status["status"] == name}

    def sum(self, name: str, peer: str) -> int:
        """The sum of the counts of its status events of this name about a peer."""
        return sum(int(s["count"]) for s in self.statuses if s["status"] == name and s["peer"] == peer)

    async def command(self, word: str) -> None:
        """Say a word to it."""
        await self._child.command(word)

    async def leave(self) -> None:
        """Let it leave the mesh, and wait for its end."""
        await self.command("leave")
        await self.until(lambda: self._ended)
        assert await self._child.process.wait() == 0

    async def kill(self) -> None:
        """``kill -9``, and wait until it is dead."""
        self._child.process.kill()
        await self._child.process.wait()

    @property
    def pid(self) -> int:
        return self._child.process.pid

    def rss(self) -> int:
        """How much memory it holds now, in bytes."""
        return int(psutil.Process(self._child.process.pid).memory_info().rss)

    def descriptors(self) -> int:
        """How many files and sockets it has open now."""
        return psutil.Process(self._child.process.pid).num_fds()

    def stop(self) -> None:
        """Let it stand still."""
        self._child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that."""
        self._child.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def member(
    role: str,
    name: str | None = None,
    *,
    listen: Sequence[str] = (),
    peer: Sequence[str] = (),
    inside: Sequence[str] = (),
    **options: Any,
) -> AsyncIterator[Member]:
    """Start a member (``interop_roles.py`` has the options); it is called by its role unless named."""
    name = name or role
    text = json.dumps({"name": name, "listen": list(listen), "peer": list(peer), **options})
    async with started_child(inside, role, text) as child, trio.open_nursery() as nursery:
        started = Member(child, name)
        nursery.start_soon(started.pump)
        yield started
        nursery.cancel_scope.cancel()


async def assert_all_arrived(publisher: Member, checker: Member) -> None:
    """Let both end: every number came once, in order, and neither says that any was lost between the two."""
    await checker.report(publisher.name)
    count = await publisher.value("ended")
    await publisher.leave()
    await checker.leave()
    report = checker.reports[publisher.name]
    assert report == {"received": count, "lost": 0, "first": 0, "last": count - 1, "broken": []}
    assert publisher.sum("MessagesLost", checker.name) == checker.sum("MessagesLost", publisher.name) == 0
