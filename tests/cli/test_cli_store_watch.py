"""``broker store watch``, ``dump`` and ``load``: stores as lines, changes that are resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli_stores import Hosts, hosts, plain
from processes import Program, finished, in_terminal, started
from processes import broker as command

import broker

FORMS: list[tuple[Any, Any]] = [
    ("text", "ü \u2028"),
    (("a", 1), [1, 2.5, None, True]),
    (b"\x00", {1: "one"}),
    (broker.Port(53, "udp"), {1, 2}),
    (1, "the int"),
    (True, "the bool"),
    (1.0, "the float"),
    (None, {"nested": [{"deep": (None,)}]}),
]


async def watching(program: Program) -> str:
    """The position from which a watch that has begun watches."""
    return (await program.err.next_with("watching 'hosts' from ")).split()[-3]


async def test_a_dump_is_loaded_again_with_all_keys_and_values_unchanged() -> None:
    async with hosts() as mesh, mesh.endpoint.master("copy") as copy:
        for key, value in FORMS:
            await mesh.master.put(key, value)
        await mesh.master.put("expiring", 1, expires_in=1000)
        code, output, errors = await mesh.run("dump", "hosts")
        assert code == 0
        assert errors == f"9 entries at {mesh.master.position}"
        code, _, errors = await mesh.run("load", "copy", "-", stdin=output)
        assert (code, errors) == (0, "9 entries loaded")
        assert {repr(key): copy[key] for key in copy} == {repr(key): mesh.master[key] for key in mesh.master}
        expires, original = copy.expires("expiring"), mesh.master.expires("expiring")
        assert expires is not None
        assert original is not None
        assert abs((expires - original).total_seconds()) < 1


async def test_a_dump_is_of_one_position_while_it_is_written_to() -> None:
    async with hosts() as mesh:
        for start in range(0, 20_000, 1000):
            async with mesh.master.batch() as batch:
                for number in range(start, start + 1000):
                    batch.put(number, 0)
        async with started(*mesh.arguments("dump", "hosts")) as dump:
            entries = [json.loads(await dump.out.next())]
            generation = 0
            while dump.process.returncode is None and generation < 20:
                generation += 1
                async with mesh.master.batch() as batch:
                    for number in range(0, 20_000, 2000):
                        batch.put(number, generation)
            entries += [json.loads(line) for line in await dump.out.rest()]
            assert await dump.end() == 0
        assert len(entries) == 20_000
        assert len({entry["value"] for entry in entries if entry["key"] % 2000 == 0}) == 1


async def test_load_reads_a_file_in_batches_and_leaves_out_what_has_expired(tmp_path: Path) -> None:
    path = tmp_path / "dump.ndjson"
    lines = [json.dumps({"key": number, "value": "x" * 100}) for number in range(2500)]
    lines.insert(7, '{"key": "old", "value": 1, "expires": "2020-01-01T00:00:00+00:00"}')
    path.write_text("\n".join(lines))
    async with hosts() as mesh:
        before = mesh.master.position.sequence
        code, _, errors = await mesh.run("load", "hosts", str(path), "--level", "applied")
        assert (code, errors) == (0, "2,500 entries loaded, 1 had expired and were left out")
        assert len(mesh.master) == 2500
        assert mesh.master.position.sequence - before == 3


async def test_load_ends_at_a_wrong_line_with_all_before_it_put() -> None:
    for line, told in [
        ("nope", "line 3: not JSON"),
        ('{"key": 1}', "line 3: an entry is"),
        ('{"key": 1, "value": 1, "expires": 5}', "line 3: expires is a time"),
        ('{"key": 1, "value": 1, "expires": "soon"}', "line 3: $timestamp"),
        ('{"key": [1], "value": 1}', "line 3: "),
        ('{"key": 1, "value": 18446744073709551616}', "line 3: "),
    ]:
        async with hosts() as mesh:
            stdin = f'{{"key": "a", "value": 1}}\n\n{line}\n{{"key": "b", "value": 2}}\n'
            code, _, errors = await mesh.run("load", "hosts", "-", stdin=stdin)
            assert code == 2
            assert errors.splitlines()[0] == "1 entry loaded"
            assert errors.splitlines()[-1].startswith(f"broker: {told}")
            assert dict(mesh.master) == {"a": 1}


async def test_large_values_are_loaded_one_by_one() -> None:
    async with hosts() as mesh:
        stdin = "".join(json.dumps({"key": number, "value": "x" * 3_000_000}) + "\n" for number in range(4))
        code, _, errors = await mesh.run("load", "hosts", "-", stdin=stdin)
        assert (code, errors) == (0, "4 entries loaded")


async def test_watch_shows_changes_of_a_prefix_or_a_key_with_what_was_and_is() -> None:
    async with hosts() as mesh:
        prefix = mesh.arguments("watch", "hosts", "web-", "--count", "5")
        async with started(*prefix) as web, started(*mesh.arguments("watch", "hosts", "--key", "7")) as seven:
            await watching(web)
            await watching(seven)
            await mesh.master.put("web-01", {"up": True})
            await mesh.master.put("db-01", 1)
            await mesh.master.put(7, "seven")
            await mesh.master.insert_into("web-01", "load", 0.5)
            async with mesh.master.batch() as batch:
                batch.put("web-02", 1)
                batch.put("db-02", 1)
                batch.erase("web-02")
            await mesh.master.clear()
            told = [json.loads(line) for line in await web.out.rest()]
            assert [(line.get("key"), line["cause"], line.get("element")) for line in told] == [
                ("web-01", "put", None),
                ("web-01", "put", "load"),
                ("web-02", "put", None),
                ("web-02", "erase", None),
                (None, "clear", None),
            ]
            assert told[0]["new"] == {"up": True}
            assert [line["final"] for line in told] == [True, True, False, True, True]
            assert told[2]["position"] == told[3]["position"]
            assert all(line["writer"] == "manager" for line in told)
            assert await web.end() == 0
            assert (await web.err.rest())[-1] == f"5 changes; to go on: --since {told[4]['position']}"
            assert json.loads(await seven.out.next())["new"] == "seven"
            assert json.loads(await seven.out.next())["cause"] == "clear"
            seven.interrupt()
            assert await seven.end() == 130


async def resumed(mesh: Hosts, position: str, count: int) -> list[Any]:
    return await mesh.lines("watch", "hosts", "--since", position, "--count", str(count))


async def test_watch_goes_on_behind_a_position_after_it_was_killed() -> None:
    async with hosts() as mesh:
        async with started(*mesh.arguments("watch", "hosts")) as watch:
            await watching(watch)
            for number in range(3):
                await mesh.master.put("count", number)
            told = [json.loads(await watch.out.next()) for _ in range(2)]
            watch.process.kill()
        for number in range(3, 10):
            await mesh.master.put("count", number)
        rest = await resumed(mesh, told[1]["position"], 8)
        assert [line["new"] for line in [*told, *rest]] == list(range(10))


async def test_watch_goes_on_behind_a_dump() -> None:
    async with hosts() as mesh:
        await mesh.master.put("count", 0)
        _, _, errors = await mesh.run("dump", "hosts")
        await mesh.master.put("count", 1)
        assert [line["new"] for line in await resumed(mesh, errors.split()[-1], 1)] == [1]


async def test_watch_that_cannot_go_on_says_what_to_do() -> None:
    async with hosts() as mesh:
        nowhere = f"{'00' * 16}:1:1:{'00' * 8}"
        code, output, errors = await mesh.run("watch", "hosts", "--since", nowhere)
        assert (code, output) == (1, "")
        assert "read the store, then watch anew" in errors.splitlines()[-1]


async def test_watch_goes_on_when_the_relay_between_is_killed_and_started_again() -> None:
    async with hosts() as mesh, started(*command("listen", "tcp://127.0.0.1:0")) as relay:
        mesh.address = json.loads(await relay.out.next())["address"]
        await mesh.endpoint.peer(mesh.address)
        async with started(*mesh.arguments("watch", "hosts")) as watch:
            await watching(watch)
            await mesh.master.put("count", 1)
            assert json.loads(await watch.out.next())["new"] == 1
            relay.process.kill()
            await relay.end()
            await mesh.master.put("count", 2)
            async with started(*command("listen", mesh.address)):
                await mesh.master.put("count", 3)
                assert [json.loads(await watch.out.next())["new"] for _ in range(2)] == [2, 3]


async def test_watch_in_a_terminal_is_a_table_as_wide_as_the_terminal() -> None:
    async with hosts() as mesh, in_terminal(*mesh.arguments("watch", "hosts"), columns=90) as watch:
        await watch.out.next_with("watching")
        await mesh.master.put("web-01", "\x1b[31m" + "x" * 200, expires_in=0.3)
        header = plain(await watch.out.next_with("writer"))
        assert header.split() == ["time", "writer", "cause", "key", "value"]
        put = plain(await watch.out.next_with("put"))
        assert put.split()[1:4] == ["manager", "put", '"web-01"']
        assert len(put) == 90
        assert put.endswith("…")
        assert put.isprintable()
        assert plain(await watch.out.next_with("expire")).split()[1:4] == ["(master)", "expire", '"web-01"']


MASTER = """
import sys, trio, broker
async def main(path, address):
    async with broker.Endpoint("manager") as endpoint, endpoint.master("hosts", path=path) as hosts:
        print("listening on", await endpoint.listen(address), flush=True)
        for number in range(5):
            await hosts.increment("count")
        await trio.sleep_forever()
trio.run(main, *sys.argv[1:])
"""


async def test_watch_goes_on_when_the_master_is_killed_and_started_again_on_its_file(tmp_path: Path) -> None:
    path = str(tmp_path / "hosts.db")
    async with started("-c", MASTER, path, "tcp://127.0.0.1:0") as master:
        address = (await master.out.next_with("listening on")).split()[-1]
        async with started(*command("store", "watch", "hosts", "--connect", address)) as watch:
            await watching(watch)
            put = command("store", "put", "hosts", '"count"', "100", "--connect", address)
            assert (await finished(*put))[0] == 0
            assert json.loads(await watch.out.next_with("100"))["new"] == 100
            master.process.kill()
            await master.end()
            async with started("-c", MASTER, path, address):
                told = [json.loads(await watch.out.next()) for _ in range(5)]
            assert [(line["old"], line["new"]) for line in told] == [(n, n + 1) for n in range(100, 105)]
