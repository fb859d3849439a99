"""The node: an endpoint without sockets, disk and clock.

It composes the state machines of :mod:`broker.protocol`.  A driver (:class:`broker.Endpoint` on ZeroMQ and trio, or
:mod:`broker.testing` on a simulated network) tells it what happens and carries out what it wants done::

    node.accept(...)   node.receive(wire, frame, now)   node.wire_lost(...)   node.tick(now)      what happens
    node.publish(...)  node.subscribe(...)  node.peer(...)                                        what is asked for
    node.take_actions()                                                                           what is to be done
    node.next_deadline()                                                                          when to tick

``now`` is the driver's monotonic clock in seconds; chance comes from the ``chance`` given at the start.  So a node that
is told the same things does the same things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from broker.errors import Malformed, TopicError
from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Send, Tell
from broker.protocol.exchange import Exchange
from broker.protocol.frames import ACK_NOW, HEADER_BYTES, Interest, InterestUpdate, Kind
from broker.protocol.link import ACK_DELAY_S, Link, OutFrame
from broker.protocol.peerings import Peerings
from broker.protocol.subscriptions import QUEUE_BYTES, QUEUE_MESSAGES, Subscription
from broker.protocol.wires import Chance, Peering, Timing
from broker.status import PeerAdded
from broker.topics import normalize_prefix, normalize_topic

__all__ = ["Node", "Peer"]

# Interests in one frame: with prefixes of 255 bytes still below FRAME_BYTES_MAX.
_INTERESTS_PER_FRAME: Final = 8_192


class Peer(Struct, frozen=True):
    """A peer as ``endpoint.peers()`` shows it."""

    name: str
    address: str  # where it was dialled, or where its connection comes from
    dialled: bool
    connected: bool  # False while its connection is gone and it may still come back
    rtt_s: float | None  # the last heartbeat's round trip, in seconds
    interests: int
    messages_in: int
    messages_out: int
    unacknowledged: int


class Node:
    """One endpoint's whole state, and its decisions."""

    def __init__(self, name: str, chance: Chance, timing: Timing | None = None) -> None:
        self.name = name
        self._actions: list[Action] = []
        act = self._actions.append
        self.peerings = Peerings(name, chance, timing or Timing(), act, self)
        self.id = self.peerings.id
        self.exchange = Exchange(name, self.id, act)
        self.exchange.flush_due = self.flush
        self.publish = self.exchange.publish
        self._wanted: Counter[Interest] = Counter()
        self._interests_version = 1
        self._announced: dict[Subscription, list[tuple[Link, OutFrame]]] = {}
        self._first_interests: dict[Link, OutFrame] = {}
        self._owing: dict[Link, float] = {}  # links that owe an acknowledgement, and since when
        self._act = act

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

    def accept(self, address: str, now: float) -> int:
        """Take note of a connection that somebody opened to us; returns the number of its wire."""
        return self.peerings.accept(address, now)

    def wire_lost(self, wire: int, code: str, reason: str, now: float) -> None:
        """Take note that a wire is gone, or could not be opened: code is refused, unreachable, foreign or cut."""
        self.peerings.wire_lost(wire, code, reason, now)

    def receive(self, wire_number: int, frame: bytes, now: float) -> None:
        """Act on a frame from a peer, whatever its bytes."""
        wire = self.peerings.wires.get(wire_number)
        if wire is None:
            return
        try:
            taken = self.peerings.receive(wire, frame, now)
            if taken is not None:
                link, header = taken
                if header.kind == Kind.EVENTS:
                    self.exchange.deliver(link, frame[HEADER_BYTES:])
                elif header.kind == Kind.INTERESTS:
                    self._take_interests(link, frames.decode(InterestUpdate, frame[HEADER_BYTES:]))
                else:
                    raise Malformed(f"frames of kind {header.kind} are not known in this version")
        except Malformed as error:
            self.peerings.break_off(wire_number, error, now)
            return
        if wire.link is not None and not wire.link.ended:
            self._heard(wire.link, now)

    def _heard(self, link: Link, now: float) -> None:
        """Follow up a frame: what its acknowledgement and credit allow, and what we owe for it."""
        if not link.added:
            self._check_added(link)
        if self._announced or self.peerings.closing:
            self._act(Changed())
        if link.waiting or link.control:
            self._pump(link)
        if link.ack_due:
            self._acknowledge(link)
        elif link.owes and link.wire is not None and link not in self._owing:
            self._owing[link] = now

    def _acknowledge(self, link: Link) -> None:
        self._owing.pop(link, None)
        if link.wire is not None:
            self._act(Send(link.wire, link.unsequenced(Kind.ACK)))

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        condemned, self.exchange.condemned = self.exchange.condemned, []
        for link, error in condemned:
            self.peerings.condemn(link, error, now)
        for link, since in list(self._owing.items()):
            if not link.owes:
                del self._owing[link]
            elif now >= since + ACK_DELAY_S:
                self._acknowledge(link)
        self.peerings.tick(now)

    def next_deadline(self) -> float:
        """Return when to tick, in the driver's clock; infinity when there is nothing to wait for."""
        return min(self.next_acknowledgement(), self.peerings.next_deadline())

    def next_acknowledgement(self) -> float:
        """Return when to tick because of what frames brought: an acknowledgement that is owed, a peer to be cut off."""
        if self.exchange.condemned:
            return float("-inf")
        for since in self._owing.values():  # the first one owes longest
            return since + ACK_DELAY_S
        return float("inf")

    # -- links -----------------------------------------------------------------------------------------------------

    def link_accepted(self, link: Link) -> None:
        """Give a new peer no credit while a queue is full: one that came again and again would fill it further."""
        self.exchange.withhold(link)

    def link_started(self, link: Link) -> None:
        """Tell a new peer what we want."""
        self._first_interests[link] = self._send_interests([link], reset=True, added=self._wanted, removed=())[0][1]

    def link_resumed(self, link: Link) -> None:
        """Send a peer that is back what was kept for it."""
        self._pump(link)

    def link_ended(self, link: Link) -> None:
        """Forget what a peer wanted and was owed."""
        self.exchange.forget_link(link)
        self._first_interests.pop(link, None)
        self._owing.pop(link, None)

    def _check_added(self, link: Link) -> None:
        first = self._first_interests.get(link)
        if first is None or not link.peer_interests_version or not 0 < first.sequence <= link.acknowledged:
            return
        link.added = True
        del self._first_interests[link]
        self._act(Tell(PeerAdded(link.peer_name, link.address)))
        self._act(Changed())

    def _pump(self, link: Link) -> None:
        for frame in link.pump():
            self._act(Send(link.wire, frame))  # type: ignore[arg-type]  # it pumps only with a wire
        self.exchange.set_congested(link)

    # -- events ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what was published."""
        for link in self.exchange.flush():
            self._pump(link)

    def drained(self, subscription: Subscription) -> None:
        """Take note that a reader has drained a queue that holds somebody."""
        for link in self.exchange.drained(subscription):
            if link.ack_due:
                self._acknowledge(link)

    # -- interests ---------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        prefix: str,
        names: Iterable[str] = (),
        queue_messages: int = QUEUE_MESSAGES,
        queue_bytes: int = QUEUE_BYTES,
    ) -> Subscription:
        """Begin to want topics that start with ``prefix``, of the events named (none: of any)."""
        interest = Interest(normalize_prefix(prefix), tuple(sorted(set(names))) or None)
        subscription = self.exchange.subscribe(interest, queue_messages, queue_bytes)
        self._wanted[interest] += 1
        if self._wanted[interest] == 1:
            self._announced[subscription] = self._announce(added=(interest,))
        else:  # announced already, though not necessarily acknowledged
            for other, pending in self._announced.items():
                if other.interest == interest:
                    self._announced[subscription] = pending[:]
                    break
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; what its queue still has is dropped."""
        for link in self.exchange.unsubscribe(subscription):
            if link.ack_due:
                self._acknowledge(link)
        self._announced.pop(subscription, None)
        interest = subscription.interest
        self._wanted[interest] -= 1
        if not self._wanted[interest]:
            del self._wanted[interest]
            self._announce(removed=(interest,))

    def is_announced(self, subscription: Subscription) -> bool:
        """Whether every peer has acknowledged that we want this."""
        pending = self._announced.get(subscription)
        if pending is None:
            return True
        links = self.peerings.links
        pending[:] = [
            (link, frame)
            for link, frame in pending
            if links.get(link.peer_id) is link and not 0 < frame.sequence <= link.acknowledged
        ]
        if not pending:
            del self._announced[subscription]
        return not pending

    def _announce(
        self, added: Iterable[Interest] = (), removed: Iterable[Interest] = ()
    ) -> list[tuple[Link, OutFrame]]:
        self._interests_version += 1
        return self._send_interests(list(self.peerings.links.values()), reset=False, added=added, removed=removed)

    def _send_interests(
        self, links: list[Link], reset: bool, added: Iterable[Interest], removed: Iterable[Interest]
    ) -> list[tuple[Link, OutFrame]]:
        """Send a change, in as many frames as it takes; returns the last one for each link."""
        added, removed = tuple(added), tuple(removed)
        version = self._interests_version
        payloads = []
        step = _INTERESTS_PER_FRAME
        for at in range(0, max(len(added), 1), step):
            final = at + step >= len(added)
            update = InterestUpdate(self.id, version, reset, final, added[at : at + step], removed if final else ())
            payloads.append(frames.encode(update))
            reset = False
        last = []
        for link in links:
            for payload in payloads:
                frame = OutFrame(Kind.INTERESTS, payload, flags=ACK_NOW)
                link.send(frame)
            last.append((link, frame))
            self._pump(link)
        return last

    def _take_interests(self, link: Link, update: InterestUpdate) -> None:
        if update.origin != link.peer_id:
            raise Malformed("it announces the interests of another endpoint")
        for interest in update.added:
            try:
                normal = normalize_prefix(interest.prefix)
            except TopicError as error:
                raise Malformed(str(error)) from error
            if normal != interest.prefix:
                raise Malformed(f"a prefix that is not normalised: {interest.prefix!r:.100}")
        if update.reset:
            self.exchange.routes.forget_link(link)
        self.exchange.routes.change_link(link, update.added, update.removed)
        if update.final:
            link.peer_interests_version = update.version
        self._act(Changed())

    # -- what a program asks -------------------------------------------------------------------------------------------

    def peer(self, address: str, now: float) -> Peering:
        """Wish to be linked with the endpoint at that address."""
        return self.peerings.want(address, now)

    def wants(self, address: str) -> bool:
        """Whether there is such a wish."""
        return address in self.peerings.peerings

    def unpeer(self, address: str) -> bool:
        """Withdraw that wish; False when there was none."""
        return self.peerings.unwant(address)

    def readers(self, topic: str) -> int:
        """Return how many peers and own subscriptions want events on that topic."""
        return self.exchange.routes.readers(normalize_topic(topic))

    def peers(self) -> tuple[Peer, ...]:
        """Return the peers that messages flow to and from, in the order in which they were linked."""
        return tuple(
            Peer(
                link.peer_name,
                link.address,
                link.dialled,
                link.wire is not None,
                link.rtt_s,
                self.exchange.routes.interests_of(link),
                link.messages_in,
                link.messages_out,
                link.unacknowledged_messages,
            )
            for link in self.peerings.links.values()
            if link.added
        )

    # -- the end -------------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Send what there is and ask every peer to acknowledge it; see :attr:`is_drained`."""
        self.flush()
        self.peerings.closing = True
        for link in self.peerings.links.values():
            if not link.drained and link.wire is not None:
                self._act(Send(link.wire, link.unsequenced(Kind.PING, bytes(8), ACK_NOW)))

    @property
    def is_drained(self) -> bool:
        """Whether every peer has acknowledged all that was for it."""
        return all(link.drained for link in self.peerings.links.values())

    def close(self, reason: str = "its endpoint was closed") -> None:
        """Say goodbye to every peer; what was not acknowledged is told as lost."""
        self.peerings.part_all(reason)
