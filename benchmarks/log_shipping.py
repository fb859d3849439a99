"""A writer and a collector of log records, ours or a peer's, live, and rounds of records from the one to the other."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.disks import directory_on_disk
from benchmarks.harness import Options, Result, Series, in_turns
from benchmarks.peers import Side
from benchmarks.processes import Child

__all__ = ["ROUND_TIMEOUT_S", "Shipment", "Shipped", "Way", "compare", "log_process", "measure", "shipment"]

# Rounds of a slow peer on a busy disk.
ROUND_TIMEOUT_S = 300.0


@attrs.frozen
class Way:
    """One way to ship records: a side, and what its roles are told."""

    name: str
    side: Side
    log: Mapping[str, object] = attrs.field(factory=dict)
    collect: Mapping[str, object] = attrs.field(factory=dict)
    # Of a way that is much slower than the others: a round has this part of their records.
    part: float = 1.0
    # Its ratio is told among the peers'; else only its figure is, among the details.
    peer: bool = True


@attrs.frozen
class Shipped:
    """What one round of ``count`` records took, in seconds."""

    count: int
    # From before the first record was made until the acknowledgements of the collector have been taken; of ours the
    # writer knows, too.
    whole: float
    # Until the last record was acknowledged to the writer.
    writing: float
    # Processor time of each process, all its threads, user and system.
    writer_cpu: float
    collector_cpu: float
    # The middle, the 99th of a hundred and the longest, in ms, where they were asked for.
    lags: tuple[float, ...] = ()


class Shipment:
    """Live processes of one way, which stay up so that rounds of several ways can take turns."""

    def __init__(self, writer: Child, collector: Child, *, stamped: bool = False) -> None:
        self.writer = writer
        self.collector = collector
        self._stamped = stamped

    def round(self, count: int) -> Shipped:
        """Have ``count`` records written, received in order and acknowledged."""
        before = self._cpu()
        self.collector.order(count=count)
        self.collector.told("armed")
        self.writer.order(count=count)
        started = self.writer.told("started")
        written, collected = self.writer.told("finished", ROUND_TIMEOUT_S)
        acknowledged = self.collector.told("acknowledged", ROUND_TIMEOUT_S)
        lags = self.collector.told("lags") if self._stamped else ()
        of_writer, of_collector = [now - then for now, then in zip(self._cpu(), before, strict=True)]
        whole = max(collected, acknowledged) - started
        return Shipped(count, whole, written - started, of_writer, of_collector, tuple(lags))

    def _cpu(self) -> list[float]:
        for child in (self.writer, self.collector):
            child.order(usage=True)
        return [child.told("cpu") for child in (self.writer, self.collector)]


@contextlib.contextmanager
def log_process(side: Side, how: Mapping[str, object]) -> Iterator[tuple[Child, str]]:
    """Start a side's server, if it has one, and its writer; give the writer and the address for collectors."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(side.serve())
        where: dict[str, object] = {}
        if side.server is None:
            directory: Path = stack.enter_context(directory_on_disk())
            where["path"] = str(directory / "usage.spool")
        writer = stack.enter_context(Child(side.module, "log", address=address, **where, **how))
        yield writer, writer.told("address")


@contextlib.contextmanager
def shipment(way: Way) -> Iterator[Shipment]:
    """Start a way's server, writer and collector."""
    with (
        log_process(way.side, way.log) as (writer, address),
        Child(way.side.module, "collect", address=address, **way.collect) as collector,
    ):
        collector.told("ready")
        yield Shipment(writer, collector, stamped=bool(way.collect.get("stamped")))


def measure(ways: Sequence[Way], options: Options, count: int, unit: int) -> dict[str, tuple[Series, list[Shipped]]]:
    """Ship records in every way, in turns; a round has ``count`` of them, or a way's part, in steps of ``unit``."""
    rounds: dict[str, list[Shipped]] = {way.name: [] for way in ways}
    with contextlib.ExitStack() as stack:
        takes: dict[str, Callable[[], float]] = {}
        for way in ways:
            live = stack.enter_context(shipment(way))
            size = max(unit, int(count * way.part) // unit * unit)
            live.round(max(unit, size // 4 // unit * unit))  # warm-up

            def take(name: str = way.name, size: int = size, round_: Callable[[int], Shipped] = live.round) -> float:
                rounds[name].append(shipped := round_(size))
                return size / shipped.whole

            takes[way.name] = take
        series = in_turns(takes, options.repeat)
    return {way.name: (series[way.name], rounds[way.name]) for way in ways}


def compare(
    name: str,
    ways: Sequence[Way],
    options: Options,
    *,
    count: int,
    unit: int,
    targets: Mapping[str, float],
    notes: tuple[str, ...],
) -> Result:
    """Compare the ways that can run here, the first of which is our headline."""
    missing = {way.name: why for way in ways if (why := way.side.missing()) is not None}
    present = [way for way in ways if way.name not in missing]
    found = measure(present, options, options.count or count, unit)
    ours, *others = present
    peers = {way.name: found[way.name][0] for way in others if way.peer}
    details: dict[str, float] = {}
    for way in present:
        series, rounds = found[way.name]
        if not way.peer:
            details[way.name] = series.median
        details |= _details(way.name, rounds)
    return Result(
        name=name,
        unit="records/s",
        better="higher",
        ours=found[ours.name][0],
        version=ours.side.version(),
        peers=peers,
        versions={way.name: way.side.version() for way in others if way.peer},
        missing={way.name: missing[way.name] for way in ways if way.name in missing and way.peer},
        targets={peer: least for peer, least in targets.items() if peer in peers},
        details=details,
        notes=notes,
    )


def _details(name: str, rounds: Sequence[Shipped]) -> dict[str, float]:
    def median(figure: Callable[[Shipped], float]) -> float:
        return statistics.median(figure(one) for one in rounds)

    return {
        f"{name}: acknowledged to the writer, records/s": median(lambda one: one.count / one.writing),
        f"{name}: writer's CPU, us a record": median(lambda one: 1e6 * one.writer_cpu / one.count),
        f"{name}: collector's CPU, us a record": median(lambda one: 1e6 * one.collector_cpu / one.count),
    }
