"""Whole programs: what rules become in the model, and what is calculated."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network

import pytest
from language_programs import SLIDES, loaded, problems

from broker.rules.language import check, load, parse
from broker.rules.model import (
    Aggregate,
    Apply,
    Call,
    Clause,
    Constant,
    EventType,
    Function,
    Limit,
    Make,
    Member,
    MemberType,
    Name,
    Parameter,
    Rule,
    Step,
    Window,
    from_data,
    to_data,
    walk,
)
from broker.rules.model.rules import Program

A, B, D = Name("a"), Name("b"), Name("d")


def rule(text: str) -> Rule:
    (found,) = loaded(text).rules
    return found


def test_the_published_program() -> None:
    time, position = MemberType("time", "vector"), MemberType("position", "vector")
    of_a, of_b = (Parameter(name, "PositionEvent") for name in ("a", "b"))
    velocity = Apply(
        "vec.scale",
        (
            Apply("vec.pow", (Apply("vec.sub", (Member(B, "time"), Member(A, "time"))), Constant(-1))),
            Apply("vec.sub", (Member(B, "position"), Member(A, "position"))),
        ),
    )
    events = (Name("event1"), Name("event2"))
    assert load(SLIDES) == Program(
        (
            EventType("TimedEvent", (time,)),
            EventType("PositionEvent", (time, position), "TimedEvent"),
            EventType("VelocityEvent", (MemberType("velocity", "vector"),)),
        ),
        (
            Function(
                "calculateVelocity", (of_a, of_b), "VelocityEvent", Make("VelocityEvent", (("velocity", velocity),))
            ),
            Function(
                "positionCheck",
                (of_a, of_b),
                "boolean",
                Apply("vec.gt", (Member(B, "position"), Member(A, "position"))),
            ),
            Function("timeCheck", (of_a, of_b), "boolean", Apply("vec.gt", (Member(B, "time"), Member(A, "time")))),
        ),
        (
            Rule(
                "VelocityRule",
                (Step("event1", "PositionEvent"), Step("event2", "PositionEvent")),
                (
                    Clause(Call("positionCheck", events), "positionCheck"),
                    Clause(Call("timeCheck", events), "timeCheck"),
                ),
                Call("calculateVelocity", events),
            ),
        ),
    )


def test_declarations_may_stand_in_any_order() -> None:
    lines = SLIDES.splitlines()
    backwards = load("\n".join(reversed(lines)))
    assert set(backwards.types) == set(load(SLIDES).types)
    assert set(backwards.functions) == set(load(SLIDES).functions)
    assert backwards.rules == load(SLIDES).rules


def test_what_is_loaded_can_be_carried() -> None:
    program = load(SLIDES)
    assert from_data(to_data(program), Program) == program


def test_steps_and_their_names() -> None:
    steps = rule("R: [Disk event2, Disk, Disk+, !Disk c, !Disk within 5s] within 1m -> made();").steps
    assert steps == (
        Step("event2", "Disk"),
        Step("event2_", "Disk"),
        Step("event3", "Disk", group=True),
        Step("c", "Disk", absent=True),
        Step("event5", "Disk", absent=True, within_ns=5_000_000_000),
    )


def test_modifiers() -> None:
    found = rule('R: [Disk d, Disk e] on "a//", "b" within 1m per host, ok last consume limit 3 per 1h -> pair;')
    assert (found.listens, found.within_ns, found.per) == (("a/", "b"), 60_000_000_000, ("host", "ok"))
    assert (found.select, found.consume, found.limit) == ("last", True, Limit(3, 3_600_000_000_000))
    assert rule("R: [Disk d] -> alarm;").select == "each"


def test_windows_are_of_a_group() -> None:
    found = rule("R: [Disk d : big, d.ok, many(d)] last 5m every 1m -> alarms;")
    assert found.steps == (Step("d", "Disk", group=True),)
    assert found.window == Window(length_ns=300_000_000_000, every_ns=60_000_000_000)
    assert rule("R: [Disk+ d] last 5 -> alarms;").window == Window(count=5)


def test_clauses_have_the_names_of_their_predicates() -> None:
    found = rule("R: [Disk d, !Disk e : big, big(e), d.used > 1] within 1s -> alarm;")
    assert [clause.name for clause in found.clauses] == ["big", "big", ""]
    assert [clause.expression for clause in found.clauses[:2]] == [Call("big", (D,)), Call("big", (Name("e"),))]


def test_clauses_ask_each_event_of_a_group_or_the_whole() -> None:
    found = rule("R: [Disk d, Disk+ e : e.used > d.used, big(e), mean(e.used) > d.used, many(e)] -> alarm(d);")
    used = Member(Name("e"), "used")
    assert [clause.expression for clause in found.clauses] == [
        Apply("num.gt", (used, Member(D, "used"))),
        Call("big", (Name("e"),)),
        Apply("num.gt", (Aggregate("mean", "e", used), Member(D, "used"))),
        Call("many", (Name("e"),)),
    ]


def test_results_topics_and_actions() -> None:
    found = rule('R: [Disk d, Disk+ e] -> alarm(last(e)) to "a/" + d.host do page, mail;')
    assert found.make == Call("alarm", (Aggregate("last", "e", Name("e")),))
    assert found.topic == Apply("str.concat", (Constant("a/"), Member(D, "host")))
    assert found.actions == ("page", "mail")
    assert rule('R: [Disk d] -> alarm to "a//b";').topic == Constant("a/b")
    assert rule("R: [Disk d] -> made();").make == Call("made", ())


SLIDES_OF_SCALARS = """
event PositionEvent { time = [0], pos = [1] } pos_a;
event PositionEvent { pos = [6], time = [2] } pos_b;
f = 1.123; v = [1, 2, f]; u = v + 3 * v;
speed = (pos_b.time - pos_a.time)^(-1) * (pos_b.pos - pos_a.pos);
later = after(pos_a, pos_b) and not after(pos_b, pos_a);
middle = between(pos_a, pos_b);
name = "web" + "-01"; pause = 2 * 90s; big = 2 ^ 0.5; none = 0 / 0; all = 1 / 0;
predicate after(PositionEvent a, PositionEvent b) := b.time > a.time;
PositionEvent between(PositionEvent a, PositionEvent b) :=
    { time = 0.5 * (a.time + b.time), pos = 0.5 * (a.pos + b.pos) };
"""


def test_constants_and_instances_are_calculated() -> None:
    values = check(parse(SLIDES_OF_SCALARS)).values
    assert str(values.pop("none")) == "nan"
    assert values == {
        "pos_a": {"time": (0,), "pos": (1,)},
        "pos_b": {"time": (2,), "pos": (6,)},
        "f": 1.123,
        "v": (1, 2, 1.123),
        "u": (4, 8, pytest.approx(4.492)),
        "speed": (2.5,),
        "later": True,
        "middle": {"time": (1,), "pos": (3.5,)},
        "name": "web-01",
        "pause": timedelta(minutes=3),
        "big": pytest.approx(1.41421356),
        "all": float("inf"),
    }


def test_constants_stand_in_rules_as_their_values() -> None:
    program = load(
        SLIDES_OF_SCALARS
        + """predicate fast(PositionEvent p) := p.pos > u and p.pos > pos_b.pos and after(pos_a, p);
        PositionEvent same() := pos_a;"""
    )
    bodies = {function.name: function.body for function in program.functions}
    first = Make("PositionEvent", (("time", Constant((0,))), ("pos", Constant((1,)))))
    pos = Member(Name("p"), "pos")
    assert bodies["fast"] == Apply(
        "bool.and",
        (
            Apply("vec.gt", (pos, Constant((4, 8, 1.123 + 3 * 1.123)))),
            Apply("vec.gt", (pos, Constant((6,)))),
            Call("after", (first, Name("p"))),
        ),
    )
    assert bodies["same"] == first


def test_constants_may_stand_for_texts_that_are_read() -> None:
    found = loaded(
        'net = "10." + "0.0.0/8"; pattern = "^a" + "b";predicate p(Disk d) := d.ip in net and d.host matches pattern;'
    )
    body = found.functions[-1].body
    assert [part.value for part in walk(body) if isinstance(part, Constant)] == [ip_network("10.0.0.0/8"), "^ab"]
    assert problems('net = "10." + "0"; predicate p(Disk d) := d.ip in net;') == [
        (1, 48, "'10.0' does not appear to be an IPv4 or IPv6 network")
    ]


def test_a_constant_without_a_value_is_told() -> None:
    ((line, column, what),) = problems("x = 100000d * 100000 * 100000;")
    assert (line, column) == (1, 1)
    assert what == "'x' has no value: what is calculated is out of range"


def test_the_first_instance_declares_a_type_that_is_declared_nowhere() -> None:
    program = load(
        'event Place { name = "x", at = 1.5, open = true, pos = [1], wait = 5s } a;'
        'event Sub extends Place { name = "y", at = 2, open = false, pos = [2], wait = 1s, more = [1] } b;'
    )
    place, sub = program.types
    assert [(member.name, member.type) for member in place.members] == [
        ("name", "string"),
        ("at", "number"),
        ("open", "boolean"),
        ("pos", "vector"),
        ("wait", "duration"),
    ]
    assert sub.parent == "Place"
    assert sub.members == (*place.members, MemberType("more", "vector"))
