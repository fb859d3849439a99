"""What an endpoint counts and measures of itself, on simulated meshes and disks."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import trio.testing

import broker
from broker.figures import EndpointFigures, Figures, FollowerFigures, LossFigures, ReceiverFigures
from broker.testing import Cluster, SimulatedEndpoint, SimulatedNetwork


@broker.event(name="figures.Tick")
class Tick:
    number: int


@broker.log_record
class FiguresLogin:
    user: str


def _chain(cluster: Cluster, *names: str) -> list[SimulatedEndpoint]:
    endpoints = [cluster.add(name) for name in names]
    for one, other in itertools.pairwise(endpoints):
        one.peer(other)
    cluster.run(1.0)
    return endpoints


def test_a_new_endpoint_has_counted_nothing() -> None:
    cluster = Cluster(seed=1)
    cluster.run(7.0)
    endpoint = cluster.add("alone")
    cluster.run(2.5)
    assert endpoint.figures() == Figures(
        EndpointFigures("alone", 2.5, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), (), (), (), (), (), ()
    )


def test_events_are_counted_where_they_are_published_relayed_and_received() -> None:
    cluster = Cluster(seed=1)
    agent, relay, manager = _chain(cluster, "agent", "relay", "manager")
    reader, again = manager.subscribe("host/"), manager.subscribe("host/web-01/")
    cluster.run(1.0)
    before = relay.figures().endpoint
    for number in range(300):
        agent.publish("host/web-01/tick", Tick(number))
    agent.publish("nobody/wants/this", Tick(0))
    cluster.run(1.0)
    assert len(reader.messages) == len(again.messages) == 300
    sent, passed, got = (one.figures().endpoint for one in (agent, relay, manager))
    assert (sent.published, sent.received, sent.delivered) == (300, 0, 0)
    assert (got.published, got.received, got.delivered) == (0, 300, 600)
    assert (passed.published, passed.received, passed.delivered) == (0, 0, 0)
    assert passed.relayed_frames > before.relayed_frames
    # An event of one small number is a dozen bytes; what it is and where it goes is said once for all of them.
    relayed_bytes = passed.relayed_bytes - before.relayed_bytes
    assert 300 * 10 < sent.published_bytes < got.received_bytes < relayed_bytes < 300 * 20
    assert got.mesh_endpoints == got.mesh_reachable == 3
    assert sent.lost == got.lost == ()


def test_a_link_tells_how_it_does() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    two.subscribe("x")
    cluster.run(2.0)
    link, other_end = one.figures().links[0], two.figures().links[0]
    assert (link.peer, link.address, link.dialled, link.state) == ("two", "sim://two", True, "linked")
    assert link.rtt_s is not None
    assert 0 < link.rtt_s < 1
    assert link.frames_sent == other_end.frames_received > 0
    assert link.bytes_sent == other_end.bytes_received > 0
    assert (link.queued_frames, link.unacknowledged_frames, link.unacknowledged_bytes) == (0, 0, 0)
    assert not link.stalled


def test_what_an_interrupted_link_kept_is_counted_when_it_is_sent_again() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    reader = two.subscribe("x")
    cluster.run(1.0)
    cluster.fabric.partition("one", "two")
    one.publish("x", Tick(1))
    cluster.run(0.5)
    assert one.figures().links[0].frames_resent == 0
    cluster.fabric.cut("one", "two")
    assert cluster.run_until(lambda: one.figures().links[0].state == "interrupted")
    kept = one.figures().links[0].unacknowledged_frames
    assert kept > 0
    assert one.figures().receivers == (ReceiverFigures("two", 1, 1, waiting=False, away=False),)
    cluster.heal_all()
    assert cluster.run_until(lambda: bool(reader.messages))
    cluster.run(1.0)
    assert (one.figures().links[0].state, one.figures().links[0].frames_resent) == ("linked", kept)
    assert one.figures().receivers == ()


def test_a_slow_subscription_is_seen_at_both_ends() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    reader = two.subscribe("x", queue_messages=10, stall_timeout=math.inf)
    cluster.run(1.0)
    reader.stop_reading()
    sent = 0
    while one.publish("x/y", Tick(sent)):
        sent += 1
        if not sent % 1000:
            cluster.run(1.0)
    subscription = two.figures().subscriptions[0]
    assert (subscription.prefix, subscription.names, subscription.overflow) == ("x", (), "block")
    assert (subscription.queued, subscription.queue_messages) == (subscription.delivered, 10)
    assert subscription.holding
    assert not subscription.stalled
    assert not subscription.lost
    assert subscription.queued_bytes > 10 * subscription.queued
    receiver = one.figures().receivers[0]
    assert (receiver.endpoint, receiver.waiting, receiver.away) == ("two", True, False)
    assert receiver.unacknowledged >= sent - subscription.delivered
    reader.go_on_reading()
    assert cluster.run_until(lambda: len(reader.messages) == sent)
    cluster.run(1.0)
    assert not two.figures().subscriptions[0].holding
    assert one.figures().receivers == ()


def test_losses_are_counted_by_reason_at_both_ends() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    reader = two.subscribe("x", queue_messages=10, overflow="drop_newest")
    cluster.run(1.0)
    reader.stop_reading()
    for number in range(25):
        one.publish("x/y", Tick(number))
    cluster.run(1.0)
    assert two.figures().endpoint.lost == (LossFigures("in", "slow", 15),)
    assert two.figures().subscriptions[0].lost == 15
    assert one.figures().endpoint.lost == (LossFigures("out", "remote", 15),)
    two.crash()
    one.publish("x/y", Tick(25))
    cluster.run(60.0)
    assert LossFigures("out", "unreachable", 1) in one.figures().endpoint.lost


def test_what_is_not_known_to_have_arrived_at_the_end_is_counted() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    two.subscribe("x")
    cluster.run(1.0)
    cluster.fabric.partition("one", "two")
    one.publish("x/y", Tick(1))
    cluster.run(0.5)
    one.close()
    assert one.figures().endpoint.lost == (LossFigures("out", "gone", 1),)


def test_a_store_tells_of_its_clones_and_a_clone_of_its_staleness() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    hosts = one.master("hosts", durable=True)
    clone = two.clone("hosts")
    cluster.run(1.0)
    for number in range(5):
        hosts.put(number, "up")
    assert cluster.run_until(lambda: clone.position == hosts.position)
    cluster.run(1.0)
    master, replica = one.figures().stores[0], two.figures().stores[0]
    assert (master.store, master.role, master.master, master.failing) == ("hosts", "master", "one", "")
    assert (replica.store, replica.role, replica.master, replica.failing) == ("hosts", "clone", "one", "")
    assert master.entries == replica.entries == 5
    assert master.sequence == replica.sequence == master.operations == 6  # with the one that begins the epoch
    assert 1 <= master.commits <= 6
    assert master.log_bytes > 0
    assert master.followers == (FollowerFigures("two", 6, 0, loading=False),)
    assert master.staleness_s == 0
    assert replica.staleness_s < 1
    cluster.fabric.partition("one", "two")
    cluster.run(30.0)
    assert 29 < two.figures().stores[0].staleness_s < 31


def test_a_clone_that_never_had_anything_is_infinitely_stale() -> None:
    cluster = Cluster(seed=1)
    endpoint = cluster.add("one")
    endpoint.clone("hosts")
    store = endpoint.figures().stores[0]
    assert (store.role, store.master, store.staleness_s) == ("clone", "", math.inf)


def test_a_writer_tells_how_far_its_collectors_are() -> None:
    cluster = Cluster(seed=1)
    one, two = _chain(cluster, "one", "two")
    log = one.log("logins", FiguresLogin, collectors=("archive", "late"))
    reader = two.collect("logins", name="archive", acknowledge="explicit")
    cluster.run(1.0)
    for user in ("ada", "bob", "eve"):
        log.write(FiguresLogin(user))
    assert cluster.run_until(lambda: len(reader.messages) == 3)
    reader.acknowledge(reader.messages[0])
    cluster.run(1.0)
    written = one.figures().logs[0]
    assert (written.stream, written.last, written.records, written.dropped) == ("logins", 3, 3, 0)
    assert written.spool_bytes > 0
    assert written.commits > 0
    archive, late = written.collectors
    assert (archive.collector, archive.acknowledged, archive.behind, archive.in_hand) == ("archive", 1, 2, 2)
    assert (late.collector, late.acknowledged, late.behind, late.members) == ("late", 0, 3, 0)
    collected = two.figures().collectors[0]
    assert (collected.stream, collected.collector, collected.received, collected.acknowledged) == (
        "logins",
        "archive",
        3,
        1,
    )
    assert [(s.writer, s.acknowledged, s.last, s.behind) for s in collected.sources] == [("one", 1, 3, 2)]


async def test_an_endpoint_knows_how_long_it_is_there(autojump_clock: trio.testing.MockClock) -> None:
    await trio.sleep(3)
    async with broker.Endpoint("one", network=SimulatedNetwork()) as endpoint:
        await trio.sleep(5)
        assert endpoint.figures().endpoint.uptime_s == 5


async def test_an_endpoint_adds_what_its_files_tell(tmp_path: Path) -> None:
    path = tmp_path / "hosts.db"
    async with (
        broker.Endpoint("one", network=SimulatedNetwork()) as endpoint,
        endpoint.master("hosts", path=path) as hosts,
        endpoint.master("cache") as cache,
        endpoint.log("logins", FiguresLogin, path=tmp_path / "logins") as log,
    ):
        await hosts.put(1, 2)
        await cache.put(1, 2)
        await log.write(FiguresLogin("ada"))
        in_memory, on_disk = endpoint.figures().stores
        assert (on_disk.file_bytes, in_memory.file_bytes) == (path.stat().st_size, 0)
        assert on_disk.commit_s > 0
        assert in_memory.commit_s == 0
        assert endpoint.figures().logs[0].commit_s > 0
