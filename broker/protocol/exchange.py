"""The exchange of events: publish, gather, route, deliver.

``publish`` encodes an event once and appends it to the batch; ``flush`` turns the batch into frames for the links and
runs for our own subscriptions, which get what a remote one would.  ``deliver`` takes a peer's frame apart and feeds the
subscriptions.  A full queue holds the links that feed it, and our own publishers to it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from broker import events
from broker.errors import EventDefinitionError, EventMisfit, Malformed, NotCarried, TopicError
from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Tell, Wake
from broker.protocol.frames import Batch, Interest
from broker.protocol.link import Link
from broker.protocol.outbox import BATCH_BYTES, Outbox, PendingRun
from broker.protocol.routes import ROUTES_MAX, Route, Routes
from broker.protocol.subscriptions import Delivery, Subscription
from broker.status import EventMisfitted, MessagesLost
from broker.topics import normalize_topic

__all__ = ["EVENT_BYTES_MAX", "Exchange", "Outgoing", "Published"]

# Enough for a listing of a large machine, small enough that a frame with one in it stays below FRAME_BYTES_MAX.
EVENT_BYTES_MAX: Final = 4 << 20


class Published(IntEnum):
    """What became of an event given to ``publish``."""

    BLOCKED = 0  # not taken: a reader is slow; try again after the next Changed
    GATHERED = 1  # it joined the batch, or nobody wants it
    FIRST = 2  # it began a batch: see to it that flush() is called
    FULL = 3  # it filled the batch, which was flushed: let others run


BLOCKED, GATHERED, FIRST, FULL = Published


class _NoEvent:
    """The class of no event."""


class Outgoing(Struct, eq=False):
    """What is known of an event class that was published: its name, its encoder and its routes by topic as given."""

    name: str
    encode: Callable[[Any, int], bytes]
    routes: dict[str, Route]


class Exchange:
    """Events out and in.  It hands frames to links; whoever owns the links sees to their being pumped."""

    def __init__(self, name: str, node_id: bytes, act: Callable[[Action], None]) -> None:
        self.name = name
        self.id = node_id
        self.routes = Routes()
        self.routes.invalidated = self._routes_changed
        self.misfits = 0
        self.condemned: list[tuple[Link, Malformed]] = []  # links whose peer broke the protocol in a run's body
        self._obstacles: set[Link | Subscription] = set()  # congested links, full queues of our own
        self._full: set[Subscription] = set()  # queues that hold whoever feeds them
        self._act = act
        self._outbox = Outbox(node_id)
        self._outgoing: dict[type, Outgoing] = {}
        self._open_route: Route | None = None  # what the run that grows has turned to
        # What the endpoint's publish() needs to let an event join that run without a call here: the topic as it was
        # given, and the class, which is that of no event while there is no such run, or anyone is slow.
        self.open_topic = ""
        self.open_class: type = _NoEvent
        self.encode: Callable[[Any, int], bytes]
        self.append: Callable[[bytes], None]
        self.batch_bytes = 0
        self._sequence = 0  # events in the runs that no longer grow, since the start
        self.flush_due: Callable[[], None] = _nothing

    def _routes_changed(self) -> None:
        for outgoing in self._outgoing.values():
            outgoing.routes.clear()

    # -- out -----------------------------------------------------------------------------------------------------

    def publish(self, topic: str, event: object, time_ns: int) -> Published:
        """Take an event for all who want it; ``time_ns`` is its time, in nanoseconds since 1970.

        Raises TopicError, EventMisfit and NotCarried, whether anybody wants the event or not.
        """
        outgoing = self._outgoing.get(type(event))
        if outgoing is None:
            outgoing = self._learn(event)
        route = outgoing.routes.get(topic) if type(topic) is str else None
        if route is None:
            route = self._find_route(outgoing, topic)
        if self._obstacles and self._blocked(route):
            return BLOCKED
        data = outgoing.encode(event, time_ns)
        if len(data) > EVENT_BYTES_MAX:
            reason = f"{len(data)} bytes, an event has at most {EVENT_BYTES_MAX}: send a reference, or parts"
            raise NotCarried(reason, outgoing.name)
        if not route.lane.anyone:
            return GATHERED
        first = not self._outbox.runs
        if route is not self._open_route:
            self._turn_to(route)
        self.append(data)
        self.batch_bytes += len(data)
        if self.batch_bytes >= BATCH_BYTES:
            self.flush_due()
            return FULL
        if not self._obstacles and type(event) in self._outgoing:
            self.open_topic, self.open_class, self.encode = topic, type(event), outgoing.encode
        else:
            self.open_class = _NoEvent
        return FIRST if first else GATHERED

    def _learn(self, event: object) -> Outgoing:
        """Look an event's class up, once; raises EventDefinitionError for what is not an event."""
        if isinstance(event, type):
            raise EventDefinitionError(f"an event is published, not its class: give {event.__qualname__}(...)")
        if type(event) is events.Event:
            name = event.name
            return Outgoing(name, lambda event, time_ns: events.encode(event, time_ns)[1], {})
        name, encode = events.encoder_for(type(event))
        outgoing = self._outgoing[type(event)] = Outgoing(name, encode, {})
        return outgoing

    def _find_route(self, outgoing: Outgoing, topic: str) -> Route:
        route = self.routes.route(normalize_topic(topic), outgoing.name)
        if len(outgoing.routes) >= ROUTES_MAX:
            outgoing.routes.clear()
        outgoing.routes[topic] = route
        return route

    def _blocked(self, route: Route) -> bool:
        return not (self._obstacles.isdisjoint(route.lane.links) and self._obstacles.isdisjoint(route.lane.local))

    def set_congested(self, link: Link) -> None:
        """Take note of whether a link has room; publishers may try again when it has."""
        if link.congested:
            self._obstacles.add(link)
            self.open_class = _NoEvent
        elif link in self._obstacles:
            self._obstacles.discard(link)
            self._act(Changed())

    def _turn_to(self, route: Route) -> None:
        """Let the run that grows go on with this route's topic, or begin another."""
        runs = self._outbox.runs
        if not (runs and runs[-1].lane is route.lane and runs[-1].turn_to(route.topic)):
            self._end_run()
            runs.append(PendingRun(route.lane, self._sequence + 1, {route.topic: 0}))
            self.append = runs[-1].chunks.append
        self._open_route = route

    def _end_run(self) -> None:
        if self._outbox.runs:
            self._sequence += len(self._outbox.runs[-1].chunks)
        self._open_route = None
        self.open_class = _NoEvent

    def flush(self) -> list[Link]:
        """Hand the batch to links and to our own subscriptions; returns the links to be pumped."""
        self._end_run()
        self.batch_bytes = 0
        if not self._outbox.runs:
            return []
        out, local = self._outbox.flush()
        for link, frame in out:
            if link.ended:
                self._act(Tell(MessagesLost(link.peer_name, frame.messages, "its session ended before they left")))
            else:
                link.send(frame)
        for lane, run in local:
            delivery = Delivery(run, self.name, None, self._report, self._condemn)
            for subscription in lane.local:
                self._push(subscription, delivery, None, run.count)
        return [link for link, _ in out]

    # -- in ------------------------------------------------------------------------------------------------------

    def deliver(self, link: Link, payload: bytes) -> None:
        """Feed our subscriptions from a peer's EVENTS payload; raises Malformed when it breaks the protocol."""
        batch = frames.decode(Batch, payload)
        if batch.origin != link.peer_id:
            raise Malformed("it sends events in the name of another endpoint")
        link.charge_messages(sum(run.count for run in batch.runs))
        for run in batch.runs:
            delivery = Delivery(run, link.peer_name, link, self._report, self._condemn)
            if len(run.topics) == 1:
                for subscription in self._readers_of(run.topics[0], run.name):
                    self._push(subscription, delivery, None, run.count)
            else:
                self._deliver_topics(delivery)

    def _deliver_topics(self, delivery: Delivery) -> None:
        """Feed from a run of several topics: a subscription may want only some of them."""
        run = delivery.run
        if len(run.which) != run.count or max(run.which) >= len(run.topics):
            raise Malformed("a run of several topics that does not say which event has which")
        wanted: dict[Subscription, list[int]] = {}
        for index, topic in enumerate(run.topics):
            for subscription in self._readers_of(topic, run.name):
                wanted.setdefault(subscription, []).append(index)
        for subscription, indexes in wanted.items():
            if len(indexes) == len(run.topics):
                self._push(subscription, delivery, None, run.count)
            else:
                count = sum(run.which.count(index) for index in indexes)
                if count:
                    self._push(subscription, delivery, frozenset(indexes), count)

    def _readers_of(self, topic: str, name: str) -> tuple[Subscription, ...]:
        route = self.routes.known(topic, name)
        if route is None:
            try:
                normal = normalize_topic(topic)
            except TopicError as error:
                raise Malformed(str(error)) from error
            if normal != topic:
                raise Malformed(f"a topic that is not normalised: {topic!r:.100}")
            route = self.routes.route(topic, name)
        return route.lane.local

    def _push(self, subscription: Subscription, delivery: Delivery, wanted: frozenset[int] | None, count: int) -> None:
        if subscription.ended:
            return  # it was there when the batch was gathered
        if subscription.empty:
            self._act(Wake(subscription))
        subscription.push(delivery, wanted, count)
        if subscription.full:
            subscription.holds = True
            self._full.add(subscription)
            if delivery.link is None:
                self._obstacles.add(subscription)
                self.open_class = _NoEvent
            else:
                subscription.links.add(delivery.link)
                delivery.link.hold(subscription)

    def _report(self, delivery: Delivery, topic: str, error: EventMisfit) -> None:
        self.misfits += 1
        status = EventMisfitted(topic, delivery.origin, error.event, error.field, error.expected, error.found)
        self._act(Tell(status))

    def _condemn(self, delivery: Delivery, error: Malformed) -> None:
        if delivery.link is None:
            raise error  # what we encoded ourselves
        self.condemned.append((delivery.link, error))
        self._act(Changed())

    def drained(self, subscription: Subscription) -> list[Link]:
        """Release whom a queue held, once it is low or gone; returns the links that now owe their peer the news."""
        links = list(subscription.links)
        for link in links:
            link.release(subscription)
        subscription.links.clear()
        subscription.holds = False
        self._full.discard(subscription)
        if subscription in self._obstacles:
            self._obstacles.discard(subscription)
            self._act(Changed())
        return links

    def withhold(self, link: Link) -> None:
        """Let the queues that are full hold a link from its beginning."""
        for subscription in self._full:
            subscription.links.add(link)
            link.withhold(subscription)

    def forget_link(self, link: Link) -> None:
        """Drop a link whose session is over."""
        self.routes.forget_link(link)
        for holder in list(link.holders):
            if isinstance(holder, Subscription):
                holder.links.discard(link)
        self._obstacles.discard(link)

    # -- interests -------------------------------------------------------------------------------------------------

    def subscribe(self, interest: Interest, queue_messages: int, queue_bytes: int) -> Subscription:
        """Begin a subscription; announcing it is the caller's."""
        subscription = Subscription(interest, queue_messages, queue_bytes)
        self.routes.add_local(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> list[Link]:
        """End a subscription; returns the links it held."""
        subscription.ended = True
        self.routes.remove_local(subscription)
        return self.drained(subscription)


def _nothing() -> None:
    pass
