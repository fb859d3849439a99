"""The publisher's processor time for an event and peer, with four peers against one, in nanoseconds.

Processor time is that of the publisher's whole process, user and system, ZeroMQ's threads included, while 1, 2 and 4
subscriber processes receive the same events.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from benchmarks.harness import Options, Result, Series, in_turns
from benchmarks.peers import OURS, Side
from benchmarks.streams import Stream, stream

__all__ = ["run"]

COUNT = 200_000
PEERS = (1, 2, 4)
MOST = PEERS[-1]
# What a further peer may cost beyond the first, as a share of it.
FURTHER_MAX = 0.15
NOTES = (
    f"ours: the time for an event and peer with {MOST} peers; first: with one",
    f"at most {FURTHER_MAX:.0%} more for each further peer is a ratio of {MOST} / (1 + {MOST - 1} * {FURTHER_MAX})",
)


def run(options: Options) -> Result:
    """Measure the publisher with 1, 2 and 4 peers, in turns."""
    return compare(OURS, options)


def compare(side: Side, options: Options) -> Result:
    """Measure one side's publisher with 1, 2 and 4 peers, in turns."""
    count = options.count or COUNT
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for peers in PEERS:
            live = stack.enter_context(stream(side, subscribers=peers))
            live.round(max(1, count // 4))  # warm-up
            takes[str(peers)] = _take(live, count)
        cpu = in_turns(takes, options.repeat)
    first = cpu["1"].median
    details = {f"with {name} peer(s)": series.median for name, series in cpu.items()}
    for peers in PEERS[1:]:
        further = (cpu[str(peers)].median - first) / (peers - 1) / first
        details[f"each further one of {peers}, share of the first"] = further
    return Result(
        name="fanout",
        unit="ns/event and peer",
        better="lower",
        ours=Series(tuple(figure / MOST for figure in cpu[str(MOST)].figures)),
        version=side.version(),
        peers={"first": cpu["1"]},
        versions={"first": side.version()},
        targets={"first": MOST / (1 + (MOST - 1) * FURTHER_MAX)},
        details=details,
        notes=NOTES,
    )


def _take(live: Stream, count: int) -> Callable[[], float]:
    return lambda: live.round(count).publisher_cpu / count * 1e9
