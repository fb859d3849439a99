"""Log streams of simulated endpoints, as a program's own tests use them."""

from __future__ import annotations

import pytest
import trio

import broker
from broker.testing import Cluster, SimulatedCollector, SimulatedLog


@broker.event(name="testing_logs.Flow")
class Flow:
    n: int


def linked(seed: int = 1) -> Cluster:
    cluster = Cluster(seed)
    agent, manager = cluster.add("agent"), cluster.add("manager")
    agent.peer(manager)
    return cluster


def begin(cluster: Cluster, **options: object) -> SimulatedLog:
    log = cluster.endpoints["agent"].log("flows", Flow, **options)  # type: ignore[arg-type]
    assert cluster.run_until(lambda: log.machine.ready)
    return log


def numbers(records: SimulatedCollector) -> list[int]:
    return [message.record.n for message in records.messages]


def test_what_is_written_is_collected_and_trimmed() -> None:
    cluster = linked()
    log = begin(cluster)
    records = cluster.endpoints["manager"].collect("flows", Flow, name="archive")
    assert [log.write(Flow(n)) for n in range(3)] == [1, 2, 3]
    assert cluster.run_until(lambda: log.is_collected("archive"))
    assert numbers(records) == [0, 1, 2]
    assert cluster.run_until(lambda: records.settled)
    assert (log.durable, log.last, log.oldest, log.collectors) == (3, 3, 4, {"archive": 3})


def test_a_crash_takes_what_is_not_on_the_disk_and_leaves_the_rest() -> None:
    cluster = linked()
    log = begin(cluster, delay_s=1.0)
    log.write(Flow(0))
    assert cluster.run_until(lambda: log.durable == 1)
    log.write(Flow(1), durable=False)
    cluster.restart("agent")
    again = begin(cluster)
    assert again.last == 1


def test_a_collector_that_dies_goes_on_from_its_checkpoint_and_has_everything_once() -> None:
    cluster = linked()
    log = begin(cluster)
    for n in range(5):
        log.write(Flow(n))
    manager = cluster.endpoints["manager"]
    records = manager.collect("flows", Flow, name="archive", acknowledge="explicit", reading=False)
    assert cluster.run_until(lambda: not records.machine.empty)
    effects = [message.record.n for message in records.read()]
    kept = records.checkpoint(records.messages[-1:])
    manager = cluster.restart("manager")
    records = manager.collect("flows", Flow, name="archive", checkpoint=kept)
    for n in range(5, 8):
        log.write(Flow(n))
    assert cluster.run_until(lambda: log.is_collected("archive"))
    assert effects + numbers(records) == list(range(8))


def test_a_full_spool_takes_no_more_until_somebody_has_collected() -> None:
    cluster = linked()
    log = begin(cluster, limit_bytes=200)
    while log.machine.pending_limit:
        log.write(Flow(0))
        cluster.run(0.05)
    with pytest.raises(trio.WouldBlock):
        log.write(Flow(1))
    records = cluster.endpoints["manager"].collect("flows", Flow, name="archive")
    assert cluster.run_until(lambda: log.is_collected("archive"))
    log.write(Flow(100))
    assert cluster.run_until(lambda: 100 in numbers(records))


def test_a_slow_reader_reads_when_it_is_told_to() -> None:
    cluster = linked()
    log = begin(cluster)
    records = cluster.endpoints["manager"].collect("flows", Flow, name="archive", reading=False)
    log.write(Flow(0))
    cluster.run(1.0)
    assert records.messages == []
    records.go_on_reading()
    assert numbers(records) == [0]
    records.stop_reading()
    log.write(Flow(1))
    cluster.run(1.0)
    assert numbers(records) == [0]


def test_what_a_member_leaves_undone_goes_to_the_next_one_and_is_marked() -> None:
    cluster = linked()
    log = begin(cluster)
    manager = cluster.endpoints["manager"]
    records = manager.collect("flows", Flow, name="archive", acknowledge="explicit")
    log.write(Flow(0))
    assert cluster.run_until(lambda: bool(records.messages))
    records.close()
    assert cluster.run_until(lambda: records.closed)
    other = cluster.endpoints["agent"].collect("flows", Flow, name="archive")
    assert cluster.run_until(lambda: bool(other.messages))
    assert [message.redelivered for message in other.messages] == [True]


def test_a_name_that_is_forgotten_holds_nothing_any_more() -> None:
    cluster = linked()
    log = begin(cluster, collectors=("archive",))
    log.forget("archive")
    cluster.run(1.0)
    assert log.collectors == {}
    with pytest.raises(KeyError):
        log.forget("archive")
    log.close()
    with pytest.raises(TypeError):
        log.write(object())
