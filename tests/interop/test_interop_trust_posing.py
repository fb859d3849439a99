"""Holders of trusted keys who say that they are somebody else: by name, process, session, routing id; as relays."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import zmq
from interop_members import LOOPBACK
from interop_programs import Sample, next_status
from interop_trust import CurvePeer, Realm, flow, linked, pair, until

import broker
from broker import Endpoint
from broker.net.listener import Listener
from broker.net.sockets import readable
from broker.protocol import frames
from broker.protocol.addresses import address_of, entry_of, read_address
from broker.protocol.frames import HEADER_BYTES, TTL_DEFAULT, Header, Kind, Refusal, Welcome
from broker.protocol.link import Link, OutFrame


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "here", "there", "mallory")


@asynccontextmanager
async def attacked(realm: Realm) -> AsyncIterator[tuple[Endpoint, Endpoint, broker.StatusReader, str]]:
    """``there`` linked with ``here``, what ``here`` tells from now on, and where it listens."""
    async with pair(realm) as (here, there):
        address = await here.listen(LOOPBACK)
        async with here.status() as told:
            yield here, there, told, address


def mallory(realm: Realm, address: str, identity: bytes = b"") -> CurvePeer:
    return CurvePeer(address, realm.keys["mallory"], realm.keys["here"].public, identity)


async def test_nobody_is_let_in_by_the_name_of_another_key(realm: Realm) -> None:
    async with attacked(realm) as (here, there, told, address), there.subscribe("x") as got:
        for name in ("there", "there@2", "here", "here@1"):
            with mallory(realm, address) as posing:
                await posing.hello(name)
                refusal = await posing.answer(Kind.REFUSE, Refusal)
                assert (refusal.code, name in refusal.text) == ("authorisation", True)
            assert (await next_status(told, broker.PeerRefused, broker.PeerLost)).code == "authorisation"
        await flow(here, got)


@pytest.mark.parametrize("session", ["none", "own", "another"])
async def test_nobody_is_let_in_as_a_process_that_has_another_key(realm: Realm, session: str) -> None:
    async with attacked(realm) as (here, there, told, address), there.subscribe("x") as got:
        link = here._node.peerings.links[there._node.id]
        sessions = {"none": b"", "own": link.session, "another": b"12345678"}
        for name in ("mallory", "there"):
            with mallory(realm, address) as posing:
                await posing.hello(name, there._node.id, sessions[session])
                refusal = await posing.answer(Kind.REFUSE, Refusal)
                assert refusal.code in {"authentication", "authorisation", "protocol"}
            assert isinstance(await next_status(told, broker.PeerRefused, broker.PeerInterrupted), broker.PeerRefused)
        assert here._node.peerings.links[there._node.id] is link
        await flow(here, got)


async def test_nobody_is_let_in_as_a_process_further_away_that_has_another_key(realm: Realm) -> None:
    realm.keys["third"] = broker.SecretKey.generate()
    async with attacked(realm) as (here, there, told, address), realm.endpoint("third") as third:
        await linked(there, third, "there")
        async with third.subscribe("x") as got:
            await here.subscribers("x")
            with mallory(realm, address) as posing:
                await posing.hello("mallory", third._node.id)
                refusal = await posing.answer(Kind.REFUSE, Refusal)
            assert refusal.code == "authentication"
            assert "a process that has another key" in refusal.text
            assert (await next_status(told, broker.PeerRefused)).code == "authentication"
            await flow(here, got)


async def test_a_session_that_waits_for_its_peer_is_not_resumed_by_another_key(realm: Realm) -> None:
    """Not even by one that knows the session's secret, with the peer's own name."""
    async with pair(realm) as (here, there):
        address = await here.listen(LOOPBACK)
        id_, session = there._node.id, here._node.peerings.links[there._node.id].session
        async with here.status() as told, there.subscribe("x"):
            await here.subscribers("x")
            there._node.peerings.peerings.clear()  # it does not come back by itself
            there._network.hangup(there._node.peerings.links[here._node.id].wire)  # type: ignore[arg-type]
            await next_status(told, broker.PeerInterrupted)
            await here.publish("x", Sample("s", 1, 0.0, "for there alone"))
            for name in ("there", "mallory"):
                with mallory(realm, address) as posing:
                    await posing.hello(name, id_, session)
                    kind, payload = await posing.next()
                    assert kind == Kind.REFUSE
                    assert b"for there alone" not in payload
            assert isinstance(await next_status(told, broker.PeerRefused, broker.PeerResumed), broker.PeerRefused)


# -- routing ids -----------------------------------------------------------------------------------------------------


def listener_of(endpoint: Endpoint, address: str) -> Listener:
    found: Listener = endpoint._network._listeners[address]  # type: ignore[attr-defined]
    return found


async def test_who_chooses_its_routing_id_is_turned_away(realm: Realm) -> None:
    async with attacked(realm) as (_, _, told, address):
        with mallory(realm, address, b"an id of mine") as posing:
            await posing.hello("mallory")
            refused = await next_status(told, broker.PeerRefused, broker.PeerAdded)
            assert "a routing id of its own choice" in refused.reason
            assert await posing.nothing(0.05)
        with mallory(realm, address) as honest:
            await honest.hello("mallory")
            assert (await honest.answer(Kind.WELCOME, Welcome)).name == "here"


async def test_who_takes_a_routing_id_as_its_owner_goes_is_not_taken_for_it(realm: Realm) -> None:
    """The owner's connection is gone and ZeroMQ has given its id to another before the listener has heard of it."""
    async with attacked(realm) as (here, _, told, address):
        listener = listener_of(here, address)
        with CurvePeer(address, realm.keys["there"], realm.keys["here"].public) as owner:
            await owner.hello("there@2")
            await owner.answer(Kind.WELCOME, Welcome)
            (identity,) = listener._wires
        # From here on the loop stands still.
        until_gone(listener, identity)
        with mallory(realm, address, identity) as thief:
            bye = frames.pack_header(Kind.BYE, 0, 0, 0, 0) + frames.encode(Refusal("bye", "the thief was here"))
            for _ in range(3):
                thief.socket.send(bye)
            deadline = time.monotonic() + 5
            while not readable(listener.socket):
                assert time.monotonic() < deadline
                time.sleep(0.001)  # noqa: ASYNC251
            assert identity in listener._wires
            listener._read()
            end = await next_status(told, broker.PeerInterrupted, broker.PeerLost)
            assert isinstance(end, broker.PeerInterrupted)
            assert end.peer == "there@2"


def until_gone(listener: Listener, identity: bytes) -> None:
    """Wait, without letting anybody else run, until ZeroMQ has forgotten an identity."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            listener.socket.send(identity, zmq.NOBLOCK | zmq.SNDMORE)
        except zmq.ZMQError:
            return
        listener.socket.send(b"", zmq.NOBLOCK)
        time.sleep(0.001)
    raise AssertionError("its connection is not closed")


# -- relays ----------------------------------------------------------------------------------------------------------


class Line:
    """``here``, a malicious relay with the right to relay, and ``there`` behind it; ``fourth`` is at the relay, too."""

    def __init__(self, here: Endpoint, relay: Endpoint, there: Endpoint, fourth: Endpoint) -> None:
        self.here, self.relay, self.there, self.fourth = here, relay, there, fourth
        self.passed: list[tuple[Header, bytes, bytes]] = []  # header, address, body
        transit = relay._node.transit
        pass_on = transit._pass_on

        def recorded(header: Header, address: object, frame: bytes, by_hop: dict[Link, list[bytes]]) -> None:
            read = read_address(frame, HEADER_BYTES, header.flags)
            if header.kind == Kind.EVENTS:
                self.passed.append(
                    (header, frame[HEADER_BYTES : HEADER_BYTES + read.size], frame[HEADER_BYTES + read.size :])
                )
            pass_on(header, address, frame, by_hop)  # type: ignore[arg-type]

        transit._pass_on = recorded  # type: ignore[method-assign]

    def send(self, to: Endpoint, header: Header, address: bytes, body: bytes) -> None:
        """Let the relay send a frame over its link with an endpoint."""
        node = self.relay._node
        link = node.peerings.links[to._node.id]
        link.send(OutFrame(header.kind, body, address, TTL_DEFAULT, header.flags))
        node._touched[link] = None
        node._pump()
        self.relay._carry_out()


@asynccontextmanager
async def line(realm: Realm) -> AsyncIterator[Line]:
    realm.keys["fourth"] = broker.SecretKey.generate()
    with trio.fail_after(20):
        async with (
            realm.endpoint("here") as here,
            realm.endpoint("mallory") as relay,
            realm.endpoint("there") as there,
            realm.endpoint("fourth") as fourth,
        ):
            for endpoint in (here, there, fourth):
                await linked(relay, endpoint, "mallory")
            yield Line(here, relay, there, fourth)


async def test_what_a_relay_plays_again_is_not_taken_twice(realm: Realm) -> None:
    async with line(realm) as made, made.there.subscribe("x") as got:
        await flow(made.here, got, number=1)
        await flow(made.here, got, number=2)
        for header, address, body in made.passed:
            for _ in range(3):
                made.send(made.there, header, address, body)
        await made.here.publish("x", Sample("s", 3, 0.0))
        assert (await got.receive()).event.number == 3


@pytest.mark.parametrize("forgery", ["changed", "another receiver", "another place", "without a seal", "of another's"])
async def test_what_a_relay_makes_up_in_the_name_of_another_is_refused_and_told(realm: Realm, forgery: str) -> None:
    async with line(realm) as made, made.there.subscribe("x") as got, made.fourth.subscribe("x") as got_fourth:
        await made.here.subscribers("x", 2)
        await flow(made.here, got, number=1)
        assert (await got_fourth.receive()).event.number == 1
        (header, address, body), *_ = made.passed
        read = read_address(HEADER_BYTES * b"\0" + address, HEADER_BYTES, header.flags)
        own = read.alone(made.there._node.id) or next(e for e in read.entries() if e.id == made.there._node.id)
        target, seal = made.there, own.raw[28:]
        flow_number, place = own.flow, own.sequence
        match forgery:
            case "changed":
                body = body[:-1] + bytes([body[-1] ^ 1])
                place += 1
            case "another receiver":
                target = made.fourth
                place += 1
            case "another place":
                place += 1
            case "without a seal":
                seal = b""
                place += 1
                header = header._replace(flags=0)
            case "of another's":
                seal = bytes(16)
                place += 1
        entry = entry_of(target._node.id, flow_number, place) + seal
        async with target.status() as told, made.relay.status() as told_relay:
            made.send(target, header, address_of(made.here._node.id, [entry]), body)
            refused = await next_status(told, broker.AccessRefused)
            assert (refused.peer, refused.right, refused.what) == ("mallory", "speak for", "here")
            back = await next_status(told_relay, broker.AccessRefused)
            assert (back.right, back.what, back.refused_by) == ("speak for", "here", target.name)
        await made.here.publish("x", Sample("s", 2, 0.0))
        assert (await got.receive()).event.number == 2
        assert (await got_fourth.receive()).event.number == 2


async def test_who_may_not_relay_passes_nothing_on(realm: Realm) -> None:
    """The events of ``here`` reach it and go no further, whatever it makes of them."""
    async with line(realm) as made, made.there.subscribe("x") as got:
        await flow(made.here, got, number=1)
        (header, address, body), *_ = made.passed
        async with made.there.status() as told:
            realm.write("there", rights={"mallory": broker.Rights(publish=("",), subscribe=("",))})
            await until(told, lambda s: isinstance(s, broker.AccessRules))
            made.send(made.there, header, address, body)
            refused = await next_status(told, broker.AccessRefused)
            assert (refused.peer, refused.right, refused.what) == ("mallory", "relay", "here")
            with trio.move_on_after(0.1):
                raise AssertionError(f"it came: {await got.receive()}")
