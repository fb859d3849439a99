"""Random lives of a mesh, from a seed: a few programs, hundreds of operations, faults among them, then peace."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from simulated_faults import Faults
from simulated_promises import check_bounds, check_promises
from simulated_world import BLOB_BYTES_MAX, CLASSES, TOPICS, Alarm, Blob, Broken, Note, Program, World

from broker.protocol.flows import PARCELS_MAX
from broker.testing import Conditions

__all__ = ["FAULTS_MIN", "OPERATIONS", "Scenario", "run_scenario"]

OPERATIONS = 300
FAULTS_MIN = 8
# How long a mesh may take to be whole again: silence (5 s), the end of a session (10 s), the longest pause of a
# dialler (5 s) and its handshake, twice.
_SETTLE_S = 60.0
_PREFIXES = ("", "h", "host/", "host/a/", "host/a/disk", "host/ä", "n", "net/", "nothing/")
# What predicates choose from: more than most programs publish.
_NUMBERS = 1000
_QUEUES = ((1, 1), (10, 10_000), (100, 1 << 20), (10_000, 16 << 20))


class Scenario:
    """One life."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.whims = random.Random(~seed)  # for what came later: seeds go on to live the lives that they did
        jitter = self.random.choice((0.0, 0.0005, 0.02))
        self.world = World(seed, Conditions(delay_s=self.random.choice((0.0001, 0.001, 0.03)), jitter_s=jitter))
        self.names = [f"p{number}" for number in range(self.random.randint(3, 7))]
        # In a gentle life nothing is ever away for long, so nothing may be lost.
        self.gentle = self.random.random() < 0.3
        self.faults = Faults(self.world, self.random, gentle=self.gentle)
        self.operations: list[tuple[Callable[[], object], float]] = [
            (self.publish_burst, 24),
            (self.publish_singly, 10),
            (self.publish_blobs, 4),
            (self.publish_into_a_gap, 0.1),
            (self.publish_to_the_deaf, 0 if self.gentle else 0.7),
            (self.subscribe, 12),
            (self.unsubscribe, 5),
            (self.stop_reading, 0 if self.gentle else 5),
            (self.go_on_reading, 6),
            (self.peer, 5),
            (self.peer_both_ways, 2),
            (self.unpeer, 0 if self.gentle else 2),
            (self.faults.any, 12),
            (self.faults.mend, 10),
            (self.wait_long, 2.5),
        ]

    def run(self) -> None:
        """Live, heal, settle, and check; raises Broken."""
        self._begin()
        actions = [action for action, _ in self.operations]
        weights = [weight for _, weight in self.operations]
        plan = self.random.choices(actions, weights, k=OPERATIONS - FAULTS_MIN)
        for _ in range(FAULTS_MIN):
            plan.insert(self.random.randrange(len(plan)), self.faults.any)
        for action in plan:
            action()
            self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0005, 0.002, 0.005, 0.05, 0.3)))
            check_bounds(self.world)
        self.world.heal()
        self._settle()
        for program in self.world.now_alive.values():
            self.world.subscribe(program, "", ())
        self._settle()
        self._check_alive()
        self.world.cluster.run(3.0)  # the last losses are told within a second, at the other end within two
        check_bounds(self.world)
        self._check_promises()
        if self.gentle:
            self._check_nothing_lost()

    def _check_promises(self) -> None:
        check_promises(self.world)

    def _begin(self) -> None:
        """Start programs, each linked with an earlier one, some twice: a tree with a few circles."""
        for number, name in enumerate(self.names):
            if number > 1 and self.random.random() < 0.15:
                self.world.leaves.add(name)
            program = self.world.start(name)
            relays = [other for other in self.names[:number] if other not in self.world.leaves]
            for other in self.random.sample(relays, min(len(relays), self.random.choice((1, 1, 2)))):
                self.world.peer(program, f"sim://{other}")
        for _ in range(3):
            self.subscribe()

    def _settle(self) -> None:
        self.world.cluster.run(0.5)
        if not self.world.cluster.run_until(lambda: not self.world.obstacles(), _SETTLE_S):
            raise Broken(f"{_SETTLE_S:g} s after all was healed: {'; '.join(self.world.obstacles())}")

    def _check_alive(self) -> None:
        """Let everybody publish, and see all of it arrive wherever there is a way."""
        for program in self.world.now_alive.values():
            for topic in TOPICS:
                if not self.world.publish(program, topic, Note):
                    raise Broken(f"{program.name} cannot publish although nobody is slow")
        self._settle()
        for program in self.world.now_alive.values():
            for name in self.world.component_of(program.name):
                reader = self.world.now_alive[name].readers[-1]
                numbers = set(range(len(program.log) - len(TOPICS), len(program.log)))
                lacking = numbers.difference(reader.expected[program.key])
                if lacking:
                    raise Broken(f"what {program.name} published was not addressed to {name}: {sorted(lacking)}")

    def _check_nothing_lost(self) -> None:
        for program in self.world.lives:
            for reader in program.readers:
                if reader.subscription.overflow == "block" and reader.subscription.lost:
                    raise Broken(f"{program.name} {reader.prefix!r} has lost {reader.subscription.lost} for no reason")

    # -- choices ---------------------------------------------------------------------------------------------------

    def _some_program(self) -> Program | None:
        active = [program for program in self.world.now_alive.values() if program.active]
        return self.random.choice(active) if active else None

    def _address_of_another(self, program: Program) -> str:
        name = self.random.choice([name for name in self.names if name != program.name])
        return f"sim://{name}" if self.random.random() < 0.85 else f"sim://{name}/again"

    # -- operations --------------------------------------------------------------------------------------------------

    def publish_burst(self) -> None:
        if program := self._some_program():
            topics = self.random.sample(TOPICS, self.random.randint(1, 3))
            kinds = self.random.choice(((Note,), (Alarm,), (Note, Alarm)))
            for _ in range(self.random.choice((1, 3, 30, 100))):
                self.world.publish(program, self.random.choice(topics), self.random.choice(kinds), 3)

    def publish_singly(self) -> None:
        if program := self._some_program():
            for _ in range(self.random.choice((1, 10, 20))):
                if program.active:
                    self.world.publish(program, self.random.choice(TOPICS), Note)
                    self.world.cluster.run(self.random.choice((0.0001, 0.001)))

    def publish_blobs(self) -> None:
        if program := self._some_program():
            topic, size = self.random.choice(TOPICS), self.random.choice((1000, BLOB_BYTES_MAX - 1000))
            for _ in range(self.random.choice((1, 10, 40))):
                self.world.publish(program, topic, Blob, size)
                self.world.cluster.run(self.random.choice((0.0, 0.001)))
                if not program.active:
                    break

    def publish_into_a_gap(self) -> None:
        """Publish one parcel after the other while nothing comes back, until no more are kept."""
        program = self._some_program()
        peers = program.endpoint.node.peers() if program else ()
        if program and peers:
            self.world.cluster.fabric.partition(program.name, self.random.choice(peers).name)
            for _ in range(PARCELS_MAX + 10):
                if not self.world.publish(program, TOPICS[0], Note):
                    break
                self.world.cluster.run(0.0)

    def publish_to_the_deaf(self) -> None:
        """Publish to everybody while nobody's word comes back, for longer than they are waited for."""
        program = self._some_program()
        if program is None:
            return
        for name in self.names:
            if name != program.name:
                self.world.cluster.fabric.partition(name, program.name, one_way=True)
        for _ in range(14):
            if program.active:
                self.world.publish(program, self.random.choice(TOPICS), Note)
            self.world.cluster.run(1.0)
        for name in self.names:
            if name != program.name:
                self.world.cluster.fabric.heal(name, program.name)

    def subscribe(self) -> None:
        if program := self._some_program():
            types = tuple(self.random.sample(CLASSES, self.random.choice((0, 0, 1, 2))))
            messages, size = self.random.choice(_QUEUES)
            limits: dict[str, Any] = {"queue_messages": messages, "queue_bytes": size}
            limits["overflow"] = self.random.choice(("block", "block", "drop_oldest", "drop_newest"))
            limits["stall_timeout"] = math.inf if self.gentle else self.random.choice((2.0, 30.0, math.inf))
            chosen = self._some_numbers() if len(types) == 1 else None
            self.world.subscribe(program, self.random.choice(_PREFIXES), types, chosen, **limits)

    def _some_numbers(self) -> frozenset[int] | None:
        """What a predicate accepts, for half of those who could have one."""
        if self.whims.random() < 0.5:
            return None
        return frozenset(number for number in range(_NUMBERS) if self.whims.random() < 0.5)

    def unsubscribe(self) -> None:
        if (program := self._some_program()) and (readers := [r for r in program.readers if r.open]):
            self.random.choice(readers).close()

    def stop_reading(self) -> None:
        if (program := self._some_program()) and (readers := [r for r in program.readers if r.open]):
            self.random.choice(readers).handle.stop_reading()

    def go_on_reading(self) -> None:
        if program := self._some_program():
            for reader in program.readers:
                if reader.open:
                    reader.handle.go_on_reading()

    def peer(self) -> None:
        if program := self._some_program():
            self.world.peer(program, self._address_of_another(program))

    def peer_both_ways(self) -> None:
        if program := self._some_program():
            address = self._address_of_another(program)
            self.world.peer(program, address)
            self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0005, 0.001)))
            other = self.world.now_alive.get(address.split("/")[2])
            if other is not None and other.active:
                self.world.peer(other, f"sim://{program.name}")

    def unpeer(self) -> None:
        if (program := self._some_program()) and (wanted := sorted(self.world.wishes[program.name])):
            self.world.unpeer(program, self.random.choice(wanted))

    def wait_long(self) -> None:
        self.world.cluster.run(self.random.uniform(0.5, 2.0) if self.gentle else self.random.uniform(1.0, 25.0))


def run_scenario(seed: int) -> Scenario:
    """Live the life of that seed; raises Broken, with the seed and how to see it again."""
    scenario = Scenario(seed)
    try:
        scenario.run()
    except Broken as error:
        raise Broken(f"seed {seed}: {error}\nreplay: make simulation SEEDS={seed}") from error
    return scenario
