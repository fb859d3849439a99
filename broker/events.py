"""Typed events: ``@broker.event``, the registry of their names, and the way to bytes and back.

An event class is a frozen, slotted attrs class known by its name.  On the wire an event is the array of its time and
its fields; its topic, its name and how many follow each other stand once before a *run* of them (the protocol's
part).  The name decides what a receiver makes of a run: the class it knows by that name, checked field by field, or
:class:`Event` if it knows none.

How the checks are generated is told in ``broker/schema``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform, overload

import attrs

from broker.errors import EventDefinitionError, EventMisfit
from broker.messages import Message
from broker.schema import (
    DecodeRun,
    Encode,
    Misfit,
    Schema,
    UnknownName,
    decoder,
    encoder,
    pack_event,
    rows_of,
    schema_of,
)
from broker.schema.kinds import describe
from broker.schema.layout import speed_up_init

__all__ = [
    "Event",
    "Misfit",
    "check_name",
    "class_named",
    "decoder_for",
    "define",
    "encode",
    "encoder_for",
    "event",
    "name_of",
    "schema_for",
]

_T = TypeVar("_T")

NAME_BYTES_MAX = 255
"""Bytes of an event's name in UTF-8: names are identifiers, and one stands in every run."""

_NAME = "__broker_event__"
_LOCAL_NAMES = "__broker_names__"

# By name, and by class: the functions are compiled when a class is first sent or received.
_classes: dict[str, type] = {}
_encoders: dict[type, tuple[str, Encode]] = {}
_decoders: dict[str, DecodeRun] = {}


def check_name(name: object) -> str:
    """Return the name if an event can have it (text of 1 to 255 bytes); raises EventMisfit."""
    if type(name) is not str or not name:
        raise EventMisfit("Event", "name", "a name", describe(name))
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise EventMisfit("Event", "name", "Unicode text", describe(name)) from None
    if size > NAME_BYTES_MAX:
        raise EventMisfit("Event", "name", f"at most {NAME_BYTES_MAX} bytes", f"{size} bytes")
    return name


def _check_args(args: object) -> tuple[Any, ...]:
    if type(args) is not tuple:
        raise EventMisfit("Event", "args", "tuple", describe(args))
    return args


@attrs.frozen(weakref_slot=False)
class Event:
    """An event of a name that this program has no class for; ``args`` are its fields in order, any values.

    It can be published too: receivers that know a class of that name get that class, checked.  Raises EventMisfit for
    a name that is not 1 to 255 bytes of text and for args that are not a tuple.
    """

    name: str = attrs.field(converter=check_name)
    args: tuple[Any, ...] = attrs.field(default=(), converter=_check_args)


@overload
def event(cls: type[_T], /) -> type[_T]: ...
@overload
def event(*, name: str | None = None) -> Callable[[type[_T]], type[_T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def event(cls: type[_T] | None = None, /, *, name: str | None = None) -> type[_T] | Callable[[type[_T]], type[_T]]:
    """Make a class body an event: a frozen, slotted attrs class, registered by its name.

    ``name`` is its name on the wire; without one it is the class's own, with the classes around it (``Host.Up``) but
    not the function around it.  Defaults, factories, validators and converters are attrs' own (``attrs.field``).
    Append fields only at the end and with a default: old and new programs then understand each other.

    Raises EventDefinitionError for an annotation that cannot be carried, and if another class has the name already.
    The same class defined again (a module reloaded, a cell run twice) takes the place of the former.
    """
    # What the annotations of a class inside a function refer to may be that function's own.
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller's names
    local_names = {} if frame.f_locals is frame.f_globals else frame.f_locals

    def decorate(cls: type[_T]) -> type[_T]:
        return define(cls, name, local_names, "event")

    return decorate if cls is None else decorate(cls)


def define(
    cls: type[_T],
    name: str | None,
    local_names: Mapping[str, Any],
    decorator: str,
    check: Callable[[type], None] | None = None,
) -> type[_T]:
    """What :func:`event` does, for the decorators that are made of it.

    ``local_names`` are those of the function around the class, ``decorator`` is what errors call the decorator.
    ``check`` is given the attrs class before it is registered and may refuse it by raising EventDefinitionError.
    """
    if not isinstance(cls, type):
        raise EventDefinitionError(f"@broker.{decorator} takes a class, not {describe(cls)}")
    if "__attrs_attrs__" in cls.__dict__:
        raise EventDefinitionError(
            f"{cls.__qualname__} is an attrs class already: @broker.{decorator} alone makes it one"
        )
    name = cls.__qualname__.rpartition("<locals>.")[2] if name is None else name
    try:
        check_name(name)
    except EventMisfit as error:
        raise EventDefinitionError(
            f"{cls.__qualname__}: its name: expected {error.expected}, found {error.found}"
        ) from None
    _refuse_second(cls, name)
    try:
        made = attrs.frozen(cls, weakref_slot=False)
    except (TypeError, ValueError, attrs.exceptions.UnannotatedAttributeError) as error:
        raise EventDefinitionError(f"{cls.__qualname__}: {error}") from error
    if check is not None:
        check(made)
    speed_up_init(made)
    try:
        schema_of(made, local_names)
    except UnknownName:  # A forward reference: it is looked for again when the class is first used.
        setattr(made, _LOCAL_NAMES, dict(local_names))
    setattr(made, _NAME, name)
    _classes[name] = made
    _decoders.pop(name, None)
    return made


def _refuse_second(cls: type, name: str) -> None:
    former = _classes.get(name)
    if former is not None and (former.__module__, former.__qualname__) != (cls.__module__, cls.__qualname__):
        raise EventDefinitionError(
            f"two event classes are named {name!r}: {former.__module__}.{former.__qualname__} and "
            f"{cls.__module__}.{cls.__qualname__}; rename one, or give it @broker.event(name=...)"
        )


def name_of(cls: type) -> str:
    """The name that an event class is known by.  Raises EventDefinitionError for any other class."""
    name = getattr(cls, "__dict__", {}).get(_NAME)
    if name is None:
        found = getattr(cls, "__qualname__", cls)
        raise EventDefinitionError(
            f"{found} is not an event class: decorate a class with @broker.event (of log records: @broker.log_record), "
            "or publish broker.Event(name, args)"
        )
    return str(name)


def class_named(name: str) -> type | None:
    """The event class of that name, if there is one."""
    return _classes.get(name)


def schema_for(cls: type) -> Schema:
    """The schema of an event class.  Raises EventDefinitionError for any other class, and for names not yet defined."""
    name_of(cls)
    return schema_of(cls, cls.__dict__.get(_LOCAL_NAMES))


# --- out ---------------------------------------------------------------------------------------------------------


def encoder_for(cls: type) -> tuple[str, Encode]:
    """The name of an event class, and the function from its instance and time (nanoseconds) to the event's array.

    The function is for instances of exactly ``cls``.  It raises EventMisfit for a field that does not fit its
    annotation and NotCarried for a value that cannot travel.  Raises EventDefinitionError if ``cls`` is no event class.
    """
    found = _encoders.get(cls)
    if found is None:
        schema = schema_for(cls)
        name = name_of(cls)
        found = _encoders[cls] = name, encoder(schema, name)
    return found


def encode(event: Any, time_ns: int) -> tuple[str, bytes]:
    """The name and the array of any event, :class:`Event` too.  Raises as the functions of :func:`encoder_for` do."""
    if event.__class__ is Event:
        fields = [(f".args[{index}]", value) for index, value in enumerate(event.args)]
        return event.name, pack_event(fields, time_ns)
    name, encode_one = encoder_for(event.__class__)
    return name, encode_one(event, time_ns)


# --- in ----------------------------------------------------------------------------------------------------------


def decoder_for(name: str) -> DecodeRun:
    """The function from the body of a run of events of that name to its messages and misfits.

    ``decode_run(body, count, topic, origin)`` raises Malformed for a body that is not an array of ``count`` arrays
    that begin with a time.  Ask anew for each run: a class of that name may be defined in the meantime.
    """
    found = _decoders.get(name)
    if found is None:
        cls = _classes.get(name)
        if cls is None:
            return _unknown(name)  # Not kept: a peer can make up any number of names.
        found = _decoders[name] = decoder(schema_for(cls), name)
    return found


def _unknown(name: str) -> DecodeRun:
    def decode_run(body: bytes | memoryview, count: int, topic: str, origin: str) -> tuple[list[Message], list[Misfit]]:
        rows = rows_of(body, count)
        return [Message(topic, Event(name, tuple(row[1:])), row[0], origin) for row in rows], []

    return decode_run
