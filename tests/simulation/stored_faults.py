"""The faults of a mesh with stores: those of the network and of processes, and those of disks, masters and clones."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
from simulated_faults import Faults
from stored_history import Node
from stored_world import Life, Role, StoredWorld

from broker.testing.disk import SimulatedJournal

__all__ = ["StoredFaults"]


@attrs.frozen
class _Backup:
    store: str
    role: Role
    journal: SimulatedJournal
    node: Node | None


class StoredFaults(Faults):
    """Makes them at random, and counts them."""

    world: StoredWorld

    def __init__(self, world: StoredWorld, chance: random.Random) -> None:
        super().__init__(world, chance, gentle=False)
        self.backups: list[_Backup] = []
        self._kinds += [
            (self.crash_a_master, 3),
            (self.crash_a_clone, 2),
            (self.crash_while_paused, 1),
            (self.fill_a_disk, 3),
            (self.slow_a_disk, 3),
            (self.lose_frames, 4),
            (self.back_up, 4),
            (self.restore, 3),
            (self.move_a_master, 2),
            (self.second_master, 2),
            (self.end_a_master, 1.5),
            (self.leave_a_store, 2),
        ]
        self.attach_later: list[tuple[str, Role]] = []

    def mend(self) -> None:
        """End one of the faults that last."""
        super().mend()
        if self.world.disk.full and self.random.random() < 0.7:
            self.world.disk.full.discard(self.random.choice(sorted(self.world.disk.full)))
        if self.world.disk.busy and self.random.random() < 0.3:
            self.world.disk.busy.clear()
        if self.world.lossy and self.random.random() < 0.3:
            self.world.lossy.clear()
        if self.attach_later:
            name, role = self.attach_later.pop(self.random.randrange(len(self.attach_later)))
            self._attach(name, role)

    def mend_all(self) -> None:
        """End all of them."""
        self.world.disk.full.clear()
        self.world.disk.busy.clear()
        self.world.lossy.clear()
        self.world.heal()
        later, self.attach_later = self.attach_later, []
        for name, role in later:
            self._attach(name, role)

    def _attach(self, name: str, role: Role) -> None:
        """Give an endpoint a store, now or when it begins again; who has it already keeps it."""
        if role.store in self.world.roles[name]:
            return
        program = self.world.now_alive.get(name)
        if program is None:
            self.world.roles[name][role.store] = role
        elif program.active:
            self.world.attach(program, role)
        else:
            self.attach_later.append((name, role))

    def _life(self, wanted: Callable[[Life], bool]) -> Life | None:
        lives = [
            life
            for program in self.world.now_alive.values()
            for life in self.world.lives_of[program].values()
            if life.active and wanted(life)
        ]
        return self.random.choice(lives) if lives else None

    def _restart(self, life: Life) -> bool:
        self.world.crash(life.program)
        if self.random.random() < 0.6:
            self.world.start(life.name)
        return True

    # -- processes ---------------------------------------------------------------------------------------------------

    def crash_a_master(self) -> bool:
        life = self._life(lambda life: life.role.master)
        return life is not None and self._restart(life)

    def crash_a_clone(self) -> bool:
        life = self._life(lambda life: not life.role.master)
        return life is not None and self._restart(life)

    def crash_while_paused(self) -> bool:
        life = self._life(lambda life: life.role.durable)
        if life is None:
            return False
        life.program.endpoint.pause()
        self.world.cluster.run(self.random.choice((0.0, 0.001, 0.1, 8.0)))
        if life.program.endpoint.alive:
            self.world.crash(life.program)
            self.world.start(life.name)
        return True

    def lose_frames(self) -> bool:
        life = self._life(lambda _: True)
        if life is not None:
            self.world.lossy.add(life.name)
        return life is not None

    # -- disks -------------------------------------------------------------------------------------------------------

    def fill_a_disk(self) -> bool:
        life = self._life(lambda life: life.role.durable)
        if life is None or len(self.world.disk.full) > 1:
            return False
        self.world.disk.full.add(life.name)
        return True

    def slow_a_disk(self) -> bool:
        life = self._life(lambda life: life.role.durable)
        if life is not None:
            self.world.disk.busy.add(life.name)
        return life is not None

    def back_up(self) -> bool:
        life = self._life(lambda life: life.role.master and life.role.durable)
        if life is None:
            return False
        self.backups.append(_Backup(life.role.store, life.role, *self.world.backup(life.name, life.role.store)))
        return True

    def restore(self) -> bool:
        """Let a master's machine be set back to an older backup."""
        life = self._life(lambda life: life.role.master and life.role.durable)
        if life is None:
            return False
        backups = [backup for backup in self.backups if backup.store == life.role.store]
        if not backups:
            return False
        backup = self.random.choice(backups)
        self.world.crash(life.program)
        self.world.restore(life.name, backup.store, backup.journal, backup.node)
        self.world.start(life.name)
        return True

    # -- masters and clones ------------------------------------------------------------------------------------------

    def move_a_master(self) -> bool:
        """Let a master die for good, and another endpoint become it: with a copy of its disk, or from nothing."""
        life = self._life(lambda life: life.role.master)
        if life is None:
            return False
        store, world = life.role.store, self.world
        world.crash(life.program)
        del world.roles[life.name][store]
        others = [program for program in world.now_alive.values() if program.active]
        if not others:
            world.roles[life.name][store] = life.role
            return True
        heir = self.random.choice(others)
        role = life.role
        if role.durable and self.random.random() < 0.6:
            world.restore(heir.name, store, *world.backup(life.name, store))
        else:
            world.disk.remove(heir.name, store)
            world.kept.pop((heir.name, store), None)
        world.disk.remove(life.name, store)
        world.kept.pop((life.name, store), None)
        former = world.lives_of[heir].get(store)
        if former is not None:
            former.closing = True
            heir.endpoint.detach(store)
            world._end(former)
            del world.roles[heir.name][store]
        world.cluster.run(self.random.choice((0.0, 0.5, 3.0, 12.0)))
        self._attach(heir.name, role)
        if self.random.random() < 0.5:
            self.attach_later.append((life.name, Role(store, False, self.random.random() < 0.5, role.log_bytes)))
        return True

    def second_master(self) -> bool:
        """Let a program that cannot see the master become it, too."""
        life = self._life(lambda life: life.role.master)
        if life is None:
            return False
        store = life.role.store
        others = [p for p in self.world.now_alive.values() if p.active and store not in self.world.lives_of[p]]
        if not others or len(self.world.masters(store)) > 1:
            return False
        other = self.random.choice(others)
        if self.random.random() < 0.8:
            for name in sorted(self.world.now_alive):
                if name != other.name:
                    self.fabric.partition(other.name, name)
            self.world.cluster.run(self.random.uniform(6.0, 20.0))
        if other.active:
            durable = self.random.random() < 0.5
            self.world.disk.remove(other.name, store)
            self.world.kept.pop((other.name, store), None)
            self.world.attach(other, Role(store, True, durable, life.role.log_bytes))
        return True

    def end_a_master(self) -> bool:
        """Let one of several masters end; or the only one, which comes back later."""
        life = self._life(lambda life: life.role.master)
        if life is None:
            return False
        several = len(self.world.masters(life.role.store)) > 1
        self.world.detach(life)
        if not several and life.ended:
            self.attach_later.append((life.name, life.role))
        return True

    def leave_a_store(self) -> bool:
        life = self._life(lambda life: not life.role.master)
        if life is None:
            return False
        self.world.detach(life)
        if life.ended:
            self.attach_later.append((life.name, life.role))
        return True
