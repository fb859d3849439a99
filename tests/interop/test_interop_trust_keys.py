"""Who is let in: over real sockets, by key, in both roles and over each transport that can have keys."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
import trio
import zmq
from interop_members import LOOPBACK
from interop_programs import Sample, free_of_sockets, next_status
from interop_trust import BRISK, CurvePeer, Realm, addresses, flow, linked, pair, strangers

import broker
from broker import Endpoint, SecretKey
from broker.net import listener as listener_module
from broker.net import security, sockets
from broker.protocol.frames import Kind, Refusal

TRANSPORTS = ["tcp", "ipc"]


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_endpoints_that_trust_each_other_link_and_events_flow_both_ways(realm: Realm, transport: str) -> None:
    async with (
        pair(realm, addresses(realm.folder)[transport]) as (here, there),
        here.subscribe("x") as to_here,
        there.subscribe("x") as to_there,
    ):
        await flow(here, to_there, number=1)
        await flow(there, to_here, number=2)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_dialler_whose_key_is_not_trusted_is_told_so_at_both_ends(realm: Realm, transport: str) -> None:
    realm.write("here")
    realm.keys["there"] = SecretKey.generate()
    with trio.fail_after(10):
        async with realm.endpoint("here") as here, here.status() as told, realm.endpoint("there") as there:
            address = await here.listen(addresses(realm.folder)[transport])
            with pytest.raises(broker.AuthenticationFailed, match=r"does not trust our key.*broker keys trust"):
                await there.peer(address, key="here")
            refused = await next_status(told, broker.PeerRefused)
            assert refused.code == "authentication"
            assert "is not trusted here" in refused.reason
            assert here.peers() == there.peers() == ()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_listener_with_another_key_than_is_expected_gets_no_word(realm: Realm, transport: str) -> None:
    realm.write("there")
    realm.keys["here"] = SecretKey.generate()
    with trio.fail_after(10):
        async with realm.endpoint("here") as here, here.status() as told, realm.endpoint("there") as there:
            address = await here.listen(addresses(realm.folder)[transport])
            with pytest.raises(
                broker.AuthenticationFailed, match=r"it closed the connection: has it no key, or another than bk1"
            ):
                await there.peer(address, key="here", timeout=0.5)
            refused = await next_status(told, broker.PeerRefused)
            assert refused.code == "authentication"
            assert "expects another one than ours" in refused.reason


async def test_an_address_whose_key_is_not_known_is_not_dialled(realm: Realm) -> None:
    async with realm.endpoint("here") as here, realm.endpoint("there") as there:
        address = await here.listen(LOOPBACK)
        with pytest.raises(
            broker.AuthenticationFailed, match=r"which key is to be expected.*peer\(\.\.\., key=\.\.\.\)"
        ):
            await there.peer(address)
        stranger = SecretKey.generate().public
        with pytest.raises(broker.AuthenticationFailed, match=f"{stranger} is not trusted here"):
            await there.peer(address, key=stranger)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("keyed", ["listener", "dialler"])
async def test_an_endpoint_with_keys_and_one_without_never_link(realm: Realm, transport: str, keyed: str) -> None:
    """Whichever end is first to see it closes the connection, and the other one can only guess: both say something."""
    here = realm.endpoint("here") if keyed == "listener" else Endpoint("here", timing=BRISK)
    there = realm.endpoint("there") if keyed == "dialler" else Endpoint("there", timing=BRISK)
    said = {
        "listener": r"it asks for keys, and this endpoint has none|does it ask for keys, and this endpoint has none",
        "dialler": r"it has no keys, and we talk only to who has|it closed the connection: has it no key, or another",
    }
    with trio.fail_after(10):
        async with here, here.status() as told, there:
            address = await here.listen(addresses(realm.folder)[transport])
            with pytest.raises(broker.PeeringError, match=said[keyed]) as caught:
                await there.peer(address, key="here" if keyed == "dialler" else None, timeout=0.5)
            if re.search("this endpoint has none.$|does it ask|it closed", str(caught.value)):
                refused = await next_status(told, broker.PeerRefused)
                assert refused.code == "authentication"
                assert ("it shows no key" if keyed == "listener" else "it asks for keys") in refused.reason
            assert here.peers() == there.peers() == ()


async def test_a_keyless_and_a_keyed_endpoint_do_not_link_over_inproc_either(realm: Realm) -> None:
    async with Endpoint("here") as here, realm.endpoint("there") as there:
        await here.listen("inproc://mixed")
        with pytest.raises(broker.AddressError, match="keys cannot be shown over inproc"):
            await there.peer("inproc://mixed", key="here")
        with pytest.raises(broker.AddressError, match="keys cannot be shown over inproc"):
            await there.listen("inproc://keyed")


@pytest.mark.parametrize(
    "address", ["tcp://192.0.2.1:4040", "tcp://0.0.0.0:4040", "tcp://[2001:db8::1]:4040", "tcp://[::]:4040",
                "tcp://server.example:4040", "tcp://127.0.0.1.example:4040", "tcp://eth0:4040", "tcp://*:0", "tcp://*:*"]
)  # fmt: skip
async def test_an_endpoint_without_keys_leaves_the_machine_only_if_told(address: str) -> None:
    async with Endpoint("bare") as bare:
        for verb in ("listen",) if "*" in address else ("listen", "peer"):
            with pytest.raises(broker.InsecureAddress) as caught:
                await getattr(bare, verb)(address)
            said = str(caught.value)
            assert "broker keys new" in said
            assert "broker keys trust" in said
            assert "insecure=True" in said


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:0", "tcp://127.8.9.10:0", "tcp://localhost:0", "tcp://lo:0", "tcp://[::1]:0"]
)
async def test_what_stays_on_the_machine_needs_no_keys(address: str) -> None:
    if "::1" in address and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    async with Endpoint("bare") as bare:
        await bare.listen(address)


async def test_a_host_called_lo_may_be_anywhere() -> None:
    async with Endpoint("bare") as bare:
        with pytest.raises(broker.InsecureAddress):
            await bare.peer("tcp://lo:4040")


async def test_insecure_is_for_endpoints_without_keys(realm: Realm) -> None:
    async with Endpoint("bare") as bare, realm.endpoint("here") as keyed:
        await bare.listen("tcp://0.0.0.0:0", insecure=True)
        with pytest.raises(ValueError, match="makes no sense"):
            await keyed.listen("tcp://0.0.0.0:0", insecure=True)
        await keyed.listen("tcp://0.0.0.0:0")


async def test_keys_without_whom_to_trust_and_rules_without_keys_are_refused(realm: Realm) -> None:
    with pytest.raises(ValueError, match="access rules need keys"):
        Endpoint("x", access=realm.access())
    with pytest.raises(ValueError, match="whom does it trust"):
        Endpoint("x", keys=realm.keys["here"])


# -- the handler of handshakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyed", [True, False])
async def test_handshakes_are_judged_before_anything_is_bound(
    realm: Realm, keyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is bound first lets in whoever connects meanwhile."""
    guarded: list[zmq.Socket[bytes]] = []
    binds = []

    def spying(kind: int) -> zmq.Socket[bytes]:
        made = sockets.new_socket(kind)
        bind = made.bind

        def checked(address: str) -> None:
            probe = made.context.socket(zmq.REP)
            try:
                assert made in guarded, "bound without somebody to judge who connects"
                with pytest.raises(zmq.ZMQError, match="in use"):  # the handler is there
                    probe.bind("inproc://zeromq.zap.01")
            except BaseException:
                made.close(0)
                raise
            finally:
                probe.close(0)
            binds.append(address)
            bind(address)

        made.__dict__["bind"] = checked
        return made

    def guarding(made: zmq.Socket[bytes], gate: security.Gate) -> None:
        security.guard_listening(made, gate)
        guarded.append(made)

    monkeypatch.setattr(listener_module, "new_socket", spying)
    monkeypatch.setattr(listener_module, "guard_listening", guarding)
    async with realm.endpoint("here") if keyed else Endpoint("here") as here:
        await here.listen(LOOPBACK)
    assert binds == [LOOPBACK]


async def test_a_thousand_refused_handshakes_leave_an_endpoint_as_it_was(
    realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair(realm) as (here, there), there.subscribe("x") as got, here.status() as told:
        address = await here.listen(LOOPBACK)
        refused: list[str] = []
        turned_away = here.turned_away

        def counting(address: str, code: str, reason: str) -> None:
            refused.append(reason)
            turned_away(address, code, reason)

        monkeypatch.setattr(here, "turned_away", counting)
        for number in range(1, 11):
            with strangers(address, realm.keys["here"].public, 100):
                while len(refused) < 100 * number:  # noqa: ASYNC110 - nothing tells of each
                    await trio.sleep(0.002)
            await flow(here, got, number=number)
        assert all("is not trusted here" in why for why in refused)
        while not re.search(r", \d+ times$", (await next_status(told, broker.PeerRefused)).reason):
            pass  # told once a second, with how many there were
        assert [peer.name for peer in here.peers()] == ["there"]
        assert len(here._network._listeners[address]._wires) == 0  # type: ignore[attr-defined]


# -- revoked ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("revoked", ["dialler", "listener"])
async def test_who_is_revoked_is_cut_off_within_a_second(realm: Realm, transport: str, revoked: str) -> None:
    address = addresses(realm.folder)[transport]
    async with pair(realm, address) as (here, there):
        judging, out = (here, there) if revoked == "dialler" else (there, here)
        async with judging.status() as told, out.status() as told_out, judging.subscribe("x") as got:
            await flow(out, got)
            arrivals = [0.0]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_publish_on_and_on, out)
                nursery.start_soon(_note_arrivals, got, arrivals)
                replaced_at = trio.current_time()
                realm.write(judging.name, **{out.name: {"revoked": True}})
                lost = await next_status(told, broker.PeerLost)
                assert trio.current_time() - replaced_at < 1.0
                assert (lost.peer, lost.code) == (out.name, "refused")
                assert f"the key of {out.name} has been revoked" in lost.reason
                assert "revoked" in (await next_status(told_out, broker.PeerLost)).reason
                await _kept_out(out, told_out, judging, told)
                assert replaced_at < arrivals[-1] < replaced_at + 1.0  # they came until then, and none later
                assert judging.peers() == out.peers() == ()
                nursery.cancel_scope.cancel()


async def _kept_out(out: Endpoint, told_out: broker.StatusReader, judging: Endpoint, told: broker.StatusReader) -> None:
    """Wait until it has tried to come back, or would have been dialled again, and was not let in."""
    if out.name == "there":
        await next_status(told, broker.PeerRefused)
        await next_status(told_out, broker.PeeringFailed)
    else:
        failed = await next_status(told, broker.PeeringFailed)
        assert failed.code == "authentication"


async def _publish_on_and_on(endpoint: Endpoint) -> None:
    number = 10
    while True:
        await endpoint.publish("x", Sample(endpoint.name, number, 0.0))
        number += 1
        await trio.sleep(0.001)


async def _note_arrivals(got: broker.Subscriber, arrivals: list[float]) -> None:
    async for _ in got:
        arrivals.append(trio.current_time())  # noqa: PERF401 - they are looked at meanwhile


async def test_who_is_revoked_and_trusted_again_is_let_in_again(realm: Realm) -> None:
    async with pair(realm) as (here, there), here.status() as told, there.subscribe("x") as got:
        realm.write("here", there={"revoked": True})
        await next_status(told, broker.PeerLost)
        realm.write("here")
        await next_status(told, broker.PeerAdded)
        await flow(here, got)


async def test_who_is_revoked_does_not_even_get_as_far_as_our_own_handshake(realm: Realm) -> None:
    realm.write("here", there={"revoked": True})
    async with realm.endpoint("here") as here, here.status() as told:
        address = await here.listen(LOOPBACK)
        with CurvePeer(address, realm.keys["there"], realm.keys["here"].public) as revoked:
            await revoked.hello("there")
            refused = await next_status(told, broker.PeerRefused)
            assert (refused.peer, refused.code) == ("unknown", "authentication")
            assert "the key of there has been revoked" in refused.reason
            assert await revoked.nothing(0.1)


async def test_a_link_is_judged_again_by_the_name_that_its_key_may_have(realm: Realm) -> None:
    """An endpoint's name may be one of those that its entry lists; when it is listed no more, the link ends."""
    realm.write("here", there={"names": ("guest-*",)})
    with trio.fail_after(10):
        async with realm.endpoint("here") as here, here.status() as told, realm.endpoint("there", "guest-1") as there:
            await linked(here, there, "here")
            assert [peer.name for peer in here.peers()] == ["guest-1"]
            realm.write("here")
            lost = await next_status(told, broker.PeerLost)
            assert lost.code == "refused"
            assert "may not be called 'guest-1'" in lost.reason


async def test_an_endpoint_whose_key_is_revoked_in_its_own_rules_says_so(realm: Realm) -> None:
    async with pair(realm) as (here, there), here.status() as told, here.subscribe("x") as got:
        realm.write("here", here={"revoked": True})
        rules = await next_status(told, broker.AccessRules)
        assert rules.accepted
        assert "our own key" in rules.reason
        await flow(there, got)  # others judge whether it is let in, by their rules


# -- dialling by hand ------------------------------------------------------------------------------------------------


async def test_a_name_that_a_key_may_not_have_is_refused(realm: Realm) -> None:
    async with realm.endpoint("here") as here, here.status() as told:
        address = await here.listen(LOOPBACK)
        with CurvePeer(address, realm.keys["there"], realm.keys["here"].public) as posing:
            await posing.hello("here@elsewhere")
            refusal = await posing.answer(Kind.REFUSE, Refusal)
        assert refusal.code == "authorisation"
        assert "the key of there may not be called 'here@elsewhere'" in refusal.text
        assert (await next_status(told, broker.PeerRefused)).code == "authorisation"


async def test_sockets_of_those_who_were_turned_away_are_closed(realm: Realm) -> None:
    async with realm.endpoint("here") as here, here.status() as told:
        address = await here.listen(LOOPBACK)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
        with strangers(address, realm.keys["here"].public, 20):
            await next_status(told, broker.PeerRefused)
        await free_of_sockets(before)
