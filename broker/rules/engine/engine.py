"""The engine: messages and time in, made events and problems out.  Pure: no I/O, no clock, no chance.

Order, as DESIGN.md tells it: rules without state see each message as it arrives, and what they make comes right after
it; rules with state see all of these when the watermark has reached their time, ordered by time and arrival, and what
becomes due by time in between; what they make has the time of what completed it and comes before all that follows.

One file although it is long: what has to be in one order stands together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final

from broker.errors import Malformed
from broker.events import Event
from broker.messages import Message
from broker.rules.compiling import Misfit
from broker.rules.engine.dispatch import Watcher
from broker.rules.engine.outcomes import EngineFigures, Limits, Outcome, Problem, Reloaded, Restored, Seen
from broker.rules.engine.reporting import Follow, Reporter
from broker.rules.engine.rulebook import Route
from broker.rules.engine.running import Running
from broker.rules.engine.saving import VERSION, Lost, Reader, Writer, check_state
from broker.rules.engine.watermark import Watermark
from broker.rules.model import Program

if TYPE_CHECKING:
    from broker.rules.explaining import Explanation

__all__ = ["Engine"]

NS: Final = 1_000_000_000

SAMPLED: Final = 64
"""What rules take is measured in one call of so many."""


_rule = attrgetter("rule")
_PLACE: Final = itemgetter(0, 1)


class Engine:
    """Runs a program over the messages that it is given."""

    def __init__(
        self,
        program: Program,
        *,
        limits: Limits | None = None,
        lateness_s: float = 0,
        idle_s: float = 2,
        future_s: float = 60,
        now_ns: int,
        origin: str = "",
        clock: Callable[[], int] | None = None,
    ) -> None:
        """``clock`` gives nanoseconds to measure what rules take, now and then; without it nothing is measured."""
        self._limits = limits or Limits()
        self._future_ns = int(future_s * NS)
        self._mark = Watermark(int(lateness_s * NS), max(1, int(idle_s * NS)), now_ns)
        self._waiting: list[tuple[int, int, Message]] = []
        self._arrived = 0  # numbers arrivals
        self._ordered = 0  # numbers what rules with state see
        self._due: list[tuple[int, int, int, Running]] = []  # time, rank, number
        self._scheduled = 0
        self._clock = clock
        self._calls = 0
        self._timing = False  # whether what rules take is measured now
        self._received = self._late = self._ahead = self._misfits = self._forced = 0
        self._reporter = Reporter(program, self._limits, self._mark, origin)
        self._book = self._reporter.book

    # --- in and out ----------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> Outcome:
        """Time has passed."""
        self._mark.pass_time(now_ns)
        self._drain()
        return self._reporter.outcome()

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

    def explain(self, rule: str, *events: Any) -> Explanation:
        """The clauses of a rule for events, or messages: their values, and why one does not hold.

        Raises KeyError for a rule that is not there, and RuleError for an event that it is not about.
        """
        # Here: the language, in which it is told, is much to load for who asks for no explanation.
        from broker.rules.explaining import explain_events

        program = self._book.program
        found = {each.name: each for each in program.rules}[rule]
        return explain_events(program, found, events, self._book.classes)

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that the engine knows, as plain data, for an engine that goes on from here."""
        writer = Writer(self._book.classes.to_event)
        rules = {name: running.state(self._book.seen_of(running), writer) for name, running in self._book.rules.items()}
        return {
            "version": VERSION,
            "watermark": self._mark.state(),
            "counters": [self._received, self._late, self._ahead, self._misfits, self._forced],
            "told": self._reporter.telling.state(),
            "ordered": self._ordered,
            "waiting": [writer.number(message) for _, _, message in sorted(self._waiting, key=_PLACE)],
            "seen": {name: route.seen for name, route in self._book.routes.items()},
            "rules": rules,
            "events": writer.rows,
        }

    def restore(self, data: Any) -> Restored:
        """Go on from a saved state, in an engine that has received nothing yet: tells what of it was dropped, and why.

        Rules that are not what they were when it was saved begin anew.  Raises Malformed for what was never saved; the
        engine is of no use then.
        """
        if not isinstance(data, dict) or data.get("version") != VERSION:
            return Restored(0, (Problem("", "the saved state is not of this version: all rules begin anew"),))
        check_state(data)
        try:
            return self._restored(data)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Malformed(f"a saved state that is not what was written: {type(error).__name__}: {error}") from error

    def _restored(self, data: dict[str, Any]) -> Restored:
        self._mark.restore(data["watermark"])
        self._received, self._late, self._ahead, self._misfits, self._forced = data["counters"]
        self._reporter.telling.restore(data["told"])
        self._ordered = data["ordered"]
        reader = Reader(data["events"], self._accepted)
        dropped: list[Problem] = []
        for number in data["waiting"]:
            try:
                message = reader.message(number)
            except Lost as lost:
                dropped.append(Problem("", f"an event that waited is lost: {lost}"))
                continue
            self._arrived += 1
            self._waiting.append((message.time_ns, self._arrived, message))  # in order, so it is a heap
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

    # --- messages ------------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message], now_ns: int) -> Outcome:
        """Messages as they arrived; the same as one call for each of them."""
        mark = self._mark
        mark.pass_time(now_ns)
        self._drain()
        self._received += len(messages)
        horizon = mark.highest_ns + self._future_ns
        self._calls += 1
        self._timing = self._clock is not None and self._calls % SAMPLED == 0
        if not self._take(messages, horizon):
            for message in messages:
                if not self._take((message,), horizon):
                    self._receive(message, horizon)
        return self._reporter.outcome()

    def _take(self, messages: Sequence[Message], horizon: int) -> bool:
        """Take messages the quick way: while nothing waits, and each is for rules with state only, or without.

        Who wants to see them is found for all at once.
        """
        if self._waiting or self._due or self._timing:
            return False
        classes = {message.event.__class__ for message in messages}
        if Event in classes:
            accepted = self._accept_all(messages)
            if accepted is None:
                return False
            messages, classes = accepted, {message.event.__class__ for message in accepted}
        hits: list[list[Watcher[Running]]] = [[]] * len(messages)
        for cls in classes:
            route = self._book.by_class.get(cls)
            if route is None or route.has_now is route.has_later:
                return False
            index = route.later if route.has_later else route.now
            if len(classes) == 1:
                found = index.matching_all(messages)
                hits = found or hits
            else:
                places = [place for place, message in enumerate(messages) if message.event.__class__ is cls]
                found = index.matching_all([messages[place] for place in places])
                for place, each in zip(places, found or (), strict=False):
                    hits[place] = each
            if found is None:
                return False
        if any(self._book.by_class[cls].has_later for cls in classes):  # type: ignore[union-attr]
            self._see_all(messages, hits, horizon)
        else:
            self._now_all(messages, hits, horizon)
        return True

    def _now_all(self, messages: Sequence[Message], hits: Sequence[list[Watcher[Running]]], horizon: int) -> None:
        """Rules without state see messages; the watermark is told later, for as long as nothing looks at it."""
        mark, routes, report = self._mark, self._book.by_class, self._reporter.report
        origin, latest = None, 0
        for message, watchers in zip(messages, hits, strict=True):
            time_ns = message.time_ns
            made: list[Follow] = []
            if time_ns > horizon or self._waiting or self._due:
                if origin is not None:
                    mark.hear(origin, latest)
                    origin = None
                self._receive(message, horizon)
                continue
            routes[message.event.__class__].seen += 1  # type: ignore[union-attr]
            for watcher in watchers:
                report(watcher.rule, (message,), time_ns, made)
            if made:
                self._follow(made, message, origin, latest)
                origin = None
            elif message.origin != origin:
                if origin is not None:
                    mark.hear(origin, latest)
                origin, latest = message.origin, time_ns
            elif time_ns > latest:
                latest = time_ns
        if origin is not None:
            mark.hear(origin, latest)

    def _follow(self, made: list[Follow], message: Message, origin: str | None, latest: int) -> None:
        """What rules without state made of a message; the origin that was heard before it is not told yet."""
        if origin is not None:
            self._mark.hear(origin, latest)
        self._arrive(made, message.time_ns, seen=1)
        self._mark.hear(message.origin, message.time_ns)
        self._drain()

    def _see_all(self, messages: Sequence[Message], hits: Sequence[list[Watcher[Running]]], horizon: int) -> None:
        """Rules with state, and others, see messages in order, for as long as nothing has to wait."""
        mark, waiting, due, routes = self._mark, self._waiting, self._due, self._book.by_class
        cls = route = None
        for message, watchers in zip(messages, hits, strict=True):
            time_ns, at = message.time_ns, mark.at
            if message.event.__class__ is not cls:
                cls = message.event.__class__
                route = routes[cls]
                assert route is not None
            if waiting or due or time_ns > horizon or (at is not None and time_ns < at) or route.has_now:  # type: ignore[union-attr]
                self._receive(message, horizon)
                continue
            route.seen += 1  # type: ignore[union-attr]
            mark.hear(message.origin, time_ns)
            if time_ns > mark.at:  # type: ignore[operator] # a source was heard
                self._wait(message)
                continue
            self._ordered += 1
            if not watchers:
                continue
            if len(watchers) == 1:
                # What _feed does, without its call and a list where nothing is complete: 0.3 of 3.3 us.
                watcher = watchers[0]
                machine: Any = watcher.rule.machine
                found = machine.see(message, self._ordered, watcher.steps)
                if found is not None:
                    made: list[Follow] = []
                    self._report(watcher.rule, found, watcher.steps, made)
                    self._made(made)
                if machine.timed:
                    self._schedule(watcher.rule)
            else:
                made = []
                self._feed_all(watchers, message, made)
                self._made(made)
            if due:
                self._drain()

    def _receive(self, message: Message, horizon: int) -> None:
        mark, route = self._mark, self._book.by_class.get(message.event.__class__)
        if message.time_ns > horizon:
            self._ahead += 1
            text = f"{type(message.event).__name__} from {message.origin} is ahead of the clock"
            self._reporter.tell(None, text)
            message = Message(message.topic, message.event, mark.highest_ns, message.origin)
        message = self._welcome(message)
        if route is None:
            message, route = self._accept(message)
        if route is not None:
            self._arrive([(message, route)], message.time_ns)
        mark.hear(message.origin, message.time_ns)
        self._drain()

    def _welcome(self, message: Message) -> Message:
        """The first event of a source that nobody could wait for: it is taken as of the watermark, if it is close."""
        mark = self._mark
        if mark.at is None or not 0 < mark.at - message.time_ns <= mark.idle_ns or mark.knows(message.origin):
            return message
        return Message(message.topic, message.event, mark.at, message.origin)

    def _accept_all(self, messages: Sequence[Message]) -> list[Message] | None:
        """Messages whose events of declared types are instances of them; None if one is none, or concerns no rule."""
        found = []
        for message in messages:
            if message.event.__class__ is Event:
                accepted = self._book.accept(message.event)
                if accepted.__class__ is Misfit or accepted[1] is None:  # type: ignore[index]
                    return None
                message = Message(message.topic, accepted[0], message.time_ns, message.origin)  # type: ignore[index] # noqa: PLW2901
            found.append(message)
        return found

    def _accept(self, message: Message) -> tuple[Message, Route | None]:
        route = self._book.route(message.event)
        if route is not None:
            return message, route
        accepted = self._book.accept(message.event)
        if isinstance(accepted, Misfit):
            self._misfits += 1
            wanted = self._book.routes[accepted.type]
            concerned = [*wanted.now.all(), *wanted.later.all()]
            self._reporter.tell(concerned[0].rule if concerned else None, str(accepted))
            return message, None
        event, route = accepted
        return Message(message.topic, event, message.time_ns, message.origin), route

    def _arrive(self, arrived: list[Follow], time_ns: int, seen: int = 0) -> None:
        """Rules without state see events of one time and what they make of them; rules with state will.

        ``seen`` is how many events of the same chain they have seen before.
        """
        queue = deque(arrived)
        behind = 0 if self._mark.at is None else self._mark.at - time_ns
        for message, route in self._bounded(queue, seen):
            route.seen += 1
            if route.has_now:
                self._now(message, route, queue)
            if route.has_later:
                if behind > 0:
                    self._too_late(message, route)
                else:
                    self._wait(message)

    def _too_late(self, message: Message, route: Route) -> None:
        self._late += 1
        behind = (self._mark.at or 0) - message.time_ns
        self._reporter.tell(None, f"{route.type} from {message.origin} is late by {_shown(behind)}")

    def _wait(self, message: Message) -> None:
        self._arrived += 1
        heappush(self._waiting, (message.time_ns, self._arrived, message))
        if len(self._waiting) > self._limits.waiting_max:
            self._forced += 1
            self._mark.force(self._waiting[0][0])

    def _now(self, message: Message, route: Route, queue: deque[Follow]) -> None:
        made: list[Follow] = []
        for watcher in route.now.matching(message):
            began = self._measure()
            self._reporter.report(watcher.rule, (message,), message.time_ns, made)
            self._measured(watcher.rule, began)
        queue.extend(made)

    def _bounded(self, queue: deque[Follow], seen: int = 0) -> Iterator[Follow]:
        """Take from a queue until it is empty, or rules have made too much of one message."""
        for _ in range(self._limits.made_max - seen):
            if not queue:
                return
            yield queue.popleft()
        if not queue:
            return
        self._reporter.tell(None, f"rules made {self._limits.made_max:,} events of one: the others are dropped")

    # --- by the watermark ----------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Let rules with state see what the watermark has reached, and what is due, in order."""
        waiting, due, mark = self._waiting, self._due, self._mark.at
        while mark is not None and (waiting or due):
            if due and due[0][0] < mark and not (waiting and waiting[0][0] <= due[0][0]):
                self._fire(due[0][0])
            elif waiting and waiting[0][0] <= mark:
                message = heappop(waiting)[2]
                route = self._book.route(message.event)
                if route is not None:
                    self._made(self._see(message, route))
            else:
                return

    def _made(self, made: list[Follow]) -> None:
        """Let all rules see what a rule with state made."""
        if not made:
            return
        queue = deque(made)
        for message, route in self._bounded(queue):
            route.seen += 1
            if route.has_now:
                self._now(message, route, queue)
            if route.has_later:
                queue.extend(self._see(message, route))

    def _see(self, message: Message, route: Route) -> list[Follow]:
        """Rules with state see an event, in its order; returns what they make of it."""
        self._ordered += 1
        made: list[Follow] = []
        hits = route.later.matching(message)
        if hits:
            self._feed_all(hits, message, made)
        return made

    def _feed_all(self, hits: list[Watcher[Running]], message: Message, made: list[Follow]) -> None:
        seen = Seen.of(message, self._ordered)
        for running, watchers in groupby(hits, key=_rule):
            self._feed(running, seen, [watcher.step for watcher in watchers], made)

    def _feed(self, running: Running, message: Message, steps: list[int], made: list[Follow]) -> None:
        machine: Any = running.machine
        if self._timing:
            began = self._measure()
            self._timing = False
            self._feed(running, message, steps, made)
            self._timing = True
            self._measured(running, began)
            return
        found = machine.see(message, self._ordered, steps)
        if found is not None:
            self._report(running, found, steps, made)
        if machine.timed:
            self._schedule(running)

    def _report(self, running: Running, found: Any, steps: list[int], made: list[Follow]) -> None:
        """Report what an event has completed, and keep it unless it was consumed."""
        machine: Any = running.machine
        part, matches, seen = found
        used = self._reporter.matches(running, part, matches, seen.time_ns, made)
        if seen.order not in used:
            machine.keep(part, seen, steps)

    def _measure(self) -> int:
        return self._clock() if self._timing and self._clock is not None else 0

    def _measured(self, running: Running, began: int) -> None:
        if self._timing and self._clock is not None:
            running.spent_ns += SAMPLED * (self._clock() - began)

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
        made: list[Follow] = []
        for part, matches in machine.due(time_ns):
            self._reporter.matches(running, part, matches, time_ns, made)
        self._schedule(running)
        self._made(made)


def _shown(behind_ns: int) -> str:
    return f"{behind_ns / NS:,.3f} s" if behind_ns >= 1_000_000 else f"{behind_ns:,} ns"
