"""Messages through relays, each a process of its own: bad connections on either hop, and deaths of anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio
from interop_members import LOOPBACK, QUICK, Member, assert_all_arrived, member
from tcp_proxy import Proxy, proxy_to, random_cuts

COUNT = 200_000


@asynccontextmanager
async def relayed(**options: Any) -> AsyncIterator[tuple[Member, Proxy, Member, Proxy, Member]]:
    """A publisher, a relay and a checker in a line, with a proxy on each hop; the options are everybody's."""
    with trio.fail_after(60):
        async with (
            member("relay", listen=[LOOPBACK], **options) as relay,
            proxy_to(await relay.address()) as near,
            proxy_to(await relay.address()) as far,
            member("checker", peer=[far.address], **options) as checker,
        ):
            await checker.value("joined")
            async with member("publisher", peer=[near.address], **options) as publisher:
                yield publisher, near, relay, far, checker


async def test_subscriptions_travel_through_a_relay_and_messages_come_back_once_and_in_order() -> None:
    async with relayed(count=50_000) as (publisher, _, _, _, checker):
        await assert_all_arrived(publisher, checker)


async def test_connections_on_both_sides_of_a_relay_cut_at_random_lose_nothing() -> None:
    async with relayed(count=COUNT, timing={"redial_first_s": 0.02}) as (publisher, near, _, far, checker):
        near.plan(random_cuts(11, 24, 300_000))
        far.plan(random_cuts(12, 24, 300_000))
        await checker.report("publisher")
        for proxy in (near, far):
            assert (proxy.cuts, proxy.planned) == (24, 0)
        await assert_all_arrived(publisher, checker)


async def test_a_relay_or_a_publisher_that_stands_still_loses_nothing() -> None:
    async with relayed(timing=QUICK, size=100) as (publisher, _, relay, _, checker):
        for still, others in ((relay, (publisher, checker)), (publisher, (relay,))):
            await checker.more("received", 50_000)
            still.stop()
            for one in others:
                await one.linked(still.name, wanted=False)
            still.go_on()
            for one in others:
                await one.linked(still.name)
        await checker.more("received", 50_000)
        assert all(one.count("PeerLost") == 0 for one in (publisher, relay, checker))
        await publisher.command("stop")
        await assert_all_arrived(publisher, checker)


async def test_a_relay_that_is_killed_and_started_again_in_time_loses_nothing() -> None:
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(member("relay", listen=[LOOPBACK]))
            address = await first.address()
            checker = await stack.enter_async_context(member("checker", peer=[address]))
            await checker.value("joined")
            publisher = await stack.enter_async_context(member("publisher", peer=[address], size=100))
            await checker.more("received", 50_000)
            await first.kill()
            await stack.enter_async_context(member("relay", listen=[address]))
            await checker.more("received", 50_000)
            await publisher.command("stop")
            await assert_all_arrived(publisher, checker)


async def test_of_two_relays_each_may_be_killed_while_the_other_lives() -> None:
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            names = ["left", "right"]
            relays = {name: await stack.enter_async_context(member("relay", name, listen=[LOOPBACK])) for name in names}
            addresses = {name: await relay.address() for name, relay in relays.items()}
            both = list(addresses.values())
            checker = await stack.enter_async_context(member("checker", peer=both))
            await checker.value("joined")
            publisher = await stack.enter_async_context(member("publisher", peer=both, size=100))
            await checker.more("received", 50_000)
            for name in names:  # whichever it is that carries the messages, it dies
                await relays[name].kill()
                for one in (publisher, checker):
                    await one.linked(name, wanted=False)
                await checker.more("received", 50_000)
                relays[name] = await stack.enter_async_context(member("relay", name, listen=[addresses[name]]))
                for one in (publisher, checker):
                    await one.linked(name)
            await publisher.command("stop")
            await assert_all_arrived(publisher, checker)


async def test_a_publisher_behind_a_relay_that_is_killed_leaves_a_prefix_and_its_successor_starts_anew() -> None:
    with trio.fail_after(60):
        async with (
            member("relay", listen=[LOOPBACK], timing=QUICK) as relay,
            member("checker", peer=[await relay.address()], timing=QUICK) as checker,
        ):
            address = await relay.address()
            await checker.value("joined")
            async with member("publisher", peer=[address], timing=QUICK) as first:
                await checker.more("received", 50_000)
                await first.kill()
            async with member("publisher", peer=[address], timing=QUICK, source="successor", count=50_000) as second:
                assert (await relay.status("PeerLost"))["code"] == "replaced"
                await checker.report("successor")
                await second.leave()
            await checker.leave()
            report = checker.reports["successor"]
            assert report == {"received": 50_001, "lost": 0, "first": 0, "last": 50_000, "broken": []}
            prefix = checker.reports["publisher"]
            assert prefix == {**prefix, "lost": 0, "first": 0, "last": prefix["received"] - 1, "broken": []}


async def test_a_subscriber_behind_a_relay_that_is_killed_holds_others_up_no_longer_than_it_is_waited_for() -> None:
    timing = {**QUICK, "resume_s": 1.0}
    with trio.fail_after(60):
        async with (
            member("relay", listen=[LOOPBACK], timing=timing) as relay,
            member("checker", "stays", peer=[await relay.address()], timing=timing) as stays,
            member("checker", "dies", peer=[await relay.address()], timing=timing) as dies,
        ):
            address = await relay.address()
            for one in (stays, dies):
                await one.value("joined")
            async with member("publisher", peer=[address], timing=timing, size=100, readers=2) as publisher:
                await dies.more("received", 20_000)
                await dies.kill()
                gone = await relay.status("PeerLost")
                assert (gone["peer"], gone["code"]) == ("dies", "cut")
                lost = await publisher.status("MessagesLost")
                assert (lost["peer"], lost["direction"]) == ("dies", "out")
                await stays.more("received", 50_000)
                async with member("checker", "dies", peer=[address], timing=timing, middle=True) as again:
                    await again.more("received", 20_000)
                    await publisher.command("stop")
                    report = await again.report("publisher")
                    assert (report["broken"], report["lost"]) == ([], 0)
                    assert report["received"] == report["last"] - report["first"] + 1
                    await assert_all_arrived(publisher, stays)
