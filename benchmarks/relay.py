"""Typed events from one process through a second to a third over loopback TCP, against the direct path, in events/s.

The relay is an endpoint like any other, and its program does nothing.  Processor time is that of each whole process,
user and system, ZeroMQ's threads included.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import OURS
from benchmarks.streams import Round, stream

__all__ = ["run"]

COUNT = 200_000
# Of the direct path's rate.
DIRECT_MIN = 0.6


def run(options: Options) -> Result:
    """Measure both paths, in turns."""
    count = options.count or COUNT
    rounds: dict[str, list[Round]] = {"ours": [], "direct": []}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for name, taken in rounds.items():
            live = stack.enter_context(stream(OURS, relay=name == "ours"))
            live.round(max(1, count // 4))  # warm-up

            def take(taken: list[Round] = taken, round_: Callable[[int], Round] = live.round) -> float:
                taken.append(round_(count))
                return (count - 1) / taken[-1].receiving

            takes[name] = take
        series = in_turns(takes, options.repeat)
    return Result(
        name="relay",
        unit="events/s",
        better="higher",
        ours=series["ours"],
        version=OURS.version(),
        peers={"direct": series["direct"]},
        versions={"direct": OURS.version()},
        targets={"direct": DIRECT_MIN},
        details=_cpu("through the relay", rounds["ours"]) | _cpu("direct", rounds["direct"]),
        notes=(
            "ours: publisher, relay, subscriber, each a process; direct: publisher, subscriber",
            f"CPU in ns an event; by the {os.cpu_count()} cores, that of all is the least time an event takes",
        ),
    )


def _cpu(path: str, rounds: list[Round]) -> dict[str, float]:
    """Return the median processor time of an event at each process, and at all of them, in nanoseconds."""
    costs = {
        "publisher": [round_.publisher_cpu / round_.count for round_ in rounds],
        "relay": [round_.relay_cpu / round_.count for round_ in rounds],
        "subscriber": [round_.subscribers_cpu / round_.count for round_ in rounds],
    }
    costs["together"] = [sum(parts) for parts in zip(*costs.values(), strict=True)]
    return {f"{path}: CPU {role}": statistics.median(cost) * 1e9 for role, cost in costs.items() if any(cost)}
