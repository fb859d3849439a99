"""Keepers of a store, each a process of its own, for a test to start and to harm; and what they were asked to write."""

from __future__ import annotations

import itertools
import json
import random
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import trio
from interop_members import QUICK, Member
from interop_programs import Child, started_child

import broker

__all__ = ["LOAD", "Keeper", "Keepers", "Refused", "a_moment", "assert_in_step", "keepers", "sequence_of"]

# What each writer has under way at a time.
LOAD: Final = ["unique", "unique", "unique", "increment", "increment"]


class Refused(Exception):
    """A keeper's answer that is an error: the name of its class, and its text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Ledger:
    """What was asked of a store by all loads of a test, and what they were answered; by tag."""

    def __init__(self) -> None:
        self.asked: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self.acked: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self.failed: defaultdict[str, dict[int, tuple[str, str]]] = defaultdict(dict)

    def take(self, told: dict[str, Any]) -> None:
        if "asked" in told:
            tag, kind, number = told["asked"]
            self.asked[tag][number] = kind
        elif "acked" in told:
            tag, _, number, result = told["acked"]
            self.acked[tag][number] = result
        elif "failed" in told:
            tag, _, number, error, text = told["failed"]
            self.failed[tag][number] = (error, text)

    @property
    def answered(self) -> int:
        return sum(map(len, self.acked.values()))

    def check(self, contents: dict[str, Any], *, errors: Sequence[str] = (), spared: Sequence[str] = ()) -> None:
        """Every write that was acknowledged is there, once; none is there that nobody asked for, or that was refused.

        ``errors`` are those that writes may have raised; loads of the keepers ``spared`` have had all answered.
        """
        for tag, asked in self.asked.items():
            acked, failed = self.acked[tag], self.failed[tag]
            assert {error for error, _ in failed.values()} <= set(errors), (tag, list(failed.values())[:5])
            unknown = set(asked) - set(acked) - {n for n, (error, _) in failed.items() if error != "OutcomeUnknown"}
            if tag.rpartition("-")[0] in spared:
                assert not unknown, (tag, sorted(unknown)[:10])
            # -- new keys: acknowledged ones are there, and of the others only those that nobody knows of
            there = {int(key.rpartition("/")[2]) for key in contents if key.startswith(f"{tag}/")}
            unique = {number for number in acked if asked[number] == "unique"}
            assert unique <= there, (tag, "lost", sorted(unique - there)[:10])
            assert there <= unique | unknown, (tag, "not asked for", sorted(there - unique - unknown)[:10])
            # -- increments: each acknowledged one had a value of its own
            values = [value for number, value in acked.items() if asked[number] == "increment"]
            assert len(set(values)) == len(values), (tag, "applied twice, or not")
            most = len(values) + sum(asked[number] == "increment" for number in unknown)
            assert len(values) <= contents.get(f"sum/{tag}", 0) <= most, (tag, contents.get(f"sum/{tag}"), most)


class Keeper(Member):
    """A program of ``interop_store_roles.py``."""

    def __init__(self, child: Child, name: str, ledger: Ledger) -> None:
        super().__init__(child, name)
        self._ledger = ledger
        self._replies: dict[int, dict[str, Any]] = {}
        self._numbers = itertools.count()

    def take(self, told: dict[str, Any]) -> None:
        super().take(told)
        self._ledger.take(told)
        if "reply" in told:
            self._replies[told["reply"]] = told

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Have something done; returns what came of it, or raises Refused."""
        return await self.outcome(await self.begin(do, **arguments))

    async def begin(self, do: str, **arguments: Any) -> int:
        """Have something done, without waiting for it; returns its number, for :meth:`outcome`."""
        number = next(self._numbers)
        await self.command(json.dumps({"id": number, "do": do, **arguments}))
        return number

    async def outcome(self, number: int) -> Any:
        """Wait until that is done; returns what came of it, or raises Refused."""
        await self.until(lambda: number in self._replies)
        reply = self._replies.pop(number)
        if "error" in reply:
            raise Refused(reply["error"], reply["text"])
        return reply["result"]

    async def entered(self) -> Any:
        """Wait until it has its store."""
        await self.until(lambda: "entered" in self.told or "refused" in self.told)
        assert "refused" not in self.told, self.told["refused"]
        return self.told["entered"]

    async def refused(self) -> tuple[str, str]:
        """Wait until it was refused its store; returns the error's class and text."""
        await self.until(lambda: "entered" in self.told or "refused" in self.told)
        kind, text = self.told["refused"]
        return kind, text

    async def kill(self) -> None:
        """``kill -9``; what it has told by then is taken note of."""
        await super().kill()
        await self.until_ended()

    async def answers(self, count: int) -> None:
        """Wait until the loads of all were answered so many times more."""
        target = self._ledger.answered + count
        await self.until(lambda: self._ledger.answered >= target)


class Keepers:
    """The keepers of one test, with one ledger for all their loads."""

    def __init__(self, nursery: trio.Nursery, stack: AsyncExitStack) -> None:
        self.ledger = Ledger()
        self.started: list[Keeper] = []
        self._nursery = nursery
        self._stack = stack

    async def start(
        self,
        role: str,
        name: str,
        *,
        listen: Sequence[str] = (),
        peer: Sequence[str] = (),
        inside: Sequence[str] = (),
        timing: dict[str, float] | None = None,
        **options: Any,
    ) -> Keeper:
        """Start one, as "master" or "clone", or as another role of ``interop_child.py``: one without a store."""
        mesh = {"name": name, "listen": list(listen), "peer": list(peer), "timing": QUICK if timing is None else timing}
        text = json.dumps({**mesh, "role": role, **options})
        child = await self._stack.enter_async_context(
            started_child(inside, "keeper" if role in {"master", "clone"} else role, text)
        )
        started = Keeper(child, name, self.ledger)
        self._nursery.start_soon(started.pump)
        self.started.append(started)
        return started


@asynccontextmanager
async def keepers(seconds: float) -> AsyncIterator[Keepers]:
    """Keepers that are killed at the end if they still live; the test fails when it takes longer."""
    where = ""
    made: Keepers | None = None
    try:
        with trio.move_on_after(seconds) as scope:
            async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
                made = Keepers(nursery, stack)
                try:
                    yield made
                except trio.Cancelled as cancelled:
                    where = "".join(traceback.format_tb(cancelled.__traceback__, limit=3))
                    raise
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None  # the test's own failure, readable
    if scope.cancelled_caught and made is not None:
        told = [f"{one.name}: {one.told}, {one.statuses[-5:]}" for one in made.started]
        raise AssertionError("\n".join([f"after {seconds} s it still waits", where, *told]))


async def assert_in_step(master: Keeper, *clones: Keeper) -> dict[str, Any]:
    """When nothing is written any more: all have the same position and contents, which are returned."""
    state = await master.ask("state")
    for clone in clones:
        await clone.ask("wait_for", position=state[0])
        assert await clone.ask("state") == state, clone.name
    contents: dict[str, Any] = await master.ask("contents")
    for clone in clones:  # what is read, beside what is kept
        assert await clone.ask("contents") == contents, clone.name
    return contents


def sequence_of(position: str) -> int:
    return broker.Position.parse(position).sequence


async def a_moment(chance: random.Random) -> None:
    """Let a random moment pass in which anything may be interrupted."""
    await trio.sleep(chance.random() * 0.05)
