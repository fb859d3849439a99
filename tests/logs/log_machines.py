"""What the tests of writers' and collectors' machines share: spools in memory, frames that are held back at will."""

from __future__ import annotations

from typing import Any

import msgspec

from broker.errors import BrokerError, JournalFull
from broker.journaling import Commit, MemoryJournal
from broker.log_records import Column
from broker.logs import wire
from broker.logs.sessions import Post
from broker.logs.source import Source
from broker.logs.spool import TABLES
from broker.logs.wire import Claim, Collect, Collected, LogKind, Records, Schema, Since
from broker.logs.writer import Options, Writer
from broker.protocol.actions import CarryOut, Tell
from broker.trust.judge import EVERYTHING

SCHEMA = Schema("T", (Column("n", "int"),))


class Peer:
    """An endpoint, as far as writers look at one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = name.encode().ljust(16, b".")
        self.reachable = True
        self.grants = EVERYTHING


class SpoolJournal(MemoryJournal):
    """A journal whose commits are carried out when the test says so."""

    volatile = False


class Bench(Post):
    """A writer on a spool, and what it sends; the test is its collectors, its disk and its clock."""

    def __init__(self, journal: MemoryJournal | None = None, mark: bytes = b"mark0001", **options: Any) -> None:
        self.journal = journal or SpoolJournal(bytes(16), len(TABLES))
        self.now = 100.0
        self.sent: list[tuple[int, bytes, Any, int, int]] = []
        self.told: list[Any] = []
        self.work: Commit | None = None
        self.writer = Writer(
            "s",
            self.journal,
            self,
            self._act,
            schema=SCHEMA,
            options=Options(**options),
            mark=mark,
            now=self.now,
            time_ns=10**18,
        )

    # -- what the writer needs

    def send(self, kind: int, body: bytes, member: Any, flow: int = 0, sequence: int = 0) -> None:
        self.sent.append((kind, body, member, flow, sequence))

    def reaches(self, member: Any) -> bool:
        return bool(member.reachable)

    def begin(self, source: Source) -> int:
        raise NotImplementedError

    def over(self, serial: int) -> None:
        raise NotImplementedError

    def _act(self, action: Any) -> None:
        if isinstance(action, CarryOut):
            assert self.work is None
            self.work = action.work  # type: ignore[assignment]
        elif isinstance(action, Tell):
            self.told.append(action.status)

    # -- the disk and the clock

    def commit(self, error: BrokerError | None = None) -> Commit:
        """Carry out the commit that waits, or let it fail."""
        work, self.work = self.work, None
        assert work is not None
        if error is None:
            self.journal.carry_out(work)
        self.writer.carried_out(error, self.now)
        self.writer.pump(self.now)
        return work

    def fail(self) -> Commit:
        return self.commit(JournalFull("a spool", "no space left on device"))

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and commit all there is."""
        self.now += seconds
        for _ in range(1000):
            if self.work is not None:
                self.commit()
            elif self.writer.next_deadline() <= self.now:
                self.writer.pump(self.now)
            else:
                return
        raise AssertionError("it never comes to rest")

    def write(self, count: int, size: int = 0, *, settle: bool = True) -> None:
        for _ in range(count):
            record = msgspec.msgpack.encode([10**18 + round(self.now * 1e9), bytes(size)])
            self.writer.append(record, self.writer.started_ns + round((self.now - 100) * 1e9))
        self.writer.hurry(self.now)
        if settle:
            self.settle()

    def again(self, mark: bytes, *, journal: MemoryJournal | None = None) -> Bench:
        """The writer's next life on the same spool, or on a copy of it."""
        bench = Bench(journal or self.journal, mark)
        bench.settle()
        return bench

    # -- collectors

    def collect(self, peer: Peer, serial: int, member: bytes, name: str = "a", **more: Any) -> Collected | None:
        """Let a collector ask; returns the answer."""
        options: dict[str, Any] = {"since": Since("earliest"), "replay": False, "window": 1 << 20, "schema": None}
        options["claims"] = ()
        options["journal"] = self.journal.position.journal
        options.update(more)
        asked = Collect("s", serial, name, member, **options)
        self.sent.clear()
        self.writer.serving.take(peer, LogKind.COLLECT, wire.encode(asked), self.now)  # type: ignore[arg-type]
        self.writer.pump(self.now)
        answers = [wire.decode(Collected, body) for kind, body, *_ in self.sent if kind == LogKind.COLLECTED]
        return answers[0] if answers else None

    def acknowledge(self, peer: Peer, serial: int, number: int, *claims: Claim, received: int = 0) -> None:
        word = wire.Acknowledge("s", serial, number, received, received, 1 << 20, False, claims)
        self.writer.serving.take(peer, LogKind.ACKNOWLEDGE, wire.encode(word), self.now)  # type: ignore[arg-type]
        self.writer.pump(self.now)

    def leave(self, peer: Peer, serial: int, begun: tuple[tuple[int, int], ...] = (), *done: Claim) -> None:
        word = wire.Leave("s", serial, done, begun)
        self.writer.serving.take(peer, LogKind.LEAVE, wire.encode(word), self.now)  # type: ignore[arg-type]
        self.writer.pump(self.now)

    def claim(self, *done: tuple[int, int], held: tuple[tuple[int, int], ...] = ()) -> Claim:
        return Claim(self.writer.epoch, self.writer.mark, held, done)

    def given(self, peer: Peer, serial: int) -> list[tuple[int, int, bool, int]]:
        """Return what was sent to a session: first, last, whether marked, how many lost before."""
        found = []
        for kind, body, member, flow, _ in self.sent:
            if kind == LogKind.RECORDS and member is peer and flow == serial:
                for piece in wire.decode(Records, body).pieces:
                    from broker.logs.chunks import read_chunk

                    chunk = read_chunk(piece.chunk)
                    found.append((chunk.first, chunk.last, piece.again, piece.lost))
        return found
