"""What rules with state report, told straight from the definitions in broker/rules/DESIGN.md, as slowly as it gets.

Nothing is kept, nothing is found through an index, nothing is compiled: every combination of events is looked at, and
expressions are walked.  The stream is given in its order; what happens with events that come late or in disorder is
another matter (``test_engine_time``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import attrs

from broker.rules.engine import Seen
from broker.rules.interpreter import EvaluationFailed, Many, One, evaluate
from broker.rules.model import Aggregate, Apply, Expression, Meta, Name, Program, Rule, children

Match = dict[str, Any]
"""The event of each single step and the list of events of each group, by the step's name."""

Reported = tuple[int, list[int]]
"""The time of a report and the orders of its events."""


def conjuncts(expression: Expression) -> list[Expression]:
    if isinstance(expression, Apply) and expression.operator == "bool.and":
        return [part for operand in expression.operands for part in conjuncts(operand)]
    return [expression]


def outside(expression: Expression) -> set[str]:
    """The variables that are mentioned outside of aggregates."""
    match expression:
        case Name(name=name) | Meta(of=name):
            return {name}
        case Aggregate():
            return set()
    return {name for part in children(expression) for name in outside(part)}


def inside(expression: Expression) -> set[str]:
    if isinstance(expression, Aggregate):
        return {expression.group}
    return {name for part in children(expression) for name in inside(part)}


@attrs.define(eq=False)
class Waiting:
    match: Match
    key: Any
    deadline: int


@attrs.define(slots=False)
class Reference:
    """A rule over a stream.  ``is_a`` tells for each type's name the classes of its instances."""

    program: Program
    rule: Rule
    is_a: Mapping[str, Sequence[type]]
    stream: list[Seen] = attrs.field(factory=list)
    used: set[int] = attrs.field(factory=set)
    waiting: list[Waiting] = attrs.field(factory=list)
    found: list[Reported] = attrs.field(factory=list)
    reports: dict[Any, list[int]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.clauses = [part for clause in self.rule.clauses for part in conjuncts(clause.expression)]
        self.steps = {step.name: step for step in self.rule.steps}
        self.positive = [step.name for step in self.rule.steps if not step.absent]

    def run(self, stream: Sequence[Seen], watermark_ns: int) -> list[Reported]:
        """All that is reported until the watermark is there."""
        for seen in stream:
            self._pass(seen.time_ns)
            self._see(seen)
        self._pass(watermark_ns)
        return self.found

    # --- instants ------------------------------------------------------------------------------------------------

    def _pass(self, time_ns: int) -> None:
        """The deadlines before a time."""
        while due := sorted({each.deadline for each in self.waiting if each.deadline < time_ns}):
            complete = [each for each in self.waiting if each.deadline == due[0]]
            self.waiting = [each for each in self.waiting if each.deadline != due[0]]
            by_key: dict[Any, list[Match]] = {}
            for each in sorted(complete, key=lambda each: self._order(each.match)):
                by_key.setdefault(each.key, []).append(each.match)
            for key, matches in by_key.items():
                self._report(key, matches, due[0])

    def _see(self, seen: Seen) -> None:
        key = self._key(seen)
        self.stream.append(seen)
        if key is None:
            return
        trailing = [step.name for step in self.rule.steps[self._last() + 1 :]]
        self.waiting = [
            each
            for each in self.waiting
            if each.key != key or not any(self._qualifies(name, seen, each.match) for name in trailing)
        ]
        matches = sorted(self._completed(seen, key), key=self._order)
        if not trailing:
            self._report(key, matches, seen.time_ns)
            return
        own = self.rule.steps[-1].within_ns
        for match in matches:
            first = self._events(match)[0]
            deadline = seen.time_ns + own if own is not None else first.time_ns + (self.rule.within_ns or 0)
            self.waiting.append(Waiting(match, key, deadline))

    def _report(self, key: Any, matches: list[Match], time_ns: int) -> None:
        if self.rule.select != "each":
            matches = matches[:1] if self.rule.select == "first" else matches[-1:]
        for match in matches:
            orders = [seen.order for seen in self._events(match)]
            if self.used & set(orders):
                continue
            limit = self.rule.limit
            if limit is not None:
                times = self.reports.setdefault(key, [])
                if sum(1 for time in times if time_ns - time < limit.per_ns) >= limit.count:
                    continue
                times.append(time_ns)
            self.found.append((time_ns, orders))
            if self.rule.consume:
                self.used |= set(orders)
                self.waiting = [
                    each for each in self.waiting if not self.used & {seen.order for seen in self._events(each.match)}
                ]

    # --- matches -------------------------------------------------------------------------------------------------

    def _completed(self, last: Seen, key: Any) -> Iterator[Match]:
        """The matches whose last event this is."""
        events = [seen for seen in self.stream if self._key(seen) == key and seen.order not in self.used]
        singles = [name for name in self.positive if not self.steps[name].group]
        for chosen in combinations(events, len(singles)):
            match: Match = dict(zip(singles, chosen, strict=True))
            if not all(self._is_candidate(name, seen) for name, seen in match.items()):
                continue
            if self._fill_groups(match, events, last) and self._fits(match, events, last):
                yield match

    def _fill_groups(self, match: Match, events: Sequence[Seen], last: Seen) -> bool:
        for place, name in enumerate(self.positive):
            if not self.steps[name].group:
                continue
            before = self.positive[place - 1] if place else None
            after = self.positive[place + 1] if place + 1 < len(self.positive) else None
            there = [seen for seen in events if self._qualifies(name, seen, match)]
            if before is None:
                there = [seen for seen in there if self._near(seen, last)]
            elif self.steps[before].group:
                there = [seen for seen in there if seen.order >= match["after " + before]]
            else:
                there = [seen for seen in there if seen.order > match[before].order]
            if after is not None and not self.steps[after].group:
                there = [seen for seen in there if seen.order < match[after].order]
            if not there:
                return False
            if after is not None and self.steps[after].group:
                # It ends where the first event qualifies for the group that follows.
                follow = [
                    seen.order for seen in events if seen.order > there[0].order and self._qualifies(after, seen, match)
                ]
                if not follow:
                    return False
                there = [seen for seen in there if seen.order < follow[0]]
                match["after " + name] = follow[0]
            match[name] = there
        return True

    def _fits(self, match: Match, events: Sequence[Seen], last: Seen) -> bool:
        chosen = self._events(match)
        if chosen[-1] is not last or [seen.order for seen in chosen] != sorted({seen.order for seen in chosen}):
            return False
        if not self._near(chosen[0], last):
            return False
        for place, step in enumerate(self.rule.steps[: self._last()]):
            if step.absent and any(self._qualifies(step.name, seen, match) for seen in self._gap(place, match, events)):
                return False
        absent = {step.name for step in self.rule.steps if step.absent}
        groups = {step.name for step in self.rule.steps if step.group}
        return all(self._holds(clause, match) for clause in self.clauses if not outside(clause) & (absent | groups))

    def _gap(self, place: int, match: Match, events: Sequence[Seen]) -> list[Seen]:
        """The events between the neighbours of an absent step."""
        names = [step.name for step in self.rule.steps]
        before = [name for name in names[:place] if name in self.positive]
        after = [name for name in names[place:] if name in self.positive]
        right = _list(match[after[0]])[0]
        if before:
            left = _list(match[before[-1]])[-1]
            return [seen for seen in events if left.order < seen.order < right.order]
        return [seen for seen in events if seen.order < right.order and self._near(seen, right)]

    def _near(self, first: Seen, last: Seen) -> bool:
        return self.rule.within_ns is None or last.time_ns - first.time_ns <= self.rule.within_ns

    # --- events and clauses --------------------------------------------------------------------------------------

    def _is_candidate(self, name: str, seen: Seen) -> bool:
        if type(seen.event) not in self.is_a[self.steps[name].type]:
            return False
        if self.rule.listens and not seen.topic.startswith(self.rule.listens):
            return False
        own = [clause for clause in self.clauses if outside(clause) == {name} and not inside(clause)]
        return all(self._holds(clause, {name: seen}) for clause in own)

    def _qualifies(self, name: str, seen: Seen, match: Match) -> bool:
        clauses = [clause for clause in self.clauses if name in outside(clause)]
        return self._is_candidate(name, seen) and all(self._holds(clause, match | {name: seen}) for clause in clauses)

    def _holds(self, clause: Expression, match: Match) -> bool:
        bindings = {
            name: Many(found) if isinstance(found, list) else One(found.event, found)
            for name, found in match.items()
            if not name.startswith("after ")
        }
        try:
            return evaluate(self.program, clause, bindings) is True
        except EvaluationFailed:
            return False

    def _key(self, seen: Seen) -> Any:
        values = tuple(getattr(seen.event, name, None) for name in self.rule.per)
        return None if any(value is None or value != value for value in values) else values  # noqa: PLR0124

    def _last(self) -> int:
        return max(place for place, step in enumerate(self.rule.steps) if not step.absent)

    def _events(self, match: Match) -> list[Seen]:
        return [seen for name in self.positive for seen in _list(match[name])]

    def _order(self, match: Match) -> list[list[int]]:
        return [[seen.order for seen in _list(match[name])] for name in self.positive]


def _list(found: Any) -> list[Seen]:
    return found if isinstance(found, list) else [found]


@attrs.define(slots=False)
class WindowReference(Reference):
    """The same for rules with a window."""

    done: int | None = None  # the last boundary

    def run(self, stream: Sequence[Seen], watermark_ns: int) -> list[Reported]:
        (name,) = self.steps
        window = self.rule.window
        assert window is not None
        every = window.every_ns
        for seen in stream:
            if every is not None:
                self._boundaries(every, seen.time_ns)
            if self._key(seen) is not None and self._is_candidate(name, seen):
                self.stream.append(seen)
                if every is None:
                    self._ask(self._key(seen), seen.time_ns)
        if every is not None:
            self._boundaries(every, watermark_ns)
        return self.found

    def _boundaries(self, every: int, until_ns: int) -> None:
        first = self.stream[-1].time_ns if self.stream else until_ns
        boundary = -(-first // every) * every if self.done is None else self.done + every
        while boundary < until_ns:
            windows = {key: self._window(key, boundary) for key in {self._key(seen) for seen in self.stream}}
            for key in sorted((key for key in windows if windows[key]), key=lambda key: windows[key][0].order):
                self._ask(key, boundary)
            self.done = boundary
            boundary += every

    def _window(self, key: Any, time_ns: int) -> list[Seen]:
        window = self.rule.window
        assert window is not None
        events = [seen for seen in self.stream if self._key(seen) == key]
        # A report uses the whole window up: what left it before does not come back.
        events = [
            seen for seen in events if not self.used & {each.order for each in events if each.order >= seen.order}
        ]
        if window.count is not None:
            return events[-window.count :]
        return [seen for seen in events if seen.time_ns > time_ns - (window.length_ns or 0)]

    def _ask(self, key: Any, time_ns: int) -> None:
        (name,) = self.steps
        match = {name: self._window(key, time_ns)}
        if all(self._holds(clause, match) for clause in self.clauses if name not in outside(clause)):
            self._report(key, [match], time_ns)
