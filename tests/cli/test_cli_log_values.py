"""What ``broker log`` makes of text: values of columns from JSON and TSV, columns, sizes, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

import pytest

import broker
from broker.cli.jsonform import FormError, to_json
from broker.cli.log.amounts import columns_from, since_of
from broker.cli.log.records import Reader, record_class
from broker.cli.log.values import TsvForm, ValueWrong, value_of
from broker.config.amounts import seconds_of, size_of

NOON = broker.Timestamp.from_ns(1_767_268_800_000_000_000)
ID = UUID("12345678-1234-5678-1234-567812345678")

VALUES: list[tuple[str, Any, str, Any]] = [
    ("str", "a", "a", "a"),
    ("bool", True, "T", True),
    ("int", -5, "-5", -5),
    ("count", 7, "7", broker.Count(7)),
    ("float", 1, "1", 1.0),
    ("float", 0.5, "0.5", 0.5),
    ("bytes", "AAE=", r"\x00\x01", b"\x00\x01"),
    ("addr", "2001:db8::1", "2001:db8::1", ip_address("2001:db8::1")),
    ("subnet", "10.0.0.0/8", "10.0.0.0/8", ip_network("10.0.0.0/8")),
    ("port", 53, "53", broker.Port(53, "unknown")),
    ("port", "53/udp", "53/udp", broker.Port(53, "udp")),
    ("time", "2026-01-01T12:00:00+00:00", "1767268800.000000", NOON),
    ("time", 1767268800, "1767268800", NOON),
    ("interval", -1.5, "-1.500000", timedelta(seconds=-1.5)),
    ("enum", "REJ", "REJ", broker.EnumValue("REJ")),
    ("uuid", str(ID), str(ID), ID),
    ("vector[int]", [1, 2], "1,2", [1, 2]),
    ("set[addr]", ["192.0.2.1"], "192.0.2.1", {ip_address("192.0.2.1")}),
    ("vector[str]", [], "(empty)", []),
    ("float?", None, "-", None),
    ("any", None, "-", None),
]


@pytest.mark.parametrize(("type_", "form", "text", "value"), VALUES)
def test_a_value_is_the_same_from_json_from_tsv_and_from_typed_json(
    type_: str, form: Any, text: str, value: Any
) -> None:
    for found in (value_of(form, type_), TsvForm().value(text, type_), value_of(to_json(value), type_)):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("type_", "form"),
    [
        ("int", 1.5),
        ("int", True),
        ("int", None),
        ("count", -1),
        ("float", "x"),
        ("addr", "192.0.2"),
        ("addr", {"$port": "1/tcp"}),
        ("port", 65536),
        ("time", "noon"),
        ("time", "2026-01-01T12:00:00"),
        ("time", 1e300),
        ("interval", 1e300),
        ("set[int]", ["a"]),
        ("vector[int]", 1),
        ("map[str,int]", [1]),
        ("str", {"$nonsense": 1}),
    ],
)
def test_a_value_that_a_column_cannot_have_is_refused(type_: str, form: Any) -> None:
    with pytest.raises(ValueWrong):
        value_of(form, type_)
    with pytest.raises(ValueWrong):
        TsvForm().value("\x00", "int")


def test_keys_of_a_map_are_of_its_type() -> None:
    assert value_of({"1": 2.0}, "map[int,float]") == {1: 2.0}
    assert value_of({"192.0.2.1": ["a"]}, "map[addr,vector[str]]") == {ip_address("192.0.2.1"): ["a"]}


def test_columns_are_typed_as_name_and_type() -> None:
    columns = columns_from("host:str, id.orig_h:addr?,sizes:map[str,vector[int]],at:time")
    assert [(column.name, column.type) for column in columns] == [
        ("host", "str"),
        ("id.orig_h", "addr?"),
        ("sizes", "map[str,vector[int]]"),
        ("at", "time"),
    ]
    for text in ("host", "host:", ":str", "a:int,a:int", "#a:int", "a b:int", ""):
        with pytest.raises(ValueError, match=r"NAME:TYPE|two columns|a column's name"):
            columns_from(text)
    with pytest.raises(FormError, match="'text' is no type"):
        record_class("cli no type", columns_from("a:text"))


def test_a_record_class_made_of_columns_has_them_and_checks_its_fields() -> None:
    columns = columns_from("class:str,id.a:int?,id_a:set[port]")
    made = record_class("cli made", columns)
    assert broker.log_records.columns_of(made) == columns
    assert made("a", None, {broker.Port(1, "tcp")}) is not None


def test_an_object_tells_what_its_columns_are() -> None:
    reader = Reader("cli found", None)
    reader.take('{"a": 1, "b": "x", "c": {"$port": "53/udp"}, "d": [1], "e": null, "f": {"k": 1}, "g": true}')
    assert [f"{column.name}:{column.type}" for column in reader.columns or ()] == [
        "a:int?",
        "b:str?",
        "c:port?",
        "d:vector[any]?",
        "e:any",
        "f:map[any,any]?",
        "g:bool?",
    ]
    with pytest.raises(FormError, match="no column 'z'"):
        reader.take('{"z": 1}')


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("100MB", 10**8), ("1.5k", 1500), ("1GiB", 1 << 30), ("2 KiB", 2048)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("1h", 3600), ("1.5d", 129600)])
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "MB", "-1", "1XB", "1e9"])
def test_what_is_no_size_and_no_time(text: str) -> None:
    for parse in (size_of, seconds_of):
        with pytest.raises(ValueError, match="is not a"):
            parse(text)


def test_since_is_a_word_a_time_ago_a_time_or_a_position() -> None:
    position = broker.Position(bytes(16), 2, 7, bytes(8))
    assert (since_of("earliest"), since_of("now"), since_of(str(position))) == ("earliest", "now", position)
    assert since_of("2026-01-01T13:00:00+01:00") == datetime(2026, 1, 1, 12, tzinfo=UTC)
    before = datetime.now(UTC)
    assert before <= since_of("2h") + timedelta(hours=2) <= datetime.now(UTC)
    with pytest.raises(ValueError, match="is not earliest, now"):
        since_of("yesterday")


@pytest.mark.parametrize("name", ["_", "__", "_1", "self", "__init__", "__annotations__", "__slots__", "__module__"])
def test_a_column_may_be_called_as_no_field_of_a_class_can_be(name: str) -> None:
    made = record_class(f"cli odd {name}", [broker.Column(name, "str"), broker.Column("b", "str")])
    assert [column.name for column in broker.log_records.columns_of(made)] == [name, "b"]
