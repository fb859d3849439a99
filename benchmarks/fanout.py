"""The publisher's processor time an event for one peer and a further one, against one peer alone, in nanoseconds.

Processor time is that of the publisher's whole process, user and system, ZeroMQ's threads included, while 1, 2 and 4
subscriber processes receive the same events; the further peer is the second of two or the mean of the last three of
four, whichever costs more.
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
# What a further peer may cost beyond the first, as a share of it.
FURTHER_MAX = 0.15
NOTES = (
    "ours: one peer and the costliest further one; first: one peer",
    f"at most {FURTHER_MAX:.0%} more for a further peer is a ratio of 1 / (1 + {FURTHER_MAX})",
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
    further = {peers: (cpu[str(peers)].median - first) / (peers - 1) for peers in PEERS[1:]}
    costliest = max(further, key=further.__getitem__)
    ours = tuple(
        one + (several - one) / (costliest - 1)
        for one, several in zip(cpu["1"].figures, cpu[str(costliest)].figures, strict=True)
    )
    details = {f"with {name} peer(s)": series.median for name, series in cpu.items()}
    details |= {f"each further one of {peers}, share of the first": cost / first for peers, cost in further.items()}
    return Result(
        name="fanout",
        unit="ns/event",
        better="lower",
        ours=Series(ours),
        version=side.version(),
        peers={"first": cpu["1"]},
        versions={"first": side.version()},
        targets={"first": 1 / (1 + FURTHER_MAX)},
        details=details,
        notes=NOTES,
    )


def _take(live: Stream, count: int) -> Callable[[], float]:
    return lambda: live.round(count).publisher_cpu / count * 1e9
