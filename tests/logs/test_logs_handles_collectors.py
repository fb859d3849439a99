"""Collectors of log streams: receiving, acknowledging, beginning somewhere, going on after an end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from handle_records import Ends, Flow, Other, Spools, messages, numbers, told, until

import broker
from broker import Collector, Endpoint, LogWriter
from broker.testing import SimulatedNetwork

pytest_plugins = ["handle_pairs"]  # its fixtures


async def rest(endpoint: Endpoint, name: str, **options: Any) -> list[int]:
    """What a collector that goes on under a name is given, up to the record 99."""
    found: list[int] = []
    async with endpoint.collect("flows", name=name, **options) as records:
        async for message in records:
            if message.record.n == 99:
                return found
            found.append(message.record.n)
    return found


# -- receiving ---------------------------------------------------------------------------------------------------------


async def test_records_come_with_their_number_time_and_origin(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", Flow, name="x") as records:
        before = datetime.now(UTC)
        await log.write(Flow(7, "text"))
        message = await records.receive()
        assert message.record == Flow(7, "text")
        assert (message.stream, message.number, message.origin) == ("flows", 1, "a")
        assert before - timedelta(milliseconds=1) <= message.time <= datetime.now(UTC)
        assert message.position == log.position
        assert [column.name for column in message.columns] == ["n", "note"]
        assert (message.lost_before, message.redelivered) == (0, False)


async def test_a_collector_is_iterated_over(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", name="x") as records:
        await log.write_all(map(Flow, range(3000)))
        expected = 0
        async for message in records:
            assert message.record.n == expected
            expected += 1
            if expected == 3000:
                break


async def test_receive_nowait_gives_what_is_there(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log, alone.collect("flows", name="x") as records:
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()
        await log.write_all(map(Flow, range(3)))
        assert [records.receive_nowait().record.n for _ in range(3)] == [0, 1, 2]
        with pytest.raises(trio.WouldBlock):
            records.receive_nowait()


async def test_a_batch_is_of_one_writer_in_order_and_mixes_with_single_records(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.log("flows", Flow, path=tmp_path / "t") as other,
        two.collect("flows", name="x") as records,
    ):
        await log.write_all(map(Flow, range(5000)))
        await other.write_all(map(Flow, range(5000)))
        found: dict[str, list[int]] = {"a": [], "b": []}
        while sum(map(len, found.values())) < 10_000:
            message = await records.receive()
            found[message.origin].append(message.number)
            batch = await records.receive_batch()
            assert batch
            assert len({message.origin for message in batch}) == 1
            found[batch[0].origin] += [message.number for message in batch]
        assert found == {"a": list(range(1, 5001)), "b": list(range(1, 5001))}


async def test_the_writer_may_come_later_and_there_may_be_several(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with two.collect("flows", name="x") as records:
        async with one.log("flows", Flow, path=tmp_path / "s") as log:
            await log.write(Flow(1))
            assert await numbers(records, 1) == [1]
            async with two.log("flows", Flow, path=tmp_path / "t") as other:
                await other.write(Flow(2))
                assert await numbers(records, 1) == [2]
            await log.write(Flow(3))
            assert await numbers(records, 1) == [3]
        async with one.log("flows", Flow, path=tmp_path / "s") as log:
            await log.write(Flow(4))
            assert await numbers(records, 1) == [4]


async def test_a_stream_is_collected_at_its_own_writer(alone: Endpoint, tmp_path: Path) -> None:
    async with (
        alone.collect("flows", name="x") as early,
        alone.log("flows", Flow, path=tmp_path / "s") as log,
        alone.collect("flows", name="y") as late,
    ):
        await log.write_all([Flow(1), Flow(2)])
        assert await numbers(early, 2) == await numbers(late, 2) == [1, 2]


async def test_cancelling_receive_loses_nothing(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", name="x") as records:
        found: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.write_all, [Flow(number) for number in range(200)])
            while len(found) < 200:
                with trio.move_on_after(0.0005):
                    while True:
                        found.append((await records.receive()).record.n)
                if len(found) % 3 == 0:
                    with trio.move_on_after(0):
                        found += [message.record.n for message in await records.receive_batch()]
        assert found == list(range(200))


async def test_tasks_share_a_collector(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    found: list[int] = []
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
        trio.open_nursery() as nursery,
    ):

        async def work() -> None:
            while True:
                message = await records.receive()
                await trio.lowlevel.checkpoint()
                found.append(message.record.n)
                records.acknowledge(message)

        for _ in range(5):
            nursery.start_soon(work)
        for number in range(100):
            await log.write(Flow(number))
        await log.collected("x")
        nursery.cancel_scope.cancel()
    assert sorted(found) == list(range(100))


# -- acknowledging by going on -----------------------------------------------------------------------------------------


async def test_a_record_is_acknowledged_when_the_next_is_asked_for(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", name="x") as records:
        await log.write(Flow(1))
        await records.receive()
        await records.confirmed()
        assert log.info().collectors[0].acknowledged == 0
        with trio.move_on_after(0):
            await records.receive()
        await log.collected("x")
        assert log.info().collectors[0].acknowledged == 1


async def test_leaving_acknowledges_all_that_was_received(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(10)))
        async with two.collect("flows", name="x") as records:
            await numbers(records, 4)
        await log.write(Flow(99))
        assert await rest(two, "x") == [4, 5, 6, 7, 8, 9]


async def test_breaking_out_of_the_loop_acknowledges_the_last_record_too(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(10)))
        async with two.collect("flows", name="x") as records:
            async for message in records:
                if message.record.n == 3:
                    break
        await log.write(Flow(99))
        assert await rest(two, "x") == [4, 5, 6, 7, 8, 9]


async def fails_at(endpoint: Endpoint, number: int) -> None:
    async with endpoint.collect("flows", name="x") as records:
        async for message in records:
            if message.record.n == number:
                raise KeyError


async def fails_with_a_batch(endpoint: Endpoint, size: int) -> None:
    async with endpoint.collect("flows", name="x") as records:
        assert len(await records.receive_batch()) == size
        raise KeyError


async def test_an_exception_leaves_the_last_record_to_be_given_again(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(10)))
        with pytest.raises(KeyError):
            await fails_at(two, 3)
        async with two.collect("flows", name="x") as records:
            again, other = await messages(records, 2)
            assert (again.record.n, again.redelivered) == (3, True)  # it was begun with
            assert (other.record.n, other.redelivered) == (4, False)  # it was not


async def test_an_exception_in_a_batch_leaves_all_of_it(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(3)))
        with pytest.raises(KeyError):
            await fails_with_a_batch(two, 3)
        await log.write(Flow(99))
        assert await rest(two, "x") == [0, 1, 2]


async def test_what_is_done_of_a_batch_is_acknowledged_while_the_program_is_at_it(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", name="x") as records:
        await log.write_all(map(Flow, range(100)))
        assert await numbers(records, 40) == list(range(40))
        await until(lambda: log.info().collectors[0].acknowledged >= 39)  # not the one that it has in hand
        assert log.info().collectors[0].acknowledged == 39


# -- acknowledging explicitly ------------------------------------------------------------------------------------------


async def test_records_are_acknowledged_one_by_one_in_any_order(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(10)))
        async with two.collect("flows", name="x", acknowledge="explicit") as records:
            found = await messages(records, 10)
            for index in (7, 2, 0, 9):
                assert records.acknowledge(found[index]) == 1
            assert records.acknowledge(found[2]) == 0  # it was before
            await records.confirmed()
            (info,) = log.info().collectors
            assert (info.acknowledged, info.behind, info.in_hand) == (1, 6, 6)
        await log.write(Flow(99))
        assert await rest(two, "x") == [1, 3, 4, 5, 6, 8]


async def test_acknowledging_through_a_record_takes_all_of_its_writer_up_to_it(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.log("flows", Flow, path=tmp_path / "t") as other,
        two.collect("flows", name="x", acknowledge="explicit") as records,
    ):
        await log.write_all(map(Flow, range(10)))
        await other.write_all(map(Flow, range(10)))
        found = await messages(records, 20)
        mine = [message for message in found if message.origin == "a"]
        assert records.acknowledge(mine[3]) == 1
        assert records.acknowledge(mine[5], through=True) == 5
        assert records.acknowledge(mine[5], through=True) == 0
        await records.confirmed()
        assert log.info().collectors[0].acknowledged == 6
        assert other.info().collectors[0].acknowledged == 0


async def test_what_is_not_acknowledged_comes_again(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(5)))
        for _ in range(2):
            async with two.collect("flows", name="x", acknowledge="explicit") as records:
                assert await numbers(records, 5) == [0, 1, 2, 3, 4]


async def test_another_streams_message_acknowledges_nothing(alone: Endpoint, tmp_path: Path) -> None:
    async with (
        alone.log("flows", Flow, path=tmp_path / "s") as log,
        alone.log("others", Other, path=tmp_path / "t") as others,
        alone.collect("flows", name="x", acknowledge="explicit") as records,
        alone.collect("others", name="x", acknowledge="explicit") as more,
    ):
        await log.write(Flow(1))
        await others.write(Other(1))
        assert records.acknowledge(await more.receive()) == 0
        assert records.acknowledge(await records.receive()) == 1


async def test_confirmed_waits_for_the_writers_disk(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
    ):
        await records.confirmed()  # nothing is to be waited for
        await log.write(Flow(1))
        records.acknowledge(await records.receive())
        assert log.info().collectors[0].acknowledged == 0
        await records.confirmed()
        assert log.info().collectors[0].acknowledged == 1


# -- checkpoints -------------------------------------------------------------------------------------------------------


async def test_with_its_checkpoint_a_collector_that_died_gets_nothing_twice(
    autojump_clock: trio.testing.MockClock, network: SimulatedNetwork, spools: Spools, tmp_path: Path
) -> None:
    async with Endpoint("a", network=network) as one, one.log("flows", Flow, path=tmp_path / "s") as log:
        await one.listen("sim://a")
        await log.write_all(map(Flow, range(10)))
        async with Endpoint("b", network=network, linger_s=0) as two:
            await two.peer("sim://a")
            async with two.collect("flows", name="x") as records:
                checkpoint = records.checkpoint(await messages(records, 4))
                network.fabric.half_open("a", "b")  # what it says from now on is lost
        async with Endpoint("b", network=network, linger_s=0) as two:
            await two.peer("sim://a")
            async with two.collect("flows", name="x", checkpoint=checkpoint) as records:
                assert await numbers(records, 6) == [4, 5, 6, 7, 8, 9]
    assert len(spools.journals) == 1


async def test_without_a_checkpoint_a_collector_that_died_gets_what_it_may_have_had_marked(
    autojump_clock: trio.testing.MockClock, network: SimulatedNetwork, spools: Spools, tmp_path: Path
) -> None:
    async with Endpoint("a", network=network) as one, one.log("flows", Flow, path=tmp_path / "s") as log:
        await one.listen("sim://a")
        await log.write_all(map(Flow, range(10)))
        async with Endpoint("b", network=network, linger_s=0) as two:
            await two.peer("sim://a")
            async with two.collect("flows", name="x", acknowledge="explicit") as records:
                found = await messages(records, 4)
                records.acknowledge(found[0])
                await records.confirmed()
                network.fabric.half_open("a", "b")
                records.acknowledge(found[1])
        async with Endpoint("b", network=network, linger_s=0) as two:
            await two.peer("sim://a")
            async with two.collect("flows", name="x") as records:
                again = await messages(records, 9)
                assert [message.record.n for message in again] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
                assert all(message.redelivered for message in again[:3])
    assert len(spools.journals) == 1


async def test_a_checkpoint_is_of_what_is_acknowledged_and_not_confirmed(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", name="x", acknowledge="explicit") as records,
    ):
        await log.write_all(map(Flow, range(10)))
        found = await messages(records, 10)
        empty = records.checkpoint()
        assert len(records.checkpoint([found[3]])) > len(empty)
        records.acknowledge(found[0])
        assert len(records.checkpoint()) > len(empty)
        await records.confirmed()
        assert records.checkpoint() == empty


async def test_what_is_no_checkpoint_is_refused(alone: Endpoint) -> None:
    for wrong in (b"", b"x", b"\x92\xc4\x00\x90", b"\x92\xc4\x10" + bytes(16) + b"\xc0"):
        with pytest.raises(broker.Malformed, match="not a collector's checkpoint"):
            alone.collect("flows", name="x", checkpoint=wrong)


# -- where it begins ---------------------------------------------------------------------------------------------------


def is_followed(records: Collector) -> bool:
    return any(lag.reachable for lag in records.lag())


async def ten(log: LogWriter) -> broker.Position:
    """Write records 0 to 9; returns the position behind 4."""
    await log.write_all(map(Flow, range(5)))
    position = log.position
    await log.write_all(map(Flow, range(5, 10)))
    return position


async def test_a_name_that_is_new_begins_with_the_earliest_record(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await ten(log)
        async with two.collect("flows", name="x") as records:
            assert await numbers(records, 2) == [0, 1]


async def test_a_collector_without_a_name_begins_now_and_goes_on_nowhere(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await ten(log)
        for number in (10, 11):
            async with two.collect("flows") as records:
                await until(lambda: is_followed(records))
                await log.write(Flow(number))
                assert await numbers(records, 1) == [number]
        assert log.info().collectors == ()


SINCES: list[tuple[str, Callable[[broker.Position, datetime], Any], int]] = [
    ("earliest", lambda _position, _time: "earliest", 0),
    ("now", lambda _position, _time: "now", 99),
    ("position", lambda position, _time: position, 5),
    ("time", lambda _position, time: time, 5),
    ("long ago", lambda _position, _time: datetime(1980, 1, 1, tzinfo=UTC), 0),
    ("in a year", lambda _position, time: time + timedelta(days=365), 99),
    ("elsewhere", lambda position, _time: broker.Position(bytes(16), 1, 5, position.checksum), 0),
]


@pytest.mark.parametrize("name", ["x", None])
@pytest.mark.parametrize(("since", "first"), [pytest.param(*one[1:], id=one[0]) for one in SINCES])
async def test_a_collector_begins_where_it_says(
    ends: Ends, tmp_path: Path, since: Callable[..., Any], first: int, name: str | None
) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        await log.write_all(map(Flow, range(5)))
        position = log.position
        await trio.sleep(0.002)
        time = datetime.now(UTC)
        await trio.sleep(0.002)
        await log.write_all(map(Flow, range(5, 10)))
        async with two.collect("flows", name=name, since=since(position, time)) as records:
            await until(lambda: is_followed(records))
            await log.write(Flow(99))
            assert await numbers(records, 1) == [first]


async def test_a_name_that_is_known_goes_on_wherever_it_says_it_begins(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log:
        position = await ten(log)
        async with two.collect("flows", name="x") as records:
            await numbers(records, 2)
        for since in ("earliest", "now", position):
            async with two.collect("flows", name="x", since=since, acknowledge="explicit") as records:
                assert await numbers(records, 1) == [2]


async def test_replay_begins_anew_where_it_says(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s", collectors=["keeps"]) as log:
        position = await ten(log)
        async with two.collect("flows", name="x") as records:
            await numbers(records, 8)
        async with two.collect("flows", name="x", since="earliest", replay=True) as records:
            assert await numbers(records, 3) == [0, 1, 2]
        async with two.collect("flows", name="x", since=position, replay=True) as records:
            assert await numbers(records, 3) == [5, 6, 7]
        async with two.collect("flows", name="x") as records:
            assert await numbers(records, 1) == [8]


async def test_replay_waits_for_no_other_member_but_is_refused(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        one.collect("flows", name="x"),
        two.status() as status,
        two.collect("flows", name="x", replay=True) as records,
    ):
        await log.write(Flow(1))
        refused = await told(status, broker.CollectorRefused)
        assert (refused.stream, refused.name, refused.writer) == ("flows", "x", "a")
        assert "another member" in refused.reason
        assert records.refused == {"a": refused.reason}


# -- how far it is -----------------------------------------------------------------------------------------------------


async def test_lag_tells_how_far_behind_each_writer_it_is(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with two.collect("flows", name="x", acknowledge="explicit") as records:
        assert records.lag() == ()
        async with one.log("flows", Flow, path=tmp_path / "s") as log:
            await log.write_all(map(Flow, range(10)))
            found = await messages(records, 10)
            records.acknowledge(found[3], through=True)
            await records.confirmed()
            (lag,) = records.lag()
            assert (lag.writer, lag.journal, lag.last, lag.reachable) == ("a", log.position.journal, 10, True)
            assert (lag.acknowledged, lag.behind) == (4, 6)
            assert 0 <= lag.behind_s < 5
        await until(lambda: not records.lag()[0].reachable)
        assert records.lag()[0].behind == 6


# -- life --------------------------------------------------------------------------------------------------------------


async def test_closing_a_collector_wakes_those_who_wait(alone: Endpoint, tmp_path: Path) -> None:
    ended: list[str] = []

    async def waits(call: Callable[[], Any]) -> None:
        try:
            await call()
        except broker.LogClosed as error:
            ended.append(str(error))

    async with trio.open_nursery() as nursery, alone.collect("flows", name="x") as records:
        nursery.start_soon(waits, records.receive)
        nursery.start_soon(waits, records.receive_batch)
        nursery.start_soon(waits, records.__anext__)
        await trio.testing.wait_all_tasks_blocked()
    assert len(ended) == 3
    assert all("flows" in text for text in ended)


async def test_closing_the_endpoint_ends_its_collectors() -> None:
    ended: list[str] = []
    async with trio.open_nursery() as nursery, Endpoint("a") as endpoint:
        records = endpoint.collect("flows", name="x")
        await records.__aenter__()

        async def waits() -> None:
            with pytest.raises(broker.LogClosed) as caught:
                await records.receive()
            ended.append(str(caught.value))

        nursery.start_soon(waits)
        await trio.testing.wait_all_tasks_blocked()
    assert len(ended) == 1
    with pytest.raises(broker.LogClosed):
        await records.receive()
    await records.__aexit__(None, None, None)


USES: list[Callable[[Collector], Any]] = [
    lambda records: records.receive(),
    lambda records: records.receive_batch(),
    lambda records: records.__anext__(),
    lambda records: records.confirmed(),
]
LOOKS: list[Callable[[Collector], Any]] = [
    lambda records: records.receive_nowait(),
    lambda records: records.lag(),
    lambda records: records.checkpoint(),
    lambda records: records.refused,
]


async def test_a_collector_is_used_inside_its_block_alone(alone: Endpoint, tmp_path: Path) -> None:
    records = alone.collect("flows", name="x")
    for reason in ("not entered yet", "was left"):
        for use in USES:
            with pytest.raises(broker.LogClosed, match=f"log stream 'flows'.*{reason}"):
                await use(records)
        for look in LOOKS:
            with pytest.raises(broker.LogClosed, match=f"log stream 'flows'.*{reason}"):
                look(records)
        if reason == "not entered yet":
            async with records, alone.log("flows", Flow, path=tmp_path / "s") as log:
                await log.write_all([Flow(1), Flow(2)])
                await records.receive()
    with pytest.raises(broker.LogClosed, match="entered once"):
        await records.__aenter__()


async def test_a_collector_of_a_closed_endpoint_cannot_be_entered() -> None:
    async with Endpoint("a") as endpoint:
        pass
    with pytest.raises(broker.EndpointClosed):
        await endpoint.collect("flows", name="x").__aenter__()


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "x" * 256},
        {"name": "a\nb"},
        {"name": 7},
        {"since": "yesterday"},
        {"since": 7},
        {"since": datetime(2024, 1, 1)},  # noqa: DTZ001 - that it has no zone is what is refused
        {"acknowledge": "never"},
        {"queue_bytes": 0},
    ],
    ids=str,
)
async def test_arguments_that_make_no_sense_are_refused(alone: Endpoint, options: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        alone.collect("flows", **options)
