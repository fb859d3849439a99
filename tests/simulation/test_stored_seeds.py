from __future__ import annotations

import os

import pytest
from simulated_runs import Tally, kept_seeds, live, live_all
from stored_reach import LEAST
from stored_scenarios import FAULTS_MIN, Scenario

ORDINARY = range(1000, 1080)


@pytest.fixture(scope="module")
def ordinary() -> Tally:
    return live_all(ORDINARY, os.cpu_count() or 1, kind="stores")


def test_the_promises_of_stores_hold_in_every_ordinary_life(ordinary: Tally) -> None:
    assert not ordinary.failures, "\n".join(ordinary.failures)


def test_the_lives_of_stores_are_hard_enough(ordinary: Tally) -> None:
    assert ordinary.faults_least >= FAULTS_MIN >= 8


@pytest.mark.parametrize("what", LEAST)
def test_the_lives_of_stores_reach(what: str, ordinary: Tally) -> None:
    assert ordinary.reached[what] >= LEAST[what]


@pytest.mark.parametrize("seed", kept_seeds("stores"))
def test_a_seed_of_stores_that_once_failed_lives(seed: int) -> None:
    tally = live([seed], "stores")
    assert not tally.failures, tally.failures


def test_a_seed_of_stores_lives_the_same_life_again() -> None:
    def digest() -> list[object]:
        scenario = Scenario(ORDINARY[0])
        scenario.run()
        return [node.key for history in scenario.world.histories.values() for node in history.order]

    assert digest() == digest()
