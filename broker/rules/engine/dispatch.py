"""Who wants to see an event: found by its type, and by the equality conditions of rules.

A **watcher** is one step of one rule.  An **index** has the watchers of one type of events, also those of its
ancestors.  A watcher whose step has a condition ``member == constant`` stands in a dict under that constant, so ten
thousand rules of that kind cost one look-up per member that occurs in such conditions; others are tried one by one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from broker.messages import Message
from broker.rules.interpreter import EvaluationFailed

__all__ = ["Index", "Watcher"]

R = TypeVar("R")

Sweep = Callable[[Sequence[Message]], Sequence[int]]
"""See :func:`broker.rules.compiling.compile_sweep`."""


class Watcher(Generic[R]):
    """One step of a rule: which events are candidates of it.

    ``test`` tells whether the conditions hold that the index does not look at (None: there are none).  ``place`` is
    where watchers stand among each other: the rule's place in the program, and later steps before earlier ones.
    """

    __slots__ = ("_sweep", "_sweeping", "alone", "keys", "member", "place", "rule", "step", "steps", "test")

    def __init__(
        self,
        rule: R,
        step: int,
        test: Callable[[Message], object] | None,
        key: tuple[str, tuple[object, ...]] | None,
        sweeping: Callable[[], Sweep] | None = None,
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
        self.alone = [self]
        self._sweeping = sweeping
        self._sweep: Sweep | None = None

    def sweep(self, messages: Sequence[Message]) -> Sequence[int]:
        """The places of those, among many messages, for which the test holds.

        Raises an exception of any kind where one of them has to be asked by itself.
        """
        test = self.test
        if test is None:
            return range(len(messages))
        if self._sweeping is None:
            return [at for at, message in enumerate(messages) if test(message)]
        if self._sweep is None:
            self._sweep = self._sweeping()
        return self._sweep(messages)


_NOBODY: Final[list[Any]] = []


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

    def matching_all(self, messages: Sequence[Message]) -> list[list[Watcher[R]]] | None:
        """The same for each of many messages, which costs hardly anything for those that concern nobody.

        None if one of them has to be looked at by itself.
        """
        found: list[list[Watcher[R]]] = [_NOBODY] * len(messages)
        try:
            for watcher in self._scanned:
                for at in watcher.sweep(messages):
                    there = found[at]
                    if not there:
                        found[at] = watcher.alone
                    elif len(there) == 1:
                        found[at] = [*there, watcher]
                    else:
                        there.append(watcher)
            events = [message.event for message in messages] if self._members else ()
            for member, table in self._members:
                for at, hits in enumerate(map(table.get, map(member, events))):
                    if hits is None:
                        continue
                    met = hits
                    if len(hits) > 1:
                        message = messages[at]
                        met = [each for each in hits if each.test is None or each.test(message)]
                    elif (test := hits[0].test) is not None and not test(messages[at]):
                        continue
                    if met:
                        found[at] = sorted([*found[at], *met], key=_place) if found[at] else met
        except Exception:  # noqa: BLE001 - whatever it is, it is told of the message that it is about
            return None
        return found
