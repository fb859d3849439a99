"""Log records: event classes with columns, and what a program without the class learns of them."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any, Literal
from uuid import UUID

import attrs
import msgspec
import pytest

import broker
from broker.errors import EventDefinitionError, EventMisfit
from broker.events import encode, name_of
from broker.log_records import COLUMNS_MAX, Column, column, columns_of, compatible, flaw_in, log_record
from broker.values import unpack


class Level(enum.Enum):
    LOW = 1


@attrs.frozen
class Inner:
    number: int


def test_a_log_record_is_an_event_of_the_given_name() -> None:
    @log_record("records conn")
    class Connection:
        uid: str
        size: int = column(unit="B", default=0)

    assert name_of(Connection) == "records conn"
    name, body = encode(Connection("C1", 3), 7)
    assert (name, unpack(body)) == ("records conn", (7, "C1", 3)) or unpack(body) == [7, "C1", 3]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Connection("C1").uid = "C2"  # type: ignore[misc]
    with pytest.raises(EventMisfit, match="uid"):
        encode(Connection(1), 7)  # type: ignore[arg-type]


def test_without_a_name_it_has_that_of_its_class() -> None:
    @log_record
    class RecordsBare:
        n: int

    @log_record()
    class RecordsCalled:
        n: int

    assert (name_of(RecordsBare), name_of(RecordsCalled)) == ("RecordsBare", "RecordsCalled")


def test_columns_have_names_descriptions_and_units() -> None:
    @log_record("records columns")
    class Columns:
        ts: broker.Timestamp
        orig_h: IPv4Address | IPv6Address = column("id.orig_h", description="who opened it")
        duration: timedelta | None = column(unit="s", default=None)

    assert columns_of(Columns) == (
        Column("ts", "time"),
        Column("id.orig_h", "addr", "who opened it"),
        Column("duration", "interval?", "", "s"),
    )


def test_defaults_factories_validators_and_converters_are_as_in_attrs() -> None:
    @log_record("records fields")
    class Fields:
        name: str = column(converter=str.lower)
        tags: list[str] = column(factory=list)
        size: int = column(default=1, validator=attrs.validators.ge(0))

    assert Fields("ABC") == Fields("abc", [], 1)
    with pytest.raises(ValueError, match="size"):
        Fields("a", size=-1)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (bytes, "bytes"),
        (UUID, "uuid"),
        (datetime, "time"),
        (datetime | broker.Timestamp, "time"),
        (timedelta, "interval"),
        (broker.Count, "count"),
        (broker.EnumValue, "enum"),
        (Level, "enum"),
        (Literal["up", "down"], "str"),
        (Literal["up"] | None, "str?"),
        (broker.Port | None, "port?"),
        (IPv4Network, "subnet"),
        (None, "any?"),
        (int | str, "any"),
        (int | str | None, "any?"),
        (Any, "any"),
        (Inner, "record"),
        (list[float], "vector[float]"),
        (tuple[int, ...], "vector[int]"),
        (tuple[int, int | None], "vector[int?]"),
        (tuple[int, str], "vector[any]"),
        (set[IPv4Address | IPv6Address], "set[addr]"),
        (frozenset[str], "set[str]"),
        (dict[str, list[int | None]], "map[str,vector[int?]]"),
    ],
)
def test_types_are_texts_of_no_language(annotation: Any, text: str) -> None:
    made = type("RecordsTyped", (), {"__annotations__": {"field": annotation}, "__module__": __name__})
    assert columns_of(log_record(f"records {text} {annotation}")(made)) == (Column("field", text),)


def test_plain_events_have_columns_too() -> None:
    @broker.event
    class RecordsEvent:
        host: str
        inner: Inner

    assert columns_of(RecordsEvent) == (Column("host", "str"), Column("inner", "record"))
    with pytest.raises(EventDefinitionError, match="not an event class"):
        columns_of(Inner)


@pytest.mark.parametrize("name", ["", "a\tb", "a,b", "-", "#fields", "a b", "9a", "a\n", "(empty)"])
def test_a_column_cannot_have_a_name_that_files_would_misread(name: str) -> None:
    with pytest.raises(EventDefinitionError, match="column's name"):
        column(name)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([name, "str", "", ""]), type=Column)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"unit": 3}, "unit is text, not int 3"),
        ({"description": None}, "description is text, not None"),
        ({"description": "x" * 1001}, "at most 1000 characters"),
        ({"unit": "x" * 65}, "at most 64 characters"),
        ({"name": 3}, "name is text"),
        ({"default": 1, "factory": int}, "not both"),
    ],
)
def test_a_column_that_cannot_be_is_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(EventDefinitionError, match=reason):
        column(**arguments)


def test_two_columns_of_one_name_are_refused_and_nothing_is_registered() -> None:
    with pytest.raises(EventDefinitionError, match="two columns named 'b'"):

        @log_record("records twice")
        class Twice:
            a: int = column("b")
            b: int = 0

    @log_record("records twice")
    class Once:
        a: int

    assert name_of(Once) == "records twice"


def test_columns_travel_and_those_too_long_are_refused() -> None:
    sent = (Column("id.orig_h", "addr", "who opened it"), Column("n", "int?"))
    wire = msgspec.msgpack.encode(sent)
    assert msgspec.msgpack.decode(wire, type=tuple[Column, ...]) == sent
    for hostile in (
        ["n" * 256, "int"],
        ["n", "x" * 256],
        ["n", "int", "x" * 1001],
        ["n", "int", "", "x" * 65],
        ["n", ""],
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(hostile), type=Column)


def test_appended_columns_are_compatible_both_ways() -> None:
    old = (Column("a", "int"), Column("b", "str?", "words", "s"))
    new = (Column("a", "int", "other words"), Column("b", "str?"), Column("c", "any"))
    assert compatible(old, new) == compatible(new, old) == compatible((), old) == ""


def test_a_clash_names_the_column_and_both_types() -> None:
    assert compatible((Column("a", "int"),), (Column("a", "str"),)) == "column 1 is 'a' (int) here and 'a' (str) there"
    assert "column 1 is 'a' (int) here and 'b'" in compatible((Column("a", "int"),), (Column("b", "int"),))


def test_columns_of_a_peer_that_no_file_can_have_are_found() -> None:
    assert flaw_in((Column("a", "int"), Column("b", "int"))) == ""
    assert flaw_in((Column("a", "int"), Column("a", "str"))) == "two columns named 'a'"
    assert "1001 columns" in flaw_in(tuple(Column(f"a{n}", "int") for n in range(COLUMNS_MAX + 1)))
