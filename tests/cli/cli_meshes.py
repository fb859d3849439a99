"""Meshes made by hand: as endpoints would know them, from the links alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping

from broker import Mesh, MeshEndpoint, MeshLink, MeshSubscription

ANY = (MeshSubscription("", None),)


def ident(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def made(
    *links: str,
    leaves: Collection[str] = (),
    alone: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    wants: Mapping[str, tuple[MeshSubscription, ...]] | None = None,
) -> Mesh:
    """The mesh of links such as "me-hub", or "hub~web" for an interrupted one; "me" looks at it and is a leaf.

    ``leaves`` forward nothing and ``alone`` are endpoints without links.  Each link has a round trip of a quarter of a
    millisecond.  What stands in ``names`` has another name than its key.
    """
    pairs = [_pair(link) for link in links]
    hops = _hops(pairs, {"me", *leaves})
    keys = dict.fromkeys(["me", *(end for pair in pairs for end in pair[:2]), *alone])
    endpoints = [
        MeshEndpoint(
            (names or {}).get(key, key),
            ident(key),
            key not in {"me", *leaves},
            hops.get(key),
            (wants or {}).get(key, ()),
        )
        for key in keys
    ]
    endpoints.sort(key=lambda each: (each.hops is None, each.hops or 0, each.name, each.id))
    between = []
    for one, other, interrupted in pairs:
        low, high = sorted((ident(one), ident(other)))
        between.append(MeshLink(low, high, None if interrupted else 0.00025, interrupted))
    return Mesh(tuple(endpoints), tuple(sorted(between, key=lambda link: (link.one, link.other))))


def _pair(link: str) -> tuple[str, str, bool]:
    one, other = link.replace("~", "-").split("-")
    return one, other, "~" in link


def _hops(pairs: list[tuple[str, str, bool]], leaves: set[str]) -> dict[str, int]:
    near = defaultdict(list)
    for one, other, interrupted in pairs:
        if not interrupted:
            near[one].append(other)
            near[other].append(one)
    hops = {"me": 0}
    ring = ["me"]
    while ring:
        reached = [end for place in ring if place == "me" or place not in leaves for end in near[place]]
        distance = hops[ring[0]] + 1
        ring = [end for end in dict.fromkeys(reached) if end not in hops]
        hops |= dict.fromkeys(ring, distance)
    return hops
