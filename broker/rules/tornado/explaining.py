"""Why a tree does what it does with an event: each node and rule, each clause with its values.

Every clause is looked at, also those that the matcher need not look at since others decided already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from broker.rules.model.trees import (
    AllOf,
    AnyOf,
    Compare,
    Condition,
    EventPath,
    Extraction,
    FilterNode,
    Fixed,
    IteratorNode,
    ListOf,
    MapOf,
    Matches,
    NoneOf,
    RulesetNode,
    Source,
    Template,
    TreeAction,
    TreeNode,
    TreeRule,
    Unknown,
    VariablePath,
)
from broker.rules.tornado.compiling import action, condition, extraction, source
from broker.rules.tornado.nodes import MATCHED, NOT, PARTLY, items_of
from broker.rules.tornado.values import MISSING

__all__ = ["VALUE_CHARS_MAX", "explain"]

VALUE_CHARS_MAX: Final = 80
"""Characters of a value that are shown."""

_PLAIN: Final = re.compile(r'[^\s."^\[\]{}]+')

Event = dict[str, Any]
Variables = dict[str, dict[str, Any]]
Lines = Iterator[str]


def explain(node: TreeNode, event: Event) -> Lines:
    """Lines of text, indented by two spaces for what belongs to the line above."""
    match node:
        case FilterNode():
            return _filter(node, event)
        case IteratorNode():
            return _iterator(node, event)
        case RulesetNode():
            return _ruleset(node, event)


def _indented(lines: Lines) -> Lines:
    return (f"  {line}" for line in lines)


# -- nodes -----------------------------------------------------------------------------------------------------------


def _filter(node: FilterNode, event: Event) -> Lines:
    if not node.active:
        yield f"filter {node.name}: Inactive"
        return
    holds = node.condition is None or condition(node.condition, node.name)(event, {})
    yield f"filter {node.name}: {MATCHED if holds else NOT}"
    if node.condition is not None:
        yield from _indented(_condition(node.condition, node.name, event, {}))
    if holds:
        for each in node.nodes:
            yield from _indented(explain(each, event))


def _iterator(node: IteratorNode, event: Event) -> Lines:
    target = source(node.target, node.name)(event, {})
    items = items_of(target, event)
    status = items if isinstance(items, str) else MATCHED
    yield f"iterator {node.name}: {status}: {shown(node.target)} is {_value(target)}"
    if not isinstance(items, str):
        for item in items:
            yield f"  iteration {_value(item['iterator']['iteration'])}"
            for each in node.nodes:
                yield from _indented(_indented(explain(each, item)))


def _ruleset(node: RulesetNode, event: Event) -> Lines:
    yield f"ruleset {node.name}"
    variables: Variables = {}
    stopped = ""
    for rule in node.rules:
        if stopped:
            yield f"  rule {rule.name}: not looked at, since {stopped} matched and does not continue"
            continue
        status, lines = _rule(rule, event, variables)
        yield f"  rule {rule.name}: {status}"
        yield from _indented(_indented(iter(lines)))
        if status == MATCHED and not rule.goes_on:
            stopped = rule.name


def _rule(rule: TreeRule, event: Event, variables: Variables) -> tuple[str, list[str]]:
    lines: list[str] = []
    if rule.condition is not None:
        lines += _condition(rule.condition, rule.name, event, variables)
        if not condition(rule.condition, rule.name)(event, variables):
            return NOT, lines
    taken: dict[str, Any] = {}
    for each in rule.extractions:
        taken[each.name] = extraction(each, rule.name)(event, variables)
        lines.append(_extraction(each, taken[each.name], rule.name, event, variables))
    if any(value is MISSING for value in taken.values()):
        return PARTLY, lines
    if taken:
        variables[rule.name] = taken
    for wanted in rule.actions:
        made = action(wanted, rule.name)(event, variables)
        if made is MISSING:
            return PARTLY, [*lines, *_lacking(wanted, rule.name, event, variables)]
        lines.append(f"action {wanted.id}: {_value(made['payload'])}")
    return MATCHED, lines


def _extraction(each: Extraction, value: Any, rule: str, event: Event, variables: Variables) -> str:
    given = source(each.source, rule)(event, variables)
    told = f"variable {each.name}: {shown(each.source)} is {_value(given)}"
    if value is not MISSING:
        return f"{told}, of which {each.regex!r} takes {_value(value)}"
    wanted = "a map" if each.take == "key" else "a text"
    if type(given) is not (dict if each.take == "key" else str):
        return f"{told}: expected {wanted}"
    return f"{told}, of which {each.regex!r} and what is done to it leave nothing"


def _lacking(wanted: TreeAction, rule: str, event: Event, variables: Variables) -> Lines:
    """What of an action could not be had."""
    for each in _leaves(wanted.payload):
        if source(each, rule)(event, variables) is not MISSING:
            continue
        if not isinstance(each, Template):
            yield f"action {wanted.id}: {shown(each)} is missing"
            continue
        for part in each.parts:
            value = "" if isinstance(part, str) else source(part, rule)(event, variables)
            if value is MISSING or type(value) in (list, tuple, dict):
                what = "missing" if value is MISSING else f"{_value(value)}, which cannot stand in a text"
                yield f"action {wanted.id}: {shown(each)}: {shown(part)} is {what}"


def _leaves(wanted: Source) -> Iterator[Source]:
    match wanted:
        case MapOf(members=members):
            for _, member in members:
                yield from _leaves(member)
        case ListOf(items=items):
            for item in items:
                yield from _leaves(item)
        case _:
            yield wanted


# -- conditions ------------------------------------------------------------------------------------------------------


def _condition(wanted: Condition, rule: str, event: Event, variables: Variables) -> Lines:
    holds = "true" if condition(wanted, rule)(event, variables) else "false"
    match wanted:
        case AllOf(conditions=conditions) | AnyOf(conditions=conditions):
            yield f"{'AND' if isinstance(wanted, AllOf) else 'OR'}: {holds}"
            for each in conditions:
                yield from _indented(_condition(each, rule, event, variables))
        case NoneOf(condition=inner):
            yield f"NOT: {holds}"
            yield from _indented(_condition(inner, rule, event, variables))
        case Compare(operator=operator, first=first, second=second):
            one, other = (_operand(each, rule, event, variables) for each in (first, second))
            yield f"{one} {operator} {other}: {holds}"
        case Matches(target=target, regex=text):
            yield f"{_operand(target, rule, event, variables)} regex {text!r}: {holds}"


def _operand(wanted: Source, rule: str, event: Event, variables: Variables) -> str:
    """A source with its value, unless it is one."""
    if isinstance(wanted, Fixed | ListOf | MapOf):
        return shown(wanted)
    return f"{shown(wanted)} ({_value(source(wanted, rule)(event, variables))})"


# -- texts -----------------------------------------------------------------------------------------------------------


def shown(wanted: Source | str) -> str:
    """A source as it is written."""
    match wanted:
        case str():
            return wanted
        case Fixed(value=value):
            return _value(value)
        case EventPath(keys=keys):
            return f"${{event{_keys(keys)}}}"
        case VariablePath(keys=keys):
            return f"${{_variables{_keys(keys)}}}"
        case Unknown(name=name):
            return f"${{{name}}}"
        case Template(parts=parts):
            return _short("".join(map(shown, parts)))
        case ListOf(items=items):
            return _short(f"[{', '.join(map(shown, items))}]")
        case MapOf(members=members):
            return _short("{" + ", ".join(f"{_value(name)}: {shown(member)}" for name, member in members) + "}")


def _keys(keys: tuple[str | int, ...]) -> str:
    return "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" if _PLAIN.fullmatch(key) else f'."{key}"' for key in keys
    )


def _value(value: Any) -> str:
    if value is MISSING:
        return "missing"
    return _short(json.dumps(value, ensure_ascii=False, default=repr))


def _short(text: str) -> str:
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[: VALUE_CHARS_MAX - 3]}..."
