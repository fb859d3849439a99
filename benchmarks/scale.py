"""What a mesh costs as it grows: simulated meshes of 10, 100 and 1,000 endpoints, as a table without peers.

Everything is the routing core's own (:mod:`broker.node`) on the virtual clock of :mod:`broker.testing`: no sockets, no
programs.  So times are those of the network's delays and the core's own waiting, and processor time is of one process
that does what all endpoints do, the simulated network included.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Mapping

from benchmarks.harness import Options, Table
from benchmarks.meshes import SHAPES, WINDOW_S, Cost, Shape, SimulatedMesh
from benchmarks.peers import OURS
from broker.protocol.topology import shortest_ways

__all__ = ["run"]

SIZES = (10, 100, 1000)
FULL_SIZE = 50
# Meshes larger than this live once, smaller ones in every repetition.
REPEATED_MAX = 100
WAYS_S = 0.05
NOTES = (
    "each change until everybody knows the whole graph and all subscriptions, and each subscription is announced",
    "start: all dial at once; join: one more endpoint, with two links in 'random', with all in 'full'",
    "cut: one link, for good; subscribe: one subscription more",
    "frames, kB and CPU: of all endpoints in four simulated seconds from the change, less four idle ones (heartbeats)",
    "in them the round trips of new links are announced too",
    "CPU includes the simulated network; Python's garbage collector is off: it would look at all endpoints' objects",
)


def run(options: Options) -> Table:
    """Measure every shape at every size; ``options.count`` is the largest."""
    largest = options.count or SIZES[-1]
    sizes = [size for size in SIZES if size <= largest] or [largest]
    meshes = [(SHAPES[name], size) for name in ("star", "tree", "random") for size in sizes]
    meshes.append((SHAPES["full"], min(FULL_SIZE, largest)))
    rows: list[Mapping[str, str | float]] = []
    figures: dict[str, float] = {}
    joins: dict[tuple[str, int], Cost] = {}
    for shape, size in meshes:
        costs, ways_us = _measure(shape, size, options.repeat if size <= REPEATED_MAX else 1)
        joins[shape.name, size] = costs["join"]
        links = len(shape.links(size))
        rows += [_row(shape.name, size, links, change, cost) for change, cost in costs.items()]
        figures[f"{shape.name} of {size}: all ways worked out, µs"] = ways_us
    limits: dict[str, float] = {}
    for name in ("star", "tree", "random"):
        for smaller, larger in itertools.pairwise(sizes):
            grown = _growth(joins[name, smaller], joins[name, larger], smaller, larger)
            titles = {key: f"{name}, {smaller} to {larger}: a join's {key}, by the sizes' ratio" for key in grown}
            figures |= {titles[key]: figure for key, figure in grown.items()}
            limits[titles["CPU at an endpoint"]] = 1.0
    return Table(
        name="scale",
        title="what a mesh costs as it grows, in simulation",
        rows=tuple(rows),
        version=OURS.version(),
        figures=figures,
        limits=limits,
        notes=NOTES,
    )


def _measure(shape: Shape, size: int, repeat: int) -> tuple[dict[str, Cost], float]:
    """Return the medians of the costs of each change, and the microseconds of one computation of all ways."""
    taken: dict[str, list[Cost]] = {}
    ways: list[float] = []
    for seed in range(repeat):
        gc.collect()
        gc.disable()
        try:
            mesh = SimulatedMesh(shape, size, seed)
            costs = {"start": mesh.start(), "idle": mesh.idle()}
            idle = costs["idle"]
            costs |= {"join": _less(mesh.join(), idle), "subscribe": _less(mesh.subscribe(), idle)}
            ways.append(_ways_us(mesh))
            costs["cut"] = _less(mesh.cut(), idle)
        finally:
            gc.enable()
        for change, cost in costs.items():
            taken.setdefault(change, []).append(cost)
    return {change: _median(costs) for change, costs in taken.items()}, statistics.median(ways)


def _less(cost: Cost, idle: Cost) -> Cost:
    share = max(cost.seconds / WINDOW_S, 1.0)
    return Cost(
        cost.seconds,
        cost.frames - idle.frames * share,
        cost.bytes - idle.bytes * share,
        max(0.0, cost.cpu - idle.cpu * share),
    )


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.frames for cost in costs),
        statistics.median(cost.bytes for cost in costs),
        statistics.median(cost.cpu for cost in costs),
    )


def _ways_us(mesh: SimulatedMesh) -> float:
    """Return the time of one computation at the endpoint in the middle of the list."""
    node = mesh.endpoints[len(mesh.endpoints) // 2].node
    own = dict.fromkeys(node.members.own.neighbours, True)
    started, times = time.process_time(), 0
    while (spent := time.process_time() - started) < WAYS_S:
        shortest_ways(own, node.members.members)
        times += 1
    return spent / times * 1e6


def _row(shape: str, size: int, links: int, change: str, cost: Cost) -> dict[str, str | float]:
    return {
        "mesh": shape,
        "endpoints": size,
        "links": links,
        "change": change,
        "simulated ms": 0.0 if change == "idle" else cost.seconds * 1e3,
        "frames": cost.frames,
        "kB": cost.bytes / 1e3,
        "CPU µs/endpoint": cost.cpu / size * 1e6,
    }


def _growth(smaller: Cost, larger: Cost, size: int, larger_size: int) -> dict[str, float]:
    """Return how much more a change costs in the larger mesh, by how much larger it is: 1 is in step with it."""
    sizes = larger_size / size
    return {
        "CPU at an endpoint": larger.cpu / larger_size / (max(smaller.cpu, 1e-6) / size) / sizes,
        "frames in all": larger.frames / smaller.frames / sizes,
        "bytes in all": larger.bytes / smaller.bytes / sizes,
    }
