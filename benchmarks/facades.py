"""What programs that are not written for trio pay: blocking ones and asyncio's, beside the core under trio.

Rates are between two processes over loopback TCP, one of which is the program that is measured and the other the core
under trio.  A round trip has the same kind of program at both ends, so that it pays twice; told is what *one* end adds.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping

from benchmarks.harness import Options, Table, in_turns
from benchmarks.peers import OURS, OURS_AIO, OURS_BLOCKING, Side
from benchmarks.rtt import pair
from benchmarks.streams import Stream, stream

__all__ = ["run"]

COUNT = 200_000
ROUND_TRIPS = 2_000
KINDS = {"trio": OURS, "blocking": OURS_BLOCKING, "asyncio": OURS_AIO}


def run(options: Options) -> Table:
    """Measure publishing, subscribing and round trips, in turns."""
    count = options.count or COUNT
    medians: dict[tuple[str, str], float] = {}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for kind, side in KINDS.items():
            publishing = stack.enter_context(stream(side, reader=OURS))
            subscribing = stack.enter_context(stream(OURS, reader=side))
            for live in (publishing, subscribing):
                live.round(max(1, count // 4))  # warm-up
            takes[f"{kind} publishes"] = _rate(publishing, count)
            takes[f"{kind} subscribes"] = _rate(subscribing, count)
            takes[f"{kind} round trip"] = _round_trip(stack, side, min(count, ROUND_TRIPS))
        for name, series in in_turns(takes, options.repeat).items():
            kind, _, what = name.partition(" ")
            medians[kind, what] = series.median
    rows: tuple[Mapping[str, str | float], ...] = tuple(
        {
            "program": kind,
            "publishes (events/s)": medians[kind, "publishes"],
            "subscribes (events/s)": medians[kind, "subscribes"],
            "round trip (us)": medians[kind, "round trip"],
        }
        for kind in KINDS
    )
    added = {kind: medians[kind, "round trip"] - medians["trio", "round trip"] for kind in ("blocking", "asyncio")}
    return Table(
        name="facades",
        title=f"blocking and asyncio programs, {options.repeat} repetitions in turns",
        rows=rows,
        version=OURS.version(),
        figures={
            "blocking publish, us an event": 1e6 / medians["blocking", "publishes"],
            "asyncio subscriber, us an event": 1e6 / medians["asyncio", "subscribes"],
            **{f"{kind}: us added to a round trip by each end": time / 2 for kind, time in added.items()},
        },
        limits={
            "blocking publish, us an event": 5,  # 200,000/s
            "asyncio subscriber, us an event": 2,  # 500,000/s
            **{f"{kind}: us added to a round trip by each end": 100 for kind in added},
        },
        notes=(
            "each publishes event by event, from one thread or task; the asyncio subscriber takes batches",
            "each repetition's round trip is the median of its round trips",
        ),
    )


def _rate(live: Stream, count: int) -> Callable[[], float]:
    return lambda: (count - 1) / live.round(count).receiving


def _round_trip(stack: contextlib.ExitStack, side: Side, count: int) -> Callable[[], float]:
    round_trips = stack.enter_context(pair(side))
    round_trips(max(1, count // 4))
    return lambda: statistics.median(round_trips(count)) * 1e6
