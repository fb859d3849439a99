"""What is asked of a store: commands, as the master takes them and as clones forward them.

A request is one command, or several that take place together or not at all.  Keys and values are packed already: what
cannot be carried was refused where it was asked for.  ``lifetime`` is in nanoseconds; 0: for ever, None: as it is.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

__all__ = [
    "COMMANDS_MAX",
    "Add",
    "Append",
    "Command",
    "Compare",
    "Erasure",
    "Expect",
    "Fetch",
    "Increment",
    "Insert",
    "PopLast",
    "PushLast",
    "Remove",
    "SetTo",
    "Truncate",
    "Until",
]

# Of one request: a batch of so many small ones fits in a frame.
COMMANDS_MAX: Final = 10_000

Packed = Annotated[bytes, Meta(min_length=1)]
# Nearly three hundred years.
Lifetime = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class SetTo(Struct, frozen=True, array_like=True, tag=0, gc=False):
    """``put``."""

    key: Packed
    value: Packed
    lifetime: Lifetime = 0


class Add(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """``put_unique``: KeyExists if there is an entry."""

    key: Packed
    value: Packed
    lifetime: Lifetime = 0


class Compare(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """``compare_and_swap``: ValueDiffers unless the value is ``expected`` (None: there is no entry).

    ``value`` None erases.
    """

    key: Packed
    expected: Packed | None
    value: Packed | None
    lifetime: Lifetime = 0


class Erasure(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """``erase``: NoSuchKey unless there is an entry, or that does not matter."""

    key: Packed
    missing_ok: bool = False


class Truncate(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """``clear``."""


class Increment(Struct, frozen=True, array_like=True, tag=5, gc=False):
    """``increment`` and, with ``negative``, ``decrement``; begins with nothing of the amount's type."""

    key: Packed
    amount: Packed
    negative: bool = False
    lifetime: Lifetime | None = None


class Append(Struct, frozen=True, array_like=True, tag=6, gc=False):
    """``append`` to a str or bytes; begins with an empty one."""

    key: Packed
    tail: Packed
    lifetime: Lifetime | None = None


class Insert(Struct, frozen=True, array_like=True, tag=7, gc=False):
    """``insert_into`` a set, or with a value a dict; begins with an empty one."""

    key: Packed
    element: Packed
    value: Packed | None = None
    lifetime: Lifetime | None = None


class Remove(Struct, frozen=True, array_like=True, tag=8, gc=False):
    """``remove_from`` a set or dict."""

    key: Packed
    element: Packed
    lifetime: Lifetime | None = None


class PushLast(Struct, frozen=True, array_like=True, tag=9, gc=False):
    """``push`` to a list; begins with an empty one."""

    key: Packed
    value: Packed
    lifetime: Lifetime | None = None


class PopLast(Struct, frozen=True, array_like=True, tag=10, gc=False):
    """``pop`` from a list: its result is what was last."""

    key: Packed
    lifetime: Lifetime | None = None


class Until(Struct, frozen=True, array_like=True, tag=11, gc=False):
    """``touch``: the entry lives so long from now on."""

    key: Packed
    lifetime: Lifetime = 0


class Expect(Struct, frozen=True, array_like=True, tag=12, gc=False):
    """A condition of a batch: ValueDiffers unless the value is this one (None: there is no entry)."""

    key: Packed
    expected: Packed | None


class Fetch(Struct, frozen=True, array_like=True, tag=13, gc=False):
    """Read at the master: its result is the value."""

    key: Packed


Command = (
    SetTo
    | Add
    | Compare
    | Erasure
    | Truncate
    | Increment
    | Append
    | Insert
    | Remove
    | PushLast
    | PopLast
    | Until
    | Expect
    | Fetch
)
