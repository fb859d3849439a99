"""What the matcher does where nothing was recorded: variables, texts, numbers, modifiers, the index."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.rules import tornado
from broker.rules.model import Fixed, RulesetNode, TreeRule
from broker.rules.model.trees import AllOf, AnyOf, Compare, EventPath, Matches, NoneOf, VariablePath
from broker.rules.tornado import compiling, nodes
from broker.rules.tornado.values import compare, equal, number_text


def rule(name: str = "r", **changed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": "",
        "continue": True,
        "active": True,
        "constraint": {"WITH": {}},
        "actions": [],
    } | changed


def extract(text: str = "${event.payload.s}", match: str = "(?s).*", **changed: Any) -> dict[str, Any]:
    return {"from": text, "regex": {"match": match, "group_match_idx": 0}} | changed


def tell(text: Any) -> list[dict[str, Any]]:
    return [{"id": "tell", "payload": {"t": text}}]


def process(rules: list[dict[str, Any]], payload: Any = None, **more: Any) -> dict[str, Any]:
    event = {"type": "email", "created_ms": 1, "payload": {} if payload is None else payload} | more
    return tornado.load({"Ruleset": {"name": "rs", "rules": rules}}).process(event)


def given_text(text: Any, payload: Any, **more: Any) -> Any:
    """What a text becomes in an action; None if it becomes nothing."""
    (told,) = process([rule(actions=tell(text))], payload, **more)["rules"]
    return told["actions"][0]["payload"]["t"] if told["status"] == "Matched" else None


def modified(value: str, *modifiers: dict[str, Any], payload: Any = None) -> Any:
    """The variable that modifiers make of a text; "-" if there is none."""
    taken = extract(modifiers_post=list(modifiers))
    variables = process([rule(constraint={"WITH": {"v": taken}})], {"s": value} | (payload or {}))["extracted_vars"]
    return variables.get("r", {}).get("v", "-")


# -- variables -------------------------------------------------------------------------------------------------------


def test_a_rules_own_variables_go_before_those_of_the_rule_of_that_name() -> None:
    first = rule("v", constraint={"WITH": {"x": extract("of v")}})
    second = rule("r", constraint={"WITH": {"v": extract("own")}}, actions=tell("${_variables.v}"))
    third = rule("s", actions=tell("${_variables.v}"))

    rules = process([first, second, third])["rules"]

    assert rules[1]["actions"][0]["payload"] == {"t": "own"}
    assert rules[2]["actions"][0]["payload"] == {"t": {"x": "of v"}}


def test_variables_lead_into_lists_and_maps_that_were_extracted() -> None:
    named = {"from": "a=1", "regex": {"named_match": r"(?<key>\w)=(?<value>\d)"}}
    every = {"from": "1 2", "regex": {"match": r"\d", "group_match_idx": 0, "all_matches": True}}
    text = "${_variables.n.value} ${_variables.l[1]} ${_variables.r.n.key}"

    (told,) = process([rule(constraint={"WITH": {"n": named, "l": every}}, actions=tell(text))])["rules"]

    assert told["actions"][0]["payload"] == {"t": "1 2 a"}


def test_the_variables_of_a_rule_cannot_be_used_while_they_are_extracted() -> None:
    both = {"a": extract("x"), "b": extract("${_variables.a}")}

    result = process([rule(constraint={"WITH": both})])

    assert (result["rules"][0]["status"], result["extracted_vars"]) == ("PartiallyMatched", {})


def test_a_rule_whose_actions_fail_keeps_its_variables_and_does_not_stop_its_ruleset() -> None:
    first = rule(
        "one",
        constraint={"WITH": {"v": extract("x")}},
        actions=[*tell("fine"), *tell("${event.missing}"), *tell("never")],
        **{"continue": False},
    )

    result = process([first, rule("two", actions=tell("${_variables.one.v}"), **{"continue": False}), rule("three")])

    assert [each["status"] for each in result["rules"]] == ["PartiallyMatched", "Matched"]
    assert [each["payload"]["t"] for each in result["rules"][0]["actions"]] == ["fine"]
    assert result["rules"][1]["actions"][0]["payload"] == {"t": "x"}
    assert result["extracted_vars"] == {"one": {"v": "x"}}


def test_rulesets_do_not_see_each_others_variables() -> None:
    rules = [rule("one", constraint={"WITH": {"v": extract("x")}}), rule("two", actions=tell("${_variables.one.v}"))]
    sets = [{"Ruleset": {"name": name, "rules": [each]}} for name, each in zip("ab", rules, strict=True)]
    inside = {"description": "", "active": True, "filter": {}}

    tree = tornado.load({"Filter": {"name": "f", "filter": inside, "nodes": sets}})

    assert tree.process({"type": "x", "payload": {}})["nodes"][1]["rules"][0]["status"] == "PartiallyMatched"


# -- expressions and texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${event.payload.a^b}", 1),  # ^ separates as . does
        ("${event.payload..a.b}", 1),
        ('${"event".payload."a"."b"}', 1),
        ('${event.payload.l."[1]"}', 20),
        ("${event.payload.l[+1]}", 20),
        ("${event.payload.l[2]}", None),
        ("${event.payload.l.1}", None),
        ("${event.payload.s[0]}", None),
        ("${event.payload.s.x}", None),
        ("${event.payload.a[0]}", None),
        ("${event.type} ${nope}", None),
        ("${event.type} ${ event.type }", None),
        ("${event.type} ${event[0]}", None),
        ("${event.type} ${_variables}", None),
        ("${item} ${event.type}", "${item} email"),
        ("${event.type}${item.x}${}", "email${item.x}${}"),
        ("${items} x", None),
        ("${}${event.type}", "${}email"),
        ("${event.payload.d}", -0.0),
        ("${event.trace_id} ${event.metadata.t}", "trace beta"),
        (
            ["${event.type}", {"k": "${event.payload.a.b}", "n": [None, 1.5, True]}],
            ["email", {"k": 1, "n": [None, 1.5, True]}],
        ),
        ({"a": {"b": "${event.missing}"}}, None),
        ({}, {}),
    ],
)
def test_expressions_give_what_they_lead_to(text: Any, expected: Any) -> None:
    payload = {"a": {"b": 1}, "l": [10, 20], "s": "text", "d": -0.0}

    got = given_text(text, payload, trace_id="trace", metadata={"t": "beta"})

    assert got == expected
    assert repr(got) == repr(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"), (-(2**63), "-9223372036854775808"), (2**64 - 1, "18446744073709551615"),
        (2**64, "18446744073709552000"),
        (1.5, "1.5"), (13.0, "13"), (-0.0, "-0"), (1e16, "10000000000000000"), (1e-7, "0.0000001"),
        (1.25e-5, "0.0000125"),
        (1e300, "1" + "0" * 300), (True, "true"), (False, "false"), (None, "null"), ("", ""), ("ü", "ü"),
    ],
)  # fmt: skip
def test_values_stand_in_texts_as_rust_writes_them(value: Any, text: str) -> None:
    assert given_text("${event.payload.v}!", {"v": value}) == text + "!"


def test_numbers_that_json_has_not_are_null_in_texts() -> None:
    assert [number_text(value) for value in (math.inf, -math.inf, math.nan, 10**400)] == ["null"] * 4


# -- comparisons -----------------------------------------------------------------------------------------------------


def test_numbers_too_large_for_64_bits_are_doubles() -> None:
    assert equal(2**64, 18446744073709551616.0)
    assert not equal(2**64 - 1, 18446744073709551615.0)
    assert equal(10**400, 10**500)
    assert compare(10**400, 1e308) == 1
    assert compare(-(10**400), 0) == -1


def test_what_has_no_order_is_neither_greater_nor_less() -> None:
    for one, other in [({}, {}), (1, "1"), (True, 1), (None, 0), ([{}], [{}]), ([1], "a"), (math.nan, 1.0)]:
        assert compare(one, other) is None
        assert compare(other, one) is None
    assert compare([1, {}], [2, {}]) == -1
    assert compare([None, True, "a"], [None, True, "a", {}]) == -1


def test_lists_and_tuples_are_alike() -> None:
    assert equal([1, (2,)], (1, [2]))
    assert compare((1, 2), [1, 3]) == -1
    assert given_text("${event.payload.l[1]}", {"l": (1, 2)}) == 2


def test_values_nested_too_deep_for_a_look_are_not_what_is_asked_for() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    other = [deep[0]]
    conditions = [
        {"type": kind, "first": "${event.payload.a}", "second": "${event.payload.b}"} for kind in ("equals", "ge")
    ]
    rules = [rule(f"r{place}", constraint={"WHERE": each, "WITH": {}}) for place, each in enumerate(conditions)]

    result = process([*rules, rule("last")], {"a": deep, "b": other})

    assert [each["status"] for each in result["rules"]] == ["NotMatched", "NotMatched", "Matched"]


# -- modifiers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1), ("+7", 7), ("-0", 0), ("007", 7), ("3.5", 3.5), ("1e3", 1000.0), ("1E-2", 0.01), (".5", 0.5),
        ("5.", 5.0), ("-.5e+1", -5.0), ("18446744073709551616", 18446744073709551616.0),
        ("-9223372036854775809", -9223372036854775808.0),
        ("inf", None), ("-Infinity", None), ("NaN", None), ("+nan", None), ("1e400", None), ("9" * 5_000, None),
        ("", "-"), (" 1", "-"), ("1 ", "-"), ("1_000", "-"),
        ("0x10", "-"), (".", "-"), ("e3", "-"), ("1e", "-"), ("--1", "-"),
        ("١", "-"), ("infinit", "-"), ("1.5f", "-"), ("1,5", "-"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_rust_reads_it(text: str, number: Any) -> None:
    got = modified(text, {"type": "ToNumber"})

    assert got == number
    assert type(got) is type(number)


@pytest.mark.parametrize(
    ("number", "zone", "text"),
    [
        (0, "UTC", "1970-01-01 00:00:00+00:00"),
        (-7, "UTC", "1969-12-31 23:59:53+00:00"),
        (1698933188, "Europe/Rome", "2023-11-02 14:53:08+01:00"),
        (1698933188760, "America/New_York", "2023-11-02 09:53:08-04:00"),
        (1698933188760123, "Asia/Kolkata", "2023-11-02 19:23:08+05:30"),
        (1698933188760123456, "UTC", "2023-11-02 13:53:08+00:00"),
        (-1698933188760, "UTC", "1916-03-01 10:06:51+00:00"),  # downward, not towards 1970
        (100_000_000_000, "UTC", "5138-11-16 09:46:40+00:00"),
        (100_000_000_001, "UTC", "1973-03-03 09:46:40+00:00"),
        (-100_000_000_000, "UTC", "-1199-02-15 14:13:20+00:00"),
        (-70_000_000_000, "UTC", "-0249-10-15 19:33:20+00:00"),
        (-2_500_000_000, "Europe/Rome", "1890-10-11 20:23:16+00:50"),  # local time, 49:56 ahead
        (4_118_083_200, "Europe/Rome", "2100-07-01 01:00:00+01:00"),  # no summer any more: the table ends
    ],
)
def test_a_time_is_told_in_its_zone(number: int, zone: str, text: str) -> None:
    assert modified(str(number), {"type": "ToNumber"}, {"type": "DateAndTime", "timezone": zone}) == text


def test_only_whole_numbers_of_64_bits_are_times() -> None:
    for text in ("1.0", "9223372036854775808", "nan"):
        assert modified(text, {"type": "ToNumber"}, {"type": "DateAndTime", "timezone": "UTC"}) == "-"


def test_white_space_is_what_unicode_calls_so() -> None:
    assert modified("\u2003\u00a0\x85\n a\x1c \t", {"type": "Trim"}) == "a\x1c"


def test_small_letters_are_those_of_unicode() -> None:
    assert modified("ÄÖİΣΑΣ", {"type": "Lowercase"}) == "äöi̇σας"


def test_replacements_may_come_from_the_event() -> None:
    by_text = {"type": "ReplaceAll", "find": "a", "replace": "<${event.payload.by}>"}
    by_regex = {"type": "ReplaceAll", "find": "(a)(b)?", "replace": "${event.payload.by}", "is_regex": True}

    assert modified("banana", by_text, payload={"by": "x"}) == "b<x>n<x>n<x>"
    assert modified("ab-a", by_regex, payload={"by": "$2$1$$"}) == "ba$-a$"
    assert modified("xyz", by_text) == "xyz"  # nothing to replace: what is not there does not matter
    assert modified("xyz", by_regex) == "-"
    assert modified("banana", by_text, payload={"by": []}) == "-"
    assert modified("ab", {"type": "ReplaceAll", "find": "", "replace": "-"}) == "-a-b-"


def test_a_modifier_of_another_type_fails_the_rule() -> None:
    for modifier in ({"type": "Trim"}, {"type": "Lowercase"}, {"type": "Map", "mapping": {}, "default_value": "x"}):
        assert modified("1", {"type": "ToNumber"}, modifier) == "-"
    assert modified("1", {"type": "ToNumber"}, {"type": "ToNumber"}) == 1


# -- iterators -------------------------------------------------------------------------------------------------------


def test_an_iterator_gives_each_item_with_its_place_and_maps_in_the_order_of_their_keys() -> None:
    text = "${event.iterator.iteration}=${event.iterator.item} of ${event.type}"
    inside = {"description": "", "active": True, "target": "${event.payload.m}"}
    rules = {"Ruleset": {"name": "rs", "rules": [rule(actions=tell(text))]}}
    tree = tornado.load({"Iterator": {"name": "it", "iterator": inside, "nodes": [rules]}})
    event = {"type": "x", "payload": {"m": {"b": 1, "ä": 3, "a": 2}}}

    assert [each.payload["t"] for each in tree.actions(event)] == ["a=2 of x", "b=1 of x", "ä=3 of x"]
    assert [each.path for each in tree.actions(event)] == ["it.rs"] * 3
    assert "iterator" not in event
    assert tree.process({"type": "x", "payload": {"m": []}}) == {
        "type": "iterator", "name": "it", "status": "Matched", "iterations": [],
    }  # fmt: skip


# -- the index -------------------------------------------------------------------------------------------------------

SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 0.0, -0.0, 2**64, float(2**64), "", "a", "1", math.nan])
PATHS = st.sampled_from([(), ("a",), ("b",), ("a", "b"), ("a", 0)]).map(EventPath)
EQUALS = st.builds(Compare, st.just("equals"), PATHS, SCALARS.map(Fixed)) | st.builds(
    Compare, st.just("equals"), SCALARS.map(Fixed), PATHS
)
OTHERS = st.sampled_from(
    [
        Compare("ne", EventPath(("a",)), Fixed("a")),
        Compare("equals", VariablePath(("r0", "v")), Fixed("a")),
        Compare("equals", EventPath(("a",)), EventPath(("b",))),
        Matches(EventPath(("b",)), "a"),
    ]
)
CONDITIONS = st.none() | st.recursive(
    EQUALS | OTHERS,
    lambda inner: (
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(NoneOf, inner)
    ),
    max_leaves=4,
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from("ab"), SCALARS)
EVENTS = st.dictionaries(st.sampled_from("ab"), VALUES)


@given(st.lists(st.tuples(CONDITIONS, st.booleans()), max_size=12), st.lists(EVENTS, min_size=1, max_size=5))
def test_rules_that_are_found_in_tables_match_as_those_that_are_tried(
    rules: list[tuple[Any, bool]], events: list[dict[str, Any]]
) -> None:
    model = RulesetNode(
        "rs", tuple(TreeRule(f"r{place}", *each[:1], goes_on=each[1]) for place, each in enumerate(rules))
    )
    found, tried = tornado.Tree(model), tornado.Tree(model, indexed=False)

    for event in events:
        assert found.process(event) == tried.process(event)
        assert found.actions(event) == tried.actions(event)


def test_rules_from_tables_and_others_are_looked_at_in_their_order() -> None:
    hosts = [{"type": "equals", "first": "${event.payload.host}", "second": f"h{place}"} for place in range(6)]
    rules = [rule(f"r{place}", constraint={"WHERE": host, "WITH": {}}) for place, host in enumerate(hosts)]
    rules.insert(3, rule("stops", **{"continue": False}))

    assert [each["status"] for each in process(rules, {"host": "h1"})["rules"]] == [
        "NotMatched", "Matched", "NotMatched", "Matched",
    ]  # fmt: skip
    assert [each["name"] for each in process(rules, {"host": "h4"})["rules"]] == ["r0", "r1", "r2", "stops"]


def test_of_many_rules_only_those_are_asked_that_the_event_can_match(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plain = compiling.condition

    def watched(wanted: Any, name: str) -> Any:
        holds = plain(wanted, name)

        def asking(event: Any, variables: Any) -> bool:
            asked.append(name)
            return holds(event, variables)

        return asking

    monkeypatch.setattr(nodes, "condition", watched)
    same_type = {"type": "equals", "first": "${event.type}", "second": "email"}
    hosts = [{"type": "equals", "first": f"h{place}", "second": "${event.payload.host}"} for place in range(100)]
    rules = [rule(f"r{place}", constraint={"WHERE": {"type": "AND", "operators": [same_type, host]}, "WITH": {}})
             for place, host in enumerate(hosts)]  # fmt: skip
    rules.insert(50, rule("always"))

    result = process(rules, {"host": "h70"})

    assert asked == ["r70"]
    assert [each["name"] for each in result["rules"] if each["status"] == "Matched"] == ["always", "r70"]
    assert len(result["rules"]) == 101
