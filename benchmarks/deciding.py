"""What the benchmarks of rules share: events as a subscriber gets them, and what it costs to decide on them.

Events come as runs of bytes and are decoded as a subscriber decodes them, run by run; then a side decides on each run.
The two are timed apart, in processor time: nothing here waits for anything.  What a side found is counted off the
clock, and has to be what it must be.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from benchmarks.harness import Options, in_turns
from benchmarks.ours import TOPIC, DiskUsage
from benchmarks.processes import BenchmarkFailed
from broker import events
from broker.messages import Message
from broker.rules.engine import Engine
from broker.rules.model import Program

__all__ = [
    "BATCH",
    "EACH_NS",
    "FULL",
    "ORIGIN",
    "RULES",
    "START_NS",
    "Cost",
    "Decide",
    "Run",
    "Side",
    "at_engine",
    "costs",
    "decoded",
    "engine_for",
    "made",
    "recorded",
    "sizes",
    "used_by",
]

RULES = (1, 10, 100, 1_000, 10_000)
# Events to a run: as many as a reader takes up at once.
BATCH = 256
ORIGIN = "publisher"
START_NS = 1_800_000_000 * 10**9
# A disk that is fuller than this is told of; one event in a hundred is.
FULL = 0.985
EACH_NS = 1_000_000
IDLE_S = 3_600

Decide = Callable[[list[Message]], Any]


@attrs.frozen
class Run:
    """So many events as bytes."""

    body: bytes
    count: int


@attrs.frozen
class Side:
    """Who decides: ``start`` is called before each repetition, off the clock, and gives what decides on a run.

    ``count`` tells how many matches are in what that gave; all together have to be ``expected``.  ``warm`` runs come
    before the measured ones.
    """

    start: Callable[[], Decide]
    count: Callable[[Any], int]
    runs: Sequence[Run]
    expected: int
    warm: Sequence[Run] = ()


@attrs.frozen
class Cost:
    """What an event costs, in nanoseconds of processor time: the medians."""

    decoding: float
    deciding: float

    @property
    def share(self) -> float:
        """The codec's share, in percent."""
        return 100 * self.decoding / (self.decoding + self.deciding)

    @property
    def rate(self) -> float:
        """Events that are decided on in a second, decoded already."""
        return 1e9 / self.deciding


def sizes(options: Options) -> tuple[int, ...]:
    """How many rules to measure with: as many as there are events at most, for a short run."""
    return tuple(size for size in RULES if options.count is None or size <= max(1, options.count // BATCH))


def used_by(number: int) -> float:
    """How full the disk of the event with that number is: 0.00 to 0.99, all as often."""
    return number % 100 / 100


def recorded(made_events: Iterable[DiskUsage], *, first: int = 0, each_ns: int = EACH_NS) -> list[Run]:
    """Encode events, one each so many nanoseconds, in runs; the first one is the ``first`` of the whole stream."""
    _, encode = events.encoder_for(DiskUsage)
    times = itertools.count(START_NS + first * each_ns, each_ns)
    runs = []
    waiting = iter(made_events)
    while batch := list(itertools.islice(waiting, BATCH)):
        # An array header of msgpack, of 16 bits.
        header = b"\xdc" + len(batch).to_bytes(2, "big")
        runs.append(Run(header + b"".join([encode(event, next(times)) for event in batch]), len(batch)))
    return runs


def decoded(runs: Iterable[Run]) -> Iterator[list[Message]]:
    """The messages of each run, decoded when they are asked for."""
    decode = events.decoder_for(events.name_of(DiskUsage))
    for run in runs:
        messages, misfits = decode(run.body, run.count, TOPIC, ORIGIN)
        if misfits or len(messages) != run.count:
            raise BenchmarkFailed(f"{run.count} events were encoded and {len(messages)} decoded")
        yield messages


def costs(sides: Mapping[str, Side], options: Options) -> dict[str, Cost]:
    """Measure the sides in turns, after a warm-up of each."""
    taken: dict[str, list[Cost]] = {name: [] for name in sides}

    def taking(name: str, side: Side) -> Callable[[], float]:
        def take() -> float:
            taken[name].append(_spend(name, side))
            return taken[name][-1].deciding

        return take

    takes = {name: taking(name, side) for name, side in sides.items()}
    for name, side in sides.items():
        _spend(name, attrs.evolve(side, expected=-1, warm=(), runs=[*side.warm, *side.runs][:4]))
    in_turns(takes, options.repeat)
    return {
        name: Cost(
            statistics.median(each.decoding for each in found), statistics.median(each.deciding for each in found)
        )
        for name, found in taken.items()
    }


def _spend(name: str, side: Side) -> Cost:
    """What one repetition costs.  Raises BenchmarkFailed for too many matches, or too few."""
    clock = time.process_time_ns
    decide = side.start()
    found = sum(side.count(decide(messages)) for messages in decoded(side.warm))
    decoding = deciding = 0
    waiting = decoded(side.runs)
    while True:
        start = clock()
        messages = next(waiting, None)
        middle = clock()
        if messages is None:
            break
        result = decide(messages)
        deciding += clock() - middle
        decoding += middle - start
        found += side.count(result)
    if found != side.expected >= 0:
        raise BenchmarkFailed(f"{name}: {side.expected} matches were to be found, and {found} were")
    events_ = sum(run.count for run in side.runs)
    return Cost(decoding / events_, deciding / events_)


def engine_for(program: Program) -> Engine:
    """An engine that begins with the events, whose one source is never silent for too long."""
    return Engine(program, idle_s=IDLE_S, now_ns=START_NS)


def at_engine(engine: Engine) -> Decide:
    """An engine that decides on each run as it arrives: its clock is that of the events."""
    return lambda messages: engine.receive(messages, messages[-1].time_ns)


def made(outcome: Any) -> int:
    """Count what an engine made.  Raises BenchmarkFailed if it had a problem."""
    if outcome.problems:
        raise BenchmarkFailed(f"the engine had a problem: {outcome.problems[0].text}")
    return len(outcome.made)
