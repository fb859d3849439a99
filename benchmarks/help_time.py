"""``broker --help`` as a whole process, in milliseconds: what somebody waits for who looks a command up."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from benchmarks.harness import Options, Table, in_turns
from benchmarks.peers import OURS

__all__ = ["run"]

LIMIT_MS = 250
COMMANDS = {"bare interpreter": ["-c", "pass"], "broker --help": ["-m", "broker", "--help"]}


def run(options: Options) -> Table:
    """Measure it beside the interpreter's own start, in turns."""
    for arguments in COMMANDS.values():
        _milliseconds(arguments)  # warm-up: compiled files and the disk's cache
    series = in_turns(
        {name: partial(_milliseconds, arguments) for name, arguments in COMMANDS.items()},
        options.repeat * 2,
    )
    return Table(
        name="help",
        title="the command line's help, whole processes",
        rows=tuple(
            {"command": name, "median (ms)": found.median, "max (ms)": found.spread[1]}
            for name, found in series.items()
        ),
        version=OURS.version(),
        figures={"broker --help, ms": series["broker --help"].median},
        limits={"broker --help, ms": LIMIT_MS},
    )


def _milliseconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, timeout=60, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1e3
