"""Keys and access rules that a program makes, and changes, in Python."""

from __future__ import annotations

import pytest
import trio
from interop_members import LOOPBACK
from interop_programs import Sample, next_status

import broker
from broker import Access, Endpoint, Rights, SecretKey, Trusted

EVERYTHING = Rights(publish=("",), subscribe=("",))


def access(*keys: SecretKey, **others: SecretKey) -> Access:
    trusted = {name: Trusted(keys=(key.public,), own=EVERYTHING) for name, key in others.items()}
    return Access(trusted={"there": Trusted(keys=tuple(key.public for key in keys), own=EVERYTHING), **trusted})


async def test_other_rules_hold_at_once() -> None:
    here, there = SecretKey.generate(), SecretKey.generate()
    with trio.fail_after(20):
        async with (
            Endpoint("here", keys=here, access=access(there)) as one,
            Endpoint("there", keys=there, access=access(there, here=here)) as two,
            one.status() as told,
        ):
            await two.peer(await one.listen(LOOPBACK), key="here")
            one.change_access(Access())
            assert (await next_status(told, broker.PeerLost)).code == "refused"
            assert one.peers() == ()
            one.change_access(access(there))
            await next_status(told, broker.PeerAdded)


async def test_another_key_is_had_without_a_message_being_lost() -> None:
    here, there, anew = (SecretKey.generate() for _ in range(3))
    with trio.fail_after(20):
        async with (
            Endpoint("here", keys=here, access=access(there, anew)) as one,
            Endpoint("there", keys=there, access=access(there, anew, here=here)) as two,
            one.subscribe("x") as got,
        ):
            await two.peer(await one.listen(LOOPBACK), key="here")
            for number in range(100):
                if number == 50:
                    two.change_key(anew)
                await two.publish("x", Sample("there", number, 0.0))
            for number in range(100):
                message = await got.receive()
                assert (message.event.number, message.lost_before) == (number, 0)


async def test_an_endpoint_without_keys_gets_none_while_it_runs() -> None:
    async with Endpoint("here") as endpoint:
        with pytest.raises(ValueError, match="without keys"):
            endpoint.change_access(Access())
        with pytest.raises(ValueError, match="without keys"):
            endpoint.change_key(SecretKey.generate())
