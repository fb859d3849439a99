"""What becomes of a match: the rule's limit, what it makes, and what is told of what goes wrong."""

from __future__ import annotations

from typing import Any

from broker.errors import TopicError
from broker.messages import Message
from broker.rules.engine.outcomes import Limits, Made, Outcome, Problem
from broker.rules.engine.plans import Bindings
from broker.rules.engine.rulebook import Route, Rulebook
from broker.rules.engine.running import Running, Telling
from broker.rules.engine.watermark import Watermark
from broker.rules.interpreter import EvaluationFailed
from broker.rules.model import Program
from broker.topics import normalize_topic

__all__ = ["Follow", "Reporter"]

Follow = tuple[Message, Route]
"""An event that was made, and that other rules may see."""


class Reporter:
    """Makes events of matches, and gathers what is to be done."""

    def __init__(self, program: Program, limits: Limits, mark: Watermark, origin: str) -> None:
        self.book = Rulebook(program, limits, self.fail)
        self.telling = Telling(limits.problems_max)
        self._mark = mark
        self._origin = origin
        self._made: list[Made] = []
        self._problems: list[Problem] = []

    def outcome(self) -> Outcome:
        """What was gathered since the last call."""
        outcome = Outcome(self._made, self._problems)
        self._made, self._problems = [], []
        return outcome

    def matches(
        self, running: Running, part: Any, matches: list[Bindings], time_ns: int, made: list[Follow]
    ) -> set[int]:
        """Report what is complete in one partition at one time; returns the orders of the events used up."""
        used: set[int] = set()
        rule, machine = running.rule, running.machine
        assert machine is not None
        if rule.select != "each" and len(matches) > 1:
            matches = [matches[0] if rule.select == "first" else matches[-1]]
        for bindings in matches:
            if used and any(seen.order in used for seen in machine.events_of(bindings)):
                continue
            if rule.limit is not None:
                if not _allowed(part.reports, rule.limit.count, rule.limit.per_ns, time_ns):
                    running.matched += 1
                    running.limited += 1
                    continue
                part.used_ns = max(part.used_ns, time_ns)  # the limit counts from here, by whatever time comes
            if rule.consume:
                used |= machine.consume(part, bindings)
            self.report(running, bindings, time_ns, made)
        return used

    def report(self, running: Running, bindings: Bindings, time_ns: int, made: list[Follow]) -> None:
        """Make of a match what its rule says; what other rules may see of it is added to ``made``."""
        running.matched += 1
        event = topic = None
        try:
            if running.make is not None:
                event = running.make(bindings)
            if running.topic is not None:
                topic = running.topic(bindings)
                if topic not in running.topics:
                    topic = normalize_topic(topic)
                    running.topics = {topic}
        except (EvaluationFailed, TopicError) as error:
            self.fail(running, error)
            return
        running.made += 1
        book = self.book
        if event is None:
            shown = route = None
        else:
            shown = book.classes.to_event(event)
            route = book.route(event)
        because = tuple(bindings) if running.machine is None else running.because(bindings)
        self._made.append(Made(running.name, shown, topic, time_ns, running.actions, because))
        if route is not None and route.wanted:
            made.append((Message(topic or "", event, time_ns, self._origin), route))

    def fail(self, running: Running, error: Exception) -> None:
        """A condition or what a rule makes has no value."""
        running.failed += 1
        self.tell(running, str(error)[:500])

    def tell(self, running: Running | None, text: str) -> None:
        """A problem of a rule, or of none alone; not too many of them."""
        telling = self.telling if running is None else running.telling
        if telling.may(self._mark.clock):
            self._problems.append(Problem("" if running is None else running.name, text))


def _allowed(reports: list[int], count: int, per_ns: int, time_ns: int) -> bool:
    """Whether one more report is allowed; if so it is noted."""
    while reports and time_ns - reports[0] >= per_ns:
        reports.pop(0)
    if len(reports) >= count:
        return False
    reports.append(time_ns)
    return True
