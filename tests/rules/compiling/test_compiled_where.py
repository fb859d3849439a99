"""Predicates that are compiled say what the interpreter says, and nothing in them is more than a shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_expressions import TYPE, Everything, events, expressions

import broker
from broker.errors import RuleError
from broker.rules.compiling import compile_filter, compile_where, source_of
from broker.rules.event_types import event_type
from broker.rules.interpreter import One, evaluate
from broker.rules.model import (
    Apply,
    Call,
    Constant,
    EventType,
    Expression,
    Make,
    Member,
    MemberType,
    Meta,
    Name,
    Program,
    Where,
)

EVENT = Name("event")
N, M, S = (Member(EVENT, name) for name in ("n", "m", "s"))


def where(operator: str, *operands: Expression) -> Where:
    return Where(TYPE, Apply(operator, operands))


def everything(**members: Any) -> Everything:
    made: dict[str, Any] = {member.name: members.get(member.name) for member in TYPE.members}
    return Everything(**made)


@settings(max_examples=300, deadline=None)
@given(expressions("boolean", ["event"]), st.lists(events, min_size=1, max_size=3))
def test_a_compiled_predicate_says_what_the_interpreter_says(expression: Expression, some: list[Everything]) -> None:
    asked = Where(TYPE, expression)
    predicate, keep = compile_where(asked), compile_filter(asked)
    expected = [evaluate(Program(), expression, {"event": One(event)}) is True for event in some]
    assert [predicate(event) for event in some] == expected
    assert keep(some) == [event for event, kept in zip(some, expected, strict=True) if kept]


HOSTILE = "__import__('os').system('true')"


def test_source_has_no_values() -> None:
    constants = [HOSTILE, "'", 123456789, 0.123456789]
    asked = Where(
        TYPE,
        Apply(
            "bool.or",
            (
                Apply("str.eq", (S, Constant(HOSTILE))),
                Apply("str.in", (S, Constant((HOSTILE, "'")))),
                Apply("num.gt", (N, Apply("num.add", (Constant(123456789), Constant(0.123456789))))),
            ),
        ),
    )
    predicate = compile_where(asked, Everything)
    source = source_of(predicate)
    assert "def predicate(v0):" in source
    assert not any(str(constant) in source for constant in constants)
    assert predicate(everything(s=HOSTILE))
    assert not predicate(everything(s="", n=0))


def test_equal_shapes_are_compiled_once() -> None:
    predicates = [compile_where(where("num.gt", N, Constant(limit))) for limit in (0.5, 7, -(2**63))]
    assert len({predicate.__code__ for predicate in predicates}) == 1
    assert [predicate(everything(n=1)) for predicate in predicates] == [True, False, True]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (Member(EVENT, "__class__"), "has no member '__class__'"),
        (Member(EVENT, "n > 0 or x"), "has no member"),
        (Member(EVENT, "import"), "has no member"),
        (Member(EVENT, "yes\n"), "has no member"),
        (Member(Member(EVENT, "x"), "append"), "a any has no members"),
        (Member(Constant("a"), "join"), "a string has no members"),
        (Member(Name("event.x"), "yes"), "no variable"),
        (Name("k0"), "no variable"),
        (Apply("__import__", ()), "no operator"),
        (Apply("num.gt", (N,)), "takes 2 operands"),
        (Apply("num.gt", (N, S)), "expected number, found string"),
        (Apply("num.gt", (N, Constant(True))), "expected number, found boolean"),
        (Apply("str.matches", (S, S)), "no constant text"),
        (Call("f", ()), "no function 'f'"),
        (Make("tests.rules.Everything", ()), "made of its members"),
        (Apply("ts.gt", (Meta("event", "time"), Member(EVENT, "at"))), "only the event itself"),
        (N, "expected boolean, found number"),
    ],
)
def test_a_predicate_that_makes_no_sense_is_refused(expression: Expression, told: str) -> None:
    with pytest.raises(RuleError, match=told):
        compile_where(Where(TYPE, expression))


def test_a_name_that_python_reads_as_another_is_refused() -> None:
    declared = EventType("T", (MemberType("ﬁ", "boolean"), MemberType("fi", "boolean")))
    with pytest.raises(RuleError, match="no name of a member"):
        compile_where(Where(declared, Member(EVENT, "fi")))


def test_only_fields_of_the_class_are_asked_for() -> None:
    @broker.event(name="tests.rules.Guarded")
    class Guarded:
        n: float

        @property
        def secret(self) -> bool:
            raise AssertionError("called by a predicate")

    declared = EventType("tests.rules.Guarded", (MemberType("n", "string"), MemberType("secret", "boolean")))
    with pytest.raises(RuleError, match="has no member 'secret'"):
        compile_where(Where(declared, Member(EVENT, "secret")), Guarded)
    with pytest.raises(RuleError, match="expected string, it is number"):
        compile_where(Where(declared, Apply("str.eq", (N, Constant("a")))), Guarded)


def test_events_may_have_names_that_are_no_identifiers() -> None:
    @broker.event(name="a disk, full")
    class Strange:
        n: float

    predicate = compile_where(Where(event_type(Strange), Apply("num.gt", (N, Constant(1)))), Strange)
    assert predicate(Strange(2))
    declared = EventType("a disk, full", (MemberType("n", "number"),))
    assert compile_where(Where(declared, Apply("num.gt", (N, Constant(1)))), broker.Event)(
        broker.Event("a disk, full", (2,))
    )


def test_events_of_another_class_are_false_and_nothing_is_raised() -> None:
    predicate = compile_where(where("num.gt", N, Constant(0)))
    assert [predicate(event) for event in (None, 3, object(), everything(n="a"), everything(n=[1]))] == [False] * 5
    assert not compile_where(where("num.ne", N, Constant(0)))(None)


@pytest.mark.parametrize("operator", ["num.eq", "num.ne", "num.lt", "num.ge"])
@pytest.mark.parametrize("operands", [(N, M), (M, N), (M, Constant(1)), (Constant(None), M), (M, M)])
def test_comparisons_with_none_are_false(operator: str, operands: tuple[Expression, ...]) -> None:
    assert not compile_where(where(operator, *operands))(everything(n=1))


def test_events_of_unknown_classes_are_asked_by_their_arguments() -> None:
    declared = EventType("Disk", (MemberType("host", "string"), MemberType("used", "vector")))
    asked = Where(declared, Apply("vec.gt", (Member(EVENT, "used"), Apply("vec.of", (Constant(0.5),)))))
    predicate, keep = compile_where(asked, broker.Event), compile_filter(asked, broker.Event)
    full = broker.Event("Disk", ("a", [0.9]))
    others = [broker.Event("Disk", ("a", [0.1])), broker.Event("Disk", ("a",)), broker.Event("Disc", ("a", [0.9]))]
    others.append(broker.Event("Disk", (0.9, 0.9)))
    assert predicate(full)
    assert keep([full, *others, full]) == [full, full]
    assert not predicate(everything())


def test_expressions_as_deep_and_as_broad_as_can_be_are_compiled() -> None:
    expression: Expression = N
    for _ in range(95):
        expression = Apply("num.add", (Constant(1), expression))
    for operator in ("num.gt", "num.lt"):
        assert compile_where(where(operator, expression, Constant(94.5)))(everything(n=0)) is (operator == "num.gt")
    broad = Apply("bool.or", tuple(Apply("num.eq", (N, Constant(number))) for number in range(2_000)))
    assert compile_where(Where(TYPE, broad))(everything(n=1_999))
    too_broad = Apply("bool.or", (broad, broad))
    with pytest.raises(RuleError, match=r"more than 10,000 parts"):
        compile_where(Where(TYPE, too_broad))


def test_joined_texts_do_not_grow_without_bound() -> None:
    doubled: Expression = S
    for _ in range(10):
        doubled = Apply("str.concat", (doubled, doubled))
    predicate = compile_where(Where(TYPE, Apply("num.ge", (Apply("str.len", (doubled,)), Constant(0)))))
    assert predicate(everything(s="a" * 1024))
    assert not predicate(everything(s="a" * 1025))
