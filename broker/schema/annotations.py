"""From annotations to kinds: which types a field may have, and why the others are refused.

A union must be told apart on the wire, where an attrs object is an array and an enum member a name.  So:

- alternatives that share a class on the wire must be identical on both sides (``list[int] | list[str]`` is fine,
  ``list[A] | list[B]`` is refused: put the union inside the list);
- one attrs class beside values of other classes is sent as ever; two or more are each sent as ``[name, fields]``;
- two Enum classes may not share a member's name, nor stand beside EnumValue.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import combinations
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

from broker.schema.containers import DictOf, ListOf, SetOf, TupleOf, VariadicTupleOf
from broker.schema.kinds import ANYTHING, Anything, EnumOf, Exact, Kind, LiteralOf, UnionOf
from broker.schema.records import RecordOf, TaggedRecordOf
from broker.values import Count, EnumValue, Port, Timestamp

__all__ = ["NotAKind", "kind_of"]


class NotAKind(Exception):
    """An annotation that no kind stands for; the text says what to write instead."""


_EXACT: dict[Any, Kind] = {
    None: Exact("None", type(None)),
    float: Exact("float", float, int),
    datetime: Exact("datetime", datetime, Timestamp),
}
_EXACT[type(None)] = _EXACT[None]
for _cls in (
    *(bool, int, str, bytes, Count, EnumValue, Port, Timestamp, timedelta, UUID),
    *(IPv4Address, IPv4Network, IPv6Address, IPv6Network),
):
    _EXACT[_cls] = Exact(_cls.__name__, _cls)


def kind_of(annotation: Any) -> Kind:
    """The kind that a resolved annotation asks for.  Raises :class:`NotAKind`."""
    if annotation is Any or annotation is object:
        return ANYTHING
    if annotation.__class__.__hash__ is None:
        raise NotAKind(f"{annotation!r} is not a type")
    if annotation in _EXACT:
        return _EXACT[annotation]
    if isinstance(annotation, NewType):
        return kind_of(annotation.__supertype__)
    if type(annotation).__name__ == "TypeAliasType":  # `type X = ...`, Python 3.12
        return kind_of(annotation.__value__)
    origin = get_origin(annotation)
    if origin in (Annotated, Final):
        return kind_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _union(get_args(annotation))
    if origin is Literal:
        return _literal(get_args(annotation))
    container = _CONTAINERS.get(origin or annotation)
    if container is not None:
        return container(get_args(annotation), bare=origin is None)
    if isinstance(annotation, type) and origin is None:
        return _class(annotation)
    raise NotAKind(f"{_text(annotation)} cannot be carried{_advice(origin)}")


def _class(cls: type) -> Kind:
    if issubclass(cls, enum.Flag):
        raise NotAKind(f"{cls.__qualname__} is a Flag, whose combinations have no name: annotate the field with int")
    if issubclass(cls, enum.Enum):
        return EnumOf(cls)
    if "__attrs_attrs__" in cls.__dict__:
        return RecordOf(cls)
    raise NotAKind(f"{cls.__qualname__} is neither a type that can be carried nor an attrs class{_advice(cls)}")


def _advice(origin: Any) -> str:
    name = getattr(origin, "__name__", "")
    instead = {"Sequence": "list", "Iterable": "list", "Mapping": "dict", "MutableMapping": "dict", "Set": "frozenset"}
    instead |= {"MutableSequence": "list", "Collection": "list", "bytearray": "bytes", "deque": "list"}
    return f": write {instead[name]}, whose values come back as they were sent" if name in instead else ""


def _text(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", None) or repr(annotation).removeprefix("typing.")


def _list(args: tuple[Any, ...], *, bare: bool) -> Kind:  # noqa: ARG001 - `list` is `list[Any]`
    return ListOf(kind_of(args[0]) if args else ANYTHING)


def _dict(args: tuple[Any, ...], *, bare: bool) -> Kind:  # noqa: ARG001 - `dict` is `dict[Any, Any]`
    key, value = args or (Any, Any)
    return DictOf(kind_of(key), kind_of(value))


def _tuple(args: tuple[Any, ...], *, bare: bool) -> Kind:
    if bare:
        return VariadicTupleOf(ANYTHING)
    if len(args) == 2 and args[1] is Ellipsis:
        return VariadicTupleOf(kind_of(args[0]))
    return TupleOf(map(kind_of, args))


def _set_of(cls: type) -> Callable[..., Kind]:
    def build(args: tuple[Any, ...], *, bare: bool) -> Kind:  # noqa: ARG001 - `set` is `set[Any]`
        return SetOf(cls, kind_of(args[0]) if args else ANYTHING)

    return build


_CONTAINERS: dict[Any, Callable[..., Kind]] = {
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set_of(set),
    frozenset: _set_of(frozenset),
}


def _literal(values: Iterable[Any]) -> Kind:
    plain: list[object] = []
    members: dict[type[enum.Enum], list[enum.Enum]] = {}
    for value in values:
        if isinstance(value, enum.Enum):
            members.setdefault(type(value), []).append(value)
        else:
            plain.append(value)
    kinds: list[Kind] = [EnumOf(cls, chosen) for cls, chosen in members.items()]
    if plain:
        kinds.append(LiteralOf(plain))
    return kinds[0] if len(kinds) == 1 else _told_apart(kinds)


def _union(annotations: Iterable[Any]) -> Kind:
    kinds: list[Kind] = []
    for annotation in annotations:
        kind = kind_of(annotation)
        # A NewType or an alias can stand for a union, which typing has not flattened.
        kinds.extend(kind.alternatives if isinstance(kind, UnionOf) else [kind])
    records = {kind.cls: kind for kind in kinds if isinstance(kind, RecordOf)}
    if len(records) > 1:
        names = {cls.__name__ for cls in records}
        if len(names) < len(records):
            raise NotAKind("a union of attrs classes of the same name cannot be told apart: rename one of them")
        kinds = [TaggedRecordOf(kind.cls) if isinstance(kind, RecordOf) else kind for kind in kinds]
    return _told_apart(kinds)


def _told_apart(kinds: list[Kind]) -> Kind:
    if any(isinstance(kind, Anything) for kind in kinds) and all(kind.identical for kind in kinds):
        return ANYTHING
    for one, other in combinations(kinds, 2):
        if one.identical and other.identical:
            continue
        if one.wire is not None and other.wire is not None and one.wire.isdisjoint(other.wire):
            continue
        if isinstance(one, TaggedRecordOf) and isinstance(other, TaggedRecordOf):
            continue
        if isinstance(one, EnumOf) and isinstance(other, EnumOf) and one.members.keys().isdisjoint(other.members):
            continue
        raise NotAKind(
            f"{one.text} and {other.text} cannot be told apart on the wire: use one, or put the union inside"
        )
    return UnionOf(kinds)
