"""The node: an endpoint without sockets, disk and clock.

A driver (:class:`broker.Endpoint` on ZeroMQ and trio, or :mod:`broker.testing` on a simulated network) tells it what
happens and carries out what it wants done::

    node.accept(...)   node.receive(wire, frame, now)   node.wire_lost(...)   node.tick(now)      what happens
    node.publish(...)  node.subscribe(...)  node.peer(...)                                        what is asked for
    node.take_actions()                                                                           what is to be done
    node.next_deadline()                                                                          when to tick

``now`` is the driver's monotonic clock in seconds; chance comes from the ``chance`` given at the start.  So a node that
is told the same things does the same things.  Here stands what is asked for; what happens, and what follows from it, is
in :mod:`broker.node_life`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from broker.errors import BrokerError
from broker.figures import Figures
from broker.journaling import Journal
from broker.logs.collector import Collector
from broker.logs.wire import Schema
from broker.logs.writer import Options, Writer
from broker.mesh import Mesh
from broker.node_figures import figures_of
from broker.node_life import NodeLife
from broker.protocol.frames import Interest
from broker.protocol.predicates import check_size
from broker.protocol.subscriptions import QUEUE_BYTES, QUEUE_MESSAGES, STALL_S, Overflow, Subscription, check_limits
from broker.protocol.survey import Peer, peer_of, survey
from broker.protocol.wires import Peering
from broker.stores.clone import Clone
from broker.stores.master import Master
from broker.stores.permission import needed_rights
from broker.stores.proxy import Proxy
from broker.stores.requests import Request
from broker.topics import normalize_prefix, normalize_topic

__all__ = ["Node"]


class Node(NodeLife):
    """One endpoint's whole state, and its decisions."""

    # -- events ------------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        prefix: str,
        names: Iterable[str] = (),
        queue_messages: int = QUEUE_MESSAGES,
        queue_bytes: int = QUEUE_BYTES,
        overflow: Overflow = "block",
        stall_timeout: float = STALL_S,
        where: bytes | None = None,
    ) -> Subscription:
        """Begin to want topics that start with ``prefix``, of the events named (none: of any).

        ``where`` is a predicate, packed (:func:`~broker.protocol.predicates.pack_where`): only events that it accepts
        are wanted.  Raises NotCarried if it is too large.
        """
        check_limits(overflow, queue_messages, queue_bytes, stall_timeout)
        if where is not None:
            check_size(where)
        interest = Interest(normalize_prefix(prefix), tuple(sorted(set(names))) or None, where)
        self.check_right("subscribe", interest.prefix)
        accepts = None if where is None else self.exchange.routes.predicates.accepts(where)
        subscription = Subscription(interest, queue_messages, queue_bytes, overflow, stall_timeout, accepts)
        self.exchange.routes.add_local(subscription)
        self.interests.add(subscription)
        self._pump()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; what its queue still has is dropped."""
        subscription.ended = True
        self.exchange.routes.remove_local(subscription)
        self.exchange.delivering.drained(subscription)
        self.interests.remove(subscription)
        self._pump()

    def is_announced(self, subscription: Subscription) -> bool:
        """Whether every endpoint that can be reached knows that we want this."""
        return self.interests.is_announced(subscription)

    def drained(self, subscription: Subscription) -> None:
        """Take note that a reader has drained a queue that holds somebody."""
        self.exchange.delivering.drained(subscription)
        self._pump()

    # -- stores ------------------------------------------------------------------------------------------------------

    def attach_master(self, store: str, journal: Journal, now: float, time_ns: int, **options: int) -> Master:
        """Become a store's master; ``time_ns`` is the wall clock, in nanoseconds since 1970."""
        self._now = now
        self.check_right("store master", store)
        try:
            return self.stores.attach_master(store, journal, now, time_ns, **options)
        finally:
            self._pump()

    def attach_clone(self, store: str, journal: Journal, now: float, **options: Any) -> Clone:
        """Begin to follow a store."""
        self._now = now
        self.check_right("store read", store)
        try:
            return self.stores.attach_clone(store, journal, now, **options)
        finally:
            self._pump()

    def attach_proxy(self, store: str, now: float) -> Proxy:
        """Begin to ask a store's master."""
        self._now = now
        if not self.guard.own_may("store write", store):
            self.check_right("store read", store)
        try:
            return self.stores.attach_proxy(store, now)
        finally:
            self._pump()

    def detach_store(self, store: str, now: float) -> None:
        """End a master, a clone or a proxy."""
        self._now = now
        self.stores.detach(store, now)
        self._pump()

    def submit(self, owner: Master | Clone | Proxy, request: Request, now: float) -> None:
        """Take a request; see to it that :meth:`flush_stores` is called when others have had their say, too."""
        self._now = now
        if self.guard.closed and not isinstance(owner, Master):
            for right in sorted(needed_rights(request.commands)):
                self.check_right(right, owner.name)
        request.writer = self.name
        owner.submit(request, now)

    def flush_stores(self, now: float) -> None:
        """Commit and send what was asked of stores."""
        self._now = now
        self.stores.flush(now)
        self._pump()

    def carried_out(self, owner: object, error: BrokerError | None, now: float) -> None:
        """Take note that work on a journal is done, or could not be done."""
        self._now = now
        if isinstance(owner, Writer):
            self.logs.carried_out(owner, error, now)
        else:
            self.stores.carried_out(owner, error, now)
        self._pump()

    # -- log streams -------------------------------------------------------------------------------------------------

    def attach_writer(
        self, stream: str, journal: Journal, schema: Schema, options: Options, now: float, time_ns: int
    ) -> Writer:
        """Become a log stream's writer at this endpoint."""
        self._now = now
        self.check_right("log write", stream)
        try:
            return self.logs.attach_writer(stream, journal, schema, options, now, time_ns)
        finally:
            self._pump()

    def detach_writer(self, writer: Writer, now: float) -> None:
        """End a writer."""
        self._now = now
        self.logs.detach_writer(writer, now)
        self._pump()

    def attach_collector(self, stream: str, now: float, **options: Any) -> Collector:
        """Begin to collect a log stream."""
        self._now = now
        self.check_right("log collect", stream)
        try:
            return self.logs.attach_collector(stream, now, **options)
        finally:
            self._pump()

    def detach_collector(self, collector: Collector, unread: Mapping[bytes, Any], now: float) -> None:
        """End a collector; ``unread``: by journal, ranges of records that its program has not been given."""
        self._now = now
        self.logs.detach_collector(collector, unread, now)
        self._pump()

    def flush_logs(self, now: float) -> None:
        """Write and send what log streams have."""
        self._now = now
        self.logs.flush(now)
        self._pump()

    def flush_collector(self, collector: Collector, now: float) -> None:
        """Tell a collector's writers what is done: its program waits for more."""
        self._now = now
        collector.flush(now)
        self.logs.settle(now)
        self._pump()

    # -- what a program asks -------------------------------------------------------------------------------------------

    def peer(self, address: str, now: float) -> Peering:
        """Wish to be linked with the endpoint at that address."""
        self._now = now
        return self.peerings.want(address, now)

    def wants(self, address: str) -> bool:
        """Whether there is such a wish."""
        return address in self.peerings.peerings

    def unpeer(self, address: str) -> bool:
        """Withdraw that wish; False when there was none."""
        found = self.peerings.unwant(address)
        self._pump()
        return found

    def readers(self, topic: str) -> int:
        """Return how many endpoints and own subscriptions want events on that topic."""
        return self.exchange.routes.count(normalize_topic(topic, reserved=True))

    def mesh(self) -> Mesh:
        """Return the whole graph as we know it."""
        return survey(self.members, self.peerings.links.values())

    def figures(self, now: float, started: float = 0.0) -> Figures:
        """Return what we count and measure; ``started`` is when we began, on the same clock."""
        return figures_of(self, now, started)

    def peers(self) -> tuple[Peer, ...]:
        """Return the endpoints that we are linked with, in the order in which they were."""
        members = self.members.members
        return tuple(peer_of(link, members.get(link.peer_id)) for link in self.peerings.links.values() if link.added)
