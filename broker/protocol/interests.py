"""What we want, announced to everybody; and what others want, heard from them.

An endpoint's interests have a version that grows by one with each change.  Changes are flooded as everything else
that an endpoint tells of itself (:mod:`broker.protocol.members`); a new peer that has none or an old version gets
them all.  A subscription is **announced** when every endpoint that could be reached when it was made, or whose link was
just beginning, has said that it knows it (LEARNED): from then on whatever is published there is addressed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from broker.errors import Malformed, TopicError
from broker.protocol import frames
from broker.protocol.actions import Action, Changed
from broker.protocol.frames import Interest, InterestUpdate, Kind, Known, Learned, Sync
from broker.protocol.link import Link
from broker.protocol.member import Member, Refused, not_told
from broker.protocol.members import AHEAD_MAX, Members
from broker.protocol.routes import INTERESTS_MAX, INTERESTS_TOTAL, Routes, weight_of
from broker.protocol.subscriptions import Subscription
from broker.protocol.transit import Transit
from broker.protocol.wishes import Wishes, cost_of, decode_update, encode_update, parts_of
from broker.topics import normalize_prefix
from broker.trust.judge import EVERYTHING

__all__ = ["ASKS_MAX", "ASK_S", "Interests"]

# A million interests take 123 frames; with prefixes of a hundred bytes they take so much.
_PARTS_MAX: Final = 256
_PARTS_BYTES_MAX: Final = 128 << 20
# Who has not said that it knows a subscription is asked so often: its word may be lost with a relay.
ASK_S: Final = 1.0
# So often; then it is not waited for any more: a peer that keeps silent must not keep a program from subscribing.
ASKS_MAX: Final = 30


class _Pending(Struct, eq=False):
    """What a subscription waits for: who lacks a version of our interests, and links that were just beginning."""

    version: int
    lacking: dict[Member, None]
    beginning: list[Link]
    asked: int = 0


class _Parts(Struct, eq=False):
    """A change that comes in several frames, as far as it has come."""

    origin: bytes
    version: int
    added: list[Interest] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    weight: int = 0
    bytes: int = 0


class Interests:
    """The announcing end and the hearing end."""

    def __init__(
        self,
        members: Members,
        routes: Routes,
        transit: Transit,
        act: Callable[[Action], None],
    ) -> None:
        self._members = members
        self._own = members.own
        self._routes = routes
        self._transit = transit
        self._act = act
        self._wishes = Wishes()
        self._announced: dict[Subscription, _Pending] = {}
        self._ask_at = float("inf")
        self._ask_due = False
        self._untold: dict[Member, None] = {}  # whose interests we know, and who could not be told so yet
        self._parts: dict[Link, _Parts] = {}  # what each peer has begun to tell; it tells one change after the other
        self.refused: Refused = not_told
        self.suspect: Callable[[Member, Malformed], None] = _believe

    # -- ours ----------------------------------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Announce what a subscription wants."""
        interest = subscription.interest
        own = self._own
        if self._wishes.add(interest):
            own.interests.add(interest)
            self._announce(added=(interest,), removed=())
        lacking = {m: None for m in self._members.members.values() if m.reachable and m.learned < own.interests_version}
        beginning = self._members.beginning()
        if lacking or beginning:
            self._announced[subscription] = _Pending(own.interests_version, lacking, beginning)
            self._ask_due = True
            self._act(Changed())  # there is a deadline

    def remove(self, subscription: Subscription) -> None:
        """Announce that a subscription has ended."""
        self._announced.pop(subscription, None)
        interest = subscription.interest
        again = self._wishes.remove(interest)
        if again is not None:
            self._own.interests.discard(interest)
            self._announce(added=again, removed=(interest,))

    def _announce(self, added: tuple[Interest, ...], removed: tuple[Interest, ...]) -> None:
        own = self._own
        update = InterestUpdate(own.id, own.interests_version, own.interests_version + 1, True, added, removed)
        own.interests_version += 1
        self._members.flood(Kind.INTERESTS, encode_update(update), None)

    def is_announced(self, subscription: Subscription) -> bool:
        """Whether everybody knows of it."""
        pending = self._announced.get(subscription)
        if pending is None:
            return True
        known, lacking = self._members.members, pending.lacking
        for link in pending.beginning:
            if link.added and link.peer_id in known:
                lacking[known[link.peer_id]] = None
        pending.beginning = [link for link in pending.beginning if link.is_beginning]
        while lacking:  # whenever anybody has answered this is asked: a look at the first who has not is enough
            member = next(iter(lacking))
            if self._lacks(member, pending.version):
                return False
            del lacking[member]
        if pending.beginning:
            return False
        del self._announced[subscription]
        return True

    def _lacks(self, member: Member, version: int) -> bool:
        """Whether an endpoint is there and has not said that it knows that version."""
        return member.learned < version and member.reachable and self._members.members.get(member.id) is member

    def take_learned(self, member: Member, learned: Learned) -> None:
        """Take note that an endpoint knows our interests up to a version."""
        if learned.version > self._own.interests_version:
            if not self._own.key:
                told = f"it knows version {learned.version} of our interests, of {self._own.interests_version}"
                raise Malformed(told)
            # A relay has told it in our name; it is right to believe that.
            if learned.version < self._own.interests_version + AHEAD_MAX:
                self._overrule(learned.version)
            return
        member.learned = max(member.learned, learned.version)
        if self._announced:
            self._act(Changed())

    # -- others' -------------------------------------------------------------------------------------------------

    def send_all(self, link: Link, member: Member) -> None:
        """Send a peer all that an endpoint wants."""
        for payload in _whole(member):
            self._members.send(link, Kind.INTERESTS, payload)

    def _overrule(self, version: int) -> None:
        """Have the last word where somebody speaks in our name."""
        self._own.interests_version = version + 1
        for payload in _whole(self._own):
            self._members.flood(Kind.INTERESTS, payload, None)

    def take(self, link: Link, payload: bytes, now: float) -> None:
        """Act on an announcement; raises Malformed when it makes no sense."""
        update, taken_bare = decode_update(payload)
        teller = self._members.members.get(update.origin)
        if teller is None or teller.interests_version:  # what it tells first is free
            link.charge_interests(update.origin, now, cost_of(update))
        if update.origin != link.peer_id and not link.grants.relay:
            return  # what an endpoint wants is not signed: it is believed of who relays
        own = self._own
        if update.origin == own.id and own.interests_version < update.version < own.interests_version + AHEAD_MAX:
            self._overrule(update.version)
        member = self._members.members.get(update.origin)
        if member is None or update.version <= member.interests_version:
            return  # an endpoint is announced before its interests: this one has gone; or we have it
        if update.version >= max(member.interests_promised, member.interests_version) + AHEAD_MAX:
            return  # nobody changes its mind so often: this was made up, to be the last word of it
        if update.base and update.base != member.interests_version:
            known = Known(member.id, member.version, member.interests_version)
            self._members.send(link, Kind.SYNC, frames.encode(Sync(False, (known,))))
            return
        try:
            self._take_news(link, member, update, payload)
            self._routes.predicates.unjudged += taken_bare
        except Malformed as error:
            if update.origin == link.peer_id:
                raise
            self.suspect(member, error)  # it may have told others something else: who passes it on is no liar

    def _take_news(self, link: Link, member: Member, update: InterestUpdate, payload: bytes) -> None:
        self._check(update.added)
        parts = self._gather(link, member, update, payload)
        if not update.final:
            return
        if not update.base:
            self._routes.forget(member)
        self._routes.change(member, parts.added, update.removed)
        self._refuse_hopeless(member, parts.added)
        member.interests_version = update.version
        self._bound(link)
        for part in parts.payloads:
            self._members.flood(Kind.INTERESTS, part, link)
        self.tell_learned(member)
        self._act(Changed())

    def _gather(self, link: Link, member: Member, update: InterestUpdate, payload: bytes) -> _Parts:
        """Put a part to those that came before it; raises Malformed when they are too much."""
        parts = self._parts.pop(link, None)
        if parts is None or (parts.origin, parts.version) != (update.origin, update.version):
            parts = _Parts(update.origin, update.version)
        parts.added += update.added
        parts.payloads.append(payload)
        parts.weight += sum(map(weight_of, update.added))
        parts.bytes += len(payload)
        if parts.weight > INTERESTS_MAX:
            raise Malformed(f"{member.name} wants more than {INTERESTS_MAX} topics and names")
        if len(parts.payloads) > _PARTS_MAX or parts.bytes > _PARTS_BYTES_MAX:
            raise Malformed(f"a change of what {member.name} wants has too many parts")
        if not update.final:
            self._parts[link] = parts
        return parts

    def _bound(self, link: Link) -> None:
        """Keep what everybody together wants within its limit: cut off who brought most of it."""
        if self._routes.weight > INTERESTS_TOTAL:
            self._members.forget_out_of_reach("it cannot be reached, and there are too many interests")
        if self._routes.weight <= INTERESTS_TOTAL:
            return
        weights = {member: member.interests_weight for member in self._members.members.values()}
        self._members.blame(link, weights, f"those whom it brought want more than {INTERESTS_TOTAL} topics and names")

    @staticmethod
    def _check(interests: Iterable[Interest]) -> None:
        for interest in interests:
            try:
                normal = normalize_prefix(interest.prefix)
            except TopicError as error:
                raise Malformed(str(error)) from error
            if normal != interest.prefix:
                raise Malformed(f"a prefix that is not normalised: {interest.prefix!r:.100}")

    def _refuse_hopeless(self, member: Member, added: Iterable[Interest]) -> None:
        """Say at once what an endpoint will never be given; of what it may have in part, events are refused."""
        if member.grants is not EVERYTHING:
            for prefix in sorted({interest.prefix for interest in added}):
                if not member.grants.touches(prefix):
                    self.refused(member, "subscribe", prefix)

    def tell_learned(self, member: Member) -> None:
        """Tell an endpoint which of its interests we know; as long as ways change, all such endpoints at once later."""
        self._untold[member] = None
        if not self._members.in_flux:
            self._tell_all()

    def _tell_all(self) -> None:
        by_version: dict[int, list[tuple[Member, int, int]]] = {}
        for member in list(self._untold):
            if member.hop is not None:
                del self._untold[member]
                by_version.setdefault(member.interests_version, []).append((member, 0, 0))
        for version, members in by_version.items():
            self._transit.send(Kind.LEARNED, frames.encode(Learned(version)), members)

    # -- what happens --------------------------------------------------------------------------------------------

    def ways_changed(self) -> None:
        """Tell whom we could not tell before."""
        self._tell_all()

    def link_ended(self, link: Link) -> None:
        """Forget what a link has begun to send."""
        self._parts.pop(link, None)

    def forget(self, member: Member) -> None:
        """Forget an endpoint that is no longer part of the mesh."""
        self._untold.pop(member, None)

    def tick(self, now: float) -> None:
        """Ask those whose word is missing."""
        if self._ask_due:
            self._ask_due = False
            self._ask_at = min(self._ask_at, now + ASK_S)
        if now < self._ask_at:
            return
        self._ask_at = float("inf")
        lacking: dict[Member, None] = {}
        for subscription in list(self._announced):
            if not self.is_announced(subscription):
                pending = self._announced[subscription]
                pending.asked += 1
                if pending.asked > ASKS_MAX:
                    del self._announced[subscription]
                    self._act(Changed())
                    continue
                lacking |= {member: None for member in pending.lacking if self._lacks(member, pending.version)}
        for member in lacking:
            self._transit.send(Kind.ASK, b"", ((member, 0, 0),))
        if self._announced:
            self._ask_at = now + ASK_S

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return float("-inf") if self._ask_due else self._ask_at


def _whole(member: Member) -> Iterator[bytes]:
    """Give all that an endpoint wants, in as many payloads as it takes."""
    parts = list(parts_of(tuple(member.interests)))
    for number, part in enumerate(parts, 1):
        yield encode_update(InterestUpdate(member.id, 0, member.interests_version, number == len(parts), part, ()))


def _believe(member: Member, error: Malformed) -> None:
    pass
