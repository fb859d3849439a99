"""What a rule's pattern asks of events, taken apart before the first of them comes.

Every condition (a conjunct of the rule's clauses) has its place:

- **own**: it mentions the variable of one step only, outside of aggregates: it decides what is a candidate of the step;
- of a **group** or of an **absent** step: it mentions that variable and others: it decides what qualifies;
- **between** single steps: it is asked as soon as the events of those steps are chosen;
- **final**: it has aggregates, or mentions nothing: it is asked when the match is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import attrs

from broker.errors import RuleError
from broker.rules.compiling import EventClasses, compile_expression, compile_sweep
from broker.rules.engine.aggregates import FIGURES
from broker.rules.engine.clauses import Condition, conditions
from broker.rules.interpreter import EvaluationFailed, Variable
from broker.rules.model import Expression, Program, Rule, Step, names_in
from broker.rules.model.checking import STEPS_MAX

__all__ = ["Absence", "Bindings", "Compile", "Plan", "Run"]

Bindings: TypeAlias = Sequence[Any]
"""What the steps stand for, by their index: a Seen, a list of them for a group, None for an absent step."""

Test: TypeAlias = Callable[[Bindings], bool]


class Compile:
    """Compiles a rule's expressions to functions of bindings.

    ``program`` need have no more than the rule can reach.  ``failed`` is told of conditions that have no value: they do
    not hold.
    """

    def __init__(
        self,
        program: Program,
        classes: EventClasses,
        steps: Sequence[Step],
        failed: Callable[[Exception], None],
    ) -> None:
        self.program = program
        self.functions = {function.name: function for function in program.functions}
        self._classes = classes
        self._steps = steps
        self._failed = failed

    def value(self, expression: Expression) -> Callable[[Bindings], Any]:
        """The value of an expression.  The function raises EvaluationFailed where there is none."""
        function, places = self._compiled(expression, None)
        match places:
            case [only]:
                return lambda bindings: function(bindings[only])
            case [first, second]:
                return lambda bindings: function(bindings[first], bindings[second])
            case _:
                return lambda bindings: function(*[bindings[place] for place in places])

    def test(self, expression: Expression, one_of: str | None = None) -> Test:
        """A condition; ``one_of`` is a group whose variable stands for one of its events."""
        function, places = self._compiled(expression, one_of)
        failed = self._failed
        first, second = [*places, -1, -1][:2]

        def of_one(bindings: Bindings) -> bool:
            try:
                return function(bindings[first]) is True
            except EvaluationFailed as error:
                failed(error)
                return False

        def of_two(bindings: Bindings) -> bool:
            try:
                return function(bindings[first], bindings[second]) is True
            except EvaluationFailed as error:
                failed(error)
                return False

        def of_several(bindings: Bindings) -> bool:
            try:
                return function(*[bindings[place] for place in places]) is True
            except EvaluationFailed as error:
                failed(error)
                return False

        return {1: of_one, 2: of_two}.get(len(places), of_several)

    def own(self, expression: Expression, step: Step) -> Callable[[Any], Any]:
        """A function of one event of a step, which may raise EvaluationFailed."""
        return compile_expression(self.program, expression, (_variable(step, step.name),), self._classes)

    def sweep(self, expression: Expression, step: Step) -> Callable[[Sequence[Any]], list[int]]:
        """The same of many events: see :func:`broker.rules.compiling.compile_sweep`."""
        return compile_sweep(self.program, expression, _variable(step, step.name), self._classes)

    def _compiled(self, expression: Expression, one_of: str | None) -> tuple[Callable[..., Any], list[int]]:
        names = names_in(expression)
        places = [place for place, step in enumerate(self._steps) if step.name in names]
        variables = [_variable(self._steps[place], one_of) for place in places]
        if FIGURES in names:
            places.append(len(self._steps))
            variables.append(Variable(FIGURES, kind="event"))
        return compile_expression(self.program, expression, tuple(variables), self._classes), places


def _variable(step: Step, one_of: str | None) -> Variable:
    if step.group and not step.absent and step.name != one_of:
        return Variable(step.name, kind="group", type=step.type)
    return Variable(step.name, kind="seen", type=step.type)


@attrs.frozen
class Run:
    """Groups that follow each other, with the single steps around them (None: it begins or ends the pattern)."""

    groups: tuple[int, ...]
    left: int | None
    right: int | None


@attrs.frozen
class Absence:
    """An absent step between its positive neighbours (None: it begins the pattern)."""

    step: int
    left: int | None
    right: int


@attrs.define
class Plan:
    """A pattern taken apart; steps are told by their index."""

    rule: Rule
    own: list[list[Expression]]  # by step
    qualifies: list[list[Test]]  # by step: of groups and absent steps
    between: list[list[Test]]  # by the single step that is chosen last
    final: list[Test]
    finally_: list[Expression]  # the same, not compiled
    last: int  # the last positive step
    chosen: list[int]  # the single steps, without the last
    runs: list[Run]
    absences: list[Absence]  # without the trailing ones
    trailing: list[int]  # absent steps at the end
    positive: list[int]
    ordered: bool  # choosing single steps in order gives matches in order

    @classmethod
    def of(cls, rule: Rule, compile_: Compile) -> Plan:
        """Take a rule apart.  Raises RuleError for what cannot be."""
        steps = rule.steps
        positive = [place for place, step in enumerate(steps) if not step.absent]
        if not positive or len(steps) > STEPS_MAX:
            what = "a pattern has at least one event that is not absent" if not positive else "a pattern is too long"
            raise RuleError.at(rule.name, f"{what} (it has {len(steps)} steps, {STEPS_MAX} at most)")
        last = positive[-1]
        trailing = list(range(last + 1, len(steps)))
        if trailing and steps[-1].within_ns is None and rule.within_ns is None:
            raise RuleError.at(rule.name, f"how long is !{steps[-1].type} waited for? It needs `within`")
        chosen = [place for place in positive if not steps[place].group and place != last]
        plan = cls(
            rule=rule,
            own=[[] for _ in steps],
            qualifies=[[] for _ in steps],
            between=[[] for _ in steps],
            final=[],
            finally_=[],
            last=last,
            chosen=chosen,
            runs=_runs(steps, positive),
            absences=_absences(steps, positive, last),
            trailing=trailing,
            positive=positive,
            ordered=not any(steps[place].group for place in positive[: positive.index(chosen[-1])]) if chosen else True,
        )
        for condition in conditions(rule, compile_.functions):
            plan._place(condition, compile_)
        return plan

    def _place(self, condition: Condition, compile_: Compile) -> None:
        steps = self.rule.steps
        places = {step.name: place for place, step in enumerate(steps)}
        outside = [places[name] for name in condition.outside]
        several = [place for place in outside if steps[place].absent or steps[place].group]
        if len(several) > 1 or any(steps[places[name]].absent for name in condition.inside):
            raise RuleError.at(self.rule.name, "a clause compares the events of two groups or absent steps one by one")
        if several and steps[several[0]].group and not steps[several[0]].absent and condition.inside:
            raise RuleError.at(self.rule.name, "a clause mentions a group's events one by one, and an aggregate")
        if len(outside) == 1 and not condition.inside:
            self.own[outside[0]].append(condition.expression)
        elif several:
            name = steps[several[0]].name
            self.qualifies[several[0]].append(compile_.test(condition.expression, one_of=name))
        elif condition.inside or not outside:
            self.final.append(compile_.test(condition.expression))
            self.finally_.append(condition.expression)
        else:
            place = max(place for place in outside if place != self.last)
            self.between[place].append(compile_.test(condition.expression))


def _runs(steps: Sequence[Step], positive: Sequence[int]) -> list[Run]:
    runs = []
    left: int | None = None
    for is_group, places in groupby(positive, lambda place: steps[place].group):
        found = list(places)
        if is_group:
            right = next((place for place in positive if place > found[-1]), None)
            runs.append(Run(tuple(found), left, right))
        else:
            left = found[-1]
    return runs


def _absences(steps: Sequence[Step], positive: Sequence[int], last: int) -> list[Absence]:
    return [
        Absence(
            place,
            max((other for other in positive if other < place), default=None),
            min(other for other in positive if other > place),
        )
        for place, step in enumerate(steps)
        if step.absent and place < last
    ]
