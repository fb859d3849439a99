"""Whole rules in Python: steps, conditions, and what is made of a match.

    failed, ok = rules.group_of(LoginFailed), rules.of(LoginOk)
    guessed = (
        rules.rule("Guessed", failed, ok)
        .where(rules.count(failed) >= 5, failed.user == ok.user)
        .within(60)
        .per(ok.host)
        .make(Alarm, host=ok.host, times=rules.count(failed))
        .to("alarms/login")
    )
    program = rules.program(guessed)

Each method gives a new rule and leaves the one it is called on as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, get_args

import attrs

from broker.errors import RuleError
from broker.events import class_named
from broker.rules.event_types import event_type
from broker.rules.model import (
    Clause,
    Constant,
    EventType,
    Expression,
    Limit,
    Make,
    Program,
    Rule,
    Select,
    Step,
    Window,
)
from broker.rules.model import Member as MemberOf
from broker.rules.model.checking import check
from broker.rules.model.substitution import renamed
from broker.rules.spelling.terms import Predicate, Term, Variable, as_term, shown_term
from broker.rules.spelling.variables import EventVariable, seconds_to_ns, suggestion, variable_of
from broker.topics import normalize_prefix, normalize_topic

__all__ = ["RuleSpelling", "program", "rule"]

_Seconds = float | timedelta
_NONE: Final = Constant(None)


@attrs.frozen(eq=False, repr=False)
class RuleSpelling:
    """A rule on its way; :func:`rule` begins one, :func:`program` makes a program of several."""

    name: str
    _variables: tuple[Variable, ...]
    _rule: Rule
    _types: tuple[EventType, ...]
    _clauses: tuple[Predicate, ...] = ()
    _topic: Term | None = None
    _made: tuple[str, tuple[tuple[str, Term], ...]] | None = None

    def where(self, *conditions: Term | bool) -> RuleSpelling:
        """All of these have to hold, beside those that were given before."""
        found = []
        for condition in conditions:
            term = self._own(condition, "a condition")
            if not isinstance(term, Predicate):
                raise TypeError(f"{shown_term(term)} is a {term.type}, and no condition")
            found.append(term)
        return attrs.evolve(self, clauses=(*self._clauses, *found))

    def within(self, seconds: _Seconds) -> RuleSpelling:
        """The last event comes at most so long after the first one."""
        return self._with(within_ns=seconds_to_ns(seconds, "within"))

    def per(self, *members: Term) -> RuleSpelling:
        """Events belong together if these members are equal: ``.per(disk.host)``; each step has one of that name."""
        names = []
        for member in members:
            term = self._own(member, "per")
            if not isinstance(term.expression, MemberOf):
                raise TypeError(f"per {shown_term(term)}: expected members of the events, such as disk.host")
            names.append(term.expression.name)
        return self._with(per=tuple(names))

    def select(self, which: Select) -> RuleSpelling:
        """Which of the matches that one event completes are reported: ``each`` (the default), ``first``, ``last``."""
        if which not in get_args(Select):
            raise ValueError(f"select: expected one of {', '.join(get_args(Select))}, found {which!r}")
        return self._with(select=which)

    def consume(self) -> RuleSpelling:
        """Events of a reported match are not used again by this rule."""
        return self._with(consume=True)

    def limit(self, count: int, per: _Seconds) -> RuleSpelling:
        """At most so many reports in any so many seconds of event time."""
        return self._with(limit=Limit(count, seconds_to_ns(per, "limit's per")))

    def over(
        self, *, events: int | None = None, seconds: _Seconds | None = None, every: _Seconds | None = None
    ) -> RuleSpelling:
        """A window: the rule's one group holds its last so many events, or those of the last so many seconds.

        It is looked at with each event, or ``every`` so many seconds of event time.
        """
        if (events is None) is (seconds is None):
            raise TypeError("a window is over events=... or over seconds=...")
        if len(self._variables) != 1 or not self._variables[0].group:
            raise TypeError("a rule with a window has one variable, and that is a group_of(...)")
        length_ns = None if seconds is None else seconds_to_ns(seconds, "a window's length")
        every_ns = None if every is None else seconds_to_ns(every, "every")
        return self._with(window=Window(events, length_ns, every_ns))

    def on(self, *prefixes: str) -> RuleSpelling:
        """Only events on topics with one of these prefixes are seen."""
        return self._with(listens=tuple(map(normalize_prefix, prefixes)))

    def make(self, cls: type | EventType, **members: Any) -> RuleSpelling:
        """Make an event of each match, of these members (terms or constants); those with a default can be left out."""
        kind = cls if isinstance(cls, EventType) else event_type(cls)
        given = ({} if isinstance(cls, EventType) else _defaults(cls)) | members
        names = [member.name for member in kind.members]
        for name in members:
            if name not in names:
                raise TypeError(f"{kind.name} has no member {name!r}{suggestion(name, names)}")
        missing = [name for name in names if name not in given]
        if missing:
            raise TypeError(f"{kind.name} is made without {', '.join(missing)}")
        made = []
        for member in kind.members:
            value = given[member.name]
            term = self._own(value, f"{kind.name}.{member.name}") if value is not None else Term(_NONE, "", {})
            if term.type not in ("", member.type) and member.type != "any":
                raise TypeError(f"{kind.name}.{member.name} is a {member.type}, and {shown_term(term)} a {term.type}")
            made.append((member.name, term))
        return attrs.evolve(self, made=(kind.name, tuple(made)), types=(*self._types, kind))

    def to(self, topic: str | Term) -> RuleSpelling:
        """The event that is made is published there: a topic, or a term that gives one."""
        if isinstance(topic, str):
            topic = normalize_topic(topic)
        term = self._own(topic, "a topic")
        if term.type != "string":
            raise TypeError(f"a topic is a string, and {shown_term(term)} a {term.type}")
        return attrs.evolve(self, topic=term)

    def do(self, *actions: str) -> RuleSpelling:
        """The actions of these names are called with what is made, or with the match."""
        return self._with(actions=actions)

    # -- lowering ----------------------------------------------------------------------------------------------------

    def _with(self, **changes: Any) -> RuleSpelling:
        return attrs.evolve(self, rule=attrs.evolve(self._rule, **changes))

    def _own(self, value: object, what: str) -> Term:
        """A term over variables of this rule."""
        term = as_term(value)
        for key, variable in term.variables.items():
            if all(key != own.key for own in self._variables):
                raise RuleError.at(
                    self.name, f"{what}: {shown_term(term)} is about {variable.name}, which is no step of this rule"
                )
        return term

    @property
    def model(self) -> Rule:
        """The rule as data."""
        names = self._names()

        def lowered(term: Term | None) -> Expression | None:
            return None if term is None else renamed(term.expression, names)

        steps = tuple(
            Step(names[each.key], each.type.name, each.group, each.absent, each.within_ns) for each in self._variables
        )
        clauses = tuple(Clause(renamed(each.expression, names)) for each in self._clauses)
        make = None
        if self._made is not None:
            kind, members = self._made
            make = Make(kind, tuple((name, renamed(term.expression, names)) for name, term in members))
        return attrs.evolve(self._rule, steps=steps, clauses=clauses, make=make, topic=lowered(self._topic))

    def _names(self) -> dict[str, str]:
        """What each variable is called in the rule: its own name, with a number if an earlier one has it."""
        names: dict[str, str] = {}
        for variable in self._variables:
            name, number = variable.name, 1
            while name in names.values():
                number += 1
                name = f"{variable.name}_{number}"
            names[variable.key] = name
        return names

    @property
    def types(self) -> tuple[EventType, ...]:
        """The event types that it mentions."""
        return (*(variable.type for variable in self._variables), *self._types)

    def __repr__(self) -> str:
        return f"<rule {self.name}>"


def _defaults(cls: Any) -> dict[str, Any]:
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    plain = [field for field in fields if field.default is not attrs.NOTHING]
    return {field.name: field.default for field in plain if not isinstance(field.default, attrs.Factory)}  # type: ignore[arg-type]


def rule(name: str, *steps: EventVariable[Any]) -> RuleSpelling:
    """Begin a rule: the events that it waits for, in the order of the stream."""
    if not steps:
        raise TypeError(f"{name}: a rule needs events: rule({name!r}, of(DiskUsage))")
    variables = tuple(map(variable_of, steps))
    if len({variable.key for variable in variables}) < len(variables):
        raise TypeError(f"{name}: each step needs an of(...) of its own")
    return RuleSpelling(name, variables, Rule(name, ()), ())


def program(*rules: RuleSpelling) -> Program:
    """A program of these rules, checked as a whole.  Raises RuleError that tells all that is wrong."""
    types: dict[str, EventType] = {}
    for kind in _with_ancestors(kind for each in rules for kind in each.types):
        if types.setdefault(kind.name, kind) != kind:
            raise RuleError.at("", f"there are two event types {kind.name!r}")
    made = Program(tuple(types.values()), (), tuple(each.model for each in rules))
    problems = check(made)
    if problems:
        raise RuleError(problems)
    return made


def _with_ancestors(types: Iterable[EventType]) -> Iterable[EventType]:
    for kind in types:
        line = [kind]
        while line[-1].parent is not None:
            parent = class_named(line[-1].parent)
            if parent is None:
                break
            line.append(event_type(parent))
        yield from reversed(line)
