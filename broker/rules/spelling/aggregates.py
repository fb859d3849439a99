"""Aggregates: figures of a group, and functions of numbers."""

# ruff: noqa: A001 - they are called as in the Event Language, and used as rules.sum(...)

from __future__ import annotations

from typing import Any

from broker.rules.model import Aggregate, Apply, Name, walk
from broker.rules.spelling.terms import Operand, Term, as_term, shown_term, term_of
from broker.rules.spelling.terms import length as len_
from broker.rules.spelling.variables import EventVariable, variable_of

__all__ = [
    "count",
    "distinct",
    "first",
    "last",
    "len_",
    "max",
    "mean",
    "min",
    "percentile",
    "slope",
    "sum",
]


def _aggregate(function: Any, item: Term, parameter: float | None = None, *, numbers: bool = True) -> Term:
    groups = [variable for variable in item.variables.values() if variable.group]
    if len(item.variables) != 1 or not groups:
        raise TypeError(f"{function}({shown_term(item)}): an aggregate is of the members of one group_of(...)")
    if any(isinstance(part, Aggregate) for part in walk(item.expression)):
        raise TypeError(f"{function}({shown_term(item)}): an aggregate inside an aggregate")
    if numbers and item.type != "number":
        raise TypeError(f"{function}({shown_term(item)}): there is no {function} of a {item.type}, only of a number")
    kind = "number" if numbers or function in ("count", "distinct") else item.type
    return term_of(Aggregate(function, groups[0].key, item.expression, parameter), kind, item.variables)


def count(group: EventVariable[Any]) -> Term:
    """How many events a group has."""
    variable = variable_of(group)
    if not variable.group:
        raise TypeError(f"count({variable.name}): it is one event; group_of({variable.type.name}) is a group")
    return term_of(Aggregate("count", variable.key, Name(variable.key)), "number", {variable.key: variable})


def sum(item: Term) -> Term:
    """The sum over a group."""
    return _aggregate("sum", item)


def mean(item: Term) -> Term:
    """The mean over a group."""
    return _aggregate("mean", item)


def percentile(item: Term, percent: float) -> Term:
    """A percentile (0 to 100) over a group, between the two closest ranks in proportion."""
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile is from 0 to 100, not {percent}")
    return _aggregate("percentile", item, percent)


def slope(item: Term) -> Term:
    """The trend over a group, per second of event time, by least squares."""
    return _aggregate("slope", item)


def distinct(item: Term) -> Term:
    """How many different values there are in a group."""
    return _aggregate("distinct", item, numbers=False)


def first(item: Term) -> Term:
    """The value of the group's first event."""
    return _aggregate("first", item, numbers=False)


def last(item: Term) -> Term:
    """The value of the group's last event."""
    return _aggregate("last", item, numbers=False)


def _extreme(function: str, items: tuple[Operand, ...]) -> Term:
    terms = [as_term(item) for item in items]
    if len(terms) == 1 and any(variable.group for variable in terms[0].variables.values()):
        return _aggregate(function, terms[0])
    for term in terms:
        if term.type != "number":
            raise TypeError(f"{function}({shown_term(term)}): there is no {function} of a {term.type}, only of numbers")
    variables = {key: variable for term in terms for key, variable in term.variables.items()}
    return term_of(Apply(f"num.{function}", tuple(term.expression for term in terms)), "number", variables)


def min(item: Operand, *items: Operand) -> Term:
    """The smallest of numbers, or the smallest over a group."""
    return _extreme("min", (item, *items))


def max(item: Operand, *items: Operand) -> Term:
    """The largest of numbers, or the largest over a group."""
    return _extreme("max", (item, *items))
