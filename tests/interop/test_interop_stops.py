"""Processes that stand still for a while, as a swapping or suspended machine does, and go on."""

from __future__ import annotations

import trio
from interop_members import LOOPBACK, QUICK, assert_all_arrived, member

import broker

# What a publisher may come to hold for a peer that stands still: a flow's room (flows.py: 4 MiB), and ZeroMQ's copy of
# it for the connection that there was.
RSS_MAX = 8 << 20


async def test_a_reader_that_stands_still_under_full_load_loses_nothing_and_holds_nobody_else_up() -> None:
    with trio.fail_after(60):
        async with (
            broker.Endpoint("witness") as witness,
            witness.subscribe("beside/") as beside,
            member("checker", listen=[LOOPBACK], timing=QUICK) as checker,
            member(
                "publisher",
                peer=[await checker.address(), await witness.listen(LOOPBACK)],
                timing=QUICK,
                size=100,
                beside="beside/x",
            ) as publisher,
        ):
            await checker.more("received", 50_000)
            before = publisher.rss()
            checker.stop()
            await publisher.status("PeerInterrupted")
            most, at, still = 0, -1.0, 0
            while still < 100:  # messages beside, between which none was published to the one that stands still
                message = await beside.receive()
                still = still + 1 if message.event.value == at else 0
                at = message.event.value
                most = max(most, publisher.rss())
            checker.go_on()
            for one in (publisher, checker):
                await one.status("PeerResumed")
            await checker.until(lambda: checker.told["received"] > at)
            await publisher.command("stop")
            await assert_all_arrived(publisher, checker)
            assert most - before < RSS_MAX
