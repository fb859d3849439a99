"""Bad connections between two processes: cut, stalled, forgotten; nothing is lost, doubled or reordered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from interop_members import LOOPBACK, QUICK, Member, assert_all_arrived, member
from tcp_proxy import How, Proxy, Way, proxy_to, random_cuts

COUNT = 200_000
# How late a fault may be told for reasons that are not ours: two processes on a machine that does other things too.
SLACK_S = 0.7


@asynccontextmanager
async def streaming(
    dialler: str = "publisher", plan: Sequence[tuple[int, How]] = (), **options: Any
) -> AsyncIterator[tuple[Member, Proxy, Member]]:
    """A publisher and a checker, one of which dials the other through a proxy; the options are both's."""
    roles = {"publisher": "checker", "checker": "publisher"}
    with trio.fail_after(60):
        async with (
            member(roles[dialler], listen=[LOOPBACK], **options) as listening,
            proxy_to(await listening.address()) as proxy,
        ):
            proxy.plan(plan)
            async with member(dialler, peer=[proxy.address], **options) as dialling:
                publisher, checker = (dialling, listening) if dialler == "publisher" else (listening, dialling)
                yield publisher, proxy, checker


@pytest.mark.parametrize("dialler", ["publisher", "checker"])
async def test_a_connection_cut_thirty_times_anywhere_loses_nothing(dialler: str) -> None:
    plan = random_cuts(1 if dialler == "publisher" else 2, 30, 300_000)
    async with streaming(dialler, plan, timing={"redial_first_s": 0.02}, count=COUNT) as (publisher, proxy, checker):
        await checker.report("publisher")
        assert (proxy.cuts, proxy.planned) == (30, 0)
        assert proxy.opened >= 31
        for one in (publisher, checker):
            assert one.count("PeerLost") == 0  # one session all the time
            assert one.reasons("PeerInterrupted") == {"the connection was closed"}
        await assert_all_arrived(publisher, checker)


async def test_a_slow_and_distant_connection_that_is_cut_loses_nothing() -> None:
    async with streaming(count=10_000) as (publisher, proxy, checker):
        proxy.delay_s = 0.02
        proxy.bytes_per_s = 1_000_000
        proxy.plan(random_cuts(3, 6, 50_000))
        await checker.report("publisher")
        assert (proxy.cuts, proxy.planned) == (6, 0)
        await assert_all_arrived(publisher, checker)


async def test_a_stall_shorter_than_the_silence_allowed_interrupts_nothing() -> None:
    # Three seconds of the usual five, at two fifths of the usual times.
    timing = {"heartbeat_s": 0.4, "silence_s": 2.0}
    async with streaming(timing=timing, size=100) as (publisher, proxy, checker):
        await checker.more("received", 20_000)
        proxy.stall()
        with trio.move_on_after(1.2):  # the fault itself lasts so long
            await publisher.until(lambda: publisher.count("PeerInterrupted") > 0)
        proxy.flow()
        await checker.more("received", 20_000)
        await publisher.command("stop")
        for one in (publisher, checker):
            assert one.count("PeerInterrupted") == 0
        assert proxy.opened == 1
        await assert_all_arrived(publisher, checker)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_stall_of_one_way_for_longer_than_the_silence_allowed_loses_nothing(way: Way) -> None:
    async with streaming(timing=QUICK, size=100) as (publisher, proxy, checker):
        await checker.more("received", 20_000)
        proxy.stall(way)
        for one in (publisher, checker):
            await one.status("PeerInterrupted")
        proxy.flow()
        for one in (publisher, checker):
            await one.status("PeerResumed")
        await checker.more("received", 20_000)
        await publisher.command("stop")
        await assert_all_arrived(publisher, checker)


async def test_a_connection_forgotten_on_its_way_is_noticed_in_time_and_replaced() -> None:
    async with streaming(timing=QUICK, size=100) as (publisher, proxy, checker):
        await checker.more("received", 20_000)
        before = [one.descriptors() for one in (publisher, checker)]
        forgotten_at = trio.current_time()
        proxy.half_open()
        for one in (publisher, checker):
            assert "nothing came" in (await one.status("PeerInterrupted"))["reason"]
            assert trio.current_time() - forgotten_at < QUICK["silence_s"] + QUICK["heartbeat_s"] + SLACK_S
        for one in (publisher, checker):
            await one.status("PeerResumed")
        assert proxy.opened == 2
        while [one.descriptors() for one in (publisher, checker)] != before:  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.01)
        await checker.more("received", 20_000)
        await publisher.command("stop")
        await assert_all_arrived(publisher, checker)


async def test_a_port_that_refuses_for_a_while_is_dialled_again_until_it_does_not() -> None:
    async with streaming(timing=QUICK, size=100) as (publisher, proxy, checker):
        await checker.more("received", 20_000)
        proxy.refuse()
        proxy.cut("rst")
        await publisher.status("PeerInterrupted")
        for _ in range(3):
            assert (await publisher.status("PeeringFailed"))["code"] == "refused"
        await proxy.admit()
        await publisher.status("PeerResumed")
        await checker.more("received", 20_000)
        await publisher.command("stop")
        await assert_all_arrived(publisher, checker)
