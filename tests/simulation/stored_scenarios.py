"""Random lives of a mesh with stores, from a seed: masters, clones and relays, requests, faults, then peace."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from simulated_world import Broken
from stored_faults import StoredFaults
from stored_operations import Requests
from stored_promises import check, check_staleness, unsettled
from stored_world import Life, Role, StoredWorld

from broker import errors
from broker.status import StoreConflict
from broker.stores import followers
from broker.stores.entries import unpack_key
from broker.stores.requests import APPLIED, DURABLE
from broker.testing import Conditions

__all__ = ["FAULTS_MIN", "OPERATIONS", "Scenario"]

OPERATIONS = 110
FAULTS_MIN = 10
# How long a mesh may take to be whole again, and its stores with it.
_SETTLE_S = 60.0
_STORES = ("alpha", "beta/2", "γ")


class Scenario:
    """One life."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        jitter = self.random.choice((0.0, 0.0005, 0.02))
        self.world = StoredWorld(seed, Conditions(delay_s=self.random.choice((0.0001, 0.001, 0.03)), jitter_s=jitter))
        self.names = [f"p{number}" for number in range(self.random.randint(3, 7))]
        self.stores = _STORES[: self.random.choice((1, 1, 1, 2, 3))]
        self.faults = StoredFaults(self.world, self.random)
        self.frame_bytes = self.random.choice((150, 1500, 256 << 10))
        self.window_frames = self.random.choice((2, 16))
        self.requests = Requests(self.random, large=self.random.choice((150, 400)))
        self.operations: list[tuple[Callable[[], object], float]] = [
            (self.ask_once, 20),
            (self.ask_much, 20),
            (self.ask_everybody, 4),
            (self.ask_impatiently, 5),
            (self.ask_together, 4),
            (self.ask_steadily, 0.8),
            (self.ask_a_full_disk, 1.5),
            (self.ask_while_a_clone_begins, 3),
            (self.read, 5),
            (self.faults.any, 14),
            (self.faults.mend, 14),
            (self.wait_long, 2),
        ]

    def run(self) -> None:
        """Live, heal, settle, and check; raises Broken."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(followers, "FRAME_BYTES", self.frame_bytes)
            patch.setattr(followers, "WINDOW_BYTES", self.frame_bytes * self.window_frames)
            self._live()

    def _live(self) -> None:
        self._begin()
        actions = [action for action, _ in self.operations]
        weights = [weight for _, weight in self.operations]
        plan = self.random.choices(actions, weights, k=OPERATIONS - FAULTS_MIN)
        for _ in range(FAULTS_MIN):
            plan.insert(self.random.randrange(len(plan)), self.faults.any)
        for action in plan:
            action()
            self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0005, 0.002, 0.005, 0.05, 0.3, 1.0)))
            check(self.world)
        self._heal()
        self.world.cluster.run(12.0)  # wires that are half open are noticed after 5 s, and sessions resumed
        self._end_conflicts()
        self._settle()
        self._check_alive()
        self._check_kept()

    def _begin(self) -> None:
        """Start programs, each linked with an earlier one, and give them stores: some before, some after."""
        world, chance = self.world, self.random
        linked: list[tuple[str, str]] = []
        line = chance.random() < 0.3
        for number, name in enumerate(self.names):
            if number > 1 and chance.random() < 0.15:
                world.leaves.add(name)
            relays = [other for other in self.names[:number] if other not in world.leaves]
            if line and relays:
                linked.append((name, relays[-1]))
            else:
                count = min(len(relays), chance.choice((1, 1, 2)))
                linked += [(name, other) for other in chance.sample(relays, count)]
        for store in self.stores:
            world.add_store(store)
            log_bytes = chance.choice((1000, 10_000, 64 << 20))
            master, *others = chance.sample(self.names, chance.randint(2, len(self.names)))
            world.roles[master][store] = Role(store, True, chance.random() < 0.75, log_bytes)
            for other in others:
                world.roles[other][store] = Role(store, False, chance.random() < 0.5, log_bytes)
        for name in self.names:
            if chance.random() < 0.3:  # first its stores, then its peers
                self.faults.attach_later += [(name, role) for role in world.roles.pop(name, {}).values()]
            world.start(name)
        for name, other in linked:
            world.peer(world.now_alive[name], f"sim://{other}")
        world.cluster.run(chance.choice((0.0, 1.0)))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        world = self.world
        self.faults.mend_all()
        for store in self.stores:
            if not world.masters(store):
                name = self.random.choice(self.names)
                program = world.now_alive[name]
                former = world.lives_of[program].get(store)
                if former is not None:
                    world.detach(former)
                world.disk.remove(name, store)
                world.kept.pop((name, store), None)
                role = Role(store, True, self.random.random() < 0.5, 10_000)
                for _ in range(20):
                    if world.attach(program, role) is not None:
                        break
                    world.cluster.run(1.0)  # the former one is not known to be dead yet

    def _end_conflicts(self) -> None:
        """Check that of several masters one goes on, and let all but one end."""
        for store in self.stores:
            while len(masters := self.world.masters(store)) > 1:
                self._check_conflict(store, masters)
                self.world.detach(self.random.choice(masters))

    def _check_conflict(self, store: str, masters: list[Life]) -> None:
        def settled() -> bool:
            return sum(life.machine.rival is None for life in masters) == 1 and not [
                *self.world._unlinked(),
                *self.world._unseen(),
            ]

        if not self._wait(settled):
            raise Broken(f"{[(str(life), life.machine.rival) for life in masters]} do not agree who is master")
        self.world.cluster.run(0.1)
        self.world.counts["conflict settled"] += 1
        elder = min(masters, key=lambda life: (life.machine.started_ns, life.program.endpoint.node.id))
        if elder.machine.rival is not None:
            raise Broken(f"{elder} gives way to {elder.machine.rival}, which began later")
        for life in masters:
            if life is not elder:
                told = [(status.master, status.yielding) for one in (life, elder) for status in one.told(StoreConflict)]
                if told.count((elder.name, life.name)) < (2 if len(masters) == 2 else 1):
                    raise Broken(f"{elder.name} and {life.name} are masters of {store}, told was {told}")
        for life in masters:
            tag, commands = self.requests.put("conflict")
            asked = self.world.ask(life, tag, commands, DURABLE)
            self.world.cluster.run_until(lambda asked=asked: asked.answered, 10.0)  # type: ignore[misc]
            if not asked.answered or isinstance(asked.error, errors.MasterExists) == (life is elder):
                raise Broken(f"{life} was asked beside {elder}: {asked.error!r}")

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """Let time pass until it holds; looked at now and then, since it is slow to find out."""
        until = self.world.cluster.now() + _SETTLE_S
        while self.world.cluster.now() < until:
            self.world.cluster.run(0.2)
            if condition():
                return True
        return False

    def _settle(self) -> None:
        if not self._wait(lambda: not unsettled(self.world)):
            raise Broken(f"{_SETTLE_S:g} s after all was healed: {'; '.join(unsettled(self.world)[:5])}")
        check(self.world)

    def _check_alive(self) -> None:
        """Let everybody write, at every level, and see all of it arrive while nothing is wrong."""
        world = self.world
        lives = [life for store in self.stores for life in [*world.masters(store), *world.clones(store)]]
        asked = []
        for life in lives:
            for replicas in (APPLIED, DURABLE, len(world.clones(life.role.store)) or DURABLE):
                tag, commands = self.requests.put(f"alive {life.name}", self.random.choice((0, 200_000_000)))
                asked.append(world.ask(life, tag, commands, replicas, 20.0))
                world.cluster.run(0.05)
                self._check_current(lives)
        for _ in range(5):
            world.cluster.run(0.5)
            self._check_current(lives)
        self._settle()
        for question in asked:
            if question.error is not None:
                raise Broken(f"a healthy mesh answers {question.error!r} to {question.commands} of {question.life}")
        for life in lives:
            self._check_reading(life)
            assert life.node is not None
            for key, item in life.node.state.items():
                if 0 < item.expiry < world.cluster_ns(world.cluster.now() - 1.0):
                    raise Broken(f"{life} still has {key!r}, whose time is over")

    def _check_current(self, lives: list[Life]) -> None:
        """Check that clones know how current they are, where they ask every half a second."""
        for life in lives:
            if not life.role.master:
                check_staleness(self.world, life)
                if life.handle.staleness > 1.2:
                    raise Broken(f"nothing is wrong, and {life} has not heard for {life.handle.staleness:.2f} s")

    def _check_kept(self) -> None:
        """Check that all that was acknowledged is in the log, unless the log was set back."""
        for store in self.stores:
            history = self.world.histories[store]
            [master] = self.world.masters(store)
            assert master.node is not None
            for asked in self.world.books[store].asked.values():
                if asked.answered and asked.error is None and asked.replicas >= DURABLE and not history.mixed:
                    assert asked.position is not None
                    node = history.find(asked.position)
                    if node is None or not history.descends(master.node, node):
                        raise Broken(f"request {asked.tag} of {asked.life} was acknowledged at {node}, and is lost")

    # -- choices -----------------------------------------------------------------------------------------------------

    def _some_life(self) -> Life | None:
        return self.faults._life(lambda _: True)

    def _level(self, life: Life) -> int:
        clones = len(self.world.clones(life.role.store))
        return self.random.choice((APPLIED, APPLIED, DURABLE, DURABLE, DURABLE, 1, self.random.randint(0, clones + 1)))

    def _ask(self, life: Life, timeout: float | None = None) -> None:
        replicas = self._level(life)
        if timeout is None:
            timeout = self.random.choice((5.0, 30.0)) if replicas > DURABLE else float("inf")
        tag, commands = self.requests.any()
        self.world.ask(life, tag, commands, replicas, timeout)

    # -- operations --------------------------------------------------------------------------------------------------

    def ask_once(self) -> None:
        if life := self._some_life():
            self._ask(life)

    def ask_much(self) -> None:
        if life := self._some_life():
            for _ in range(self.random.choice((3, 10, 30))):
                if life.active:
                    self._ask(life)
                    self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0, 0.001, 0.01)))

    def ask_everybody(self) -> None:
        for program in list(self.world.now_alive.values()):
            for life in list(self.world.lives_of[program].values()):
                if life.active:
                    self._ask(life)

    def ask_impatiently(self) -> None:
        if life := self._some_life():
            for _ in range(self.random.choice((1, 5))):
                self._ask(life, self.random.choice((0.001, 0.01, 0.5, 2.0)))

    def ask_together(self) -> None:
        """Let a put race with the end of the entry that it replaces."""
        if life := self._some_life():
            tag, commands = self.requests.put("e0", 50_000_000)
            self.world.ask(life, tag, commands, DURABLE)
            self.world.cluster.run(0.05 + self.random.uniform(-0.005, 0.005))
            if life.active:
                tag, commands = self.requests.put("e0", self.random.choice((0, 50_000_000)))
                self.world.ask(life, tag, commands, DURABLE)

    def ask_steadily(self) -> None:
        """Let there always be something to be committed for a while, and an entry whose time comes meanwhile."""
        if life := self.faults._life(lambda life: life.role.master and life.role.durable):
            self.world.disk.busy.add(life.name)
            tag, commands = self.requests.put("e3", 20_000_000)
            self.world.ask(life, tag, commands, DURABLE)
            for _ in range(100):
                self.world.cluster.run(0.03)
                if not life.active:
                    return
                tag, commands = self.requests.put("t0")
                self.world.ask(life, tag, commands, APPLIED)
            check(self.world)
            self.world.disk.busy.discard(life.name)

    def ask_a_full_disk(self) -> None:
        """Let much be asked at once of a master whose disk refuses all of it."""
        if life := self.faults._life(lambda life: life.role.master and life.role.durable):
            self.world.disk.full.add(life.name)
            for _ in range(30):
                self._ask(life)
                self.world.cluster.run(self.random.choice((0.0, 0.0, 0.0003)))
                if not life.active:
                    return
            self.world.cluster.run(0.01)
            self.world.disk.full.discard(life.name)

    def ask_while_a_clone_begins(self) -> None:
        """Let the master write while it sends all that there is to a clone that has nothing."""
        life = self.faults._life(lambda life: not life.role.master and not life.role.durable)
        master = self.world.master_of(life.machine) if life else None
        if life and master:
            self.world.crash(life.program)
            self.world.start(life.name)
            for _ in range(20):
                self.world.cluster.run(self.random.choice((0.001, 0.005, 0.02)))
                if not master.active:
                    return
                self._ask(master)

    def read(self) -> None:
        if life := self._some_life():
            self._check_reading(life)

    def _check_reading(self, life: Life) -> None:
        """Check that what a program reads is what there is."""
        state = life.node.state if life.node is not None else {}
        found = life.handle.items()
        wanted = {unpack_key(key): item.value for key, item in state.items()}
        if found != wanted or len(life.machine.contents) != len(wanted):
            raise Broken(f"{life} at {life.node} reads {found!r:.300}, there is {wanted!r:.300}")

    def wait_long(self) -> None:
        self.world.cluster.run(self.random.uniform(1.0, 25.0))
