"""The model as text of the language: rules, functions, and whole programs written out, which read back as the same."""

from __future__ import annotations

from collections.abc import Mapping

from broker.rules import showing
from broker.rules.language.formatting import format_text
from broker.rules.model import Call, Clause, EventType, Expression, Function, Name, Program, Rule, Step
from broker.rules.showing import show_duration, show_text

__all__ = ["show"]


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
            return showing.show(value)


# -- declarations ------------------------------------------------------------------------------------------------------


def _step(step: Step, *, window: bool = False) -> str:
    within = f" within {show_duration(step.within_ns)}" if step.within_ns is not None else ""
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
        parts.append("on " + ", ".join(map(show_text, rule.listens)))
    if rule.within_ns is not None:
        parts.append(f"within {show_duration(rule.within_ns)}")
    if rule.per:
        parts.append("per " + ", ".join(rule.per))
    if (window := rule.window) is not None:
        parts.append(f"last {show_duration(window.length_ns) if window.length_ns is not None else window.count}")
        if window.every_ns is not None:
            parts.append(f"every {show_duration(window.every_ns)}")
    if rule.select != "each":
        parts.append(rule.select)
    if rule.consume:
        parts.append("consume")
    if rule.limit is not None:
        parts.append(f"limit {rule.limit.count} per {show_duration(rule.limit.per_ns)}")
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
