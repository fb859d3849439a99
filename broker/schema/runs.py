"""Runs: how events of one class become arrays ``[time, field, ...]``, and a run of them messages.

Two codecs write and read the same bytes.  msgpack, through ``broker.values``, is the reference and decides what every
byte means.  msgspec takes over where all fields are plain scalars: it checks the types while it reads them and does
not know ext types; whatever it refuses goes to the reference, which alone finds words for what is wrong.

Nanoseconds for an event of four fields (str, str, float, int), checks and objects included, Python 3.11:

    encode                    msgspec 124   msgpack 173
    decode, runs of 1000      msgspec 234   msgpack 365
    decode, runs of 1         msgspec 606   msgpack 876
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from broker.errors import EventMisfit, Malformed, NotCarried
from broker.messages import Message
from broker.schema.kinds import DoesNotFit, Kind
from broker.schema.schemas import Schema
from broker.schema.source import Names, checks, compile_function, construct, indented, loads, variable
from broker.values import DEFAULT_LIMITS, lower, packer, unpack

__all__ = ["DecodeRun", "Encode", "Misfit", "decoder", "encoder", "pack_event", "rows_of"]


class Misfit(NamedTuple):
    """An event of a run that does not fit its class: its place in the run, and why."""

    index: int  # type: ignore[assignment]  # tuple.index() is of no use here
    error: EventMisfit


Run = tuple[list[Message], list[Misfit]]
Encode = Callable[[Any, int], bytes]
DecodeRun = Callable[[bytes | memoryview, int, str, str], Run]

_SCALARS = frozenset((type(None), bool, int, float, str, bytes))
# Above it a body is left to `unpack`, which reckons what it takes in memory.  Scalars take up to 48 times their bytes
# (small negative ints), so a body up to here stays within what `unpack` would grant.
_BODY_BYTES_MAX = 512 * 1024


def _scalar_type(kind: Kind) -> Any:
    """The annotation that makes msgspec check what the kind checks; None if it cannot."""
    if not kind.exact or kind.classes is None or not kind.classes <= _SCALARS or {str, bytes} <= kind.classes:
        return None
    # float alone would turn ints into floats; the kind's classes hold int beside it.
    union: Any = None
    for cls in kind.classes:
        union = cls if union is None else union | cls
    return union


def _scalar_types(schema: Schema) -> list[Any]:
    """The annotations of all fields, or an empty list if msgspec cannot take this class."""
    types = [_scalar_type(field.kind) for field in schema.fields]
    return [] if None in types else types


# --- out ---------------------------------------------------------------------------------------------------------


def pack_event(fields: Iterable[tuple[str, Any]], time_ns: int) -> bytes:
    """The array of an event from (path, lowered value) of its fields.  Raises NotCarried."""
    packed: bytes = packer().pack([time_ns, *(lower(value, path) for path, value in fields)])
    return packed


def encoder(schema: Schema, name: str, *, reference: bool = False) -> Encode:
    """The function from an event of this class and its time to its array.  It raises EventMisfit and NotCarried."""

    def explain(event: Any, time_ns: int) -> bytes:
        try:
            values = schema.explain_lower(event)
            schema.refuse(event)
        except DoesNotFit as error:
            raise EventMisfit(name, error.path.removeprefix("."), error.expected, error.found) from None
        except RecursionError:
            raise NotCarried(f"nested deeper than {DEFAULT_LIMITS.max_depth} containers", "." + name) from None
        return pack_event(
            ((f".{field.name}", value) for field, value in zip(schema.fields, values, strict=True)), time_ns
        )

    names: Names = {"explain": explain, "lower": lower}
    # 43 ns for a tuple of five, against 116.
    names["pack"] = msgspec.msgpack.Encoder().encode if _scalar_types(schema) and not reference else packer().pack
    test, left = checks(schema, names)
    items = ["time_ns"]
    for field in schema.fields:
        item = variable(field)
        if field in left:
            item = f"kind_{item}.lower({item})"
        if field.kind.classes is None or not field.kind.classes <= _SCALARS:
            item = f"lower({item}, '.{field.name}')"
        items.append(item)
    text = f"""\
def encode(event, time_ns):
{indented((f"{variable(field)} = event.{field.name}" for field in schema.fields), 1)}
    if {test}:
        try:
            return pack([{", ".join(items)}])
        except Exception:  # Whatever it is, explain() meets it again and says where.
            pass
    return explain(event, time_ns)
"""
    return compile_function("encode", f"encode {name}", text, names)


# --- in ----------------------------------------------------------------------------------------------------------


def rows_of(body: bytes | memoryview, count: int) -> list[list[Any]]:
    """The arrays of a run's body, each of which begins with its time.  Raises Malformed."""
    rows = unpack(body)
    if rows.__class__ is not list or len(rows) != count:
        raise Malformed(f"a run of {count} events whose body is not an array of {count}")
    for row in rows:
        if row.__class__ is not list or not row or row[0].__class__ is not int:
            raise Malformed("an event that is not an array beginning with its time in nanoseconds")
    return rows


def decoder(schema: Schema, name: str, *, reference: bool = False) -> DecodeRun:
    """The function from the body of a run to its messages and misfits.  It raises Malformed."""

    def slow(row: list[Any], topic: str, origin: str, messages: list[Message], misfits: list[Misfit]) -> None:
        try:
            event = schema.explain_load(row[1:])
        except DoesNotFit as error:
            found = EventMisfit(name, error.path.removeprefix("."), error.expected, error.found)
            misfits.append(Misfit(len(messages) + len(misfits), found))
        else:
            messages.append(Message(topic, event, row[0], origin))

    checked = _checked_decoder(schema, name, slow)
    types = _scalar_types(schema)
    if not types or reference:
        return checked
    return _scalar_decoder(schema, name, types, checked)


def _checked_decoder(schema: Schema, name: str, slow: Callable[..., None]) -> DecodeRun:
    names: Names = {"rows_of": rows_of, "Message": Message, "slow": slow, "fitted": schema.fitted}
    width = len(schema.fields) + 1
    test, left = checks(schema, names)
    targets = ", ".join(["time_ns", *map(variable, schema.fields)])
    text = f"""\
def decode_run(body, count, topic, origin):
    messages, misfits = [], []
    append = messages.append
    for row in rows_of(body, count):
        if len(row) != {width}:
            row = [row[0], *fitted(row[1:])]
        if len(row) == {width}:
            {targets}, = row
            if {test}:
                try:
{indented([*loads(left), *construct(schema, names)], 5)}
                    append(Message(topic, instance, time_ns, origin))
                    continue
                except Exception:  # The class's own validators may raise anything; slow() says which.
                    pass
        slow(row, topic, origin, messages, misfits)
    return messages, misfits
"""
    return compile_function("decode_run", f"decode {name}", text, names)


def _scalar_decoder(schema: Schema, name: str, types: list[Any], checked: DecodeRun) -> DecodeRun:
    row_type: Any = tuple.__class_getitem__((int, *types))
    rows_type: Any = list.__class_getitem__(row_type)
    names: Names = {
        # 95 ns against 200 for msgpack and the checks in Python.
        "decode": msgspec.msgpack.Decoder(rows_type).decode,
        "Message": Message,
        "checked": checked,
        # UnicodeDecodeError is a ValueError, as are msgspec's own.
        "Refusals": (msgspec.MsgspecError, ValueError, RecursionError),
    }
    targets = ", ".join(["time_ns", *map(variable, schema.fields)])
    guarded = schema.loose is None  # Only the class's own code can raise in the loop.
    making = indented(construct(schema, names), 3 if guarded else 2)
    text = f"""\
def decode_run(body, count, topic, origin):
    if len(body) > {_BODY_BYTES_MAX}:
        return checked(body, count, topic, origin)
    try:
        rows = decode(body)
    except Refusals:
        return checked(body, count, topic, origin)
    if len(rows) != count:
        return checked(body, count, topic, origin)
    messages = []
    append = messages.append
    for {targets}, in rows:
{"        try:" if guarded else ""}
{making}
{"        except Exception: return checked(body, count, topic, origin)" if guarded else ""}
        append(Message(topic, instance, time_ns, origin))
    return messages, []
"""
    return compile_function("decode_run", f"decode {name}", text, names)
