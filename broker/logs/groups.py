"""Who has had which records: one group for each collector's name, at the writer.

Members of one name share the work: each record is given to one of them.  A record is *held* by the member that it was
given to until that acknowledges it, then *done*; everything up to ``floor`` is done.  What neither is goes out next,
so handing records back is forgetting that they are held.

Who holds records outlives the writer: it writes down who is a member before it gives that member anything. After a
restart it knows who may hold some, and waits for their word, at most :data:`LEASE_S`; who then has not come back has
died, and what it may have had is given again, marked so. If all come back, nothing need be marked. A process that
began anew under the same endpoint's name has no more of its former life; nobody waits for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from broker.logs.ranges import Range, Ranges
from broker.logs.sessions import Session
from broker.logs.spool import Cursor, Holder

__all__ = ["LEASE_S", "Group"]

# How long a member may be out of reach while others wait for what it holds: longer than most interruptions.
LEASE_S: Final = 10.0
_FOREVER: Final = float("inf")


class Group:
    """One collector's name; without one, a single collector that nothing is kept for."""

    def __init__(self, name: str, floor: int, lost: int = 0, schema: bytes = b"") -> None:
        self.name = name
        self.floor = floor
        self.schema = schema
        self.done = Ranges()  # beyond the floor
        self.held: dict[bytes, Ranges] = {}  # by member
        self.taken = Ranges()  # done or held, beyond the floor
        self.suspect = Ranges()  # may have been given to somebody who has died
        self.lost = lost  # dropped before this name had them
        self.lost_before = lost  # of these, who gets the next record has not been told yet
        self._lost_told: dict[int, int] = {}  # with which record that was told, as long as that is not done
        self.holders: dict[bytes, Holder] = {}  # as it is to be written down
        self.recorded: set[bytes] = set()  # members that are written down, and will be after the commit under way
        self.sessions: dict[bytes, Session] = {}  # members that are attached
        self.absent: dict[bytes, float] = {}  # members that are not, and until when they are waited for
        self.unknown: set[bytes] = set()  # of these, who may hold what we do not know of,
        self._known_from = 0  # which is before this number
        self.dirty = name != ""  # to be written down
        self._writing: set[bytes] = set()  # members that a commit under way writes down
        self.written = 0  # the floor that is written down
        self.at: tuple[int, int] = (0, 0)  # a chunk's sequence, and the number it begins with: where reading goes on

    @classmethod
    def loaded(cls, name: str, cursor: Cursor, next_: int, now: float) -> Group:
        """Return what was written down, when a writer begins; ``next_`` is the number of its next record."""
        group = cls(name, cursor.floor, schema=cursor.schema)
        for first, last in cursor.done:
            group.done.add(first, last)
            group.taken.add(first, last)
        group.lost = cursor.lost
        group.holders = {holder.id: holder for holder in cursor.holders}
        group.absent = {holder.id: now + LEASE_S for holder in cursor.holders}
        group.unknown = set(group.holders)
        group.recorded = set(group.holders)
        group._known_from = next_
        group.suspect = Ranges(cursor.suspect)
        group.dirty = False
        group.written = cursor.floor
        return group

    def cursor(self) -> Cursor:
        """Return what is to be written down."""
        holders, suspect = tuple(self.holders.values()), tuple(self.suspect)
        return Cursor(self.floor, tuple(self.done), holders, self.lost, self.schema, suspect)

    def writing(self) -> Cursor:
        """Return what a commit that begins writes down."""
        self.dirty = False
        self.recorded &= self.holders.keys()
        self._writing = set(self.holders)
        return self.cursor()

    def wrote(self, floor: int) -> None:
        """Take note that it is done."""
        self.written = max(self.written, floor)
        self.recorded |= self._writing
        for member, session in self.sessions.items():
            session.active = session.active or member in self.recorded

    @property
    def shared(self) -> bool:
        """Whether there are several members, or were."""
        return len(self.holders) > 1

    # -- members ---------------------------------------------------------------------------------------------------

    def join(self, session: Session) -> None:
        """Let a member take part; it gets records once it is written down who it is."""
        holder = session.holder
        for other in list(self.holders.values()):
            if self._is_former(other, holder):
                self.expire(other.id)
        self.absent.pop(holder.id, None)
        self.unknown.discard(holder.id)
        self.sessions[holder.id] = session
        if self.holders.get(holder.id) != holder:
            self.holders[holder.id] = holder
            self.dirty = self.name != ""
        session.active = holder.id in self.recorded or not self.name
        self.held.setdefault(holder.id, Ranges())

    def part(self, session: Session) -> None:
        """Take note that a member is out of reach; what it holds is kept for it, as long as the lease goes."""
        member = session.holder.id
        if self.sessions.get(member) is not session:
            return
        del self.sessions[member]
        self.absent[member] = session.heard + LEASE_S
        if not self.name:
            self.expire(member)

    def leave(self, session: Session, begun: Iterable[Range]) -> None:
        """Let a member go: what it held is free, and marked where its program had begun with it."""
        member = session.holder.id
        for first, last in begun:
            for part in self.held.get(member, Ranges()).within(first, last):
                self.suspect.add(*part)
        self._release(member)

    def expire(self, member: bytes) -> None:
        """Take a member for dead: what it held is free, and marked."""
        if member in self.unknown:
            self.suspect.add(self.floor + 1, self._known_from - 1)
        for first, last in self.held.get(member, ()):
            self.suspect.add(first, last)
        self._release(member)

    def _release(self, member: bytes) -> None:
        for first, last in self.held.pop(member, Ranges()):
            self.taken.remove(first, last)
        self.sessions.pop(member, None)
        self.absent.pop(member, None)
        self.unknown.discard(member)
        if self.holders.pop(member, None) is not None and self.name:
            self.dirty = True

    def is_crowded(self, member: bytes, most: int, now: float) -> bool:
        """Whether there is no place for a new member; those that were waited for long enough make some."""
        if member in self.holders or len(self.holders) < most:
            return False
        for one in [one for one, until in self.absent.items() if now >= until]:
            self.expire(one)
        return len(self.holders) >= most

    def tick(self, now: float) -> bool:
        """Take for dead who was waited for long enough, if others wait; whether there was any."""
        if not self.sessions:
            return False
        due = [member for member, until in self.absent.items() if now >= until]
        for member in due:
            self.expire(member)
        return bool(due)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return min(self.absent.values(), default=_FOREVER) if self.sessions else _FOREVER

    def free_session(self) -> Session | None:
        """Return the attached member that has most room; None: nobody has any, or an absent one may hold anything."""
        if self.unknown:
            return None
        best: Session | None = None
        for session in self.sessions.values():
            if session.has_room and (best is None or session.bytes_under_way < best.bytes_under_way):
                best = session
        return best

    def others(self, holder: Holder, now: float) -> bool:
        """Whether there are other members that live, or may."""
        return any(
            other.id in self.sessions or self.absent.get(other.id, now) > now
            for other in self.holders.values()
            if other.id != holder.id and not self._is_former(other, holder)
        )

    @staticmethod
    def _is_former(other: Holder, holder: Holder) -> bool:
        """Whether a member was one of a former life of the process that another one is in."""
        return other.endpoint == holder.endpoint and other.endpoint_id != holder.endpoint_id and other.id != holder.id

    def restart(self, member: bytes, floor: int, gone: int) -> int:
        """Begin anew behind a record, for a single member; returns how many up to ``gone`` nobody ever had."""
        for other in [other for other in self.holders if other != member]:
            self._release(other)
        count = self.skip(1, gone)
        self.floor = self.written = floor
        self.done, self.taken, self.suspect = Ranges(), Ranges(), Ranges()
        self.held = {one: Ranges() for one in self.held}
        self._lost_told.clear()
        self.dirty = True
        return count

    # -- records ---------------------------------------------------------------------------------------------------

    def claim(self, session: Session, held: Iterable[Range], extent: Range) -> list[Range]:
        """Let a member hold what it says that it holds, as far as nobody else does; returns that."""
        mine = self.held.setdefault(session.holder.id, Ranges())
        granted: list[Range] = []
        for first, last in held:
            for free in self._free(max(first, extent[0]), min(last, extent[1])):
                granted.append(free)
                self.taken.add(*free)
                mine.add(*free)
        return granted

    def _free(self, first: int, last: int) -> list[Range]:
        """Return which of these records are neither done nor held."""
        found: list[Range] = []
        first = max(first, self.floor + 1)
        while first <= last:
            start, end = self.taken.gap(first)
            if start > last:
                break
            end = last if end is None else min(last, end)
            found.append((start, end))
            first = end + 1
        return found

    def free(self, session: Session, first: int, last: int) -> None:
        """Let a member not hold these any more."""
        self.held[session.holder.id].remove(first, last)
        self.taken.remove(first, last)

    def renounce(self, session: Session) -> None:
        """Free what a member that asks anew had held here: it says itself what it has."""
        for first, last in list(self.held[session.holder.id]):
            self.free(session, first, last)

    def next_free(self, tip: int) -> tuple[int, int, bool] | None:
        """Return which records go out next: first, last, and whether they may have been given before."""
        first, end = self.taken.gap(self.floor + 1)
        last = tip if end is None else min(tip, end)
        if first > last:
            return None
        if not self.suspect:
            return first, last, False
        known, until = self.suspect.gap(first)
        if known == first:
            return first, last if until is None else min(last, until), False
        return first, min(last, known - 1), True

    def give(self, session: Session, first: int, last: int) -> None:
        """Take note that a member holds these now."""
        self.held[session.holder.id].add(first, last)
        self.taken.add(first, last)

    def lost_with(self, first: int, last: int) -> int:
        """Return how many lost records are to be told of with these; when they are given again, once more."""
        count = self.lost_before + self._told_with(first, last)
        self.lost_before = 0
        if count:
            self._lost_told[first] = count
        return count

    def _told_with(self, first: int, last: int) -> int:
        """Return how many lost records were told of with these, and forget it."""
        told = [number for number in self._lost_told if first <= number <= last]
        return sum([self._lost_told.pop(number) for number in told])

    def acknowledge(self, session: Session, first: int, last: int) -> bool:
        """Take note that a member has done these, unless others hold them; whether that is news."""
        self.claim(session, [(first, last)], (1, last))
        mine = self.held[session.holder.id]
        parts = mine.within(first, last)
        for one in parts:
            mine.remove(*one)
            self.done.add(*one)
        if parts:
            self._settle()
        return bool(parts)

    def skip(self, first: int, last: int) -> int:
        """Let records that are gone count as done; returns how many of them nobody had."""
        count = 0
        for free in self._free(first, last):
            count += free[1] - free[0] + 1
            self.done.add(*free)
            self.taken.add(*free)
            self.lost_before += self._told_with(*free)  # nobody had that either
        self.lost += count
        self.lost_before += count
        if count:
            self._settle()
        return count

    def _settle(self) -> None:
        self.dirty = self.name != ""
        if self.done and self.done.first == self.floor + 1:
            self.floor = self.done.gap(self.floor + 1)[0] - 1
            self.done.remove(0, self.floor)
            self.taken.remove(0, self.floor)
            self.suspect.remove(0, self.floor)
            for number in [number for number in self._lost_told if number <= self.floor]:
                del self._lost_told[number]
