"""What lives with keys and rules reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from simulated_reach import Counting

from broker.node import Node
from broker.protocol.belief import Belief
from broker.protocol.delivery import Delivering
from broker.protocol.members import Members
from broker.protocol.peerings import Peerings
from broker.protocol.transit import Transit

__all__ = ["LEAST", "counting", "look"]

# How often the ordinary lives have to reach each of these at least: about a tenth of what they do.
LEAST: dict[str, int] = {
    "endpoint forgotten because of rules": 10,
    "endpoint not let into the graph": 30,
    "frame sealed": 3000,
    "key changed": 10,
    "lie: claim": 3,
    "lie: forge announcement": 3,
    "lie: forge frame": 6,
    "lie: forge interests": 3,
    "lie: repeat announcement": 3,
    "lie: say different things": 3,
    "link ended because of rules": 10,
    "rules changed": 300,
    "rotation begun": 10,
    "run denied": 100,
    "seal right": 2000,
    "seal wrong": 1,
    "wish refused": 10,
}


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what happens inside all nodes."""
    counts: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        wrap = Counting(patch, counts)

        def proved(right: bool, transit: Transit, member: Any, link: Any, *_: object) -> str | None:
            return None if link.peer_id == member.id else "seal right" if right else "seal wrong"

        def denied(found: frozenset[int], *_: object) -> str | None:
            return "run denied" if found else None

        wrap.results(Transit, "is_proved", proved)
        wrap.results(Delivering, "_deny", denied)
        wrap.results(Belief, "is_strange", lambda strange, *_: "endpoint not let into the graph" if strange else None)
        wrap.calls(Members, "forget", "endpoint forgotten because of rules", lambda _, member, why: "trusted" in why)
        wrap.calls(Members, "forget", "endpoint forgotten because of rules", lambda _, member, why: "revoked" in why)
        wrap.calls(Peerings, "end", "link ended because of rules", lambda _, link, code, reason: code == "refused")
        wrap.calls(Peerings, "retry", "wish refused", lambda _, wish, why, *rest, **told: why.code == "authentication")
        wrap.calls(Node, "trust", "rules changed")
        wrap.calls(Peerings, "renew_wires", "key changed")
        wrap.calls(Transit, "_seal_keys", "frame sealed")
        yield counts


def look(scenario: Any, counts: Counter[str]) -> None:
    """Count what a life has come to."""
    counts["rotation begun"] += scenario.world.ring.rotations
    intruder = getattr(scenario.life, "intruder", None)
    if intruder is not None:
        counts.update({f"lie: {lie.replace('_', ' ')}": count for lie, count in intruder.counts.items()})
