"""The state of a rule, by the values of its `per` members, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from enum import Enum
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

__all__ = ["PartitionKey", "Partitions"]


class _Part(Protocol):
    gone: bool  # it was dropped

    def expired(self, time_ns: int) -> bool:
        """Whether nothing that it has will ever matter at or after a time."""


P = TypeVar("P", bound=_Part)


class Partitions(Generic[P]):
    """At most ``partitions_max`` of them: the one that was used longest ago goes, and is counted in ``dropped``."""

    __slots__ = ("_make", "by_key", "dropped", "partitions_max")

    def __init__(self, make: Callable[[Hashable], P], partitions_max: int) -> None:
        self._make = make
        # Not a plain dict: to find the oldest entry of one goes by all that were taken from its front.
        self.by_key: OrderedDict[Hashable, P] = OrderedDict()
        self.partitions_max = partitions_max
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.by_key)

    def __iter__(self) -> Iterator[P]:
        """Those used longest ago first."""
        return iter(self.by_key.values())

    def items(self) -> Iterator[tuple[Hashable, P]]:
        """Keys and partitions, those used longest ago first."""
        return iter(self.by_key.items())

    def get(self, key: Hashable) -> P | None:
        """A partition, if it is there; this is no use of it."""
        return self.by_key.get(key)

    def use(self, key: Hashable, time_ns: int) -> P:
        """The partition of a key, made if there is none."""
        part = self.by_key.get(key)
        if part is None:
            part = self.by_key[key] = self._add(key, time_ns)
        else:
            self.by_key.move_to_end(key)
        return part

    def discard(self, key: Hashable) -> None:
        """A partition that nothing is in any more."""
        self.by_key.pop(key, None)

    def restored(self, key: Hashable) -> P:
        """A partition that was saved, to be filled again: those used longest ago come first."""
        if len(self.by_key) >= self.partitions_max:
            self._drop()
        part = self.by_key[key] = self._make(key)
        return part

    def _drop(self) -> None:
        self.by_key.popitem(last=False)[1].gone = True
        self.dropped += 1

    def _add(self, key: Hashable, time_ns: int) -> P:
        for _ in range(2):  # twice as fast as they come
            oldest = next(iter(self.by_key), None)
            if oldest is None or not self.by_key[oldest].expired(time_ns):
                break
            del self.by_key[oldest]
        if len(self.by_key) >= self.partitions_max:
            self._drop()
        return self._make(key)


class PartitionKey:
    """The key of an event's partition: :attr:`of` is the function from the event to it.

    It is None if a member is None or NaN, which nothing equals.
    """

    __slots__ = ("_single", "get", "of")

    def __init__(self, per: tuple[str, ...]) -> None:
        self._single = len(per) == 1
        self.get: Callable[[Any], Any] = attrgetter(*per) if per else _nothing  # the members as they are
        self.of = _key_of(per)

    def to_data(self, key: Any) -> list[Any]:
        """A key as plain data."""
        items = [key] if self._single else key
        return [item.value if isinstance(item, _Boolean) else item for item in items]

    def from_data(self, data: Any) -> Hashable:
        """A key again."""
        values = [_item(value) for value in data]
        found: Hashable = values[0] if self._single else tuple(values)
        return found


def _nothing(event: Any) -> tuple[()]:
    del event
    return ()


class _Boolean(Enum):
    """What stands for a boolean in a key: rules take it for equal to no number, as Python does."""

    NO = False
    YES = True


_BOOLEANS: Final = {False: _Boolean.NO, True: _Boolean.YES}


def _item(value: Any) -> Hashable:
    return _BOOLEANS[value] if isinstance(value, bool) else _hashable(value)


def _key_of(per: tuple[str, ...]) -> Callable[[Any], Hashable | None]:
    if not per:
        return _nothing
    get = attrgetter(*per)
    single = len(per) == 1

    def key(event: Any) -> Hashable | None:
        found: Any = get(event)
        if found.__class__ is str:
            text: str = found
            return text
        for item in (found,) if single else found:
            if item is None or item != item:  # noqa: PLR0124 - NaN is equal to nothing
                return None
            if item is True or item is False:
                return _item(found) if single else tuple(map(_item, found))
        try:
            hash(found)
        except TypeError:
            found = _hashable(found)
        result: Hashable = found
        return result

    return key


def _hashable(value: Any) -> Hashable:
    """A value that is equal to those of equal values."""
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, set | frozenset):
        return frozenset(value)
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    return value if value.__hash__ else repr(value)
