"""Tornado's configuration, plain data as JSON gives it, read into the model; all that is wrong is told at once.

A problem's path leads to its place below the root node: ``nodes[1].rules[0].constraint.WHERE.regex``.

What is not active is read, and checked for its form alone, as Tornado does: a rule that is not active is left out, and
a filter or iterator that is not active has no nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

from broker.errors import BadRegex, RuleError
from broker.rules import regex
from broker.rules.model.trees import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Condition,
    DateAndTime,
    Extraction,
    FilterNode,
    Fixed,
    IteratorNode,
    ListOf,
    Lowercase,
    MapOf,
    Mapped,
    Matches,
    Modifier,
    NoneOf,
    Replace,
    RulesetNode,
    Source,
    ToNumber,
    TreeAction,
    TreeNode,
    TreeRule,
    Trim,
)
from broker.rules.tornado.accessors import AccessorError, read_text
from broker.rules.tornado.forms import Form, told
from broker.rules.tornado.modifiers import zone_of
from broker.rules.tornado.values import narrowed

__all__ = ["read"]

_OPERATORS: Final[dict[str, Comparison]] = {
    **{name: name for name in get_args(Comparison)},
    "contain": "contains",
    "containIgnoreCase": "containsIgnoreCase",
    "equal": "equals",
    "equalIgnoreCase": "equalsIgnoreCase",
    "notEquals": "ne",
    "notEqual": "ne",
}
_GROUP_MAX: Final = 2**64 - 1


def read(config: Any) -> TreeNode:
    """The tree of a configuration.  Raises :class:`~broker.errors.RuleError` with all that is wrong."""
    reading = _Reading()
    node = reading.node(config, "", 0, within_iterator=False)
    if reading.problems:
        raise RuleError(reading.problems)
    if node is None:
        raise RuleError.at("", "no configuration")
    return node


class _Reading(Form):
    """A configuration."""

    # -- nodes --

    def node(self, value: Any, path: str, depth: int, *, within_iterator: bool) -> TreeNode | None:
        if type(value) is not dict or len(value) != 1 or next(iter(value)) not in ("Filter", "Iterator", "Ruleset"):
            found = ", ".join(map(repr, value))[:80] if type(value) is dict and value else told(value)
            self.wrong(path, f"expected a map with one of Filter, Iterator or Ruleset, found {found}")
            return None
        if self.deep(path, depth):
            return None
        kind, content = next(iter(value.items()))
        if kind == "Ruleset":
            return self._ruleset(content, path, depth)
        read = self._filter if kind == "Filter" else self._iterator
        return read(content, path, depth, within_iterator=within_iterator)

    def _nodes(self, value: Any, path: str, depth: int, *, active: bool, within_iterator: bool) -> tuple[TreeNode, ...]:
        self.idle += not active
        found = [
            self.node(each, f"{path}[{place}]", depth + 1, within_iterator=within_iterator)
            for place, each in enumerate(self.list(value, path))
        ]
        self.idle -= not active
        self.unique([node.name for node in found if node is not None], path, "node")
        return tuple(node for node in found if node is not None) if active else ()

    def _filter(self, value: Any, path: str, depth: int, *, within_iterator: bool) -> TreeNode | None:
        content = self.map(value, path, ("name", "filter", "nodes"))
        if content is None:
            return None
        inside = self.map(content.get("filter", {}), f"{path}.filter", ("description", "active", "filter")) or {}
        if "description" in inside:
            self.text(inside["description"], f"{path}.filter.description")
        active = self.boolean(inside.get("active", True), f"{path}.filter.active")
        wanted = inside.get("filter", {})
        condition = None if wanted == {} else self.condition(wanted, f"{path}.filter.filter", depth + 1)
        nodes = self._nodes(
            content.get("nodes", []), f"{path}.nodes", depth, active=active, within_iterator=within_iterator
        )
        return FilterNode(self.name(content.get("name", "_"), f"{path}.name"), condition, nodes, active)

    def _iterator(self, value: Any, path: str, depth: int, *, within_iterator: bool) -> TreeNode | None:
        content = self.map(value, path, ("name", "iterator", "nodes"))
        if content is None:
            return None
        if within_iterator:
            self.wrong(path, "an iterator within an iterator")
        inside = self.map(content.get("iterator", {}), f"{path}.iterator", ("description", "active", "target")) or {}
        if "description" in inside:
            self.text(inside["description"], f"{path}.iterator.description")
        active = self.boolean(inside.get("active", True), f"{path}.iterator.active")
        target = self._target(inside.get("target", "${event}"), f"{path}.iterator.target")
        nodes = self._nodes(content.get("nodes", []), f"{path}.nodes", depth, active=active, within_iterator=True)
        return IteratorNode(self.name(content.get("name", "_"), f"{path}.name"), target, nodes)

    def _target(self, value: Any, path: str) -> Source:
        target = self.source(self.text(value, path), path)
        if isinstance(target, Fixed) and type(value) is str:
            self.meaningless(
                path, f"{value!r:.80} is the same for every event: expected ${{event...}}, a list or a map"
            )
        return target

    def _ruleset(self, value: Any, path: str, depth: int) -> TreeNode | None:
        content = self.map(value, path, ("name", "rules"))
        if content is None:
            return None
        rules = []
        for place, each in enumerate(self.list(content.get("rules", []), f"{path}.rules")):
            rule = self.rule(each, f"{path}.rules[{place}]", depth + 1)
            if rule is not None:
                rules.append((place, rule))
        seen = set()
        for place, rule in rules:
            if rule.name in seen:
                self.wrong(f"{path}.rules[{place}].name", f"another rule before it has the name {rule.name!r:.80}, too")
            seen.add(rule.name)
        return RulesetNode(self.name(content.get("name", "_"), f"{path}.name"), tuple(rule for _, rule in rules))

    # -- rules --

    def rule(self, value: Any, path: str, depth: int) -> TreeRule | None:
        """A rule; None if it is not active, or is none."""
        content = self.map(value, path, ("name", "description", "continue", "active", "constraint", "actions"))
        if content is None:
            return None
        active = self.boolean(content.get("active", True), f"{path}.active")
        self.idle += not active
        self.unnamed += not active
        if "description" in content:
            self.text(content["description"], f"{path}.description")
        goes_on = self.boolean(content.get("continue", True), f"{path}.continue")
        where = f"{path}.constraint"
        constraint = self.map(content.get("constraint", {"WITH": {}}), where, ("WITH",), ("WHERE",)) or {}
        wanted = constraint.get("WHERE")
        condition = None if wanted is None else self.condition(wanted, f"{where}.WHERE", depth + 1)
        extractions = self._extractions(constraint.get("WITH", {}), f"{where}.WITH")
        actions = [
            self._action(each, f"{path}.actions[{place}]", depth + 1)
            for place, each in enumerate(self.list(content.get("actions", []), f"{path}.actions"))
        ]
        name = self.name(content.get("name", "_"), f"{path}.name")
        self.idle -= not active
        self.unnamed -= not active
        return TreeRule(name, condition, extractions, tuple(actions), goes_on) if active else None

    def _action(self, value: Any, path: str, depth: int) -> TreeAction:
        content = self.map(value, path, ("id", "payload")) or {"id": "_", "payload": {}}
        payload = content.get("payload", {})
        if type(payload) is not dict:
            self.wrong(f"{path}.payload", f"expected a map, found {told(payload)}")
            payload = {}
        made = self.value(payload, f"{path}.payload", depth, texts=True)
        members = made if isinstance(made, MapOf) else MapOf(())
        return TreeAction(self.name(content.get("id", "_"), f"{path}.id"), members)

    def value(self, value: Any, path: str, depth: int, *, texts: bool) -> Source:
        """A value that stands in a rule; ``texts``: the texts within it have expressions, too."""
        if self.deep(path, depth):
            return Fixed(None)
        match value:
            case dict():
                members = [
                    (self.text(key, path), self.value(each, f"{path}.{key}", depth + 1, texts=texts))
                    for key, each in value.items()
                ]
                return MapOf(tuple(sorted(members, key=lambda member: member[0])))
            case list():
                return ListOf(
                    tuple(
                        self.value(each, f"{path}[{place}]", depth + 1, texts=texts) for place, each in enumerate(value)
                    )
                )
            case str():
                return self.source(value, path) if texts else Fixed(value)
            case bool() | float() | None:
                return Fixed(value)
            case int():
                return Fixed(narrowed(value))
        self.wrong(path, f"expected a value as JSON has them, found {told(value)}")
        return Fixed(None)

    def source(self, text: str, path: str) -> Source:
        """A text with its expressions."""
        try:
            return read_text(text)
        except AccessorError as error:
            self.meaningless(path, str(error))
        return Fixed(None)

    def operand(self, value: Any, path: str, depth: int) -> Source:
        """One of the two that are compared: a text is read for expressions, another value is as it is."""
        if type(value) is str:
            return self.source(value, path)
        return self.value(value, path, depth + 1, texts=False)

    # -- conditions --

    def condition(self, value: Any, path: str, depth: int) -> Condition | None:
        if self.deep(path, depth):
            return None
        kind = value.get("type") if type(value) is dict else None
        if kind in ("AND", "OR"):
            content = self.map(value, path, ("type", "operators")) or {}
            conditions = [
                self.condition(each, f"{path}.operators[{place}]", depth + 1)
                for place, each in enumerate(self.list(content.get("operators", []), f"{path}.operators"))
            ]
            kept = tuple(each for each in conditions if each is not None)
            return AllOf(kept) if kind == "AND" else AnyOf(kept)
        if kind == "NOT":
            content = self.map(value, path, ("type", "operator")) or {}
            inner = (
                self.condition(content["operator"], f"{path}.operator", depth + 1) if "operator" in content else None
            )
            return None if inner is None else NoneOf(inner)
        if kind == "regex":
            content = self.map(value, path, ("type", "regex", "target")) or {}
            text = self.regex(content.get("regex", ""), f"{path}.regex")
            target = self.text(content.get("target", ""), f"{path}.target")
            return Matches(self.source(target, f"{path}.target"), text)
        if type(kind) is str and kind in _OPERATORS:
            content = self.map(value, path, ("type", "first", "second")) or {}
            first = self.operand(content.get("first"), f"{path}.first", depth)
            return Compare(_OPERATORS[kind], first, self.operand(content.get("second"), f"{path}.second", depth))
        self._no_condition(value, path)
        return None

    def _no_condition(self, value: Any, path: str) -> None:
        if type(value) is not dict:
            self.wrong(path, f"expected a map, found {told(value)}")
        elif "type" not in value:
            self.wrong(path, "the field 'type' is missing")
        else:
            known = ", ".join(["AND", "OR", "NOT", *get_args(Comparison), "regex"])
            self.wrong(f"{path}.type", f"there is no operator {value['type']!r:.80}: expected one of {known}")

    def regex(self, value: Any, path: str) -> str:
        text = self.text(value, path)
        if not self.idle and type(value) is str:
            try:
                regex.compile(text)
            except BadRegex as error:
                self.wrong(path, str(error))
        return text

    # -- extractions --

    def _extractions(self, value: Any, path: str) -> tuple[Extraction, ...]:
        if type(value) is not dict:
            self.wrong(path, f"expected a map, found {told(value)}")
            return ()
        found = []
        for name, each in value.items():
            where = f"{path}.{name}"
            self.name(name, where)
            content = self.map(each, where, ("from", "regex"), ("modifiers_post",))
            if content is not None:
                found.append(self._extraction(str(name), content, where))
        return tuple(sorted(found, key=lambda extraction: extraction.name))

    def _extraction(self, name: str, content: dict[str, Any], path: str) -> Extraction:
        given = self.source(self.text(content.get("from", ""), f"{path}.from"), f"{path}.from")
        modifiers = [
            self._modifier(each, f"{path}.modifiers_post[{place}]")
            for place, each in enumerate(self.list(content.get("modifiers_post", []), f"{path}.modifiers_post"))
        ]
        made = self._taking(name, given, content.get("regex", {"match": ""}), f"{path}.regex")
        kept = tuple(each for each in modifiers if each is not None)
        return Extraction(made.name, made.source, made.regex, made.take, made.group, made.every, kept)

    def _taking(self, name: str, given: Source, value: Any, path: str) -> Extraction:
        """The regular expression, and what is taken of its matches."""
        kinds = {
            "match": ("group_match_idx", "all_matches"),
            "named_match": ("all_matches",),
            "single_key_match": (),
        }
        found = [kind for kind in kinds if type(value) is dict and kind in value]
        if len(found) != 1:
            what = " and ".join(found) or (told(value) if type(value) is not dict else "none of them")
            self.wrong(path, f"expected one of match, named_match and single_key_match, found {what}")
            return Extraction(name, given, "")
        kind = found[0]
        content = self.map(value, path, (kind,), kinds[kind]) or {}
        text = self.regex(content[kind], f"{path}.{kind}")
        every = content.get("all_matches")
        every = False if every is None else self.boolean(every, f"{path}.all_matches")
        if kind == "single_key_match":
            return Extraction(name, given, text, "key")
        if kind == "named_match":
            if not self.idle and not self._has_names(text):
                self.wrong(f"{path}.{kind}", "the regular expression has no named groups")
            return Extraction(name, given, text, "named", every=every)
        group = content.get("group_match_idx")
        if group is None:
            return Extraction(name, given, text, "groups", every=every)
        if type(group) is not int or not 0 <= group <= _GROUP_MAX:
            self.wrong(f"{path}.group_match_idx", f"expected the number of a group, found {group!r:.80}")
            group = 0
        return Extraction(name, given, text, "group", group, every)

    def _has_names(self, text: str) -> bool:
        try:
            return bool(regex.compile(text).names)
        except BadRegex:
            return True  # told already

    def _modifier(self, value: Any, path: str) -> Modifier | None:
        plain: dict[str, Callable[[], Modifier]] = {"Lowercase": Lowercase, "Trim": Trim, "ToNumber": ToNumber}
        kind = value.get("type") if type(value) is dict else None
        if type(kind) is str and kind in plain:
            self.map(value, path, ("type",))
            return plain[kind]()
        match kind:
            case "Map":
                return self._mapped(self.map(value, path, ("type", "mapping"), ("default_value",)) or {}, path)
            case "ReplaceAll":
                return self._replace(self.map(value, path, ("type", "find", "replace"), ("is_regex",)) or {}, path)
            case "DateAndTime":
                content = self.map(value, path, ("type", "timezone")) or {}
                return DateAndTime(self._zone(content.get("timezone", "UTC"), f"{path}.timezone"))
        if type(value) is not dict:
            self.wrong(path, f"expected a map, found {told(value)}")
        elif "type" not in value:
            self.wrong(path, "the field 'type' is missing")
        else:
            known = "DateAndTime, Lowercase, Map, ReplaceAll, ToNumber, Trim"
            self.wrong(f"{path}.type", f"there is no modifier {kind!r:.80}: expected one of {known}")
        return None

    def _mapped(self, content: dict[str, Any], path: str) -> Modifier:
        mapping = content.get("mapping", {})
        if type(mapping) is not dict:
            self.wrong(f"{path}.mapping", f"expected a map, found {told(mapping)}")
            mapping = {}
        pairs = [
            (self.text(key, f"{path}.mapping"), self.text(to, f"{path}.mapping.{key}")) for key, to in mapping.items()
        ]
        default = content.get("default_value")
        default = None if default is None else self.text(default, f"{path}.default_value")
        return Mapped(tuple(sorted(pairs)), default)

    def _replace(self, content: dict[str, Any], path: str) -> Modifier:
        by_regex = self.boolean(content.get("is_regex", False), f"{path}.is_regex")
        find = content.get("find", "")
        find = self.regex(find, f"{path}.find") if by_regex else self.text(find, f"{path}.find")
        by = self.source(self.text(content.get("replace", ""), f"{path}.replace"), f"{path}.replace")
        return Replace(find, by, by_regex)

    def _zone(self, value: Any, path: str) -> str:
        name = self.text(value, path)
        if type(value) is str and not self.idle:
            try:
                zone_of(name)
            except LookupError as error:
                self.wrong(path, str(error.args[0]))
        return name
