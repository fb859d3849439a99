"""Several members of one collector's name share the work, and take over from each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from handle_records import Flow, Spools, messages, numbers

import broker
from broker import Collector, Endpoint
from broker.testing import SimulatedNetwork

pytest_plugins = ["handle_pairs"]  # its fixtures
Three = tuple[Endpoint, Endpoint, Endpoint]
Clock = trio.testing.MockClock


async def drain(records: Collector, into: list[broker.LogMessage]) -> None:
    """Take all that comes."""
    async for message in records:
        into.append(message)
        await trio.sleep(0.001)  # as a program that does something with it


async def test_members_share_the_work_and_each_record_goes_to_one(
    autojump_clock: Clock, quick: Three, tmp_path: Path
) -> None:
    one, two, three = quick
    mine: list[broker.LogMessage] = []
    theirs: list[broker.LogMessage] = []
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x") as records,
        three.collect("flows", name="x") as others,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drain, records, mine)
        nursery.start_soon(drain, others, theirs)
        await trio.sleep(1)
        assert log.info().collectors[0].members == ("b", "c")
        for start in range(0, 2000, 50):
            await log.write_all(map(Flow, range(start, start + 50)))
            await trio.sleep(0.02)
        await log.collected("x")
        nursery.cancel_scope.cancel()
    found = sorted(message.number for message in [*mine, *theirs])
    assert found == list(range(1, 2001))
    assert min(len(mine), len(theirs)) > 300
    for got in (mine, theirs):
        order = [message.number for message in got]
        assert order == sorted(order)
        assert not any(message.redelivered for message in got)


async def test_what_a_member_had_that_leaves_goes_to_the_others(
    autojump_clock: Clock, quick: Three, tmp_path: Path
) -> None:
    one, two, three = quick
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        three.collect("flows", name="x") as others,
    ):
        async with two.collect("flows", name="x", acknowledge="explicit") as records:
            await trio.sleep(1)
            await log.write_all(map(Flow, range(1000)))
            await log.flush()
            had = await records.receive()
            records.acknowledge(had)
            begun = await records.receive()
            await trio.sleep(1)
        found = await messages(others, 999)
        assert sorted(message.number for message in found) == [n for n in range(1, 1001) if n != had.number]
        # Only what a program had begun with may have been done.
        assert [message.number for message in found if message.redelivered] == [begun.number]


async def test_what_a_member_had_that_died_goes_to_the_others_after_a_while_marked(
    autojump_clock: Clock, network: SimulatedNetwork, spools: Spools, tmp_path: Path
) -> None:
    async with (
        Endpoint("a", network=network) as one,
        Endpoint("c", network=network) as three,
        one.log("flows", Flow, path=tmp_path / "s") as log,
        three.collect("flows", name="x") as others,
    ):
        await one.listen("sim://a")
        await three.peer("sim://a")
        async with Endpoint("b", network=network, linger_s=0) as two:
            await two.peer("sim://a")
            async with two.collect("flows", name="x", acknowledge="explicit") as records:
                await trio.sleep(1)
                await log.write_all(map(Flow, range(500)))
                await log.flush()
                held = len(await records.receive_batch())
                network.fabric.half_open("a", "b")  # nothing that it says comes any more
        begun = trio.current_time()
        with trio.fail_after(120):
            found = await messages(others, 500)
        assert sorted(message.number for message in found) == list(range(1, 501))
        assert 5 < trio.current_time() - begun < 60
        assert sum(message.redelivered for message in found) >= held
    assert len(spools.journals) == 1


async def test_a_member_that_is_out_of_reach_for_a_moment_goes_on_with_what_it_has(
    autojump_clock: Clock, quick: Three, network: SimulatedNetwork, tmp_path: Path
) -> None:
    one, two, _ = quick
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
    ):
        await log.write_all([Flow(1), Flow(2)])
        kept = await messages(records, 2)
        network.fabric.partition("b", "r")
        await log.write(Flow(3))
        await trio.sleep(4)
        network.fabric.heal("b", "r")
        assert await numbers(records, 1) == [3]
        assert [records.acknowledge(message) for message in kept] == [1, 1]
        await records.confirmed()
        assert log.info().collectors[0].acknowledged == 2


async def test_different_names_get_everything_each(autojump_clock: Clock, quick: Three, tmp_path: Path) -> None:
    one, two, three = quick
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x") as records,
        three.collect("flows", name="y") as others,
        three.collect("flows", since="earliest") as passing,
    ):
        await log.write_all(map(Flow, range(100)))
        for each in (records, others, passing):
            assert await numbers(each, 100) == list(range(100))


async def test_a_writer_that_begins_anew_goes_on_with_all_of_its_collectors(
    autojump_clock: Clock, quick: Three, tmp_path: Path
) -> None:
    one, two, three = quick
    async with two.collect("flows", name="x") as records, three.collect("flows", name="y") as others:
        for life in range(3):
            async with one.log("flows", Flow, path=tmp_path / "s") as log:
                await log.write_all([Flow(2 * life), Flow(2 * life + 1)])
                await log.flush()
                assert await numbers(records, 2) == [2 * life, 2 * life + 1]
        assert await numbers(others, 6) == list(range(6))


async def test_a_writer_with_a_new_spool_is_told_of(
    autojump_clock: Clock, quick: Three, spools: Spools, tmp_path: Path
) -> None:
    one, two, _ = quick
    async with two.status() as status, two.collect("flows", name="x") as records:
        async with one.log("flows", Flow, path=tmp_path / "s") as log:
            await log.write(Flow(1))
            assert await numbers(records, 1) == [1]
        async with one.log("flows", Flow, path=tmp_path / "t") as log:
            await log.write(Flow(2))
            assert await numbers(records, 1) == [2]
            with trio.fail_after(60):
                while type(told := await status.receive()) is not broker.WriterReset:
                    pass
        assert (told.stream, told.writer) == ("flows", "a")
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()
    assert len(spools.journals) == 2
