"""The graph of the mesh, and the shortest ways through it.

Every endpoint tells everybody its links (:class:`~broker.protocol.frames.MemberUpdate`), so all see the same graph and
work out, each from its own place, the first hop of a shortest way to every other: link-state routing, as OSPF
(RFC 2328) and IS-IS do it, with Dijkstra's algorithm.  A link counts when both of its ends tell of it.  It costs 1; one
that has lost its connection and may get it back costs :data:`BROKEN`, so that it is used only where there is no other
way. A leaf (``forward=False``) is an end of ways, never a part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final, Protocol

from broker.protocol.frames import Neighbour

__all__ = ["BROKEN", "Vertex", "shortest_ways"]

# More than the hops of any unbroken way: the ttl of a frame is 32.
BROKEN: Final = 1000


class Vertex(Protocol):
    """An endpoint as the graph needs it."""

    @property
    def forward(self) -> bool:
        """Whether ways may lead through it."""

    @property
    def neighbours(self) -> Mapping[bytes, Neighbour]:
        """Its links as it tells of them."""


def shortest_ways(own: Mapping[bytes, bool], vertices: Mapping[bytes, Vertex]) -> dict[bytes, tuple[int, bytes]]:
    """Return for each endpoint that can be reached its distance and the neighbour that the way begins with.

    ``own`` are our neighbours, and whether each has a connection; we ourselves are not among the ``vertices``.
    The time is proportional to the links of the graph: distances are small whole numbers, and each has a bucket.
    """
    found: dict[bytes, tuple[int, bytes]] = {}
    buckets: dict[int, list[tuple[bytes, bytes]]] = {}
    distances: list[int] = []

    def reach(distance: int, vertex: bytes, first: bytes) -> None:
        bucket = buckets.get(distance)
        if bucket is None:
            buckets[distance] = [(vertex, first)]
            heappush(distances, distance)
        else:
            bucket.append((vertex, first))

    for neighbour, up in sorted(own.items()):
        reach(1 if up else BROKEN, neighbour, neighbour)
    while distances:
        distance = heappop(distances)
        for id_, first in buckets.pop(distance):
            vertex = vertices.get(id_)
            if vertex is None or id_ in found:
                continue
            found[id_] = (distance, first)
            if not vertex.forward:
                continue
            for edge in vertex.neighbours.values():
                if edge.id in found:
                    continue
                other = vertices.get(edge.id)
                back = other.neighbours.get(id_) if other is not None else None
                if back is not None:
                    reach(distance + (1 if edge.up and back.up else BROKEN), edge.id, first)
    return found
