"""Records and messages for the tests of sinks."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import attrs

import broker
from broker.journaling import Position
from broker.log_records import Column, column, columns_of, log_record


class State(enum.Enum):
    SF = 1
    REJ = 2


@attrs.frozen
class Place:
    city: str
    floor: int


@log_record("sink conn")
class Connection:
    ts: broker.Timestamp
    uid: str
    orig_h: IPv4Address | IPv6Address = column("id.orig_h", description="who opened it")
    orig_p: broker.Port = column("id.orig_p")
    proto: broker.EnumValue
    duration: timedelta | None = column(unit="s", default=None)
    orig_bytes: broker.Count | None = None
    local: bool | None = None
    missed: int = 0
    tags: frozenset[str] = frozenset()


@log_record("sink everything")
class Everything:
    text: str
    raw: bytes
    number: int
    real: float
    flag: bool
    net: IPv4Network | IPv6Network
    state: State
    reals: list[float | None]
    ports: set[broker.Port]
    nested: list[list[int]]
    counts: dict[str, int]
    place: Place
    anything: Any


@log_record("sink number")
class Number:
    n: int


@log_record("sink longer")
class Longer:
    n: int
    more: str = "more"


@attrs.frozen
class Written:
    """What a collector hands out."""

    record: Any
    time_ns: int = 1_795_667_880_123_456_789
    origin: str = "web-01"
    number: int = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        return columns_of(type(self.record))

    @property
    def position(self) -> Position:
        return Position(self.origin.encode().ljust(16), 1, self.number, bytes(8))


def written(records: Sequence[Any]) -> list[Written]:
    return [Written(record) for record in records]


def numbers(first: int, last: int) -> list[Written]:
    return [Written(Number(n), number=n) for n in range(first, last + 1)]


ONE_COLUMN = (Column("text", "str"),)
