"""The time to publish with 100,000 subscriptions in the mesh against that with 10, in nanoseconds an event.

The subscriptions stand at the subscriber's endpoint, and the publisher's endpoint knows them all.  The events go over
1,000 topics in turn, so that each topic is new once and known afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from benchmarks.harness import Options, Result, in_turns
from benchmarks.peers import OURS
from benchmarks.streams import Stream, stream

__all__ = ["run"]

COUNT = 100_000
TOPICS = 1_000
MANY = 100_000
FEW = 10


def run(options: Options) -> Result:
    """Measure the publisher with many and with few subscriptions, in turns."""
    count = options.count or COUNT
    many = max(FEW, min(MANY, count))
    details: dict[str, float] = {"subscriptions": many, "topics": TOPICS}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for name, others in (("ours", many - 1), ("few", FEW - 1)):
            live = stack.enter_context(stream(OURS, publish={"topics": TOPICS}, subscribe={"others": others}))
            # The first TOPICS events look their topic up; the measured rounds find it cached.
            fresh = live.round(TOPICS)
            details[f"{name}: first event on a fresh topic"] = fresh.publishing / TOPICS * 1e9
            live.round(max(1, count // 4))  # warm-up
            takes[name] = _take(live, count)
        series = in_turns(takes, options.repeat)
    return Result(
        name="subscriptions",
        unit="ns/event",
        better="lower",
        ours=series["ours"],
        version=OURS.version(),
        peers={"few": series["few"]},
        versions={"few": OURS.version()},
        # At most 1.3 times the time.
        targets={"few": 1 / 1.3},
        details=details,
        notes=(f"ours: {many} subscriptions in the mesh; few: {FEW}; the time of the publisher's loop",),
    )


def _take(live: Stream, count: int) -> Callable[[], float]:
    return lambda: live.round(count).publishing / count * 1e9
