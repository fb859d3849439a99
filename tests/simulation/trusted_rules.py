"""Keys and access rules of simulated programs, as they change; and what the rules say, worked out the slow way.

Rules are written in one place and read by each program a little later, so for a while each has its own.  What a program
went by, and when, is kept: the checker asks it, and none of the code that is checked.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from broker.trust.access import Access, Trusted
from broker.trust.guard import Guard
from broker.trust.judge import Judge
from broker.trust.keys import SecretKey
from broker.trust.rights import Rights

if TYPE_CHECKING:
    from simulated_world import Program, World

    from broker.testing import SimulatedEndpoint

__all__ = ["INTRUDER", "Policy", "Ring"]

# Its key is trusted, and it has no right.
INTRUDER = "m"

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
# How long it takes until a change of the rules has come to everybody who is not paused.
_SPREAD_S = 1.0
_INTRUDERS = SecretKey(hashlib.sha256(b"intruder").digest())


@attrs.frozen
class Policy:
    """Who is trusted, and who may do what."""

    keys: Mapping[str, tuple[SecretKey, ...]]
    publish: Mapping[str, tuple[str, ...]]
    subscribe: Mapping[str, tuple[str, ...]]
    relays: frozenset[str]
    refused: frozenset[str] = frozenset()

    def trusts(self, name: str) -> bool:
        return name not in self.refused and name != INTRUDER

    def may_publish(self, name: str, topic: str) -> bool:
        return self.trusts(name) and any(topic.startswith(prefix) for prefix in self.publish[name])

    def may_subscribe(self, name: str, topic: str) -> bool:
        return self.trusts(name) and any(topic.startswith(prefix) for prefix in self.subscribe[name])

    def judge(self) -> Judge:
        """Return them as programs go by them."""
        trusted = {
            name: Trusted(
                keys=tuple(key.public for key in keys),
                own=Rights(
                    publish=self.publish[name],
                    subscribe=self.subscribe[name],
                    stores={"*": ("master",)},
                    logs={"*": ("write", "collect")},
                    relay=name in self.relays,
                ),
                revoked=name in self.refused,
            )
            for name, keys in self.keys.items()
        }
        trusted[INTRUDER] = Trusted(keys=(_INTRUDERS.public,))
        return Judge.of(Access(trusted=trusted), _NOW)


class Ring:
    """The keys of all programs, the rules as they are written down, and who goes by which."""

    def __init__(self, world: World, names: list[str], chance: random.Random) -> None:
        self.world = world
        self.names = names
        self.random = chance
        self._made = 0
        self.secrets = {name: self._secret(name) for name in names}
        self.secrets[INTRUDER] = _INTRUDERS
        everything: Mapping[str, tuple[str, ...]] = dict.fromkeys(names, ("",))
        keys = {name: (self.secrets[name],) for name in names}
        self.policy = Policy(keys, everything, everything, frozenset(names))
        self.applied: dict[Program, list[tuple[float, Policy]]] = defaultdict(list)
        self.rotating: set[str] = set()
        self.intruder: SimulatedEndpoint | None = None
        self.hasty: set[str] = set()  # whose old key was taken back before everybody had heard of the new one
        self.rotations = 0
        self.changes = 0

    def _secret(self, name: str) -> SecretKey:
        self._made += 1
        return SecretKey(hashlib.sha256(f"{self.world.cluster.seed} {name} {self._made}".encode()).digest())

    # -- programs --------------------------------------------------------------------------------------------------

    def options_of(self, name: str) -> dict[str, Any]:
        """Return the node options of a program that starts."""
        return {"guard": Guard(self.secrets[name], self.policy.judge())}

    def begun(self, program: Program) -> None:
        """Take note of a program that has started: one that does not ask itself what it may do."""
        node = program.endpoint.node
        node.check_right = lambda right, what: None  # type: ignore[method-assign]
        node.exchange.permit = lambda topic: None
        self.applied[program].append((self.world.cluster.now(), self.policy))
        self._watch(program)

    def _watch(self, program: Program) -> None:
        """Check whatever is delivered, in the moment in which it is."""
        from simulated_world import Broken

        delivering = program.endpoint.node.exchange.delivering
        deliver = delivering.deliver

        def watching(delivery: Any, denied: frozenset[int] = frozenset()) -> None:
            policy = self.applied[program][-1][1]
            for index, topic in enumerate(delivery.run.topics):
                if index not in denied and not policy.may_publish(delivery.origin, topic):
                    raise Broken(f"{program.name} delivers {topic!r} of {delivery.origin}, which may not publish it")
            deliver(delivery, denied)

        delivering.deliver = watching  # type: ignore[method-assign]

    # -- changes ---------------------------------------------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """Write other rules; who runs reads them soon."""
        self.policy = attrs.evolve(self.policy, **changes)
        self.changes += 1
        self._spread(self.policy)

    def _spread(self, policy: Policy) -> None:
        cluster = self.world.cluster
        if self.intruder is not None:
            self.intruder.node.trust(_INTRUDERS, policy.judge(), cluster.now())
            self.intruder.round_done()
        for program in list(self.world.now_alive.values()):
            at = cluster.now() + self.random.uniform(0.0, _SPREAD_S)
            cluster.call_at(at, lambda program=program: self.apply(program))  # type: ignore[misc]

    def apply(self, program: Program) -> None:
        """Let a program go by the rules as they are, with the key that it is to have."""
        cluster = self.world.cluster
        if not program.endpoint.alive:
            return
        if program.endpoint.paused:
            cluster.call_at(cluster.now() + 0.3, lambda: self.apply(program))
            return
        node, secret = program.endpoint.node, self.secrets[program.name]
        if self.applied[program][-1][1] is self.policy and node.guard.key == secret.public.raw:
            return
        self.applied[program].append((cluster.now(), self.policy))
        node.trust(secret, self.policy.judge(), cluster.now())
        program.endpoint.round_done()

    def apply_everywhere(self) -> None:
        for program in list(self.world.now_alive.values()):
            self.apply(program)

    def rotate(self, name: str) -> bool:
        """Let a program get another key: first the rules have both, then it takes the new one, then the old one goes.

        It is paused meanwhile, cut off or started again, as it happens.
        """
        if name in self.rotating:
            return False
        self.rotating.add(name)
        self.rotations += 1
        new, cluster = self._secret(name), self.world.cluster
        hasty = self.random.random() < 0.2
        if hasty:
            self.hasty.add(name)
        self.change(keys={**self.policy.keys, name: (self.secrets[name], new)})

        def others_know() -> bool:
            living = self.world.now_alive.values()
            return all(new in self.applied[program][-1][1].keys[name] for program in living)

        def take() -> None:
            if not others_know():  # somebody is paused
                cluster.call_at(cluster.now() + 0.5, take)
                return
            self.secrets[name] = new
            for program in list(self.world.now_alive.values()):
                if program.name == name:
                    self.apply(program)
            cluster.call_at(cluster.now() + self.random.choice((0.1, 1.0, 20.0)), drop)

        def drop() -> None:
            program = self.world.now_alive.get(name)
            if program is not None and not hasty and not self._is_known_by(program, new):
                cluster.call_at(cluster.now() + 0.5, drop)
                return
            self.rotating.discard(name)
            self.change(keys={**self.policy.keys, name: (new,)})

        cluster.call_at(cluster.now() + _SPREAD_S, take)
        return True

    def _is_known_by(self, program: Program, new: SecretKey) -> bool:
        """Whether a program has its new key, and whoever has heard of it has heard of that."""
        key, id_ = new.public.raw, program.endpoint.node.id
        nodes = [other.endpoint.node for other in self.world.now_alive.values() if other is not program]
        members = [node.members.members.get(id_) for node in nodes]
        links = [node.peerings.links.get(id_) for node in nodes]
        return program.endpoint.node.guard.key == key and all(
            known is None or known.key == key for known in (*members, *links)
        )

    # -- what was so -----------------------------------------------------------------------------------------------

    def at(self, program: Program, time: float) -> Policy:
        """Return the rules that a program went by at a time."""
        return [policy for since, policy in self.applied[program] if since <= time][-1]

    def at_odds(self, one: Program, other: Program) -> bool:
        """Whether one of two programs ever did not trust the other."""
        if not self.hasty.isdisjoint({one.name, other.name}):
            return True
        return not all(policy.trusts(other.name) for _, policy in self.applied[one]) or not all(
            policy.trusts(one.name) for _, policy in self.applied[other]
        )

    def permitted(self, publisher: Program, receiver: Program, topic: str, at: float) -> bool:
        """Whether a message published at a time was permitted then, and has been ever since."""
        if not self.at(publisher, at).may_subscribe(receiver.name, topic):
            return False
        later = [policy for since, policy in self.applied[receiver] if since > at]
        return all(policy.may_publish(publisher.name, topic) for policy in (self.at(receiver, at), *later))
