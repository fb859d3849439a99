"""What is done to an extracted value before it becomes a variable."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from broker.rules import regex
from broker.rules.model.trees import DateAndTime, Lowercase, Mapped, Modifier, Replace, Source, ToNumber, Trim
from broker.rules.tornado.values import INT_MAX, INT_MIN, MISSING

__all__ = ["Modify", "modify", "zone_of"]

Give = Callable[[Any, Any], Any]
Modify = Callable[[Any, Any, Any], Any]
"""A modifier: value, event, variables; what comes out is MISSING if it does not go."""

# What Unicode calls white space: Python strips a few characters more.
_WHITE_CODES: Final = (
    *range(9, 14),
    32,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
)
_WHITE_SPACE: Final = "".join(map(chr, _WHITE_CODES))

_NUMBER: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
_UNSIGNED: Final = re.compile(r"\+?[0-9]+", re.ASCII)
_SIGNED: Final = re.compile(r"[+-][0-9]+", re.ASCII)
_DIGITS_MAX: Final = 400
"""Of a whole number that is read exactly; a longer one is a double, which is infinite from 309 digits on."""


def modify(modifier: Modifier, source: Callable[[Source], Give]) -> Modify:
    """The function that does what a modifier says; ``source`` compiles the text that a replacement is taken from.

    Raises :class:`~broker.errors.BadRegex`, and LookupError for a time zone that there is not.
    """
    match modifier:
        case Lowercase():
            return lambda value, *_: value.lower() if type(value) is str else MISSING
        case Trim():
            return lambda value, *_: value.strip(_WHITE_SPACE) if type(value) is str else MISSING
        case ToNumber():
            return lambda value, *_: _number(value)
        case Mapped(mapping=pairs, default=default):
            mapping, other = dict(pairs), MISSING if default is None else default
            return lambda value, *_: mapping.get(value, other) if type(value) is str else MISSING
        case Replace(regex=True):
            return _replace_matches(regex.compile(modifier.find), source(modifier.replacement))
        case Replace():
            return _replace_text(modifier.find, source(modifier.replacement))
        case DateAndTime(zone=name):
            zone = zone_of(name)
            return lambda value, *_: _date_and_time(value, zone)


def _replace_text(find: str, replacement: Give) -> Modify:
    def replaced(value: Any, event: Any, variables: Any) -> Any:
        if type(value) is not str:
            return MISSING
        if find not in value:
            return value
        by = replacement(event, variables)
        return value.replace(find, by) if type(by) is str else MISSING

    return replaced


def _replace_matches(pattern: regex.Pattern, replacement: Give) -> Modify:
    def replaced(value: Any, event: Any, variables: Any) -> Any:
        if type(value) is not str:
            return MISSING
        by = replacement(event, variables)
        return pattern.replace_all(value, by) if type(by) is str else MISSING

    return replaced


def _number(value: Any) -> Any:
    """What a text says, as Rust reads it; infinities and NaN are None, since JSON has none of them."""
    if type(value) in (int, float):
        return value
    if type(value) is not str or not value.isascii() or not _NUMBER.fullmatch(value):
        return MISSING
    if len(value) <= _DIGITS_MAX and (_UNSIGNED.fullmatch(value) or _SIGNED.fullmatch(value)):
        number = int(value)
        if INT_MIN <= number <= INT_MAX:
            return number
    double = float(value)
    return double if math.isfinite(double) else None


# -- dates -----------------------------------------------------------------------------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_CHANGE: Final = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Tornado's table of time zones ends with this year: offsets stay as they are then."""
_FIRST: Final = datetime(2, 1, 1, tzinfo=UTC)
_DAYS_IN_400_YEARS: Final = 146_097


def zone_of(name: str) -> tzinfo:
    """A time zone by its name.  Raises LookupError."""
    if not re.fullmatch(r"[A-Za-z0-9_+/-]+", name) or name.startswith(("posix/", "right/")) or name == "localtime":
        raise LookupError(f"there is no time zone {name!r}")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise LookupError(f"there is no time zone {name!r} (here)") from None


def _date_and_time(value: Any, zone: tzinfo) -> Any:
    if type(value) is not int or not INT_MIN <= value < -INT_MIN:
        return MISSING
    size = abs(float(value))
    if size <= 1e11:
        seconds = value
    elif size <= 1e14:
        seconds = value // 1_000
    elif size <= 1e17:
        seconds = value // 1_000_000
    else:
        seconds = value // 1_000_000_000
    return _told(seconds, zone)


def _told(seconds: int, zone: tzinfo) -> str:
    """Seconds since 1970 as a date, also in years that datetime does not know, which it counts from 1 to 9999."""
    shift = 0
    while seconds + shift * _DAYS_IN_400_YEARS * 86_400 < -62_000_000_000:
        shift += 1
    moment = _EPOCH + timedelta(seconds=seconds + shift * _DAYS_IN_400_YEARS * 86_400)
    asked = _FIRST if shift else min(max(moment, _FIRST), _LAST_CHANGE)
    offset = asked.astimezone(zone).utcoffset() or timedelta()
    local = moment.replace(tzinfo=None) + offset
    year = local.year - 400 * shift
    shown = f"{year:04}" if 0 <= year <= 9_999 else f"{year:+05}"
    minutes = (abs(int(offset.total_seconds())) + 30) // 60
    sign = "-" if offset < timedelta() else "+"
    return f"{shown}-{local:%m-%d %H:%M:%S}{sign}{minutes // 60:02}:{minutes % 60:02}"
