"""An endpoint with a valid key and no right at all, among those of a life: it says whatever comes to its mind.

Nobody may act on a word of it in anybody else's name, and nobody honest may be cut off from others because of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import structs
from simulated_world import Program, World
from trusted_rules import INTRUDER, Ring

from broker.protocol import frames
from broker.protocol.addresses import address_of, entry_of
from broker.protocol.announcements import update_of, whole
from broker.protocol.frames import (
    SEALED,
    TTL_DEFAULT,
    Denied,
    Hello,
    Interest,
    InterestUpdate,
    Kind,
    Known,
    Learned,
    MemberUpdate,
    Neighbour,
    Probe,
    Report,
    Sync,
    pack_header,
)
from broker.protocol.link import Link, OutFrame

__all__ = ["Intruder"]


class Intruder:
    """One, linked with some of the programs."""

    def __init__(self, world: World, ring: Ring, chance: random.Random, names: list[str]) -> None:
        self.world = world
        self.ring = ring
        self.random = chance
        self.endpoint = world.cluster.add(INTRUDER, **ring.options_of(INTRUDER))
        self.node = self.endpoint.node
        ring.intruder = self.endpoint
        self.node.check_right = lambda right, what: None  # type: ignore[method-assign]
        self.node.exchange.permit = lambda topic: None
        self.endpoint.subscribe("")
        for name in names:
            self.endpoint.peer(f"sim://{name}")
        self.counts: Counter[str] = Counter()
        self._announced: list[bytes] = []  # what others have told of themselves, as it was signed
        self._bodies: list[tuple[int, bytes]] = []  # frames of events that came to it
        self._lies: list[Callable[[Link, Program], None]] = [
            self.forge_announcement,
            self.repeat_announcement,
            self.say_different_things,
            self.forge_interests,
            self.forge_frame,
            self.forge_frame,
            self.publish,
            self.ask,
            self.claim,
        ]

    def act(self) -> None:
        """Tell some lies, to some of those who still listen."""
        for link in list(self.node.peerings.links.values()):
            if link.wire is None or self.random.random() < 0.3:
                continue
            victims = [program for program in self.world.now_alive.values() if program.endpoint.node.id != link.peer_id]
            if victims:
                lie = self.random.choice(self._lies)
                self.counts[lie.__name__] += 1
                self._remember()
                lie(link, self.random.choice(victims))
                self.node._touched[link] = None
                self.node._pump()
                self.endpoint.round_done()

    def _remember(self) -> None:
        for member in self.node.members.members.values():
            if member.announced not in self._announced[-50:]:
                self._announced.append(member.announced)

    def _say(self, link: Link, kind: int, payload: bytes) -> None:
        link.send(OutFrame(kind, payload))

    # -- lies --------------------------------------------------------------------------------------------------------

    def forge_announcement(self, link: Link, victim: Program) -> None:
        own = victim.endpoint.node.members.own
        if not own.announced:
            return
        chance = self.random
        update = frames.decode(MemberUpdate, own.announced)
        lies: list[dict[str, Any]] = [
            {"neighbours": ()},
            {"gone": True},
            {"forward": False},
            {"interests": update.interests + 100},
            {"key": self.node.guard.key},
            {"name": INTRUDER},
            {"masters": (frames.Role("s", b"j" * 16, 1),)},
            {"base": update.version, "neighbours": (), "removed": tuple(edge.id for edge in update.neighbours)},
        ]
        version = update.version + chance.choice((1, 1000, 1 << 40))
        update = structs.replace(update, version=version, **chance.choice(lies))
        if chance.random() < 0.5:
            links = {edge.id: edge for edge in update.neighbours}
            update = structs.replace(update, signature=self.node.guard.sign(whole(update, links)))
        self._say(link, Kind.MEMBER, frames.encode(update))

    def repeat_announcement(self, link: Link, victim: Program) -> None:
        if self._announced:  # else nobody has said anything yet
            self._say(link, Kind.MEMBER, self.random.choice(self._announced))

    def say_different_things(self, link: Link, victim: Program) -> None:
        """Tell each of something else, with one version; and changes of that."""
        own, guard = self.node.members.own, self.node.guard
        links = dict(own.neighbours)
        for number in range(self.random.randint(0, 3)):
            links[bytes((number,)) * 16] = Neighbour(bytes((number,)) * 16, True)
        name = self.random.choice((INTRUDER, f"{INTRUDER}@2"))
        for version in (own.version + 2, own.version + 3):
            update = structs.replace(update_of(own, tuple(links.values())), version=version, name=name)
            self._say(link, Kind.MEMBER, whole(update, links, guard.sign(whole(update, links))))
            added = Neighbour(b"\xaa" * 16, True)
            change = structs.replace(update_of(own, (added,), base=version), version=version + 1, name=name)
            signed = guard.sign(whole(change, {**links, added.id: added}))
            self._say(link, Kind.MEMBER, frames.encode(structs.replace(change, signature=signed)))

    def forge_interests(self, link: Link, victim: Program) -> None:
        own = victim.endpoint.node.members.own
        version = own.interests_version + self.random.choice((1, 100, 1 << 40))
        wanted = self.random.choice(((), (Interest("h", None),)))
        base = self.random.choice((0, own.interests_version))
        self._say(link, Kind.INTERESTS, frames.encode(InterestUpdate(own.id, base, version, True, wanted, ())))

    def forge_frame(self, link: Link, victim: Program) -> None:
        """Say something in another's name, with no seal, a made up one, or the best that its own key makes."""
        chance = self.random
        target = link.peer_id
        member = next((m for m in self.node.members.members.values() if m.id == target), None)
        there = victim.endpoint.node.members.members.get(target)
        if member is None or there is None:
            return
        flow = there.out
        kind, body = chance.choice(
            [
                (Kind.EVENTS, _events(chance)),
                (Kind.REPORT, frames.encode(Report(1 << 30, max(0, flow.next_sequence - 1), 0, 1000, 0))),
                (Kind.LEARNED, frames.encode(Learned(1))),
                (Kind.ASK, b""),
                (Kind.DENIED, frames.encode(Denied("speak for", "nobody", 1))),
                (Kind.PROBE, frames.encode(Probe(1, flow.next_sequence + 50, flow.next_sequence + 49))),
            ]
        )
        entry = entry_of(target, flow.number, flow.next_sequence)
        flags = 0
        if chance.random() < 0.7:
            from broker.trust.guard import digest_of, seal

            key = self.node.guard.seal_keys(member.key, victim.endpoint.node.id, target)[0]
            entry += chance.choice((bytes(16), seal(key, digest_of(kind, body), entry[16:])))
            flags = SEALED
        link.send(OutFrame(kind, body, address_of(victim.endpoint.node.id, [entry]), TTL_DEFAULT, flags))

    def publish(self, link: Link, victim: Program) -> None:
        from simulated_world import Note

        self.endpoint.publish(self.random.choice(("host/a/cpu", "net/flow")), Note(INTRUDER, 0, 0))

    def ask(self, link: Link, victim: Program) -> None:
        known = Known(victim.endpoint.node.id, 1 << 50, 1 << 50)
        self._say(link, Kind.SYNC, frames.encode(Sync(False, (known,))))

    def claim(self, link: Link, victim: Program) -> None:
        """Open another connection and claim to be somebody else."""
        for program in self.world.now_alive.values():
            node = program.endpoint.node
            if program.active and node.id == link.peer_id and program is not victim:
                their = node.peerings.links.get(victim.endpoint.node.id)
                session = their.session if their is not None else b""
                wire = node.accept(INTRUDER, self.world.cluster.now(), self.node.guard.key)
                hello = Hello(
                    self.random.choice((victim.name, INTRUDER)),
                    victim.endpoint.node.id,
                    self.random.choice((session, b"")),
                    0,
                    their.turn + 1 if their is not None else 0,
                )
                said = pack_header(Kind.HELLO, 0, 0, 0, 0) + frames.encode_hello(hello)
                node.receive(wire, said, self.world.cluster.now())
                node.wire_lost(wire, "cut", "the stranger has gone", self.world.cluster.now())
                program.endpoint.round_done()


def _events(chance: random.Random) -> bytes:
    from simulated_world import Note

    from broker import events

    name, encode = events.encoder_for(Note)
    body = b"\x91" + encode(Note("p0", 0, chance.randrange(50)), 1)
    return frames.encode(frames.Batch([frames.Run(["host/a/cpu"], name, 1, b"", body)]))
