"""JSON lines: what people's tools read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_records import Connection, Everything, Longer, Number, Place, State, Written, written

import broker
from broker.log_records import Column, columns_of
from broker.sinks.jsonlines import JsonLines, json_text
from broker.testing.strategies import values
from broker.values import Timestamp


def lines(encoder: JsonLines, *records: Any) -> list[dict[str, Any]]:
    data = encoder.rows(written(records))
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


CONNECTION = Connection(
    Timestamp.from_ns(1_795_667_880_123_456_789),
    "C1",
    IPv4Address("192.0.2.1"),
    broker.Port(53, "udp"),
    broker.EnumValue("udp"),
    timedelta(seconds=1.5),
)


def test_a_record_is_an_object_of_its_columns_without_those_unset() -> None:
    (found,) = lines(JsonLines(columns_of(Connection)), CONNECTION)
    assert list(found.items()) == [
        ("ts", "2026-11-26T04:38:00.123456Z"),
        ("uid", "C1"),
        ("id.orig_h", "192.0.2.1"),
        ("id.orig_p", 53),
        ("proto", "udp"),
        ("duration", 1.5),
        ("missed", 0),
        ("tags", []),
    ]


def test_times_can_be_seconds_since_1970() -> None:
    (found,) = lines(JsonLines(columns_of(Connection), timestamps="epoch"), CONNECTION)
    assert found["ts"] == 1_795_667_880.123456


def test_every_kind_of_value_has_its_form() -> None:
    record = Everything(
        "é\t\u2028",
        b"\x00\xff",
        2**64 - 1,
        0.1,
        False,
        IPv4Network("10.0.0.0/8"),
        State.REJ,
        [1.0, None, float("nan")],
        {broker.Port(80, "tcp"), broker.Port(443, "tcp")},
        [[1, 2], []],
        {"a": 1},
        Place("Berlin", 3),
        {IPv6Address("2001:db8::1"): UUID(int=1), 7: (1, b"")},
    )
    (found,) = lines(JsonLines(columns_of(Everything), time_column=""), record)
    assert found == {
        "text": "é\t\u2028",
        "raw": "AP8=",
        "number": 2**64 - 1,
        "real": 0.1,
        "flag": False,
        "net": "10.0.0.0/8",
        "state": "REJ",
        "reals": [1.0, None, None],
        "ports": [443, 80],
        "nested": [[1, 2], []],
        "counts": {"a": 1},
        "place": {"city": "Berlin", "floor": 3},
        "anything": {"2001:db8::1": "00000000-0000-0000-0000-000000000001", "7": [1, ""]},
    }


def test_the_message_time_stands_in_front_where_no_column_is_a_time() -> None:
    encoder = JsonLines(columns_of(Number))
    assert encoder.rows([Written(Number(3))]) == b'{"ts":"2026-11-26T04:38:00.123456Z","n":3}\n'
    assert JsonLines(columns_of(Number), time_column="").rows([Written(Number(3))]) == b'{"n":3}\n'
    epoch = JsonLines(columns_of(Number), time_column="at", timestamps="epoch")
    assert lines(epoch, Number(3)) == [{"at": 1_795_667_880.123456, "n": 3}]


def test_batches_may_mix_classes_and_events_without_one() -> None:
    encoder = JsonLines(columns_of(Longer), time_column="")
    found = lines(encoder, Longer(1), Longer(2), Number(3), broker.Event("sink longer", (4, "x", "further")))
    assert found == [{"n": 1, "more": "more"}, {"n": 2, "more": "more"}, {"n": 3}, {"n": 4, "more": "x"}]


def test_times_of_other_zones_are_told_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert json_text([moment, moment.astimezone(UTC)]) == '["2025-12-31T23:00:00Z","2025-12-31T23:00:00Z"]'


@pytest.mark.parametrize("value", [{(1, 2): 3}, {1: "a", "1": "b"}, {True: 1}, {None: 1}])
def test_a_dict_whose_keys_are_no_texts_is_pairs(value: dict[Any, Any]) -> None:
    assert isinstance(json.loads(json_text(value)), list)


def test_equal_sets_give_equal_lines() -> None:
    assert json_text({3, 1, 2}) == json_text(frozenset([2, 3, 1])) == "[1,2,3]"


@settings(max_examples=50)
@given(values(), st.sampled_from(["str", "enum?", "time", "interval", "addr", "port", "count", "int", "float", "bool"]))
def test_a_value_is_written_alike_whatever_its_column_promised(value: Any, kind: str) -> None:
    messages = [Written(broker.Event("none", (value,)))]
    for timestamps in ("iso8601", "epoch"):
        made = [
            JsonLines((Column("a", promised),), time_column="", timestamps=timestamps).rows(messages)
            for promised in (kind, "any")
        ]
        assert made[0] == made[1]


@settings(max_examples=40)
@given(values())
def test_whatever_is_carried_is_one_line_of_json(value: Any) -> None:
    data = JsonLines((Column("a", "int"),), time_column="").rows([Written(broker.Event("none", (value,)))])
    assert data.count(b"\n") == 1
    assert isinstance(json.loads(data), dict)
