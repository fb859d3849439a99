"""Many nodes in one thread, on a virtual clock and a simulated network, from a seed.

Nothing here waits: :meth:`Cluster.run` takes the next thing that is due and sets the clock to its time, so seconds of
a mesh's life pass in milliseconds, and the same seed gives the same life.

    cluster = Cluster(seed=1)
    manager, agent = cluster.add("manager"), cluster.add("agent")
    agent.peer(manager)
    disks = manager.subscribe("host/")
    cluster.run(1.0)
    agent.publish("host/web-01/disk", DiskUsage("web-01", 0.91))
    cluster.run(0.1)
    assert [message.event.used for message in disks.messages] == [0.91]
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from broker import events
from broker.figures import Figures
from broker.journaling import MemoryJournal, Position
from broker.node import Node
from broker.protocol.actions import (
    Action,
    Answered,
    CarryOut,
    Changed,
    Dial,
    Hangup,
    LogChanged,
    Send,
    StoreChanged,
    Tell,
    Wake,
)
from broker.protocol.exchange import Published
from broker.protocol.predicates import Condition, pack_where
from broker.protocol.subscriptions import Subscription
from broker.protocol.wires import Timing
from broker.status import Status
from broker.stores.clone import Clone
from broker.stores.entries import TABLES
from broker.stores.master import Master
from broker.stores.requests import Request
from broker.testing.disk import SimulatedDisk
from broker.testing.fabric import Conditions, Fabric
from broker.testing.logs import SimulatedCollector, SimulatedLog, SimulatedLogs
from broker.testing.stores import SimulatedStore
from broker.testing.subscriptions import SimulatedSubscription

__all__ = ["Cluster", "SimulatedEndpoint", "SimulatedSubscription"]

# The wall clock of a simulation: 2026-01-01 00:00 UTC, in nanoseconds.
_EPOCH_NS = 1_767_225_600_000_000_000


class Cluster:
    """A mesh in a box: its endpoints, its network (``fabric``, which also makes the faults) and its clock."""

    def __init__(self, seed: int, conditions: Conditions | None = None, timing: Timing | None = None) -> None:
        self.seed = seed
        self.timing = timing
        self.random = random.Random(seed)
        self.endpoints: dict[str, SimulatedEndpoint] = {}
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._calls = 0
        self.fabric = Fabric(self, self.random.getrandbits(64), conditions)
        self.disk = SimulatedDisk(self.random.getrandbits(64))

    def now(self) -> float:
        """Return the virtual time in seconds; it begins at 0."""
        return self._now

    def call_at(self, at: float, action: Callable[[], None]) -> None:
        """Call ``action`` at that virtual time."""
        self._calls += 1
        heapq.heappush(self._due, (at, self._calls, action))

    def add(self, name: str, **node_options: Any) -> SimulatedEndpoint:
        """Start an endpoint that listens at ``sim://`` and its name; one of that name that has died is replaced.

        ``node_options`` are for :class:`broker.node.Node`.
        """
        if name in self.endpoints and self.endpoints[name].alive:
            raise ValueError(f"there is an endpoint called {name} already")
        endpoint = self.endpoints[name] = SimulatedEndpoint(self, name, **node_options)
        return endpoint

    def restart(self, name: str) -> SimulatedEndpoint:
        """Start a new life of an endpoint; if it still lives, it is killed first.  KeyError: there was none.

        The new process has the options of the old one, and peers with all that the old one wanted to be linked with.
        It knows nothing else: it has another id, and subscriptions are to be made again.
        """
        former = self.endpoints[name]
        if former.alive:
            former.crash()
        endpoint = self.add(name, **former.node_options)
        for address in former.wanted:
            endpoint.peer(address)
        return endpoint

    def heal_all(self) -> None:
        """End all that is wrong with the network, and let every endpoint that is paused go on."""
        for endpoint in self.endpoints.values():
            if endpoint.alive and endpoint.paused:
                endpoint.unpause()
        self.fabric.heal_all()

    def run(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> bool:
        """Let time pass until ``condition`` holds; returns whether it did before ``limit_s`` were over."""
        end = self._now + limit_s
        while not condition():
            if not self._due or self._due[0][0] > end:
                self._now = end
                return False
            at, _, action = heapq.heappop(self._due)
            self._now = max(self._now, at)
            action()
        return True


class SimulatedEndpoint:
    """One node on a cluster's network.  What it does takes no time; what follows from it does."""

    def __init__(self, cluster: Cluster, name: str, **node_options: Any) -> None:
        self.cluster = cluster
        self.name = name
        self.address = f"sim://{name}"
        self.alive = True
        self.paused = False
        self.status: list[Status] = []
        self.wanted: dict[str, None] = {}  # the addresses of those it wants to be linked with, in order
        self.node_options = node_options
        chance = random.Random(cluster.random.getrandbits(64))
        self.node = Node(name, chance, cluster.timing, born=self.time_ns(), **node_options)
        self._readers: dict[Subscription, SimulatedSubscription] = {}
        self._stores: dict[str, SimulatedStore] = {}
        self.logs = SimulatedLogs(self)
        self._began_at = cluster.now()
        self._waiting: dict[Request, Callable[[Request], None]] = {}
        self._tick_at = float("inf")
        self._carrying = False
        cluster.fabric.listen(self, self.address)
        self.round_done()

    # -- what a program asks ---------------------------------------------------------------------------------------

    def peer(self, other: SimulatedEndpoint | str) -> None:
        """Wish to be linked with another endpoint of the cluster, or with whoever listens at that address."""
        address = other if isinstance(other, str) else other.address
        self.wanted[address] = None
        self.node.peer(address, self.cluster.now())
        self.round_done()

    def unpeer(self, other: SimulatedEndpoint | str) -> None:
        """Withdraw that wish; KeyError when there was none."""
        address = other if isinstance(other, str) else other.address
        if not self.node.unpeer(address):
            raise KeyError(address)
        self.wanted.pop(address, None)
        self.round_done()

    def subscribe(
        self, prefix: str, *types: type, where: Condition | None = None, **options: Any
    ) -> SimulatedSubscription:
        """Subscribe; messages are read as they come unless the subscription is told to stop reading.

        ``where`` is as in :meth:`broker.Endpoint.subscribe`; ``options`` are those of
        :meth:`broker.node.Node.subscribe`, such as ``queue_messages``.
        """
        if where is not None:
            options["where"] = pack_where(where, types)
        names = [events.name_of(kind) for kind in types]
        subscription = self.node.subscribe(prefix, names, **options)
        reader = self._readers[subscription] = SimulatedSubscription(self, subscription)
        self.round_done()
        return reader

    def publish(self, topic: str, event: object) -> bool:
        """Publish an event; False when it was not taken because a reader is slow."""
        code = self.node.publish(topic, event, self.time_ns())
        if code is Published.FIRST:
            # The batch leaves when the loop comes round: after everything else that happens now.
            self.cluster.call_at(self.cluster.now(), self._flush)
        self.round_done()
        return code is not Published.BLOCKED

    def figures(self) -> Figures:
        """Return what :meth:`broker.Endpoint.figures` gives; what only real files tell is 0."""
        return self.node.figures(self.cluster.now(), self._began_at)

    def master(self, store: str, *, durable: bool = False, **options: int) -> SimulatedStore:
        """Become a store's master; ``durable``: on the endpoint's disk, as it was left there.

        ``options`` are those of :meth:`broker.node.Node.attach_master`.
        """
        now = self.cluster.now()
        journal = self._journal(store, durable=durable)
        machine = self.node.attach_master(store, journal, now, self.time_ns(), **options)
        return self._add_store(store, machine)

    def clone(self, store: str, *, durable: bool = False, **options: int) -> SimulatedStore:
        """Follow a store; ``durable``: on the endpoint's disk, as it was left there."""
        machine = self.node.attach_clone(store, self._journal(store, durable=durable), self.cluster.now(), **options)
        return self._add_store(store, machine)

    def _journal(self, store: str, *, durable: bool) -> MemoryJournal:
        if durable:
            return self.cluster.disk.open(self.name, store, len(TABLES))
        return MemoryJournal(self.cluster.random.randbytes(16), len(TABLES))

    def _add_store(self, store: str, machine: Master | Clone) -> SimulatedStore:
        handle = self._stores[store] = SimulatedStore(self, machine)
        self.round_done()
        return handle

    def detach(self, store: str) -> None:
        """End a master or a clone; what its disk has not done is lost."""
        handle = self._stores.pop(store)
        handle.crash()
        self.node.detach_store(store, self.cluster.now())
        self.round_done()

    def submit(self, machine: Master | Clone, request: Request, answered: Callable[[Request], None]) -> None:
        """Ask something of a store; ``answered`` is called when its outcome is known."""
        self._waiting[request] = answered
        self.node.submit(machine, request, self.cluster.now())
        # It leaves when the loop comes round: after everything else that happens now.
        self.cluster.call_at(self.cluster.now(), self.flush_stores)
        self.round_done()

    def flush_stores(self) -> None:
        """Commit and send what was asked of stores."""
        if self.alive and not self.paused:
            self.node.flush_stores(self.cluster.now())
            self.round_done()

    def log(self, stream: str, record: type, *, durable: bool = True, **options: Any) -> SimulatedLog:
        """Write a log stream; ``durable``: its spool is on the endpoint's disk, as it was left there.

        ``options`` are those of :class:`broker.logs.writer.Options`.
        """
        return self.logs.begin_writer(stream, record, durable=durable, **options)

    def collect(
        self,
        stream: str,
        record: type | None = None,
        *,
        name: str = "",
        since: str | datetime | Position | None = None,
        acknowledge: str = "auto",
        reading: bool = True,
        **options: Any,
    ) -> SimulatedCollector:
        """Collect a log stream; with ``reading`` records are read as they come, else when they are asked for.

        The other ``options`` are those of :meth:`broker.Endpoint.collect`.
        """
        return self.logs.begin_collector(
            stream,
            record=record,
            name=name,
            since=since or ("earliest" if name else "now"),
            explicit=acknowledge == "explicit",
            reading=reading,
            **options,
        )

    def time_ns(self) -> int:
        """Return the time of its wall clock, in nanoseconds since 1970."""
        return _EPOCH_NS + round(self.cluster.now() * 1e9)

    def _flush(self) -> None:
        if self.alive:
            self.node.flush()
            self.round_done()

    def close(self) -> None:
        """Leave properly: say goodbye."""
        self.node.flush()
        self.node.close()
        self.round_done()
        self.crash()

    def crash(self) -> None:
        """Die at once, as by kill -9; see :meth:`Cluster.restart`."""
        self.alive = False
        for store in self._stores.values():
            store.crash()
        self.logs.crash()
        self.cluster.fabric.detach(self)

    # -- what the fabric tells (broker.testing.fabric.Port) --------------------------------------------------------

    @property
    def key(self) -> bytes:
        """The public key that it shows."""
        return self.node.guard.key

    def accepted(self, address: str, key: bytes) -> int:
        """Take note of a wire that was opened to us."""
        return self.node.accept(address, self.cluster.now(), key)

    def dialled(self, wire: int, key: bytes) -> None:
        """Take note of whose wire it is that we opened."""
        self.node.dialled(wire, key)

    def received(self, wire: int, frame: bytes) -> None:
        """Take a frame."""
        if self.alive:
            self.node.receive(wire, frame, self.cluster.now())

    def lost(self, wire: int, code: str, reason: str) -> None:
        """Take note of the loss of a wire."""
        if self.alive:
            self.node.wire_lost(wire, code, reason, self.cluster.now())

    def round_done(self) -> None:
        """Carry out what the node wants, and see to its next tick."""
        if self._carrying:
            return  # what a reader caused is carried out after what woke it
        if self._carry_out():
            self._schedule_tick(self.node.next_deadline())
        else:
            self._schedule_tick(self.node.next_acknowledgement())

    def _carry_out(self) -> bool:
        """Carry out what the node wants; returns whether a deadline may have changed, as for a real driver."""
        node, send, changed = self.node, self.cluster.fabric.send, False
        self._carrying = True
        while node.has_actions and self.alive:
            for action in node.take_actions():
                kind = type(action)
                if kind is Send:  # nearly always
                    send(self, action.wire, action.frame)  # type: ignore[union-attr]
                elif kind is Changed:
                    changed = True
                else:
                    self._carry_out_rare(action)
        self._carrying = False
        return changed

    def _carry_out_rare(self, action: Action) -> None:
        match action:
            case Dial(wire, address):
                self.cluster.fabric.dial(self, wire, address)
            case Hangup(wire):
                self.cluster.fabric.hangup(self, wire)
            case Wake(subscription):
                if subscription in self._readers:
                    self._readers[subscription].read()
            case Tell(status):
                self.status.append(status)
            case CarryOut(owner, work):
                for store in self._stores.values():
                    if store.machine is owner:
                        store.carry_out(work)
                self.logs.carry_out(action)
            case LogChanged():
                self.logs.carry_out(action)
            case Answered(request) if isinstance(request, Request) and request in self._waiting:
                self._waiting.pop(request)(request)
            case StoreChanged(store) if store in self._stores:
                self._stores[store].changed()

    def _schedule_tick(self, due: float) -> None:
        if due < self._tick_at:
            self._tick_at = due
            self.cluster.call_at(due, lambda: self._tick(due))

    def _tick(self, due: float) -> None:
        if not self.alive or due != self._tick_at:
            return
        self._tick_at = float("inf")
        if self.paused:
            return  # unpause() looks at the clock again
        self.node.tick(self.cluster.now())
        self._carry_out()
        self._schedule_tick(self.node.next_deadline())

    def pause(self) -> None:
        """Stop, as by SIGSTOP: nothing is received, time does not act.  Ask nothing of it before :meth:`unpause`."""
        self.paused = True
        self.cluster.fabric.pause(self.name)

    def unpause(self) -> None:
        """Go on."""
        self.paused = False
        self.cluster.fabric.unpause(self.name)
        self._schedule_tick(self.node.next_deadline())
