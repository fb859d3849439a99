"""Who should reach whom: worked out from the wishes alone, by another way than the protocol's."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

__all__ = ["reachable"]


def reachable(start: str, edges: Mapping[str, AbstractSet[str]], leaves: AbstractSet[str]) -> set[str]:
    """Return who can be reached, where leaves are ends of ways and never parts of them."""
    found: set[str] = set()
    frontier = {start}
    while frontier:
        grown = set().union(*(edges.get(name, set()) for name in frontier)) - found - {start}
        found |= grown
        frontier = grown - leaves
    return found
