"""Random requests to a store, each of which can be recognised by its number in the log that it leads to."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from broker.stores import commands
from broker.stores.commands import Command
from broker.stores.entries import pack_key
from broker.values import pack

__all__ = ["Requests"]

_NUMBERS = ("n0", "n1", ("n", 2))
_TEXTS = ("t0", "t1", "t2", b"t3", 4)
_PASSING = ("e0", "e1", "e2", "e3")
_SETS, _DICTS, _LISTS = ("s0", "s1"), ("d0", "d1"), ("l0", "l1")
_ALL = (*_NUMBERS, *_TEXTS, *_PASSING, *_SETS, *_DICTS, *_LISTS)
_FIELDS = ("a", "b", 3, (4, "c"))


class Requests:
    """Makes them."""

    def __init__(self, chance: random.Random, large: int) -> None:
        self.random = chance
        self.large = large  # the size of the larger values
        self.number = 0
        self._kinds: list[tuple[Callable[[int], list[Command]], float]] = [
            (self._put, 12),
            (self._put_passing, 8),
            (self._put_container, 3),
            (self._add, 4),
            (self._compare, 6),
            (self._erase, 5),
            (self._clear, 0.3),
            (self._increment, 10),
            (self._append, 6),
            (self._insert, 10),
            (self._remove, 4),
            (self._push, 6),
            (self._pop, 4),
            (self._touch, 4),
            (self._fetch, 5),
            (self._batch, 8),
            (self._conditional, 4),
        ]

    def any(self) -> tuple[int, tuple[Command, ...]]:
        """Return a request and its number."""
        self.number += 1
        kinds, weights = zip(*self._kinds, strict=True)
        [kind] = self.random.choices(kinds, weights)
        return self.number, tuple(kind(self.number))

    def put(self, key: str, lifetime: int = 0) -> tuple[int, tuple[Command, ...]]:
        """Return a request that always succeeds where anything does."""
        self.number += 1
        return self.number, (commands.SetTo(pack_key(key), pack(f"v{self.number}"), lifetime),)

    # -- choices ---------------------------------------------------------------------------------------------------

    def _key(self, *usual: Any) -> bytes:
        return pack_key(self.random.choice(usual if usual and self.random.random() < 0.93 else _ALL))

    def _text(self, tag: int) -> bytes:
        size = self.random.choice((0, 0, 0, 10, self.large))
        return pack(f"{'x' * size}v{tag}")

    def _lifetime(self) -> int:
        return round(self.random.choice((0.01, 0.05, 0.2, 1.0, 5.0)) * 1e9) + self.random.randrange(1000)

    def _change(self) -> int | None:
        return self.random.choice((None, None, None, None, 0, self._lifetime()))

    # -- kinds -----------------------------------------------------------------------------------------------------

    def _put(self, tag: int) -> list[Command]:
        return [commands.SetTo(self._key(*_TEXTS), self._text(tag))]

    def _put_passing(self, tag: int) -> list[Command]:
        return [commands.SetTo(self._key(*_PASSING), self._text(tag), self._lifetime())]

    def _put_container(self, tag: int) -> list[Command]:
        count = self.random.choice((0, 2, 30, self.large))
        lifetime = self.random.choice((0, 0, self._lifetime()))
        kind = self.random.randrange(3)
        if kind == 0:
            value: Any = {-number for number in range(count)} | {tag}
            return [commands.SetTo(self._key(*_SETS), pack(value), lifetime)]
        if kind == 1:
            return [commands.SetTo(self._key(*_LISTS), pack([*range(-count, 0), tag]), lifetime)]
        return [commands.SetTo(self._key(*_DICTS), pack({**dict.fromkeys(range(count), "x"), "t": tag}), lifetime)]

    def _add(self, tag: int) -> list[Command]:
        lifetime = self.random.choice((0, self._lifetime()))
        return [commands.Add(self._key(*_TEXTS, *_PASSING), self._text(tag), lifetime)]

    def _compare(self, tag: int) -> list[Command]:
        key = self._key(*_TEXTS[:2], *_PASSING)
        expected = self.random.choice((None, pack(f"v{tag - self.random.randint(1, 30)}")))
        value = self.random.choice((None, self._text(tag), self._text(tag)))
        return [commands.Compare(key, expected, value, self.random.choice((0, 0, self._lifetime())))]

    def _erase(self, _tag: int) -> list[Command]:
        return [commands.Erasure(self._key(*_TEXTS, *_PASSING), self.random.random() < 0.5)]

    def _clear(self, _tag: int) -> list[Command]:
        return [commands.Truncate()]

    def _increment(self, tag: int) -> list[Command]:
        return [commands.Increment(self._key(*_NUMBERS), pack(tag), self.random.random() < 0.3, self._change())]

    def _append(self, tag: int) -> list[Command]:
        return [commands.Append(self._key("t0", "t1"), pack(f"<{tag}>"), self._change())]

    def _insert(self, tag: int) -> list[Command]:
        if self.random.random() < 0.5:
            return [commands.Insert(self._key(*_SETS), pack_key(tag), None, self._change())]
        field = pack_key(self.random.choice(_FIELDS))
        return [commands.Insert(self._key(*_DICTS), field, self._text(tag), self._change())]

    def _remove(self, tag: int) -> list[Command]:
        if self.random.random() < 0.5:
            return [commands.Remove(self._key(*_SETS), pack_key(tag - self.random.randint(1, 40)), self._change())]
        return [commands.Remove(self._key(*_DICTS), pack_key(self.random.choice(_FIELDS)), self._change())]

    def _push(self, tag: int) -> list[Command]:
        return [commands.PushLast(self._key(*_LISTS), pack(tag), self._change())]

    def _pop(self, _tag: int) -> list[Command]:
        return [commands.PopLast(self._key(*_LISTS), self._change())]

    def _touch(self, _tag: int) -> list[Command]:
        return [commands.Until(self._key(*_PASSING), self.random.choice((0, self._lifetime())))]

    def _fetch(self, _tag: int) -> list[Command]:
        return [commands.Fetch(self._key())]

    def _batch(self, tag: int) -> list[Command]:
        kinds = (self._put, self._put_passing, self._add, self._erase, self._increment, self._insert, self._push)
        others = (self._remove, self._pop, self._touch, self._put_container, self._append, self._clear)
        made: list[Command] = []
        for _ in range(self.random.choice((2, 3, 8))):
            kind = self.random.choice(kinds if self.random.random() < 0.8 else others)
            if kind != self._clear or self.random.random() < 0.2:
                made += kind(tag)
        return made or self._put(tag)

    def _conditional(self, tag: int) -> list[Command]:
        expected = None if self.random.random() < 0.7 else pack(f"v{tag - self.random.randint(1, 30)}")
        return [commands.Expect(self._key(*_TEXTS, *_PASSING), expected), *self._batch(tag)]
