"""``broker store``: entries read and written by processes at a master that is elsewhere in the mesh."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import trio
from cli_stores import hosts, plain
from processes import finished, in_terminal, started

import broker


async def test_put_get_and_erase_at_the_master() -> None:
    async with hosts() as mesh:
        (put,) = await mesh.lines("put", "hosts", '"web-01"', '{"up": true}')
        assert put == {"position": str(mesh.master.position)}
        assert mesh.master["web-01"] == {"up": True}
        assert await mesh.lines("get", "hosts", '"web-01"') == [{"up": True}]
        (erased,) = await mesh.lines("erase", "hosts", '"web-01"', "--level", "applied")
        assert erased == {"position": str(mesh.master.position)}
        assert len(mesh.master) == 0
        for name in ("get", "erase"):
            code, output, errors = await mesh.run(name, "hosts", '"web-01"')
            assert (code, output) == (1, "")
            assert errors.startswith("broker: store 'hosts': 'web-01' is not there")
        assert len(await mesh.lines("erase", "hosts", '"web-01"', "--missing-ok")) == 1


async def test_keys_and_values_of_any_type_go_through_as_typed_json() -> None:
    async with hosts() as mesh:
        await mesh.lines("put", "hosts", '{"$tuple": ["web-01", {"$port": "53/udp"}]}', "-1.5")
        assert dict(mesh.master) == {("web-01", broker.Port(53, "udp")): -1.5}
        await mesh.lines("put", "hosts", "-5", '{"$set": [1]}')
        assert mesh.master[-5] == {1}
        assert await mesh.lines("get", "hosts", "-5") == [{"$set": [1]}]


async def test_unique_expires_and_levels() -> None:
    async with hosts() as mesh, broker.Endpoint("replica") as endpoint:
        await mesh.lines("put", "hosts", '"a"', "1", "--unique", "--expires", "500")
        expires = mesh.master.expires("a")
        assert expires is not None
        code, _, errors = await mesh.run("put", "hosts", '"a"', "2", "--unique")
        assert code == 1
        assert errors.startswith("broker: store 'hosts': 'a' is there already")
        await endpoint.peer(mesh.address)
        async with endpoint.clone("hosts") as clone:
            await mesh.lines("put", "hosts", '"a"', "3", "--level", "replicated:1")
            assert clone["a"] == 3
        code, output, errors = await mesh.run("put", "hosts", '"a"', "4", "--level", "replicated:2", "--timeout", "1")
        assert (code, output) == (1, "")
        assert "of 2 clones confirmed" in errors
        assert mesh.master["a"] == 4


async def test_one_entry_of_a_large_store_is_read_and_written_without_the_others() -> None:
    async with hosts() as mesh:
        await mesh.master.put("large", b"x" * 4_000_000)
        assert await mesh.lines("put", "hosts", '"small"', "1")
        assert await mesh.lines("get", "hosts", '"small"') == [1]
        assert mesh.master.info().followers == ()


async def test_list_shows_the_stores_of_the_mesh_and_the_entries_of_one() -> None:
    async with hosts() as mesh, mesh.endpoint.master("other") as other:
        await other.put("a", 1)
        assert await mesh.lines("list") == [
            {"store": "hosts", "masters": ["manager"], "entries": 0},
            {"store": "other", "masters": ["manager"], "entries": 1},
        ]
        for name in ("web-01", "web-02", "db-01"):
            await mesh.master.put(name, {"name": name})
        await mesh.master.put(7, "a number")
        assert [entry["key"] for entry in await mesh.lines("list", "hosts")] == [7, "db-01", "web-01", "web-02"]
        listed = await mesh.lines("list", "hosts", "web-")
        assert listed[0] == {"key": "web-01", "value": {"name": "web-01"}, "expires": None}
        assert len(listed) == 2
        await other.clear()
        assert await mesh.lines("list", "other") == []


async def test_info_says_who_is_master_how_many_entries_there_are_and_where_it_is() -> None:
    async with hosts() as mesh:
        await mesh.master.put("a", 1)
        (info,) = await mesh.lines("info", "hosts")
        assert (info["name"], info["master"], info["masters"]) == ("hosts", "manager", ["manager"])
        assert (info["entries"], info["position"]) == (1, str(mesh.master.position))
        assert 0 <= info["staleness"] < 5


async def test_a_master_several_hops_away_is_found() -> None:
    async with hosts() as mesh, broker.Endpoint("relay") as relay:
        await relay.peer(mesh.address)
        mesh.address = await relay.listen("tcp://127.0.0.1:0")
        await mesh.lines("put", "hosts", '"a"', "1")
        assert await mesh.lines("list", "hosts") == [{"key": "a", "value": 1, "expires": None}]


async def test_two_masters_of_a_store_are_listed_and_the_elder_is_asked() -> None:
    async with hosts() as mesh, broker.Endpoint("second") as second, second.master("hosts") as other:
        await second.peer(mesh.address)
        (listed,) = await mesh.lines("list")
        assert sorted(listed["masters"]) == ["manager", "second"]
        await mesh.lines("put", "hosts", '"a"', "1")
        assert (dict(mesh.master), dict(other)) == ({"a": 1}, {})
        async with in_terminal(*mesh.arguments("list")) as program:
            assert "(a conflict)" in plain(await program.out.next_with("hosts"))


async def test_in_a_terminal_entries_are_a_table_that_fits() -> None:
    async with hosts() as mesh:
        await mesh.master.put("web-01", {"load": 0.5}, expires_in=1000)
        await mesh.master.put("\x1b[31m" + "x" * 100, "y" * 5000)
        async with in_terminal(*mesh.arguments("list", "hosts"), columns=70) as program:
            lines = [plain(line) for line in await program.out.rest()]
        assert await program.end() == 0
        assert "hosts: 2 entries" in lines
        (row,) = [line for line in lines if '"web-01"' in line]
        assert re.fullmatch(r'"web-01" +\{"load": 0\.5\} +(1,000|99\d) s', row)
        assert all(len(line) <= 70 and line.isprintable() for line in lines)
        async with in_terminal(*mesh.arguments("list")) as program:
            assert plain(await program.out.next_with("hosts")).split() == ["hosts", "manager", "2"]
        async with in_terminal(*mesh.arguments("info", "hosts")) as program:
            assert plain(await program.out.next_with("entries")).split() == ["entries", "2"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["get", "nosuch", "1", "--timeout", "0.3"], 1, "stores that have one: 'hosts'"),
        (["dump", "nosuch", "--timeout", "0.3"], 1, "nobody in this mesh is its master (0.3 s waited)"),
        (["watch", "nosuch", "--timeout", "0.3"], 1, "stores that have one: 'hosts'"),
        (["get", "hosts", "web-01"], 2, "a text has quotes: '\"web-01\"'"),
        (["put", "hosts", '"a"', "{nope"], 2, "value '{nope': not JSON"),
        (["put", "hosts", "[1]", "1"], 2, "key"),
        (["put", "hosts", '"a"', "1", "--expires", "0"], 2, "--expires"),
        (["put", "hosts", '"a"', "1", "--level", "replicated:0"], 2, "not applied, durable or replicated:N"),
        (["put", "hosts", '"a"', "18446744073709551616"], 2, "an int outside"),
        (["get", "", "1"], 2, "a store's name is printable text"),
        (["watch", "hosts", "web-", "--key", "1"], 2, "not both"),
        (["watch", "hosts", "--since", "3"], 2, "not a position: '3'"),
        (["load", "hosts", "/nowhere"], 2, "'/nowhere' does not exist"),
        (["nonsense"], 2, "No such command 'nonsense'"),
    ],
)
async def test_error_is_one_line_with_its_code(arguments: list[str], code: int, told: str) -> None:
    async with hosts() as mesh:
        ended, output, errors = await mesh.run(*arguments)
        assert (ended, output) == (code, "")
        last = errors.splitlines()[-1]
        assert last.startswith("broker")
        assert told in last
        assert "Traceback" not in errors


async def test_the_lines_of_the_documentation_work_when_pasted(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/stores.md").read_text()
    lines = re.findall(r"^(broker store \w+ .*?)(?: +#.*)?$", page, re.MULTILINE)
    assert {line.split()[2] for line in lines} == {"list", "put", "get", "watch", "dump", "load"}
    async with hosts() as mesh:
        for line in lines:
            if "store watch" not in line:  # it does not end
                there = line.replace("tcp://127.0.0.1:9999", mesh.address)
                shell = f'broker() {{ {sys.executable} -m broker "$@"; }}; {there}'
                environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
                await trio.run_process(["/bin/sh", "-c", shell], cwd=tmp_path, env=environment)
        assert dict(mesh.master) == {"web-01": {"up": True}}
        assert (tmp_path / "hosts.ndjson").read_text().count("\n") == 1


async def test_nobody_at_the_address_and_no_address_are_told() -> None:
    code, _, errors = await finished("-m", "broker", "store", "list")
    assert (code, "Missing option '--connect'" in errors) == (2, True)
    nobody = ("--connect", "tcp://127.0.0.1:1", "--timeout", "0.2")
    code, _, errors = await finished("-m", "broker", "store", "get", "hosts", "1", *nobody)
    assert code == 1
    assert errors.startswith("broker: tcp://127.0.0.1:1: nothing listens there")


async def test_the_help_of_other_commands_does_not_load_those_of_stores() -> None:
    program = (
        "import sys; sys.argv[1:] = ['--help']; from broker.cli import main; main();"
        "sys.exit(any('cli.store' in name for name in sys.modules))"
    )
    code, output, _ = await finished("-c", program)
    assert code == 0
    assert "store" in output


async def test_an_entry_put_from_the_shell_expires_and_a_watch_tells_it() -> None:
    async with hosts() as mesh, started(*mesh.arguments("watch", "hosts", "--count", "2")) as watch:
        await watch.err.next_with("watching 'hosts' from ")
        await mesh.lines("put", "hosts", '"web-01"', "1", "--expires", "0.5")
        put, expired = [json.loads(await watch.out.next()) for _ in range(2)]
        assert (put["cause"], put["new"], "old" in put) == ("put", 1, False)
        assert (expired["cause"], expired["old"], "new" in expired) == ("expire", 1, False)
        assert expired["writer"] == ""
