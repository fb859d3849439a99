from __future__ import annotations

import os

import pytest
from simulated_runs import Tally, kept_seeds, live, live_all
from trusted_reach import LEAST
from trusted_scenarios import FAULTS_MIN, Scenario

ORDINARY = range(1000, 1018)


@pytest.fixture(scope="module")
def ordinary() -> Tally:
    return live_all(ORDINARY, os.cpu_count() or 1, kind="trusted")


def test_the_promises_hold_while_keys_and_rules_change(ordinary: Tally) -> None:
    assert not ordinary.failures, "\n".join(ordinary.failures)


def test_the_lives_with_keys_are_hard_enough(ordinary: Tally) -> None:
    assert ordinary.faults_least >= FAULTS_MIN >= 8


@pytest.mark.parametrize("what", LEAST)
def test_the_lives_with_keys_reach(what: str, ordinary: Tally) -> None:
    assert ordinary.reached[what] >= LEAST[what]


@pytest.mark.parametrize("seed", kept_seeds("trusted"))
def test_a_seed_of_keys_and_rules_that_once_failed_lives(seed: int) -> None:
    tally = live([seed], "trusted")
    assert not tally.failures, tally.failures


def test_a_seed_of_keys_and_rules_lives_the_same_life_again() -> None:
    def digest() -> list[object]:
        scenario = Scenario(2004)  # it has an intruder
        scenario.run()
        return [(program.name, len(program.log), program.endpoint.status) for program in scenario.world.lives]

    assert digest() == digest()
