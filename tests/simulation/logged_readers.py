"""Programs that collect a log stream, each in its own way, and at its own pace."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs
from logged_books import Books, Database
from simulated_world import Broken, Program

from broker.logs.messages import LogMessage
from broker.testing import SimulatedCollector

if TYPE_CHECKING:
    from logged_world import LoggedWorld

__all__ = ["KINDS", "Reader", "ReaderRole"]

KINDS = ("eager", "slow", "explicit", "lazy", "database")


@attrs.define(eq=False)
class ReaderRole:
    """What an endpoint collects, in each of its lives."""

    stream: str
    name: str  # empty: none
    kind: str
    since: str = "earliest"
    replay: bool = False
    queue_bytes: int = 8 << 20
    pace_s: float = 0.1


class Reader:
    """One life of a program that collects.

    An *eager* one reads what comes, a *slow* one now and then; both acknowledge by reading on.  An *explicit* one does
    in any order, a *lazy* one does not; one with a *database* has its effects once, whatever dies.
    """

    def __init__(self, world: LoggedWorld, program: Program, role: ReaderRole, books: Books, record: type) -> None:
        self.world = world
        self.program = program
        self.role = role
        self.books = books
        self.began = world.now
        self.ended_at = float("inf")
        self.crashed = False
        self.lost_before = 0
        self.hands: list[LogMessage] = []  # given, and not acknowledged
        self.got: list[LogMessage] = []  # given, and not known to be written down
        self.database: Database | None = None
        self._owed: list[LogMessage] = []  # in the database, and not acknowledged
        self._chance = random.Random(world.chance.getrandbits(64))
        if role.kind == "database":
            self.database = world.databases.setdefault((role.stream, role.name), Database())
        if role.replay:
            for spool in world.spools.values():
                if spool.stream == role.stream:
                    spool.reset(books.name, world.now + 60.0)
        books.readers.append(self)
        self.handle: SimulatedCollector = program.endpoint.collect(
            role.stream,
            record,
            name=role.name,
            since=role.since,
            acknowledge="auto" if role.kind in {"eager", "slow"} else "explicit",
            reading=False,
            replay=role.replay,
            queue_bytes=role.queue_bytes,
            checkpoint=None if self.database is None else self.database.checkpoint,
        )
        self.handle.on_messages = self._got
        if role.kind == "eager":
            self.handle.go_on_reading()
        self._work_later()

    @property
    def active(self) -> bool:
        return self.ended_at == float("inf") and self.program.active

    def _got(self, messages: list[LogMessage]) -> None:
        self.books.give(self, messages)
        self.got += messages
        self.lost_before += sum(message.lost_before for message in messages)
        if self.role.kind in {"eager", "slow"}:
            self.books.acknowledge(self, messages)
        else:
            self.hands += messages

    # -- working ---------------------------------------------------------------------------------------------------

    def _work_later(self) -> None:
        pace_s = self._chance.uniform(0.0, 2 * self.role.pace_s)
        self.world.cluster.call_at(self.world.now + pace_s, self._work)

    def _work(self) -> None:
        if self.ended_at < float("inf"):
            return
        if self.active:
            self.work()
        self._work_later()

    def work(self) -> None:
        """Read and acknowledge some."""
        kind, chance = self.role.kind, self._chance
        if kind == "eager":
            return
        for _ in range(chance.choice((1, 3, 10))):
            if kind == "lazy" and len(self.hands) > 500 and not self.world.peace:
                break
            if not self.handle.read():
                break
        if kind == "explicit" or (kind == "lazy" and self.world.peace):
            self._acknowledge_some()
        elif kind == "database":
            self._commit()

    def _acknowledge_some(self) -> None:
        hands, chance = self.hands, self._chance
        if not hands:
            return
        how = chance.random()
        if how < 0.3 or self.world.peace:
            self._acknowledge(list(hands))
        elif how < 0.6:
            self._acknowledge(chance.sample(hands, chance.randint(1, len(hands))))
        elif how < 0.8:
            message = chance.choice(hands)
            journal, epoch = message.epoch.journal, message.epoch
            if all((other.epoch == epoch) for other in hands if other.epoch.journal == journal):
                through = [m for m in hands if m.epoch == epoch and m.number <= message.number]
                self.books.acknowledge(self, through)
                self.handle.acknowledge(message, through=True)
                self.hands = [m for m in hands if m not in through]

    def _acknowledge(self, messages: list[LogMessage]) -> None:
        done = set(map(id, messages))
        self.hands = [message for message in self.hands if id(message) not in done]
        self.books.acknowledge(self, messages)
        for message in messages:
            self.handle.acknowledge(message)

    def _commit(self) -> None:
        """Let the database take what was read; what it has taken is acknowledged, now or later."""
        chance, database = self._chance, self.database
        assert database is not None
        if self.hands and (chance.random() < 0.7 or self.world.peace):
            database.checkpoint = self.handle.checkpoint(_ends(self._owed + self.hands))
            for message in self.hands:
                self.take_effect(message)
            self.books.acknowledge(self, self.hands)
            self._owed += self.hands
            self.hands = []
        if chance.random() < 0.5 or self.world.peace:
            owed, self._owed = self._owed, []
            for message in owed:
                self.handle.acknowledge(message)

    def take_effect(self, message: LogMessage) -> None:
        database, uid = self.database, message.record.uid
        assert database is not None
        at = database.effects.get(uid)
        spool = self.world.spools[message.epoch.journal]
        if at is not None and not spool.was_reset(self.books.name, at - 60.0):
            raise Broken(f"{self}: the effects of {message.number} of {spool} are there twice")
        database.effects[uid] = self.world.now

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self, *, acknowledge: bool) -> None:
        self.handle.close(acknowledge=acknowledge)
        self.end(crashed=False)

    def end(self, *, crashed: bool) -> None:
        self.ended_at = self.world.now
        self.crashed = crashed

    def check_written_down(self) -> None:
        """Check that what this member no longer keeps in mind is written down, where nobody else can have it."""
        if not self.active or self.books.passing or not self.books.lone(self):
            self.got.clear()
            return
        rest = []
        for message in self.got:
            source = self.handle.machine.sources.get(message.epoch.journal)
            key = (message.epoch.epoch, message.epoch.checksum)
            minds = [] if source is None else [source.held.get(key, ()), source.done.get(key, ())]
            if any(message.number in numbers for numbers in minds):
                rest.append(message)
                continue
            spool = self.world.spools[message.epoch.journal]
            registration = spool.names.get(self.books.name)
            line = spool.lines.get(message.number)
            if line is None or line.uid != message.record.uid or spool.was_reset(self.books.name, self.began - 60.0):
                continue
            if spool.gone:
                continue
            if registration is None or not (
                message.number <= registration.floor or message.number in registration.done
            ):
                raise Broken(f"{self} takes {message.number} of {spool} for written down, and it is not")
        self.got = rest

    def __str__(self) -> str:
        return f"{self.role.kind} reader {self.role.name!r} of {self.role.stream} at {self.program.name}"


def _ends(messages: list[LogMessage]) -> list[LogMessage]:
    """Return the last message of each epoch."""
    last: dict[tuple[bytes, int, bytes], LogMessage] = {}
    for message in messages:
        key = (message.epoch.journal, message.epoch.epoch, message.epoch.checksum)
        if key not in last or message.number > last[key].number:
            last[key] = message
    return list(last.values())
