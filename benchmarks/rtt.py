"""The round trip of one event between two processes over loopback TCP, in microseconds.

Ours makes, encodes, checks and decodes a typed event at each end, under trio.  The peers send back ready-made bytes:
pyzmq on a bare DEALER and ROUTER, blocking; nats by ``request`` and ``respond``.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import NATS, OURS, PYZMQ, Side
from benchmarks.processes import Child

__all__ = ["pair", "run"]

COUNT = 2_000
# A ratio is the peer's time by ours: at most 2.2 times pyzmq's time, and less than that of nats.
TARGETS = {"pyzmq": 1 / 2.2, "nats": 1.0}
NOTES = (
    "each repetition's figure is the median of its round trips",
    "the peers send ready-made bytes back and forth; ours are typed events, checked at both ends",
)


def run(options: Options) -> Result:
    """Measure ours and every peer that is installed."""
    return compare((OURS, PYZMQ, NATS), options)


def compare(sides: tuple[Side, ...], options: Options) -> Result:
    """Measure the sides, the first of which is ours."""
    count = options.count or COUNT
    missing = {side.name: why for side in sides if (why := side.missing()) is not None}
    present = [side for side in sides if side.name not in missing]
    tails: dict[str, list[float]] = {side.name: [] for side in present}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for side in present:
            round_trips = stack.enter_context(pair(side))
            round_trips(max(1, count // 4))  # warm-up

            def take(name: str = side.name, round_trips: Callable[[int], list[float]] = round_trips) -> float:
                seconds = sorted(round_trips(count))
                tails[name].append(seconds[int(count * 0.99)] * 1e6)
                return statistics.median(seconds) * 1e6

            takes[side.name] = take
        series = in_turns(takes, options.repeat)
    return Result(
        name="rtt",
        unit="us",
        better="lower",
        ours=series.pop(sides[0].name),
        version=sides[0].version(),
        peers=series,
        versions={side.name: side.version() for side in present[1:]},
        missing=missing,
        targets=TARGETS,
        details={f"{name} p99": statistics.median(values) for name, values in tails.items()},
        notes=NOTES,
    )


@contextlib.contextmanager
def pair(side: Side, **options: object) -> Iterator[Callable[[int], list[float]]]:
    """Start a side's two processes; give a function that does so many round trips and returns their seconds.

    ``options`` go to both roles.
    """
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(side.serve())
        echo = stack.enter_context(Child(side.module, "echo", address=address, **options))
        address = echo.told("address")
        ping = stack.enter_context(Child(side.module, "ping", address=address, **options))
        ping.told("ready")

        def round_trips(count: int) -> list[float]:
            echo.order(count=count)
            ping.order(count=count)
            seconds: list[float] = ping.told("seconds")
            return seconds

        yield round_trips
