"""Subscriptions with predicates between real programs: what does not match never crosses the subscriber's wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio
from interop_members import LOOPBACK, QUICK, Member, member
from interop_programs import Child, Sample, child
from tcp_proxy import Proxy, proxy_to

import broker
from broker.rules import of

COUNT = 2_000
MATCHING = COUNT // 100
# A sample travels in some 40 bytes; a matching one alone, or nearly, in a frame of its own.
ALL_BYTES = 25 * COUNT
FEW_BYTES = 200 * MATCHING


class Reader:
    """The test's own endpoint behind a relay and a proxy: what each burst brings, and what crosses the wire for it."""

    def __init__(self, endpoint: broker.Endpoint, done: broker.Subscriber, proxy: Proxy) -> None:
        self.endpoint = endpoint
        self._done = done
        self.proxy = proxy

    async def burst(self, publisher: Child) -> tuple[int, int]:
        """Have a burst published; returns how many messages have come by then, and bytes."""
        received, passed = self.endpoint.figures().endpoint.received, self.proxy.passed["down"]
        await publisher.command("go")
        await self._done.receive()
        return self.endpoint.figures().endpoint.received - received - 1, self.proxy.passed["down"] - passed


@asynccontextmanager
async def behind_a_relay() -> AsyncIterator[tuple[str, Reader]]:
    async with AsyncExitStack() as stack:
        relay: Member = await stack.enter_async_context(member("relay", listen=[LOOPBACK], timing=QUICK))
        address = await relay.address()
        proxy = await stack.enter_async_context(proxy_to(address))
        timing = broker.Timing(**QUICK)
        endpoint = await stack.enter_async_context(broker.Endpoint("reader", timing=timing))
        await endpoint.peer(proxy.address, insecure=True)
        yield address, Reader(endpoint, await stack.enter_async_context(endpoint.subscribe("done/")), proxy)


def taken(messages: broker.Subscriber) -> list[float]:
    """The values of all that has come."""
    values = []
    while messages.fill():
        values.append(messages.receive_nowait().event.value)
    return values


async def test_what_does_not_match_crosses_no_wire_whoever_comes_late_and_whatever_is_cut() -> None:
    with trio.fail_after(60):
        async with behind_a_relay() as (address, reader), child("bursts", address, "early", COUNT) as early:
            await early.tells_of("ready")
            high = of(Sample).value > 98
            async with reader.endpoint.subscribe("load/", Sample, where=high) as messages:
                received, passed = await reader.burst(early)
                assert received == MATCHING
                assert passed < FEW_BYTES
                assert taken(messages) == [99.0] * MATCHING
                assert (await early.tells()) == {"filtered": COUNT - MATCHING, "unjudged": 0}

                async with reader.endpoint.subscribe("load/", Sample) as everything:
                    received, passed = await reader.burst(early)
                    assert received == COUNT
                    assert passed > ALL_BYTES
                    assert len(taken(everything)) == COUNT
                    assert taken(messages) == [99.0] * MATCHING

                other = of(Sample).value == 7
                async with reader.endpoint.subscribe("load/", Sample, where=other) as sevens:
                    assert (await reader.burst(early))[0] == 2 * MATCHING
                    assert taken(sevens) == [7.0] * MATCHING
                    assert taken(messages) == [99.0] * MATCHING

                async with child("bursts", address, "late", COUNT) as late:
                    await late.tells_of("ready")
                    reader.proxy.cut("rst")
                    received, passed = await reader.burst(late)
                    assert received == MATCHING
                    assert passed < 2 * FEW_BYTES  # of the handshake, too
                    assert taken(messages) == [99.0] * MATCHING
                    assert (reader.proxy.cuts, reader.proxy.opened) == (1, 2)
