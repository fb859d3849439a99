"""A collector of a log stream: finds its writers, queues what they send, and acknowledges what the program has done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from broker.errors import Malformed
from broker.log_records import flaw_in
from broker.logs import wire
from broker.logs.batches import Batch, WriterLag, messages_of
from broker.logs.checkpoints import pack_checkpoint, read_checkpoint
from broker.logs.chunks import read_chunk
from broker.logs.messages import LogMessage
from broker.logs.ranges import Range, Ranges
from broker.logs.sessions import WINDOW_BYTES, Post
from broker.logs.source import Key, Source
from broker.logs.wire import RANGES_MAX, Claim, Collected, LogKind, NoStream, Piece, Records, Schema, Since, Tip
from broker.protocol.actions import Action, LogChanged, Tell
from broker.protocol.deadlines import Deadlines
from broker.protocol.member import Member
from broker.status import CollectorRefused, CollectorStalled, Status, WriterReset

__all__ = ["QUEUE_BYTES", "Collector"]

QUEUE_BYTES: Final = 8 << 20
SOURCES_MAX: Final = 10_000
# A writer that keeps to its window never has so much here; one that does not is not to fill the memory.
_QUEUED_BYTES_MAX: Final = 4 * WINDOW_BYTES
_WINDOW_BYTES_MIN: Final = 64 << 10
# A program that is in the middle of a batch: how often what it has done of it is acknowledged.
_PROGRESS_S: Final = 0.05
_STALL_S: Final = 60.0
_NEVER: Final = float("inf")


class Collector:
    """A collector of one stream, under a name or without."""

    def __init__(
        self,
        stream: str,
        post: Post,
        act: Callable[[Action], None],
        *,
        name: str,
        member: bytes,
        since: Since,
        replay: bool = False,
        schema: Schema | None = None,
        queue_bytes: int = QUEUE_BYTES,
        checkpoint: bytes | None = None,
    ) -> None:
        self.stream = stream
        self.name = name
        self._post = post
        self._act = act
        self._since = since
        self._replay = replay
        self._schema = schema
        self._queue_bytes = queue_bytes
        self._known: dict[bytes, tuple[Claim, ...]] = {}
        self.member = member
        if checkpoint is not None:
            kept = read_checkpoint(checkpoint)
            self.member = kept.member
            self._known = dict(kept.done)
        self.sources: dict[bytes, Source] = {}  # by journal
        self._queue: deque[Batch] = deque()
        self._deadlines: Deadlines[Source] = Deadlines(Source.due)
        self.refused: dict[str, str] = {}  # by writer, and why
        self.progress: Callable[[], bool] = _no_progress  # has what is done of the open batch finished; is there one?
        self._progress_at = _NEVER
        self._stall_at = _NEVER
        self.closed = False
        self.received = 0  # records that were given out,
        self.acknowledged = 0  # and those that were acknowledged

    # -- writers ---------------------------------------------------------------------------------------------------

    def find(self, writers: Iterable[tuple[Member, bytes, int]], now: float) -> None:
        """Take note of who can be reached and writes the stream: member, journal, since when."""
        there: dict[bytes, tuple[Member, int]] = {}
        for member, journal, since in writers:
            if journal not in there or there[journal][1] < since:
                there[journal] = member, since
        names = {member.name for member, _ in there.values()}
        for journal, source in self.sources.items():
            if journal not in there:
                self._lose(source, replaced=source.member.name in names)
        for journal, (member, since) in there.items():
            known = self.sources.get(journal) or self._meet(journal, member)
            if known is None:
                continue
            new_life = known.member is not member or known.since_ns != since
            if known.state == "away" or new_life:
                known.member, known.since_ns = member, since
                self._ask(known, now)

    def _lose(self, source: Source, *, replaced: bool) -> None:
        """Take note that a spool is not to be reached, or that its writer has another one now."""
        if source.state == "replaced" or (source.state == "away" and not replaced):
            return
        source.state = "away"
        if replaced:
            source.state = "replaced"
            if source.known:
                missed = max(0, source.tip - max(source.floor, self._latest(source)))
                had = str(source.base(source.epoch))
                self._act(Tell(WriterReset(self.stream, source.member.name, had, missed)))
        self._deadlines.forget(source)
        self._changed()  # who waits for what it has written down need not

    def _meet(self, journal: bytes, member: Member) -> Source | None:
        """Return a new source; None when there are too many."""
        if len(self.sources) >= SOURCES_MAX:
            idle = [s for s in self.sources.values() if s.state in {"away", "replaced"} and not s.held and not s.done]
            for former in idle:
                del self.sources[former.journal]
        if len(self.sources) >= SOURCES_MAX:
            self._tell_refused(member.name, f"{SOURCES_MAX} spools are collected already")
            return None
        source = Source(self.stream, journal, member, self._post, self._known.pop(journal, ()))
        self.sources[journal] = source
        return source

    def _latest(self, source: Source) -> int:
        return max((ranges.last for ranges in [*source.held.values(), *source.done.values()] if ranges), default=0)

    def _ask(self, source: Source, now: float) -> None:
        if source.serial:
            self._post.over(source.serial)
        source.former_bytes = source.queued_bytes
        source.ask(
            self._post.begin(source),
            self.name,
            self.member,
            self._since,
            replay=self._replay,
            window=self._window(source),
            schema=self._schema,
            now=now,
        )
        self._deadlines.watch(source)

    def _window(self, source: Source) -> int:
        """Return how much a writer may have under way to us, beside what waits here from before its last answer."""
        whole = max(_WINDOW_BYTES_MIN, min(WINDOW_BYTES, self._queue_bytes // max(1, len(self.sources))))
        return max(1, whole - source.former_bytes)

    def take(self, source: Source, sequence: int, kind: int, body: bytes, now: float) -> None:
        """Act on a frame of a writer; raises Malformed."""
        if kind == LogKind.RECORDS:
            self._take_records(source, sequence, body, now)
        elif kind == LogKind.TIP:
            source.sign(wire.decode(Tip, body), now)
            self._changed()
        elif kind == LogKind.COLLECTED:
            self._take_answer(source, wire.decode(Collected, body), now)
        else:
            wire.decode(NoStream, body)
            if source.state in {"following", "refused"}:
                self._ask(source, now)
        self._deadlines.watch(source)

    def _take_answer(self, source: Source, answer: Collected, now: float) -> None:
        if source.state != "asking":
            return
        if answer.refused:
            self._refuse(source, answer.refused, "refused")
        elif answer.journal != source.journal:
            source.state = "away"  # it has another spool by now, and will be announced with it
        elif flaw := next(filter(None, (flaw_in(schema.columns) for _, schema in answer.schemas)), ""):
            self._refuse(source, f"its records make no sense: {flaw}", "refused")
        else:
            self.refused.pop(source.member.name, None)
            source.follow(answer, now, remembered=self.name != "")
        self._changed()

    def _refuse(self, source: Source, reason: str, state: str) -> None:
        source.state = state
        self._tell_refused(source.member.name, reason)

    def _tell_refused(self, writer: str, reason: str) -> None:
        if self.refused.get(writer) != reason:  # it is asked again now and then
            self.refused[writer] = reason
            self._act(Tell(CollectorRefused(self.stream, self.name, writer, reason)))

    def _take_records(self, source: Source, sequence: int, body: bytes, now: float) -> None:
        pieces = wire.decode(Records, body).pieces if source.state == "following" else []
        if not source.takes(sequence, now):
            return
        if source.queued_bytes > _QUEUED_BYTES_MAX:
            raise Malformed("it sends more than there is room for")
        last = pieces[-1]
        for piece in pieces:
            self._queue_up(source, sequence, piece, piece is last, now)
        if self._stall_at == _NEVER:
            self._stall_at = now + _STALL_S
        self._changed()

    def _queue_up(self, source: Source, frame: int, piece: Piece, ends_frame: bool, now: float) -> None:
        chunk = read_chunk(piece.chunk)
        source.hold((chunk.epoch, chunk.mark), chunk.first, chunk.last, now)
        source.queued_bytes += len(piece.chunk)
        self._queue.append(
            Batch(source, source.serial, frame, ends_frame, piece.lost, piece.again, chunk, len(piece.chunk))
        )

    def _tell(self, status: Status) -> None:
        self._act(Tell(status))

    def _changed(self) -> None:
        self._act(LogChanged(self))

    # -- what the program does -------------------------------------------------------------------------------------

    def next_batch(self, now: float) -> tuple[Batch, list[LogMessage]] | None:
        """Return the records that are next, of one batch; None: there are none now."""
        while (batch := self._pop()) is not None:
            source = batch.source
            source.queued_bytes -= batch.size
            if batch.serial != source.serial:
                source.former_bytes -= batch.size
                self._room(source, source.taken, now)
            elif batch.ends_frame:
                self._room(source, batch.frame, now)
            try:
                messages = self._messages(batch, now)
            except Malformed as error:
                self._refuse(source, f"it broke the protocol: {error}", "broken")
                continue
            if messages:
                self.received += len(messages)
                if self._progress_at == _NEVER:
                    self._progress_at = now + _PROGRESS_S
                return batch, messages
        return None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be given out now."""
        return not self._queue or all(batch.source.holds_back for batch in self._queue)

    def _pop(self) -> Batch | None:
        queue = self._queue
        if not queue:
            return None
        if not queue[0].source.holds_back and queue[0].source.disorder < RANGES_MAX:
            return queue.popleft()
        for index, batch in enumerate(queue):
            if not batch.source.holds_back and batch.source.disorder < RANGES_MAX:
                del queue[index]
                return batch
        return None

    def _room(self, source: Source, frame: int, now: float) -> None:
        source.taken = frame
        source.window = self._window(source)
        source.ack_at = min(source.ack_at, now + 0.01)
        self._deadlines.watch(source)

    def _messages(self, batch: Batch, now: float) -> list[LogMessage]:
        messages, misfits = messages_of(batch, self.stream, self._tell)
        for number in misfits:
            self.finish(batch.source, batch.key, number, number, now)
        return messages

    def finish(self, source: Source, key: Key, first: int, last: int, now: float) -> int:
        """Acknowledge these, as far as they are held; returns how many they were."""
        before = source.ack_at
        count = source.finish(key, first, last, now)
        self.acknowledged += count
        if source.ack_at < before:  # it is watched anew only then: an explicit acknowledgement costs 5 us instead of 14
            self._deadlines.watch(source)
        return count

    def acknowledge(self, message: LogMessage, *, through: bool, now: float) -> int:
        """Acknowledge a message, or all of its writer up to it that were given out; returns how many that was."""
        found = self._holder(message)
        if found is None:
            return 0
        source, key = found
        source.done_ns = max(source.done_ns, message.time_ns)
        if not through:
            return self.finish(source, key, message.number, message.number, now)
        earlier = [other for other in source.held if other <= key]
        return sum(self.finish(source, other, 1, message.number, now) for other in earlier)

    def _holder(self, message: LogMessage) -> tuple[Source, Key] | None:
        source = self.sources.get(message.epoch.journal)
        return None if source is None else (source, (message.epoch.epoch, message.epoch.checksum))

    def flush(self, now: float) -> None:
        """Tell writers now what is done: the program waits for more."""
        for source in self._deadlines.take(now + 0.011):
            self._serve(source, max(now, min(now + 0.011, source.ack_at)), now)

    def checkpoint(self, through: Iterable[LogMessage] = ()) -> bytes:
        """Return what was acknowledged and is not confirmed; as it will be when ``through`` are, too."""
        more: dict[bytes, list[tuple[Key, int]]] = {}
        for message in through:
            found = self._holder(message)
            if found is not None:
                more.setdefault(found[0].journal, []).append((found[1], message.number))
        claims = [(journal, source.claims_through(more.get(journal, ()))) for journal, source in self.sources.items()]
        return pack_checkpoint(self.member, [*self._known.items(), *claims])

    @property
    def queued_bytes(self) -> int:
        """What waits here for the program."""
        return sum([source.queued_bytes for source in self.sources.values()])

    @property
    def settled(self) -> bool:
        """Whether all that was acknowledged is written down by its writers, as far as their spools still exist."""
        return all(source.settled for source in self.sources.values() if source.state != "replaced")

    @property
    def settled_where_reachable(self) -> bool:
        """Whether all writers that can be reached have written down what was acknowledged."""
        return all(source.settled for source in self.sources.values() if source.state in {"asking", "following"})

    def lag(self) -> tuple[WriterLag, ...]:
        """Return how far it is with each writer."""
        found = []
        for source in self.sources.values():
            if source.state == "replaced":
                continue
            behind = max(0, source.tip - source.floor)
            seconds = max(0.0, (source.tip_ns - source.done_ns) / 1e9) if behind and source.done_ns else 0.0
            reachable = source.state == "following"
            found.append(
                WriterLag(source.member.name, source.journal, source.floor, source.tip, behind, seconds, reachable)
            )
        return tuple(found)

    def close(self, unread: Mapping[bytes, Iterable[Range]]) -> None:
        """End; ``unread``: by journal, records that were taken from the queue and not given to the program."""
        self.closed = True
        for source in self.sources.values():
            begun = Ranges(one for ranges in source.held.values() for one in ranges)
            for batch in self._queue:
                if batch.source is source:
                    begun.remove(batch.chunk.first, batch.chunk.last)
            for one in unread.get(source.journal, ()):
                begun.remove(*one)
            source.leave(begun)
            self._post.over(source.serial)
        self._queue.clear()
        self._changed()

    # -- time ------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if now >= self._progress_at:
            self._progress_at = now + _PROGRESS_S if self.progress() else _NEVER
        for source in self._deadlines.take(now):
            self._serve(source, now, now)
        if now >= self._stall_at:
            self._look_for_stalls(now)

    def _serve(self, source: Source, until: float, now: float) -> None:
        if source.state in {"asking", "following", "refused"}:
            if source.lapsed(now):
                self._ask(source, now)
            elif source.state == "following" and source.due() <= until:
                source.acknowledge(now)
        self._deadlines.watch(source)

    def _look_for_stalls(self, now: float) -> None:
        self._stall_at = _NEVER
        for source in self.sources.values():
            if not source.held or source.stalled:
                continue
            if now >= source.progressed + _STALL_S:
                source.stalled = True
                count = sum(ranges.count for ranges in source.held.values())
                status = CollectorStalled(self.stream, self.name, source.member.name, count, now - source.progressed)
                self._act(Tell(status))
            else:
                self._stall_at = min(self._stall_at, source.progressed + _STALL_S)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return min(self._deadlines.next(), self._progress_at, self._stall_at)


def _no_progress() -> bool:
    return False
