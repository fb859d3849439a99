"""What is computed from events: expressions, as a tree of frozen values.

Each kind tells what it stands for; what operators mean is told by :mod:`broker.rules.operations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, TypeAlias

import attrs

from broker.values import Timestamp

__all__ = [
    "Aggregate",
    "AggregateFunction",
    "Apply",
    "Call",
    "Constant",
    "ConstantValue",
    "Expression",
    "Make",
    "Member",
    "Meta",
    "MetaField",
    "Name",
    "children",
    "names_in",
    "walk",
]

ConstantValue: TypeAlias = (
    bool
    | int
    | float
    | str
    | bytes
    | timedelta
    | Timestamp
    | IPv4Address
    | IPv6Address
    | IPv4Network
    | IPv6Network
    | tuple[float, ...]
    | tuple[str, ...]
    | None
)
MetaField = Literal["time", "topic", "origin"]
AggregateFunction = Literal["count", "sum", "mean", "min", "max", "percentile", "distinct", "first", "last", "slope"]


@attrs.frozen
class Constant:
    """A value that stands in the rule itself."""

    value: ConstantValue


@attrs.frozen
class Name:
    """A variable: an event of the pattern, a group, or a function's parameter."""

    name: str


@attrs.frozen
class Member:
    """A member of an event: ``of`` is a Name as a rule, or what makes an event (Call, Make)."""

    of: Expression
    name: str


@attrs.frozen
class Meta:
    """What an event came with: its event time (a Timestamp), its topic, the name of its origin."""

    of: str  # a variable
    field: MetaField


@attrs.frozen
class Apply:
    """An operator of :data:`broker.rules.model.OPERATORS` on its operands."""

    operator: str
    operands: tuple[Expression, ...]


@attrs.frozen
class Call:
    """A predicate or function of the program, with its arguments (Names of groups for group parameters)."""

    function: str
    arguments: tuple[Expression, ...]


@attrs.frozen
class Make:
    """A new event of a type; ``members`` has each member once, in the type's order."""

    type: str
    members: tuple[tuple[str, Expression], ...]


@attrs.frozen
class Aggregate:
    """A figure of a group: ``item`` is computed for each of its events, with the group's name standing for one of them.

    ``parameter`` is the percentile's, 0 to 100.  Of an empty group: count, sum and distinct are 0, the others None,
    which makes every comparison false.
    """

    function: AggregateFunction
    group: str
    item: Expression
    parameter: float | None = None


Expression: TypeAlias = Constant | Name | Member | Meta | Apply | Call | Make | Aggregate


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that one is made of, in the order in which they are written."""
    match expression:
        case Member(of=of):
            return (of,)
        case Apply(operands=operands):
            return operands
        case Call(arguments=arguments):
            return arguments
        case Make(members=members):
            return tuple(value for _, value in members)
        case Aggregate(item=item):
            return (item,)
        case _:
            return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it, outermost first."""
    waiting = [expression]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(reversed(children(found)))


def names_in(expression: Expression) -> frozenset[str]:
    """The variables that an expression mentions, groups of its aggregates among them."""
    names = set()
    for part in walk(expression):
        match part:
            case Name(name=name) | Meta(of=name) | Aggregate(group=name):
                names.add(name)
            case _:
                pass
    return frozenset(names)
