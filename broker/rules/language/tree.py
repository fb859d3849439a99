"""The syntax tree: what a program says, as frozen values that know their places.

Two trees are equal if they say the same; places, and how a number is written, do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from broker.rules.language.problems import Place

__all__ = [
    "Assignment",
    "Binary",
    "Call",
    "Consume",
    "Declaration",
    "Duration",
    "EventDecl",
    "Every",
    "Expression",
    "FunctionDecl",
    "Given",
    "Last",
    "Limit",
    "Literal",
    "Logical",
    "MemberDecl",
    "MemberOf",
    "Modifier",
    "Name",
    "Negative",
    "Not",
    "Number",
    "On",
    "Parameter",
    "Per",
    "PredicateDecl",
    "Result",
    "RuleDecl",
    "Select",
    "Step",
    "Text",
    "Unit",
    "Vector",
    "Within",
    "Word",
    "parts",
    "walk",
]


def _apart(_: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """Places are not compared and not shown."""
    return [field.evolve(eq=False, repr=False) if field.name.endswith("at") else field for field in fields]


# -- expressions -------------------------------------------------------------------------------------------------------


@attrs.frozen(field_transformer=_apart)
class Number:
    """``1.5``; whole numbers are int."""

    value: int | float
    at: Place


@attrs.frozen(field_transformer=_apart)
class Text:
    """``"a text"``, without its escapes."""

    value: str
    at: Place


@attrs.frozen(field_transformer=_apart)
class Duration:
    """``1h30m``, in nanoseconds."""

    value_ns: int
    at: Place


@attrs.frozen(field_transformer=_apart)
class Name:
    """A name alone: a parameter, a constant, an instance, a predicate in a rule, ``true`` or ``false``."""

    name: str
    at: Place


@attrs.frozen(field_transformer=_apart)
class MemberOf:
    """``event.member``."""

    variable: str
    member: str
    at: Place
    member_at: Place


@attrs.frozen(field_transformer=_apart)
class Vector:
    """``[1, 2]``: a vector, or to the right of ``in`` a list of texts."""

    items: tuple[Expression, ...]
    at: Place


@attrs.frozen(field_transformer=_apart)
class Given:
    """``member = value`` of a literal."""

    member: str
    value: Expression
    at: Place


@attrs.frozen(field_transformer=_apart)
class Literal:
    """``{ member = value, ... }``: a new event."""

    members: tuple[Given, ...]
    at: Place


@attrs.frozen(field_transformer=_apart)
class Call:
    """``name(argument, ...)``: a predicate, a function, or one of the language's own functions."""

    name: str
    arguments: tuple[Expression, ...]
    at: Place


@attrs.frozen(field_transformer=_apart)
class Negative:
    """``-operand``."""

    operand: Expression
    at: Place


@attrs.frozen(field_transformer=_apart)
class Not:
    """``not operand``."""

    operand: Expression
    at: Place


@attrs.frozen(field_transformer=_apart)
class Binary:
    """``left operator right``; ``operator_at`` is where the operator stands."""

    operator: str
    left: Expression
    right: Expression
    at: Place
    operator_at: Place


@attrs.frozen(field_transformer=_apart)
class Logical:
    """Two or more operands joined by the same word, ``and`` or ``or``."""

    operator: str
    operands: tuple[Expression, ...]
    at: Place


Expression: TypeAlias = (
    Number | Text | Duration | Name | MemberOf | Vector | Literal | Call | Negative | Not | Binary | Logical
)


def parts(node: Expression) -> tuple[Expression, ...]:
    """The expressions that one is made of, in the order of the text."""
    match node:
        case Vector(items=found) | Call(arguments=found) | Logical(operands=found):
            return found
        case Literal(members=members):
            return tuple(given.value for given in members)
        case Negative(operand=operand) | Not(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case _:
            return ()


def walk(node: Expression) -> Iterator[Expression]:
    """The expression and everything in it, outermost first."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(reversed(parts(found)))


# -- declarations ------------------------------------------------------------------------------------------------------


@attrs.frozen(field_transformer=_apart)
class Word:
    """A name somewhere in a declaration."""

    name: str
    at: Place


@attrs.frozen(field_transformer=_apart)
class MemberDecl:
    """A member of an event, with its type or None, and its value or None (of an instance)."""

    name: str
    type: Word | None
    value: Expression | None
    at: Place


@attrs.frozen(field_transformer=_apart)
class EventDecl:
    """``event Name extends Parent { members } instance``."""

    name: Word
    parent: Word | None
    members: tuple[MemberDecl, ...]
    instance: Word | None
    at: Place


@attrs.frozen(field_transformer=_apart)
class Parameter:
    """``Type name``, or ``Type+ name``: a group."""

    type: Word
    group: bool
    name: Word


@attrs.frozen(field_transformer=_apart)
class PredicateDecl:
    """``predicate name(parameters) := body``."""

    name: Word
    parameters: tuple[Parameter, ...]
    body: Expression
    at: Place


@attrs.frozen(field_transformer=_apart)
class FunctionDecl:
    """``Type name(parameters) := body``."""

    makes: Word
    name: Word
    parameters: tuple[Parameter, ...]
    body: Expression
    at: Place


@attrs.frozen(field_transformer=_apart)
class Assignment:
    """``name = value``."""

    name: Word
    value: Expression
    at: Place


@attrs.frozen(field_transformer=_apart)
class Step:
    """``!Type+ name within duration``."""

    type: Word
    absent: bool
    group: bool
    name: Word | None
    within: Duration | None
    at: Place


@attrs.frozen(field_transformer=_apart)
class On:
    """``on "topic/", ...``."""

    topics: tuple[Text, ...]
    at: Place


@attrs.frozen(field_transformer=_apart)
class Within:
    """``within duration``."""

    duration: Duration
    at: Place


@attrs.frozen(field_transformer=_apart)
class Per:
    """``per member, ...``."""

    members: tuple[Word, ...]
    at: Place


@attrs.frozen(field_transformer=_apart)
class Last:
    """``last 100`` or ``last 5m``: a window."""

    size: Number | Duration
    at: Place


@attrs.frozen(field_transformer=_apart)
class Every:
    """``every duration``."""

    duration: Duration
    at: Place


@attrs.frozen(field_transformer=_apart)
class Select:
    """``each``, ``first`` or ``last``."""

    word: str
    at: Place


@attrs.frozen(field_transformer=_apart)
class Consume:
    """``consume``."""

    at: Place


@attrs.frozen(field_transformer=_apart)
class Limit:
    """``limit count per duration``."""

    count: Number
    duration: Duration
    at: Place


Modifier: TypeAlias = On | Within | Per | Last | Every | Select | Consume | Limit


@attrs.frozen(field_transformer=_apart)
class Result:
    """``function(arguments) to topic do actions``; arguments is None where only the function's name stands."""

    function: Word
    arguments: tuple[Expression, ...] | None
    topic: Expression | None
    actions: tuple[Word, ...]


@attrs.frozen(field_transformer=_apart)
class RuleDecl:
    """``Name: [steps : clauses] modifiers -> result``."""

    name: Word
    steps: tuple[Step, ...]
    clauses: tuple[Expression, ...]
    modifiers: tuple[Modifier, ...]
    result: Result
    at: Place


Declaration: TypeAlias = EventDecl | PredicateDecl | FunctionDecl | Assignment | RuleDecl


@attrs.frozen(field_transformer=_apart)
class Unit:
    """A program: its declarations in the order of the text."""

    declarations: tuple[Declaration, ...]
    file: str = attrs.field(default="", eq=False)
    text: str = attrs.field(default="", eq=False, repr=False)
