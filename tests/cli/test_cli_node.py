"""``broker node`` and ``broker config``: real processes that a file says all of."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trio
from cli_logs import Connection, connections
from processes import Program, in_terminal, started
from processes import broker as command

import broker
from broker.cli.app import run_app


async def status(program: Program, name: str) -> dict[str, Any]:
    """The next thing of that kind that a node says."""
    form: dict[str, Any] = json.loads(await program.out.next_with(f'"status": "{name}"'))
    return form


def written(directory: Path, text: str, name: str = "broker.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def read_url(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the node's own
        found: bytes = answer.read()
        return found


NODE = """\
listen = ["tcp://127.0.0.1:0"]
[endpoint]
name = "hub"
[stores.hosts]
role = "master"
path = "hosts.db"
[[collect]]
stream = "conn"
name = "archive"
directory = "logs"
"""


def rows(directory: Path) -> list[str]:
    return [line.split("\t")[1] for line in (directory / "logs/conn.log").read_text().splitlines() if line[0] != "#"]


async def test_a_node_relays_is_master_and_collects_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    config = written(tmp_path, NODE + '[metrics]\nlisten = "127.0.0.1:0"\n')
    spool = tmp_path / "conn.spool"
    for run in (1, 2):
        async with started(*command("node", str(config), "--json")) as node:
            address = (await status(node, "Listening"))["address"]
            assert (await status(node, "Ready"))["name"] == "hub"
            (serving,) = [form for form in map(json.loads, node.out.seen) if form["status"] == "Serving"]
            assert b'broker_store_entries{endpoint="hub"' in await trio.to_thread.run_sync(read_url, serving["url"])
            async with (
                broker.Endpoint("one") as one,
                broker.Endpoint("other") as other,
                one.log("conn", Connection, path=spool, collectors=["archive"]) as log,
                other.subscribe("host/") as messages,
            ):
                await one.peer(address)
                await other.peer(address)
                await one.subscribers("host/up")
                await one.publish("host/up", broker.Event("Up", (run,)))
                assert (await messages.receive()).event == broker.Event("Up", (run,))  # it relays
                async with one.proxy("hosts") as hosts:
                    await hosts.increment("runs")
                    assert await hosts.fetch("runs") == run  # what was on disk is there again
                await log.write_all(connections(run, run))
                await log.collected("archive")
            node.process.send_signal(signal.SIGTERM)
            assert await node.end() == 0
            told = [json.loads(line)["status"] for line in [*node.out.seen, *await node.out.rest()]]
            assert told[-2:] == ["Ready", "Stopping"]
            assert sorted(told[:-2]) == ["Collecting", "Listening", "Serving", "StoreOpened"]
            log_lines = await node.err.rest()
            assert any("one (" in line and line.endswith("linked") for line in log_lines)
            assert not any("Traceback" in line for line in log_lines)
        assert rows(tmp_path) == [f"web-0{number}" for number in range(1, run + 1)]


async def test_what_fails_is_told_and_tried_again_while_the_rest_goes_on(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.write_text("no folder")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = NODE.replace("127.0.0.1:0", f"127.0.0.1:{port}") + '[stores.other]\nrole = "master"\n'
        async with started(*command("node", str(written(tmp_path, text)), "--json")) as node:
            stores = [await status(node, "StoreOpened") for _ in range(2)]
            assert {store["store"] for store in stores} == {"hosts", "other"}
            first, second = [await node.err.next_with("it is tried again") for _ in range(2)]
            assert f"listening on tcp://127.0.0.1:{port}: " in first + second
            assert "collector 'archive' of 'conn': " in first + second
            taken.close()
            logs.unlink()
            await status(node, "Ready")
            node.interrupt()
            assert await node.end() == 0


async def test_a_node_reads_its_file_again_and_says_what_needs_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, second = f"ipc://{tmp_path}/hub", f'listen = ["ipc://{tmp_path}/second"]\n'
    config = written(tmp_path, "")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        await manager.bind(str(tmp_path / "notify"))
        async with (
            started(*command("node", str(config), "--name", "a")) as node,
            broker.Endpoint("hub") as endpoint,
            endpoint.status() as changes,
        ):
            assert await node.out.next() == "a is ready"
            assert await manager.recv(1000) == b"READY=1\nSTATUS=a is ready"
            await endpoint.listen(hub)

            written(tmp_path, f'{second}peer = ["{hub}"]\n[endpoint]\nlinger_s = 1\n')
            node.process.send_signal(signal.SIGHUP)
            assert "needed for what changed in: endpoint.linger_s" in await node.err.next_with("restart")
            await node.out.next_with(f"listening on ipc://{tmp_path}/second")
            assert (await manager.recv(1000)).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert await manager.recv(1000) == b"READY=1"
            added = await changes.receive()
            assert isinstance(added, broker.PeerAdded)
            assert added.peer == "a"

            written(tmp_path, f"{second}per = 1\n")
            node.process.send_signal(signal.SIGHUP)
            assert "nothing was reloaded" in await node.err.next_with("did you mean 'peer'?")

            written(tmp_path, f'{second}[endpoint]\nlinger_s = 1\n[logging]\nformat = "json"\n')
            node.process.send_signal(signal.SIGHUP)
            while not isinstance(change := await changes.receive(), broker.PeerLost):
                pass
            assert change.code == "goodbye"
            assert json.loads(await node.err.next_with('"reloaded"'))["level"] == "info"
            node.process.send_signal(signal.SIGTERM)
            assert await node.end() == 0


def test_a_configuration_that_makes_no_sense_ends_a_node_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "[endpiont]\n[stores.a]\n")
    assert run_app(["node", str(path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"broker: {path}: line 1: endpiont: nothing of that name is known: did you mean")
    assert second == f"broker: {path}: line 2: stores.a: it has no role"
    assert run_app(["node", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err == f"broker: {tmp_path}/none.toml: there is no such file\n"


def test_check_finds_what_a_configuration_needs_and_what_is_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["config", "check", str(written(tmp_path, NODE))]) == 0
    assert capfd.readouterr() == ("", "")
    (tmp_path / "logs").write_text("no folder")
    text = NODE.replace("hosts.db", "none/hosts.db").replace('stream = "conn"', 'stream = "a/b"')
    text += '[security]\nkeys = "./none.key"\n'
    assert run_app(["config", "check", str(written(tmp_path, text))]) == 2
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(each["line"], each["key"]) for each in found] == [
        (8, "collect[0]"),
        (12, "security.keys"),
        (6, "stores.hosts.path"),
        (10, "collect[0].directory"),
    ]
    assert found[0]["problem"] == "'a/b' cannot be a file's name: a stream's files are named after it"
    assert found[2]["problem"] == f"there is no folder {tmp_path}/none that we may write in"


def test_check_looks_whether_the_access_rules_know_the_peers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_app(["keys", "new", "a", "--dir", str(tmp_path)]) == 0
    key = capfd.readouterr().out.strip()
    (tmp_path / "access.toml").write_text(f'[keys.hub]\nkey = "{key}"\naddresses = ["tcp://10.0.0.1:1"]\n')
    text = '[[peer]]\naddress = "tcp://10.0.0.1:1"\n[[peer]]\naddress = "tcp://10.0.0.2:1"\n[[peer]]\n'
    text += 'address = "tcp://10.0.0.3:1"\nkey = "other"\n[security]\nkeys = "./a.key"\n'
    assert run_app(["config", "check", str(written(tmp_path, text))]) == 2
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(each["key"], each["problem"].partition(":")[0]) for each in found] == [
        ("peer[1]", "the access rules do not say whose key is at tcp"),
        ("peer[2].key", "nobody called 'other' is in the access rules"),
    ]


def test_show_says_what_holds_and_where_it_was_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_STORES__HOSTS__LIMIT_BYTES", "1 GiB")
    path = written(tmp_path, NODE)
    assert run_app(["config", "show", str(path), "--listen", "ipc://a", "--json"]) == 0
    found = {form["key"]: form for form in map(json.loads, capfd.readouterr().out.splitlines())}
    assert found["listen[0].address"] == {"key": "listen[0].address", "value": "ipc://a", "source": "--listen"}
    assert found["endpoint.name"]["source"] == f"{path}, line 3"
    assert found["endpoint.forward"] == {"key": "endpoint.forward", "value": True, "source": None}
    limit = found["stores.hosts.limit_bytes"]
    assert (limit["value"], limit["source"]) == (1 << 30, "BROKER_STORES__HOSTS__LIMIT_BYTES")


async def test_check_tells_people_in_words(tmp_path: Path) -> None:
    async with in_terminal(*command("config", "check", str(written(tmp_path, NODE)))) as program:
        assert (await program.out.next()).endswith("broker.toml: no problem\r")
        assert await program.end() == 0
