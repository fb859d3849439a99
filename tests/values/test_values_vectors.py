"""The golden bytes of tests/vectors/values.json, both ways.  Its README tells how values are described."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from broker.errors import Malformed
from broker.values import Count, EnumValue, Port, Timestamp, pack, unpack

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "values.json").read_text(encoding="utf-8")
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def port(text: str) -> Port:
    number, protocol = text.split("/")
    return Port(int(number), protocol)  # type: ignore[arg-type] # Port checks it


def nested_lists(count: str) -> list[Any]:
    value: list[Any] = []
    for _ in range(int(count) - 1):
        value = [value]
    return value


def as_is(value: Any) -> Any:
    return value


MAKERS: dict[str, Callable[[Any], Any]] = {
    "none": as_is,
    "bool": as_is,
    "int": int,
    "count": Count,
    "float": lambda bits: struct.unpack(">d", bytes.fromhex(bits))[0],
    "str": as_is,
    "enum": EnumValue,
    "bytes": bytes.fromhex,
    "list": lambda items: [value_of(item) for item in items],
    "tuple": lambda items: tuple(value_of(item) for item in items),
    "set": lambda items: {value_of(item) for item in items},
    "frozenset": lambda items: frozenset(value_of(item) for item in items),
    "dict": lambda items: {value_of(key): value_of(item) for key, item in items},
    "datetime": lambda microseconds: EPOCH + timedelta(microseconds=int(microseconds)),
    "timestamp": lambda nanoseconds: Timestamp.from_ns(int(nanoseconds)),
    "timedelta": lambda microseconds: timedelta(microseconds=int(microseconds)),
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "ipv4_network": IPv4Network,
    "ipv6_network": IPv6Network,
    "uuid": UUID,
    "port": port,
    "nested_lists": nested_lists,
}


def value_of(description: dict[str, Any]) -> Any:
    return MAKERS[description["type"]](description.get("value"))


def bytes_of(text: str) -> bytes:
    parts = (part.partition("*") for part in text.split(" "))
    return b"".join(bytes.fromhex(piece) * int(times or 1) for piece, _, times in parts)


def text_of(value: Any) -> str:
    """Tells values apart by type, sign and order, and takes NaN for NaN, as equality does not."""
    match value:
        case set() | frozenset():
            return f"{type(value).__name__}({', '.join(sorted(map(text_of, value)))})"
        case list() | tuple():
            return f"{type(value).__name__}({', '.join(map(text_of, value))})"
        case dict():
            entries = (f"{text_of(key)}: {text_of(item)}" for key, item in value.items())
            return f"dict({', '.join(entries)})"
        case _:
            return f"{type(value).__name__}({value!r})"


def vectors(wanted: Callable[[dict[str, Any]], bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in VECTORS if wanted(v)])


@vectors(lambda vector: "value" in vector)
def test_bytes_decode_to_the_described_value(vector: dict[str, Any]) -> None:
    assert text_of(unpack(bytes_of(vector["hex"]))) == text_of(value_of(vector["value"]))


@vectors(lambda vector: "value" in vector and "only" not in vector)
def test_a_value_is_encoded_to_these_bytes(vector: dict[str, Any]) -> None:
    assert pack(value_of(vector["value"])).hex() == bytes_of(vector["hex"]).hex()


@vectors(lambda vector: "error" in vector)
def test_bytes_that_are_no_value_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        unpack(bytes_of(vector["hex"]))


def test_every_type_has_a_vector_and_names_are_unique() -> None:
    described = {vector["value"]["type"] for vector in VECTORS if "value" in vector}
    assert described == set(MAKERS)
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
