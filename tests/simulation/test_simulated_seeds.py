from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulated_reach import Reach
from simulated_scenarios import run_scenario
from simulated_world import World

KEPT = [
    int(line.split()[0]) for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines() if line[0] != "#"
]
ORDINARY = range(1000, 1100)
_TOGETHER = 10

# How often the ordinary seeds have to reach what is worth reaching: a tenth of what they do reach.
REACH = {
    "duplicate dropped": 3,
    "credit stall": 5,
    "window stall": 1,
    "queue full": 1000,
    "publisher blocked": 500,
    "dial race resolved": 10,
    "name or link probed": 100,
    "PeerResumed": 50,
    "MessagesLost": 10,
    "expected": 10_000,
}


def asked_for() -> list[int]:
    text = os.environ.get("SIMULATION_SEEDS")
    if not text:
        return sorted({*KEPT, *ORDINARY})
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


SEEDS = asked_for()


@pytest.fixture(scope="module")
def reach() -> Iterator[Reach]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Reach(monkeypatch)


@pytest.mark.parametrize("first", range(0, len(SEEDS), _TOGETHER), ids=lambda first: f"from-{SEEDS[first]}")
def test_the_promises_to_direct_peers_hold(first: int, reach: Reach) -> None:
    for seed in SEEDS[first : first + _TOGETHER]:
        reach.add(run_scenario(seed))


def test_the_seeds_reach_what_is_worth_reaching(reach: Reach) -> None:
    if reach.seeds < len(ORDINARY):
        pytest.skip("not all of the ordinary seeds were run")
    lacking = {what: (reach.counts[what], least) for what, least in REACH.items() if reach.counts[what] < least}
    assert not lacking, f"too little of this happened (times, least): {lacking}"


def digest(world: World) -> list[object]:
    return [
        (program.name, program.life, len(program.log), program.endpoint.status, len(reader.handle.messages))
        for program in world.lives
        for reader in program.readers
    ]


def test_a_seed_lives_the_same_life_again() -> None:
    assert digest(run_scenario(KEPT[0])) == digest(run_scenario(KEPT[0]))


def test_a_simulation_is_a_hundred_times_faster_than_time() -> None:
    started = time.perf_counter()
    simulated = sum(run_scenario(seed).cluster.now() for seed in ORDINARY[:10])
    assert simulated > 100 * (time.perf_counter() - started)
