"""Who wants to see an event: found by its type, and by the equality conditions of rules.

A **watcher** is one step of one rule.  An **index** has the watchers of one type of events, also those of its
ancestors.  A watcher whose step has a condition ``member == constant`` stands in a dict under that constant, so ten
thousand rules of that kind cost one look-up per member that occurs in such conditions; others are tried one by one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar

from broker.messages import Message
from broker.rules.interpreter import EvaluationFailed

__all__ = ["Index", "Watcher"]

R = TypeVar("R")


class Watcher(Generic[R]):
    """One step of a rule: which events are candidates of it.

    ``test`` tells whether the conditions hold that the index does not look at (None: there are none).  ``place`` is
    where watchers stand among each other: the rule's place in the program, and later steps before earlier ones.
    """

    __slots__ = ("keys", "member", "place", "rule", "step", "steps", "test")

    def __init__(
        self,
        rule: R,
        step: int,
        test: Callable[[Message], object] | None,
        key: tuple[str, tuple[object, ...]] | None,
    ) -> None:
        self.rule = rule
        self.step = step
        self.steps = [step]
        self.test = test
        self.member: str | None = None
        self.keys: tuple[object, ...] = ()
        if key is not None:
            self.member, self.keys = key
        self.place: tuple[int, int] = (0, -step)


def _place(watcher: Watcher[Any]) -> tuple[int, int]:
    return watcher.place


class Index(Generic[R]):
    """Watchers of one type of events; ``failed`` is told of tests that have no value: they do not hold."""

    __slots__ = ("_failed", "_members", "_scanned", "_tables")

    def __init__(self, failed: Callable[[R, Exception], None]) -> None:
        self._failed = failed
        self._scanned: list[Watcher[R]] = []
        self._tables: dict[str, dict[object, list[Watcher[R]]]] = {}
        self._members: list[tuple[Callable[[Any], object], dict[object, list[Watcher[R]]]]] = []

    def __bool__(self) -> bool:
        return bool(self._scanned or self._tables)

    def add(self, watcher: Watcher[R]) -> None:
        """Take a watcher in."""
        if watcher.member is None:
            insort(self._scanned, watcher, key=_place)
            return
        table = self._tables.get(watcher.member)
        if table is None:
            table = self._tables[watcher.member] = {}
            self._members.append((attrgetter(watcher.member), table))
        for key in watcher.keys:
            insort(table.setdefault(key, []), watcher, key=_place)

    def all(self) -> list[Watcher[R]]:
        """All watchers, in their order."""
        found = {id(watcher): watcher for watcher in self._scanned}
        for table in self._tables.values():
            found |= {id(watcher): watcher for watchers in table.values() for watcher in watchers}
        return sorted(found.values(), key=_place)

    def matching(self, message: Message) -> list[Watcher[R]]:
        """The watchers of which an event is a candidate, in their order.  The list may be the index's own."""
        watchers = self._scanned
        event = message.event
        for member, table in self._members:
            hits = table.get(member(event))
            if hits:
                watchers = sorted([*watchers, *hits], key=_place) if watchers else hits
        if not watchers or (len(watchers) == 1 and watchers[0].test is None):
            return watchers
        found: list[Watcher[R]] = []
        for watcher in watchers:
            test = watcher.test
            try:
                if test is None or test(message):
                    found.append(watcher)
            except EvaluationFailed as error:
                self._failed(watcher.rule, error)
        return found
