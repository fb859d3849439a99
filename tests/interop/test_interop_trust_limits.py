"""What keys and access rules do not protect from, shown: SECURITY.md says it, and these tests keep it honest."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import trio
from interop_members import LOOPBACK
from interop_programs import Sample, next_status
from interop_trust import CurvePeer, Realm, flow, linked, pair
from test_interop_trust_middle import ends
from test_interop_trust_posing import line

import broker
from broker import Endpoint
from broker.protocol.frames import Kind, Refusal, Welcome


@broker.log_record("interop.LimitLine")
class Line:
    text: str


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there", "mallory")


# -- relays ----------------------------------------------------------------------------------------------------------


async def test_a_relay_sees_what_passes_it(realm: Realm) -> None:
    async with line(realm) as made, made.there.subscribe("payroll") as got:
        await made.here.subscribers("payroll")
        await made.here.publish("payroll", Sample("s", 1, 0.0, "a plain value"))
        await got.receive()
        ((_, _, body),) = made.passed
        assert b"payroll" in body
        assert b"a plain value" in body


async def test_a_relay_can_hold_back_what_passes_it_and_no_more_than_that(realm: Realm) -> None:
    async with line(realm) as made, made.there.subscribe("x") as got:
        await flow(made.here, got)
        transit = made.relay._node.transit
        pass_on = transit._pass_on
        held: list[int] = []
        transit._pass_on = lambda *frame: held.append(1)  # type: ignore[method-assign]
        await made.here.publish("x", Sample("s", 2, 0.0))
        with trio.move_on_after(0.1):
            raise AssertionError(f"it came: {await got.receive()}")
        assert held
        transit._pass_on = pass_on  # type: ignore[method-assign]
        assert (await got.receive()).event.number == 2  # sent again, for it was never acknowledged


async def test_between_neighbours_nobody_else_sees_anything(realm: Realm) -> None:
    """A third one that both are linked with sees nothing of what goes straight from one to the other."""
    async with line(realm) as made, made.there.subscribe("x") as got:
        await linked(made.here, made.there, "here")
        assert "there" in [peer.name for peer in made.here.peers()]
        made.passed.clear()
        await flow(made.here, got)
        assert made.passed == []


# -- keys ------------------------------------------------------------------------------------------------------------


async def test_who_has_a_copy_of_a_secret_key_is_taken_for_its_holder_until_it_is_revoked(realm: Realm) -> None:
    async with pair(realm) as (here, _), realm.endpoint("there", "there@copy") as thief, here.status() as told:
        await thief.peer(await here.listen(LOOPBACK), key="here")
        async with thief.subscribe("x") as got:
            await flow(here, got)
            realm.write("here", there={"revoked": True})
            assert {(await next_status(told, broker.PeerLost)).peer for _ in range(2)} == {"there", "there@copy"}


async def test_a_trusted_key_can_take_the_id_of_a_process_that_is_not_known_yet_and_not_its_name(realm: Realm) -> None:
    async with realm.endpoint("here") as here:
        address, server = await here.listen(LOOPBACK), realm.keys["here"].public
        with (
            CurvePeer(address, realm.keys["mallory"], server) as squatter,
            CurvePeer(address, realm.keys["there"], server) as owner,
        ):
            await squatter.hello("there", owner.id)
            assert (await squatter.answer(Kind.REFUSE, Refusal)).code == "authorisation"
        with (
            CurvePeer(address, realm.keys["mallory"], server) as squatter,
            CurvePeer(address, realm.keys["there"], server) as owner,
        ):
            await squatter.hello("mallory", owner.id)
            await squatter.answer(Kind.WELCOME, Welcome)
            await owner.hello("there")
            await owner.answer(Kind.REFUSE, Refusal)
            assert [peer.name for peer in here.peers()] in ([], ["mallory"])


# -- the network -----------------------------------------------------------------------------------------------------


async def test_how_much_is_said_and_when_can_be_seen(tmp_path: Path) -> None:
    realm = Realm(tmp_path, "alpha-endpoint", "omega-endpoint")
    async with ends(realm) as (here, there, middle), there.subscribe("x") as got:
        await flow(here, got)
        sizes = []
        for length in (1_000, 20_000):
            before = middle.passed["down"]
            await here.publish("x", Sample("s", length, 0.0, "n" * length))
            await got.receive()
            sizes.append(middle.passed["down"] - before)
        assert 1_000 <= sizes[0] < 5_000
        assert 20_000 <= sizes[1] < 25_000


async def test_each_connection_is_encrypted_with_keys_of_its_own(tmp_path: Path) -> None:
    """The dialler's key for one connection is in its first command, in the clear: https://rfc.zeromq.org/spec/26."""
    realm = Realm(tmp_path, "alpha-endpoint", "omega-endpoint")
    async with ends(realm) as (_, there, middle), there.status() as told:
        middle.cut("rst")
        await next_status(told, broker.PeerResumed)
    keys = set()
    for sent in middle.all("up"):
        begin = sent.index(b"\x05HELLO") + 6 + 2 + 72
        keys.add(sent[begin : begin + 32])
    assert len(keys) == middle.opened == 2


@pytest.mark.parametrize("transport", ["tcp", "ipc", "inproc"])
async def test_without_keys_everybody_who_can_reach_an_endpoint_on_its_machine_is_let_in(
    tmp_path: Path, transport: str
) -> None:
    address = {"tcp": LOOPBACK, "ipc": f"ipc://{tmp_path}/socket", "inproc": "inproc://open"}[transport]
    async with Endpoint("here") as here, Endpoint("anybody") as anybody:
        await anybody.peer(await here.listen(address))
        async with anybody.subscribe("") as got:
            await here.subscribers("x")
            await here.publish("x", Sample("s", 1, 0.0))
            assert (await got.receive()).event.number == 1


# -- files -----------------------------------------------------------------------------------------------------------


async def test_files_of_stores_and_spools_are_not_encrypted(realm: Realm) -> None:
    async with (
        realm.endpoint("here") as here,
        here.master("hosts", path=realm.folder / "store") as store,
        here.log("conn", Line, path=realm.folder / "spool") as log,
    ):
        await store.put("k", "a value on the disk")
        await log.write(Line("a record on the disk"))
    on_disk = {
        name: b"".join(path.read_bytes() for path in realm.folder.glob(f"{name}*") if path.is_file())
        for name in ("store", "spool")
    }
    assert b"a value on the disk" in on_disk["store"]
    assert b"a record on the disk" in on_disk["spool"]


async def test_files_of_stores_and_spools_are_as_open_as_the_umask_lets_them_be(realm: Realm) -> None:
    former = os.umask(0o077)
    try:
        async with realm.endpoint("here") as here, here.master("hosts", path=realm.folder / "store"):
            pass
    finally:
        os.umask(former)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in realm.folder.glob("store*")]
    assert modes
    assert all(not mode & 0o077 for mode in modes)


def test_a_secret_key_shows_itself_only_when_asked_for_its_text(realm: Realm) -> None:
    secret = realm.keys["here"]
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), repr(realm.endpoint("here"))):
        assert secret.text not in shown
