"""What trust costs: the events benchmark with keys against without, and with access rules against without being asked.

``curve``   events between two processes: CURVE against plain TCP
``access``  the same over 1,000 topics, all with keys: 10 and 10,000 prefixes for each right against no question at all
``seals``   events through a relay, which has to be kept from speaking in the publisher's name, with keys and without
``secrecy`` the round trip of one event, straight: CURVE against plain TCP
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import OURS
from benchmarks.rtt import pair
from benchmarks.streams import Stream, stream

__all__ = ["access", "curve", "seals", "secrecy"]

COUNT = 200_000
TOPICS = 1_000


def curve(options: Options) -> Result:
    """Measure events with keys, and every right without being asked, against plain ones."""
    return _streams(
        "curve",
        options,
        {"ours": "unasked", "plain": ""},
        # At most 30 % of the rate.
        targets={"plain": 0.7},
        notes=("ours: keys, encrypted by CURVE (libzmq's, XSalsa20-Poly1305); plain: no keys",),
    )


def access(options: Options) -> Result:
    """Measure events under access rules against ones with keys alone."""
    return _streams(
        "access",
        options,
        {"ours": "10000", "ten": "10", "unasked": "unasked"},
        topics=TOPICS,
        # At most 10 % for ten thousand rules; for ten at most 5, which the details tell.
        targets={"unasked": 0.9},
        notes=(
            f"ours: 10,000 prefixes to publish and as many to subscribe to, ten: 10; over {TOPICS} topics",
            "unasked: keys, and every right without being asked",
        ),
    )


def seals(options: Options) -> Result:
    """Measure events through a relay with keys, sealed for their receiver, against plain ones."""
    return _streams(
        "seals",
        options,
        {"ours": "unasked", "plain": ""},
        relay=True,
        targets={},
        notes=("ours: each frame encrypted twice, sealed by the publisher, checked by the subscriber; plain: no keys",),
    )


def secrecy(options: Options) -> Result:
    """Measure round trips with keys against plain ones."""
    count = options.count or 2_000
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for name, trust in {"ours": "10", "plain": ""}.items():
            round_trips = stack.enter_context(pair(OURS, trust=trust))
            round_trips(max(1, count // 4))  # warm-up
            takes[name] = lambda go=round_trips: statistics.median(go(count)) * 1e6  # type: ignore[misc]
        series = in_turns(takes, options.repeat)
    return Result(
        name="secrecy",
        unit="us",
        better="lower",
        ours=series.pop("ours"),
        version=OURS.version(),
        peers=series,
        versions={"plain": OURS.version()},
        targets={},
        notes=("each repetition's figure is the median of its round trips",),
    )


def _streams(
    name: str,
    options: Options,
    sides: dict[str, str],
    *,
    relay: bool = False,
    topics: int = 1,
    targets: dict[str, float],
    notes: tuple[str, ...],
) -> Result:
    """Measure streams that differ in nothing but trust, in turns."""
    count = options.count or COUNT
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for side, trust in sides.items():
            listener = {"listener": "relay" if relay else "publisher"} if trust else {}
            live = stack.enter_context(
                stream(
                    OURS,
                    relay=relay,
                    publish={"trust": trust, "topics": topics},
                    subscribe={"trust": trust, **listener},
                )
            )
            live.round(max(1, count // 4))  # warm-up
            takes[side] = _take(live, count, cpu[side])
        series = in_turns(takes, options.repeat)
    return Result(
        name=name,
        unit="events/s",
        better="higher",
        ours=series.pop("ours"),
        version=OURS.version(),
        peers=series,
        versions={side: OURS.version() for side in series},
        targets=targets,
        details={f"{side}: CPU of all, ns an event": statistics.median(costs) * 1e9 for side, costs in cpu.items()},
        notes=notes,
    )


def _take(live: Stream, count: int, cpu: list[float]) -> Callable[[], float]:
    def take() -> float:
        round_ = live.round(count)
        cpu.append((round_.publisher_cpu + round_.relay_cpu + round_.subscribers_cpu) / count)
        return (count - 1) / round_.receiving

    return take
