"""The golden bytes of tests/vectors/logs.json: chunks, what writers and collectors say, and the rows of a spool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.errors import Malformed
from broker.logs import spool, wire
from broker.logs.chunks import cut, pack_chunk, read_chunk
from broker.logs.wire import LogKind

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "logs.json").read_text(encoding="utf-8")
)


def by_name(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[section], ids=lambda vector: vector["name"])


def told(value: Any) -> Any:
    """How the file describes a value: bytes in hexadecimal, numbers in decimal, structs by their names and fields."""
    if isinstance(value, msgspec.Struct):
        return {type(value).__name__: {name: told(getattr(value, name)) for name in value.__struct_fields__}}
    if isinstance(value, (list, tuple)):
        return [told(one) for one in value]
    if type(value) is bytes:
        return value.hex()
    return str(value) if type(value) is int else value


@by_name("chunks")
def test_a_chunk_is_written_and_read_as_told(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if "error" in vector:
        with pytest.raises(Malformed):
            read_chunk(data)
        return
    chunk = read_chunk(data)
    expected = vector["chunk"]
    parts = [bytes.fromhex(part) for part in expected["parts"]]
    assert {
        "first": str(chunk.first),
        "records": str(chunk.records),
        "time_ns": str(chunk.time_ns),
        "schema": chunk.schema.hex(),
        "epoch": str(chunk.epoch),
        "mark": chunk.mark.hex(),
        "parts": [part.hex() for part in parts],
    } == expected
    assert [bytes(raw) for raw in msgspec.msgpack.decode(chunk.run, type=list[msgspec.Raw])] == parts
    assert pack_chunk(chunk.first, chunk.time_ns, chunk.schema, chunk.epoch, chunk.mark, parts) == data
    assert cut(chunk, chunk.first, chunk.last) == data


@by_name("payloads")
def test_a_payload_is_written_and_read_as_told(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    name = vector["is"] if "error" in vector else next(iter(vector["payload"]))
    kind = getattr(wire, name)
    assert LogKind(int(vector["kind"])).name.replace("_", "").lower() == name.lower()
    if "error" in vector:
        with pytest.raises(Malformed):
            wire.decode(kind, data)
        return
    payload = wire.decode(kind, data)
    assert told(payload) == vector["payload"]
    assert wire.encode(payload) == data


@by_name("rows")
def test_a_row_of_a_spool_is_written_and_read_as_told(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    row = msgspec.msgpack.decode(data, type=getattr(spool, next(iter(vector["row"]))))
    assert told(row) == vector["row"]
    assert wire.encode(row) == data


@by_name("schemas")
def test_a_schema_is_called_as_told(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert told(wire.decode(wire.Schema, data)) == vector["schema"]
    assert spool.schema_id(data).hex() == vector["id"]


def test_every_kind_of_frame_has_a_vector() -> None:
    assert {int(vector["kind"]) for vector in VECTORS["payloads"] if "payload" in vector} == set(LogKind)
