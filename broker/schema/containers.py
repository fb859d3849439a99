"""Kinds for list, tuple, set, frozenset and dict.

Elements of exact kinds are checked by the set of their classes, without a call for each; a container of an identical
kind is returned as it is, not copied.
"""

# ruff: noqa: D102 - what the verbs mean is told once, in Kind

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from broker.schema.kinds import DoesNotFit, Kind, describe, quote

__all__ = ["DictOf", "ListOf", "SetOf", "TupleOf", "VariadicTupleOf"]


def _each(method: str, item: Kind, values: Iterable[Any]) -> list[Any]:
    """Every element through ``item.lower`` or ``item.load``; a complaint says which element."""
    convert = getattr(item, method)
    converted: list[Any] = []
    value: Any = None
    try:
        for value in values:
            converted.append(convert(value))
    except DoesNotFit as error:
        raise error.inside(_step(values, len(converted), value)) from None
    return converted


def _step(container: Iterable[Any], position: int, element: object) -> str:
    """The step of a path to an element; the members of a set have no position."""
    return "{" + quote(element) + "}" if isinstance(container, set | frozenset) else f"[{position}]"


def _all_exact(item: Kind, values: Iterable[Any]) -> bool:
    """Whether the item's kind is exact and every element has a class of it: then nothing needs converting."""
    return item.exact and item.classes is not None and item.classes.issuperset(map(type, values))


def _hashable(value: Any) -> Any:
    """A lowered attrs object as it must be inside a set or a key: tuples where there were lists."""
    return tuple(map(_hashable, value)) if value.__class__ is list else value


class _Homogeneous(Kind):
    """A container whose elements are all of one kind."""

    def __init__(self, text: str, cls: type, item: Kind) -> None:
        self.text = text
        self.item = item
        self.identical = item.identical
        self._cls: Any = cls
        self.classes = self.wire = frozenset((cls,))

    def _convert(self, method: str, value: Any) -> Any:
        if value.__class__ is not self._cls:
            raise self.misfit(value)
        if _all_exact(self.item, value):
            return value
        converted = _each(method, self.item, value)
        return value if self.identical else self._cls(converted)

    def refuse(self, value: Any, path: str) -> None:
        if not self.identical:
            for position, element in enumerate(value):
                self.item.refuse(element, path + _step(value, position, element))
        super().refuse(value, path)

    def lower(self, value: Any) -> Any:
        return self._convert("lower", value)

    def load(self, value: Any) -> Any:
        return self._convert("load", value)


class ListOf(_Homogeneous):
    """``list[item]``."""

    def __init__(self, item: Kind) -> None:
        super().__init__(f"list[{item.text}]", list, item)


class VariadicTupleOf(_Homogeneous):
    """``tuple[item, ...]``."""

    def __init__(self, item: Kind) -> None:
        super().__init__(f"tuple[{item.text}, ...]", tuple, item)


class SetOf(_Homogeneous):
    """``set[item]`` and ``frozenset[item]``."""

    def __init__(self, cls: type, item: Kind) -> None:
        super().__init__(f"{cls.__name__}[{item.text}]", cls, item)

    def lower(self, value: Any) -> Any:
        if self.identical or value.__class__ is not self._cls:
            return super().lower(value)
        return self._cls(map(_hashable, _each("lower", self.item, value)))


class TupleOf(Kind):
    """``tuple[int, str]``: as many elements as kinds."""

    def __init__(self, items: Iterable[Kind]) -> None:
        self.items = tuple(items)
        self.identical = all(item.identical for item in self.items)
        self.text = f"tuple[{', '.join(item.text for item in self.items) or '()'}]"
        self.classes = self.wire = frozenset((tuple,))

    def _convert(self, method: str, value: Any) -> Any:
        if value.__class__ is not tuple:
            raise self.misfit(value)
        if len(value) != len(self.items):
            raise DoesNotFit(self.text, f"tuple of {len(value)}")
        converted = []
        for position, (item, element) in enumerate(zip(self.items, value, strict=True)):
            try:
                converted.append(getattr(item, method)(element))
            except DoesNotFit as error:
                raise error.inside(f"[{position}]") from None
        return value if self.identical else tuple(converted)

    def refuse(self, value: Any, path: str) -> None:
        if not self.identical:
            for position, (item, element) in enumerate(zip(self.items, value, strict=True)):
                item.refuse(element, f"{path}[{position}]")
        super().refuse(value, path)

    def lower(self, value: Any) -> Any:
        return self._convert("lower", value)

    def load(self, value: Any) -> Any:
        return self._convert("load", value)


class DictOf(Kind):
    """``dict[key, value]``."""

    def __init__(self, key: Kind, value: Kind) -> None:
        self.key = key
        self.value = value
        self.identical = key.identical and value.identical
        self.text = f"dict[{key.text}, {value.text}]"
        self.classes = self.wire = frozenset((dict,))

    def refuse(self, value: Any, path: str) -> None:
        if not self.identical:
            for key, element in value.items():
                self.value.refuse(element, f"{path}[{quote(key)}]")
        super().refuse(value, path)

    def _convert(self, method: str, value: Any, of_key: Callable[[Any], Any]) -> Any:
        if value.__class__ is not dict:
            raise self.misfit(value)
        if _all_exact(self.key, value) and _all_exact(self.value, value.values()):
            return value
        convert_key, convert_value = getattr(self.key, method), getattr(self.value, method)
        converted = {}
        for key, element in value.items():
            try:
                converted_key = of_key(convert_key(key))
            except DoesNotFit as error:
                raise error.inside(f" key {describe(key)}") from None
            try:
                converted[converted_key] = convert_value(element)
            except DoesNotFit as error:
                raise error.inside(f"[{quote(key)}]") from None
        return value if self.identical else converted

    def lower(self, value: Any) -> Any:
        return self._convert("lower", value, _hashable)

    def load(self, value: Any) -> Any:
        return self._convert("load", value, lambda key: key)
