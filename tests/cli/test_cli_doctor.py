"""``broker doctor``: each way in which a peering does not come up is told as what it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq
from cli_outputs import Kept
from processes import broker as command
from processes import finished, in_terminal

import broker
from broker.cli.doctor.run import Doctor
from broker.cli.doctor.steps import STEPS
from broker.cli.identity import Identity
from broker.keyring import write_access, write_key
from broker.protocol import frames
from broker.trust.keys import SecretKey

HUB, AGENT, STRANGER, OTHER = (SecretKey(bytes([number]) * 32) for number in range(1, 5))
LOCAL = "tcp://127.0.0.1:0"


async def examined(
    address: str, *prefixes: str, timeout_s: float = 2.0, **identity: Any
) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    """The exit code, the findings by step, and the verdict."""
    output = Kept()
    code = await Doctor(address, Identity(**identity), prefixes, timeout_s)(output)
    *findings, last = output.forms
    assert [finding["step"] for finding in findings] == list(STEPS)
    verdict: dict[str, Any] = last["verdict"]
    assert verdict["ok"] == (code == 0)
    failed = [finding["step"] for finding in findings if finding["state"] == "failed"]
    assert verdict["failed"] == (failed[0] if failed else None)
    assert all(
        finding["advice"] or finding["step"] == "address" for finding in findings if finding["state"] == "failed"
    )
    return code, {finding["step"]: finding for finding in findings}, verdict


async def failure(address: str, *prefixes: str, **options: Any) -> tuple[str, str]:
    """The step that failed, and what it found; nothing behind it was tried."""
    code, findings, verdict = await examined(address, *prefixes, **options)
    assert code == 1
    step = verdict["failed"]
    behind = STEPS[STEPS.index(step) + 1 :]
    assert {findings[each]["state"] for each in behind} <= {"skipped"}
    return step, findings[step]["found"]


@asynccontextmanager
async def served(serve: Callable[[trio.SocketStream], Any]) -> AsyncIterator[str]:
    """The address of a TCP server that is no endpoint."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))
        yield f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def hub(**options: Any) -> AsyncIterator[tuple[broker.Endpoint, str]]:
    async with broker.Endpoint("hub", **options) as endpoint:
        yield endpoint, await endpoint.listen(LOCAL)


async def test_a_peering_that_comes_up_is_looked_at_to_the_mesh_behind_it() -> None:
    async with hub() as (endpoint, address), broker.Endpoint("web") as web, endpoint.subscribe("host/"):
        await web.peer(address)
        code, findings, verdict = await examined(address, name="doctor", timeout_s=1.0)
        assert (code, verdict["warnings"]) == (0, [])
        states = {step: finding["state"] for step, finding in findings.items()}
        skipped = {"key", "name", "rights", "clock"}
        assert states == {step: "skipped" if step in skipped else "ok" for step in STEPS}
        assert findings["path"]["details"]["mss_bytes"] > 500
        assert findings["security"]["details"] == {"theirs": "NULL", "ours": "NULL"}
        assert findings["handshake"]["details"]["peer"] == "hub"
        assert 0 < findings["round trip"]["details"]["best_s"] < 1
        assert findings["large frames"]["details"]["bytes"] >= 10 * 1500
        assert findings["mesh"]["details"] == {"forward": True, "endpoints": ["web"], "subscriptions": ["host/"]}


@pytest.mark.parametrize(("ahead_s", "state"), [(0, "ok"), (90, "warning"), (-90, "warning")])
async def test_a_clock_that_differs_is_told_by_the_time_of_messages(
    ahead_s: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = time.time_ns
    monkeypatch.setattr("broker.cli.doctor.linked.time_ns", lambda: now_ns() - ahead_s * 10**9)
    async with hub() as (endpoint, address), trio.open_nursery() as nursery:

        async def beat() -> None:
            while True:
                await endpoint.subscribers("beat")
                await endpoint.publish("beat", broker.Event("Beat", ()))
                await trio.sleep(0.01)

        nursery.start_soon(beat)
        _, findings, _ = await examined(address, "beat")
        assert findings["clock"]["state"] == state
        assert findings["clock"]["details"]["ahead_s"] == pytest.approx(ahead_s, abs=0.5)
        nursery.cancel_scope.cancel()


async def test_what_is_no_address_and_what_is_out_of_reach_fail_at_their_step() -> None:
    step, found = await failure("127.0.0.1:1")
    assert (step, "does not name a transport" in found) == ("address", True)
    step, found = await failure("inproc://here")
    assert (step, "one process" in found) == ("address", True)
    step, found = await failure("tcp://192.0.2.1:1")
    assert (step, "anybody could pose as it" in found) == ("address", True)
    step, found = await failure("tcp://no..host:1", insecure=True)
    assert step == "name"
    assert await failure("tcp://127.0.0.1:1") == ("connection", "127.0.0.1: refused")
    step, found = await failure("ipc:///no/such/socket")
    assert (step, "there is no such socket" in found) == ("connection", True)


async def silent(_: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def web_server(stream: trio.SocketStream) -> None:
    asked = b""
    async for some in stream:
        asked += some
        if b"\r\n\r\n" in asked:
            await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n")
            return


async def ssh_server(stream: trio.SocketStream) -> None:
    await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n")
    await trio.sleep_forever()


async def closing(_: trio.SocketStream) -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (silent, "it is silent: nothing came within 0.2 s"),
        (web_server, "what listens there speaks HTTP, not ZeroMQ"),
        (ssh_server, "what listens there speaks SSH, not ZeroMQ"),
        (closing, "it closed the connection without a word"),
    ],
)
async def test_another_program_at_the_port_is_told_by_what_it_says(
    server: Callable[[trio.SocketStream], Any], told: str
) -> None:
    async with served(server) as address:
        assert await failure(address, timeout_s=0.2) == ("greeting", told)


async def test_a_path_on_which_large_frames_get_lost_is_told() -> None:
    """Between both ends is a pipe that swallows all from the first large piece on, as a path of a smaller MTU does."""
    async with hub() as (_, address), trio.open_nursery() as nursery:

        async def swallow(near: trio.SocketStream) -> None:
            async with await trio.open_tcp_stream("127.0.0.1", int(address.rpartition(":")[2])) as far:
                nursery.start_soon(forward, far, near, 1 << 30)
                await forward(near, far, 4096)
                await trio.sleep_forever()

        async def forward(source: trio.SocketStream, target: trio.SocketStream, bytes_max: int) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for some in source:
                    if len(some) > bytes_max:
                        return
                    await target.send_all(some)

        async with served(swallow) as pipe:
            step, found = await failure(pipe, timeout_s=0.5)
            assert (step, "16,384 bytes were not acknowledged within 0.5 s" in found) == ("large frames", True)
        nursery.cancel_scope.cancel()


async def test_a_socket_of_this_machine_is_looked_at_as_well(tmp_path: Path) -> None:
    async with broker.Endpoint("hub") as endpoint:
        for address in (f"ipc://{tmp_path}/socket", f"ipc://@broker-{tmp_path.name}"):
            await endpoint.listen(address)
            code, findings, _ = await examined(address, timeout_s=0.3)
            assert (code, findings["path"]["state"], findings["greeting"]["state"]) == (0, "skipped", "ok")


async def test_a_name_that_is_taken_fails_the_handshake() -> None:
    async with hub() as (_, address):
        step, found = await failure(address, name="hub", timeout_s=0.3)
        assert (step, "is called 'hub' too" in found) == ("handshake", True)


async def test_an_end_of_another_version_fails_the_handshake() -> None:
    """A socket that turns everybody away, as an endpoint of another version would."""
    refusal = frames.encode(frames.Refusal("version", "hub speaks version 99, you speak 1 to 1: update the older one"))
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    try:
        port = router.bind_to_random_port("tcp://127.0.0.1")

        async def turn_away() -> None:
            while True:
                await trio.to_thread.run_sync(partial(router.poll, 20))
                while router.poll(0):
                    who, _ = router.recv_multipart()
                    router.send_multipart([who, frames.pack_header(frames.Kind.REFUSE, 0, 0, 0, 0) + refusal])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn_away)
            step, found = await failure(f"tcp://127.0.0.1:{port}", timeout_s=0.5)
            nursery.cancel_scope.cancel()
        assert (step, "hub speaks version 99" in found) == ("handshake", True)
    finally:
        context.destroy(linger=0)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Key files by name, each with rules beside it that trust all but the stranger's."""
    paths = {}
    rules = "".join(f'[keys.{name}]\nkey = "{key.public}"\n' for name, key in (("hub", HUB), ("other", OTHER)))
    of_hub = f'{rules}[keys.agent]\nkey = "{AGENT.public}"\nsubscribe = ["host/"]\n'
    for name, secret in (("hub", HUB), ("agent", AGENT), ("stranger", STRANGER)):
        folder = tmp_path / name
        folder.mkdir()
        write_key(folder / f"{name}.key", name, secret)
        write_access(folder / "access.toml", of_hub if name == "hub" else rules)
        paths[name] = str(folder / f"{name}.key")
    return paths


async def test_keys_that_do_not_fit_are_told_by_which_end_lacks_which(keys: dict[str, str]) -> None:
    async with hub() as (_, address):
        step, found = await failure(address, keys=keys["agent"], peer_key="hub")
        assert (step, found) == ("security", "it has no keys, and with ours we talk only to who has")
    async with hub(keys=keys["hub"]) as (endpoint, address), endpoint.status() as changes:
        assert await failure(address) == ("security", "it asks for keys, and we have none")
        step, found = await failure(address, keys=keys["agent"])
        assert (step, f"say of none that it is at {address}" in found) == ("key", True)
        step, found = await failure(address, keys=keys["agent"] + "x")
        assert (step, "there is no such file" in found) == ("key", True)
        with pytest.raises(trio.WouldBlock):  # so far nothing of it is an alarm at the other end
            changes.receive_nowait()
        step, found = await failure(address, keys=keys["stranger"], peer_key="hub")
        assert (step, "it does not trust our key" in found) == ("handshake", True)
        step, found = await failure(address, keys=keys["agent"], peer_key="other", timeout_s=0.5)
        assert (step, "another than bk1" in found) == ("handshake", True)


async def test_rights_are_tried_and_what_goes_without_them_is(keys: dict[str, str]) -> None:
    async with hub(keys=keys["hub"]) as (endpoint, address), endpoint.status() as changes:
        identity = {"keys": keys["agent"], "peer_key": "hub"}
        code, findings, verdict = await examined(address, "host/", "secret/", timeout_s=0.3, **identity)
        assert (code, verdict["failed"]) == (1, "rights")
        assert findings["rights"]["details"] == {"refused": ["secret/"], "allowed": ["host/"]}
        assert [findings[step]["state"] for step in ("round trip", "large frames")] == ["ok", "ok"]
        refused = [change async for change in _there(changes) if isinstance(change, broker.AccessRefused)]
        assert {change.what for change in refused} == {"secret/"}
        rules = Path(keys["hub"]).with_name("access.toml")
        _, findings, verdict = await examined(address, "secret/", timeout_s=0.3, access=rules, **identity)
        assert (verdict["failed"], "the access rules here do not give it" in findings["rights"]["found"]) == (
            "rights",
            True,
        )


async def _there(changes: broker.StatusReader) -> AsyncIterator[broker.Status]:
    try:
        while True:
            yield changes.receive_nowait()
    except trio.WouldBlock:
        return


async def test_in_a_terminal_it_ends_with_what_is_wrong_and_what_to_do() -> None:
    async with in_terminal(*command("doctor", "tcp://127.0.0.1:1"), term="dumb") as program:
        await program.out.next_with("✗ connection    127.0.0.1: refused")
        await program.out.next_with("nothing listens there")
        last = (await program.out.rest())[-1].strip()
        assert last == "tcp://127.0.0.1:1: no peering, because of the connection"
        assert await program.end() == 1
    code, _, errors = await finished(*command("doctor"))
    assert (code, "Missing argument 'ADDRESS'" in errors) == (2, True)
