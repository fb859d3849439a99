"""What can be wrong with spools, records and collectors: each is told for what it is, and the rest goes on."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import flipped_spools
import msgspec
import pytest
import trio
import trio.testing
from handle_records import Ends, Flow, Other, Spools, messages, numbers, told

import broker
from broker import Endpoint, events
from broker.errors import JournalBusy, JournalDamaged, JournalMismatch, JournalUnreadable
from broker.journal import TableRow, dump, open_journal
from broker.journaling import Commit, MemoryJournal
from broker.logs.chunks import pack_chunk, read_chunk
from broker.logs.spool import TABLES, Cursor
from broker.logs.wire import Schema
from broker.testing import SimulatedNetwork

pytest_plugins = ["handle_pairs"]  # its fixtures

ROOT = Path(__file__).parent.parent.parent


# -- files -------------------------------------------------------------------------------------------------------------


async def entering(endpoint: Endpoint, path: Path, kind: type[Exception]) -> str:
    """Why a spool cannot be entered; the stream is free afterwards."""
    with pytest.raises(kind) as caught:
        await endpoint.log("flows", Flow, path=path).__aenter__()
    async with endpoint.log("flows", Flow, path=path.with_name("another")) as log:
        assert await log.write(Flow(1)) >= 1
    return str(caught.value)


async def test_a_spool_that_another_process_writes_is_busy(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        assert "has it open already" in await entering(two, tmp_path / "s", JournalBusy)
        await log.write(Flow(1))


async def test_the_spool_of_another_stream_is_refused(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("others", Flow, path=tmp_path / "s"):
        pass
    reason = await entering(alone, tmp_path / "s", JournalMismatch)
    assert "its name is 'others', not 'flows'" in reason
    assert "name another file" in reason


async def test_a_stores_file_is_refused(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.master("flows", path=tmp_path / "s") as store:
        await store.put("k", 1)
    reason = await entering(alone, tmp_path / "s", JournalMismatch)
    assert "its kind is 'store', not 'log'" in reason
    async with alone.master("flows", path=tmp_path / "s") as store:
        assert store["k"] == 1  # nothing was changed


async def test_a_spool_is_refused_as_a_store(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s"):
        pass
    with pytest.raises(JournalMismatch, match="its kind is 'log', not 'store'"):
        await alone.master("flows", path=tmp_path / "s").__aenter__()


async def test_a_spool_of_a_newer_version_says_what_to_do(alone: Endpoint, tmp_path: Path) -> None:
    names = (*TABLES, "indexes")
    open_journal(tmp_path / "s", kind="log", name="flows", role="writer", tables=names).close()
    assert "its tables is ('cursors', 'schemas', 'epochs', 'state', 'indexes'), not" in await entering(
        alone, tmp_path / "s", JournalMismatch
    )


async def test_a_journal_of_a_newer_format_says_what_to_do(
    alone: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s"):
        pass
    monkeypatch.setattr("broker.journal.opening.FORMAT", 0)
    with pytest.raises(JournalMismatch, match=r"its format is 1, .* use the version that made it, or a newer one"):
        await alone.log("flows", Flow, path=tmp_path / "s").__aenter__()


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"", JournalDamaged, "it is empty"),
        (b"text\n" * 3000, JournalMismatch, "it is no journal"),
    ],
    ids=["empty", "text"],
)
async def test_what_is_no_spool_is_refused(
    alone: Endpoint, tmp_path: Path, data: bytes, kind: type[Exception], reason: str
) -> None:
    (tmp_path / "s").write_bytes(data)
    assert reason in await entering(alone, tmp_path / "s", kind)
    assert (tmp_path / "s").read_bytes() == data


async def test_a_place_where_no_spool_can_be_is_refused(alone: Endpoint, tmp_path: Path) -> None:
    assert "directory" in await entering(alone, tmp_path, JournalUnreadable)
    with pytest.raises(JournalUnreadable, match="no such directory"):
        await alone.log("flows", Flow, path=tmp_path / "none" / "s").__aenter__()


async def test_a_truncated_spool_is_refused_and_the_error_tells_how_to_save_what_is_left(
    alone: Endpoint, tmp_path: Path
) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        for number in range(100):
            await log.write(Flow(number, "x" * 500))
    os.truncate(tmp_path / "s", 40_000)
    assert "broker journal rescue" in await entering(alone, tmp_path / "s", JournalDamaged)


def changed(journal: MemoryJournal, rows: dict[int, dict[bytes, bytes | None]]) -> None:
    journal.carry_out(Commit(journal.position, [], rows, []))


@pytest.mark.parametrize("table", range(4), ids=TABLES)
async def test_a_row_that_is_none_of_a_spools_is_told_as_damage(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], spools: Spools, tmp_path: Path, table: int
) -> None:
    one, _, _ = quick
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["x"]) as log:
        await log.write(Flow(1))
    journal = spools.journals[str(tmp_path / "s")]
    (key, _), *_ = journal.rows(table)
    changed(journal, {table: {key: b"\xc1"}})
    with pytest.raises(JournalDamaged):
        await one.log("flows", Flow, path=tmp_path / "s").__aenter__()


# -- chunks that are damaged -------------------------------------------------------------------------------------------


def damage(journal: MemoryJournal, first: int) -> int:
    """Flip a bit in the chunk of that record; returns how many records it had."""
    for index, record in enumerate(journal._log):
        chunk = read_chunk(record.body)
        if chunk.first <= first <= chunk.last:
            body = bytearray(record.body)
            body[len(body) // 2] ^= 4
            journal._log[index] = record._replace(body=bytes(body))
            return chunk.records
    raise AssertionError("there is none")


@pytest.mark.parametrize("which", [1, 11, 21, 51], ids=["first", "second", "middle", "last"])
async def test_a_damaged_chunk_is_counted_as_lost_and_the_others_come(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], spools: Spools, tmp_path: Path, which: int
) -> None:
    one, two, _ = quick
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["x"]) as log:
        for start in range(1, 61, 10):
            await log.write_all(map(Flow, range(start, start + 10)))
    assert damage(spools.journals[str(tmp_path / "s")], which) == 10
    async with (
        one.status() as status,
        two.status() as theirs,
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x") as records,
    ):
        assert await log.write(Flow(61)) == 61
        found = await messages(records, 51)
        gone = range(which, which + 10)
        assert [message.record.n for message in found] == [n for n in range(1, 62) if n not in gone]
        assert [(message.number, message.lost_before) for message in found if message.lost_before] == [(which + 10, 10)]
        lost = await told(theirs, broker.RecordsLost)
        assert (lost.stream, lost.writer, lost.count) == ("flows", "a", 10)
        dropped = await told(status, broker.RecordsDropped)
        assert (dropped.count, dropped.collectors) == (10, ("x",))
        assert "could not be read" in dropped.reason
        assert log.info().collectors[0].lost == 10


def test_whichever_bit_of_a_spool_flips_no_wrong_record_comes(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    trio.run(flipped_spools.fill, whole)
    rows = [part for part in dump(whole) if isinstance(part, TableRow) and part.key == b"x"]
    floor = msgspec.msgpack.decode(rows[0].value, type=Cursor).floor
    chance = random.Random(1)
    size = whole.stat().st_size
    flips = [chance.randrange(size * 8) for _ in range(30)]
    # In what holds pages together, where LMDB looks.
    flips += [(chance.randrange(size // 4096) * 4096 + chance.randrange(48)) * 8 + chance.randrange(8) for _ in flips]
    outcomes: Counter[str] = Counter()
    lines: list[str] = []
    while len(lines) < len(flips):
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("flipped_spools.py")), whole, tmp_path / "s", str(floor + 1)],
            input="".join(f"{flip}\n" for flip in flips[len(lines) :]),
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines += done.stdout.splitlines()
        if len(lines) < len(flips):  # LMDB followed what is damaged, out of the file
            assert done.returncode < 0, (flips[len(lines)], done.stderr)
            lines.append("killed")
    outcomes.update(line.split()[0] for line in lines)
    assert outcomes["wrong:"] == 0, [pair for pair in zip(flips, lines, strict=True) if pair[1].startswith("wrong")]
    assert outcomes["all"] + outcomes["lost"] > 0.8 * len(flips)
    assert outcomes["killed"] <= 2
    for line in lines:
        if line.startswith("refused"):
            assert "Journal" in line or "LogError" in line, line


# -- records that do not fit -------------------------------------------------------------------------------------------


def forged(journal: MemoryJournal, first: int, rows: list[list[Any]]) -> None:
    """Put fields of other types in the place of a chunk's records."""
    for index, record in enumerate(journal._log):
        chunk = read_chunk(record.body)
        if chunk.first == first:
            assert chunk.records == len(rows)
            parts = [msgspec.msgpack.encode([chunk.time_ns, *row]) for row in rows]
            body = pack_chunk(first, chunk.time_ns, chunk.schema, chunk.epoch, chunk.mark, parts)
            journal._log[index] = record._replace(body=body)
            return
    raise AssertionError("there is none")


async def test_a_record_that_misfits_its_class_is_told_and_passed_over(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], spools: Spools, tmp_path: Path
) -> None:
    one, two, _ = quick
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["x"]) as log:
        await log.write_all([Flow(1), Flow(2), Flow(3), Flow(4)])
    forged(spools.journals[str(tmp_path / "s")], 1, [[1, "a"], ["two", "b"], [3, "c"], [4, None]])
    async with (
        two.status() as status,
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x") as records,
    ):
        await log.write(Flow(5))
        assert [(message.number, message.record.n) for message in await messages(records, 3)] == [
            (1, 1),
            (3, 3),
            (5, 5),
        ]
        first, second = await told(status, broker.RecordMisfitted), await told(status, broker.RecordMisfitted)
        assert (first.stream, first.writer, first.number, first.record) == ("flows", "a", 2, "handles.Flow")
        assert (first.field, first.expected) == ("n", "int")
        assert (second.number, second.field) == (4, "note")
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()
        await log.collected("x")  # those that misfit count as acknowledged


async def test_a_chunk_of_nothing_but_misfits_holds_nobody_up(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], spools: Spools, tmp_path: Path
) -> None:
    one, two, _ = quick
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["x"]) as log:
        await log.write_all([Flow(1), Flow(2)])
    forged(spools.journals[str(tmp_path / "s")], 1, [["one", ""], ["two", ""]])
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", name="x") as records:
        await log.write(Flow(3))
        assert await numbers(records, 1) == [3]


# -- collectors that do not fit ----------------------------------------------------------------------------------------


async def test_a_name_in_use_for_other_records_is_refused(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], tmp_path: Path
) -> None:
    one, two, _ = quick
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write(Flow(1))
        async with two.collect("flows", Flow, name="x") as records:
            await numbers(records, 1)
        async with (
            two.status() as status,
            two.collect("flows", RENAMED, name="x") as records,
            two.collect("flows", RENAMED, name="y") as fits,
        ):
            refused = await told(status, broker.CollectorRefused)
            assert (refused.stream, refused.name, refused.writer) == ("flows", "x", "a")
            assert "in use for other records" in refused.reason
            assert "forget" in refused.reason
            assert records.refused == {"a": refused.reason}
            assert fits.refused == {}


@broker.event(name="handles.Renamed")
class RENAMED:
    number: int


async def test_a_collector_that_never_acknowledges_is_told_of_at_both_ends(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], tmp_path: Path
) -> None:
    one, two, _ = quick
    async with (
        one.status() as status,
        two.status() as theirs,
        one.log("flows", Flow, path=tmp_path / "s", limit_bytes=1 << 20) as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
    ):
        await log.write_all([Flow(1), Flow(2)])
        begun = trio.current_time()
        kept = await messages(records, 2)
        here, there = await told(status, broker.CollectorStalled), await told(theirs, broker.CollectorStalled)
        assert 55 < trio.current_time() - begun < 80
        assert (here.stream, here.name, here.peer, here.in_hand) == ("flows", "x", "b", 2)
        assert (there.stream, there.name, there.peer, there.in_hand) == ("flows", "x", "a", 2)
        while log.info().bytes < 1 << 20:
            await log.write(Flow(3, "x" * 50_000))
        with trio.move_on_after(100) as scope:
            await log.write(Flow(4))
        assert scope.cancelled_caught  # the spool is full, and nothing is lost
        records.acknowledge(kept[1], through=True)
        for _ in range(log.info().last - 2):
            records.acknowledge(await records.receive())
        with trio.fail_after(30):
            await log.write(Flow(5))


async def test_with_drop_oldest_a_collector_that_never_acknowledges_loses_records(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], tmp_path: Path
) -> None:
    one, two, _ = quick
    async with (
        one.status() as status,
        one.log("flows", Flow, path=tmp_path / "s", limit_bytes=1 << 20, overflow="drop_oldest") as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
    ):
        await log.write(Flow(1))
        held = await records.receive()
        for number in range(2, 202):  # more than may be on its way to a collector
            await log.write(Flow(number, "x" * 50_000))
        dropped = await told(status, broker.RecordsDropped)
        assert dropped.stream == "flows"
        assert log.info().bytes <= 1 << 20
        assert log.info().first > 150
        records.acknowledge(held)  # it has been dropped meanwhile: nothing comes of it
        last = 0
        while last < 201:
            message = await records.receive()
            records.acknowledge(message)
            assert message.number == last + 1 + message.lost_before or last == 0
            last = message.number
        await records.confirmed()
        assert log.info().collectors[0].acknowledged == 201


async def test_records_of_a_class_that_is_not_known_come_as_events(
    autojump_clock: trio.testing.MockClock, quick: tuple[Endpoint, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = quick
    async with one.log("others", Other, path=tmp_path / "s") as log, two.collect("others", name="x") as records:
        known = events.decoder_for
        monkeypatch.setattr(events, "decoder_for", lambda name: known(f"not.{name}"))
        await log.write(Other(1))
        message = await records.receive()
        assert message.record == broker.Event("not.handles.Other", (1,))
        assert [column.name for column in message.columns] == ["n"]


def test_a_schema_of_a_thousand_columns_is_told_apart_from_one_that_is_too_large() -> None:
    from broker.log_records import Column
    from broker.logs import wire

    columns = tuple(Column(f"c{number}", "int") for number in range(1000))
    assert wire.decode(Schema, wire.encode(Schema("r", columns))) == Schema("r", columns)
    with pytest.raises(broker.Malformed):
        wire.decode(Schema, wire.encode(Schema("r", (*columns, columns[0]))))


async def test_an_endpoint_goes_on_when_a_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("text")
    async with (
        Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint,
        endpoint.log("others", Other, path=tmp_path / "s") as log,
    ):
        with pytest.raises(JournalMismatch):
            await endpoint.log("flows", Flow, path=tmp_path / "bad").__aenter__()
        assert await log.write(Other(1)) == 1
