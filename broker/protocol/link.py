"""A link: one session with one peer, in which frames are numbered, acknowledged, bounded and sent again.

Theory of operation
===================

A link outlives the connection ("wire") that carries it.  The **sender** gives each frame the next sequence number when
it first leaves and keeps it until the peer acknowledges it; when a wire is cut and a new one takes its place, both ends
say what they received last, and what lies between is sent again.  The **receiver** accepts exactly the next sequence
number.  A new wire may begin with frames that it has already, which are dropped; on one wire the numbers are
consecutive, and anything else breaks the protocol.  So a connection that is cut and comes back in time loses, repeats
and reorders nothing on its hop.  What happens beyond a hop, and how much a publisher may send, is the business of
:mod:`broker.protocol.flows`.

At most :data:`WINDOW_FRAMES` frames and :data:`WINDOW_BYTES` bytes of data are kept unacknowledged; what is held back
waits in ``waiting``, in order.  The mesh's own frames go first: a stalled stream of events must not keep a
subscription from being changed.  What a link lets wait for endpoints further on is bounded by :data:`QUEUE_BYTES`:
beyond it a frame is dropped here (:meth:`Link.is_full`), and its publisher finds that out and sends it again.

Acknowledgements ride on every frame.  When there is none to ride on, one of its own is due: at once when the peer asks
or :data:`ACK_FRAMES` frames or :data:`ACK_BYTES` bytes have come, else within :data:`ACK_DELAY_S`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from broker.errors import Malformed
from broker.protocol.budget import CHANGE_COST, INTERESTS_PACE, MEMBER_PACE, OTHERS_PACE, Budget
from broker.protocol.frames import ACK_NOW, DATA, HEADER_BYTES, TTL_DEFAULT, Header, Kind, pack_header
from broker.trust.judge import EVERYTHING
from broker.trust.rights import Grants

__all__ = [
    "ACK_DELAY_S",
    "ACK_FRAMES",
    "QUEUE_BYTES",
    "UNACKNOWLEDGED_BYTES_MAX",
    "WINDOW_BYTES",
    "WINDOW_FRAMES",
    "Link",
    "OutFrame",
]

WINDOW_BYTES: Final = 8 << 20
WINDOW_FRAMES: Final = 4096
# Sixteen publishers' whole credit: more waits here only when a line is much slower than all who send over it together.
QUEUE_BYTES: Final = 64 << 20
# Reports for endpoints further on that wait for a connection: a thousand flows' for all the time that a link waits.
CONTROL_FRAMES: Final = 65_536
# What tells a new peer of the largest mesh that there may be; who has not acknowledged so much reads nothing.
UNACKNOWLEDGED_BYTES_MAX: Final = 256 << 20
# Acknowledge at the latest after so many frames or bytes: a fraction of the window, so that it never stands still.
ACK_FRAMES: Final = 256
ACK_BYTES: Final = 1 << 20
# Long enough to let acknowledgements ride on traffic, short enough that a window is never kept long for nothing.
ACK_DELAY_S: Final = 0.025


class OutFrame(Struct, eq=False):
    """A sequenced frame on its way out: what it takes to send it, and to send it again.

    ``head`` is its address, if it has one; ``body`` is shared by all links that it leaves on.
    """

    kind: int
    body: bytes
    head: bytes = b""
    ttl: int = 0
    flags: int = 0
    sequence: int = 0  # given when it first leaves
    size: int = 0  # the bytes of its payload; told by Link.send


class Link:
    """One session with one peer.  It makes frames and reads headers; it neither knows sockets nor clocks."""

    def __init__(self, peer_name: str, peer_id: bytes, session: bytes) -> None:
        self.peer_name = peer_name
        self.peer_id = peer_id
        self.address = ""  # where we dialled it, or where it comes from
        self.dialled = False
        self.key = b""  # whose it is, as the driver has proved of its present wire
        self.grants: Grants = EVERYTHING
        self.session = session
        self.wire: int | None = None
        self.turn = 1  # counts the wires that the session has had
        self.dialler = b""  # the id of the end that dialled the one of this turn
        self.confirmed = False  # the peer is known to have taken this session up
        self.ended = False  # the session is over: nothing can be sent any more
        # what we send
        self.control: deque[OutFrame] = deque()  # the mesh's own: goes first
        self.waiting: deque[OutFrame] = deque()  # data, held back
        self.waiting_bytes = 0
        self.sent: deque[OutFrame] = deque()  # not acknowledged yet, in sequence
        self._sent_bytes = 0
        self._control_bytes = 0
        self._next_sequence = 1
        # what we receive
        self.received = 0
        self._wire_sequence = 0  # the last one on the present wire; 0: none yet
        self._received_bytes = 0  # since our last word to the peer
        self._acked = 0  # what that word covered
        self.ack_due = False
        # the life of the session
        self.added = False  # we know all of the mesh that the peer knew, and messages may go this way
        self.settled = False  # so does the peer
        self.synced_frame: OutFrame | None = None  # what tells it so; its acknowledgement makes it true
        self.interruption = ("", "")  # why it has lost its wire: a code and words
        # measured
        self.rtt_s: float | None = None
        self.bytes_sent = 0  # of numbered frames, when they first left
        self.bytes_received = 0
        self.frames_resent = 0
        self._former_frames = 0  # sent before it was rebased
        # what the peer may tell of the mesh
        self.budgets = (Budget(MEMBER_PACE), Budget(INTERESTS_PACE), Budget(OTHERS_PACE))
        self.duplicates = 0

    # -- sending -------------------------------------------------------------------------------------------------

    def is_full(self, kind: int) -> bool:
        """Whether no more routed frames of that kind may wait here."""
        return self.waiting_bytes >= QUEUE_BYTES if kind >= DATA else len(self.control) >= CONTROL_FRAMES

    @property
    def drained(self) -> bool:
        """Whether the peer has acknowledged all data there was to send."""
        return not self.waiting and not any(frame.kind >= DATA for frame in self.sent)

    @property
    def unacknowledged_bytes(self) -> int:
        """How much the peer has been sent, or is about to be, of what it has not acknowledged."""
        return self._sent_bytes + self._control_bytes

    @property
    def frames_sent(self) -> int:
        """How many numbered frames have left; what is sent again in the same session counts once."""
        return self._former_frames + self._next_sequence - 1

    @property
    def is_beginning(self) -> bool:
        """Whether its peer is there and has not told all yet that it knows."""
        return not (self.added or self.ended or self.wire is None)

    @property
    def acknowledged(self) -> int:
        """The last sequence number that the peer acknowledged."""
        return self.sent[0].sequence - 1 if self.sent else self._next_sequence - 1

    def send(self, frame: OutFrame) -> None:
        """Take a frame to be sent as soon as it may leave; :meth:`pump` makes its bytes."""
        frame.size = len(frame.head) + len(frame.body)
        if frame.kind >= DATA:
            self.waiting.append(frame)
            self.waiting_bytes += frame.size
        else:
            self.control.append(frame)
            self._control_bytes += frame.size

    def pump(self) -> list[bytes]:
        """Return the bytes of all frames that may leave now, in order."""
        if self.wire is None or not (self.control or self.waiting):
            return []
        out = []
        while self.control:
            out.append(self._first_time(self.control.popleft()))
        self._control_bytes = 0
        while self.waiting and self._sent_bytes < WINDOW_BYTES and len(self.sent) < WINDOW_FRAMES:
            frame = self.waiting.popleft()
            self.waiting_bytes -= frame.size
            out.append(self._first_time(frame))
        return out

    def _first_time(self, frame: OutFrame) -> bytes:
        frame.sequence = self._next_sequence
        self._next_sequence += 1
        self.sent.append(frame)
        self._sent_bytes += frame.size
        self.bytes_sent += frame.size
        return self._header(frame.kind, frame.flags, frame.ttl, frame.sequence) + frame.head + frame.body

    def _bytes_of(self, frame: OutFrame) -> bytes:
        return self._header(frame.kind, frame.flags, frame.ttl, frame.sequence) + frame.head + frame.body

    def _header(self, kind: int, flags: int = 0, ttl: int = 0, sequence: int = 0) -> bytes:
        self.ack_due = False
        self._received_bytes = 0
        self._acked = self.received
        return pack_header(kind, flags, ttl, sequence, self.received)

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

    def resume(self, wire: int, peer_received: int) -> list[bytes]:
        """Go on over another wire: forget what the peer has, return the rest to be sent again, in order.

        Raises Malformed, and changes nothing, when the peer claims to have what was never sent.
        """
        self._take_ack(peer_received)
        self.wire = wire
        self._wire_sequence = 0
        self.frames_resent += len(self.sent)
        return [self._bytes_of(frame) for frame in self.sent]

    def rebase(self, session: bytes) -> None:
        """Begin another session with everything that was not acknowledged; nothing may have been received in this."""
        frames = [*self.sent, *self.control, *self.waiting]
        self.session = session
        self.confirmed = False
        self._empty()
        self._former_frames += self._next_sequence - 1
        self._next_sequence = 1
        self.received = self._received_bytes = self._acked = 0
        for frame in frames:
            self.send(frame)

    def end(self) -> None:
        """Let the session be over, and forget its frames."""
        self.ended = True
        self._empty()

    def _empty(self) -> None:
        self.sent.clear()
        self.control.clear()
        self.waiting.clear()
        self._sent_bytes = self.waiting_bytes = self._control_bytes = 0

    def charge_member(self, origin: bytes, now: float) -> None:
        """Count word of an endpoint against what the peer may tell; raises Malformed when it is too much."""
        members, _, others = self.budgets
        (members if origin == self.peer_id else others).take(now)

    def charge_interests(self, origin: bytes, now: float, topics: int) -> None:
        """Count a change of what an endpoint wants against what the peer may tell; raises Malformed as well."""
        _, interests, others = self.budgets
        if origin == self.peer_id:
            interests.take(now, CHANGE_COST + topics)
        else:
            others.take(now)

    # -- receiving -----------------------------------------------------------------------------------------------

    def receive(self, header: Header, payload_bytes: int) -> bool:
        """Take note of a frame's header; True when the frame is to be acted on, False for a duplicate.

        Raises Malformed when the peer breaks the rules of the session.
        """
        self._take_ack(header.ack)
        if header.flags & ACK_NOW:
            self.ack_due = True
        if header.ttl > TTL_DEFAULT:
            raise Malformed(f"a frame that may travel {header.ttl} hops: at most {TTL_DEFAULT} are allowed")
        if header.kind < Kind.SYNC:
            return True
        if header.sequence < 1:
            raise Malformed("a sequenced frame without a sequence number")
        if self._wire_sequence and header.sequence != self._wire_sequence + 1:
            raise Malformed(f"frame {header.sequence} came after frame {self._wire_sequence} on one connection")
        if header.sequence > self.received + 1:
            raise Malformed(f"frame {header.sequence} came after frame {self.received}: some are missing")
        self._wire_sequence = header.sequence
        if header.sequence <= self.received:
            self.duplicates += 1
            self.ack_due = True
            return False
        self.received += 1
        self._received_bytes += payload_bytes
        self.bytes_received += payload_bytes
        if self._received_bytes >= ACK_BYTES or self.received - self._acked >= ACK_FRAMES:
            self.ack_due = True
        return True

    def _take_ack(self, ack: int) -> None:
        if ack >= self._next_sequence:
            raise Malformed(f"it acknowledges frame {ack}, the last one sent was {self._next_sequence - 1}")
        sent = self.sent
        while sent and sent[0].sequence <= ack:
            self._sent_bytes -= sent.popleft().size

    @property
    def owes(self) -> bool:
        """Whether anything was received that our last word to the peer did not cover."""
        return self.ack_due or self.received != self._acked


assert HEADER_BYTES == 20, "the table in frames.py says so"
