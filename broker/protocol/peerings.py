"""Peerings, wires and links: who we want to be linked with, and how that is brought about and kept up.

A **peering** is the wish to be linked with whoever is at an address; it stays until it is withdrawn.  A **wire** is one
connection, dialled or accepted, known to the driver by its number.  A :class:`~broker.protocol.link.Link` is the
session that a wire carries; it waits :data:`RESUME_S` for another wire when its wire is cut.

The handshake::

    dialler                                   listener
      HELLO versions, name, id, session  ->
                                         <-   WELCOME name, id, session, resumed | REFUSE code, text
      (both send again what the other lacks, then their interests if the session is new)

Two endpoints that dial each other at the same moment would have two sessions.  Both ends keep the one whose dialler
has the smaller id; what was sent in the other session was not acted on, so it is sent again in the one that stays.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Dial, Hangup, Send, Tell
from broker.protocol.frames import ACK_NOW, HEADER_BYTES, Header, Hello, Kind, Refusal, Welcome
from broker.protocol.link import CREDIT_BYTES, Link
from broker.status import (
    MessagesLost,
    PeeringFailed,
    PeerInterrupted,
    PeerLost,
    PeerRefused,
    PeerResumed,
)

__all__ = ["FINAL_CODES", "Chance", "Observer", "Peering", "Peerings", "Timing", "Wire"]

FINAL_CODES: Final = frozenset({"version", "self", "authentication", "authorisation", "foreign"})

# A listener must bear strangers that connect and say nothing.
UNGREETED_WIRES_MAX: Final = 1024
LINKS_MAX: Final = 10_000
_CLOCK = struct.Struct(">d")


class Chance(Protocol):
    """Where ids and jitter come from; :class:`random.Random` is one."""

    def random(self) -> float:
        """Return a float in [0, 1)."""

    def randbytes(self, n: int, /) -> bytes:
        """Return n random bytes."""


class Timing(Struct, frozen=True):
    """How long to wait for what, in seconds."""

    heartbeat_s: float = 1.0  # a wire that is silent for this long is sent a PING
    silence_s: float = 5.0  # one from which nothing came for this long is cut: four heartbeats were missed
    handshake_s: float = 3.0  # a wire on which the handshake takes longer is given up
    resume_s: float = 10.0  # a link without a wire is kept this long
    probe_s: float = 1.0  # a link whose name somebody else claims has this long to show that it lives
    redial_first_s: float = 0.05
    redial_max_s: float = 5.0


class Peering(Struct, eq=False):
    """The wish to be linked with whoever listens at ``address``."""

    address: str
    wire: int | None = None
    link: Link | None = None
    attempts: int = 0  # since it was last linked
    linked_once: bool = False
    dial_at: float | None = None
    failure: Refusal | None = None  # why the last attempt failed
    final: bool = False  # it will not be tried again

    @property
    def idle(self) -> bool:
        """Whether nothing is done for it, because the link that it made do with has ended: it is to be dialled."""
        return self.link is None and self.wire is None and self.dial_at is None and not self.final


class Wire(Struct, eq=False):
    """One connection; ``link`` is None until the handshake is done."""

    number: int
    address: str
    peering: Peering | None  # the wish that dialled it; None when it was accepted
    opened: float
    heard: float
    spoke: float
    link: Link | None = None
    probe_until: float | None = None


class Observer(Protocol):
    """Who is told of links: the node."""

    def link_started(self, link: Link) -> None:
        """A session has begun; its peer knows nothing of us yet."""

    def link_resumed(self, link: Link) -> None:
        """A session goes on over another wire."""

    def link_ended(self, link: Link) -> None:
        """A session is over and its link already forgotten."""


class Peerings:
    """All peerings, wires and links of a node."""

    def __init__(
        self,
        name: str,
        chance: Chance,
        timing: Timing,
        act: Callable[[Action], None],
        observer: Observer,
    ) -> None:
        self.name = name
        self.id = chance.randbytes(16)
        self.links: dict[bytes, Link] = {}  # by the peer's id
        self.peerings: dict[str, Peering] = {}  # by address
        self.wires: dict[int, Wire] = {}
        self._chance = chance
        self._timing = timing
        self._act = act
        self._observer = observer
        self._wires_made = 0
        self._ungreeted = 0  # accepted wires without a link
        self._abandon_at: dict[Link, float] = {}  # links without a wire, and how long they are kept
        self.closing = False

    # -- wishes --------------------------------------------------------------------------------------------------

    def want(self, address: str, now: float) -> Peering:
        """Wish to be linked with the endpoint at ``address``; the same wish is given back when it is there."""
        peering = self.peerings.get(address)
        if peering is None:
            peering = self.peerings[address] = Peering(address)
            self._dial(peering, now)
        return peering

    def unwant(self, address: str) -> bool:
        """Withdraw the wish, and end the link that it led to; False when there was no such wish."""
        peering = self.peerings.pop(address, None)
        if peering is None:
            return False
        if peering.link is not None:
            self._part(peering.link, "unpeered")
        if peering.wire is not None:  # still dialling, perhaps to bring that link back
            self._drop_wire(self.wires[peering.wire])
        self._act(Changed())
        return True

    def part_all(self, reason: str) -> None:
        """Say goodbye to everybody: the endpoint closes."""
        self.closing = True
        self.peerings.clear()
        for link in list(self.links.values()):
            self._part(link, reason)
        for wire in list(self.wires.values()):
            self._drop_wire(wire)

    def _part(self, link: Link, reason: str) -> None:
        if link.wire is not None:
            bye = link.unsequenced(Kind.BYE, frames.encode(Refusal("bye", reason)))
            self._act(Send(link.wire, bye))
        self._end(link, reason)

    # -- wires ---------------------------------------------------------------------------------------------------

    def _new_wire(self, address: str, peering: Peering | None, now: float) -> Wire:
        self._wires_made += 1
        wire = Wire(self._wires_made, address, peering, opened=now, heard=now, spoke=now)
        self.wires[wire.number] = wire
        self._act(Changed())  # its handshake has a deadline
        return wire

    def _dial(self, peering: Peering, now: float) -> None:
        wire = self._new_wire(peering.address, peering, now)
        peering.wire = wire.number
        peering.dial_at = None
        link = peering.link
        hello = Hello(
            self.name,
            self.id,
            link.session if link else b"",
            link.received if link else 0,
            CREDIT_BYTES if link is None else link.credit_now(),
            link.turn + 1 if link else 0,
        )
        self._act(Dial(wire.number, peering.address))
        self._send_bare(wire, Kind.HELLO, frames.encode_hello(hello))

    def accept(self, address: str, now: float) -> int:
        """Take note of a wire that somebody opened to us; returns its number.  Of too many, the oldest is dropped."""
        wire = self._new_wire(address, None, now)
        self._ungreeted += 1
        if self._ungreeted > UNGREETED_WIRES_MAX:
            oldest = min((w for w in self.wires.values() if w.link is None and w.peering is None), key=_opened)
            self._drop_wire(oldest)
        return wire.number

    def wire_lost(self, number: int, code: str, reason: str, now: float) -> None:
        """Take note that a wire is gone: ``code`` is refused, unreachable, foreign or cut."""
        wire = self.wires.get(number)
        if wire is not None:
            self._lose_wire(wire, code, reason, now)

    def _lose_wire(self, wire: Wire, code: str, reason: str, now: float) -> None:
        """Give a wire up for a reason that is not ours; its link waits for another, its peering dials again."""
        self._drop_wire(wire)
        link = wire.link
        if link is not None and link.wire == wire.number:
            link.wire = None
            self._abandon_at[link] = now + self._timing.resume_s
            self._act(Tell(PeerInterrupted(link.peer_name, link.address, reason)))
        for peering in self.peerings.values():
            if peering is wire.peering or (link is not None and peering.link is link):
                self._retry_if_idle(peering, Refusal(code, reason), now, told=link is not None)
        self._act(Changed())

    def _drop_wire(self, wire: Wire) -> None:
        """Forget a wire and have it closed."""
        if self.wires.pop(wire.number, None) is None:
            return
        if wire.peering is None and wire.link is None:
            self._ungreeted -= 1
        if wire.peering is not None and wire.peering.wire == wire.number:
            wire.peering.wire = None
        self._act(Hangup(wire.number))

    def _retry(self, peering: Peering, failure: Refusal, now: float, told: bool) -> None:
        peering.failure = failure
        peering.final = failure.code in FINAL_CODES and not peering.linked_once
        if failure.code == "protocol":  # it may well break it again: no hurry
            peering.attempts = max(peering.attempts, 6)
        if not peering.final:
            timing = self._timing
            backoff = min(timing.redial_max_s, timing.redial_first_s * 2.0 ** min(peering.attempts, 16))
            peering.dial_at = now + backoff * (0.5 + self._chance.random() / 2)
        peering.attempts += 1
        if not told:
            self._act(Tell(PeeringFailed(peering.address, failure.code, failure.text, peering.final)))

    # -- ends of sessions ----------------------------------------------------------------------------------------

    def _end(self, link: Link, reason: str) -> None:
        """Forget a link for good, and count what it still had to deliver."""
        del self.links[link.peer_id]
        self._abandon_at.pop(link, None)
        if link.wire is not None:
            self._drop_wire(self.wires[link.wire])
            link.wire = None
        for peering in self.peerings.values():
            if peering.link is link:
                peering.link = None
                if peering.wire is not None:  # dialled to go on with this session
                    self._drop_wire(self.wires[peering.wire])
        lost = link.end()
        if link.added:
            self._act(Tell(PeerLost(link.peer_name, link.address, reason)))
        if lost:
            self._act(Tell(MessagesLost(link.peer_name, lost, reason)))
        self._observer.link_ended(link)
        self._act(Changed())

    def break_off(self, wire_number: int, error: Malformed, now: float) -> None:
        """End whatever a wire carries, because its other end broke the protocol."""
        wire = self.wires.get(wire_number)
        if wire is None:
            return
        reason = f"broke the protocol: {error}"
        link = wire.link
        if link is None:
            if wire.peering is None:
                self._act(Tell(PeerRefused("unknown", wire.address, "protocol", reason)))
            self._send_bare(wire, Kind.REFUSE, frames.encode(Refusal("protocol", str(error)[:500])))
        else:
            bye = link.unsequenced(Kind.BYE, frames.encode(Refusal("protocol", f"you {reason}"[:500])))
            self._act(Send(wire.number, bye))
            self._end(link, reason)
        self._lose_wire(wire, "protocol", reason, now)

    def _retry_if_idle(self, peering: Peering, failure: Refusal, now: float, *, told: bool) -> None:
        linked = peering.link is not None and peering.link.wire is not None
        wanted = self.peerings.get(peering.address) is peering
        if wanted and not linked and peering.wire is None and peering.dial_at is None and not peering.final:
            self._retry(peering, failure, now, told=told)

    # -- frames --------------------------------------------------------------------------------------------------

    def _send_bare(self, wire: Wire, kind: Kind, payload: bytes) -> None:
        self._act(Send(wire.number, frames.pack_header(kind, 0, 0, 0, 0, 0) + payload))

    def receive(self, wire: Wire, frame: bytes, now: float) -> tuple[Link, Header] | None:
        """Act on a frame, or give back the link and the header of one that is for the node: a sequenced one.

        Raises Malformed when the other end breaks the protocol.
        """
        wire.heard = now
        wire.probe_until = None
        header = frames.unpack_header(frame)
        link = wire.link
        if link is None:
            self._greet(wire, header.kind, frame[HEADER_BYTES:], now)
            return None
        link.confirmed = True
        if not link.receive(header, len(frame) - HEADER_BYTES):
            return None
        if header.kind >= Kind.INTERESTS:
            return link, header
        payload = frame[HEADER_BYTES:]
        if header.kind == Kind.PING:
            self._act(Send(wire.number, link.unsequenced(Kind.PONG, payload[: _CLOCK.size])))
        elif header.kind == Kind.PONG:
            if len(payload) == _CLOCK.size:
                link.rtt_s = max(0.0, now - _CLOCK.unpack(payload)[0])
        elif header.kind == Kind.BYE:
            why = frames.decode(Refusal, payload).text or "left"
            self._end(link, f"it said goodbye: {why}")
            if wire.peering is not None:
                self._retry_if_idle(wire.peering, Refusal("refused", why), now, told=True)
        elif header.kind != Kind.ACK:
            raise Malformed(f"kind {header.kind} has no place in a session")
        return None

    def _greet(self, wire: Wire, kind: int, payload: bytes, now: float) -> None:
        if wire.peering is None:
            if kind != Kind.HELLO:
                raise Malformed("its first frame is not a HELLO; is this a broker endpoint?")
            low, high, hello = frames.decode_hello(payload)
            if hello is None:
                theirs = f"{low} to {high}"
                text = f"{self.name} speaks version {frames.PROTOCOL_VERSION}, you speak {theirs}: update the older one"
                self._turn_away(wire, "unknown", Refusal("version", text))
            else:
                self._take_hello(wire, hello, now)
        elif kind == Kind.WELCOME:
            self._take_welcome(wire, wire.peering, frames.decode(Welcome, payload), now)
        elif kind == Kind.REFUSE:
            self._take_refusal(wire, wire.peering, frames.decode(Refusal, payload), now)
        else:
            raise Malformed("its answer to HELLO is neither WELCOME nor REFUSE; is this a broker endpoint?")

    def _take_hello(self, wire: Wire, hello: Hello, now: float) -> None:
        refusal = self._judge(hello, now)
        if refusal is not None:
            self._turn_away(wire, hello.name, refusal)
            return
        link = self.links.get(hello.id)
        # It may not know whom it dials: a link that has lost its wire is brought back all the same.
        if link is not None and hello.session in (link.session, b""):
            if hello.session:
                link.confirmed = True
            turn = hello.turn or link.turn + 1
            self._resume(link, wire, hello.received, hello.credit, turn, welcome=True)
            return
        if link is not None:
            self._end(link, "its session ended, it began a new one")
        self._start(wire, hello, self._chance.randbytes(8), welcome=True)

    def _turn_away(self, wire: Wire, name: str, refusal: Refusal) -> None:
        self._send_bare(wire, Kind.REFUSE, frames.encode(refusal))
        if refusal.code != "linked":
            self._act(Tell(PeerRefused(name, wire.address, refusal.code, refusal.text)))
        self._drop_wire(wire)

    def _judge(self, hello: Hello, now: float) -> Refusal | None:
        """Decide whether somebody who dialled us is let in."""
        if hello.id == self.id:
            return Refusal("self", "this is your own address")
        if hello.name == self.name:
            return Refusal("name", f"this endpoint is called {self.name!r} too: give each endpoint a name of its own")
        link = self.links.get(hello.id)
        if link is not None:
            if hello.session != link.session and link.wire is not None:
                self._probe(link, now)  # the peer may have given it up without our knowing
                return Refusal("linked", "there is a link between us already", self.id)
            if hello.session == link.session and not link.is_due(hello.turn, hello.id):
                return Refusal("linked", "you have answered our own attempt to bring the link back", self.id)
            return None
        if len(self.links) >= LINKS_MAX:
            return Refusal("full", f"{self.name} has {LINKS_MAX} peers already")
        return self._judge_name(hello.name, now)

    def _judge_name(self, name: str, now: float) -> Refusal | None:
        """Tell a second endpoint of one name from a restarted one: the first has to show that it still lives."""
        for other in list(self.links.values()):
            if other.peer_name != name:
                continue
            if other.wire is None:
                self._end(other, "replaced by a new process of the same name")
                return None
            self._probe(other, now)
            return Refusal("name", f"another endpoint called {name!r} is linked to {self.name}: give each its own name")
        return None

    def _probe(self, link: Link, now: float) -> None:
        """Let a link show that it lives, soon."""
        assert link.wire is not None
        wire = self.wires[link.wire]
        if wire.probe_until is None:
            wire.probe_until = now + self._timing.probe_s
            self._ping(wire, link, now)
            self._act(Changed())

    def _take_welcome(self, wire: Wire, peering: Peering, welcome: Welcome, now: float) -> None:
        if welcome.version != frames.PROTOCOL_VERSION:
            raise Malformed(f"it welcomes us in version {welcome.version}, which we did not offer")
        if welcome.id == self.id:
            raise Malformed("it claims to be ourselves")
        link = self.links.get(welcome.id)
        if welcome.resumed:
            if link is None or link.session != welcome.session:
                self._send_bare(wire, Kind.BYE, frames.encode(Refusal("bye", "that session has ended here")))
                self._drop_wire(wire)
                self._retry(peering, Refusal("linked", "it went on with a session that has ended here"), now, told=True)
            elif link.is_due(welcome.turn, self.id):
                self._resume(link, wire, welcome.received, welcome.credit, welcome.turn, welcome=False)
            else:  # the peer has dialled us meanwhile
                self._drop_wire(wire)
                self._satisfy(peering, link)
            self._act(Changed())
            return
        former, peering.link = peering.link, None
        if former is not None:
            self._end(former, "its session ended, or another process took its place")
            link = self.links.get(welcome.id)
        if link is not None and link.wire is None:
            self._end(link, "its session ended, it began a new one")
            link = None
        if link is None:
            self._start(wire, welcome, welcome.session, welcome=False)
        elif link.confirmed or welcome.id < self.id:
            self._drop_wire(wire)  # the session that the peer dialled stays
            self._satisfy(peering, link)
        else:
            self._switch(link, wire, welcome)
        self._act(Changed())

    def _switch(self, link: Link, wire: Wire, welcome: Welcome) -> None:
        """Leave the session that the peer dialled for the one that we dialled: its id is the larger one."""
        if link.wire is not None:
            old = self.wires[link.wire]
            link.wire = None
            self._drop_wire(old)
        link.rebase(welcome.session)
        self._attach(link, wire, welcome.turn)
        link.confirmed = True
        self._act_all(wire, link.resume(wire.number, 0, welcome.credit))
        self._observer.link_resumed(link)

    def _take_refusal(self, wire: Wire, peering: Peering, refusal: Refusal, now: float) -> None:
        self._drop_wire(wire)
        if refusal.code == "linked":
            link = self.links.get(refusal.id)
            if link is not None and link.wire is not None:
                self._satisfy(peering, link)
                return
        self._retry(peering, refusal, now, told=False)
        self._act(Changed())

    # -- sessions ------------------------------------------------------------------------------------------------

    def _start(self, wire: Wire, peer: Hello | Welcome, session: bytes, welcome: bool) -> None:
        link = Link(peer.name, peer.id, session)
        link.address = wire.address
        self.links[peer.id] = link
        self._attach(link, wire, 1)
        if welcome:
            self._welcome(wire, link, resumed=False)
        else:
            link.confirmed = True
        # The credit of a HELLO is for the session that it names; a new one begins with what every session begins with.
        credit = CREDIT_BYTES if isinstance(peer, Hello) and peer.session else peer.credit
        link.resume(wire.number, 0, credit)
        self._observer.link_started(link)
        self._act(Changed())

    def _resume(self, link: Link, wire: Wire, received: int, credit: int, turn: int, welcome: bool) -> None:
        if link.wire is not None:
            old = self.wires[link.wire]
            link.wire = None
            self._drop_wire(old)
        again = link.resume(wire.number, received, credit)
        self._attach(link, wire, turn)
        if welcome:
            self._welcome(wire, link, resumed=True)
        self._act_all(wire, again)
        self._act(Tell(PeerResumed(link.peer_name, link.address)))
        self._observer.link_resumed(link)
        self._act(Changed())

    def _attach(self, link: Link, wire: Wire, turn: int) -> None:
        if wire.peering is None:
            self._ungreeted -= 1
        else:
            link.dialled = True
            self._satisfy(wire.peering, link)
        wire.link = link
        link.wire = wire.number
        link.turn = turn
        link.dialler = link.peer_id if wire.peering is None else self.id
        self._abandon_at.pop(link, None)

    def _satisfy(self, peering: Peering, link: Link) -> None:
        peering.link = link
        peering.linked_once = True
        peering.attempts = 0
        peering.dial_at = peering.failure = None
        self._act(Changed())

    def _welcome(self, wire: Wire, link: Link, resumed: bool) -> None:
        answer = Welcome(
            frames.PROTOCOL_VERSION,
            self.name,
            self.id,
            link.session,
            resumed,
            link.received,
            link.credit_now(),
            link.turn,
        )
        self._send_bare(wire, Kind.WELCOME, frames.encode(answer))

    def _act_all(self, wire: Wire, again: list[bytes]) -> None:
        for frame in again:
            self._act(Send(wire.number, frame))

    # -- time ----------------------------------------------------------------------------------------------------

    def _ping(self, wire: Wire, link: Link, now: float) -> None:
        wire.spoke = now
        self._act(Send(wire.number, link.unsequenced(Kind.PING, _CLOCK.pack(now), ACK_NOW)))

    def tick(self, now: float) -> None:
        """Do what time asks for: heartbeats, lost patience, dialling again."""
        timing = self._timing
        for wire in list(self.wires.values()):
            self._tick_wire(wire, now)
        for link, until in list(self._abandon_at.items()):
            if now >= until and link in self._abandon_at:
                self._end(link, f"did not come back within {timing.resume_s:g} s")
        for peering in list(self.peerings.values()):
            if peering.dial_at is not None and now >= peering.dial_at:
                if peering.link is None or peering.link.wire is None:
                    self._dial(peering, now)
                else:
                    peering.dial_at = None
            elif peering.idle:
                self._dial(peering, now)

    def _tick_wire(self, wire: Wire, now: float) -> None:
        # The same sums as in next_deadline(): a difference may round to just below what its sum is due at.
        timing = self._timing
        link = wire.link
        if link is None:
            if now >= wire.opened + timing.handshake_s:
                reason = f"connected, but did not answer the handshake within {timing.handshake_s:g} s"
                self._lose_wire(wire, "silent", reason, now)
            return
        if now >= wire.heard + timing.silence_s or (wire.probe_until is not None and now >= wire.probe_until):
            self._lose_wire(wire, "silent", f"nothing came for {now - wire.heard:.1f} s", now)
        elif now >= wire.spoke + timing.heartbeat_s:
            self._ping(wire, link, now)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do, in seconds of the clock that ``now`` comes from."""
        timing = self._timing
        deadlines = list(self._abandon_at.values())
        for peering in self.peerings.values():
            if peering.dial_at is not None:
                deadlines.append(peering.dial_at)
            elif peering.idle:
                return float("-inf")
        for wire in self.wires.values():
            if wire.link is None:
                deadlines.append(wire.opened + timing.handshake_s)
            else:
                deadlines.append(min(wire.heard + timing.silence_s, wire.spoke + timing.heartbeat_s))
                if wire.probe_until is not None:
                    deadlines.append(wire.probe_until)
        return min(deadlines, default=float("inf"))


def _opened(wire: Wire) -> float:
    return wire.opened
