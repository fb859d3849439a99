"""Encoding and decoding alone, in one process, in nanoseconds an event.

Ours goes from an event's object to bytes and from a run of bytes to message objects whose fields are checked.  Beside
it: our reference codec, which is msgpack with the same checks and the same bytes; msgpack alone, from tuple to bytes
and back, unchecked; and msgspec with a Struct, checked.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import attrs
import msgpack
import msgspec

from benchmarks.harness import Options, Result, in_turns
from benchmarks.ours import TOPIC, DiskUsage
from benchmarks.peers import OURS
from benchmarks.workload import HOST, MOUNT, USED, OutOfOrder
from broker import events
from broker.schema import runs
from broker.schema.schemas import schema_of

__all__ = ["events_per_second", "run"]

Encoded = TypeVar("Encoded")

COUNT = 200_000
# Events to a run: about what a frame carries when the publisher is at full speed.
BATCH = 1_000
NOTES = (
    "figures are the encode loop's and the decode loop's time together; the events are made beforehand",
    "msgpack: packb and unpackb of a tuple, unchecked; msgspec: one Encoder and one typed Decoder, Struct as array",
    "ours writes the event's time too, and its decoding makes message objects",
)


@attrs.frozen
class Cost:
    """Seconds an event, each way."""

    encode: float
    decode: float

    @property
    def both(self) -> float:
        """Seconds to encode one event and decode it."""
        return self.encode + self.decode


class _Row(msgspec.Struct, array_like=True):
    host: str
    mount: str
    used: float
    sequence: int


def events_per_second(count: int) -> float:
    """Return our own rate: encode loop and decode loop, one after the other."""
    return 1 / _ours(count).both


def run(options: Options) -> Result:
    """Measure ours, our reference, msgpack and msgspec in turns."""
    count = options.count or COUNT
    costs: dict[str, list[Cost]] = {}
    takes: dict[str, Callable[[], float]] = {}
    for name, measure in (("ours", _ours), ("reference", _reference), ("msgpack", _msgpack), ("msgspec", _msgspec)):
        measure(max(1, count // 4))  # warm-up

        def take(name: str = name, measure: Callable[[int], Cost] = measure) -> float:
            cost = measure(count)
            costs.setdefault(name, []).append(cost)
            return cost.both * 1e9

        takes[name] = take
    series = in_turns(takes, options.repeat)
    msgpack_version = ".".join(map(str, msgpack.version))
    details = {}
    for name, taken in costs.items():
        details[f"{name} encode"] = statistics.median(cost.encode for cost in taken) * 1e9
        details[f"{name} decode"] = statistics.median(cost.decode for cost in taken) * 1e9
    return Result(
        name="codec",
        unit="ns/event",
        better="lower",
        ours=series.pop("ours"),
        version=OURS.version(),
        peers=series,
        versions={"reference": msgpack_version, "msgpack": msgpack_version, "msgspec": msgspec.__version__},
        details=details,
        notes=NOTES,
    )


def _ours(count: int) -> Cost:
    name, encode = events.encoder_for(DiskUsage)
    return _runs(count, encode, events.decoder_for(name))


def _reference(count: int) -> Cost:
    name = events.name_of(DiskUsage)
    schema = schema_of(DiskUsage)
    return _runs(count, runs.encoder(schema, name, reference=True), runs.decoder(schema, name, reference=True))


def _runs(count: int, encode: runs.Encode, decode_run: runs.DecodeRun) -> Cost:
    made = [DiskUsage(HOST, MOUNT, USED, number) for number in range(BATCH)]
    header: bytes = msgpack.Packer().pack_array_header(BATCH)
    now_ns = time.time_ns()

    def encode_batch() -> bytes:
        return header + b"".join([encode(event, now_ns) for event in made])

    def decode_batch(body: bytes) -> list[int]:
        messages, _misfits = decode_run(body, BATCH, TOPIC, "publisher")
        return [message.event.sequence for message in messages]

    return _measure(count, encode_batch, decode_batch)


def _msgpack(count: int) -> Cost:
    packb, unpackb = msgpack.packb, msgpack.unpackb
    made = [(HOST, MOUNT, USED, number) for number in range(BATCH)]

    def encode_batch() -> list[bytes]:
        return [packb(row) for row in made]

    def decode_batch(bodies: list[bytes]) -> list[int]:
        return [unpackb(body)[3] for body in bodies]

    return _measure(count, encode_batch, decode_batch)


def _msgspec(count: int) -> Cost:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(_Row).decode
    made = [_Row(HOST, MOUNT, USED, number) for number in range(BATCH)]

    def encode_batch() -> list[bytes]:
        return [encode(row) for row in made]

    def decode_batch(bodies: list[bytes]) -> list[int]:
        return [decode(body).sequence for body in bodies]

    return _measure(count, encode_batch, decode_batch)


def _measure(count: int, encode_batch: Callable[[], Encoded], decode_batch: Callable[[Encoded], list[int]]) -> Cost:
    batches = max(1, count // BATCH)
    expected = list(range(BATCH))
    encoding = decoding = 0.0
    for _ in range(batches):
        start = time.perf_counter()
        encoded = encode_batch()
        middle = time.perf_counter()
        found = decode_batch(encoded)
        end = time.perf_counter()
        encoding += middle - start
        decoding += end - middle
        if found != expected:
            number = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), len(found))
            raise OutOfOrder(number, found[number] if number < len(found) else -1)
    return Cost(encoding / (batches * BATCH), decoding / (batches * BATCH))
