"""Parts of trust that are left out on purpose, one at a time: random lives have to show each within a few of them."""

from __future__ import annotations

from typing import Any

import pytest
from planting import Plant, into, what_shows
from trusted_scenarios import TrustedScenario

from broker.errors import Malformed
from broker.node import Node
from broker.protocol.belief import Belief
from broker.protocol.delivery import Delivering
from broker.protocol.peerings import Peerings
from broker.protocol.routes import Routes
from broker.protocol.transit import Transit
from broker.trust.guard import Guard

__all__ = ["PLANTS", "SEEDS", "caught"]

# Those that show most come first.
SEEDS = (2004, 2001, 2013, *range(2016, 2100, 3))
PLANTS: dict[str, Plant] = {}
planted = into(PLANTS)


def caught(name: str) -> str:
    """Plant that bug, live, and return what gave it away; empty when nothing did."""
    return what_shows(PLANTS[name], SEEDS, lambda seed: TrustedScenario(seed).run())


@planted
def signatures_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "is_signed", lambda *_: True)


@planted
def everybody_speaks_for_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transit, "is_proved", lambda *_: True)
    take = Node._take_routed

    def trusting(self: Node, link: Any, header: Any, frame: bytes) -> None:
        given, link.grants = link.grants, self.guard.own
        take(self, link, header, frame)
        link.grants = given

    patch.setattr(Node, "_take_routed", trusting)


@planted
def receivers_ask_for_no_right(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivering, "_deny", lambda *_: frozenset())


@planted
def routes_outlive_the_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Routes, "rules_changed", lambda *_: None)


@planted
def who_contradicts_itself_parts_those_who_pass_it_on(patch: pytest.MonkeyPatch) -> None:
    prove = Belief.prove

    def strict(self: Belief, link: Any, update: Any, neighbours: Any) -> Any:
        proved = prove(self, link, update, neighbours)
        if proved is None:
            raise Malformed("it does not fit")
        return proved

    patch.setattr(Belief, "prove", strict)


@planted
def an_old_key_is_kept_in_seals(patch: pytest.MonkeyPatch) -> None:
    known: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
    fresh = Transit._seal_keys

    def seal_keys(self: Transit, member: Any) -> Any:
        pair = (self._id, member.id)
        if pair not in known:
            known[pair] = fresh(self, member)
        return known[pair] if self._id < member.id else fresh(self, member)

    patch.setattr(Transit, "_seal_keys", seal_keys)


@planted
def revoked_keys_stay_linked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peerings, "rejudge", lambda *_: None)
