"""What constants and instances are worth: what a program calculates before any event comes."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Final

from broker.rules.interpreter import EvaluationFailed, evaluate
from broker.rules.language.scope import UNKNOWN, Value
from broker.rules.model import Constant, Expression, Function, Make, Program

__all__ = ["evaluated", "plain"]

_TYPE: Final = "its type"
"""Where an instance keeps its type: no member is named so."""


def evaluated(value: Value, functions: Iterable[Function]) -> Value:
    """A constant's value, calculated: a Constant of the model, or for an instance a Make of Constants.

    Raises EvaluationFailed.
    """
    if value.type == UNKNOWN or isinstance(value.expression, Constant):
        return value
    found = evaluate(Program(functions=tuple(functions)), value.expression, {}, _instance)
    if found is None:
        raise EvaluationFailed("what is calculated is out of range")
    return Value(value.type, _made(found))


def _instance(name: str, members: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**members, **{_TYPE: name})


def _made(found: Any) -> Expression:
    if not isinstance(found, SimpleNamespace):
        return Constant(tuple(found) if isinstance(found, list) else found)
    members = dict(vars(found))
    return Make(members.pop(_TYPE), tuple((name, _made(value)) for name, value in members.items()))


def plain(expression: Expression) -> Any:
    """The value that stands in a calculated constant: a map of its members for an instance."""
    if isinstance(expression, Make):
        return {name: plain(value) for name, value in expression.members}
    assert isinstance(expression, Constant)
    return expression.value
