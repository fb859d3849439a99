"""Hosts of their own (network namespaces) and cables between them that are pulled and plugged again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from interop_hosts import Cable, Host, hosts
from interop_members import QUICK, assert_all_arrived, member

Hosts = tuple[list[Host], list[Cable]]


@pytest.fixture
def two() -> Iterator[Hosts]:
    with hosts(2) as made:
        yield made


@pytest.fixture
def three() -> Iterator[Hosts]:
    with hosts(3) as made:
        yield made


async def test_a_cable_that_is_pulled_for_less_than_the_silence_allowed_interrupts_nothing(two: Hosts) -> None:
    timing = {"heartbeat_s": 0.5, "silence_s": 4.0}
    (here, there), (cable,) = two
    with trio.fail_after(60):
        address = f"tcp://{cable.addresses[1]}:4040"
        async with (
            member("checker", listen=[address], inside=there.inside, timing=timing) as checker,
            member("publisher", peer=[address], inside=here.inside, timing=timing, size=100) as publisher,
        ):
            await checker.more("received", 50_000)
            await cable.pull()
            await cable.plug()
            await checker.more("received", 200_000)
            await publisher.command("stop")
            await assert_all_arrived(publisher, checker)
            for one in (publisher, checker):
                assert one.count("PeerInterrupted") == 0


async def test_each_cable_of_a_relay_between_two_hosts_may_be_pulled_and_plugged_again(three: Hosts) -> None:
    (here, between, there), cables = three
    near, far = f"tcp://{cables[0].addresses[1]}:4040", f"tcp://{cables[1].addresses[0]}:4040"
    with trio.fail_after(60):
        async with (
            member("relay", listen=[near, far], inside=between.inside, timing=QUICK) as relay,
            member("checker", peer=[far], inside=there.inside, timing=QUICK) as checker,
        ):
            await checker.value("joined")
            async with member("publisher", peer=[near], inside=here.inside, timing=QUICK, size=100) as publisher:
                for cable, name, end in zip(cables, ("publisher", "checker"), (publisher, checker), strict=True):
                    await checker.more("received", 50_000)
                    await cable.pull()
                    await relay.linked(name, wanted=False)
                    await end.linked("relay", wanted=False)
                    await cable.plug()
                    await relay.linked(name)
                    await end.linked("relay")
                    await checker.more("received", 50_000)
                await publisher.command("stop")
                await assert_all_arrived(publisher, checker)
