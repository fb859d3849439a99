"""Log records: event classes whose fields are the columns of a log, with names, descriptions and units.

    @broker.log_record("conn")
    class Connection:
        ts: broker.Timestamp
        orig_h: IPv4Address | IPv6Address = broker.column("id.orig_h", description="who opened the connection")
        duration: timedelta | None = broker.column(unit="s", default=None)

A log record class *is* an event class: checked, carried and registered as events are (:mod:`broker.events`).  What it
has beyond that are its :class:`Column` s, by which a program without the class can still write the log's file.

A column's **type** is a text that no programming language owns:

    str bytes bool int count float enum uuid addr subnet port time interval
    vector[T] set[T] map[K,V]      lists and tuples; sets; dicts
    record                         an object of an attrs class
    any                            anything else: unions, Any
    T?                             may be None
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, TypeVar, dataclass_transform, overload

import attrs
from msgspec import Meta, Struct

from broker.errors import EventDefinitionError
from broker.events import define, schema_for
from broker.schema.containers import DictOf, ListOf, SetOf, TupleOf, VariadicTupleOf
from broker.schema.kinds import EnumOf, Exact, Kind, LiteralOf, UnionOf, describe
from broker.schema.records import RecordOf

__all__ = ["Column", "column", "columns_of", "compatible", "flaw_in", "log_record"]

_T = TypeVar("_T")

NAME_CHARACTERS_MAX: Final = 255
TYPE_CHARACTERS_MAX: Final = 255
DESCRIPTION_CHARACTERS_MAX: Final = 1000
UNIT_CHARACTERS_MAX: Final = 64
"""Longest texts of a column: every writer tells its columns to every collector, and they are held for each."""

COLUMNS_MAX: Final = 1000
"""Most columns of a stream that a peer can announce; Zeek's widest log has some sixty."""

# What every format of files can have as a column's name: no separators, no `#` or `-` that would begin a header line or
# stand for an unset field.
_NAME: Final = r"\A[^\W\d][\w.\-]*\Z"

_KEY: Final = "broker.column"
_COLUMNS: Final = "__broker_columns__"


class Column(Struct, frozen=True, array_like=True, gc=False):
    """One column of a log: ``name`` in files, ``type`` (see the module), ``description`` and ``unit``, or "".

    It is carried between programs: decoding one whose texts are too long or whose name could not stand in a file fails.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX, pattern=_NAME)]
    type: Annotated[str, Meta(min_length=1, max_length=TYPE_CHARACTERS_MAX)]
    description: Annotated[str, Meta(max_length=DESCRIPTION_CHARACTERS_MAX)] = ""
    unit: Annotated[str, Meta(max_length=UNIT_CHARACTERS_MAX)] = ""


@attrs.frozen
class _Told:
    """What ``column()`` was told and attrs has no place for."""

    name: str | None
    description: str
    unit: str


def column(
    name: str | None = None,
    *,
    description: str = "",
    unit: str = "",
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    validator: Any = None,
    converter: Any = None,
) -> Any:
    """A field of a log record that says more of its column; the rest is ``attrs.field``'s.

    ``name`` is the column's name in files where it is not the field's (``id.orig_h``): a letter or ``_``, then letters,
    digits, ``_ . -``.  Raises EventDefinitionError for names, descriptions (at most 1000 characters) and units (at most
    64) that cannot be.
    """
    if name is not None:
        _check_name(name)
    _check_text("a column's description", description, DESCRIPTION_CHARACTERS_MAX)
    _check_text("a column's unit", unit, UNIT_CHARACTERS_MAX)
    if factory is not None:
        if default is not attrs.NOTHING:
            raise EventDefinitionError("a column has a default or a factory, not both")
        default = attrs.Factory(factory)
    metadata = {_KEY: _Told(name, description, unit)}
    return attrs.field(default=default, validator=validator, converter=converter, metadata=metadata)


def _check_name(name: str) -> None:
    _check_text("a column's name", name, NAME_CHARACTERS_MAX)
    if not re.search(_NAME, name):
        raise EventDefinitionError(
            f"a column's name is a letter or '_' and then letters, digits, '_', '.' and '-', not {name!r}: files "
            f"separate columns and elements by other characters"
        )


def _check_text(what: str, text: object, most: int) -> None:
    if type(text) is not str:
        raise EventDefinitionError(f"{what} is text, not {describe(text)}")
    if len(text) > most:
        raise EventDefinitionError(f"{what} has at most {most} characters, not {len(text)}")


@overload
def log_record(cls: type[_T], /) -> type[_T]: ...
@overload
def log_record(name: str | None = None, /) -> Callable[[type[_T]], type[_T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field, column))
def log_record(name: Any = None, /) -> Any:
    """Make a class body a log record: an event class whose fields are columns, registered as ``name``.

    Without a name it is the class's own, as for ``@broker.event``.  Raises EventDefinitionError for whatever that
    refuses and for two columns of one name.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - as in broker.event: annotations may use the caller's names
    local_names = {} if frame.f_locals is frame.f_globals else frame.f_locals
    if isinstance(name, type):
        return define(name, None, local_names, "log_record", _check_columns)

    def decorate(cls: type[_T]) -> type[_T]:
        return define(cls, name, local_names, "log_record", _check_columns)

    return decorate


def _check_columns(cls: type) -> None:
    """Refuse names that cannot be; called before the class is registered, when its annotations may be unknown."""
    names = [_told(field).name or field.name for field in attrs.fields(cls) if field.init]
    for name in names:
        _check_name(name)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise EventDefinitionError(f"{cls.__qualname__} has two columns named {twice[0]!r}: give one another name")


_NOTHING_TOLD: Final = _Told(None, "", "")


def _told(attribute: Any) -> _Told:
    told: _Told = attribute.metadata.get(_KEY, _NOTHING_TOLD)
    return told


# --- what a class has for columns --------------------------------------------------------------------------------


def columns_of(cls: type) -> tuple[Column, ...]:
    """The columns of an event class, in the order of its fields; of plain events too.

    Raises EventDefinitionError if ``cls`` is no event class, or names in its annotations are not defined yet.
    """
    found: tuple[Column, ...] | None = cls.__dict__.get(_COLUMNS)
    if found is None:
        attributes = attrs.fields_dict(cls) if attrs.has(cls) else {}
        columns = []
        for field in schema_for(cls).fields:
            told = _told(attributes[field.name])
            columns.append(Column(told.name or field.name, _type_of(field.kind), told.description, told.unit))
        found = tuple(columns)
        setattr(cls, _COLUMNS, found)
    return found


_TYPES: Final = {
    "Count": "count",
    "EnumValue": "enum",
    "IPv4Address": "addr",
    "IPv4Network": "subnet",
    "IPv6Address": "addr",
    "IPv6Network": "subnet",
    "Port": "port",
    "Timestamp": "time",
    "UUID": "uuid",
    "datetime": "time",
    "timedelta": "interval",
}
_SAME: Final = ("bool", "bytes", "float", "int", "str")


def _type_of(kind: Kind) -> str:
    text = _element(kind)
    return text if len(text) <= TYPE_CHARACTERS_MAX else "any"


def _element(kind: Kind) -> str:
    """The type of a kind that stands alone: of nothing but None, too."""
    return _common([_text(kind)])


def _text(kind: Kind) -> str:
    """The type of a kind; "?" for None, which only makes others optional."""
    if isinstance(kind, UnionOf):
        return _common([_text(alternative) for alternative in kind.alternatives])
    if isinstance(kind, LiteralOf):
        return _common([_text_of_class(cls.__name__) for cls in kind.classes or ()])
    if isinstance(kind, Exact):
        return _text_of_class(kind.text)
    if isinstance(kind, EnumOf):
        return "enum"
    if isinstance(kind, RecordOf):
        return "record"
    if isinstance(kind, ListOf | VariadicTupleOf):
        return f"vector[{_element(kind.item)}]"
    if isinstance(kind, TupleOf):
        return f"vector[{_common([_text(item) for item in kind.items])}]"
    if isinstance(kind, SetOf):
        return f"set[{_element(kind.item)}]"
    if isinstance(kind, DictOf):
        return f"map[{_element(kind.key)},{_element(kind.value)}]"
    return "any"


def _text_of_class(name: str) -> str:
    if name in ("None", "NoneType"):
        return "?"
    return name if name in _SAME else _TYPES.get(name, "any")


def _common(texts: Iterable[str]) -> str:
    """The one type of several, or "any"; optional if one of them is."""
    texts = list(texts)
    types = {text.removesuffix("?") for text in texts} - {""}
    optional = "?" if any(text.endswith("?") for text in texts) else ""
    return (types.pop() if len(types) == 1 else "any") + optional


# --- two sets of columns -----------------------------------------------------------------------------------------


def compatible(old: tuple[Column, ...], new: tuple[Column, ...]) -> str:
    """Return "" if one has the other's columns, names and types, and perhaps more at the end; else where they clash.

    Descriptions and units may differ.
    """
    for number, (one, other) in enumerate(zip(old, new, strict=False), 1):
        if (one.name, one.type) != (other.name, other.type):
            return f"column {number} is {one.name!r} ({one.type}) here and {other.name!r} ({other.type}) there"
    return ""


def flaw_in(columns: tuple[Column, ...]) -> str:
    """Return "" if columns that came from a peer can stand in one file, else why not: too many, two of one name."""
    if len(columns) > COLUMNS_MAX:
        return f"{len(columns)} columns, {COLUMNS_MAX} are the most"
    twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
    return f"two columns named {twice[0]!r}" if twice else ""
