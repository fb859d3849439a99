"""What is fuzzed: a table of everything that reads bytes or text from elsewhere, and how each may refuse them.

To add a decoder, add a row to :data:`TARGETS` and seeds for it to ``make_corpus.py``: the programs, the corpus and the
tests in this directory take it from there.
"""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal
from zlib import crc32

import attrs
import fuzz_node
import msgspec

import broker
from broker import events
from broker.cli.events.records import to_publish
from broker.cli.jsonform import FormError, loads
from broker.cli.log.values import TsvForm, ValueWrong, value_of
from broker.cli.store.form import entry_of
from broker.errors import (
    AccessError,
    AddressError,
    BadKey,
    EventMisfit,
    JournalError,
    Malformed,
    NotCarried,
    TopicError,
)
from broker.journal import rescuing
from broker.journal.facts import FactsDamaged, Identity, State
from broker.journal.head import page_bytes_of, read_metas
from broker.journal.keys import RowDamaged, plain_row, stored_key
from broker.journaling import MemoryJournal, Position, Record
from broker.log_records import TYPE_CHARACTERS_MAX
from broker.logs import checkpoints, chunks, spool
from broker.logs import wire as log_wire
from broker.net.address import parse_address
from broker.protocol import frames
from broker.protocol.addresses import read_address
from broker.protocol.wishes import decode_update
from broker.stores import wire as store_wire
from broker.stores.admission import admit
from broker.stores.changes import changes_of
from broker.stores.entries import read_entry, unpack_key, unpack_value
from broker.topics import normalize_prefix, normalize_topic
from broker.trust.keys import PublicKey, SecretKey
from broker.trust.toml import parse_access
from broker.values import pack, unpack

__all__ = ["TARGETS", "Target"]


@attrs.frozen
class Target:
    """Something that reads bytes: ``read`` returns, or raises one of ``refusals``; anything else is a bug.

    ``share`` of a hundred inputs go to it.  An input may take ``constant`` bytes of memory and ``per_byte`` for each of
    its own; these are far below what is granted to megabytes (tests/values/test_values_memory.py), as inputs are small.
    """

    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = (Malformed,)
    share: float = 5.0
    constant: int = 1 << 18
    per_byte: int = 250
    bytes_max: int = 4096


# --- values and events --------------------------------------------------------------------------------------------


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


@attrs.frozen
class Mount:
    path: str
    size: int = 0
    inner: list[Mount] = attrs.field(factory=list)


@attrs.frozen
class Circle:
    radius: float


@broker.event(name="fuzz.Scalars")
class Scalars:
    host: str
    load: float
    count: int
    up: bool
    data: bytes
    note: str | None = None


@broker.event(name="fuzz.Rich")
class Rich:
    names: list[str]
    sizes: dict[str, float]
    pairs: set[tuple[int, str]]
    mode: Mode
    level: Literal["low", "high"]
    mount: Mount
    shape: Circle | Mount
    when: datetime | None
    anything: Any = None


@broker.event(name="fuzz.Checked")
class Checked:
    percent: float = attrs.field(validator=attrs.validators.in_(range(100)))
    at: broker.Timestamp | None = None
    port: broker.Port | None = None
    members: frozenset[Mount] = frozenset()


_NAMES = ("fuzz.Scalars", "fuzz.Rich", "fuzz.Checked", "fuzz.unheard.of")


def read_value_and_pack(data: bytes) -> object:
    value = unpack(data)
    with suppress(NotCarried):  # received values may be a little deeper, larger and longer than those that are sent
        again = pack(value)
        if pack(unpack(again)) != again:
            raise AssertionError("a value is not the same after it was sent on")
    return value


def read_events(data: bytes) -> object:
    if len(data) < 2:
        return None
    return events.decoder_for(_NAMES[data[0] % len(_NAMES)])(data[2:], data[1], "topic", "origin")


# --- frames -------------------------------------------------------------------------------------------------------


def _one_of(kinds: tuple[type[msgspec.Struct], ...], decode: Callable[[Any, bytes], Any]) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        return decode(kinds[data[0] % len(kinds)], data[1:]) if data else None

    return read


def _decode_frame(kind: Any, data: bytes) -> object:
    return decode_update(data)[0] if kind is frames.InterestUpdate else frames.decode(kind, data)


def read_hello(data: bytes) -> object:
    return frames.decode_hello(data)


def read_header(data: bytes) -> object:
    header = frames.unpack_header(data)
    address = read_address(data, frames.HEADER_BYTES)
    found = list(address.entries())
    if address.alone(found[0].id) not in (None, found[0]):
        raise AssertionError("an address that is read in two ways")
    return header, found


def read_commands(data: bytes) -> object:
    commands = store_wire.decode(store_wire.Commands, data)
    for item in commands.items:
        admit(item.commands)
    return commands


def read_operations(data: bytes) -> object:
    record = Record(1, bytes(8), data)
    return changes_of(record, Position(bytes(16), 1, 0, bytes(8)))


def read_rows(data: bytes) -> object:
    for read in (unpack_value, unpack_key):
        with suppress(Malformed):
            read(data)
    return read_entry(data)


# --- log streams --------------------------------------------------------------------------------------------------


def read_chunk(data: bytes) -> object:
    chunks.measure_chunk(data[:600], 0)
    with suppress(Malformed):
        chunks.read_chunk(data)
    chunk = chunks.read_chunk(crc32(data).to_bytes(4, "big") + data)  # as if it were what was written
    found = chunks.cut(chunk, chunk.first, chunk.last)
    events.decoder_for(_NAMES[0])(chunk.run, chunk.records, "stream", "origin")
    return found


def read_spool(data: bytes) -> object:
    kinds = tuple(spool._decoders)
    reader = spool.Spool.__new__(spool.Spool)
    reader.journal = MemoryJournal(bytes(16), 5)
    rescuing._row_of(data[:16], data)
    return reader._decoded(kinds[data[0] % len(kinds)], data[1:]) if data else None


# --- files --------------------------------------------------------------------------------------------------------


def read_facts(data: bytes) -> object:
    whole = crc32(data).to_bytes(4, "big") + data
    for read in (Identity.unpacked, State.unpacked):
        for text in (data, whole):
            with suppress(FactsDamaged):
                read(text)
    with suppress(RowDamaged):
        plain_row(data[:20] + b"\1", data[20:])
    with suppress(RowDamaged):
        plain_row(stored_key(data[:20]), data[20:])
    return None


def read_head(data: bytes) -> object:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        page_bytes_of("file", file.fileno())
        return read_metas("file", file.fileno())


# --- texts --------------------------------------------------------------------------------------------------------


def read_json(data: bytes) -> object:
    text = data.decode(errors="surrogateescape")
    with suppress(FormError):
        entry_of(text)
    return to_publish(text, "topic", "name")


def read_json_value(data: bytes) -> object:
    type_, _, text = data.decode(errors="replace").partition(" ")
    return value_of(loads(text), type_[:TYPE_CHARACTERS_MAX])


def read_tsv(data: bytes) -> object:
    form = TsvForm()
    lines = data.decode(errors="replace").split("\n")
    for line in lines[:-2]:
        form.header(line)
    return form.value(lines[-1], lines[-2][:TYPE_CHARACTERS_MAX] if len(lines) > 1 else "str")


def read_names(data: bytes) -> object:
    text = data.decode(errors="surrogateescape")
    for read in (normalize_topic, normalize_prefix, events.check_name):
        with suppress(TopicError, EventMisfit):
            read(text)
    with suppress(AddressError):
        parse_address(text, to_dial=True)
    return parse_address(text, to_dial=False)


def read_keys(data: bytes) -> object:
    text = data.decode(errors="replace")
    with suppress(BadKey):
        return PublicKey.parse(text)
    return SecretKey.parse(text)


def read_access(data: bytes) -> object:
    return parse_access(data.decode(errors="replace"))


TARGETS: dict[str, Target] = {
    "values": Target(unpack, share=13),
    # A packer begins with a buffer of a megabyte, one for each tuple around it.
    "values_again": Target(read_value_and_pack, share=3, constant=100 << 20),
    "events": Target(read_events, share=16),
    "frames": Target(_one_of(frames._PAYLOADS, _decode_frame), share=12),
    "hello": Target(read_hello),
    "header": Target(read_header),
    "stores": Target(_one_of(store_wire._PAYLOADS, store_wire.decode), share=8),
    "commands": Target(read_commands),
    "operations": Target(read_operations),
    "rows": Target(read_rows, share=3),
    "logs": Target(_one_of(log_wire._PAYLOADS, log_wire.decode), share=8),
    "chunks": Target(read_chunk, share=3),
    "checkpoints": Target(checkpoints.read_checkpoint, share=2),
    "spool": Target(read_spool, (JournalError,), share=2),
    "facts": Target(read_facts, (), share=2),
    "head": Target(read_head, (JournalError,), share=1),
    "json": Target(read_json, (FormError, EventMisfit), share=2),
    "json_value": Target(read_json_value, (FormError, ValueWrong, EventMisfit), share=1.5),
    "tsv": Target(read_tsv, (ValueWrong,), share=1.5),
    "names": Target(read_names, (AddressError,), share=1.5),
    "keys": Target(read_keys, (BadKey,), share=1),
    "access": Target(read_access, (AccessError,), share=2),
    "node": Target(fuzz_node.live, (), share=0.3, constant=8 << 20, per_byte=2000, bytes_max=8192),
    "node_keys": Target(fuzz_node.live_with_keys, (), share=0.3, constant=8 << 20, per_byte=2000, bytes_max=8192),
}
