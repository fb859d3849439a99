"""Who is in the mesh, and how they are linked: what every endpoint tells of itself, flooded to all.

An announcement has a version; who gets a newer one keeps it and passes it on over all other links, so it reaches
everybody once over each link at most and stops by itself.  Links lose nothing while they last; when one begins, both
ends say which versions they have (SYNC), send each other what is newer, and then SYNCED.  So what somebody knows
never goes backwards, and a gap, which only forgetting can make, is mended by asking.

Ids are new with every start of a process, hence versions begin at 1 with it and nothing outlives it but what it has
said. Who cannot be reached any more is remembered for :data:`FORGET_S`, because it may come back; who has said that
it leaves (``gone``), or whose name a new process has, is forgotten at once.  What was forgotten is not believed again
until there is newer word of it: others may still have the old.

It is long because all that is told of an endpoint is taken, kept, passed on and forgotten here, in one place.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from msgspec import structs

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.announcements import merged, neighbour_over, same_links, update_of, whole
from broker.protocol.apart import FAR, FORGET_S, Apart
from broker.protocol.belief import Belief
from broker.protocol.frames import Kind, Known, MemberUpdate, Sync
from broker.protocol.link import Link, OutFrame
from broker.protocol.member import Member
from broker.protocol.topology import BROKEN, shortest_ways
from broker.trust.guard import Guard

__all__ = ["AHEAD_MAX", "EDGES_MAX", "FORGET_S", "MEMBERS_MAX", "Members", "Watcher"]

# Ten times the mesh for which flooding everything to everybody is sensible; about 50 MB.
MEMBERS_MAX: Final = 10_000
EDGES_MAX: Final = 200_000
# What is beyond this part of the limits is kept and not passed on: who cuts off a peer that brought too much must not
# have brought its other peers as much.
_PASSED_ON: Final = 0.95
# An endpoint whose links come and go tells so at most this often; those that begin together are told of together.
ANNOUNCE_S: Final = 0.1
_TOGETHER_S: Final = 0.005
# Round trips are told together with those of other new links, and later only when they have changed much.
_MEASURE_S: Final = 1.0
_REMEASURE_S: Final = 30.0
# The graph is looked at so long after a change, because one rarely comes alone.  That takes about a microsecond for
# each endpoint and each end of a link: so much rest for each of them leaves nine tenths of the time for other things.
COMPUTE_S: Final = 0.01
_REST_S: Final = 10e-6
_FORGOTTEN_MAX: Final = 10_000
# Versions grow by one each time.  Who is ahead of us by more in what it says in our name is not answered with more yet:
# there would be an end to it.
AHEAD_MAX: Final = 1 << 32
_FOR_GOOD: Final = 1 << 64
# Word of an endpoint comes a moment after word of its links; when it does not, it is asked for.
_UNKNOWN_S: Final = 1.0
_UNKNOWN_MAX: Final = 1000
_TOO_MANY: Final = "it cannot be reached, and there are too many endpoints"


class Watcher(Protocol):
    """Who is told of what changes: the node."""

    def member_back(self, member: Member) -> None:
        """There is an unbroken way to it again."""

    def member_forgotten(self, member: Member, reason: str) -> None:
        """It is no longer part of the mesh."""

    def ways_changed(self) -> None:
        """Ways have been worked out anew."""

    def roles_changed(self) -> None:
        """An endpoint is master of other stores, or writes other log streams, than before."""

    def refused(self, member: Member, right: str, what: str) -> None:
        """The access rules do not let an endpoint have what it announces."""


class Members:
    """The mesh as one endpoint sees it."""

    def __init__(
        self,
        own: Member,
        links: dict[bytes, Link],
        watcher: Watcher,
        touched: dict[Link, None],
        condemn: Callable[[Link, Malformed], None],
        changed: Callable[[], None],
        guard: Guard,
    ) -> None:
        self.own = own
        self._guard = guard
        self.belief = Belief(guard, watcher.refused, watcher.roles_changed)
        self.members: dict[bytes, Member] = {}
        self.apart = Apart()
        self._forgotten: OrderedDict[bytes, int] = OrderedDict()  # until which version they are not heard again
        self.touched = touched  # links that were sent something: whoever calls sees to their being pumped
        self._links = links
        self._watcher = watcher
        self._condemn = condemn
        self._changed = changed
        self._edges = 0
        self._flows = 0
        self._announce_at: float | None = None  # when to tell of our links; None: nothing has changed
        self._announced_at = float("-inf")
        self._compute_at: float | None = None  # when to look at the graph anew
        self._rest_until = float("-inf")  # not before
        self.in_flux = False  # it has changed since
        self._unknown: dict[bytes, float] = {}  # linked with somebody, not announced: when to ask for them
        self._leaving = False
        self._told_version = 0  # the last of ours that everybody has been told; 0: tell all anew

    # -- our own announcement ------------------------------------------------------------------------------------

    def links_changed(self, now: float) -> None:
        """Take note that a link of ours has come, gone, lost its connection or got it back."""
        soon = max(now + _TOGETHER_S, self._announced_at + ANNOUNCE_S)
        if self._announce_at is None or soon < self._announce_at:
            self._announce_at = soon
        self._graph_changed(now)

    def roles_changed(self, now: float) -> None:
        """Take note that this endpoint is master of other stores, or writes other log streams, than before."""
        soon = max(now, self._announced_at + ANNOUNCE_S)
        if self._announce_at is None or soon < self._announce_at:
            self._announce_at = soon
        self._changed()

    def link_added(self, link: Link, now: float) -> None:
        """Let ways lead over a new link."""
        self.links_changed(now)
        member = self.members.get(link.peer_id)
        if now >= self._rest_until:
            self.compute(now)
        elif member is not None:
            member.hop, member.distance = link, 1

    def link_ended(self, link: Link, now: float) -> None:
        """Let no way lead over a link that is no more."""
        self.links_changed(now)
        if now >= self._rest_until:
            self.compute(now)
            return
        for member in self.members.values():
            if member.hop is link:
                member.hop, member.distance = None, FAR

    def link_measured(self, link: Link, now: float) -> None:
        """Tell of a link's round trip when it is measured first, and when it has become quite another."""
        told = self.own.neighbours.get(link.peer_id)
        if told is None or link.rtt_s is None or self._announce_at is not None:
            return
        if not told.rtt_us:
            self._announce_at = max(now, self._announced_at) + _MEASURE_S
        elif now >= self._announced_at + _REMEASURE_S and neighbour_over(link, told) != told:
            self._announce_at = now
        self._changed()

    def leave(self) -> None:
        """Tell everybody that this endpoint is gone for good."""
        self._leaving = True
        self._announce()

    def _announce(self) -> None:
        """Tell everybody what has changed about our links; all of it where nobody can know the version before."""
        own, base = self.own, 0 if self._leaving else self._told_version
        own.version = self._told_version = max(own.version, self._told_version) + 1
        told = own.neighbours if base else {}
        own.neighbours = {
            link.peer_id: neighbour_over(link, told.get(link.peer_id))
            for link in self._links.values()
            if link.added and not self._leaving
        }
        changed = tuple(edge for edge in own.neighbours.values() if told.get(edge.id) != edge)
        removed = tuple(id_ for id_ in told if id_ not in own.neighbours)
        update = update_of(own, changed, gone=self._leaving, base=base, removed=removed)
        if self._guard.closed:
            signature = self._guard.sign(whole(update, own.neighbours))
            own.announced = whole(update, own.neighbours, signature)
            update = structs.replace(update, signature=signature)
        self.flood(Kind.MEMBER, frames.encode(update), None)

    def send(self, link: Link, kind: Kind, payload: bytes) -> None:
        """Send a frame of the mesh's own over a link."""
        link.send(OutFrame(kind, payload))
        self.touched[link] = None

    def flood(self, kind: Kind, payload: bytes, source: Link | None) -> None:
        """Send it over all links but the one that it came by."""
        touched = self.touched
        for link in self._links.values():
            if link is not source:
                link.send(OutFrame(kind, payload))
                touched[link] = None

    # -- when a link begins --------------------------------------------------------------------------------------

    def greet(self, link: Link) -> None:
        """Tell a new peer what we know."""
        if not self.own.version:
            self._announce()
        known = [Known(m.id, m.version, m.interests_version) for m in (self.own, *self.members.values())]
        self.send(link, Kind.SYNC, frames.encode(Sync(True, tuple(known))))

    def beginning(self) -> list[Link]:
        """Return the links whose peers have not told all yet that they know."""
        return [link for link in self._links.values() if link.is_beginning]

    def newer_than(self, sync: Sync) -> tuple[list[Member], list[Member]]:
        """Return whose announcement, and whose interests, the peer lacks.

        Of those whom it does not list, if it lists all, only who can be reached.
        """
        theirs = {known.id: known for known in sync.known}
        mine = [self.own, *(member for member in self.members.values() if member.version)]
        lists: tuple[list[Member], list[Member]] = ([], [])
        links = 0
        for member in mine[: int(_PASSED_ON * MEMBERS_MAX)]:
            links += len(member.neighbours)
            if links > _PASSED_ON * EDGES_MAX:
                break
            known = theirs.get(member.id)
            if known is None:
                if not sync.complete or not (member is self.own or member.distance < FAR):
                    continue
                known = Known(member.id, 0, 0)
            if member.version > known.member:
                lists[0].append(member)
            if member.interests_version > known.interests:
                lists[1].append(member)
        return lists

    # -- announcements of others ---------------------------------------------------------------------------------

    def take(self, link: Link, payload: bytes, now: float) -> None:
        """Act on an announcement; raises Malformed when it makes no sense."""
        update = frames.decode(MemberUpdate, payload)
        link.charge_member(update.id, now)
        if update.id == self.own.id:
            if not self._guard.closed:  # else nobody believes who speaks in our name
                self._overrule(update.version, now)
            return
        member = self.members.get(update.id)
        if not self._is_news(link, update, member):
            return
        neighbours = merged(member.neighbours if member else {}, update)
        announced = self.belief.prove(link, update, neighbours)
        if announced is None:
            self._ask_for_whole(link, update.id, member)
            return
        if member is None:
            member = self._add(update, link)
        member.announced = announced
        if member.key != update.key:
            member.former_key, member.key, member.seal_keys = member.key, update.key, None
        growth = len(neighbours) - len(member.neighbours)
        grows = growth > 0 or not member.version
        self._edges += growth
        forward = self.belief.allow(member, update)
        same = member.version and member.forward == forward and same_links(member.neighbours, neighbours)
        member.version = update.version
        member.forward = forward
        member.neighbours = neighbours
        member.interests_promised = update.interests
        if not same or member.interests_version < update.interests:
            self._graph_changed(now)  # else it has measured round trips
        self._bound(link, now)
        if not (grows and self._crowded):
            self.flood(Kind.MEMBER, payload, link)
        if update.gone:
            if member.id in self.members:  # else it has just made way
                self.forget(member, "it has left")
            self._forgotten[member.id] = _FOR_GOOD

    def _is_news(self, link: Link, update: MemberUpdate, member: Member | None) -> bool:
        """Whether an announcement is new and can be acted on; what lacks its base is asked for."""
        known = self._forgotten.get(update.id, 0) if member is None else member.version
        if update.version <= known:
            return False
        if not update.name.isprintable():
            raise Malformed(f"an endpoint's name is not printable text: {update.name!r:.100}")
        if self.belief.is_strange(link, update, member):
            return False
        if not self._guard.closed and member is not None and member.name != update.name:
            raise Malformed(f"the endpoint {member.name!r} is said to be called {update.name!r:.100}")
        if update.base and (member is None or member.version != update.base):
            self._ask_for_whole(link, update.id, member)
            return False
        return member is not None or not update.gone

    def _ask_for_whole(self, link: Link, id_: bytes, member: Member | None) -> None:
        have = (0, 0) if member is None else (member.version, member.interests_version)
        self.send(link, Kind.SYNC, frames.encode(Sync(False, (Known(id_, *have),))))

    # -- what is believed, and allowed -----------------------------------------------------------------------------

    def rules_changed(self, now: float, *, announce: bool) -> None:
        """Judge everybody anew: the access rules have changed, or our own key has; ``announce``: tell of ourselves."""
        for id_ in self.belief.strangers:  # they may be let in now: others are asked for them at once
            self._forgotten.pop(id_, None)
            self._unknown[id_] = now
        self.belief.strangers.clear()
        own_key = self.own.key
        self.own.key = self._guard.key
        for member in list(self.members.values()):
            refusal = self._guard.refusal(member.key, member.name)
            if refusal is not None:
                member.grants = self._guard.grants(member.key)  # what of it waits for its turn is not let in either
                self.forget(member, refusal[1])
                self.belief.strangers[member.id] = refusal[1]
                continue
            if own_key != self.own.key:
                member.seal_keys = None
            update = frames.decode(MemberUpdate, member.announced)
            member.forward = self.belief.allow(member, update)
        self._graph_changed(now)
        if announce or own_key != self.own.key:  # else nothing that others know of us has changed
            self._announce_at = now
        self._changed()

    def _overrule(self, version: int, now: float) -> None:
        """Have the last word where somebody speaks in our name."""
        if self.own.version < version < self.own.version + AHEAD_MAX:
            self.own.version, self._told_version = version, 0
            self.links_changed(now)

    def _add(self, update: MemberUpdate, link: Link) -> Member:
        self._flows += 1
        member = Member(update.id, update.name, self._flows, born=update.born, via=link)
        self.members[update.id] = member
        self._forgotten.pop(update.id, None)
        return member

    @property
    def _crowded(self) -> bool:
        return len(self.members) > _PASSED_ON * MEMBERS_MAX or self._edges > _PASSED_ON * EDGES_MAX

    def forget_out_of_reach(self, reason: str) -> None:
        """Make room: forget those who cannot be reached."""
        for member in [member for member in self.apart if member.distance == FAR]:
            self.forget(member, reason)

    def _bound(self, link: Link, now: float) -> None:
        """Keep the graph within its limits: cut off who brought most of one that is too large."""
        if len(self.members) <= MEMBERS_MAX and self._edges <= EDGES_MAX:
            return
        if now >= self._rest_until:
            self.compute(now)
        self.forget_out_of_reach(_TOO_MANY)
        if len(self.members) <= MEMBERS_MAX and self._edges <= EDGES_MAX:
            return
        ones = dict.fromkeys(self.members.values(), 1)
        self.blame(link, ones, f"it announces more than {MEMBERS_MAX} endpoints or {EDGES_MAX} links")

    def blame(self, link: Link, weights: Mapping[Member, int], reason: str) -> None:
        """Cut off who brought most of what is too much: raises Malformed if that is the peer whose frame is at hand."""
        brought: Counter[Link] = Counter()
        for member, weight in weights.items():
            if member.via is not None and not member.via.ended:
                brought[member.via] += weight
        culprit = brought.most_common(1)[0][0] if brought else link
        error = Malformed(reason)
        if culprit is link:
            raise error
        self._condemn(culprit, error)

    def forget(self, member: Member, reason: str) -> None:
        """Let an endpoint be no longer part of the mesh."""
        del self.members[member.id]
        self.apart.discard(member)
        self._edges -= len(member.neighbours)
        member.hop, member.distance = None, FAR
        # Others may still have this word of it, and would bring it back, for ever in turns.
        self._forgotten[member.id] = member.version
        if len(self._forgotten) > _FORGOTTEN_MAX:
            self._forgotten.popitem(last=False)
        self._watcher.member_forgotten(member, reason)

    # -- ways ----------------------------------------------------------------------------------------------------

    def _graph_changed(self, now: float) -> None:
        self.in_flux = True
        soon = max(now + COMPUTE_S, self._rest_until)
        if self._compute_at is None or soon < self._compute_at:
            self._compute_at = soon
        self._changed()

    def compute(self, now: float) -> None:
        """Work the ways out anew."""
        self._compute_at = None
        self._rest_until = now + _REST_S * (len(self.members) + self._edges)
        self.in_flux = False
        own = {link.peer_id: link.wire is not None for link in self._links.values() if link.added}
        found = shortest_ways(own, self.members)
        back = []
        for member in self.members.values():
            way = found.get(member.id)
            member.distance, member.hop = (FAR, None) if way is None else (way[0], self._links[way[1]])
            if member.distance >= BROKEN:
                if member.apart_since is None:
                    self.apart.add(member, now)
            elif member.apart_since is not None:
                self.apart.discard(member)
                back.append(member)
        if self._crowded:
            self.forget_out_of_reach(_TOO_MANY)
        self._forget_replaced()
        self.apart.look()
        self._ask_for_unknown(now)
        for member in back:
            self._watcher.member_back(member)
        self._watcher.ways_changed()
        self._changed()

    def _forget_replaced(self) -> None:
        if not self.apart:
            return
        names = {member.name for member in self.apart}
        born: dict[str, int] = {}
        for member in self.members.values():
            if member.reachable and member.name in names:
                born[member.name] = max(member.born, born.get(member.name, 0))
        for member in [member for member in self.apart if member.born < born.get(member.name, 0)]:
            self.forget(member, "replaced by a new process of the same name")

    def _ask_for_unknown(self, now: float) -> None:
        """Ask for what others must have and we lack: endpoints that somebody is linked with, interests.

        We have forgotten them and others have not.  Nearly always word of them is just on its way.
        """
        unknown: dict[bytes, tuple[Link, Known]] = {}
        known_ids = {self.own.id, *self.members}
        for member in self.members.values():
            if member.hop is None or len(unknown) >= _UNKNOWN_MAX:
                continue
            if member.interests_version < member.interests_promised:
                unknown[member.id] = (member.hop, Known(member.id, member.version, member.interests_version))
            if known_ids.issuperset(member.neighbours):
                continue
            for id_, edge in member.neighbours.items():
                if edge.up and id_ not in known_ids and id_ not in self.belief.strangers:
                    unknown[id_] = (member.hop, Known(id_, 0, 0))
        self._unknown = {id_: self._unknown.get(id_, now + _UNKNOWN_S) for id_ in unknown}
        for id_, (hop, known) in unknown.items():
            if now >= self._unknown[id_]:
                self._unknown[id_] = now + 10 * _UNKNOWN_S
                if self._forgotten.get(id_) != _FOR_GOOD:
                    self._forgotten.pop(id_, None)
                self.send(hop, Kind.SYNC, frames.encode(Sync(False, (known,))))
        if self._unknown:
            self._compute_at = min(self._unknown.values())

    # -- time ----------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if self._announce_at is not None and now >= self._announce_at:
            self._announce_at, self._announced_at = None, now
            self._announce()
        if self._compute_at is not None and now >= self._compute_at:
            self.compute(now)
        for member in self.apart.to_forget(now):
            self.forget(member, f"it could not be reached for {FORGET_S:g} s")

    def to_give_up(self, now: float, patience_s: float) -> Iterable[Member]:
        """Give those who have been apart for so long and are not given up yet."""
        return self.apart.to_give_up(now, patience_s)

    def next_deadline(self, patience_s: float) -> float:
        """Return when :meth:`tick` has something to do."""
        due = self.apart.next_deadline(patience_s)
        if self._announce_at is not None and self.own.version:
            due = min(due, self._announce_at)
        if self._compute_at is not None and self._compute_at < due:
            due = self._compute_at
        return due
