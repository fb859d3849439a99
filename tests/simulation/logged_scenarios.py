"""Random lives of a mesh with log streams, from a seed: writers, collectors and relays, records, faults, then peace."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from logged_faults import LoggedFaults
from logged_promises import check, check_counts, unsettled
from logged_readers import ReaderRole
from logged_world import LoggedWorld, WriterRole
from simulated_world import Broken

from broker.logs import retention, serving, sessions, writer
from broker.testing import Conditions
from broker.testing.disk import SimulatedJournal

__all__ = ["FAULTS_MIN", "OPERATIONS", "Scenario"]

OPERATIONS = 90
FAULTS_MIN = 8
# How long a mesh may take to be whole again, and all that was written with its collectors.
_SETTLE_S = 60.0
_STREAMS = ("conn", "dns/a", "ü")


class Scenario:
    """One life."""

    def __init__(self, seed: int) -> None:
        chance = self.random = random.Random(seed)
        self.gentle = chance.random() < 0.3
        jitter = chance.choice((0.0, 0.0005, 0.02))
        conditions = Conditions(delay_s=chance.choice((0.0001, 0.001, 0.03)), jitter_s=jitter)
        self.world = LoggedWorld(seed, conditions, gentle=self.gentle)
        self.names = [f"p{number}" for number in range(chance.randint(3, 6))]
        self.streams = _STREAMS[: chance.choice((1, 1, 1, 2, 3))]
        self.faults = LoggedFaults(self.world, chance, gentle=self.gentle)
        self.kinds: dict[tuple[str, str], ReaderRole] = {}
        self.chunk_bytes = chance.choice((200, 1500, 64 << 10))
        self.window_bytes = chance.choice((300, 5000, 4 << 20))
        self.pending_bytes = chance.choice((1000, 8 << 20))
        self.share_records = chance.choice((1, 7, 64))
        self.trim_records = chance.choice((1, 3, 1000))
        self.operations: list[tuple[Callable[[], object], float]] = [
            (self.write_once, 14),
            (self.write_much, 20),
            (self.write_everywhere, 4),
            (self.write_until_full, 2),
            (self.write_steadily, 3),
            (self.faults.any, 14),
            (self.faults.mend, 14),
            (self.wait_long, 3),
        ]

    def run(self) -> None:
        """Live, heal, settle, and check; raises Broken."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (writer, serving):
                patch.setattr(module, "CHUNK_BYTES", self.chunk_bytes)
            patch.setattr(retention, "_LOOK_BYTES", 4 * self.chunk_bytes)
            patch.setattr(writer, "PENDING_BYTES", self.pending_bytes)
            patch.setattr(serving, "_SHARE_RECORDS", self.share_records)
            patch.setattr(sessions, "WINDOW_BYTES", self.window_bytes)
            patch.setattr(SimulatedJournal, "trim_records", self.trim_records)
            self._live()

    def _live(self) -> None:
        self._begin()
        actions = [action for action, _ in self.operations]
        weights = [weight for _, weight in self.operations]
        plan = self.random.choices(actions, weights, k=OPERATIONS - FAULTS_MIN)
        for _ in range(FAULTS_MIN):
            plan.insert(self.random.randrange(len(plan)), self.faults.any)
        for action in plan:
            action()
            self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0005, 0.002, 0.02, 0.1, 0.3, 1.0)))
            check(self.world)
        self.faults.mend_all()
        self.world.peace = True
        self._attend()
        self._settle()
        self._check_alive()
        check_counts(self.world)

    # -- beginning ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start programs, each linked with an earlier one, and let them write and collect."""
        world, chance = self.world, self.random
        linked: list[tuple[str, str]] = []
        line = chance.random() < 0.3
        for number, name in enumerate(self.names):
            if number > 1 and chance.random() < 0.15:
                world.leaves.add(name)
            relays = [other for other in self.names[:number] if other not in world.leaves]
            if line and relays:
                linked.append((name, relays[-1]))
            else:
                count = min(len(relays), chance.choice((1, 1, 2)))
                linked += [(name, other) for other in chance.sample(relays, count)]
        for stream in self.streams:
            names = self._choose_readers(stream)
            for name in chance.sample(self.names, chance.choice((1, 1, 2, 3))):
                world.writer_roles[name][stream] = self._writer_role(stream, names)
        for name in self.names:
            if chance.random() < 0.3:  # they begin later
                self.faults.writers_later += [(name, role) for role in world.writer_roles.pop(name, {}).values()]
                self.faults.readers_later += [(name, role) for role in world.reader_roles.pop(name, [])]
            world.start(name)
        for name, other in linked:
            world.peer(world.now_alive[name], f"sim://{other}")
        world.cluster.run(chance.choice((0.0, 1.0)))

    def _choose_readers(self, stream: str) -> list[str]:
        chance = self.random
        names = []
        for number in range(chance.choice((1, 1, 2, 3))):
            kind = chance.choice(("eager", "eager", "slow", "explicit", "lazy", "database", "database"))
            passing = kind in {"eager", "slow"} and chance.random() < 0.15
            role = ReaderRole(
                stream,
                "" if passing else f"{kind} {number}",
                kind,
                since="now" if passing else "earliest",
                queue_bytes=chance.choice((1, 8 << 20)),
                pace_s=chance.choice((0.01, 0.1, 1.0)),
            )
            if role.name:
                names.append(role.name)
                self.kinds[stream, role.name] = role
            members = 1 if kind == "database" or passing else chance.choice((1, 1, 2, 3))
            for _ in range(members):
                self.world.reader_roles[chance.choice(self.names)].append(ReaderRole(**_fields(role)))
        return names

    def _writer_role(self, stream: str, names: list[str]) -> WriterRole:
        chance = self.random
        options: dict[str, Any] = {"delay_s": chance.choice((0.0, 0.02, 0.5))}
        limit = chance.random()
        if limit < 0.3:
            options["limit_bytes"] = chance.choice((2000, 20_000))
            options["drop_oldest"] = chance.random() < 0.6
        elif limit < 0.4:
            options["limit_age_s"] = chance.choice((1.0, 10.0))
        elif limit < 0.5:
            options["keep_bytes"] = 3000
        if names and chance.random() < 0.6:
            options["collectors"] = tuple(chance.sample(names, chance.randint(1, len(names))))
        return WriterRole(stream, chance.random() < 0.85, options)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        """See to it that every name that a spool knows has a member."""
        world = self.world
        for reader in world.all_readers():
            reader.role.pace_s = 0.02
            if reader.role.replay:  # it may not be alone any more
                world.end_reader(reader, acknowledge=True)
        for (stream, name), role in self.kinds.items():
            if not any((r.role.stream, r.role.name) == (stream, name) for r in world.all_readers()):
                program = world.now_alive[self.random.choice(self.names)]
                world.begin_reader(program, ReaderRole(**{**_fields(role), "pace_s": 0.02}))

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """Let time pass until it holds; looked at now and then, since it is slow to find out."""
        until = self.world.now + _SETTLE_S
        while self.world.now < until:
            self.world.cluster.run(0.2)
            check(self.world)
            if condition():
                return True
        return False

    def _settle(self) -> None:
        if not self._wait(lambda: not unsettled(self.world)):
            raise Broken(f"{_SETTLE_S:g} s after all was healed: {'; '.join(unsettled(self.world)[:5])}")

    def _check_alive(self) -> None:
        """Let everybody write, and see all of it arrive while nothing is wrong."""
        world = self.world
        world.cluster.run(12.0)  # nobody is waited for any more
        check(world)
        again = world.counts["record given again"]
        for life in world.all_writers():
            for _ in range(3):
                if not world.write(life, 10, durable=self.random.random() < 0.5) and life.spool.names:
                    raise Broken(f"{life} is full, and everybody has everything")
        self._settle()
        if world.counts["record given again"] > again:
            raise Broken("nothing is wrong, and records are given again")
        world.cluster.run(2.0)
        check(world)

    # -- operations --------------------------------------------------------------------------------------------------

    def _size(self) -> int:
        return self.random.choice((0, 10, 10, 100, 1000))

    def write_once(self) -> None:
        if life := self.faults.some_writer():
            self.world.write(life, self._size(), durable=self.random.random() < 0.5)

    def write_much(self) -> None:
        if life := self.faults.some_writer():
            durable, size = self.random.random() < 0.3, self._size()
            for _ in range(self.random.choice((3, 20, 100))):
                if life.active:
                    self.world.write(life, size, durable=durable)
                    self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0, 0.0, 0.001, 0.01)))

    def write_everywhere(self) -> None:
        for life in self.world.all_writers():
            if life.active:
                self.world.write(life, self._size(), durable=self.random.random() < 0.5)

    def write_until_full(self) -> None:
        if life := self.faults.some_writer(lambda life: life.role.options.get("limit_bytes", 1 << 30) < 100_000):
            for _ in range(300):
                if not life.active or not self.world.write(life, 200, durable=False):
                    break
                self.world.cluster.run(self.random.choice((0.0, 0.0, 0.002)))

    def write_steadily(self) -> None:
        """Let there always be something to be committed for a while."""
        if life := self.faults.some_writer():
            for _ in range(60):
                self.world.cluster.run(0.02)
                if not life.active:
                    return
                self.world.write(life, 10, durable=False)

    def wait_long(self) -> None:
        self.world.cluster.run(self.random.uniform(1.0, 15.0))


def _fields(role: ReaderRole) -> dict[str, Any]:
    return {
        name: getattr(role, name) for name in ("stream", "name", "kind", "since", "replay", "queue_bytes", "pace_s")
    }
