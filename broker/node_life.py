"""What happens to a node, and what follows: frames, time, links, the mesh, trust, the end.

It composes the state machines of :mod:`broker.protocol`, :mod:`broker.stores` and :mod:`broker.logs`; what each of them
does is told in its own module.  It is long because all of them meet here.  What a program asks of a node is in
:mod:`broker.node`.
"""

from __future__ import annotations

from typing import Final

from broker.errors import Malformed, NotPermitted
from broker.logs.logs import Logs
from broker.logs.wire import LOGS, LOGS_END
from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Send, Tell
from broker.protocol.addresses import Entry, read_address
from broker.protocol.announcements import announcement_of
from broker.protocol.exchange import Exchange
from broker.protocol.frames import (
    ACK_NOW,
    DATA,
    HEADER_BYTES,
    ROUTED,
    Denied,
    Header,
    Kind,
    Learned,
    MemberUpdate,
    Report,
    Sync,
)
from broker.protocol.interests import Interests
from broker.protocol.link import ACK_DELAY_S, UNACKNOWLEDGED_BYTES_MAX, Link, OutFrame
from broker.protocol.losses import Losses
from broker.protocol.member import Member
from broker.protocol.members import Members
from broker.protocol.peerings import Peerings
from broker.protocol.refusals import Refusals
from broker.protocol.transit import Transit
from broker.protocol.wires import Chance, Timing
from broker.status import PeerAdded, PeerRefused
from broker.stores.stores import Stores
from broker.stores.wire import STORES, STORES_END
from broker.trust.guard import Guard
from broker.trust.judge import Judge
from broker.trust.keys import SecretKey

__all__ = ["NodeLife"]

# Members of an enumeration take several times as long to look up: these are what a storm of announcements consists of.
_MEMBER: Final = int(Kind.MEMBER)
_INTERESTS: Final = int(Kind.INTERESTS)
_NEVER: Final = float("inf")

# What answers to questions may be under way to a peer: a quarter of what a new one may be told.
_ANSWERS_BYTES_MAX: Final = UNACKNOWLEDGED_BYTES_MAX // 4


class NodeLife:
    """One endpoint's whole state, and its decisions."""

    def __init__(
        self,
        name: str,
        chance: Chance,
        timing: Timing | None = None,
        *,
        forward: bool = True,
        born: int = 0,
        guard: Guard | None = None,
    ) -> None:
        self.name = name
        self.guard = guard or Guard()
        self._forward = forward
        self._timing = timing or Timing()
        self._actions: list[Action] = []
        act = self._act = self._actions.append
        self._now = 0.0
        self._touched: dict[Link, None] = {}  # links that may have something to send
        self.peerings = Peerings(name, chance, self._timing, act, self, self.guard)
        self.id = self.peerings.id
        forward = forward and self.guard.own.relay
        own = Member(self.id, name, 0, forward=forward, born=born, key=self.guard.key)
        links = self.peerings.links
        self.members = Members(own, links, self, self._touched, self._condemn, lambda: act(Changed()), self.guard)
        self.members.belief.strange = self._tell_stranger
        self.transit = Transit(self.members, self.guard)
        self.refusals = Refusals(name, self.guard, self.transit, act)
        self.losses = Losses(act)
        self.exchange = Exchange(name, self.transit, self.losses, act)
        self.exchange.flush_due = self.flush
        self.exchange.delivering.refused = self.exchange.routes.refused = self.refusals.add
        self.interests = Interests(self.members, self.exchange.routes, self.transit, act)
        self.interests.refused = self.refusals.add
        self.interests.suspect = self._mistrust
        self.publish = self.exchange.publish
        self.stores = Stores(self.members, self.transit, chance, act)
        self.logs = Logs(self.members, self.transit, chance, act)
        self.stores.refused = self.logs.refused = self.refusals.add
        self.exchange.permit = self._permit_publishing
        self._owing: dict[Link, float] = {}  # links that owe an acknowledgement, and since when
        self._condemned: list[tuple[Link, Malformed]] = []

    # -- the driver's side -----------------------------------------------------------------------------------------

    def take_actions(self) -> list[Action]:
        """Return what is to be done, and forget it."""
        actions = self._actions[:]
        self._actions.clear()
        return actions

    @property
    def has_actions(self) -> bool:
        """Whether there is anything to be done."""
        return bool(self._actions)

    def accept(self, address: str, now: float, key: bytes = b"") -> int:
        """Take note of a connection that somebody opened to us, who has proved to have that key; returns its wire."""
        self._now = now
        return self.peerings.accept(address, now, key)

    def dialled(self, wire: int, key: bytes) -> None:
        """Take note of the key that whoever is at the other end of a wire that we opened has to have."""
        if wire in self.peerings.wires:
            self.peerings.wires[wire].key = key

    def turned_away(self, address: str, code: str, reason: str, now: float) -> None:
        """Take note that somebody was not let in, whose connection was no wire yet."""
        self._now = now
        self.refusals.add_stranger(address, code, reason)

    def wire_lost(self, wire: int, code: str, reason: str, now: float) -> None:
        """Take note that a wire is gone, or could not be opened: code is refused, unreachable, foreign or cut."""
        self._now = now
        self.peerings.wire_lost(wire, code, reason, now)
        self._pump()

    def flooded(self, wire: int, reason: str, now: float) -> None:
        """Cut off a peer that sends more than can be acted on, however right each frame may be."""
        self._now = now
        self.peerings.break_off(wire, Malformed(reason), now)
        self._pump()

    def receive(self, wire_number: int, frame: bytes, now: float) -> None:
        """Act on a frame from a peer, whatever its bytes."""
        self._now = now
        wire = self.peerings.wires.get(wire_number)
        if wire is None:
            return
        try:
            taken = self.peerings.receive(wire, frame, now)
            if taken is not None:
                link, header = taken
                if header.kind >= ROUTED:
                    self._take_routed(link, header, frame)
                else:
                    self._take_own(link, header, frame[HEADER_BYTES:])
        except Malformed as error:
            self.peerings.break_off(wire_number, error, now)
            self._pump()
            return
        if wire.link is not None and not wire.link.ended:
            self._heard(wire.link, now)
        if self._touched:
            self._pump()

    def _heard(self, link: Link, now: float) -> None:
        """Follow up a frame: what its acknowledgement allows, and what we owe for it."""
        if not link.settled:
            self._check_settled(link)
        if self.peerings.closing:
            self._act(Changed())
        if link.waiting or link.control:
            self._touched[link] = None
            self._pump()
        if link.ack_due:
            self._acknowledge(link)
        elif link not in self._owing and link.owes and link.wire is not None:
            self._owing[link] = now

    def _acknowledge(self, link: Link) -> None:
        self._owing.pop(link, None)
        if link.wire is not None:
            self._act(Send(link.wire, link.unsequenced(Kind.ACK)))

    def _pump(self) -> None:
        """Let everything leave that may."""
        touched, actions = self._touched, self._actions
        while touched:
            link, _ = touched.popitem()
            if link.wire is not None:
                wire = link.wire
                actions += [Send(wire, frame) for frame in link.pump()]
                if link.unacknowledged_bytes > UNACKNOWLEDGED_BYTES_MAX:
                    limit = f"{UNACKNOWLEDGED_BYTES_MAX >> 20} MiB"
                    self._condemn(link, Malformed(f"it has not acknowledged {limit} of what it was sent"))

    # -- frames ------------------------------------------------------------------------------------------------------

    def _take_own(self, link: Link, header: Header, payload: bytes) -> None:
        """Act on what a peer tells of the mesh."""
        if header.kind == _MEMBER:
            self.members.take(link, payload, self._now)
        elif header.kind == _INTERESTS:
            self.interests.take(link, payload, self._now)
        elif header.kind == Kind.SYNC:
            self._take_sync(link, frames.decode(Sync, payload))
        elif header.kind == Kind.SYNCED:
            self._add(link)
        else:
            raise Malformed(f"frames of kind {header.kind} are not known in this version")

    def _take_sync(self, link: Link, sync: Sync) -> None:
        if sync.complete and link.synced_frame is not None:
            raise Malformed("it asks a second time for all that we know")
        if link.unacknowledged_bytes > _ANSWERS_BYTES_MAX and not sync.complete:
            raise Malformed(f"it asks for more, and has not acknowledged {_ANSWERS_BYTES_MAX >> 20} MiB")
        members, interested = self.members.newer_than(sync)
        for member in members:
            self.members.send(link, Kind.MEMBER, announcement_of(member))
        for member in interested:
            self.interests.send_all(link, member)
        if sync.complete:
            link.synced_frame = OutFrame(Kind.SYNCED, b"", flags=ACK_NOW)
            link.send(link.synced_frame)
            self._touched[link] = None

    def _take_routed(self, link: Link, header: Header, frame: bytes) -> None:
        address = read_address(frame, HEADER_BYTES, header.flags)
        if not link.grants.relay and address.origin != link.peer_id:
            self._refuse_relaying(link, address.origin)
            return
        own = self.transit.receive(header, address, frame)
        member = self.members.members.get(address.origin) if own is not None else None
        if own is None or member is None:
            return  # not for us, or from somebody who has gone
        body = frame[HEADER_BYTES + address.size :]
        if self.guard.closed and not self.transit.is_proved(member, link, address, own, header.kind, body):
            if not self.transit.is_outdated(member, address, own, header.kind, body):
                self._refuse_relaying(link, address.origin, "speak for")
            return
        member.relayed |= link.peer_id != member.id
        try:
            self._take(member, own, header.kind, body)
        except Malformed as error:
            if link.peer_id == member.id:
                raise
            self._mistrust(member, error)

    def _refuse_relaying(self, link: Link, origin: bytes, right: str = "relay") -> None:
        """Take note of a frame that a peer has passed on, or made up, and may not."""
        relay, other = self.members.members.get(link.peer_id), self.members.members.get(origin)
        self.transit.dropped += 1
        if relay is not None:
            self.refusals.add(relay, right, "an unknown endpoint" if other is None else other.name)

    def _tell_stranger(self, update: MemberUpdate, why: str) -> None:
        self.refusals.add_stranger("", "authentication", f"not let into the mesh: {why}", update.name)

    def _take(self, member: Member, entry: Entry, kind: int, body: bytes) -> None:
        if STORES <= kind < STORES_END:
            self.stores.take(member, entry.flow, kind, body, self._now)
        elif LOGS <= kind < LOGS_END:
            self.logs.take(member, entry.flow, entry.sequence, kind, body, self._now)
        elif kind >= DATA:
            self.exchange.delivering.take(member, entry, kind, body, self._now)
        elif kind == Kind.REPORT:
            self.exchange.courier.take_report(member, entry.flow, frames.decode(Report, body), self._now)
        elif kind == Kind.LEARNED:
            self.interests.take_learned(member, frames.decode(Learned, body))
        elif kind == Kind.ASK:
            self.interests.tell_learned(member)
        elif kind == Kind.DENIED:
            self.refusals.take(member, frames.decode(Denied, body))
        else:
            raise Malformed(f"frames of kind {kind} are not known in this version")

    def _mistrust(self, member: Member, error: Malformed) -> None:
        """Tell, once, of an endpoint further away that breaks the protocol: what makes no sense is not heeded."""
        if not member.mistrusted:
            member.mistrusted = True
            self._act(Tell(PeerRefused(member.name, "", "protocol", f"broke the protocol: {error}")))

    def _condemn(self, link: Link, error: Malformed) -> None:
        self._condemned.append((link, error))
        self._act(Changed())

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        self._now = now
        self.peerings.tick(now)  # first: that a peer is lost is told before what was lost with it
        self._tick_condemned(now)
        self._tick_owing(now)
        self.members.tick(now)
        for member in self.members.to_give_up(now, self._timing.resume_s):
            reason = f"it could not be reached for {self._timing.resume_s:g} s"
            self.exchange.courier.give_up(member, reason)
        self.exchange.courier.tick(now)
        self.exchange.delivering.tick(now)
        self.interests.tick(now)
        self.stores.tick(now)
        self.logs.tick(now)
        self.losses.tick(now)
        self.refusals.tick(now)
        self._pump()

    def _tick_owing(self, now: float) -> None:
        while self._owing:  # the first one owes longest
            link, since = next(iter(self._owing.items()))
            if link.owes and now < since + ACK_DELAY_S:
                return
            if link.owes:
                self._acknowledge(link)
            else:
                del self._owing[link]

    def _tick_condemned(self, now: float) -> None:
        condemned, self._condemned = self._condemned, []
        for link, error in condemned:
            self.peerings.condemn(link, error, now)
        suspects, self.exchange.delivering.condemned = self.exchange.delivering.condemned, []
        for member, error in suspects:
            neighbour = self.peerings.links.get(member.id)
            if neighbour is None or member.relayed:  # it may have been said in its name
                self._mistrust(member, error)
            else:
                self.peerings.condemn(neighbour, error, now)

    def next_deadline(self) -> float:
        """Return when to tick, in the driver's clock; infinity when there is nothing to wait for."""
        return min(
            self.next_acknowledgement(),  # in it are those of stores and logs, if there are any
            _NEVER if self.stores.any else self.stores.next_deadline(),
            _NEVER if self.logs.any else self.logs.next_deadline(),
            self.members.next_deadline(self._timing.resume_s),
            self.exchange.courier.next_deadline(),
            self.exchange.delivering.next_deadline(),
            self.interests.next_deadline(),
            self.losses.next_deadline(),
            self.refusals.next_deadline(),
            self.peerings.next_deadline(),
        )

    def next_acknowledgement(self) -> float:
        """Return when to tick because of what came or was done: word that is owed, a peer to be cut off."""
        if self._condemned or self.exchange.delivering.condemned:
            return float("-inf")
        report = self.exchange.delivering.next_report()
        if self.stores.any:
            report = min(report, self.stores.next_deadline())
        if self.logs.any:
            report = min(report, self.logs.next_deadline())
        for since in self._owing.values():  # the first one owes longest
            return min(report, since + ACK_DELAY_S)
        return report

    # -- links (broker.protocol.wires.Observer) ------------------------------------------------------------------------

    def known_key(self, id_: bytes) -> bytes | None:
        """Return the key of the endpoint with that id; None when we know none."""
        member = self.members.members.get(id_)
        return member.key if member is not None else None

    def stranger_refused(self, name: str, address: str, code: str, reason: str) -> None:
        """Tell of somebody who dialled us and was turned away."""
        self.refusals.refuse(name, address, code, reason, self._now)

    def link_started(self, link: Link) -> None:
        """Tell a new peer what we know."""
        self.members.greet(link)

    def link_interrupted(self, link: Link) -> None:
        """Let others look for another way."""
        if link.added:
            self.members.links_changed(self._now)

    def link_resumed(self, link: Link) -> None:
        """Send a peer that is back what was kept for it."""
        self._touched[link] = None
        if link.added:
            self.members.links_changed(self._now)

    def link_measured(self, link: Link) -> None:
        """Let others know how long a link takes."""
        self.members.link_measured(link, self._now)

    def link_ended(self, link: Link) -> None:
        """Forget a link; what was to go over it finds another way, or is sent again."""
        self._touched.pop(link, None)
        self._owing.pop(link, None)
        self.interests.link_ended(link)
        if link.added:
            self.members.link_ended(link, self._now)

    def _add(self, link: Link) -> None:
        """Let messages go over a link whose peer has told us all that it knows."""
        if link.added:
            return
        link.added = True
        self.members.link_added(link, self._now)
        self._act(Tell(PeerAdded(link.peer_name, link.address)))
        self._act(Changed())

    def _check_settled(self, link: Link) -> None:
        frame = link.synced_frame
        if link.added and frame is not None and 0 < frame.sequence <= link.acknowledged:
            link.settled = True
            self._act(Changed())

    # -- members (broker.protocol.members.Watcher) ---------------------------------------------------------------------

    def member_back(self, member: Member) -> None:
        """Settle with an endpoint that can be reached again."""
        self.exchange.courier.come_back(member)

    def member_forgotten(self, member: Member, reason: str) -> None:
        """Drop what concerns an endpoint that is no longer part of the mesh."""
        self.exchange.forget(member, reason)
        self.interests.forget(member)
        self.stores.member_forgotten(member)
        self.logs.member_forgotten(member)

    def ways_changed(self) -> None:
        """Find out what was lost on ways that are no more."""
        self.exchange.courier.ways_changed(self._now)
        self.interests.ways_changed()
        self.stores.ways_changed(self._now)
        self.logs.ways_changed(self._now)

    def roles_changed(self) -> None:
        """Let clones find their masters, and collectors their writers."""
        self.stores.masters_changed()
        self.logs.streams_changed()
        self._act(Changed())

    def refused(self, member: Member, right: str, what: str) -> None:
        """Tell of a right that an endpoint lacks, for what it announces."""
        self.refusals.add(member, right, what)

    # -- trust -------------------------------------------------------------------------------------------------------

    def trust(self, secret: SecretKey, judge: Judge, now: float) -> None:
        """Have another key, or go by other rules, from now on: who is no longer trusted is cut off at once."""
        self._now = now
        self.exchange.flush()
        renewed = secret.public.raw != self.guard.key
        self.guard.change(secret, judge)
        self.peerings.rejudge(now)
        forward = self._forward and self.guard.own.relay
        announce, self.members.own.forward = forward != self.members.own.forward, forward
        self.members.rules_changed(now, announce=announce)
        self.exchange.routes.rules_changed()
        self.stores.rules_changed(now)
        self.logs.rules_changed(now)
        if renewed:
            self.peerings.renew_wires(now)
        self._pump()

    def check_right(self, right: str, what: str) -> None:
        """Raise NotPermitted when our own access rules do not give us a right to a topic, a store or a log stream."""
        if not self.guard.own_may(right, what):
            raise NotPermitted(self.guard.label(self.guard.key), right, what)

    def _permit_publishing(self, topic: str) -> None:
        self.check_right("publish", topic)

    # -- the end -------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what was published."""
        self.exchange.flush()
        self._pump()

    def begin_close(self) -> None:
        """Send what there is and ask everybody for word of it; see :attr:`is_drained`."""
        self.flush()
        self.peerings.closing = True
        self.exchange.courier.ask_all()
        self._pump()
        for link in self.peerings.links.values():
            if not link.drained and link.wire is not None:
                self._act(Send(link.wire, link.unsequenced(Kind.PING, bytes(8), ACK_NOW)))

    @property
    def is_drained(self) -> bool:
        """Whether everybody has what was for them, and our peers what was to pass through us."""
        links = all(link.drained or link.wire is None for link in self.peerings.links.values())
        return links and self.exchange.courier.is_drained(self.members.members.values())

    def close(self, reason: str = "its endpoint was closed") -> None:
        """Say goodbye to everybody; what is not known to have arrived is told as lost."""
        self.stores.close(self._now)
        self.logs.close(self._now)
        for member in self.members.members.values():
            self.exchange.courier.forget(member, "our endpoint was closed before they were known to have arrived")
        self.losses.tell_all()
        self.exchange.delivering.report_all()
        self.members.leave()
        self._pump()
        self.peerings.part_all(reason)
