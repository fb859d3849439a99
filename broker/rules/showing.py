"""Expressions and values as text, as the Event Language writes them.

What the language can say is shown so that it reads back as the same expression.  What only other spellings can say is
shown alike: operators that have no sign as calls, None as ``none``, bytes as Python writes them.
"""

from __future__ import annotations

import json
import math
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

__all__ = ["UNITS_NS", "show", "show_duration", "show_text", "show_value"]

UNITS_NS: Final = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""The units of durations in nanoseconds, the longest first."""

_ATOM: Final = 9
_LEVELS: Final = {"or": 1, "and": 2, "not": 3, "+": 5, "-": 5, "*": 6, "/": 6, "^": 8}
_COMPARISON: Final = 4
_NEGATIVE: Final = 7
_CALLS: Final = ("abs", "min", "max", "len", "lower")
_SHOWN_MAX: Final = 200
"""Characters of a value in an explanation."""


def show(expression: Expression) -> str:
    """An expression as the language writes it."""
    return _expression(expression)[0]


def show_value(value: object) -> str:
    """A value as the language writes it, cut if it is long."""
    text = (
        _constant(tuple(value) if isinstance(value, list) else value)[0]
        if isinstance(value, str | bytes | list | tuple | int | float | timedelta | None)
        else str(value)
    )
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


# -- expressions -------------------------------------------------------------------------------------------------------


def _expression(value: Expression) -> tuple[str, int]:
    """The text of an expression, and how tight it binds."""
    match value:
        case Constant(value=constant):
            return _constant(constant)
        case Name(name=name):
            return name, _ATOM
        case Member(of=of, name=name):
            return f"{_within(of, _ATOM)}.{name}", _ATOM
        case Meta(of=of, field=field):
            return f"{field}({of})", _ATOM
        case Call(function=function, arguments=arguments):
            return _call(function, arguments), _ATOM
        case Make(members=members):
            return f"{{ {', '.join(f'{name} = {show(part)}' for name, part in members)} }}", _ATOM
        case Aggregate(function=function, item=item, parameter=parameter):
            return f"{function}({show(item)}{'' if parameter is None else f', {parameter:g}'})", _ATOM
        case Apply():
            return _apply(value)


def _within(value: Expression, level: int) -> str:
    """The text of an operand, in parentheses if it binds less tight than it has to."""
    text, own = _expression(value)
    return text if own >= level else f"({text})"


def _call(name: str, arguments: tuple[Expression, ...]) -> str:
    return f"{name}({', '.join(show(argument) for argument in arguments)})"


def _apply(value: Apply) -> tuple[str, int]:
    operator = OPERATORS.get(value.operator)
    sign = operator.text if operator else value.operator
    operands = value.operands
    if sign == "[]":
        return f"[{', '.join(show(operand) for operand in operands)}]", _ATOM
    if sign == "not" and len(operands) == 1:
        return f"not {_within(operands[0], _ATOM)}", _LEVELS["not"]
    if sign == "-" and len(operands) == 1:
        return f"-{_within(operands[0], _NEGATIVE)}", _NEGATIVE
    if sign in ("and", "or") and len(operands) > 1:
        level = _LEVELS[sign]
        return f" {sign} ".join(_within(operand, level + 1) for operand in operands), level
    if operator is None or sign in _CALLS or len(operands) != 2:
        return _call(sign, operands), _ATOM
    left, right = operands
    if sign == "^":
        return f"{_within(left, _ATOM)}^{_within(right, _ATOM)}", _LEVELS["^"]
    level = _LEVELS.get(sign, _COMPARISON)
    # A chain leans to the left; comparisons form none.
    return f"{_within(left, level + (level == _COMPARISON))} {sign} {_within(right, level + 1)}", level


def _constant(value: Any) -> tuple[str, int]:
    match value:
        case bool():
            return ("true" if value else "false"), _ATOM
        case int() | float():
            return _number(value)
        case str():
            return show_text(value), _ATOM
        case timedelta():
            text = show_duration(abs(value) // timedelta(microseconds=1) * 1000)
            return (f"-{text}", _NEGATIVE) if value < timedelta() else (text, _ATOM)
        case tuple():
            return f"[{', '.join(_constant(item)[0] for item in value)}]", _ATOM
        case None:
            return "none", _ATOM
        case bytes():
            return repr(value), _ATOM
        case _:
            return show_text(str(value)), _ATOM


def _number(value: float) -> tuple[str, int]:
    if math.isnan(value):
        return "0 / 0", _LEVELS["/"]
    if math.isinf(value):
        return ("1 / 0" if value > 0 else "-1 / 0"), _LEVELS["/"]
    text = repr(value)
    return text, _NEGATIVE if text.startswith("-") else _ATOM


def show_text(value: str) -> str:
    """A text in quotes; what has no picture as its number."""
    escaped = []
    for character in value:
        if character in '"\\\n\t':
            escaped.append({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}[character])
        elif character.isprintable():
            escaped.append(character)
        else:
            escaped.append(json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}")
    return f'"{"".join(escaped)}"'


def show_duration(value_ns: int) -> str:
    """Nanoseconds as a duration."""
    parts = []
    for unit, size in UNITS_NS.items():
        count, value_ns = divmod(value_ns, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
