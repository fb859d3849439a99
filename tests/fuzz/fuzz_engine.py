"""Inputs made from a corpus, and what is asked of each.

:class:`Mutator` is for where atheris has no wheel, and for the tests: it changes seeds in the ways that break decoders
(bits, lengths, pieces of other seeds, headers of MessagePack) without a look at what code they reach.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_targets import TARGETS, Target

__all__ = ["CORPUS", "Mutator", "check", "check_memory", "seeds_of", "targets_of", "work_of"]

CORPUS = Path(__file__).parent / "corpus"

# Bytes at which decoders branch: bounds of ints, headers of MessagePack, ext codes.
_TELLING = bytes([*range(16), 0x7F, *range(0x80, 0x84), *range(0x90, 0x94), 0xA0, *range(0xC0, 0xE0), 0xFF])
_PIECES = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\x00\x01\x00\x00",
    b"\xc6\x7f\xff\xff\xff",
    b"\xcf" + b"\xff" * 8,
    b"\xcf\x80" + bytes(7),
    b"\xd3\x80" + bytes(7),
    b"\xd9\x02\xc3\x28",
    b"\xa2\xed\xa0",
    b"\xa1\xff",
    b"\xcb\x7f\xf8" + bytes(6),
    b"\xd7\xff" + b"\xff" * 8,
    b"\xc7\x0c\x04" + b"\xff" * 12,
    b"\xc7\x0c\x05" + b"\x00\x0f\x42\x40" + b"\x7f" + b"\xff" * 7,
    b"\xd6\x06\x0a\x00\x00\x01",
    b"\xc7\x03\x0b\xff\xff\x04",
    b"\xd4\x0c\xff",
    b"\xd4\x01\x90",
    b"\xd5\x02\x91\x80",
    b"\x81\x90\xc0",
    b"\x91" * 90,
    b"\x81\xc0" * 90,
    b"\x90",
    b"\x80",
    b"\xc0",
]


def seeds_of(target: str) -> list[bytes]:
    """Return the corpus of a target: seeds, and what crashed once."""
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]


class Mutator:
    """Endless inputs from seeds; the same for the same seed of chance."""

    def __init__(self, seeds: list[bytes], chance: random.Random, bytes_max: int) -> None:
        self._seeds = seeds
        self._chance = chance
        self._bytes_max = bytes_max

    def next(self) -> bytes:
        """Return one: a seed with one change or several."""
        chance = self._chance
        data = bytearray(chance.choice(self._seeds))
        for _ in range(1 + int(chance.expovariate(0.7))):
            self._change(data)
        return bytes(data[: self._bytes_max])

    def _change(self, data: bytearray) -> None:
        chance = self._chance
        at = chance.randrange(len(data) + 1)
        size = 1 + int(chance.expovariate(0.2))
        match chance.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.choice(_TELLING)
            case 2 if at < len(data):
                data[at] = chance.randrange(256)
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = chance.choice(_PIECES)
            case 5:
                data[at : at + size] = chance.choice(_PIECES)
            case 6:
                other = chance.choice(self._seeds)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + 4 * size]
            case 7:
                data[at:at] = data[at : at + size] * chance.randrange(1, 4)
            case _:
                del data[at:]


def check(target: Target, data: bytes) -> None:
    """Let a target read an input; raises what is not among its refusals."""
    with suppress(*target.refusals):
        target.read(data)


def check_memory(target: Target, data: bytes) -> int:
    """The same with a bound on memory, which must be being traced; returns how much it was at most.

    Raises AssertionError.  What stays in caches is there before the second time, which is the one that counts.
    """
    allowed = target.constant + target.per_byte * len(data)
    for attempt in range(2):
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        check(target, data)
        peak = tracemalloc.get_traced_memory()[1] - before
        if peak <= allowed:
            break
        if attempt:
            raise AssertionError(f"{peak} bytes of memory for an input of {len(data)}: at most {allowed}")
    return peak


def work_of(target: Target, data: bytes) -> int:
    """Return how many lines of Python the reading of an input takes: a measure of time that is the same every time."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    sys.settrace(trace)
    try:
        check(target, data)
    finally:
        sys.settrace(None)
    return lines


def targets_of(names: str | None) -> dict[str, Target]:
    """Return the targets that are named, by commas; None: all."""
    return TARGETS if names is None else {name: TARGETS[name] for name in names.split(",")}
