"""Why a rule does or does not hold for events that somebody has: which of them its steps are, then clause by clause.

For people who look for a mistake, not for the stream: the engine decides on all matches at once, here one is sought
that holds, or else comes closest.  Each event that the first step can be is tried; every further step is the next event
that it can be, of the same partition; a group is all of them up to the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final

import attrs

from broker.errors import RuleError
from broker.messages import Message
from broker.rules.compiling import EventClasses, Misfit
from broker.rules.explaining import ClauseExplained, Explanation, Part, explain
from broker.rules.language.showing import show
from broker.rules.model import Aggregate, Constant, Program, Rule, Step, names_in, walk
from broker.values import Timestamp

__all__ = ["explain_stream", "rule_named"]

# First events that are tried: the latest.
_STARTS_MAX: Final = 100

Bound = Mapping[str, Message | Sequence[Message]]


def rule_named(program: Program, name: str) -> Rule:
    """Return a program's rule; raises KeyError, which names what may have been meant."""
    for rule in program.rules:
        if rule.name == name:
            return rule
    names = [rule.name for rule in program.rules]
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names) or 'none'}"
    raise KeyError(f"there is no rule {name!r}: {hint}")


def explain_stream(program: Program, name: str, messages: Iterable[Message]) -> Explanation:
    """Explain a rule for events in the order of the stream: those that fulfil it, or come closest to that.

    ``per``, ``within`` and absent steps are told as clauses are.  Raises KeyError for a rule that is not there, and
    RuleError for an event that is not what its type says.
    """
    asking = _Asking(program, rule_named(program, name))
    asking.take(messages)
    best: tuple[int, Explanation] | None = None
    for places in asking.assignments():
        told = asking.explained(places)
        score = 1_000_000 if told.holds else sum(clause.holds is True for clause in told.clauses)
        if best is None or score > best[0]:
            best = score, told
    assert best is not None  # there is at least one assignment, be it of nothing
    return best[1]


class _Asking:
    """One rule and the events that it is asked about."""

    def __init__(self, program: Program, rule: Rule) -> None:
        self._program = program
        self._rule = rule
        self._classes = EventClasses(program)
        self._steps = [step for step in rule.steps if not step.absent]
        self._events: list[Message] = []

    def take(self, messages: Iterable[Message]) -> None:
        """Take the events; raises RuleError."""
        for message in messages:
            instance = self._classes.accept(message.event)
            if isinstance(instance, Misfit):
                raise RuleError.at("", str(instance))
            self._events.append(Message(message.topic, instance, message.time_ns, message.origin))

    # -- which events ----------------------------------------------------------------------------------------------

    def _fits(self, step: Step, place: int) -> bool:
        return self._classes.type_of(self._events[place].event) in self._classes.subtypes(step.type)

    def _key(self, place: int) -> tuple[Any, ...]:
        return tuple(getattr(self._events[place].event, member, None) for member in self._rule.per)

    def _is_many(self, step: Step) -> bool:
        return step.group or self._rule.window is not None

    def _is_candidate(self, step: Step, place: int) -> bool:
        """Whether all clauses hold that are about this step alone."""
        if not self._fits(step, place):
            return False
        event = self._events[place]
        told = explain(self._program, self._rule, {step.name: [event] if self._is_many(step) else event})
        asked = zip(self._rule.clauses, told.clauses, strict=True)
        return not any(clause.holds is False for rule, clause in asked if not _has_aggregate(rule.expression))

    def assignments(self) -> Iterator[dict[str, list[int]]]:
        """Give the events that steps may be, by their places; those of which there is none are left out."""
        first, places = self._steps[0], range(len(self._events))
        starts = [place for place in places if self._is_candidate(first, place)]
        starts = starts or [place for place in places if self._fits(first, place)][:1]
        if not starts:
            yield self._rest({}, self._steps, 0, None)
        elif self._is_many(first):  # it has all of a partition
            for key in dict.fromkeys(map(self._key, starts)):
                group = [place for place in starts if self._key(place) == key]
                yield self._rest({first.name: group}, self._steps[1:], group[-1] + 1, key)
        else:
            for start in starts[-_STARTS_MAX:]:
                yield self._rest({first.name: [start]}, self._steps[1:], start + 1, self._key(start))

    def _rest(
        self, found: dict[str, list[int]], steps: Sequence[Step], at: int, key: tuple[Any, ...] | None
    ) -> dict[str, list[int]]:
        for index, step in enumerate(steps):
            after = range(at, len(self._events))
            own = [place for place in after if key in (None, self._key(place)) and self._is_candidate(step, place)]
            own = own or [place for place in after if self._fits(step, place)][:1]
            if own and step.group:
                behind = steps[index + 1] if index + 1 < len(steps) else None
                ends = [place for place in after if behind is not None and self._is_candidate(behind, place)]
                own = [place for place in own if not ends or place < ends[-1]] or own
            else:
                own = own[:1]
            if own:
                found[step.name], at = own, own[-1] + 1
        return found

    # -- what is told ----------------------------------------------------------------------------------------------

    def explained(self, places: Mapping[str, list[int]]) -> Explanation:
        """Return the clauses for these events, and what else the rule asks for."""
        bound = self._bound(places)
        told = explain(self._program, self._rule, bound)
        further = [*self._partition(places), *self._within(places), *self._absences(places, bound)]
        return attrs.evolve(told, clauses=(*told.clauses, *further))

    def _bound(self, places: Mapping[str, list[int]]) -> dict[str, Message | Sequence[Message]]:
        many = {step.name: self._is_many(step) for step in self._steps}
        return {
            name: [self._events[place] for place in found] if many[name] else self._events[found[0]]
            for name, found in places.items()
        }

    def _partition(self, places: Mapping[str, list[int]]) -> Iterator[ClauseExplained]:
        if self._rule.per and places:
            keys = {name: self._key(found[0]) for name, found in places.items()}
            parts = [
                Part(f"{name}.{member}", value)
                for name, key in keys.items()
                for member, value in zip(self._rule.per, key, strict=True)
            ]
            same = len(set(map(repr, keys.values()))) == 1
            why = "" if same else "they are not of one partition"
            yield ClauseExplained(f"per {', '.join(self._rule.per)}", "", same, tuple(parts), why)

    def _within(self, places: Mapping[str, list[int]]) -> Iterator[ClauseExplained]:
        limit_ns = self._rule.within_ns
        if limit_ns is None or len(self._steps) < 2:
            return
        text = f"within {_duration(limit_ns)}"
        if len(places) < len(self._steps):
            yield ClauseExplained(text, "", None)
            return
        times = [self._events[place].time_ns for found in places.values() for place in found]
        took_ns = max(times) - min(times)
        parts = (Part("from the first to the last", timedelta(microseconds=took_ns // 1000)),)
        why = "" if took_ns <= limit_ns else f"it took {_duration(took_ns)}"
        yield ClauseExplained(text, "", took_ns <= limit_ns, parts, why)

    def _absences(self, places: Mapping[str, list[int]], bound: Bound) -> Iterator[ClauseExplained]:
        """Tell of each absent step whether there was none, between the steps around it."""
        for index, step in enumerate(self._rule.steps):
            if not step.absent:
                continue
            text = f"!{step.type} {step.name}"
            before = [place for one in self._rule.steps[:index] for place in places.get(one.name, ())]
            behind = [place for one in self._rule.steps[index + 1 :] for place in places.get(one.name, ())]
            if not before and not behind:
                yield ClauseExplained(text, "", None)
                continue
            low, high = max(before, default=-1), min(behind, default=len(self._events))
            from_ns, until_ns = self._span(step, before, behind)
            there = [
                place
                for place in range(low + 1, high)
                if from_ns <= self._events[place].time_ns <= until_ns and self._forbids(step, place, places, bound)
            ]
            if there:
                at = Timestamp.from_ns(self._events[there[0]].time_ns).isoformat()
                yield ClauseExplained(text, "", False, (), f"there is one at {at}")
            elif not behind and self._events[-1].time_ns < until_ns:
                end = Timestamp.from_ns(until_ns).isoformat()
                yield ClauseExplained(text, "", None, (), f"the events end before {end}: until then one may come")
            else:
                yield ClauseExplained(text, "", True)

    def _span(self, step: Step, before: Sequence[int], behind: Sequence[int]) -> tuple[int, int]:
        """From when to when an absent step looks, where a step before or behind it does not say so."""
        events, within_ns = self._events, self._rule.within_ns or 0
        if not before:
            return events[behind[0]].time_ns - within_ns, events[behind[0]].time_ns
        if behind:
            return 0, events[min(behind)].time_ns
        if step.within_ns is not None:
            return 0, events[max(before)].time_ns + step.within_ns
        return 0, events[min(before)].time_ns + within_ns

    def _forbids(self, step: Step, place: int, places: Mapping[str, list[int]], bound: Bound) -> bool:
        if not self._fits(step, place):
            return False
        keys = [self._key(found[0]) for found in places.values()]
        if self._rule.per and keys and self._key(place) != keys[0]:
            return False
        told = explain(self._program, self._rule, {**bound, step.name: self._events[place]})
        asked = zip(self._rule.clauses, told.clauses, strict=True)
        return all(clause.holds is not False for rule, clause in asked if step.name in names_in(rule.expression))


def _has_aggregate(expression: Any) -> bool:
    return any(isinstance(part, Aggregate) for part in walk(expression))


def _duration(nanoseconds: int) -> str:
    return show(Constant(timedelta(microseconds=nanoseconds // 1000)))
