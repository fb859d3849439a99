"""Models that come from elsewhere: what makes no sense is told with the path to it, and nothing runs without end."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_expressions import TYPE, expressions

from broker.errors import RuleError
from broker.rules import language
from broker.rules.compiling import EventClasses, Variable, compile_expression
from broker.rules.model import (
    Aggregate,
    Apply,
    Call,
    Clause,
    Constant,
    EventType,
    Expression,
    Function,
    Limit,
    Make,
    Member,
    MemberType,
    Meta,
    Name,
    Parameter,
    Program,
    Rule,
    Step,
    Where,
    Window,
)
from broker.rules.model.checking import PROBLEMS_MAX, check, check_where

PARENT = EventType("Parent", (MemberType("host", "string"), MemberType("n", "number")))
CHILD = EventType("Child", (*PARENT.members, MemberType("v", "vector")), "Parent")
ALARM = EventType("Alarm", (MemberType("host", "string"), MemberType("n", "number", optional=True)))
A, G = Name("a"), Name("g")
N = Member(A, "n")
MAKE = Make("Alarm", (("host", Member(A, "host")), ("n", Constant(None))))
HOT = Function("hot", (Parameter("x", "Parent"),), "boolean", Apply("num.gt", (Member(Name("x"), "n"), Constant(1))))
MANY = Function(
    "many", (Parameter("x", "Parent", group=True),), "boolean",
    Apply("num.gt", (Aggregate("count", "x", Name("x")), Constant(1))),
)  # fmt: skip
RULE = Rule(
    "R",
    (Step("a", "Child"), Step("g", "Parent", group=True)),
    (
        Clause(Call("hot", (A,)), "hot"),
        Clause(Call("many", (G,))),
        Clause(Apply("num.gt", (Member(G, "n"), N))),
        Clause(Apply("num.gt", (Aggregate("percentile", "g", Member(G, "n"), 95), N))),
        Clause(
            Apply(
                "dur.lt",
                (
                    Apply("ts.sub", (Meta("a", "time"), Meta("a", "time"))),
                    Constant(timedelta(1)),
                ),
            )
        ),
    ),
    MAKE,
    ("host",),
    within_ns=10**9,
    topic=Apply("str.concat", (Constant("a/"), Member(A, "host"))),
)
PROGRAM = Program((PARENT, CHILD, ALARM), (HOT, MANY), (RULE,))


def test_a_program_that_makes_sense_has_no_problems() -> None:
    assert check(PROGRAM) == []
    assert check(Program()) == []


def test_what_the_language_accepts_has_no_problems() -> None:
    program = language.load("""
        event Timed { time };
        event Position extends Timed { position };
        event Velocity { velocity };
        event Level extends Timed { level: number, host: string };
        event Alarm { text: string, count: number };
        Velocity velocity(Position a, Position b) := { velocity = (b.time - a.time)^(-1) * (b.position - a.position) };
        predicate later(Timed a, Timed b) := b.time > a.time;
        Alarm alarm(Level+ l) := { text = first(l.host), count = count(l) };
        Moving: [Position, Position : later] -> velocity;
        High: [Level l : mean(l.level) > 0.9, l.level > 0, distinct(l.host) == 1] last 5m every 1m per host -> alarm;
        Silent: [Level+ l, !Velocity] within 1m -> alarm(l) to "alarms" do page;
    """)
    assert check(program) == []


def changed(**changes: Any) -> Program:
    return attrs.evolve(PROGRAM, rules=(attrs.evolve(RULE, **changes),))


def clause(expression: Expression) -> Program:
    return changed(clauses=(Clause(expression),))


def function(body: Expression, result: str = "boolean", *parameters: Parameter) -> Program:
    made = Function("f", parameters or (Parameter("x", "Parent"),), result, body)
    return attrs.evolve(PROGRAM, functions=(HOT, MANY, made))


def types(*more: EventType) -> Program:
    return attrs.evolve(PROGRAM, types=(*PROGRAM.types, *more))


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (types(PARENT), "types[3]: there is another 'Parent'"),
        (types(EventType("number")), "types[3]: 'number' is no name of an event type"),
        (types(EventType("")), "'' is no name of an event type"),
        (types(EventType("T" * 256)), "is no name of an event type"),
        (types(EventType("T", (MemberType("__class__", "number"),))), "types[3]: '__class__' is no name of a member"),
        (types(EventType("T", (MemberType("a", "number"), MemberType("a", "number")))), "two members of one name"),
        (types(EventType("T", (MemberType("a", "float"),))), "types[3]: a: there is no type 'float'"),
        (types(EventType("T", (), "Nothing")), "no event type 'Nothing' to extend"),
        (types(EventType("T", (), "Parent")), "does not begin with the members of Parent"),
        (types(EventType("T", (), "U"), EventType("U", (), "T")), "extends itself"),
        (function(Name("y")), "functions[2]: there is no variable 'y'"),
        (function(Name("x")), "functions[2]: f: expected boolean, found Parent"),
        (function(Constant(True), "text"), "results in boolean or an event type"),
        (function(Constant(True), "boolean", Parameter("x", "Nothing")), "x: there is no event type 'Nothing'"),
        (function(Constant(True), "boolean", *[Parameter("x", "Parent")] * 2), "parameters[1]: there is another 'x'"),
        (function(Call("f", (Name("x"),))), "functions: f calls itself"),
        (function(Name("x"), "Child"), "expected Child, found Parent"),
        (clause(Call("nobody", ())), "rules[0].clauses[0]: there is no function 'nobody'"),
        (clause(Call("hot", ())), "hot takes 1 arguments, not 0"),
        (clause(Call("many", (A,))), "expected a group of Parent"),
        (clause(Call("hot", (MAKE,))), "expected Parent, found Alarm"),
        (clause(Apply("nothing", ())), "no operator 'nothing'"),
        (clause(Apply("num.gt", (N,))), "num.gt takes 2 operands, not 1"),
        (clause(Apply("num.gt", (N, Member(A, "host")))), "operand 2 of num.gt: expected number, found string"),
        (clause(Apply("str.matches", (Member(A, "host"), Constant("(")))), "no regular expression"),
        (clause(N), "a clause: expected boolean, found number"),
        (clause(Apply("num.gt", (Aggregate("sum", "a", N), N))), "sum: 'a' is no group"),
        (clause(Apply("num.gt", (Aggregate("sum", "g", N), N))), "there is no variable 'a'"),
        (clause(Apply("num.gt", (Aggregate("mean", "g", Member(G, "host")), N))), "mean: expected number"),
        (clause(Apply("num.gt", (Aggregate("percentile", "g", Member(G, "n"), 101), N))), "0 to 100, not 101"),
        (clause(Apply("num.gt", (Aggregate("count", "g", G), Member(G, "n")))), "as a group and for each"),
        (changed(make=N), "what it makes is no event"),
        (changed(make=Make("Alarm", ())), "made of its members"),
        (changed(make=Make("Alarm", (("host", N), ("n", N)))), "Alarm.host: expected string, found number"),
        (changed(make=Make("Alarm", (("host", Member(G, "host")), ("n", N)))), "g is a group"),
        (changed(make=None), "makes no event to publish"),
        (changed(topic=N), "its topic: expected string, found number"),
        (changed(steps=()), "a rule has 1 to 50 steps"),
        (changed(steps=(Step("a", "Nothing"), RULE.steps[1])), "no event type 'Nothing'"),
        (changed(steps=(RULE.steps[0],) * 2), "steps[1]: there is another 'a'"),
        (changed(per=("v",)), "per 'v': Parent has no such member"),
        (changed(within_ns=0), "within: expected 1 to"),
        (changed(limit=Limit(0, 1)), "limit: expected 1 to"),
        (changed(window=Window()), "so many events or of so much time"),
        (changed(window=Window(count=3)), "a rule with a window has one step"),
        (changed(steps=(*RULE.steps, Step("z", "Parent", absent=True, group=True))), "z is absent and a group"),
        (changed(steps=(*RULE.steps, Step("z", "Parent", absent=True)), within_ns=None), "at the end needs a `within`"),
        (changed(steps=(Step("z", "Parent", absent=True), *RULE.steps), within_ns=None), "at the beginning looks back"),
        (changed(steps=(Step("a", "Child", within_ns=3), RULE.steps[1])), "only an absent step at the end"),
        (changed(steps=(Step("a", "Child", absent=True), Step("g", "Parent", absent=True))), "nothing could begin"),
        (changed(steps=(*RULE.steps, Step("z", "Alarm"))), "rules: R sets itself off"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_with_its_path(program: Program, told: str) -> None:
    assert any(told in str(problem) for problem in check(program)), check(program)


def made(name: str, sees: str, makes: str, **more: Any) -> Rule:
    body = Make(makes, tuple((each.name, Constant(None)) for each in {t.name: t for t in PROGRAM.types}[makes].members))
    return Rule(name, (Step("a", sees),), make=body, **more)


@pytest.mark.parametrize(
    ("rules", "circles"),
    [
        ([made("A", "Alarm", "Child"), made("B", "Parent", "Alarm")], ["A", "B"]),  # a Child is a Parent
        ([made("A", "Alarm", "Parent"), made("B", "Child", "Alarm")], []),
        ([made("A", "Alarm", "Child"), made("B", "Child", "Parent"), made("C", "Parent", "Alarm")], ["A", "B", "C"]),
        ([made("A", "Alarm", "Child", topic=Constant("a")), made("B", "Child", "Alarm", listens=("b",))], []),
        ([made("A", "Alarm", "Child", topic=Constant("b/c")), made("B", "Child", "Alarm", listens=("b",))], ["A", "B"]),
    ],
)
def test_rules_that_set_off_each_other_are_found(rules: list[Rule], circles: list[str]) -> None:
    problems = check(attrs.evolve(PROGRAM, rules=tuple(rules)))
    assert sorted(problem.what.partition(" ")[0] for problem in problems) == circles


def test_an_event_that_is_handed_on_may_be_any_below_it() -> None:
    same = Function("same", (Parameter("x", "Parent"),), "Parent", Name("x"))
    rule = Rule("A", (Step("a", "Child"),), make=Call("same", (A,)))
    assert check(Program(PROGRAM.types, (same,), (rule,)))


def test_an_absent_step_sets_nothing_off() -> None:
    steps = (Step("a", "Parent"), Step("b", "Alarm", absent=True, within_ns=1))
    assert check(attrs.evolve(PROGRAM, rules=(attrs.evolve(made("A", "Parent", "Alarm"), steps=steps),))) == []


def test_functions_that_grow_without_bound_are_found_without_growing() -> None:
    def body(number: int) -> Expression:
        return Apply("bool.and", (Call(f"f{number - 1}", (Name("x"),)),) * 2)

    parameters = (Parameter("x", "Parent"),)
    functions = [Function("f0", parameters, "boolean", Constant(True))]
    functions += [Function(f"f{number}", parameters, "boolean", body(number)) for number in range(1, 3_000)]
    rule = Rule("R", (Step("a", "Parent"),), (Clause(Call("f2999", (A,))),))
    began = time.perf_counter()
    (problem,) = check(Program(PROGRAM.types, tuple(functions), (rule,)))
    assert "parts with what it calls; at most 10,000" in problem.what
    assert time.perf_counter() - began < 5


def test_problems_are_told_up_to_a_limit() -> None:
    assert len(check(Program((), (), tuple(Rule(f"r{number}", ()) for number in range(1_000))))) == PROBLEMS_MAX


@settings(max_examples=100)
@given(expressions("boolean", ["event"]))
def test_well_typed_expressions_have_no_problems(expression: Expression) -> None:
    assert check_where(Where(TYPE, expression)) == []


names = st.sampled_from(["a", "g", "n", "host", "Alarm", "hot", "many", "count"])
anything = st.recursive(
    st.one_of(
        st.builds(Constant, st.sampled_from([None, 1, "a", True, (), (1.0,), ("a",)])),
        st.builds(Name, names),
        st.builds(Meta, names, st.sampled_from(["time", "topic"])),
    ),
    lambda inner: st.one_of(
        st.builds(Member, inner, names),
        st.builds(
            Apply,
            st.sampled_from(["num.gt", "num.add", "bool.and", "bool.not", "vec.of", "str.in", "any.eq", "str.matches"]),
            st.lists(inner, max_size=3).map(tuple),
        ),
        st.builds(Call, names, st.lists(inner, max_size=2).map(tuple)),
        st.builds(Make, names, st.lists(st.tuples(names, inner), max_size=2).map(tuple)),
        st.builds(Aggregate, st.sampled_from(["count", "mean", "first"]), names, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=400)
@given(anything)
def test_what_has_no_problems_can_be_compiled(expression: Expression) -> None:
    """Whatever is said of a clause: what the check lets through, the compiler takes."""
    if check(clause(expression)):
        return
    variables = (Variable("a", "Child"), Variable("g", "Parent", "group"))
    single = (Variable("a", "Child"), Variable("g", "Parent"))
    classes = EventClasses(PROGRAM)
    failed = []
    for each in (variables, single):
        try:
            compile_expression(PROGRAM, expression, each, classes)
        except RuleError as error:
            failed.append(error)
    assert len(failed) < 2, failed
