"""A clone of a store: follows the master's log, from where it is or from a snapshot.

It finds the master by what endpoints tell of themselves, says which position it has, and gets what it lacks.  What
comes is checked: records are to follow each other without a gap, and their chain is to end in the master's checksum.
What is missing is asked for again; what does not fit is not taken, and all is asked for anew.

Records are drafted and committed as they come, a commit at a time.  A snapshot is put aside, part by part, and takes
the place of everything in one step; until then the clone shows what it had.  So its contents are always those of the
master at one position.

**Staleness** is how long ago it was sure to have everything.  Twice a second it asks the master where the log ends;
when it has all up to there, it has all that was committed when it asked, however long the answer was held up.

This module is long because everything here turns on one state: what it has, what is on its way to the disk, and what
it waits for from the master.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from broker.errors import BrokerError, Malformed
from broker.journaling import Journal, Load, Position, Swap, Work
from broker.protocol.actions import Action, CarryOut, StoreChanged, Tell
from broker.protocol.member import Member
from broker.status import StoreFailing, StoreForked, StoreRecovered, StoreSynced
from broker.stores import wire
from broker.stores.contents import Contents
from broker.stores.draft import Draft
from broker.stores.entries import expiries_of
from broker.stores.followers import TIP_S, Sender
from broker.stores.forwarding import Forwarding
from broker.stores.operations import decode_body
from broker.stores.requests import Request
from broker.stores.retention import LOG_BYTES, trim
from broker.stores.wire import Applied, Chunk, Follow, Followed, NotHere, Operations, Outcomes, StoreKind, Tip, Unfollow

__all__ = ["Clone"]

# A question to the master that is not answered is asked again after this.
_ASK_S: Final = 1.0
# A master that is followed and says nothing is asked anew after the first; twice as long each time, up to the second,
# until the clone is in step: over a thin line one frame may take that long, and to begin anew makes it no shorter.
_SILENCE_S: Final = 4 * TIP_S
_SILENCE_S_MAX: Final = 32.0
# What is missing is told again after this.
_LOST_AGAIN_S: Final = 0.25
# A disk that refused is asked again after this.
_RETRY_S: Final = 1.0
_TIPS_MAX: Final = 64


class _Loading(Struct, eq=False):
    """A snapshot on its way."""

    start: Position
    chunks: int = 0  # taken in order
    kept: int = 0  # put aside
    whole: bool = False  # all have come


class Clone:
    """One replica, without its disk."""

    bare = False  # it follows the log alone: see BareClone

    def __init__(
        self,
        name: str,
        journal: Journal,
        sender: Sender,
        act: Callable[[Action], None],
        *,
        writer: bytes,
        serial: int,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self.name = name
        self.journal = journal
        self.contents = Contents(name, journal)
        self.forwarding = Forwarding(name, writer, sender, act)
        self.master: Member | None = None
        self.current_at = float("-inf")  # when it was last sure to have everything
        self.following = False  # the master has answered
        self.refused = ""  # what the master said instead
        self.failing = ""
        self.commits = 0
        self.operations = 0  # records of the master's log that were committed
        self.synced_once = journal.position.sequence > 0
        self._sender = sender
        self._act = act
        self._log_bytes = log_bytes
        self._now = 0.0
        self._serial = serial
        self._have: Position | None = journal.position if self.synced_once else None
        self._draft = Draft(journal)
        self._works: deque[Work] = deque()
        self._busy: Draft | Work | None = None  # what the disk is doing
        self._loading: _Loading | None = None
        self._told_synced = True
        self._by_snapshot = False
        self._held: deque[tuple[int, bytes]] = deque()  # records that came while a snapshot was being put in place
        self._tips: deque[tuple[int, float]] = deque()  # where the log ended, and when that was said
        self._heard = float("-inf")
        self._silence_s = _SILENCE_S
        self._ask_at = float("inf")
        self._asked_at = float("-inf")
        self._clock_at = float("inf")  # when to ask where the log ends
        self._lost_at = float("-inf")
        self._owes = False  # word of what is applied
        self._retry_at = float("-inf")
        self._closed = False
        self._ask_when_done = False
        self._asked_with: Position | None = None
        self._distrust = False  # ask for all anew

    @property
    def serial(self) -> int:
        """The number of its last question to a master; those of the endpoint's next clone go on from there."""
        return self._serial

    # -- whom to follow --------------------------------------------------------------------------------------------

    def follow(self, master: Member | None, now: float) -> None:
        """Follow that endpoint from now on; None: there is none that can be reached."""
        self._now = now
        if master is self.master:
            return
        former, self.master = self.master, master
        if former is not None and former.reachable:
            self._sender.send(StoreKind.UNFOLLOW, wire.encode(Unfollow(self.name, self._serial)), ((former, 0, 0),))
        self.following, self.refused = False, ""
        self._tips.clear()
        if master is None:
            self._ask_at = float("inf")
        else:
            self._ask(now)
            self.forwarding.repeat(master, now)
        self._act(StoreChanged(self.name))

    def _ask(self, now: float) -> None:
        """Ask the master for what is lacking."""
        self._ask_at = now + _ASK_S
        self._heard = now
        self.following = False
        self._loading = None
        self._held.clear()
        self._works.clear()
        self._draft = Draft(self.journal, self._busy if isinstance(self._busy, Draft) else None)
        self._ask_when_done = self._busy is not None  # what is on its way to the disk decides what we have
        if self.master is None or self._ask_when_done:
            return
        self._serial += 1
        self._asked_at = now
        if self._distrust:
            self._have, self._distrust = None, False
        self._asked_with = self._have
        have = None if self._have is None else wire.where(self._have)
        body = wire.encode(Follow(self.name, self._serial, have, self.bare))
        self._sender.send(StoreKind.FOLLOW, body, ((self.master, 0, 0),))

    def ways_changed(self, now: float) -> None:
        """Repeat what may be lost on ways that are no more."""
        if self.master is not None:
            if not self.following:
                self._ask(now)
            self.forwarding.repeat(self.master, now)

    # -- frames ----------------------------------------------------------------------------------------------------

    def take(self, member: Member, serial: int, kind: int, body: bytes, now: float) -> None:
        """Act on what a master sends; raises Malformed when it makes no sense."""
        self._now = now
        if member is not self.master:
            if kind in {StoreKind.OPERATIONS, StoreKind.SNAPSHOT} and serial == self._serial and self.following:
                raise Malformed(f"it sends operations of the store {self.name!r}, whose master it is not")
            return
        if kind == StoreKind.OUTCOMES:
            self.forwarding.take(wire.decode(Outcomes, body))
            self._act(StoreChanged(self.name))  # somebody may wait for room: what was refused changes nothing else
        elif kind == StoreKind.NOT_HERE:
            self._take_refusal(wire.decode(NotHere, body), serial, now)
        elif serial == self._serial:
            self._heard = now
            self._take_followed(kind, body, now)
        elif kind in {StoreKind.OPERATIONS, StoreKind.SNAPSHOT} and not self.following:
            # What it sent before our question comes before the answer.  It is no more than the master's window.
            self._ask_at = max(self._ask_at, now + self._silence_s)
        self.pump(now)

    def _take_refusal(self, notice: NotHere, serial: int, now: float) -> None:
        if serial == self._serial:  # it cannot go on from where we are
            self._ask(now)
        elif serial == 0:
            self.refused = notice.reason
            self.following = False
            self._ask_at = min(self._ask_at, now + _ASK_S)
            self._act(StoreChanged(self.name))

    def _take_followed(self, kind: int, body: bytes, now: float) -> None:
        if kind == StoreKind.FOLLOWED:
            self._begin(wire.decode(Followed, body), now)
        elif not self.following:
            return
        elif kind == StoreKind.OPERATIONS:
            self._take_operations(body, now)
        elif kind == StoreKind.SNAPSHOT:
            self._take_chunk(wire.decode(Chunk, body), now)
        elif kind == StoreKind.TIP:
            self._take_tip(wire.decode(Tip, body), now)
        else:
            raise Malformed(f"frames of kind {kind} are not for a clone")

    def _begin(self, followed: Followed, now: float) -> None:
        if self.following:
            return  # it came twice
        self.following, self.refused = True, ""
        self._ask_at = float("inf")
        self._told_synced, self._by_snapshot = False, followed.snapshot
        start = followed.start.position()
        if followed.forked:
            self.current_at = float("-inf")  # of this history it never had anything
        if followed.forked and self._have is not None and self.master is not None:
            self._act(Tell(StoreForked(self.name, self.master.name, str(self._have))))
        if followed.snapshot:
            self._loading = _Loading(start)
        elif self._asked_with != start:
            self._begin_anew()
            raise Malformed(f"it goes on from {start}, asked for was {self._asked_with}")
        self._hear_tip(followed.tip, self._asked_at)
        self._clock_at = min(self._clock_at, now + TIP_S)
        if self.master is not None:
            self.forwarding.repeat(self.master, now)
        self._act(StoreChanged(self.name))

    @property
    def _received(self) -> int:
        """The last record that has come, whether it is committed or not."""
        return self._draft.position.sequence

    def _take_operations(self, body: bytes, now: float) -> None:
        if self._loading is not None:
            if self._loading.whole:
                self._held.append((StoreKind.OPERATIONS, body))  # no more than the master's window
            else:
                self._tell_lost(now)
            return
        operations = wire.decode(Operations, body)
        received = self._received
        if operations.after > received:
            self._tell_lost(now)
            return
        bodies = operations.bodies[received - operations.after :]
        if bodies:
            self._apply(bodies, operations.checksum)
        else:
            self._owes = True

    def _apply(self, bodies: list[bytes], checksum: bytes) -> None:
        """Draft records; raises Malformed, and drops all that is drafted, when they are not the log's."""
        draft = self._draft
        try:
            for body in bodies:
                self._draft_record(draft, body)
            if draft.position.checksum != checksum:
                raise Malformed(f"its log does not continue ours at record {draft.position.sequence}")
        except Malformed:
            self._begin_anew()
            raise

    def _draft_record(self, draft: Draft, body: bytes) -> None:
        operations = decode_body(body).operations
        for place, operation in enumerate(operations):
            draft.apply(operation, place)
        draft.append(body, operations)

    def _begin_anew(self) -> None:
        """Ask for everything: whatever we have, it is not what this master says it is."""
        self._draft = Draft(self.journal, self._busy if isinstance(self._busy, Draft) else None)
        self._distrust = True
        self._ask_at = self._now
        self.following = False

    def _take_chunk(self, chunk: Chunk, now: float) -> None:
        loading = self._loading
        if loading is None or chunk.number <= loading.chunks:
            self._owes = True
            return
        if chunk.number > loading.chunks + 1:
            self._tell_lost(now)
            return
        loading.chunks += 1
        if chunk.rows or loading.chunks == 1:
            self._works.append(Load([*chunk.rows, *expiries_of(chunk.rows)], first=loading.chunks == 1))
        if chunk.final:
            loading.whole = True
            self._works.append(Swap(loading.start))

    def _take_tip(self, tip: Tip, now: float) -> None:
        self._owes = True
        if tip.echo:
            self._hear_tip(tip.tip, tip.echo / 1e6)
        self._act(StoreChanged(self.name))  # it may be sure now that it has everything
        loading = self._loading
        behind = tip.chunks > loading.chunks if loading is not None else tip.sent > self._received
        if behind:
            self._tell_lost(now)

    def _tell_lost(self, now: float) -> None:
        """Say that something is missing, which the master then sends again."""
        if now >= self._lost_at + _LOST_AGAIN_S:
            self._lost_at = now
            self._tell_applied(lost=True)

    def _tell_applied(self, *, lost: bool, asking: bool = False) -> None:
        self._owes = False
        loading = self._loading
        # What is put aside is nothing yet: until it is in place no record is kept.
        sequence = self._committed if loading is None else 0
        chunks = loading.chunks if lost and loading is not None else loading.kept if loading is not None else 1 << 62
        if self.master is not None:
            clock = max(1, math.floor(self._now * 1e6)) if asking else 0
            body = wire.encode(Applied(self.name, self._serial, sequence, chunks, lost, clock))
            self._sender.send(StoreKind.APPLIED, body, ((self.master, 0, 0),))

    @property
    def _committed(self) -> int:
        return self.journal.position.sequence

    # -- how current -----------------------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Ask the master where the log ends, now: somebody waits to be in step."""
        self._clock_at = float("-inf")

    def _hear_tip(self, tip: int, at: float) -> None:
        """Take note that the log ended there, at that time or later."""
        if len(self._tips) < _TIPS_MAX:
            self._tips.append((tip, at))
        self._settle_tips()

    def _settle_tips(self) -> None:
        if self._loading is not None or not self.following:
            return
        committed, before = self._committed, self.current_at
        while self._tips and self._tips[0][0] <= committed:
            self.current_at = max(self.current_at, self._tips.popleft()[1])
        if self.current_at == before:
            return
        self._act(StoreChanged(self.name))
        if not self._told_synced and self.master is not None:
            self._told_synced = self.synced_once = True
            self._silence_s = _SILENCE_S
            self._act(Tell(StoreSynced(self.name, self.master.name, self._by_snapshot)))

    # -- commits ---------------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Have done what there is to do, a piece at a time; say what is done."""
        self._now = now
        while self._busy is None and now >= self._retry_at and not self._closed:
            if self._works:
                work = self._works.popleft()
                self._busy = work
            elif self._draft.changes_anything and self._loading is None:
                self._busy = self._draft
                self._draft = Draft(self.journal, self._busy)
                work = self._busy.work(trim(self.journal, self._log_bytes))
            else:
                break
            if not self.journal.volatile:
                self._act(CarryOut(self, work))
                break
            self.journal.carry_out(work)
            self._done()
        if self.following and now >= self._clock_at:
            self._clock_at = now + TIP_S
            self._tell_applied(lost=False, asking=True)
        elif self._owes and self.following:
            self._tell_applied(lost=False)
        self.forwarding.pump(self._asked, now)

    def carried_out(self, error: BrokerError | None, now: float) -> None:
        """Take note that a piece of work is done, or that it could not be done."""
        self._now = now
        if error is None:
            self._done()
        else:
            self._busy = None
            self._draft = Draft(self.journal)
            self._retry_at = now + _RETRY_S
            if not self.failing:
                self._act(Tell(StoreFailing(self.name, str(error), 0)))
            self.failing = str(error)
            self._have = self.journal.position if self._committed else None
            self._ask(now)  # for what was dropped
            self._act(StoreChanged(self.name))
        self.pump(now)

    def _done(self) -> None:
        done, self._busy = self._busy, None
        if self.failing:
            self.failing = ""
            self._act(Tell(StoreRecovered(self.name)))
        self._owes = True
        self.commits += 1
        if isinstance(done, Draft):
            self.operations += len(done.records)
            self._draft.settle()
            self.contents.changed(done.changed_keys)
            self._have = self.journal.position
        elif isinstance(done, Swap):
            self._swapped()
        elif self._loading is not None:
            self._loading.kept += 1
        self._settle_tips()
        self._act(StoreChanged(self.name))
        if self._ask_when_done:
            self._ask(self._now)

    def _swapped(self) -> None:
        """Go on behind the snapshot that was put in place."""
        self.contents.changed(None)
        self._draft = Draft(self.journal)
        self._have = self.journal.position
        self._loading = None
        held = list(self._held)
        self._held.clear()
        try:
            for _, body in held:
                self._take_operations(body, self._now)
        except Malformed:
            self._begin_anew()  # whoever sent it can no longer be told

    # -- requests --------------------------------------------------------------------------------------------------

    @property
    def _asked(self) -> Member | None:
        """The endpoint that requests may be sent to."""
        return self.master if self.following else None

    @property
    def has_room(self) -> bool:
        """Whether requests are taken; else writers wait."""
        return self.forwarding.has_room

    def submit(self, request: Request, now: float) -> None:
        """Forward a request; see to it that :meth:`pump` is called."""
        self._now = now
        self.forwarding.submit(request)

    # -- time ------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        self._now = now
        if self.master is not None and now >= self._due():
            if self.following:
                self._silence_s = min(2 * self._silence_s, _SILENCE_S_MAX)
            self._ask(now)
        self.forwarding.tick(self._asked, now)
        self.pump(now)

    def _due(self) -> float:
        """Return when to ask the master: it has not answered, or gives no sign of life."""
        return min(self._ask_at, self._heard + self._silence_s) if self.following else self._ask_at

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        due = self.forwarding.next_deadline()
        if self.master is not None:
            due = min(due, self._due())
        if self.following:
            due = min(due, self._clock_at)
        if self._busy is None and (self._works or self._draft.changes_anything):
            due = min(due, self._retry_at)
        return due

    def staleness(self, now: float) -> float:
        """Return for how many seconds it may have missed something; infinity: it never had everything."""
        return max(0.0, now - self.current_at)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be committed or answered."""
        return self._busy is None and not self._draft.changes_anything and not self._works and self.forwarding.idle

    def close(self) -> None:
        """Follow no longer."""
        self.forwarding.close()
        if self.master is not None:
            body = wire.encode(Unfollow(self.name, self._serial))
            self._sender.send(StoreKind.UNFOLLOW, body, ((self.master, 0, 0),))
        self.master = None
        self._closed = True
