"""What was decided: the operations of a store's log, and the records that hold them.

A record is one command's effect, or one batch's: its operations take place together.  Operations are decided: they
say what is the case now, never under which condition, so that every replica applies them blindly and comes to the
same.  Records are MessagePack::

    [time_ns, writer, [[code, ...], ...]]

``time_ns`` is the master's clock in nanoseconds since 1970, ``writer`` the name of the endpoint that asked, empty for
what the master decides by itself (expiry, a new epoch).

For watches an operation says what was there before: ``old`` is None where there was nothing, and empty where that is
not told, because it was large or spread (:mod:`broker.stores.entries`).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from broker.errors import Malformed
from broker.stores.commands import COMMANDS_MAX

__all__ = [
    "OPERATIONS_MAX",
    "Body",
    "Clear",
    "Drop",
    "Epoch",
    "Erase",
    "Operation",
    "Pop",
    "Push",
    "Put",
    "Set",
    "Touch",
    "decode_body",
    "encode_body",
]

# Ids of spread values are made of a record's sequence and the operation's place in it, in 20 bits.
OPERATIONS_MAX: Final = 1 << 20

_Packed = Annotated[bytes, Meta(min_length=1)]
_Expiry = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Put(Struct, frozen=True, array_like=True, tag=0, gc=False):
    """The entry has this value from now on, and this expiry (0: never)."""

    key: _Packed
    value: _Packed
    expiry: _Expiry
    old: bytes | None


class Erase(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """The entry is no more; ``expired``: because its time has come."""

    key: _Packed
    expired: bool
    old: bytes | None


class Clear(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """No entry is any more."""


class Set(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """The set has this member, or the dict this value at this key (empty: it is a set)."""

    key: _Packed
    element: _Packed
    value: bytes
    old: bytes | None


class Drop(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """The set has this member (``old`` is empty), or the dict this key (None: its value is not told), no longer."""

    key: _Packed
    element: _Packed
    old: bytes | None


class Push(Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The list has this as its last element."""

    key: _Packed
    value: _Packed


class Pop(Struct, frozen=True, array_like=True, tag=6, gc=False):
    """The list's last element, which was ``old``, is no more."""

    key: _Packed
    old: bytes


class Touch(Struct, frozen=True, array_like=True, tag=7, gc=False):
    """The entry has this expiry from now on (0: never)."""

    key: _Packed
    expiry: _Expiry


class Epoch(Struct, frozen=True, array_like=True, tag=8, gc=False):
    """A master has begun; ``salt`` makes the checksums of two that began at the same position differ."""

    epoch: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
    salt: Annotated[bytes, Meta(max_length=64)]


Operation = Put | Erase | Clear | Set | Drop | Push | Pop | Touch | Epoch


class Body(Struct, frozen=True, array_like=True, gc=False):
    """A record's contents."""

    time_ns: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    writer: str
    operations: Annotated[tuple[Operation, ...], Meta(min_length=1, max_length=OPERATIONS_MAX)]


# All operations but Clear have a key at least; and of Clears there are no more than a request has commands.
_OPERATION_BYTES: Final = 6

_decoder: msgspec.msgpack.Decoder[Body] = msgspec.msgpack.Decoder(Body)
_encoder: Any = msgspec.msgpack.Encoder()


def encode_body(time_ns: int, writer: str, operations: tuple[Operation, ...]) -> bytes:
    """Return a record's bytes."""
    data: bytes = _encoder.encode((time_ns, writer, operations))  # as a Body is
    return data


def decode_body(data: bytes) -> Body:
    """Read a record; raises Malformed when it is none."""
    try:
        body = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"not a record of a store: {error}") from error
    # A watch makes of each operation a change, of some hundred bytes: a megabyte of Clears would be 113.
    if _OPERATION_BYTES * (len(body.operations) - COMMANDS_MAX) > len(data):
        raise Malformed(f"a record of {len(data)} bytes with {len(body.operations)} operations: that many cannot be")
    return body
