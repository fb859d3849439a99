"""One writer's spool as a collector knows it: what came from there, what of that is done, what the writer knows.

A source outlives the writer's process: it is known by its spool's journal.  Each time something may have been missed
for good, it asks anew with a new serial and says what it holds and what it has done; the writer goes on from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from broker.journaling import Position
from broker.logs import wire
from broker.logs.groups import LEASE_S
from broker.logs.ranges import Range, Ranges
from broker.logs.sessions import Post
from broker.logs.wire import RANGES_MAX, Acknowledge, Claim, Collect, Collected, Leave, LogKind, Schema, Since, Tip
from broker.protocol.member import Member

__all__ = ["ASK_S", "Key", "Source"]

Key = tuple[int, bytes]
"""An epoch: its number and its mark."""

# How long an answer is waited for: at first as long as a way may take to be known at both ends, then twice as long each
# time, up to this.
ASK_S: Final = 1.0
# One that is refused asks again: it may have been given the right, or another member may have gone.
_REFUSED_S: Final = 3.0
_ASK_FIRST_S: Final = 0.05
# Word of what is done waits so long for company.
_ACKNOWLEDGE_S: Final = 0.01
_ALIVE_S: Final = 3.0
# A collector takes its lease for lapsed before the writer does.
_LAPSE_S: Final = 0.8 * LEASE_S
# The word that frames are missing may have been lost, too.
_MISSING_S: Final = 0.3
# Where a frame cannot take all that is done, the rest follows so much later.
_MORE_S: Final = 0.1
_CLAIMS_MAX: Final = 1000
_NEVER: Final = float("inf")


class Source:
    """A writer's spool."""

    def __init__(self, stream: str, journal: bytes, member: Member, post: Post, claims: Iterable[Claim] = ()) -> None:
        self._stream = stream
        self.journal = journal
        self.member = member
        self._post = post
        self.since_ns = -1  # when the writer that is known began
        self.serial = 0
        self.state = "away"  # asking, following, refused, broken (the protocol), replaced (its writer has another)
        self.shared = False
        self.epoch: Key = (0, bytes(8))
        self.schemas: dict[bytes, Schema] = {}
        self.known = False  # it has been followed before
        self.held: dict[Key, Ranges] = {}  # received, and not acknowledged
        self.done: dict[Key, Ranges] = {}  # acknowledged, and not known to be written down there
        for claim in claims:
            self.done[claim.epoch, claim.mark] = Ranges(claim.done)
        self.queued: dict[Key, Ranges] = {}  # of what is held: not given to the program yet
        self.kept: dict[
            Key, Ranges
        ] = {}  # of what is queued: what came by serials before ``followed``, and is ours still
        self.followed = 0  # the last serial that was answered
        self.lost_untold = 0  # of which the program will be told with the next record
        self._fresh: list[tuple[Key, Range]] = []  # done since the last word
        self._sent: deque[tuple[int, list[tuple[Key, Range]]]] = deque()
        self.acknowledged = 0  # how many words were sent,
        self.confirmed = 0  # and how many of them are written down
        self.received = 0  # frames of this serial, in order
        self.taken = 0
        self.window = 0
        self.queued_bytes = 0  # in the collector's queue,
        self.former_bytes = 0  # and of these what came by former serials
        self.lost = False
        self._missing_at = float("-inf")
        self.tip = 0
        self.tip_ns = 0
        self.floor = 0
        self.done_ns = 0  # the time of the latest record that is done here
        self.heard = 0.0
        self._asked = 0.0
        self._patience = _ASK_FIRST_S
        self._told = 0.0
        self.ack_at = _NEVER
        self._reached: Since | None = None  # the last record that came
        self.progressed = 0.0  # when something was done last, or began to be held
        self.stalled = False

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask(self, serial: int, name: str, member: bytes, since: Since, *, replay: bool, window: int,
            schema: Schema | None, now: float) -> None:  # fmt: skip
        """Ask for what there is."""
        self.serial = serial
        self._patience = min(ASK_S, 2 * self._patience) if self.state == "asking" else _ASK_FIRST_S
        self.state = "asking"
        if not name and self._reached is not None:  # nobody remembers how far we were
            since, replay = self._reached, False
        self._asked = self.heard = self._told = now
        self.received = self.taken = 0
        self.window = window
        self.lost = False
        self.ack_at = _NEVER
        collect = Collect(
            self._stream,
            serial,
            name,
            member,
            self.journal,
            self.claims(held=True),
            since,
            replay and self._reached is None,  # what was asked for may be forgotten until something comes
            window,
            schema,
        )
        self._post.send(LogKind.COLLECT, wire.encode(collect), self.member)

    def claims(self, *, held: bool = False) -> tuple[Claim, ...]:
        """Return what is done and not known to be written down, and what is held: as much as fits in a frame."""
        claims = []
        room = RANGES_MAX
        for key in sorted({*self.done, *(self.held if held else ())})[:_CLAIMS_MAX]:
            done = tuple(islice(self.done.get(key, ()), room))
            mine = tuple(islice(self.held.get(key, ()), room - len(done))) if held else ()
            room -= len(done) + len(mine)
            if mine or done:
                claims.append(Claim(key[0], key[1], mine, done))
        return tuple(claims)

    def claims_through(self, ends: Iterable[tuple[Key, int]]) -> tuple[Claim, ...]:
        """Return what is done, as it will be when all up to these that was given out is, too."""
        done = {key: ranges.copy() for key, ranges in self.done.items()}
        for key, number in ends:
            for other in self.held:
                if other <= key:
                    for one in self.given(other, 1, number):
                        done.setdefault(other, Ranges()).add(*one)
        return tuple(Claim(*key, (), tuple(ranges)) for key, ranges in sorted(done.items()) if ranges)

    def follow(self, answer: Collected, now: float, *, remembered: bool) -> None:
        """Take the answer: what comes next begins there, and what is held is what the writer says."""
        self.state = "following"
        self.known = True
        self.heard = now
        self.shared = answer.shared
        self.epoch = (answer.epoch, answer.mark)
        self.schemas = dict(answer.schemas)
        self.tip, self.tip_ns, self.floor = answer.tip, answer.tip_ns, answer.start
        self.followed = self.serial
        if remembered:
            yours = Ranges(answer.yours)
            self.held, self.queued = _common(self.held, yours), _common(self.queued, yours)
        self.kept = {key: ranges.copy() for key, ranges in self.queued.items()}
        # What was acknowledged before is in the question, and written down with whatever is next.
        self._sent.clear()
        self._fresh = [(key, one) for key, ranges in self.done.items() for one in ranges]
        self.ack_at = now if self._fresh else now + _ACKNOWLEDGE_S

    @property
    def holds_back(self) -> bool:
        """Whether what it has must wait, since others of the name may have been given it meanwhile."""
        return self.shared and self.state != "following"

    # -- records ---------------------------------------------------------------------------------------------------

    def takes(self, sequence: int, now: float) -> bool:
        """Whether a frame of records is the next."""
        self.heard = now
        if self.state != "following":
            return False
        if sequence == self.received + 1:
            self.received = sequence
            self.ack_at = min(self.ack_at, now + _ACKNOWLEDGE_S)
            return True
        if sequence > self.received:
            self.missing(now)
        return False

    def missing(self, now: float) -> None:
        """Take note that frames are missing."""
        if now >= self._missing_at:
            self._missing_at = now + _MISSING_S
            self.lost = True
            self.ack_at = now

    def sign(self, tip: Tip, now: float) -> None:
        """Take a sign of life."""
        self.heard = now
        self.shared = tip.shared
        self.tip, self.tip_ns = max(self.tip, tip.tip), max(self.tip_ns, tip.tip_ns)
        self.floor = max(self.floor, tip.floor)
        if tip.sent > self.received:
            self.missing(now)
        self.confirmed = max(self.confirmed, tip.confirmed)
        while self._sent and self._sent[0][0] <= tip.confirmed:
            for key, one in self._sent.popleft()[1]:
                ranges = self.done.get(key)
                if ranges is not None:
                    ranges.remove(*one)
                    if not ranges:
                        del self.done[key]

    def hold(self, key: Key, first: int, last: int, now: float) -> None:
        """Take note of records that have come."""
        ranges = self.held.get(key)
        if ranges is None:
            ranges = self.held[key] = Ranges()
        if not ranges:
            self.progressed = now
        ranges.add(first, last)
        self.queued.setdefault(key, Ranges()).add(first, last)
        self._reached = Since("position", last, *key, self.journal)

    def give_out(self, key: Key, serial: int, first: int, last: int) -> list[Range]:
        """Take these from what is queued, as a frame of that serial brought them; returns which are still ours."""
        queued = self.queued.get(key)
        if queued is None:
            return []
        parts = [(first, last)]
        if serial != self.followed:  # others may have been given some meanwhile, or they have come once more since
            kept = self.kept.get(key, Ranges())
            parts = kept.within(first, last)
            kept.remove(first, last)
        for one in parts:
            queued.remove(*one)
        if not queued:
            del self.queued[key]
        return parts

    def given(self, key: Key, first: int, last: int) -> list[Range]:
        """Return which of these records the program was given and has not acknowledged."""
        held = self.held.get(key)
        parts = [] if held is None else held.within(first, last)
        queued = self.queued.get(key)
        if not parts or queued is None or queued.first > last:  # nearly always
            return parts
        found = Ranges(parts)
        for one in queued.within(first, last):
            found.remove(*one)
        return list(found)

    def finish(self, key: Key, first: int, last: int, now: float) -> int:
        """Take note that these are done, as far as they are held and were given out; returns how many they are."""
        ranges = self.held.get(key)
        if ranges is None:
            return 0
        count = 0
        done = self.done.setdefault(key, Ranges())
        for one in self.given(key, first, last):
            ranges.remove(*one)
            done.add(*one)
            fresh = self._fresh
            if fresh and fresh[-1][0] == key and fresh[-1][1][1] + 1 == one[0]:
                fresh[-1] = key, (fresh[-1][1][0], one[1])
            else:
                fresh.append((key, one))
            count += one[1] - one[0] + 1
        if not ranges:
            del self.held[key]
        if count:
            self.progressed, self.stalled = now, False
            self.ack_at = min(self.ack_at, now + _ACKNOWLEDGE_S)
        return count

    @property
    def settled(self) -> bool:
        """Whether all that is done is written down there."""
        return not self.done

    @property
    def disorder(self) -> int:
        """How many ranges are done and not known to be written down."""
        return sum(map(len, self.done.values()))

    # -- word of it ------------------------------------------------------------------------------------------------

    def acknowledge(self, now: float) -> None:
        """Tell the writer what is here."""
        self.acknowledged += 1
        claims = self.claims()
        fresh, self._fresh = self._fresh, []
        if (
            self.disorder > RANGES_MAX or len(self.done) > _CLAIMS_MAX
        ):  # what does not fit is told when the rest is known
            told = {(claim.epoch, claim.mark): Ranges(claim.done) for claim in claims}
            self._fresh = [(key, one) for key, one in fresh if key not in told or one[0] not in told[key]]
            fresh = [(key, one) for key, one in fresh if key in told and one[0] in told[key]]
        if fresh:
            self._sent.append((self.acknowledged, fresh))
        word = Acknowledge(
            self._stream,
            self.serial,
            self.acknowledged,
            self.received,
            self.taken,
            self.window,
            self.lost,
            claims,
        )
        self.lost = False
        self.ack_at = now + _MORE_S if self._fresh else _NEVER
        self._told = now
        self._post.send(LogKind.ACKNOWLEDGE, wire.encode(word), self.member)

    def leave(self, begun: Iterable[Range]) -> None:
        """Tell the writer that this collector ends."""
        if self.state in {"following", "asking"}:
            word = Leave(self._stream, self.serial, self.claims(), tuple(begun)[:RANGES_MAX])
            self._post.send(LogKind.LEAVE, wire.encode(word), self.member)

    # -- time ------------------------------------------------------------------------------------------------------

    def due(self) -> float:
        """Return when there is something to do."""
        if self.state == "asking":
            return self._asked + self._patience
        if self.state == "following":
            return min(self.ack_at, self._told + _ALIVE_S, self.heard + _LAPSE_S)
        return self._asked + _REFUSED_S if self.state == "refused" else _NEVER

    def lapsed(self, now: float) -> bool:
        """Whether it has to ask anew: nothing was heard, or no answer came, or the answer may be another one by now."""
        if self.state == "following":
            return now >= self.heard + _LAPSE_S
        return now >= self._asked + (self._patience if self.state == "asking" else _REFUSED_S)

    def base(self, key: Key) -> Position:
        """Return an epoch's position, to which the numbers of its records are added."""
        return Position(self.journal, key[0], 0, key[1])


def _common(mine: dict[Key, Ranges], yours: Ranges) -> dict[Key, Ranges]:
    """Return what of these records is in both."""
    found = {key: Ranges(part for one in ranges for part in yours.within(*one)) for key, ranges in mine.items()}
    return {key: ranges for key, ranges in found.items() if ranges}
