"""The model as plain data and back, and content hashes.

A value of the model becomes a map: its class under ``is`` and every field that is not its default, sequences as lists.
An expression becomes the list of its parts in postfix order, each a map whose fields for other expressions say only how
many of the parts before it they take (``operands``: 2) or under which names (``members``: ["x", "y"]), so that a sum
of a hundred terms is nested no deeper than one of two.  So a model can be carried and stored like any value, be read by
other languages, and be hashed: :func:`identity` is the SHA-256 of its packed data, the same wherever and in whatever
spelling the rule was written.

What comes from elsewhere is checked as it is read: classes, fields, types, and bounds (:data:`DEPTH_MAX`,
:data:`NODES_MAX`), so that whoever gets a model from here need not ask again.  That names and types in it fit each
other is the checker's part (:mod:`broker.rules.model.checking`).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from broker.errors import BrokerError
from broker.rules.model.expressions import (
    Aggregate,
    AggregateFunction,
    Apply,
    Call,
    Constant,
    ConstantValue,
    Expression,
    Make,
    Member,
    Meta,
    MetaField,
    Name,
    children,
)
from broker.values import pack

__all__ = ["DEPTH_MAX", "NODES_MAX", "ModelError", "from_data", "identity", "register", "to_data"]

DEPTH_MAX: Final = 100
"""Expressions inside expressions, in all spellings: whoever walks them may do so by recursion."""

NODES_MAX: Final = 100_000
"""Values in one model that comes from elsewhere: ten thousand rules."""

_T = TypeVar("_T")


class ModelError(BrokerError):
    """Data that is no rule model: the path to what is wrong, and what was expected there."""


_classes: dict[str, type] = {}


def register(*classes: type) -> None:
    """Make attrs classes part of the model, known by their names."""
    _classes.update({cls.__name__: cls for cls in classes})


def to_data(value: object) -> Any:
    """The plain data of a value of the model: maps, lists, and the constants in it as they are."""
    if isinstance(value, Expression):
        return [_part(part) for part in _postfix(value)]
    if type(value).__name__ in _classes:
        return {"is": type(value).__name__} | {name: to_data(content) for name, content in _told(value)}
    if isinstance(value, tuple):
        return [to_data(item) for item in value]
    return value


def _told(value: Any) -> Iterator[tuple[str, Any]]:
    for field in _attributes(type(value)):
        content = getattr(value, field.name)
        if field.default is attrs.NOTHING or content != field.default or type(content) is not type(field.default):
            yield field.name, content


def _part(expression: Expression) -> dict[str, Any]:
    data: dict[str, Any] = {"is": type(expression).__name__}
    for name, content in _told(expression):
        match expression:
            case Member() | Aggregate() if name in ("of", "item"):
                continue
            case Make() if name == "members":
                data[name] = [member for member, _ in content]
            case Apply() | Call() if name in ("operands", "arguments"):
                data[name] = len(content)
            case _:
                data[name] = to_data(content)
    return data


def _postfix(expression: Expression) -> list[Expression]:
    found = []
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        found.append(part)
        waiting.extend(children(part))
    return found[::-1]


def identity(value: object) -> str:
    """The content hash of a value of the model: 64 hexadecimal digits."""
    return sha256(pack(to_data(value))).hexdigest()


class _Reader:
    """One reading of data: counts what it has seen."""

    def __init__(self) -> None:
        self.nodes = 0

    def read(self, data: Any, annotation: Any, path: str, depth: int) -> Any:
        """The value that an annotation asks for."""
        if annotation is Expression:
            return self._expression(data, path)
        if annotation == Expression | None:
            return None if data is None else self._expression(data, path)
        origin = get_origin(annotation)
        if origin in (Union, types.UnionType):
            return self._any_of(data, get_args(annotation), path, depth)
        if origin is tuple:
            return self._sequence(data, get_args(annotation), path, depth)
        if origin is Literal:
            if type(data) is str and data in get_args(annotation):
                return data
            raise ModelError(
                f"{path}: expected one of {', '.join(map(repr, get_args(annotation)))}, found {data!r:.80}"
            )
        if attrs.has(annotation):
            return self._object(data, (annotation,), path, depth)
        if annotation is float and type(data) is int:
            return data
        if type(data) is not annotation:
            raise ModelError(f"{path}: expected {annotation.__name__}, found {type(data).__name__}")
        return data

    def _any_of(self, data: Any, options: tuple[Any, ...], path: str, depth: int) -> Any:
        classes = tuple(option for option in options if attrs.has(option))
        if type(data) is dict and classes:
            return self._object(data, classes, path, depth)
        if type(data) in options or (type(data) is int and float in options):
            return data
        for option in options:
            if get_origin(option) is tuple and isinstance(data, list | tuple):
                try:
                    return self._sequence(data, get_args(option), path, depth)
                except ModelError:
                    continue
        names = ", ".join(getattr(option, "__name__", str(option)) for option in options)
        raise ModelError(f"{path}: expected one of {names}, found {type(data).__name__}")

    def _sequence(self, data: Any, items: tuple[Any, ...], path: str, depth: int) -> tuple[Any, ...]:
        if type(data) is not list and type(data) is not tuple:
            raise ModelError(f"{path}: expected a list, found {type(data).__name__}")
        if len(items) == 2 and items[1] is Ellipsis:
            return tuple(self.read(item, items[0], f"{path}[{place}]", depth) for place, item in enumerate(data))
        if len(data) != len(items):
            raise ModelError(f"{path}: expected {len(items)} elements, found {len(data)}")
        pairs = zip(data, items, strict=True)
        return tuple(self.read(item, kind, f"{path}[{place}]", depth) for place, (item, kind) in enumerate(pairs))

    def _class(self, data: Any, classes: tuple[type, ...], path: str) -> type:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise ModelError(f"{path}: more than {NODES_MAX:,} values in one model")
        if type(data) is not dict:
            raise ModelError(f"{path}: expected a map, found {type(data).__name__}")
        name = data.get("is")
        cls = _classes.get(name) if type(name) is str else None
        if cls is None or cls not in classes:
            expected = " or ".join(option.__name__ for option in classes)
            raise ModelError(f"{path}.is: expected {expected}, found {name!r:.80}")
        return cls

    def _object(self, data: Any, classes: tuple[type, ...], path: str, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ModelError(f"{path}: nested more than {DEPTH_MAX} deep")
        cls = self._class(data, classes, path)
        return cls(**self._values(data, cls, _fields(cls), path, depth + 1))

    def _values(
        self, data: dict[str, Any], cls: type, fields: dict[str, tuple[Any, bool]], path: str, depth: int = 0
    ) -> dict[str, Any]:
        for key in data:
            if key != "is" and key not in fields:
                raise ModelError(f"{path}: {cls.__name__} has no field {key!r:.80}")
        for key, (_, needed) in fields.items():
            if needed and key not in data:
                raise ModelError(f"{path}: {cls.__name__} lacks its field {key!r}")
        return {
            key: self.read(data[key], annotation, f"{path}.{key}", depth)
            for key, (annotation, _) in fields.items()
            if key in data
        }

    def _expression(self, data: Any, path: str) -> Expression:
        if type(data) is not list and type(data) is not tuple:
            raise ModelError(f"{path}: expected a list of the parts of an expression, found {type(data).__name__}")
        waiting: list[tuple[Expression, int]] = []  # each with its depth
        for place, item in enumerate(data):
            where = f"{path}[{place}]"
            cls = self._class(item, tuple(_PARTS), where)
            values = self._values(item, cls, _PARTS[cls], where)
            takes, build = _assembly(cls, values)
            if not 0 <= takes <= len(waiting):
                raise ModelError(f"{where}: takes {takes} parts, and {len(waiting)} are before it")
            first = len(waiting) - takes
            depth = 1 + max((deep for _, deep in waiting[first:]), default=0)
            if depth > DEPTH_MAX:
                raise ModelError(f"{where}: an expression nested more than {DEPTH_MAX} deep")
            waiting[first:] = [(build(tuple(part for part, _ in waiting[first:])), depth)]
        if len(waiting) != 1:
            raise ModelError(f"{path}: expected one whole expression, found {len(waiting)}")
        return waiting[0][0]


# What stands in data in the place of the expressions that a part is made of: their number, or their names.
_PARTS: Final[dict[type, dict[str, tuple[Any, bool]]]] = {
    Constant: {"value": (ConstantValue, True)},
    Name: {"name": (str, True)},
    Meta: {"of": (str, True), "field": (MetaField, True)},
    Member: {"name": (str, True)},
    Apply: {"operator": (str, True), "operands": (int, True)},
    Call: {"function": (str, True), "arguments": (int, True)},
    Make: {"type": (str, True), "members": (tuple[str, ...], True)},
    Aggregate: {"function": (AggregateFunction, True), "group": (str, True), "parameter": (float | None, False)},
}


def _assembly(cls: type, values: dict[str, Any]) -> tuple[int, Callable[[tuple[Expression, ...]], Expression]]:
    """How many parts one takes, and how it is made of them."""
    if cls is Apply or cls is Call:
        name = "operands" if cls is Apply else "arguments"
        return values[name], lambda parts: cls(**(values | {name: parts}))
    if cls is Make:
        names = values["members"]
        return len(names), lambda parts: Make(values["type"], tuple(zip(names, parts, strict=True)))
    if cls is Member or cls is Aggregate:
        name = "of" if cls is Member else "item"
        return 1, lambda parts: cls(**values, **{name: parts[0]})
    return 0, lambda _: cls(**values)


def _attributes(cls: Any) -> tuple[attrs.Attribute[Any], ...]:
    found: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    return found


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    hints = get_type_hints(cls)
    return {field.name: (hints[field.name], field.default is attrs.NOTHING) for field in _attributes(cls)}


def from_data(data: Any, cls: type[_T]) -> _T:
    """The value of the model, of that class, that plain data stand for.  Raises ModelError, and nothing else."""
    read: Callable[..., Any] = _Reader().read
    value: _T = read(data, cls, cls.__name__, 0)
    return value


register(Aggregate, Apply, Call, Constant, Make, Member, Meta, Name)
