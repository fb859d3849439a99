"""A node among hostile peers goes on serving its good one, whatever they say.  FUZZ_SEED=N repeats a run."""

from __future__ import annotations

import os
import random
import tracemalloc

import fuzz_node
import pytest
from fuzz_engine import Mutator, check, check_memory, seeds_of
from fuzz_targets import TARGETS

LIVES = 200
SEED = int(os.environ.get("FUZZ_SEED") or random.randrange(1 << 31))
NODE = TARGETS["node"]


def test_lives_of_the_corpus() -> None:
    for data in seeds_of("node"):
        check(NODE, data)


def test_lives_that_are_nearly_right() -> None:
    mutator = Mutator(seeds_of("node"), random.Random(SEED), NODE.bytes_max)
    data = b""
    try:
        for _ in range(LIVES):
            data = mutator.next()
            check(NODE, data)
    except Exception as error:
        raise AssertionError(f"FUZZ_SEED={SEED}: the life {data.hex()}") from error


def test_lives_take_bounded_memory() -> None:
    mutator = Mutator(seeds_of("node"), random.Random(SEED), NODE.bytes_max)
    fuzz_node.live(b"")
    tracemalloc.start()
    try:
        for _ in range(4):
            check_memory(NODE, mutator.next())
    finally:
        tracemalloc.stop()


def test_a_node_that_does_not_serve_its_good_peer_is_found() -> None:
    world = fuzz_node.World()
    world.good.pause()
    with pytest.raises(AssertionError):
        world.check()
