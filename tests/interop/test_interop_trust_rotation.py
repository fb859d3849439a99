"""Keys that are changed while messages flow: both ends go on in their sessions, and the former key is worth nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
from interop_members import LOOPBACK
from interop_programs import Sample, next_status
from interop_trust import Realm, addresses, flow, until

import broker
from broker import Endpoint, SecretKey, endpoint_life, keyring

BATCH = 20_000


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Have files looked at often, save where it is measured how long it takes."""
    if "second" not in request.node.name:
        monkeypatch.setattr(endpoint_life, "LOOK_S", 0.04)


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there")


class Tally:
    """What came: each number once, in order."""

    def __init__(self) -> None:
        self.count = 0

    async def take(self, got: broker.Subscriber) -> None:
        async for message in got:
            assert (message.event.number, message.lost_before) == (self.count, 0)
            self.count += 1


async def publish_on_and_on(endpoint: Endpoint, tally: Tally, said: list[int]) -> None:
    while True:
        await endpoint.publish("x", Sample(endpoint.name, said[0], 0.0))
        said[0] += 1
        if said[0] % 500 == 0:
            await trio.sleep(0.005)  # some 50,000 a second


async def until_grown(tally: Tally, count: int) -> None:
    target = tally.count + count
    while tally.count < target:  # noqa: ASYNC110 - a count
        await trio.sleep(0.005)


def both(realm: Realm, name: str, new: SecretKey) -> dict[str, dict[str, object]]:
    """An entry with the former key and the new one."""
    return {name: {"keys": (realm.keys[name].public, new.public)}}


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize("changing", ["listener", "dialler"])
async def test_a_key_changed_while_messages_flow_loses_doubles_and_reorders_none(
    realm: Realm, transport: str, changing: str
) -> None:
    """The dialler expects the listener's key by its name in the rules."""
    changer, other = ("here", "there") if changing == "listener" else ("there", "here")
    new = SecretKey.generate()
    to_here, to_there, said_here, said_there = Tally(), Tally(), [0], [0]
    ends = {name: realm.endpoint(name, keys=realm.key_path(name)) for name in ("here", "there")}
    with trio.fail_after(30):
        async with ends["here"] as here, ends["there"] as there, trio.open_nursery() as nursery:
            await there.peer(await here.listen(addresses(realm.folder)[transport]), key="here")
            async with (
                here.subscribe("x", queue_messages=100_000) as got_here,
                there.subscribe("x", queue_messages=100_000) as got_there,
                ends[changer].status() as told,
                ends[other].status() as told_other,
            ):
                for end in (here, there):
                    await end.subscribers("x", 2)
                nursery.start_soon(take_of, got_here, "there", to_here)
                nursery.start_soon(take_of, got_there, "here", to_there)
                nursery.start_soon(publish_on_and_on, here, to_there, said_here)
                nursery.start_soon(publish_on_and_on, there, to_here, said_there)
                await until_grown(to_there, BATCH // 4)
                # 1. The other one trusts the new key, too.
                realm.write(other, **both(realm, changer, new))
                await next_status(told_other, broker.AccessRules)
                # 2. It is put in the former one's place.
                keyring.write_key(realm.key_path(changer), changer, new, replace=True)
                for reader in (told, told_other):
                    seen = await until(reader, lambda s: isinstance(s, broker.PeerResumed | broker.PeerLost))
                    assert isinstance(seen, broker.PeerResumed)
                # 3. The former one is trusted no longer.
                former, realm.keys[changer] = realm.keys[changer], new
                realm.write(other)
                await next_status(told_other, broker.AccessRules)
                for tally in (to_here, to_there):
                    await until_grown(tally, BATCH // 4)
                nursery.cancel_scope.cancel()
                assert (await told_nothing_of_losses(told), await told_nothing_of_losses(told_other)) == (True, True)
            assert min(to_here.count, to_there.count) > BATCH // 2
            await refused_with_former_key(realm, changer, former, ends[other], there)


async def take_of(got: broker.Subscriber, origin: str, tally: Tally) -> None:
    async for message in got:
        if message.origin == origin:
            assert (message.event.number, message.lost_before) == (tally.count, 0)
            tally.count += 1


async def told_nothing_of_losses(told: broker.StatusReader) -> bool:
    """Whether none of what was told so far is a loss."""
    with trio.move_on_after(0.02):
        lost = await next_status(told, broker.MessagesLost, broker.PeerLost)
        raise AssertionError(str(lost))
    return True


async def refused_with_former_key(
    realm: Realm, changer: str, former: SecretKey, other: Endpoint, there: Endpoint
) -> None:
    """Neither dialling nor listening gets anywhere with the key that was changed."""
    address = await other.listen(LOOPBACK)
    async with realm.endpoint(changer, f"{changer}@old", keys=former) as old:
        with pytest.raises(broker.AuthenticationFailed, match="does not trust our key"):
            await old.peer(address, key=other.name)
        if other is there:
            posing = await old.listen(LOOPBACK)
            with pytest.raises(broker.AuthenticationFailed, match="it closed the connection"):
                await there.peer(posing, key=changer, timeout=0.3)


@pytest.mark.parametrize("address", ["ipc://PATH", "ipc://*", "tcp://*:0", "tcp://[::1]:0", "tcp://localhost:0"])
async def test_a_key_is_changed_again_before_the_first_change_is_through(realm: Realm, address: str) -> None:
    if "::1" in address and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    first, second = SecretKey.generate(), SecretKey.generate()
    keys = (realm.keys["here"].public, first.public, second.public)
    realm.write("there", here={"keys": keys})
    with trio.fail_after(20):
        async with realm.endpoint("here", keys=realm.key_path("here")) as here, realm.endpoint("there") as there:
            bound = await here.listen(address.replace("PATH", str(realm.folder / "socket")))
            await there.peer(bound.replace("//0.0.0.0:", "//127.0.0.1:"), key="here")
            async with there.subscribe("x") as got, there.status() as told:
                credentials = here._credentials
                assert credentials is not None
                for key in (first, second):
                    credentials.change(key, None)
                    here._apply_credentials()
                await next_status(told, broker.PeerResumed)
                await flow(here, got)
                assert credentials.secret == second
                async with realm.endpoint("there", "there@2") as other:  # it is listened on with the last one
                    await other.peer(bound.replace("//0.0.0.0:", "//127.0.0.1:"), key=second.public)
        if address == "ipc://*":
            assert not Path(bound.removeprefix("ipc://")).parent.exists()


@pytest.mark.parametrize("spoiled", ["gone", "open to others", "not a key"])
async def test_a_key_file_that_cannot_be_used_any_more_leaves_the_former_key(realm: Realm, spoiled: str) -> None:
    path = realm.key_path("here")
    with trio.fail_after(20):
        async with realm.endpoint("here", keys=path) as here, realm.endpoint("there") as there, here.status() as told:
            await there.peer(await here.listen(LOOPBACK), key="here")
            async with there.subscribe("x") as got:
                if spoiled == "gone":
                    path.unlink()
                elif spoiled == "open to others":
                    path.chmod(0o644)
                else:
                    path.write_text("secret = 3")
                rules = await next_status(told, broker.AccessRules, broker.PeerLost, broker.PeerInterrupted)
                assert not rules.accepted
                assert rules.source == str(path)
                assert realm.keys["here"].text not in str(rules)
                await flow(here, got)


async def test_an_address_that_is_taken_while_the_key_is_changed_is_tried_until_it_is_free(
    realm: Realm, caplog: pytest.LogCaptureFixture
) -> None:
    new = SecretKey.generate()
    realm.write("there", **both(realm, "here", new))
    with trio.fail_after(20):
        async with realm.endpoint("here", keys=realm.key_path("here")) as here, realm.endpoint("there") as there:
            address = await here.listen(LOOPBACK)
            await there.peer(address, key="here")
            async with there.subscribe("x") as got, here.status() as told, there.status() as told_there:
                keyring.write_key(realm.key_path("here"), "here", new, replace=True)
                async with Endpoint("thief") as thief:
                    while True:
                        try:
                            await thief.listen(address)
                        except broker.ListenError:
                            await trio.lowlevel.checkpoint()
                        else:
                            break
                    await next_status(told, broker.AccessRules)
                    while "cannot be listened on with the new key yet" not in caplog.text:  # noqa: ASYNC110 - a log
                        await trio.sleep(0.01)
                await next_status(told_there, broker.PeerResumed)
                await flow(here, got)
