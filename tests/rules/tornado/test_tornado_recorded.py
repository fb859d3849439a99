"""Tornado's matcher as it was recorded: every configuration and event gives the same result tree, to the type."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from broker.errors import RuleError
from broker.rules import tornado
from broker.rules.model import FilterNode, IteratorNode, RulesetNode, from_data, identity, to_data
from broker.values import pack, unpack

RECORDED = Path(__file__).parents[2] / "vectors" / "tornado-matcher.jsonl.gz"
REFUSED = {"build_error", "config_error"}


def cases() -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            found[case["group"]].append(case)
    return found


CASES = cases()


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types everywhere: 1 is not 1.0, True is not 1, 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and repr(one) == repr(other)


def outcome(case: dict[str, Any], tree: tornado.Tree | None = None) -> Any:
    try:
        return (tree or tornado.load(case["config"])).process(case["event"])
    except RuleError:
        return None


def is_as_recorded(case: dict[str, Any], got: Any) -> bool:
    return got is None if REFUSED & case["expected"].keys() else same(got, case["expected"])


def test_all_the_cases_are_there() -> None:
    assert sum(map(len, CASES.values())) == 8_809
    assert sum(bool(REFUSED & case["expected"].keys()) for group in CASES.values() for case in group) == 258


@pytest.mark.parametrize("group", sorted(CASES))
def test_the_result_is_the_recorded_one(group: str) -> None:
    wrong = [case for case in CASES[group] if not is_as_recorded(case, outcome(case))]

    assert wrong[:1] == []


def test_types_and_signs_are_told_apart() -> None:
    for one, other in [(1, 1.0), (True, 1), (0.0, -0.0), ([1], [1.0]), ({"a": None}, {"a": False}), ({}, [])]:
        assert same(one, one)
        assert not same(one, other)


def test_trees_are_the_same_after_they_were_carried_as_plain_data() -> None:
    kinds: dict[str, type] = {"Filter": FilterNode, "Iterator": IteratorNode, "Ruleset": RulesetNode}
    for case in CASES["tree"][::4] + CASES["with:mods"][::2] + CASES["interp:action"]:
        if REFUSED & case["expected"].keys():
            continue
        model = tornado.read(case["config"])
        carried: Any = from_data(unpack(pack(to_data(model))), kinds[next(iter(case["config"]))])
        assert identity(carried) == identity(model)
        assert hash(carried) == hash(model)
        assert is_as_recorded(case, outcome(case, tornado.Tree(carried)))


def test_a_tree_has_one_identity_however_its_maps_are_ordered() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    for case in CASES["with:mods"][::5]:
        if not REFUSED & case["expected"].keys():
            assert identity(tornado.read(case["config"])) == identity(tornado.read(turned(case["config"])))


def test_actions_are_those_of_the_rules_that_matched() -> None:
    def told(node: dict[str, Any], path: str) -> list[tornado.Action]:
        path = f"{path}.{node['name']}" if path else node["name"]
        inner = [*node.get("nodes", ()), *(each for items in node.get("iterations", ()) for each in items)]
        found = [action for each in inner for action in told(each, path)]
        for rule in node.get("rules", ()):
            if rule["status"] == "Matched":
                found += [tornado.Action(path, rule["name"], each["id"], each["payload"]) for each in rule["actions"]]
        return found

    seen = 0
    for case in CASES["tree"] + CASES["interp:action"]:
        if not REFUSED & case["expected"].keys():
            got = tornado.load(case["config"]).actions(case["event"])
            assert got == told(case["expected"], "")
            seen += len(got)
    assert seen > 100
