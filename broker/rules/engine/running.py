"""One rule as it runs: what makes its events, its watchers, its state and its figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs

from broker.messages import Message
from broker.rules.compiling import EventClasses
from broker.rules.engine.clauses import best_equality
from broker.rules.engine.dispatch import Watcher
from broker.rules.engine.outcomes import Limits, RuleFigures
from broker.rules.engine.partitions import PartitionKey
from broker.rules.engine.patterns import Pattern
from broker.rules.engine.plans import Bindings, Compile, Plan
from broker.rules.engine.saving import Reader, Writer
from broker.rules.engine.windows import Windowed
from broker.rules.model import Apply, Program, Rule, Step, identity

__all__ = ["Running", "Telling", "is_stateless"]

BECAUSE_MAX: Final = 100
"""Messages that are told of one match: the latest."""

PROBLEMS_EACH_NS: Final = 10 * 1_000_000_000


class Telling:
    """Bounds how many problems are told: so many in ten seconds of the engine's clock."""

    def __init__(self, problems_max: int) -> None:
        self._problems_max = problems_max
        self._told = 0
        self._since: int | None = None

    def may(self, clock_ns: int) -> bool:
        """Whether one more is told now."""
        if self._since is None or clock_ns - self._since >= PROBLEMS_EACH_NS:
            self._since = clock_ns
            self._told = 0
        self._told += 1
        return self._told <= self._problems_max

    def state(self) -> list[int | None]:
        """Plain data."""
        return [self._told, self._since]

    def restore(self, data: Any) -> None:
        """Take what :meth:`state` gave."""
        self._told, self._since = data


def is_stateless(rule: Rule) -> bool:
    """Whether a rule looks at each event as it arrives, and keeps nothing."""
    return (
        len(rule.steps) == 1
        and not rule.steps[0].group
        and not rule.steps[0].absent
        and rule.within_ns is None
        and rule.window is None
        and rule.limit is None
    )


def _with_key(key: Callable[[Any], object], test: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """A test that members have values which can be equal to others, even where nothing is compared to them."""
    return lambda message: key(message.event) is not None and (test is None or test(message))


def _either(
    regular: Callable[[Bindings], Any] | None, plain: Callable[[Bindings], Any] | None
) -> Callable[[Bindings], Any] | None:
    """Of a window: by whether its figures are there."""
    if regular is None or plain is None:
        return None
    return lambda bindings: regular(bindings) if len(bindings) > 1 else plain(bindings)


def _listening(prefixes: tuple[str, ...], test: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return lambda message: message.topic.startswith(prefixes) and (test is None or test(message))


def _with_group(rule: Rule) -> Rule:
    """The step of a rule with a window is a group, also where it is not written so."""
    if rule.window is None:
        return rule
    return attrs.evolve(rule, steps=tuple(attrs.evolve(step, group=True) for step in rule.steps))


class Running:
    """A rule that runs."""

    def __init__(
        self,
        program: Program,
        classes: EventClasses,
        limits: Limits,
        failed: Callable[[Running, Exception], None],
    ) -> None:
        """Compile a rule of a program that has just what the rule can reach.  Raises RuleError."""
        self.program = program
        self.rule = rule = _with_group(program.rules[0])
        self.name = rule.name
        self.gone = False  # another program has taken this one's place
        self.scheduled: int | None = None  # when the engine will look for what is complete by time
        self.place = 0
        compile_ = Compile(program, classes, rule.steps, partial(failed, self))
        self.plan = Plan.of(rule, compile_)
        self.machine: Pattern | Windowed | None = None
        if rule.window is not None:
            self.machine = Windowed(self.plan, limits, compile_)
        elif not is_stateless(rule):
            self.machine = Pattern(self.plan, limits)
        self.make: Callable[[Bindings], Any] | None = None if rule.make is None else compile_.value(rule.make)
        self.topic: Callable[[Bindings], Any] | None = None if rule.topic is None else compile_.value(rule.topic)
        if isinstance(self.machine, Windowed):
            self.make = _either(self.machine.make, self.make)
            self.topic = _either(self.machine.topic, self.topic)
        self.topics: set[str] = set()  # what is known to be a topic
        self.actions = rule.actions
        self.watchers = [self._watcher(place, step, compile_) for place, step in enumerate(rule.steps)]
        self.matched = self.made = self.limited = self.failed = 0
        self.seen_before = 0  # what its types' routes had seen when it was added
        self.spent_ns = 0
        self._identity: str | None = None
        self.telling = Telling(limits.problems_max)

    def _watcher(self, place: int, step: Step, compile_: Compile) -> Watcher[Running]:
        rest = list(self.plan.own[place])
        best = best_equality(rest, step.name)
        key = None
        if best is not None:
            del rest[best[0]]
            key = best[1]
        test = sweeping = None
        if rest:
            whole = rest[0] if len(rest) == 1 else Apply("bool.and", tuple(rest))
            test = compile_.own(whole, step)
            sweeping = partial(compile_.sweep, whole, step)
        if self.machine is None and self.rule.per:
            test, sweeping = _with_key(PartitionKey(self.rule.per).of, test), None
        if self.rule.listens:
            test, sweeping = _listening(self.rule.listens, test), None
        return Watcher(self, place, test, key, sweeping)

    def put(self, place: int) -> None:
        """Its place among the rules of the program."""
        self.place = place
        for watcher in self.watchers:
            watcher.place = (place, -watcher.step)

    @property
    def identity(self) -> str:
        """The hash of the rule with all that it can reach."""
        if self._identity is None:
            self._identity = identity(self.program)
        return self._identity

    def because(self, bindings: Bindings) -> tuple[Message, ...]:
        """The messages that a match is made of."""
        if self.machine is None:
            return tuple(bindings)
        return tuple(self.machine.events_of(bindings)[-BECAUSE_MAX:])

    def state(self, seen: int, writer: Writer) -> dict[str, Any]:
        """Plain data; ``seen`` is what its types' routes have seen by now."""
        return {
            "identity": self.identity,
            "counters": [seen - self.seen_before, self.matched, self.made, self.limited, self.failed, self.spent_ns],
            "told": self.telling.state(),
            "machine": None if self.machine is None else self.machine.state(writer),
        }

    def restore(self, data: dict[str, Any], seen: int, reader: Reader) -> list[str]:
        """Take what :meth:`state` gave; returns what was left out."""
        seen_then, self.matched, self.made, self.limited, self.failed, self.spent_ns = data["counters"]
        self.seen_before = seen - seen_then
        self.telling.restore(data["told"])
        return [] if self.machine is None else self.machine.restore(data["machine"], reader)

    def figures(self, seen: int) -> RuleFigures:
        """Its figures; ``seen`` is what its types' routes have seen by now."""
        machine = self.machine
        return RuleFigures(
            seen=seen - self.seen_before,
            matched=self.matched,
            made=self.made,
            limited=self.limited,
            dropped=0 if machine is None else machine.dropped + machine.parts.dropped,
            failed=self.failed,
            partitions=0 if machine is None else len(machine.parts),
            events=0 if machine is None else sum(part.events for part in machine.parts),
            spent_ns=self.spent_ns,
        )
