"""Tornado's directories: both layouts become trees; problems name the file and the path inside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.errors import RuleError
from broker.rules import tornado
from broker.rules.tornado.files import Files

OPERATORS = "AND, OR, NOT, contains, containsIgnoreCase, equals, equalsIgnoreCase, ge, gt, le, lt, ne, regex"
UNCLOSED = "'(' is no regular expression: a ( that is not closed (at character 1)"
EVENT = {"type": "email", "created_ms": 0, "payload": {"l": [1, 2]}}


def rule(**changed: Any) -> bytes:
    return json.dumps(
        {
            "description": "",
            "continue": True,
            "active": True,
            "constraint": {"WHERE": {"type": "equals", "first": "${event.type}", "second": "email"}, "WITH": {}},
            "actions": [],
        }
        | changed
    ).encode()


def node(**changed: Any) -> str:
    return json.dumps({"description": "", "active": True} | changed)


def names(result: dict[str, Any]) -> Any:
    """The tree as names: of nodes with what is in them, of rulesets with their rules."""
    if result["type"] == "ruleset":
        return {result["name"]: [each["name"] for each in result["rules"]]}
    inner = result.get("nodes") or [each for items in result.get("iterations", ()) for each in items]
    return {result["name"]: [names(each) for each in inner]}


def told(files: Files) -> list[str]:
    with pytest.raises(RuleError) as caught:
        tornado.from_files(files)
    return [str(problem) for problem in caught.value.problems]


OLDER: Files = {
    "filter.json": node(filter={"type": "equals", "first": "${event.type}", "second": "email"}),
    "README.md": "ignored",
    "b/0010_first.json": rule(),
    "b/0020_second_of_two.json": rule(),
    "b/notes.txt": b"\xff",
    "a/inner/2_two.json": rule(),
    "a/inner/1_one.json": rule(),
}
NEWER: Files = {
    "version.json": '{"version": "2.0"}',
    "z/filter.json": node(type="filter", name="master", filter={}),
    "z/it/iterator.json": node(type="iterator", name="each", target="${event.payload.l}"),
    "z/it/rs/ruleset.json": '{"type": "ruleset", "name": "archive"}',
    "z/it/rs/rules/000000020_b.json": rule(name="b"),
    "z/it/rs/rules/000000010_a.json": rule(name="a"),
    "y/ruleset.json": '{"type": "ruleset", "name": "empty"}',
}


def test_in_the_older_layout_folders_and_files_give_the_names() -> None:
    assert names(tornado.from_files(OLDER).process(EVENT)) == {
        "root": [{"a": [{"inner": ["one", "two"]}]}, {"b": ["first", "second_of_two"]}]
    }
    assert tornado.from_files(OLDER).process(EVENT | {"type": "x"})["status"] == "NotMatched"


def test_in_the_older_layout_one_file_may_be_a_filter_or_a_rule() -> None:
    assert tornado.from_files({"x.json": node(filter={})}).process(EVENT)["type"] == "filter"
    assert names(tornado.from_files({"1_x.json": rule()}).process(EVENT)) == {"root": ["x"]}
    assert names(tornado.from_files({}).process(EVENT)) == {"root": []}


def test_in_the_older_layout_a_filter_with_a_target_is_an_iterator() -> None:
    tree = tornado.from_files({"it/it.json": node(target="${event.payload.l}"), "it/rs/1_x.json": rule()})

    assert names(tree.process(EVENT)) == {"root": [{"it": [{"rs": ["x"]}, {"rs": ["x"]}]}]}


def test_in_the_newer_layout_files_give_the_names_and_folders_the_order() -> None:
    assert names(tornado.from_files(NEWER).process(EVENT)) == {
        "root": [{"empty": []}, {"master": [{"each": [{"archive": ["a", "b"]}, {"archive": ["a", "b"]}]}]}]
    }


def test_texts_and_bytes_and_a_byte_order_mark_are_the_same() -> None:
    for content in (rule(), rule().decode(), b"\xef\xbb\xbf" + rule()):
        assert names(tornado.from_files({"1_x.json": content}).process(EVENT)) == {"root": ["x"]}


def test_problems_of_all_files_are_told_each_with_its_file() -> None:
    bad = {"WHERE": {"type": "AND", "operators": [{"type": "regex", "regex": "(", "target": ""}]}, "WITH": {}}

    assert told(
        dict(OLDER)
        | {
            "filter.json": node(filter={"type": "nope"}),
            "b/0030.json": rule(),
            "b/0040_x.json": b'{"a": 1,\n "b" 2}',
            "b/0050_first.json": rule(constraint=bad, extra=1),
            "b/0060_x.json": b'{"description": "\xff"}',
        }
    ) == [
        "b/0040_x.json: line 2, column 6: is no JSON: Expecting ':' delimiter",
        "b/0060_x.json: is no text in UTF-8: byte 18",
        "b/0030.json: its name has no _ before the rule's name: 0010_disk_full.json is the rule disk_full",
        "filter.json: filter.type: there is no operator 'nope': expected one of " + OPERATORS,
        "b/0050_first.json: unknown field 'extra': expected actions, active, constraint, continue, description, name",
        "b/0050_first.json: constraint.WHERE.operators[0].regex: " + UNCLOSED,
        "b/0050_first.json: name: another rule before it has the name 'first', too",
    ]


def test_problems_of_the_newer_layout_are_told_with_paths_inside_the_files() -> None:
    assert told(
        dict(NEWER)
        | {
            "z/filter.json": node(type="filter", name="a b", filter={"type": "AND", "operators": [1]}),
            "z/it/iterator.json": node(type="iterator", name="each", target="x"),
            "z/it/rs/rules/000000030_c.json": rule(name="a"),
            "y/ruleset.json": '{"type": "filter", "name": "empty"}',
        }
    ) == [
        "y/ruleset.json: expected the field type to be 'ruleset', found 'filter'",
        "z/filter.json: filter.operators[0]: expected a map, found a number",
        "z/it/iterator.json: target: 'x' is the same for every event: expected ${event...}, a list or a map",
        "z/it/rs/rules/000000030_c.json: name: another rule before it has the name 'a', too",
        "z/filter.json: name: 'a b' is no name: letters of ASCII, digits and _",
    ]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"1_a.json": "[1, 2"}, "1_a.json: line 1, column 6: is no JSON: Expecting ',' delimiter"),
        ({"1_a.json": '{"a": 1, "a": 2}'}, "1_a.json: has a field 'a' twice in one map"),
        ({"1_a.json": '{"a": NaN}'}, "1_a.json: is no JSON: NaN is no number of JSON"),
        ({"1_a.json": "[" * 100_000}, "1_a.json: is nested too deep"),
        ({"1_a.json": "[]"}, "1_a.json: expected a map, found a list"),
        ({"a.json": "{}", "b.json": "{}", "f/1_x.json": rule()}, ".: has folders and 2 JSON files: a filter has one"),
        ({"a": b"", "a/b": b""}, "a/b: is no path of a file in a folder"),
        ({"": b""}, ": is no path of a file in a folder"),
        ({"version.json": '{"version": "3"}'}, 'version.json: expected {"version": "2.0"}'),
        (dict(NEWER) | {"x.json": "{}"}, "x.json: does not belong here: beside version.json are folders"),
        (dict(NEWER) | {"x/y.txt": ""}, "x/: is no node: it has none of filter.json, iterator.json, ruleset.json"),
        (dict(NEWER) | {"y/ruleset.json": "[]"}, "y/ruleset.json: expected a map"),
        ({"f/" * 200 + "1_x.json": rule()}, "f/" * 96 + ": folders within folders, more than 95 deep"),
    ],
)
def test_what_stands_where_nothing_is_read_is_told(files: Files, problem: str) -> None:
    assert told(files)[0].removeprefix(": ").startswith(problem.removeprefix(": "))
