"""Windows: the last so many events of a partition, or those of the last so much time, as one group.

Without ``every`` each event that enters completes a match.  With it time does: when the watermark is beyond a multiple
of the interval (*boundary*), for every partition whose window is not empty.  A rule whose windows have not changed for
``boundaries_max`` reports rests until the next event: else a year without events would be looked at by the second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from operator import attrgetter
from typing import Any

from broker.messages import Message
from broker.rules.engine.aggregates import Kept, WindowFigures, replaced
from broker.rules.engine.outcomes import Limits, Seen
from broker.rules.engine.partitions import PartitionKey, Partitions
from broker.rules.engine.plans import Bindings, Compile, Plan
from broker.rules.engine.saving import Lost, Reader, Writer

__all__ = ["Windowed", "WindowPart"]

_time = attrgetter("time_ns")


class WindowPart:
    """The window of one partition."""

    __slots__ = ("figures", "gone", "keep_ns", "kept", "reports", "used_ns")

    def __init__(self, figures: WindowFigures | None, keep_ns: int | None) -> None:
        self.kept: list[Seen] = []
        self.figures = figures
        self.reports: list[int] = []  # times, for the rule's limit
        self.used_ns = 0
        self.keep_ns = keep_ns
        self.gone = False

    def expired(self, time_ns: int) -> bool:
        """Whether nothing that it has matters any more."""
        return self.keep_ns is not None and self.used_ns + self.keep_ns < time_ns

    @property
    def events(self) -> int:
        """How many events it keeps."""
        return len(self.kept)


class Windowed:
    """The state of one rule with a window, and what completes its matches."""

    def __init__(self, plan: Plan, limits: Limits, compile_: Compile) -> None:
        rule, window = plan.rule, plan.rule.window
        assert window is not None
        (step,) = rule.steps
        self._aggregates: list[Kept] = []
        regular = [replaced(expression, step.name, self._aggregates) for expression in plan.finally_]
        made = (rule.make, rule.topic)
        makes = [None if each is None else replaced(each, step.name, self._aggregates) for each in made]
        self._items = [compile_.own(each.item, step) for each in self._aggregates]
        self._regular = [compile_.test(expression) for expression in regular]
        # Of a match of a window that is regular: the functions for what the rule makes, and its topic.
        self.make, self.topic = (None if each is None else compile_.value(each) for each in makes)
        self.plan = plan
        self.limits = limits
        self.dropped = 0  # events and boundaries
        self._count = limits.events_max if window.count is None else min(window.count, limits.events_max)
        self._drops = window.count is None or window.count > limits.events_max
        self._length = window.length_ns
        self._every = window.every_ns
        self._key = PartitionKey(rule.per)
        keep = self._length
        if rule.limit is not None and keep is not None:
            keep = max(keep, rule.limit.per_ns)
        # A partition that a boundary may still ask for is not to go before it.
        keep = keep + self._every if keep is not None and self._every is not None else keep
        self.parts: Partitions[WindowPart] = Partitions(
            lambda _: WindowPart(self._figures(), keep), limits.partitions_max
        )
        self.timed = self._every is not None  # whether time completes matches
        self._next: int | None = None  # the next boundary
        self._unchanged = 0  # windows reported since the last event

    # --- events --------------------------------------------------------------------------------------------------

    def see(self, message: Message, order: int, steps: Sequence[int]) -> tuple[WindowPart, list[Bindings], Seen] | None:
        """An event that enters: its partition, the match that it completes, if it does, and it as kept."""
        del steps
        key = self._key.of(message.event)
        if key is None:
            return None
        seen = Seen.of(message, order)
        part = self.parts.use(key, seen.time_ns)
        part.used_ns = seen.time_ns
        part.kept.append(seen)
        if part.figures is not None:
            part.figures.add(seen)
        self._prune(part, seen.time_ns)
        if self._every is None:
            matches = self._matches(part)
            return (part, matches, seen) if matches else None
        self._unchanged = 0
        if self._next is None:
            self._next = -(-seen.time_ns // self._every) * self._every
        return None

    def keep(self, part: WindowPart, seen: Seen, steps: Sequence[int]) -> None:
        """The event has entered already."""

    def consume(self, part: WindowPart, bindings: Bindings) -> set[int]:
        """Begin with an empty window."""
        part.kept = []
        part.figures = self._figures()
        return {seen.order for seen in bindings[0]}

    def events_of(self, bindings: Bindings) -> list[Seen]:
        """The events of a match, in their order."""
        found: list[Seen] = bindings[0]
        return found

    # --- time ----------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """The next boundary."""
        return self._next

    def due(self, time_ns: int) -> list[tuple[WindowPart, list[Bindings]]]:
        """The matches at a boundary."""
        if self._next is None or self._next > time_ns or self._every is None:
            return []
        found: list[tuple[WindowPart, list[Bindings]]] = []
        empty: list[Hashable] = []
        for key, part in self.parts.items():
            self._prune(part, time_ns)
            if part.kept:
                found.append((part, self._matches(part)))
            elif part.expired(time_ns):
                empty.append(key)
        for key in empty:
            self.parts.discard(key)
        self._next = None
        if found:
            self._unchanged += len(found)
            if self._unchanged < self.limits.boundaries_max:
                self._next = time_ns + self._every
            else:
                self.dropped += 1
        found.sort(key=lambda item: item[0].kept[0].order)
        return found

    # --- state ---------------------------------------------------------------------------------------------------

    def state(self, writer: Writer) -> dict[str, Any]:
        """Plain data."""
        parts = [
            [self._key.to_data(key), part.used_ns, list(part.reports), writer.numbers(part.kept)]
            for key, part in self.parts.items()
        ]
        return {
            "parts": parts,
            "dropped": self.dropped,
            "gone": self.parts.dropped,
            "next": self._next,
            "unchanged": self._unchanged,
        }

    def restore(self, data: dict[str, Any], reader: Reader) -> list[str]:
        """Take what :meth:`state` gave; returns why partitions were left out."""
        lost = []
        self.dropped, self.parts.dropped = data["dropped"], data["gone"]
        self._next, self._unchanged = data["next"], data["unchanged"]
        for key_data, used_ns, reports, kept in data["parts"]:
            try:
                events = reader.bindings(kept)
            except Lost as why:
                lost.append(str(why))
                continue
            part = self.parts.restored(self._key.from_data(key_data))
            part.used_ns, part.reports, part.kept = used_ns, list(reports), events
            if part.figures is not None:
                for seen in events:
                    part.figures.add(seen)
        return lost

    # --- within --------------------------------------------------------------------------------------------------

    def _matches(self, part: WindowPart) -> list[Bindings]:
        bindings: list[Any] = [part.kept]
        tests = self.plan.final
        if part.figures is not None and part.figures.regular:
            bindings.append(part.figures.update())
            tests = self._regular
        for test in tests:
            if not test(bindings):
                return []
        return [bindings]

    def _remove(self, part: WindowPart, count: int) -> None:
        del part.kept[:count]
        if part.figures is not None:
            part.figures.remove(count)

    def _figures(self) -> WindowFigures | None:
        return WindowFigures(self._aggregates, self._items) if self._aggregates else None

    def _prune(self, part: WindowPart, time_ns: int) -> None:
        kept = part.kept
        if self._length is not None and kept and kept[0].time_ns <= time_ns - self._length:
            self._remove(part, bisect_right(kept, time_ns - self._length, key=_time))
        if len(kept) > self._count:
            surplus = len(kept) - self._count
            self._remove(part, surplus)
            self.dropped += surplus if self._drops else 0
