"""The golden bytes of tests/vectors/stores.json: records, commands, and the rows and checksums that a log leads to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from store_model import apply_blindly, journal, rows_of

from broker.errors import Malformed
from broker.journaling import Record, chain
from broker.stores.commands import Command
from broker.stores.operations import decode_body, encode_body

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "stores.json").read_text(encoding="utf-8")
)
TABLES = ("entries", "elements", "expiries")


def by_name(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[section], ids=lambda vector: vector["name"])


def bytes_of(text: str) -> bytes:
    parts = (part.partition("*") for part in text.split())
    return b"".join(bytes.fromhex(part) * int(times or 1) for part, _, times in parts)


def described(thing: msgspec.Struct) -> dict[str, Any]:
    fields = {name: getattr(thing, name) for name in thing.__struct_fields__}
    return {type(thing).__name__: {name: told(value) for name, value in fields.items()}}


def told(value: Any) -> Any:
    if type(value) is bytes:
        return value.hex()
    return str(value) if type(value) is int else value


@by_name("records")
def test_a_record_is_written_and_read_as_told(vector: dict[str, Any]) -> None:
    data = bytes_of(vector["hex"])
    if "error" in vector:
        with pytest.raises(Malformed):
            decode_body(data)
        return
    body = decode_body(data)
    assert {
        "time_ns": str(body.time_ns),
        "writer": body.writer,
        "operations": [described(operation) for operation in body.operations],
    } == vector["record"]
    assert encode_body(body.time_ns, body.writer, body.operations) == data


@by_name("commands")
def test_a_command_is_written_and_read_as_told(vector: dict[str, Any]) -> None:
    data = bytes_of(vector["hex"])
    command = msgspec.msgpack.decode(data, type=Command)
    assert described(command) == vector["command"]
    assert msgspec.msgpack.encode(command) == data


@by_name("logs")
def test_a_log_leads_to_these_rows_and_checksums(vector: dict[str, Any]) -> None:
    kept = journal()
    records, checksum = [], bytes(8)
    for sequence, text in enumerate(vector["records"], 1):
        body = bytes_of(text)
        checksum = chain(checksum, body)
        records.append(Record(sequence, checksum, body))
    assert [record.checksum.hex() for record in records] == vector["checksums"]
    apply_blindly(kept, records)
    for table, name in enumerate(TABLES):
        rows = [[bytes_of(key), bytes_of(row)] for key, row in vector["rows"][name]]
        assert [[key, row] for key, row in rows_of(kept)[table]] == rows
