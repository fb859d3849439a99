"""What is typed after ``broker log``: where to begin, columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

import broker
from broker.config.amounts import seconds_of

__all__ = ["columns_from", "since_of", "split_outside"]


def since_of(text: str) -> Any:
    """Where to begin, for ``endpoint.collect(since=...)``; raises ValueError."""
    if text in {"earliest", "now"}:
        return text
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds_of(text))
    except ValueError:
        pass
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
