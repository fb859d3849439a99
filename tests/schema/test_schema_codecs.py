"""The two codecs of runs hold each other: the same bytes out, the same messages and misfits in."""

from __future__ import annotations

import math
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from broker import events
from broker.errors import BrokerError, Malformed
from broker.schema import decoder, encoder, schema_of
from broker.testing.strategies import scalars, values


@events.event
class Scalars:
    text: str
    number: float
    whole: int
    flag: bool
    data: bytes
    maybe: str | None
    either: int | str | None = None
    amount: float | None = 1.5


SCHEMA = schema_of(Scalars)
FAST_OUT, REFERENCE_OUT = encoder(SCHEMA, "Scalars"), encoder(SCHEMA, "Scalars", reference=True)
FAST_IN, REFERENCE_IN = decoder(SCHEMA, "Scalars"), decoder(SCHEMA, "Scalars", reference=True)

TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(["x" * 31, "x" * 32, "x" * 255, "x" * 256, "\ud800"])
NUMBERS = st.integers(-(2**65), 2**65) | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -33, 128])
FITTING = (
    TEXTS,
    st.floats() | NUMBERS,
    NUMBERS,
    st.booleans(),
    st.binary(max_size=300),
    st.none() | TEXTS,
    NUMBERS | TEXTS | st.none(),
    st.none() | st.floats() | NUMBERS,
)
FIELDS = st.tuples(*FITTING) | st.tuples(*(kind | scalars() | st.none() for kind in FITTING))


def exact(value: Any) -> Any:
    """A form in which values are equal only if they have the same type, and a NaN equals itself."""
    if isinstance(value, list | tuple):
        return type(value).__name__, [exact(item) for item in value]
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else value.hex()
    return type(value).__name__, repr(value)


def outcome(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except BrokerError as error:
        return type(error), str(error)


def received(decode: Any, body: bytes, count: int) -> Any:
    try:
        messages, misfits = decode(body, count, "topic", "origin")
    except Malformed:
        return Malformed
    fields = [[getattr(message.event, field.name) for field in SCHEMA.fields] for message in messages]
    return (
        exact(fields),
        [(message.topic, message.time_ns, message.origin, type(message.event)) for message in messages],
        [(misfit.index, str(misfit.error)) for misfit in misfits],
    )


@given(FIELDS, st.integers(0, 2**63))
def test_both_write_the_same_bytes_or_refuse_alike(fields: Any, time_ns: Any) -> None:
    event = Scalars(*fields)
    assert outcome(FAST_OUT, event, time_ns) == outcome(REFERENCE_OUT, event, time_ns)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.lists(values() | scalars(), max_size=10)), max_size=4))
def test_both_read_whatever_was_published_under_the_name_alike(rows: Any) -> None:
    body = msgpack.Packer().pack_array_header(len(rows))
    body += b"".join(events.encode(events.Event("Scalars", tuple(args)), time_ns)[1] for time_ns, args in rows)
    assert received(FAST_IN, body, len(rows)) == received(REFERENCE_IN, body, len(rows))


CARRIED = st.tuples(
    st.text(max_size=20),
    st.floats() | st.integers(-(2**63), 2**64 - 1),
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.binary(max_size=20),
    st.none() | st.text(max_size=20),
    st.integers(0, 9) | st.text(max_size=9) | st.none(),
    st.none() | st.floats(),
)


@given(st.lists(CARRIED, min_size=1, max_size=4), st.data())
def test_both_read_fitting_and_damaged_bytes_alike(rows: Any, data: Any) -> None:
    body = bytearray(msgpack.Packer().pack_array_header(len(rows)))
    for fields in rows:
        body += FAST_OUT(Scalars(*fields), 7)
    whole = received(FAST_IN, bytes(body), len(rows))
    assert whole == received(REFERENCE_IN, bytes(body), len(rows))
    assert whole[0] == exact([list(fields) for fields in rows])
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=3)):
        body[position] = data.draw(st.integers(0, 255))
    assert received(FAST_IN, bytes(body), len(rows)) == received(REFERENCE_IN, bytes(body), len(rows))


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_give_messages_misfits_or_malformed_from_both(body: Any, count: Any) -> None:
    assert received(FAST_IN, body, count) == received(REFERENCE_IN, body, count)


def test_a_float_of_32_bits_is_read_by_both() -> None:
    row = msgpack.packb([7, "a", None, 1, True, b"", None]).replace(b"\xc0", b"\xca\x3f\xc0\x00\x00", 1)
    assert received(FAST_IN, b"\x91" + row, 1) == received(REFERENCE_IN, b"\x91" + row, 1)
    assert FAST_IN(b"\x91" + row, 1, "t", "o")[0][0].event.number == 1.5
