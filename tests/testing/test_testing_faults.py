"""The faults of the simulated network, as what arrives and who is told."""

from __future__ import annotations

import pytest
from probes import Probe, wire

import broker
from broker.testing import Cluster, SimulatedEndpoint

ALL = list(range(100))


def wired(seed: int = 1) -> tuple[Cluster, Probe, Probe, int, int]:
    cluster = Cluster(seed)
    one, two = Probe(cluster, "a"), Probe(cluster, "b")
    return cluster, one, two, *wire(cluster, one, two)


@broker.event(name="testing.Tick")
class Tick:
    number: int


def peered(seed: int = 1) -> tuple[Cluster, SimulatedEndpoint, SimulatedEndpoint]:
    """An agent that has dialled a manager."""
    cluster = Cluster(seed)
    agent, manager = cluster.add("agent"), cluster.add("manager")
    agent.peer(manager)
    assert cluster.run_until(lambda: bool(agent.node.peers() and manager.node.peers()))
    return cluster, agent, manager


def kinds(endpoint: SimulatedEndpoint) -> list[type]:
    return [type(status) for status in endpoint.status if not isinstance(status, broker.PeeringFailed)]


# -- partitions -------------------------------------------------------------------------------------------------------


def test_behind_a_partition_frames_wait_and_nobody_is_told() -> None:
    cluster, one, two, there, back = wired()
    cluster.fabric.partition("b", "a")
    one.send(there, *ALL)
    two.send(back, *ALL)
    cluster.run(1000.0)
    assert one.numbers == two.numbers == one.lost_wires == []
    cluster.fabric.heal("a", "b")
    cluster.run(0.1)
    assert one.numbers == two.numbers == ALL
    assert cluster.fabric.frames_dropped == 0


def test_a_one_way_partition_lets_the_answers_pass() -> None:
    cluster, one, two, there, back = wired()
    cluster.fabric.partition("a", "b", one_way=True)
    one.send(there, 1)
    two.send(back, 2)
    cluster.run(1.0)
    assert (two.numbers, one.numbers) == ([], [2])
    cluster.fabric.heal("b", "a")
    cluster.run(0.1)
    assert two.numbers == [1]


def test_what_is_apart_can_be_asked() -> None:
    fabric = Cluster(1).fabric
    fabric.partition("c", "d")
    fabric.partition("b", "a", one_way=True)
    assert fabric.partitions == (("b", "a"), ("c", "d"), ("d", "c"))
    fabric.heal("c", "d")
    fabric.heal("a", "b")
    assert not fabric.partitions


def test_heal_all_ends_everything() -> None:
    cluster, one, two, there, back = wired()
    fabric = cluster.fabric
    fabric.slow("a", "b", delay_s=100.0)
    fabric.partition("a", "b", one_way=True)
    fabric.pause("a")
    fabric.flap("a", "b", period_s=1.0, times=10)
    one.send(there, 1)
    two.send(back, 2)
    fabric.heal_all()
    cluster.run(20.0)
    assert (two.numbers, one.numbers) == ([1], [2])
    assert fabric.cuts == 0


def test_no_wire_comes_about_while_either_way_is_barred() -> None:
    cluster, one, two, _, _ = wired()
    for sender, receiver in (("a", "b"), ("b", "a")):
        cluster.fabric.partition(sender, receiver, one_way=True)
        cluster.fabric.dial(one, 7, "sim://b")
        cluster.run(1.0)
        cluster.fabric.heal(sender, receiver)
    assert two.wires == 1


def test_both_ends_notice_that_nothing_comes_through_one_way() -> None:
    cluster, agent, manager = peered()
    cluster.fabric.partition("agent", "manager", one_way=True)
    assert cluster.run_until(lambda: broker.PeerInterrupted in kinds(agent), limit_s=30.0)
    assert broker.PeerInterrupted in kinds(manager)
    cluster.fabric.heal("agent", "manager")
    assert cluster.run_until(lambda: bool(manager.node.peers() and manager.node.peers()[0].connected), limit_s=30.0)


# -- cuts -------------------------------------------------------------------------------------------------------------


def test_a_cut_loses_the_end_of_what_is_in_flight_and_never_a_hole() -> None:
    arrived = set()
    for seed in range(60):
        cluster, one, two, there, back = wired(seed)
        one.send(there, *ALL)
        two.send(back, *ALL)
        assert cluster.fabric.cut("b", "a") == 1
        cluster.run(1.0)
        for numbers in (one.numbers, two.numbers):
            assert numbers == ALL[: len(numbers)]
            arrived.add(len(numbers))
        assert cluster.fabric.frames_dropped == 200 - len(one.numbers) - len(two.numbers)
    assert len(arrived) > 40
    assert min(arrived) < 10
    assert max(arrived) > 90


def test_only_the_dialler_is_told_of_a_cut_and_after_what_still_arrived() -> None:
    cluster, one, two, there, back = wired(3)
    two.send(back, *ALL)
    cluster.fabric.cut("a", "b")
    assert cluster.run_until(lambda: bool(one.lost_wires))
    told_after = one.numbers
    one.send(there, 1)
    two.send(back, 1)
    cluster.run(10.0)
    assert one.lost_wires == [there]
    assert two.lost_wires == []
    assert one.numbers == told_after != []
    assert two.numbers == []


def test_a_cut_loses_all_that_a_partition_or_a_thin_line_holds_back() -> None:
    for hold in ("partition", "thin line"):
        cluster, one, two, there, _ = wired()
        if hold == "partition":
            cluster.fabric.partition("a", "b")
        else:
            cluster.fabric.slow("a", "b", bytes_per_s=0.1)
        one.send(there, *ALL)
        cluster.run(1.0)
        cluster.fabric.cut("a", "b")
        cluster.run(0.1)
        assert one.lost_wires == [there]
        cluster.fabric.heal("a", "b")
        cluster.run(10_000.0)
        assert two.numbers == []


def test_cuts_are_counted_by_wires_and_a_wire_is_cut_once() -> None:
    cluster, one, two, _, _ = wired()
    wire(cluster, two, one)
    assert cluster.fabric.cut("a", "b") == 2
    assert cluster.fabric.cut("a", "b") == 0
    assert cluster.fabric.cut("a", "nobody") == 0
    assert cluster.fabric.cuts == 2


def test_an_endpoint_that_is_paused_learns_of_a_cut_when_it_goes_on() -> None:
    cluster, one, _, there, _ = wired()
    cluster.fabric.pause("a")
    cluster.fabric.cut("a", "b")
    cluster.run(100.0)
    assert one.lost_wires == []
    cluster.fabric.unpause("a")
    cluster.run(0.1)
    assert one.lost_wires == [there]


def test_a_process_that_dies_is_noticed_after_what_it_had_sent() -> None:
    cluster, one, two, there, back = wired()
    two.send(back, *ALL)
    cluster.fabric.slow("a", "b", delay_s=5.0)
    cluster.fabric.detach(two)
    assert cluster.run_until(lambda: one.lost_wires == [there])
    assert one.numbers == ALL


# -- flapping ---------------------------------------------------------------------------------------------------------


def test_a_flapping_link_is_cut_at_every_period() -> None:
    cluster, agent, _ = peered()
    cluster.fabric.flap("agent", "manager", period_s=20.0, times=3)
    for cuts in (0, 1, 2, 3, 3):
        assert cluster.fabric.cuts == cuts
        cluster.run(20.0)
    assert kinds(agent).count(broker.PeerInterrupted) == kinds(agent).count(broker.PeerResumed) == 3


def test_healing_ends_the_flapping_and_so_does_another_rhythm() -> None:
    cluster, one, two, _, _ = wired()
    fabric = cluster.fabric
    fabric.flap("a", "b", period_s=1.0, times=100)
    fabric.flap("b", "a", period_s=1.5, times=100)
    cluster.run(1.2)
    assert fabric.cuts == 0
    cluster.run(0.5)
    assert fabric.cuts == 1
    wire(cluster, one, two)
    fabric.heal("a", "b")
    cluster.run(100.0)
    assert fabric.cuts == 1


@pytest.mark.parametrize(("period_s", "times"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_flapping_that_cannot_be_is_refused(period_s: float, times: int) -> None:
    with pytest.raises(ValueError, match="flapping"):
        Cluster(1).fabric.flap("a", "b", period_s=period_s, times=times)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_doubled_over_a_link_that_flaps(seed: int) -> None:
    cluster, agent, manager = peered(seed)
    seen = manager.subscribe("tick")
    assert cluster.run_until(lambda: seen.announced)
    cluster.fabric.flap("agent", "manager", period_s=1.0, times=10)
    for number in range(1200):
        while not agent.publish("tick", Tick(number)):  # it waits for a wire
            cluster.run(0.01)
        cluster.run(0.01)
    assert cluster.run_until(lambda: len(seen.messages) == 1200, limit_s=30.0)
    assert [message.event.number for message in seen.messages] == list(range(1200))
    assert cluster.fabric.cuts > 3


# -- half-open wires --------------------------------------------------------------------------------------------------


def test_on_a_half_open_wire_all_vanishes_and_nobody_is_told() -> None:
    cluster, one, two, there, back = wired()
    one.send(there, 1)
    assert cluster.fabric.half_open("b", "a") == 1
    one.send(there, 2)
    two.send(back, 3)
    cluster.fabric.detach(two)
    cluster.run(1000.0)
    assert one.numbers == two.numbers == one.lost_wires == two.lost_wires == []
    assert cluster.fabric.frames_dropped == 3
    assert cluster.fabric.half_open("a", "b") == cluster.fabric.cut("a", "b") == 0


def test_a_wire_that_is_dialled_after_half_open_works() -> None:
    cluster, one, two, _, _ = wired()
    cluster.fabric.half_open("a", "b")
    there, _ = wire(cluster, one, two)
    one.send(there, 1)
    cluster.run(0.1)
    assert two.numbers == [1]


def test_endpoints_find_out_that_their_wire_is_half_open_and_lose_nothing() -> None:
    cluster, agent, manager = peered()
    seen = manager.subscribe("tick")
    assert cluster.run_until(lambda: seen.announced)
    began = cluster.now()
    cluster.fabric.half_open("agent", "manager")
    for number in range(10):
        agent.publish("tick", Tick(number))
        cluster.run(0.1)
    assert seen.messages == []
    assert cluster.run_until(lambda: len(seen.messages) == 10, limit_s=20.0)
    assert cluster.now() - began > 3
    assert [message.event.number for message in seen.messages] == list(range(10))
    assert kinds(agent) == [broker.PeerAdded, broker.PeerInterrupted, broker.PeerResumed]


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_faults_follow_from_the_seed() -> None:
    def life(seed: int) -> list[object]:
        cluster, agent, manager = peered(seed)
        fabric = cluster.fabric
        seen = manager.subscribe("tick")
        fabric.flap("agent", "manager", period_s=0.7, times=20)
        for number in range(200):
            agent.publish("tick", Tick(number))
            cluster.run(0.1)
            if number % 60 == 30:
                fabric.half_open("agent", "manager")
            if number % 60 == 50:
                fabric.slow("agent", "manager", bytes_per_s=300.0)
        cluster.run(60.0)
        counters = (fabric.frames_carried, fabric.bytes_carried, fabric.frames_dropped, fabric.cuts)
        return [counters, agent.status, manager.status, [message.event for message in seen.messages]]

    assert life(5) == life(5)
    assert life(5)[0] != life(6)[0]
