"""All masters, clones and proxies of one endpoint, and who in the mesh is master of what.

Endpoints announce the stores that they are master of, as they announce their links.  Of two masters of one store that
can reach each other the one that began later gives way: it writes nothing and serves nobody until one of them ends.
Clones follow the other one.  Both ends are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from broker.errors import BrokerError, Malformed, MasterExists, StoreInUse
from broker.journaling import Journal
from broker.protocol.actions import Action, Tell
from broker.protocol.frames import Role
from broker.protocol.member import Member, Refused, not_told
from broker.protocol.members import Members
from broker.protocol.transit import Transit
from broker.protocol.wires import Chance
from broker.status import StoreConflict
from broker.stores import wire
from broker.stores.bareclone import BareClone
from broker.stores.clone import Clone
from broker.stores.followers import Sender
from broker.stores.master import Master
from broker.stores.permission import answer, missing_right
from broker.stores.proxy import Proxy
from broker.stores.retention import LOG_BYTES
from broker.stores.wire import NotHere, StoreKind

__all__ = ["Stores"]

_FOR_MASTERS = frozenset({StoreKind.FOLLOW, StoreKind.APPLIED, StoreKind.COMMANDS, StoreKind.UNFOLLOW})


class Stores:
    """The stores of one endpoint."""

    def __init__(self, members: Members, transit: Transit, chance: Chance, act: Callable[[Action], None]) -> None:
        self._members = members
        self._transit: Sender = transit
        self._chance = chance
        self._act = act
        self.masters: dict[str, Master] = {}
        self.clones: dict[str, Clone | Proxy] = {}
        self._announced: set[str] = set()
        self._serial = 0  # of the last clone that has ended
        self._look = False  # who is master of what may have changed
        self._now = 0.0
        self.refused: Refused = not_told

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self.masters or self.clones)

    # -- what a program asks ---------------------------------------------------------------------------------------

    def check_free(self, store: str) -> None:
        """Raise StoreInUse when there is a master, a clone or a proxy of that store here already."""
        machine = self.masters.get(store) or self.clones.get(store)
        if machine is not None:
            what = type(machine).__name__.lower()
            raise StoreInUse(store, f"this endpoint has a {what} of it already: use that one")

    def other_master(self, store: str) -> str | None:
        """Return which other endpoint that can be reached is master of a store."""
        found = self._find(store)
        return None if found is None else found[0].name

    def attach_master(
        self, store: str, journal: Journal, now: float, time_ns: int, *, log_bytes: int = LOG_BYTES
    ) -> Master:
        """Become a store's master.  Raises StoreInUse, and MasterExists when another one can be reached."""
        self.check_free(store)
        other = self.other_master(store)
        if other is not None:
            raise MasterExists(store, f"{other} is its master: {self._members.own.name} cannot be, too; clone it")
        self._now = now
        master = self.masters[store] = Master(
            store,
            journal,
            self._transit,
            self._act,
            endpoint=self._members.own.name,
            salt=self._chance.randbytes(16),
            now=now,
            time_ns=time_ns,
            log_bytes=log_bytes,
        )
        master.pump(now)
        self.settle(now)
        return master

    def attach_clone(
        self, store: str, journal: Journal, now: float, *, log_bytes: int = LOG_BYTES, bare: bool = False
    ) -> Clone:
        """Begin to follow a store, or if ``bare`` its log alone, wherever its master is.  Raises StoreInUse."""
        self.check_free(store)
        self._now = now
        clone = self.clones[store] = (BareClone if bare else Clone)(
            store,
            journal,
            self._transit,
            self._act,
            writer=self._chance.randbytes(16),
            serial=self._serial,
            log_bytes=log_bytes,
        )
        found = self._find(store)
        clone.follow(None if found is None else found[0], now)
        return clone

    def attach_proxy(self, store: str, now: float) -> Proxy:
        """Begin to ask a store's master, wherever it is.  Raises StoreInUse."""
        self.check_free(store)
        self._now = now
        proxy = self.clones[store] = Proxy(store, self._transit, self._act, writer=self._chance.randbytes(16))
        found = self._find(store)
        proxy.follow(None if found is None else found[0], now)
        return proxy

    def detach(self, store: str, now: float) -> None:
        """End a master, a clone or a proxy."""
        self._now = now
        master = self.masters.pop(store, None)
        if master is not None:
            master.close()
            self._announce()
        clone = self.clones.pop(store, None)
        if clone is not None:
            self._serial = max(self._serial, clone.serial)
            clone.close()

    def close(self, now: float) -> None:
        """End all."""
        for store in [*self.masters, *self.clones]:
            self.detach(store, now)

    # -- what the node tells ---------------------------------------------------------------------------------------

    def take(self, member: Member, serial: int, kind: int, body: bytes, now: float) -> None:
        """Act on a frame about a store; raises Malformed when it makes no sense."""
        self._now = now
        store = wire.store_of(body)
        if kind in _FOR_MASTERS:
            master = self.masters.get(store)
            lacking = "" if master is None else missing_right(member, store, kind, body)
            if lacking:
                self._refuse(member, store, lacking, kind, body)
            elif master is not None:
                master.take(member, kind, body, now)
            elif kind in {StoreKind.FOLLOW, StoreKind.COMMANDS}:
                notice = NotHere(store, f"{self._members.own.name} is not its master")
                self._transit.send(StoreKind.NOT_HERE, wire.encode(notice), ((member, 0, 0),))
        elif kind <= StoreKind.NOT_HERE:
            clone = self.clones.get(store)
            if clone is not None:
                clone.take(member, serial, kind, body, now)
        else:
            raise Malformed(f"frames of kind {kind} are not known in this version")
        self.settle(now)

    def _refuse(self, member: Member, store: str, right: str, kind: int, body: bytes) -> None:
        told = answer(store, right, kind, body, self._members.own.name)
        if told is not None:
            self._transit.send(told[0], told[1], ((member, 0, 0),))
            self.refused(member, right, store)

    def rules_changed(self, now: float) -> None:
        """Let go of clones that may not read any more, and of masters that may not be any more, at once."""
        self._now = now
        self._look = True
        for store, master in self.masters.items():
            for member in {follower.member for follower in master.followers.followers.values()}:
                if not member.grants.may_use_store("read", store):
                    master.member_forgotten(member)
                    notice = NotHere(store, "the access rules no longer give you the right to read it")
                    self._transit.send(StoreKind.NOT_HERE, wire.encode(notice), ((member, 0, 0),))
                    self.refused(member, "store read", store)
        self.settle(now)

    def masters_changed(self) -> None:
        """Take note that endpoints are master of other stores than before, or can be reached or not."""
        self._look = True

    def ways_changed(self, now: float) -> None:
        """Take note that ways have changed: frames may be lost."""
        self._now = now
        self._look = True
        self.settle(now)
        for clone in self.clones.values():
            clone.ways_changed(now)

    def member_forgotten(self, member: Member) -> None:
        """Let go of an endpoint that is no longer part of the mesh."""
        self._look = True
        for master in self.masters.values():
            master.member_forgotten(member)

    def carried_out(self, owner: object, error: BrokerError | None, now: float) -> None:
        """Take note that work on a journal is done, or could not be done."""
        self._now = now
        if isinstance(owner, Master | Clone):
            owner.carried_out(error, now)
            if isinstance(owner, Master):
                owner.pump(now)
        self.settle(now)

    def flush(self, now: float) -> None:
        """Commit and send what was asked for."""
        for master in self.masters.values():
            master.pump(now)
        for clone in self.clones.values():
            clone.pump(now)
        self.settle(now)

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        self._now = now
        for master in self.masters.values():
            master.tick(now)
        for clone in self.clones.values():
            clone.tick(now)
        self.settle(now)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        due = float("-inf") if self._look else float("inf")
        for master in self.masters.values():
            due = min(due, master.next_deadline())
        for clone in self.clones.values():
            due = min(due, clone.next_deadline())
        return due

    # -- who is master of what -------------------------------------------------------------------------------------

    def _find(self, store: str) -> tuple[Member, Role] | None:
        """Return the endpoint that is master of a store, of those that can be reached; of several the elder.

        Of two lives of one endpoint, the later: the other one has died, and that has not come round yet.
        """
        lives: dict[str, tuple[Member, Role]] = {}
        for member in self._members.members.values():
            if not member.masters or not member.reachable or member.name == self._members.own.name:
                continue
            for role in member.masters:
                if role.name == store and (member.name not in lives or lives[member.name][0].born < member.born):
                    lives[member.name] = (member, role)
        return min(lives.values(), key=lambda life: _rank(*life), default=None)

    def settle(self, now: float) -> None:
        """Announce what has begun; look for masters where that may have changed."""
        if {store for store, master in self.masters.items() if master.ready} != self._announced:
            self._announce()
        if not self._look:
            return
        self._look = False
        for store, clone in self.clones.items():
            found = self._find(store)
            clone.follow(None if found is None else found[0], now)
        for store, master in self.masters.items():
            self._settle_conflict(store, master)

    def _settle_conflict(self, store: str, master: Master) -> None:
        found = self._find(store)
        own = self._members.own
        if found is None:
            master.yield_to(None)
            master.opponent = None
            return
        member, role = found
        yields = (master.started_ns, own.id) > (role.since, member.id)
        if master.opponent != member.name or yields != (master.rival is not None):
            master.opponent = member.name
            names = (member.name, own.name) if yields else (own.name, member.name)
            self._act(Tell(StoreConflict(store, *names)))
        master.yield_to(member.name if yields else None)

    def _announce(self) -> None:
        own = self._members.own
        ready = {store: master for store, master in self.masters.items() if master.ready}
        own.masters = tuple(
            Role(store, master.journal.position.journal, master.started_ns) for store, master in sorted(ready.items())
        )
        self._announced = set(ready)
        self._members.roles_changed(self._now)

    def survey(self) -> Mapping[str, Iterable[str]]:
        """Return the stores that have a master in the mesh, each with the endpoints that are it."""
        found: dict[str, list[str]] = {store: [self._members.own.name] for store in self._announced}
        for member in self._members.members.values():
            if member.reachable:
                for role in member.masters:
                    found.setdefault(role.name, []).append(member.name)
        return found


def _rank(member: Member, role: Role) -> tuple[int, bytes]:
    return role.since, member.id
