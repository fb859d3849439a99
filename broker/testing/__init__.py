'''Try programs and meshes without sockets and without waiting.

``Cluster``           many nodes on a virtual clock, for simulations from a seed
``SimulatedNetwork``  a network for real endpoints under trio's MockClock
``Fabric``            the network behind both; it makes the faults: partition, slow, cut, flap, half_open, pause
``Conditions``        the delays of that network when nothing is wrong
``strategies``        Hypothesis strategies for values that can be carried (import it by itself)

An agent is a function that is given an endpoint; so its test gives it one on a simulated network.  The fixture
``autojump_clock`` is pytest-trio's: the clock jumps to the next thing that is due, and a silence costs nothing::

    async def run_agent(endpoint: Endpoint) -> None:
        """Report the disk once a minute."""
        await endpoint.peer("sim://manager", timeout=math.inf)
        while True:
            await endpoint.publish("host/web-01/disk", DiskUsage("web-01", 0.91))
            await trio.sleep(60)

    async def test_the_agent_goes_on_after_a_stall(autojump_clock):
        network = SimulatedNetwork(seed=1)
        async with (
            Endpoint("manager", network=network) as manager,
            Endpoint("agent", network=network) as agent,
            manager.subscribe("host/") as disks,
            trio.open_nursery() as nursery,
        ):
            await manager.listen("sim://manager")
            nursery.start_soon(run_agent, agent)
            await disks.receive()
            network.fabric.partition("agent", "manager")
            await trio.sleep(600)
            network.fabric.heal("agent", "manager")
            with trio.fail_after(70):
                await disks.receive()
            nursery.cancel_scope.cancel()

``examples/test_agent.py`` is such a test, to be run.  Where there is no coroutine to test but a rule ("who takes over
when the manager dies?"), a cluster does without trio.  It is many times faster, and its nodes decide as endpoints do::

    def test_both_managers_hear_an_agent_that_was_started_again():
        cluster = Cluster(seed=1)
        one, two, agent = cluster.add("one"), cluster.add("two"), cluster.add("agent")
        agent.peer(one)
        agent.peer(two)
        disks = [one.subscribe("host/"), two.subscribe("host/")]
        cluster.run(1.0)
        agent = cluster.restart("agent")
        assert cluster.run_until(lambda: agent.node.readers("host/web-01/disk") == 2)
        agent.publish("host/web-01/disk", DiskUsage("web-01", 0.91))
        assert cluster.run_until(lambda: all(reader.messages for reader in disks))

Delays, losses and the nodes' own dice come from the seed: the same seed gives the same life.
'''

from __future__ import annotations

from broker.testing.cluster import Cluster, SimulatedEndpoint, SimulatedSubscription
from broker.testing.fabric import Conditions, Fabric
from broker.testing.logs import SimulatedCollector, SimulatedLog
from broker.testing.network import SimulatedNetwork

__all__ = [
    "Cluster",
    "Conditions",
    "Fabric",
    "SimulatedCollector",
    "SimulatedEndpoint",
    "SimulatedLog",
    "SimulatedNetwork",
    "SimulatedSubscription",
]
