"""Everything that reads bytes from elsewhere, with bytes that are nearly right: a hundred thousand each time.

FUZZ_SEED=N in the environment repeats a run; ``make fuzz`` runs a million, steered by the code that they reach.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from fuzz_engine import Mutator, check, check_memory, seeds_of, work_of
from fuzz_shapes import SHAPES
from fuzz_targets import TARGETS, Target

INPUTS = 100_000
SEED = int(os.environ.get("FUZZ_SEED") or random.randrange(1 << 31))
DECODERS = [name for name in TARGETS if not name.startswith("node")]
_SHARES = sum(TARGETS[name].share for name in DECODERS)


def inputs_of(name: str, count: int) -> Iterator[bytes]:
    chance = random.Random(f"{SEED} {name}")
    mutator = Mutator(seeds_of(name), chance, TARGETS[name].bytes_max)
    return (mutator.next() for _ in range(count))


@pytest.mark.parametrize("name", DECODERS)
def test_what_was_said_and_what_crashed_once_is_read_or_refused(name: str) -> None:
    for data in seeds_of(name):
        check(TARGETS[name], data)


@pytest.mark.parametrize("name", DECODERS)
def test_nearly_right_bytes_are_read_or_refused(name: str) -> None:
    data = b""
    try:
        for data in inputs_of(name, round(INPUTS * TARGETS[name].share / _SHARES)):
            check(TARGETS[name], data)
    except Exception as error:
        raise AssertionError(f"FUZZ_SEED={SEED}: {name} with the bytes {data.hex()}") from error


@pytest.mark.parametrize("name", DECODERS)
def test_nearly_right_bytes_take_little_memory(name: str) -> None:
    data = b""
    inputs = [*seeds_of(name), *inputs_of(name, 100)]
    for data in inputs:
        check(TARGETS[name], data)
    tracemalloc.start()
    try:
        for data in inputs:
            check_memory(TARGETS[name], data)
    except AssertionError as error:
        raise AssertionError(f"FUZZ_SEED={SEED}: {name} with the bytes {data.hex()}") from error
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_grows_as_the_input_does(shape: str) -> None:
    name, make = SHAPES[shape]
    target = TARGETS[name]
    check(target, make(100))  # what is compiled or imported once
    small, large = work_of(target, make(6000)), work_of(target, make(24_000))
    assert large <= 5 * small + 500, f"{small} lines for 6,000 bytes, {large} for 24,000"


def test_a_target_that_raises_anything_else_is_found() -> None:
    def careless(data: bytes) -> object:
        return data[5]

    with pytest.raises(IndexError):
        check(Target(careless), next(data for data in inputs_of("values", 1000) if len(data) < 5))


def test_a_target_that_takes_much_memory_or_time_is_found() -> None:
    hoard = Target(lambda data: bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(AssertionError, match="bytes of memory"):
            check_memory(hoard, b"x")
    finally:
        tracemalloc.stop()

    def square(data: bytes) -> object:
        total = 0
        for _ in data:
            for _ in data:
                total += 1
        return total

    slow = Target(square)
    assert work_of(slow, bytes(160)) > 5 * work_of(slow, bytes(40)) + 500
