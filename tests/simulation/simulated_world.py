"""A cluster whose programs keep books: what each published, and what each subscription may expect of it.

The books are what the checker compares the subscriptions' messages with.  They are kept where the promise is made: a
message is *expected* by a subscription when, at the moment it is published, its publisher knows of the subscription.
And a publisher has to know of it from the moment at which the subscriber has seen it acknowledged, for as long as
both processes live.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import attrs
from simulated_graph import reachable
from trusted_rules import INTRUDER, Ring

import broker
from broker.events import name_of
from broker.protocol.addresses import Address, Entry
from broker.protocol.frames import TTL_DEFAULT, Header
from broker.protocol.link import Link
from broker.protocol.member import Member as MeshMember
from broker.rules.model import Apply, Constant, EventType, Member, MemberType, Name, Where
from broker.testing import Cluster, Conditions, SimulatedEndpoint, SimulatedSubscription

__all__ = [
    "BLOB_BYTES_MAX",
    "CLASSES",
    "TOPICS",
    "Alarm",
    "Blob",
    "Broken",
    "Line",
    "Note",
    "Program",
    "Publisher",
    "Reader",
    "World",
]

# Who is linked with programs and is none of them.
_INTRUDERS = {INTRUDER, f"{INTRUDER}@2"}

# A publisher's name and which of its lives it was.
Publisher = tuple[str, int]


class Broken(AssertionError):
    """A promise was broken."""


@broker.event(name="simulation.Note")
class Note:
    publisher: str
    life: int
    number: int


@broker.event(name="simulation.Alarm")
class Alarm:
    publisher: str
    life: int
    number: int
    tags: list[str]


@broker.event(name="simulation.Blob")
class Blob:
    publisher: str
    life: int
    number: int
    body: bytes


CLASSES: tuple[type, ...] = (Note, Alarm, Blob)
BLOB_BYTES_MAX = 500_000
TOPICS = ("host/a/cpu", "host/a/disk", "host/b/cpu", "host/ä", "net/flow", "n")


@attrs.frozen
class Line:
    """What was published under a number."""

    topic: str
    event: Any
    at: float


@attrs.define(eq=False)
class Reader:
    """A subscription, and what it may expect: by publisher, the numbers."""

    program: Program
    prefix: str
    types: tuple[type, ...]
    handle: SimulatedSubscription
    to_learn: set[bytes]  # by id, who could be reached when it was made, and ever since: it waits for their word
    chosen: frozenset[int] | None = None  # it has a predicate, which accepts these numbers
    open: bool = True
    known_to: set[Publisher] = attrs.field(factory=set)  # who has acknowledged it
    expected: dict[Publisher, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    optional: dict[Publisher, set[int]] = attrs.field(factory=lambda: defaultdict(set))  # may come, or be lost

    @property
    def subscription(self) -> Any:
        return self.handle._subscription

    def wants(self, topic: str, event: Any) -> bool:
        return self.may_want(topic, event) and (self.chosen is None or event.number in self.chosen)

    def may_want(self, topic: str, event: object) -> bool:
        """Whether it is of a topic and class that it wants, whatever its predicate says."""
        return topic.startswith(self.prefix) and (not self.types or type(event) in self.types)

    def close(self) -> None:
        self.open = False
        self.handle.close()


@attrs.define(eq=False)
class Program:
    """One life of one endpoint."""

    name: str
    life: int
    endpoint: SimulatedEndpoint
    log: dict[int, Line] = attrs.field(factory=dict)
    readers: list[Reader] = attrs.field(factory=list)

    @property
    def active(self) -> bool:
        return self.endpoint.alive and not self.endpoint.paused

    @property
    def key(self) -> Publisher:
        return (self.name, self.life)

    def link_to(self, other: Program) -> Link | None:
        return self.endpoint.node.peerings.links.get(other.endpoint.node.id)

    def member_of(self, other: Program) -> MeshMember | None:
        return self.endpoint.node.members.members.get(other.endpoint.node.id)


def _number_in(kind: type, numbers: frozenset[int]) -> Where:
    """A predicate: the event's number is one of these."""
    number = Member(Name("event"), "number")
    among = Apply("num.in", (number, Constant(tuple(map(float, sorted(numbers))))))
    return Where(EventType(name_of(kind), (MemberType("number", "number"),), known=True), among)


class World:
    """All programs, alive and dead, and what they want."""

    def __init__(self, seed: int, conditions: Conditions | None = None) -> None:
        self.cluster = Cluster(seed, conditions)
        self.lives: list[Program] = []
        self.now_alive: dict[str, Program] = {}
        self.leaves: set[str] = set()
        self.wishes: dict[str, set[str]] = defaultdict(set)  # by name: the addresses it wants to be linked with
        self.blocked = 0  # publishes that were not taken
        self.ring: Ring | None = None  # keys and access rules, where there are any

    def start(self, name: str) -> Program:
        """Start a program, or start it again; it peers with whom its former life wanted to.

        It can be dialled at two addresses: ``sim://NAME``, and ``sim://NAME/again``.
        """
        life = sum(program.name == name for program in self.lives)
        options = self.ring.options_of(name) if self.ring else {}
        program = Program(name, life, self.cluster.add(name, forward=name not in self.leaves, **options))
        if self.ring:
            self.ring.begun(program)
        self.cluster.fabric.listen(program.endpoint, f"sim://{name}/again")
        self.lives.append(program)
        self.now_alive[name] = program
        self._watch_ways(program)
        self._watch_hops(program)
        for address in sorted(self.wishes[name]):
            program.endpoint.peer(address)
        return program

    def _watch_ways(self, program: Program) -> None:
        """Take note of who cannot be reached for a moment: no subscription waits for them."""
        members = program.endpoint.node.members
        compute = members.compute

        def computing(now: float) -> None:
            compute(now)
            reached = {member.id for member in members.members.values() if member.reachable}
            for reader in program.readers:
                reader.to_learn &= reached

        members.compute = computing  # type: ignore[method-assign]

    def _watch_hops(self, program: Program) -> None:
        """Check that what came by way of a relay may travel less far than what comes from its origin."""
        node = program.endpoint.node
        receive = node.transit.receive

        def receiving(header: Header, address: Address, frame: bytes) -> Entry | None:
            if address.origin not in node.peerings.links and header.ttl >= TTL_DEFAULT:
                raise Broken(f"{program.name} got a frame from far away with a ttl of {header.ttl}")
            return receive(header, address, frame)

        node.transit.receive = receiving  # type: ignore[method-assign]

    def peer(self, program: Program, address: str) -> None:
        self.wishes[program.name].add(address)
        program.endpoint.peer(address)

    def unpeer(self, program: Program, address: str) -> None:
        self.wishes[program.name].discard(address)
        program.endpoint.unpeer(address)

    def subscribe(
        self,
        program: Program,
        prefix: str,
        types: tuple[type, ...],
        chosen: frozenset[int] | None = None,
        **limits: Any,
    ) -> Reader:
        to_learn = {m.id for m in program.endpoint.node.members.members.values() if m.reachable}
        where = None if chosen is None else _number_in(types[0], chosen)
        handle = program.endpoint.subscribe(prefix, *types, where=where, **limits)
        reader = Reader(program, prefix, types, handle, to_learn, chosen)
        program.readers.append(reader)
        return reader

    def publish(self, program: Program, topic: str, kind: type, size: int = 0) -> bool:
        """Publish the next number; False when it was not taken."""
        number = len(program.log)
        extra: dict[type, tuple[Any, ...]] = {Note: (), Alarm: (["x"] * (size % 7),), Blob: (bytes(size),)}
        event = kind(program.name, program.life, number, *extra[kind])
        # Who may expect it is to be looked up before: publishing itself may change that.
        expecting = [reader for reader in self._readers_known_to(program) if reader.wants(topic, event)]
        if not program.endpoint.publish(topic, event):
            self.blocked += 1
            return False
        program.log[number] = Line(topic, event, self.cluster.now())
        for reader in expecting:
            reader.expected[program.key].append(number)
        return True

    def _readers_known_to(self, program: Program) -> list[Reader]:
        """Return the subscriptions that a program knows of, and check that it knows those that it has to."""
        known = [reader for reader in program.readers if reader.open]
        for other in self.now_alive.values():
            member = program.member_of(other)
            if other is program or member is None:
                continue
            excused = self.ring is not None and self.ring.at_odds(program, other)  # it may have been forgotten
            back = other.member_of(program)
            for reader in other.readers:
                if not reader.open:
                    continue
                if reader.subscription.interest in member.interests:
                    known.append(reader)
                    if back is not None and reader.handle.announced:
                        reader.known_to.add(program.key)
                elif excused:
                    reader.known_to.discard(program.key)
                elif program.key in reader.known_to:
                    raise Broken(f"{program.name} has forgotten that {other.name} wants {reader.prefix!r}")
                elif (
                    reader.handle.announced
                    and program.endpoint.node.id in reader.to_learn
                    and back is not None
                    and back.reachable
                ):
                    raise Broken(f"{other.name} takes {reader.prefix!r} for known to {program.name}")
        return known

    def crash(self, program: Program) -> None:
        program.endpoint.crash()
        del self.now_alive[program.name]

    def close(self, program: Program) -> None:
        program.endpoint.close()
        del self.now_alive[program.name]

    def heal(self) -> None:
        """End all that is wrong: partitions, pauses, readers that do not read, programs that are dead."""
        for program in self.now_alive.values():
            if program.endpoint.paused:
                program.endpoint.unpause()
        self.cluster.fabric.heal_all()
        for name in sorted({program.name for program in self.lives} - set(self.now_alive)):
            self.start(name)
        for program in self.now_alive.values():
            for reader in program.readers:
                if reader.open:
                    reader.handle.go_on_reading()

    # -- what should be when nothing is wrong ------------------------------------------------------------------------

    def component_of(self, name: str) -> set[str]:
        """Return whom an endpoint has to reach once all that is wished is linked."""
        edges: dict[str, set[str]] = defaultdict(set)
        for one, addresses in self.wishes.items():
            for address in addresses:
                other = address.split("/")[2]
                edges[one].add(other)
                edges[other].add(one)
        return reachable(name, edges, self.leaves)

    def obstacles(self) -> list[str]:
        """Say what is not yet as it should be when nothing is wrong: nothing, once all has settled."""
        return [*self._unlinked(), *self._unseen(), *self._undelivered()]

    def _unlinked(self) -> list[str]:
        found = []
        for name, wanted in self.wishes.items():
            for other in sorted({address.split("/")[2] for address in wanted}):
                one, two = self.now_alive[name], self.now_alive[other]
                link, back = one.link_to(two), two.link_to(one)
                if link is None or back is None or link.session != back.session or not (link.added and back.added):
                    found.append(f"{name} is not linked with {other}")
                elif link.wire is None or back.wire is None:
                    found.append(f"{name} and {other} have a session, but no wire")
        return found

    def _unseen(self) -> list[str]:
        found = []
        for name, program in self.now_alive.items():
            members = program.endpoint.node.members
            seen = {member.name for member in members.members.values() if member.reachable} - _INTRUDERS
            ought = self.component_of(name)
            if seen != ought:
                found.append(f"{name} reaches {sorted(seen)}, not {sorted(ought)}")
            for other in sorted(seen & ought):
                member = program.member_of(self.now_alive[other])
                own = self.now_alive[other].endpoint.node.members.own
                if member is None:
                    found.append(f"{name} takes a former {other} for the present one")
                elif (member.version, member.interests) != (own.version, own.interests):
                    found.append(f"{name} has old word of {other}")
        return found

    def _undelivered(self) -> list[str]:
        found = []
        for program in self.now_alive.values():
            members = program.endpoint.node.members.members.values()
            found += [
                f"{program.name} has not delivered to {member.name}"
                for member in members
                if member.out.pending and (member.reachable or not member.out.away)
            ]
            found += [f"{program.name} is full" for reader in program.readers if reader.open and reader.handle.pending]
            found += [
                f"{program.name} waits for {reader.prefix!r} to be known"
                for reader in program.readers
                if reader.open and not reader.handle.announced
            ]
        return found
