"""The publishing of events: encode, gather, route.

``publish`` encodes an event once and appends it to the batch; ``flush`` turns the batch into parcels for the
endpoints that want them and runs for our own subscriptions, which get what a remote one would.  Publishers to whom
there is an obstacle wait: an endpoint whose flow has no room, or a full queue of our own.  Where predicates decide who
gets an event they are asked before it joins the batch, so that a run is of events that go the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from broker import events
from broker.errors import EventDefinitionError, NotCarried
from broker.messages import Trace
from broker.protocol.actions import Action, Changed
from broker.protocol.courier import Courier
from broker.protocol.delivery import Delivering
from broker.protocol.losses import Losses
from broker.protocol.member import Member
from broker.protocol.outbox import BATCH_BYTES, Outbox, PendingRun, events_of
from broker.protocol.routes import ROUTES_MAX, Route, Routes
from broker.protocol.subscriptions import Subscription
from broker.protocol.transit import Transit
from broker.topics import normalize_topic
from broker.values import SMALL_BYTES, check_memory

__all__ = ["EVENT_BYTES_MAX", "Exchange", "Outgoing", "Published", "check_size"]

# Enough for a listing of a large machine, small enough that a frame with one in it stays below FRAME_BYTES_MAX.
EVENT_BYTES_MAX: Final = 4 << 20


def check_size(data: bytes, what: str, name: str) -> None:
    """Raise NotCarried if an event or record of that name is too large, or would be in a receiver's memory."""
    if len(data) > EVENT_BYTES_MAX:
        reason = f"{len(data)} bytes, {what} has at most {EVENT_BYTES_MAX}: send a reference, or parts"
        raise NotCarried(reason, name)
    check_memory(data, name)


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
    """Events out, by way of a courier; and what comes in (``delivering``), for our own subscriptions."""

    def __init__(self, name: str, transit: Transit, losses: Losses, act: Callable[[Action], None]) -> None:
        self.routes = Routes()
        self.routes.invalidated = self._routes_changed
        self.courier = Courier(transit, losses, act, self._set_congested)
        self.delivering = Delivering(name, self.routes, transit, losses, act, self._set_drained)
        self._obstacles: set[Member | Subscription] = set()  # congested flows, full queues of our own
        self._act = act
        self._outbox = Outbox()
        self._outgoing: dict[type, Outgoing] = {}
        self._trace: Trace | None = None  # of what is published now
        self._open_route: Route | None = None  # what the run that grows has turned to
        # What the endpoint's publish() needs to let an event join that run without a call here: the topic as it was
        # given, and the class, which is that of no event while there is no such run, or anyone is slow.
        self.open_topic = ""
        self.open_class: type = _NoEvent
        self.encode: Callable[[Any, int], bytes]
        self.append: Callable[[bytes], None]
        self.batch_bytes = 0
        self.published = 0  # events that left,
        self.published_bytes = 0  # and their bytes
        self.filtered = 0  # messages that were not sent to an endpoint because its predicates did not accept them
        self.flush_due: Callable[[], None] = _nothing
        self.permit: Callable[[str], None] = _allow  # raises for a topic that we may not publish on

    def _routes_changed(self) -> None:
        for outgoing in self._outgoing.values():
            outgoing.routes.clear()

    # -- out -----------------------------------------------------------------------------------------------------

    def publish(self, topic: str, event: object, time_ns: int) -> Published:
        """Take an event for all who want it; ``time_ns`` is its time, in nanoseconds since 1970.

        Raises TopicError, NotPermitted, EventMisfit and NotCarried, whether anybody wants the event or not.
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
        if len(data) > SMALL_BYTES:
            check_size(data, "an event", outgoing.name)
        if not route.lane.anyone:
            return self._publish_chosen(route, data, event)
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

    def publish_traced(self, topic: str, event: object, time_ns: int, trace: Trace | None) -> Published:
        """Take an event that was published in a span, or in none, as :meth:`publish` does."""
        self._turn_trace(trace)
        code = self.publish(topic, event, time_ns)
        self.open_class = _NoEvent  # the next one may be in another
        return code

    def _turn_trace(self, trace: Trace | None) -> None:
        """Have what follows be of that span: a run is of one."""
        if trace != self._trace:
            self._trace = trace
            self._end_run()

    def publish_encoded(
        self, topic: str, kind: type, name: str, chunks: list[bytes], trace: Trace | None = None
    ) -> Published:
        """Take events of one class that were encoded elsewhere, on a topic in its normal form.

        As :meth:`publish`, but that an event's size was looked at where it was encoded.  ``name`` is its class's name,
        ``trace`` the span that they were published in.
        """
        self._turn_trace(trace)
        outgoing = self._outgoing.get(kind)
        if outgoing is None:
            outgoing = Outgoing(name, _encode_any, {}) if kind is events.Event else self._learn_class(kind)
        route = outgoing.routes.get(topic)
        if route is None:
            route = self._find_route(outgoing, topic)
        return self._gather(route, chunks)

    def publish_reserved(self, topic: str, event: object, time_ns: int) -> Published:
        """Take an event of broker's own, on a reserved topic in its normal form.

        Raises NotPermitted, whether anybody wants the event or not.
        """
        self.permit(topic)
        self._turn_trace(None)
        name, data = events.encode(event, time_ns)
        return self._gather(self.routes.route(topic, name), [data])

    def _gather(self, route: Route, chunks: list[bytes]) -> Published:
        """Let encoded events join the batch."""
        if self._obstacles and self._blocked(route):
            return BLOCKED
        if not route.lane.anyone:
            return self._gather_chosen(route, chunks)
        first = not self._outbox.runs
        if route is not self._open_route:
            self._turn_to(route)
        self._outbox.runs[-1].chunks.extend(chunks)
        self.batch_bytes += sum(map(len, chunks))
        return self._joined(first=first)

    def _publish_chosen(self, route: Route, data: bytes, event: object) -> Published:
        """Let an event join the batch for those who get it, where it may be that predicates say so."""
        fork = route.lane.fork
        if fork is None:
            return GATHERED
        if event.__class__ is events.Event:
            return self._gather_chosen(route, [data])
        way = self.routes.choose(route, fork, event)
        if self._obstacles and self._blocked(way):
            return BLOCKED
        self.filtered += way.spared
        if not way.lane.anyone:
            return GATHERED
        first = not self._outbox.runs
        self._join(way, data)
        return self._joined(first=first)

    def _gather_chosen(self, route: Route, chunks: list[bytes]) -> Published:
        """Let encoded events join the batch for those who get them: all or, when one has to wait, none."""
        fork = route.lane.fork
        if fork is None:
            return GATHERED
        ways = [self.routes.choose(route, fork, event) for event in events_of(route.lane.name, chunks)]
        if self._obstacles and any(map(self._blocked, ways)):
            return BLOCKED
        first = not self._outbox.runs
        for way, data in zip(ways, chunks, strict=True):
            self.filtered += way.spared
            if way.lane.anyone:
                self._join(way, data)
        return self._joined(first=first) if self._outbox.runs else GATHERED

    def _join(self, way: Route, data: bytes) -> None:
        if way is not self._open_route:
            self._turn_to(way)
        self.append(data)
        self.batch_bytes += len(data)

    def _joined(self, *, first: bool) -> Published:
        """Say what became of events that have joined the batch."""
        self.open_class = _NoEvent
        if self.batch_bytes >= BATCH_BYTES:
            self.flush_due()
            return FULL
        return FIRST if first else GATHERED

    def _learn(self, event: object) -> Outgoing:
        """Look an event's class up, once; raises EventDefinitionError for what is not an event."""
        if isinstance(event, type):
            raise EventDefinitionError(f"an event is published, not its class: give {event.__qualname__}(...)")
        if type(event) is events.Event:
            return Outgoing(event.name, _encode_any, {})
        return self._learn_class(type(event))

    def _learn_class(self, kind: type) -> Outgoing:
        name, encode = events.encoder_for(kind)
        outgoing = self._outgoing[kind] = Outgoing(name, encode, {})
        return outgoing

    def _find_route(self, outgoing: Outgoing, topic: str) -> Route:
        normal = normalize_topic(topic)
        self.permit(normal)
        route = self.routes.route(normal, outgoing.name)
        if len(outgoing.routes) >= ROUTES_MAX:
            outgoing.routes.clear()
        outgoing.routes[topic] = route
        return route

    def _blocked(self, route: Route) -> bool:
        if route.lane.fork is not None:
            return False  # it is asked again of those who are chosen
        return not (self._obstacles.isdisjoint(route.lane.members) and self._obstacles.isdisjoint(route.lane.local))

    def _set_congested(self, member: Member) -> None:
        """Take note of whether a flow has room; publishers may try again when it has."""
        if member.out.congested:
            self._obstacles.add(member)
            self.open_class = _NoEvent
        else:
            self._clear(member)

    def _set_drained(self, subscription: Subscription) -> None:
        self._clear(subscription)

    def _clear(self, obstacle: Member | Subscription) -> None:
        if obstacle in self._obstacles:
            self._obstacles.discard(obstacle)
            self._act(Changed())

    def _turn_to(self, route: Route) -> None:
        """Let the run that grows go on with this route's topic, or begin another."""
        runs = self._outbox.runs
        trace = self._trace
        if not (runs and runs[-1].lane is route.lane and runs[-1].trace == trace and runs[-1].turn_to(route.topic)):
            self._end_run()
            runs.append(PendingRun(route.lane, trace, {route.topic: 0}))
            if trace is not None:  # a frame is not to be of nothing but traces
                self.batch_bytes += len(trace.parent) + len(trace.state)
            self.append = runs[-1].chunks.append
        self._open_route = route

    def _end_run(self) -> None:
        self._open_route = None
        self.open_class = _NoEvent

    def flush(self) -> None:
        """Hand the batch to the courier and to our own subscriptions."""
        self._end_run()
        if not self._outbox.runs:
            self.batch_bytes = 0
            return
        self.published += sum([len(run.chunks) for run in self._outbox.runs])
        self.published_bytes += self.batch_bytes
        self.batch_bytes = 0
        out, local = self._outbox.flush()
        for members, parcel in out:
            self.courier.send(members, parcel)
        for lane, run in local:
            self.delivering.deliver_own(run, lane.local)
            for subscription in lane.local:
                if subscription.holds:
                    self._obstacles.add(subscription)
                    self.open_class = _NoEvent

    def forget(self, member: Member, reason: str) -> None:
        """Drop an endpoint that is no longer part of the mesh."""
        self.routes.forget(member)
        self.courier.forget(member, reason)
        self.delivering.forget(member)
        self._clear(member)


def _encode_any(event: Any, time_ns: int) -> bytes:
    return events.encode(event, time_ns)[1]


def _nothing() -> None:
    pass


def _allow(topic: str) -> None:
    pass
