"""Random lives of a mesh, from a seed: a few programs, a hundred and more operations and faults, then peace."""

from __future__ import annotations

import random
from collections.abc import Callable

from simulated_promises import Broken, check_bounds, check_promises
from simulated_world import BLOB_BYTES_MAX, CLASSES, TOPICS, Alarm, Blob, Note, Program, World

from broker.protocol.link import WINDOW_FRAMES
from broker.testing import Conditions

__all__ = ["Scenario", "run_scenario"]

OPERATIONS = 120
# How long a mesh may take to be whole again: silence (5 s), the end of a session (10 s), the longest pause of a
# dialler (5 s) and its handshake, twice.
_SETTLE_S = 60.0
_PREFIXES = ("", "h", "host/", "host/a/", "host/a/disk", "host/ä", "n", "net/", "nothing/")


class Scenario:
    """One life."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        jitter = self.random.choice((0.0, 0.0005, 0.02))
        self.world = World(seed, Conditions(delay_s=self.random.choice((0.0001, 0.001, 0.03)), jitter_s=jitter))
        self.names = [f"p{number}" for number in range(self.random.randint(3, 6))]
        self.operations: list[tuple[Callable[[], None], float]] = [
            (self.publish_burst, 24),
            (self.publish_singly, 10),
            (self.publish_blobs, 4),
            (self.publish_into_a_gap, 0.15),
            (self.subscribe, 12),
            (self.unsubscribe, 5),
            (self.stop_reading, 5),
            (self.go_on_reading, 5),
            (self.peer, 7),
            (self.peer_both_ways, 3),
            (self.unpeer, 2),
            (self.partition, 5),
            (self.heal, 5),
            (self.cut, 8),
            (self.pause, 2),
            (self.unpause, 4),
            (self.crash, 1),
            (self.crash_and_restart, 2),
            (self.close, 1),
            (self.restart, 3),
            (self.wait_long, 2),
        ]

    def run(self) -> None:
        """Live, heal, settle, and check; raises Broken."""
        for name in self.names:
            self.world.start(name)
        for _ in range(3):
            self.peer_both_ways() if self.random.random() < 0.4 else self.peer()
            self.subscribe()
        actions = [action for action, _ in self.operations]
        weights = [weight for _, weight in self.operations]
        for action in self.random.choices(actions, weights, k=OPERATIONS):
            action()
            self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0005, 0.002, 0.005, 0.05, 0.3)))
            check_bounds(self.world)
        self.world.heal()
        self._settle()
        for program in self.world.now_alive.values():
            self.world.subscribe(program, "", (), 10_000, 1 << 20)
        self._settle()
        for program in self.world.now_alive.values():
            for topic in TOPICS:
                if not self.world.publish(program, topic, Note):
                    raise Broken(f"{program.name} cannot publish although nobody is slow")
        self._settle()
        check_bounds(self.world)
        check_promises(self.world)

    def _settle(self) -> None:
        self.world.cluster.run(0.5)
        if not self.world.cluster.run_until(lambda: not self.world.obstacles(), _SETTLE_S):
            raise Broken(f"{_SETTLE_S:g} s after all was healed: {'; '.join(self.world.obstacles())}")

    # -- choices ---------------------------------------------------------------------------------------------------

    def _some_program(self) -> Program | None:
        active = [program for program in self.world.now_alive.values() if program.active]
        return self.random.choice(active) if active else None

    def _another(self, program: Program) -> str:
        return self.random.choice([name for name in self.names if name != program.name])

    def _address(self, name: str) -> str:
        return f"sim://{name}" if self.random.random() < 0.85 else f"sim://{name}/again"

    def _pair(self) -> tuple[str, str]:
        one, other = self.random.sample(self.names, 2)
        return one, other

    # -- operations --------------------------------------------------------------------------------------------------

    def publish_burst(self) -> None:
        if program := self._some_program():
            topics = self.random.sample(TOPICS, self.random.randint(1, 3))
            for _ in range(self.random.choice((1, 3, 30, 300))):
                self.world.publish(program, self.random.choice(topics), self.random.choice((Note, Alarm)), 3)

    def publish_singly(self) -> None:
        if program := self._some_program():
            for _ in range(self.random.choice((1, 10, 40))):
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
        """Publish one frame after the other while nothing comes back, until the window is full."""
        program = self._some_program()
        peers = program.endpoint.node.peers() if program else ()
        if program and peers:
            self.world.cluster.fabric.partition(program.name, self.random.choice(peers).name)
            for _ in range(WINDOW_FRAMES + 10):
                if not self.world.publish(program, TOPICS[0], Note):
                    break
                self.world.cluster.run(0.0)

    def subscribe(self) -> None:
        if program := self._some_program():
            types = tuple(self.random.sample(CLASSES, self.random.choice((0, 0, 1, 2))))
            messages, size = self.random.choice(((1, 1), (10, 10_000), (100, 1 << 20), (10_000, 16 << 20)))
            self.world.subscribe(program, self.random.choice(_PREFIXES), types, messages, size)

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
            self.world.peer(program, self._address(self._another(program)))

    def peer_both_ways(self) -> None:
        if program := self._some_program():
            name = self._another(program)
            self.world.peer(program, self._address(name))
            self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0005, 0.001)))
            other = self.world.now_alive.get(name)
            if other is not None and other.active:
                self.world.peer(other, self._address(program.name))

    def unpeer(self) -> None:
        if (program := self._some_program()) and (wanted := sorted(self.world.wishes[program.name])):
            self.world.unpeer(program, self.random.choice(wanted))

    def partition(self) -> None:
        self.world.cluster.fabric.partition(*self._pair())

    def heal(self) -> None:
        fabric = self.world.cluster.fabric
        if fabric._partitions:
            fabric.heal(*sorted(self.random.choice(sorted(fabric._partitions, key=sorted))))

    def cut(self) -> None:
        for _ in range(self.random.choice((1, 5))):
            self.world.cluster.fabric.cut(*self._pair())

    def pause(self) -> None:
        if program := self._some_program():
            program.endpoint.pause()

    def unpause(self) -> None:
        if paused := [program for program in self.world.now_alive.values() if program.endpoint.paused]:
            self.random.choice(paused).endpoint.unpause()

    def crash(self) -> None:
        if program := self._some_program():
            self.world.crash(program)

    def crash_and_restart(self) -> None:
        if program := self._some_program():
            self.world.crash(program)
            self.world.start(program.name)

    def close(self) -> None:
        if program := self._some_program():
            self.world.close(program)

    def restart(self) -> None:
        if dead := [name for name in self.names if name not in self.world.now_alive]:
            self.world.start(self.random.choice(dead))

    def wait_long(self) -> None:
        self.world.cluster.run(self.random.uniform(1.0, 20.0))


def run_scenario(seed: int) -> World:
    """Live the life of that seed; raises Broken, with the seed and how to see it again."""
    scenario = Scenario(seed)
    try:
        scenario.run()
    except Broken as error:
        raise Broken(f"seed {seed}: {error}\nreplay: SIMULATION_SEEDS={seed} pytest tests/simulation") from error
    return scenario.world
