"""Rescuing a damaged spool: what is intact is saved, what was never written is not, and everybody goes on."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from struct import Struct as Layout
from typing import NamedTuple

import msgspec
import pytest
import trio
from journals import commit, opened

import broker
from broker import Endpoint
from broker.errors import JournalBusy, JournalDamaged, JournalMismatch, JournalUnreadable
from broker.journal import RescueReport, TableRow, dump, open_journal, rescue, verify
from broker.journal.pages import number_and_flags
from broker.journaling import Record
from broker.logs.chunks import read_chunk
from broker.logs.spool import TABLES, Cursor
from broker.testing import SimulatedNetwork

ROOT = Path(__file__).parent.parent.parent
PAGE = 4096
LEAF, OVERFLOW = 2, 4
NODE = Layout("=HHHH")


@broker.event(name="rescue.Flow")
class Flow:
    n: int
    note: str = ""


class Spool(NamedTuple):
    """A spool of 5,000 records: what its file is, and the entries of its log, by the number of their first record."""

    data: bytes
    entries: dict[int, bytes]  # checksum and body
    places: dict[int, list[tuple[int, bytes]]]  # where they are, each with what leads to it
    rows: list[TableRow]
    floor: int

    @property
    def last(self) -> int:
        return max(read_chunk(entry[8:]).last for entry in self.entries.values())


async def _fill(path: Path) -> None:
    async with Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint:
        chance = random.Random(1)
        number = 0
        for life in range(3):
            async with (
                endpoint.log("flows", Flow, path=path, durable=False, collectors=["archive"]) as log,
                endpoint.collect("flows", name="x") as one,
                endpoint.collect("flows", name="archive") as two,
            ):
                while number < (1500, 3000, 5000)[life]:
                    count = chance.choice([1, 3, 10, 30])
                    await log.write_all(
                        Flow(number + index + 1, "x" * chance.choice([0, 10, 200, 900])) for index in range(count)
                    )
                    number += count
                    await log.flush()
                for records in (one, two):
                    for _ in range(400):
                        await records.receive()
        async with endpoint.log("flows", Flow, path=path) as log:
            await log.write(Flow(number + 1))


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    path = tmp_path_factory.mktemp("spool") / "s"
    trio.run(_fill, path)
    parts = [*dump(path)]
    records = [part for part in parts if isinstance(part, Record)]
    rows = [part for part in parts if isinstance(part, TableRow)]
    entries = {read_chunk(record.body).first: record.checksum + record.body for record in records}
    assert min(entries) > 1  # some were trimmed
    report = verify(path)
    assert report.ok
    assert report.pages * PAGE < path.stat().st_size  # some pages hold what was
    floors = {msgspec.msgpack.decode(row.value, type=Cursor).floor for row in rows if row.table == "cursors"}
    assert floors == {1200}
    data = path.read_bytes()
    places = {
        read_chunk(record.body).first: places_of(
            record.sequence.to_bytes(8, "big"), record.checksum + record.body, data
        )
        for record in records
    }
    assert all(places.values())
    return Spool(data, entries, places, rows, floor=1200)


def places_of(key: bytes, entry: bytes, data: bytes) -> list[tuple[int, bytes]]:
    """Where an entry of the log stands in a file, from what LMDB has before it on: its key, or a page's head."""
    found: list[tuple[int, bytes]] = []
    inline = NODE.pack(len(entry), 0, 0, len(key)) + key
    at = data.find(entry)
    while at >= 0:
        head = data[at - 16 : at]
        if head == inline or (at % PAGE == 16 and number_and_flags(head)[:2] == (at // PAGE, OVERFLOW)):
            found.append((at - 16, head + entry))
        at = data.find(entry, at + 1)
    return found


def intact(spool: Spool, data: bytes | bytearray) -> set[int]:
    """The numbers of the records whose chunks are somewhere in these bytes."""
    found: set[int] = set()
    for first, entry in spool.entries.items():
        if any(data[at : at + len(part)] == part for at, part in spool.places[first]):
            found |= set(range(first, read_chunk(entry[8:]).last + 1))
    return found


def saved(path: Path) -> dict[int, bytes]:
    """The chunks of a spool, by the number of their first record."""
    assert verify(path).ok
    return {read_chunk(part.body).first: part.body for part in dump(path) if isinstance(part, Record)}


def rescued(spool: Spool, data: bytes | bytearray, directory: Path) -> tuple[RescueReport, dict[int, bytes]]:
    """Rescue these bytes; what is so in any case is checked."""
    path, target = directory / "damaged", directory / "new"
    path.write_bytes(data)
    target.unlink(missing_ok=True)
    report = rescue(path, target, stream="flows")
    assert path.read_bytes() == data
    chunks = saved(target)
    numbers: set[int] = set()
    for first, body in chunks.items():
        if first in spool.entries:
            assert body == spool.entries[first][8:]
        else:
            # It was trimmed, and what says so is lost; it is what was written all the same.
            assert report.problems
        numbers |= set(range(first, read_chunk(body).last + 1))
    missing = {number for first, last in report.missing for number in range(first, last + 1)}
    assert not missing & numbers
    assert report.records == len(numbers)
    assert intact(spool, data) <= numbers
    assert set(range(spool.floor + 1, max(numbers, default=0))) <= numbers | missing
    return report, chunks


def test_a_spool_that_is_whole_is_copied(spool: Spool, tmp_path: Path) -> None:
    report, chunks = rescued(spool, spool.data, tmp_path)
    assert report.ok
    assert (report.stream, report.collectors, report.missing) == ("flows", ("archive", "x"), ())
    assert chunks == {first: entry[8:] for first, entry in spool.entries.items()}
    assert [part for part in dump(tmp_path / "new") if isinstance(part, TableRow)] == spool.rows
    old, new = verify(tmp_path / "damaged").position, verify(tmp_path / "new").position
    assert old is not None
    assert new is not None
    assert (old.journal, old.epoch) == (new.journal, new.epoch)
    assert {path.name for path in tmp_path.iterdir()} <= {"damaged", "damaged-lock", "new", "new-lock"}


def test_a_rescued_spool_can_be_rescued_again(spool: Spool, tmp_path: Path) -> None:
    rescued(spool, spool.data, tmp_path)
    report, chunks = rescued(spool, (tmp_path / "new").read_bytes(), tmp_path)
    assert report.ok
    assert len(chunks) == len(spool.entries)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_everything_whose_pages_are_intact_is_saved(spool: Spool, tmp_path: Path, share: float) -> None:
    chance = random.Random(f"pages {share}")
    pages = len(spool.data) // PAGE
    for _ in range(3):
        data = bytearray(spool.data)
        for number in chance.sample(range(pages), max(1, round(pages * share))):
            fill = chance.choice([bytes(PAGE), chance.randbytes(PAGE), spool.data[:PAGE]])
            data[number * PAGE : (number + 1) * PAGE] = fill
        rescued(spool, data, tmp_path)


def test_everything_that_no_bit_flip_has_hit_is_saved(spool: Spool, tmp_path: Path) -> None:
    chance = random.Random(5)
    for flips in (1, 20, 400):
        data = bytearray(spool.data)
        for _ in range(flips):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path, target = tmp_path / "damaged", tmp_path / "new"
        path.write_bytes(data)
        target.unlink(missing_ok=True)
        report = rescue(path, target, stream="flows")
        chunks = saved(target)
        assert all(body == spool.entries[first][8:] for first, body in chunks.items() if first in spool.entries)
        # A flip in the few bytes that lead to a chunk (not in itself) costs that one.
        assert report.records >= len(intact(spool, data)) - 100 * flips / 10
        if flips == 1:
            assert report.records >= 3700


def test_without_both_first_pages_all_records_are_saved(spool: Spool, tmp_path: Path) -> None:
    report, chunks = rescued(spool, bytes(2 * PAGE) + spool.data[2 * PAGE :], tmp_path)
    assert {first: entry[8:] for first, entry in spool.entries.items()}.items() <= chunks.items()
    assert report.collectors == ("archive", "x")
    assert report.missing == ()
    assert report.problems  # which cursors are the newest is no longer certain


def test_without_any_pages_head_all_records_are_saved(spool: Spool, tmp_path: Path) -> None:
    """Where each page's number and its table of rows are lost, the rows themselves still prove what they are."""
    data = bytearray(spool.data)
    for start in range(2 * PAGE, len(data), PAGE):
        if number_and_flags(bytes(data[start : start + 16]))[:2] == (start // PAGE, LEAF):
            data[start : start + 16] = bytes(16)
    report, chunks = rescued(spool, data, tmp_path)
    assert {first: entry[8:] for first, entry in spool.entries.items()}.items() <= chunks.items()
    assert report.missing == ()


def test_half_a_file_gives_half_of_the_records(spool: Spool, tmp_path: Path) -> None:
    report, _ = rescued(spool, spool.data[: len(spool.data) // 2 + 1000], tmp_path)
    assert report.records > 500
    assert report.missing


def test_what_a_collector_has_had_is_not_given_again(spool: Spool, tmp_path: Path) -> None:
    """Its cursor is saved with the records, so it does not matter which of them come back."""
    _, chunks = rescued(spool, bytes(2 * PAGE) + spool.data[2 * PAGE :], tmp_path)
    assert min(chunks) <= min(spool.entries)

    async def main() -> list[int]:
        async with (
            Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint,
            endpoint.log("flows", Flow, path=tmp_path / "new") as log,
            endpoint.collect("flows", name="x") as records,
        ):
            assert await log.write(Flow(0)) == spool.last + 1
            assert log.info().epoch == 5
            found = []
            async for message in records:
                assert message.number == (message.record.n or spool.last + 1)
                found.append(message.number)
                if message.record.n == 0:
                    break
            return found

    assert trio.run(main) == list(range(spool.floor + 1, spool.last + 2))


def test_what_was_being_committed_in_a_crash_does_not_come_back_in_place_of_what_came_later(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def write(*numbers: int) -> None:
        async with (
            Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint,
            endpoint.log("flows", Flow, path=path) as log,
        ):
            for number in numbers:
                await log.write(Flow(number))

    async def write_and_crash() -> bytes:
        async with (
            Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint,
            endpoint.log("flows", Flow, path=path) as log,
        ):
            await log.write_all([Flow(1), Flow(2), Flow(3)])
            before = path.read_bytes()[: 2 * PAGE]
            await log.write(Flow(104))
            return before

    metas = trio.run(write_and_crash)
    assert metas != path.read_bytes()[: 2 * PAGE]
    with path.open("r+b") as file:  # as if the last had not been committed
        file.write(metas)
    trio.run(write, 204)
    report = rescue(path, tmp_path / "new")
    assert (report.records, report.missing) == (4, ())

    async def read() -> list[int]:
        async with (
            Endpoint("a", network=SimulatedNetwork(seed=1)) as endpoint,
            endpoint.log("flows", Flow, path=tmp_path / "new"),
            endpoint.collect("flows", name="x") as records,
        ):
            return [(await records.receive()).record.n for _ in range(4)]

    assert trio.run(read) == [1, 2, 3, 204]


# -- what cannot be rescued --------------------------------------------------------------------------------------------


@pytest.fixture
def whole(spool: Spool, tmp_path: Path) -> Path:
    path = tmp_path / "s"
    path.write_bytes(spool.data)
    return path


def test_a_spool_in_use_is_not_rescued(whole: Path) -> None:
    journal = open_journal(whole, kind="log", name="flows", role="writer", tables=TABLES)
    with pytest.raises(JournalBusy, match="has it open"):
        rescue(whole, f"{whole}.new")
    journal.close()
    assert not Path(f"{whole}.new").exists()


def test_what_is_there_already_is_not_written_over(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("precious")
    with pytest.raises(JournalMismatch, match="there already"):
        rescue(whole, tmp_path / "new")
    assert (tmp_path / "new").read_text() == "precious"


def test_a_store_is_not_rescued(tmp_path: Path) -> None:
    journal = opened(tmp_path / "s")
    commit(journal, b"record")
    journal.close()
    with pytest.raises(JournalMismatch, match="the store 'hosts': only log streams' spools are rescued"):
        rescue(tmp_path / "s", tmp_path / "new")


@pytest.mark.parametrize("data", [b"", b"text\n" * 5000, bytes(100_000)], ids=["empty", "text", "zeros"])
def test_what_is_no_spool_is_not_rescued(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(JournalDamaged, match="nothing of a log stream's spool was found"):
        rescue(tmp_path / "s", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_not_there_is_not_rescued(tmp_path: Path) -> None:
    with pytest.raises(JournalUnreadable, match="no such file"):
        rescue(tmp_path / "s", tmp_path / "new")
    with pytest.raises(JournalUnreadable, match="directory"):
        rescue(tmp_path, tmp_path / "new")


def test_another_stream_than_was_named_is_not_rescued(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalMismatch, match="the spool of 'flows', not of 'dns'"):
        rescue(whole, tmp_path / "new", stream="dns")


def test_a_spool_that_does_not_say_what_it_is_needs_its_name(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(spool.data.replace(b"broker journal", b"broken journal"))
    with pytest.raises(JournalDamaged, match="--stream"):
        rescue(path, tmp_path / "new")
    report = rescue(path, tmp_path / "new", stream="flows")
    assert report.stream == "flows"
    assert len(saved(tmp_path / "new")) == len(spool.entries)


# -- the command -------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "broker", "journal", "rescue", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_command_tells_what_was_saved_and_what_is_missing(spool: Spool, tmp_path: Path) -> None:
    path, new = tmp_path / "s", tmp_path / "new"
    lost = sorted(spool.entries)[50]
    entry = spool.entries[lost]
    at = spool.data.index(entry) + len(entry) // 2
    path.write_bytes(spool.data)
    shutil.copy(path, tmp_path / "t")
    data = bytearray(spool.data)
    while entry in data:  # pages that are no longer used have it, too
        at = data.index(entry) + len(entry) // 2
        data[at] ^= 1
    path.write_bytes(data)
    code, out, _ = run(str(path), str(new))
    report = json.loads(out)
    chunk = read_chunk(entry[8:])
    assert code == 1
    assert report["missing"] == [[chunk.first, chunk.last]]
    assert report["collectors"] == ["archive", "x"]
    assert report["records"] == spool.last - min(spool.entries) + 1 - chunk.records
    code, out, error = run(str(path), str(new))
    assert (code, out) == (2, "")
    assert "there already" in error
    code, out, _ = run(str(tmp_path / "t"), str(tmp_path / "u"))
    assert code == 0
    assert json.loads(out)["missing"] == []


def test_numbers_follow_each_other_in_what_the_tests_rescue(spool: Spool) -> None:
    chunks = [read_chunk(entry[8:]) for _, entry in sorted(spool.entries.items())]
    assert all(one.last + 1 == other.first for one, other in pairwise(chunks))
    assert spool.last > 5000
