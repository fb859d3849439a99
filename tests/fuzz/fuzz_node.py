"""A whole node among hostile peers: an input is the life that one of them leads.

The node under test, ``a``, has a good peer and a hostile one; all three are real, on a virtual clock, with
subscriptions, a store and a log stream.  The input is a row of steps, each a byte that says which and what it needs:
frames said in the name of the hostile peer, within its session or not, strangers' first words, wires that are lost,
time that passes.  Whatever it was, ``a`` must then carry on for its good peer.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import trio

import broker
from broker.protocol.addresses import address_of, entry_of
from broker.protocol.frames import HEADER_BYTES, ROUTED, SEALED, Kind, pack_header
from broker.status import PeerLost
from broker.testing import Cluster
from broker.trust.guard import SEAL_BYTES, Guard
from broker.trust.judge import Judge
from broker.trust.keys import KEY_BYTES, SecretKey
from broker.trust.rights import ALL

__all__ = ["RAW", "WITHIN", "World", "live", "live_with_keys", "step"]

STEPS_MAX = 40
# The steps; see :meth:`World.take`.
WITHIN, RAW, STRANGER, TIME, CUT, WORK, ANEW, READ = range(8)
WHO = ("hostile", "a", "good")


@broker.event(name="fuzz.node.Reading")
class Reading:
    host: str
    value: int


@broker.event(name="fuzz.node.Line")
class Line:
    text: str


def step(kind: int, payload: bytes = b"", *, place: int = 0) -> bytes:
    """Return a step of an input."""
    return bytes((kind, place)) + len(payload).to_bytes(2, "big") + payload


class World:
    """The three endpoints, and what the input makes of them."""

    def __init__(self, *, keys: bool = False) -> None:
        self.cluster = cluster = Cluster(seed=1)
        self.keys = keys
        options = {name: {"guard": guard} for name, guard in guards().items()} if keys else {}
        self.a, self.good, self.hostile = (
            cluster.add(name, **options.get(name, {})) for name in ("a", "good", "hostile")
        )
        self.good.peer(self.a)
        self.hostile.peer(self.a)
        self.inbox = self.a.subscribe("")
        self.outbox = self.good.subscribe("good/")
        self.hostile.subscribe("x/")
        self.store = self.a.master("hosts")
        self.replica = self.good.clone("hosts")
        self.hostile.clone("hosts")
        self.hostile.master("theirs")
        self.a.clone("theirs")
        self.log = self.a.log("lines", Line)
        self.hostile.collect("lines", name="them")
        self.their_log = self.hostile.log("theirs", Line)
        self.a.collect("theirs", name="us")
        self.published = 0
        cluster.run(0.2)
        self.their_log.write(Line("one"))
        cluster.run(0.3)
        self.wire = self._wire()

    def _wire(self) -> int:
        link = self.a.node.peerings.links.get(self.hostile.node.id)
        return -1 if link is None or link.wire is None else link.wire

    def take(self, kind: int, place: int, payload: bytes) -> None:
        """Do what a step says."""
        if kind == WITHIN:
            self._within(place, payload)
        elif kind == RAW:
            self._receive(self._wire() if place & 1 else self.wire, payload)
        elif kind == STRANGER:
            key = self.hostile.key if place & 1 else b""
            self._receive(self.a.accepted(f"sim://stranger/{place}", key), payload)
        elif kind == TIME:
            self.cluster.run(min(place, 60) / 4)
        elif kind == CUT:
            self.a.lost(self.wire, "cut", "the connection was closed")
        elif kind == WORK:
            self._work(place)
        elif kind == ANEW:
            self.wire = self.a.accepted("sim://hostile", self.hostile.key)
        else:
            self.wire = self._wire()

    def _receive(self, wire: int, frame: bytes) -> None:
        self.a.received(wire, frame)

    def _within(self, place: int, payload: bytes) -> None:
        """A frame in the hostile peer's session: with the sequence that is next, addressed to whom ``place`` says."""
        if len(payload) < 4:
            return
        kind, flags, ttl, flow = payload[:4]
        body = payload[4:]
        link = self.a.node.peerings.links.get(self.hostile.node.id)
        if link is None:
            return
        ids = {name: getattr(self, name).node.id for name in WHO}
        if kind >= ROUTED:
            incoming = self.a.node.members.members[self.hostile.node.id].incoming
            next_ = 1 if incoming is None else incoming.expected
            number = flow & 15 or (1 if incoming is None else incoming.number)
            # Without keys nobody can tell who speaks for the good peer: it may be cut off for what is said in its name.
            origins = WHO if self.keys else WHO[:2]
            to, origin = ids[WHO[place % 3]], ids[origins[place // 3 % len(origins)]]
            seal = body[:SEAL_BYTES].ljust(SEAL_BYTES) if flags & SEALED else b""
            body = address_of(origin, [entry_of(to, number, next_ + (flow >> 4)) + seal]) + body
        sequence = link.received + 1 if kind >= Kind.SYNC else 0
        self._receive(self._wire(), pack_header(kind, flags, ttl or 32, sequence, link.acknowledged) + body)

    def _work(self, place: int) -> None:
        if place & 1:
            self.hostile.publish("x/y", Reading("hostile", self.published))
        if place & 2:
            self.store.put(place, [self.published])
        if place & 4:
            with suppress(trio.WouldBlock):
                self.log.write(Line("line"))
        if place & 8:
            self.good.publish("x/good", Reading("good", self.published))
        if place & 16:
            self.hostile.node.flush()
        self.published += 1
        self.cluster.run(0.05)

    def check(self) -> None:
        """See that the node serves its good peer, and owes it nothing; raises AssertionError.

        Where there are keys, nobody has spoken for the good peer.
        """
        self.cluster.run(1.0)
        if self.keys:
            assert {message.topic for message in self.inbox.messages if message.origin == "good"} <= {"x/good"}
        lost: list[Any] = [status for status in self.a.status if isinstance(status, PeerLost)]
        assert not [status for status in lost if status.peer == "good"], lost
        for endpoint, inbox, topic in ((self.good, self.inbox, "still/here"), (self.a, self.outbox, "good/here")):
            inbox.messages.clear()
            endpoint.publish(topic, Reading("check", 7))
            assert self.cluster.run_until(partial(_has_come, inbox.messages), 10.0), f"{topic!r} was not heard"
        request = self.store.put("still", "here")
        assert self.cluster.run_until(lambda: request.done and "still" in self.replica.items(), 10.0), "no store"


def _has_come(messages: list[broker.Message]) -> bool:
    return any(message.event == Reading("check", 7) for message in messages)


def guards() -> dict[str, Guard]:
    """Return keys and rules: all that is done without an input is allowed, and little else to the hostile one."""
    keys = {name: SecretKey(name.encode().ljust(KEY_BYTES, b".")) for name in WHO}
    few = broker.Rights(
        publish=("x/",),
        subscribe=("x/",),
        stores={"hosts": ("read",), "theirs": ("master",)},
        logs={"lines": ("collect",), "theirs": ("write",)},
        relay=True,
    )
    access = broker.Access(
        trusted={
            name: broker.Trusted(keys=(key.public,), own=few if name == "hostile" else ALL)
            for name, key in keys.items()
        }
    )
    judge = Judge.of(access, datetime(2026, 1, 1, tzinfo=UTC))
    return {name: Guard(key, judge) for name, key in keys.items()}


def live_with_keys(data: bytes) -> World:
    """Lead a life in a mesh whose endpoints have keys."""
    return live(data, keys=True)


def live(data: bytes, *, keys: bool = False) -> World:
    """Lead a life, and see that the node serves its good peer afterwards."""
    world = World(keys=keys)
    at = 0
    for _ in range(STEPS_MAX):
        if at >= len(data):
            break
        kind, place = data[at], data[at + 1] if at + 1 < len(data) else 0
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        payload = data[at + 4 : at + 4 + size]
        world.take(kind & 7, place, payload)
        at += 4 + size
    world.check()
    return world


def life_of(frames: list[bytes]) -> bytes:
    """Return the input that says these frames in the hostile peer's session, whatever session they were from."""
    steps = []
    for frame in frames:
        kind, flags, ttl = frame[:3]
        body = frame[HEADER_BYTES:]
        if kind >= ROUTED:
            body = body[18 + 28 * int.from_bytes(body[16:18], "big") :]
        steps.append(step(WITHIN, bytes((kind, flags, ttl, 0)) + body, place=1))
    return b"".join(steps)
