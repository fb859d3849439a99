"""What is typed after ``broker log``: times, sizes, where to begin, columns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

import broker

__all__ = ["columns_from", "seconds_of", "since_of", "size_of", "split_outside"]

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


def split_outside(text: str) -> list[str]:
    """The parts between those commas that are not in brackets: ``a:int,b:map[str,int]`` has two."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def columns_from(text: str) -> tuple[broker.Column, ...]:
    """The columns in "host:str,used:float,at:time?"; raises ValueError."""
    columns = []
    for part in split_outside(text):
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
