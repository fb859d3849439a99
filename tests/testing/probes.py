"""Ports without an endpoint behind them: they tell what came, and when."""

from __future__ import annotations

from broker.testing import Cluster

__all__ = ["Probe", "wire"]


class Probe:
    """A port that notes what it is told."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.received_at: list[float] = []
        self.frames: list[tuple[int, bytes]] = []
        self.lost_wires: list[int] = []
        self.wires = 0
        self._cluster = cluster
        cluster.fabric.listen(self, f"sim://{name}")

    key = b""

    def dialled(self, wire: int, key: bytes) -> None:
        """Nothing follows from it."""

    def accepted(self, address: str, key: bytes) -> int:
        self.wires += 1
        return self.wires

    def received(self, wire: int, frame: bytes) -> None:
        self.frames.append((wire, frame))
        self.received_at.append(self._cluster.now())

    def lost(self, wire: int, code: str, reason: str) -> None:
        self.lost_wires.append(wire)

    def round_done(self) -> None:
        """Nothing follows from anything."""

    def send(self, wire: int, *numbers: int, size: int = 1) -> None:
        for number in numbers:
            self._cluster.fabric.send(self, wire, bytes([number]) * size)

    @property
    def numbers(self) -> list[int]:
        """What was sent, in the order in which it came."""
        return [frame[0] for _, frame in self.frames]


def wire(cluster: Cluster, dialler: Probe, listener: Probe) -> tuple[int, int]:
    """Connect them; returns the wire's number at either end."""
    dialler.wires += 1
    number = dialler.wires
    cluster.fabric.dial(dialler, number, f"sim://{listener.name}")
    before = listener.wires
    assert cluster.run_until(lambda: listener.wires > before)
    return number, listener.wires
