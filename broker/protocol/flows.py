"""Flows: what one endpoint sends to one other, end to end, whatever lies between them.  Its theory makes it long.

Theory of operation
===================

A publisher decides which endpoints get an event: it knows everybody's interests.  To each of them it has a **flow**,
whose messages are numbered 1, 2, 3...; a **parcel** (a batch of events) takes as many numbers as it has messages.
Links carry parcels without loss as long as they last, so nearly always they arrive in order and once.  When ways
change they may overtake each other, arrive twice, or be lost with a relay; the numbers tell.

**In.**  An :class:`InFlow` takes the parcel that is next.  One that is ahead of its turn waits for what is missing, one
that was there before is dropped.  It reports the last message in order: when asked, after a quarter of the room, else
within :data:`REPORT_DELAY_S`.

**Out.**  An :class:`OutFlow` keeps a parcel until it is reported.  While some are unreported it asks once a second,
and at once after the graph has changed.  The question (PROBE) travels behind everything that was sent before it; so
what its answer still lacks was lost on the way, or is late on another one, and is sent again.  Nothing is ever sent
again on a guess.

**Room** is the credit: how much (:func:`~broker.protocol.frames.charge_of`) may be unreported.  A receiver gives each
flow a share of :data:`ROOM_TOTAL`, but never takes back what it gave; while a subscription's queue is full it gives
those who fill it no more.  What has no room waits in ``waiting``; publishers to a flow where anything waits are held.
So a receiver bears its queues, ROOM_TOTAL and a parcel for each publisher; a publisher as much for each receiver; and
what a relay may have to hold is bounded by the room of the flows through it.  Credit goes from end to end and not
from hop to hop, because a relay that held back a whole link for one slow endpoint would hold back everybody behind
it, and relays that wait for each other in a circle wait for ever.

**Away.**  Who cannot be reached for ``Timing.resume_s``, or answers none of :data:`UNANSWERED_MAX` questions, is given
up: its parcels are counted as lost and only their topics and numbers are kept, as LOST parcels in their place; from
then on what is for it is counted, not kept, and holds up nobody.  If the same process is heard of again, both ends
settle exactly: the publisher learns what had arrived after all, the receiver gets the LOST parcels for the rest.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from msgspec import Struct

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.frames import FRAME_BYTES_MAX, Batch, Kind, LostEvents, LostTopic, Probe, Report, charge_of

__all__ = [
    "PARCELS_MAX",
    "PROBE_S",
    "REPORT_DELAY_S",
    "ROOM_FIRST",
    "ROOM_MAX",
    "ROOM_MIN",
    "ROOM_TOTAL",
    "UNANSWERED_MAX",
    "InFlow",
    "OutFlow",
    "Outcome",
    "Parcel",
    "lost_parcel",
]

# At 1.5 million small events/s (a charge of 140 MB/s) 4 MiB is 30 ms of stream: more than a busy receiver's loop
# takes to come round.
ROOM_MAX: Final = 4 << 20
# What a receiver risks for all its publishers together: 16 of them have all they can use, then they share.
ROOM_TOTAL: Final = 64 << 20
# What a new publisher may send unasked: the burst of a program that has just started.
ROOM_FIRST: Final = 1 << 20
# The least share: a few batches.
ROOM_MIN: Final = 256 << 10
# Unreported parcels of a flow; those of a single event each reach this before the room.
PARCELS_MAX: Final = 4096
REPORT_PARCELS: Final = 256
# A report is not urgent unless room runs out: a thousand receivers of a rare event are not to answer at once.
REPORT_DELAY_S: Final = 0.25
PROBE_S: Final = 1.0
# Questions without any answer after which a receiver that can be reached is given up all the same: an endpoint answers
# at once, and a line so slow that an answer takes longer brings reports of other parcels meanwhile.  It is asked sooner
# after each change of ways: so they have to take as long besides as if it was asked once a :data:`PROBE_S`.
# As STALL_S.
UNANSWERED_MAX: Final = 30
# Lost messages are told apart by topic and name up to so many of them.
LOST_TOPICS_MAX: Final = 1000


class Parcel(Struct, eq=False):
    """What goes through flows as one: ``messages`` of them, in a body that all its receivers get."""

    kind: int
    body: bytes
    messages: int
    charge: int
    _topics: Counter[tuple[str, str]] | None = None

    @property
    def topics(self) -> Counter[tuple[str, str]]:
        """How many messages of which topic and name it has; the empty topic is for what cannot be told apart."""
        if self._topics is None:
            self._topics = _count_topics(self)
        return self._topics


def _count_topics(parcel: Parcel) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    if parcel.kind == Kind.LOST:
        for lost in frames.decode(LostEvents, parcel.body).topics:
            counts[lost.topic, lost.name] += lost.count
    elif parcel.kind == Kind.EVENTS:
        for run in frames.decode(Batch, parcel.body).runs:
            if len(run.topics) == 1:
                counts[run.topics[0], run.name] += run.count
            else:
                for index, topic in enumerate(run.topics):
                    counts[topic, run.name] += run.which.count(index)
    else:
        counts["", ""] += parcel.messages
    return +counts


def lost_parcel(topics: Counter[tuple[str, str]]) -> Parcel:
    """Return what stands for messages that are kept no more.  It needs no room: it has to arrive where none is left."""
    kept = topics.most_common(LOST_TOPICS_MAX)
    rest = topics.total() - sum(count for _, count in kept)
    if rest:
        kept.append((("", ""), rest))
    body = frames.encode(LostEvents(tuple(LostTopic(topic, name, count) for (topic, name), count in kept)))
    return Parcel(Kind.LOST, body, topics.total(), 0)


class Outcome(Struct):
    """What follows from a report: what is to be sent, for the first time or again, and what there is to tell."""

    send: list[tuple[int, Parcel]]
    recovered: int = 0  # messages that were told as lost, and had arrived
    lost: int = 0  # messages that passed while the receiver was away: told now that it is back
    dropped: int = 0  # further messages that the receiver's subscriptions dropped


class OutFlow:
    """The sending end.  ``number`` tells it from earlier flows to the same endpoint."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.next_sequence = 1
        self.sent: deque[tuple[int, Parcel]] = deque()  # unreported, in order
        self.waiting: deque[Parcel] = deque()  # no room
        self.room = ROOM_FIRST
        self.away = False  # given up: what is for it is only counted
        self.probe_at: float | None = None  # when to ask; None: not thought of yet
        self.probe_number = 0
        self.unanswered = 0  # questions since the last report,
        self.asked_since = 0.0  # and when the first of them was asked
        self._probe_last = 0  # the last message that went before the question
        self._outstanding = 0
        self._serial = 0
        self._dropped = 0
        self._settling = False  # back from being away: the first answer tells what had arrived
        self._told = 0  # up to this message what was lost is told
        self._settled = 0  # up to this message what was lost was sent as lost, and can't be recovered
        self._passing: Counter[tuple[str, str]] = Counter()  # what passes while it is away

    @property
    def congested(self) -> bool:
        """Whether publishers to it have to wait."""
        return bool(self.waiting)

    @property
    def pending(self) -> bool:
        """Whether anything is not known to have arrived."""
        return bool(self.sent or self.waiting)

    def lacks(self, end: int) -> bool:
        """Whether a message before the one of that number is not known to have arrived."""
        first = self.sent[0][0] if self.sent else self.next_sequence
        return first < end and self.pending

    @property
    def unreported(self) -> int:
        """Events that are not known to have arrived, sent or not."""
        kept = sum(parcel.messages for _, parcel in self.sent if parcel.kind != Kind.LOST)
        return kept + sum(parcel.messages for parcel in self.waiting if parcel.kind != Kind.LOST)

    def send(self, parcel: Parcel) -> int:
        """Take a parcel; returns its first message's number if it may leave now, else 0."""
        if self.away:
            self._pass(parcel)
            return 0
        if self.waiting or self._settling or self._outstanding >= self.room or len(self.sent) >= PARCELS_MAX:
            self.waiting.append(parcel)
            return 0
        return self._number(parcel)

    def _number(self, parcel: Parcel) -> int:
        sequence = self.next_sequence
        self.next_sequence += parcel.messages
        self.sent.append((sequence, parcel))
        self._outstanding += parcel.charge
        return sequence

    def _release(self) -> list[tuple[int, Parcel]]:
        released = []
        while self.waiting and self._outstanding < self.room and len(self.sent) < PARCELS_MAX:
            parcel = self.waiting.popleft()
            released.append((self._number(parcel), parcel))
        return released

    # -- reports -------------------------------------------------------------------------------------------------

    def probe(self) -> Probe:
        """Return the question that tells what was lost."""
        self.probe_number += 1
        self.unanswered += 1
        self._probe_last = self.next_sequence - 1
        return Probe(self.probe_number, self.sent[0][0] if self.sent else self.next_sequence, self._told)

    def take_report(self, report: Report) -> Outcome:
        """Act on a report.  Raises Malformed when it tells of what was never sent."""
        if report.received >= self.next_sequence:
            raise Malformed(f"it reports message {report.received}, the last one sent was {self.next_sequence - 1}")
        if report.serial <= self._serial or self.away:
            return Outcome([])
        self._serial = report.serial
        self.unanswered = 0
        self.room = report.room
        recovered = self._forget_until(report.received)
        outcome = Outcome([], recovered=recovered if self._settling else 0)
        outcome.dropped, self._dropped = max(0, report.dropped - self._dropped), max(report.dropped, self._dropped)
        if report.answers and report.answers == self.probe_number and report.received < self._probe_last:
            outcome.send += [item for item in self.sent if item[0] <= self._probe_last]
        if self._settling and report.answers and report.answers == self.probe_number:
            self._settling = False
            outcome.lost = self._untold()
            self._told = self._settled = self.next_sequence - 1
        if not self._settling:
            outcome.send += self._release()
        self.probe_at = None
        return outcome

    def _forget_until(self, received: int) -> int:
        """Drop what has arrived; returns how many messages of it were kept as lost and not sent as such."""
        marked = 0
        sent = self.sent
        while sent and sent[0][0] + sent[0][1].messages - 1 <= received:
            sequence, parcel = sent.popleft()
            self._outstanding -= parcel.charge
            if parcel.kind == Kind.LOST and sequence > self._settled:
                marked += parcel.messages
        return marked

    # -- away ----------------------------------------------------------------------------------------------------

    def _pass(self, parcel: Parcel) -> None:
        self._passing += parcel.topics
        if len(self._passing) > LOST_TOPICS_MAX:  # the rarest are not told apart any more
            topic, count = self._passing.most_common()[-1]
            del self._passing[topic]
            self._passing["", ""] += count
        self.next_sequence += parcel.messages

    def give_up(self) -> int:
        """Keep of everything unreported only what it was; returns how many messages that loses."""
        lost = self.unreported + self._untold()
        numbered = [*self.sent]
        for parcel in self.waiting:
            numbered.append((self.next_sequence, parcel))
            self.next_sequence += parcel.messages
        self.waiting.clear()
        self.sent = deque(
            (sequence, parcel if parcel.kind == Kind.LOST else lost_parcel(parcel.topics))
            for sequence, parcel in numbered
        )
        self._outstanding = 0
        self.away = True
        self._told = self.next_sequence - 1
        return lost

    def _untold(self) -> int:
        """Return how many messages passed before it came back that it has not settled yet."""
        passed = [item for item in self.sent if item[0] > self._told and item[1].kind == Kind.LOST]
        return sum(parcel.messages for _, parcel in passed)

    @property
    def passed(self) -> int:
        """Messages that passed while it is away: not told as lost yet."""
        return self._passing.total()

    def come_back(self) -> None:
        """Be heard of again: what passed meanwhile is told behind what was lost before."""
        self.away = False
        self.unanswered = 0
        passed = self._passing.total()
        if passed:
            self.sent.append((self.next_sequence - passed, lost_parcel(self._passing)))
            self._passing = Counter()
        self._settling = bool(self.sent)


class InFlow:
    """The receiving end; ``number`` is the sender's."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.expected = 1
        self.early: dict[int, tuple[int, bytes]] = {}  # by first message: kind and body of what is ahead of its turn
        self.holders: set[object] = set()  # the full queues that keep us from giving more room
        self.dropped = 0  # by our subscriptions
        self.answers = 0  # the probe that the next report answers
        self.duplicates = 0
        self.messages = 0
        self.due = False  # a report is due at once
        self.share = ROOM_FIRST
        self._given_up = 0  # the last message that the sender has told as lost
        self._charge = 0  # of what came in order
        self._early_bytes = 0
        self._edge = ROOM_FIRST  # the charge up to which room was given
        self._serial = 0
        self._reported = 0  # the charge when we last reported
        self._parcels = 0  # since then
        self._told = (1, 0)  # expected and dropped, as last reported

    def judge(self, sequence: int, kind: int, body: bytes) -> bool:
        """Whether a parcel is to be acted on now; one ahead of its turn is kept, one that was there is dropped.

        Raises Malformed when it was sent without room.
        """
        if sequence < self.expected or (sequence <= self._given_up and kind != Kind.LOST):
            self.duplicates += 1
            return False
        if kind == Kind.EVENTS and self._charge + self._early_bytes >= self._edge:
            self._check_room(sequence)
        if sequence == self.expected:
            return True
        if sequence not in self.early and len(self.early) < PARCELS_MAX:
            self.early[sequence] = (kind, body)
            self._early_bytes += len(body)
        return False

    def _check_room(self, sequence: int) -> None:
        """Refuse a parcel that had no room when it was sent; one that fills a gap was sent before what waits."""
        excess = self._charge + self._early_bytes - self._edge
        if self._charge >= self._edge or sequence > max(self.early, default=0) or excess >= FRAME_BYTES_MAX:
            raise Malformed("more events than there was room given for")

    def advance(self, kind: int, body_bytes: int, messages: int) -> None:
        """Take note of the parcel that was next."""
        self.expected += messages
        self._parcels += 1
        if kind == Kind.EVENTS:
            self.messages += messages
            self._charge += charge_of(body_bytes, messages)
        if self._charge - self._reported >= self.share // 4 or self._parcels >= REPORT_PARCELS:
            self.due = True

    def next_early(self) -> tuple[int, bytes] | None:
        """Give out what waited for its turn and has it now."""
        if not self.early:
            return None
        found = self.early.pop(self.expected, None)
        if found is not None:
            self._early_bytes -= len(found[1])
        return found

    def skip_gap(self) -> int:
        """Go on with the earliest that waits, because what is missing will never come; returns how many are missing."""
        return self.skip_to(min(self.early, default=self.expected))

    def give_up(self, until: int) -> None:
        """Take what was sent before only as lost from now on, because its sender has told it so."""
        if until <= self._given_up:
            return
        self._given_up = until
        for sequence in [sequence for sequence in self.early if sequence <= until]:
            self._early_bytes -= len(self.early.pop(sequence)[1])

    def skip_to(self, oldest: int) -> int:
        """Go on with that message, because the sender has nothing older; returns how many are missing."""
        missing = max(0, oldest - self.expected)
        self.expected = max(self.expected, oldest)
        for sequence in [sequence for sequence in self.early if sequence < self.expected]:
            self._early_bytes -= len(self.early.pop(sequence)[1])
        return missing

    # -- reports -------------------------------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether there is anything to report."""
        return self.due or self._told != (self.expected, self.dropped)

    def report(self) -> Report:
        """Return what there is to report, and take it as reported."""
        if not self.holders:
            self._edge = max(self._edge, self._charge + self.share)
        self._serial += 1
        self.due = False
        self._reported, self._parcels = self._charge, 0
        self._told = (self.expected, self.dropped)
        answers, self.answers = self.answers, 0
        room = max(0, self._edge - self._charge)
        return Report(self._serial, self.expected - 1, room, self.dropped, answers)

    def hold(self, queue: object) -> None:
        """Give no more room until :meth:`release` was said for every queue that holds."""
        self.holders.add(queue)

    def release(self, queue: object) -> None:
        """Let ``queue`` hold no longer; the news is due at once when nothing else holds."""
        self.holders.discard(queue)
        if not self.holders:
            self.due = True
