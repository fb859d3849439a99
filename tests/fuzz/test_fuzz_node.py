"""A node among hostile peers goes on serving its good one, whatever they say.  FUZZ_SEED=N repeats a run."""

from __future__ import annotations

import os
import random
import tracemalloc

import fuzz_node
import pytest
from fuzz_engine import Mutator, check, check_memory, seeds_of
from fuzz_targets import TARGETS

from broker.protocol.frames import Batch, Kind, Run, encode
from broker.protocol.transit import Transit

LIVES = 60
SEED = int(os.environ.get("FUZZ_SEED") or random.randrange(1 << 31))
NODE = TARGETS["node"]
NODES = ["node", "node_keys"]


@pytest.mark.parametrize("name", NODES)
def test_lives_of_the_corpus(name: str) -> None:
    for data in seeds_of(name):
        check(TARGETS[name], data)


@pytest.mark.parametrize("name", NODES)
def test_lives_that_are_nearly_right(name: str) -> None:
    mutator = Mutator(seeds_of(name), random.Random(SEED), NODE.bytes_max)
    data = b""
    try:
        for _ in range(LIVES):
            data = mutator.next()
            check(TARGETS[name], data)
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


def test_who_speaks_for_the_good_peer_where_nobody_can_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transit, "is_proved", lambda *_: True)
    world = fuzz_node.World(keys=True)
    run = Run(["x/forged"], "fuzz.node.Reading", 1, b"", b"\x91\x93\x00\xa1h\x01")
    world.take(fuzz_node.WITHIN, 7, bytes((Kind.EVENTS, 0, 32, 0)) + encode(Batch([run])))
    with pytest.raises(AssertionError):
        world.check()
