"""From the log's records to what a watch tells: changes of keys, in order, each once.

A **change** is one operation as its watcher sees it: of which entry, or of which element of one, what was there and
what is there.  Two things may stand where a value would: ``ABSENT``, there was or is nothing; ``OMITTED``, something
was there that is not told, because it was large or spread over many rows (:mod:`broker.stores.entries`).

====================  ========  ===========================  ====================  ===============================
operation             cause     element                      old                   new
====================  ========  ===========================  ====================  ===============================
Put                   put       ABSENT                       value, or a mark      value
Erase                 erase     ABSENT                       value, or OMITTED     ABSENT
Erase, expired        expire    ABSENT                       value, or OMITTED     ABSENT
Clear (key: ABSENT)   clear     ABSENT                       OMITTED               ABSENT
Set, of a dict        put       the key in the dict          value, or a mark      value
Set, of a set         put       the member                   ABSENT                True
Drop                  erase     the key, or the member       value (a set: True)   ABSENT
Push                  put       LAST                         ABSENT                value
Pop                   erase     LAST                         value, or OMITTED     ABSENT
Touch, Epoch          they change no value and tell nothing
====================  ========  ===========================  ====================  ===============================

An increment and an ``append`` are puts: what was decided is the new value.  The first element of a container that was
not there follows a put of the empty container, in the same record.

Only what is wanted is decoded: a watch of one key among many costs the look at the others' keys.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

from msgspec import Struct

from broker.journaling import Position, Record
from broker.stores.entries import pack_key, unpack_key, unpack_value
from broker.stores.operations import Clear, Drop, Epoch, Erase, Operation, Pop, Push, Put, Set, decode_body
from broker.values import Timestamp

__all__ = ["ABSENT", "LAST", "OMITTED", "Cause", "Change", "Mark", "Want", "changes_of", "of_key", "of_prefix"]

Cause = Literal["put", "erase", "expire", "clear"]
"""Why something changed."""

Want = Callable[[bytes], bool]
"""Whether a watch tells of a packed key: :func:`of_key`, :func:`of_prefix`."""


class Mark(Enum):
    """What stands in the place of a value."""

    ABSENT = "absent"
    OMITTED = "omitted"
    LAST = "last"

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


ABSENT: Final = Mark.ABSENT
"""There was, or is, nothing."""
OMITTED: Final = Mark.OMITTED
"""Something was there; what, is not told, because it was large."""
LAST: Final = Mark.LAST
"""As ``element``: the last one of a list."""


class Change(Struct, frozen=True):
    """One change of one entry, or of one ``element`` of it (ABSENT: of the entry as a whole).

    ``old`` and ``new`` are values, ABSENT or OMITTED.  ``writer`` is the name of the endpoint that asked for it, empty
    for what the master did by itself; ``time`` the master's clock.  ``position`` is behind the record that it is of;
    changes of one record took place together, and the last of them that is told is ``final``: resume behind that one.
    """

    key: Any
    cause: Cause
    old: Any
    new: Any
    element: Any
    writer: str
    time: Timestamp
    position: Position
    final: bool

    @property
    def sequence(self) -> int:
        """The sequence of its record."""
        return self.position.sequence


def of_key(key: object) -> Want:
    """Want one key: exactly that, 1 is not True.  Raises NotCarried for what can be no key."""
    return pack_key(key).__eq__


def of_prefix(prefix: str) -> Want:
    """Want the keys that are a str and begin so; an empty prefix: all that are a str."""

    def wanted(key: bytes) -> bool:
        return (0xA0 <= key[0] <= 0xBF or 0xD9 <= key[0] <= 0xDB) and str(unpack_key(key)).startswith(prefix)

    return wanted


def changes_of(record: Record, before: Position, want: Want | None = None) -> tuple[Position, list[Change]]:
    """Return the position behind a record, which follows the position ``before``, and its changes (``want``: of those).

    The position moves also where nothing is told.  Raises Malformed for a record that is none.
    """
    body = decode_body(record.body)
    epoch = before.epoch
    told: list[tuple[Any, Cause, Any, Any, Any]] = []
    for operation in body.operations:
        kind = type(operation)
        if kind is Epoch:
            epoch = operation.epoch  # type: ignore[union-attr]
            continue
        tell = _TELL.get(kind)
        if tell is not None and (kind is Clear or want is None or want(operation.key)):  # type: ignore[union-attr]
            told.append(tell(operation))
    position = Position(before.journal, epoch, record.sequence, record.checksum)
    if not told:
        return position, []
    time, final = Timestamp.from_ns(body.time_ns), len(told) - 1
    changes = [Change(*change, body.writer, time, position, place == final) for place, change in enumerate(told)]
    return position, changes


def _old(packed: bytes | None) -> Any:
    return ABSENT if packed is None else unpack_value(packed) if packed else OMITTED


def _put(operation: Put) -> tuple[Any, Cause, Any, Any, Any]:
    return unpack_key(operation.key), "put", _old(operation.old), unpack_value(operation.value), ABSENT


def _erase(operation: Erase) -> tuple[Any, Cause, Any, Any, Any]:
    cause: Cause = "expire" if operation.expired else "erase"
    return unpack_key(operation.key), cause, _old(operation.old), ABSENT, ABSENT


def _clear(_operation: Clear) -> tuple[Any, Cause, Any, Any, Any]:
    return ABSENT, "clear", OMITTED, ABSENT, ABSENT


def _set(operation: Set) -> tuple[Any, Cause, Any, Any, Any]:
    new = unpack_value(operation.value) if operation.value else True
    return unpack_key(operation.key), "put", _old(operation.old), new, unpack_key(operation.element)


def _drop(operation: Drop) -> tuple[Any, Cause, Any, Any, Any]:
    old = OMITTED if operation.old is None else unpack_value(operation.old) if operation.old else True
    return unpack_key(operation.key), "erase", old, ABSENT, unpack_key(operation.element)


def _push(operation: Push) -> tuple[Any, Cause, Any, Any, Any]:
    return unpack_key(operation.key), "put", ABSENT, unpack_value(operation.value), LAST


def _pop(operation: Pop) -> tuple[Any, Cause, Any, Any, Any]:
    return unpack_key(operation.key), "erase", _old(operation.old), ABSENT, LAST


_TELL: Final[dict[type[Operation], Callable[[Any], tuple[Any, Cause, Any, Any, Any]]]] = {
    Put: _put,
    Erase: _erase,
    Clear: _clear,
    Set: _set,
    Drop: _drop,
    Push: _push,
    Pop: _pop,
}
