"""Records from lines of input: their class made on the fly, of columns that were given, told by a header, or found."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final
from uuid import UUID

import broker
from broker.cli.jsonform import FormError, dumps, loads
from broker.cli.log.amounts import columns_from
from broker.cli.log.values import TsvForm, ValueWrong, column_of, optional, split_type, value_of

__all__ = ["Reader", "record_class"]

_CLASSES: Final[dict[str, Any]] = {
    "str": str,
    "bytes": bytes,
    "bool": bool,
    "int": int,
    "count": broker.Count,
    "float": float,
    "enum": broker.EnumValue,
    "uuid": UUID,
    "addr": IPv4Address | IPv6Address,
    "subnet": IPv4Network | IPv6Network,
    "port": broker.Port,
    "time": broker.Timestamp,
    "interval": timedelta,
    "any": Any,
    "record": Any,
}
# Zeek's types of which ours have other names.
_FROM_ZEEK: Final = {"string": "str", "double": "float", "pattern": "str", "func": "str", "file": "str"}
_ENVELOPE: Final = frozenset(
    {"stream", "time", "origin", "number", "position", "lost_before", "redelivered", "record", "fields"}
)


def record_class(name: str, columns: Sequence[broker.Column]) -> type:
    """Make a log record class with these columns; raises FormError for a type that is none."""
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {"__annotations__": annotations, "__module__": __name__, "__qualname__": "Record"}
    for number, column in enumerate(columns, 1):
        field = re.sub(r"\W", "_", column.name)
        # attrs takes leading underscores from arguments, names between two of them mean something to classes, and
        # nothing else may be called self.
        taken = field in annotations or field[0] == "_" or field == "self"
        if taken or keyword.iskeyword(field) or not field.isidentifier():
            field = f"field_{number}"
        annotations[field] = _annotation(column.type)
        body[field] = broker.column(column.name, description=column.description, unit=column.unit)
    return broker.log_record(name)(type("Record", (), body))


def _annotation(type_: str) -> Any:
    base, inner = split_type(type_)
    made: Any
    if base == "vector":
        made = list[_annotation(inner[0]) if inner else Any]  # type: ignore[misc]
    elif base == "set":
        made = set[_annotation(inner[0]) if inner else Any]  # type: ignore[misc]
    elif base == "map":
        key, value = map(_annotation, inner if len(inner) == 2 else ("any", "any"))
        made = dict[key, value]  # type: ignore[valid-type]
    elif base in _CLASSES and not inner:
        made = _CLASSES[base]
    else:
        raise FormError(f"{type_!r:.60} is no type of a column: {', '.join(_CLASSES)}, vector[T], set[T], map[K,V], T?")
    return made | None if type_.endswith("?") and made is not Any else made


class Reader:
    """Makes a record of each line; the first lines say what the columns are, unless that was said before."""

    def __init__(
        self, name: str, columns: Sequence[broker.Column] | None, make: Callable[..., type] = record_class
    ) -> None:
        self._name = name
        self._make = make
        self.columns: tuple[broker.Column, ...] | None = None
        self.record: type | None = None
        self._tsv: TsvForm | None = None
        self._order: list[str] = []  # of a TSV file's fields
        self._begun = False
        if columns is not None:
            self._set(tuple(columns))

    def _set(self, columns: tuple[broker.Column, ...]) -> None:
        self.record = self._make(self._name, columns)
        self.columns = columns

    def take(self, text: str) -> Any:
        """The record that a line is; None for a header line.  Raises FormError and ValueWrong, which name the field."""
        if not self._begun:
            self._begun = True
            self._tsv = TsvForm() if text.startswith("#") else None
        if self._tsv is None:
            return self._from_json(text)
        if text.startswith("#"):
            self._header(self._tsv, text)
            return None
        return self._from_tsv(self._tsv, text)

    # -- TSV -------------------------------------------------------------------------------------------------------

    def _header(self, form: TsvForm, line: str) -> None:
        form.header(line)
        name, *values = line.split(form.separator)
        if name == "#fields":
            self._order = values
        elif name == "#types" and self.columns is None:
            if len(values) != len(self._order):
                raise FormError(f"#types has {len(values)} types, #fields {len(self._order)} names")
            pairs = zip(self._order, values, strict=True)
            self._set(_columns(",".join(f"{field}:{_type_of(type_)}" for field, type_ in pairs)))

    def _from_tsv(self, form: TsvForm, line: str) -> Any:
        if self.columns is None or not self._order:
            raise FormError("no columns: a TSV file has #fields and #types above its records, or say --columns")
        texts = line.split(form.separator)
        if len(texts) != len(self._order):
            raise FormError(f"{len(texts)} fields, {len(self._order)} columns")
        found = dict(zip(self._order, texts, strict=True))
        self._refuse_unknown(found)
        return self._record(found, form.value, form.unset)

    # -- JSON ------------------------------------------------------------------------------------------------------

    def _from_json(self, text: str) -> Any:
        form = loads(text)
        if type(form) is not dict:
            raise FormError(f"a record is an object of its fields, not {dumps(form):.60}")
        if type(form.get("fields")) is dict and "stream" in form and form.keys() <= _ENVELOPE:
            form = form["fields"]  # as 'broker log tail' prints it
        if self.columns is None:
            self._set(_columns(",".join(column_of(name, value) for name, value in form.items())))
        self._refuse_unknown(form)
        return self._record(form, value_of, None)

    def _refuse_unknown(self, found: dict[str, Any]) -> None:
        known = {column.name for column in self.columns or ()}
        for name in found:
            if name not in known:
                raise FormError(f"no column {name!r:.60}: there are {', '.join(sorted(known)):.200} (see --columns)")

    def _record(self, found: dict[str, Any], convert: Callable[[Any, str], Any], missing: Any) -> Any:
        assert self.record is not None
        assert self.columns is not None
        values = []
        for column in self.columns:
            if column.name not in found and not optional(column.type):
                raise FormError(f"the field {column.name!r} is missing")
            try:
                values.append(convert(found.get(column.name, missing), column.type))
            except ValueWrong as error:
                raise ValueWrong(f"field {column.name!r}: {error}") from None
        return self.record(*values)


def _columns(text: str) -> tuple[broker.Column, ...]:
    if not text:
        raise FormError("a record without a field: say --columns")
    try:
        return columns_from(text)
    except ValueError as error:
        raise FormError(str(error)) from None


def _type_of(zeek: str) -> str:
    """Our type of a column of Zeek's, which may be unset."""
    base, bracket, inner = zeek.partition("[")
    if bracket and base in {"set", "vector"}:
        element = inner.removesuffix("]")
        return f"{base}[{_FROM_ZEEK.get(element, element)}]?"
    return f"{_FROM_ZEEK.get(base, base)}?"
