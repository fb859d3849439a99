"""The model as text of the language: what errors and explanations show, and a program written out.

What the language can say is shown so that it reads back as the same model.  What only other spellings can say is shown
alike: operators that have no sign as calls, constants that have none (bytes, None) as Python writes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from broker.rules.language.formatting import format_text
from broker.rules.language.tokens import UNITS_NS
from broker.rules.model import (
    OPERATORS,
    Aggregate,
    Apply,
    Call,
    Clause,
    Constant,
    EventType,
    Expression,
    Function,
    Make,
    Member,
    Meta,
    Name,
    Program,
    Rule,
    Step,
)

__all__ = ["show"]

_ATOM: Final = 9
_LEVELS: Final = {"or": 1, "and": 2, "not": 3, "+": 5, "-": 5, "*": 6, "/": 6, "^": 8}
_COMPARISON: Final = 4
_NEGATIVE: Final = 7
_CALLS: Final = ("abs", "min", "max", "len", "lower")


def show(value: Expression | Clause | Step | Function | Rule | Program) -> str:
    """An expression, a clause, a step, a function, a rule or a whole program as text; a program in its layout."""
    match value:
        case Program():
            return _program(value)
        case Rule():
            return _rule(value)
        case Function():
            return _function(value)
        case Step():
            return _step(value)
        case Clause():
            return show(value.expression)
        case _:
            return _expression(value)[0]


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
            return _text(value), _ATOM
        case timedelta():
            text = _duration(abs(value) // timedelta(microseconds=1) * 1000)
            return (f"-{text}", _NEGATIVE) if value < timedelta() else (text, _ATOM)
        case tuple():
            return f"[{', '.join(_constant(item)[0] for item in value)}]", _ATOM
        case None | bytes():
            return repr(value), _ATOM
        case _:
            return _text(str(value)), _ATOM


def _number(value: float) -> tuple[str, int]:
    if math.isnan(value):
        return "0 / 0", _LEVELS["/"]
    if math.isinf(value):
        return ("1 / 0" if value > 0 else "-1 / 0"), _LEVELS["/"]
    text = repr(value)
    return text, _NEGATIVE if text.startswith("-") else _ATOM


def _text(value: str) -> str:
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


def _duration(value_ns: int) -> str:
    parts = []
    for unit, size in UNITS_NS.items():
        count, value_ns = divmod(value_ns, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


# -- declarations ------------------------------------------------------------------------------------------------------


def _step(step: Step, *, window: bool = False) -> str:
    within = f" within {_duration(step.within_ns)}" if step.within_ns is not None else ""
    return f"{'!' * step.absent}{step.type}{'+' * (step.group and not window)} {step.name}{within}"


def _applied(value: Expression | None, names: tuple[Expression, ...]) -> str:
    """A call, by its name alone if it is given all the events that come, in their order."""
    if value is None:
        return "nothing"
    if isinstance(value, Call) and value.arguments == names:
        return value.function
    return show(value)


def _rule(rule: Rule) -> str:
    names = tuple(Name(step.name) for step in rule.steps if not step.absent)
    steps = ", ".join(_step(step, window=rule.window is not None) for step in rule.steps)
    clauses = ", ".join(_applied(clause.expression, names) for clause in rule.clauses)
    pattern = f"[{steps} : {clauses}]" if clauses else f"[{steps}]"
    topic = f"to {show(rule.topic)}" if rule.topic is not None else ""
    actions = f"do {', '.join(rule.actions)}" if rule.actions else ""
    parts = (f"{rule.name}:", pattern, *_modifiers(rule), "->", _applied(rule.make, names), topic, actions)
    return " ".join(part for part in parts if part)


def _modifiers(rule: Rule) -> list[str]:
    parts = []
    if rule.listens:
        parts.append("on " + ", ".join(map(_text, rule.listens)))
    if rule.within_ns is not None:
        parts.append(f"within {_duration(rule.within_ns)}")
    if rule.per:
        parts.append("per " + ", ".join(rule.per))
    if (window := rule.window) is not None:
        parts.append(f"last {_duration(window.length_ns) if window.length_ns is not None else window.count}")
        if window.every_ns is not None:
            parts.append(f"every {_duration(window.every_ns)}")
    if rule.select != "each":
        parts.append(rule.select)
    if rule.consume:
        parts.append("consume")
    if rule.limit is not None:
        parts.append(f"limit {rule.limit.count} per {_duration(rule.limit.per_ns)}")
    return parts


def _function(function: Function) -> str:
    parameters = ", ".join(f"{part.type}{'+' * part.group} {part.name}" for part in function.parameters)
    kind = "predicate" if function.result == "boolean" else function.result
    return f"{kind} {function.name}({parameters}) := {show(function.body)}"


def _event(event: EventType, types: Mapping[str, EventType]) -> str:
    parent = types.get(event.parent) if event.parent else None
    inherited = {member.name for member in parent.members} if parent else set()
    members = ", ".join(
        member.name if member.type == "vector" else f"{member.name}: {member.type}"
        for member in event.members
        if member.name not in inherited
    )
    return f"event {event.name}{f' extends {parent.name}' if parent else ''} {{ {members} }}"


def _program(program: Program) -> str:
    types = {event.name: event for event in program.types}
    declarations = [_event(event, types) for event in program.types if not event.known]
    declarations += [_function(function) for function in program.functions]
    declarations += [_rule(rule) for rule in program.rules]
    return format_text("".join(f"{declaration};\n" for declaration in declarations))
