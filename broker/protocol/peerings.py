"""Peerings, wires and links: who we want to be linked with, and how that is brought about and kept up.

A **peering** is the wish to be linked with whoever is at an address; it stays until it is withdrawn.  A **wire** is one
connection, dialled or accepted, known to the driver by its number.  A :class:`~broker.protocol.link.Link` is the
session that a wire carries; it waits for another wire when its wire is cut (``Timing.resume_s``).

It is long because what begins and ends wishes, wires and links is told in one place; how a wire gets its link is in
:mod:`broker.protocol.handshake`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Dial, Hangup, Send, Tell
from broker.protocol.deadlines import Deadlines
from broker.protocol.frames import ACK_NOW, HEADER_BYTES, Header, Hello, Kind, Refusal
from broker.protocol.handshake import Handshake
from broker.protocol.link import Link
from broker.protocol.wires import Chance, Observer, Peering, Timing, Wire
from broker.status import PeeringFailed, PeerInterrupted, PeerLost
from broker.trust.guard import Guard

__all__ = ["FINAL_CODES", "UNGREETED_WIRES_MAX", "Peerings"]

FINAL_CODES: Final = frozenset({"version", "self", "authentication", "authorisation", "foreign"})

# What access rules and keys decide: other ones may decide otherwise.
_JUDGED_CODES: Final = frozenset({"authentication", "authorisation"})
# A listener must bear strangers that connect and say nothing.
UNGREETED_WIRES_MAX: Final = 1024
_CLOCK = struct.Struct(">d")
# Members of an enumeration take several times as long to look up, and every frame is compared.
_SEQUENCED: Final = int(Kind.SYNC)
# What stands outside a session's sequence is small: a greeting, a heartbeat, a goodbye.
_SMALL_BYTES_MAX: Final = 64 << 10


class Peerings:
    """All peerings, wires and links of a node."""

    def __init__(
        self,
        name: str,
        chance: Chance,
        timing: Timing,
        act: Callable[[Action], None],
        observer: Observer,
        guard: Guard,
    ) -> None:
        self.name = name
        self.guard = guard
        self.id = chance.randbytes(16)
        self.links: dict[bytes, Link] = {}  # by the peer's id
        self.peerings: dict[str, Peering] = {}  # by address
        self.wires: dict[int, Wire] = {}
        self._deadlines: Deadlines[Wire] = Deadlines(self._due)
        self.chance = chance
        self._timing = timing
        self.act = act
        self.observer = observer
        self._wires_made = 0
        self._ungreeted = 0  # accepted wires without a link
        self._abandon_at: dict[Link, float] = {}  # links without a wire, and how long each is kept, in order
        self._restless: dict[Peering, None] = {}  # every wish for which something may be due is among these
        self._handshake = Handshake(self)
        self.closing = False

    # -- wishes --------------------------------------------------------------------------------------------------

    def want(self, address: str, now: float) -> Peering:
        """Wish to be linked with the endpoint at ``address``; the same wish is given back when it is there."""
        peering = self.peerings.get(address)
        if peering is None:
            peering = self.peerings[address] = Peering(address)
            self._restless[peering] = None
            self._dial(peering, now)
        return peering

    def unwant(self, address: str) -> bool:
        """Withdraw the wish, and end the link that it led to; False when there was no such wish."""
        peering = self.peerings.pop(address, None)
        if peering is None:
            return False
        peering.withdrawn = True
        if peering.link is not None:
            self._part(peering.link, "unpeered", "unpeered")
        if peering.wire is not None:  # still dialling, perhaps to bring that link back
            self.drop_wire(self.wires[peering.wire])
        self.act(Changed())
        return True

    def part_all(self, reason: str) -> None:
        """Say goodbye to everybody: the endpoint closes."""
        self.closing = True
        self.peerings.clear()
        for link in list(self.links.values()):
            self._part(link, "closed", reason)
        for wire in list(self.wires.values()):
            self.drop_wire(wire)

    def _part(self, link: Link, code: str, reason: str) -> None:
        if link.wire is not None:
            bye = link.unsequenced(Kind.BYE, frames.encode(Refusal("bye", reason)))
            self.act(Send(link.wire, bye))
        self.end(link, code, reason)

    # -- wires ---------------------------------------------------------------------------------------------------

    def _new_wire(self, address: str, peering: Peering | None, now: float) -> Wire:
        self._wires_made += 1
        wire = Wire(self._wires_made, address, peering, opened=now, heard=now, spoke=now)
        self.wires[wire.number] = wire
        self._deadlines.watch(wire)
        self.act(Changed())  # its handshake has a deadline
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
            link.turn + 1 if link else 0,
        )
        self.act(Dial(wire.number, peering.address))
        self.send_bare(wire, Kind.HELLO, frames.encode_hello(hello))

    def accept(self, address: str, now: float, key: bytes = b"") -> int:
        """Take note of a wire that somebody opened to us; returns its number.  Of too many, the oldest is dropped."""
        wire = self._new_wire(address, None, now)
        wire.key = key
        self._ungreeted += 1
        if self._ungreeted > UNGREETED_WIRES_MAX:
            oldest = min((w for w in self.wires.values() if w.link is None and w.peering is None), key=_opened)
            self.drop_wire(oldest)
        return wire.number

    def wire_lost(self, number: int, code: str, reason: str, now: float) -> None:
        """Take note that a wire is gone: ``code`` is refused, unreachable, foreign or cut."""
        wire = self.wires.get(number)
        if wire is not None:
            self._lose_wire(wire, code, reason, now)

    def _lose_wire(self, wire: Wire, code: str, reason: str, now: float) -> None:
        """Give a wire up for a reason that is not ours; its link waits for another, its peering dials again."""
        self.drop_wire(wire)
        link = wire.link
        if link is not None and link.wire == wire.number:
            link.wire = None
            link.interruption = ("silent" if code == "silent" else "cut", reason)
            self._abandon_at[link] = now + self._timing.resume_s
            self.act(Tell(PeerInterrupted(link.peer_name, link.address, reason)))
            self.observer.link_interrupted(link)
        for peering in self.peerings.values():
            if peering is wire.peering or (link is not None and peering.link is link):
                self._retry_if_idle(peering, Refusal(code, reason), now, told=link is not None)
        self.act(Changed())

    def drop_wire(self, wire: Wire) -> None:
        """Forget a wire and have it closed."""
        if self.wires.pop(wire.number, None) is None:
            return
        self._deadlines.forget(wire)
        if wire.peering is None and wire.link is None:
            self._ungreeted -= 1
        if wire.peering is not None and wire.peering.wire == wire.number:
            wire.peering.wire = None
            self._restless[wire.peering] = None
        self.act(Hangup(wire.number))

    def retry(self, peering: Peering, failure: Refusal, now: float, told: bool) -> None:
        """Take note of a failed attempt, and dial again after a while unless that is pointless."""
        peering.failure = failure
        peering.final = failure.code in FINAL_CODES and not peering.linked_once
        if failure.code == "protocol":  # it may well break it again: no hurry
            peering.attempts = max(peering.attempts, 6)
        if not peering.final:
            timing = self._timing
            backoff = min(timing.redial_max_s, timing.redial_first_s * 2.0 ** min(peering.attempts, 16))
            peering.dial_at = now + backoff * (0.5 + self.chance.random() / 2)
            self._restless[peering] = None
        peering.attempts += 1
        if not told:
            self.act(Tell(PeeringFailed(peering.address, failure.code, failure.text, peering.final)))

    # -- ends of sessions ----------------------------------------------------------------------------------------

    def end(self, link: Link, code: str, reason: str) -> None:
        """Forget a link for good; ``code`` is one that :class:`~broker.status.PeerLost` lists."""
        del self.links[link.peer_id]
        self._abandon_at.pop(link, None)
        if link.wire is not None:
            self.drop_wire(self.wires[link.wire])
            link.wire = None
        for peering in self.peerings.values():
            if peering.link is link:
                peering.link = None
                self._restless[peering] = None
                if peering.wire is not None:  # dialled to go on with this session
                    self.drop_wire(self.wires[peering.wire])
        link.end()
        if link.added:
            self.act(Tell(PeerLost(link.peer_name, link.address, code, reason)))
        self.observer.link_ended(link)
        self.act(Changed())

    def break_off(self, wire_number: int, error: Malformed, now: float) -> None:
        """End whatever a wire carries, because its other end broke the protocol."""
        wire = self.wires.get(wire_number)
        if wire is None:
            return
        reason = f"broke the protocol: {error}"
        link = wire.link
        if link is None:
            if wire.peering is None:
                self.observer.stranger_refused("unknown", wire.address, "protocol", reason)
            self.send_bare(wire, Kind.REFUSE, frames.encode(Refusal("protocol", str(error)[:500])))
        else:
            bye = link.unsequenced(Kind.BYE, frames.encode(Refusal("protocol", f"you {reason}"[:500])))
            self.act(Send(wire.number, bye))
            self.end(link, "protocol", reason)
        self._lose_wire(wire, "protocol", reason, now)

    def condemn(self, link: Link, error: Malformed, now: float) -> None:
        """End a link whose peer broke the protocol in what was looked at later, with or without a wire."""
        if link.wire is not None:
            self.break_off(link.wire, error, now)
        elif not link.ended:
            self.end(link, "protocol", f"broke the protocol: {error}")

    def rejudge(self, now: float) -> None:
        """End the links of those whose key is no longer trusted, or may not have their name any more."""
        for link in list(self.links.values()):
            refusal = self.guard.refusal(link.key, link.peer_name)
            if refusal is None:
                link.grants = self.guard.grants(link.key)
                continue
            if link.wire is not None:
                bye = link.unsequenced(Kind.BYE, frames.encode(Refusal(*refusal)))
                self.act(Send(link.wire, bye))
            self.end(link, "refused", refusal[1])
        for wire in list(self.wires.values()):
            if wire.link is None and wire.key and self.guard.holder(wire.key) is None:
                self._lose_wire(wire, "authentication", "its key is no longer trusted", now)
        for peering in self.peerings.values():
            if peering.final and peering.failure is not None and peering.failure.code in _JUDGED_CODES:
                peering.final, peering.attempts = False, 0  # it may have been for our rules, or for our key
                self._restless[peering] = None
                self.act(Changed())

    def renew_wires(self, now: float) -> None:
        """Give up all connections, to make them anew with another key; sessions go on over the new ones."""
        for wire in list(self.wires.values()):
            self._lose_wire(wire, "cut", "it is made anew, with our new key", now)

    def _retry_if_idle(self, peering: Peering, failure: Refusal, now: float, *, told: bool) -> None:
        linked = peering.link is not None and peering.link.wire is not None
        wanted = self.peerings.get(peering.address) is peering
        if wanted and not linked and peering.wire is None and peering.dial_at is None and not peering.final:
            self.retry(peering, failure, now, told=told)

    # -- frames --------------------------------------------------------------------------------------------------

    def send_bare(self, wire: Wire, kind: Kind, payload: bytes) -> None:
        """Send a frame of the handshake, outside any session."""
        self.act(Send(wire.number, frames.pack_header(kind, 0, 0, 0, 0) + payload))

    def receive(self, wire: Wire, frame: bytes, now: float) -> tuple[Link, Header] | None:
        """Act on a frame, or give back the link and the header of one that is for the node: a sequenced one.

        Raises Malformed when the other end breaks the protocol.
        """
        wire.heard = now
        wire.probe_until = None
        header = frames.unpack_header(frame)
        if header.kind < _SEQUENCED and len(frame) > _SMALL_BYTES_MAX:
            raise Malformed(f"a frame of kind {header.kind} with {len(frame)} bytes: at most {_SMALL_BYTES_MAX}")
        link = wire.link
        if link is None:
            self._handshake.greet(wire, header.kind, frame[HEADER_BYTES:], now)
            return None
        link.confirmed = True
        if not link.receive(header, len(frame) - HEADER_BYTES):
            return None
        if header.kind >= _SEQUENCED:
            return link, header
        payload = frame[HEADER_BYTES:]
        if header.kind == Kind.PING:
            self.act(Send(wire.number, link.unsequenced(Kind.PONG, payload[: _CLOCK.size])))
        elif header.kind == Kind.PONG:
            if len(payload) == _CLOCK.size:
                link.rtt_s = max(0.0, now - _CLOCK.unpack(payload)[0])
                self.observer.link_measured(link)
        elif header.kind == Kind.BYE:
            why = frames.decode(Refusal, payload).text or "left"
            self.end(link, "goodbye", f"it said goodbye: {why}")
            if wire.peering is not None:
                self._retry_if_idle(wire.peering, Refusal("refused", why), now, told=True)
        elif header.kind != Kind.ACK:
            raise Malformed(f"kind {header.kind} has no place in a session")
        return None

    def probe(self, link: Link, now: float) -> None:
        """Let a link show that it lives, soon."""
        assert link.wire is not None
        wire = self.wires[link.wire]
        if wire.probe_until is None:
            wire.probe_until = now + self._timing.probe_s
            self._ping(wire, link, now)
            self._deadlines.watch(wire)
            self.act(Changed())

    # -- sessions ------------------------------------------------------------------------------------------------

    def attach(self, link: Link, wire: Wire, turn: int) -> None:
        """Let a wire carry a link; ``turn`` counts the wires of its session."""
        if wire.peering is None:
            self._ungreeted -= 1
        else:
            link.dialled = True
            self.satisfy(wire.peering, link)
        wire.link = link
        link.key, link.grants = wire.key, self.guard.grants(wire.key)
        link.wire = wire.number
        link.turn = turn
        link.dialler = link.peer_id if wire.peering is None else self.id
        self._abandon_at.pop(link, None)
        self._deadlines.watch(wire)

    def satisfy(self, peering: Peering, link: Link) -> None:
        """Let a wish be fulfilled by a link."""
        peering.link = link
        peering.linked_once = True
        peering.attempts = 0
        peering.dial_at = peering.failure = None
        self.act(Changed())

    # -- time ----------------------------------------------------------------------------------------------------

    def _ping(self, wire: Wire, link: Link, now: float) -> None:
        wire.spoke = now
        self.act(Send(wire.number, link.unsequenced(Kind.PING, _CLOCK.pack(now), ACK_NOW)))

    def _due(self, wire: Wire) -> float:
        """Return when something is to be done about a wire."""
        timing = self._timing
        if wire.link is None:
            return wire.opened + timing.handshake_s
        due, silent = wire.spoke + timing.heartbeat_s, wire.heard + timing.silence_s
        if silent < due:
            due = silent
        return due if wire.probe_until is None else min(due, wire.probe_until)

    def tick(self, now: float) -> None:
        """Do what time asks for: heartbeats, lost patience, dialling again."""
        for wire in self._deadlines.take(now):
            if self._tick_wire(wire, now):
                self._deadlines.watch(wire)
        while self._abandon_at:
            link, until = next(iter(self._abandon_at.items()))
            if now < until:
                break
            code, reason = link.interruption
            self.end(link, code, f"{reason}; it did not come back within {self._timing.resume_s:g} s")
        for peering in self._unsettled():
            if peering.dial_at is not None and now >= peering.dial_at:
                if peering.link is None or peering.link.wire is None:
                    self._dial(peering, now)
                else:
                    peering.dial_at = None
            elif peering.idle:
                self._dial(peering, now)

    def _unsettled(self) -> list[Peering]:
        """Return the wishes that wait to be dialled or whose link may have ended, in a steady order."""
        for peering in list(self._restless):
            settled = peering.dial_at is None and not peering.idle
            if settled or self.peerings.get(peering.address) is not peering:
                del self._restless[peering]
        return list(self._restless)

    def _tick_wire(self, wire: Wire, now: float) -> bool:
        """Do what is due for a wire; returns whether it is there still."""
        if wire.number not in self.wires:
            return False  # the loss of another one was the end of it
        # The same sums as in _due(): a difference may round to just below what its sum is due at.
        timing = self._timing
        link = wire.link
        if link is None:
            reason = f"connected, but did not answer the handshake within {timing.handshake_s:g} s: is it an endpoint?"
            self._lose_wire(wire, "silent", reason, now)
        elif now >= wire.heard + timing.silence_s or (wire.probe_until is not None and now >= wire.probe_until):
            self._lose_wire(wire, "silent", f"nothing came for {now - wire.heard:.1f} s", now)
        else:
            self._ping(wire, link, now)
            return True
        return False

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do, in seconds of the clock that ``now`` comes from."""
        due = self._deadlines.next()
        if self._abandon_at:
            due = min(due, next(iter(self._abandon_at.values())))  # the first one
        if self._restless:
            for peering in self._unsettled():
                due = min(due, float("-inf") if peering.dial_at is None else peering.dial_at)
        return due


def _opened(wire: Wire) -> float:
    return wire.opened
