"""A mesh as trees: the order in which its endpoints are drawn, and what stands before each.

The tree is that of the shortest ways from ourselves, by a search that takes the way with the fewest broken steps, then
the one with the fewest links (Dijkstra's algorithm with that pair as the length).  A step is broken when its link is
interrupted or when it would have to be forwarded by a leaf.  So an endpoint that is cut off still hangs where it was
last linked, and one without any link to the rest begins a tree of its own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from broker import Mesh, MeshEndpoint, MeshLink

__all__ = ["Branch", "Row", "forest", "rows"]

# Endpoints below one parent that differ in nothing that is drawn but their names: more than so many are cut to the
# first few, so that what does differ is still seen.
_ALIKE_MAX: Final = 8
_ALIKE_SHOWN: Final = 5

_LinksByEnd = dict[str, list[MeshLink]]


@attrs.define(eq=False)
class Branch:
    """An endpoint in its tree."""

    endpoint: MeshEndpoint
    link: MeshLink | None = None  # with its parent
    children: list[Branch] = attrs.field(factory=list)
    others: list[tuple[MeshLink, MeshEndpoint]] = attrs.field(factory=list)  # its links that are not in the tree

    @property
    def likeness(self) -> object:
        """What is drawn of it but for its name; branches with equal ones look alike."""
        if self.children:
            return self.endpoint.id
        others = frozenset((link.interrupted, end.id) for link, end in self.others)
        interrupted = self.link is not None and self.link.interrupted
        return (self.endpoint.forward, self.endpoint.hops, interrupted, others)


@attrs.frozen
class Row:
    """A line of the drawing: an endpoint, or (``alike``) how many more are like it."""

    guide: str  # the lines of the tree that lead to it
    below: str  # those that pass below it, where more can be said of it
    branch: Branch
    alike: Sequence[Branch] = ()  # those that this row stands for


def forest(mesh: Mesh) -> list[Branch]:
    """The trees of a mesh: the first is rooted in ourselves, the others in endpoints with no link to it."""
    links = _links_by_end(mesh)
    branches = {endpoint.id: Branch(endpoint) for endpoint in mesh.endpoints}
    ranks = {endpoint.id: rank for rank, endpoint in enumerate(mesh.endpoints)}
    first, *rest = mesh.endpoints
    rest.sort(key=lambda endpoint: (not endpoint.forward, -len(links[endpoint.id]), ranks[endpoint.id]))
    trees = []
    placed: set[str] = set()
    for root in (first, *rest):
        if root.id not in placed:
            _grow(root.id, branches, links, ranks, placed)
            trees.append(branches[root.id])
    for branch in branches.values():
        own = branch.endpoint.id
        ends = [(link, branches[link.far_end(own)]) for link in links[own]]
        branch.others = [(link, end.endpoint) for link, end in ends if link not in (branch.link, end.link)]
        branch.others.sort(key=lambda other: (not other[0].interrupted, ranks[other[1].id]))
        branch.children.sort(key=lambda child: (bool(child.children), ranks[child.endpoint.id]))
    return trees


def _links_by_end(mesh: Mesh) -> _LinksByEnd:
    links: _LinksByEnd = defaultdict(list)
    for link in mesh.links:
        links[link.one].append(link)
        links[link.other].append(link)
    return links


def _grow(root: str, branches: dict[str, Branch], links: _LinksByEnd, ranks: dict[str, int], placed: set[str]) -> None:
    """Hang everything that has a way to ``root`` below it."""
    number = 0  # so that no two entries compare their links
    ways: list[tuple[int, int, int, int, str, MeshLink | None]] = [(0, 0, 0, 0, root, None)]
    while ways:
        broken, length, _, _, place, link = heapq.heappop(ways)
        if place in placed:
            continue
        placed.add(place)
        branch = branches[place]
        if link is not None:
            branch.link = link
            branches[link.far_end(place)].children.append(branch)
        dead_end = not branch.endpoint.forward and link is not None
        for step in links[place]:
            end = step.far_end(place)
            if end not in placed:
                number += 1
                is_broken = step.interrupted or dead_end
                heapq.heappush(ways, (broken + is_broken, length + 1, ranks[place], number, end, step))


def rows(trees: Sequence[Branch], *, everything: bool) -> Iterator[Row]:
    """The rows of trees from their roots down; unless ``everything`` is wanted, with many that are alike cut."""
    # Each with what stands before its children: the lines that pass by them.
    waiting: list[tuple[Row, str]] = []
    for root, alike in reversed(_cut(trees, everything=everything)):
        waiting.append((Row("", "│  " if root.children else "", root, alike), ""))
    while waiting:
        row, lead = waiting.pop()
        yield row
        if row.alike:
            continue
        last = True
        for child, alike in reversed(_cut(row.branch.children, everything=everything)):
            broken = child.link is not None and child.link.interrupted
            guide = lead + ("└" if last else "├") + ("╌ " if broken else "─ ")
            passing = lead + ("   " if last else "│  ")
            below = passing + ("│  " if child.children else "")
            waiting.append((Row(guide, below, child, alike), passing))
            last = False


def _cut(children: Sequence[Branch], *, everything: bool) -> list[tuple[Branch, Sequence[Branch]]]:
    """The children that get a row of their own, and in place of those that do not, the first with all of them."""
    kinds: dict[object, list[Branch]] = defaultdict(list)
    for child in children:
        kinds[child.endpoint.id if everything else child.likeness].append(child)
    rank = {child.endpoint.id: rank for rank, child in enumerate(children)}
    cut: list[tuple[Branch, Sequence[Branch]]] = []
    for kind in kinds.values():
        shown = len(kind) if len(kind) <= _ALIKE_MAX else _ALIKE_SHOWN
        cut += [(child, ()) for child in kind[:shown]]
        if kind[shown:]:
            cut.append((kind[shown], kind[shown:]))
    return sorted(cut, key=lambda row: rank[row[0].endpoint.id])
