"""Simulated meshes with keys and access rules, and an endpoint with a valid key that does not keep to the protocol.

An :class:`Intruder` is an ordinary endpoint whose test reaches into it: it says over its links whatever it is told to,
and changes what passes through it.  Nothing that it does needs another's secret key: that is what rules are about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import broker
from broker.protocol.addresses import Address, address_of, entry_of, read_address
from broker.protocol.frames import HEADER_BYTES, SEALED, TTL_DEFAULT, Header
from broker.protocol.link import Link, OutFrame
from broker.protocol.member import Member
from broker.status import Status
from broker.testing import Cluster, SimulatedEndpoint
from broker.trust.access import Access, Trusted
from broker.trust.guard import Guard, digest_of, seal
from broker.trust.judge import Judge
from broker.trust.keys import SecretKey
from broker.trust.rights import ALL, Rights

__all__ = ["ALL", "NOW", "RELAY", "Intruder", "Line", "Mesh", "Reading", "Rights", "secret_of", "values"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RELAY = Rights(relay=True)


@broker.event(name="trust.Reading")
class Reading:
    value: int


@broker.log_record("trust.Line")
class Line:
    value: int


def secret_of(name: str) -> SecretKey:
    """Return the key of that name: the same one always."""
    return SecretKey(hashlib.sha256(name.encode()).digest())


def values(reader: Any) -> list[int]:
    return [message.event.value for message in reader.messages]


class Mesh:
    """Endpoints by name; unless it is said otherwise all go by the same rules, and none but those trusted is let in."""

    def __init__(self, rights: Mapping[str, Rights], seed: int = 1) -> None:
        self.cluster = Cluster(seed)
        self.entries = {name: Trusted(keys=(secret_of(name).public,), own=own) for name, own in rights.items()}

    @property
    def access(self) -> Access:
        return Access(trusted=self.entries)

    def add(self, name: str, *peers: str, access: Access | None = None, key: str = "") -> SimulatedEndpoint:
        guard = Guard(secret_of(key or name.partition("@")[0]), Judge.of(access or self.access, NOW))
        endpoint = self.cluster.add(name, guard=guard)
        for peer in peers:
            endpoint.peer(f"sim://{peer}")
        return endpoint

    def line(self, *names: str) -> list[SimulatedEndpoint]:
        """Start endpoints that are each linked with the one before, and wait until they know each other."""
        endpoints = [self.add(name, *names[max(0, at - 1) : at]) for at, name in enumerate(names)]
        self.run(1.0)
        return endpoints

    def __getitem__(self, name: str) -> SimulatedEndpoint:
        return self.cluster.endpoints[name]

    def run(self, seconds: float = 1.0) -> None:
        self.cluster.run(seconds)

    def rule(self, name: str, **changes: Any) -> None:
        """Change an entry; nobody knows of it yet."""
        entry = self.entries[name]
        given = {field: getattr(entry, field) for field in ("keys", "groups", "own", "names", "expires", "revoked")}
        self.entries[name] = Trusted(**{**given, **changes})

    def apply(self, *names: str, access: Access | None = None) -> None:
        """Let endpoints (all of them, if none is named) go by the rules as they are now."""
        for name in names or [name for name, endpoint in self.cluster.endpoints.items() if endpoint.alive]:
            self.trust(name, None, access)

    def trust(self, name: str, secret: SecretKey | None = None, access: Access | None = None) -> None:
        """Let an endpoint have that key, and go by those rules."""
        endpoint = self[name]
        own = secret or endpoint.node.guard._secret
        assert own is not None
        endpoint.node.trust(own, Judge.of(access or self.access, NOW), self.cluster.now())
        endpoint.round_done()

    def member(self, seen_by: str, name: str) -> Member | None:
        """Return an endpoint as another one knows it."""
        own = self[name].node.id
        return self[seen_by].node.members.members.get(own)

    def reaches(self, name: str, other: str) -> bool:
        member = self.member(name, other)
        return member is not None and member.reachable

    def linked(self, name: str, other: str) -> bool:
        return any(peer.name == other and peer.connected for peer in self[name].node.peers())

    def told(self, name: str, *kinds: type[Status]) -> list[Any]:
        return [status for status in self[name].status if isinstance(status, kinds)]


class Intruder:
    """Says over the links of an endpoint whatever it is told to."""

    def __init__(self, endpoint: SimulatedEndpoint) -> None:
        self.endpoint = endpoint
        self.node = endpoint.node
        self.seen: list[tuple[Header, Address, bytes]] = []  # routed frames that have passed, and their bodies

    def link_to(self, other: SimulatedEndpoint) -> Link:
        return self.node.peerings.links[other.node.id]

    def say(self, to: SimulatedEndpoint, kind: int, payload: bytes) -> None:
        """Send one of the mesh's own frames."""
        self.link_to(to).send(OutFrame(kind, payload))
        self._leave(to)

    def route(
        self,
        over: SimulatedEndpoint,
        origin: bytes,
        target: bytes,
        kind: int,
        body: bytes,
        *,
        flow: int = 0,
        sequence: int = 0,
        sealed: bytes | None = None,
    ) -> None:
        """Send a routed frame that is said to come from somebody; ``sealed``: with these 16 bytes as its seal."""
        entry = entry_of(target, flow, sequence) + (sealed or b"")
        flags = 0 if sealed is None else SEALED
        self.link_to(over).send(OutFrame(kind, body, address_of(origin, [entry]), TTL_DEFAULT, flags))
        self._leave(over)

    def seal(self, target: SimulatedEndpoint, kind: int, body: bytes, origin: bytes, flow: int, sequence: int) -> bytes:
        """Return the best seal that it can make of a frame in another's name: with its own key."""
        assert self.node.guard._secret is not None
        key = self.node.guard.seal_keys(target.node.guard.key, origin, target.node.id)[0]
        return seal(key, digest_of(kind, body), entry_of(target.node.id, flow, sequence)[16:])

    def _leave(self, to: SimulatedEndpoint) -> None:
        self.node._touched[self.link_to(to)] = None
        self.node._pump()
        self.endpoint.round_done()

    def watch(self, change: Callable[[Header, Address, bytes], bytes | None] | None = None) -> None:
        """Keep what passes through; ``change`` gives another frame in its place, or None to swallow it."""
        transit = self.node.transit
        receive = transit.receive

        def receiving(header: Header, address: Address, frame: bytes) -> Any:
            if any(entry.id != self.node.id for entry in address.entries()):
                self.seen.append((header, address, frame[HEADER_BYTES + address.size :]))
                if change is not None:
                    changed = change(header, address, frame)
                    if changed is None:
                        return None
                    frame, header = changed, Header(changed[0], *header[1:])
                    address = read_address(frame, HEADER_BYTES, header.flags)
            return receive(header, address, frame)

        transit.receive = receiving  # type: ignore[method-assign]

    def replay(self, frames: Iterable[tuple[Header, Address, bytes]]) -> None:
        """Pass frames on once more."""
        for header, address, body in list(frames):
            for entry in address.entries():
                member = self.node.members.members.get(entry.id)
                if member is not None and member.hop is not None:
                    head = address_of(address.origin, [entry.raw])
                    member.hop.send(OutFrame(header.kind, body, head, header.ttl - 1, header.flags & SEALED))
                    self.node._touched[member.hop] = None
        self.node._pump()
        self.endpoint.round_done()
