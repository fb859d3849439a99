"""What masters and clones say to each other: routed frames of the kinds 48 to 63.

They travel by themselves, not in flows: a frame may be lost, come twice or out of order, and the machines at both ends
mend that by sequences, numbers and word of what has come (:mod:`broker.stores`).  So a slow subscriber never holds up a
store.  A frame from a master has its follower's ``serial`` in the address, where flows have their number: one body then
serves many clones.  All payloads are MessagePack arrays that begin with the store's name.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from broker.errors import Malformed
from broker.journaling import Position
from broker.protocol.frames import UNCHECKED_BYTES_MAX
from broker.stores.commands import COMMANDS_MAX, Command
from broker.values import check_received

__all__ = [
    "STORES",
    "STORES_END",
    "Applied",
    "Chunk",
    "Commands",
    "Follow",
    "Followed",
    "Item",
    "NotHere",
    "Operations",
    "Outcome",
    "Outcomes",
    "StoreKind",
    "Tip",
    "Unfollow",
    "decode",
    "encode",
    "store_of",
]

STORES: Final = 48
STORES_END: Final = 64

_Unsigned = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Serial = Annotated[int, Meta(ge=1, lt=1 << 32)]
_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Checksum = Annotated[bytes, Meta(min_length=8, max_length=8)]


class StoreKind(IntEnum):
    """What a frame is for."""

    FOLLOW = 48
    FOLLOWED = 49
    OPERATIONS = 50
    SNAPSHOT = 51
    APPLIED = 52
    TIP = 53
    COMMANDS = 54
    OUTCOMES = 55
    UNFOLLOW = 56
    NOT_HERE = 57


class Where(Struct, frozen=True, array_like=True):
    """A position, as it travels."""

    journal: _Id
    epoch: _Unsigned
    sequence: _Unsigned
    checksum: _Checksum

    def position(self) -> Position:
        """Return it."""
        return Position(self.journal, self.epoch, self.sequence, self.checksum)


def where(position: Position) -> Where:
    """Return a position as it travels."""
    return Where(position.journal, position.epoch, position.sequence, position.checksum)


class Follow(Struct, frozen=True, array_like=True):
    """A clone asks for what it lacks; ``have`` None: it has nothing.  Each time it asks with a greater serial.

    One that is ``bare`` wants records alone, never a snapshot: those behind ``have``, or those from now on.
    """

    store: _Name
    serial: _Serial
    have: Where | None
    bare: bool = False


class Followed(Struct, frozen=True, array_like=True):
    """The master's answer: the log goes on from ``start``, or a snapshot at ``start`` comes first.

    To a clone that is bare ``snapshot`` says that the log does not go back as far: nothing comes.
    ``forked``: what the clone had is not of this log's history.  ``entries`` is how many there are, ``tip`` the
    last sequence of the log.
    """

    store: _Name
    serial: _Serial
    snapshot: bool
    forked: bool
    start: Where
    entries: _Unsigned
    tip: _Unsigned


class Operations(Struct, frozen=True, array_like=True):
    """Records behind the sequence ``after``; ``checksum`` is that of the last."""

    store: _Name
    after: _Unsigned
    checksum: _Checksum
    bodies: Annotated[list[bytes], Meta(min_length=1, max_length=100_000)]


class Chunk(Struct, frozen=True, array_like=True):
    """A part of a snapshot, the ``number``-th from 1: rows of (table, key, row)."""

    store: _Name
    number: Annotated[int, Meta(ge=1)]
    final: bool
    rows: list[tuple[Annotated[int, Meta(ge=0, le=1)], bytes, bytes]]


class Applied(Struct, frozen=True, array_like=True):
    """What a clone has and keeps: records up to ``sequence``, so many ``chunks``; ``lost``: what was behind them.

    With a ``clock`` (its own, in microseconds) it asks where the log ends; the answer has it as ``echo``.
    """

    store: _Name
    serial: _Serial
    sequence: _Unsigned
    chunks: _Unsigned
    lost: bool
    clock: _Unsigned = 0


class Tip(Struct, frozen=True, array_like=True):
    """A master's sign of life: what it has sent to this follower so far, and where its log ends.

    The log ended there at the earliest when the follower's clock was ``echo``, its last question; 0: it has asked none.
    """

    store: _Name
    sent: _Unsigned
    chunks: _Unsigned
    tip: _Unsigned
    echo: _Unsigned = 0


class Item(Struct, frozen=True, array_like=True):
    """A request that is forwarded.

    ``replicas``: how many clones are to confirm it; 0: none, it is to be on the master's disk; -1: not even that.
    ``patience_ms``: how long clones may take to confirm.
    """

    number: Annotated[int, Meta(ge=1)]
    replicas: Annotated[int, Meta(ge=-1, le=10_000)]
    patience_ms: _Unsigned
    commands: Annotated[tuple[Command, ...], Meta(min_length=1, max_length=COMMANDS_MAX)]


class Commands(Struct, frozen=True, array_like=True):
    """Requests of a writer, numbered from 1; what is before ``oldest`` it will never ask for again."""

    store: _Name
    writer: _Id
    oldest: Annotated[int, Meta(ge=1)]
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=10_000)]


class Outcome(Struct, frozen=True, array_like=True):
    """What came of a request: its position and results, or an error's code and text."""

    number: Annotated[int, Meta(ge=1)]
    position: Where | None
    results: list[bytes | None]
    code: str = ""
    text: str = ""


class Outcomes(Struct, frozen=True, array_like=True):
    """Answers to a writer."""

    store: _Name
    writer: _Id
    items: list[Outcome]


class Unfollow(Struct, frozen=True, array_like=True):
    """A clone wants no more."""

    store: _Name
    serial: _Serial


class NotHere(Struct, frozen=True, array_like=True):
    """The answer to what is for a master where there is none, or none that may act."""

    store: _Name
    reason: str


class _Any(Struct, frozen=True, array_like=True):
    store: _Name


_PAYLOADS = (Follow, Followed, Operations, Chunk, Applied, Tip, Commands, Outcome, Outcomes, Unfollow, NotHere, _Any)
_decoders: dict[type[Struct], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in _PAYLOADS
}
Payload = TypeVar("Payload", bound=Struct)

encode = msgspec.msgpack.Encoder().encode


def decode(kind: type[Payload], payload: bytes) -> Payload:
    """Read a payload of that class; raises Malformed with the reason."""
    if len(payload) > UNCHECKED_BYTES_MAX:
        check_received(payload)
    try:
        found: Payload = _decoders[kind].decode(payload)
        return found
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"not a {kind.__name__}: {error}") from error


def store_of(payload: bytes) -> str:
    """Return which store a payload is about; raises Malformed."""
    return decode(_Any, payload).store
