"""Nodes joined by hand: every action is carried out when the test says so, on a clock that the test sets."""

from __future__ import annotations

import random
from collections import deque

import attrs

import broker
from broker.node import Node
from broker.protocol import frames
from broker.protocol.actions import Dial, Hangup, Send, Tell
from broker.protocol.frames import Kind
from broker.protocol.link import Link
from broker.protocol.subscriptions import Subscription
from broker.protocol.wires import Timing
from broker.status import Status

__all__ = ["NOW_NS", "Block", "Reading", "Station", "Wiring", "kinds", "read"]

NOW_NS = 1_767_225_600_000_000_000


@broker.event(name="protocol.Reading")
class Reading:
    host: str
    value: int


@broker.event(name="protocol.Block")
class Block:
    number: int
    body: bytes


def read(subscription: Subscription) -> list[broker.Message]:
    """Take all that a subscription has."""
    taken = []
    while (messages := subscription.take()) is not None:
        taken += messages
    return taken


def kinds(sent: list[bytes]) -> list[Kind]:
    return [Kind(frame[0]) for frame in sent]


@attrs.define(eq=False)
class Station:
    """A node, and what it has told and sent."""

    node: Node
    address: str
    status: list[Status] = attrs.field(factory=list)
    sent: list[bytes] = attrs.field(factory=list)
    wires: dict[int, tuple[Station, int]] = attrs.field(factory=dict)  # its number: the other end
    unconnected: dict[int, list[bytes]] = attrs.field(factory=dict)

    def link(self, other: Station) -> Link:
        return self.node.peerings.links[other.node.id]

    def told(self, kind: type[Status]) -> list[Status]:
        return [status for status in self.status if isinstance(status, kind)]


class Wiring:
    """Stations, and the frames and dials on their way: :meth:`step` lets one of them arrive, :meth:`settle` all."""

    def __init__(self, *names: str, timing: Timing | None = None, seed: int = 0) -> None:
        self.now = 100.0
        self.random = random.Random(seed)
        self.on_the_way: dict[tuple[int, int, int], deque[bytes]] = {}  # per wire and direction
        self.dials: list[tuple[Station, int, str]] = []
        self.stations = {name: self.add(name, timing) for name in names}

    def add(self, name: str, timing: Timing | None = None) -> Station:
        chance = random.Random(self.random.getrandbits(64))
        return Station(Node(name, chance, timing, born=round(self.now * 1e9)), f"sim://{name}")

    def __getitem__(self, name: str) -> Station:
        return self.stations[name]

    def carry_out(self) -> None:
        """Take what the nodes want done; frames and dials are then on their way."""
        for station in self.stations.values():
            for action in station.node.take_actions():
                match action:
                    case Send(wire, frame):
                        self._send(station, wire, frame)
                    case Dial(wire, address):
                        station.unconnected[wire] = []
                        self.dials.append((station, wire, address))
                    case Hangup(wire):
                        station.wires.pop(wire, None)
                        station.unconnected.pop(wire, None)
                    case Tell(status):
                        station.status.append(status)

    def _send(self, station: Station, wire: int, frame: bytes) -> None:
        station.sent.append(frame)
        if wire in station.unconnected:
            station.unconnected[wire].append(frame)
        elif wire in station.wires:
            other, number = station.wires[wire]
            self.on_the_way.setdefault((id(other), number, id(station)), deque()).append(frame)

    def _by_id(self, number: int) -> Station | None:
        return next((station for station in self.stations.values() if id(station) == number), None)

    def step(self, choice: int = 0) -> bool:
        """Let one dial, or one frame of some wire, arrive: the one that ``choice`` picks; False when there is none."""
        self.carry_out()
        on_the_way = [key for key, frames_ in self.on_the_way.items() if frames_]
        total = len(self.dials) + len(on_the_way)
        if not total:
            return False
        index = choice % total
        if index < len(self.dials):
            self._connect(*self.dials.pop(index))
        else:
            key = on_the_way[index - len(self.dials)]
            frame = self.on_the_way[key].popleft()
            station = self._by_id(key[0])
            if station is not None and key[1] in station.wires:
                station.node.receive(key[1], frame, self.now)
        self.carry_out()
        return True

    def _connect(self, station: Station, wire: int, address: str) -> None:
        early = station.unconnected.pop(wire, None)
        if early is None:
            return  # hung up meanwhile
        target = next((other for other in self.stations.values() if other.address == address), None)
        if target is None:
            station.node.wire_lost(wire, "refused", "nothing listens there", self.now)
            return
        number = target.node.accept(station.address, self.now)
        station.wires[wire] = target, number
        target.wires[number] = station, wire
        for frame in early:
            self._send(station, wire, frame)
            station.sent.pop()  # it was noted when it was sent first

    def settle(self) -> None:
        """Let everything arrive, and what follows from it."""
        while self.step():
            pass

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass, and everything arrive at once."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            for station in self.stations.values():
                station.node.tick(self.now)
            self.settle()

    def peer(self, one: str, other: str) -> None:
        self[one].node.peer(self[other].address, self.now)

    def join(self, one: str, other: str) -> tuple[Link, Link]:
        """Link two stations; returns both ends."""
        self.peer(one, other)
        self.settle()
        return self[one].link(self[other]), self[other].link(self[one])

    def cut(self, one: str, other: str, *, both_notice: bool = True) -> None:
        """Cut the wires between two stations, losing what is on its way; a dialler notices, a listener may not."""
        first, second = self[one], self[other]
        for station, peer in ((first, second), (second, first)):
            for number, (end, _) in list(station.wires.items()):
                if end is not peer:
                    continue
                del station.wires[number]
                self.on_the_way.pop((id(station), number, id(peer)), None)
                wire = station.node.peerings.wires.get(number)
                if wire is not None and (both_notice or wire.peering is not None):
                    station.node.wire_lost(number, "cut", "the connection was closed", self.now)
        self.carry_out()

    def publish(self, name: str, topic: str, *values: int) -> None:
        """Publish readings as one batch."""
        node = self[name].node
        for value in values:
            assert node.publish(topic, Reading(name, value), NOW_NS)
        node.flush()

    def inject(self, name: str, other: str, frame: bytes) -> None:
        """Let a frame arrive at ``name`` as if ``other`` had sent it."""
        link = self[name].link(self[other])
        assert link.wire is not None
        self[name].node.receive(link.wire, frame, self.now)
        self.carry_out()


def header(kind: int, *, sequence: int = 0, ack: int = 0, flags: int = 0, ttl: int = 0) -> bytes:
    """Return a frame's header."""
    return frames.pack_header(kind, flags, ttl, sequence, ack)
