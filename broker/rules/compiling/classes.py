"""The Python classes of event types: what comes in as an instance, what is made, and what is published.

The instances of a type that is known by its name are those of its ``@broker.event`` class.  A type that a program
declares itself has a generated class (a frozen ``msgspec.Struct``, quick to make), in which vectors are tuples of
floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import attrs
import msgspec

from broker.errors import BrokerError, RuleError
from broker.events import Event, class_named, name_of, schema_for
from broker.rules.event_types import event_type as event_type_of
from broker.rules.interpreter import EvaluationFailed
from broker.rules.model import EventType, Program
from broker.rules.model.names import is_member_name
from broker.rules.operations import to_double
from broker.schema import DoesNotFit, Schema
from broker.schema.kinds import describe
from broker.values import Timestamp

__all__ = ["EventClasses", "Misfit", "class_for", "members_of"]


@attrs.frozen
class Misfit:
    """An event that is not of its type: which member is wrong, what was expected and what was found."""

    type: str
    member: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.type}.{self.member}: expected {self.expected}, found {self.found}"


_set_name, _set_args = Event.name.__set__, Event.args.__set__  # type: ignore[attr-defined]

# -- members ---------------------------------------------------------------------------------------------------------

_UNFIT: Final = object()


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _UNFIT


def _vector(value: Any) -> Any:
    """A lone number is a vector of one: what programs of other languages send."""
    if not isinstance(value, list | tuple):
        return (to_double(value),) if _number(value) is not _UNFIT else _UNFIT
    if any(_number(item) is _UNFIT for item in value):
        return _UNFIT
    return tuple(map(to_double, value))


def _instance_of(*classes: type) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, classes) else _UNFIT


def _timestamp(value: Any) -> Any:
    return value if isinstance(value, datetime) and value.tzinfo is not None else _UNFIT


_FITTING: Final[dict[str, Callable[[Any], Any]]] = {
    "number": _number,
    "vector": _vector,
    "boolean": _instance_of(bool),
    "string": _instance_of(str),
    "address": _instance_of(IPv4Address, IPv6Address),
    "timestamp": _timestamp,
    "duration": _instance_of(timedelta),
    "any": lambda value: value,
}


_CLASS_DECIDES: Final = {bool, int, float, str, IPv4Address, IPv6Address, timedelta, Timestamp, type(None)}
_FIT_MAX: Final = 100


@lru_cache(maxsize=4_096)
def class_for(event_type: EventType) -> type:
    """The generated class of a type: made once, frozen, its members in their order.

    Raises RuleError for a member's name that is none.
    """
    for member in event_type.members:
        if not is_member_name(member.name):
            raise RuleError.at("", f"{event_type.name:.80}: {member.name!r:.80} is no name of a member")
    fields = [(member.name, Any) for member in event_type.members]
    name = event_type.name if event_type.name.isidentifier() else "Declared"
    # gc=False: an event is held by others and holds values, never itself.
    return msgspec.defstruct(name, fields, frozen=True, gc=False, module=__name__)


def members_of(cls: type) -> frozenset[str]:
    """The names of the members that a class of events has, generated or not."""
    if issubclass(cls, msgspec.Struct):
        return frozenset(cls.__struct_fields__)
    return frozenset(field.name for field in attrs.fields(cls)) if attrs.has(cls) else frozenset()


# -- one type --------------------------------------------------------------------------------------------------------


class _Declared:
    """A type that the program declares."""

    def __init__(self, event_type: EventType) -> None:
        self.type = event_type
        self.cls = class_for(event_type)
        self._members = [(member, _FITTING.get(member.type, _FITTING["any"])) for member in event_type.members]
        self._vectors = frozenset(n for n, member in enumerate(event_type.members) if member.type == "vector")
        # Classes of values that fit as they are, and of which it is the class alone that decides: 1.5 us less for four.
        self._fit: set[tuple[type, ...]] = set()

    def fitted(self, values: tuple[Any, ...]) -> Any:
        """An instance, or what is wrong.  Values too many are left out, as events do."""
        classes = tuple(map(type, values))
        if classes in self._fit:
            return self.cls(*values)
        found: list[Any] = []
        for place, (member, fitting) in enumerate(self._members):
            if place >= len(values):
                if not member.optional:
                    return Misfit(self.type.name, member.name, member.type, "nothing (the event ends before it)")
                found.append(None)
                continue
            value = values[place]
            if value is not None or not member.optional:
                value = fitting(value) if value is not None or member.type == "any" else _UNFIT
                if value is _UNFIT:
                    return Misfit(self.type.name, member.name, member.type, describe(values[place]))
            found.append(value)
        if len(values) == len(self._members) and not self._vectors and _CLASS_DECIDES.issuperset(classes):
            if len(self._fit) >= _FIT_MAX:
                self._fit.clear()
            self._fit.add(classes)
        return self.cls(*found)

    def make(self, *values: Any) -> Any:
        """An instance.  Raises EvaluationFailed."""
        made = self.fitted(values)
        if isinstance(made, Misfit):
            raise EvaluationFailed(str(made))
        return made

    def to_event(self, instance: Any) -> Event:
        """What is published."""
        values = msgspec.structs.astuple(instance)
        if self._vectors:
            values = tuple(
                list(value) if place in self._vectors and value is not None else value
                for place, value in enumerate(values)
            )
        event = Event.__new__(Event)  # its name and arguments are known to be such: 1.4 us less
        _set_name(event, self.type.name)
        _set_args(event, values)
        return event


class _Known:
    """A type that a class of this program stands for."""

    def __init__(self, event_type: EventType, cls: type) -> None:
        self.type = event_type
        self.cls = cls
        self._schema: Schema = schema_for(cls)
        self._fields = [(field.argument, _conversion(field.kind)) for field in self._schema.fields]

    def make(self, *values: Any) -> Any:
        """An instance, checked as its class asks for.  Raises EvaluationFailed."""
        arguments = {
            argument: value if convert is None else convert(value)
            for (argument, convert), value in zip(self._fields, values, strict=True)
        }
        try:
            made = self.cls(**arguments)
            self._schema.lower(made)
        except DoesNotFit as error:
            raise EvaluationFailed(
                f"{self.type.name}{error.path}: expected {error.expected}, found {error.found}"
            ) from None
        except Exception as error:
            raise EvaluationFailed(f"{self.type.name} refuses its members: {error}"[:200]) from error
        return made


def _conversion(kind: Any) -> Callable[[Any], Any] | None:
    """What makes of a value of rules one of this annotation: arithmetic is that of floats, vectors are tuples."""
    classes = kind.classes or frozenset()
    if int in classes and float not in classes:
        return lambda value: int(value) if type(value) is float and value.is_integer() else value
    if list in classes and tuple not in classes:
        return lambda value: list(value) if type(value) is tuple else value
    return None


# -- all types of a program ------------------------------------------------------------------------------------------


class EventClasses:
    """The classes of a program's event types.

    Raises RuleError for a known type of which there is no class, or one with other members.
    """

    def __init__(self, program: Program) -> None:
        self._types: dict[str, _Declared | _Known] = {}
        self._by_class: dict[type, _Declared | _Known] = {}
        children: dict[str, list[str]] = {}
        for event_type in program.types:
            kept = _kept(event_type)
            self._types[event_type.name] = self._by_class[kept.cls] = kept
            if event_type.parent is not None:
                children.setdefault(event_type.parent, []).append(event_type.name)
        self._subtypes = {name: _descendants(name, children) for name in self._types}

    def class_of(self, type_name: str) -> type:
        """The class of a type's instances."""
        return self._types[type_name].cls

    def type_of(self, instance: object) -> str | None:
        """The name of the type that an instance is of; None for one of no type here."""
        kept = self._by_class.get(instance.__class__)
        return kept.type.name if kept is not None else None

    def subtypes(self, type_name: str) -> tuple[str, ...]:
        """The type itself and all that extend it."""
        return self._subtypes[type_name]

    def maker(self, type_name: str, names: tuple[str, ...]) -> Callable[..., Any]:
        """The function from the values of these members to an instance; it raises EvaluationFailed.

        Raises RuleError for a type that is not there, and unless each member is named once.
        """
        kept = self._types.get(type_name)
        if kept is None:
            raise RuleError.at("", f"there is no event type {type_name!r:.80}")
        order = [member.name for member in kept.type.members]
        if sorted(order) != sorted(names):
            raise RuleError.at("", f"{type_name} is made of {', '.join(order)}, each once")
        if list(names) == order:
            return kept.make
        places = [names.index(name) for name in order]
        return lambda *values: kept.make(*[values[place] for place in places])

    def make(self, type_name: str, members: Mapping[str, Any]) -> Any:
        """An instance of a type.  Raises EvaluationFailed for members that do not fit."""
        return self.maker(type_name, tuple(members))(*members.values())

    def accept(self, event: Any) -> Any:
        """The instance that an event is to rules, or a :class:`Misfit`.

        A :class:`broker.Event` of a declared type is checked and becomes an instance, and so is one of a class that has
        the type's name.  An event of no type of the program is returned as it is.
        """
        cls = event.__class__
        if cls in self._by_class:
            return event
        if cls is Event:
            kept = self._types.get(event.name)
            return kept.fitted(event.args) if isinstance(kept, _Declared) else event
        try:
            kept = self._types.get(name_of(cls))
        except BrokerError:
            return event
        if not isinstance(kept, _Declared):
            return event
        return kept.fitted(tuple(getattr(event, field.name) for field in attrs.fields(cls)))

    def to_event(self, instance: Any) -> Any:
        """What is published of an instance: itself, or a :class:`broker.Event` with vectors as lists."""
        kept = self._by_class.get(instance.__class__)
        return kept.to_event(instance) if isinstance(kept, _Declared) else instance


def _kept(event_type: EventType) -> _Declared | _Known:
    if not event_type.known:
        return _Declared(event_type)
    cls = class_named(event_type.name)
    if cls is None:
        raise RuleError.at(
            "", f"there is no event class {event_type.name!r:.80} here: import the module that defines it"
        )
    here = event_type_of(cls)
    if here.members != event_type.members:
        raise RuleError.at("", f"{event_type.name:.80}: the class here has other members than the rules were made for")
    return _Known(event_type, cls)


def _descendants(name: str, children: Mapping[str, list[str]]) -> tuple[str, ...]:
    found = {name: None}  # in order, each once, also where parents go in a circle
    waiting = [name]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found[child] = None
                waiting.append(child)
    return tuple(found)
