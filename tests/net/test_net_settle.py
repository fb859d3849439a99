"""Settling ends: what answers bring about is left to tasks when it takes longer than a turn."""

from __future__ import annotations

from typing import Any

import pytest

import broker.net.network
from broker.net.network import Network
from broker.net.sockets import TURN_S


class Nursery:
    """Notes which tasks are started."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    def start_soon(self, function: Any, *arguments: Any) -> None:
        self.started.append(arguments)


class Flooded:
    """A socket that always has more, and whose frames are answered on itself: it is touched again by each drain."""

    closed = draining = False
    socket = None

    def __init__(self, network: Network, clock: list[float]) -> None:
        self.network = network
        self.clock = clock
        self.drained = 0

    def drain(self) -> bool:
        self.drained += 1
        assert self.drained < 100, "settling does not end"
        self.clock[0] += TURN_S / 4
        self.network._touched.add(self)  # type: ignore[arg-type]
        return False


def test_a_flood_of_what_wants_answers_is_left_to_a_task_after_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(broker.net.network, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(broker.net.network, "readable", lambda _: True)
    nursery = Nursery()
    network = Network(None, nursery)  # type: ignore[arg-type]
    nursery.started.clear()
    flooded = Flooded(network, clock)
    network._touched.add(flooded)  # type: ignore[arg-type]
    assert network.settle(0.0)
    assert flooded.drained <= 5
    assert nursery.started == [(flooded,)]
    network._touched.add(flooded)  # type: ignore[arg-type]
    assert not network.settle(clock[0])  # the task has it
    assert nursery.started == [(flooded,)]
