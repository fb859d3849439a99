"""The faults of a life: of the network, and of processes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from simulated_world import Program, World

__all__ = ["Faults"]

# In a gentle life a fault ends by itself well before anybody is given up (10 s).
_GENTLE_S = 3.0


class Faults:
    """Makes them at random, and counts them."""

    def __init__(self, world: World, chance: random.Random, *, gentle: bool) -> None:
        self.world = world
        self.fabric = world.cluster.fabric
        self.random = chance
        self.gentle = gentle
        self.counts: Counter[str] = Counter()
        self._gentle_until = 0.0
        self._kinds: list[tuple[Callable[[], bool], float]] = [
            (self.cut, 8),
            (self.flap, 2),
            (self.half_open, 0 if gentle else 2),
            (self.slow, 2),
            (self.partition, 4),
            (self.partition_one_way, 2),
            (self.pause, 3),
            (self.crash, 0 if gentle else 1),
            (self.crash_and_restart, 0 if gentle else 2),
            (self.close, 0 if gentle else 1),
        ]

    def any(self) -> None:
        """Make some fault."""
        kinds, weights = zip(*self._kinds, strict=True)
        for fault in self.random.choices(kinds, weights, k=5):
            if fault():
                self.counts[fault.__name__] += 1
                return
        self.cut()
        self.counts["cut"] += 1

    def mend(self) -> None:
        """End one of the faults that last: a partition, a pause, a death."""
        if partitions := self.fabric.partitions:
            self.fabric.heal(*self.random.choice(partitions))
        elif paused := [program for program in self.world.now_alive.values() if program.endpoint.paused]:
            self.random.choice(paused).endpoint.unpause()
        if dead := sorted({program.name for program in self.world.lives} - set(self.world.now_alive)):
            self.world.start(self.random.choice(dead))

    def _pair(self) -> tuple[str, str]:
        names = sorted({program.name for program in self.world.lives})
        one, other = self.random.sample(names, 2)
        return one, other

    def _victim(self) -> Program | None:
        active = [program for program in self.world.now_alive.values() if program.active]
        return self.random.choice(active) if active else None

    def _soon(self, action: Callable[[], None]) -> None:
        """In a gentle life, let the fault end by itself, and none that lasts come after it for a while.

        Two of them one after the other could keep somebody away for long.
        """
        if self.gentle:
            now = self.world.cluster.now()
            self._gentle_until = now + 6 * _GENTLE_S
            self.world.cluster.call_at(now + self.random.uniform(0.0, _GENTLE_S), action)

    @property
    def _too_soon(self) -> bool:
        return self.gentle and self.world.cluster.now() < self._gentle_until

    # -- the network -------------------------------------------------------------------------------------------------

    def cut(self) -> bool:
        return any(self.fabric.cut(*self._pair()) for _ in range(self.random.choice((3, 8))))

    def flap(self) -> bool:
        self.fabric.flap(*self._pair(), period_s=self.random.choice((0.01, 0.3)), times=self.random.choice((2, 5)))
        return True

    def half_open(self) -> bool:
        return any(self.fabric.half_open(*self._pair()) for _ in range(3))

    def slow(self) -> bool:
        if self._too_soon:
            return False
        one, other = self._pair()
        self.fabric.slow(one, other, bytes_per_s=self.random.choice((50_000.0, 2e6)), delay_s=0.05)
        self._soon(lambda: self.fabric.heal(one, other))
        return True

    def partition(self) -> bool:
        if self._too_soon:
            return False
        one, other = self._pair()
        self.fabric.partition(one, other)
        self._soon(lambda: self.fabric.heal(one, other))
        return True

    def partition_one_way(self) -> bool:
        if self._too_soon:
            return False
        one, other = self._pair()
        self.fabric.partition(one, other, one_way=True)
        self._soon(lambda: self.fabric.heal(one, other))
        return True

    # -- processes ---------------------------------------------------------------------------------------------------

    def pause(self) -> bool:
        program = self._victim()
        if program is None or self._too_soon:
            return False
        program.endpoint.pause()

        def go_on() -> None:
            if program.endpoint.alive and program.endpoint.paused:
                program.endpoint.unpause()

        self._soon(go_on)
        return True

    def crash(self) -> bool:
        program = self._victim()
        if program is not None:
            self.world.crash(program)
        return program is not None

    def crash_and_restart(self) -> bool:
        program = self._victim()
        if program is not None:
            self.world.crash(program)
            self.world.start(program.name)
        return program is not None

    def close(self) -> bool:
        program = self._victim()
        if program is not None:
            self.world.close(program)
        return program is not None
