"""Hostile peers by real sockets: each attack is told by name and ends, and the endpoint serves its other peer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
from interop_programs import Sample, free_of_sockets, next_status

import broker
import broker.net.connections
import broker.net.listener
import broker.net.sockets
from benchmarks.attacks import ATTACKS, Attacker
from benchmarks.rawpeer import RawPeer, part
from broker import Endpoint, PeerLost, PeerRefused
from broker.protocol import frames
from broker.protocol.frames import FRAME_BYTES_MAX, Kind, Known, Sync


class Scene:
    """An endpoint under attack, where it listens, what it tells, and its well-behaved peer."""

    def __init__(self, here: Endpoint, address: str, changes: broker.StatusReader, good: Endpoint) -> None:
        self.here = here
        self.address = address
        self.changes = changes
        self.good = good

    async def still_serves(self, count: int = 20) -> None:
        """Check that events go to and fro between the endpoint and its well-behaved peer, in order."""
        async with self.here.subscribe("x") as here, self.good.subscribe("y") as there:
            for number in range(count):
                await self.good.publish("x", Sample("good", number, 0.0))
                assert (await here.receive()).event.number == number
                await self.here.publish("y", Sample("here", number, 0.0))
                assert (await there.receive()).event.number == number
        assert [peer.name for peer in self.here.peers() if peer.name == "good" and peer.connected]


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    with trio.fail_after(30):
        async with Endpoint("here") as here, here.status() as changes, Endpoint("good") as good:
            address = await here.listen("tcp://127.0.0.1:0")
            await good.peer(address)
            yield Scene(here, address, changes, good)


async def in_thread(act: Callable[[], object]) -> None:
    """Do what blocks, until the endpoint closes the connection or it is done."""

    def run() -> None:
        with suppress(OSError):
            act()

    await trio.to_thread.run_sync(run)


@asynccontextmanager
async def attack(name: str, address: str) -> AsyncIterator[Attacker]:
    """Have an attack of the benchmark going on."""
    attacker = Attacker(address)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, ATTACKS[name], attacker)
        try:
            yield attacker
        finally:
            attacker.stop.set()


@pytest.mark.parametrize(
    "name", ["garbage", "after-hello", "pings", "members", "reports", "interests", "commands-nowhere", "collects"]
)
async def test_during_a_flood_of_frames_the_other_peer_is_served(name: str) -> None:
    async with scene() as at, attack(name, at.address):
        await at.still_serves()


@pytest.mark.parametrize("joined", [False, True])
async def test_a_message_of_many_parts_breaks_the_protocol(joined: bool) -> None:
    async with scene() as at:
        with RawPeer(at.address) as peer:
            peer.socket.settimeout(10)

            def act() -> None:
                peer.greet()
                if joined:
                    peer.hello().join()
                peer.send_blindly(part(b"x", more=True) * 4999 + part(b"x"))
                peer.read_to_the_end()

            await in_thread(act)
            told = await next_status(at.changes, PeerLost if joined else PeerRefused)
            assert (told.peer, told.code) == ("hostile" if joined else "unknown", "protocol")
        await at.still_serves()


@pytest.mark.parametrize("joined", [False, True])
async def test_a_message_without_an_end_is_cut_off_before_it_fills_the_memory(
    joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.net.listener, "UNSEEN_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(broker.net.connections.Growth, "looked", lambda _: True)
    async with scene() as at:
        with RawPeer(at.address) as peer:

            def act() -> None:
                peer.greet()
                if joined:
                    peer.hello().join()
                while peer.sent_bytes < 1 << 30:
                    peer.send(part(bytes(1 << 16), more=True))

            await in_thread(act)
            assert peer.sent_bytes < 1 << 30  # it was cut off
            told = await next_status(at.changes, PeerLost if joined else PeerRefused)
            assert (told.peer, told.code) == ("hostile" if joined else "unknown", "protocol")
            assert "a message without an end" in told.reason
        await at.still_serves()


async def test_large_frames_that_are_taken_are_no_message_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.net.listener, "UNSEEN_BYTES_MAX", 2 * FRAME_BYTES_MAX)
    looks = 0

    def looked(growth: broker.net.connections.Growth) -> bool:
        nonlocal looks
        looks += 1
        return True

    monkeypatch.setattr(broker.net.connections.Growth, "looked", looked)
    async with scene() as at, at.here.subscribe("large") as messages:
        blob = bytes(1 << 20)
        async with trio.open_nursery() as nursery:

            async def publish() -> None:
                for number in range(100):
                    await at.good.publish("large", Sample("good", number, 0.0, blob.decode("latin-1")))

            nursery.start_soon(publish)
            for number in range(100):
                assert (await messages.receive()).event.number == number
        seen = looks
        while looks < seen + 2:  # two more looks, at what is quiet by now
            await at.still_serves(1)


async def test_who_completes_zeromqs_handshake_and_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.net.connections, "STRANGER_S", 0.3)
    async with scene() as at:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        async with AsyncExitStack() as stack:
            strangers = [stack.enter_context(RawPeer(at.address)) for _ in range(20)]
            for stranger in strangers:
                await in_thread(stranger.greet)
            for stranger in strangers:
                await in_thread(stranger.read_to_the_end)
        told = await next_status(at.changes, PeerRefused)
        assert (told.code, "said nothing" in told.reason) == ("silent", True)
        await free_of_sockets(before)
        await at.still_serves()


async def test_when_descriptors_run_short_the_oldest_stranger_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as at:
        used = set(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
        most = [number for number in range(1 << 20) if number not in used][60]
        monkeypatch.setattr(broker.net.connections, "_most_descriptors", lambda: most)
        async with AsyncExitStack() as stack:
            # Both ends of each are in this process: thirty of them fill what there is.
            strangers = [stack.enter_context(RawPeer(at.address)) for _ in range(60)]
            for stranger in strangers[:10]:
                await in_thread(stranger.read_to_the_end)
            told = await next_status(at.changes, PeerRefused)
            assert (told.code, "descriptor" in told.reason) == ("full", True)
            async with Endpoint("late") as late:
                await late.peer(at.address)
            await at.still_serves()


async def test_who_goes_on_talking_after_it_was_hung_up_is_shut_down_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.net.listener, "LINGER_MS", 60_000)
    async with scene() as at:
        with RawPeer(at.address) as peer:

            def act() -> None:
                peer.greet()
                while True:
                    peer.send_blindly(part(bytes(1 << 10)))

            await in_thread(act)  # it ends long before a minute has passed: the scene has half of one
        assert (await next_status(at.changes, PeerRefused)).code == "protocol"
        await at.still_serves()


async def test_connections_that_come_and_go_leave_nothing_behind() -> None:
    async with scene() as at:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        async with attack("churn", at.address) as attacker:
            while attacker.connections < 300:
                await at.still_serves(1)
        await free_of_sockets(before)
        await at.still_serves()


async def test_who_reads_none_of_the_answers_that_it_asks_for_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker.net.sockets, "_SEND_FRAMES_MAX", 50)
    names = [f"x{number}" * 20 for number in range(1000)]
    async with scene() as at, at.here.subscribe("wanted", *names):
        with RawPeer(at.address) as peer:

            def act() -> None:
                peer.greet().hello().join()
                question = frames.encode(Sync(False, (Known(peer.target, 0, 0),)))
                for _ in range(1000):
                    peer.send_blindly(peer.frame(Kind.SYNC, question))

            await in_thread(act)
            told = await next_status(at.changes, broker.PeerInterrupted)
            assert (told.peer, told.reason) == ("hostile", "it does not read what it asks for")
            await at.still_serves()
