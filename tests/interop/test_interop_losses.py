"""What has to be lost is counted: a reader's gaps, its ``lost_before`` and the status at both ends agree exactly."""

from __future__ import annotations

import pytest
import trio
from interop_members import LOOPBACK, QUICK, Member, member
from tcp_proxy import proxy_to

# A peer away for longer than this is given up.
SHORT = {**QUICK, "resume_s": 0.5}


async def assert_losses_agree(publisher: Member, checker: Member) -> None:
    """Let both end: gaps were told where they were, and their sum is what both ends say was lost."""
    await checker.report("publisher")
    last = await publisher.value("ended") - 1
    await publisher.leave()
    await checker.leave()
    report = checker.reports["publisher"]
    assert report["broken"] == []
    assert (report["first"], report["last"]) == (0, last)
    assert report["received"] + report["lost"] == last + 1
    for one, other in ((publisher, checker), (checker, publisher)):
        told = one.sum("MessagesLost", other.name) - one.sum("MessagesRecovered", other.name)
        assert told == report["lost"], one.name


def times_given_up(publisher: Member) -> int:
    reasons = [status["reason"] for status in publisher.statuses if status["status"] == "MessagesLost"]
    return sum("could not be reached" in reason for reason in reasons)


async def test_a_partition_longer_than_a_session_is_kept_is_counted_to_the_message_at_both_ends() -> None:
    with trio.fail_after(60):
        async with (
            member("checker", listen=[LOOPBACK], timing=SHORT) as checker,
            proxy_to(await checker.address()) as proxy,
            member("publisher", peer=[proxy.address], timing=SHORT, wanted=True, size=100) as publisher,
        ):
            for time in range(2):
                await checker.more("received", 20_000)
                proxy.stall()
                for one in (publisher, checker):
                    assert (await one.status("PeerLost"))["code"] == "silent"
                await publisher.until(lambda time=time: times_given_up(publisher) > time)  # type: ignore[misc]
                proxy.flow()
                await checker.more("received", 20_000)
            await publisher.command("stop")
            await assert_losses_agree(publisher, checker)
            assert checker.reports["publisher"]["lost"] > 0


async def test_messages_that_arrived_without_their_acknowledgement_are_not_counted_in_the_end() -> None:
    with trio.fail_after(60):
        async with (
            member("checker", listen=[LOOPBACK], timing=SHORT) as checker,
            proxy_to(await checker.address()) as proxy,
            member("publisher", peer=[proxy.address], timing=SHORT, wanted=True, size=100) as publisher,
        ):
            await checker.more("received", 20_000)
            proxy.stall("down")
            await publisher.until(lambda: times_given_up(publisher) > 0)
            proxy.flow()
            await checker.more("received", 20_000)
            await publisher.command("stop")
            await assert_losses_agree(publisher, checker)


async def test_a_reader_that_stands_still_for_longer_than_a_session_is_kept_knows_what_it_lost() -> None:
    with trio.fail_after(60):
        async with (
            member("checker", listen=[LOOPBACK], timing=SHORT) as checker,
            member("publisher", peer=[await checker.address()], timing=SHORT, wanted=True, size=100) as publisher,
        ):
            await checker.more("received", 20_000)
            checker.stop()
            assert "did not come back" in (await publisher.status("PeerLost"))["reason"]
            await publisher.until(lambda: times_given_up(publisher) > 0)
            checker.go_on()
            await checker.more("received", 20_000)
            await publisher.command("stop")
            await assert_losses_agree(publisher, checker)
            assert checker.reports["publisher"]["lost"] > 0


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_a_reader_that_is_slow_and_lets_messages_be_dropped_sees_each_gap_counted(overflow: str) -> None:
    with trio.fail_after(60):
        async with (
            member(
                "checker",
                listen=[LOOPBACK],
                subscribe={"overflow": overflow, "queue_messages": 500},
                pause=[300, 0.002],
            ) as checker,
            # Its last messages are many: the first of them may be dropped too.
            member("publisher", peer=[await checker.address()], count=100_000, ends=True),
        ):
            report = await checker.report("publisher")
            assert report["broken"] == []
            assert report["last"] >= 100_000
            assert report["received"] + report["lost"] == report["last"] + 1
            assert report["lost"] > 0


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_a_reader_that_does_not_read_and_lets_messages_be_dropped_holds_nobody_up(overflow: str) -> None:
    with trio.fail_after(60):
        async with (
            member(
                "checker",
                listen=[LOOPBACK],
                subscribe={"overflow": overflow, "queue_messages": 100},
                hold=True,
            ) as checker,
            member("publisher", peer=[await checker.address()], count=100_000, ends=True) as publisher,
        ):
            assert await publisher.value("ended") == 100_001
            await checker.command("go")
            report = await checker.report("publisher")
            assert report["broken"] == []
            if overflow == "drop_newest":
                assert report["first"] == 0
            else:
                assert report["first"] > 0
            assert report["received"] + report["lost"] == report["last"] + 1
