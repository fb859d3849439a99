"""Many lives, in several processes: ``python tests/simulation/simulated_runs.py 1000-3000`` lives those seeds.

There are lives of four kinds, *meshes* with events, *stores* and *logs*, and *trusted* ones, of all three, whose keys
and access rules change: each seed is one of each.

A seed that fails is printed with how to see it again; it belongs into seeds.txt once it is mended.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs

sys.path.insert(0, str(Path(__file__).parent))

import logged_reach
import logged_scenarios
import simulated_reach
import simulated_scenarios
import stored_reach
import stored_scenarios
import trusted_reach
import trusted_scenarios
from simulated_world import Broken

__all__ = ["KINDS", "Tally", "kept_seeds", "live", "live_all"]

KINDS = ("meshes", "stores", "logs", "trusted")
_MODULES: dict[str, tuple[Any, Any]] = {
    "meshes": (simulated_scenarios, simulated_reach),
    "stores": (stored_scenarios, stored_reach),
    "logs": (logged_scenarios, logged_reach),
    "trusted": (trusted_scenarios, trusted_reach),
}
_SEEDS = {
    "meshes": "seeds.txt",
    "stores": "stored_seeds.txt",
    "logs": "logged_seeds.txt",
    "trusted": "trusted_seeds.txt",
}

_TOGETHER = 5


@attrs.define
class Tally:
    """What so many lives came to."""

    lives: int = 0
    operations: int = 0
    faults: int = 0
    faults_least: int = 1 << 30  # in one life
    seconds: float = 0.0  # simulated
    cpu_s: float = 0.0
    reached: Counter[str] = attrs.field(factory=Counter)
    failures: list[str] = attrs.field(factory=list)

    def add(self, other: Tally) -> None:
        self.lives += other.lives
        self.operations += other.operations
        self.faults += other.faults
        self.faults_least = min(self.faults_least, other.faults_least)
        self.seconds += other.seconds
        self.cpu_s += other.cpu_s
        self.reached += other.reached
        self.failures += other.failures

    def __str__(self) -> str:
        return (
            f"{self.lives} lives, {self.operations} operations, "
            f"{self.faults} faults (at least {self.faults_least} each), "
            f"{self.seconds / 3600:.2f} simulated hours, {self.seconds / self.cpu_s:.0f} times real time on one core, "
            f"{len(self.failures)} failures"
        )


def live(seeds: Sequence[int], kind: str = "meshes") -> Tally:
    """Live these lives, one after the other."""
    tally = Tally()
    scenarios, reach = _MODULES[kind]
    with reach.counting() as reached:
        for seed in seeds:
            began = time.process_time()
            scenario = scenarios.Scenario(seed)
            try:
                scenario.run()
            except Broken as error:
                tally.failures.append(f"{kind}, seed {seed}: {error}\nreplay: make simulation SEEDS={seed} ONLY={kind}")
            except Exception as error:  # noqa: BLE001 - the seed is what matters
                said = "".join(traceback.format_exception(error, limit=-4))
                tally.failures.append(f"{kind}, seed {seed}: {said}\nreplay: make simulation SEEDS={seed} ONLY={kind}")
            tally.cpu_s += time.process_time() - began
            faults = scenario.faults.counts.total()
            tally.lives += 1
            tally.operations += scenarios.OPERATIONS
            tally.faults += faults
            tally.faults_least = min(tally.faults_least, faults)
            tally.seconds += scenario.world.cluster.now()
            reach.look(scenario, reached)
        tally.reached = Counter(reached)
    return tally


def live_all(
    seeds: Iterable[int], processes: int, tell: Callable[[Tally], None] = lambda _: None, kind: str = "meshes"
) -> Tally:
    """Live them in so many processes; ``tell`` is called with each part."""
    todo = list(seeds)
    parts = [todo[at : at + _TOGETHER] for at in range(0, len(todo), _TOGETHER)]
    whole = Tally()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(live, part, kind) for part in parts]):
            part = future.result()
            whole.add(part)
            tell(part)
    return whole


def kept_seeds(kind: str = "meshes") -> list[int]:
    """Return the seeds that once failed."""
    lines = (Path(__file__).parent / _SEEDS[kind]).read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and line[0] != "#"]


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _tell(part: Tally) -> None:
    for failure in part.failures:
        print(failure, flush=True)  # noqa: T201 - a program


def main() -> int:
    """Live the seeds of the command line; returns 1 when one fails."""
    parser = argparse.ArgumentParser(description="Live random lives of a mesh.")
    parser.add_argument("seeds", type=_seeds, help="one seed, or FIRST-LAST")
    parser.add_argument("--only", choices=KINDS, help="live those of this kind; else of all")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    failed = False
    for kind in [arguments.only] if arguments.only else KINDS:
        tally = live_all(arguments.seeds, arguments.processes, _tell, kind)
        print(f"{kind}: {tally}")  # noqa: T201 - a program
        for what, times in sorted(tally.reached.items()):
            print(f"  {times:>10,}  {what}")  # noqa: T201 - a program
        failed |= bool(tally.failures)
    return failed


if __name__ == "__main__":
    sys.exit(main())
