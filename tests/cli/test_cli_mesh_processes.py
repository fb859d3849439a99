"""``broker mesh`` as a process beside others: what it tells of a real mesh, and how it ends."""

from __future__ import annotations

import json
from typing import Any

from processes import Program, broker, finished, in_terminal, started

LISTEN = "tcp://127.0.0.1:0"


async def hub_address(hub: Program) -> str:
    address: str = json.loads(await hub.out.next())["address"]
    return address


async def snapshot_with(watch: Program, *names: str) -> dict[str, Any]:
    """The next snapshot in which just these endpoints can be reached."""
    while True:
        snapshot: dict[str, Any] = json.loads(await watch.out.next())
        near = [each["name"] for each in snapshot["endpoints"] if each["hops"] is not None]
        if sorted(near) == sorted(names):
            return snapshot


async def test_it_tells_of_endpoints_links_and_subscriptions_and_of_each_change() -> None:
    async with started(*broker("listen", LISTEN, "--name", "hub")) as hub:
        address = await hub_address(hub)
        async with started(*broker("mesh", "--connect", address, "--watch", "--name", "watcher")) as watch:
            await snapshot_with(watch, "hub")
            sub = broker("sub", "host/", "log/", "--connect", address, "--name", "reader")
            async with started(*sub) as reader:
                snapshot = await snapshot_with(watch, "hub", "reader")
                ids = {each["name"]: each["id"] for each in snapshot["endpoints"]}
                (link,) = snapshot["links"]
                assert [link["one"], link["other"]] == sorted(ids.values())

                mesh = broker("mesh", "--connect", address, "--name", "looker")
                code, output, errors = await finished(*mesh)
                assert (code, errors) == (0, "")
                lines = [json.loads(line) for line in output.splitlines()]
                endpoints = {line["endpoint"]["name"]: line["endpoint"] for line in lines if "endpoint" in line}
                assert {name: each["hops"] for name, each in endpoints.items()} == {"hub": 1, "reader": 2, "watcher": 2}
                assert {name: each["forward"] for name, each in endpoints.items()} == {
                    "hub": True,
                    "reader": True,
                    "watcher": False,
                }
                wanted = sorted(each["prefix"] for each in endpoints["reader"]["subscriptions"])
                assert wanted == ["host/", "log/"]
                assert len([line for line in lines if "link" in line]) == 2

                reader.interrupt()
                assert await reader.end() == 130
            await snapshot_with(watch, "hub")
            watch.interrupt()
            assert await watch.end() == 130


async def test_in_a_terminal_it_is_a_drawing_and_json_if_wanted() -> None:
    async with started(*broker("listen", LISTEN, "--topic", "host/", "--name", "hub")) as hub:
        address = await hub_address(hub)
        async with in_terminal(*broker("mesh", "--connect", address, "--all"), term="dumb") as mesh:
            lines = [line.rstrip("\r") for line in await mesh.out.rest()]
            assert await mesh.end() == 0
        assert lines[0].startswith("2 endpoints (1 relay, 1 leaf), 1 link")
        assert any(line.startswith("└─ hub ") and " relay " in line for line in lines)
        assert lines[-1].split() == ["hub", "host/", "any"]
        async with in_terminal(*broker("mesh", "--connect", address, "--json")) as mesh:
            assert json.loads(await mesh.out.next())["endpoint"]["name"] == "hub"
            assert await mesh.end() == 0


async def test_in_a_terminal_watch_draws_in_place_until_ctrl_c() -> None:
    async with started(*broker("listen", LISTEN, "--name", "hub")) as hub:
        address = await hub_address(hub)
        async with in_terminal(*broker("mesh", "--connect", address, "--watch")) as watch:
            await watch.out.next_with("1 endpoint (1 relay, 0 leaves)")
            async with started(*broker("sub", "host/", "--connect", address, "--name", "reader")):
                await watch.out.next_with("2 endpoints (2 relays, 0 leaves)")
                assert "relay" in await watch.out.next_with("reader")
            watch.interrupt()
            assert await watch.end() == 130


async def test_nobody_there_is_one_line_and_code_1() -> None:
    nobody = "tcp://127.0.0.1:1"
    code, output, errors = await finished(*broker("mesh", "--connect", nobody, "--timeout", "0.2"))
    assert (code, output) == (1, "")
    assert errors.startswith(f"broker: {nobody}: nothing listens there")
    assert errors.count("\n") == 0
