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
Payloads are MessagePack, described beside the functions that read them.  Whatever a peer sends, reading it either
succeeds or raises :class:`~broker.errors.Malformed`.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

import attrs

from broker import values
from broker.errors import Malformed

__all__ = [
    "ACK_NOW",
    "FRAME_BYTES_MAX",
    "HEADER_BYTES",
    "MESSAGE_CHARGE",
    "PROTOCOL_VERSION",
    "TTL_DEFAULT",
    "Header",
    "Hello",
    "Interest",
    "InterestUpdate",
    "Kind",
    "Refusal",
    "Run",
    "Welcome",
    "charge_of",
    "decode_events",
    "decode_hello",
    "decode_interests",
    "decode_refusal",
    "decode_welcome",
    "encode_events",
    "encode_hello",
    "encode_interests",
    "encode_refusal",
    "encode_welcome",
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

_NAME_BYTES_MAX = 255
_PROBE_BYTES = 8


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


def _fields(payload: bytes | memoryview, spec: dict[str, type | tuple[type, ...]], what: str) -> dict[str, Any]:
    """Read a map and check that each named field has its type; unknown fields are for later versions."""
    fields = values.unpack(payload)
    if type(fields) is not dict:
        raise Malformed(f"{what} is not a map")
    for name, kind in spec.items():
        if not isinstance(fields.get(name), kind) or (kind is int and type(fields[name]) is not int):
            raise Malformed(f"{what}: field {name!r} is missing or has the wrong type")
    return fields


def _check_identity(fields: dict[str, Any], what: str) -> None:
    if not fields["name"] or len(fields["name"].encode()) > _NAME_BYTES_MAX:
        raise Malformed(f"{what}: a name has 1 to {_NAME_BYTES_MAX} bytes")
    if len(fields["id"]) != 16:
        raise Malformed(f"{what}: an id has 16 bytes")
    if fields["received"] < 0 or fields["credit"] < 0:
        raise Malformed(f"{what}: a negative number")


@attrs.frozen
class Hello:
    """The dialling end's first words: who it is, what it speaks, and the session it wants to go on with."""

    version_min: int
    version_max: int
    name: str
    id: bytes  # 16 random bytes, new at every start of a process
    session: bytes  # the session to resume; empty for a new one
    received: int  # the last sequence received in that session
    credit: int
    features: tuple[str, ...] = ()


@attrs.frozen
class Welcome:
    """The listening end's answer: who it is, the session, and whether that goes on (resumed) or begins."""

    version: int
    name: str
    id: bytes
    session: bytes
    resumed: bool
    received: int
    credit: int
    features: tuple[str, ...] = ()


@attrs.frozen
class Refusal:
    """Why there is no link: ``code`` is for programs, ``text`` for people."""

    code: str  # version, self, name, linked, full, authentication, authorisation, protocol
    text: str
    id: bytes = b""  # of who refuses, with the code linked


_IDENTITY: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "id": bytes,
    "session": bytes,
    "received": int,
    "credit": int,
    "features": list,
}


def encode_hello(hello: Hello) -> bytes:
    """Return the payload: magic, lowest and highest version (one byte each), then a map."""
    fields = {
        "name": hello.name,
        "id": hello.id,
        "session": hello.session,
        "received": hello.received,
        "credit": hello.credit,
        "features": list(hello.features),
    }
    return _MAGIC + bytes((hello.version_min, hello.version_max)) + values.pack(fields)


def decode_hello(payload: bytes) -> Hello:
    """Read a HELLO.  The map is not looked at when the version ranges do not meet: it may have changed."""
    if payload[:4] != _MAGIC or len(payload) < 6:
        raise Malformed("not a HELLO: no magic; is this a broker endpoint?")
    low, high = payload[4], payload[5]
    if not low <= PROTOCOL_VERSION <= high:
        return Hello(low, high, "?", bytes(16), b"", 0, 0)
    fields = _fields(payload[6:], _IDENTITY, "HELLO")
    _check_identity(fields, "HELLO")
    return Hello(
        low,
        high,
        fields["name"],
        fields["id"],
        fields["session"],
        fields["received"],
        fields["credit"],
        tuple(map(str, fields["features"])),
    )


def encode_welcome(welcome: Welcome) -> bytes:
    """Return the payload: a map."""
    return values.pack(
        {
            "version": welcome.version,
            "name": welcome.name,
            "id": welcome.id,
            "session": welcome.session,
            "resumed": welcome.resumed,
            "received": welcome.received,
            "credit": welcome.credit,
            "features": list(welcome.features),
        }
    )


def decode_welcome(payload: bytes) -> Welcome:
    """Read a WELCOME."""
    fields = _fields(payload, {"version": int, "resumed": bool, **_IDENTITY}, "WELCOME")
    _check_identity(fields, "WELCOME")
    if not 1 <= len(fields["session"]) <= 16:
        raise Malformed("WELCOME: a session has 1 to 16 bytes")
    return Welcome(
        fields["version"],
        fields["name"],
        fields["id"],
        fields["session"],
        fields["resumed"],
        fields["received"],
        fields["credit"],
        tuple(map(str, fields["features"])),
    )


def encode_refusal(refusal: Refusal) -> bytes:
    """Return the payload of a REFUSE or a BYE: a map."""
    return values.pack({"code": refusal.code, "text": refusal.text, "id": refusal.id})


def decode_refusal(payload: bytes) -> Refusal:
    """Read a REFUSE or a BYE."""
    fields = _fields(payload, {"code": str, "text": str, "id": bytes}, "REFUSE")
    return Refusal(fields["code"][:64], fields["text"][:1000], fields["id"][:16])


class Interest(NamedTuple):
    """One wish: topics that start with ``prefix``, of these event names (None: of any)."""

    prefix: str
    names: tuple[str, ...] | None


@attrs.frozen
class InterestUpdate:
    """A change of what ``origin`` wants, or, with ``reset``, all of it anew; ``version`` grows by one each time.

    ``final`` is False on all but the last of the frames that one change is split into.
    """

    origin: bytes
    version: int
    reset: bool
    final: bool
    added: tuple[Interest, ...]
    removed: tuple[Interest, ...]


def encode_interests(update: InterestUpdate) -> bytes:
    """Return the payload: ``[origin, version, reset, final, [[prefix, names or nil]...], [[prefix, names]...]]``."""
    wire = [[[i.prefix, i.names and list(i.names)] for i in some] for some in (update.added, update.removed)]
    return values.pack([update.origin, update.version, update.reset, update.final, *wire])


def _decode_interest_list(items: object) -> tuple[Interest, ...]:
    if type(items) is not list:
        raise Malformed("INTERESTS: not a list")
    found = []
    for item in items:
        match item:
            case [str(prefix), None]:
                found.append(Interest(prefix, None))
            case [str(prefix), list(names)] if names and all(type(name) is str for name in names):
                found.append(Interest(prefix, tuple(names)))
            case _:
                raise Malformed("INTERESTS: an interest is [prefix, [name, ...] or nil]")
    return tuple(found)


def decode_interests(payload: bytes) -> InterestUpdate:
    """Read an INTERESTS payload."""
    match values.unpack(payload):
        case [bytes(origin), int(version), bool(reset), bool(final), added, removed] if len(origin) == 16:
            return InterestUpdate(
                origin, version, reset, final, _decode_interest_list(added), _decode_interest_list(removed)
            )
    raise Malformed("INTERESTS: not [origin, version, reset, final, added, removed]")


class Run(NamedTuple):
    """Consecutive events of one topic and one event name, as they travel.

    ``sequence`` is the first one's place among all its origin published; ``body`` is the array of them that
    :mod:`broker.events` reads and writes.
    """

    topic: str
    name: str
    sequence: int
    count: int
    body: bytes


def encode_events(origin: bytes, runs: list[Run]) -> bytes:
    """Return the payload: one flat array ``[origin, topic, name, sequence, count, body, topic, ...]``."""
    flat: list[object] = [origin]
    for run in runs:
        flat += run
    packed: bytes = _packer.pack(flat)
    return packed


def decode_events(payload: bytes | memoryview) -> tuple[bytes, list[Run]]:
    """Read an EVENTS payload: the origin's id and its runs."""
    flat = values.unpack(payload)
    if type(flat) is not list or len(flat) < 6 or len(flat) % 5 != 1:
        raise Malformed("EVENTS: not [origin, topic, name, sequence, count, body, ...]")
    origin = flat[0]
    if type(origin) is not bytes or len(origin) != 16:
        raise Malformed("EVENTS: an origin has 16 bytes")
    runs = []
    for at in range(1, len(flat), 5):
        topic, name, sequence, count, body = flat[at : at + 5]
        if not (
            type(topic) is str
            and type(name) is str
            and type(sequence) is int
            and type(count) is int
            and type(body) is bytes
            and sequence > 0
            and 0 < count <= len(body)
        ):
            raise Malformed("EVENTS: a run is topic, name, sequence, count, body")
        runs.append(Run(topic, name, sequence, count, body))
    return origin, runs


_packer = values.packer()
