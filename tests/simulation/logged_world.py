"""Meshes with log streams: programs that write and collect them, what they were told, and what is true of each spool.

Every commit of a spool is looked at when it is done, before anybody can have got any of it; every record when a program
gets it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import attrs
import msgspec
import trio
from logged_books import Books, Database
from logged_model import Line, Spool
from logged_readers import Reader, ReaderRole
from simulated_world import Broken, Program, World

import broker
from broker.logs.spool import TABLES
from broker.protocol.member import Member
from broker.status import Status
from broker.testing import Conditions, SimulatedLog
from broker.testing.disk import SimulatedJournal

__all__ = ["Entry", "LoggedWorld", "WriterLife", "WriterRole"]

# What is sent and what is held must have come to rest so long after the last fault.
_AFTERMATH_S = 20.0


@broker.event(name="simulation.Entry")
class Entry:
    uid: int
    body: bytes


@attrs.define(eq=False)
class WriterRole:
    """What an endpoint writes, in each of its lives."""

    stream: str
    durable: bool
    options: dict[str, Any]

    @property
    def limited(self) -> bool:
        return bool(self.options.get("drop_oldest") or "limit_age_s" in self.options)


@attrs.define(eq=False)
class WriterLife:
    """One life of a writer."""

    program: Program
    role: WriterRole
    handle: SimulatedLog
    spool: Spool
    ended: bool = False
    dropped_before: int = 0
    first_of_program: bool = True

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def active(self) -> bool:
        return not self.ended and self.program.active

    def __str__(self) -> str:
        return f"writer of {self.role.stream} at {self.name}"


class LoggedWorld(World):
    """A world whose programs write and collect log streams."""

    def __init__(self, seed: int, conditions: Conditions | None = None, *, gentle: bool) -> None:
        super().__init__(seed, conditions)
        self.gentle = gentle
        self.peace = False  # everybody acknowledges
        self.chance = random.Random(seed + 1)
        self.writer_roles: dict[str, dict[str, WriterRole]] = defaultdict(dict)  # by endpoint, by stream
        self.reader_roles: dict[str, list[ReaderRole]] = defaultdict(list)
        self.writers: dict[Program, dict[str, WriterLife]] = defaultdict(dict)
        self.readers_of: dict[Program, list[Reader]] = defaultdict(list)
        self.spools: dict[bytes, Spool] = {}
        self.books: dict[tuple[str, str], Books] = {}  # by stream and name
        self.databases: dict[tuple[str, str], Database] = {}
        self.counts: Counter[str] = Counter()
        self.lossy: set[str] = set()
        self.trouble_at = float("-inf")
        self.left: Counter[Program] = Counter()  # how many collectors a program has left
        self._wrote: list[tuple[Program, str]] = []
        self.uid = 0
        self.look_for_trouble()

    @property
    def now(self) -> float:
        return self.cluster.now()

    @property
    def disk(self) -> Any:
        return self.cluster.disk

    # -- trouble ---------------------------------------------------------------------------------------------------

    def look_for_trouble(self) -> None:
        """Take note of faults that last, again and again."""
        self.note_trouble()
        self.cluster.call_at(self.now + 1.0, self.look_for_trouble)

    def note_trouble(self) -> None:
        """Take note of faults that last."""
        paused = any(program.endpoint.paused for program in self.now_alive.values())
        dead = len(self.now_alive) < len({program.name for program in self.lives})
        if self.cluster.fabric.partitions or paused or dead or self.lossy:
            self.trouble_at = self.now

    def troubled(self, since: float) -> bool:
        """Whether somebody may have been out of reach for longer than the lease since then."""
        return not self.gentle and self.trouble_at >= since - _AFTERMATH_S

    # -- beginning and end -----------------------------------------------------------------------------------------

    def start(self, name: str) -> Program:
        program = super().start(name)
        self._lose_frames_of(program)
        for role in list(self.writer_roles[name].values()):
            self.begin_writer(program, role)
        for reader_role in list(self.reader_roles[name]):
            self.begin_reader(program, reader_role)
        return program

    def _lose_frames_of(self, program: Program) -> None:
        """Let frames of logs be lost, come twice and be overtaken, as where relays die and ways change."""
        logs, chance = program.endpoint.node.logs, random.Random(self.cluster.random.getrandbits(64))
        take = logs.take

        def taking(member: Member, flow: int, sequence: int, kind: int, body: bytes, now: float) -> None:
            what = chance.random() if program.name in self.lossy else 1.0
            if what > 0.3:
                take(member, flow, sequence, kind, body, now)
            if 0.15 < what < 0.4:
                self.cluster.call_at(now + chance.uniform(0.0, 0.1), lambda: late(member, flow, sequence, kind, body))

        def late(member: Member, flow: int, sequence: int, kind: int, body: bytes) -> None:
            if program.active and program.endpoint.node.members.members.get(member.id) is member:
                take(member, flow, sequence, kind, body, self.now)
                program.endpoint.node.flush_logs(self.now)
                program.endpoint.round_done()

        logs.take = taking  # type: ignore[method-assign]

    def begin_writer(self, program: Program, role: WriterRole) -> WriterLife:
        """Let a program write a stream, on the spool that its endpoint's disk has."""
        self.writer_roles[program.name][role.stream] = role
        if role.durable:
            self._learn(self._spool(self._journal(program.name, role.stream), program.name, role))
            before = self._journal(program.name, role.stream).get(3, b"state")
        else:
            before = None
        handle = program.endpoint.log(role.stream, Entry, durable=role.durable, **role.options)
        spool = self._spool(handle.machine.journal, program.name, role)
        if not role.durable:
            for former in self.spools.values():
                if former is not spool and (former.stream, former.writer) == (role.stream, program.name):
                    former.gone = True
        if spool.tip < spool.promised:
            raise Broken(f"{spool} has {spool.tip} records, {spool.promised} were told to be on the disk")
        if handle.last != spool.tip:
            raise Broken(f"{spool} has {spool.tip} records, and its writer goes on behind {handle.last}")
        for number in [number for number in spool.taken if number > spool.tip]:
            del spool.taken[number]
            self.counts["taken and lost with its writer"] += 1
        first = not any(former == (program, role.stream) for former in self._wrote)
        self._wrote.append((program, role.stream))
        life = WriterLife(program, role, handle, spool, False, _dropped(before), first)
        self.writers[program][role.stream] = life
        handle.on_change = lambda: self._changed(life)
        self._changed(life)  # in memory its first commit is done already
        return life

    def _journal(self, name: str, stream: str) -> SimulatedJournal:
        journal: SimulatedJournal = self.disk.open(name, f"log {stream}", len(TABLES))
        return journal

    def _spool(self, journal: Any, name: str, role: WriterRole) -> Spool:
        id_ = journal.position.journal
        spool = self.spools.get(id_)
        if spool is None:
            spool = self.spools[id_] = Spool(id_, role.stream, name, role.limited)
        spool.limits |= role.limited
        spool.kept = journal
        return spool

    def begin_reader(self, program: Program, role: ReaderRole) -> Reader:
        """Let a program collect a stream."""
        if role not in self.reader_roles[program.name]:
            self.reader_roles[program.name].append(role)
        key = (role.stream, role.name or f"#{len(self.books)}")
        books = self.books.get(key)
        if books is None:
            books = self.books[key] = Books(self, *key)
        reader = Reader(self, program, role, books, Entry)
        self.readers_of[program].append(reader)
        return reader

    def crash(self, program: Program) -> None:
        writers = list(self.writers[program].values())
        super().crash(program)
        self._end_all(program, crashed=True)
        for life in writers:
            if life.role.durable:
                self._learn(life.spool)

    def close(self, program: Program) -> None:
        super().close(program)
        self._end_all(program, crashed=False)

    def _end_all(self, program: Program, *, crashed: bool) -> None:
        for life in self.writers.pop(program, {}).values():
            life.ended = True
            self._learn(life.spool)
        for reader in self.readers_of.pop(program, []):
            reader.end(crashed=crashed)
        if not crashed:
            self.trouble_at = self.now

    def end_writer(self, life: WriterLife) -> None:
        """End a writer as a program does: first what was written is on the disk."""
        life.handle.flush()
        self.cluster.run_until(lambda: life.handle.idle or not life.active, 5.0)
        if life.active:
            life.handle.close()
            life.ended = True
            self.counts["writer ended"] += 1
            del self.writers[life.program][life.role.stream]
            del self.writer_roles[life.name][life.role.stream]
            self._learn(life.spool)

    def end_reader(self, reader: Reader, *, acknowledge: bool) -> None:
        """Let a program leave a collector."""
        reader.close(acknowledge=acknowledge)
        self.left[reader.program] += 1
        self.readers_of[reader.program].remove(reader)
        self.reader_roles[reader.program.name].remove(reader.role)

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self, life: WriterLife, size: int, *, durable: bool) -> bool:
        """Write the next record; False when the spool is full."""
        self.uid += 1
        try:
            number = life.handle.write(Entry(self.uid, bytes(size)), durable=durable)
        except trio.WouldBlock:
            self.counts["writer blocked"] += 1
            return False
        self.counts["record"] += 1
        life.spool.taken[number] = self.uid
        return True

    def _changed(self, life: WriterLife) -> None:
        self._learn(life.spool)
        if life.handle.durable > life.spool.tip:
            raise Broken(f"{life} says that {life.handle.durable} records are on the disk, {life.spool.tip} are")
        life.spool.promised = max(life.spool.promised, life.handle.durable)

    def _learn(self, spool: Spool) -> None:
        for registration, news, lost in spool.learn(spool.kept, self.now):
            books = self.books.get((spool.stream, registration.name))
            if books is None or spool.was_reset(registration.name, self.now - 1.0):
                continue  # it was forgotten or replays, and begins elsewhere
            known = books.settle(spool, news, lost)
            self.counts["record lost to a name"] += max(0, lost)
            self.counts["record done"] += known

    # -- disks -----------------------------------------------------------------------------------------------------

    def backup(self, name: str, stream: str) -> tuple[SimulatedJournal, dict[int, Line]]:
        """Copy an endpoint's spool."""
        spool = self._spool_of(name, stream)
        self._learn(spool)
        return self.disk.backup(name, f"log {stream}"), dict(spool.lines)

    def _spool_of(self, name: str, stream: str) -> Spool:
        journal = self._journal(name, stream)
        return self._spool(journal, name, self.writer_roles[name][stream])

    def restore(self, name: str, stream: str, journal: SimulatedJournal, lines: dict[int, Line]) -> None:
        """Put a copy in its place, where the endpoint does not run."""
        for spool in self.spools.values():
            if (spool.writer, spool.stream) == (name, stream) and spool.journal != journal.position.journal:
                spool.gone = True
        self.disk.restore(name, f"log {stream}", journal)
        spool = self._spool_of(name, stream)
        spool.gone = False
        spool.set_back(spool.kept, lines, self.now)

    def lose_spool(self, name: str, stream: str) -> None:
        """Lose an endpoint's spool, where the endpoint does not run."""
        self._spool_of(name, stream).gone = True
        self.disk.remove(name, f"log {stream}")

    # -- who -------------------------------------------------------------------------------------------------------

    def all_writers(self) -> list[WriterLife]:
        return [life for lives in self.writers.values() for life in lives.values()]

    def all_readers(self) -> list[Reader]:
        return [reader for readers in self.readers_of.values() for reader in readers]

    def told(self, kind: type[Status]) -> list[tuple[Program, Any]]:
        return [(p, status) for p in self.lives for status in p.endpoint.status if type(status) is kind]


def _dropped(state: bytes | None) -> int:
    """Return how many records were dropped, from what a spool has of it."""
    if state is None:
        return 0
    dropped: int = msgspec.msgpack.decode(state)[2]
    return dropped
