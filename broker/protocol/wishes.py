"""What an endpoint wants, as it travels: changes of interests that versions with and without predicates understand.

An interest is an array ``[prefix, names]``; one with a predicate has it as a third element.  A version that does not
know predicates reads over that: it has the interest **bare**, and sends all that it stands for.  As several interests
of ours may be the same one bare, a change has to leave such a reader with the right ones: whoever takes an interest
back says in the same change again one that is still wanted and is the same bare (:meth:`Wishes.remove`), because what
is added counts after what is removed.

Nobody but a publisher asks a predicate, and older versions pass on what they do not know: so one that is no predicate,
or larger than any may be, is nobody's fault but its origin's.  Such an interest is taken bare, as they take it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.frames import (
    UNCHECKED_BYTES_MAX,
    WHERE_BYTES_MAX,
    Id,
    Interest,
    InterestUpdate,
    Name,
    Unsigned,
)
from broker.values import check_received

__all__ = ["Wishes", "bare", "cost_of", "decode_update", "encode_update", "parts_of"]

# Interests in one frame: with prefixes of 255 bytes still below FRAME_BYTES_MAX.
_PER_FRAME: Final = 8_192
# And what they may take, about, when names and predicates make them longer.
_PART_BYTES: Final = 4 << 20
_PLAIN_BYTES: Final = 270

# Bytes of a predicate that cost what a topic does: to compile one takes a microsecond a byte.
_COST_BYTES: Final = 8

_NO_BYTES: Final = Raw(b"")
_NOTHING: Final = {b"", b"\xc0"}  # no third element, and nil


class _Loose(Struct, frozen=True, array_like=True):
    """An interest whose third element may be anything."""

    prefix: str
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1000)] | None
    where: Raw = _NO_BYTES


class _LooseUpdate(Struct, frozen=True, array_like=True):
    """An :class:`InterestUpdate` of such."""

    origin: Id
    base: Unsigned
    version: Annotated[int, Meta(ge=1)]
    final: bool
    added: tuple[_Loose, ...]
    removed: tuple[_Loose, ...]


_decode_loosely = msgspec.msgpack.Decoder(_LooseUpdate).decode
_decode_bytes = msgspec.msgpack.Decoder(bytes).decode


def bare(interest: Interest) -> Interest:
    """Return the interest without its predicate."""
    return interest if interest.where is None else Interest(interest.prefix, interest.names)


def cost_of(update: InterestUpdate) -> int:
    """Return how many changes of one topic a change costs as much as, for those who hear of it."""
    predicates = sum([len(one.where) // _COST_BYTES for one in update.added if one.where is not None])
    return len(update.added) + len(update.removed) + predicates


class Wishes:
    """What our own subscriptions want, each interest with how many of them want it."""

    def __init__(self) -> None:
        self._wanted: Counter[Interest] = Counter()
        self._alike: dict[Interest, dict[Interest, None]] = {}  # bare: those with predicates that are the same bare

    def add(self, interest: Interest) -> bool:
        """Take note of one that is wanted; whether it is new."""
        self._wanted[interest] += 1
        if interest.where is not None:
            self._alike.setdefault(bare(interest), {})[interest] = None
        return self._wanted[interest] == 1

    def remove(self, interest: Interest) -> tuple[Interest, ...] | None:
        """Take note of one that is wanted less; of the last one, return what is to be said again."""
        self._wanted[interest] -= 1
        if self._wanted[interest]:
            return None
        del self._wanted[interest]
        plain = bare(interest)
        alike = self._alike.get(plain)
        if alike is None:
            return ()
        alike.pop(interest, None)
        if not alike:
            del self._alike[plain]
        if plain in self._wanted:
            return (plain,)
        return (next(iter(alike)),) if alike else ()


# -- to bytes and back -----------------------------------------------------------------------------------------------


def encode_update(update: InterestUpdate) -> bytes:
    """Return the payload, in which only interests that have a predicate have the field."""
    added, removed = _outward(update.added), _outward(update.removed)
    return frames.encode((update.origin, update.base, update.version, update.final, added, removed))


def _outward(interests: tuple[Interest, ...]) -> list[Any]:
    return [(one.prefix, one.names) if one.where is None else one for one in interests]


def parts_of(interests: tuple[Interest, ...]) -> Iterator[tuple[Interest, ...]]:
    """Give them in parts, each for one frame; of none, one empty part."""
    start = size = 0
    for at, interest in enumerate(interests):
        size += _PLAIN_BYTES
        if interest.where is not None:
            size += len(interest.where)
        if interest.names is not None:
            size += sum([4 * len(name) for name in interest.names])
        if at - start == _PER_FRAME or (size > _PART_BYTES and at > start):
            yield interests[start:at]
            start, size = at, 0
    yield interests[start:]


def decode_update(payload: bytes) -> tuple[InterestUpdate, int]:
    """Read a change, and how many of what it adds had to be taken bare; raises Malformed."""
    try:
        return frames.decode(InterestUpdate, payload), 0
    except Malformed as error:
        if len(payload) > UNCHECKED_BYTES_MAX:
            check_received(payload)
        try:
            loose = _decode_loosely(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise error from None
    added, removed = tuple(map(_strictly, loose.added)), tuple(map(_strictly, loose.removed))
    given = [bytes(interest.where) not in _NOTHING for interest in loose.added]
    taken_bare = sum(given) - sum([interest.where is not None for interest in added])
    return InterestUpdate(loose.origin, loose.base, loose.version, loose.final, added, removed), taken_bare


def _strictly(interest: _Loose) -> Interest:
    try:
        where: bytes | None = _decode_bytes(interest.where)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        where = None
    return Interest(interest.prefix, interest.names, where if where and len(where) <= WHERE_BYTES_MAX else None)
