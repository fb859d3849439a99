"""What names mean: types, functions, constants, and the variables of a place in the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import attrs

from broker.rules.language.problems import Place, Problems, suggestion
from broker.rules.language.tree import Word
from broker.rules.model import Constant, EventType, Expression, Type
from broker.rules.model.types import PLAIN

__all__ = ["UNKNOWN", "Find", "Known", "Scope", "Signature", "Types", "Use", "Value", "Variable", "in_words"]

UNKNOWN: Final = ""
"""The type of what is wrong: that was told, and nothing more is told about it."""

Find: TypeAlias = Mapping[str, EventType] | Callable[[str], EventType | None]


@attrs.frozen
class Value:
    """A checked expression: its type, what it is in the model, and whether it is a whole group."""

    type: Type
    expression: Expression
    group: bool = False


NOTHING: Final = Value(UNKNOWN, Constant(None))


@attrs.frozen
class Variable:
    """An event that a name stands for: of a step, or a parameter."""

    type: Type
    group: bool = False
    absent: bool = False


@attrs.frozen
class Signature:
    """A predicate (``result`` is ``boolean``) or a function, as it is called."""

    name: str
    parameters: tuple[tuple[str, Variable], ...]
    result: Type

    @property
    def kind(self) -> str:
        """What messages call it."""
        return "predicate" if self.result == "boolean" else "function"


@attrs.frozen
class Known:
    """A name that was declared: what it is, and where."""

    kind: str
    at: Place


@attrs.define
class Use:
    """What an expression has used: variables one by one (``single``), members of groups one by one (``loose``),
    groups as a whole (``whole``), absent events (``absent``).  In the order of their first use.
    """

    single: dict[str, Place] = attrs.field(factory=dict)
    loose: dict[str, Place] = attrs.field(factory=dict)
    whole: dict[str, Place] = attrs.field(factory=dict)
    absent: dict[str, Place] = attrs.field(factory=dict)


@attrs.frozen
class Scope:
    """The variables of a place, and what the place is: that decides how groups and absent events may be used."""

    place: Literal["clause", "body", "result", "constant"]
    variables: Mapping[str, Variable] = attrs.field(factory=dict)


def in_words(kind: Type, *, group: bool = False) -> str:
    """A type as messages call it: "a number", "an event 'Cpu'"."""
    if group:
        return f"a group of '{kind}'"
    if kind in PLAIN:
        return "a value of any type" if kind == "any" else f"{'an' if kind == 'address' else 'a'} {kind}"
    return {"strings": "a list of texts", UNKNOWN: "something wrong"}.get(kind, f"an event '{kind}'")


class Types:
    """The event types that a program knows: those it declares, and those that ``find`` knows."""

    def __init__(self, find: Find | None) -> None:
        self._find = find
        self._found: dict[str, EventType | None] = {}
        self.declared: dict[str, EventType] = {}

    def outside(self, name: str) -> EventType | None:
        """The type of that name that the surrounding program has."""
        if name not in self._found:
            find = self._find
            self._found[name] = None if find is None else find(name) if callable(find) else find.get(name)
        return self._found[name]

    def get(self, name: str) -> EventType | None:
        """The type of that name; the program's own comes first."""
        return self.declared.get(name) or self.outside(name)

    def names(self) -> Iterable[str]:
        """The names that may have been meant."""
        outside: Iterable[str] = self._find if isinstance(self._find, Mapping) else ()
        return (*self.declared, *outside)

    def look_up(self, word: Word, problems: Problems) -> EventType | None:
        """The type that a word of the program names; an unknown one is told."""
        found = self.get(word.name)
        if found is None:
            problems.add(word.at, f"there is no event type '{word.name}'{suggestion(word.name, self.names())}")
        return found

    def lineage(self, name: Type) -> tuple[Type, ...]:
        """The type and what it extends, nearest first."""
        names: dict[Type, None] = {}
        while (found := self.get(name)) is not None and name not in names:
            names[name] = None
            if found.parent is None:
                break
            name = found.parent
        return tuple(names)

    def fits(self, kind: Type, wanted: Type) -> bool:
        """Whether a value of one type may stand where another is wanted."""
        return wanted in (kind, "any", *self.lineage(kind))

    def used(self) -> tuple[EventType, ...]:
        """Every type that was declared or asked for, parents before their children."""
        names = dict.fromkeys((*self.declared, *(name for name, found in self._found.items() if found)))
        ordered: dict[str, EventType] = {}
        for name in names:
            for ancestor in reversed(self.lineage(name)):
                found = self.get(ancestor)
                if found is not None:
                    ordered.setdefault(ancestor, found)
        return tuple(ordered.values())
