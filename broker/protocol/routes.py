"""Who gets an event: the interests of the mesh's endpoints and of our own subscriptions, and a route per topic.

A :class:`Route` is worked out once per topic and event name and kept until any interest changes, so that publishing
costs the same however many subscriptions there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct

from broker.errors import Malformed
from broker.protocol.frames import Interest
from broker.protocol.member import Member, Refused, not_told
from broker.protocol.subscriptions import Subscription
from broker.topics import TopicTable

__all__ = ["INTERESTS_MAX", "INTERESTS_TOTAL", "ROUTES_MAX", "Lane", "Route", "Routes"]

# Topics that are kept routed; past it the table is emptied, which costs one look-up per topic in use.
ROUTES_MAX: Final = 65_536
# How many interests one endpoint may have, those that list several event names counted for each: 100,000 are measured
# to work well, more than a million is a flood.
INTERESTS_MAX: Final = 1_000_000
# And all of them together.
INTERESTS_TOTAL: Final = 4_000_000

Names = tuple[str, ...] | None


class Lane(Struct, frozen=True, eq=False):
    """Where events go: their name, and who gets them.  Topics whose events go the same way share one."""

    name: str
    members: tuple[Member, ...]
    local: tuple[Subscription, ...]
    anyone: bool  # False: nobody wants them


class Route(Struct, frozen=True, eq=False):
    """A topic (normalised), and where events of one name go that are published to it."""

    topic: str
    lane: Lane


class Routes:
    """The interests of everybody, and the routes that follow from them."""

    def __init__(self) -> None:
        self._remote: TopicTable[Member, set[Names]] = TopicTable()
        self._local: TopicTable[Subscription, Names] = TopicTable()
        self._routes: dict[tuple[str, str], Route] = {}
        self._lanes: dict[tuple[str, tuple[Member, ...], tuple[Subscription, ...]], Lane] = {}
        self.weight = 0  # of the interests of all others
        self.invalidated: Callable[[], None] = _nothing
        self.refused: Refused = not_told

    def rules_changed(self) -> None:
        """Work all routes out anew: who may have what has changed."""
        self._invalidate()

    def _invalidate(self) -> None:
        self._routes.clear()
        self._lanes.clear()
        self.invalidated()

    # -- interests of others ---------------------------------------------------------------------------------------

    def change(self, member: Member, added: Iterable[Interest], removed: Iterable[Interest]) -> None:
        """Apply a change of what an endpoint wants; raises Malformed when it wants too much."""
        held = member.interests
        for interest in removed:
            if interest in held:
                held.remove(interest)
                self._weigh(member, -weight_of(interest))
                self._remove(member, interest)
        for interest in added:
            if interest in held:
                continue
            self._weigh(member, weight_of(interest))
            if member.interests_weight > INTERESTS_MAX:
                raise Malformed(f"{member.name} wants more than {INTERESTS_MAX} topics and names")
            held.add(interest)
            wanted = self._remote.get(interest.prefix, member)
            if wanted is None:
                self._remote.set(interest.prefix, member, {interest.names})
            else:
                wanted.add(interest.names)
        self._invalidate()

    def _weigh(self, member: Member, change: int) -> None:
        member.interests_weight += change
        self.weight += change

    def _remove(self, member: Member, interest: Interest) -> None:
        wanted = self._remote.get(interest.prefix, member)
        if wanted is not None:
            wanted.discard(interest.names)
            if not wanted:
                self._remote.remove(interest.prefix, member)

    def forget(self, member: Member) -> None:
        """Drop all that an endpoint wanted."""
        for interest in member.interests:
            self._remove(member, interest)
        member.interests.clear()
        self._weigh(member, -member.interests_weight)
        self._invalidate()

    # -- our own ---------------------------------------------------------------------------------------------------

    def add_local(self, subscription: Subscription) -> None:
        """Let a subscription of this endpoint be served."""
        self._local.set(subscription.interest.prefix, subscription, subscription.interest.names)
        self._invalidate()

    def subscriptions(self) -> Iterator[Subscription]:
        """Give all subscriptions of this endpoint, by their prefixes."""
        return self._local.keys()

    def remove_local(self, subscription: Subscription) -> None:
        """Let it no longer be served."""
        self._local.remove(subscription.interest.prefix, subscription)
        self._invalidate()

    # -- routes ----------------------------------------------------------------------------------------------------

    def known(self, topic: str, name: str) -> Route | None:
        """Return the route if it was worked out since interests last changed: a topic that has one is well formed."""
        return self._routes.get((topic, name))

    def route(self, topic: str, name: str) -> Route:
        """Return where events of that (normalised) topic and that name go."""
        route = self._routes.get((topic, name))
        if route is None:
            if len(self._routes) >= ROUTES_MAX:
                self._invalidate()
            route = self._routes[topic, name] = Route(topic, self._lane(topic, name))
        return route

    def _lane(self, topic: str, name: str) -> Lane:
        members: dict[Member, None] = {}
        for member, wanted in self._remote.match(topic):
            if None in wanted or any(names is not None and name in names for names in wanted):
                if member.grants.may_subscribe(topic):
                    members[member] = None
                else:
                    self.refused(member, "subscribe", topic)
        local = self.readers(topic, name)
        key = (name, tuple(members), local)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key, anyone=bool(members or local))
        return lane

    def readers(self, topic: str, name: str) -> tuple[Subscription, ...]:
        """Return our own subscriptions that want events of that topic and name (empty: of any that they may have)."""
        return tuple(s for s, names in self._local.match(topic) if not name or names is None or name in names)

    def count(self, topic: str) -> int:
        """Return how many endpoints and own subscriptions want events of that topic, of any name."""
        members = {
            member for member, _ in self._remote.match(topic) if member.reachable and member.grants.may_subscribe(topic)
        }
        return len(members) + len(self._local.match(topic))


def weight_of(interest: Interest) -> int:
    """Return what an interest counts towards INTERESTS_MAX: one for each event name that it lists, at least one."""
    return len(interest.names) if interest.names else 1


def _nothing() -> None:
    pass
