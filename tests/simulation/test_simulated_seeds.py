from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_reach import LEAST
from simulated_runs import Tally, kept_seeds, live, live_all
from simulated_scenarios import FAULTS_MIN, OPERATIONS, Scenario

from broker.testing import SimulatedEndpoint

ORDINARY = range(1000, 1220)


@pytest.fixture(scope="module")
def ordinary() -> Tally:
    return live_all(ORDINARY, os.cpu_count() or 1)


def test_the_promises_hold_in_every_ordinary_life(ordinary: Tally) -> None:
    assert not ordinary.failures, "\n".join(ordinary.failures)


def test_the_ordinary_lives_are_long_and_hard_enough(ordinary: Tally) -> None:
    assert ordinary.lives >= 200
    assert OPERATIONS >= 300
    assert ordinary.faults_least >= FAULTS_MIN >= 8
    assert ordinary.seconds >= 5 * 3600


@pytest.mark.parametrize("what", LEAST)
def test_the_ordinary_lives_reach(what: str, ordinary: Tally) -> None:
    assert ordinary.reached[what] >= LEAST[what]


@pytest.mark.parametrize("seed", kept_seeds())
def test_a_seed_that_once_failed_lives(seed: int) -> None:
    tally = live([seed])
    assert not tally.failures, tally.failures


def digest(seed: int) -> list[object]:
    scenario = Scenario(seed)
    scenario.run()
    return [
        (program.name, program.life, len(program.log), program.endpoint.status, len(reader.handle.messages))
        for program in scenario.world.lives
        for reader in program.readers
    ]


def test_a_seed_lives_the_same_life_again() -> None:
    assert digest(ORDINARY[0]) == digest(ORDINARY[0])


def test_a_seed_lives_the_same_life_in_another_process() -> None:
    """Whatever the hashes of texts and the addresses of objects are there."""
    code = f"import test_simulated_seeds as t; print(hash(0), repr(t.digest({ORDINARY[1]})))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hashseed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=Path(__file__).parent,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hashseed in ("1", "2")
    }
    assert len(said) == 1


def test_a_node_tells_of_each_deadline_that_comes_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its drivers look at all deadlines only then: what it does not tell of is done with the next heartbeat."""
    missed: list[str] = []
    schedule = SimulatedEndpoint._schedule_tick

    def scheduling(endpoint: SimulatedEndpoint, due: float) -> None:
        schedule(endpoint, due)
        if (first := endpoint.node.next_deadline()) < endpoint._tick_at:
            missed.append(f"{endpoint.name} at {endpoint.cluster.now()}: {first}, not {endpoint._tick_at}")

    monkeypatch.setattr(SimulatedEndpoint, "_schedule_tick", scheduling)
    Scenario(ORDINARY[1]).run()
    assert not missed
