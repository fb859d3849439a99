"""The bytes of a frame: a fixed header, then a payload that depends on the kind.

Every frame is one ZeroMQ message part.  The header is 28 bytes, big-endian::

    offset  size  field
    0       1     kind      one of :class:`Kind`
    1       1     flags     bit 0 (ACK_NOW): the sender wants an acknowledgement at once; other bits are 0 and ignored
    2       1     ttl       hops an EVENTS frame may still travel; 0 elsewhere
    3       1     reserved  0, ignored
    4       8     sequence  of sequenced kinds: 1, 2, 3 ... within the session; 0 on unsequenced kinds
    12      8     ack       the last sequence received in order from the other end
    20      8     credit    the charge (see :func:`charge_of`) that the other end may have sent since the session began

HELLO, whose layout no later version may change, has the magic ``BRKR`` and the range of versions behind the header.
Payloads are MessagePack, and their classes below say what is in them: they are checked against their annotations as
they are read, so that whatever a peer sends, reading it succeeds or raises :class:`~broker.errors.Malformed`.  Classes
with ``array_like`` travel as arrays, the others as maps; unknown keys and further elements are for later versions.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from broker.errors import Malformed

__all__ = [
    "ACK_NOW",
    "FRAME_BYTES_MAX",
    "HEADER_BYTES",
    "MESSAGE_CHARGE",
    "PROTOCOL_VERSION",
    "TTL_DEFAULT",
    "Batch",
    "Header",
    "Hello",
    "Interest",
    "InterestUpdate",
    "Kind",
    "Refusal",
    "Run",
    "Welcome",
    "charge_of",
    "decode",
    "decode_hello",
    "encode",
    "encode_hello",
    "pack_header",
    "unpack_header",
]

PROTOCOL_VERSION: Final = 1
_MAGIC = b"BRKR"
_HEADER = struct.Struct(">BBBBQQQ")
HEADER_BYTES: Final = _HEADER.size

# The largest frame that is read. One event may have 4 MiB (node.EVENT_BYTES_MAX); a batch that was nearly full when
# such an event joined it, and its headers, stay below 5 MiB. The rest is room for snapshots of stores.
FRAME_BYTES_MAX: Final = 8 << 20
# What a message costs in credit beyond its bytes: about what its Python objects take beyond them.
MESSAGE_CHARGE: Final = 64
# More hops than any sensible mesh has.
TTL_DEFAULT: Final = 32
ACK_NOW: Final = 1


class Kind(IntEnum):
    """What a frame is for.  Kinds below 16 are unsequenced: they are neither acknowledged nor sent again."""

    HELLO = 1
    WELCOME = 2
    REFUSE = 3
    BYE = 4
    PING = 5
    PONG = 6
    ACK = 7
    INTERESTS = 16  # which topics the sender wants
    EVENTS = 32
    # 33-47 events, 48-63 stores, 64-79 log streams, 80-95 routing: reserved for what is to come


class Header(NamedTuple):
    """The fields of a frame's header, without the reserved byte."""

    kind: int
    flags: int
    ttl: int
    sequence: int
    ack: int
    credit: int


def pack_header(kind: int, flags: int, ttl: int, sequence: int, ack: int, credit: int) -> bytes:
    """Return the 28 bytes of a header."""
    return _HEADER.pack(kind, flags, ttl, 0, sequence, ack, credit)


def unpack_header(frame: bytes) -> Header:
    """Read a frame's header; raises Malformed when the frame is shorter than one."""
    if len(frame) < HEADER_BYTES:
        raise Malformed(f"a frame of {len(frame)} bytes is shorter than its header of {HEADER_BYTES}")
    kind, flags, ttl, _, sequence, ack, credit = _HEADER.unpack_from(frame)
    return Header(kind, flags, ttl, sequence, ack, credit)


def charge_of(payload_bytes: int, messages: int) -> int:
    """Return what an EVENTS frame costs in credit: its payload's bytes and a constant for each message."""
    return payload_bytes + MESSAGE_CHARGE * messages


Id = Annotated[bytes, Meta(min_length=16, max_length=16)]  # 16 random bytes, new at every start of a process
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Unsigned = Annotated[int, Meta(ge=0)]
Turn = Annotated[int, Meta(ge=0, le=1 << 62)]  # the wires of a session are counted, from 1


class Hello(Struct, frozen=True):
    """The dialling end's first words: who it is and the session it wants to go on with."""

    name: Name
    id: Id
    session: bytes  # the one to resume; empty for a new one
    received: Unsigned  # the last sequence received in that session
    credit: Unsigned
    turn: Turn = 0  # that this wire is to be in that session; 0: whichever comes next
    features: tuple[str, ...] = ()


class Welcome(Struct, frozen=True):
    """The listening end's answer: who it is, the session, and whether that goes on (resumed) or begins."""

    version: int
    name: Name
    id: Id
    session: Annotated[bytes, Meta(min_length=1, max_length=16)]
    resumed: bool
    received: Unsigned
    credit: Unsigned
    turn: Turn = 1  # of this wire in the session
    features: tuple[str, ...] = ()


class Refusal(Struct, frozen=True):
    """Why there is no link (REFUSE) or no longer one (BYE): ``code`` is for programs, ``text`` for people.

    Codes: version, self, name, linked, full, authentication, authorisation, protocol, bye.  ``id`` is that of who
    refuses, with the code linked.
    """

    code: Annotated[str, Meta(max_length=64)]
    text: Annotated[str, Meta(max_length=1000)]  # printable: it goes to logs and terminals
    id: bytes = b""


class Interest(Struct, frozen=True, array_like=True):
    """One wish: topics that start with ``prefix``, of these event names (None: of any)."""

    prefix: str
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1000)] | None


class InterestUpdate(Struct, frozen=True, array_like=True):
    """A change of what ``origin`` wants, or, with ``reset``, all of it anew; ``version`` grows by one each time.

    ``final`` is False on all but the last of the frames that one change is split into.
    """

    origin: Id
    version: Unsigned
    reset: bool
    final: bool
    added: tuple[Interest, ...]
    removed: tuple[Interest, ...]


class Run(Struct, frozen=True, array_like=True, gc=False):
    """Consecutive events of one name, as they travel.

    ``sequence`` is the first one's place among all its origin published; ``body`` is the array of them that
    :mod:`broker.events` reads and writes.  With one topic ``which`` is empty; with more, its bytes say for each event
    which of ``topics`` it has.
    """

    topics: Annotated[list[str], Meta(min_length=1, max_length=256)]
    name: str
    sequence: Annotated[int, Meta(ge=1)]
    count: Annotated[int, Meta(ge=1)]
    which: bytes
    body: bytes


class Batch(Struct, frozen=True, array_like=True):
    """The payload of EVENTS: runs of one origin."""

    origin: Id
    runs: Annotated[list[Run], Meta(min_length=1)]


Payload = TypeVar("Payload", Welcome, Refusal, InterestUpdate, Batch, Hello)

encode = msgspec.msgpack.Encoder().encode
_decoders = {kind: msgspec.msgpack.Decoder(kind) for kind in (Hello, Welcome, Refusal, InterestUpdate, Batch)}


def decode(kind: type[Payload], payload: bytes | memoryview) -> Payload:
    """Read a payload of that class; raises Malformed with the reason."""
    try:
        return _decoders[kind].decode(payload)  # type: ignore[return-value]  # the decoder of that class
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"not a {kind.__name__}: {error}") from error


def encode_hello(hello: Hello) -> bytes:
    """Return the payload: magic, lowest and highest version (one byte each), then the map."""
    return _MAGIC + bytes((PROTOCOL_VERSION, PROTOCOL_VERSION)) + encode(hello)


def decode_hello(payload: bytes) -> tuple[int, int, Hello | None]:
    """Read a HELLO: lowest and highest version, and the map, unless the versions do not meet: it may have changed."""
    if payload[:4] != _MAGIC or len(payload) < 6:
        raise Malformed("not a HELLO: no magic; is this a broker endpoint?")
    low, high = payload[4], payload[5]
    if not low <= PROTOCOL_VERSION <= high:
        return low, high, None
    return low, high, decode(Hello, payload[6:])
