"""What is typed after ``broker log``: amounts, times, columns; and records as JSON objects, one a line.

    {"stream": ..., "time": ..., "origin": NAME, "number": 7, "position": ..., "record": NAME, "fields": {...}}

Fields are called as their columns are; values are as in :mod:`broker.cli.jsonform`.  A record of a plain topic has no
"number" and no "position"; "lost_before" and "redelivered" are there when they say something.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

import broker
from broker.cli.jsonform import dumps, to_json
from broker.cli.records import event_name, named_args
from broker.log_records import columns_of

__all__ = ["Shown", "columns_from", "fields_of", "line_of", "seconds_of", "shown_of", "since_of", "size_of"]

_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604_800.0}
_UNITS_BYTES: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d|w)")
_SIZE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([KMGT]?)(i?)B?", re.IGNORECASE)


def seconds_of(text: str) -> float:
    """The seconds in "30s", "10m", "1h", "7d"; raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r:.60} is not a time such as 30s, 10m, 1h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def size_of(text: str) -> int:
    """The bytes in "4096", "100MB", "1GiB"; raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r:.60} is not a size such as 100MB or 1GiB")
    unit = _UNITS_BYTES[found[2].upper()]
    if found[3]:
        unit = 1 << 10 * (len(str(unit)) // 3)
    size = int(float(found[1]) * unit)
    if size < 1:
        raise ValueError(f"{text!r:.60} is no byte at all")
    return size


def since_of(text: str) -> Any:
    """Where to begin, for ``endpoint.collect(since=...)``; raises ValueError."""
    if text in {"earliest", "now"}:
        return text
    if _DURATION.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=seconds_of(text))
    try:
        return broker.Position.parse(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r:.60} is not earliest, now, a time ago (30m, 2h), a time (2026-01-31T12:00:00+00:00) or a position"
        ) from None
    return when.astimezone(UTC)  # without an offset it is local time, as it is on the wall


def columns_from(text: str) -> tuple[broker.Column, ...]:
    """The columns in "host:str,used:float,at:time?"; raises ValueError."""
    columns = []
    # A comma inside brackets separates the types of a map.
    for part in re.split(r",(?![^\[]*\])", text):
        name, colon, type_ = part.strip().rpartition(":")
        if not colon or not name or not type_:
            raise ValueError(f"{part!r:.60} is not NAME:TYPE, such as host:str or used:float?")
        try:
            columns.append(msgspec.convert([name.strip(), type_.strip()], broker.Column))
        except msgspec.ValidationError:
            raise ValueError(
                f"{name.strip()!r:.60} cannot be a column's name: a letter, then letters, digits, _ . -"
            ) from None
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise ValueError(f"two columns are named {next(name for name in names if names.count(name) > 1)!r}")
    return tuple(columns)


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A record that is to be shown, of a durable stream or of a plain topic; it is one for :mod:`broker.sinks`, too."""

    stream: str
    record: Any
    time_ns: int
    origin: str
    columns: tuple[broker.Column, ...]
    message: broker.LogMessage | None  # of a durable stream

    @property
    def time(self) -> broker.Timestamp:
        """The writer's clock."""
        return broker.Timestamp.from_ns(self.time_ns)


def shown_of(message: broker.LogMessage | broker.Message, stream: str) -> Shown:
    """What is shown of a message."""
    if isinstance(message, broker.LogMessage):
        return Shown(stream, message.record, message.time_ns, message.origin, message.columns, message)
    event = message.event
    if type(event) is broker.Event:
        columns = tuple(broker.Column(f"arg{number}", "any") for number, _ in enumerate(event.args, 1))
    else:
        columns = columns_of(type(event))
    return Shown(stream, event, message.time_ns, message.origin, columns, None)


def fields_of(shown: Shown) -> list[tuple[str, Any]]:
    """The values of a record as they travel, each with its column's name."""
    names = [column.name for column in shown.columns]
    values = [value for _, value in named_args(shown.record)]
    # An older program's records lack appended columns, a newer one's may have more than were told.
    names += [f"arg{number}" for number in range(len(names) + 1, len(values) + 1)]
    return list(zip(names, values, strict=False))


def line_of(shown: Shown) -> str:
    """The line of a record, with its line break."""
    form: dict[str, Any] = {"stream": shown.stream, "time": shown.time.isoformat(), "origin": shown.origin}
    message = shown.message
    if message is not None:
        form |= {"number": message.number, "position": str(message.position)}
        if message.lost_before:
            form["lost_before"] = message.lost_before
        if message.redelivered:
            form["redelivered"] = True
    form["record"] = event_name(shown.record)
    form["fields"] = {name: to_json(value) for name, value in fields_of(shown)}
    return dumps(form) + "\n"
