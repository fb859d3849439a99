"""JSON lines (NDJSON): one object a record, keys the columns' names, what is unset left out, as Zeek's JSON logs are.

Values are what people's tools expect, so types are not told apart as they are on the command line: addresses,
networks, UUIDs and enum values are text, ports and counts numbers, intervals numbers of seconds, times ISO 8601 in UTC
or numbers of seconds since 1970-01-01T00:00Z (``timestamps``), both cut to microseconds; sets and tuples are arrays
(sets in the order of their text), bytes are base64, records objects, NaN and the infinities null.  A dict is an object
if all its keys are text or numbers, addresses and the like (then their text), else an array of pairs.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, Literal
from uuid import UUID

import attrs
import msgspec

from broker.log_records import Column
from broker.sinks.compiled import compile_rows
from broker.sinks.rows import Record, time_column_for, values_by_class
from broker.sinks.texts import address6_text, address_text, dotted, moment_of, plain_moment, seconds_of
from broker.values import Count, EnumValue, Port, Timestamp

__all__ = ["JsonLines", "Timestamps", "json_text", "to_plain"]

Timestamps = Literal["iso8601", "epoch"]

_encoder: Final = msgspec.json.Encoder()


class JsonLines:
    """The encoder of one file of JSON lines; see :class:`broker.sinks.rows.Encoder`."""

    appendable = True

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        timestamps: Timestamps = "iso8601",
        time_column: str | None = None,
    ) -> None:
        if timestamps not in _CONVERTERS:
            raise ValueError(f"timestamps are 'iso8601' or 'epoch', not {timestamps!r}")
        self._convert = _CONVERTERS[timestamps]
        self._objects_of = _object_maker(tuple(columns), timestamps)
        self._time = [column.name for column in time_column_for(columns, time_column)]
        self._split = values_by_class(columns)

    def begin(self, now_s: float) -> bytes:  # noqa: ARG002, D102 - told by Encoder
        return b""

    def end(self, now_s: float) -> bytes:  # noqa: ARG002, D102 - told by Encoder
        return b""

    def rows(self, messages: Sequence[Record]) -> bytes:
        """The records' lines, 1.8 us for one of eight fields: one call of the encoder in C for all of them."""
        objects: list[dict[str, Any]] = []
        for part, rows in self._split(messages):
            made = self._objects_of(rows)
            for name in self._time:
                to_form = self._convert[datetime]
                made = [
                    {name: to_form(moment_of(message.time_ns)), **row} for message, row in zip(part, made, strict=True)
                ]
            objects += made
        return _encoder.encode_lines(objects)


def json_text(value: Any) -> str:
    """Any value as JSON text on one line, as it would be in a file of JSON lines."""
    return _encoder.encode(to_plain(value)).decode()


def to_plain(value: Any) -> Any:
    """Any value that can be carried, and objects inside it, as what JSON has; times are ``datetime`` in UTC."""
    return _CONVERTERS["iso8601"][value.__class__](value)


class _Converters(dict[type, Callable[[Any], Any]]):
    """By class; Enum and attrs classes are added when first met, and are those of this program."""

    def __missing__(self, cls: type) -> Callable[[Any], Any]:
        if issubclass(cls, enum.Enum):
            self[cls] = lambda member: member.name
        elif attrs.has(cls):
            names = [field.name for field in attrs.fields(cls)]
            self[cls] = lambda record: {name: self.of(getattr(record, name)) for name in names}
        else:
            return str
        return self[cls]

    def of(self, value: Any) -> Any:
        return self[value.__class__](value)

    def _list(self, values: Any) -> list[Any]:
        return [self[value.__class__](value) for value in values]

    def _sorted(self, members: Any) -> list[Any]:
        return sorted(self._list(members), key=_encoder.encode)

    def _object(self, value: dict[Any, Any]) -> Any:
        keys = [self.of(key) for key in value]
        if not all(key.__class__ in (str, int, float) for key in keys):
            return [[key, self.of(item)] for key, item in zip(keys, value.values(), strict=True)]
        texts = [key if key.__class__ is str else _encoder.encode(key).decode() for key in keys]
        if len(set(texts)) < len(texts):
            return [[key, self.of(item)] for key, item in zip(keys, value.values(), strict=True)]
        return dict(zip(texts, self._list(value.values()), strict=True))

    @classmethod
    def make(cls, of_time: Callable[[datetime], Any]) -> _Converters:
        """The converters with one's own form of times."""
        self = cls(dict.fromkeys((type(None), bool, int, float, str), _itself))
        self.update({list: self._list, tuple: self._list, set: self._sorted, frozenset: self._sorted})
        self.update({dict: self._object, datetime: of_time, Timestamp: of_time, timedelta: seconds_of})
        self.update({IPv4Address: address_text, IPv6Address: address6_text, IPv4Network: str, IPv6Network: str})
        self.update({Port: lambda port: port.number, Count: int, EnumValue: lambda value: value.name, UUID: str})
        self[bytes] = lambda value: base64.b64encode(value).decode()
        return self


def _itself(value: Any) -> Any:
    return value


_CONVERTERS: Final = {
    "iso8601": _Converters.make(plain_moment),
    "epoch": _Converters.make(lambda moment: plain_moment(moment).timestamp()),
}


@lru_cache(256)
def _object_maker(
    columns: tuple[Column, ...], timestamps: Timestamps
) -> Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]]:
    """The function from rows of values to what the encoder takes."""
    same = {kind: (cls, "{v}") for kind, cls in (("str", str), ("int", int), ("bool", bool), ("float", float))}
    fast = {
        **same,
        "enum": (EnumValue, "{v}.name"),
        "time": (Timestamp, "of_time({v})"),
        "interval": (timedelta, "{v}.total_seconds()"),
        "addr": (IPv4Address, "dotted({v}._ip)"),
        "port": (Port, "{v}.number"),
        "count": (Count, "int({v})"),
    }
    converters = _CONVERTERS[timestamps]
    names = {f"k{number}": column.name for number, column in enumerate(columns)}
    numbers = range(len(columns))
    result = [
        f"made = {{{', '.join(f'k{number}: t{number}' for number in numbers)}}}",
        f"if {' or '.join(f'v{number} is None' for number in numbers) or 'False'}:",
        "    made = {name: value for name, value in made.items() if value is not None}",
    ]
    return compile_rows(
        "json", columns, fast, converters, {**names, "of_time": converters[Timestamp], "dotted": dotted}, result
    )
