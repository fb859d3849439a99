"""The simulation of log streams' own test: bugs planted on purpose have to be caught within a few lives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from logged_bugs import PLANTS, caught


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[str, Future[str]]]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield {name: pool.submit(caught, name) for name in PLANTS}


@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_planted_in_log_streams_is_caught(name: str, verdicts: dict[str, Future[str]]) -> None:
    assert verdicts[name].result(timeout=120), "no life showed it"


def test_enough_bugs_are_planted_in_log_streams() -> None:
    assert len(PLANTS) >= 20
