"""Whether a model that comes from elsewhere makes sense: what is wrong, with the path to it.

``from_data`` has looked at classes, fields and bounds; here names are resolved, operands are held against the table
of operators, and what could run without end (functions that call themselves, rules that set off each other in a
circle) is found.  A program without problems can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from broker.errors import RuleProblem
from broker.rules.model.expressions import Call, Constant, Expression, Make, children, walk
from broker.rules.model.names import is_member_name, is_type_name
from broker.rules.model.rules import Function, Program, Rule, Where
from broker.rules.model.substitution import uses
from broker.rules.model.types import PLAIN, EventType, Type
from broker.rules.model.typing import Scope, Types, Variable

__all__ = ["DURATION_NS_MAX", "EXPANDED_DEPTH_MAX", "EXPANDED_MAX", "PROBLEMS_MAX", "STEPS_MAX", "check", "check_where"]

PROBLEMS_MAX: Final = 100
"""Problems that are told of one model: nobody reads more."""

STEPS_MAX: Final = 50
"""Steps of one pattern: as many as the engine takes."""

DURATION_NS_MAX: Final = 2**62
"""Nanoseconds of a duration: 146 years, so that times and durations can be added in 64 bits."""

EXPANDED_MAX: Final = 10_000
"""Parts of an expression with what it calls in the place of calls: a few functions that each call the one before twice
would else be larger than any memory."""

EXPANDED_DEPTH_MAX: Final = 200
"""The same for how deep it is nested."""


class _Check:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.problems: list[RuleProblem] = []
        self.types = Types({each.name: each for each in program.types})
        self.functions = {each.name: each for each in program.functions}
        self._sizes: dict[str, tuple[int, int]] = {}  # of functions: parts and depth

    def tell(self, path: str, what: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(RuleProblem("", 0, 0, path, what))

    def told_at(self, path: str) -> Callable[[str], None]:
        return lambda what: self.tell(path, what)

    def all(self) -> None:
        for what in ("types", "functions", "rules"):
            self._unique(what, [each.name for each in getattr(self.program, what)])
        for place, event_type in enumerate(self.program.types):
            self.event_type(event_type, f"types[{place}]")
        calls = {
            each.name: {part.function for part in walk(each.body) if isinstance(part, Call)}
            for each in self.program.functions
        }
        components = _components(calls)
        for place, function in enumerate(self.program.functions):
            self.function(function, f"functions[{place}]")
        for name in _in_circles(components, calls):
            self.tell("functions", f"{name:.80} calls itself, perhaps through others")
        for place, rule in enumerate(self.program.rules):
            self.rule(rule, f"rules[{place}]")
        if self.problems:
            return  # Sizes and circles of what does not fit together say nothing.
        for component in components:
            self._sizes |= {name: self._size(self.functions[name].body) for name in component}
        for path, expression in self._expressions():
            self.size(expression, path)
        for name in self._rules_in_circles():
            self.tell("rules", f"{name:.80} sets itself off by what it makes, perhaps through other rules")

    def _unique(self, what: str, names: list[str]) -> None:
        seen = set()
        for place, name in enumerate(names):
            if name in seen:
                self.tell(f"{what}[{place}]", f"there is another {name!r:.80} before it")
            seen.add(name)

    # -- types and functions -----------------------------------------------------------------------------------------

    def event_type(self, event_type: EventType, path: str) -> None:
        if not is_type_name(event_type.name) or event_type.name in PLAIN:
            self.tell(path, f"{event_type.name!r:.80} is no name of an event type")
        names = [member.name for member in event_type.members]
        if len(set(names)) < len(names):
            self.tell(path, f"{event_type.name:.80} has two members of one name")
        for member in event_type.members:
            if not is_member_name(member.name):
                self.tell(path, f"{member.name!r:.80} is no name of a member")
            if member.type not in PLAIN:
                self.tell(path, f"{member.name:.80}: there is no type {member.type!r:.80}")
        if event_type.parent is None:
            return
        parent = self.types.types.get(event_type.parent)
        if parent is None:
            self.tell(path, f"there is no event type {event_type.parent!r:.80} to extend")
        elif list(self.types.ancestors(event_type.name))[-1] != self._oldest(event_type):
            self.tell(path, f"{event_type.name:.80} extends itself, perhaps through others")
        elif event_type.members[: len(parent.members)] != parent.members:
            self.tell(path, f"{event_type.name:.80} does not begin with the members of {parent.name:.80}")

    def _oldest(self, event_type: EventType) -> str | None:
        """The ancestor that has no parent; None if there is none, because it goes in a circle."""
        return next(
            (name for name in self.types.ancestors(event_type.name) if self.types.types[name].parent is None), None
        )

    def function(self, function: Function, path: str) -> None:
        for parameter in function.parameters:
            if parameter.type not in self.types.types:
                self.tell(path, f"{parameter.name:.80}: there is no event type {parameter.type!r:.80}")
        if function.result != "boolean" and function.result not in self.types.types:
            self.tell(path, f"{function.name:.80}: it results in boolean or an event type, not {function.result!r:.80}")
        names = [parameter.name for parameter in function.parameters]
        self._unique(f"{path}.parameters", names)
        variables = {each.name: Variable(each.type, each.group) for each in function.parameters}
        scope = Scope(self.types, self.functions, variables, self.told_at(path))
        scope.expect(function.body, function.result, function.name[:80])

    def size(self, expression: Expression, path: str) -> None:
        parts, depth = self._size(expression)
        if parts > EXPANDED_MAX:
            self.tell(path, f"an expression of {parts:,} parts with what it calls; at most {EXPANDED_MAX:,}")
        elif depth > EXPANDED_DEPTH_MAX:
            self.tell(path, f"an expression nested {depth} deep with what it calls; at most {EXPANDED_DEPTH_MAX}")

    def _size(self, expression: Expression) -> tuple[int, int]:
        inside = [self._size(child) for child in children(expression)]
        parts, depth = 1 + sum(size for size, _ in inside), 1 + max((deep for _, deep in inside), default=0)
        if isinstance(expression, Call):
            called, deep = self._sizes[expression.function]
            parts, depth = parts + called, depth + deep
        return min(parts, 10**12), depth

    def _expressions(self) -> Iterable[tuple[str, Expression]]:
        for place, rule in enumerate(self.program.rules):
            path = f"rules[{place}]"
            yield from ((f"{path}.clauses[{number}]", each.expression) for number, each in enumerate(rule.clauses))
            yield from ((path, each) for each in (rule.make, rule.topic) if each is not None)

    # -- rules -------------------------------------------------------------------------------------------------------

    def rule(self, rule: Rule, path: str) -> None:
        if not rule.steps or len(rule.steps) > STEPS_MAX:
            self.tell(path, f"a rule has 1 to {STEPS_MAX} steps, not {len(rule.steps)}")
            return
        self._unique(f"{path}.steps", [step.name for step in rule.steps])
        for step in rule.steps:
            declared = self.types.types.get(step.type)
            if declared is None:
                self.tell(path, f"{step.name:.80}: there is no event type {step.type!r:.80}")
                continue
            for name in rule.per:
                if declared.member(name) is None:
                    self.tell(path, f"per {name!r:.80}: {step.type:.80} has no such member")
        self._absences(rule, path)
        self._times(rule, path)
        groups = rule.window is not None
        variables = {each.name: Variable(each.type, each.group or groups) for each in rule.steps}
        for number, clause in enumerate(rule.clauses):
            self._clause(clause.expression, variables, f"{path}.clauses[{number}]")
        present = {each.name: variables[each.name] for each in rule.steps if not each.absent}
        scope = Scope(self.types, self.functions, present, self.told_at(path))
        if rule.make is not None and scope.type_of(rule.make) not in self.types.types:
            self.tell(path, "what it makes is no event")
        if rule.topic is not None:
            scope.expect(rule.topic, "string", "its topic")
            if rule.make is None:
                self.tell(path, "it has a topic, and makes no event to publish there")

    def _clause(self, expression: Expression, variables: Mapping[str, Variable], path: str) -> None:
        """A clause asks of a group's events one by one, or of the group as a whole."""
        whole, single = uses(expression, self.functions)
        asked = {name: each for name, each in variables.items() if each.group}
        for name in sorted(whole & single & asked.keys()):
            self.tell(path, f"{name:.80} is asked for as a group and for each of its events in one clause")
        scoped = {
            name: Variable(each.type, group=each.group and name not in single) for name, each in variables.items()
        }
        Scope(self.types, self.functions, scoped, self.told_at(path)).expect(expression, "boolean", "a clause")

    def _absences(self, rule: Rule, path: str) -> None:
        present = [place for place, step in enumerate(rule.steps) if not step.absent]
        if not present:
            self.tell(path, "all its steps are absent ones: nothing could begin a match")
            return
        for place, step in enumerate(rule.steps):
            at_end = step.absent and place > present[-1]
            if step.absent and step.group:
                self.tell(path, f"{step.name:.80} is absent and a group")
            if step.within_ns is not None and not at_end:
                self.tell(path, f"{step.name:.80}: only an absent step at the end has a `within` of its own")
            if rule.within_ns is None and step.absent and place < present[0]:
                self.tell(path, f"{step.name:.80}: an absent step at the beginning looks back for the rule's `within`")
            if rule.within_ns is None and step.within_ns is None and at_end:
                self.tell(path, f"{step.name:.80}: an absent step at the end needs a `within`, its own or the rule's")

    def _times(self, rule: Rule, path: str) -> None:
        durations = {f"within of {step.name:.80}": step.within_ns for step in rule.steps} | {"within": rule.within_ns}
        if rule.limit is not None:
            durations["limit's per"] = rule.limit.per_ns
            self._positive("limit", rule.limit.count, path)
        window = rule.window
        if window is not None:
            durations |= {"window": window.length_ns, "every": window.every_ns}
            if (window.count is None) is (window.length_ns is None):
                self.tell(path, "a window is of so many events or of so much time")
            if window.count is not None:
                self._positive("window", window.count, path)
            if len(rule.steps) != 1 or rule.steps[0].absent:
                self.tell(path, "a rule with a window has one step, which is not absent")
        for what, duration in durations.items():
            if duration is not None:
                self._positive(what, duration, path)

    def _positive(self, what: str, number: int, path: str) -> None:
        if not 0 < number <= DURATION_NS_MAX:
            self.tell(path, f"{what}: expected 1 to {DURATION_NS_MAX:,}, found {number}")

    def _rules_in_circles(self) -> list[str]:
        listening: dict[Type, list[Rule]] = {}
        for rule in self.program.rules:
            # An absent step is no beginning: what it sees can only keep the rule from making something.
            for type_name in {step.type for step in rule.steps if not step.absent}:
                listening.setdefault(type_name, []).append(rule)
        graph: dict[str, set[str]] = {}
        for rule in self.program.rules:
            graph[rule.name] = set()
            if rule.make is not None:
                hearing = (other for name in self._made_types(rule) for other in listening.get(name, ()))
                graph[rule.name] |= {other.name for other in hearing if _hears(other, rule.topic)}
        return _in_circles(_components(graph), graph)

    def _made_types(self, rule: Rule) -> set[Type]:
        """The types as which a rule's event is seen: its own and its ancestors; for one handed on those below, too."""
        variables = {step.name: Variable(step.type) for step in rule.steps}
        expression = rule.make
        while isinstance(expression, Call):
            function = self.functions[expression.function]
            variables = {each.name: Variable(each.type) for each in function.parameters}
            expression = function.body
        assert expression is not None
        made = Scope(self.types, self.functions, variables, lambda _: None).type_of(expression)
        found = set(self.types.ancestors(made))
        if not isinstance(expression, Make):
            found |= {name for name in self.types.types if made in self.types.ancestors(name)}
        return found


def _hears(rule: Rule, topic: Expression | None) -> bool:
    """Whether a rule can see what is published there: not if that is a fixed topic to which it does not listen."""
    if not rule.listens or not isinstance(topic, Constant) or not isinstance(topic.value, str):
        return True
    return any(topic.value.startswith(prefix) for prefix in rule.listens)


def _components(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups of names that lead to each other, those that others lead to first (Tarjan's algorithm)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: dict[str, None] = {}
    found: list[list[str]] = []
    for start in graph:
        waiting = [] if start in numbers else [(start, iter(graph[start]))]
        while waiting:
            name, following = waiting[-1]
            if name not in numbers:
                numbers[name] = lowest[name] = len(numbers)
                path[name] = None
            after = next((each for each in following if each in graph), None)
            if after is None:
                waiting.pop()
                if waiting:
                    before = waiting[-1][0]
                    lowest[before] = min(lowest[before], lowest[name])
                if lowest[name] == numbers[name]:
                    component: list[str] = []
                    while name not in component:
                        component.append(path.popitem()[0])
                    found.append(component)
            elif after not in numbers:
                waiting.append((after, iter(graph[after])))
            elif after in path:
                lowest[name] = min(lowest[name], numbers[after])
    return found


def _in_circles(components: Iterable[list[str]], graph: Mapping[str, Iterable[str]]) -> list[str]:
    return [name for component in components for name in component if len(component) > 1 or name in graph[name]]


def check(program: Program) -> list[RuleProblem]:
    """All that is wrong with a program, :data:`PROBLEMS_MAX` problems at most; [] for one that can be compiled."""
    checking = _Check(program)
    checking.all()
    return checking.problems


def check_where(where: Where) -> list[RuleProblem]:
    """All that is wrong with a predicate."""
    event_type = attrs.evolve(where.type, parent=None)  # a predicate is of one type, and its ancestors are not told
    checking = _Check(Program((event_type,)))
    checking.event_type(event_type, "type")
    scope = Scope(checking.types, {}, {"event": Variable(where.type.name)}, checking.told_at("expression"), meta=False)
    scope.expect(where.expression, "boolean", "a predicate")
    if not checking.problems and sum(1 for _ in walk(where.expression)) > EXPANDED_MAX:
        checking.tell("expression", f"a predicate of more than {EXPANDED_MAX:,} parts")
    return checking.problems
