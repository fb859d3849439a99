"""Try programs and meshes without sockets and without waiting.

``Cluster``           many nodes on a virtual clock, for simulations from a seed
``SimulatedNetwork``  a network for real endpoints under trio's MockClock
``Fabric``            the network behind both; it makes the faults: partition, cut, pause
``strategies``        Hypothesis strategies for values that can be carried (import it by itself)
"""

from __future__ import annotations

from broker.testing.cluster import Cluster, SimulatedEndpoint, SimulatedSubscription
from broker.testing.fabric import Conditions, Fabric
from broker.testing.network import SimulatedNetwork

__all__ = [
    "Cluster",
    "Conditions",
    "Fabric",
    "SimulatedEndpoint",
    "SimulatedNetwork",
    "SimulatedSubscription",
]
