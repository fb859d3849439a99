"""The lives with keys and rules: parts of trust that are left out on purpose have to be missed within a few of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from trusted_bugs import PLANTS, caught


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[str, Future[str]]]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield {name: pool.submit(caught, name) for name in PLANTS}


@pytest.mark.parametrize("name", PLANTS)
def test_a_part_of_trust_that_is_left_out_is_missed(name: str, verdicts: dict[str, Future[str]]) -> None:
    assert verdicts[name].result(), "no life showed it"


def test_enough_parts_of_trust_are_left_out() -> None:
    assert len(PLANTS) >= 7
