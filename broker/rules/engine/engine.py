"""The engine: messages and time in, made events and problems out.  Pure: no I/O, no clock, no chance.

Order, as DESIGN.md tells it: rules without state see each message as it arrives, and what they make comes right after
it; rules with state see all of these when the watermark has reached their time, ordered by time and arrival, and what
becomes due by time in between; what they make has the time of what completed it and comes before all that follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Final

from broker.errors import TopicError
from broker.messages import Message
from broker.rules.compiling import Misfit
from broker.rules.engine.dispatch import Watcher
from broker.rules.engine.outcomes import EngineFigures, Limits, Made, Outcome, Problem, Reloaded, Restored, Seen
from broker.rules.engine.patterns import Part
from broker.rules.engine.plans import Bindings
from broker.rules.engine.rulebook import Route, Rulebook
from broker.rules.engine.running import Running, Telling
from broker.rules.engine.saving import VERSION, Lost, Reader, Writer
from broker.rules.engine.watermark import Watermark
from broker.rules.engine.windows import WindowPart
from broker.rules.interpreter import EvaluationFailed
from broker.rules.model import Program
from broker.topics import normalize_topic

__all__ = ["Engine"]

NS: Final = 1_000_000_000


class Engine:
    """Runs a program over the messages that it is given."""

    def __init__(
        self,
        program: Program,
        *,
        limits: Limits | None = None,
        lateness_s: float = 0,
        idle_s: float = 5,
        future_s: float = 60,
        now_ns: int,
        origin: str = "",
    ) -> None:
        self._limits = limits or Limits()
        self._origin = origin
        self._future_ns = int(future_s * NS)
        self._mark = Watermark(int(lateness_s * NS), max(1, int(idle_s * NS)), now_ns)
        self._waiting: list[tuple[int, int, Message]] = []
        self._arrived = 0  # numbers arrivals
        self._ordered = 0  # numbers what rules with state see
        self._due: list[tuple[int, int, int, Running]] = []  # time, rank, number
        self._scheduled = 0
        self._received = self._late = self._ahead = self._misfits = self._forced = 0
        self._telling = Telling(self._limits.problems_max)
        self._outcome = Outcome([], [])
        self._book = Rulebook(program, self._limits, self._fail)

    # --- in and out ----------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message], now_ns: int) -> Outcome:
        """Messages as they arrived; the same as one call for each of them."""
        self._mark.pass_time(now_ns)
        self._drain()
        for message in messages:
            self._receive(message)
        return self._out()

    def tick(self, now_ns: int) -> Outcome:
        """Time has passed."""
        self._mark.pass_time(now_ns)
        self._drain()
        return self._out()

    def next_deadline(self, now_ns: int) -> int | None:
        """When to call :meth:`tick` at the latest, in terms of ``now_ns``; None: not before the next message."""
        times = []
        if self._waiting:
            times.append(self._waiting[0][0])
        if self._due:
            times.append(self._due[0][0] + 1)
        return self._mark.reaches(min(times), now_ns) if times else None

    def replace(self, program: Program) -> Reloaded:
        """Run another program: rules that are the same in both keep their state.

        Raises RuleError for a program that cannot run; the former one goes on then.
        """
        reloaded = self._book.replace(program)
        if reloaded.gone or any(self._is_waited_for(name) for name in reloaded.new):
            ranked = [(due, self._book.rank(rule), number, rule) for due, _, number, rule in self._due if not rule.gone]
            heapify(ranked)
            self._due = ranked
        return reloaded

    def _is_waited_for(self, name: str) -> bool:
        """Whether rules with state may see what a rule makes."""
        return bool(self._due) and any(route.later for route in self._book.made_by(self._book.rules[name]))

    def figures(self) -> EngineFigures:
        """Counters of the engine and of every rule."""
        return EngineFigures(
            received=self._received,
            late=self._late,
            ahead=self._ahead,
            misfits=self._misfits,
            waiting=len(self._waiting),
            forced=self._forced,
            watermark_ns=self._mark.at,
            rules={name: running.figures(self._book.seen_of(running)) for name, running in self._book.rules.items()},
        )

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that the engine knows, as plain data, for an engine that goes on from here."""
        writer = Writer(self._book.classes.to_event)
        rules = {name: running.state(self._book.seen_of(running), writer) for name, running in self._book.rules.items()}
        return {
            "version": VERSION,
            "watermark": self._mark.state(),
            "counters": [self._received, self._late, self._ahead, self._misfits, self._forced],
            "told": self._telling.state(),
            "numbers": [self._arrived, self._ordered],
            "waiting": [[arrived, writer.number(message)] for _, arrived, message in sorted(self._waiting)],
            "seen": {name: route.seen for name, route in self._book.routes.items()},
            "rules": rules,
            "events": writer.rows,
        }

    def restore(self, data: Any) -> Restored:
        """Go on from a saved state, in an engine that has received nothing yet: tells what of it was dropped, and why.

        Rules that are not what they were when it was saved begin anew.
        """
        if not isinstance(data, dict) or data.get("version") != VERSION:
            return Restored(0, (Problem("", "the saved state is not of this version: all rules begin anew"),))
        self._mark.restore(data["watermark"])
        self._received, self._late, self._ahead, self._misfits, self._forced = data["counters"]
        self._telling.restore(data["told"])
        self._arrived, self._ordered = data["numbers"]
        reader = Reader(data["events"], self._accepted)
        dropped: list[Problem] = []
        for arrived, number in data["waiting"]:
            try:
                message = reader.message(number)
            except Lost as lost:
                dropped.append(Problem("", f"an event that waited is lost: {lost}"))
                continue
            heappush(self._waiting, (message.time_ns, arrived, message))
        for name, route in self._book.routes.items():
            route.seen = data["seen"].get(name, 0)
        rules = 0
        for name, running in self._book.rules.items():
            seen, saved = self._book.seen_of(running), data["rules"].get(name)
            running.seen_before = seen
            if saved is None or saved["identity"] != running.identity:
                if saved is not None:
                    dropped.append(Problem(name, "it is not the rule whose state was saved: it begins anew"))
                continue
            dropped += [Problem(name, f"a partition is lost: {why}") for why in running.restore(saved, seen, reader)]
            rules += 1
            self._schedule(running)
        gone = (name for name in data["rules"] if name not in self._book.rules)
        dropped += [Problem(name, "there is no such rule any more") for name in gone]
        return Restored(rules, tuple(dropped))

    def _accepted(self, event: Any) -> Any:
        if self._book.route(event) is not None:
            return event
        found = self._book.accept(event)
        if isinstance(found, Misfit):
            raise Lost(str(found))
        if found[1] is None:
            raise Lost(f"no rule is about {type(event).__name__} any more")
        return found[0]

    def _out(self) -> Outcome:
        outcome, self._outcome = self._outcome, Outcome([], [])
        return outcome

    # --- one message ---------------------------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        self._received += 1
        mark = self._mark
        if message.time_ns > mark.highest_ns + self._future_ns:
            self._ahead += 1
            message = Message(message.topic, message.event, mark.highest_ns, message.origin)
        route = self._book.route(message.event)
        if route is None:
            accepted = self._book.accept(message.event)
            if isinstance(accepted, Misfit):
                self._misfit(accepted)
            else:
                event, route = accepted
                message = Message(message.topic, event, message.time_ns, message.origin)
        if route is not None:
            self._arrive(message, route)
        mark.hear(message.origin, message.time_ns)
        self._drain()

    def _misfit(self, misfit: Misfit) -> None:
        self._misfits += 1
        route = self._book.routes[misfit.type]
        concerned = [*route.now.all(), *route.later.all()]
        self._tell(concerned[0].rule if concerned else None, str(misfit))

    def _arrive(self, message: Message, route: Route) -> None:
        """Rules without state see a message and what they make of it; rules with state will."""
        queue = deque([(message, route)])
        behind = 0 if self._mark.at is None else self._mark.at - message.time_ns
        while queue:
            message, route = queue.popleft()
            route.seen += 1
            if route.now:
                queue.extend(self._now(message, route))
            if route.later:
                if behind > 0:
                    self._late += 1
                    self._tell(None, f"{route.type} from {message.origin} is late by {behind:,} ns")
                else:
                    self._arrived += 1
                    heappush(self._waiting, (message.time_ns, self._arrived, message))
                    if len(self._waiting) > self._limits.waiting_max:
                        self._forced += 1
                        self._mark.force(self._waiting[0][0])

    def _now(self, message: Message, route: Route) -> list[tuple[Message, Route]]:
        found: list[tuple[Message, Route]] = []
        for watcher in route.now.find(message.event):
            running = watcher.rule
            bindings = (message,)
            if self._is_candidate(watcher, message) and all(test(bindings) for test in running.final):
                running.matched += 1
                found.extend(self._report(running, bindings, message.time_ns))
        return found

    def _is_candidate(self, watcher: Watcher[Running], message: Message) -> bool:
        if watcher.listens and not message.topic.startswith(watcher.listens):
            return False
        if watcher.test is None:
            return True
        try:
            return bool(watcher.test(message))
        except EvaluationFailed as error:
            self._fail(watcher.rule, error)
            return False

    # --- by the watermark ----------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Let rules with state see what the watermark has reached, and what is due, in order."""
        mark = self._mark.at
        if mark is None:
            return
        waiting, due = self._waiting, self._due
        while True:
            if due and due[0][0] < mark and not (waiting and waiting[0][0] <= due[0][0]):
                self._fire(due[0][0])
            elif waiting and waiting[0][0] <= mark:
                message = heappop(waiting)[2]
                self._see_all(message, self._book.route(message.event))
            else:
                return

    def _see_all(self, message: Message, route: Route | None) -> None:
        queue = deque([(message, route)] if route else [])
        while queue:
            message, route = queue.popleft()
            queue.extend(self._see(message, route))

    def _made(self, made: list[tuple[Message, Route]]) -> None:
        """Let all rules see what a rule with state made."""
        queue = deque(made)
        while queue:
            message, route = queue.popleft()
            route.seen += 1
            if route.now:
                queue.extend(self._now(message, route))
            if route.later:
                queue.extend(self._see(message, route))

    def _see(self, message: Message, route: Route) -> list[tuple[Message, Route]]:
        self._ordered += 1
        seen = Seen(message.topic, message.event, message.time_ns, message.origin, order=self._ordered)
        candidates: dict[int, tuple[Running, list[int]]] = {}
        for watcher in route.later.find(message.event):
            if self._is_candidate(watcher, seen):
                candidates.setdefault(watcher.rule.place, (watcher.rule, []))[1].append(watcher.step)
        made: list[tuple[Message, Route]] = []
        for running, steps in candidates.values():
            made.extend(self._feed(running, seen, steps))
        return made

    def _feed(self, running: Running, seen: Seen, steps: list[int]) -> list[tuple[Message, Route]]:
        machine = running.machine
        assert machine is not None
        found = machine.see(seen, steps)
        if found is None:
            return []
        part: Any
        part, matches = found
        made, used = self._report_matches(running, part, matches, seen.time_ns)
        if seen.order not in used:
            machine.keep(part, seen, steps)
        self._schedule(running)
        return made

    def _schedule(self, running: Running) -> None:
        machine = running.machine
        deadline = None if machine is None else machine.deadline
        if deadline is not None and (running.scheduled is None or deadline < running.scheduled):
            running.scheduled = deadline
            self._scheduled += 1
            heappush(self._due, (deadline, self._book.rank(running), self._scheduled, running))

    def _fire(self, time_ns: int) -> None:
        """What is complete by time, at a time: of one rule, those first whose events others may wait for."""
        running = heappop(self._due)[3]
        machine = running.machine
        if running.gone or machine is None or running.scheduled != time_ns:
            return
        running.scheduled = None
        made = []
        for part, matches in machine.due(time_ns):
            made.extend(self._report_matches(running, part, matches, time_ns)[0])
        self._schedule(running)
        self._made(made)

    # --- reports -------------------------------------------------------------------------------------------------

    def _report_matches(
        self, running: Running, part: Any, matches: list[Bindings], time_ns: int
    ) -> tuple[list[tuple[Message, Route]], set[int]]:
        made: list[tuple[Message, Route]] = []
        used: set[int] = set()
        rule, machine = running.rule, running.machine
        assert machine is not None
        if rule.select != "each" and matches:
            matches = [matches[0] if rule.select == "first" else matches[-1]]
        for bindings in matches:
            if used and any(seen.order in used for seen in machine.events_of(bindings)):
                continue
            running.matched += 1
            if rule.limit is not None and not _allowed(part, rule.limit.count, rule.limit.per_ns, time_ns):
                running.limited += 1
                continue
            if rule.consume:
                used |= machine.consume(part, bindings)
            made.extend(self._report(running, bindings, time_ns))
        return made, used

    def _report(self, running: Running, bindings: Bindings, time_ns: int) -> list[tuple[Message, Route]]:
        rule = running.rule
        try:
            event = None if running.make is None else running.make(bindings)
            topic = None if running.topic is None else normalize_topic(running.topic(bindings))
        except (EvaluationFailed, TopicError) as error:
            self._fail(running, error)
            return []
        running.made += 1
        shown = None if event is None else self._book.classes.to_event(event)
        made = Made(rule.name, shown, topic, time_ns, rule.actions, running.because(bindings))
        self._outcome.made.append(made)
        route = None if event is None else self._book.route(event)
        if route is None or not (route.now or route.later):
            return []
        return [(Message(topic or "", event, time_ns, self._origin), route)]

    # --- problems ------------------------------------------------------------------------------------------------

    def _fail(self, running: Running, error: Exception) -> None:
        running.failed += 1
        self._tell(running, str(error)[:500])

    def _tell(self, running: Running | None, text: str) -> None:
        telling = self._telling if running is None else running.telling
        if telling.may(self._mark.clock):
            self._outcome.problems.append(Problem("" if running is None else running.name, text))


def _allowed(part: Part | WindowPart, count: int, per_ns: int, time_ns: int) -> bool:
    """Whether one more report is allowed; if so it is noted."""
    reports = part.reports
    while reports and time_ns - reports[0] >= per_ns:
        reports.pop(0)
    if len(reports) >= count:
        return False
    reports.append(time_ns)
    return True
