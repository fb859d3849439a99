"""Why a tree does what it does: each clause, its values, and what was missing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from broker.errors import RuleError
from broker.rules import tornado


def rule(name: str, where: Any = None, *, goes_on: bool = True, **changed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": "",
        "continue": goes_on,
        "active": True,
        "constraint": {"WHERE": where, "WITH": changed.pop("taking", {})},
        "actions": [],
    } | changed


def compared(kind: str, first: Any, second: Any) -> dict[str, Any]:
    return {"type": kind, "first": first, "second": second}


def test_each_clause_is_told_with_its_values_and_what_was_missing() -> None:
    used = compared("ge", "${event.payload.used}", 0.9)
    host = {"type": "regex", "regex": "^web-", "target": '${event.payload."the.host"}'}
    mount = {"from": "${event.payload.mount}", "regex": {"match": "/(.*)", "group_match_idx": 1}}
    text = "disk ${_variables.m} of ${event.payload.l} ${event.payload.gone}"
    rules = [
        rule("full", {"type": "AND", "operators": [used, {"type": "NOT", "operator": host}]}),
        rule("sent", used, taking={"m": mount}, actions=[{"id": "mail", "payload": {"t": [text, "${event.nope}"]}}]),
        rule("taken", taking={"m": mount | {"from": "${event.payload.used}"}, "n": mount | {"from": "/"}}),
        rule("told", goes_on=False, actions=[{"id": "log", "payload": {"t": "${event.type}"}}]),
        rule("last"),
    ]
    inside = {"description": "", "active": True}
    tree = tornado.load(
        {
            "Filter": {
                "name": "root",
                "filter": inside | {"filter": compared("equals", "${event.type}", "disk")},
                "nodes": [
                    {"Ruleset": {"name": "disks", "rules": rules}},
                    {"Filter": {"name": "off", "filter": inside | {"active": False, "filter": {}}, "nodes": []}},
                    {
                        "Iterator": {
                            "name": "each",
                            "iterator": inside | {"target": "${event.payload.l}"},
                            "nodes": [{"Ruleset": {"name": "one", "rules": [rule("r")]}}],
                        }
                    },
                    {"Iterator": {"name": "none", "iterator": inside | {"target": "${event.x}"}, "nodes": []}},
                ],
            }
        }
    )
    event = {"type": "disk", "payload": {"used": 0.95, "the.host": "web-01", "mount": "/var", "l": ["x"]}}

    assert tree.explain(event) == [
        "filter root: Matched",
        '  ${event.type} ("disk") equals "disk": true',
        "  ruleset disks",
        "    rule full: NotMatched",
        "      AND: false",
        "        ${event.payload.used} (0.95) ge 0.9: true",
        "        NOT: false",
        "          ${event.payload.\"the.host\"} (\"web-01\") regex '^web-': true",
        "    rule sent: PartiallyMatched",
        "      ${event.payload.used} (0.95) ge 0.9: true",
        "      variable m: ${event.payload.mount} is \"/var\", of which '/(.*)' takes \"var\"",
        f'      action mail: {text}: ${{event.payload.l}} is ["x"], which cannot stand in a text',
        f"      action mail: {text}: ${{event.payload.gone}} is missing",
        "      action mail: ${event.nope} is missing",
        "    rule taken: PartiallyMatched",
        "      variable m: ${event.payload.used} is 0.95: expected a text",
        "      variable n: \"/\" is \"/\", of which '/(.*)' takes \"\"",
        "    rule told: Matched",
        '      action log: {"t": "disk"}',
        "    rule last: not looked at, since told matched and does not continue",
        "  filter off: Inactive",
        '  iterator each: Matched: ${event.payload.l} is ["x"]',
        "    iteration 0",
        "      ruleset one",
        "        rule r: Matched",
        "  iterator none: AccessorError: ${event.x} is missing",
    ]  # fmt: skip


def test_explanations_tell_the_statuses_that_the_matcher_gives() -> None:
    def statuses(node: dict[str, Any]) -> list[str]:
        found = [f"{node['type']} {node['name']}" + (f": {node['status']}" if "status" in node else "")]
        found += [f"rule {each['name']}: {each['status']}" for each in node.get("rules", ())]
        inner = [*node.get("nodes", ()), *(each for items in node.get("iterations", ()) for each in items)]
        return found + [line for each in inner for line in statuses(each)]

    with gzip.open(Path(__file__).parents[2] / "vectors" / "tornado-matcher.jsonl.gz", "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines][::9]
    for case in cases:
        try:
            tree = tornado.load(case["config"])
        except RuleError:
            continue
        told = [line.strip() for line in tree.explain(case["event"])]
        kept = [
            line
            for line in told
            if line.startswith(("filter", "iterator", "ruleset", "rule ")) and "not looked" not in line
        ]
        expected = statuses(tree.process(case["event"]))
        assert [": ".join(line.split(": ")[:2]) for line in kept] == expected


def test_long_values_are_cut() -> None:
    tree = tornado.load(
        {"Ruleset": {"name": "r", "rules": [rule("a", compared("equals", "${event.payload.s}", "x" * 500))]}}
    )

    assert max(map(len, tree.explain({"type": "x", "payload": {"s": "y" * 5_000}}))) < 220
