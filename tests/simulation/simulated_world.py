"""A cluster whose programs keep books: what each published, and what each subscription may expect of it.

The books are what the checker compares the subscriptions' messages with.  They are kept where the promise is made: a
message is *expected* by a subscription when, at the moment it is published, both ends have the session in which the
publisher learned of the subscription, and the subscriber has seen that acknowledged.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import attrs

import broker
from broker.protocol.link import Link
from broker.testing import Cluster, Conditions, SimulatedEndpoint, SimulatedSubscription

__all__ = ["BLOB_BYTES_MAX", "CLASSES", "TOPICS", "Alarm", "Blob", "Line", "Note", "Program", "Reader", "World"]


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


@attrs.define(eq=False)
class Reader:
    """A subscription, and what it may expect: by publisher (name, life), the numbers with their sessions."""

    program: Program
    prefix: str
    types: tuple[type, ...]
    handle: SimulatedSubscription
    queue_messages: int
    queue_bytes: int
    open: bool = True
    known_in: set[bytes] = attrs.field(factory=set)  # sessions in which the publisher knows of it
    expected: dict[tuple[str, int], list[tuple[int, bytes]]] = attrs.field(factory=lambda: defaultdict(list))

    def wants(self, topic: str, event: object) -> bool:
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
    sessions: int = 0  # that its links have had

    @property
    def active(self) -> bool:
        return self.endpoint.alive and not self.endpoint.paused

    def link_to(self, other: Program) -> Link | None:
        return self.endpoint.node.peerings.links.get(other.endpoint.node.id)


class World:
    """All programs, alive and dead, and what they want."""

    def __init__(self, seed: int, conditions: Conditions | None = None) -> None:
        self.cluster = Cluster(seed, conditions)
        self.lives: list[Program] = []
        self.now_alive: dict[str, Program] = {}
        self.wishes: dict[str, set[str]] = defaultdict(set)  # by name: the addresses it wants to be linked with
        self.blocked = 0  # publishes that were not taken

    def start(self, name: str) -> Program:
        """Start a program, or start it again; it peers with whom its former life wanted to.

        It can be dialled at two addresses: ``sim://NAME``, and ``sim://NAME/again``.
        """
        life = sum(program.name == name for program in self.lives)
        program = Program(name, life, self.cluster.add(name))
        self.cluster.fabric.listen(program.endpoint, f"sim://{name}/again")
        self.lives.append(program)
        self.now_alive[name] = program
        for address in sorted(self.wishes[name]):
            self._peer(program, address)
        return program

    def peer(self, program: Program, address: str) -> None:
        self.wishes[program.name].add(address)
        self._peer(program, address)

    def _peer(self, program: Program, address: str) -> None:
        program.endpoint.node.peer(address, self.cluster.now())
        program.endpoint.round_done()

    def unpeer(self, program: Program, address: str) -> None:
        self.wishes[program.name].discard(address)
        program.endpoint.node.unpeer(address)
        program.endpoint.round_done()

    def subscribe(
        self, program: Program, prefix: str, types: tuple[type, ...], queue_messages: int, queue_bytes: int
    ) -> Reader:
        handle = program.endpoint.subscribe(prefix, *types, queue_messages=queue_messages, queue_bytes=queue_bytes)
        reader = Reader(program, prefix, types, handle, queue_messages, queue_bytes)
        program.readers.append(reader)
        return reader

    def publish(self, program: Program, topic: str, kind: type, size: int = 0) -> bool:
        """Publish the next number; False when it was not taken."""
        number = len(program.log)
        extra: dict[type, tuple[Any, ...]] = {Note: (), Alarm: (["x"] * (size % 7),), Blob: (bytes(size),)}
        event = kind(program.name, program.life, number, *extra[kind])
        # Who may expect it is to be looked up before: publishing itself may end what was promised.
        expecting = self._expecting(program, topic, event)
        if not program.endpoint.publish(topic, event):
            self.blocked += 1
            return False
        program.log[number] = Line(topic, event)
        for reader, session in expecting:
            reader.expected[program.name, program.life].append((number, session))
        return True

    def _expecting(self, program: Program, topic: str, event: object) -> list[tuple[Reader, bytes]]:
        expecting = []
        for other in self.now_alive.values():
            if other is program:
                expecting += [
                    (reader, b"own") for reader in other.readers if reader.open and reader.wants(topic, event)
                ]
                continue
            link, back = program.link_to(other), other.link_to(program)
            if link is None or not link.added:
                continue
            for reader in other.readers:
                if not reader.open or not reader.wants(topic, event):
                    continue
                if back is not None and back.added and back.session == link.session and reader.handle.announced:
                    reader.known_in.add(link.session)
                if link.session in reader.known_in:
                    expecting.append((reader, link.session))
        return expecting

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

    def obstacles(self) -> list[str]:
        """Say what is not yet as it should be when nothing is wrong: nothing, once all has settled."""
        found = []
        for name, wanted in self.wishes.items():
            for other in sorted({address.split("/")[2] for address in wanted}):
                one, two = self.now_alive[name], self.now_alive[other]
                link, back = one.link_to(two), two.link_to(one)
                if link is None or back is None or link.session != back.session or not (link.added and back.added):
                    found.append(f"{name} is not linked with {other}")
                elif link.wire is None or back.wire is None:
                    found.append(f"{name} and {other} have a session, but no wire")
        for program in self.now_alive.values():
            node = program.endpoint.node
            found += [
                f"{program.name} has not delivered to {link.peer_name}"
                for link in node.peerings.links.values()
                if not link.drained
            ]
            found += [f"{program.name} is full" for reader in program.readers if reader.open and reader.handle.pending]
        return found
