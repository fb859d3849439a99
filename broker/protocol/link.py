"""A link: one session with one peer, in which frames are numbered, acknowledged, bounded and sent again.

Theory of operation
===================

A link outlives the connection ("wire") that carries it.  The **sender** gives each frame the next sequence number when
it first leaves and keeps it until the peer acknowledges it; when a wire is cut and a new one takes its place, both ends
say what they received last, and what lies between is sent again.  The **receiver** accepts exactly the next sequence
number; lower ones are duplicates and dropped, higher ones cannot happen on an ordered wire and break the protocol.
So, as long as both processes live and the wire is back in time: exactly once, in order.

Two bounds hold an EVENTS frame back:

- the **window**: at most :data:`WINDOW_FRAMES` frames and :data:`WINDOW_BYTES` bytes are kept unacknowledged, because
  they have to be kept in memory until then;
- the **credit**: the receiver says, as a running total, what charge it is willing to have been sent.  It goes on
  granting :data:`CREDIT_BYTES` ahead of what arrived for as long as nothing *holds* the link; a subscription whose
  queue is full holds every link that fed it.  A frame may leave while any credit is left, so a receiver must bear
  ``CREDIT_BYTES`` and one frame more than it has room for: that is its whole risk per link.

What is held back waits in ``waiting``; a link with anything there is **congested**, and publishers to it wait.  Frames
that are not events (interests) neither need credit nor wait behind events: a stalled stream of events must not keep a
subscription from being changed.

Acknowledgements ride on every frame.  When there is none to ride on, one of its own is due: at once when the peer asks
or a quarter of its credit or :data:`ACK_FRAMES` frames were used, else within :data:`ACK_DELAY_S`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from broker.errors import Malformed
from broker.protocol.frames import (
    ACK_NOW,
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    Header,
    Kind,
    charge_of,
    pack_header,
)

__all__ = ["ACK_DELAY_S", "ACK_FRAMES", "CREDIT_BYTES", "WINDOW_BYTES", "WINDOW_FRAMES", "Link", "OutFrame"]

# At 1.5 million small events/s (a charge of 140 MB/s) 4 MiB is 30 ms of stream: more than the loop of a busy peer
# takes to come round, little enough that a thousand links at full stall stay within a few GiB.
CREDIT_BYTES: Final = 4 << 20
WINDOW_BYTES: Final = 8 << 20
WINDOW_FRAMES: Final = 4096
# Acknowledge at the latest after so many frames: a fraction of the window, so that frames of one event flow freely.
ACK_FRAMES: Final = 256
# Long enough to let acknowledgements ride on traffic, short enough that a window is never kept long for nothing.
ACK_DELAY_S: Final = 0.025


class OutFrame(Struct, eq=False):
    """A sequenced frame on its way out: what it takes to send it, and to send it again."""

    kind: int
    payload: bytes
    messages: int = 0  # events in it; they are what a loss is counted in
    ttl: int = 0
    flags: int = 0
    sequence: int = 0  # given when it first leaves


class Link:
    """One session with one peer.  It makes frames and reads headers; it neither knows sockets nor clocks."""

    def __init__(self, peer_name: str, peer_id: bytes, session: bytes) -> None:
        self.peer_name = peer_name
        self.peer_id = peer_id
        self.address = ""  # where we dialled it, or where it comes from
        self.dialled = False
        self.session = session
        self.wire: int | None = None
        self.turn = 1  # counts the wires that the session has had
        self.dialler = b""  # the id of the end that dialled the one of this turn
        self.confirmed = False  # the peer is known to have taken this session up
        self.ended = False  # the session is over: nothing can be sent any more
        # what we send
        self.control: deque[OutFrame] = deque()  # needs no credit, goes first
        self.waiting: deque[OutFrame] = deque()  # events, held back
        self.sent: deque[OutFrame] = deque()  # not acknowledged yet, in sequence
        self._sent_bytes = 0
        self._next_sequence = 1
        self._charged = 0  # running total of what our EVENTS frames cost
        self._credit = 0  # running total that the peer allows
        # what we receive
        self.received = 0
        self._received_charge = 0
        self._granted = CREDIT_BYTES
        self.holders: set[object] = set()  # the full queues that keep us from granting more
        self.ack_due = False
        self._acked_charge = 0  # what our last word to the peer covered: charge, and sequence
        self._acked_sequence = 0
        # interests
        self.interests_weight = 0  # of what the peer wants
        self.peer_interests_version = 0  # 0: its interests are not known yet
        self.added = False  # PeerAdded was told
        # measured
        self.rtt_s: float | None = None
        self.messages_out = 0
        self.messages_in = 0
        self.duplicates = 0

    # -- sending -------------------------------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether events wait for credit, for the window or for a wire."""
        return bool(self.waiting)

    @property
    def unacknowledged_messages(self) -> int:
        """Events that the peer is not known to have received, sent or not."""
        return sum(frame.messages for frame in self.sent) + sum(frame.messages for frame in self.waiting)

    @property
    def drained(self) -> bool:
        """Whether the peer has acknowledged every event there was to send."""
        return not self.waiting and not any(frame.messages for frame in self.sent)

    @property
    def acknowledged(self) -> int:
        """The last sequence number that the peer acknowledged."""
        return self.sent[0].sequence - 1 if self.sent else self._next_sequence - 1

    def send(self, frame: OutFrame) -> None:
        """Take a frame to be sent as soon as it may leave; :meth:`pump` makes its bytes."""
        (self.waiting if frame.kind >= Kind.EVENTS else self.control).append(frame)

    def pump(self) -> list[bytes]:
        """Return the bytes of all frames that may leave now, in order."""
        if self.wire is None or not (self.control or self.waiting):
            return []
        out = []
        while self.control:
            out.append(self._first_time(self.control.popleft()))
        while (
            self.waiting
            and self._charged < self._credit
            and self._sent_bytes < WINDOW_BYTES
            and len(self.sent) < WINDOW_FRAMES
        ):
            frame = self.waiting.popleft()
            self._charged += charge_of(len(frame.payload), frame.messages)
            self.messages_out += frame.messages
            out.append(self._first_time(frame))
        return out

    def _first_time(self, frame: OutFrame) -> bytes:
        frame.sequence = self._next_sequence
        self._next_sequence += 1
        self.sent.append(frame)
        self._sent_bytes += len(frame.payload)
        return self._bytes_of(frame)

    def _bytes_of(self, frame: OutFrame) -> bytes:
        return self._header(frame.kind, frame.flags, frame.ttl, frame.sequence) + frame.payload

    def _header(self, kind: int, flags: int = 0, ttl: int = 0, sequence: int = 0) -> bytes:
        self.ack_due = False
        self._acked_charge = self._received_charge
        self._acked_sequence = self.received
        return pack_header(kind, flags, ttl, sequence, self.received, self._grant())

    def unsequenced(self, kind: Kind, payload: bytes = b"", flags: int = 0) -> bytes:
        """Return the bytes of a frame that is neither numbered nor sent again (ACK, PING, PONG, BYE, WELCOME)."""
        return self._header(kind, flags) + payload

    # -- sessions ------------------------------------------------------------------------------------------------

    def is_due(self, turn: int, dialler: bytes) -> bool:
        """Whether a wire takes the place of the present one.

        Both ends may dial at once to bring a session back, and see the two wires in different order: a later turn
        wins, of the same turn the wire whose dialler has the smaller id, and of the same dialler the last.
        """
        return turn > self.turn or (turn == self.turn and dialler <= self.dialler)

    def resume(self, wire: int, peer_received: int, peer_credit: int) -> list[bytes]:
        """Go on over another wire: forget what the peer has, return the rest to be sent again, in order.

        Raises Malformed, and changes nothing, when the peer claims to have what was never sent.
        """
        self._take_ack(peer_received)
        self.wire = wire
        self._credit = max(self._credit, peer_credit)
        return [self._bytes_of(frame) for frame in self.sent]

    def rebase(self, session: bytes) -> None:
        """Begin another session with everything that was not acknowledged; nothing may have been received in this."""
        frames = [*self.sent, *self.control, *self.waiting]
        self.session = session
        self.confirmed = False
        self.sent.clear()
        self.control.clear()
        self.waiting.clear()
        self._sent_bytes = self._charged = self._credit = 0
        self._next_sequence = 1
        self.received = self._received_charge = self._acked_charge = self._acked_sequence = 0
        self._granted = CREDIT_BYTES
        for frame in frames:
            self.send(frame)

    def end(self) -> int:
        """Let the session be over; returns how many events were not acknowledged, which are forgotten."""
        lost = self.unacknowledged_messages
        self.ended = True
        self.sent.clear()
        self.control.clear()
        self.waiting.clear()
        self._sent_bytes = 0
        return lost

    # -- receiving -----------------------------------------------------------------------------------------------

    def receive(self, header: Header, payload_bytes: int) -> bool:
        """Take note of a frame's header; True when the frame is to be acted on, False for a duplicate.

        Raises Malformed when the peer breaks the rules of the session.
        """
        self._take_ack(header.ack)
        if header.credit > self._credit:
            self._credit = header.credit
        if header.flags & ACK_NOW:
            self.ack_due = True
        if header.kind < Kind.INTERESTS:
            return True
        if header.sequence <= self.received:
            if header.sequence < 1:
                raise Malformed("a sequenced frame without a sequence number")
            self.duplicates += 1
            self.ack_due = True
            return False
        if header.sequence != self.received + 1:
            raise Malformed(f"frame {header.sequence} came after frame {self.received}: some are missing")
        if header.kind >= Kind.EVENTS:
            if self._received_charge >= self._granted:
                raise Malformed("more events than its credit allows")
            self._received_charge += payload_bytes
        else:
            self.ack_due = True
        self.received += 1
        return True

    def charge_messages(self, messages: int) -> None:
        """Add the constant part of an EVENTS frame's charge, once its messages are counted.

        Raises Malformed for more than fit a frame: the running totals are to stay below 2^64.
        """
        if messages > FRAME_BYTES_MAX:
            raise Malformed(f"a frame that claims to hold {messages} events")
        self._received_charge += charge_of(0, messages)
        self.messages_in += messages
        used = self._received_charge - self._acked_charge
        if used >= CREDIT_BYTES // 4 or self.received - self._acked_sequence >= ACK_FRAMES:
            self.ack_due = True

    def _take_ack(self, ack: int) -> None:
        if ack >= self._next_sequence:
            raise Malformed(f"it acknowledges frame {ack}, the last one sent was {self._next_sequence - 1}")
        sent = self.sent
        while sent and sent[0].sequence <= ack:
            self._sent_bytes -= len(sent.popleft().payload)

    # -- credit --------------------------------------------------------------------------------------------------

    def _grant(self) -> int:
        if not self.holders:
            self._granted = self._received_charge + CREDIT_BYTES
        return self._granted

    def credit_now(self) -> int:
        """Return the running total that the peer may have charged us, for a handshake."""
        return self._grant()

    def hold(self, queue: object) -> None:
        """Grant no more credit until :meth:`release` was said for every queue that holds."""
        self.holders.add(queue)

    def withhold(self, queue: object) -> None:
        """Hold a link that has just begun, whose peer has not been told of any credit yet: it gets none at first."""
        self._granted = 0
        self.hold(queue)

    def release(self, queue: object) -> None:
        """Let ``queue`` no longer hold this link; the news is due at once when nothing else holds it."""
        self.holders.discard(queue)
        if not self.holders:
            self.ack_due = True

    @property
    def owes(self) -> bool:
        """Whether anything was received that our last word to the peer did not cover."""
        return self.ack_due or self._received_charge != self._acked_charge


assert HEADER_BYTES == 28, "the table in frames.py says so"
