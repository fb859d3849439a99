from __future__ import annotations

import os

import pytest
from logged_reach import LEAST
from logged_scenarios import FAULTS_MIN, Scenario
from simulated_runs import Tally, kept_seeds, live_all

ORDINARY = range(1000, 1030)


@pytest.fixture(scope="module")
def ordinary() -> Tally:
    return live_all(ORDINARY, os.cpu_count() or 1, kind="logs")


def test_the_promises_of_log_streams_hold_in_every_ordinary_life(ordinary: Tally) -> None:
    assert not ordinary.failures, "\n".join(ordinary.failures)


def test_the_lives_of_log_streams_are_hard_enough(ordinary: Tally) -> None:
    assert ordinary.faults_least >= FAULTS_MIN >= 8


@pytest.mark.parametrize("what", LEAST)
def test_the_lives_of_log_streams_reach(what: str, ordinary: Tally) -> None:
    assert ordinary.reached[what] >= LEAST[what]


def test_seeds_of_log_streams_that_once_failed_live() -> None:
    tally = live_all(kept_seeds("logs"), os.cpu_count() or 1, kind="logs")
    assert not tally.failures, "\n".join(tally.failures)


def test_a_seed_of_log_streams_lives_the_same_life_again() -> None:
    def digest() -> list[object]:
        scenario = Scenario(ORDINARY[0])
        scenario.run()
        return [(spool.journal, spool.tip, sorted(spool.names)) for spool in scenario.world.spools.values()]

    assert digest() == digest()
