"""The schema of an attrs class: its fields, their kinds, and how to make an instance from checked values."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from broker.errors import EventDefinitionError
from broker.schema.annotations import NotAKind, kind_of
from broker.schema.kinds import DoesNotFit, Kind, describe
from broker.schema.layout import init_name, is_plain, loose_class
from broker.schema.source import compile_load, compile_lower

__all__ = ["Field", "Schema", "UnknownName", "schema_of"]

_ATTRIBUTE = "__broker_schema__"


@attrs.frozen
class Field:
    """One field that travels: its name, the name of its argument, its kind, its default as attrs has it."""

    name: str
    argument: str
    kind: Kind
    default: Any
    by_keyword: bool


class Schema:
    """How instances of ``cls`` become arrays and back.

    An array shorter than the fields takes the defaults of the missing ones, one that is longer has its rest ignored:
    so a program from before a field was appended and one from after it understand each other.
    """

    def __init__(self, cls: type, fields: Sequence[Field]) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.fields = tuple(fields)
        self.init = init_name(cls)
        # A sibling class of the same layout that can be filled by plain assignment; None if there can be none.
        self.loose = loose_class(cls) if is_plain(cls) else None
        # What an array lacks that ends early, where that is but plain defaults of exact kinds.
        self._tails: dict[int, list[Any]] = {}
        tail: list[Any] = []
        for position, field in reversed(list(enumerate(fields))):
            if not field.kind.exact or field.default.__class__ not in (field.kind.classes or ()):
                break
            tail = self._tails[position] = [field.default, *tail]

    # Compiled when first wanted: most event classes are in no other, and their runs have functions of their own.

    @cached_property
    def lower(self) -> Callable[[Any], list[Any]]:
        """From an instance of exactly ``cls`` to the values of the data model for its fields.  Raises DoesNotFit."""
        return compile_lower(self)

    @cached_property
    def load(self) -> Callable[[Sequence[Any]], Any]:
        """From the list or tuple of its fields' values to a checked instance.  Raises DoesNotFit."""
        return compile_load(self)

    def explain_lower(self, instance: Any) -> list[Any]:
        """What ``lower`` does, field by field, so that the complaint names the field."""
        lowered = []
        for field in self.fields:
            try:
                lowered.append(field.kind.lower(getattr(instance, field.name)))
            except DoesNotFit as error:
                raise error.inside("." + field.name) from None
        return lowered

    def fitted(self, values: list[Any]) -> list[Any]:
        """The values of an array of another length, cut or filled up with plain defaults, if that will do."""
        return values[: len(self.fields)] + self._tails.get(len(values), [])

    def refuse(self, instance: Any, path: str = "") -> None:
        """Raise NotCarried, with the path, if the value of a field cannot be carried though it fits."""
        for field in self.fields:
            field.kind.refuse(getattr(instance, field.name), f"{path}.{field.name}")

    def explain_load(self, values: Sequence[Any]) -> Any:
        """What ``load`` does, for arrays of any length, with complaints that name the field."""
        arguments = {}
        for position, field in enumerate(self.fields):
            if position < len(values):
                try:
                    arguments[field.argument] = field.kind.load(values[position])
                except DoesNotFit as error:
                    raise error.inside("." + field.name) from None
            elif field.default is attrs.NOTHING:
                raise DoesNotFit(field.kind.text, "nothing (the array ends before it)", "." + field.name)
        return self._construct(arguments)

    def _construct(self, arguments: Mapping[str, Any]) -> Any:
        """An instance made as its class makes it, with converters, validators and post-init."""
        cls: Any = self.cls
        instance = cls.__new__(cls)
        try:
            getattr(instance, self.init)(**arguments)
        except Exception as error:
            raise self._refusal(instance, error) from error
        return instance

    def _refusal(self, instance: Any, error: Exception) -> DoesNotFit:
        """Whose validator it was: attrs assigns all fields first and then calls the validators in order."""
        for attribute in attrs.fields(self.cls):
            if attribute.validator is None:
                continue
            try:
                value = getattr(instance, attribute.name)
                attribute.validator(instance, attribute, value)
            except AttributeError:
                break
            except Exception:  # noqa: BLE001 - a validator may raise anything
                reason = f"a value its validator accepts ({error.args[0] if error.args else type(error).__name__})"
                return DoesNotFit(reason[:200], describe(value), "." + attribute.name)
        return DoesNotFit("values its class accepts", f"{type(error).__name__}: {error}"[:200])


def schema_of(cls: type, names: Mapping[str, Any] | None = None) -> Schema:
    """The schema of an attrs class, made once.

    ``names`` are further names its annotations may use.  Raises EventDefinitionError for a field that cannot be
    carried, and for an annotation that names something which does not exist (yet).
    """
    schema: Schema | None = cls.__dict__.get(_ATTRIBUTE)
    if schema is None:
        schema = Schema(cls, _fields(cls, names or {}))
        setattr(cls, _ATTRIBUTE, schema)
    return schema


def _fields(cls: type, names: Mapping[str, Any]) -> list[Field]:
    try:
        hints = typing.get_type_hints(cls, localns={**names, cls.__name__: cls}, include_extras=True)
    except NameError as error:
        raise UnknownName(
            f"{cls.__qualname__}: {error} in its annotations; define or import it at module level before the class "
            f"is first used"
        ) from error
    fields = []
    for attribute in attrs.fields(cls):
        if not attribute.init:
            continue  # Computed by the class itself, there as here.
        annotation = hints.get(attribute.name, attribute.type)
        if annotation is None and attribute.name not in hints:
            raise EventDefinitionError(f"{cls.__qualname__}.{attribute.name} has no annotation: say what it holds")
        try:
            kind = kind_of(annotation)
        except NotAKind as error:
            raise EventDefinitionError(f"{cls.__qualname__}.{attribute.name}: {error}") from None
        argument = attribute.alias or attribute.name
        fields.append(Field(attribute.name, argument, kind, attribute.default, attribute.kw_only))
    return fields


class UnknownName(EventDefinitionError):
    """An annotation names something that does not exist yet."""
