"""What a spool keeps: up to its limits in bytes and age, what registered collectors lack, and what it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from handle_records import Ends, Flow, numbers, told, until

import broker
from broker import Endpoint

pytest_plugins = ["handle_pairs"]  # its fixtures

LIMIT = 1 << 20
NOTE = "x" * 10_000


async def filled(log: broker.LogWriter) -> int:
    """Write until the spool is full; returns the last record's number."""
    while True:
        with trio.move_on_after(0.1):
            last = await log.write(Flow(log.info().last + 1, NOTE))
            continue
        return last


async def test_a_full_spool_lets_writers_wait_until_a_collector_has_had_some(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s", limit_bytes=LIMIT, collectors=["x"]) as log:
        last = await filled(log)
        assert 80 <= last <= 120
        await log.flush()
        assert LIMIT <= log.info().bytes <= LIMIT + 70_000
        with pytest.raises(trio.WouldBlock):
            log.write_nowait(Flow(0))
        async with trio.open_nursery() as nursery, two.collect("flows", name="x") as records:
            nursery.start_soon(log.write, Flow(0))
            found = await numbers(records, log.info().last)
            assert found == list(range(1, len(found) + 1))
            nursery.cancel_scope.deadline = trio.current_time() + 10
            assert (await records.receive()).record in (Flow(0), Flow(log.info().last, NOTE))
        assert log.info().dropped == 0


async def test_drop_oldest_drops_counts_and_tells(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.status() as status,
        one.log("flows", Flow, path=tmp_path / "s", limit_bytes=LIMIT, overflow="drop_oldest", collectors=["x"]) as log,
    ):
        for number in range(1, 301):
            await log.write(Flow(number, NOTE))
        info = log.info()
        assert info.bytes <= LIMIT
        assert info.last == 300
        assert info.first > 150
        assert info.dropped == info.first - 1
        assert info.collectors[0].lost == info.dropped
        assert info.collectors[0].acknowledged == info.dropped
        dropped = await told(status, broker.RecordsDropped)
        assert dropped.stream == "flows"
        assert dropped.collectors == ("x",)
        assert "limit" in dropped.reason
        async with two.status() as theirs, two.collect("flows", name="x") as records:
            message = await records.receive()
            assert message.number == message.record.n == info.first
            assert message.lost_before == info.dropped
            lost = await told(theirs, broker.RecordsLost)
            assert (lost.stream, lost.writer, lost.count) == ("flows", "a", info.dropped)
            rest = await numbers(records, 300 - info.first)
            assert rest == list(range(info.first + 1, 301))


async def test_drop_oldest_drops_nothing_that_everybody_has(alone: Endpoint, tmp_path: Path) -> None:
    async with (
        alone.log("flows", Flow, path=tmp_path / "s", limit_bytes=LIMIT, overflow="drop_oldest") as log,
        alone.collect("flows", name="x") as records,
    ):
        for number in range(1, 301):
            await log.write(Flow(number, NOTE))
            if number % 50 == 0:
                assert await numbers(records, 50) == list(range(number - 49, number + 1))
        assert log.info().dropped == 0
        assert log.info().collectors[0].lost == 0


async def test_what_all_registered_collectors_have_is_trimmed(alone: Endpoint, tmp_path: Path) -> None:
    async with (
        alone.log("flows", Flow, path=tmp_path / "s", collectors=["y"]) as log,
        alone.collect("flows", name="x") as records,
    ):
        await log.write_all([Flow(number, NOTE) for number in range(50)])
        await numbers(records, 50)
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()
        await log.collected("x")
        await log.write(Flow(50))
        assert log.info().first == 1  # y has had none
        async with alone.collect("flows", name="y") as others:
            await numbers(others, 51)
        await numbers(records, 1)
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()
        await log.collected()
        await log.write(Flow(1))
        assert log.info().first > 40
        assert log.info().dropped == 0


async def test_records_are_kept_for_later_ones_when_that_is_asked(alone: Endpoint, tmp_path: Path) -> None:
    async with (
        alone.log("flows", Flow, path=tmp_path / "s", keep_bytes=400_000) as log,
        alone.collect("flows", name="x") as records,
    ):
        for number in range(1, 101):
            await log.write(Flow(number, NOTE))
        await numbers(records, 100)
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()
        await log.collected("x")
        await log.write(Flow(101, NOTE))
        info = log.info()
        assert 400_000 <= info.bytes < 420_000
        async with alone.collect("flows", name="later") as later:
            assert await numbers(later, 3) == [info.first, info.first + 1, info.first + 2]


async def test_without_any_collector_all_is_kept(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        for number in range(1, 101):
            await log.write(Flow(number))
        assert log.info().first == 1
        async with alone.collect("flows") as passing, alone.collect("flows", since="earliest") as other:
            assert await numbers(other, 100) == list(range(1, 101))
            await log.write(Flow(101))
            assert await numbers(passing, 1) == [101]
        assert log.info().first == 1
        assert log.info().collectors == ()


async def test_records_older_than_the_limit_go_without_anything_being_written(
    quick: tuple[Endpoint, ...], autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    one, two, _ = quick
    async with (
        one.status() as status,
        one.log("flows", Flow, path=tmp_path / "s", limit_age_s=100, collectors=["x"]) as log,
    ):
        await log.write(Flow(1))
        await trio.sleep(60)
        assert log.info().first == 1
        await trio.sleep(60)
        assert log.info().first == 2
        dropped = await told(status, broker.RecordsDropped)
        assert (dropped.count, dropped.collectors) == (1, ("x",))
        assert "100 s" in dropped.reason
        await log.write(Flow(2))
        async with two.collect("flows", name="x") as records:
            message = await records.receive()
            assert (message.record, message.lost_before) == (Flow(2), 1)


# -- what a writer says of its collectors ------------------------------------------------------------------------------


async def test_info_tells_how_far_each_collector_is(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["never there"]) as log:
        await log.write_all(map(Flow, range(10)))
        async with two.collect("flows", name="x", acknowledge="explicit") as records:
            for _ in range(4):
                message = await records.receive()
            records.acknowledge(message, through=True)
            await records.confirmed()
            info = log.info()
            assert (info.stream, info.path, info.first, info.last) == ("flows", str(tmp_path / "s"), 1, 10)
            assert (info.epoch, info.dropped, info.problem, info.limit_bytes) == (1, 0, "", 1 << 30)
            assert info.journal == log.position.journal
            never, x = info.collectors
            assert never == broker.CollectorInfo("never there", 0, 10, never.behind_s, (), 0, 0)
            assert x == broker.CollectorInfo("x", 4, 6, x.behind_s, ("b",), 6, 0)
        await log.flush()
        await until(lambda: not log.info().collectors[1].members)
        assert log.info().collectors[1] == broker.CollectorInfo("x", 4, 6, x.behind_s, (), 0, 0)


async def test_collected_waits_until_the_collectors_named_have_all_that_was_written(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    done: list[str] = []
    async with (
        one.log("flows", Flow, path=tmp_path / "s", collectors=["y"], durable=False, delay_s=3600) as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
        trio.open_nursery() as nursery,
    ):
        await log.write(Flow(1))

        async def wait(*names: str) -> None:
            await log.collected(*names)
            done.append(" ".join(names))

        nursery.start_soon(wait, "x")
        nursery.start_soon(wait)
        message = await records.receive()
        assert done == []
        records.acknowledge(message)
        await records.confirmed()
        await trio.testing.wait_all_tasks_blocked()
        assert done == ["x"]
        async with two.collect("flows", name="y") as others:
            await others.receive()
        await until(lambda: len(done) == 2)


async def test_a_collector_that_is_forgotten_no_longer_holds_the_spool(alone: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with alone.log("flows", Flow, path=path, limit_bytes=LIMIT, collectors=["gone", "x"]) as log:
        last = await filled(log)
        async with alone.collect("flows", name="x") as records:
            await numbers(records, last)
        with pytest.raises(trio.WouldBlock):
            log.write_nowait(Flow(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.write, Flow(1, NOTE))
            await log.forget("gone")
        assert [info.name for info in log.info().collectors] == ["x"]
        with pytest.raises(KeyError, match="'flows' has no collector 'gone' here"):
            await log.forget("gone")
    async with alone.log("flows", Flow, path=path) as log:
        assert [info.name for info in log.info().collectors] == ["x"]


async def test_a_collector_that_is_forgotten_while_it_is_there_is_registered_anew(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s", collectors=["y"]) as log,
        two.collect("flows", name="x") as records,
    ):
        await log.write_all([Flow(1), Flow(2)])
        assert await numbers(records, 2) == [1, 2]
        await log.forget("x")
        await log.write(Flow(3))
        while await numbers(records, 1) != [3]:  # a new name gets what there is
            pass
        assert [info.name for info in log.info().collectors] == ["x", "y"]


async def test_behind_s_is_the_age_of_the_oldest_record_that_is_lacking(
    quick: tuple[Endpoint, ...], autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    one, _, _ = quick
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["x"]) as log:
        await log.write(Flow(1))
        await trio.sleep(60)
        await log.write(Flow(2))
        assert log.info().collectors[0].behind_s == pytest.approx(60, abs=1)


# -- streams that are not kept -----------------------------------------------------------------------------------------


async def test_a_log_topic_is_read_by_subscribing_to_it(ends: Ends) -> None:
    one, two = ends
    async with two.subscribe("log/flows", Flow) as events, one.log("flows", Flow) as log:
        await one.subscribers(log.topic)
        assert await log.write(Flow(1)) == 1
        assert log.write_nowait(Flow(2)) == 2
        assert await log.write_all([Flow(3), Flow(4)]) == 4
        await log.flush()
        found = [await events.receive() for _ in range(4)]
        assert [message.event.n for message in found] == [1, 2, 3, 4]
        assert {(message.topic, message.origin) for message in found} == {("log/flows", "a")}
        for wrong in (None, "text"):
            with pytest.raises(broker.EventDefinitionError, match="'flows' has records of Flow, not "):
                await log.write(wrong)
            with pytest.raises(broker.EventDefinitionError):
                log.write_nowait(wrong)
    assert one.streams() == {}


async def test_a_log_topic_without_readers_takes_records_all_the_same(alone: Endpoint) -> None:
    async with alone.log("flows", Flow) as log, alone.log("flows", Flow) as other:
        assert await log.write(Flow(1)) == 1
        assert await other.write(Flow(1)) == 1  # any number of writers


async def test_a_log_topic_of_a_closed_endpoint_is_closed() -> None:
    async with Endpoint("a") as endpoint:
        log = endpoint.log("flows", Flow)
    with pytest.raises(broker.EndpointClosed):
        await log.__aenter__()
    with pytest.raises(broker.EndpointClosed):
        await log.write(Flow(1))
