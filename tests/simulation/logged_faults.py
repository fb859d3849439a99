"""The faults of a mesh with log streams: those of the network and of processes, and those of spools and collectors."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
from logged_model import Line
from logged_readers import Reader, ReaderRole
from logged_world import LoggedWorld, WriterLife, WriterRole
from simulated_faults import Faults

from broker.testing.disk import SimulatedJournal

__all__ = ["LoggedFaults"]


@attrs.frozen
class _Backup:
    name: str
    stream: str
    journal: SimulatedJournal
    lines: dict[int, Line]


class LoggedFaults(Faults):
    """Makes them at random, and counts them."""

    world: LoggedWorld

    def __init__(self, world: LoggedWorld, chance: random.Random, *, gentle: bool) -> None:
        super().__init__(world, chance, gentle=gentle)
        self.backups: list[_Backup] = []
        self.writers_later: list[tuple[str, WriterRole]] = []
        self.readers_later: list[tuple[str, ReaderRole]] = []
        self._kinds += [
            (self.fill_a_disk, 3),
            (self.tighten_a_disk, 3),
            (self.slow_a_disk, 3),
            (self.leave, 4),
            (self.join, 3),
            (self.end_a_writer, 2),
        ]
        if not gentle:
            self._kinds += [
                (self.crash_a_writer, 5),
                (self.crash_a_reader, 5),
                (self.crash_while_paused, 2),
                (self.pause_for_long, 2),
                (self.lose_frames, 4),
                (self.move_a_reader, 4),
                (self.back_up, 4),
                (self.restore, 4),
                (self.lose_a_spool, 2),
                (self.forget, 1),
                (self.replay, 2),
            ]

    def mend(self) -> None:
        """End one of the faults that last."""
        super().mend()
        disk, chance = self.world.disk, self.random
        if disk.full and chance.random() < 0.7:
            disk.full.discard(chance.choice(sorted(disk.full)))
        if disk.tight and chance.random() < 0.7:
            disk.tight.discard(chance.choice(sorted(disk.tight)))
        if disk.busy and chance.random() < 0.3:
            disk.busy.clear()
        if self.world.lossy and chance.random() < 0.3:
            self.world.lossy.clear()
        if self.writers_later:
            self._begin_writer(*self.writers_later.pop(chance.randrange(len(self.writers_later))))
        if self.readers_later:
            self._begin_reader(*self.readers_later.pop(chance.randrange(len(self.readers_later))))

    def mend_all(self) -> None:
        """End all of them."""
        world = self.world
        world.disk.full.clear()
        world.disk.tight.clear()
        world.disk.busy.clear()
        world.lossy.clear()
        world.heal()
        writers, self.writers_later = self.writers_later, []
        for name, role in writers:
            self._begin_writer(name, role)
        readers, self.readers_later = self.readers_later, []
        for name, reader_role in readers:
            self._begin_reader(name, reader_role)

    def _begin_writer(self, name: str, role: WriterRole) -> None:
        program = self.world.now_alive.get(name)
        if program is None:
            self.world.writer_roles[name][role.stream] = role
        elif program.active:
            self.world.begin_writer(program, role)
        else:
            self.writers_later.append((name, role))

    def _begin_reader(self, name: str, role: ReaderRole) -> None:
        program = self.world.now_alive.get(name)
        if program is None:
            self.world.reader_roles[name].append(role)
        elif program.active:
            self.world.begin_reader(program, role)
        else:
            self.readers_later.append((name, role))

    def some_writer(self, wanted: Callable[[WriterLife], bool] = lambda _: True) -> WriterLife | None:
        lives = [life for life in self.world.all_writers() if life.active and wanted(life)]
        return self.random.choice(lives) if lives else None

    def some_reader(self, wanted: Callable[[Reader], bool] = lambda _: True) -> Reader | None:
        readers = [reader for reader in self.world.all_readers() if reader.active and wanted(reader)]
        return self.random.choice(readers) if readers else None

    # -- processes -------------------------------------------------------------------------------------------------

    def _kill(self, life: WriterLife | Reader | None) -> bool:
        if life is None:
            return False
        program = life.program
        self.world.crash(program)
        if self.random.random() < 0.6:
            self.world.start(program.name)
        return True

    def crash_a_writer(self) -> bool:
        return self._kill(self.some_writer())

    def crash_a_reader(self) -> bool:
        return self._kill(self.some_reader())

    def crash_while_paused(self) -> bool:
        life = self.some_writer() if self.random.random() < 0.5 else self.some_reader()
        if life is None:
            return False
        program = life.program
        program.endpoint.pause()
        self.world.cluster.run(self.random.choice((0.0, 0.001, 0.1, 8.0, 12.0)))
        self.world.note_trouble()
        if program.endpoint.alive:
            self.world.crash(program)
            self.world.start(program.name)
        return True

    def pause_for_long(self) -> bool:
        """Let a collector stop for longer than the lease, while others go on."""
        reader = self.some_reader()
        if reader is None:
            return False
        reader.program.endpoint.pause()
        self.world.cluster.run(self.random.uniform(8.0, 16.0))
        self.world.note_trouble()
        if reader.program.endpoint.alive:
            reader.program.endpoint.unpause()
        return True

    def lose_frames(self) -> bool:
        program = self._victim()
        if program is not None:
            self.world.lossy.add(program.name)
        return program is not None

    # -- disks -----------------------------------------------------------------------------------------------------

    def fill_a_disk(self) -> bool:
        life = self.some_writer(lambda life: life.role.durable)
        if life is None or len(self.world.disk.full) > 1:
            return False
        self.world.disk.full.add(life.name)
        return True

    def tighten_a_disk(self) -> bool:
        """Let a disk have no more room for records."""
        life = self.some_writer(lambda life: life.role.durable)
        if life is None or len(self.world.disk.tight) > 1:
            return False
        self.world.disk.tight.add(life.name)
        return True

    def slow_a_disk(self) -> bool:
        life = self.some_writer(lambda life: life.role.durable)
        if life is not None:
            self.world.disk.busy.add(life.name)
        return life is not None

    def back_up(self) -> bool:
        life = self.some_writer(lambda life: life.role.durable)
        if life is None:
            return False
        self.backups.append(_Backup(life.name, life.role.stream, *self.world.backup(life.name, life.role.stream)))
        return True

    def restore(self) -> bool:
        """Let a writer's machine be set back to an older backup."""
        kept = {(one.name, one.stream) for one in self.backups}
        life = self.some_writer(lambda life: life.role.durable and (life.name, life.role.stream) in kept)
        if life is None:
            return False
        backups = [one for one in self.backups if (one.name, one.stream) == (life.name, life.role.stream)]
        backup = self.random.choice(backups)
        self.world.crash(life.program)
        self.world.restore(backup.name, backup.stream, backup.journal, backup.lines)
        self.world.start(life.name)
        return True

    def lose_a_spool(self) -> bool:
        life = self.some_writer(lambda life: life.role.durable)
        if life is None:
            return False
        self.world.crash(life.program)
        self.world.lose_spool(life.name, life.role.stream)
        self.world.start(life.name)
        return True

    # -- writers and collectors ------------------------------------------------------------------------------------

    def end_a_writer(self) -> bool:
        life = self.some_writer(lambda life: life.name not in self.world.disk.full | self.world.disk.tight)
        if life is None:
            return False
        self.world.end_writer(life)
        if life.ended:
            self.writers_later.append((life.name, life.role))
        return True

    def leave(self) -> bool:
        """Let a program leave a collector, and perhaps another one begin instead."""
        reader = self.some_reader()
        if reader is None:
            return False
        self.world.end_reader(reader, acknowledge=self.random.random() < 0.7)
        self.readers_later.append((reader.program.name, reader.role))
        return True

    def join(self) -> bool:
        """Let one more member take part."""
        reader = self.some_reader(lambda reader: reader.role.kind != "database")
        program = self._victim()
        if reader is None or program is None or len(self.world.all_readers()) > 12:
            return False
        self.world.begin_reader(program, attrs.evolve(reader.role, replay=False))
        return True

    def move_a_reader(self) -> bool:
        """Let a collector end, or die, and go on at another endpoint: with its database, if it has one."""
        reader = self.some_reader()
        if reader is None:
            return False
        world, role = self.world, reader.role
        if self.random.random() < 0.5:
            world.end_reader(reader, acknowledge=self.random.random() < 0.7)
            world.cluster.run(self.random.choice((0.0, 3.0)))
        else:
            world.crash(reader.program)
            world.reader_roles[reader.program.name].remove(role)
        others = [program.name for program in world.now_alive.values() if program.active]
        self._begin_reader(self.random.choice(others or [reader.program.name]), role)
        return True

    def forget(self) -> bool:
        life = self.some_writer(lambda life: bool(life.handle.collectors))
        if life is None:
            return False
        name = self.random.choice(sorted(life.handle.collectors))
        life.spool.reset(name, self.world.now + 15.0)
        life.handle.forget(name)
        return True

    def replay(self) -> bool:
        """Let a collector that is alone begin from the oldest record again."""
        reader = self.some_reader(lambda r: r.role.kind in {"eager", "slow"} and bool(r.role.name) and r.books.lone(r))
        if reader is None:
            return False
        self.world.end_reader(reader, acknowledge=True)
        self.world.cluster.run(3.0)
        self._begin_reader(reader.program.name, attrs.evolve(reader.role, replay=True))
        return True
