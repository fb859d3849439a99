"""What a Tornado configuration may say: all that is wrong is told at once, each with the path to it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import broker
from broker.errors import RuleError
from broker.rules import tornado
from broker.rules.tornado.forms import NESTED_MAX, PROBLEMS_MAX


def rule(name: str = "r", **changed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": "",
        "continue": True,
        "active": True,
        "constraint": {"WITH": {}},
        "actions": [],
    } | changed


def ruleset(*rules: Any, name: str = "rules") -> dict[str, Any]:
    return {"Ruleset": {"name": name, "rules": list(rules)}}


def where(condition: Any) -> dict[str, Any]:
    return ruleset(rule(constraint={"WHERE": condition, "WITH": {}}))


def extracting(**changed: Any) -> dict[str, Any]:
    taken = {"from": "${event.type}", "regex": {"match": ".", "group_match_idx": 0}} | changed
    return ruleset(rule(constraint={"WITH": {"v": taken}}))


def node(kind: str, *nodes: Any, name: str = "n", **changed: Any) -> dict[str, Any]:
    inside = {"description": "", "active": True, "filter": {}} | changed
    if kind == "Iterator":
        inside = {"description": "", "active": True, "target": "${event.payload.l}"} | changed
    return {kind: {"name": name, kind.lower(): inside, "nodes": list(nodes)}}


def problems(config: Any) -> list[tuple[str, str]]:
    with pytest.raises(RuleError) as caught:
        tornado.load(config)
    return [(problem.path, problem.what) for problem in caught.value.problems]


def paths(config: Any) -> list[str]:
    return [path for path, _ in problems(config)]


EQUAL = {"type": "equals", "first": "${event.type}", "second": "email"}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    config = node(
        "Filter",
        ruleset(rule("a b"), rule("twice"), rule("twice")),
        ruleset(rule(extra=1, constraint={"WHERE": {"type": "regex", "regex": "(", "target": "${nope}"}, "WITH": {}})),
        name="root",
    )

    assert problems(config) == [
        ("nodes[0].rules[0].name", "'a b' is no name: letters of ASCII, digits and _"),
        ("nodes[0].rules[2].name", "another rule before it has the name 'twice', too"),
        (
            "nodes[1].rules[0]",
            "unknown field 'extra': expected actions, active, constraint, continue, description, name",
        ),
        (
            "nodes[1].rules[0].constraint.WHERE.regex",
            "'(' is no regular expression: a ( that is not closed (at character 1)",
        ),
        ("nodes[1].rules[0].constraint.WHERE.target", "${nope}: unknown name 'nope': expected event or _variables"),
        ("nodes[1].name", "another node beside it has the name 'rules', too"),
    ]


def test_it_is_one_class_of_errors_that_says_where() -> None:
    with pytest.raises(broker.RuleError) as caught:
        tornado.load(where({"type": "equals", "first": 1}))

    assert str(caught.value) == "rules[0].constraint.WHERE: the field 'second' is missing"
    assert caught.value.problems == (
        broker.RuleProblem("", 0, 0, "rules[0].constraint.WHERE", "the field 'second' is missing"),
    )
    assert isinstance(caught.value, broker.BrokerError)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (None, ""),
        ([], ""),
        ({}, ""),
        ({"Rules": {}}, ""),
        ({"Ruleset": {"name": "r", "rules": []}, "Filter": {}}, ""),
        ({"Ruleset": []}, ""),
        ({"Ruleset": {"rules": []}}, ""),
        ({"Ruleset": {"name": "r"}}, ""),
        ({"Ruleset": {"name": "r", "rules": [], "nodes": []}}, ""),
        ({"Ruleset": {"name": "r", "rules": {}}}, "rules"),
        ({"Ruleset": {"name": "r", "rules": [1]}}, "rules[0]"),
        ({"Ruleset": {"name": "", "rules": []}}, "name"),
        ({"Ruleset": {"name": "a.b", "rules": []}}, "name"),
        ({"Ruleset": {"name": "é", "rules": []}}, "name"),
        ({"Ruleset": {"name": "a\n", "rules": []}}, "name"),
        ({"Ruleset": {"name": 1, "rules": []}}, "name"),
        (ruleset(rule(active="yes")), "rules[0].active"),
        (ruleset(rule(active=1)), "rules[0].active"),
        (ruleset(rule(description=None)), "rules[0].description"),
        (ruleset(rule() | {"continue": 1}), "rules[0].continue"),
        (ruleset(rule(constraint={})), "rules[0].constraint"),
        (ruleset(rule(constraint={"WITH": None})), "rules[0].constraint.WITH"),
        (ruleset(rule(constraint={"WITH": {}, "where": {}})), "rules[0].constraint"),
        (
            ruleset(rule(constraint={"WITH": {"a b": {"from": "", "regex": {"match": ""}}}})),
            "rules[0].constraint.WITH.a b",
        ),
        (ruleset(rule(actions={})), "rules[0].actions"),
        (ruleset(rule(actions=[{"id": "a"}])), "rules[0].actions[0]"),
        (ruleset(rule(actions=[{"id": "a?", "payload": {}}])), "rules[0].actions[0].id"),
        (ruleset(rule(actions=[{"id": "a", "payload": []}])), "rules[0].actions[0].payload"),
        (ruleset(rule(actions=[{"id": "a", "payload": {"a": ["${no}"]}}])), "rules[0].actions[0].payload.a[0]"),
        (ruleset(rule(actions=[{"id": "a", "payload": {"a": b"x"}}])), "rules[0].actions[0].payload.a"),
        (where([]), "rules[0].constraint.WHERE"),
        (where({}), "rules[0].constraint.WHERE"),
        (where({"type": "and", "operators": []}), "rules[0].constraint.WHERE.type"),
        (where({"type": ["AND"]}), "rules[0].constraint.WHERE.type"),
        (where({"type": "AND", "operators": EQUAL}), "rules[0].constraint.WHERE.operators"),
        (where({"type": "OR", "operators": [EQUAL, {"type": "x"}]}), "rules[0].constraint.WHERE.operators[1].type"),
        (where({"type": "NOT", "operator": EQUAL | {"third": 3}}), "rules[0].constraint.WHERE.operator"),
        (where({"type": "NOT"}), "rules[0].constraint.WHERE"),
        (where({"type": "regex", "regex": "a", "target": 1}), "rules[0].constraint.WHERE.target"),
        (where({"type": "regex", "regex": 1, "target": ""}), "rules[0].constraint.WHERE.regex"),
        (where({"type": "regex", "regex": r"(a)\1", "target": ""}), "rules[0].constraint.WHERE.regex"),
        (where({"type": "regex", "regex": "a" * 2**20, "target": ""}), "rules[0].constraint.WHERE.regex"),
        (extracting(regex={}), "rules[0].constraint.WITH.v.regex"),
        (extracting(regex="a"), "rules[0].constraint.WITH.v.regex"),
        (extracting(regex={"match": "a", "named_match": "b"}), "rules[0].constraint.WITH.v.regex"),
        (extracting(regex={"match": "a", "more": 1}), "rules[0].constraint.WITH.v.regex"),
        (extracting(regex={"single_key_match": "a", "all_matches": True}), "rules[0].constraint.WITH.v.regex"),
        (extracting(regex={"match": "a", "group_match_idx": -1}), "rules[0].constraint.WITH.v.regex.group_match_idx"),
        (extracting(regex={"match": "a", "group_match_idx": 1.0}), "rules[0].constraint.WITH.v.regex.group_match_idx"),
        (extracting(regex={"match": "a", "all_matches": 1}), "rules[0].constraint.WITH.v.regex.all_matches"),
        (extracting(regex={"named_match": "(a)"}), "rules[0].constraint.WITH.v.regex.named_match"),
        (extracting(**{"from": 1}), "rules[0].constraint.WITH.v.from"),
        (extracting(modifiers_post=None), "rules[0].constraint.WITH.v.modifiers_post"),
        (extracting(modifiers_post=["Trim"]), "rules[0].constraint.WITH.v.modifiers_post[0]"),
        (extracting(modifiers_post=[{"type": "trim"}]), "rules[0].constraint.WITH.v.modifiers_post[0].type"),
        (extracting(modifiers_post=[{"type": "Trim", "a": 1}]), "rules[0].constraint.WITH.v.modifiers_post[0]"),
        (
            extracting(modifiers_post=[{"type": "Map", "mapping": {"a": 1}}]),
            "rules[0].constraint.WITH.v.modifiers_post[0].mapping.a",
        ),
        (
            extracting(modifiers_post=[{"type": "ReplaceAll", "find": "(", "replace": "", "is_regex": True}]),
            "rules[0].constraint.WITH.v.modifiers_post[0].find",
        ),
        (
            extracting(modifiers_post=[{"type": "ReplaceAll", "find": "(", "replace": "${no}"}]),
            "rules[0].constraint.WITH.v.modifiers_post[0].replace",
        ),
        (
            extracting(modifiers_post=[{"type": "DateAndTime", "timezone": "Mars/X"}]),
            "rules[0].constraint.WITH.v.modifiers_post[0].timezone",
        ),
        (
            extracting(modifiers_post=[{"type": "DateAndTime", "timezone": "../../etc/passwd"}]),
            "rules[0].constraint.WITH.v.modifiers_post[0].timezone",
        ),
        (node("Filter", filter=None), "filter.filter"),
        (node("Filter", more=1), "filter"),
        (node("Filter", active=None), "filter.active"),
        (node("Iterator", target="x"), "iterator.target"),
        (node("Iterator", target=["${event}"]), "iterator.target"),
        (node("Iterator", node("Filter", node("Iterator"))), "nodes[0].nodes[0]"),
        (node("Filter", ruleset(), node("Filter", name="rules")), "nodes[1].name"),
    ],
)
def test_what_is_wrong_is_told_with_the_path_to_it(config: Any, path: str) -> None:
    assert paths(config) == [path]


def test_each_field_of_a_rule_is_needed_and_no_other_is_known() -> None:
    for field in rule():
        lacking = rule()
        del lacking[field]
        assert problems(ruleset(lacking)) == [("rules[0]", f"the field {field!r} is missing")]
        assert problems(ruleset(rule() | {field + "x": 1}))[0][1].startswith(
            f"unknown field '{field}x': expected actions,"
        )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${nope}", "unknown name 'nope': expected event or _variables"),
        ("${ event.type }", "unknown name ' event': expected event or _variables"),
        ("${${event.type}", "unknown name '${event'"),
        ("${[0]}", "unknown name '0'"),
        ("${event[0]}", "an event is a map, and has keys"),
        ("${_variables}", "expected the name of a variable"),
        ("${_variables[0]}", "expected the name of a variable"),
        ("${.}", "has no keys"),
        ("${event.payload.l[x]}", "[x] of ${event.payload.l[x]} is no place in a list"),
        ("${event.payload.l[-1]}", "[-1] of ${event.payload.l[-1]} is no place in a list"),
        (f"${{event.payload.l[{2**64}]}}", "is no place in a list"),
        ('${event.payload."a.b}', 'has a " that is not one of a pair around it'),
        ("a ${event.l[x]} b", "is no place in a list"),
        (f"${{event.{'a' * 2_000}}}", "an expression has at most 1,024 characters"),
    ],
)
def test_expressions_that_make_no_sense_are_refused(text: str, reason: str) -> None:
    ((path, what),) = problems(where({"type": "equals", "first": text, "second": None}))

    assert path == "rules[0].constraint.WHERE.first"
    assert reason in what


def test_texts_that_only_look_like_expressions_are_texts() -> None:
    for text in ("${}", "${", "$", "${item}", "${item.x[0]}", "v ${item}", "$}x{", "${event.payload."):
        tree = tornado.load(ruleset(rule(actions=[{"id": "a", "payload": {"t": text}}])))
        assert tree.actions({"type": "x", "payload": {}})[0].payload == {"t": text}


def test_what_is_not_active_is_checked_for_its_form_alone() -> None:
    bad = {
        "WHERE": {"type": "regex", "regex": "(", "target": "${nope}"},
        "WITH": {"a b": {"from": "", "regex": {"match": "["}}},
    }

    tornado.load(ruleset(rule("a b", active=False, constraint=bad), rule("x"), rule("x", active=False)))
    bad["WITH"] = {}
    tornado.load(node("Filter", ruleset(rule(constraint=bad)), active=False))
    tornado.load(node("Filter", node("Iterator", target="x"), active=False))
    assert paths(node("Filter", ruleset(rule("a b")), active=False)) == ["nodes[0].rules[0].name"]
    assert paths(ruleset(rule(active=False, extra=1))) == ["rules[0]"]
    assert paths(node("Filter", active=False, filter=EQUAL | {"first": "${nope}"})) == ["filter.filter.first"]


def test_nesting_has_a_limit() -> None:
    condition: Any = EQUAL
    for _ in range(NESTED_MAX - 3):
        condition = {"type": "NOT", "operator": condition}
    tornado.load(where(condition))
    for _ in range(10_000):
        condition = {"type": "NOT", "operator": condition}

    ((path, what),) = problems(where(condition))
    assert what == f"nested more than {NESTED_MAX} deep"
    assert path.startswith("rules[0].constraint.WHERE.operator.operator.")
    value: Any = 1
    for _ in range(10_000):
        value = [value]
    assert problems(ruleset(rule(actions=[{"id": "a", "payload": {"a": value}}])))[0][1] == what
    tree = ruleset()
    for _ in range(1_000):
        tree = node("Filter", tree)
    assert problems(tree)[0][1] == what


def test_not_more_problems_are_told_than_anybody_reads() -> None:
    assert len(problems(ruleset(*[1] * 100_000))) == PROBLEMS_MAX


def test_reading_changes_nothing_of_the_configuration() -> None:
    config = extracting(modifiers_post=[{"type": "Map", "mapping": {"b": "1", "a": "2"}}])
    before = copy.deepcopy(config)

    tornado.load(config).process({"type": "x", "payload": {}})

    assert config == before


def test_an_event_is_a_map() -> None:
    with pytest.raises(TypeError, match="an event is a dict with type, created_ms and payload, not list"):
        tornado.load(ruleset()).process([])  # type: ignore[arg-type]
