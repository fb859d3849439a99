"""The mesh as one endpoint knows it: who is there, who is linked with whom, and who subscribes to what.

``endpoint.mesh()`` gives it.  It is a picture of a moment: news takes a hop's time for each hop, so two endpoints may
see different meshes while something changes, and the same when nothing does.

Endpoints are told apart by their ids.  A name is unique among the peers of one endpoint, not in the whole mesh.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Mesh", "MeshEndpoint", "MeshLink", "MeshSubscription"]


class MeshSubscription(Struct, frozen=True, omit_defaults=True):
    """One interest of an endpoint: the topics that begin with ``prefix``, and which events on them."""

    prefix: str
    events: tuple[str, ...] | None  # names of event classes; None: any event
    where: bool = False  # of these, those that a predicate accepts


class MeshEndpoint(Struct, frozen=True):
    """One endpoint of the mesh."""

    name: str
    id: str  # 32 hex digits, new for each run of its program
    forward: bool  # False: a leaf, which passes nothing on
    hops: int | None  # links between us and it; 0: ourselves; None: not reachable now
    subscriptions: tuple[MeshSubscription, ...]


class MeshLink(Struct, frozen=True):
    """One link between two endpoints of the mesh, given by their ids; ``one`` is the lower of them."""

    one: str
    other: str
    rtt_s: float | None  # the last known round trip, in seconds
    interrupted: bool  # its connection is gone and may still come back

    def far_end(self, endpoint_id: str) -> str:
        """Return the id of the end that is not ``endpoint_id``."""
        return self.other if endpoint_id == self.one else self.one


class Mesh(Struct, frozen=True):
    """All endpoints and links that are known; both ends of each link are among the endpoints."""

    endpoints: tuple[MeshEndpoint, ...]  # ourselves first, then by hops and name; those not reachable last
    links: tuple[MeshLink, ...]

    @property
    def ourselves(self) -> MeshEndpoint:
        """The endpoint that was asked."""
        return self.endpoints[0]

    def named(self, name: str) -> tuple[MeshEndpoint, ...]:
        """Return the endpoints of that name: none, one, or several that are not peers of each other."""
        return tuple(endpoint for endpoint in self.endpoints if endpoint.name == name)

    def neighbours(self, endpoint_id: str) -> tuple[MeshEndpoint, ...]:
        """Return the endpoints that one is linked with, interrupted links included, in the mesh's order."""
        ends = {link.far_end(endpoint_id) for link in self.links if endpoint_id in (link.one, link.other)}
        return tuple(endpoint for endpoint in self.endpoints if endpoint.id in ends)
