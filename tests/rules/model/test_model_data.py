"""The rule model as plain data: carried like any value, hashed by content, checked when it comes from elsewhere."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.rules import model
from broker.rules.model import (
    Aggregate,
    Apply,
    Call,
    Clause,
    Constant,
    Expression,
    Make,
    Member,
    Meta,
    ModelError,
    Name,
)
from broker.values import pack, unpack

USED = Member(Name("d"), "used")
RULE = model.Rule(
    "DiskFull",
    (model.Step("d", "DiskUsage"),),
    (Clause(Apply("num.gt", (USED, Constant(0.9))), "full"),),
    make=Make("Alarm", (("host", Member(Name("d"), "host")), ("used", USED))),
    per=("host",),
    limit=model.Limit(1, 300 * 10**9),
)
TYPE = model.EventType("DiskUsage", (model.MemberType("host", "string"), model.MemberType("used", "number")))
PROGRAM = model.Program((TYPE,), (model.Function("f", (model.Parameter("a", "DiskUsage"),), "boolean", USED),), (RULE,))

names = st.sampled_from(["a", "b"])
leaves: st.SearchStrategy[Expression] = st.one_of(
    st.builds(Constant, st.sampled_from([None, True, 1, 1.5, "x", b"y", timedelta(1), IPv4Network("10.0.0.0/8")])),
    st.builds(Constant, st.sampled_from([(), (1.0, 2.0), ("a", "b")])),
    st.builds(Name, names),
    st.builds(Meta, names, st.just("time")),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Member, inner, names),
        st.builds(Apply, st.just("num.add"), st.lists(inner, max_size=3).map(tuple)),
        st.builds(Call, names, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Make, st.just("T"), st.lists(st.tuples(names, inner), max_size=2).map(tuple)),
        st.builds(Aggregate, st.just("mean"), names, inner, st.sampled_from([None, 95, 95.0])),
    ),
)


def carried(value: object) -> Any:
    return unpack(pack(model.to_data(value)))


def test_a_program_is_carried_as_plain_data_and_comes_back_equal() -> None:
    assert model.from_data(carried(PROGRAM), model.Program) == PROGRAM


@given(expressions)
def test_every_expression_comes_back_equal(expression: Expression) -> None:
    clause = Clause(expression)
    assert model.from_data(carried(clause), Clause) == clause


def test_a_long_sum_is_carried_as_a_short_one_is() -> None:
    total: Expression = USED
    for _ in range(98):
        total = Apply("num.add", (total, USED))
    assert model.from_data(carried(Clause(total)), Clause) == Clause(total)
    with pytest.raises(ModelError, match=r"Clause.expression\[\d+\]: an expression nested more than 100 deep"):
        model.from_data(carried(Clause(Apply("num.neg", (total,)))), Clause)


def test_rules_of_equal_content_have_one_identity_and_others_have_others() -> None:
    same = model.from_data(carried(RULE), model.Rule)
    assert model.identity(same) == model.identity(RULE)
    other = model.Rule(RULE.name, RULE.steps, (Clause(Apply("num.gt", (USED, Constant(0.8))), "full"),))
    assert model.identity(other) != model.identity(RULE)
    assert model.identity(Clause(Constant(1))) != model.identity(Clause(Constant(True)))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "Clause: expected a map, found NoneType"),
        ({"is": "Rule"}, "Clause.is: expected Clause, found 'Rule'"),
        ({"is": []}, "Clause.is: expected Clause, found []"),
        ({"is": "Clause"}, "Clause: Clause lacks its field 'expression'"),
        ({"is": "Clause", "expression": [], "more": 1}, "Clause: Clause has no field 'more'"),
        ({"is": "Clause", "expression": {}}, "Clause.expression: expected a list of the parts of an expression"),
        ({"is": "Clause", "expression": []}, "Clause.expression: expected one whole expression, found 0"),
        (
            {"is": "Clause", "expression": [{"is": "Apply", "operator": "num.neg", "operands": 1}]},
            "Clause.expression[0]: takes 1 parts, and 0 are before it",
        ),
        (
            {"is": "Clause", "expression": [{"is": "Apply", "operator": "num.neg", "operands": -1}]},
            "Clause.expression[0]: takes -1 parts",
        ),
        (
            {"is": "Clause", "expression": [{"is": "Constant", "value": {}}]},
            "Clause.expression[0].value: expected one of",
        ),
        ({"is": "Clause", "expression": [{"is": "Name", "name": 1}]}, "Clause.expression[0].name: expected str"),
        (
            {"is": "Clause", "expression": [{"is": "Meta", "of": "a", "field": "size"}]},
            "Clause.expression[0].field: expected one of 'time', 'topic', 'origin', found 'size'",
        ),
    ],
)
def test_data_that_are_no_model_are_refused_with_the_path_to_what_is_wrong(data: Any, told: str) -> None:
    with pytest.raises(ModelError) as refused:
        model.from_data(data, Clause)
    assert str(refused.value).startswith(told)
