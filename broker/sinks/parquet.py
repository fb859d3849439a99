"""Parquet files, through pyarrow (``pip install 'broker-mesh[parquet]'``).

    str, enum, addr, subnet, uuid   string              time       timestamp[ns, UTC]
    bytes                           binary              interval   duration[us], elsewhere an int64 of microseconds
    bool                            bool                port       uint16, the number
    int, count                      int64, uint64       vector, set    list of the elements' type
    float                           double              map, record, any   string: JSON

Every column may be null.  Descriptions and units are in the fields' metadata.  A value that does not fit its column (an
int past 2**63 - 1, a year that nanoseconds cannot tell, a record of a writer whose records are not what it said) is
null there, and stands in the last column, ``_misfits``, as JSON by column: no record is refused, and none is lost.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from broker.events import Event
from broker.extras import needed_for
from broker.log_records import Column
from broker.sinks.jsonlines import json_text, to_plain
from broker.sinks.rows import Record, split_type, time_column_for, values_by_class
from broker.values import EnumValue, Port
from broker.values.timestamps import nanoseconds_of

with needed_for("Parquet files"):
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["MISFITS", "Parquet", "schema_of_columns"]

MISFITS: Final = "_misfits"

ROWS_MAX: Final = 1 << 16
"""Rows of a row group, all of which are in memory: large enough to compress well, some tens of megabytes at most."""

VALUE_BYTES_MAX: Final = 32 << 20
"""Bytes of texts in rows not yet in a row group, by a rough count: long texts make smaller row groups."""

_TYPES: Final = {
    "str": pa.string(),
    "bytes": pa.binary(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "count": pa.uint64(),
    "float": pa.float64(),
    "time": pa.timestamp("ns", "UTC"),
    "interval": pa.duration("us"),
    "port": pa.uint16(),
}
_MICROSECOND: Final = timedelta(microseconds=1)


def _type_of(text: str) -> Any:
    base, inner = split_type(text)
    return pa.list_(_type_of(inner)) if inner else _TYPES.get(base, pa.string())


def schema_of_columns(columns: Sequence[Column]) -> Any:
    """The ``pyarrow.Schema`` of a file with these columns, the one for misfits included."""
    fields = []
    for column in columns:
        metadata = {"description": column.description, "unit": column.unit, "type": column.type}
        fields.append(pa.field(column.name, _type_of(column.type), metadata={k: v for k, v in metadata.items() if v}))
    name = MISFITS
    while any(column.name == name for column in columns):
        name = "_" + name
    return pa.schema([*fields, pa.field(name, pa.string())])


class _Bytes(io.RawIOBase):
    """What pyarrow writes to: the bytes are handed on and not kept, so a full disk never stops it halfway."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        part = bytes(data)
        self.parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def take(self) -> bytes:
        taken = b"".join(self.parts)
        self.parts.clear()
        return taken


class Parquet:
    """The encoder of one Parquet file; see :class:`broker.sinks.rows.Encoder`.

    Rows are gathered into row groups; a file cannot be read before its end is written.  ``waiting`` counts the rows not
    yet given out as bytes.
    """

    appendable = False

    def __init__(self, columns: Sequence[Column], *, time_column: str | None = None) -> None:
        self._split = values_by_class(columns)
        front = time_column_for(columns, time_column)
        self._columns = (*front, *columns)
        self._timed = bool(front)
        self._schema = schema_of_columns(self._columns)
        # The message's own time is nanoseconds already.
        self._to_arrow = [*(_exactly(int) for _ in front), *(_converter(column.type) for column in columns)]
        self._bytes = _Bytes()
        self._writer: Any = None
        self._rows: list[Sequence[Any]] = []
        self._rough_bytes = 0
        # The columns whose values are not all small; those of events without a class may be anything.
        self._unbounded = [n for n, column in enumerate(self._columns) if split_type(column.type)[0] not in _SMALL]

    @property
    def waiting(self) -> int:
        """Rows that are gathered for the next row group."""
        return len(self._rows)

    def begin(self, now_s: float) -> bytes:  # noqa: ARG002 - a Parquet file does not say when
        """The file's first bytes."""
        self._writer = pq.ParquetWriter(self._bytes, self._schema, compression="zstd")
        return self._bytes.take()

    def rows(self, messages: Sequence[Record]) -> bytes:
        """The bytes of the row groups that became full; none as a rule."""
        for part, rows in self._split(messages):
            if self._timed:
                rows = [(message.time_ns, *row) for message, row in zip(part, rows, strict=True)]  # noqa: PLW2901
            unbounded = range(len(self._columns)) if isinstance(part[0].record, Event) else self._unbounded
            for row in rows:
                self._rows.append(row)
                self._rough_bytes += sum([_rough_bytes(row[number]) for number in unbounded])
                if len(self._rows) >= ROWS_MAX or self._rough_bytes >= VALUE_BYTES_MAX:
                    self._write_group()
        return self._bytes.take()

    def end(self, now_s: float) -> bytes:  # noqa: ARG002 - a Parquet file does not say when
        """The last row group and the file's footer."""
        if self._rows:
            self._write_group()
        self._writer.close()
        return self._bytes.take()

    def _write_group(self) -> None:
        misfits: list[dict[str, Any] | None] = [None] * len(self._rows)
        by_column = zip(*self._rows, strict=True) if self._columns else iter(())
        arrays = []
        for column, field, convert, values in zip(self._columns, self._schema, self._to_arrow, by_column, strict=False):
            try:
                array = pa.array([None if value is None else convert(value) for value in values], field.type)
            except _MISFITS:
                array = _one_by_one(column.name, field.type, convert, values, misfits)
            arrays.append(array)
        arrays.append(pa.array([None if found is None else json_text(found) for found in misfits], pa.string()))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROWS_MAX)
        self._rows.clear()
        self._rough_bytes = 0


_SMALL: Final = frozenset(
    ("bool", "int", "count", "float", "time", "interval", "port", "addr", "subnet", "uuid", "enum")
)


def _rough_bytes(value: Any) -> int:
    """About what a value takes in memory, as far as it can be much: the bytes of texts, wherever they are inside."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return 16 * len(value) + sum(map(_rough_bytes, value)) + sum(map(_rough_bytes, value.values()))
    if isinstance(value, _CONTAINERS):
        return 8 * len(value) + sum(map(_rough_bytes, value))
    if attrs.has(value.__class__) and not isinstance(value, Port | EnumValue):
        return sum(_rough_bytes(getattr(value, field.name)) for field in attrs.fields(value.__class__))
    return 8


# What conversions raise for a value of another type or out of range; pyarrow's errors are ValueError or TypeError,
# NotImplementedError among them.
_MISFITS: Final = (ValueError, TypeError, AttributeError, OverflowError, NotImplementedError)


def _one_by_one(
    name: str, kind: Any, convert: Callable[[Any], Any], values: Sequence[Any], misfits: list[dict[str, Any] | None]
) -> Any:
    """The array of a column some of whose values do not fit; those are told in ``misfits``, by row."""
    fitting: list[Any] = []
    for row, value in enumerate(values):
        try:
            converted = None if value is None else convert(value)
            pa.array([converted], kind)
        except _MISFITS:
            converted = None
            misfits[row] = {**(misfits[row] or {}), name: value}
        fitting.append(converted)
    return pa.array(fitting, kind)


# --- values ------------------------------------------------------------------------------------------------------


def _converter(text: str) -> Callable[[Any], Any]:
    """The function from a column's values, None excepted, to what pyarrow takes for its type."""
    base, inner = split_type(text)
    if inner:
        convert = _converter(inner)
        ordered = base == "vector"

        def convert_each(values: Any) -> list[Any]:
            if not isinstance(values, _CONTAINERS):
                raise TypeError
            members = values if ordered else sorted(values, key=json_text)
            return [None if value is None else convert(value) for value in members]

        return convert_each
    return _CONVERTERS.get(base, json_text)


_CONTAINERS: Final = (list, tuple, set, frozenset)


def _exactly(*classes: type) -> Callable[[Any], Any]:
    """Values of these classes as they are; pyarrow takes a bool for an int, a float for an int and more."""

    def check(value: Any) -> Any:
        if value.__class__ not in classes:
            raise TypeError
        return value

    return check


def _enum_text(value: Any) -> str:
    if value.__class__ is str:
        return str(value)
    name = value.name
    if name.__class__ is not str:
        raise TypeError
    return str(name)


def _float(value: Any) -> float:
    if value.__class__ not in (float, int):
        raise TypeError
    return float(value)


def _text_form(value: Any) -> str:
    plain = to_plain(value)
    if value.__class__ in (bytes, EnumValue) or not isinstance(plain, str):
        raise TypeError
    return plain


def _count(value: Any) -> int:
    if not isinstance(value, int) or value.__class__ is bool:
        raise TypeError
    return int(value)


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "str": _exactly(str),
    "bytes": _exactly(bytes),
    "bool": _exactly(bool),
    "int": _exactly(int),
    "count": _count,
    "float": _float,
    "time": nanoseconds_of,
    "interval": lambda value: value // _MICROSECOND,
    "enum": _enum_text,
    "port": lambda port: port.number,
    "addr": _text_form,
    "subnet": _text_form,
    "uuid": _text_form,
}
