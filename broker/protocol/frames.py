"""The bytes of a frame: a fixed header, then a payload that depends on the kind.  It is long because it lists them all.

Every frame is one ZeroMQ message part.  The header is 20 bytes, big-endian::

    offset  size  field
    0       1     kind      one of :class:`Kind`
    1       1     flags     bit 0 (ACK_NOW): the sender wants an acknowledgement at once; other bits are 0 and ignored
    2       1     ttl       hops that a routed frame may still travel; 0 elsewhere
    3       1     reserved  0, ignored
    4       8     sequence  of sequenced kinds: 1, 2, 3 ... within the session; 0 on unsequenced kinds
    12      8     ack       the last sequence received in order from the other end

HELLO, whose layout no later version may change, has the magic ``BRKR`` and the range of versions behind the header.
The payload of a **routed** kind begins with an address (:mod:`broker.protocol.addresses`), which relays read and
rewrite; the body behind it is for the endpoints that the address names, and passes through relays as it is. Payloads
are MessagePack, and their classes below say what is in them: they are checked against their annotations as they are
read, so that whatever a peer sends, reading it succeeds or raises :class:`~broker.errors.Malformed`.  Classes with
``array_like`` travel as arrays, the others as maps; unknown keys and further elements are for later versions.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from broker.errors import Malformed
from broker.messages import Trace
from broker.values import check_received

__all__ = [
    "ACK_NOW",
    "DATA",
    "FRAME_BYTES_MAX",
    "HEADER_BYTES",
    "MESSAGE_CHARGE",
    "PROTOCOL_VERSION",
    "ROUTED",
    "RUN_EVENTS",
    "TTL_DEFAULT",
    "SEALED",
    "UNCHECKED_BYTES_MAX",
    "WHERE_BYTES_MAX",
    "Batch",
    "Denied",
    "Header",
    "Hello",
    "Interest",
    "InterestUpdate",
    "Kind",
    "Known",
    "Learned",
    "LostEvents",
    "LostTopic",
    "MemberUpdate",
    "Neighbour",
    "Probe",
    "Refusal",
    "Report",
    "Role",
    "Run",
    "Sync",
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
_HEADER = struct.Struct(">BBBBQQ")
HEADER_BYTES: Final = _HEADER.size

# The largest frame that is read. One event may have 4 MiB (exchange.EVENT_BYTES_MAX); a batch that was nearly full when
# such an event joined it, its headers and ten thousand addresses stay below 5 MiB. The rest is room for snapshots.
FRAME_BYTES_MAX: Final = 8 << 20
# What a message costs in credit beyond its bytes: about what its Python objects take beyond them.
MESSAGE_CHARGE: Final = 64
# Longer payloads are looked at (broker.values) before they are read: of many small arrays each byte takes up to 45 in
# memory.  Honest ones are long because of long bytes in them, which cost nothing to look at.
UNCHECKED_BYTES_MAX: Final = 512 << 10
# A predicate goes to every endpoint of the mesh, and each keeps it: enough for some hundred comparisons.
WHERE_BYTES_MAX: Final = 16 << 10
# A reader decodes a run at a time: few enough objects at once that they come and go between two collections of
# Python's garbage collector (threshold 700), which would cost half as much again as decoding them.
RUN_EVENTS: Final = 256
# More hops than any sensible mesh has.  A frame that claims more breaks the protocol.
TTL_DEFAULT: Final = 32
# Flags: the receiver is to acknowledge at once; the entries of the address have seals.
ACK_NOW: Final = 1
SEALED: Final = 2


class Kind(IntEnum):
    """What a frame is for.

    Kinds below 16 are unsequenced: they are neither acknowledged nor sent again.  From 16 to 31 they are the mesh's own
    and go before everything that waits; from 32 on they are data and keep their order.  Routed kinds are 24-31 and all
    from 32 on.
    """

    HELLO = 1
    WELCOME = 2
    REFUSE = 3
    BYE = 4
    PING = 5
    PONG = 6
    ACK = 7
    SYNC = 16  # what the sender knows of the mesh
    SYNCED = 17  # all that the other's SYNC lacked has been sent
    MEMBER = 18  # an endpoint, its links and whether it relays
    INTERESTS = 19  # which topics an endpoint wants
    LEARNED = 24  # to whom announced interests: they are known here
    ASK = 25  # to who has not said so
    REPORT = 26  # to a publisher: what was received, and how much more may come
    DENIED = 27  # to who asked for what the access rules do not give it
    EVENTS = 32
    LOST = 33  # in the place of events that are not kept any more: how many there were, of which topics
    PROBE = 34  # behind everything that was sent: what has been received?
    # 48-63 stores: broker.stores.wire.  35-47 events, 64-79 log streams: reserved for what is to come


# The first kind that keeps its order behind what waits, and the first that is routed.
DATA: Final = 32
ROUTED: Final = 24


class Header(NamedTuple):
    """The fields of a frame's header, without the reserved byte."""

    kind: int
    flags: int
    ttl: int
    sequence: int
    ack: int


def pack_header(kind: int, flags: int, ttl: int, sequence: int, ack: int) -> bytes:
    """Return the 20 bytes of a header."""
    return _HEADER.pack(kind, flags, ttl, 0, sequence, ack)


def unpack_header(frame: bytes) -> Header:
    """Read a frame's header; raises Malformed when the frame is shorter than one."""
    if len(frame) < HEADER_BYTES:
        raise Malformed(f"a frame of {len(frame)} bytes is shorter than its header of {HEADER_BYTES}")
    kind, flags, ttl, _, sequence, ack = _HEADER.unpack_from(frame)
    return Header(kind, flags, ttl, sequence, ack)


def charge_of(body_bytes: int, messages: int) -> int:
    """Return what events cost in credit: their body's bytes and a constant for each message."""
    return body_bytes + MESSAGE_CHARGE * messages


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
    """One wish: topics that start with ``prefix``, of these event names (None: of any).

    With ``where`` only events that a predicate accepts are wished for (:mod:`broker.protocol.predicates`); who cannot
    ask it sends them all.  A wish without one travels without the field, and versions that do not know it read over it:
    see :mod:`broker.protocol.wishes`.
    """

    prefix: str
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1000)] | None
    where: Annotated[bytes, Meta(min_length=1, max_length=WHERE_BYTES_MAX)] | None = None


class InterestUpdate(Struct, frozen=True, array_like=True):
    """A change of what ``origin`` wants, from version ``base`` to ``version``; with base 0 all of it anew.

    Versions grow by one each time.  ``final`` is False on all but the last of the frames that one change is split into.
    """

    origin: Id
    base: Unsigned
    version: Annotated[int, Meta(ge=1)]
    final: bool
    added: tuple[Interest, ...]
    removed: tuple[Interest, ...]


class Neighbour(Struct, frozen=True, array_like=True, gc=False):
    """One link as one of its ends tells of it: to whom, whether it has a connection, and its round trip."""

    id: Id
    up: bool
    rtt_us: Annotated[int, Meta(ge=0, le=1 << 32)] = 0  # microseconds; 0: not known


class Role(Struct, frozen=True, array_like=True, gc=False):
    """An endpoint is master of a store, or writes a log stream: the name, the journal's id, and since when.

    That is in nanoseconds since 1970.
    """

    name: Name
    journal: Id
    since: Unsigned


class MemberUpdate(Struct, frozen=True, array_like=True):
    """An endpoint of the mesh as it describes itself; a greater version takes the place of a smaller one.

    With a ``base`` only the links that have changed since that version are told: an endpoint with a thousand links does
    not tell everybody of all of them because of one.
    """

    id: Id
    name: Name
    version: Annotated[int, Meta(ge=1)]
    forward: bool  # it relays what is for others
    gone: bool  # it has left for good: there are no further versions
    neighbours: Annotated[tuple[Neighbour, ...], Meta(max_length=10_000)]
    interests: Unsigned = 0  # the version that its interests have reached
    born: Unsigned = 0  # when its process began, in nanoseconds since 1970: of two of one name the later one is meant
    base: Unsigned = 0  # 0: ``neighbours`` are all of them
    removed: Annotated[tuple[Id, ...], Meta(max_length=10_000)] = ()  # whom it is linked with no longer
    masters: Annotated[tuple[Role, ...], Meta(max_length=1000)] = ()  # of stores: all, whatever the base
    streams: Annotated[tuple[Role, ...], Meta(max_length=1000)] = ()  # of which it has a writer: all
    key: Annotated[bytes, Meta(max_length=32)] = b""  # its public key; empty where there are no keys
    signature: Annotated[bytes, Meta(max_length=64)] = (
        b""  # of all this as it is with the base merged: announcements.py
    )


class Known(Struct, frozen=True, array_like=True, gc=False):
    """Which versions of an endpoint's announcements somebody has; 0: none."""

    id: Id
    member: Unsigned
    interests: Unsigned


class Sync(Struct, frozen=True, array_like=True):
    """What the sender knows; if ``complete``, of everybody: it lacks whom it does not list, and waits for SYNCED."""

    complete: bool
    known: Annotated[tuple[Known, ...], Meta(max_length=50_000)]


class Learned(Struct, frozen=True, array_like=True):
    """The version of the addressed endpoint's interests that the sender has."""

    version: Unsigned


class Report(Struct, frozen=True, array_like=True):
    """What a receiver tells a publisher of the flow between them.

    ``serial`` grows, so that a report that was overtaken is not heeded.  ``received`` is the last message that came in
    order, ``room`` how much more than that may be sent (a charge), ``dropped`` how many messages the receiver's own
    subscriptions have dropped so far, ``answers`` the number of the PROBE that this answers, 0 when it was not asked.
    """

    serial: Annotated[int, Meta(ge=1)]
    received: Unsigned
    room: Unsigned
    dropped: Unsigned
    answers: Unsigned


class Probe(Struct, frozen=True, array_like=True):
    """A publisher's question.

    ``oldest`` is the first message that it can still send again, ``given_up`` the last one that it has told as lost: up
    to there it sends LOST, and whatever else still comes is not to be taken any more.
    """

    number: Annotated[int, Meta(ge=1)]
    oldest: Annotated[int, Meta(ge=1)]
    given_up: Unsigned


class Denied(Struct, frozen=True, array_like=True):
    """The sender's access rules do not give the receiver a right; that came up so often since it was told last."""

    right: Annotated[str, Meta(max_length=64)]
    what: Annotated[str, Meta(max_length=1000)]
    count: Annotated[int, Meta(ge=1)]


class LostTopic(Struct, frozen=True, array_like=True, gc=False):
    """So many lost messages of one topic and event name; the topic is empty for what was not kept apart."""

    topic: str
    name: str
    count: Annotated[int, Meta(ge=1)]


class LostEvents(Struct, frozen=True, array_like=True):
    """Stands for events that the publisher no longer has."""

    topics: Annotated[tuple[LostTopic, ...], Meta(min_length=1, max_length=10_000)]


class Run(Struct, frozen=True, array_like=True, gc=False):
    """Consecutive events of one name, as they travel.

    ``body`` is the array of them that :mod:`broker.events` reads and writes.  With one topic ``which`` is empty; with
    more, its bytes say for each event which of ``topics`` it has.  ``trace`` is the span that all of them were
    published in; a run without one travels without the field.
    """

    topics: Annotated[list[str], Meta(min_length=1, max_length=256)]
    name: str
    count: Annotated[int, Meta(ge=1, le=RUN_EVENTS)]
    which: bytes
    body: bytes
    trace: Trace | None = None


class Batch(Struct, frozen=True, array_like=True):
    """The body of EVENTS: runs of one origin."""

    runs: Annotated[list[Run], Meta(min_length=1)]


_PAYLOADS = (
    Hello,
    Welcome,
    Refusal,
    InterestUpdate,
    MemberUpdate,
    Sync,
    Learned,
    Report,
    Denied,
    Probe,
    LostEvents,
    Batch,
)
Payload = TypeVar("Payload", bound=Struct)

encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Struct], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in _PAYLOADS
}


def encode_batch(runs: list[Run]) -> bytes:
    """Return the payload of a :class:`Batch`, in which only runs that have a trace have the field."""
    return encode(
        (
            [
                (run.topics, run.name, run.count, run.which, run.body) if run.trace is None else run  # all its fields
                for run in runs
            ],
        )
    )


def decode(kind: type[Payload], payload: bytes | memoryview) -> Payload:
    """Read a payload of that class; raises Malformed with the reason."""
    if len(payload) > UNCHECKED_BYTES_MAX:
        check_received(payload)
    try:
        found: Payload = _decoders[kind].decode(payload)
        return found
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
