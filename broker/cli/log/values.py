"""Values of columns from JSON and from TSV, as people's tools write them; and what columns an object has by itself.

A column's type decides: an address is a text, a time ISO 8601 or seconds since 1970, an interval seconds, a port 53 or
"53/udp", a set a list.  Typed JSON (:mod:`broker.cli.jsonform`) says its type itself, and is taken where it is that
column's.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import broker
from broker.cli.jsonform import FormError, dumps, from_json
from broker.cli.log.amounts import split_outside

__all__ = ["TsvForm", "ValueWrong", "column_of", "optional", "split_type", "value_of"]

_SECONDS_MAX: Final = Decimal(2**63 - 1) / 10**9


class ValueWrong(ValueError):
    """A value that its column cannot have."""


def optional(type_: str) -> bool:
    """Whether a column of that type may be unset."""
    return type_.endswith("?") or type_ == "any"


def split_type(type_: str) -> tuple[str, list[str]]:
    """A type without ``?``, and those of its elements: ``map[str,int]?`` is ("map", ["str", "int"])."""
    base, bracket, inner = type_.removesuffix("?").partition("[")
    if not bracket or not inner.endswith("]"):
        return base, []
    inner = inner[:-1]
    return base, split_outside(inner) if base == "map" else [inner]


def _tagged(form: Any) -> bool:
    return type(form) is dict and len(form) == 1 and next(iter(form)).startswith("$")


def value_of(form: Any, type_: str) -> Any:
    """The value of a JSON form in a column of that type; raises ValueWrong."""
    try:
        return _value_of(form, type_)
    except (FormError, ValueError, TypeError, OverflowError, InvalidOperation) as error:
        if isinstance(error, ValueWrong):
            raise
        raise ValueWrong(f"{error}, for {type_}") from None
    except RecursionError:
        raise ValueWrong(f"nested too deep, for {type_}") from None


def _value_of(form: Any, type_: str) -> Any:
    if form is None and optional(type_):
        return None
    base, inner = split_type(type_)
    if base in {"any", "record"}:
        return from_json(form)
    if _tagged(form):
        return _natural(from_json(form), base, type_)
    expected, make = _FROM_JSON.get(base, (None, None))
    if make is not None and type(form) in (expected or ()):
        return make(form)
    if base in {"vector", "set"} and type(form) is list:
        items = [_value_of(item, inner[0] if inner else "any") for item in form]
        return items if base == "vector" else set(items)
    if base == "map" and type(form) is dict:
        key, value = inner if len(inner) == 2 else ("any", "any")
        return {_key_of(name, key): _value_of(item, value) for name, item in form.items()}
    raise ValueWrong(f"expected {type_}, found {dumps(form):.60}")


def _natural(value: Any, base: str, type_: str) -> Any:
    """A value that said its type itself, where that is the column's."""
    classes = _CLASSES.get(base)
    if classes is not None and not isinstance(value, classes):
        raise ValueWrong(f"expected {type_}, found {type(value).__name__}")
    return list(value) if base == "vector" else set(value) if base == "set" else value


def _key_of(text: str, type_: str) -> Any:
    """A map's key, which JSON has as text."""
    base, _ = split_type(type_)
    return text if base in {"any", "str"} else TsvForm().value(text, base)


def _time(form: Any) -> broker.Timestamp:
    if type(form) is str:
        if not re.fullmatch(r"-?\d+(\.\d+)?", form):
            stamp: broker.Timestamp = from_json({"$timestamp": form})
            return stamp
        return _instant(Decimal(form))
    # A float of seconds has six good decimals.
    return _instant(Decimal(form) if type(form) is int else round(Decimal(form), 6))


def _instant(seconds: Decimal) -> broker.Timestamp:
    if abs(seconds) > _SECONDS_MAX:
        raise ValueWrong(f"{seconds} s since 1970 is no time")
    return broker.Timestamp.from_ns(int(seconds * 10**9))


def _port(form: Any) -> broker.Port:
    if type(form) is str:
        number, _, protocol = form.partition("/")
        return broker.Port(int(number), protocol or "unknown")  # type: ignore[arg-type]  # Port checks it
    return broker.Port(form, "unknown")


_FROM_JSON: Final[dict[str, tuple[tuple[type, ...], Callable[[Any], Any]]]] = {
    "str": ((str,), str),
    "bool": ((bool,), bool),
    "int": ((int,), int),
    "count": ((int,), broker.Count),
    "float": ((int, float), float),
    "bytes": ((str,), lambda text: base64.b64decode(text, validate=True)),
    "addr": ((str,), ipaddress.ip_address),
    "subnet": ((str,), ipaddress.ip_network),
    "port": ((int, str), _port),
    "time": ((int, float, str), _time),
    "interval": ((int, float), lambda seconds: timedelta(seconds=seconds)),
    "enum": ((str,), broker.EnumValue),
    "uuid": ((str,), UUID),
}
_CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "bytes": (bytes,),
    "float": (float,),
    "addr": (ipaddress.IPv4Address, ipaddress.IPv6Address),
    "subnet": (ipaddress.IPv4Network, ipaddress.IPv6Network),
    "port": (broker.Port,),
    "time": (broker.Timestamp,),
    "interval": (timedelta,),
    "enum": (broker.EnumValue,),
    "uuid": (UUID,),
    "count": (broker.Count,),
    "vector": (list, tuple),
    "set": (set, frozenset),
    "map": (dict,),
    **dict.fromkeys(("str", "bool", "int"), ()),
}
_TYPES: Final = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    **{cls: base for base, classes in _CLASSES.items() for cls in classes},
}


def column_of(name: str, form: Any) -> str:
    """NAME:TYPE of a column that has such a form, and may be unset."""
    base = _TYPES.get(type(from_json(form)), "any")
    inner = {"vector": "[any]", "set": "[any]", "map": "[any,any]"}.get(base, "")
    return f"{name}:{base}{inner}{'' if base == 'any' else '?'}"


_HEX: Final = re.compile(rb"\\x([0-9a-fA-F]{2})")
_BOOLS: Final = {"T": True, "F": False}


class TsvForm:
    """How a TSV file with header lines writes its values."""

    def __init__(self) -> None:
        self.separator = "\t"
        self.set_separator = ","
        self.empty = "(empty)"
        self.unset = "-"

    def header(self, line: str) -> None:
        """Take note of a header line that says so: ``#separator``, ``#set_separator``, ``#empty_field``...

        Raises ValueWrong for a separator that separates nothing.
        """
        if line.startswith("#separator "):
            self.separator = _separator(_plain(line.removeprefix("#separator ")).decode(errors="replace"), line)
            return
        name, _, value = line.partition(self.separator)
        if name == "#set_separator":
            self.set_separator = _separator(value, line)
        elif name == "#empty_field":
            self.empty = value
        elif name == "#unset_field":
            self.unset = value

    def value(self, text: str, type_: str) -> Any:
        """The value of a text in a column of that type; raises ValueWrong."""
        if text == self.unset and optional(type_):
            return None
        base, inner = split_type(type_)
        if base == "bytes":
            return b"" if text == self.empty else _plain(text)
        if base in {"vector", "set"}:
            texts = [] if text == self.empty else text.split(self.set_separator)
            items = [self.value(item, inner[0] if inner else "str") for item in texts]
            if base == "set" and any(type(item) in {list, set} for item in items):
                raise ValueWrong(f"{type_}: containers cannot be members of a set")
            return items if base == "vector" else set(items)
        text = "" if text == self.empty else _plain(text).decode(errors="replace")
        try:
            return self._single(text, base, type_)
        except (ValueError, TypeError, KeyError, OverflowError, InvalidOperation):
            raise ValueWrong(f"expected {type_}, found {text!r:.60}") from None

    @staticmethod
    def _single(text: str, base: str, type_: str) -> Any:
        if base in {"str", "any"}:
            return text
        if base == "bool":
            return _BOOLS[text]
        if base in {"int", "count"}:
            return _value_of(int(text), base)
        if base == "float":
            return float(text)
        if base == "interval":
            return timedelta(microseconds=int(Decimal(text) * 1_000_000))
        return _value_of(text, type_)


def _separator(text: str, line: str) -> str:
    if not text:
        raise ValueWrong(f"the header line {line!r:.60} names no separator")
    return text


def _plain(text: str) -> bytes:
    r"""The bytes of a text with ``\xNN`` in it."""
    return _HEX.sub(lambda found: bytes((int(found[1], 16),)), text.encode())
