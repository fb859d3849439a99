"""Meshes with stores: programs that are master and clones, what was asked of them, and what is true of each store.

Every commit of every replica is looked at in the moment in which it is done, before anybody is told of it.
"""

from __future__ import annotations

import copy
import random
from collections import Counter, defaultdict
from typing import Any

import attrs
from simulated_world import Broken, Program, World
from stored_books import Asked, Books
from stored_history import History, Node
from stored_promises import check_life

from broker.errors import MasterExists
from broker.protocol.member import Member
from broker.stores.clone import Clone
from broker.stores.commands import Command
from broker.stores.entries import TABLES
from broker.stores.requests import Request
from broker.testing import Conditions
from broker.testing.disk import SimulatedJournal
from broker.testing.stores import SimulatedStore

__all__ = ["Life", "Role", "StoredWorld"]


# When a cluster begins.
_EPOCH_NS = 1_767_225_600_000_000_000


@attrs.define(eq=False)
class Role:
    """What an endpoint is to be of a store, in each of its lives."""

    store: str
    master: bool
    durable: bool
    log_bytes: int


@attrs.define(eq=False)
class Life:
    """One life of a master or a clone."""

    program: Program
    role: Role
    handle: SimulatedStore
    began: float
    node: Node | None = None  # where it is
    commits: list[tuple[float, int]] = attrs.field(factory=list)  # of a master: when, up to which sequence
    ended: bool = False
    closing: bool = False
    jumps: int = 0  # to what does not descend from where it was
    disturbed_at: float = 0.0  # when it was last paused, or its disk full

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def machine(self) -> Any:
        return self.handle.machine

    @property
    def active(self) -> bool:
        return not self.ended and self.program.active

    def told(self, kind: type) -> list[Any]:
        """Return what its endpoint has told of its store."""
        return [
            status
            for status in self.program.endpoint.status
            if type(status) is kind and getattr(status, "store", None) == self.role.store
        ]

    def __str__(self) -> str:
        return f"{'master' if self.role.master else 'clone'} of {self.role.store} at {self.name}"


class StoredWorld(World):
    """A world whose programs have stores."""

    def __init__(self, seed: int, conditions: Conditions | None = None) -> None:
        super().__init__(seed, conditions)
        self.roles: dict[str, dict[str, Role]] = defaultdict(dict)  # by endpoint, by store
        self.histories: dict[str, History] = {}
        self.books: dict[str, Books] = {}
        self.lives_of: dict[Program, dict[str, Life]] = defaultdict(dict)  # by store
        self.all_lives: list[Life] = []
        self.kept: dict[tuple[str, str], Node] = {}  # by endpoint and store: what is on its disk for certain
        self.counts: Counter[str] = Counter()
        self.lossy: set[str] = set()  # endpoints that not all frames of stores reach

    def add_store(self, store: str) -> None:
        self.histories[store] = History(store)
        self.books[store] = Books(self.histories[store])

    @property
    def disk(self) -> Any:
        return self.cluster.disk

    # -- beginning and end -----------------------------------------------------------------------------------------

    def start(self, name: str) -> Program:
        program = super().start(name)
        self._lose_frames_of(program)
        for role in list(self.roles[name].values()):
            self.attach(program, role)
        return program

    def _lose_frames_of(self, program: Program) -> None:
        """Let frames of stores be lost, come twice and be overtaken, as where relays die and ways change."""
        stores, chance = program.endpoint.node.stores, random.Random(self.cluster.random.getrandbits(64))
        take = stores.take

        def taking(member: Member, serial: int, kind: int, body: bytes, now: float) -> None:
            what = chance.random() if program.name in self.lossy else 1.0
            if what > 0.3:
                take(member, serial, kind, body, now)
            if 0.15 < what < 0.4:
                self.cluster.call_at(now + chance.uniform(0.0, 0.1), lambda: late(member, serial, kind, body))

        def late(member: Member, serial: int, kind: int, body: bytes) -> None:
            node = program.endpoint.node
            if program.active and node.members.members.get(member.id) is member:
                take(member, serial, kind, body, self.cluster.now())
                program.endpoint.flush_stores()

        stores.take = taking  # type: ignore[method-assign]

    def attach(self, program: Program, role: Role) -> Life | None:
        """Let a program be master or clone of a store; None: another one is master already."""
        endpoint, store, now = program.endpoint, role.store, self.cluster.now()
        self.roles[program.name][store] = role
        node = self._look_at_disk(program.name, role) if role.durable else None
        attach = endpoint.master if role.master else endpoint.clone
        try:
            handle = attach(store, durable=role.durable, log_bytes=role.log_bytes)
        except MasterExists:
            self.counts["second master refused"] += 1
            del self.roles[program.name][store]
            return None
        life = Life(program, role, handle, now, node, disturbed_at=now)
        if any(other.name == program.name and other.role is role for other in self.all_lives):
            what, where = "master" if role.master else "clone", "on disk" if role.durable else "in memory"
            self.counts[f"{what} {where} again"] += 1
        self.lives_of[program][store] = life
        self.all_lives.append(life)
        contents = handle.machine.contents
        changed = contents.changed

        def changing(keys: Any) -> None:
            changed(keys)
            self._committed(life)

        contents.changed = changing  # type: ignore[method-assign]
        handle.on_change = lambda: self._check_shown(life)
        if handle.position.sequence and not role.durable:
            self._committed(life)  # in memory it has begun its epoch already
        return life

    def _look_at_disk(self, name: str, role: Role) -> Node | None:
        """Check that what was committed is still there, and take note of what was on its way when it died."""
        journal = self.disk.open(name, role.store, len(TABLES))
        history, known = self.histories[role.store], len(self.histories[role.store].order)
        if journal.position.sequence == 0:
            node = None
        elif role.master:
            node = history.learn(journal, self.cluster.now())
        else:
            node = history.find(journal.position)
            if node is None:
                raise Broken(f"the clone of {role.store} on the disk of {name} is where no master was")
        kept = self.kept.get((name, role.store))
        # What a clone was about to take in whole, when it died, may be another history.
        may_differ = not role.master and history.mixed and node is not None
        if kept is not None and not may_differ and (node is None or not history.descends(node, kept)):
            raise Broken(f"{name} has {node} of {role.store} on its disk, and had committed {kept}")
        if node is not None:
            history.check_contents(node, journal, f"the disk of {name}")
        self.books[role.store].committed(known)
        return node

    def crash(self, program: Program) -> None:
        for life in list(self.lives_of[program].values()):
            self._end(life)
        super().crash(program)

    def close(self, program: Program) -> None:
        lives = list(self.lives_of[program].values())
        for life in lives:
            life.closing = True
        super().close(program)
        for life in lives:
            self._end(life)

    def detach(self, life: Life, *, forget: bool = True) -> None:
        """End a master or a clone as a program does: first what waits for the disk is done."""
        for _ in range(20):
            if life.machine.idle or not life.active:
                break
            self.cluster.run(0.01)
        if life.active:
            life.closing = True
            life.program.endpoint.detach(life.role.store)
            self._end(life)
            if forget:
                self.roles[life.name].pop(life.role.store, None)

    def _end(self, life: Life) -> None:
        life.ended = True
        check_life(self, life)
        if life.role.master and life.role.durable:  # it may have been read already what it has not heard of itself
            books, known = self.books[life.role.store], len(self.histories[life.role.store].order)
            self.histories[life.role.store].learn(life.machine.journal, self.cluster.now())
            books.committed(known)
        self.lives_of[life.program].pop(life.role.store, None)

    # -- at every commit -------------------------------------------------------------------------------------------

    def _committed(self, life: Life) -> None:
        store, now = life.role.store, self.cluster.now()
        history, books, journal = self.histories[store], self.books[store], life.machine.journal
        before = life.node
        if life.role.master:
            known = len(history.order)
            life.node = history.learn(journal, now)
            life.commits.append((now, life.node.sequence))
            books.committed(known)
            if before is not None and not history.descends(life.node, before):
                raise Broken(f"{life} went from {before} to {life.node}")
        else:
            life.node = history.find(journal.position)
            if life.node is None:
                raise Broken(f"{life} is at {journal.position}, where no master was")
            self._moved(life, before, life.node)
        if life.role.durable:
            self.kept[life.name, store] = life.node
        history.check_contents(life.node, journal, str(life))

    def _check_shown(self, life: Life) -> None:
        """Check what a program sees that is told that something has changed."""
        if life.node is not None and not life.ended and not life.role.master:
            self.histories[life.role.store].check_contents(life.node, life.machine.journal, str(life))

    def _moved(self, life: Life, before: Node | None, node: Node) -> None:
        """Take note of where a clone is; what it goes to descends from where it was, or it says that it does not."""
        history, reached = self.histories[life.role.store], self.books[life.role.store].reached[life.name]
        if before is not None and not history.descends(node, before):
            if history.descends(before, node):
                raise Broken(f"{life} went back from {before} to {node}")
            master = self.master_of(life.machine)
            if master is None or master.machine.journal.first <= before.sequence + 1:
                life.jumps += 1
            else:
                self.counts["fork that could not be seen"] += 1  # its master's log does not go back as far
        if reached and history.descends(node, reached[-1]):
            reached[-1] = node
        else:
            reached.append(node)

    # -- who and when ------------------------------------------------------------------------------------------------

    def cluster_ns(self, at: float) -> int:
        """Return a time of the cluster in nanoseconds since 1970."""
        return _EPOCH_NS + round(at * 1e9)

    def master_of(self, clone: Clone) -> Life | None:
        """Return the life of the master that a clone follows."""
        for program in self.now_alive.values():
            if clone.master is not None and program.endpoint.node.id == clone.master.id:
                return self.lives_of[program].get(clone.name)
        return None

    # -- requests --------------------------------------------------------------------------------------------------

    def ask(
        self, life: Life, tag: int, commands: tuple[Command, ...], replicas: int, timeout: float = float("inf")
    ) -> Asked:
        """Ask something of a store."""
        store, now = life.role.store, self.cluster.now()
        books, history = self.books[store], self.histories[store]
        masters = [other for other in self.all_lives if other.role.store == store and other.role.master]
        asked = Asked(
            life,
            tag,
            commands,
            replicas,
            at_ns=self.cluster_ns(now),
            known=len(history.order),
            tips=[master.node for master in masters if master.node is not None],
            floors=dict(books.floors),
            deadline=now + timeout,
        )
        books.asked[tag] = asked

        def answered(request: Request) -> None:
            books.answer(asked, request, self.cluster.now())

        life.handle.ask(*commands, replicas=replicas, timeout=timeout, answered=answered)
        return asked

    def masters(self, store: str) -> list[Life]:
        """Return the masters of a store that live."""
        return [
            lives[store]
            for program, lives in self.lives_of.items()
            if program.endpoint.alive and store in lives and lives[store].role.master
        ]

    def clones(self, store: str) -> list[Life]:
        """Return the clones of a store that live."""
        return [
            lives[store]
            for program, lives in self.lives_of.items()
            if program.endpoint.alive and store in lives and not lives[store].role.master
        ]

    # -- disks -----------------------------------------------------------------------------------------------------

    def backup(self, name: str, store: str) -> tuple[SimulatedJournal, Node | None]:
        """Copy an endpoint's journal."""
        return self.disk.backup(name, store), self.kept.get((name, store))

    def restore(self, name: str, store: str, backup: SimulatedJournal, node: Node | None) -> None:
        """Put a copy in its place, there or elsewhere."""
        self.disk.restore(name, store, copy.deepcopy(backup))
        self.kept.pop((name, store), None)
        if node is not None:
            self.kept[name, store] = node
