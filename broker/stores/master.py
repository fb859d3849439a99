"""The master of a store: takes requests, decides them in one order, has them committed, and lets clones follow.

A request is decided as soon as it comes, on the state that all before it lead to, committed or not: its effect goes
into a draft and a record into the log.  One commit is on its way at a time; what is decided meanwhile goes with the
next.  So a hundred tasks that each wait for their own write share a sync of the disk.  Nothing is answered, published
or shown before its commit is done (but for requests that ask for no more than ``applied``); when a commit fails, its
requests are answered with the error, and those that were decided on top of it are decided anew.

This module is long because a request's way is told in one place, from its coming to its answer; what could be told by
itself (deciding, drafts, followers, writers) is in modules of its own.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field, structs

from broker.errors import (
    BrokerError,
    JournalError,
    JournalFull,
    Malformed,
    MasterExists,
    NotCarried,
    NotReplicated,
    StoreClosed,
    StoreError,
    StoreFull,
)
from broker.journaling import Journal, Position
from broker.protocol.actions import Action, Answered, CarryOut, StoreChanged, Tell
from broker.protocol.frames import FRAME_BYTES_MAX
from broker.protocol.member import Member
from broker.status import StoreFailing, StoreRecovered
from broker.stores import wire
from broker.stores.admission import admit
from broker.stores.contents import Contents
from broker.stores.deciding import Decider, erase_expired
from broker.stores.draft import Draft
from broker.stores.entries import EXPIRIES, WHOLE_BYTES_MAX, WRITERS
from broker.stores.followers import Followers, Sender
from broker.stores.operations import OPERATIONS_MAX, Epoch, Operation, encode_body
from broker.stores.requests import APPLIED, DURABLE, Request, outcome_of
from broker.stores.retention import LOG_BYTES, trim
from broker.stores.wire import Applied, Commands, Follow, Item, NotHere, Outcome, Outcomes, StoreKind, Unfollow
from broker.stores.writers import Origin, Writers

__all__ = ["DRAFT_BYTES_MAX", "Master"]

# Writers wait while so much is decided and not committed: a commit of it takes a slow disk half a second.
DRAFT_BYTES_MAX: Final = 16 << 20
# Entries that expire together go into records of so many.
_EXPIRE_TOGETHER: Final = 1000
# A disk that refused is asked again after this.
_RETRY_S: Final = 1.0
# A record that is larger than this would not fit in a frame to the clones.
_RECORD_BYTES_MAX: Final = FRAME_BYTES_MAX - 65536
_FORGET_WRITERS_S: Final = 3600.0
_REFUSALS_MAX: Final = 1024


class _Batch(Struct, eq=False):
    """What one commit is to answer."""

    requests: list[Request]
    size: int = 0
    outcomes: dict[Origin, Outcome] = field(
        default_factory=dict
    )  # of what was forwarded: they are kept with its effect


class Master:
    """One store's authority, without its disk."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        sender: Sender,
        act: Callable[[Action], None],
        *,
        endpoint: str,
        salt: bytes,
        now: float,
        time_ns: int,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self.name = name
        self.journal = journal
        self.contents = Contents(name, journal)
        self.followers = Followers(name, journal, sender)
        self.rival: str | None = None  # the endpoint that is master of this store, too, and goes before us
        self.opponent: str | None = None  # another endpoint that is master of this store, whoever goes before whom
        self.started_ns = time_ns
        self.ready = False  # its first commit, which begins an epoch, is done
        self.failing = ""  # why the disk refused last
        self.commits = 0
        self.operations = 0  # records that were committed
        self._endpoint = endpoint
        self._sender = sender
        self._act = act
        self._log_bytes = log_bytes
        self._now = now
        self._wall_ns = time_ns - round(now * 1e9)
        self._writers = Writers(journal)
        self._asking: dict[bytes, tuple[Member, bytes]] = {}  # by writer: who asks, and as which it calls itself that
        self._outcomes: dict[bytes, list[Outcome]] = {}
        self._flying: tuple[Draft, _Batch] | None = None
        self._draft = Draft(journal)
        self._batch = _Batch([])
        self._unconfirmed: deque[Request] = deque()  # committed here, to be confirmed by clones
        self._retry_at = float("-inf")
        self._expire_at: float | None = None  # None: not looked up since the last commit
        self._forget_writers_at = now + _FORGET_WRITERS_S
        self._closed = False
        self._salt = salt
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._log((Epoch(self.journal.position.epoch + 1, self._salt),), "")

    # -- time ------------------------------------------------------------------------------------------------------

    def _time_ns(self, now: float) -> int:
        """Return nanoseconds since 1970; they never go back while the process lives."""
        self._now = now
        return self._wall_ns + round(now * 1e9)

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if now >= self._expiry_due() and now >= self._retry_at:
            self._expire(now)
        for request in [request for request in self._unconfirmed if now >= request.deadline]:
            self._unconfirmed.remove(request)
            have = sum(acked >= self._sequence(request) for _, acked, _ in self.followers.survey())
            reason = f"{have} of {request.replicas} clones confirmed {request.position} in time; the master has it"
            request.error = NotReplicated(self.name, reason)
            self._answer(request)
        if now >= self._forget_writers_at:
            self._forget_writers_at = now + _FORGET_WRITERS_S
            for row in self._writers.forgotten(self._time_ns(now), self._asking):
                self._draft.set_row(WRITERS, row, None)
        self.followers.tick(now)
        self.pump(now)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        due = min(self.followers.next_deadline(), max(self._expiry_due(), self._retry_at), self._forget_writers_at)
        if self._draft.changes_anything and self._flying is None:
            due = min(due, self._retry_at)
        return min([due, *(request.deadline for request in self._unconfirmed)])

    # -- requests --------------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether requests are taken; else writers wait."""
        return self._batch.size < DRAFT_BYTES_MAX

    def submit(self, request: Request, now: float) -> None:
        """Decide a request; see to it that :meth:`pump` is called when others have had their say, too."""
        time_ns = self._time_ns(now)
        if self._closed:
            request.error = StoreClosed(self.name, "its master was closed")
        elif self.rival is not None:
            request.error = self._conflict()
        else:
            self._decide(request, time_ns)
        if request.error is not None and not self._uncommitted:
            self._answer(request)
            return
        if not self._uncommitted:  # it has changed nothing
            self._committed(request)
            self._confirm()
            return
        if request.replicas == APPLIED and request.error is None:
            self._answer(request)
        self._batch.requests.append(request)
        self._batch.size += request.size

    @property
    def _uncommitted(self) -> bool:
        """Whether what is decided now may rest on what will not be."""
        return self._flying is not None or self._draft.changes_anything

    def _conflict(self) -> MasterExists:
        reason = (
            f"{self.rival} and {self._endpoint} are both its masters; {self._endpoint} writes nothing until one ends"
        )
        return MasterExists(self.name, reason)

    def _decide(self, request: Request, time_ns: int) -> None:
        request.results, request.error, request.position = [], None, None
        draft = self._draft
        # What may fail when it is half done (a value that is spread, a record that is too large) is drafted apart.
        single = len(request.commands) == 1 and request.size <= WHOLE_BYTES_MAX
        decider = Decider(self.name, draft if single else Draft(self.journal, draft), time_ns)
        try:
            for command in request.commands:
                request.results.append(decider.decide(command))
            if len(decider.operations) >= OPERATIONS_MAX:
                raise StoreError(self.name, f"a batch makes fewer than {OPERATIONS_MAX} changes: divide it")
            if decider.operations:
                self._log(tuple(decider.operations), request.writer, time_ns)
                if not single:
                    draft.absorb(decider.draft)
        except StoreError as error:
            request.error, request.results = error, []
        except (Malformed, NotCarried, JournalError) as error:  # the last: a damaged row, which is told to who needs it
            request.error, request.results = StoreError(self.name, str(error)), []
        request.position = self._draft.position
        if request.origin is not None:
            self._batch.outcomes[request.origin] = outcome_of(request, request.origin[1])

    def _log(self, operations: tuple[Operation, ...], writer: str, time_ns: int | None = None) -> Position:
        body = encode_body(self._time_ns(self._now) if time_ns is None else time_ns, writer, operations)
        if len(body) > _RECORD_BYTES_MAX:
            raise StoreError(self.name, f"a write of {len(body)} bytes: at most {_RECORD_BYTES_MAX}, divide it")
        return self._draft.append(body, operations)

    def _answer(self, request: Request) -> None:
        if request.done:
            return  # it asked for no more than to be applied
        request.done = True
        if request.origin is None:
            self._act(Answered(request))
            return
        writer, number = request.origin
        outcome = outcome_of(request, number)
        self._writers.answered(writer, outcome)
        self._outcomes.setdefault(writer, []).append(outcome)

    def _sequence(self, request: Request) -> int:
        return request.position.sequence if request.position is not None else 0

    # -- commits ---------------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Commit what was decided, unless a commit is on its way; send what there is to send."""
        self._now = now
        if self._flying is None and self._draft.changes_anything and now >= self._retry_at:
            self._commit()
        self.followers.pump(now)
        for writer, outcomes in self._outcomes.items():
            if writer in self._asking:
                member, own_name = self._asking[writer]
                body = wire.encode(Outcomes(self.name, own_name, outcomes))
                self._sender.send(StoreKind.OUTCOMES, body, ((member, 0, 0),))
        self._outcomes.clear()

    def _commit(self) -> None:
        for key, row in self._writers.rows_of(self._batch.outcomes, self._time_ns(self._now)):
            self._draft.set_row(WRITERS, key, row)
        draft, self._flying = self._draft, (self._draft, self._batch)
        self._draft, self._batch = Draft(self.journal, draft), _Batch([])
        work = draft.work(trim(self.journal, self._log_bytes))
        if not self.journal.volatile:
            self._act(CarryOut(self, work))
            return
        self.journal.carry_out(work)
        self.carried_out(None, self._now)

    def carried_out(self, error: BrokerError | None, now: float) -> None:
        """Take note that the commit is done, or that it could not be done."""
        assert self._flying is not None
        self._now = now
        (draft, batch), self._flying = self._flying, None
        if error is not None:
            self._failed(error, batch, now)
            return
        self._draft.settle()
        self.contents.changed(draft.changed_keys)
        self.commits += 1
        self.operations += len(draft.records)
        self.ready = True
        self._expire_at = None
        if self.failing:
            self.failing = ""
            self._act(Tell(StoreRecovered(self.name)))
        for request in batch.requests:
            self._committed(request)
        self._release()
        self._confirm()
        self._act(StoreChanged(self.name))

    def _release(self) -> None:
        """Answer what was decided, if it changes nothing: it waits for no commit."""
        if not self._draft.changes_anything:
            requests, self._batch = self._batch.requests, _Batch([], 0, self._batch.outcomes)
            for request in requests:
                self._committed(request)

    def _committed(self, request: Request) -> None:
        if request.error is None and request.replicas > DURABLE:
            self._unconfirmed.append(request)
        else:
            self._answer(request)

    def _failed(self, error: BrokerError, batch: _Batch, now: float) -> None:
        """Answer those whose commit failed; decide again what was decided on top of it."""
        kind = StoreFull if isinstance(error, JournalFull) else StoreError
        news = not self.failing
        self.failing = str(error)
        self._retry_at = now + _RETRY_S
        self._expire_at = None
        lost = 0
        requests: list[Request] = []
        for request in batch.requests:
            if request.error is not None:  # it may have failed because of what is not so now
                requests.append(request)
                continue
            lost += request.done
            request.error = kind(self.name, f"nothing was written: {error}")
            self._answer(request)
        requests += self._batch.requests
        self._draft, self._batch = Draft(self.journal), _Batch([], 0, self._refusals(batch))
        if not self.ready:
            self._begin_epoch()
        time_ns = self._time_ns(now)
        for request in requests:
            self._decide(request, time_ns)
            lost += request.done and request.error is not None
            self._batch.requests.append(request)
            self._batch.size += request.size
        if news or lost:
            self._act(Tell(StoreFailing(self.name, str(error), lost)))
        self._release()
        if self._batch.requests:
            self._retry_at = now  # somebody waits for the answer
        self._confirm()
        self._act(StoreChanged(self.name))

    def _refusals(self, batch: _Batch) -> dict[Origin, Outcome]:
        """Return the outcomes of a commit that failed, as they were answered: they are kept with the next one."""
        refused = {r.origin: outcome_of(r, r.origin[1]) for r in batch.requests if r.origin is not None and r.done}
        outcomes = {**batch.outcomes, **refused, **self._batch.outcomes}
        # No writer asks for more than that at once.
        return dict([(origin, outcome) for origin, outcome in outcomes.items() if outcome.code][-_REFUSALS_MAX:])

    def _confirm(self) -> None:
        """Answer who waits for clones that have confirmed."""
        waiting = self._unconfirmed
        for request in list(waiting):
            if self.followers.confirmed(request.replicas) >= self._sequence(request):
                waiting.remove(request)
                self._answer(request)

    # -- expiry ----------------------------------------------------------------------------------------------------

    def _expiry_due(self) -> float:
        if self.rival is not None or self._closed:
            return float("inf")
        if self._expire_at is None:
            first = next(iter(self.journal.rows(EXPIRIES)), None)
            self._expire_at = float("inf") if first is None else self._when(first[0])
        return self._expire_at

    def _when(self, row: bytes) -> float:
        """Return, in the driver's clock, when the entry of a row of EXPIRIES is over; a little later, not earlier."""
        return (int.from_bytes(row[:8], "big") - self._wall_ns) / 1e9 + 1e-6

    def _expire(self, now: float) -> None:
        """Remove entries whose time has come, as operations in the log."""
        self._expire_at = float("inf")  # until a commit is done, or has failed
        time_ns = self._time_ns(now)
        operations: list[Operation] = []
        for row, _ in self.journal.rows(EXPIRIES):
            if int.from_bytes(row[:8], "big") > time_ns or len(operations) >= _EXPIRE_TOGETHER:
                break
            operation = erase_expired(self._draft, row[8:], int.from_bytes(row[:8], "big"))
            if operation is not None:
                operations.append(operation)
        if operations:
            self._log(tuple(operations), "", time_ns)
        elif not self._uncommitted:
            self._expire_at = now + 0.001

    # -- frames ----------------------------------------------------------------------------------------------------

    def take(self, member: Member, kind: int, body: bytes, now: float) -> None:
        """Act on what a clone sends; raises Malformed when it makes no sense."""
        self._now = now
        if kind == StoreKind.FOLLOW:
            if self.rival is not None or not self.ready:
                self._refuse(member)
            else:
                self.followers.follow(member, wire.decode(Follow, body), now)
        elif kind == StoreKind.APPLIED:
            if self.followers.applied(member, wire.decode(Applied, body), now):
                self._confirm()
        elif kind == StoreKind.COMMANDS:
            self._take_commands(member, wire.decode(Commands, body), now)
        elif kind == StoreKind.UNFOLLOW:
            self.followers.unfollow(member, wire.decode(Unfollow, body).serial)
        else:
            raise Malformed(f"frames of kind {kind} are not for a master")
        self.pump(now)

    def _refuse(self, member: Member) -> None:
        notice = NotHere(self.name, "it is not ready" if self.rival is None else self._conflict().reason)
        self._sender.send(StoreKind.NOT_HERE, wire.encode(notice), ((member, 0, 0),))

    def _take_commands(self, member: Member, commands: Commands, now: float) -> None:
        if not self.ready or not self.has_room:
            return  # it asks again
        for item in commands.items:
            admit(item.commands)
        writer = _writer_of(member, commands.writer)
        self._asking[writer] = member, commands.writer
        taken = self._writers.take(structs.replace(commands, writer=writer), self._time_ns(now))
        for row in taken.settled:
            self._draft.set_row(WRITERS, row, None)
        if taken.again:
            self._outcomes.setdefault(writer, []).extend(taken.again)
        for item, outcome in taken.unconfirmed:
            assert outcome.position is not None
            request = self._request(member, writer, item, now)
            request.position, request.results = outcome.position.position(), outcome.results
            self._unconfirmed.append(request)
        self._confirm()
        for item in taken.fresh:
            self.submit(self._request(member, writer, item, now), now)

    def _request(self, member: Member, writer: bytes, item: Item, now: float) -> Request:
        deadline = now + item.patience_ms / 1000 if item.replicas > DURABLE else float("inf")
        return Request(item.commands, item.replicas, deadline, member.name, (writer, item.number))

    def member_forgotten(self, member: Member) -> None:
        """Let go of an endpoint that is no longer part of the mesh."""
        self.followers.forget(member)
        for writer in [writer for writer, (known, _) in self._asking.items() if known is member]:
            del self._asking[writer]

    # -- conflicts and the end -------------------------------------------------------------------------------------

    def yield_to(self, rival: str | None) -> None:
        """Write nothing while another endpoint, that goes before us, is master, too."""
        if rival != self.rival:
            self.rival = rival
            if rival is not None:
                for member in [follower.member for follower in self.followers.followers.values()]:
                    self._refuse(member)
                self.followers.close()
            self._act(StoreChanged(self.name))

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be committed or answered."""
        return self._flying is None and not self._draft.changes_anything and not self._batch.requests

    def close(self) -> None:
        """Answer who still waits, and let go of clones.  Commit first what is to be kept: see :attr:`idle`."""
        self._closed = True
        left = list(self._unconfirmed)
        self._unconfirmed.clear()
        for request in left:
            request.error = NotReplicated(self.name, "its master was closed before enough clones confirmed it")
            self._answer(request)
        for request in [request for request in self._batch.requests if not request.done]:
            request.error = StoreClosed(self.name, "its master was closed before it was committed")
            self._answer(request)
        self._draft, self._batch = Draft(self.journal), _Batch([])  # what was answered so is not written after all
        self.pump(self._now)
        self.followers.close()


def _writer_of(member: Member, writer: bytes) -> bytes:
    """Return by which id a writer is known here: nobody else has one that follows from this endpoint's.

    Relays see what a writer calls itself; who asked as that writer would take its place, and its numbers.
    """
    return hashlib.blake2b(writer, key=member.id, digest_size=16).digest()
