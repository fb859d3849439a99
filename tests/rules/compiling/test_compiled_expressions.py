"""Compiled expressions of programs: several variables, groups, calls, made events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_expressions import TYPE, Everything, events, expressions, same

import broker
from broker.errors import RuleError
from broker.rules.compiling import (
    EvaluationFailed,
    EventClasses,
    Variable,
    compile_expression,
    compile_sweep,
    source_of,
)
from broker.rules.interpreter import bind, evaluate
from broker.rules.model import (
    Aggregate,
    Apply,
    Call,
    Constant,
    EventType,
    Expression,
    Function,
    Make,
    Member,
    MemberType,
    Meta,
    Name,
    Parameter,
    Program,
)

MADE = EventType("Made", (MemberType("n", "number"), MemberType("v", "vector", optional=True)))
A, B, G = Name("a"), Name("b"), Name("g")
VARIABLES = (Variable("a", TYPE.name), Variable("b", TYPE.name, "event"), Variable("g", TYPE.name, "group"))

kinds = st.sampled_from(["number", "vector", "boolean", "string", "address", "timestamp", "duration"])
messages = st.builds(
    broker.Message,
    st.sampled_from(["a", "host/b"]),
    events,
    st.integers(0, 3).map(lambda seconds: seconds * 10**9),
    st.just("web-01"),
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Functions that ask, make, and call each other."""
    parameters = (Parameter("x", TYPE.name), Parameter("y", TYPE.name), Parameter("all", TYPE.name, group=True))
    asks = Function("asks", parameters, "boolean", draw(expressions("boolean", ["x", "y"], 2, ("all",))))
    n, v = (draw(expressions(kind, ["x", "y"], 2)) for kind in ("number", "vector"))
    makes = Function("makes", parameters, "Made", Make("Made", (("v", v), ("n", n))))
    made = Call("makes", (Name("y"), Name("x"), Name("all")))
    calls = Function("calls", parameters, "boolean", Apply("num.gt", (Member(made, "n"), Constant(0))))
    return Program((TYPE, MADE), (asks, makes, calls))


@settings(max_examples=150, deadline=None)
@given(
    kinds.flatmap(lambda kind: expressions(kind, ["a"], 3, ("g",), meta=True)),
    programs(),
    messages,
    events,
    st.lists(messages, max_size=3),
)
def test_a_compiled_expression_has_the_value_that_the_interpreter_tells(
    expression: Expression, program: Program, a: broker.Message, b: Everything, group: list[broker.Message]
) -> None:
    classes = EventClasses(program)
    called = (Call("asks", (A, B, G)), Call("calls", (B, A, G)), Call("makes", (A, A, G)))
    for each in (expression, Apply("bool.or", called[:2]), called[2]):
        value = result(compile_expression(program, each, VARIABLES, classes), a, b, group)
        expected = result(evaluate, program, each, bind(VARIABLES, (a, b, group)), classes.make)
        assert same(value, expected), (value, expected)


def result(function: Any, *values: Any) -> Any:
    try:
        return function(*values)
    except EvaluationFailed:
        return EvaluationFailed


def everything(**members: Any) -> Everything:
    made: dict[str, Any] = {member.name: members.get(member.name) for member in TYPE.members}
    return Everything(**made)


def message(time_s: int = 0, **members: Any) -> broker.Message:
    return broker.Message("host/web-01", everything(**members), time_s * 10**9, "web-01")


def test_the_time_between_two_events_is_cut_to_microseconds() -> None:
    expression = Apply("ts.sub", (Meta("a", "time"), Meta("c", "time")))
    variables = (Variable("a", TYPE.name), Variable("c", TYPE.name))
    between = compile_expression(Program((TYPE,)), expression, variables)
    assert "between_ns(v0.time_ns, v1.time_ns)" in source_of(between)
    for times in ((2_000_000_999, 1_000), (1_000, 2_000_000_999), (5, 5)):
        values = [broker.Message("t", everything(), time_ns, "o") for time_ns in times]
        assert between(*values) == evaluate(Program((TYPE,)), expression, bind(variables, values))


def test_the_names_of_variables_do_not_matter_to_a_shape() -> None:
    functions = [
        compile_expression(
            Program((TYPE,)), Apply("num.add", (Member(Name(name), "n"), Constant(1))), (Variable(name, TYPE.name),)
        )
        for name in ("a", "import os", "d")
    ]
    assert len({function.__code__ for function in functions}) == 1
    assert "import os" not in source_of(functions[1])
    assert [function(message(n=2)) for function in functions] == [3.0] * 3


@settings(max_examples=50)
@given(expressions("boolean", ["a"], meta=True), st.lists(messages, max_size=4))
def test_a_sweep_finds_what_holds_or_leaves_it_to_one_by_one(
    expression: Expression, many: list[broker.Message]
) -> None:
    program = Program((TYPE,))
    one = compile_expression(program, expression, VARIABLES[:1])
    sweep = compile_sweep(program, expression, VARIABLES[0])
    try:
        found = sweep(many)
    except Exception:  # noqa: BLE001 - of any kind, as is told
        return
    assert found == [place for place, each in enumerate(many) if one(each) is True]


def test_a_sweep_of_a_deep_condition_finds_what_holds() -> None:
    value: Expression = Member(A, "n")
    for _ in range(60):
        value = Apply("num.add", (value, Constant(1)))
    sweep = compile_sweep(Program((TYPE,)), Apply("num.gt", (value, Constant(61))), VARIABLES[0])
    assert sweep([message(n=number) for number in (0, 2, 1, 3)]) == [1, 3]


def test_what_has_no_value_is_told_as_one_kind_of_error() -> None:
    program = Program((TYPE, MADE))
    function = compile_expression(
        program, Make("Made", (("n", Member(A, "n")), ("v", Constant(None)))), VARIABLES[:1], EventClasses(program)
    )
    assert function(message(n=1)).n == 1
    with pytest.raises(EvaluationFailed, match=r"Made\.n: expected number, found None"):
        function(message())
    total = compile_expression(program, Apply("num.add", (Member(A, "n"), Constant(1))), VARIABLES[:1])
    assert total(message()) is None
    with pytest.raises(EvaluationFailed, match="TypeError"):
        total(message(n=[]))


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (Member(G, "n"), "g is a group"),
        (Meta("b", "time"), "only the event is known"),
        (Aggregate("sum", "a", Member(A, "n")), "no group"),
        (Aggregate("sum", "g", Aggregate("sum", "g", Member(G, "n"))), "inside an aggregate"),
        (Call("nobody", ()), "no function 'nobody'"),
        (Call("again", (A,)), "nested more than 200 deep"),
        (Call("twice", (A,)), r"more than 10,000 parts"),
        (Member(A, "__class__"), "no name of a member"),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused(expression: Expression, told: str) -> None:
    parameters = (Parameter("x", TYPE.name),)
    again = Function("again", parameters, "boolean", Call("again", (Name("x"),)))
    twice = Function("twice", parameters, "number", Apply("num.add", (Call("twice", (Name("x"),)),) * 2))
    with pytest.raises(RuleError, match=told):
        compile_expression(Program((TYPE,), (again, twice)), expression, VARIABLES)


def test_an_aggregate_whose_items_are_deep_is_compiled() -> None:
    item: Expression = Member(G, "n")
    for _ in range(95):
        item = Apply("num.mul", (item, Constant(1)))
    function = compile_expression(Program((TYPE,)), Aggregate("sum", "g", item), VARIABLES[2:])
    assert "def item_" in source_of(function)
    assert function([message(n=1), message(n=2)]) == 3.0


def test_the_trend_is_per_second_of_event_time() -> None:
    function = compile_expression(Program((TYPE,)), Aggregate("slope", "g", Member(G, "n")), VARIABLES[2:])
    assert function([message(0, n=10), message(2, n=14), message(4, n=18)]) == 2.0
    assert function([message(0, n=10)]) is None


def test_the_first_and_the_last_event_of_a_group_have_members() -> None:
    for which, told in (("first", 1), ("last", 2)):
        expression = Member(Aggregate(which, "g", G), "n")  # type: ignore[arg-type]
        group = [message(n=1), message(n=2)]
        assert compile_expression(Program((TYPE,)), expression, VARIABLES[2:])(group) == told
        assert evaluate(Program((TYPE,)), expression, bind(VARIABLES[2:], (group,))) == told
