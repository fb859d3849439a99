"""The table of operators: each by a name that says its operands' types, so that run time decides nothing.

What they mean is in :mod:`broker.rules.operations`; Tornado's have a table of their own (``broker/rules/tornado``).
"""

from __future__ import annotations

from typing import Final

import attrs

from broker.rules.model.types import (
    ADDRESS,
    ANY,
    BOOLEAN,
    DURATION,
    NETWORK,
    NUMBER,
    STRING,
    STRINGS,
    TIMESTAMP,
    VECTOR,
    Type,
)

__all__ = ["OPERATORS", "Operator"]


@attrs.frozen
class Operator:
    """An operator: its name in the model, how the Event Language writes it, its operands' types, its result's."""

    name: str
    text: str
    operands: tuple[Type, ...]
    result: Type
    variadic: bool = False  # the last operand's type may come any number of times, also none


def _table() -> dict[str, Operator]:
    found: list[Operator] = []

    def add(name: str, text: str, operands: str, result: str, *, variadic: bool = False) -> None:
        found.append(Operator(name, text, tuple(operands.split()), result, variadic))

    equal = {"eq": "==", "ne": "!="}
    ordered = equal | {"lt": "<", "gt": ">", "le": "<=", "ge": ">="}
    prefixes = {"num": NUMBER, "vec": VECTOR, "str": STRING, "addr": ADDRESS, "ts": TIMESTAMP, "dur": DURATION}
    for prefix, kind in prefixes.items():
        for name, text in ordered.items():
            add(f"{prefix}.{name}", text, f"{kind} {kind}", BOOLEAN)
    for prefix, kind in {"bool": BOOLEAN, "any": ANY}.items():
        for name, text in equal.items():
            add(f"{prefix}.{name}", text, f"{kind} {kind}", BOOLEAN)
    for name, text in {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^"}.items():
        add(f"num.{name}", text, "number number", NUMBER)
    add("num.neg", "-", "number", NUMBER)
    add("num.abs", "abs", "number", NUMBER)
    add("num.min", "min", "number number", NUMBER, variadic=True)
    add("num.max", "max", "number number", NUMBER, variadic=True)
    add("vec.of", "[]", "number", VECTOR, variadic=True)
    add("vec.add", "+", "vector vector", VECTOR)
    add("vec.sub", "-", "vector vector", VECTOR)
    add("vec.neg", "-", "vector", VECTOR)
    add("vec.scale", "*", "number vector", VECTOR)  # number * vector and vector * number, the number first
    add("vec.pow", "^", "vector number", NUMBER)
    add("vec.len", "len", "vector", NUMBER)
    add("vec.contains", "contains", "vector number", BOOLEAN)
    add("num.in", "in", "number vector", BOOLEAN)
    add("bool.and", "and", "boolean boolean", BOOLEAN, variadic=True)
    add("bool.or", "or", "boolean boolean", BOOLEAN, variadic=True)
    add("bool.not", "not", "boolean", BOOLEAN)
    add("str.concat", "+", "string string", STRING)
    add("str.contains", "contains", "string string", BOOLEAN)
    add("str.in", "in", f"string {STRINGS}", BOOLEAN)
    add("str.matches", "matches", "string string", BOOLEAN)  # the second is a Constant: a regular expression
    add("str.len", "len", "string", NUMBER)
    add("str.lower", "lower", "string", STRING)
    add("addr.in", "in", f"address {NETWORK}", BOOLEAN)
    add("ts.sub", "-", "timestamp timestamp", DURATION)
    add("ts.plus", "+", "timestamp duration", TIMESTAMP)
    add("ts.minus", "-", "timestamp duration", TIMESTAMP)
    add("dur.add", "+", "duration duration", DURATION)
    add("dur.sub", "-", "duration duration", DURATION)
    add("dur.neg", "-", "duration", DURATION)
    add("dur.abs", "abs", "duration", DURATION)
    add("dur.scale", "*", "number duration", DURATION)
    add("dur.shrink", "/", "duration number", DURATION)
    add("dur.ratio", "/", "duration duration", NUMBER)
    add("any.contains", "contains", "any any", BOOLEAN)
    return {operator.name: operator for operator in found}


OPERATORS: Final = _table()
"""By name."""
