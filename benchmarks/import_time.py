"""``import broker`` and a name of it in a fresh process, against ``import trio, zmq, msgpack``.  In milliseconds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import OURS

__all__ = ["run"]

# A process is over in a fraction of a second, and its time varies more than a rate does.
RUNS_PER_REPETITION = 2
PARTS = "trio, zmq, msgpack"


def run(options: Options) -> Result:
    """Measure whole fresh processes, in turns; the bare interpreter is told beside them."""
    takes = {
        "ours": _process("from broker import Endpoint"),
        "parts": _process(f"import {PARTS}"),
        "bare": _process("pass"),
    }
    for take in takes.values():
        take()  # warm-up: compiled files and the disk's cache
    series = in_turns(takes, options.repeat * RUNS_PER_REPETITION)
    bare = series["bare"].median
    return Result(
        name="import",
        unit="ms",
        better="lower",
        ours=series["ours"],
        version=OURS.version(),
        peers={"parts": series["parts"]},
        versions={"parts": f"import {PARTS}"},
        # At most 1.5 times the time.
        targets={"parts": 1 / 1.5},
        details={
            "bare interpreter": bare,
            "parts by ours, without the interpreter's own start": (series["parts"].median - bare)
            / (series["ours"].median - bare),
        },
    )


def _process(statement: str) -> Callable[[], float]:
    def take() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, timeout=60)
        return (time.perf_counter() - start) * 1e3

    return take
