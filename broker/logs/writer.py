"""The writer of a log stream: takes records, has them written to its spool, and serves collectors from there.

Records are gathered, encoded, into chunks; one commit takes all that there are, so whoever writes while a commit is
under way shares the next.  Nothing is served before it is committed.  The same commits carry the collectors' cursors
and trim what all of them have; without records to go with, cursors wait :data:`_CURSORS_S` for company.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from broker.errors import BrokerError, JournalError, JournalFull
from broker.journaling import Commit, Journal, Position, Record, chain
from broker.logs import wire
from broker.logs.chunks import CHUNK_BYTES, CHUNK_RECORDS, pack_chunk
from broker.logs.groups import Group
from broker.logs.retention import Retention
from broker.logs.serving import Serving
from broker.logs.sessions import Post
from broker.logs.spool import CURSORS, EPOCHS, SCHEMAS, STATE, Spool, expected_key, schema_id
from broker.logs.wire import Schema
from broker.protocol.actions import Action, CarryOut, LogChanged, Tell
from broker.status import LogFailing, LogRecovered, Status

__all__ = ["PENDING_BYTES", "Options", "Writer"]

# What waits for a commit: many times what one takes, so that writers seldom wait, and little enough to lose or hold.
PENDING_BYTES: Final = 8 << 20
_COMMIT_BYTES: Final = 1 << 20  # in one commit: 10 ms of a good disk
_CURSORS_S: Final = 0.01
_RETRY_S: Final = 1.0
# Schemas of collectors: what one may take, and how many are kept.  They are only for telling when a name is in use for
# other records.
_EXPECTED_BYTES_MAX: Final = 64 << 10
_EXPECTED_MAX: Final = 100
_NEVER: Final = float("inf")
_NOW: Final = float("-inf")


Rows = dict[int, dict[bytes, bytes | None]]
"""Of tables, by their numbers; None: removed."""


class Options(Struct, frozen=True):
    """How a spool is kept: see :meth:`broker.Endpoint.log`."""

    limit_bytes: int = 1 << 30
    limit_age_s: float = _NEVER
    drop_oldest: bool = False
    keep_bytes: int = 0
    delay_s: float = 0.02
    collectors: tuple[str, ...] = ()


class _Part(Struct):
    """Records that will be a chunk."""

    first: int
    time_ns: int
    records: list[bytes]
    size: int


class Writer:
    """The writer of one stream at one endpoint."""

    def __init__(
        self,
        stream: str,
        journal: Journal,
        post: Post,
        act: Callable[[Action], None],
        *,
        schema: Schema,
        options: Options,
        mark: bytes,
        now: float,
        time_ns: int,
    ) -> None:
        self.name = stream
        self.journal = journal
        self.options = options
        self._act = act
        self.mark = mark
        self._clock_ns = time_ns - round(now * 1e9)  # the wall clock at the monotonic one's zero
        self.started_ns = time_ns
        self.spool = Spool(journal)
        self.ready = False
        self.closing = False
        packed = wire.encode(schema)
        self._schema = schema_id(packed)
        self.schemas = {**self.spool.schemas(), self._schema: schema}
        self.expected = self.spool.expected()  # by collectors' names, where they are others
        self.groups = {
            name: Group.loaded(name, cursor, self.spool.state.next, now)
            for name, cursor in self.spool.cursors().items()
        }
        for name in options.collectors:
            if name not in self.groups:
                self.groups[name] = Group(name, self.spool.oldest - 1)
        self._rows: Rows = {}  # to be written with the next commit
        self._rows_under_way: Rows = {}
        self.epoch, self._rows[EPOCHS] = self.spool.begin_epoch(mark, time_ns)
        self._rows[SCHEMAS] = {self._schema: packed}
        self.next = self.spool.state.next  # the number that the next record gets
        self.durable = self.next - 1  # up to here records are on disk
        self.before = self.durable  # and up to here they were when it began
        self.commits = 0
        self.pending_limit = 0  # so many bytes may wait for a commit now
        self._parts: deque[_Part] = deque()
        self.pending_bytes = 0
        self._under_way: list[_Part] = []
        self._committing = False
        self._trimmed = False  # the commit under way, or the last one, drops some of the log
        self._written: list[tuple[Group, int]] = []  # cursors that a commit carries: the group, its floor
        self._commit_at = _NEVER  # when what is gathered is to be written at the latest
        self._cursors_at = _NEVER
        self._retry_at = _NEVER
        self._room_at = _NOW  # when records are to be written again, after there was no room for them
        self.failing = ""
        self.retention = Retention(self.spool, self.groups, options, self.tell, stream)
        self.serving = Serving(self, post)
        self._begin_commit(now)

    def tell(self, status: Status) -> None:
        """Hand a status event out."""
        self._act(Tell(status))

    @property
    def committing(self) -> bool:
        """Whether a commit is under way."""
        return self._committing

    def known_schema(self, schema: Schema | None) -> bytes:
        """Return what a collector's schema is called, and keep it; empty when it has none, or too large a one."""
        if schema is None:
            return b""
        packed = wire.encode(schema)
        id_ = schema_id(packed)
        if id_ not in self.schemas and id_ not in self.expected:
            if len(packed) > _EXPECTED_BYTES_MAX or len(self.expected) >= _EXPECTED_MAX:
                return b""
            self.expected[id_] = schema
            self._rows.setdefault(SCHEMAS, {})[expected_key(id_)] = packed
        return id_

    def unreadable(self, error: JournalError) -> None:
        """Take note that the spool could not be read; it is tried again."""
        if not self.failing:
            self.failing = str(error)
            self.tell(LogFailing(self.name, str(error)))

    # -- records ---------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Work out how much may wait for a commit."""
        room = PENDING_BYTES if self.options.drop_oldest else self.options.limit_bytes - self.journal.log_bytes
        self.pending_limit = max(0, min(PENDING_BYTES, room))

    @property
    def wants_pump(self) -> bool:
        """Whether something was taken of whose writing nobody has been told."""
        return self._commit_at == _NEVER or self.fills

    @property
    def fills(self) -> bool:
        """Whether there is enough for a chunk, and nothing is being written."""
        return self.pending_bytes >= CHUNK_BYTES and not self._committing

    @property
    def position(self) -> Position:
        """The end of what is on disk."""
        return Position(self.journal.position.journal, self.epoch, self.durable, self.mark)

    def age_of(self, number: int) -> float:
        """Return how much older a record is than the latest one, in seconds."""
        chunk = self.spool.chunk(self.spool.find(number))
        return 0.0 if chunk is None else max(0.0, (self.spool.state.time_ns - chunk.time_ns) / 1e9)

    def append(self, data: bytes, time_ns: int) -> int:
        """Take an encoded record; returns its number.  See to it that :meth:`pump` is called."""
        part = self._parts[-1] if self._parts else None
        if part is None or part.size + len(data) > CHUNK_BYTES or len(part.records) >= CHUNK_RECORDS:
            self._parts.append(_Part(self.next, time_ns, [data], len(data)))
        else:
            part.records.append(data)
            part.size += len(data)
            part.time_ns = time_ns
        self.pending_bytes += len(data)
        number = self.next
        self.next += 1
        return number

    def hurry(self, now: float) -> None:
        """Have what was taken written now; else it is within the delay."""
        self._commit_at = now

    def delay(self, now: float) -> None:
        """Have what was taken written soon."""
        self._commit_at = min(self._commit_at, now + self.options.delay_s)

    # -- commits ---------------------------------------------------------------------------------------------------

    def _due(self, now: float) -> bool:
        if self._committing or now < self._retry_at != _NEVER:
            return False
        if self._parts and now >= self._room_at and (now >= self._commit_at or self.pending_bytes >= CHUNK_BYTES):
            return True
        return now >= self._cursors_at or self.retention.due(self._wall(now))

    def _wall(self, now: float) -> int:
        return self._clock_ns + round(now * 1e9)

    def pump(self, now: float) -> None:
        """Write and serve what there is to write and serve."""
        self.serving.tick(now)
        self._look_at_cursors(now)
        while self._due(now):
            self._begin_commit(now)
        self.serving.pump(now)

    def _look_at_cursors(self, now: float) -> None:
        if self._cursors_at == _NEVER and not self._committing:
            joining = self.serving.joining
            if joining or self.serving.forgotten or any(group.dirty for group in self.groups.values()):
                self._cursors_at = now if joining or self.closing else now + _CURSORS_S

    def _begin_commit(self, now: float) -> None:
        coming = 0
        # Without room cursors are written alone, which needs next to none: so collectors can make some.
        lean = now < self._room_at or self.retention.shedding
        while self._parts and coming < _COMMIT_BYTES and not lean:
            self._under_way.append(self._parts.popleft())
            coming += self._under_way[-1].size
        commit = self._made(now, coming)
        self._committing = True
        self._commit_at = now if self._parts else _NEVER
        self._cursors_at = self._retry_at = _NEVER
        if self.journal.volatile:
            try:
                self.journal.carry_out(commit)
            except JournalError as error:
                self.carried_out(error, now)
            else:
                self.carried_out(None, now)
        else:
            self._act(CarryOut(self, commit))

    def _made(self, now: float, coming: int) -> Commit:
        state, tip = self.spool.state, self.journal.position
        sequence, checksum = tip.sequence, tip.checksum
        records: list[Record] = []
        state.next = self.durable + 1  # not what a commit had that failed
        for part in self._under_way:
            state.time_ns = max(state.time_ns, part.time_ns)
            state.next = part.first + len(part.records)
            body = pack_chunk(part.first, state.time_ns, self._schema, self.epoch, self.mark, part.records)
            sequence, checksum = sequence + 1, chain(checksum, body)
            records.append(Record(sequence, checksum, body))
        trim = self.retention.trim(self._wall(now), coming)
        self._trimmed = trim >= self.journal.first
        self._rows_under_way, self._rows = self._rows, {}
        rows = {**self._rows_under_way}
        rows[STATE] = self.spool.state_row()
        rows[CURSORS] = self._cursor_rows()
        position = Position(tip.journal, self.epoch, sequence, checksum)
        return Commit(position, records, rows, [], trim)

    def _cursor_rows(self) -> dict[bytes, bytes | None]:
        self._written = []
        rows: dict[bytes, bytes | None] = {name.encode(): None for name in self.serving.forgotten}
        for name, group in self.groups.items():
            if group.dirty:
                rows[name.encode()] = wire.encode(group.writing())
                self._written.append((group, group.floor))
        self.serving.committing()
        return rows

    def carried_out(self, error: BrokerError | None, now: float) -> None:
        """Take note that a commit is done, or could not be."""
        self._committing = False
        if error is not None:
            self._failed(error, now)
            return
        self._rows_under_way = {}
        self.commits += 1
        lean = not self._under_way
        for part in self._under_way:
            self.pending_bytes -= part.size
            self.durable = part.first + len(part.records) - 1
        self._under_way = []
        self._measure()
        for group, floor in self._written:
            group.wrote(floor)
        self.ready = True
        if lean and self._trimmed:
            self._room_at = now  # there may be room now
        elif not lean:
            self._room_at = _NOW
        if self.failing and not (lean and self._parts):
            self.failing = ""
            self.tell(LogRecovered(self.name))
        self.serving.committed()
        self._act(LogChanged(self))

    def _failed(self, error: BrokerError, now: float) -> None:
        for group, _ in self._written:
            group.dirty = True
        self.serving.not_committed()
        lean = not self._under_way
        self._parts.extendleft(reversed(self._under_way))
        self._under_way = []
        for table, changed in self._rows_under_way.items():
            self._rows[table] = {**changed, **self._rows.get(table, {})}
        makes_room = False
        self._commit_at = now
        self._cursors_at = now + _RETRY_S
        if isinstance(error, JournalFull):
            makes_room = not lean and self.retention.no_room()
            self._room_at = now + _RETRY_S
            if not lean:
                self._cursors_at = now if any(group.dirty for group in self.groups.values()) else _NEVER
        if lean or not isinstance(error, JournalFull):
            self._retry_at = now + _RETRY_S
        if not makes_room:
            if not self.failing:
                self.tell(LogFailing(self.name, str(error)))
            self.failing = str(error)
        self._act(LogChanged(self))

    def close(self) -> None:
        """End; what was taken and is not on disk is lost: flush before."""
        self.retention.say_all()
        self.serving.close()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to be written."""
        unwritten = self._parts or self._committing or self.serving.forgotten or self.serving.joining
        return not unwritten and not any(group.dirty for group in self.groups.values())

    # -- time ------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when :meth:`pump` has something to do."""
        due = self.serving.next_deadline()
        if self._committing:
            return due  # all else waits for the commit's end
        due = min(due, self.retention.next_deadline(self._clock_ns))
        if self._parts:
            due = min(due, max(self._commit_at, self._room_at))
        return max(min(due, self._cursors_at), self._retry_at if self._retry_at != _NEVER else _NOW)
