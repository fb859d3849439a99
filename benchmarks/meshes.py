"""The simulated meshes of the benchmark ``scale``: their shapes, changes to them, and when everybody knows of one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import attrs

from benchmarks.processes import BenchmarkFailed
from broker.testing import Cluster, SimulatedEndpoint, SimulatedSubscription

__all__ = ["SHAPES", "WINDOW_S", "Cost", "Shape", "SimulatedMesh"]

FAN_OUT = 4
DEGREE = 4
# How exactly the time of convergence is told: a frame takes 1 to 1.5 ms from one endpoint to the next.
STEP_S = 0.001
LIMIT_S = 120.0
# What a change costs is counted for so long: the round trips of new links are announced two seconds after them.
WINDOW_S = 4.0

# Who dials whom, by number.  The inner end dials the last link: when that is cut, the end that dialled knows first.
Links = list[tuple[int, int]]


@attrs.frozen
class Shape:
    """A kind of graph: its links for a number of endpoints, and with whom one more that joins is linked."""

    name: str
    links: Callable[[int], Links]
    joins: Callable[[int], Sequence[int]]


def _star(endpoints: int) -> Links:
    return [*((number, 0) for number in range(1, endpoints - 1)), (0, endpoints - 1)]


def _tree(endpoints: int) -> Links:
    last = endpoints - 1
    return [*((number, _parent(number)) for number in range(1, last)), (_parent(last), last)]


def _parent(number: int) -> int:
    return (number - 1) // FAN_OUT


def _random_graph(endpoints: int) -> Links:
    chance = random.Random(endpoints)
    links = {(number, chance.randrange(number)): None for number in range(1, endpoints)}  # all of one piece
    while len(links) < endpoints * DEGREE // 2:
        one, other = sorted(chance.sample(range(endpoints), 2), reverse=True)
        links[one, other] = None
    return list(links)


def _full(endpoints: int) -> Links:
    return [(one, other) for one in range(endpoints) for other in range(one)]


SHAPES = {
    "star": Shape("star", _star, lambda _: (0,)),
    "tree": Shape("tree", _tree, lambda endpoints: (_parent(endpoints),)),
    "random": Shape("random", _random_graph, lambda endpoints: (endpoints // 3, 2 * endpoints // 3)),
    "full": Shape("full", _full, range),
}


@attrs.frozen
class Cost:
    """What a change took: simulated seconds until everybody knew, and what all endpoints together did for it."""

    seconds: float
    frames: float
    bytes: float
    # Processor time in seconds, the simulated network's own included.
    cpu: float


class SimulatedMesh:
    """Endpoints on a cluster, each with a subscription of its own, and what each of them has to know of the others."""

    def __init__(self, shape: Shape, endpoints: int, seed: int) -> None:
        self._shape = shape
        self._cluster = Cluster(seed)
        self._cpu = 0.0
        self._ids: list[bytes] = []
        self._neighbours: list[set[bytes]] = []
        self._interests: list[int] = []
        self._readers: list[SimulatedSubscription] = []
        self.endpoints: list[SimulatedEndpoint] = []
        self.links = shape.links(endpoints)
        for _ in range(endpoints):
            self._add()

    def _add(self) -> int:
        number = len(self.endpoints)
        endpoint = self._cluster.add(f"endpoint-{number:04}")
        self.endpoints.append(endpoint)
        self._ids.append(endpoint.node.id)
        self._neighbours.append(set())
        self._interests.append(0)
        self._subscribe(number, f"of/{number}/")
        return number

    def _subscribe(self, number: int, prefix: str) -> None:
        self._readers.append(self.endpoints[number].subscribe(prefix))
        self._interests[number] += 1

    def _link(self, dialler: int, listener: int) -> None:
        self._neighbours[dialler].add(self._ids[listener])
        self._neighbours[listener].add(self._ids[dialler])
        self.endpoints[dialler].peer(self.endpoints[listener])

    # -- changes -------------------------------------------------------------------------------------------------

    def start(self) -> Cost:
        """Let everybody dial at once."""

        def change() -> None:
            for dialler, listener in self.links:
                self._link(dialler, listener)

        return self._measure(change, self._knows_all)

    def idle(self) -> Cost:
        """Let nothing happen but heartbeats, one on every connection."""
        self._run(WINDOW_S)
        return self._measure(lambda: None, lambda _: True)

    def join(self) -> Cost:
        """Let one more endpoint come."""

        def change() -> None:
            number = self._add()
            for other in self._shape.joins(number):
                self._link(number, other)

        return self._measure(change, self._knows_all)

    def subscribe(self) -> Cost:
        """Let one endpoint want one thing more."""
        return self._measure(lambda: self._subscribe(len(self.endpoints) // 2, "one/more/"), self._knows_all)

    def cut(self) -> Cost:
        """Cut the last link for good; who may be cut off by that is not waited for."""
        dialler, listener = self.links[-1]
        near, far = (self.endpoints[number].name for number in (dialler, listener))

        def change() -> None:
            self._cluster.fabric.partition(near, far)
            self._cluster.fabric.cut(near, far)

        def knows(number: int) -> bool:
            if number in (dialler, listener):
                return True
            end = self.endpoints[number].node.members.members[self._ids[dialler]]
            return not end.neighbours[self._ids[listener]].up

        return self._measure(change, knows)

    # -- what everybody has to know ------------------------------------------------------------------------------

    def _knows_all(self, number: int) -> bool:
        members = self.endpoints[number].node.members.members
        if len(members) != len(self._ids) - 1:
            return False
        for other, id_ in enumerate(self._ids):
            if other == number:
                continue
            member = members.get(id_)
            if member is None or not member.reachable or member.neighbours.keys() != self._neighbours[other]:
                return False
            if len(member.interests) != self._interests[other]:
                return False
        return True

    # -- measuring -----------------------------------------------------------------------------------------------

    def _measure(self, change: Callable[[], object], knows: Callable[[int], bool]) -> Cost:
        """Make a change and see what it takes; only the mesh's own processor time counts."""
        fabric = self._cluster.fabric
        began, frames, bytes_, self._cpu = self._cluster.now(), fabric.frames_carried, fabric.bytes_carried, 0.0
        started = time.process_time()
        change()
        self._cpu += time.process_time() - started
        self._wait_for(knows, began + LIMIT_S)
        seconds = self._cluster.now() - began
        self._run(max(0.0, WINDOW_S - seconds))
        return Cost(seconds, fabric.frames_carried - frames, fabric.bytes_carried - bytes_, self._cpu)

    def _wait_for(self, knows: Callable[[int], bool], end: float) -> None:
        behind = list(range(len(self.endpoints)))
        unannounced = list(self._readers)
        while behind or unannounced:
            while behind and knows(behind[-1]):
                behind.pop()
            while unannounced and not behind and unannounced[-1].announced:
                unannounced.pop()
            if not behind and not unannounced:
                return
            if self._cluster.now() > end:
                raise BenchmarkFailed(f"{self._shape.name}: after {LIMIT_S:g} s not everybody knows of a change")
            self._run(STEP_S)

    def _run(self, seconds: float) -> None:
        started = time.process_time()
        self._cluster.run(seconds)
        self._cpu += time.process_time() - started
