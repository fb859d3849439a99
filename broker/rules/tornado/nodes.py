"""Nodes of a tree as they run: filters, iterators, rulesets.

A ruleset with many rules is not tried rule by rule: where a rule can match only if a place in the event has a certain
value (``equals``, alone or within AND), it is found by that value in a table.  What a condition says depends on
nothing that a rule before it did, as far as it is about the event; so rules that are left out are those that would not
have matched, and what comes out is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from broker.rules.model.trees import (
    AllOf,
    Compare,
    Condition,
    EventPath,
    FilterNode,
    Fixed,
    IteratorNode,
    RulesetNode,
    Scalar,
    TreeNode,
    TreeRule,
)
from broker.rules.tornado.compiling import Give, Holds, Take, action, condition, extraction, source
from broker.rules.tornado.values import MISSING, narrowed

__all__ = ["INDEXED_MIN", "MATCHED", "NOT", "PARTLY", "Action", "Node", "items_of", "node"]

INDEXED_MIN: Final = 4
"""So many rules that ask for the same place are found in a table: fewer are tried as fast."""

Event = dict[str, Any]

MATCHED: Final = "Matched"
PARTLY: Final = "PartiallyMatched"
NOT: Final = "NotMatched"


class Action(NamedTuple):
    """What a rule that matched wants done: the names of the nodes that lead to it, its own, the action's, its data."""

    path: str
    rule: str
    id: str
    payload: dict[str, Any]


def node(wanted: TreeNode, *, above: str = "", indexed: bool = True) -> Node:
    """A node made to run.  Raises :class:`~broker.errors.RuleError` for what a configuration could not say."""
    path = f"{above}.{wanted.name}" if above else wanted.name
    match wanted:
        case FilterNode():
            return Filter(wanted, path, indexed=indexed)
        case IteratorNode():
            return Iteration(wanted, path, indexed=indexed)
        case RulesetNode():
            return Ruleset(wanted, path, indexed=indexed)


class Filter:
    """Gives the event to its nodes if its condition holds."""

    def __init__(self, wanted: FilterNode, path: str, *, indexed: bool) -> None:
        self._name = wanted.name
        self._active = wanted.active
        self._holds = None if wanted.condition is None else condition(wanted.condition, wanted.name)
        self._nodes = [node(each, above=path, indexed=indexed) for each in wanted.nodes if wanted.active]

    def _status(self, event: Event) -> str:
        if not self._active:
            return "Inactive"
        return MATCHED if self._holds is None or self._holds(event, {}) else NOT

    def process(self, event: Event) -> dict[str, Any]:
        status = self._status(event)
        nodes = [each.process(event) for each in self._nodes] if status is MATCHED else []
        return {"type": "filter", "name": self._name, "status": status, "nodes": nodes}

    def collect(self, event: Event, found: list[Action]) -> None:
        if self._active and (self._holds is None or self._holds(event, {})):
            for each in self._nodes:
                each.collect(event, found)


class Iteration:
    """Gives the event to its nodes once for each item of a list, or of a map in the order of its keys."""

    def __init__(self, wanted: IteratorNode, path: str, *, indexed: bool) -> None:
        self._name = wanted.name
        self._target = source(wanted.target, wanted.name)
        self._nodes = [node(each, above=path, indexed=indexed) for each in wanted.nodes]

    def process(self, event: Event) -> dict[str, Any]:
        items = items_of(self._target(event, {}), event)
        iterations: list[Any] = []
        status = items if isinstance(items, str) else MATCHED
        if not isinstance(items, str):
            iterations = [[each.process(item) for each in self._nodes] for item in items]
        return {"type": "iterator", "name": self._name, "status": status, "iterations": iterations}

    def collect(self, event: Event, found: list[Action]) -> None:
        items = items_of(self._target(event, {}), event) if self._nodes else ()
        if not isinstance(items, str):
            for item in items:
                for each in self._nodes:
                    each.collect(item, found)


def items_of(target: Any, event: Event) -> Iterator[Event] | str:
    """The event once for each item of an iterator's target; or, as a status, what is wrong with the target."""
    pairs: Any
    if type(target) is list or type(target) is tuple:
        pairs = enumerate(target)
    elif type(target) is dict:
        pairs = sorted(target.items(), key=lambda pair: str(pair[0]))
    else:
        return "AccessorError" if target is MISSING else "TypeError"
    return ({**event, "iterator": {"iteration": place, "item": item}} for place, item in pairs)


class Rule(NamedTuple):
    """A rule made to run."""

    name: str
    holds: Holds | None
    takes: tuple[tuple[str, Take], ...]
    actions: tuple[Give, ...]
    goes_on: bool


def _rule(wanted: TreeRule) -> Rule:
    name = wanted.name
    return Rule(
        name,
        None if wanted.condition is None else condition(wanted.condition, name),
        tuple((each.name, extraction(each, name)) for each in wanted.extractions),
        tuple(action(each, name) for each in wanted.actions),
        wanted.goes_on,
    )


class Ruleset:
    """Looks at its rules in their order."""

    def __init__(self, wanted: RulesetNode, path: str, *, indexed: bool) -> None:
        self._name = wanted.name
        self._path = path
        self._rules = [_rule(each) for each in wanted.rules]
        self._missed = [{"name": each.name, "status": NOT, "actions": []} for each in wanted.rules]
        index = Index(wanted.rules) if indexed else None
        self._places = range(len(self._rules))
        self._index = index if index is not None and index.tables else None

    def process(self, event: Event) -> dict[str, Any]:
        variables: dict[str, dict[str, Any]] = {}
        told: list[dict[str, Any]] = self._missed[:]
        for place in self._places if self._index is None else self._index.places(event):
            rule = self._rules[place]
            outcome = _outcome(rule, event, variables)
            if outcome is None:
                continue
            status, actions = outcome
            told[place] = {"name": rule.name, "status": status, "actions": actions}
            if status is MATCHED and not rule.goes_on:
                del told[place + 1 :]
                break
        return {"type": "ruleset", "name": self._name, "rules": told, "extracted_vars": variables}

    def collect(self, event: Event, found: list[Action]) -> None:
        variables: dict[str, dict[str, Any]] = {}
        for place in self._places if self._index is None else self._index.places(event):
            rule = self._rules[place]
            outcome = _outcome(rule, event, variables)
            if outcome is None or outcome[0] is not MATCHED:
                continue
            found += [Action(self._path, rule.name, made["id"], made["payload"]) for made in outcome[1]]
            if not rule.goes_on:
                break


def _outcome(rule: Rule, event: Event, variables: dict[str, dict[str, Any]]) -> tuple[str, list[Any]] | None:
    """A rule's status and actions, if it matched at all; its variables are put beside those of the rules before it."""
    name, holds, takes, actions, _ = rule
    if holds is not None and not holds(event, variables):
        return None
    if takes:
        taken = {}
        for variable, take in takes:
            value = take(event, variables)
            if value is MISSING:
                return PARTLY, []
            taken[variable] = value
        variables[name] = taken
    made: list[Any] = []
    for each in actions:
        one = each(event, variables)
        if one is MISSING:
            return PARTLY, made
        made.append(one)
    return MATCHED, made


Node = Filter | Iteration | Ruleset


# -- the index -------------------------------------------------------------------------------------------------------

Keys = tuple[str | int, ...]
Key = str | tuple[type, Scalar]


def _key(value: Any) -> Key | None:
    """What a value is found by: equal values of the same type have the same, others another; None for what has none."""
    kind = type(value)
    if kind is str:
        text: str = value
        return text
    if kind is int:
        value = narrowed(value)
        return type(value), value
    return (kind, value) if kind in (bool, float) or value is None else None


def _guards(wanted: Condition | None) -> Iterator[tuple[Keys, Key]]:
    """Places of the event and their values without which a condition does not hold."""
    match wanted:
        case AllOf(conditions=conditions):
            for each in conditions:
                yield from _guards(each)
        case Compare("equals", EventPath(keys=keys), Fixed(value=value)) | Compare(
            "equals", Fixed(value=value), EventPath(keys=keys)
        ):
            key = _key(value)
            if key is not None:
                yield keys, key
        case _:
            pass


class Index:
    """The rules of a ruleset by values that they ask for.

    Each rule is in one table: that of the place which tells most rules apart.
    """

    def __init__(self, rules: Sequence[TreeRule]) -> None:
        guards = [list(_guards(rule.condition)) for rule in rules]
        values = defaultdict[Keys, set[Key]](set)
        for keys, key in chain.from_iterable(guards):
            values[keys].add(key)
        chosen = [max(each, key=lambda guard: len(values[guard[0]]), default=None) for each in guards]
        tables = defaultdict[Keys, dict[Key, list[int]]](dict)
        for place, guard in enumerate(chosen):
            if guard is not None:
                tables[guard[0]].setdefault(guard[1], []).append(place)
        large = {keys: table for keys, table in tables.items() if sum(map(len, table.values())) >= INDEXED_MIN}
        self.tables: Final = [(source(EventPath(keys), ""), table) for keys, table in large.items()]
        self._others = [place for place, guard in enumerate(chosen) if guard is None or guard[0] not in large]

    def places(self, event: Event) -> Sequence[int]:
        """The rules that may match an event, in their order."""
        found: Sequence[int] = self._others
        for given, table in self.tables:
            key = _key(given(event, {}))
            more = None if key is None else table.get(key)
            if more is not None:
                found = sorted([*found, *more]) if found else more
        return found
