"""Kinds for attrs objects inside events, which travel as the arrays of their fields.

They find the schema of their class when a value is first seen: a class may hold itself, or a class defined further
down.
"""

# ruff: noqa: D102 - what the verbs mean is told once, in Kind

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.schema.kinds import DoesNotFit, Kind, describe

if TYPE_CHECKING:
    from broker.schema.schemas import Schema

__all__ = ["RecordOf", "TaggedRecordOf"]


class RecordOf(Kind):
    """Objects of one attrs class: the list of their fields, a tuple inside a set or a key."""

    identical = False
    wire = frozenset((list, tuple))

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.text = cls.__name__
        self.classes = frozenset((cls,))
        self._found: Schema | None = None

    @property
    def _schema(self) -> Schema:
        if self._found is None:
            from broker.schema.schemas import schema_of  # A schema is made of kinds: here the circle closes.

            self._found = schema_of(self.cls)
        return self._found

    def lower(self, value: Any) -> Any:
        if value.__class__ is not self.cls:
            raise self.misfit(value)
        return self._schema.lower(value)

    def load(self, value: Any) -> Any:
        if value.__class__ is not list and value.__class__ is not tuple:
            raise self.misfit(value)
        return self._schema.load(value)

    def refuse(self, value: Any, path: str) -> None:
        self._schema.refuse(value, path)


class TaggedRecordOf(RecordOf):
    """The same in a union with other attrs classes: ``[class name, fields]``."""

    def lower(self, value: Any) -> Any:
        return [self.text, super().lower(value)]

    def load(self, value: Any) -> Any:
        if (value.__class__ is not list and value.__class__ is not tuple) or len(value) != 2:
            raise self.misfit(value)
        if value[0].__class__ is not str or value[0] != self.text:
            raise DoesNotFit(self.text, describe(value[0]))
        return super().load(value[1])
