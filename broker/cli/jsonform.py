"""Values as JSON, and back, without loss.

What JSON has is written as it is: null, booleans, integers, finite floats (always with a point or an exponent), text,
lists, and maps whose keys are text.  Everything else is an object with one key, its tag:

    {"$bytes": "AAE="}                  base64              {"$port": "53/udp"}
    {"$tuple": [1, 2]}                                      {"$enum": "Notice::ACTION_LOG"}
    {"$set": [1, 2]}                                        {"$count": 7}
    {"$frozenset": [1, 2]}                                  {"$address": "2001:db8::1"}
    {"$dict": [[key, value], ...]}      keys of any type    {"$network": "10.0.0.0/8"}
    {"$datetime": "2026-01-01T12:00:00.000001+00:00"}       {"$uuid": "..."}
    {"$timestamp": "2026-01-01T12:00:00.000000001+00:00"}   {"$float": "nan"}, "inf", "-inf"
    {"$timedelta": "-1.5"}              seconds

A map that looks like a tag, with one key that begins with ``$``, is written with ``$dict``.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, NoReturn
from uuid import UUID

from broker import Count, EnumValue, Port, Timestamp

__all__ = ["FormError", "dumps", "from_json", "loads", "quoting", "to_json"]

_PYTHON_NAMES: Final = {"True": "true", "False": "false", "None": "null"}
_MICROSECOND: Final = timedelta(microseconds=1)
_SECONDS = re.compile(r"(-?)(\d{1,18})(?:\.(\d{1,6}))?")
_FRACTION = re.compile(r"[.,](\d{1,9})(?!\d)")


class FormError(ValueError):
    """Text that is not JSON, or JSON that stands for no value."""


def dumps(form: Any) -> str:
    """The form as JSON text on one line."""
    return json.dumps(form, ensure_ascii=False, allow_nan=False)


def quoting(text: str) -> str:
    """What to add to the error of an argument that is not JSON: how what was probably meant is written."""
    if text in _PYTHON_NAMES:
        return f"; JSON has {_PYTHON_NAMES[text]}"
    return f"; a text has quotes: '{dumps(text)}'" if text[:1].isalpha() else ""


def loads(text: str) -> Any:
    """The form in a JSON text; raises :class:`FormError` for what JSON has no meaning for, duplicate keys included."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise FormError(f"not JSON: {error.msg} at column {error.pos + 1}") from None
    except RecursionError:
        raise FormError("nested too deep") from None
    except FormError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise FormError(str(error)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise FormError(f"the key {twice!r} stands twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    tagged = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[name]
    raise FormError(f'{name} is not JSON: write {{"$float": "{tagged}"}}')


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise FormError(f'{text} is too large for a float: write {{"$float": "inf"}} if that is meant')
    return number


# --- from values to JSON -----------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """The JSON form of a value; raises TypeError for what cannot be carried."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [to_json(item) for item in value]
    if kind is dict:
        return _map_form(value)
    tag, write = _TAGS_OF[kind]
    return {tag: write(value)}


def _map_form(value: dict[Any, Any]) -> dict[str, Any]:
    looks_tagged = len(value) == 1 and str(next(iter(value))).startswith("$")
    if looks_tagged or not all(type(key) is str for key in value):
        return {"$dict": [[to_json(key), to_json(item)] for key, item in value.items()]}
    return {key: to_json(item) for key, item in value.items()}


def _members_form(members: Iterable[Any]) -> list[Any]:
    """Members in the order of their text, so that equal sets give equal lines."""
    return sorted(map(to_json, members), key=dumps)


def _seconds_form(value: timedelta) -> str:
    microseconds = value // _MICROSECOND
    seconds, below = divmod(abs(microseconds), 1_000_000)
    text = f"{'-' if microseconds < 0 else ''}{seconds}"
    return text + f".{below:06}".rstrip("0") if below else text


def _instant_form(value: datetime) -> str:
    return value.isoformat() if isinstance(value, Timestamp) else value.astimezone(UTC).isoformat()


_TAGS_OF: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    bytes: ("$bytes", lambda value: base64.b64encode(value).decode()),
    tuple: ("$tuple", lambda value: [to_json(item) for item in value]),
    set: ("$set", _members_form),
    frozenset: ("$frozenset", _members_form),
    datetime: ("$datetime", _instant_form),
    Timestamp: ("$timestamp", _instant_form),
    timedelta: ("$timedelta", _seconds_form),
    IPv4Address: ("$address", str),
    IPv6Address: ("$address", str),
    IPv4Network: ("$network", str),
    IPv6Network: ("$network", str),
    UUID: ("$uuid", str),
    Port: ("$port", str),
    EnumValue: ("$enum", str),
    Count: ("$count", int),
}


# --- from JSON to values -----------------------------------------------------------------------------------------


def from_json(form: Any) -> Any:
    """The value that a JSON form stands for; raises :class:`FormError`, which names the tag that is wrong."""
    try:
        return _from_json(form)
    except RecursionError:
        raise FormError("nested too deep") from None


def _from_json(form: Any) -> Any:
    if type(form) is list:
        return [_from_json(item) for item in form]
    if type(form) is not dict:
        return form
    if len(form) == 1:
        ((tag, inner),) = form.items()
        if tag.startswith("$"):
            return _tagged(tag, inner)
    return {key: _from_json(item) for key, item in form.items()}


def _tagged(tag: str, inner: Any) -> Any:
    read = _READERS.get(tag)
    if read is None:
        raise FormError(f"{tag!r} is no tag ({', '.join(_READERS)}); a map with such a key is written with $dict")
    expected, make = read
    if type(inner) is not expected:
        raise FormError(f"{tag}: expected {_JSON_NAMES[expected]}, found {dumps(inner):.60}")
    try:
        return make(inner)
    except FormError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise FormError(f"{tag}: {error}") from None


def _set(form: list[Any]) -> set[Any]:
    members = [_from_json(item) for item in form]
    made = set(members)
    if len(made) != len(members):
        raise FormError("a member stands twice (1, 1.0 and true are equal)")
    return made


def _dict(form: list[Any]) -> dict[Any, Any]:
    made = {}
    for pair in form:
        if type(pair) is not list or len(pair) != 2:
            raise FormError(f"$dict: expected [key, value], found {dumps(pair):.60}")
        key = _from_json(pair[0])
        if key in made:
            raise FormError(f"$dict: the key {dumps(pair[0]):.60} stands twice (1, 1.0 and true are equal)")
        made[key] = _from_json(pair[1])
    return made


def _datetime(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise FormError(f"{text!r} names no instant: add +00:00 or another offset")
    return moment.astimezone(UTC)


def _timestamp(text: str) -> Timestamp:
    seconds = _datetime(text).replace(microsecond=0)
    fraction = _FRACTION.search(text)
    below = int(fraction[1].ljust(9, "0")) if fraction else 0
    return Timestamp.from_ns((seconds - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND * 1000 + below)


def _timedelta(text: str) -> timedelta:
    found = _SECONDS.fullmatch(text)
    if found is None:
        raise FormError(f"$timedelta: {text!r} is not a number of seconds with at most six decimals")
    sign, seconds, decimals = found.groups()
    microseconds = int(seconds) * 1_000_000 + int((decimals or "").ljust(6, "0"))
    return (-microseconds if sign else microseconds) * _MICROSECOND


def _port(text: str) -> Port:
    number, _, protocol = text.partition("/")
    return Port(int(number), protocol)  # type: ignore[arg-type]  # Port checks it


def _special_float(text: str) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise FormError(f"$float: expected nan, inf or -inf, found {text!r}")
    return float(text)


_JSON_NAMES: Final = {str: "text", list: "a list", int: "an integer"}
_READERS: Final[dict[str, tuple[type, Callable[[Any], Any]]]] = {
    "$bytes": (str, lambda text: base64.b64decode(text, validate=True)),
    "$tuple": (list, lambda form: tuple(map(_from_json, form))),
    "$set": (list, _set),
    "$frozenset": (list, lambda form: frozenset(_set(form))),
    "$dict": (list, _dict),
    "$datetime": (str, _datetime),
    "$timestamp": (str, _timestamp),
    "$timedelta": (str, _timedelta),
    "$address": (str, ipaddress.ip_address),
    "$network": (str, ipaddress.ip_network),
    "$uuid": (str, UUID),
    "$port": (str, _port),
    "$enum": (str, EnumValue),
    "$count": (int, Count),
    "$float": (str, _special_float),
}
