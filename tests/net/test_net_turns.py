"""Turns: a wire whose frames take long waits for others, and others hardly for it."""

from __future__ import annotations

import pytest
import trio

import broker.net.turns
from broker.net.turns import SLICE_S, WAITING_BYTES_MAX, Turns

HEAVY, LIGHT = 1, 2


class Endpoint:
    """Takes frames on a clock of its own: one takes as many slices as its first byte says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.told: list[tuple[int, bytes]] = []
        self.ends: list[tuple[int, str]] = []
        monkeypatch.setattr(broker.net.turns, "perf_counter", lambda: self.now)
        self.turns = Turns(self)  # type: ignore[arg-type]

    def received(self, wire: int, frame: bytes) -> None:
        self.now += frame[0] * SLICE_S
        self.told.append((wire, frame))

    def lost(self, wire: int, code: str, reason: str) -> None:
        self.ends.append((wire, code))

    def flooded(self, wire: int, reason: str) -> None:
        self.ends.append((wire, "flooded"))

    def round_done(self) -> None:
        pass

    def serve(self) -> None:
        while self.turns._queues:
            self.turns._serve()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    return Endpoint(monkeypatch)


def test_frames_are_acted_on_as_they_come_until_their_wire_has_had_its_slice(endpoint: Endpoint) -> None:
    for _ in range(3):
        endpoint.turns.take(HEAVY, b"\x01")
    endpoint.turns.take(LIGHT, b"\x00")
    assert endpoint.told == [(HEAVY, b"\x01"), (LIGHT, b"\x00")]
    endpoint.serve()
    assert [wire for wire, _ in endpoint.told] == [HEAVY, LIGHT, HEAVY, HEAVY]


def test_wires_that_wait_share_time_and_not_frames(endpoint: Endpoint) -> None:
    for _ in range(40):
        endpoint.turns.take(HEAVY, b"\x09")
        endpoint.turns.take(LIGHT, b"\x01")
    endpoint.serve()
    assert len(endpoint.told) == 80
    when_light_was_done = max(at for at, (wire, _) in enumerate(endpoint.told) if wire == LIGHT)
    heavy_before = [wire for wire, _ in endpoint.told[:when_light_was_done]].count(HEAVY)
    # 40 slices of the light one, and as much time of the heavy one: not 360.
    assert heavy_before <= 40 / 9 + 2


def test_each_wires_frames_keep_their_order(endpoint: Endpoint) -> None:
    for number in range(50):
        endpoint.turns.take(HEAVY, bytes((3, number)))
        endpoint.turns.take(LIGHT, bytes((1, number)))
    endpoint.serve()
    for wire in (HEAVY, LIGHT):
        assert [frame[1] for at, frame in endpoint.told if at == wire] == list(range(50))


def test_a_wires_end_is_told_behind_its_frames(endpoint: Endpoint) -> None:
    for _ in range(5):
        endpoint.turns.take(HEAVY, b"\x01")
    endpoint.turns.lost(HEAVY, "cut", "")
    endpoint.turns.lost(LIGHT, "cut", "")
    assert endpoint.ends == [(LIGHT, "cut")]
    endpoint.serve()
    assert len(endpoint.told) == 5
    assert endpoint.ends == [(LIGHT, "cut"), (HEAVY, "cut")]


def test_what_waits_of_a_wire_that_is_dropped_is_forgotten(endpoint: Endpoint) -> None:
    for _ in range(5):
        endpoint.turns.take(HEAVY, b"\x01")
    endpoint.turns.drop(HEAVY)
    endpoint.serve()
    assert len(endpoint.told) == 1


def test_a_wire_of_which_too_much_waits_is_cut_off(endpoint: Endpoint) -> None:
    endpoint.turns.take(HEAVY, b"\x01")
    taken, frame = 0, bytes(1 << 20)
    while not endpoint.ends:
        endpoint.turns.take(HEAVY, frame)
        taken += len(frame)
    assert endpoint.ends == [(HEAVY, "flooded")]
    assert taken <= WAITING_BYTES_MAX + len(frame)
    assert not endpoint.turns._queues


def test_when_nobody_waits_and_a_socket_is_empty_all_begin_anew(endpoint: Endpoint) -> None:
    for _ in range(3):
        endpoint.turns.take(HEAVY, b"\x01")
        endpoint.turns.rest()
    assert len(endpoint.told) == 3
    endpoint.turns.take(HEAVY, b"\x01")
    endpoint.turns.take(HEAVY, b"\x01")
    endpoint.turns.rest()  # one waits: it does not get the time of others
    endpoint.turns.take(HEAVY, b"\x01")
    assert len(endpoint.told) == 4


def test_a_wire_that_took_too_much_and_waits_is_not_forgiven_when_a_socket_is_empty(endpoint: Endpoint) -> None:
    endpoint.turns.take(HEAVY, b"\x09")
    endpoint.turns.take(HEAVY, b"\x09")
    endpoint.turns.rest()
    for _ in range(5):
        endpoint.turns.take(LIGHT, b"\x01")
    endpoint.serve()
    assert [wire for wire, _ in endpoint.told] == [HEAVY, LIGHT, LIGHT, LIGHT, LIGHT, LIGHT, HEAVY]


async def test_the_task_serves_what_waits(endpoint: Endpoint) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endpoint.turns.run)
            for _ in range(20):
                endpoint.turns.take(HEAVY, b"\x01")
            while endpoint.turns._queues:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert len(endpoint.told) == 20
