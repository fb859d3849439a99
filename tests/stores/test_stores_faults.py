"""What the simulation has found, each by itself: faults, and what masters and clones make of them."""

from __future__ import annotations

import pytest

from broker import errors
from broker.status import StoreConflict, StoreFailing
from broker.stores.commands import Erasure, SetTo
from broker.stores.entries import pack_key
from broker.stores.requests import APPLIED, DURABLE
from broker.testing import Cluster, SimulatedEndpoint
from broker.values import pack


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(seed=1)


def two(cluster: Cluster) -> tuple[SimulatedEndpoint, SimulatedEndpoint]:
    one, other = cluster.add("one"), cluster.add("other")
    other.peer(one)
    cluster.run(1.0)
    return one, other


def test_a_write_that_is_too_large_for_a_record_leaves_nothing(cluster: Cluster) -> None:
    one, other = two(cluster)
    master, clone = one.master("s"), other.clone("s")
    refused = master.ask(SetTo(pack_key("large"), pack("x" * (8 << 20))))
    master.put("small", 1)
    cluster.run(1.0)
    assert type(refused.error) is errors.StoreError
    assert master.items() == clone.items() == {"small": 1}


def test_a_refusal_that_rests_on_a_failed_commit_is_taken_back(cluster: Cluster) -> None:
    master = cluster.add("one").master("s", durable=True)
    master.put("key", 1)
    cluster.run(1.0)
    cluster.disk.full.add("one")
    erased, again = master.erase("key"), master.erase("key")
    cluster.run(0.1)
    cluster.disk.full.clear()
    cluster.run(2.0)
    assert type(erased.error) is errors.StoreFull
    assert again.error is None or type(again.error) is errors.StoreFull  # the key was there: it was never erased


def test_entries_expire_although_the_disk_has_always_something_to_do(cluster: Cluster) -> None:
    master = cluster.add("one").master("s", durable=True)
    cluster.disk.busy.add("one")
    master.put("passing", 1, expires_in=0.1)
    for number in range(100):
        master.put("busy", number)
        cluster.run(0.02)
    assert "passing" not in master.items()


def test_an_entry_expires_once_there_is_room_on_the_disk_again(cluster: Cluster) -> None:
    master = cluster.add("one").master("s", durable=True)
    master.put("passing", 1, expires_in=1.0)
    cluster.run(0.5)
    cluster.disk.full.add("one")
    cluster.run(3.0)
    cluster.disk.full.clear()
    cluster.run(2.0)
    assert master.items() == {}


def test_that_the_disk_is_full_is_told_once(cluster: Cluster) -> None:
    endpoint = cluster.add("one")
    master = endpoint.master("s", durable=True)
    cluster.run(0.5)
    cluster.disk.full.add("one")
    for _ in range(5):
        master.put("key", 1)
        cluster.run(2.0)
    assert len([status for status in endpoint.status if type(status) is StoreFailing]) == 1


def test_a_closed_master_commits_nothing_that_it_answered_as_closed(cluster: Cluster) -> None:
    one, other = two(cluster)
    master, clone = one.master("s"), other.clone("s")
    cluster.run(1.0)
    request = master.put("key", 1)
    one.detach("s")
    cluster.run(1.0)
    assert type(request.error) is errors.StoreClosed
    assert clone.items() == master.items() == {}


def test_a_master_that_is_started_again_does_not_yield_to_its_former_life(cluster: Cluster) -> None:
    one, other = two(cluster)
    one.master("s", durable=True)
    clone = other.clone("s")
    cluster.run(1.0)
    one = cluster.restart("one")
    master = one.master("s", durable=True)
    cluster.run(0.2)
    request = master.put("key", 1)
    cluster.run(2.0)
    assert request.done
    assert request.error is None
    assert clone.items() == {"key": 1}
    assert not [status for status in (*one.status, *other.status) if type(status) is StoreConflict]


def test_a_clone_that_is_started_again_does_not_count_twice(cluster: Cluster) -> None:
    one, other = two(cluster)
    master = one.master("s")
    other.clone("s", durable=True)
    cluster.run(1.0)
    request = master.put("key", 1, replicas=2, timeout=8.0)
    cluster.run(0.5)
    cluster.restart("other").clone("s", durable=True)
    cluster.run(10.0)
    assert type(request.error) is errors.NotReplicated


def test_a_restarted_master_asks_clones_anew_before_it_says_that_they_have_a_write(cluster: Cluster) -> None:
    one, other = two(cluster)
    one.master("s", durable=True)
    clone = other.clone("s")
    cluster.run(1.0)
    request = clone.put("key", 1, replicas=2, timeout=5.0)
    cluster.run(0.5)
    assert clone.items() == {"key": 1}
    cluster.restart("one").master("s", durable=True)
    cluster.run(6.0)
    assert isinstance(request.error, errors.NotReplicated | errors.OutcomeUnknown)


def test_an_answer_to_a_former_clone_is_not_taken_for_one_to_its_successor(cluster: Cluster) -> None:
    one, other = two(cluster)
    master = one.master("s")
    former = other.clone("s")
    cluster.run(1.0)
    former.put("key", "former")
    cluster.run(0.0)
    other.detach("s")
    clone = other.clone("s")
    cluster.run(0.01)
    request = clone.put("key", "present")
    cluster.run(2.0)
    assert request.error is None
    assert request.position == master.position
    assert clone.items() == {"key": "present"}


def test_what_a_clone_has_from_a_snapshot_expires_when_it_becomes_the_master(cluster: Cluster) -> None:
    one, other = two(cluster)
    one.master("s").put("passing", 1, expires_in=10.0)
    cluster.run(1.0)
    assert other.clone("s", durable=True).items() == {}
    cluster.run(1.0)
    one.crash()
    master = cluster.restart("other").master("s", durable=True)
    assert master.items() == {"passing": 1}
    cluster.run(10.0)
    assert master.items() == {}


@pytest.mark.parametrize("bytes_per_s", [100_000.0, 20_000.0])
def test_a_snapshot_comes_through_a_thin_line(cluster: Cluster, bytes_per_s: float) -> None:
    one, other = two(cluster)
    master = one.master("s")
    for number in range(40):
        master.put(number, "x" * 25_000)
    cluster.run(1.0)
    cluster.fabric.slow("one", "other", bytes_per_s=bytes_per_s)
    clone = other.clone("s")
    assert cluster.run_until(lambda: clone.position == master.position, 6_000_000 / bytes_per_s)


@pytest.mark.parametrize("replicas", [APPLIED, DURABLE])
def test_what_comes_to_nothing_after_a_failed_commit_is_answered(cluster: Cluster, replicas: int) -> None:
    master = cluster.add("one").master("s", durable=True)
    master.put("key", 1)
    cluster.run(1.0)
    cluster.disk.full.add("one")
    master.put("other", 1)
    cluster.run(0.0001)
    request = master.ask(Erasure(pack_key("other")), replicas=replicas)
    cluster.run(5.0)
    assert request.done
