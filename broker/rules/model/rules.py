"""Functions, patterns, windows, rules, and the programs that are made of them.  Durations are in nanoseconds."""

from __future__ import annotations

from typing import Literal

import attrs

from broker.rules.model.expressions import Expression
from broker.rules.model.types import EventType, Type

__all__ = [
    "Clause",
    "Function",
    "Limit",
    "Parameter",
    "Program",
    "Rule",
    "Select",
    "Step",
    "Where",
    "Window",
]

Select = Literal["each", "first", "last"]


@attrs.frozen
class Parameter:
    """A parameter: an event of a type, or a group of them."""

    name: str
    type: Type
    group: bool = False


@attrs.frozen
class Function:
    """A predicate (``result`` is ``boolean``) or a function that makes an event (``result`` is its type)."""

    name: str
    parameters: tuple[Parameter, ...]
    result: Type
    body: Expression


@attrs.frozen
class Step:
    """One step of a pattern: ``name`` is its variable, unique in the rule."""

    name: str
    type: Type
    group: bool = False
    absent: bool = False
    within_ns: int | None = None  # of a trailing absent step: since the event before it


@attrs.frozen
class Clause:
    """What has to hold; ``name`` is how explanations call it (a predicate's name, or "" for an expression)."""

    expression: Expression
    name: str = ""


@attrs.frozen
class Window:
    """What a rule of one step looks at: its last so many events, or those of the last so many nanoseconds."""

    count: int | None = None
    length_ns: int | None = None
    every_ns: int | None = None


@attrs.frozen
class Limit:
    """At most ``count`` reports in any ``per_ns`` of event time."""

    count: int
    per_ns: int


@attrs.frozen
class Rule:
    """A rule: when its pattern occurs and its clauses hold, ``make`` is made, published and given to its actions.

    ``make`` is None for a rule that only calls actions; ``topic`` is an expression of type string, or None: the made
    event is then seen by other rules but not published.  ``listens`` are topic prefixes, () for every topic.
    """

    name: str
    steps: tuple[Step, ...]
    clauses: tuple[Clause, ...] = ()
    make: Expression | None = None
    per: tuple[str, ...] = ()
    within_ns: int | None = None
    window: Window | None = None
    select: Select = "each"
    consume: bool = False
    limit: Limit | None = None
    listens: tuple[str, ...] = ()
    topic: Expression | None = None
    actions: tuple[str, ...] = ()
    active: bool = True


@attrs.frozen
class Program:
    """Rules with what they are made of; names are unique among types, among functions, among rules.

    ``types`` has every event type that is mentioned, ancestors included.
    """

    types: tuple[EventType, ...] = ()
    functions: tuple[Function, ...] = ()
    rules: tuple[Rule, ...] = ()


@attrs.frozen
class Where:
    """A predicate over single events of one type, whose variable in ``expression`` is always ``event``."""

    type: EventType
    expression: Expression
