"""``broker journal``: verify, dump and rescue, with their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import broker, finished, in_terminal

import broker as library
from broker.journal import open_journal
from broker.journaling import Commit, Position, Record, chain
from broker.values import pack


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a record and two rows, of which one is no value."""
    path = tmp_path / "hosts.lmdb"
    journal = open_journal(path, kind="store", name="hosts", role="master", tables=("entries",), id_=bytes(16))
    body = pack(["put", "web-01", 7])
    checksum = chain(bytes(8), body)
    rows: dict[bytes, bytes | None] = {pack("web-01"): pack({"load": 0.5}), b"\xc1": b"\xc1\xff"}
    journal.carry_out(Commit(Position(bytes(16), 2, 1, checksum), [Record(1, checksum, body)], {0: rows}, []))
    journal.close()
    return path


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\xc1\xff", b"\xc1\xfe"))


async def test_verify_tells_what_it_checked(path: Path) -> None:
    code, output, errors = await finished(*broker("journal", "verify", str(path)))
    assert (code, errors) == (0, "")
    report = json.loads(output)
    assert report.pop("pages") > 0
    position = report.pop("position")
    assert position.startswith("00" * 16 + ":2:1:")
    expected = {"kind": "store", "name": "hosts", "role": "master", "first": 1, "records": 1, "rows": 2, "problems": []}
    assert report == {"path": str(path), **expected}


async def test_verify_in_a_terminal_is_in_words(path: Path) -> None:
    async with in_terminal(*broker("journal", "verify", str(path)), columns=200) as program:
        assert "journal of the store 'hosts' (master)" in await program.out.next_with("journal of")
        assert "checked 1 record, 2 rows" in await program.out.next_with("checked")
        await program.out.next_with("no problem found")
        assert await program.end() == 0


async def test_verify_tells_problems_and_fails(path: Path) -> None:
    spoil(path)
    code, output, errors = await finished(*broker("journal", "verify", str(path)))
    assert (code, errors) == (1, "")
    assert json.loads(output)["problems"] == ["table entries: the row of the key c1 is not what was written"]


@pytest.mark.parametrize("command", ["verify", "dump"])
async def test_what_cannot_be_read_is_wrong_input(tmp_path: Path, command: str) -> None:
    (tmp_path / "text").write_text("text " * 1000)
    for name, told in (("none", "there is no such file"), ("text", "it is no journal")):
        code, output, errors = await finished(*broker("journal", command, str(tmp_path / name)))
        assert (code, output) == (2, "")
        assert errors.count("\n") == 0
        assert errors.startswith(f"broker: {tmp_path / name}: {told}")


async def test_dump_is_one_json_object_a_line(path: Path) -> None:
    code, output, errors = await finished(*broker("journal", "dump", str(path)))
    assert (code, errors) == (0, "")
    head, record, *rows = map(json.loads, output.splitlines())
    assert (head["journal"], head["kind"], head["format"], head["first"]) == ("hosts", "store", 1, 1)
    assert record == {"record": 1, "checksum": record["checksum"], "body": ["put", "web-01", 7]}
    assert rows == [
        {"row": "entries", "key": "web-01", "value": {"load": 0.5}},
        {"row": "entries", "key_hex": "c1", "value_hex": "c1ff"},
    ]


async def test_dump_of_a_part(path: Path) -> None:
    _, log, _ = await finished(*broker("journal", "dump", str(path), "--log"))
    assert [next(iter(json.loads(line))) for line in log.splitlines()] == ["journal", "record"]
    _, rows, _ = await finished(*broker("journal", "dump", str(path), "--rows"))
    assert [next(iter(json.loads(line))) for line in rows.splitlines()] == ["journal", "row", "row"]
    code, _, errors = await finished(*broker("journal", "dump", str(path), "--rows", "--log"))
    assert code == 2
    assert "exclude each other" in errors


async def test_dump_of_a_damaged_journal_fails(path: Path) -> None:
    spoil(path)
    code, _, errors = await finished(*broker("journal", "dump", str(path)))
    assert code == 1
    assert "broker journal verify finds all" in errors


@library.event(name="cli.Rescued")
class Rescued:
    n: int


async def test_rescue_tells_a_person_what_was_saved(tmp_path: Path) -> None:
    async with (
        library.Endpoint("a") as endpoint,
        endpoint.log("flows", Rescued, path=tmp_path / "s", collectors=["archive"]) as log,
    ):
        for number in range(3):
            await log.write(Rescued(number))
    async with in_terminal(
        *broker("journal", "rescue", str(tmp_path / "s"), str(tmp_path / "t")), columns=200
    ) as program:
        assert "saved 3 records of the log stream 'flows'" in await program.out.next_with("saved")
        await program.out.next_with("collectors that go on where they were: archive")
        await program.out.next_with("nothing is missing")
        assert await program.end() == 0


async def test_a_journal_that_is_no_spool_is_not_rescued(path: Path) -> None:
    code, out, error = await finished(*broker("journal", "rescue", str(path), f"{path}.new"))
    assert (code, out) == (2, "")
    assert "only log streams' spools are rescued" in error
