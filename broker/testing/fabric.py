"""A simulated network: wires between ports, with delay, partitions and cuts, from a seed.

It behaves as ZeroMQ over TCP does towards an endpoint: frames of one wire arrive whole and in order; during a partition
they wait, as TCP's retransmissions would, and arrive after it has healed unless the wire was given up; a cut loses what
is in flight.  A dialler notices the cut at once, a listener does not (as over inproc), and an end
that is closed for a reason of its own says nothing: these are the harder cases, which heartbeats have to find.

Time and scheduling come from outside, so that the same fabric serves a virtual clock of its own
(:class:`broker.testing.Cluster`) and trio's (:class:`broker.testing.SimulatedNetwork`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct, field

__all__ = ["Conditions", "Fabric", "Port", "Scheduler"]

_CUT: Final = ("cut", "the connection was closed")
# How often it is looked whether a paused endpoint goes on, to tell it of a loss.
_PAUSE_S: Final = 0.05


class Conditions(Struct, frozen=True):
    """How the network treats a frame: seconds of delay, and of jitter added at random."""

    delay_s: float = 0.001
    jitter_s: float = 0.0005


class Scheduler(Protocol):
    """A clock that calls back."""

    def now(self) -> float:
        """Return the time in seconds."""

    def call_at(self, at: float, action: Callable[[], None]) -> None:
        """Call ``action`` at that time; actions of one time are called in the order in which they were given."""


class Port(Protocol):
    """One endpoint's side of the fabric."""

    name: str

    def accepted(self, address: str) -> int:
        """Somebody opened a wire to us; returns its number."""

    def received(self, wire: int, frame: bytes) -> None:
        """A frame came."""

    def lost(self, wire: int, code: str, reason: str) -> None:
        """A wire is gone."""

    def round_done(self) -> None:
        """What came has been handed over."""


class _End(Struct, eq=False):
    """One end of a wire."""

    port: Port
    number: int
    dialled: bool
    other: _End | None = None
    closed: bool = False
    arrives_at: float = 0.0  # when the last frame on its way to this end arrives
    held: list[bytes] = field(default_factory=list)  # frames that a partition keeps from arriving


class Fabric:
    """All wires of a simulated network."""

    def __init__(self, scheduler: Scheduler, seed: int, conditions: Conditions | None = None) -> None:
        self.conditions = conditions or Conditions()
        self.frames_carried = 0
        self.frames_dropped = 0
        self._scheduler = scheduler
        self._random = random.Random(seed)
        self._listening: dict[str, Port] = {}
        self._ends: dict[tuple[Port, int], _End] = {}
        self._partitions: set[frozenset[str]] = set()
        self._paused: set[str] = set()

    # -- what a port asks ------------------------------------------------------------------------------------------

    def listen(self, port: Port, address: str) -> None:
        """Let others dial ``address``; OSError when somebody listens there already."""
        if self._listening.get(address, port) is not port:
            raise OSError(f"{address} is in use: another endpoint listens there")
        self._listening[address] = port

    def dial(self, port: Port, number: int, address: str) -> None:
        """Open a wire to whoever listens at ``address``; what is sent meanwhile waits."""
        end = self._ends[port, number] = _End(port, number, dialled=True)
        self._after_delay(lambda: self._connect(end, address))

    def send(self, port: Port, number: int, frame: bytes) -> None:
        """Send a frame on a wire; nothing happens when it is closed."""
        end = self._ends.get((port, number))
        if end is None or end.closed:
            return
        if end.other is None:
            end.held.append(frame)  # not connected yet
        else:
            self._carry(end.other, frame)

    def hangup(self, port: Port, number: int) -> None:
        """Close our end of a wire; the other end is not told, what was sent before still arrives."""
        end = self._ends.pop((port, number), None)
        if end is not None:
            end.closed = True

    def detach(self, port: Port) -> None:
        """Take a port off the network at once, as when its process dies; whoever had dialled it notices."""
        for address in [a for a, p in self._listening.items() if p is port]:
            del self._listening[address]
        for end in [e for (p, _), e in self._ends.items() if p is port]:
            end.closed = True
            del self._ends[port, end.number]
            other = end.other
            if other is not None and other.dialled and not self._is_apart(port, other.port):
                self._after_delay(lambda other=other: self._tell_lost(other, *_CUT))  # type: ignore[misc]

    # -- faults ----------------------------------------------------------------------------------------------------

    def partition(self, one: str, other: str) -> None:
        """Let nothing pass between two endpoints, by name, until :meth:`heal`."""
        self._partitions.add(frozenset((one, other)))

    def heal(self, one: str, other: str) -> None:
        """Let frames pass again; those that waited arrive."""
        self._partitions.discard(frozenset((one, other)))
        self._release()

    def heal_all(self) -> None:
        """End all partitions and pauses."""
        self._partitions.clear()
        self._paused.clear()
        self._release()

    def pause(self, name: str) -> None:
        """Deliver nothing to an endpoint until :meth:`unpause`, as when its process is stopped."""
        self._paused.add(name)

    def unpause(self, name: str) -> None:
        """Deliver again, first what waited."""
        self._paused.discard(name)
        self._release()

    def cut(self, one: str, other: str) -> int:
        """Cut all wires between two endpoints, losing what is in flight; returns how many there were."""
        cut = 0
        for end in list(self._ends.values()):
            names = {end.port.name, end.other.port.name} if end.other else set()
            if not end.dialled or names != {one, other}:
                continue
            cut += 1
            assert end.other is not None
            for side in (end, end.other):
                self.frames_dropped += len(side.held)
                side.held.clear()
                side.closed = True
                self._ends.pop((side.port, side.number), None)
            self._after_delay(lambda end=end: self._tell_lost(end, *_CUT))  # type: ignore[misc]
        return cut

    # -- the workings ----------------------------------------------------------------------------------------------

    def _after_delay(self, action: Callable[[], None]) -> None:
        self._scheduler.call_at(self._scheduler.now() + self._delay(), action)

    def _delay(self) -> float:
        return self.conditions.delay_s + self.conditions.jitter_s * self._random.random()

    def _is_apart(self, one: Port, other: Port) -> bool:
        return frozenset((one.name, other.name)) in self._partitions

    def _connect(self, end: _End, address: str) -> None:
        target = self._listening.get(address)
        if end.closed or (target is not None and self._is_apart(end.port, target)):
            return  # the handshake's patience will end
        if target is None:
            self._tell_lost(end, "refused", "nothing listens there (connection refused)")
            return
        number = target.accepted(end.port.name)
        other = _End(target, number, dialled=False, other=end)
        self._ends[target, number] = other
        end.other = other
        early, end.held = end.held, []
        for frame in early:
            self._carry(other, frame)
        target.round_done()

    def _carry(self, to: _End, frame: bytes) -> None:
        to.arrives_at = max(to.arrives_at, self._scheduler.now() + self._delay())
        self._scheduler.call_at(to.arrives_at, lambda: self._arrive(to, frame))

    def _arrive(self, to: _End, frame: bytes) -> None:
        if to.closed or to.other is None:
            self.frames_dropped += 1
        elif to.held or to.port.name in self._paused or self._is_apart(to.port, to.other.port):
            to.held.append(frame)
        else:
            self._hand_over(to, frame)

    def _hand_over(self, to: _End, frame: bytes) -> None:
        self.frames_carried += 1
        to.port.received(to.number, frame)
        to.port.round_done()

    def _release(self) -> None:
        """Hand over what was held on wires that are free again, in order."""
        for end in list(self._ends.values()):
            if end.other is None or end.port.name in self._paused or self._is_apart(end.port, end.other.port):
                continue
            held, end.held = end.held, []
            for frame in held:
                if end.closed:
                    self.frames_dropped += 1
                else:
                    self._hand_over(end, frame)

    def _tell_lost(self, end: _End, code: str, reason: str) -> None:
        if end.port.name in self._paused:  # it learns of it when it goes on
            self._scheduler.call_at(self._scheduler.now() + _PAUSE_S, lambda: self._tell_lost(end, code, reason))
            return
        self._ends.pop((end.port, end.number), None)
        end.port.lost(end.number, code, reason)
        end.port.round_done()
