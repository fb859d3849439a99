"""Every operator of the model, as the language writes it, and what is written of the language's own functions."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest
from language_programs import loaded, operators, problems, said

from broker.rules.language import load
from broker.rules.model import OPERATORS, Aggregate, Apply, Call, Constant, Expression, Make, Member, Meta, Name, walk

D = Name("d")
USED, OK, IP, AT, LONG, WHAT, V, HOST = (
    Member(D, name) for name in ("used", "ok", "ip", "at", "long", "what", "v", "host")
)


def apply(operator: str, *operands: Expression) -> Apply:
    return Apply(operator, operands)


def _comparisons(prefix: str, member: str, value: Expression, signs: str) -> list[tuple[str, Apply]]:
    names = {"==": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
    return [(f"d.{member} {sign} d.{member}", apply(f"{prefix}.{names[sign]}", value, value)) for sign in signs.split()]


ALL, EQUALITY = "== != < > <= >=", "== !="
CONDITIONS: list[tuple[str, Expression]] = [
    *_comparisons("num", "used", USED, ALL),
    *_comparisons("vec", "v", V, ALL),
    *_comparisons("str", "host", HOST, ALL),
    *_comparisons("addr", "ip", IP, ALL),
    *_comparisons("ts", "at", AT, ALL),
    *_comparisons("dur", "long", LONG, ALL),
    *_comparisons("bool", "ok", OK, EQUALITY),
    *_comparisons("any", "what", WHAT, EQUALITY),
    ("d.what == 1", apply("any.eq", WHAT, Constant(1))),
    ("d.host != d.what", apply("any.ne", HOST, WHAT)),
    ("d.what contains d.used", apply("any.contains", WHAT, USED)),
    ("d.used in d.what", apply("any.contains", WHAT, USED)),
    ("d.ok and d.ok and d.ok", apply("bool.and", OK, OK, OK)),
    ("d.ok or d.ok", apply("bool.or", OK, OK)),
    ("not d.ok", apply("bool.not", OK)),
    ("d.v contains d.used", apply("vec.contains", V, USED)),
    ("d.used in d.v", apply("num.in", USED, V)),
    ("d.used in [1, 2]", apply("num.in", USED, Constant((1, 2)))),
    ('d.host contains "a"', apply("str.contains", HOST, Constant("a"))),
    ('"a" in d.host', apply("str.contains", HOST, Constant("a"))),
    ('d.host in ["a", "b"]', apply("str.in", HOST, Constant(("a", "b")))),
    ('d.host matches "^a+$"', apply("str.matches", HOST, Constant("^a+$"))),
    ('d.ip in "10.0.0.0/8"', apply("addr.in", IP, Constant(ip_network("10.0.0.0/8")))),
    ('d.ip in "fe80::1"', apply("addr.in", IP, Constant(ip_network("fe80::1/128")))),
    ('d.ip == "10.0.0.1"', apply("addr.eq", IP, Constant(ip_address("10.0.0.1")))),
    ('"::1" != d.ip', apply("addr.ne", Constant(ip_address("::1")), IP)),
    ("true", Constant(True)),
    ("false", Constant(False)),
]  # fmt: skip

VALUES: list[tuple[str, str, Expression]] = [
    ("d.used + d.used", "used", apply("num.add", USED, USED)),
    ("d.used - d.used", "used", apply("num.sub", USED, USED)),
    ("d.used * d.used", "used", apply("num.mul", USED, USED)),
    ("d.used / d.used", "used", apply("num.div", USED, USED)),
    ("d.used ^ d.used", "used", apply("num.pow", USED, USED)),
    ("-d.used", "used", apply("num.neg", USED)),
    ("-5", "used", Constant(-5)),
    ("-0", "used", apply("num.neg", Constant(0))),
    ("-9223372036854775809", "used", Constant(-9223372036854775808.0)),
    ("abs(d.used)", "used", apply("num.abs", USED)),
    ("min(d.used, 1)", "used", apply("num.min", USED, Constant(1))),
    ("max(d.used, 1, 2)", "used", apply("num.max", USED, Constant(1), Constant(2))),
    ("[d.used, 1]", "v", apply("vec.of", USED, Constant(1))),
    ("[1, -2.5]", "v", Constant((1, -2.5))),
    ("d.v + d.v", "v", apply("vec.add", V, V)),
    ("d.v - d.v", "v", apply("vec.sub", V, V)),
    ("-d.v", "v", apply("vec.neg", V)),
    ("d.used * d.v", "v", apply("vec.scale", USED, V)),
    ("d.v * d.used", "v", apply("vec.scale", USED, V)),
    ("d.v ^ d.used", "used", apply("vec.pow", V, USED)),
    ("len(d.v)", "used", apply("vec.len", V)),
    ("len(d.host)", "used", apply("str.len", HOST)),
    ("d.host + d.host", "host", apply("str.concat", HOST, HOST)),
    ("lower(d.host)", "host", apply("str.lower", HOST)),
    ("d.at - d.at", "long", apply("ts.sub", AT, AT)),
    ("d.at + d.long", "at", apply("ts.plus", AT, LONG)),
    ("d.at - 1s", "at", apply("ts.minus", AT, Constant(timedelta(seconds=1)))),
    ("d.long + d.long", "long", apply("dur.add", LONG, LONG)),
    ("d.long - d.long", "long", apply("dur.sub", LONG, LONG)),
    ("-d.long", "long", apply("dur.neg", LONG)),
    ("abs(d.long)", "long", apply("dur.abs", LONG)),
    ("2 * d.long", "long", apply("dur.scale", Constant(2), LONG)),
    ("d.long * 2", "long", apply("dur.scale", Constant(2), LONG)),
    ("d.long / 2", "long", apply("dur.shrink", LONG, Constant(2))),
    ("d.long / d.long", "used", apply("dur.ratio", LONG, LONG)),
    ("time(d)", "at", Meta("d", "time")),
    ("topic(d)", "host", Meta("d", "topic")),
    ("origin(d)", "host", Meta("d", "origin")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CONDITIONS)
def test_conditions(text: str, expected: Expression) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(("text", "like", "expected"), VALUES)
def test_values(text: str, like: str, expected: Expression) -> None:
    """``like`` is a member of the same type: comparing with it shows the type of the value."""
    body = said(f"{text} == d.{like}")
    assert isinstance(body, Apply)
    assert body.operands == (expected, Member(D, like))


def test_every_operator_of_the_model_can_be_written() -> None:
    reached = {name for _, expected in CONDITIONS for name in operators(expected)}
    reached |= {name for *_, expected in VALUES for name in operators(expected)}
    assert reached == set(OPERATORS)


def test_no_other_operands_go_with_an_operator() -> None:
    """Of all pairs of types exactly those of the model's table go with each sign, and those that are turned round."""
    kinds = {"used": "number", "ok": "boolean", "ip": "address", "at": "timestamp", "long": "duration", "v": "vector",
             "host": "string", "what": "any"}  # fmt: skip
    table = {(operator.text, operator.operands) for operator in OPERATORS.values()}
    turned = {("*", ("vector", "number")), ("*", ("duration", "number")), ("in", ("string", "string"))}
    for sign in ("==", "<", "+", "-", "*", "/", "^", "in", "contains"):
        for left, first in kinds.items():
            wrong = []
            for right, second in kinds.items():
                of_any = (sign == "==" and "any" in (first, second)) or (sign, first) == ("contains", "any")
                of_any = of_any or (sign, second) == ("in", "any")
                fits = (sign, (first, second)) in table | turned or of_any
                wrong += [] if fits else [right]
            body = " or ".join(f"(d.{left} {sign} d.{right}) == d.{right}" for right in wrong)
            if body:
                told = [what for _, _, what in problems(f"predicate p(Disk d) := {body};")]
                assert len(told) == len(wrong), (sign, left, told)
                assert all(what.startswith(f"'{sign}' does not go with") or "constant" in what for what in told)


@pytest.mark.parametrize("function", ["sum", "mean", "min", "max", "slope"])
def test_aggregates_of_numbers(function: str) -> None:
    body = _of_group(f"{function}(d.used * 100) > 3")
    item = apply("num.mul", USED, Constant(100))
    assert body == apply("num.gt", Aggregate(function, "d", item), Constant(3))  # type: ignore[arg-type]


def test_other_aggregates() -> None:
    assert _of_group("count(d) > 3") == apply("num.gt", Aggregate("count", "d", D), Constant(3))
    assert _of_group("percentile(d.used, 99.5) > 3") == apply(
        "num.gt", Aggregate("percentile", "d", USED, 99.5), Constant(3)
    )
    assert _of_group("distinct(d.host) > 3") == apply("num.gt", Aggregate("distinct", "d", HOST), Constant(3))
    assert _of_group("first(d.host) == last(d.host)") == apply(
        "str.eq", Aggregate("first", "d", HOST), Aggregate("last", "d", HOST)
    )
    assert _of_group("last(time(d)) > first(d.at)") == apply(
        "ts.gt", Aggregate("last", "d", Meta("d", "time")), Aggregate("first", "d", AT)
    )
    assert _of_group("max(mean(d.used), 3) > 1") == apply(
        "num.gt", apply("num.max", Aggregate("mean", "d", USED), Constant(3)), Constant(1)
    )
    assert _of_group("big(last(d)) and many(d)") == apply(
        "bool.and", Call("big", (Aggregate("last", "d", D),)), Call("many", (D,))
    )


def _of_group(text: str) -> Expression:
    functions = {function.name: function for function in loaded(f"predicate it(Disk+ d) := {text};").functions}
    return functions["it"].body


def test_a_programs_own_names_come_before_the_languages() -> None:
    text = """
event E { count: number };
predicate mean(E e) := e.count > 1;
E abs(E e) := e;
predicate p(E true) := mean(true) and true.count > 1 and mean(abs(true));
true = 3;
predicate q(E e) := e.count > true and not false;
"""
    bodies = {function.name: function.body for function in load(text).functions}
    true = Name("true")
    assert bodies["p"] == apply(
        "bool.and",
        Call("mean", (true,)),
        apply("num.gt", Member(true, "count"), Constant(1)),
        Call("mean", (Call("abs", (true,)),)),
    )
    assert bodies["q"] == apply(
        "bool.and",
        apply("num.gt", Member(Name("e"), "count"), Constant(3)),
        apply("bool.not", Constant(False)),
    )


def test_a_child_stands_where_its_parent_is_accepted() -> None:
    program = loaded(
        "predicate later(Timed a, Timed b) := b.t > a.t; Timed up(Position p) := p;"
        "predicate p(Position a) := later(a, up(a)); R: [Position, Position : later] -> made();"
    )
    (rule,) = program.rules
    assert rule.clauses[0].expression == Call("later", (Name("event1"), Name("event2")))


def test_new_events_have_their_members_in_the_order_of_the_type() -> None:
    program = loaded('Position f(Disk d) := { p = [2], t = [1] }; event Ip { x: address }; Ip g() := { x = "::1" };')
    bodies = {function.name: function.body for function in program.functions}
    assert bodies["f"] == Make("Position", (("t", Constant((1,))), ("p", Constant((2,)))))
    assert bodies["g"] == Make("Ip", (("x", Constant(ip_address("::1"))),))
    nested = loaded('Alarm h() := alarm2({ host = "x" }); Alarm alarm2(Alarm a) := a;').functions[-2]
    assert nested.body == Call("alarm2", (Make("Alarm", (("host", Constant("x")),)),))


def test_integers_stay_exact() -> None:
    body = said("d.used == 18446744073709551615")
    assert [part.value for part in walk(body) if isinstance(part, Constant)] == [2**64 - 1]
