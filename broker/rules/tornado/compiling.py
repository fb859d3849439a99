"""A tree compiled: each source, condition, extraction and rule a function, made once when the tree is loaded.

A source is called with the event and the variables of the ruleset so far, and gives a value or MISSING; a condition
gives a bool.  Nothing of the configuration is looked at for an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from broker.errors import BadRegex, RuleError
from broker.rules import regex
from broker.rules.model.trees import (
    AllOf,
    AnyOf,
    Compare,
    Condition,
    EventPath,
    Extraction,
    Fixed,
    ListOf,
    MapOf,
    Matches,
    NoneOf,
    Source,
    Template,
    TreeAction,
    Unknown,
    VariablePath,
)
from broker.rules.tornado.modifiers import modify
from broker.rules.tornado.values import COMPARISONS, MISSING, number_text

__all__ = ["Give", "Holds", "Take", "action", "condition", "extraction", "source"]

Event = Any
Variables = dict[str, dict[str, Any]]
Give = Callable[[Event, Variables], Any]
Holds = Callable[[Event, Variables], bool]
Take = Callable[[Event, Variables], Any]

_NONE: Final = "null"


# -- sources ---------------------------------------------------------------------------------------------------------


def source(wanted: Source, rule: str) -> Give:
    """The function that gives a source's value; ``rule`` is whose variables need no name before them."""
    match wanted:
        case Fixed(value=value):
            return lambda _event, _variables: value
        case EventPath(keys=keys):
            return _path(keys)
        case VariablePath(keys=keys):
            return _variable(keys, rule)
        case Template(parts=parts):
            return _template(tuple(part if isinstance(part, str) else source(part, rule) for part in parts))
        case ListOf(items=items):
            return _list(tuple(source(item, rule) for item in items))
        case MapOf(members=members):
            return _map(tuple((name, source(member, rule)) for name, member in members))
        case Unknown():
            return lambda _event, _variables: MISSING


def _path(keys: tuple[str | int, ...]) -> Give:
    if not keys:
        return lambda event, _variables: event
    if len(keys) <= 3 and all(type(key) is str for key in keys):
        return _names(*map(str, keys))
    return lambda event, _variables: _at(event, keys)


def _names(first: str, second: str | None = None, third: str | None = None) -> Give:
    """The most frequent paths: up to three keys of maps."""

    def one(event: Event, _variables: Variables) -> Any:
        return event.get(first, MISSING)

    def two(event: Event, _variables: Variables) -> Any:
        inner = event.get(first)
        return inner.get(second, MISSING) if type(inner) is dict else MISSING

    def three(event: Event, _variables: Variables) -> Any:
        inner = event.get(first)
        if type(inner) is dict:
            inner = inner.get(second)
            if type(inner) is dict:
                return inner.get(third, MISSING)
        return MISSING

    return one if second is None else two if third is None else three


def _at(value: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        if type(key) is str:
            value = value.get(key, MISSING) if type(value) is dict else MISSING
        elif type(value) in (list, tuple) and 0 <= key < len(value):  # type: ignore[operator]
            value = value[key]
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def _variable(keys: tuple[str | int, ...], rule: str) -> Give:
    def given(_event: Event, variables: Variables) -> Any:
        found = _at(variables.get(rule, MISSING), keys)
        return _at(variables, keys) if found is MISSING else found

    return given


def _template(parts: tuple[str | Give, ...]) -> Give:
    def given(event: Event, variables: Variables) -> Any:
        made = []
        for part in parts:
            if type(part) is str:
                made.append(part)
                continue
            text = _text(part(event, variables))  # type: ignore[operator]
            if text is None:
                return MISSING
            made.append(text)
        return "".join(made)

    return given


def _text(value: Any) -> str | None:
    """A value as it stands in a text; None for lists, maps, and what is not there."""
    kind = type(value)
    if kind is str:
        text: str = value
        return text
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return number_text(value)
    return _NONE if value is None else None


def _list(items: tuple[Give, ...]) -> Give:
    def given(event: Event, variables: Variables) -> Any:
        made = [item(event, variables) for item in items]
        return MISSING if any(value is MISSING for value in made) else made

    return given


def _map(members: tuple[tuple[str, Give], ...]) -> Give:
    def given(event: Event, variables: Variables) -> Any:
        made = {}
        for name, member in members:
            value = member(event, variables)
            if value is MISSING:
                return MISSING
            made[name] = value
        return made

    return given


# -- conditions ------------------------------------------------------------------------------------------------------


def condition(wanted: Condition, rule: str) -> Holds:
    """The function that tells whether a condition holds.  Raises RuleError for a bad regular expression."""
    match wanted:
        case Compare():
            return _compare(wanted, rule)
        case Matches(target=target, regex=text):
            return _matches(source(target, rule), _pattern(text))
        case AllOf(conditions=conditions):
            return _all_of(tuple(condition(each, rule) for each in conditions))
        case AnyOf(conditions=conditions):
            return _any_of(tuple(condition(each, rule) for each in conditions))
        case NoneOf(condition=inner):
            holds = condition(inner, rule)
            return lambda event, variables: not holds(event, variables)


def _compare(wanted: Compare, rule: str) -> Holds:
    first, second = source(wanted.first, rule), source(wanted.second, rule)
    if wanted.operator == "equals":
        for given, other in ((first, wanted.second), (second, wanted.first)):
            if isinstance(other, Fixed) and type(other.value) is str:
                return _is_text(given, other.value)
    test = COMPARISONS[wanted.operator]

    def holds(event: Event, variables: Variables) -> bool:
        try:
            return bool(test(first(event, variables), second(event, variables)))
        except RecursionError:  # a value that is nested deeper than anybody can look into it
            return False

    return holds


def _is_text(given: Give, text: str) -> Holds:
    def holds(event: Event, variables: Variables) -> bool:
        value = given(event, variables)
        return type(value) is str and value == text

    return holds


def _matches(given: Give, pattern: regex.Pattern) -> Holds:
    search = pattern.search

    def holds(event: Event, variables: Variables) -> bool:
        value = given(event, variables)
        return type(value) is str and search(value)

    return holds


def _all_of(conditions: tuple[Holds, ...]) -> Holds:
    if len(conditions) == 1:
        return conditions[0]
    if len(conditions) == 2:
        one, two = conditions
        return lambda event, variables: one(event, variables) and two(event, variables)

    def holds(event: Event, variables: Variables) -> bool:
        for each in conditions:  # noqa: SIM110 - all() takes twice as long
            if not each(event, variables):
                return False
        return True

    return holds


def _any_of(conditions: tuple[Holds, ...]) -> Holds:
    if len(conditions) == 1:
        return conditions[0]

    def holds(event: Event, variables: Variables) -> bool:
        for each in conditions:  # noqa: SIM110
            if each(event, variables):
                return True
        return False

    return holds


def _pattern(text: str) -> regex.Pattern:
    try:
        return regex.compile(text)
    except BadRegex as error:
        raise RuleError.at("regex", str(error)) from None


# -- extractions and actions -----------------------------------------------------------------------------------------


def extraction(wanted: Extraction, rule: str) -> Take:
    """The function that takes a variable out of an event, or gives MISSING.  Raises RuleError."""
    given, pattern = source(wanted.source, rule), _pattern(wanted.regex)
    take = _key_taker(given, pattern) if wanted.take == "key" else _taker(wanted, given, pattern)
    if not wanted.modifiers:
        return take
    try:
        steps = tuple(modify(modifier, lambda text: source(text, rule)) for modifier in wanted.modifiers)
    except BadRegex as error:
        raise RuleError.at("find", str(error)) from None
    except LookupError as error:
        raise RuleError.at("timezone", str(error)) from None

    def taken(event: Event, variables: Variables) -> Any:
        value = take(event, variables)
        for step in steps:
            if value is MISSING:
                return MISSING
            value = step(value, event, variables)
        return value

    return taken


def _taker(wanted: Extraction, given: Give, pattern: regex.Pattern) -> Take:
    pick = _picker(wanted, pattern)

    def one(event: Event, variables: Variables) -> Any:
        text = given(event, variables)
        found = pattern.captures(text) if type(text) is str else None
        return MISSING if found is None else pick(found)

    def every(event: Event, variables: Variables) -> Any:
        text = given(event, variables)
        if type(text) is not str:
            return MISSING
        taken = []
        for found in pattern.captures_all(text):
            value = pick(found)
            if value is MISSING:
                return MISSING
            taken.append(value)
        return taken or MISSING

    return every if wanted.every else one


def _picker(wanted: Extraction, pattern: regex.Pattern) -> Callable[[tuple[str | None, ...]], Any]:
    """What is taken from a match: MISSING if a group that is asked for took no part in it."""
    number, names = wanted.group, pattern.names

    def group(found: tuple[str | None, ...]) -> Any:
        value = found[number] if 0 <= number < len(found) else None
        return MISSING if value is None else value

    def groups(found: tuple[str | None, ...]) -> Any:
        return MISSING if None in found else list(found)

    def named(found: tuple[str | None, ...]) -> Any:
        taken = {name: found[place] for name, place in names}
        return MISSING if None in taken.values() else taken

    return {"group": group, "groups": groups, "named": named}[wanted.take]


def _key_taker(given: Give, pattern: regex.Pattern) -> Take:
    def taken(event: Event, variables: Variables) -> Any:
        target = given(event, variables)
        if type(target) is not dict:
            return MISSING
        keys = [key for key in target if type(key) is str and pattern.search(key)]
        return target[keys[0]] if len(keys) == 1 else MISSING

    return taken


def action(wanted: TreeAction, rule: str) -> Give:
    """The function that makes an action: its id and payload, or MISSING."""
    name, payload = wanted.id, source(wanted.payload, rule)

    def made(event: Event, variables: Variables) -> Any:
        content = payload(event, variables)
        return MISSING if content is MISSING else {"id": name, "payload": content}

    return made
