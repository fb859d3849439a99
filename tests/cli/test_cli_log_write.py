"""``broker log write`` and ``collect``: records from lines into a spool, and from spools into files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import trio
from cli_logs import Connection, agent, connections
from processes import Program, finished, started
from processes import broker as command

import broker


async def collected(spool: Path, stream: str, count: int) -> list[broker.LogMessage]:
    """The records of a spool that nobody has in use."""

    @broker.log_record("cli anything")
    class Anything:
        value: int

    async with broker.Endpoint() as endpoint, endpoint.log(stream, Anything, path=spool) as log:
        assert log.info().last == count
        async with endpoint.collect(stream, since="earliest") as records:
            return [await records.receive() for _ in range(count)]


def rows_of(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]


async def stopped(program: Program) -> dict[str, Any]:
    """Stop a collector with Ctrl-C; returns its summary."""
    program.interrupt()
    assert await program.end() == 130
    summary: dict[str, Any] = json.loads((await program.out.rest())[-1])["summary"]
    return summary


async def test_write_puts_json_lines_on_disk_and_tells_those_that_are_wrong(tmp_path: Path) -> None:
    lines = '{"host": "web-01", "used": 0.91}\n{"host": "web-02", "used": "x"}\n\n[1]\n{"host": "web-03"}\n{"hos": 1}\n'
    spool = tmp_path / "disks.spool"
    code, output, errors = await finished(*command("log", "write", "disks", "--spool", str(spool)), stdin=lines)
    assert (code, output) == (2, "")
    assert errors.splitlines() == [
        "line 2: field 'used': expected float?, found \"x\"",
        "line 4: a record is an object of its fields, not [1]",
        "line 6: no column 'hos': there are host, used (see --columns)",
        f"2 records of 'disks' written to {spool}, the last is number 2, 3 lines left out",
    ]
    one, two = await collected(spool, "disks", 2)
    assert one.record == broker.Event("disks", ("web-01", 0.91))
    assert two.record == broker.Event("disks", ("web-03", None))
    assert [(column.name, column.type) for column in one.columns] == [("host", "str?"), ("used", "float?")]


async def test_write_strictly_ends_with_the_first_line_that_is_wrong(tmp_path: Path) -> None:
    spool = tmp_path / "disks.spool"
    arguments = ("log", "write", "disks", "--spool", str(spool), "--strict", "--record", "Disk", "--columns", "n:int")
    code, _, errors = await finished(*command(*arguments), stdin='{"n": 1}\n{"n": 1.5}\n{"n": 3}\n')
    assert code == 2
    assert errors.splitlines()[-1] == "broker: line 2: field 'n': expected int, found 1.5"
    (message,) = await collected(spool, "disks", 1)
    assert message.record == broker.Event("Disk", (1,))


async def test_tsv_of_zeek_goes_through_a_spool_into_the_same_rows_of_a_file(tmp_path: Path) -> None:
    lines = [
        r"#separator \x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tconn",
        "#fields\tts\tuid\tid.orig_h\tid.orig_p\tduration\ttags\tnote",
        "#types\ttime\tstring\taddr\tport\tinterval\tset[string]\tstring",
        "1795667880.123456\tCHhAvV\t192.0.2.1\t53\t1.500000\ta,b\ttab\\x09and \\xc3\\xa9",
        "1795667881.000000\tC2\t2001:db8::1\t443\t-\t(empty)\t-",
        "#close\t2026-11-26-05-00-00",
    ]
    directory = tmp_path / "files"
    arguments = ("collect", "conn", "--name", "archive", "--directory", str(directory), "--listen", "tcp://127.0.0.1:0")
    async with started(*command("log", *arguments)) as collector:
        address = await collector.listening()
        arguments = (
            "write",
            "conn",
            "--spool",
            str(tmp_path / "conn.spool"),
            "--wait",
            "archive",
            "--connect",
            address,
        )
        code, _, errors = await finished(*command("log", *arguments), stdin="\n".join(lines) + "\n")
        assert code == 0, errors
        summary = await stopped(collector)
    assert (summary["records"], summary["behind"], summary["rotated"]) == (2, 0, 0)
    written = (directory / "conn.log").read_text().splitlines()
    assert [line for line in written if not line.startswith(("#open", "#close"))] == [
        *lines[:7],
        lines[7].replace(r"\xc3\xa9", "é"),
        lines[8],
    ]


async def test_what_tail_prints_is_taken_by_write(tmp_path: Path) -> None:
    async with agent(tmp_path) as mesh:
        await mesh.log.write_all(connections(1, 2))
        arguments = ("tail", "conn", "--connect", mesh.address, "--since", "earliest", "-n", "2")
        _, output, _ = await finished(*command("log", *arguments))
    spool = tmp_path / "copy.spool"
    code, _, errors = await finished(*command("log", "write", "copy", "--spool", str(spool)), stdin=output)
    assert code == 0, errors
    copies = await collected(spool, "copy", 2)
    assert [copy.record.args for copy in copies] == [("web-01", "192.0.2.1", 0.01), ("web-02", "192.0.2.1", 0.02)]


async def test_write_without_a_spool_publishes_on_the_plain_topic_once_somebody_reads_it() -> None:
    async with broker.Endpoint("reader") as endpoint, endpoint.subscribe("log/plain") as messages:
        address = await endpoint.listen("tcp://127.0.0.1:0")
        arguments = ("write", "plain", "--connect", address, "--columns", "n:int", "--endpoint", "w")
        code, _, errors = await finished(*command("log", *arguments), stdin='{"n": 1}\n{"n": 2}\n')
        assert code == 0, errors
        found = [await messages.receive() for _ in range(2)]
    assert [(message.topic, message.origin, message.event) for message in found] == [
        ("log/plain", "w", broker.Event("plain", (number,))) for number in (1, 2)
    ]


async def test_collect_has_each_record_once_when_it_is_killed_and_started_again(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    async with agent(tmp_path, collectors=("archive",)) as mesh:
        arguments = ("collect", "conn", "--name", "archive", "--directory", str(directory), "--connect", mesh.address)
        program = command("log", *arguments)
        async with started(*program) as collector:
            await mesh.log.write_all(connections(1, 50))
            await mesh.log.collected("archive")
            await mesh.log.write_all(connections(51, 60))
            collector.process.kill()
            await collector.end()
        await mesh.log.write_all(connections(61, 99))
        async with started(*program) as collector:
            await mesh.log.collected("archive")
            summary = await stopped(collector)
    assert [row[1] for row in rows_of(directory / "conn.log")] == [f"web-{number:02}" for number in range(1, 100)]
    assert summary["behind"] == 0
    (writer,) = summary["writers"]
    assert (writer["writer"], writer["acknowledged"], writer["last"]) == ("agent", 99, 99)


async def test_collect_rotates_and_compresses_files(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    async with agent(tmp_path) as mesh:
        arguments = (
            *("collect", "conn", "--name", "archive", "--directory", str(directory), "--connect", mesh.address),
            *("--format", "json", "--rotate-size", "1KB", "--compress", "gzip"),
        )
        async with started(*command("log", *arguments)) as collector:
            await mesh.log.write_all(connections(1, 30))
            await mesh.log.collected("archive")
            with trio.fail_after(20):
                while not (packed := list(directory.glob("conn.*.json.gz"))):  # noqa: ASYNC110 - nothing tells of it
                    await trio.sleep(0.01)
            await mesh.log.write(Connection("last", ""))
            await mesh.log.collected("archive")
            assert (await stopped(collector))["rotated"] == 1
    records = [json.loads(line) for line in gzip.decompress(packed[0].read_bytes()).splitlines()]
    assert [record["host"] for record in records] == [f"web-{number:02}" for number in range(1, 31)]
    assert json.loads((directory / "conn.json").read_text())["host"] == "last"


LINES = f'{{"text": "{"x" * 10_000}"}}\n' * 1000


async def test_a_full_spool_is_told(tmp_path: Path) -> None:
    spool = str(tmp_path / "small.spool")
    async with started(*command("log", "write", "small", "--spool", spool, "--limit", "1MiB")) as writer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.write, LINES)
            told = await writer.err.next_with("is full")
            nursery.cancel_scope.cancel()
        assert told.startswith(f"waiting for a first collector: {spool} is full (1,048,576 bytes")
        writer.interrupt()
        assert await writer.end() == 130


async def test_what_a_full_spool_drops_is_told_at_both_ends(tmp_path: Path) -> None:
    spool, directory = str(tmp_path / "small.spool"), str(tmp_path / "files")
    collect = ("collect", "small", "--name", "archive", "--directory", directory, "--listen", "tcp://127.0.0.1:0")
    write = ("write", "small", "--spool", spool, "--limit", "1MiB", "--drop-oldest", "--wait", "archive")
    async with (
        started(*command("log", *collect)) as collector,
        started(*command("log", *write, "--listen", "tcp://127.0.0.1:0")) as writer,
        broker.Endpoint("relay") as relay,
    ):
        address = await writer.listening()
        await writer.write(LINES)
        await writer.close_stdin()
        assert "'small'" in await writer.err.next_with("dropped")
        await relay.peer(await collector.listening())
        await relay.peer(address)
        assert "'small'" in await collector.err.next_with("lost")
        assert await writer.end() == 0
        assert (await stopped(collector))["behind"] == 0


async def test_collect_says_when_its_files_are_in_use(tmp_path: Path) -> None:
    arguments = ("collect", "conn", "--name", "a", "--directory", str(tmp_path), "--listen", "tcp://127.0.0.1:0")
    async with started(*command("log", *arguments)) as collector:
        await collector.listening()
        code, _, errors = await finished(*command("log", *arguments))
        assert code == 1
        assert errors.endswith("conn.log: another process writes this stream here")
