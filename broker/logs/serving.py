"""What a writer gives to its collectors, and what they say of it.

It is long because each frame that a collector sends is taken here, and the sessions that it changes are private to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from broker.errors import JournalError, Malformed
from broker.log_records import compatible
from broker.logs import wire
from broker.logs.chunks import CHUNK_BYTES, Cutter, read_chunk
from broker.logs.groups import LEASE_S, Group
from broker.logs.ranges import Range
from broker.logs.sessions import Post, Session
from broker.logs.spool import Holder
from broker.logs.wire import RANGES_MAX, Acknowledge, Claim, Collect, Collected, Leave, LogKind, NoStream, Piece, Since
from broker.protocol.member import Member
from broker.status import CollectorStalled

if TYPE_CHECKING:
    from broker.logs.writer import Writer

__all__ = ["NAMES_MAX", "STALL_S", "Serving"]

NAMES_MAX: Final = 1000
SESSIONS_MAX: Final = 10_000
MEMBERS_MAX: Final = 1000  # of one name: each is written down in its cursor
# How long a collector may hold records and acknowledge none before that is told.
STALL_S: Final = 60.0
_FRAMES_PER_TURN: Final = 8
# Of one chunk, to one of several members that share a name.
_SHARE_RECORDS: Final = 64
_REST_S: Final = 1.0
_NEVER: Final = float("inf")


class Serving:
    """The collectors of one writer."""

    def __init__(self, writer: Writer, post: Post) -> None:
        self._writer = writer
        self._post = post
        self._sessions: dict[tuple[bytes, int], tuple[Session, Group]] = {}  # by endpoint and serial
        self._members: dict[bytes, tuple[Session, Group]] = {}  # the same, by member
        self._passing: dict[bytes, Group] = {}  # of collectors without a name
        self._refused: dict[bytes, tuple[Member, int]] = {}  # by endpoint: who asked without the right to, and last as
        self.forgotten: set[str] = set()  # names whose cursors are to be removed
        self._carried: list[tuple[Session, int]] = []  # acknowledgements that a commit carries
        self._forgetting: set[str] = set()
        self._more = False
        self._cutter = Cutter()
        self._rest_until = float("-inf")  # reading has failed

    # -- who takes part --------------------------------------------------------------------------------------------

    @property
    def joining(self) -> bool:
        """Whether somebody waits for being written down."""
        return any(not session.active for session, _ in self._sessions.values())

    def _groups(self) -> Iterator[Group]:
        yield from self._writer.groups.values()
        yield from self._passing.values()

    def take(self, member: Member, kind: int, body: bytes, now: float) -> None:
        """Act on a frame from a collector; raises Malformed."""
        if kind == LogKind.COLLECT:
            self._collect(member, wire.decode(Collect, body), now)
        elif kind == LogKind.ACKNOWLEDGE:
            self._acknowledge(member, wire.decode(Acknowledge, body), now)
        else:
            self._leave(member, wire.decode(Leave, body))

    def _collect(self, member: Member, collect: Collect, now: float) -> None:
        refused = self._reason_against(collect, member, now)
        former = self._members.get(collect.member)
        if former is not None and former[0].member.id == member.id and former[0].serial >= collect.serial:
            return  # it came late
        if refused:
            if not member.grants.may_use_log("collect", self._writer.name):
                self._refused[member.id] = member, collect.serial
                if len(self._refused) > NAMES_MAX:
                    del self._refused[next(iter(self._refused))]
            self._answer(member, collect.serial, refused, [], shared=False, start=0)
            return
        if former is not None:
            self._end(former[0])
        group = self._group(collect)
        holder = Holder(collect.member, member.name, member.id)
        session = Session(self._post, member, collect.serial, holder, collect.window, now)
        group.join(session)
        self._sessions[member.id, collect.serial] = self._members[collect.member] = session, group
        group.renounce(session)
        granted = (
            self._claims(group, session, collect) if collect.journal == self._writer.journal.position.journal else []
        )
        self._answer(member, collect.serial, "", granted, shared=group.shared, start=group.floor)

    def _reason_against(self, collect: Collect, member: Member, now: float) -> str:
        writer = self._writer
        if not member.grants.may_use_log("collect", writer.name):
            return "the access rules do not give its key the right to collect this stream"
        group = writer.groups.get(collect.name)
        former = self._members.get(collect.member)
        if former is not None and former[0].member.grants is not member.grants:
            # Relays see the ids of members.  A database that has moved is let in once its former place is silent.
            return f"that member is attached at {former[0].member.name}, which has another key"
        if collect.member not in self._members and len(self._sessions) >= SESSIONS_MAX:
            return f"{SESSIONS_MAX} collectors are attached already"
        if group is None:
            full = collect.name and len(writer.groups) >= NAMES_MAX
            return f"{NAMES_MAX} names collect it already: forget those that do not come back" if full else ""
        if group.is_crowded(collect.member, MEMBERS_MAX, now):
            return f"{MEMBERS_MAX} members share the name {collect.name!r} already"
        if collect.replay and group.others(Holder(collect.member, member.name, member.id), now):
            return f"{collect.name!r} has another member: it cannot begin anew"
        if collect.schema is None or not group.schema:
            return ""
        known = writer.schemas.get(group.schema) or writer.expected.get(group.schema)
        reason = "" if known is None else compatible(known.columns, collect.schema.columns)
        if reason:
            return f"the name {collect.name!r} is in use for other records ({reason}): take another one, or forget it"
        return ""

    def _group(self, collect: Collect) -> Group:
        writer = self._writer
        schema = writer.known_schema(collect.schema) if collect.name else b""
        if not collect.name:
            group = self._passing[collect.member] = Group("", *self._start(collect.since))
            return group
        if collect.name not in writer.groups:
            writer.groups[collect.name] = Group(collect.name, *self._start(collect.since), schema)
            self.forgotten.discard(collect.name)
            self._forgetting.discard(collect.name)
        group = writer.groups[collect.name]
        if collect.replay:
            gone = writer.retention.oldest - 1
            count = group.restart(collect.member, self._start(collect.since)[0], min(gone, writer.durable))
            self._note_gone(group, count)
        if schema and schema != group.schema:
            group.schema = schema
            group.dirty = True
        return group

    def _start(self, since: Since) -> tuple[int, int]:
        """Return the number before the first record that a collector wants and gets, and how many before are gone."""
        spool, tip = self._writer.spool, self._writer.durable
        if since.what == "now":
            return tip, 0
        oldest = min(tip, self._writer.retention.oldest - 1)
        if since.what == "time":
            return max(oldest, min(tip, spool.find_time(since.value) - 1)), 0
        if since.what == "position" and since.journal == spool.journal.position.journal:
            extent = spool.extent(since.epoch, since.mark)
            if extent is not None:
                wanted = min(tip, since.value, extent[1])
                return max(oldest, wanted), max(0, oldest - wanted)
        return oldest, 0

    def _claims(self, group: Group, session: Session, collect: Collect) -> list[Range]:
        granted: list[Range] = []
        for claim in collect.claims:
            extent = self._writer.spool.extent(claim.epoch, claim.mark)
            if extent is not None:
                self._done(group, session, claim, extent)
                granted += group.claim(session, claim.held, (extent[0], min(extent[1], self._writer.durable)))
        for first, last in granted[RANGES_MAX:]:  # the answer has no room for more
            group.free(session, first, last)
        return granted[:RANGES_MAX]

    def _done(self, group: Group, session: Session, claim: Claim, extent: Range) -> bool:
        news = False
        tip = self._writer.durable
        for first, last in claim.done:
            news |= group.acknowledge(session, max(first, extent[0]), min(last, extent[1], tip))
        return news

    def _answer(
        self, member: Member, serial: int, refused: str, yours: list[Range], *, shared: bool, start: int
    ) -> None:
        writer = self._writer
        position = writer.journal.position
        schemas = tuple(writer.schemas.items())[-1000:]
        answer = Collected(
            refused[:1000],
            position.journal,
            writer.epoch,
            writer.mark,
            start,
            writer.durable,
            writer.spool.state.time_ns,
            tuple(yours),
            shared,
            schemas,
        )
        self._post.send(LogKind.COLLECTED, wire.encode(answer), member, serial)

    def _leave(self, member: Member, leave: Leave) -> None:
        pair = self._sessions.pop((member.id, leave.serial), None)
        if pair is None:
            return
        session, group = pair
        del self._members[session.holder.id]
        for claim in leave.done:
            extent = self._writer.spool.extent(claim.epoch, claim.mark)
            if extent is not None:
                self._done(group, session, claim, extent)
        group.leave(session, leave.begun)
        self._passing.pop(session.holder.id, None)

    def _end(self, session: Session) -> None:
        """Take note that a session is over; its member may come back."""
        pair = self._sessions.pop((session.member.id, session.serial), None)
        if pair is not None:
            del self._members[session.holder.id]
            pair[1].part(session)
            self._passing.pop(session.holder.id, None)

    def member_forgotten(self, member: Member) -> None:
        """Let go of an endpoint that is no longer part of the mesh."""
        self._refused.pop(member.id, None)
        for session, _ in [*self._sessions.values()]:
            if session.member is member:
                self._end(session)

    def rules_changed(self, reason: str) -> list[Member]:
        """End with those who have no right to collect any more, tell them why, and return who that is.

        Those who were refused and have the right now are told to ask again.
        """
        for id_, (member, serial) in list(self._refused.items()):
            if member.grants.may_use_log("collect", self._writer.name):
                del self._refused[id_]
                self._say_no(member, serial, "the access rules have changed: ask again")
        gone = [
            session
            for session, _ in self._sessions.values()
            if not session.member.grants.may_use_log("collect", self._writer.name)
        ]
        for session in gone:
            self._end(session)
            self._say_no(session.member, session.serial, reason)
        return list(dict.fromkeys(session.member for session in gone))

    def forget(self, name: str) -> bool:
        """Let a name no longer hold records; False: there is none."""
        group = self._writer.groups.pop(name, None)
        if group is None:
            return False
        self.forgotten.add(name)
        for session in list(group.sessions.values()):
            self._end(session)
            self._say_no(session.member, session.serial, f"the name {name!r} was forgotten here")
        return True

    def close(self) -> None:
        """End with all."""
        for session, _ in [*self._sessions.values()]:
            self._end(session)
            self._say_no(session.member, session.serial, "its writer was closed")

    def _say_no(self, member: Member, serial: int, reason: str) -> None:
        self._post.send(LogKind.NO_STREAM, wire.encode(NoStream(reason)), member, serial)

    # -- what they have --------------------------------------------------------------------------------------------

    def _acknowledge(self, member: Member, word: Acknowledge, now: float) -> None:
        pair = self._sessions.get((member.id, word.serial))
        if pair is None:
            self._say_no(member, word.serial, "that session is over")
            return
        session, group = pair
        if not session.receive(word, now):
            return
        news = False
        for claim in word.done:
            extent = self._writer.spool.extent(claim.epoch, claim.mark)
            if extent is not None:
                news |= self._done(group, session, claim, extent)
        session.note_holding(group.held[session.holder.id], now, news=news)
        if not group.dirty and not self._writer.committing:
            session.confirm(word.number)
        if not group.name:
            group.dirty = False

    def committing(self) -> None:
        """Take note that a commit begins, with everybody's acknowledgements so far."""
        self._carried = [(session, session.seen) for session, _ in self._sessions.values()]
        self._forgetting = set(self.forgotten)

    def committed(self) -> None:
        """Take note that it is done."""
        for session, seen in self._carried:
            session.confirm(seen)
        self.forgotten -= self._forgetting
        self._carried = []

    def not_committed(self) -> None:
        """Take note that it could not be done."""
        self._carried = []

    # -- what they get ---------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Send what there is to send."""
        self._more = False
        if now >= self._rest_until:
            try:
                for group in self._groups():
                    self._more |= self._feed(group, now)
            except JournalError as error:
                self._rest_until = now + _REST_S
                self._writer.unreadable(error)
        for session, group in self._sessions.values():
            if now >= session.sign_at:
                writer = self._writer
                session.give_sign(
                    writer.durable, writer.spool.state.time_ns, group.written, shared=group.shared, now=now
                )

    def _feed(self, group: Group, now: float) -> bool:
        """Give a group's members records; whether there are more to be given now."""
        for _ in range(_FRAMES_PER_TURN):
            session = group.free_session()
            free = None if session is None else group.next_free(self._writer.durable)
            if session is None or free is None:
                return False
            pieces = self._pieces(group, session, *free)
            if pieces:
                session.send(pieces, now)
        return True

    def _pieces(self, group: Group, session: Session, first: int, last: int, again: bool) -> list[Piece]:
        """Read records of these numbers, a frame of them, and let the session have them."""
        journal = self._writer.journal
        if group.at[1] != first or group.at[0] < journal.first:
            group.at = (self._writer.spool.find(first), first)
        records = journal.read(group.at[0] - 1, CHUNK_BYTES)
        if not records:  # what is behind the last chunk that is intact
            self._gone(group, first, last)
        pieces: list[Piece] = []
        share = _SHARE_RECORDS if len(group.sessions) > 1 else 1 << 62
        for record in records:
            try:
                chunk = read_chunk(record.body)
            except Malformed:
                group.at = (record.sequence + 1, first)
                continue
            if chunk.last < first:
                group.at = (record.sequence + 1, first)
                continue
            if chunk.first > first:
                self._gone(group, first, min(chunk.first - 1, last))
                group.at = (record.sequence, chunk.first)
                first = chunk.first
                if first > last:
                    break
            end = min(chunk.last, last, first + share - 1)
            whole = (first, end) == (chunk.first, chunk.last)
            body = record.body if whole else self._cutter.cut(record.checksum, chunk, first, end)
            pieces.append(Piece(group.lost_with(first, end), again, body))
            group.give(session, first, end)
            group.at = (record.sequence + (end == chunk.last), end + 1)
            share -= end - first + 1
            first = end + 1
            if first > last or share <= 0:
                break
        return pieces

    def _gone(self, group: Group, first: int, last: int) -> None:
        self._note_gone(group, group.skip(first, last))

    def _note_gone(self, group: Group, count: int) -> None:
        if count and group.name:  # nothing is kept for one without a name
            self._writer.retention.note("they could not be read, or were trimmed before", count, {group.name})

    # -- time ------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        for session, group in [*self._sessions.values()]:
            if now >= session.heard + LEASE_S:
                self._end(session)
            elif now >= session.held_since + STALL_S and not session.stalled:
                held = group.held[session.holder.id]
                if held:
                    session.stalled = True
                    status = CollectorStalled(
                        self._writer.name, group.name, session.member.name, held.count, now - session.held_since
                    )
                    self._writer.tell(status)
                else:
                    session.held_since = now
        for group in self._groups():
            group.tick(now)

    def next_deadline(self) -> float:
        """Return when there is something to do."""
        if self._more:
            return max(float("-inf"), self._rest_until)
        due = _NEVER
        for session, _ in self._sessions.values():
            sign_at = session.sign_at
            if sign_at < due:
                due = sign_at
            if session.heard + LEASE_S < due:
                due = session.heard + LEASE_S
            if not session.stalled and session.held_since + STALL_S < due:
                due = session.held_since + STALL_S
        for groups in (self._writer.groups, self._passing):
            for group in groups.values():
                if group.absent:  # seldom
                    due = min(due, group.next_deadline())
        return due
