"""How fast a mesh lives on the virtual clock: simulated seconds in a second, with five endpoints under a steady load.

The endpoints stand in a ring, so that events for two of them pass through a third.  Each publishes, and each wants
everything; every message is decoded, as a program would see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.harness import Options, Result, Series
from benchmarks.ours import DiskUsage
from benchmarks.peers import OURS
from benchmarks.processes import BenchmarkFailed
from benchmarks.workload import HOST, MOUNT, USED
from broker.testing import Cluster, SimulatedEndpoint

__all__ = ["run"]

ENDPOINTS = 5
SIMULATED_S = 100
# Of each endpoint: an agent that tells ten figures a second.
EVENTS_PER_S = 10
SETTLE_S = 2.0
FASTER_MIN = 100.0


def run(options: Options) -> Result:
    """Let the mesh live again and again, each time from another seed."""
    seconds = min(options.count or SIMULATED_S, SIMULATED_S)
    wall, cpu = [], []
    for seed in range(options.repeat + 1):
        spent = _live(seed, seconds)
        if seed:  # the first is the warm-up
            wall.append(seconds / spent[0])
            cpu.append(seconds / spent[1])
    ours = Series(tuple(wall))
    return Result(
        name="simulation",
        unit="simulated s/s",
        better="higher",
        ours=ours,
        version=OURS.version(),
        peers={"real time": Series((1.0,) * options.repeat)},
        versions={"real time": "1 by definition"},
        targets={"real time": FASTER_MIN},
        details={
            "of processor time instead of wall time": Series(tuple(cpu)).median,
            "messages delivered in a second": ours.median * EVENTS_PER_S * ENDPOINTS**2,
        },
        notes=(
            f"{ENDPOINTS} endpoints in a ring, each publishes {EVENTS_PER_S} events a simulated second and wants all",
            f"{seconds} simulated seconds a repetition",
        ),
    )


def _live(seed: int, seconds: int) -> tuple[float, float]:
    """Return the wall time and the processor time of so many simulated seconds."""
    cluster = Cluster(seed)
    endpoints = [cluster.add(f"endpoint-{number}") for number in range(ENDPOINTS)]
    readers = [endpoint.subscribe("host/") for endpoint in endpoints]
    for number, endpoint in enumerate(endpoints):
        endpoint.peer(endpoints[(number + 1) % ENDPOINTS])
    cluster.run(SETTLE_S)
    for number, endpoint in enumerate(endpoints):
        _publish_steadily(cluster, endpoint, number / ENDPOINTS / EVENTS_PER_S, seconds * EVENTS_PER_S)
    started, started_cpu = time.perf_counter(), time.process_time()
    cluster.run(seconds)
    spent = time.perf_counter() - started, time.process_time() - started_cpu
    cluster.run(SETTLE_S)
    expected = ENDPOINTS * seconds * EVENTS_PER_S
    if any(len(reader.messages) != expected for reader in readers):
        raise BenchmarkFailed(f"not every endpoint has all {expected} events of seed {seed}")
    return spent


def _publish_steadily(cluster: Cluster, endpoint: SimulatedEndpoint, first_s: float, count: int) -> None:
    start = cluster.now() + first_s
    topic = f"host/{endpoint.name}/disk"

    def publish(sequence: int) -> None:
        endpoint.publish(topic, DiskUsage(HOST, MOUNT, USED, sequence))
        if sequence + 1 < count:
            cluster.call_at(start + (sequence + 1) / EVENTS_PER_S, _later(publish, sequence + 1))

    cluster.call_at(start, _later(publish, 0))


def _later(publish: Callable[[int], None], sequence: int) -> Callable[[], None]:
    return lambda: publish(sequence)
