"""Large inputs that are shaped to hurt (``fuzz_shapes.py``), in time and memory.

Time is the best of several.  Twice the bytes may take twice the time, with room for a machine that does other things:
so it is no test, but ``make fuzz`` ends with it.  The two pairs of sizes lie on either side of the limits from which on
bytes are looked at before they are decoded.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

from fuzz_engine import check
from fuzz_shapes import SHAPES
from fuzz_targets import TARGETS, Target

__all__ = ["measure_shapes"]

KIB = 1024
MIB = 1024 * KIB
_PAIRS = ((16 * KIB, 120 * KIB), (140 * KIB, 1000 * KIB))
# So many times more than the bytes grow, which is by seven, and so long, and it is not linear.
_GROWTH_MAX = 5.0
_NOTICED_S = 0.05
# What is granted to a value (broker.values.limits), and the run or frame around it.
_GRANTED = 12 * MIB
_PER_BYTE = 40


def _seconds(target: Target, data: bytes) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        check(target, data)
        best = min(best, time.perf_counter() - began)
        if best > 1.0:
            break
    return best


def _peak(target: Target, data: bytes) -> int:
    tracemalloc.start()
    try:
        check(target, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def measure_shapes(show: Callable[[str], None]) -> list[str]:
    """Show a line for each shape; returns those that take too much."""
    show(f"{'shape':30}{'target':>12}{'ms for 1 MB':>12}{'growth':>9}{'memory MiB':>12}{'per byte':>10}")
    failed = []
    for shape, (name, make) in SHAPES.items():
        target = TARGETS[name]
        growth = 0.0
        for small, large in _PAIRS:
            few, many = make(small), make(large)
            earlier, later = _seconds(target, few), _seconds(target, many)
            if later > _NOTICED_S:
                growth = max(growth, later / earlier / max(1.0, len(many) / len(few)))
        peak, size = _peak(target, many), len(many)
        show(f"{shape:30}{name:>12}{later * 1e3:12.1f}{growth:9.1f}{peak / MIB:12.1f}{peak / max(1, size):10.1f}")
        text = name in {"json", "tsv", "names"}  # from the user's own files and command line
        if growth > _GROWTH_MAX or (peak > _GRANTED + _PER_BYTE * size and not text):
            failed.append(shape)
    return failed
