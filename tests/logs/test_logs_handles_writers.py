"""Writers of log streams: what is on disk when, many tasks, cancellation, closing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from handle_records import Disk, Ends, Flow, Other, numbers, until

import broker
from broker import Endpoint, LogWriter
from broker.journal import verify

pytest_plugins = ["handle_pairs"]  # its fixtures


async def settled() -> None:
    """Let every other task go on until it waits."""
    await trio.testing.wait_all_tasks_blocked()


# -- what is on disk ---------------------------------------------------------------------------------------------------


async def test_a_durable_write_is_on_disk_when_it_returns(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        for expected in (1, 2, 3):
            assert await log.write(Flow(expected)) == expected
            assert log.info().last == expected
            assert log.position.sequence == expected


async def test_a_buffered_write_is_on_disk_within_its_delay_though_nothing_else_is_asked(
    alone: Endpoint, tmp_path: Path, disk: Disk
) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s", durable=False, delay_s=0.05) as log:
        begun = disk.commits
        assert await log.write(Flow(1)) == 1
        assert log.write_nowait(Flow(2)) == 2
        assert await log.write_all([Flow(3), Flow(4)]) == 4
        assert log.info().last == 0
        await until(lambda: log.info().last == 4)
        assert disk.commits == begun + 1  # they shared one


async def test_each_write_can_say_for_itself_whether_it_is_durable(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s", delay_s=3600) as log:
        await log.write(Flow(1), durable=False)
        assert log.info().last == 0
        await log.write_all([Flow(2)], durable=True)
        assert log.info().last == 2
    async with alone.log("flows", Flow, path=tmp_path / "s", durable=False, delay_s=3600) as log:
        await log.write(Flow(3), durable=True)
        assert log.info().last == 3


async def test_flush_has_everything_on_disk(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s", durable=False, delay_s=3600) as log:
        await log.flush()
        for number in range(5000):
            log.write_nowait(Flow(number))
        await log.flush()
        assert log.info().last == 5000


async def test_leaving_has_everything_on_disk(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s", durable=False, delay_s=3600) as log:
        await log.write_all(map(Flow, range(3000)))
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        assert log.info().last == 3000
        assert await log.write(Flow(0)) == 3001
    assert verify(tmp_path / "s").ok


async def fails(log: LogWriter) -> None:
    async with log:
        log.write_nowait(Flow(1))
        raise KeyError


async def test_an_exception_in_the_block_loses_nothing_that_was_written(alone: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        await fails(alone.log("flows", Flow, path=tmp_path / "s", durable=False, delay_s=3600))
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        assert log.info().last == 1


async def test_writing_none_is_nothing(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        assert await log.write_all([]) == 0
        assert log.info().last == 0


# -- several tasks -----------------------------------------------------------------------------------------------------


async def test_tasks_that_write_at_a_time_share_commits_and_get_numbers_of_their_own(
    alone: Endpoint, tmp_path: Path, disk: Disk
) -> None:
    found: list[int] = []
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        begun = disk.commits

        async def write(task: int) -> None:
            found.extend([await log.write(Flow(task)) for _ in range(10)])

        async with trio.open_nursery() as nursery:
            for task in range(50):
                nursery.start_soon(write, task)
        assert sorted(found) == list(range(1, 501))
        assert disk.commits - begun <= 50


async def test_records_are_numbered_in_the_order_in_which_they_were_taken(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with (
        one.log("flows", Flow, path=tmp_path / "s") as log,
        two.collect("flows", Flow, name="x") as records,
        trio.open_nursery() as nursery,
    ):
        for number in range(200):
            nursery.start_soon(log.write, Flow(number))
        by_number = [message async for message in first(records, 200)]
        assert [message.number for message in by_number] == list(range(1, 201))
        assert sorted(message.record.n for message in by_number) == list(range(200))


async def first(records: broker.Collector, count: int) -> Any:
    for _ in range(count):
        yield await records.receive()


async def test_one_endpoint_writes_several_streams(alone: Endpoint, tmp_path: Path) -> None:
    async with (
        alone.log("flows", Flow, path=tmp_path / "s") as flows,
        alone.log("others", Other, path=tmp_path / "t") as others,
        alone.collect("flows", Flow, name="x") as from_flows,
        alone.collect("others", Other, name="x") as from_others,
    ):
        await flows.write(Flow(1))
        await others.write(Other(2))
        assert (await from_flows.receive()).record == Flow(1)
        assert (await from_others.receive()).record == Other(2)
        assert alone.streams() == {"flows": ("a",), "others": ("a",)}


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_who_is_cancelled_while_waiting_for_the_disk_hurts_nobody_else(
    alone: Endpoint, tmp_path: Path, disk: Disk
) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log, trio.open_nursery() as nursery:
        disk.hold()
        nursery.start_soon(log.write, Flow(1))
        with trio.CancelScope() as scope:
            nursery.start_soon(log.write, Flow(2))
            async with trio.open_nursery() as inner:
                inner.start_soon(log.write, Flow(3))
                await settled()
                scope.cancel()
        assert scope.cancelled_caught
        disk.go_on()
        await log.flush()
        assert log.info().last == 3  # it was taken, and nobody can take it back
        assert await log.write(Flow(4)) == 4


async def test_who_is_cancelled_while_waiting_for_room_has_written_nothing(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s", limit_bytes=1 << 20, collectors=("x",)) as log:
        while log.info().bytes < 1 << 20:
            await log.write(Flow(0, "x" * 10_000))
        with pytest.raises(trio.WouldBlock):
            log.write_nowait(Flow(0))
        last = log.info().last
        with trio.move_on_after(0.02) as scope:
            await log.write(Flow(1))
        assert scope.cancelled_caught
        with trio.move_on_after(0.02) as scope:
            await log.write_all([Flow(2)])
        assert scope.cancelled_caught
        await log.flush()
        assert log.info().last == last
        await log.forget("x")
        assert log.info().collectors == ()


# -- life --------------------------------------------------------------------------------------------------------------


async def test_closing_the_writer_tells_those_who_wait(alone: Endpoint, tmp_path: Path, disk: Disk) -> None:
    ended: list[str] = []

    async def waits(call: Callable[..., Any], *arguments: object) -> None:
        try:
            await call(*arguments)
        except broker.LogClosed as error:
            ended.append(str(error))

    async with (
        trio.open_nursery() as nursery,
        alone.log("flows", Flow, path=tmp_path / "s", limit_bytes=1 << 20, collectors=("x",)) as log,
    ):
        while log.info().bytes < 1 << 20:
            await log.write(Flow(0, "x" * 60_000))
        nursery.start_soon(waits, log.write, Flow(1))  # for room
        nursery.start_soon(waits, log.write_all, [Flow(1)])
        nursery.start_soon(waits, log.collected)  # for a collector that never comes
        await settled()
    assert len(ended) == 3
    assert all("flows" in text and "left" in text for text in ended)


async def test_closing_the_endpoint_ends_its_writers(tmp_path: Path) -> None:
    async with Endpoint("a") as endpoint:
        log = endpoint.log("flows", Flow, path=tmp_path / "s")
        await log.__aenter__()
        await log.write(Flow(1))
    with pytest.raises(broker.LogClosed):
        await log.write(Flow(2))
    await log.__aexit__(None, None, None)
    async with Endpoint("a") as endpoint, endpoint.log("flows", Flow, path=tmp_path / "s") as log:
        assert log.info().last == 1


USES: list[Callable[[LogWriter], Any]] = [
    lambda log: log.write(Flow(1)),
    lambda log: log.write_all([Flow(1)]),
    lambda log: log.flush(),
    lambda log: log.collected(),
    lambda log: log.forget("x"),
]
LOOKS: list[Callable[[LogWriter], Any]] = [
    lambda log: log.write_nowait(Flow(1)),
    lambda log: log.info(),
    lambda log: log.position,
]


async def test_a_writer_is_used_inside_its_block_alone(alone: Endpoint, tmp_path: Path) -> None:
    log = alone.log("flows", Flow, path=tmp_path / "s")
    for reason in ("not entered yet", "was left"):
        for use in USES:
            with pytest.raises(broker.LogClosed, match=f"log stream 'flows'.*{reason}"):
                await use(log)
        for look in LOOKS:
            with pytest.raises(broker.LogClosed, match=f"log stream 'flows'.*{reason}"):
                look(log)
        if reason == "not entered yet":
            async with log:
                pass
    with pytest.raises(broker.LogClosed, match="entered once"):
        await log.__aenter__()


async def test_a_writer_of_a_closed_endpoint_cannot_be_entered(tmp_path: Path) -> None:
    async with Endpoint("a") as endpoint:
        pass
    with pytest.raises(broker.EndpointClosed):
        await endpoint.log("flows", Flow, path=tmp_path / "s").__aenter__()
    assert not (tmp_path / "s").exists()


async def test_a_stream_has_one_writer_at_an_endpoint(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        with pytest.raises(broker.LogInUse, match="log stream 'flows'"):
            await alone.log("flows", Flow, path=tmp_path / "t").__aenter__()
        assert not (tmp_path / "t").exists()
        await log.write(Flow(1))  # which is none the worse for it
    async with alone.log("flows", Flow, path=tmp_path / "t"):
        pass


async def test_two_tasks_that_open_a_stream_at_once_do_not_both_get_it(alone: Endpoint, tmp_path: Path) -> None:
    outcomes: list[str] = []

    async def opens(name: str) -> None:
        try:
            async with alone.log("flows", Flow, path=tmp_path / name) as log:
                await log.write(Flow(1))
                outcomes.append("written")
                await settled()
        except broker.LogError as error:
            outcomes.append(type(error).__name__)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(opens, "s")
        nursery.start_soon(opens, "t")
    assert sorted(outcomes) in (["LogError", "written"], ["LogInUse", "written"])


async def test_being_cancelled_while_entering_leaves_the_stream_free(
    alone: Endpoint, tmp_path: Path, disk: Disk
) -> None:
    disk.hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alone.log("flows", Flow, path=tmp_path / "s").__aenter__)
        await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
        disk.go_on()
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        assert await log.write(Flow(1)) == 1


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_a_record_of_another_class_is_refused_and_nothing_is_written(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        for wrong in (Other(1), "text", None, Flow):
            with pytest.raises(broker.EventDefinitionError, match="'flows' has records of Flow, not "):
                await log.write(wrong)
            with pytest.raises(broker.EventDefinitionError):
                log.write_nowait(wrong)
        assert await log.write(Flow(1)) == 1


async def test_a_record_that_misfits_its_class_is_refused(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        with pytest.raises(broker.EventMisfit, match="n"):
            await log.write(Flow("one"))  # type: ignore[arg-type]
        assert await log.write(Flow(1)) == 1


async def test_of_many_records_those_before_the_one_that_misfits_are_written(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        with pytest.raises(broker.EventMisfit):
            await log.write_all([Flow(1), Flow(2), Flow("three"), Flow(4)])  # type: ignore[arg-type]
        await log.flush()
        assert log.info().last == 2


async def test_too_large_a_record_is_refused(alone: Endpoint, tmp_path: Path) -> None:
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        with pytest.raises(broker.NotCarried, match="bytes"):
            await log.write(Flow(1, "x" * (17 << 20)))
        assert await log.write(Flow(1)) == 1


async def test_a_large_record_is_carried(ends: Ends, tmp_path: Path) -> None:
    one, two = ends
    async with one.log("flows", Flow, path=tmp_path / "s") as log, two.collect("flows", name="x") as records:
        await log.write(Flow(1, "x" * 900_000))
        await log.write(Flow(2))
        assert len((await records.receive()).record.note) == 900_000
        assert await numbers(records, 1) == [2]


@pytest.mark.parametrize(
    "options",
    [
        {"overflow": "drop_newest"},
        {"limit_bytes": 1000},
        {"limit_age_s": 0},
        {"limit_age_s": float("nan")},
        {"keep_bytes": -1},
        {"delay_s": -1},
        {"delay_s": float("nan")},
        {"collectors": [""]},
        {"collectors": ["x" * 256]},
        {"collectors": ["a\nb"]},
    ],
    ids=str,
)
async def test_options_that_make_no_sense_are_refused(alone: Endpoint, options: Any) -> None:
    with pytest.raises(ValueError, match="is"):
        alone.log("flows", Flow, path="s", **options)


async def test_a_stream_needs_a_name_and_a_class_of_records(alone: Endpoint) -> None:
    for name in ("", "/", "//", "a" * 252, "a\nb", "\ud800", 7):
        with pytest.raises(broker.TopicError):
            alone.log(name, Flow, path="s")  # type: ignore[arg-type]
        with pytest.raises(broker.TopicError):
            alone.collect(name)  # type: ignore[arg-type]
    for name in ("/a//b", "a/b"):
        assert alone.log(name, Flow, path="s").name == alone.collect(name).stream == "a/b"
    with pytest.raises(broker.EventDefinitionError):
        alone.log("flows", int, path="s")


# -- a disk that is full -----------------------------------------------------------------------------------------------


async def test_while_the_disk_is_full_writes_wait_and_nothing_is_lost(
    alone: Endpoint, tmp_path: Path, disk: Disk
) -> None:
    async with (
        alone.status() as status,
        alone.log("flows", Flow, path=tmp_path / "s") as log,
        trio.open_nursery() as nursery,
    ):
        disk.full = True
        nursery.start_soon(log.write, Flow(1))
        failing = await status.receive()
        assert type(failing) is broker.LogFailing
        assert failing.stream == "flows"
        assert "no space" in failing.reason
        assert "no space" in log.info().problem
        disk.full = False
        assert await status.receive() == broker.LogRecovered("flows")
        await log.flush()
        assert log.info().last == 1
        assert log.info().problem == ""


async def test_a_spool_that_cannot_be_written_cannot_be_entered(alone: Endpoint, tmp_path: Path, disk: Disk) -> None:
    disk.full = True
    with pytest.raises(broker.LogError, match="no space left"):
        await alone.log("flows", Flow, path=tmp_path / "s").__aenter__()
    disk.full = False
    async with alone.log("flows", Flow, path=tmp_path / "s") as log:
        assert await log.write(Flow(1)) == 1
