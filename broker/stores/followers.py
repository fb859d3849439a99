"""The clones of one master: what each has, what it lacks, and what is on its way to it.

A follower gets the log behind its position, a frame at a time, at most :data:`WINDOW_BYTES` beyond what it has said
that it keeps; so a slow clone holds nothing but its own cursor, and costs no memory.  One whose position is not of
this log, or is no longer in it, gets a snapshot first, in chunks that are kept until it has them.  A clone that lacks
what it should have says so, and gets it again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final, Protocol

from msgspec import Struct, field

from broker.journaling import Journal, Snapshot
from broker.protocol.member import Member
from broker.stores import wire
from broker.stores.entries import ELEMENTS, ENTRIES
from broker.stores.wire import Applied, Chunk, Follow, Followed, NotHere, Operations, StoreKind, Tip

__all__ = ["FRAME_BYTES", "LOST_S", "TIP_S", "WINDOW_BYTES", "Followers", "Sender"]

# Large enough that a frame costs little beside its records; small enough that a line of 15 kB/s, over which nothing
# else comes meanwhile, is not taken for dead (after 5 s).
FRAME_BYTES: Final = 64 << 10
# Sent to one clone before others get their turn: its next word lets the next ones go, so that the window fills in a few
# round trips, and a write at the master does not wait for 4 MiB to be read.
_FRAMES_PER_TURN: Final = 8
# What may be under way to one clone: 20 ms of the fastest stream; a clone's disk takes less for a commit.
WINDOW_BYTES: Final = 4 << 20
# A clone asks this often where the log ends; after so long without a word a master takes it for gone.
TIP_S: Final = 0.5
LOST_S: Final = 10.0


class Sender(Protocol):
    """Sends frames into the mesh."""

    def send(self, kind: int, body: bytes, targets: Iterable[tuple[Member, int, int]], flags: int = 0) -> None:
        """Send one body to (member, serial, 0) each."""


class Follower(Struct, eq=False):
    """One clone."""

    member: Member
    serial: int
    cursor: int  # the last record that was sent to it
    acked: int  # the last record that it keeps
    heard: float
    told: float = float("-inf")  # when it was last sent anything
    under_way: deque[tuple[int, int]] = field(default_factory=deque)  # (last sequence, bytes) of each frame
    bytes_under_way: int = 0
    snapshot: Snapshot | None = None
    chunks: deque[tuple[int, bytes]] = field(default_factory=deque)  # sent and not confirmed
    chunks_sent: int = 0
    complete: bool = True  # all chunks were sent
    echo: int = 0  # its clock when it last asked where the log ends, in microseconds
    bare: bool = False  # it takes records alone: what it confirms is no copy of the store


class Followers:
    """All clones of one master."""

    def __init__(self, name: str, journal: Journal, sender: Sender) -> None:
        self._name = name
        self._journal = journal
        self._sender = sender
        self.followers: dict[bytes, Follower] = {}  # by endpoint
        self.snapshots = 0
        self.resumed = 0
        self._asking: dict[Follower, None] = {}  # those that want to know where the log ends
        self._tip_at = float("inf")

    # -- beginning and end -----------------------------------------------------------------------------------------

    def follow(self, member: Member, follow: Follow, now: float) -> None:
        """Begin with a clone, or begin anew."""
        former = self.followers.get(member.id)
        if former is not None and former.serial >= follow.serial:
            if former.serial == follow.serial:
                former.heard = now
            return
        self._end(former)
        for other in [other for other in self.followers.values() if other.member.name == member.name]:
            self.forget(other.member)  # a former life of the same endpoint: it is not to count as another clone
        have = None if follow.have is None else follow.have.position()
        tip = self._journal.position
        ours = have is not None and have.journal == tip.journal
        start, forked = tip, False
        if have is not None and ours:
            checksum = self._journal.checksum_at(have.sequence)
            forked = have.sequence > tip.sequence or checksum not in {None, have.checksum}
            if checksum == have.checksum:
                start = have
                self.resumed += 1
        if follow.bare and have is None:
            have, ours = start, True  # it begins here
        lacks = start is not have
        follower = Follower(member, follow.serial, start.sequence, start.sequence, now, bare=follow.bare)
        if lacks and not follow.bare:
            self.snapshots += 1
            follower.acked = 0
            follower.snapshot = self._journal.snapshot((ENTRIES, ELEMENTS))
            follower.complete = False
            follower.cursor = follower.snapshot.position.sequence
            start = follower.snapshot.position
        if lacks and follow.bare:
            self.followers.pop(member.id, None)
        else:
            self.followers[member.id] = follower
            self._tip_at = min(self._tip_at, now + TIP_S)
        answer = Followed(
            self._name,
            follow.serial,
            lacks,
            forked or (have is not None and not ours),
            wire.where(start),
            self._journal.count(ENTRIES),
            tip.sequence,
        )
        self._send(follower, StoreKind.FOLLOWED, wire.encode(answer), now)

    def unfollow(self, member: Member, serial: int) -> None:
        """End with a clone."""
        follower = self.followers.get(member.id)
        if follower is not None and follower.serial <= serial:
            self.forget(member)

    def forget(self, member: Member) -> None:
        """End with a clone, whatever it says."""
        self._end(self.followers.pop(member.id, None))

    def close(self) -> None:
        """End with all."""
        for follower in self.followers.values():
            self._end(follower)
        self.followers.clear()

    def _end(self, follower: Follower | None) -> None:
        if follower is not None and follower.snapshot is not None:
            follower.snapshot.close()
            follower.snapshot = None

    # -- what they have --------------------------------------------------------------------------------------------

    def applied(self, member: Member, applied: Applied, now: float) -> bool:
        """Take note of what a clone has; whether it has more than before."""
        follower = self.followers.get(member.id)
        if follower is None or follower.serial != applied.serial:
            return False
        follower.heard = now
        while follower.chunks and follower.chunks[0][0] <= applied.chunks:
            follower.bytes_under_way -= len(follower.chunks.popleft()[1])
        while follower.under_way and follower.under_way[0][0] <= applied.sequence:
            follower.bytes_under_way -= follower.under_way.popleft()[1]
        advanced = follower.acked < applied.sequence <= follower.cursor
        if advanced:
            follower.acked = applied.sequence
        if applied.lost:
            self._send_again(follower, applied, now)
        if applied.clock:
            follower.echo = applied.clock
            self._asking[follower] = None
        return advanced

    def _send_again(self, follower: Follower, applied: Applied, now: float) -> None:
        for _, body in follower.chunks:
            self._send(follower, StoreKind.SNAPSHOT, body, now)
        if follower.complete and not follower.chunks and follower.acked <= applied.sequence < follower.cursor:
            follower.cursor = applied.sequence
            follower.under_way.clear()
            follower.bytes_under_way = 0

    def confirmed(self, replicas: int) -> int:
        """Return the sequence up to which so many clones have everything; 0: there are not so many."""
        acked = sorted((follower.acked for follower in self.followers.values() if not follower.bare), reverse=True)
        return acked[replicas - 1] if replicas <= len(acked) else 0

    # -- what they lack --------------------------------------------------------------------------------------------

    def _send(self, follower: Follower, kind: StoreKind, body: bytes, now: float) -> None:
        follower.told = now
        self._sender.send(kind, body, ((follower.member, follower.serial, 0),))

    def pump(self, now: float) -> None:
        """Send what there is to send; clones at the same place share frames."""
        tip = self._journal.position.sequence
        places: dict[int, list[Follower]] = {}
        sent: Counter[Follower] = Counter()
        for follower in self.followers.values():
            if not follower.complete:
                self._pump_snapshot(follower, now)
            if follower.complete and follower.cursor < tip and follower.bytes_under_way < WINDOW_BYTES:
                places.setdefault(follower.cursor, []).append(follower)
        while places:
            after, followers = places.popitem()
            try:
                last = self._send_records(after, followers, now)
            except LookupError:  # trimmed meanwhile
                for follower in followers:
                    self._restart(follower, now)
                continue
            sent.update(followers)
            ready = [f for f in followers if f.bytes_under_way < WINDOW_BYTES and sent[f] < _FRAMES_PER_TURN]
            if last < tip and ready:
                places.setdefault(last, []).extend(ready)
        self._answer(now)

    def _send_records(self, after: int, followers: list[Follower], now: float) -> int:
        records = self._journal.read(after, FRAME_BYTES)
        last = records[-1]
        bodies = [record.body for record in records]
        body = wire.encode(Operations(self._name, after, last.checksum, bodies))
        for follower in followers:
            follower.cursor = last.sequence
            follower.under_way.append((last.sequence, len(body)))
            follower.bytes_under_way += len(body)
            follower.told = now
        targets = [(follower.member, follower.serial, 0) for follower in followers]
        self._sender.send(StoreKind.OPERATIONS, body, targets)
        return last.sequence

    def _pump_snapshot(self, follower: Follower, now: float) -> None:
        snapshot = follower.snapshot
        for _ in range(_FRAMES_PER_TURN):
            if snapshot is None or follower.complete or follower.bytes_under_way >= WINDOW_BYTES:
                return
            rows = snapshot.read(FRAME_BYTES)
            follower.chunks_sent += 1
            chunk = Chunk(self._name, follower.chunks_sent, not rows, rows)
            body = wire.encode(chunk)
            follower.chunks.append((follower.chunks_sent, body))
            follower.bytes_under_way += len(body)
            self._send(follower, StoreKind.SNAPSHOT, body, now)
            if not rows:
                follower.complete = True
                self._end(follower)

    def _restart(self, follower: Follower, now: float) -> None:
        """Let a clone ask again, because the log no longer goes far enough back for it."""
        notice = NotHere(self._name, "the log no longer goes back as far")
        self._send(follower, StoreKind.NOT_HERE, wire.encode(notice), now)
        self.forget(follower.member)

    # -- time ------------------------------------------------------------------------------------------------------

    def _answer(self, now: float) -> None:
        """Tell who has asked where the log ends; behind what was sent before."""
        for follower in self._asking:
            if self.followers.get(follower.member.id) is follower:
                self._give_sign(follower, now)
        self._asking.clear()

    def _give_sign(self, follower: Follower, now: float) -> None:
        tip = self._journal.position.sequence
        sign = Tip(self._name, follower.cursor, follower.chunks_sent, tip, follower.echo)
        self._send(follower, StoreKind.TIP, wire.encode(sign), now)

    def tick(self, now: float) -> None:
        """Give signs of life to who does not ask for them; forget who gives none."""
        if now < self._tip_at:
            return
        for follower in list(self.followers.values()):
            if now >= follower.heard + LOST_S:
                self.forget(follower.member)
            elif now >= follower.told + 2 * TIP_S:
                self._give_sign(follower, now)
        self._tip_at = now + TIP_S if self.followers else float("inf")

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return self._tip_at

    def survey(self) -> list[tuple[str, int, bool]]:
        """Return whose clones follow: the endpoint's name, the last record kept, whether a snapshot is on its way."""
        clones = [follower for follower in self.followers.values() if not follower.bare]
        return [(clone.member.name, clone.acked, not clone.complete or bool(clone.chunks)) for clone in clones]
