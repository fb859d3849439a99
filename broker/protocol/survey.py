"""What a node knows of the mesh and of its peers, as values for programs and people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from broker.mesh import Mesh, MeshEndpoint, MeshLink, MeshSubscription
from broker.protocol.frames import Neighbour
from broker.protocol.link import Link
from broker.protocol.member import Member
from broker.protocol.members import Members
from broker.protocol.topology import BROKEN

__all__ = ["Peer", "peer_of", "survey"]


class Peer(Struct, frozen=True):
    """A peer as ``endpoint.peers()`` shows it."""

    name: str
    address: str  # where it was dialled, or where its connection comes from
    dialled: bool
    connected: bool  # False while its connection is gone and it may still come back
    rtt_s: float | None  # the last heartbeat's round trip, in seconds
    interests: int
    messages_in: int  # that it published and we received, by whatever way
    messages_out: int  # that we published and that were for it
    unacknowledged: int


def peer_of(link: Link, member: Member | None) -> Peer:
    """Return what is known of a peer by its link, and by what it is in the mesh (None: not known yet)."""
    incoming = member.incoming if member is not None else None
    return Peer(
        link.peer_name,
        link.address,
        link.dialled,
        link.wire is not None,
        link.rtt_s,
        len(member.interests) if member is not None else 0,
        incoming.messages if incoming is not None else 0,
        member.out.next_sequence - 1 if member is not None else 0,
        member.out.unreported if member is not None else 0,
    )


def survey(members: Members, links: Iterable[Link]) -> Mesh:
    """Return what is known of all endpoints and their links; ourselves first, then by distance and name."""
    own = members.own
    ours = {
        link.peer_id: Neighbour(link.peer_id, link.wire is not None, round((link.rtt_s or 0.0) * 1e6))
        for link in links
        if link.added
    }
    others = sorted(members.members.values(), key=lambda member: (member.distance, member.name, member.id))
    endpoints = [_endpoint(own, 0), *(_endpoint(member, _hops(member)) for member in others)]
    known = {member.id for member in others}
    told = [(own.id, edge) for edge in ours.values()]
    told += [(member.id, edge) for member in others for edge in member.neighbours.values()]
    return Mesh(tuple(endpoints), tuple(_links(own.id, told, known | {own.id})))


def _hops(member: Member) -> int | None:
    return member.distance if member.distance < BROKEN else None


def _endpoint(member: Member, hops: int | None) -> MeshEndpoint:
    wanted = sorted(member.interests, key=lambda one: (one.prefix, one.names or (), one.where or b""))
    subscriptions = tuple(MeshSubscription(one.prefix, one.names, one.where is not None) for one in wanted)
    return MeshEndpoint(member.name, member.id.hex(), member.forward, hops, subscriptions)


def _links(own: bytes, told: Iterable[tuple[bytes, Neighbour]], known: set[bytes]) -> Iterator[MeshLink]:
    """Join what the two ends of each link tell of it: it is up if both say so; the round trip is the smaller one.

    Of our own links, whose other ends may have had no time yet to tell of them, our word counts.
    """
    ends: dict[tuple[bytes, bytes], list[Neighbour]] = {}
    ours: set[bytes] = set()  # the other ends of our own links that are up
    for one, edge in told:
        if edge.id in known:
            ends.setdefault((min(one, edge.id), max(one, edge.id)), []).append(edge)
        if one == own and edge.up:
            ours.add(edge.id)
    for (one, other), edges in sorted(ends.items()):
        rtts = [edge.rtt_us for edge in edges if edge.rtt_us]
        rtt_s = min(rtts) / 1e6 if rtts else None
        if own in {one, other}:
            interrupted = (other if one == own else one) not in ours
        else:
            interrupted = len(edges) < 2 or not all(edge.up for edge in edges)
        yield MeshLink(one.hex(), other.hex(), rtt_s, interrupted)
