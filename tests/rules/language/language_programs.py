"""Programs that the tests of the language begin with, and what reads a problem out of them."""

from __future__ import annotations

import pytest

from broker.errors import RuleError, RuleProblem
from broker.rules.language import Find, load, parse
from broker.rules.model import Apply, Expression, Program, walk

__all__ = ["DECLARED", "SLIDES", "loaded", "operators", "problems", "said", "syntax_problems"]

SLIDES = """\
event TimedEvent { time };
event PositionEvent extends TimedEvent { position };
event VelocityEvent { velocity };
VelocityEvent calculateVelocity(PositionEvent a, PositionEvent b) := \
{ velocity = (b.time - a.time)^(-1) * (b.position - a.position) };
predicate positionCheck(PositionEvent a, PositionEvent b) := b.position > a.position;
predicate timeCheck(PositionEvent a, PositionEvent b) := b.time > a.time;
VelocityRule: [PositionEvent, PositionEvent : positionCheck, timeCheck] -> calculateVelocity;
"""

DECLARED = """\
event Timed { t };
event Position extends Timed { p };
event Disk { host: string, used: number, ok: boolean, ip: address, at: timestamp, long: duration, what: any, \
v: vector };
event Alarm { host: string };
Alarm alarm(Disk d) := { host = d.host };
Alarm alarms(Disk+ d) := { host = last(d.host) };
Alarm pair(Disk a, Disk b) := { host = b.host };
Alarm made() := { host = "x" };
predicate big(Disk d) := d.used > 1;
predicate many(Disk+ d) := count(d) > 1;
"""
_LINES = DECLARED.count("\n")


def loaded(text: str) -> Program:
    """The model of a program that uses what is declared."""
    return load(DECLARED + text)


def said(text: str) -> Expression:
    """What a predicate of one event ``d`` of type Disk becomes."""
    functions = {function.name: function for function in loaded(f"predicate it(Disk d) := {text};").functions}
    return functions["it"].body


def operators(expression: Expression) -> set[str]:
    """The operators of the model that an expression uses."""
    return {part.operator for part in walk(expression) if isinstance(part, Apply)}


def problems(text: str, find: Find | None = None) -> list[tuple[int, int, str]]:
    """Line, column and text of what is wrong, in a program that uses what is declared; its lines begin with 1."""
    with pytest.raises(RuleError) as caught:
        load(DECLARED + text, "it.ev", find)
    return [(problem.line - _LINES, problem.column, problem.what) for problem in caught.value.problems]


def syntax_problems(text: str) -> list[RuleProblem]:
    """What is wrong with the grammar of a program."""
    with pytest.raises(RuleError) as caught:
        parse(text, "it.ev")
    return list(caught.value.problems)
