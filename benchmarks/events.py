"""Typed events of four fields between two Python processes over loopback TCP, in events a second.

The subscriber's process takes the time from the first to the last event it receives.  The publisher makes every
event in its loop.  ``codec`` is our own encode loop and decode loop, one after the other in one process: what would be
left if sending cost nothing.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping

from benchmarks import codec
from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import NATS, OURS, PYZMQ, REDIS, Side
from benchmarks.streams import Round, stream

__all__ = ["run"]

COUNT = 200_000
TARGETS = {"pyzmq": 4.0, "nats": 4.0, "redis": 5.0, "codec": 0.5}
NOTES = (
    "every event is checked: once and in order, on every side",
    "the peers' events are tuples through msgpack.packb and unpackb, unchecked; ours are checked against their class",
    "pyzmq: blocking XPUB and SUB, high-water marks 0, send_multipart; nats: asyncio, publish, callback",
    "redis: PUBLISH in pipelines of 1,000, pubsub.listen()",
    "codec: our encode loop and decode loop, one after the other in one process",
    "'whole' counts from before the first event was made instead of from the first received",
)


def run(options: Options) -> Result:
    """Measure ours and every peer that is installed."""
    return compare((OURS, PYZMQ, NATS, REDIS), options)


def compare(
    sides: tuple[Side, ...],
    options: Options,
    *,
    name: str = "events",
    unit: str = "events/s",
    targets: Mapping[str, float] = TARGETS,
    notes: tuple[str, ...] = NOTES,
) -> Result:
    """Measure the sides, the first of which is ours, and our codec where there is a target for it."""
    ours = sides[0]
    count = options.count or COUNT
    missing = {side.name: why for side in sides if (why := side.missing()) is not None}
    present = [side for side in sides if side.name not in missing]
    rounds: dict[str, list[Round]] = {side.name: [] for side in present}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for side in present:
            live = stack.enter_context(stream(side))
            live.round(max(1, count // 4))  # warm-up

            def take(name: str = side.name, round_: Callable[[int], Round] = live.round) -> float:
                rounds[name].append(round_(count))
                return (count - 1) / rounds[name][-1].receiving

            takes[side.name] = take
        if "codec" in targets:
            takes["codec"] = lambda: codec.events_per_second(count)
        series = in_turns(takes, options.repeat)
    return Result(
        name=name,
        unit=unit,
        better="higher",
        ours=series.pop(ours.name),
        version=ours.version(),
        peers=series,
        versions={side.name: side.version() for side in present[1:]} | {"codec": ours.version()},
        missing=missing,
        targets=targets,
        details=_details(rounds),
        notes=notes,
    )


def _details(rounds: Mapping[str, list[Round]]) -> dict[str, float]:
    return {
        f"{name} whole": statistics.median(round_.count / round_.whole for round_ in taken)
        for name, taken in rounds.items()
    }
