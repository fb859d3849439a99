r"""Zeek's tab-separated logs, as its ASCII writer makes them and its tools (zeek-cut) and many others read them.

    #separator \x09
    #set_separator	,
    #empty_field	(empty)
    #unset_field	-
    #path	conn
    #open	2026-11-26-04-38-00
    #fields	ts	uid	id.orig_h
    #types	time	string	addr
    1795667880.000000	CHhAvVGS1DHFjwGM9	192.0.2.1
    #close	2026-11-26-05-00-00

The facts are those of https://docs.zeek.org/en/master/log-formats.html and of the writer's own behaviour:

- an unset field is ``-``, an empty text or container ``(empty)``; a text that is one of these is told apart by its
  first byte, which is escaped;
- what is escaped is written ``\xNN``, byte by byte of UTF-8: the backslash, what is not printable and, inside
  containers, the set separator; at the beginning of a line the ``#`` of headers;
- times and intervals are seconds with six decimals, doubles have at most six and no exponent; ports are the number
  alone; a bool is T or F.

What Zeek's logs do not have is text: UUIDs, and as JSON maps, records and containers inside containers.  Finer digits
than Zeek's are cut off; JSON lines and Parquet keep those of doubles, Parquet those of times.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final
from uuid import UUID

from broker.log_records import Column
from broker.sinks.compiled import compile_rows
from broker.sinks.jsonlines import json_text
from broker.sinks.rows import Record, split_type, time_column_for, values_by_class
from broker.sinks.texts import address6_text, address_text, dotted, interval_text, nanoseconds_text, time_text
from broker.values import Count, EnumValue, Port, Timestamp

__all__ = ["Tsv", "zeek_type"]

_UNSET: Final = "-"
_EMPTY: Final = "(empty)"
_RESERVED: Final = frozenset((_UNSET, _EMPTY, ""))

_ZEEK_TYPES: Final = {
    "bool": "bool",
    "count": "count",
    "int": "int",
    "float": "double",
    "time": "time",
    "interval": "interval",
    "addr": "addr",
    "port": "port",
    "subnet": "subnet",
    "enum": "enum",
}


def zeek_type(text: str) -> str:
    """Zeek's type for a column's: ``vector[double]`` for ``vector[float?]``; ``string`` for what Zeek has not."""
    base, inner = split_type(text)
    if inner:
        element, nested = split_type(inner)
        return f"{base}[{'string' if nested else _ZEEK_TYPES.get(element, 'string')}]"
    return _ZEEK_TYPES.get(base, "string")


class Tsv:
    """The encoder of one TSV file; see :class:`broker.sinks.rows.Encoder`.  ``path`` is the stream's name."""

    appendable = True

    def __init__(self, path: str, columns: Sequence[Column], *, time_column: str | None = None) -> None:
        self._path = path
        front = time_column_for(columns, time_column)
        self._columns = (*front, *columns)
        self._timed = bool(front)
        self._split = values_by_class(columns)
        self._lines_of = _line_maker(tuple(columns))

    def begin(self, now_s: float) -> bytes:
        """The header lines."""
        lines = [
            "#separator \\x09",
            "#set_separator\t,",
            f"#empty_field\t{_EMPTY}",
            f"#unset_field\t{_UNSET}",
            f"#path\t{_escaped(self._path)}",
            f"#open\t{_date(now_s)}",
            "\t".join(["#fields", *(_escaped(column.name) for column in self._columns)]),
            "\t".join(["#types", *(zeek_type(column.type) for column in self._columns)]),
        ]
        return "".join(line + "\n" for line in lines).encode()

    def end(self, now_s: float) -> bytes:
        """The line that says when the file was finished."""
        return f"#close\t{_date(now_s)}\n".encode()

    def rows(self, messages: Sequence[Record]) -> bytes:
        """The records' lines: 2.5 us for one of eight fields."""
        lines: list[str] = []
        for part, rows in self._split(messages):
            made = self._lines_of(rows)
            if self._timed:
                made = [
                    f"{nanoseconds_text(message.time_ns)}\t{line}" if line else nanoseconds_text(message.time_ns)
                    for message, line in zip(part, made, strict=True)
                ]
            lines += made
        text = "\n".join(lines)
        if "\n#" in text or text.startswith("#"):
            text = "\n".join("\\x23" + line[1:] if line.startswith("#") else line for line in lines)
        return (text + "\n").encode() if lines else b""


# Some hundred bytes a column; schemas are few, and one that was forgotten is compiled again.
@lru_cache(256)
def _line_maker(columns: tuple[Column, ...]) -> Callable[[Sequence[Sequence[Any]]], list[str]]:
    """The function from rows of values to lines without their ends."""
    # isprintable is stricter than is needed (it refuses U+00A0) and takes 30 ns; _text has the last word.
    plain = "({name} if {first}.isprintable() and backslash not in {name} and {name} not in reserved else text({name}))"
    fast = {
        "str": (str, plain.format(name="{v}", first="{v}")),
        "enum": (EnumValue, plain.format(name="name", first="(name := {v}.name)")),
        "time": (Timestamp, "time_text({v})"),
        "interval": (timedelta, "interval_text({v})"),
        "addr": (IPv4Address, "dotted({v}._ip)"),
        "port": (Port, "{v}.number"),
        "count": (Count, "count_text({v})"),
        "int": (int, "{v}"),
    }
    names = {"backslash": "\\", "reserved": _RESERVED, "text": _text, "dotted": dotted, "count_text": int.__repr__}
    names |= {"time_text": time_text, "interval_text": interval_text}
    fields = "\\t".join(f"{{t{number}}}" for number in range(len(columns)))
    return compile_rows("tsv", columns, fast, _RENDER, names, [f'made = f"{fields}"'])


def _date(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d-%H-%M-%S")


# --- values ------------------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    if text.isprintable() and "\\" not in text and text not in _RESERVED:
        return text
    if text in _RESERVED:
        return f"\\x{ord(text[0]):02x}{text[1:]}" if text else _EMPTY
    return _escaped(text)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _bytes(value: bytes) -> str:
    """What is printable ASCII as it is, and every other byte escaped: Zeek's texts are bytes."""
    return _text(value.decode("ascii")) if value.isascii() else "".join(map(_BYTES.__getitem__, value))


_BYTES: Final = [chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in range(256)]

# Everything that moves a cursor or ends a line somewhere: C0, DEL, C1, and Unicode's separators of lines.  As bytes of
# UTF-8, so that a reader that knows bytes alone puts them together again.
_ESCAPES: Final = {
    number: "".join(f"\\x{byte:02x}" for byte in chr(number).encode())
    for number in (*range(32), 92, *range(127, 160), 0x2028, 0x2029)
}


def _double(number: float) -> str:
    text = f"{number:.6f}"
    if not math.isfinite(number):
        return text
    text = text.rstrip("0")
    return text + "0" if text.endswith(".") else text


def _container(values: Iterable[Any]) -> str:
    return ",".join(_element(value) for value in values) or _EMPTY


def _element(value: Any) -> str:
    if value.__class__ in (list, tuple, set, frozenset):
        return _text(json_text(value)).replace(",", "\\x2c")
    return _RENDER[value.__class__](value).replace(",", "\\x2c")


def _members(values: Iterable[Any]) -> str:
    """In the order of their text, so that equal sets give equal lines."""
    return ",".join(sorted(_element(value) for value in values)) or _EMPTY


class _Renderers(dict[type, Callable[[Any], str]]):
    """By class; Enum classes are added when first met, and are those of this program."""

    def __missing__(self, cls: type) -> Callable[[Any], str]:
        if issubclass(cls, enum.Enum):
            self[cls] = lambda member: _text(member.name)
            return self[cls]
        return lambda value: _text(json_text(value))


_RENDER: Final = _Renderers(
    {
        type(None): lambda _: _UNSET,
        bool: lambda value: "T" if value else "F",
        int: str,
        Count: int.__repr__,
        float: _double,
        str: _text,
        bytes: _bytes,
        datetime: time_text,
        Timestamp: time_text,
        timedelta: interval_text,
        IPv4Address: address_text,
        IPv6Address: address6_text,
        IPv4Network: str,
        IPv6Network: str,
        Port: lambda port: str(port.number),
        EnumValue: lambda value: _text(value.name),
        UUID: str,
        list: _container,
        tuple: _container,
        set: _members,
        frozenset: _members,
    }
)
