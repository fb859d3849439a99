"""The event type of an ``@broker.event`` class: what rules know of its members, from their annotations.

An annotation that rules have no type for (a dict, an attrs object, an Enum) is ``any``: it can be compared for equality
and copied.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from broker.events import name_of, schema_for
from broker.rules.model import EventType, MemberType
from broker.schema.containers import ListOf, TupleOf, VariadicTupleOf
from broker.schema.kinds import Kind, LiteralOf, UnionOf
from broker.values import Count, Timestamp

__all__ = ["event_type", "type_of_class", "type_of_kind"]

_NONE: Final = frozenset((type(None),))
_CLASSES: Final[tuple[tuple[frozenset[type], str], ...]] = (
    (frozenset((int, float, Count)), "number"),
    (frozenset((bool,)), "boolean"),
    (frozenset((str,)), "string"),
    (frozenset((IPv4Address, IPv6Address)), "address"),
    (frozenset((datetime, Timestamp)), "timestamp"),
    (frozenset((timedelta,)), "duration"),
)


def type_of_class(cls: type) -> str:
    """The type of rules that values of a class have."""
    return next((name for classes, name in _CLASSES if cls in classes), "any")


def type_of_kind(kind: Kind) -> tuple[str, bool]:
    """The type of rules for what an annotation asks, and whether it may be None."""
    if isinstance(kind, UnionOf):
        others = [each for each in kind.alternatives if each.classes != _NONE]
        optional = len(others) < len(kind.alternatives)
        types = {type_of_kind(each)[0] for each in others}
        return types.pop() if len(types) == 1 else "any", optional
    if isinstance(kind, ListOf | VariadicTupleOf):
        items = [kind.item]
    elif isinstance(kind, TupleOf):
        items = list(kind.items)
    else:
        if kind.classes is None:
            return "any", True
        classes = kind.classes - _NONE
        plain = (kind.exact or isinstance(kind, LiteralOf)) and bool(classes)
        found = next((name for each, name in _CLASSES if plain and classes <= each), "any")
        return found, classes != kind.classes
    return "vector" if all(type_of_kind(item) == ("number", False) for item in items) else "any", False


def event_type(cls: type) -> EventType:
    """The event type of a class.  Raises EventDefinitionError for any class that is not made by ``@broker.event``."""
    return _event_type(cls)


@lru_cache(maxsize=1_024)
def _event_type(cls: Any) -> EventType:
    members = tuple(MemberType(field.name, *type_of_kind(field.kind)) for field in schema_for(cls).fields)
    return EventType(name_of(cls), members, _parent(cls), known=True)


def _parent(cls: type) -> str | None:
    for base in cls.__mro__[1:]:
        try:
            return name_of(base)
        except TypeError:  # no event class
            continue
    return None
