"""Expressions as text, as the Event Language writes them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from broker.rules.model import (
    OPERATORS,
    Aggregate,
    Apply,
    Call,
    Constant,
    Expression,
    Make,
    Member,
    Meta,
    Name,
)

__all__ = ["show", "show_value"]

# How tightly an operator binds, as in the language's grammar.
_BINDING: Final = {"or": 1, "and": 2, "not": 3, "==": 4, "!=": 4, ">": 4, "<": 4, ">=": 4, "<=": 4, "in": 4}
_BINDING_FURTHER: Final = {"contains": 4, "matches": 4, "+": 5, "-": 5, "*": 6, "/": 6, "^": 8}
_LEVELS: Final = _BINDING | _BINDING_FURTHER
_NEGATION: Final = 7
_UNITS: Final = (
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
)
_SHOWN_MAX: Final = 200
"""Characters of a value in an explanation."""


def _duration(value: timedelta) -> str:
    left = abs(value) // timedelta(microseconds=1)
    text = ""
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        text += f"{number}{unit}" if number else ""
    return ("-" if value < timedelta(0) else "") + (text or "0s")


def _constant(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case int() | float():
            return repr(value)
        case timedelta():
            return _duration(value)
        case tuple() | list():
            return f"[{', '.join(map(_constant, value))}]"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bytes():
            return repr(value)
    return f'"{value}"'


def show_value(value: object) -> str:
    """A value as the language writes it, cut if it is long."""
    text = (
        _constant(value)
        if isinstance(value, str | bytes | list | tuple | int | float | timedelta | None)
        else str(value)
    )
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def show(expression: Expression) -> str:
    """An expression as the language writes it."""
    return _shown(expression)[0]


def _shown(expression: Expression) -> tuple[str, int]:
    """The text, and how tightly its outermost operator binds."""
    match expression:
        case Constant(value=value):
            text = _constant(value)
            return text, _NEGATION if text.startswith("-") else 9
        case Name(name=name):
            return name, 9
        case Member(of=of, name=name):
            return f"{_within(of, 9)}.{name}", 9
        case Meta(of=of, field=field):
            return f"{field}({of})", 9
        case Call(function=function, arguments=arguments):
            return _called(function, arguments), 9
        case Make(members=members):
            inside = ", ".join(f"{name} = {show(value)}" for name, value in members)
            return f"{{ {inside} }}" if inside else "{ }", 9
        case Aggregate(function=function, item=item, parameter=parameter):
            return f"{function}({show(item)}{'' if parameter is None else f', {_constant(parameter)}'})", 9
        case Apply(operator=operator, operands=operands):
            return _applied(operator, operands)


def _within(expression: Expression, level: int) -> str:
    text, binding = _shown(expression)
    return text if binding >= level else f"({text})"


def _called(name: str, arguments: tuple[Expression, ...]) -> str:
    return f"{name}({', '.join(map(show, arguments))})"


def _applied(operator: str, operands: tuple[Expression, ...]) -> tuple[str, int]:
    known = OPERATORS.get(operator)
    sign = known.text if known is not None else operator
    if sign == "[]":
        return f"[{', '.join(map(show, operands))}]", 9
    if sign == "not" and len(operands) == 1:
        return f"not {_within(operands[0], 3)}", 3
    if sign == "-" and len(operands) == 1:
        return f"-{_within(operands[0], _NEGATION)}", _NEGATION
    if sign not in _LEVELS or not operands:
        return _called(sign, operands), 9
    level = _LEVELS[sign]
    # Comparisons and powers are not chained; the others are read from the left.
    left = level + 1 if level in (4, 8) else level
    texts = [_within(operands[0], left), *(_within(operand, level + 1) for operand in operands[1:])]
    return f" {sign} ".join(texts) if sign != "^" else "^".join(texts), level
