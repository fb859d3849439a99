"""Clusters: many nodes in one thread, on a virtual clock."""

from __future__ import annotations

import pytest

import broker
from broker.testing import Cluster, Conditions


@broker.event(name="testing.ClusterBeat")
class Beat:
    host: str
    number: int


def test_the_example_in_the_documentation_works() -> None:
    cluster = Cluster(seed=1)
    manager, agent = cluster.add("manager"), cluster.add("agent")
    agent.peer(manager)
    beats = manager.subscribe("host/")
    cluster.run(1.0)
    agent.publish("host/web-01/beat", Beat("web-01", 91))
    cluster.run(0.1)
    assert [message.event.number for message in beats.messages] == [91]


def test_run_until_stops_when_the_condition_holds() -> None:
    cluster = Cluster(seed=1)
    one, two = cluster.add("a"), cluster.add("b")
    one.peer(two)
    assert cluster.run_until(lambda: bool(two.node.peers()))
    assert cluster.now() < 0.1
    assert not cluster.run_until(lambda: len(two.node.peers()) > 1, limit_s=5.0)
    assert cluster.now() == pytest.approx(5.0, abs=0.1)


def test_the_same_seed_gives_the_same_life() -> None:
    def live(seed: int) -> list[object]:
        cluster = Cluster(seed, Conditions(delay_s=0.01, jitter_s=0.05))
        one, two = cluster.add("a"), cluster.add("b")
        one.peer(two)
        two.peer(one)
        cluster.run(2.0)
        cluster.fabric.cut("a", "b")
        cluster.run(2.0)
        return [one.status, two.status, cluster.fabric.frames_carried, one.node.peers()]

    assert live(7) == live(7)
    assert live(7) != live(8)


def test_a_crashed_endpoint_is_replaced_by_one_of_its_name() -> None:
    cluster = Cluster(seed=1)
    one, two = cluster.add("a"), cluster.add("b")
    two.peer(one)
    cluster.run(1.0)
    with pytest.raises(ValueError, match="called b already"):
        cluster.add("b")
    two.crash()
    again = cluster.add("b")
    again.peer(one)
    assert cluster.run_until(lambda: bool(again.node.peers()), limit_s=5.0)
    assert [type(status).__name__ for status in one.status if isinstance(status, broker.PeerLost)] == ["PeerLost"]


def test_a_paused_endpoint_gets_nothing_until_it_goes_on() -> None:
    cluster = Cluster(seed=1)
    one, two = cluster.add("a"), cluster.add("b")
    one.peer(two)
    seen = two.subscribe("")
    cluster.run(1.0)
    two.pause()
    one.publish("x", Beat("a", 1))
    cluster.run(3.0)
    assert seen.messages == []
    two.unpause()
    cluster.run(0.1)
    assert len(seen.messages) == 1
    assert one.status == [broker.PeerAdded("b", "sim://b")]


def test_a_reader_that_stops_makes_publish_say_no() -> None:
    cluster = Cluster(seed=1)
    one, two = cluster.add("a"), cluster.add("b")
    one.peer(two)
    seen = two.subscribe("", queue_messages=5)
    cluster.run(1.0)
    seen.stop_reading()
    taken = 0
    while one.publish("x", broker.Event("testing.Large", (taken, bytes(100_000)))):
        taken += 1
        cluster.run(0.01)
        assert taken < 200
    assert seen.pending > 5
    seen.go_on_reading()
    cluster.run(1.0)
    assert [message.event.args[0] for message in seen.messages] == list(range(taken))
    assert one.publish("x", Beat("a", 1))


def test_closing_says_goodbye() -> None:
    cluster = Cluster(seed=1)
    one, two = cluster.add("a"), cluster.add("b")
    one.peer(two)
    cluster.run(1.0)
    one.close()
    cluster.run(0.1)
    assert isinstance(two.status[-1], broker.PeerLost)
    assert not two.node.peers()
    seen = two.subscribe("")
    seen.close()
    with pytest.raises(KeyError):
        two.unpeer(one)


def linked(cluster: Cluster, *names: str) -> None:
    """Let them peer with the first of them."""
    first = cluster.endpoints[names[0]]
    for name in names[1:]:
        cluster.endpoints[name].peer(first)
    assert cluster.run_until(lambda: len(first.node.peers()) == len(names) - 1)


def test_a_restarted_endpoint_is_another_one_that_peers_with_whom_the_former_wanted() -> None:
    cluster = Cluster(seed=1)
    agent, *managers = (cluster.add(name) for name in ("agent", "m1", "m2", "m3"))
    for manager in managers:
        agent.peer(manager)
    agent.unpeer(managers[1])
    cluster.run(1.0)
    again = cluster.restart("agent")
    assert not agent.alive
    assert cluster.endpoints["agent"] is again
    assert again.node.id != agent.node.id
    assert cluster.run_until(lambda: len(again.node.peers()) == 2, limit_s=10.0)
    assert {peer.address for peer in again.node.peers()} == {"sim://m1", "sim://m3"}


@pytest.mark.parametrize("end", ["crash", "close", "pause"])
def test_an_endpoint_is_restarted_however_its_life_ended(end: str) -> None:
    cluster = Cluster(seed=1)
    manager, agent = cluster.add("manager"), cluster.add("agent")
    linked(cluster, "manager", "agent")
    getattr(agent, end)()
    again = cluster.restart("agent")
    seen = manager.subscribe("")
    assert cluster.run_until(lambda: again.node.readers("x") == 1)
    again.publish("x", Beat("agent", 1))
    assert cluster.run_until(lambda: len(seen.messages) == 1)


def test_who_had_dialled_a_restarted_endpoint_finds_it_again() -> None:
    cluster = Cluster(seed=1)
    cluster.add("manager"), cluster.add("agent")
    linked(cluster, "manager", "agent")
    manager = cluster.restart("manager")
    assert cluster.run_until(lambda: bool(manager.node.peers()), limit_s=10.0)


def test_only_what_was_started_can_be_restarted() -> None:
    with pytest.raises(KeyError, match="nobody"):
        Cluster(seed=1).restart("nobody")


def test_an_endpoint_peers_with_an_address_where_nobody_listens_yet() -> None:
    cluster = Cluster(seed=1)
    agent = cluster.add("agent")
    agent.peer("sim://manager")
    cluster.run(1.0)
    manager = cluster.add("manager")
    assert cluster.run_until(lambda: bool(manager.node.peers()), limit_s=10.0)
    agent.unpeer("sim://manager")
    assert cluster.run_until(lambda: not manager.node.peers())


def test_options_are_the_nodes_own() -> None:
    cluster = Cluster(seed=1)
    with pytest.raises(TypeError, match="no_such_option"):
        cluster.add("a", no_such_option=1)
    with pytest.raises(TypeError, match="no_such_option"):
        cluster.add("b").subscribe("", no_such_option=1)
