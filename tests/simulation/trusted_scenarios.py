"""Random lives of meshes with keys and access rules, which change in the middle of them.

Of three seeds one is a life of a mesh of events, with rights given and taken, programs distrusted and trusted again,
and keys changed; and one each of stores and of log streams, in which keys are changed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import logged_scenarios
import simulated_scenarios
import stored_scenarios
from simulated_promises import check_promises
from simulated_world import TOPICS, Broken, Program, Reader, World
from trusted_intruder import Intruder
from trusted_rules import INTRUDER, Ring

from broker.status import AccessRefused, Status

__all__ = ["FAULTS_MIN", "OPERATIONS", "Scenario", "TrustedScenario"]

OPERATIONS, FAULTS_MIN = simulated_scenarios.OPERATIONS, simulated_scenarios.FAULTS_MIN
_PREFIXES = (("",), ("host/",), ("host/a/", "n"), ("net/", "host/ä"), ("host/a/disk",), ())


class TrustedScenario(simulated_scenarios.Scenario):
    """The life of a mesh whose rules change."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.ring = self.world.ring = Ring(self.world, self.names, self.random)
        self.intruder: Intruder | None = None
        self._peace: dict[Program, int] = {}  # how many status events each had told when all was settled
        # The last one: what nobody reads cannot be told from what nobody was given, and big parcels cost time.
        self.operations = [(action, weight) for action, weight in self.operations if action != self.publish_blobs]
        self.operations += [
            (self.change_publishing, 6),
            (self.change_subscribing, 5),
            (self.rotate, 5),
            (self.change_relaying, 0 if self.gentle else 2),
            (self.distrust, 0 if self.gentle else 3),
            (self.trust_again, 4),
        ]

    def _begin(self) -> None:
        super()._begin()
        if self.random.random() < 0.5:
            linked = self.random.sample(self.names, self.random.randint(1, 3))
            self.intruder = Intruder(self.world, self.ring, self.random, linked)
            self.operations.append((self.intruder.act, 25))

    # -- operations --------------------------------------------------------------------------------------------------

    def change_publishing(self) -> None:
        name = self.random.choice(self.names)
        self.ring.change(publish={**self.ring.policy.publish, name: self.random.choice(_PREFIXES)})

    def change_subscribing(self) -> None:
        name = self.random.choice(self.names)
        self.ring.change(subscribe={**self.ring.policy.subscribe, name: self.random.choice(_PREFIXES)})

    def change_relaying(self) -> None:
        self.ring.change(relays=self.ring.policy.relays ^ {self.random.choice(self.names)})

    def distrust(self) -> None:
        name = self.random.choice(self.names)
        if len(self.ring.policy.refused) < len(self.names) - 2:
            self.ring.change(refused=self.ring.policy.refused | {name})

    def trust_again(self) -> None:
        if refused := sorted(self.ring.policy.refused):
            self.ring.change(refused=self.ring.policy.refused - {self.random.choice(refused)})

    def rotate(self) -> None:
        self.ring.rotate(self.random.choice(self.names))

    # -- peace -------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """From now on everybody is trusted and relays; what may be published, and received, stays as it is."""
        if self.ring.policy.refused or self.ring.policy.relays != frozenset(self.names):
            self.ring.change(refused=frozenset(), relays=frozenset(self.names))
        self.ring.apply_everywhere()
        for program in self.world.now_alive.values():
            for address, peering in list(program.endpoint.node.peerings.peerings.items()):
                if peering.final:  # it was turned away at its first attempt: its program would have been told so
                    program.endpoint.unpeer(address)
                    program.endpoint.peer(address)
        super()._settle()

    def _check_alive(self) -> None:
        self.world.cluster.run_until(lambda: not self.ring.rotating, 60.0)
        self._settle()
        self._peace = {program: len(program.endpoint.status) for program in self.world.now_alive.values()}
        super()._check_alive()

    def _check_promises(self) -> None:
        for program in self.world.lives:
            for reader in program.readers:
                self._check_permitted(reader)
                self._excuse(reader)
        self._check_told()
        check_promises(self.world)

    def _check_permitted(self, reader: Reader) -> None:
        """Check that it got nothing that its publisher's rules do not let it have."""
        lives = {program.key: program for program in self.world.lives}
        for message in reader.handle.messages:
            publisher = lives[message.event.publisher, message.event.life]
            line = publisher.log[message.event.number]
            policy = self.ring.at(publisher, line.at)
            if publisher is not reader.program and not policy.may_subscribe(reader.program.name, line.topic):
                raise Broken(f"{reader.program.name} got {line.topic!r} of {publisher.name}, and may not have it")

    def _excuse(self, reader: Reader) -> None:
        """Let what was not permitted all the time come or not."""
        lives = {program.key: program for program in self.world.lives}
        for key, numbers in reader.expected.items():
            publisher = lives[key]
            if publisher is reader.program:
                continue
            if self.ring.at_odds(publisher, reader.program):
                kept: list[int] = []
            else:
                lines = ((number, publisher.log[number]) for number in numbers)
                kept = [
                    number
                    for number, line in lines
                    if self.ring.permitted(publisher, reader.program, line.topic, line.at)
                ]
            reader.optional[key] |= set(numbers).difference(kept)
            reader.expected[key] = kept

    def _check_told(self) -> None:
        """Check that of what was refused in peace both ends were told."""
        for one in self.world.now_alive.values():
            for status in one.endpoint.status:
                if not isinstance(status, AccessRefused) or status.right != "speak for":
                    continue
                # What was sealed with a key that the rules have no more cannot be told from a lie.
                if INTRUDER not in {status.peer, status.refused_by} and status.what not in self.ring.hasty:
                    raise Broken(f"{one.name} says that somebody has lied: {status}")
            for name in self.world.component_of(one.name):
                other = self.world.now_alive[name]
                policy = self.ring.policy
                for topic in TOPICS:
                    if not policy.may_subscribe(name, topic):
                        self._check_refusal(one, other, name, "subscribe", topic)
                    elif not policy.may_publish(one.name, topic):
                        self._check_refusal(other, one, one.name, "publish", topic)

    def _check_refusal(self, by: Program, to: Program, peer: str, right: str, topic: str) -> None:
        for program in (by, to):
            told: Iterable[Status] = program.endpoint.status[self._peace[program] :]
            found = [(status.peer, status.right, status.what) for status in told if isinstance(status, AccessRefused)]
            if (peer, right, topic) not in found:
                raise Broken(f"{program.name} was not told that {peer} may not {right} {topic!r}, says {by.name}")


def with_keys(scenario: Any, chance: random.Random) -> Any:
    """Give the programs of a life keys, which are changed now and then."""
    ring = scenario.world.ring = Ring(scenario.world, scenario.names, chance)
    scenario.operations.append((lambda: ring.rotate(chance.choice(scenario.names)), 8))
    return scenario


class Scenario:
    """One life."""

    def __init__(self, seed: int) -> None:
        kinds = (TrustedScenario, stored_scenarios.Scenario, logged_scenarios.Scenario)
        self.life: Any = kinds[seed % 3](seed)
        if seed % 3:
            with_keys(self.life, random.Random(seed))
        self.world: World = self.life.world
        self.faults = self.life.faults

    def run(self) -> None:
        """Live, heal, settle, and check; raises Broken."""
        self.life.run()
