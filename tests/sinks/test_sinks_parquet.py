"""Parquet files, read back with pyarrow."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_disk import numbers_in, visible
from sink_records import Connection, Everything, Longer, Number, Place, State, Written, numbers, written

import broker
from broker.log_records import Column, columns_of
from broker.sinks import LogFiles
from broker.sinks import parquet as parquet_module
from broker.sinks.parquet import MISFITS, Parquet
from broker.testing.strategies import values
from broker.values import Timestamp

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def table(columns: Any, messages: list[Written], **options: Any) -> Any:
    encoder = Parquet(columns, **options)
    data = encoder.begin(0) + encoder.rows(messages) + encoder.end(0)
    return pq.read_table(io.BytesIO(data))


def test_columns_have_types_descriptions_and_units() -> None:
    record = Connection(
        Timestamp.from_ns(1_795_667_880_123_456_789),
        "C1",
        IPv4Address("192.0.2.1"),
        broker.Port(53, "udp"),
        broker.EnumValue("udp"),
        timedelta(seconds=1.5),
        broker.Count(2**64 - 1),
        tags=frozenset(["b", "a"]),
    )
    found = table(columns_of(Connection), written([record]))
    assert [(field.name, str(field.type)) for field in found.schema] == [
        ("ts", "timestamp[ns, tz=UTC]"),
        ("uid", "string"),
        ("id.orig_h", "string"),
        ("id.orig_p", "uint16"),
        ("proto", "string"),
        ("duration", "duration[us]"),
        ("orig_bytes", "uint64"),
        ("local", "bool"),
        ("missed", "int64"),
        ("tags", "list<element: string>"),
        (MISFITS, "string"),
    ]
    assert found.schema.field("id.orig_h").metadata[b"description"] == b"who opened it"
    assert found.schema.field("duration").metadata[b"unit"] == b"s"
    assert found.column("ts").cast(pa.int64()).to_pylist() == [1_795_667_880_123_456_789]
    (row,) = found.drop_columns(["ts"]).to_pylist()
    assert list(row.values()) == [
        *("C1", "192.0.2.1", 53, "udp", timedelta(seconds=1.5), 2**64 - 1, None, 0, ["a", "b"], None)
    ]


def test_every_kind_of_value_has_its_form() -> None:
    record = Everything(
        "text",
        b"\x00\xff",
        -5,
        2,
        False,
        IPv4Network("10.0.0.0/8"),
        State.REJ,
        [1.0, None],
        {broker.Port(80, "tcp")},
        [[1, 2], []],
        {"a": 1},
        Place("Berlin", 3),
        (1, "two"),
    )
    found = table(columns_of(Everything), [Written(record)])
    assert found.column("ts").cast(pa.int64()).to_pylist() == [1_795_667_880_123_456_789]
    (row,) = found.drop_columns(["ts"]).to_pylist()
    assert list(row.values()) == [
        *("text", b"\x00\xff", -5, 2.0, False, "10.0.0.0/8", "REJ", [1.0, None], [80], [[1, 2], []]),
        *('{"a":1}', '{"city":"Berlin","floor":3}', '[1,"two"]', None),
    ]


def test_values_that_do_not_fit_stand_beside_the_others() -> None:
    columns = (Column("n", "int"), Column("when", "time"), Column("words", "vector[str]"))
    rows = [
        (1, None, ["a"]),
        (2**63, Timestamp.from_ns(-(2**63) - 10**9), ["a"]),
        ("x", "y", ["a", 1]),
        (True, 5, "ab"),
    ]
    found = table(columns, written([broker.Event("none", row) for row in rows]), time_column="")
    assert found.column("n").to_pylist() == [1, None, None, None]
    assert found.column("words").to_pylist() == [["a"], ["a"], None, None]
    misfits = [text and json.loads(text) for text in found.column(MISFITS).to_pylist()]
    assert misfits == [
        None,
        {"n": 2**63, "when": "1677-09-21T00:12:42.145224Z"},
        {"n": "x", "when": "y", "words": ["a", 1]},
        {"n": True, "when": 5, "words": "ab"},
    ]


@settings(max_examples=25)
@given(st.lists(st.tuples(values(), values(), values()), min_size=1, max_size=3), st.data())
def test_no_record_of_a_writer_that_lies_stops_a_file(rows: list[tuple[Any, ...]], data: Any) -> None:
    kinds = st.sampled_from(
        ["str", "int", "float", "bool", "bytes", "addr", "port", "time", "interval", "enum", "count", "uuid", "any"]
    )
    types = [data.draw(kinds | kinds.map("vector[{}]".format) | kinds.map("set[{}?]".format)) for _ in range(3)]
    columns = [Column(f"c{number}", kind) for number, kind in enumerate(types)]
    assert table(columns, written([broker.Event("none", row) for row in rows])).num_rows == len(rows)


def test_row_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "ROWS_MAX", 10)
    encoder = Parquet(columns_of(Number))
    data = encoder.begin(0)
    waiting = []
    for last in range(4, 29, 4):
        data += encoder.rows(numbers(last - 3, last))
        waiting.append(encoder.waiting)
    data += encoder.end(0)
    assert max(waiting) < 10
    file = pq.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [10, 10, 8]
    assert file.read().column("n").to_pylist() == list(range(1, 29))


def test_long_texts_make_smaller_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "VALUE_BYTES_MAX", 1000)
    for value in ("x" * 400, ["x" * 200, {"key": b"x" * 200}], Place("x" * 400, 1)):
        encoder = Parquet((Column("value", "any"),))
        encoder.begin(0)
        encoder.rows(written([broker.Event("none", (value,))] * 2))
        assert encoder.waiting == 2
        assert encoder.rows(written([broker.Event("none", (value,))]))
        assert encoder.waiting == 0


def test_a_file_counts_when_it_is_finished(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", format="parquet", rotate_bytes=1 << 20) as files:
        files.append(numbers(1, 3), columns_of(Number))
        assert not files.commit(b"3")
        checkpoints = [files.checkpoint]
        assert visible(tmp_path) == []
        assert files.rotate()
        checkpoints.append(files.checkpoint)
        assert checkpoints == [None, b"3"]
        files.append(numbers(4, 5), columns_of(Number))
        files.commit(b"5")
        assert files.stats.records == 3
    with LogFiles(tmp_path, "n", format="parquet", rotate_bytes=1 << 20) as files:
        assert files.checkpoint == b"5"
    assert numbers_in(tmp_path) == [1, 2, 3, 4, 5]


def test_other_columns_finish_the_file_before(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", format="parquet", rotate_s=3600) as files:
        files.append(numbers(1, 2), columns_of(Number))
        assert not files.commit(b"2")
        files.append([Written(Longer(3))], columns_of(Longer))
        assert files.commit(b"3")
        assert files.checkpoint == b"3"
    assert numbers_in(tmp_path) == [1, 2, 3]
    assert len(visible(tmp_path)) == 2


def test_closed_before_a_commit_an_unfinished_file_is_forgotten(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", format="parquet", rotate_s=3600) as files:
        files.append(numbers(1, 2), columns_of(Number))
        files.commit(b"2")
        files.append(numbers(3, 4), columns_of(Number))
    with LogFiles(tmp_path, "n", format="parquet", rotate_s=3600) as files:
        assert files.checkpoint is None
    assert visible(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
