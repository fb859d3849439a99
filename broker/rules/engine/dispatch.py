"""Who wants to see an event: found by its type, and by the equality conditions of rules.

A **watcher** is one step of one rule.  A **route** has the watchers of one type of events, those of its ancestors among
them.  A watcher whose step has a condition ``member == constant`` stands in a dict under that constant, so that ten
thousand rules of that kind cost one look-up per member that occurs in such conditions; the others are tried one by one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar

from broker.messages import Message

__all__ = ["Index", "Watcher"]

R = TypeVar("R")


class Watcher(Generic[R]):
    """One step of a rule: which events are candidates of it.

    ``test`` tells whether the conditions hold that the index does not look at (None: there are none).  ``place`` is
    where watchers stand among each other: the rule's place in the program, and later steps before earlier ones.
    """

    __slots__ = ("keys", "listens", "member", "place", "rule", "step", "test")

    def __init__(
        self,
        rule: R,
        step: int,
        test: Callable[[Message], bool] | None,
        key: tuple[str, tuple[object, ...]] | None,
        listens: tuple[str, ...],
    ) -> None:
        self.rule = rule
        self.step = step
        self.test = test
        self.member: str | None = None
        self.keys: tuple[object, ...] = ()
        if key is not None:
            self.member, self.keys = key
        self.listens = listens
        self.place: tuple[int, int] = (0, -step)


def _place(watcher: Watcher[Any]) -> tuple[int, int]:
    return watcher.place


class Index(Generic[R]):
    """Watchers of one type of events; :meth:`find` gives those that an event may concern, in their order."""

    __slots__ = ("_members", "_tables", "scanned")

    def __init__(self) -> None:
        self.scanned: list[Watcher[R]] = []
        self._tables: dict[str, dict[object, list[Watcher[R]]]] = {}
        self._members: list[tuple[Callable[[Any], object], dict[object, list[Watcher[R]]]]] = []

    def __bool__(self) -> bool:
        return bool(self.scanned or self._tables)

    def add(self, watcher: Watcher[R]) -> None:
        """Take a watcher in."""
        if watcher.member is None:
            insort(self.scanned, watcher, key=_place)
            return
        table = self._tables.get(watcher.member)
        if table is None:
            table = self._tables[watcher.member] = {}
            self._members.append((attrgetter(watcher.member), table))
        for key in watcher.keys:
            insort(table.setdefault(key, []), watcher, key=_place)

    def all(self) -> list[Watcher[R]]:
        """All watchers, in their order."""
        found = {id(watcher): watcher for watcher in self.scanned}
        for table in self._tables.values():
            found |= {id(watcher): watcher for watchers in table.values() for watcher in watchers}
        return sorted(found.values(), key=_place)

    def find(self, event: Any) -> list[Watcher[R]]:
        """The watchers that may concern an event.  The list is the index's own: not to be changed."""
        found = self.scanned
        for member, table in self._members:
            hits = table.get(member(event))
            if hits:
                found = sorted([*found, *hits], key=_place) if found else hits
        return found
