"""How far behind a collector is at a steady rate, and what a backlog of a million records costs in memory.

The writer writes what is due every 5 ms; a record's lag counts from when it was due until the collector has it decoded,
so that a side which cannot keep up shows it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import attrs

from benchmarks.harness import Options, Series, Table
from benchmarks.log_shipping import ROUND_TIMEOUT_S, Shipped, Way, log_process, measure
from benchmarks.memory import Memory
from benchmarks.peers import JETSTREAM, OURS_LOGS, REDIS_STREAMS, Side
from benchmarks.processes import Child

__all__ = ["run"]

RATES = (50_000, 10_000)
SECONDS = 6
BACKLOG = 1_000_000
P99_MS_MAX = 50.0
GROWTH_MB_MAX = 32.0


@attrs.frozen
class _Held:
    """The most own memory of writer and collector, in MB, with a backlog at the start."""

    writer: float
    collector: float


def run(options: Options) -> Table:
    """Measure every side at each rate, then ours with a backlog and without."""
    count = options.count or RATES[0] * SECONDS
    sides = (OURS_LOGS, JETSTREAM, REDIS_STREAMS)
    missing = {side.name: why for side in sides if (why := side.missing()) is not None}
    ways = [_way(side, rate) for rate in RATES for side in sides if side.name not in missing]
    # One way after the other: live processes of the others would have what they poll.
    found = {way.name: measure([way], options, count, 1)[way.name] for way in ways}
    backlog = min(BACKLOG, 2 * count) if options.count else BACKLOG
    none, full = _held(0, count), _held(backlog, count)
    at_most = {"ours, p99 at 50,000/s, ms": P99_MS_MAX}
    at_most |= {f"own memory that a backlog costs the {role}, MB": GROWTH_MB_MAX for role in ("writer", "collector")}
    return Table(
        name="log-lag",
        title="the lag of a collector, durable records",
        rows=tuple(_row(way, *found[way.name]) for way in ways),
        version=", ".join(side.version() for side in sides if side.name not in missing),
        figures={
            "ours, p99 at 50,000/s, ms": _median_lag(found[ways[0].name][1], 1),
            f"own memory of the writer, backlog of {backlog}, MB": full.writer,
            "own memory of the writer, no backlog, MB": none.writer,
            f"own memory of the collector, backlog of {backlog}, MB": full.collector,
            "own memory of the collector, no backlog, MB": none.collector,
            "own memory that a backlog costs the writer, MB": full.writer - none.writer,
            "own memory that a backlog costs the collector, MB": full.collector - none.collector,
        },
        limits=at_most,
        notes=(
            "what is due is written by write_all, by publish_async (a push consumer reads), in a pipeline of redis",
            "as in log-durable: ours and redis sync before they acknowledge, jetstream does not",
            "memory: the most while the collector catches up and the writer goes on at 50,000/s",
            *(f"{name} is missing: {why}" for name, why in missing.items()),
        ),
    )


def _way(side: Side, rate: int) -> Way:
    collect: dict[str, object] = {"stamped": True}
    if side is JETSTREAM:
        collect["push"] = True
    return Way(f"{side.name}, {rate:,}/s", side, log={"rate": rate}, collect=collect, part=rate / RATES[0])


def _row(way: Way, series: Series, rounds: Sequence[Shipped]) -> dict[str, str | float]:
    def cpu(figures: Sequence[float]) -> float:
        return 100 * statistics.median(figures)

    return {
        "side, rate asked for": way.name,
        "rate reached": series.median,
        "p50, ms": _median_lag(rounds, 0),
        "p99, ms": _median_lag(rounds, 1),
        "longest, ms": _median_lag(rounds, 2),
        "writer's CPU, %": cpu([one.writer_cpu / one.whole for one in rounds]),
        "collector's CPU, %": cpu([one.collector_cpu / one.whole for one in rounds]),
    }


def _median_lag(rounds: Sequence[Shipped], which: int) -> float:
    return statistics.median(one.lags[which] for one in rounds)


def _held(backlog: int, count: int) -> _Held:
    """Have a backlog written, then a collector that reads it while the writer goes on."""
    with (
        log_process(OURS_LOGS, {"rate": RATES[0], "backlog": backlog}) as (writer, address),
        Memory(writer.pid) as of_writer,
        Child(OURS_LOGS.module, "collect", address=address) as collector,
        Memory(collector.pid) as of_collector,
    ):
        collector.told("ready")
        collector.order(count=backlog + count)
        collector.told("armed")
        writer.order(count=count)
        writer.told("started")
        writer.told("finished", ROUND_TIMEOUT_S)
        collector.told("acknowledged", ROUND_TIMEOUT_S)
    return _Held(of_writer.own, of_collector.own)
