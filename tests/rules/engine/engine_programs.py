"""Small programs and streams for tests of the engine, fixed and random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import strategies as st

from broker.events import Event
from broker.messages import Message
from broker.rules.compiling import class_for
from broker.rules.model import (
    Aggregate,
    Apply,
    Clause,
    Constant,
    EventType,
    Expression,
    Limit,
    Make,
    Member,
    MemberType,
    Name,
    Program,
    Rule,
    Step,
    Window,
)
from broker.rules.model.expressions import AggregateFunction

MEMBERS = (MemberType("id", "number"), MemberType("k", "number", optional=True), MemberType("x", "number"))
TYPES = (
    EventType("A", MEMBERS),
    EventType("B", MEMBERS),
    EventType("C", MEMBERS),
    EventType("D", MEMBERS, parent="C"),
    EventType("Out", (MemberType("x", "number"),)),
    EventType("Two", (MemberType("x", "number"),)),
)
CLASSES = {each.name: class_for(each) for each in TYPES}
NAMES = ("A", "A", "B", "C", "D")


def member(variable: str, name: str) -> Expression:
    return Member(Name(variable), name)


def number(operator: str, left: Expression | float, right: Expression | float) -> Expression:
    """``left operator right``, of numbers."""
    operands = (each if not isinstance(each, int | float) else Constant(each) for each in (left, right))
    return Apply(f"num.{operator}", tuple(operands))


def count(group: str) -> Expression:
    return Aggregate("count", group, Name(group))


def rule(name: str, steps: Sequence[Step], *clauses: Expression, **further: Any) -> Rule:
    """A rule that makes an Out with x = 1 and publishes it to its own name."""
    fields: dict[str, Any] = {"make": Make("Out", (("x", Constant(1)),)), "topic": Constant(name)} | further
    return Rule(name, tuple(steps), tuple(Clause(clause) for clause in clauses), **fields)


def program(*rules: Rule, **further: Any) -> Program:
    return Program(types=TYPES, rules=rules, **further)


def message(name: str, time_ns: int, id_: int = 0, k: Any = 0, x: Any = 0, *, origin: str = "o") -> Message:
    """A message as it comes in: every third one as a plain Event, the others as instances."""
    event = Event(name, (id_, k, x)) if id_ % 3 == 2 else CLASSES[name](id_, k, x)
    return Message(f"t/{name}", event, time_ns, origin)


# --- random ones ---------------------------------------------------------------------------------------------------

FIGURES: tuple[AggregateFunction, ...] = ("sum", "mean", "min", "max", "distinct", "first", "last", "slope")
small = st.integers(0, 3)
comparisons = st.sampled_from(["eq", "ne", "ne", "le", "ge", "ge"])


@st.composite
def streams(draw: st.DrawFn, max_size: int = 12) -> list[Message]:
    """Messages in the order of their times, numbered."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.sampled_from([0, 0, 0, 0, 1, None]), small),
            min_size=max_size // 3,
            max_size=max_size,
        )
    )
    time = 0
    found = []
    for id_, (name, later, k, x) in enumerate(rows):
        time += later
        found.append(message(name, time, id_, k, x))
    return found


@st.composite
def _steps(draw: st.DrawFn) -> list[Step]:
    kinds = draw(st.lists(st.sampled_from(["one", "one", "one", "group", "absent"]), min_size=1, max_size=4))
    return [
        Step(f"v{place}", draw(st.sampled_from("AABC")), group=kind == "group", absent=kind == "absent")
        for place, kind in enumerate(kinds)
    ]


@st.composite
def _clause(draw: st.DrawFn, steps: Sequence[Step]) -> Expression:
    step = draw(st.sampled_from(steps))
    kind = draw(st.sampled_from(["own", "pair", "aggregate", "and"]))
    other = draw(st.sampled_from(steps))
    if kind == "pair" and other is not step:
        return number(draw(comparisons), member(step.name, "x"), member(other.name, "x"))
    groups = [each for each in steps if each.group and not each.absent]
    if kind == "aggregate" and groups:
        group = draw(st.sampled_from(groups)).name
        figure = draw(
            st.sampled_from([count(group)] + [Aggregate(each, group, member(group, "x")) for each in FIGURES[:5]])
        )
        singles = [each for each in steps if not each.group]
        with_event = bool(singles) and draw(st.booleans())
        if with_event:
            return number(draw(comparisons), figure, member(draw(st.sampled_from(singles)).name, "x"))
        return number(draw(comparisons), figure, draw(small))
    own = number(draw(comparisons), member(step.name, "x"), draw(small))
    if kind == "and":
        return Apply("bool.and", (own, draw(_clause(steps))))
    return own


@st.composite
def patterns(draw: st.DrawFn) -> Rule:
    """A rule with a pattern; not all of them make sense: ``check`` tells."""
    steps = draw(_steps())
    clauses = draw(st.lists(_clause(steps), max_size=2))
    within = draw(st.none() | st.integers(2, 10))
    if steps[-1].absent and draw(st.integers(0, 1)):
        steps[-1] = attrs.evolve(steps[-1], within_ns=draw(st.integers(1, 4)))
    return rule(
        "random",
        steps,
        *clauses,
        within_ns=within,
        per=draw(st.sampled_from([(), (), ("k",)])),
        select=draw(st.sampled_from(["each", "each", "first", "last"])),
        consume=draw(st.booleans()),
        limit=draw(st.none() | st.none() | st.builds(Limit, st.integers(1, 2), st.integers(1, 6))),
        listens=draw(st.sampled_from([()] * 7 + [("t/A", "t/B")])),
    )


@st.composite
def windows(draw: st.DrawFn) -> Rule:
    """A rule with a window."""
    step = Step("v0", draw(st.sampled_from("ABC")), group=draw(st.booleans()))
    length = draw(st.booleans())
    clauses = []
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            clauses.append(number(draw(comparisons), member("v0", "x"), draw(small)))
        else:
            figure = draw(
                st.sampled_from(
                    [count("v0"), Aggregate("percentile", "v0", member("v0", "x"), 50.0)]
                    + [Aggregate(each, "v0", member("v0", "x")) for each in FIGURES]
                )
            )
            clauses.append(number(draw(comparisons), figure, draw(small)))
    return rule(
        "random",
        [step],
        *clauses,
        window=Window(
            count=None if length else draw(st.integers(1, 5)),
            length_ns=draw(st.integers(1, 8)) if length else None,
            every_ns=draw(st.none() | st.integers(1, 5)),
        ),
        make=Make("Out", (("x", Aggregate("sum", "v0", member("v0", "x"))),)),
        per=draw(st.sampled_from([(), ("k",)])),
        consume=draw(st.booleans()),
        limit=draw(st.none() | st.builds(Limit, st.integers(1, 2), st.integers(1, 6))),
    )
