"""Somebody in the middle of a hop, who reads, changes, records and plays again what passes: over real connections."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from interop_members import LOOPBACK
from interop_programs import Sample, next_status
from interop_trust import BRISK, Realm, flow
from tcp_proxy import Proxy, Way

import broker
from broker import Endpoint
from broker.protocol.wires import Timing

# What breaks a frame's length makes the other end wait for the rest of it.
IMPATIENT = Timing(heartbeat_s=0.1, silence_s=0.4, handshake_s=0.4, redial_first_s=0.02, redial_max_s=0.1)
# How many bytes of a connection each way ZeroMQ's handshake takes, at least: HELLO and INITIATE, WELCOME and READY.
HANDSHAKE_BYTES = {"up": 64 + 202 + 260, "down": 64 + 170 + 60}


class Middle(Proxy):
    """A proxy that keeps what passes, by connection, and passes on what ``change`` makes of each piece."""

    change: Callable[[Way, int, int, bytes], bytes] | None = None

    def __init__(self, nursery: trio.Nursery, host: str, port: int) -> None:
        super().__init__(nursery, host, port)
        self.pieces: dict[Way, dict[trio.SocketStream, list[bytes]]] = {"up": {}, "down": {}}

    async def pass_on(self, way: Way, chunk: bytes, sink: trio.SocketStream) -> None:
        pieces = self.pieces[way].setdefault(sink, [])
        pieces.append(chunk)
        if self.change is not None:
            connection = list(self.pieces[way]).index(sink)
            chunk = self.change(way, connection, sum(map(len, pieces)) - len(chunk), chunk)
        await super().pass_on(way, chunk, sink)

    def all(self, way: Way) -> list[bytes]:
        """What went that way over each connection, in the order in which they were opened."""
        return [b"".join(pieces) for pieces in self.pieces[way].values()]


@asynccontextmanager
async def middle_of(here: Endpoint) -> AsyncIterator[Middle]:
    host, _, port = (await here.listen(LOOPBACK)).removeprefix("tcp://").rpartition(":")
    async with trio.open_nursery() as nursery:
        middle = Middle(nursery, host, int(port))
        await middle.admit()
        try:
            yield middle
        finally:
            nursery.cancel_scope.cancel()
            middle.refuse()


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path, "alpha-endpoint", "omega-endpoint")


@asynccontextmanager
async def ends(realm: Realm, timing: Timing = BRISK) -> AsyncIterator[tuple[Endpoint, Endpoint, Middle]]:
    """Two endpoints and who is in the middle of their connection."""
    with trio.fail_after(30):
        async with (
            realm.endpoint("alpha-endpoint", timing=timing) as here,
            realm.endpoint("omega-endpoint", timing=timing) as there,
            middle_of(here) as middle,
        ):
            await there.peer(middle.address, key="alpha-endpoint")
            yield here, there, middle


SECRETS = [
    *(b"alpha-endpoint", b"omega-endpoint", b"payroll/salaries", b"interop.Sample", b"a plain value"),
    *(b"hosts-of-all", b"key-in-store", b"value-in-store"),
]


async def say_secrets(here: Endpoint, there: Endpoint) -> None:
    async with there.subscribe("payroll/salaries") as got, here.master("hosts-of-all") as store:
        await here.subscribers("payroll/salaries")
        await here.publish("payroll/salaries", Sample("s", 1, 0.0, "a plain value"))
        await got.receive()
        async with there.clone("hosts-of-all") as clone:
            await clone.put("key-in-store", "value-in-store")
            assert store["key-in-store"] == "value-in-store"


async def test_who_reads_along_sees_no_topic_name_or_value(realm: Realm) -> None:
    async with ends(realm) as (here, there, middle):
        await say_secrets(here, there)
    for way in ("up", "down"):
        (seen,) = middle.all(way)
        assert len(seen) > 1000
        assert [secret for secret in SECRETS if secret in seen] == []


async def test_without_keys_who_reads_along_sees_everything() -> None:
    """So the test above can fail."""
    async with Endpoint("alpha-endpoint") as here, Endpoint("omega-endpoint") as there, middle_of(here) as middle:
        await there.peer(middle.address)
        await say_secrets(here, there)
    seen = middle.all("up")[0] + middle.all("down")[0]
    assert [secret for secret in SECRETS if secret not in seen] == []


class Meddler:
    """Does something to one piece of each connection that is past the handshake, until it was done so many times."""

    def __init__(self, meddle: Callable[[bytes], bytes], times: int) -> None:
        self._meddle = meddle
        self.times = times
        self._met: set[int] = set()

    def __call__(self, way: Way, connection: int, start: int, chunk: bytes) -> bytes:
        if start < HANDSHAKE_BYTES[way] or self.is_done or connection in self._met:
            return chunk
        self._met.add(connection)
        return self._meddle(chunk)

    @property
    def is_done(self) -> bool:
        return len(self._met) == self.times


async def stream_through(realm: Realm, meddler: Meddler) -> list[tuple[int, str]]:
    """Publish numbers until the meddler has done its worst and one came through after that; returns what came."""
    came: list[tuple[int, str]] = []
    async with ends(realm, IMPATIENT) as (here, there, middle), there.subscribe("load") as got:
        await here.subscribers("load")
        middle.change = meddler
        number = 0
        while not meddler.is_done:
            await here.publish("load", Sample("s", number, 0.0, f"note {number}"))
            number += 1
            await trio.sleep(0.002)
        middle.change = None
        await here.publish("load", Sample("s", number, 0.0, f"note {number}"))
        while not came or came[-1][0] != number:
            message = await got.receive()
            assert message.lost_before == 0
            came.append((message.event.number, message.event.note))
        await middle.until(lambda: middle.opened > meddler.times)  # each time the connection has to be made anew
        assert [number for number, _ in came] == list(range(number + 1)), "each once, in order"
    return came


def flip(seed: int) -> Callable[[bytes], bytes]:
    chance = random.Random(seed)

    def flipped(chunk: bytes) -> bytes:
        at = chance.randrange(len(chunk))
        return chunk[:at] + bytes([chunk[at] ^ 1 << chance.randrange(8)]) + chunk[at + 1 :]

    return flipped


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_changed_bit_ends_the_connection_and_no_changed_message_is_taken(realm: Realm, seed: int) -> None:
    came = await stream_through(realm, Meddler(flip(seed), 5))
    assert all(note == f"note {number}" for number, note in came)


async def test_bytes_played_twice_within_a_connection_end_it(realm: Realm) -> None:
    await stream_through(realm, Meddler(lambda chunk: chunk + chunk, 3))


async def test_bytes_that_are_left_out_end_the_connection(realm: Realm) -> None:
    await stream_through(realm, Meddler(lambda chunk: b"", 3))


async def test_bytes_of_one_connection_spliced_into_another_end_it(realm: Realm) -> None:
    async with ends(realm, IMPATIENT) as (here, there, middle), there.subscribe("x") as got, there.status() as told:
        await flow(here, got)
        await flow(here, got, number=2)
        first = [bytes(piece) for piece in next(iter(middle.pieces["down"].values()))]
        middle.cut("rst")
        await next_status(told, broker.PeerResumed)
        spliced = Meddler(lambda chunk: first[-1], 1)
        middle.change = spliced
        await flow(here, got, number=3)
        assert spliced.is_done
        interrupted = await next_status(told, broker.PeerInterrupted)
        assert interrupted.peer == "alpha-endpoint"
        await next_status(told, broker.PeerResumed)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_recorded_connection_played_to_the_listener_later_is_nothing_to_it(realm: Realm, whole: bool) -> None:
    async with ends(realm) as (here, there, middle), here.subscribe("x") as got, here.status() as told:
        await flow(there, got)
        (recorded,) = middle.all("up")
        peers = here.peers()
        host, port = middle._target
        stream = await trio.open_tcp_stream(host, port)
        async with stream:
            with suppress(trio.BrokenResourceError):
                if whole:
                    await stream.send_all(recorded)
                else:  # as it went: each piece after the listener's answer to the one before
                    for piece in next(iter(middle.pieces["up"].values())):
                        await stream.send_all(piece)
                        with trio.move_on_after(0.05):
                            await stream.receive_some()
            refused = await next_status(told, broker.PeerRefused, broker.PeerAdded, broker.PeerInterrupted)
            assert isinstance(refused, broker.PeerRefused)
            assert refused.code == "authentication"
        assert [peer.name for peer in here.peers()] == [peer.name for peer in peers]
        await flow(there, got, number=2)
        with trio.move_on_after(0.05):
            raise AssertionError(f"twice: {await got.receive()}")


@pytest.mark.parametrize("known", [True, False])
async def test_a_middle_with_a_key_of_its_own_gets_no_word_of_either_end(realm: Realm, known: bool) -> None:
    """Even one whose key is trusted, for another name, does not pose as who is expected at an address."""
    realm.keys["mallory"] = broker.SecretKey.generate()
    if not known:
        stranger = realm.keys.pop("mallory")
        realm.write("alpha-endpoint")
        realm.write("omega-endpoint")
        realm.keys["mallory"] = stranger
    with trio.fail_after(10):
        async with (
            realm.endpoint("alpha-endpoint") as here,
            realm.endpoint("omega-endpoint") as there,
            realm.endpoint("mallory") as towards_there,
            realm.endpoint("mallory", "mallory@2") as towards_here,
        ):
            async with towards_there.status() as told:
                posing = await towards_there.listen(LOOPBACK)
                with pytest.raises(broker.AuthenticationFailed, match="it closed the connection"):
                    await there.peer(posing, key="alpha-endpoint", timeout=0.3)
                assert (await next_status(told, broker.PeerRefused)).code == "authentication"
            node = towards_here._node
            node.peerings.name = "omega-endpoint"
            with pytest.raises((broker.AuthorizationFailed, broker.AuthenticationFailed)) as caught:
                await towards_here.peer(await here.listen(LOOPBACK), key="alpha-endpoint")
            assert ("may not be called 'omega-endpoint'" if known else "does not trust our key") in str(caught.value)
            assert here.peers() == there.peers() == ()
