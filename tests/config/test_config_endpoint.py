from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import trio

import broker
import broker.aio
import broker.blocking


def written(directory: Path, text: str) -> Path:
    path = directory / "broker.toml"
    path.write_text(text)
    return path


async def test_it_listens_and_dials_and_those_it_dials_may_come_later(tmp_path: Path) -> None:
    hub = f"ipc://{tmp_path}/hub"
    agent = broker.Endpoint.from_config(written(tmp_path, f'peer = ["{hub}"]\n[endpoint]\nname = "agent"\n'))
    async with agent, agent.status() as changes:
        assert isinstance(await changes.receive(), broker.PeeringFailed)  # and it is tried again
        config = written(tmp_path, f'listen = ["{hub}", "tcp://127.0.0.1:0"]\n[endpoint]\nname = "hub"\n')
        async with broker.Endpoint.from_config(config) as listening, listening.subscribe("host/") as messages:
            await agent.subscribers("host/")
            await agent.publish("host/up", broker.Event("Up", ()))
            assert (await messages.receive()).origin == "agent"
            ipc, tcp = listening.addresses()
            assert (ipc, tcp.rpartition(":")[0]) == (hub, "tcp://127.0.0.1")
            assert not tcp.endswith(":0")


async def test_arguments_come_before_variables_and_they_before_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, '[endpoint]\nname = "file"\nforward = true\nlinger_s = "1 s"\n')
    variables = {"BROKER_ENDPOINT__NAME": "variable", "BROKER_ENDPOINT__FORWARD": "false"}
    assert broker.Endpoint.from_config(config, environ={}).name == "file"
    assert broker.Endpoint.from_config(config, environ=variables).name == "variable"
    endpoint = broker.Endpoint.from_config(config, environ=variables, name="argument")
    assert endpoint.name == "argument"
    async with endpoint:
        assert [found.forward for found in endpoint.mesh().endpoints] == [False]


async def test_an_address_that_cannot_be_listened_on_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        endpoint = broker.Endpoint.from_config(written(tmp_path, f'listen = ["tcp://127.0.0.1:{port}"]'))
        with pytest.raises(broker.ListenError):
            await endpoint.__aenter__()
        with pytest.raises(broker.EndpointClosed):
            await endpoint.listen("tcp://127.0.0.1:0")


async def test_who_is_unpeered_while_it_is_dialled_is_dialled_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = f"ipc://{tmp_path}/hub"
    async with broker.Endpoint.from_config(written(tmp_path, f'peer = ["{hub}"]')) as agent, agent.status() as changes:
        await changes.receive()
        await agent.unpeer(hub)
        await trio.testing.wait_all_tasks_blocked()
        assert "tried again" not in caplog.text
        with pytest.raises(KeyError):
            await agent.unpeer(hub)


async def test_a_peer_that_is_refused_is_told_once_and_tried_again_until_rules_allow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("broker.handles.wiring._REFUSED_S", 0.01)
    ours, theirs = broker.SecretKey.generate(), broker.SecretKey.generate()
    address = f"ipc://{tmp_path}/hub"
    both = broker.Access(
        trusted={
            "agent": broker.Trusted(keys=(ours.public,)),
            "hub": broker.Trusted(keys=(theirs.public,), addresses=(address,)),
        }
    )
    config = written(tmp_path, f'peer = ["{address}"]')
    agent = broker.Endpoint.from_config(config, name="agent", keys=ours, access=broker.Access())
    often, peer = trio.Event(), agent.peer
    attempts = 0

    async def counting(*arguments: Any, **options: Any) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            often.set()
        await peer(*arguments, **options)

    monkeypatch.setattr(agent, "peer", counting)
    async with broker.Endpoint("hub", keys=theirs, access=both) as hub, agent, hub.status() as changes:
        await hub.listen(address)
        with trio.fail_after(20):
            await often.wait()
        agent.change_access(both)
        assert isinstance(await changes.receive(), broker.PeerAdded)
    assert caplog.text.count("is tried again") == 1


def test_keys_and_rules_may_be_objects(tmp_path: Path) -> None:
    config = written(tmp_path, 'listen = ["tcp://*:0"]')  # which is refused without keys
    endpoint = broker.Endpoint.from_config(config, keys=broker.SecretKey.generate(), access=broker.Access())
    assert endpoint.security() is not None
    with pytest.raises(broker.ConfigError, match="there are no keys"):
        broker.Endpoint.from_config(config, environ={})


def test_blocking_and_asyncio_programs_have_it_too(tmp_path: Path) -> None:
    config = written(tmp_path, 'listen = ["tcp://127.0.0.1:0"]\n[endpoint]\nname = "hub"\n')
    with broker.blocking.Endpoint.from_config(config) as endpoint:
        assert endpoint.addresses()[0].startswith("tcp://127.0.0.1:")
    assert broker.aio.Endpoint.from_config(config, name="other").name == "other"
