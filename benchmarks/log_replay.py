"""A million log records on disk, read by a collector with a new name from the first to the last, and acknowledged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import attrs

from benchmarks.harness import Options, Result, in_turns
from benchmarks.log_shipping import ROUND_TIMEOUT_S, log_process
from benchmarks.peers import JETSTREAM, OURS_LOGS, REDIS_STREAMS, Side
from benchmarks.processes import Child

__all__ = ["replayed", "run"]

COUNT = 1_000_000
PUSH = "jetstream, push"
SIDES = (OURS_LOGS, JETSTREAM, attrs.evolve(JETSTREAM, name=PUSH), REDIS_STREAMS)
NOTES = (
    "from before the collector gives its new name until its acknowledgement of the last record is taken",
    "ours: the writer keeps what is collected (keep_bytes); receive_batch, acknowledge through=True, confirmed()",
    "jetstream: a new durable pull consumer, fetch of 1,000, AckAll on the last of it; file storage",
    "jetstream, push: a push consumer with a callback, AckAll on each 1,000th",
    "redis: a new group, XREADGROUP of 1,000 and one XACK; appendfsync always; it has the records in memory",
)


def run(options: Options) -> Result:
    """Measure ours and every peer that is installed."""
    count = options.count or COUNT
    missing = {side.name: why for side in SIDES if (why := side.missing()) is not None}
    present = [side for side in SIDES if side.name not in missing]
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for side in present:
            how = {"push": True} if side.name == PUSH else {}
            takes[side.name] = stack.enter_context(replayed(side, count, how))
        series = in_turns(takes, options.repeat)
    ours, *peers = present
    return Result(
        name="log-replay",
        unit="records/s",
        better="higher",
        ours=series.pop(ours.name),
        version=ours.version(),
        peers=series,
        versions={side.name: side.version() for side in peers},
        missing=missing,
        notes=NOTES,
    )


@contextlib.contextmanager
def replayed(side: Side, count: int, replay: Mapping[str, object]) -> Iterator[Callable[[], float]]:
    """Have the records written, and give a take of reading them all anew."""
    log: dict[str, object] = {"collectors": [], "keep": True} if side.server is None else {}
    with log_process(side, log) as (writer, address):
        writer.order(count=count)
        writer.told("started")
        writer.told("finished", ROUND_TIMEOUT_S)
        with Child(side.module, "replay", address=address, **replay) as collector:
            collector.told("ready")

            def take(size: int = count) -> float:
                collector.order(count=size)
                seconds: float = collector.told("seconds", ROUND_TIMEOUT_S)
                return size / seconds

            take(max(1, count // 10))  # warm-up
            yield take
