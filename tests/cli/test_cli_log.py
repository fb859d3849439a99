"""``broker log tail`` and ``info``: records and spools of an agent that is here, shown by processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from cli_logs import Connection, agent, connections
from cli_stores import plain
from processes import broker as command
from processes import finished, in_terminal, started

import broker
from broker.cli.app import run_app
from broker.journal import open_journal


async def test_tail_shows_what_is_there_and_what_comes_as_json_in_order(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all(connections(1, 3))
        async with started(*command("log", "tail", "conn", "--connect", mesh.address, "--since", "earliest")) as tail:
            first = json.loads(await tail.out.next())
            assert first.pop("time").startswith("20")
            position = broker.Position.parse(first.pop("position"))
            assert (position.journal, position.sequence) == (mesh.log.info().journal, 1)
            assert first == {
                "stream": "conn",
                "origin": "agent",
                "number": 1,
                "record": "cli conn",
                "fields": {"host": "web-01", "id.orig_h": "192.0.2.1", "used": 0.01},
            }
            assert [json.loads(await tail.out.next())["number"] for _ in range(2)] == [2, 3]
            await mesh.log.write_all(connections(4, 5))
            assert [json.loads(await tail.out.next())["number"] for _ in range(2)] == [4, 5]
            tail.interrupt()
            assert await tail.end() == 130
            assert (await tail.err.rest())[-1] == "5 records of 'conn' shown"
        assert mesh.log.info().collectors == ()


async def test_tail_under_a_name_goes_on_behind_what_it_has_shown(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all(connections(1, 5))
        shown = []
        for count in ("2", "3"):
            arguments = ("tail", "conn", "--connect", mesh.address, "--name", "look", "-n", count)
            code, output, errors = await finished(*command("log", *arguments))
            assert code == 0, errors
            shown += [json.loads(line)["number"] for line in output.splitlines()]
        assert shown == [1, 2, 3, 4, 5]
        await mesh.log.collected("look")


async def test_tail_begins_behind_a_position_or_at_a_time(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all(connections(1, 3))
        position = str(mesh.log.position)
        await mesh.log.write(Connection("later", "192.0.2.2"))
        for since, first in ((position, 4), ("1h", 1)):
            arguments = ("tail", "conn", "--connect", mesh.address, "-n", "1", "--since", since)
            code, output, errors = await finished(*command("log", *arguments))
            assert code == 0, errors
            assert json.loads(output)["number"] == first


async def test_tail_shows_writers_that_come_later_and_records_of_the_plain_topic(tmp_path: Path) -> None:
    async with started(*command("log", "tail", "conn", "--listen", "tcp://127.0.0.1:0", "--since", "earliest")) as tail:
        address = await tail.listening()
        async with agent(tmp_path) as mesh, broker.Endpoint("loose") as loose:
            await loose.peer(address)
            await loose.subscribers("log/conn")
            async with loose.log("conn", Connection) as topic:
                await topic.write(Connection("volatile", "192.0.2.9"))
            await loose.publish("log/connections", Connection("of another stream", ""))
            line = json.loads(await tail.out.next())
            assert (line["origin"], line["record"]) == ("loose", "cli conn")
            assert line["fields"] == {"arg1": "volatile", "arg2": "192.0.2.9", "arg3": 0.5}
            assert "number" not in line
            assert "position" not in line
            await mesh.log.write_all(connections(1, 2))
            await mesh.endpoint.peer(address)
            assert [json.loads(await tail.out.next())["number"] for _ in range(2)] == [1, 2]
            await loose.publish("log/conn", Connection("last", ""))
            assert json.loads(await tail.out.next())["fields"]["arg1"] == "last"


async def test_tail_as_tsv_has_the_header_lines_of_zeek_once(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all([Connection("web\t01", ""), *connections(2, 2)])
        arguments = ("tail", "conn", "--connect", mesh.address, "--since", "earliest", "-n", "2", "--tsv")
        code, output, errors = await finished(*command("log", *arguments))
    assert code == 0, errors
    lines = output.splitlines()
    assert lines[0] == r"#separator \x09"
    assert lines[4] == "#path\tconn"
    assert lines[6:8] == ["#fields\tts\thost\tid.orig_h\tused", "#types\ttime\tstring\tstring\tdouble"]
    assert [line.split("\t")[1:] for line in lines[8:10]] == [
        [r"web\x0901", "(empty)", "0.5"],
        ["web-02", "192.0.2.1", "0.02"],
    ]
    assert [line.partition("\t")[0] for line in lines[10:]] == ["#close"]


async def test_tail_in_a_terminal_is_a_table_that_fits_and_moves_no_cursor(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all([Connection("\x1b[31mred", "192.0.2.1"), *connections(2, 2)])
        arguments = ("tail", "conn", "--connect", mesh.address, "--since", "earliest", "-n", "2")
        async with in_terminal(*command("log", *arguments), columns=90) as tail:
            header = plain(await tail.out.next_with("id.orig_h"))
            assert header.split() == ["time", "origin", "host", "id.orig_h", "used"]
            rows = [plain(await tail.out.next()) for _ in range(2)]
            assert rows[0].split()[1:] == ["agent", r"\x1b[31mred", "192.0.2.1", "0.5"]
            assert all(len(row) <= 90 for row in rows)
            assert await tail.end() == 0
        async with in_terminal(*command("log", *arguments), columns=36) as tail:
            row = plain(await tail.out.next_with("host=web-0"))
            assert len(row) <= 36


async def test_info_tells_the_streams_of_the_mesh_and_how_much_each_writer_has_written(tmp_path: Path) -> None:
    async with agent(tmp_path, "one") as one, agent(tmp_path, "two") as two:
        await two.endpoint.peer(one.address)
        await one.log.write_all(connections(1, 3))
        with trio.fail_after(5):
            while len(one.endpoint.streams().get("conn", ())) < 2:
                await trio.lowlevel.checkpoint()  # no event tells of it
        code, output, errors = await finished(*command("log", "info", "--connect", one.address))
        assert code == 0, errors
        assert json.loads(output) == {
            "stream": "conn",
            "writers": [
                {"writer": "one", "last": 3, "journal": one.log.info().journal.hex()},
                {"writer": "two", "last": 0, "journal": two.log.info().journal.hex()},
            ],
        }
        async with in_terminal(*command("log", "info", "conn", "--connect", one.address)) as program:
            assert (await program.out.next_with("one")).split()[-2:] == ["one", "3"]
            assert await program.end() == 0


async def test_info_looks_into_a_spool_in_use_and_out_of_it(tmp_path: Path) -> None:
    async with agent(tmp_path, collectors=("archive",)) as mesh:
        await mesh.log.write_all(connections(1, 3))
        async with mesh.endpoint.collect("conn", Connection, name="archive", acknowledge="explicit") as records:
            records.acknowledge(await records.receive())
            await records.confirmed()
        in_use = await finished(*command("log", "info", str(mesh.spool)))
        journal = mesh.log.info().journal.hex()
    after = await finished(*command("log", "info", str(mesh.spool)))
    forms = []
    for code, output, errors in (in_use, after):
        assert code == 0, errors
        forms.append(json.loads(output))
    assert [form["in_use"] for form in forms] == [True, False]
    form = forms[0]
    assert (form["stream"], form["journal"], form["records"], form["last"]) == ("conn", journal, 3, 3)
    assert (form["damaged_chunks"], form["problems"], form["dropped"]) == (0, [], 0)
    (collector,) = form["collectors"]
    assert (collector["name"], collector["acknowledged"], collector["behind"]) == ("archive", 1, 2)
    assert form["schemas"] == [{"record": "cli conn", "columns": ["host:str", "id.orig_h:str", "used:float"]}]
    assert [epoch["first"] for epoch in form["epochs"]] == [1]
    assert form["oldest"] <= form["latest"]
    async with in_terminal(*command("log", "info", str(mesh.spool)), columns=200) as program:
        await program.out.next_with("by nobody")
        await program.out.next_with("has all up to 1, lacks 2 records")
        assert await program.end() == 0


async def test_info_and_verify_count_chunks_of_a_spool_that_a_bit_flip_spoilt(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all(connections(1, 2))
        await mesh.log.write(Connection("spoilt", "192.0.2.1"))
        await mesh.log.write(Connection("web-04", "192.0.2.1"))
    code, output, _ = await finished(*command("journal", "verify", str(mesh.spool)))
    assert (code, json.loads(output)["kind"], json.loads(output)["records"]) == (0, "log", 3)
    data = mesh.spool.read_bytes()
    assert b"spoilt" in data
    mesh.spool.write_bytes(data.replace(b"spoilt", b"spoilT"))
    code, output, _ = await finished(*command("log", "info", str(mesh.spool)))
    form = json.loads(output)
    assert (code, form["chunks"], form["damaged_chunks"], form["damaged_records"], form["records"]) == (1, 3, 1, 1, 3)
    code, output, _ = await finished(*command("journal", "verify", str(mesh.spool)))
    assert code == 1
    assert json.loads(output)["problems"][0] == "record 2 is not what was written"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tail", "conn"), "no mesh to be in"),
        (("tail", "conn", "--plain", "--name", "a", "--connect", "x"), "what is --plain is in no spool"),
        (("tail", "conn", "--since", "yesterday", "--connect", "x"), "'yesterday' is not earliest, now"),
        (("tail", "conn", "--connect", "manager:4040"), "'manager:4040' does not name a transport"),
        (("info",), "look at what?"),
        (("info", "none.spool"), "there is no file 'none.spool'"),
        (("write", "conn"), "no mesh to be in"),
        (("write", "conn", "--wait", "a", "--connect", "x"), "is collected by nobody"),
        (("write", "conn", "--columns", "host", "--spool", "x"), "'host' is not NAME:TYPE"),
        (("write", "conn", "--columns", "host:text", "--spool", "x"), "'text' is no type of a column"),
        (("collect", "conn", "--name", "a", "--directory", "d", "--rotate-size", "big"), "'big' is not a size"),
        (("collect", "conn", "--name", "a", "--directory", "d", "--rotate-every", "1"), "'1' is not a time"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said(
    arguments: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(("log", *arguments)) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert told in errors
    assert errors.count("\n") == 1


def test_what_is_no_spool_is_not_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text"
    text.write_text("no spool " * 1000)
    assert run_app(("log", "info", str(text))) == 2
    open_journal(tmp_path / "hosts", kind="store", name="hosts", role="master", tables=("entries",)).close()
    assert run_app(("log", "info", str(tmp_path / "hosts"))) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "it is no journal" in first
    assert "it is the journal of a store, 'hosts': no spool" in second
