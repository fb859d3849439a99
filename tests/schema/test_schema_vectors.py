"""The golden runs of tests/vectors/events.json, both ways: as classes, and as programs without the classes see them."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any, Literal

import attrs
import msgpack
import pytest

from broker import events
from broker.events import Event
from broker.values import EnumValue, Port, Timestamp

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "events.json").read_text(encoding="utf-8")
)["runs"]


class Severity(enum.Enum):
    LOW = 1
    HIGH = 2


@attrs.frozen
class Mount:
    path: str
    size: int


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Square:
    side: float


@events.event(name="vectors.Disk")
class Disk:
    host: str
    mount: str
    used: float
    inodes: int = 0


@events.event(name="vectors.Alert")
class Alert:
    severity: Severity
    port: Port | None
    mounts: list[Mount]
    at: Timestamp
    tags: dict[str, set[int]]
    state: Literal["up", "down"]
    pair: tuple[int, str]
    note: Any = None


@events.event(name="vectors.Shape")
class Shape:
    shape: Circle | Square | None
    keys: frozenset[Mount]


NOON = Timestamp.from_ns(1_704_110_400_000_000_001)
ALERT: Any = (
    Port(53, "udp"),
    [Mount("/", 1), Mount("/home", 2**40)],
    NOON,
    {"a": {2, 1}},
    "down",
    (1, "x"),
    [None, b"\x00"],
)
# By the vector's name: what the classes make of it, and the misfits as (index, field).
MEANING: dict[str, tuple[list[Any], list[tuple[int, str]]]] = {
    "one event": ([Disk("web-01", "/", 0.5, 7)], []),
    "two events": ([Disk("web-01", "/", 1, 2**64 - 1), Disk("ü", "", -0.0, -1)], []),
    "sixteen events": ([Disk("h", "/", 0.5, number) for number in range(16)], []),
    "no events": ([], []),
    "without the field appended later": ([Disk("web-01", "/", 0.5)], []),
    "with a field that this class does not have yet": ([Disk("web-01", "/", 0.5, 7)], []),
    "a misfit between two that fit": ([Disk("a", "/", 0.5, 1), Disk("c", "/", 0.5, 3)], [(1, "used")]),
    "an array that ends too early": ([], [(0, "used")]),
    "enum, optional, nested, containers": ([Alert(Severity.HIGH, *ALERT)], []),
    "an enum member that is not known": ([], [(0, "severity")]),
    "a union of two classes": ([Shape(Square(2.0), frozenset({Mount("/", 1)})), Shape(None, frozenset())], []),
    "no class of that name": ([Event("vectors.Unknown", (1, EnumValue("A::B"), "x"))], []),
}
READ_ONLY = {
    "without the field appended later",
    "with a field that this class does not have yet",
    "a misfit between two that fit",
    "an array that ends too early",
    "an enum member that is not known",
}


def test_each_vector_has_a_meaning() -> None:
    assert [vector["name"] for vector in VECTORS] == list(MEANING)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_run_is_read_as_it_is_told(vector: Any) -> None:
    body = bytes.fromhex(vector["hex"])
    messages, misfits = events.decoder_for(vector["event"])(body, vector["count"], "t", "o")
    expected, expected_misfits = MEANING[vector["name"]]
    assert [message.event for message in messages] == expected
    assert [repr(message.event) for message in messages if isinstance(message.event, Disk)] == [
        repr(event) for event in expected if isinstance(event, Disk)
    ]  # 1 is not 1.0, nor 0.0 -0.0
    assert [(misfit.index, misfit.error.field) for misfit in misfits] == expected_misfits
    misfit_places = [index for index, _ in expected_misfits]
    times = [int(time) for index, time in enumerate(vector["times"]) if index not in misfit_places]
    assert [message.time_ns for message in messages] == times


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if vector["name"] not in READ_ONLY], ids=lambda vector: vector["name"]
)
def test_a_run_is_written_to_the_byte(vector: Any) -> None:
    published, _ = MEANING[vector["name"]]
    rows = [events.encode(event, int(time)) for event, time in zip(published, vector["times"], strict=True)]
    assert {name for name, _ in rows} <= {vector["event"]}
    body = msgpack.Packer().pack_array_header(len(rows)) + b"".join(row for _, row in rows)
    assert body.hex() == vector["hex"]
