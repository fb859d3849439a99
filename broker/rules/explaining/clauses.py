"""Explanations: each clause of a rule, the values in it, and why it does not hold.

disk.used > 0.9 and disk.host contains "web": false
    disk.used = 0.95
    disk.used > 0.9 = true
    disk.host = "db-01"
    disk.host contains "web" = false
because disk.host contains "web" is false
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.compiling import EventClasses, Misfit
from broker.rules.interpreter import CALLS_MAX, Bindings, EvaluationFailed, Many, One, Seen, trace
from broker.rules.language.showing import show
from broker.rules.model import Apply, Call, Clause, Constant, Expression, Member, Program, Rule, Where, names_in, walk
from broker.rules.model.substitution import substituted, uses

__all__ = ["VALUE_SHOWN_MAX", "ClauseExplained", "Explanation", "Part", "explain", "explain_events", "explain_where"]

VALUE_SHOWN_MAX: Final = 200
"""Characters of a value in an explanation."""

_UNKNOWN: Final = object()


def _shown_value(value: Any) -> str:
    """A value as the language writes it, cut if it is long."""
    if isinstance(value, list):
        value = tuple(value)
    plain = isinstance(value, str | bytes | bool | int | float | timedelta | tuple)
    text = "missing" if value is None else show(Constant(value)) if plain else str(value)
    return text if len(text) <= VALUE_SHOWN_MAX else f"{text[: VALUE_SHOWN_MAX - 3]}..."


@attrs.frozen
class Part:
    """A part of a clause, as the Event Language writes it, and its value."""

    text: str
    value: Any

    def __str__(self) -> str:
        return f"{self.text} = {_shown_value(self.value)}"


@attrs.frozen
class ClauseExplained:
    """One clause: whether it holds, the values in it, and what made it false.

    ``holds`` is None if it was not asked because events that it mentions are not there.  ``name`` is the predicate's,
    or empty.  ``why`` is empty for one that holds.
    """

    text: str
    name: str
    holds: bool | None
    parts: tuple[Part, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        said = {True: "true", False: "false", None: "not asked"}[self.holds]
        lines = [f"{self.text}: {said}", *(f"    {part}" for part in self.parts)]
        return "\n".join([*lines, f"because {self.why}"] if self.why else lines)


@attrs.frozen
class Explanation:
    """A rule or a predicate, asked about events: its clauses one by one.  As a text it is to be read."""

    rule: str
    clauses: tuple[ClauseExplained, ...]

    @property
    def holds(self) -> bool:
        """All clauses were asked, and hold."""
        return all(clause.holds for clause in self.clauses)

    def __str__(self) -> str:
        said = "holds" if self.holds else "does not hold"
        lines = [f"{self.rule}: {said}" if self.rule else said]
        for clause in self.clauses:
            lines += [f"  {line}" for line in str(clause).split("\n")]
        return "\n".join(lines)


def explain(program: Program, rule: Rule, events: Mapping[str, Seen | Sequence[Seen]]) -> Explanation:
    """The clauses of a rule for these events, by the names of its steps: one for each, a sequence for groups.

    Clauses that mention a step of which there is no event are not asked.  A clause that is asked of each event of a
    group (not of its aggregates) holds if it does for all, and shows the first one for which it does not.
    """
    bindings = {name: _bound(found) for name, found in events.items()}
    return Explanation(rule.name, tuple(_clause(program, clause, bindings) for clause in rule.clauses))


def explain_events(program: Program, rule: Rule, events: Sequence[Any], classes: EventClasses) -> Explanation:
    """The clauses of a rule for events (or the messages that they came in), each taken for a step that it fits.

    They are taken in their order: a single step is one event, a group all that the single steps behind it leave, an
    absent step what is left over.  Raises RuleError for an event that no step is about, and for one that does not fit
    its type.
    """
    waiting = [_accepted(rule, event, classes) for event in events]
    found: dict[str, One | Many] = {}
    ordered = [step for step in rule.steps if not step.absent]
    for place, step in enumerate(ordered):
        fitting = [each for each in waiting if classes.type_of(each.event) in classes.subtypes(step.type)]
        if step.group:
            later = sum(not each.group and step.type in classes.subtypes(each.type) for each in ordered[place + 1 :])
            fitting = fitting[: max(len(fitting) - later, 1)]
            if fitting:
                found[step.name] = Many([each.seen or Message("", each.event, 0, "") for each in fitting])
        else:
            fitting = fitting[:1]
            if fitting:
                found[step.name] = fitting[0]
        waiting = [each for each in waiting if all(each is not taken for taken in fitting)]
    for step in rule.steps:
        for each in waiting:
            if step.absent and classes.type_of(each.event) in classes.subtypes(step.type):
                found.setdefault(step.name, each)
    return Explanation(rule.name, tuple(_clause(program, clause, found) for clause in rule.clauses))


def _accepted(rule: Rule, given: Any, classes: EventClasses) -> One:
    seen = given if isinstance(given, Message) else None
    event = classes.accept(given if seen is None else seen.event)
    if isinstance(event, Misfit):
        raise RuleError.at(rule.name, str(event))
    kind = classes.type_of(event)
    if all(kind not in classes.subtypes(step.type) for step in rule.steps):
        kinds = ", ".join(dict.fromkeys(step.type for step in rule.steps))
        named = kind or getattr(event, "name", type(event).__name__)
        raise RuleError.at(rule.name, f"it is about {kinds}, not about {named!s:.80}")
    return One(event, None if seen is None else Message(seen.topic, event, seen.time_ns, seen.origin))


def _bound(found: Seen | Sequence[Seen]) -> One | Many:
    return Many(found) if isinstance(found, Sequence) else One(found.event, found)


def explain_where(where: Where, event: object) -> Explanation:
    """A predicate for an event: the operands of its outermost ``and`` are the clauses."""
    parts: tuple[Expression, ...] = (where.expression,)
    if isinstance(where.expression, Apply) and where.expression.operator == "bool.and":
        parts = where.expression.operands
    bindings = {"event": One(event)}
    return Explanation(where.type.name, tuple(_clause(Program(), Clause(part), bindings) for part in parts))


def _clause(program: Program, clause: Clause, bindings: Bindings) -> ClauseExplained:
    text = show(clause.expression)
    missing = sorted(name for name in names_in(clause.expression) if name not in bindings)
    if missing:
        return ClauseExplained(text, clause.name, None, why=f"there is no event for {', '.join(missing)}")
    expression = _opened(program, clause.expression)
    explained = None
    for each in _one_by_one(program, expression, bindings):
        value, parts = trace(program, expression, each)
        values = {id(part): found for part, found in parts}
        why = "" if value is True else _why(expression, value, values)
        explained = ClauseExplained(text, clause.name, value is True, _parts(parts, expression), why)
        if not explained.holds:
            break
    return explained or ClauseExplained(text, clause.name, None, why="the group has no events")


def _opened(program: Program, expression: Expression) -> Expression:
    """What a predicate that is the whole clause asks, in the rule's own variables."""
    functions = {function.name: function for function in program.functions}
    opened = 0
    while isinstance(expression, Call) and expression.function in functions and opened < CALLS_MAX:
        function = functions[expression.function]
        values = zip((parameter.name for parameter in function.parameters), expression.arguments, strict=True)
        expression = substituted(function.body, dict(values))
        opened += 1
    return expression


def _one_by_one(program: Program, expression: Expression, bindings: Bindings) -> list[Bindings]:
    """The bindings, with each event of groups whose events are asked for one by one."""
    _, single = uses(expression, {function.name: function for function in program.functions})
    found: list[Bindings] = [bindings]
    for name in sorted(single):
        group = bindings[name]
        if isinstance(group, Many):
            found = [{**each, name: One(entry.event, entry)} for each in found for entry in group.entries]
    return found


def _parts(parts: Iterable[tuple[Expression, Any]], whole: Expression) -> tuple[Part, ...]:
    """Each part once, without the clause itself."""
    found = {show(part): value for part, value in parts if part is not whole}
    return tuple(Part(text, value) for text, value in found.items())


def _why(expression: Expression, value: object, values: Mapping[int, Any]) -> str:
    """What made a clause false: the innermost comparisons that did."""
    if isinstance(value, EvaluationFailed):
        return str(value)
    match expression:
        case Apply(operator="bool.and", operands=operands):
            # The first one that does not hold is the last one that was asked.
            failed = next((each for each in operands if values.get(id(each)) is not True), expression)
            return _why(failed, values.get(id(failed)), values)
        case Apply(operator="bool.or", operands=operands):
            return " and ".join(_why(each, values.get(id(each)), values) for each in operands)
        case Apply(operator="bool.not", operands=(operand,)):
            return f"{show(operand)} is true"
    missing = [part for part in walk(expression) if isinstance(part, Member) and values.get(id(part), _UNKNOWN) is None]
    if missing:
        return f"{show(missing[0])} is missing"
    return f"{show(expression)} is false"
