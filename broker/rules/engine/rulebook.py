"""The rules that run, and the routes from events to them; a program takes another one's place.

A rule that is the same in both programs, with all that it can reach, goes on with its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from broker.errors import RuleError
from broker.events import Event
from broker.rules.compiling import EventClasses, Misfit
from broker.rules.engine.clauses import made_type, part_of
from broker.rules.engine.dispatch import Index, Watcher
from broker.rules.engine.outcomes import Limits, Reloaded
from broker.rules.engine.running import Running
from broker.rules.model import EventType, Function, Program, Rule

__all__ = ["Route", "Rulebook"]


class Route:
    """The watchers of one type of events."""

    __slots__ = ("has_later", "has_now", "later", "now", "seen", "type", "wanted")

    def __init__(self, type_: str, seen: int, failed: Callable[[Running, Exception], None]) -> None:
        self.type = type_
        self.seen = seen  # events of it, received and made
        self.now: Index[Running] = Index(failed)  # of rules without state
        self.later: Index[Running] = Index(failed)  # of rules with state
        self.has_now = self.has_later = self.wanted = False

    def add(self, watcher: Watcher[Running]) -> None:
        """Take a watcher in."""
        (self.now if watcher.rule.machine is None else self.later).add(watcher)
        self.has_now, self.has_later, self.wanted = bool(self.now), bool(self.later), True


class Rulebook:
    """A program as it runs.  ``failed`` is told of conditions that have no value."""

    def __init__(self, program: Program, limits: Limits, failed: Callable[[Running, Exception], None]) -> None:
        self._limits = limits
        self._failed = failed
        self.program = Program()
        self.classes = EventClasses(self.program)
        self.routes: dict[str, Route] = {}
        self.rules: dict[str, Running] = {}
        self._types: dict[str, EventType] = {}
        self._functions: dict[str, Function] = {}
        self.by_class: dict[type, Route | None] = {}  # what `route` found
        self._makers: dict[str, list[Running]] = {}  # by the type of what they make
        self.replace(program)

    # --- events --------------------------------------------------------------------------------------------------

    def route(self, event: object) -> Route | None:
        """The route of an instance; None if no rule could want it, or if it has to be accepted first."""
        cls = event.__class__
        try:
            return self.by_class[cls]
        except KeyError:
            name = self.classes.type_of(event)
            route = self.by_class[cls] = None if name is None else self.routes[name]
            return route

    def accept(self, event: Any) -> tuple[Any, Route | None] | Misfit:
        """The instance that an event without a route is to the rules, if it is anything to them, and its route."""
        if event.__class__ is Event and event.name not in self.routes:
            return event, None
        found = self.classes.accept(event)
        if found.__class__ is Misfit:
            misfit: Misfit = found
            return misfit
        return found, self.route(found) if found is not event else None

    def seen_of(self, running: Running) -> int:
        """How many events of a rule's types there were."""
        types = {name for step in running.rule.steps for name in self.classes.subtypes(step.type)}
        return sum(self.routes[name].seen for name in types)

    def made_by(self, running: Running) -> list[Route]:
        """The routes of what a rule may make."""
        made = made_type(running.rule, self._functions)
        return [] if made is None else [self.routes[name] for name in self.classes.subtypes(made)]

    def rank(self, running: Running) -> int:
        """How many rules, at most, make something of what another one made before it gets to this one."""
        ranks: dict[str, int] = {}

        def of(rule: Running) -> int:
            if rule.name not in ranks:
                ranks[rule.name] = 0  # programs are free of circles; one that is not ends here
                types = {name for step in rule.rule.steps for name in self.classes.subtypes(step.type)}
                makers = [maker for name in types for maker in self._makers.get(name, ())]
                ranks[rule.name] = max((1 + of(maker) for maker in makers), default=0)
            return ranks[rule.name]

        return of(running) if self._makers else 0

    # --- programs ------------------------------------------------------------------------------------------------

    def replace(self, program: Program) -> Reloaded:
        """Run another program.  Raises RuleError for one that cannot run; nothing has changed then."""
        former = self.program
        if self._extends(former.types, program.types, 0) and self._extends(former.functions, program.functions, None):
            rules, count = program.rules, len(former.rules)
            if rules[:count] == former.rules:
                return self._append(program, rules[count:])
        return self._exchange(program)

    def _extends(self, former: tuple[Any, ...], new: tuple[Any, ...], more: int | None) -> bool:
        count = len(former)
        return (more is None or len(new) <= count + more) and new[:count] == former

    def _append(self, program: Program, rules: Iterable[Rule]) -> Reloaded:
        """The quick way: nothing is changed, rules (and functions) come at the end."""
        further = program.functions[len(self.program.functions) :]
        functions = self._functions
        if further:
            for function in further:
                if function.name in functions:
                    return self._exchange(program)
            functions.update({function.name: function for function in further})
        kept = len(self.rules)
        try:
            new = self._build(rules, self._types, functions, self.classes, self.rules)
        except RuleError:
            for function in further:
                del functions[function.name]
            raise
        for running in new:
            running.put(len(self.rules))
            self.rules[running.name] = running
            self._watch(running)
        self.program = program
        return Reloaded(kept, tuple(running.name for running in new), ())

    def _build(
        self,
        rules: Iterable[Rule],
        types: dict[str, EventType],
        functions: dict[str, Function],
        classes: EventClasses,
        others: Iterable[str],
    ) -> list[Running]:
        found: dict[str, Running] = {}
        for rule in rules:
            if not rule.active:
                continue
            if rule.name in found or rule.name in others:
                raise RuleError.at(rule.name, f"there are two rules {rule.name!r:.80}")
            found[rule.name] = self._run(part_of(rule, functions, types), classes)
        return list(found.values())

    def _run(self, part: Program, classes: EventClasses) -> Running:
        former = self.rules.get(part.rules[0].name)
        if former is not None and former.program == part:
            return former
        return Running(part, classes, self._limits, self._failed)

    def _exchange(self, program: Program) -> Reloaded:
        types = {type_.name: type_ for type_ in program.types}
        functions = {function.name: function for function in program.functions}
        classes = EventClasses(program)
        running = self._build(program.rules, types, functions, classes, ())
        former = self.rules
        seen = {name: self.seen_of(rule) - rule.seen_before for name, rule in former.items()}
        self.program, self._types, self._functions, self.classes = program, types, functions, classes
        self.routes = {
            name: Route(name, self.routes[name].seen if name in self.routes else 0, self._failed) for name in types
        }
        self.by_class.clear()
        self._makers = {}
        self.rules = {rule.name: rule for rule in running}
        for place, rule in enumerate(running):
            rule.put(place)
            self._watch(rule)
            if former.get(rule.name) is rule:  # types that extend those of its steps may have come or gone
                rule.seen_before -= seen[rule.name]
        kept = [rule.name for rule in running if former.get(rule.name) is rule]
        new = tuple(rule.name for rule in running if former.get(rule.name) is not rule)
        gone = tuple(name for name, rule in former.items() if self.rules.get(name) is not rule)
        for name in gone:
            former[name].gone = True
        return Reloaded(len(kept), new, gone)

    def _watch(self, running: Running) -> None:
        for watcher in running.watchers:
            for name in self.classes.subtypes(running.rule.steps[watcher.step].type):
                self.routes[name].add(watcher)
        for route in self.made_by(running):
            self._makers.setdefault(route.type, []).append(running)
        running.seen_before = self.seen_of(running)
