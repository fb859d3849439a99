"""A collector that is attached to a writer: what was sent to it, and what it has of that."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from broker.logs import wire
from broker.logs.ranges import Ranges
from broker.logs.spool import Holder
from broker.logs.wire import Acknowledge, LogKind, Piece, Records, Tip
from broker.protocol.member import Member

if TYPE_CHECKING:
    from broker.logs.source import Source

__all__ = ["TIP_S", "WINDOW_BYTES", "Post", "Session"]

# What is on its way to one collector, or waits there for its program, at most; it may ask for less.
WINDOW_BYTES: Final = 4 << 20
# How often a writer gives a sign of life; soon where it does not know whether frames have come.
TIP_S: Final = 3.0
_SOON_S: Final = 0.5
# Lost frames are sent again at most this often: the word of them may have been on its way already.
_AGAIN_S: Final = 0.2


class Post:
    """Sends frames and gives out serials: what the machines need of :class:`broker.logs.logs.Logs`."""

    def send(self, kind: int, body: bytes, member: Member, flow: int = 0, sequence: int = 0) -> None:
        """Send a frame to an endpoint, which may be our own."""
        raise NotImplementedError

    def reaches(self, member: Member) -> bool:
        """Whether there is a way to an endpoint, which may be our own."""
        raise NotImplementedError

    def begin(self, source: Source) -> int:
        """Return a serial, by which frames for a source are known from now on."""
        raise NotImplementedError

    def over(self, serial: int) -> None:
        """Let frames of a serial be nobody's."""
        raise NotImplementedError


class Session:
    """One collector, from when it asks until it asks anew."""

    def __init__(self, post: Post, member: Member, serial: int, holder: Holder, window: int, now: float) -> None:
        self._post = post
        self.member = member
        self.serial = serial
        self.holder = holder
        self.window = window
        self.active = False  # it may be given records
        self.heard = now
        self.told = now
        self.seen = 0  # its last acknowledgement,
        self.confirmed = 0  # and the last of which all is written down
        self.tip_due = False
        self.sent = 0  # frames
        self._unreceived: deque[tuple[int, bytes]] = deque()
        self._untaken: deque[tuple[int, int]] = deque()
        self.bytes_under_way = 0
        self._again_at = float("-inf")
        self.held_since = now  # since when it holds records and has acknowledged none
        self.stalled = False  # that was told

    @property
    def has_room(self) -> bool:
        """Whether it can be sent more; who cannot be reached is given no more than it has."""
        room = self.active and (self.bytes_under_way < min(self.window, WINDOW_BYTES) or not self._untaken)
        return room and self._post.reaches(self.member)

    def send(self, pieces: list[Piece], now: float) -> None:
        """Send it records."""
        body = wire.encode(Records(pieces))
        self.sent += 1
        self._unreceived.append((self.sent, body))
        self._untaken.append((self.sent, len(body)))
        self.bytes_under_way += len(body)
        self._dispatch(self.sent, body, now)

    def _dispatch(self, number: int, body: bytes, now: float) -> None:
        self.told = now
        self._post.send(LogKind.RECORDS, body, self.member, self.serial, number)

    def receive(self, word: Acknowledge, now: float) -> bool:
        """Take word of what has come; False: it is old."""
        self.heard = now
        if word.number < self.seen:
            return False
        self.seen = word.number
        self.window = word.window
        unreceived, untaken = self._unreceived, self._untaken
        while unreceived and unreceived[0][0] <= word.received:
            unreceived.popleft()
        while untaken and untaken[0][0] <= word.taken:
            self.bytes_under_way -= untaken.popleft()[1]
        if word.lost and unreceived and now >= self._again_at:
            self._again_at = now + _AGAIN_S
            for number, body in unreceived:
                self._dispatch(number, body, now)
        return True

    def give_sign(self, tip: int, tip_ns: int, floor: int, *, shared: bool, now: float) -> None:
        """Tell it how far we are."""
        self.tip_due = False
        self.told = now
        sign = Tip(self.sent, tip, tip_ns, floor, self.confirmed, shared)
        self._post.send(LogKind.TIP, wire.encode(sign), self.member, self.serial)

    def confirm(self, number: int) -> None:
        """Take note that everything up to that acknowledgement is written down."""
        if number > self.confirmed:
            self.confirmed = number
            self.tip_due = True

    @property
    def sign_at(self) -> float:
        """When it is to be told how far we are."""
        if self.tip_due:
            return float("-inf")
        return self.told + (_SOON_S if self._unreceived or self.confirmed < self.seen else TIP_S)

    def note_holding(self, held: Ranges, now: float, *, news: bool) -> None:
        """Take note of whether it is getting on with what it holds."""
        if news or not held:
            self.held_since = now
            self.stalled = False
