"""The graph of the mesh, and the shortest ways through it.

Every endpoint tells everybody its links (:class:`~broker.protocol.frames.MemberUpdate`), so all see the same graph and
work out, each from its own place, the first hop of a shortest way to every other: link-state routing, as OSPF
(RFC 2328) and IS-IS do it, with Dijkstra's algorithm.  A link counts when both of its ends tell of it.  It costs 1; one
that has lost its connection and may get it back costs :data:`BROKEN`, so that it is used only where there is no other
way. A leaf (``forward=False``) is an end of ways, never a part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    The time is proportional to the links of the graph: those at one distance lead to those at the next.
    """
    found: dict[bytes, tuple[int, bytes]] = {}
    broken: dict[int, list[tuple[bytes, bytes]]] = {}  # by distance: who can be reached over a link without connection
    layer = []
    for neighbour, up in sorted(own.items()):
        if not up:
            broken.setdefault(BROKEN, []).append((neighbour, neighbour))
        elif neighbour in vertices:
            found[neighbour] = (1, neighbour)
            layer.append(neighbour)
    distance = 1
    while layer or broken:
        if not layer:
            distance = min(broken)
        for id_, first in broken.pop(distance, ()):
            if id_ not in found and id_ in vertices:
                found[id_] = (distance, first)
                layer.append(id_)
        layer = _pass(layer, distance, vertices, found, broken)
        distance += 1
    return found


def _pass(
    layer: list[bytes],
    distance: int,
    vertices: Mapping[bytes, Vertex],
    found: dict[bytes, tuple[int, bytes]],
    broken: dict[int, list[tuple[bytes, bytes]]],
) -> list[bytes]:
    """Return those found at the next distance, over the unbroken links of those at this one."""
    following = []
    for id_ in layer:
        vertex = vertices[id_]
        if not vertex.forward:
            continue
        first = found[id_][1]
        way = (distance + 1, first)
        for edge in vertex.neighbours.values():
            there = edge.id
            if there in found or there not in vertices:
                continue
            back = vertices[there].neighbours.get(id_)
            if back is None:
                continue
            if edge.up and back.up:
                found[there] = way
                following.append(there)
            else:
                broken.setdefault(distance + BROKEN, []).append((there, first))
    return following
