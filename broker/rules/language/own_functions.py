"""The language's own functions.  A program's declarations of the same names come before them."""

from __future__ import annotations

from typing import Any, Final

from broker.errors import BadRegex
from broker.rules.language import tree
from broker.rules.language.operators import Misfit
from broker.rules.language.scope import UNKNOWN, Value, in_words
from broker.rules.model import OPERATORS, Aggregate, Apply, Constant, Meta, Type
from broker.rules.model.types import PLAIN as TYPES

__all__ = ["AGGREGATES", "META", "NAMES", "PLAIN", "aggregate", "meta", "plain", "regex_problem"]

AGGREGATES: Final = {
    "count": "count(events)",
    "sum": "sum(events.member)",
    "mean": "mean(events.member)",
    "min": "min(events.member)",
    "max": "max(events.member)",
    "percentile": "percentile(events.member, 95)",
    "distinct": "distinct(events.member)",
    "first": "first(events.member)",
    "last": "last(events.member)",
    "slope": "slope(events.member)",
}
"""Figures of a group, each with its shape."""

META: Final[dict[str, Type]] = {"time": "timestamp", "topic": "string", "origin": "string"}
"""What an event came with."""

PLAIN: Final[dict[str, dict[Type, str]]] = {
    "len": {"vector": "vec.len", "string": "str.len"},
    "abs": {"number": "num.abs", "duration": "dur.abs"},
    "lower": {"string": "str.lower"},
    "min": {"number": "num.min"},
    "max": {"number": "num.max"},
}
"""Functions of values: for each type of argument the operator of the model."""

NAMES: Final = (*dict.fromkeys((*AGGREGATES, *META, *PLAIN)),)

_OF_NUMBERS: Final = ("sum", "mean", "min", "max", "percentile", "slope")


def plain(name: str, arguments: list[Value]) -> Value:
    """A call of a function of values.  Raises Misfit."""
    kinds = PLAIN[name]
    several = name in ("min", "max")
    wanted = " or ".join(in_words(kind) for kind in kinds)
    if several and len(arguments) < 2:
        raise Misfit(f"{name}() takes two numbers or more, or a member of a group")
    if not several and len(arguments) != 1:
        raise Misfit(f"{name}() takes {wanted}, and {len(arguments)} arguments are given")
    if any(argument.type == UNKNOWN for argument in arguments):
        return Value(next(iter({OPERATORS[operator].result for operator in kinds.values()})), Constant(None))
    for argument in arguments:
        if argument.type not in kinds:
            raise Misfit(f"{name}() takes {'numbers' if several else wanted}, found {in_words(argument.type)}")
    operator = OPERATORS[kinds[arguments[0].type]]
    return Value(operator.result, Apply(operator.name, tuple(argument.expression for argument in arguments)))


def meta(name: str, variable: str) -> Value:
    """``time(e)``, ``topic(e)`` or ``origin(e)``."""
    field: Any = name
    return Value(META[name], Meta(variable, field))


def aggregate(name: str, group: str, item: Value, parameter: tree.Expression | None) -> Value:
    """A figure of a group.  Raises Misfit."""
    function: Any = name
    percent = _percent(parameter) if parameter is not None else None
    if item.type == UNKNOWN:
        return Value("number" if name in ("count", "distinct", *_OF_NUMBERS) else UNKNOWN, Constant(None))
    is_event = item.type not in TYPES
    if name == "count" and not is_event:
        raise Misfit(f"count() takes a group by its name: count({group})")
    if name in _OF_NUMBERS and item.type != "number":
        raise Misfit(f"{name}() takes numbers, found {in_words(item.type)}")
    if name == "distinct" and is_event:
        raise Misfit(f"distinct() takes a member, such as distinct({group}.member)")
    kind = item.type if name in ("first", "last") else "number"
    return Value(kind, Aggregate(function, group, item.expression, percent))


def _percent(node: tree.Expression) -> float:
    if not isinstance(node, tree.Number) or not 0 <= node.value <= 100:
        raise Misfit("percentile() takes a number from 0 to 100 behind its member, such as percentile(d.used, 95)")
    return float(node.value)


def regex_problem(value: Value) -> str:
    """Why a value is no regular expression that ``matches`` can take; empty if it is one."""
    from broker.rules import regex  # Its engine comes with an extra, which programs without 'matches' do not need.

    if value.type != "string":
        return ""  # The operator itself says so.
    if not isinstance(value.expression, Constant):
        return "'matches' takes a regular expression that is a constant: it is compiled once"
    try:
        regex.compile(str(value.expression.value))
    except BadRegex as error:
        return str(error)
    return ""
