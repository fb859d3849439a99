"""Peers that are not a store's master, and speak as if they were: refused, told, without effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from interop_members import LOOPBACK
from interop_programs import next_status

import broker
from broker import Endpoint
from broker.journaling import chain
from broker.stores import wire
from broker.stores.entries import ENTRIES, pack_key, whole_row
from broker.stores.operations import Clear, encode_body
from broker.stores.wire import Chunk, Followed, NotHere, Operations, Outcome, Outcomes, StoreKind, Tip

Forged = tuple[StoreKind, msgspec.Struct]


def operations(clone: broker.StoreClone) -> Forged:
    """What would follow the clone's last record, with the right checksum: nothing is any more."""
    position = clone.position
    body = encode_body(1, "intruder", (Clear(),))
    checksum = chain(position.checksum, body)
    return StoreKind.OPERATIONS, Operations("hosts", position.sequence, checksum, [body])


def snapshot(clone: broker.StoreClone) -> Forged:
    row = (ENTRIES, pack_key("k"), whole_row(0, b"\xc3"))
    return StoreKind.SNAPSHOT, Chunk("hosts", 1, True, [row])


def followed(clone: broker.StoreClone) -> Forged:
    where = wire.where(broker.Position(bytes(16), 1, 1, bytes(8)))
    return StoreKind.FOLLOWED, Followed("hosts", serial_of(clone), True, True, where, 0, 1)


def tip(clone: broker.StoreClone) -> Forged:
    return StoreKind.TIP, Tip("hosts", 1 << 40, 0, 1 << 40, echo=1)


def not_here(clone: broker.StoreClone) -> Forged:
    return StoreKind.NOT_HERE, NotHere("hosts", "there is no such store")


def outcomes(clone: broker.StoreClone) -> Forged:
    """An answer to the writes that the clone is about to forward."""
    items = [Outcome(number, wire.where(clone.position), []) for number in range(1, 100)]
    forwarding = clone._open().forwarding  # type: ignore[union-attr]
    return StoreKind.OUTCOMES, Outcomes("hosts", forwarding._writer, items)


def serial_of(clone: broker.StoreClone) -> int:
    return clone._open().serial  # type: ignore[union-attr]


class Mesh:
    """A master and its clone, linked, and an intruder at the clone or behind the master."""

    def __init__(
        self, master: broker.StoreMaster, clone: broker.StoreClone, there: Endpoint, intruder: Endpoint
    ) -> None:
        self.master = master
        self.clone = clone
        self.there = there
        self.intruder = intruder

    def send(self, forged: Forged) -> None:
        """Send the clone a frame of the number that its master's have."""
        node = self.intruder._node
        (member,) = [member for member in node.members.members.values() if member.name == "clone"]
        kind, payload = forged
        node.transit.send(kind, wire.encode(payload), ((member, serial_of(self.clone), 0),))
        node.flush()
        self.intruder._carry_out()


async def know_of(endpoint: Endpoint, name: str) -> None:
    """Wait until it has a way to the endpoint of that name."""
    members = endpoint._node.members.members
    await endpoint._until(lambda: any(member.name == name and member.hop for member in members.values()))


@asynccontextmanager
async def mesh(by: str) -> AsyncIterator[Mesh]:
    with trio.fail_after(30):
        async with Endpoint("master") as here, Endpoint("clone") as there, Endpoint("intruder") as intruder:
            address = await here.listen(LOOPBACK)
            await there.peer(address)
            await intruder.peer(address if by == "relay" else await there.listen(LOOPBACK))
            async with here.master("hosts") as master, there.clone("hosts") as clone:
                await clone.wait_for(await master.put("k", 1))
                await know_of(intruder, "clone")
                await know_of(there, "intruder")
                yield Mesh(master, clone, there, intruder)


@pytest.mark.parametrize("by", ["link", "relay"])
@pytest.mark.parametrize("forge", [operations, snapshot])
async def test_operations_of_a_peer_that_is_not_the_master_are_refused_and_told(
    by: str, forge: Callable[[broker.StoreClone], Forged]
) -> None:
    async with mesh(by) as made:
        async with made.there.status() as told:
            before = made.clone.position
            made.send(forge(made.clone))
            change = await next_status(told, broker.PeerRefused, broker.PeerLost)
        assert "intruder" in str(change)
        assert "it sends operations of the store 'hosts', whose master it is not" in change.reason
        assert change.code == "protocol"
        assert (made.clone.position, made.clone["k"]) == (before, 1)
        await made.clone.wait_for(await made.clone.put("k", 2))
        assert made.clone["k"] == made.master["k"] == 2
        assert dict(made.clone) == dict(made.master)


@pytest.mark.parametrize("by", ["link", "relay"])
@pytest.mark.parametrize("forge", [followed, tip, not_here, outcomes])
async def test_other_words_of_a_peer_that_is_not_the_master_have_no_effect(
    by: str, forge: Callable[[broker.StoreClone], Forged]
) -> None:
    async with mesh(by) as made, made.there.subscribe("mark") as marks:
        await made.intruder.subscribers("mark")
        position = made.clone.position
        made.send(forge(made.clone))
        await made.intruder.publish("mark", broker.Event("Mark"))
        await marks.receive()  # it came behind the forged frame
        assert (made.clone.position, made.clone["k"], made.clone.master) == (position, 1, "master")
        for number in range(20):
            outcome = await made.clone.increment("n")
            assert outcome.value == number + 1
            made.send(forge(made.clone))
        await made.clone.synced()
        assert dict(made.clone) == dict(made.master) == {"k": 1, "n": 20}
