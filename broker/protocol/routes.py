"""Who gets an event: the interests of the mesh's endpoints and of our own subscriptions, and a route per topic.

A :class:`Route` is worked out once per topic and event name and kept until any interest changes, so that publishing
costs the same however many subscriptions there are.  Where predicates decide (:mod:`broker.protocol.predicates`) the
lane has a fork, and each event goes the route that its answer has: those are kept beside.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from msgspec import Struct

from broker.errors import Malformed
from broker.protocol.frames import Interest
from broker.protocol.member import Member, Refused, not_told
from broker.protocol.predicates import ASKED_MAX, ASKED_TOTAL, Fork, Predicates
from broker.protocol.subscriptions import Subscription
from broker.protocol.wishes import bare
from broker.topics import TopicTable

__all__ = ["INTERESTS_MAX", "INTERESTS_TOTAL", "ROUTES_MAX", "Lane", "Route", "Routes"]

# Topics that are kept routed; past it the table is emptied, which costs one look-up per topic in use.
ROUTES_MAX: Final = 65_536
# How many interests one endpoint may have, those that list several event names counted for each, and predicates by
# their size: 100,000 are measured to work well, more than a million is a flood.
INTERESTS_MAX: Final = 1_000_000
# And all of them together.
INTERESTS_TOTAL: Final = 4_000_000
# Bytes of a predicate that count as much as an interest, which takes some 300 in memory.
_WHERE_UNIT: Final = 64

Names = tuple[str, ...] | None
V = TypeVar("V")


class Lane(Struct, frozen=True, eq=False):
    """Where events go: their name, and who gets them.  Topics whose events go the same way share one.

    With a fork, members and our own subscriptions are those who may get an event, and nothing goes there by itself.
    """

    name: str
    members: tuple[Member, ...]
    local: tuple[Subscription, ...]
    anyone: bool  # False: nobody wants them, or the fork says who
    fork: Fork | None = None


class Route(Struct, frozen=True, eq=False):
    """A topic (normalised), and where events of one name go that are published to it."""

    topic: str
    lane: Lane
    spared: int = 0  # how many endpoints a fork's answer leaves out


class Routes:
    """The interests of everybody, and the routes that follow from them."""

    def __init__(self) -> None:
        self._remote: TopicTable[Member, set[Names]] = TopicTable()
        self._asking: TopicTable[Member, set[Interest]] = TopicTable()  # those with predicates
        self._local: TopicTable[Subscription, Names] = TopicTable()
        self._routes: dict[tuple[str, str] | tuple[str, str, int], Route] = {}  # of a fork: by its answers, too
        self._lanes: dict[tuple[object, ...], Lane] = {}
        self.predicates = Predicates()
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
        for told in removed:
            interest = told if told in held else bare(told)  # bare: it came by way of who does not know predicates
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
            if interest.where is not None:
                _hold(self._asking, member, interest.prefix, interest)
            else:
                _hold(self._remote, member, interest.prefix, interest.names)
        self._invalidate()

    def _weigh(self, member: Member, change: int) -> None:
        member.interests_weight += change
        self.weight += change

    def _remove(self, member: Member, interest: Interest) -> None:
        if interest.where is not None:
            _release(self._asking, member, interest.prefix, interest)
        else:
            _release(self._remote, member, interest.prefix, interest.names)

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
        asking = self._who_asks(topic, name, members) if len(self._asking) else {}
        if asking or any(subscription.interest.where for subscription in local):
            return self._forked(name, tuple(members), asking, local)
        return self._shared(name, tuple(members), local)

    def _shared(self, name: str, members: tuple[Member, ...], local: tuple[Subscription, ...]) -> Lane:
        key = (name, members, local)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key, anyone=bool(members or local))
        return lane

    def _who_asks(self, topic: str, name: str, others: Container[Member]) -> dict[Member, frozenset[bytes]]:
        """Return who else wants events that predicates accept, and those predicates; none for more than are asked."""
        asking: dict[Member, set[bytes]] = {}
        for member, wanted in self._asking.match(topic):
            wheres = {one.where for one in wanted if one.where and (one.names is None or name in one.names)}
            if not wheres or member in others:
                continue
            if member.grants.may_subscribe(topic):
                asking.setdefault(member, set()).update(wheres)
            else:
                self.refused(member, "subscribe", topic)
        return {
            member: frozenset(wheres) if len(wheres) <= ASKED_MAX else frozenset() for member, wheres in asking.items()
        }

    def _forked(
        self,
        name: str,
        members: tuple[Member, ...],
        asking: Mapping[Member, frozenset[bytes]],
        local: tuple[Subscription, ...],
    ) -> Lane:
        key = (Fork, name, members, local, *asking.items())
        lane = self._lanes.get(key)
        if lane is not None:
            return lane
        bits: dict[bytes, int] = {}

        def bits_of(wheres: Iterable[bytes]) -> int:
            new = [where for where in sorted(wheres) if where not in bits]
            if len(bits) + len(new) > ASKED_TOTAL:
                return 0
            for where in new:
                bits[where] = 1 << len(bits)
            return sum([bits[where] for where in wheres])

        ours = [(one, bits_of([one.interest.where] if one.interest.where else [])) for one in local]
        others = [(member, bits_of(wheres)) for member, wheres in asking.items()]
        others = [*((member, 0) for member in members), *others]
        fork = Fork(tuple(bits), tuple(others), tuple(ours))
        lane = self._lanes[key] = Lane(name, tuple([member for member, _ in others]), local, False, fork)
        return lane

    def choose(self, route: Route, fork: Fork, event: object) -> Route:
        """Return where one event goes, whose topic and name have that route; None stands for one unknown."""
        answer = self.predicates.answer(fork, event)
        key = (route.topic, route.lane.name, answer)
        chosen = self._routes.get(key)
        if chosen is None:
            if len(self._routes) >= ROUTES_MAX:
                self._invalidate()
            members, local = fork.chosen(answer)
            spared = len(fork.members) - len(members)
            chosen = self._routes[key] = Route(route.topic, self._shared(route.lane.name, members, local), spared)
        return chosen

    def readers(self, topic: str, name: str) -> tuple[Subscription, ...]:
        """Return our own subscriptions that want events of that topic and name (empty: of any that they may have).

        Those with a predicate are among them, whatever it says.
        """
        return tuple(s for s, names in self._local.match(topic) if not name or names is None or name in names)

    def count(self, topic: str) -> int:
        """Return how many endpoints and own subscriptions want events of that topic, of any name.

        Whether their predicates accept any is not known before it is published.
        """
        members = {member for member, _ in self._remote.match(topic)}
        members.update([member for member, _ in self._asking.match(topic)])
        may_have = [member for member in members if member.reachable and member.grants.may_subscribe(topic)]
        return len(may_have) + len(self._local.match(topic))


def weight_of(interest: Interest) -> int:
    """Return what an interest counts towards INTERESTS_MAX: each event name, at least one, and its predicate's size."""
    weight = len(interest.names) if interest.names else 1
    return weight if interest.where is None else weight + 1 + len(interest.where) // _WHERE_UNIT


def _hold(table: TopicTable[Member, set[V]], member: Member, prefix: str, value: V) -> None:
    held = table.get(prefix, member)
    if held is None:
        table.set(prefix, member, {value})
    else:
        held.add(value)


def _release(table: TopicTable[Member, set[V]], member: Member, prefix: str, value: V) -> None:
    held = table.get(prefix, member)
    if held is not None:
        held.discard(value)
        if not held:
            table.remove(prefix, member)


def _nothing() -> None:
    pass
