"""Typed log records (the columns of a class)."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Column", "columns_of", "compatible"]


class Column(Struct, frozen=True, array_like=True):
    """A column."""

    name: str
    type: str
    description: str = ""
    unit: str = ""


def columns_of(cls: type) -> tuple[Column, ...]:
    """Return them."""
    import attrs

    return tuple(Column(attribute.name, "any") for attribute in attrs.fields(cls))


def compatible(old: tuple[Column, ...], new: tuple[Column, ...]) -> str:
    """Return why not."""
    for one, other in zip(old, new, strict=False):
        if (one.name, one.type) != (other.name, other.type):
            return f"column {one.name!r} ({one.type}) is {other.name!r} ({other.type})"
    return ""
