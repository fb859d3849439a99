"""What all formats of log files share: what a message must have, which columns a file has, a record's values in order.

A file has the columns that its stream's writer told, and in front of them one for the message's time if no column of
the record holds a time.  A record has exactly that many values: those of an older program, which lack appended columns,
are filled up with None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol

from broker.events import Event, schema_for
from broker.log_records import Column

__all__ = ["Encoder", "Record", "Split", "split_type", "time_column_for", "values_by_class"]


class Record(Protocol):
    """What is asked of a message: ``broker.LogMessage`` has it.

    ``record`` is an instance of an event class or a ``broker.Event``, ``time_ns`` the writer's clock in nanoseconds
    since 1970-01-01T00:00Z.
    """

    @property
    def record(self) -> Any:
        """The record itself."""
        ...

    @property
    def time_ns(self) -> int:
        """When it was written."""
        ...


class Encoder(Protocol):
    """One file's format: what begins it, what its records become, what ends it."""

    appendable: bool
    """Whether what was written so far is a file that can be read, and can be cut at the end of any ``rows``."""

    def begin(self, now_s: float) -> bytes:
        """The bytes before the first record; ``now_s`` is the time of day, seconds since 1970-01-01T00:00Z."""
        ...

    def rows(self, messages: Sequence[Record]) -> bytes:
        """The bytes of records, which may come later where the format gathers them; no record is refused."""
        ...

    def end(self, now_s: float) -> bytes:
        """The bytes after the last record."""
        ...


def split_type(text: str) -> tuple[str, str]:
    """A column's type without its ``?``, and the type of its elements: ``vector[int?]?`` is ("vector", "int?").

    The second is "" where there are no elements, and for maps.  Texts from peers may be anything: what is no type is
    returned as it is.
    """
    text = text.removesuffix("?")
    base, bracket, inner = text.partition("[")
    if bracket and inner.endswith("]") and base in ("set", "vector"):
        return base, inner[:-1]
    return ("map", "") if base == "map" else (text, "")


def time_column_for(columns: Iterable[Column], wanted: str | None) -> tuple[Column, ...]:
    """The column to put in front for the message's time: none or one.

    ``wanted`` is its name; "": no such column; None: ``ts`` if no column is a time.  A name that is taken gets an
    underscore in front.
    """
    columns = tuple(columns)
    if wanted == "" or (wanted is None and any(split_type(column.type)[0] == "time" for column in columns)):
        return ()
    name = wanted or "ts"
    while any(column.name == name for column in columns):
        name = "_" + name
    return (Column(name, "time", "when the record was written"),)


_Values = Callable[[Any], Sequence[Any]]
Split = Callable[[Sequence[Record]], Iterable[tuple[Sequence[Record], list[Sequence[Any]]]]]


def values_by_class(columns: Sequence[Column]) -> Split:
    """The function that splits messages where their class changes: each part and its records' values, in order."""
    # Bounded by the classes of this program.
    found: dict[type, _Values] = {}

    def values_of(records: list[Any]) -> list[Sequence[Any]]:
        cls = type(records[0])
        values = found.get(cls)
        if values is None:
            values = found[cls] = _values_of(cls, len(columns))
        return list(map(values, records))

    def split(messages: Sequence[Record]) -> Iterable[tuple[Sequence[Record], list[Sequence[Any]]]]:
        records = [message.record for message in messages]
        if len(set(map(type, records))) == 1:  # As a rule: 0.3 us a record, 0.8 with groupby.
            yield messages, values_of(records)
            return
        start = 0
        for _, group in groupby(records, key=type):
            part = list(group)
            yield messages[start : start + len(part)], values_of(part)
            start += len(part)

    return split


def _values_of(cls: type, width: int) -> _Values:
    """The function from a record of a class to exactly ``width`` values."""
    absent: Final = (None,) * width
    if cls is Event:
        return lambda record: (record.args + absent)[:width]
    names = [field.name for field in schema_for(cls).fields][:width]
    if len(names) == width >= 2:
        # One call in C for all fields: 250 ns for eight, 600 with a loop.
        return attrgetter(*names)
    return lambda record: (tuple(getattr(record, name) for name in names) + absent)[:width]
