"""What writers and collectors say to each other: routed frames of the kinds 64 to 79.

As those of stores they travel by themselves, not in flows: a frame may be lost, come twice or out of order, and both
ends mend that.  A frame from a writer has its collector's ``serial`` in the address, where flows have their number, and
RECORDS have their number in that session where flows have their sequence.  Payloads are MessagePack arrays; those to
writers begin with the stream's name.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from broker.errors import Malformed
from broker.log_records import Column
from broker.protocol.frames import UNCHECKED_BYTES_MAX
from broker.values import check_received

__all__ = [
    "LOGS",
    "LOGS_END",
    "RANGES_MAX",
    "Acknowledge",
    "Claim",
    "Collect",
    "Collected",
    "Leave",
    "LogKind",
    "NoStream",
    "Piece",
    "Records",
    "Schema",
    "Since",
    "Tip",
    "decode",
    "encode",
    "stream_of",
]

LOGS: Final = 64
LOGS_END: Final = 80

# Ranges in one frame; who acknowledges in such disorder that there are more has to wait.
RANGES_MAX: Final = 10_000

_Unsigned = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Epoch = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Serial = Annotated[int, Meta(ge=1, lt=1 << 32)]
_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Mark = Annotated[bytes, Meta(min_length=8, max_length=8)]
_Range = tuple[_Unsigned, _Unsigned]
_Ranges = Annotated[tuple[_Range, ...], Meta(max_length=RANGES_MAX)]


class LogKind(IntEnum):
    """What a frame is for."""

    COLLECT = 64
    COLLECTED = 65
    RECORDS = 66
    ACKNOWLEDGE = 67
    TIP = 68
    LEAVE = 69
    NO_STREAM = 70


class Schema(Struct, frozen=True, array_like=True):
    """What the records of a stream are: the name of their class, and its columns."""

    record: _Name
    columns: Annotated[tuple[Column, ...], Meta(max_length=1000)]


class Since(Struct, frozen=True, array_like=True):
    """Where a collector begins: at the oldest record, at the end, at a time, behind a position."""

    what: Annotated[str, Meta(pattern="^(earliest|now|time|position)$")]
    value: _Unsigned = 0  # nanoseconds since 1970, or the number of a record
    epoch: _Epoch = 0
    mark: _Mark = bytes(8)
    journal: bytes = b""


class Claim(Struct, frozen=True, array_like=True):
    """Of one epoch: the records that a collector has and has not acknowledged, and those that it has."""

    epoch: _Epoch
    mark: _Mark
    held: _Ranges
    done: _Ranges


class Collect(Struct, frozen=True, array_like=True):
    """A collector asks a writer for its records.  Each time it asks with a greater serial.

    ``name`` is empty for one that is not to be remembered; ``member`` is which of those of that name it is.
    """

    stream: _Name
    serial: _Serial
    name: Annotated[str, Meta(max_length=255)]
    member: _Id
    journal: _Id  # the spool that the claims are about
    claims: Annotated[tuple[Claim, ...], Meta(max_length=1000)]
    since: Since
    replay: bool
    window: _Unsigned  # bytes
    schema: Schema | None


class Collected(Struct, frozen=True, array_like=True):
    """The writer's answer: records come, or ``refused`` says why not.

    ``start`` is up to where everything is done, ``yours`` what it takes for held by this collector; ``shared`` whether
    there are others of the name.
    """

    refused: str
    journal: _Id
    epoch: _Epoch
    mark: _Mark
    start: _Unsigned
    tip: _Unsigned
    tip_ns: _Unsigned
    yours: _Ranges
    shared: bool
    schemas: Annotated[tuple[tuple[_Mark, Schema], ...], Meta(max_length=1000)]


class Piece(Struct, frozen=True, array_like=True):
    """Records: ``lost`` of this name's are gone just before them; ``again``: they may have been given before."""

    lost: _Unsigned
    again: bool
    chunk: bytes


class Records(Struct, frozen=True, array_like=True):
    """Records for a collector."""

    pieces: Annotated[list[Piece], Meta(min_length=1, max_length=10_000)]


class Acknowledge(Struct, frozen=True, array_like=True):
    """What a collector has: frames received in order, frames that its program has taken, records that are done.

    ``done`` are, by epoch, those of which it does not know yet that the writer has written it down; ``number`` is that
    of the acknowledgement.  ``lost``: frames behind ``received`` are missing.
    """

    stream: _Name
    serial: _Serial
    number: _Unsigned
    received: _Unsigned
    taken: _Unsigned
    window: _Unsigned
    lost: bool
    done: Annotated[tuple[Claim, ...], Meta(max_length=1000)]


class Tip(Struct, frozen=True, array_like=True):
    """How far a writer is: frames sent, the last record, and up to which acknowledgement all is written down."""

    sent: _Unsigned
    tip: _Unsigned
    tip_ns: _Unsigned
    floor: _Unsigned  # up to here everything of this name is done
    confirmed: _Unsigned
    shared: bool


class Leave(Struct, frozen=True, array_like=True):
    """A collector ends: what it has done; of the others it had begun with ``begun``."""

    stream: _Name
    serial: _Serial
    done: Annotated[tuple[Claim, ...], Meta(max_length=1000)]
    begun: _Ranges


class NoStream(Struct, frozen=True, array_like=True):
    """No such stream is written here, or its writer does not know that session."""

    reason: Annotated[str, Meta(max_length=1000)]


class _Any(Struct, frozen=True, array_like=True):
    stream: _Name


_PAYLOADS = (Collect, Collected, Records, Acknowledge, Tip, Leave, NoStream, Schema, _Any)
_decoders: Final[dict[type[Struct], msgspec.msgpack.Decoder[Any]]] = {
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


def stream_of(payload: bytes) -> str:
    """Return which stream a payload for a writer is about; raises Malformed."""
    return decode(_Any, payload).stream
