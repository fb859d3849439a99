"""Patterns over sequences of events: the matches that an event or the time completes.

A partition keeps the candidates of every step (the last single one excepted) in the order of the stream, as long as
``within`` allows.  When a candidate of the last step comes, the events of the other single steps are chosen from
what is kept, first step first, each as soon as the conditions on it allow: so matches are found in the order in which
they are to be reported.  Groups and absences follow from the single steps, as DESIGN.md defines them.  Nothing is kept
of matches that are not whole, so memory is bounded by the events.

A pattern that ends with an absent step waits: its matches without that step are kept as **pending**, each with the
time at which it will be complete, unless an event comes that it forbids.

The file is long because finding, keeping and saving look at the same few lists.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, Final

from broker.messages import Message
from broker.rules.engine.outcomes import Limits, Seen
from broker.rules.engine.partitions import PartitionKey, Partitions
from broker.rules.engine.plans import Absence, Bindings, Plan, Run
from broker.rules.engine.saving import Lost, Reader, Writer

__all__ = ["Part", "Pattern", "Pending"]

_order = attrgetter("order")
_time = attrgetter("time_ns")


_EMPTY: Final[list[Any]] = []  # shared, and never added to


class Pending:
    """A match that is whole but for the absent steps at its end."""

    __slots__ = ("bindings", "cancelled", "deadline", "key")

    def __init__(self, key: Hashable, bindings: Bindings, deadline: int) -> None:
        self.key = key
        self.bindings = bindings
        self.deadline = deadline
        self.cancelled = False


class Part:
    """What a rule keeps of one partition."""

    __slots__ = ("events", "gone", "keep_ns", "kept", "pending", "reports", "used_ns")

    def __init__(self, steps: int, keep_ns: int | None, *, limited: bool) -> None:
        # There are many of these: lists are made when something is in them.
        self.kept: list[list[Seen]] = [_EMPTY] * steps  # by step
        self.events = 0  # in all of them
        self.pending: list[Pending] = _EMPTY
        self.reports: list[int] = [] if limited else _EMPTY  # times, for the rule's limit
        self.used_ns = 0
        self.keep_ns = keep_ns
        self.gone = False

    def expired(self, time_ns: int) -> bool:
        """Whether nothing that it has matters any more."""
        return not self.pending and self.keep_ns is not None and self.used_ns + self.keep_ns < time_ns


class Pattern:
    """The state of one rule, and what completes its matches."""

    def __init__(self, plan: Plan, limits: Limits) -> None:
        rule = plan.rule
        self.plan = plan
        self.limits = limits
        self.dropped = 0  # events, pending matches, and searches for matches that were too long
        self._within = rule.within_ns
        self._key = PartitionKey(rule.per)
        leading = any(absence.left is None for absence in plan.absences)
        keep = None if self._within is None else self._within * (2 if leading else 1)
        self._horizons = [
            keep if leading and plan.rule.steps[place].absent else self._within for place in range(len(rule.steps))
        ]
        steps = len(rule.steps)
        self._keeps = [
            place not in plan.trailing and (place != plan.last or rule.steps[place].group) for place in range(steps)
        ]
        keep = keep if any(self._keeps) else 0
        if rule.limit is not None and keep is not None:
            keep = max(keep, rule.limit.per_ns)
        self.parts: Partitions[Part] = Partitions(
            lambda _: Part(steps, keep, limited=rule.limit is not None), limits.partitions_max
        )
        self.timed = bool(plan.trailing)  # whether time completes matches
        self._due: list[tuple[int, int, Pending]] = []
        self._serial = 0
        self._last = plan.last
        # Of matches found in order, only the first or the last is looked for where no other is reported.
        one = "" if not plan.ordered or plan.trailing else rule.select
        self._one = "first" if rule.consume and one == "each" else one
        self._begins = plan.positive == [plan.last]  # nothing has to be there before its last step
        # Of each step: whether it only ends what others have begun.
        self._closes = [step >= plan.last and not self._keeps[step] and not self._begins for step in range(steps)]
        self._events_max = limits.events_max
        self._left = 0  # combinations that may still be tried

    # --- events --------------------------------------------------------------------------------------------------

    def see(self, message: Message, order: int, steps: list[int]) -> tuple[Part, list[Bindings], Seen] | None:
        """A candidate of these steps, later steps first: the partition, the matches that it completes, and it as kept.

        None if it completes none: it is kept then.  Reporting is the caller's otherwise: it calls :meth:`consume` for
        what is reported, and then :meth:`keep`.
        """
        key = self._key.get(message.event)
        if key.__class__ is not str:
            key = self._key.of(message.event)
            if key is None:
                return None
        time_ns, last = message.time_ns, self._last
        if self._closes[steps[0]] and len(steps) == 1:
            # The usual one: it would end a match, and nothing has begun one.
            there = self.parts.by_key.get(key)
            if there is None or not (there.events or there.pending):
                return None
        seen = message if message.__class__ is Seen else Seen.of(message, order)
        part = self.parts.use(key, time_ns)
        part.used_ns = time_ns
        for step in steps:
            if step > last:
                if part.pending:
                    self._forbid(part, step, seen)
            elif step == last and (part.events or self._begins):
                found = self._complete(part, seen)
                if found and not self.timed:
                    return part, found, seen
                for bindings in found:
                    self._wait(key, part, bindings, seen)
        self.keep(part, seen, steps)
        return None

    def keep(self, part: Part, seen: Seen, steps: list[int]) -> None:
        """The same event, after what it completed was reported, unless it was consumed."""
        for step in steps:
            if self._keeps[step]:
                kept = part.kept[step]
                if kept:
                    horizon = self._horizons[step]
                    if horizon is not None and kept[0].time_ns < seen.time_ns - horizon:
                        self._prune(part, step, seen.time_ns)
                    kept.append(seen)
                else:
                    part.kept[step] = [seen]
                part.events += 1
                if part.events > self._events_max:
                    self._drop_oldest(part)

    def consume(self, part: Part, bindings: Bindings) -> set[int]:
        """Use the events of a reported match up: their orders."""
        used = {seen.order for seen in self.events_of(bindings)}
        for kept in part.kept:
            if kept:
                before = len(kept)
                kept[:] = [seen for seen in kept if seen.order not in used]
                part.events -= before - len(kept)
        if part.pending:
            for pending in part.pending:
                if any(seen.order in used for seen in self.events_of(pending.bindings)):
                    pending.cancelled = True
            part.pending = [pending for pending in part.pending if not pending.cancelled]
        return used

    def events_of(self, bindings: Bindings) -> list[Seen]:
        """The events of a match, in their order."""
        found: list[Seen] = []
        for place in self.plan.positive:
            if self.plan.rule.steps[place].group:
                found.extend(bindings[place])
            else:
                found.append(bindings[place])
        return found

    # --- time ----------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """When the next pending match is complete: it is reported when the watermark is beyond."""
        while self._due and self._due[0][2].cancelled:
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def due(self, time_ns: int) -> list[tuple[Part, list[Bindings]]]:
        """The matches that are complete at a time, by partition."""
        found: dict[Hashable, tuple[Part, list[Bindings]]] = {}
        while self._due and self._due[0][0] <= time_ns:
            pending = heappop(self._due)[2]
            part = self.parts.get(pending.key)
            if pending.cancelled or part is None or part.gone:
                continue
            part.pending.remove(pending)
            found.setdefault(pending.key, (part, []))[1].append(pending.bindings)
        for _, matches in found.values():
            matches.sort(key=self._match_key)
        return sorted(found.values(), key=lambda item: self._match_key(item[1][0]))

    def _wait(self, key: Hashable, part: Part, bindings: Bindings, seen: Seen) -> None:
        own = self.plan.rule.steps[-1].within_ns
        deadline = seen.time_ns + own if own is not None else self._first(bindings).time_ns + (self._within or 0)
        self.put_pending(part, Pending(key, bindings, deadline))
        if len(part.pending) > self.limits.events_max:
            part.pending.pop(0).cancelled = True
            self.dropped += 1

    def put_pending(self, part: Part, pending: Pending) -> None:
        """Let a match wait."""
        if part.pending:
            part.pending.append(pending)
        else:
            part.pending = [pending]
        self._serial += 1
        heappush(self._due, (pending.deadline, self._serial, pending))

    def _forbid(self, part: Part, step: int, seen: Seen) -> None:
        tests = self.plan.qualifies[step]
        for pending in part.pending:
            if self._holds(tests, pending.bindings, step, seen):
                pending.cancelled = True
        part.pending = [pending for pending in part.pending if not pending.cancelled]

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self, writer: Writer) -> dict[str, Any]:
        """Plain data."""
        parts = []
        for key, part in self.parts.items():
            kept = [writer.numbers(events) for events in part.kept]
            pending = [[[writer.numbers(each) for each in wait.bindings], wait.deadline] for wait in part.pending]
            parts.append([self._key.to_data(key), part.used_ns, list(part.reports), kept, pending])
        return {"parts": parts, "dropped": self.dropped, "gone": self.parts.dropped}

    def restore(self, data: dict[str, Any], reader: Reader) -> list[str]:
        """Take what :meth:`state` gave; returns why partitions were left out."""
        lost = []
        self.dropped, self.parts.dropped = data["dropped"], data["gone"]
        for key_data, used_ns, reports, kept, pending in data["parts"]:
            key = self._key.from_data(key_data)
            try:
                events = [reader.bindings(each) for each in kept]
                waits = [Pending(key, [reader.bindings(each) for each in found], at) for found, at in pending]
            except Lost as why:
                lost.append(str(why))
                continue
            part = self.parts.restored(key)
            part.used_ns, part.reports, part.kept = used_ns, list(reports), events
            part.events = sum(len(each) for each in events)
            for wait in waits:
                self.put_pending(part, wait)
        return lost

    # --- matches -------------------------------------------------------------------------------------------------

    def _complete(self, part: Part, seen: Seen) -> list[Bindings]:
        plan = self.plan
        found: list[Bindings] = []
        if self._within is not None:
            for step, kept in enumerate(part.kept):
                if kept:
                    self._prune(part, step, seen.time_ns)
        for step in plan.chosen:
            if not part.kept[step]:
                return found
        bindings: list[Any] = [None] * len(plan.rule.steps)
        if not plan.rule.steps[plan.last].group:
            bindings[plan.last] = seen
        self._left = self.limits.search_max
        self._choose(0, -1, part, seen, bindings, found, self._one)
        if self._left < 0:
            self.dropped += 1
        if not plan.ordered:
            found.sort(key=self._match_key)
        return found

    def _choose(
        self, depth: int, after: int, part: Part, seen: Seen, bindings: list[Any], found: list[Bindings], one: str
    ) -> None:
        plan = self.plan
        if depth == len(plan.chosen):
            match = self._whole(part, seen, bindings)
            if match is not None:
                found.append(match)
            return
        step = plan.chosen[depth]
        kept = part.kept[step]
        start = bisect_right(kept, after, key=_order) if after >= 0 else 0
        places = range(len(kept) - 1, start - 1, -1) if one == "last" else range(start, len(kept))
        tests = plan.between[step]
        deeper = depth + 1 < len(plan.chosen)
        for place in places:
            self._left -= 1
            if self._left < 0:
                return
            candidate = bindings[step] = kept[place]
            for test in tests:
                if not test(bindings):
                    break
            else:
                if deeper:
                    self._choose(depth + 1, candidate.order, part, seen, bindings, found, one)
                elif (match := self._whole(part, seen, bindings)) is not None:
                    found.append(match)
                if found and one in ("first", "last"):
                    return
        bindings[step] = None

    def _whole(self, part: Part, seen: Seen, bindings: list[Any]) -> Bindings | None:
        plan = self.plan
        match = list(bindings)
        for run in plan.runs:
            if not self._fill(run, part, seen, match):
                return None
        if self._within is not None and seen.time_ns - self._first(match).time_ns > self._within:
            return None
        for absence in plan.absences:
            if self._present(absence, part, match):
                return None
        for test in plan.final:
            if not test(match):
                return None
        return match

    def _fill(self, run: Run, part: Part, seen: Seen, match: list[Any]) -> bool:
        """Find the events of groups that follow each other."""
        after = -1 if run.left is None else match[run.left].order
        before = None if run.right is None else match[run.right].order
        for index, group in enumerate(run.groups):
            events = self._qualified(group, part, seen, match, after, before)
            if not events:
                return False
            if index + 1 < len(run.groups):
                follow = self._qualified(run.groups[index + 1], part, seen, match, events[0].order, before)
                if not follow:
                    return False
                events = events[: bisect_left(events, follow[0].order, key=_order)]
                after = follow[0].order - 1
            match[group] = events
        return run.right is not None or events[-1] is seen

    def _qualified(
        self, group: int, part: Part, seen: Seen, match: list[Any], after: int, before: int | None
    ) -> list[Seen]:
        kept = part.kept[group]
        start = bisect_right(kept, after, key=_order)
        end = len(kept) if before is None else bisect_left(kept, before, key=_order)
        if self._within is not None:
            start = max(start, bisect_left(kept, seen.time_ns - self._within, key=_time))
        events = kept[start:end]
        if group == self.plan.last:
            events.append(seen)
        tests = self.plan.qualifies[group]
        self._left -= len(events)
        return [event for event in events if self._holds(tests, match, group, event)] if tests else events

    def _present(self, absence: Absence, part: Part, match: list[Any]) -> bool:
        """Whether something happened that should not have."""
        kept = part.kept[absence.step]
        if not kept:
            return False
        right = match[absence.right]
        right = right[0] if isinstance(right, list) else right
        end = bisect_left(kept, right.order, key=_order)
        if absence.left is None:
            start = 0 if self._within is None else bisect_left(kept, right.time_ns - self._within, key=_time)
        else:
            left = match[absence.left]
            start = bisect_right(kept, (left[-1] if isinstance(left, list) else left).order, key=_order)
        tests = self.plan.qualifies[absence.step]
        self._left -= max(0, end - start)
        return any(self._holds(tests, match, absence.step, event) for event in kept[start:end])

    def _holds(self, tests: list[Callable[[Bindings], bool]], bindings: Bindings, step: int, event: Seen) -> bool:
        if not tests:
            return True
        with_event = list(bindings)
        with_event[step] = event
        return all(test(with_event) for test in tests)

    def _first(self, match: Bindings) -> Seen:
        first = match[self.plan.positive[0]]
        found: Seen = first[0] if isinstance(first, list) else first
        return found

    def _match_key(self, match: Bindings) -> list[tuple[int, ...]]:
        """Matches in the order of their events' arrivals, step by step."""
        return [
            tuple(seen.order for seen in match[place]) if isinstance(match[place], list) else (match[place].order,)
            for place in self.plan.positive
        ]

    # --- what is kept --------------------------------------------------------------------------------------------

    def _prune(self, part: Part, step: int, time_ns: int) -> None:
        horizon = self._horizons[step]
        kept = part.kept[step]
        if horizon is None or not kept or kept[0].time_ns >= time_ns - horizon:
            return
        if kept[-1].time_ns < time_ns - horizon:
            part.events -= len(kept)
            kept.clear()
        else:
            gone = bisect_left(kept, time_ns - horizon, key=_time)
            del kept[:gone]
            part.events -= gone

    def _drop_oldest(self, part: Part) -> None:
        oldest = min((kept for kept in part.kept if kept), key=lambda kept: kept[0].order)
        del oldest[0]
        part.events -= 1
        self.dropped += 1
