"""Hosts of their own (network namespaces) and cables between them that are pulled and plugged again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from interop_hosts import Cable, Host, hosts
from interop_members import QUICK, assert_all_arrived, member

Two = tuple[Host, Host, Cable]


@pytest.fixture
def two() -> Iterator[Two]:
    with hosts(2) as ((here, there), (cable,)):
        yield here, there, cable


@pytest.fixture
def two_far_apart(two: Two) -> Two:
    two[2].delay(50)
    return two


async def test_a_cable_that_is_pulled_and_plugged_again_loses_nothing(two: Two) -> None:
    here, there, cable = two
    with trio.fail_after(60):
        address = f"tcp://{cable.addresses[1]}:4040"
        async with (
            member("checker", listen=[address], inside=there.inside, timing=QUICK) as checker,
            member("publisher", peer=[address], inside=here.inside, timing=QUICK, size=100) as publisher,
        ):
            await checker.more("received", 50_000)
            await cable.pull()
            for one in (publisher, checker):
                await one.status("PeerInterrupted")
            await publisher.status("PeeringFailed")
            await cable.plug()
            for one in (publisher, checker):
                await one.status("PeerResumed")
            await checker.more("received", 50_000)
            await publisher.command("stop")
            await assert_all_arrived(publisher, checker)


async def test_a_cable_that_is_pulled_for_less_than_the_silence_allowed_interrupts_nothing(two: Two) -> None:
    timing = {"heartbeat_s": 0.5, "silence_s": 4.0}
    here, there, cable = two
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


async def test_a_distant_host_is_sent_no_less(two_far_apart: Two) -> None:
    here, there, cable = two_far_apart
    with trio.fail_after(60):
        address = f"tcp://{cable.addresses[1]}:4040"
        async with (
            member("checker", listen=[address], inside=there.inside) as checker,
            member("publisher", peer=[address], inside=here.inside, count=50_000) as publisher,
        ):
            await assert_all_arrived(publisher, checker)
