r"""Zeek's TSV: what its tools would read, and every text comes back through a reader that knows ``\xNN`` alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_records import ONE_COLUMN, Connection, Everything, Number, Place, State, Written, written

import broker
from broker.log_records import Column, columns_of
from broker.sinks.tsv import Tsv, zeek_type
from broker.testing.strategies import texts, values
from broker.values import Timestamp

NOW_S = datetime(2026, 11, 26, 4, 38, tzinfo=UTC).timestamp()


def unescaped(field: str) -> bytes:
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), field.encode())


def read_field(field: str) -> str | None:
    if field == "-":
        return None
    return "" if field == "(empty)" else unescaped(field).decode()


def read_members(field: str) -> list[str | None]:
    return [] if field == "(empty)" else [read_field(member) for member in field.split(",")]


def rows_of(data: bytes) -> list[list[str]]:
    """The fields of a file's records, as any reader of the format splits them."""
    assert data.endswith(b"\n") or not data
    return [line.split("\t") for line in data.decode().split("\n")[:-1] if not line.startswith("#")]


def one(value: Any, kind: str = "str") -> str:
    data = Tsv("t", (Column("text", kind),), time_column="").rows([Written(broker.Event("none", (value,)))])
    ((field,),) = rows_of(data)
    return field


def test_a_file_is_as_zeek_writes_it() -> None:
    tsv = Tsv("conn", columns_of(Connection))
    messages = written(
        [
            Connection(
                Timestamp.from_ns(1_795_667_880_123_456_789),
                "CHhAvVGS1DHFjwGM9",
                IPv4Address("192.0.2.1"),
                broker.Port(53, "udp"),
                broker.EnumValue("udp"),
                timedelta(seconds=1.5),
                broker.Count(72),
                True,
                -1,
                frozenset(["dns", "a,b"]),
            ),
            Connection(
                Timestamp.from_ns(-500_000_000),
                "-",
                IPv6Address("2001:db8::1"),
                broker.Port(0, "icmp"),
                broker.EnumValue("icmp"),
            ),
        ]
    )
    made = tsv.begin(NOW_S) + tsv.rows(messages) + tsv.end(NOW_S + 3600)
    assert made == (Path(__file__).parent / "conn.log").read_bytes()


def test_every_kind_of_value_has_its_form() -> None:
    record = Everything(
        "a\tb\\c\nd\x85é",
        b"\x00A\xff\\",
        2**64 - 1,
        0.1 + 0.2,
        False,
        IPv4Network("10.0.0.0/8"),
        State.REJ,
        [1.0, None, 2.5e20],
        {broker.Port(80, "tcp"), broker.Port(443, "tcp")},
        [[1, 2], []],
        {"a": 1},
        Place("Berlin", 3),
        None,
    )
    tsv = Tsv("everything", columns_of(Everything))
    ((*fields,),) = rows_of(tsv.rows([Written(record)]))
    assert fields == [
        "1795667880.123456",
        r"a\x09b\x5cc\x0ad\xc2\x85é",
        r"\x00A\xff\x5c",
        "18446744073709551615",
        "0.3",
        "F",
        "10.0.0.0/8",
        "REJ",
        "1.0,-,250000000000000000000.0",
        "443,80",
        r"[1\x2c2],[]",
        '{"a":1}',
        '{"city":"Berlin","floor":3}',
        "-",
    ]
    types = tsv.begin(NOW_S).decode().splitlines()[-1].split("\t")
    assert " ".join(types[1:]) == (
        "time string string int double bool subnet enum vector[double] set[port] vector[string] string string string"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0.0"), (-1.5, "-1.5"), (3.14159265, "3.141593"), (1e22, "1" + "0" * 22 + ".0"), (float("inf"), "inf")],
)
def test_doubles_have_six_decimals_at_most_and_no_exponent(number: float, text: str) -> None:
    assert one(number, "float") == text


@given(st.timedeltas())
def test_intervals_are_exact_to_the_microsecond(interval: timedelta) -> None:
    seconds, decimals = one(interval, "interval").split(".")
    assert len(decimals) == 6
    microseconds = int(seconds + decimals) if "-" not in seconds else -int(seconds[1:] + decimals)
    assert timedelta(microseconds=microseconds) == interval


@given(st.integers(-(10**18), 10**19))
def test_times_are_exact_to_the_microsecond(time_ns: int) -> None:
    text = one(Timestamp.from_ns(time_ns), "time")
    sign = -1 if text.startswith("-") else 1
    assert sign * int(text.lstrip("-").replace(".", "")) == time_ns // 1000


@given(texts() | st.sampled_from(["-", "(empty)", "", "\\", "\\x41", "#", "#close\t", ",", "\u2028", "\x7f\x85"]))
def test_every_text_comes_back(text: str) -> None:
    field = one(text)
    assert read_field(field) == text
    assert "\t" not in field
    assert len(field.splitlines()) <= 1


@given(st.lists(st.none() | texts(), max_size=4).filter(lambda members: members != [""]))
def test_every_list_of_texts_comes_back(members: list[str | None]) -> None:
    assert read_members(one(members, "vector[str?]")) == members


@given(st.binary(max_size=20).filter(bool))
def test_bytes_come_back(data: bytes) -> None:
    assert unescaped(one(data, "bytes")) == data


@settings(max_examples=40)
@given(st.lists(values(), min_size=2, max_size=4))
def test_whatever_is_carried_is_one_line_with_all_its_fields(row: list[Any]) -> None:
    columns = [Column(f"c{number}", "any") for number in range(len(row))]
    data = Tsv("t", columns, time_column="").rows([Written(broker.Event("none", tuple(row)))])
    assert [len(fields) for fields in rows_of(data)] == [len(row)]
    assert len(data.decode().splitlines()) == 1


@settings(max_examples=50)
@given(values(), st.sampled_from(["str", "enum?", "time", "interval", "addr", "port", "count", "int", "float", "bool"]))
def test_a_value_is_written_alike_whatever_its_column_promised(value: Any, kind: str) -> None:
    assert one(value, kind) == one(value, "any")


def test_a_record_that_begins_like_a_header_is_no_header() -> None:
    data = Tsv("t", ONE_COLUMN, time_column="").rows(
        [Written(broker.Event("none", (text,))) for text in ("#close", "b")]
    )
    assert data == b"\\x23close\nb\n"


def test_without_a_time_the_message_time_comes_first() -> None:
    tsv = Tsv("numbers", columns_of(Number))
    assert tsv.begin(NOW_S).endswith(b"#fields\tts\tn\n#types\ttime\tint\n")
    assert tsv.rows([Written(Number(3))]) == b"1795667880.123456\t3\n"
    assert (
        Tsv("numbers", columns_of(Number), time_column="written").begin(0).endswith(b"written\tn\n#types\ttime\tint\n")
    )
    taken = (Column("ts", "int"),)
    assert b"#fields\t_ts\tts\n" in Tsv("numbers", taken).begin(NOW_S)


def test_missing_fields_are_unset_and_further_ones_left_out() -> None:
    tsv = Tsv("t", (Column("a", "int"), Column("b", "int?")), time_column="")
    events = [broker.Event("none", (1,)), broker.Event("none", (1, 2, 3)), Number(4)]
    assert tsv.rows(written(events)) == b"1\t-\n1\t2\n4\t-\n"


@pytest.mark.parametrize("hostile", ["vector[", "vector[]", "set[vector[int]]", "x" * 200, "map[", "?", "\t"])
def test_a_type_that_is_none_is_a_string(hostile: str) -> None:
    assert zeek_type(hostile) in ("string", "set[string]", "vector[string]")
