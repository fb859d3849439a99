"""A simulated network: wires between endpoints, with delays and faults, from a seed.

It behaves as ZeroMQ over TCP does towards an endpoint.  Frames of one wire arrive whole, once, and in the order in
which they were sent: the fabric neither duplicates nor reorders within a wire, because TCP never does.  Frames of two
wires may overtake each other, and a session that is resumed may bring over its new wire what the old one had brought.

=================  ==================================================================================================
:meth:`partition`  nothing arrives, nobody is told.  Frames wait, as TCP's retransmissions would (or a proxy that
                   stalls), and arrive after :meth:`heal` unless the wire was given up.  ``one_way``: the answers flow.
:meth:`slow`       a thin line: frames queue behind each other
:meth:`cut`        what is in flight is lost from some frame on; what TCP had delivered before still arrives
:meth:`flap`       cut again and again
:meth:`half_open`  the wires are dead and nobody is told, as when a firewall forgets them; new ones work
:meth:`pause`      an endpoint gets nothing, as when its process is stopped
=================  ==================================================================================================

A dialler notices a cut at once, a listener does not (as over inproc), and an end that is closed for a reason of its own
says nothing: these are the harder cases, which heartbeats have to find.

Time and scheduling come from outside, so that the same fabric serves a virtual clock of its own
(:class:`broker.testing.Cluster`) and trio's (:class:`broker.testing.SimulatedNetwork`).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from operator import itemgetter

from broker.testing.wires import CUT, Conditions, End, Failure, Port, Scheduler, Way

__all__ = ["Conditions", "Fabric", "Port", "Scheduler"]


class Fabric:
    """All wires of a simulated network, and its faults.

    Endpoints are called by name; what is wrong between two stays when one is started again.  The counters only grow:
    ``frames_carried`` and ``bytes_carried`` (what was handed to its receiver, control traffic included),
    ``frames_dropped``, and ``cuts`` (wires, not calls).
    """

    def __init__(self, scheduler: Scheduler, seed: int, conditions: Conditions | None = None) -> None:
        self.conditions = conditions or Conditions()
        self.frames_carried = 0
        self.frames_dropped = 0
        self.bytes_carried = 0
        self.cuts = 0
        self._scheduler = scheduler
        self._chance = random.Random(seed)
        self._random = self._chance.random
        self._listening: dict[str, Port] = {}
        self._ends: dict[Port, dict[int, End]] = {}
        self._ways: dict[tuple[str, str], Way] = {}
        self._partitions: set[tuple[str, str]] = set()  # senders and receivers
        self._flapping: dict[frozenset[str], int] = {}  # which call of flap() it was
        self._flaps = 0
        self._paused: set[str] = set()

    # -- what a port does ------------------------------------------------------------------------------------------

    def listen(self, port: Port, address: str) -> None:
        """Let others dial ``address``; OSError when somebody listens there already."""
        if self._listening.get(address, port) is not port:
            raise OSError(f"{address} is in use: another endpoint listens there")
        self._listening[address] = port

    def dial(self, port: Port, number: int, address: str) -> None:
        """Open a wire to whoever listens at ``address``; what is sent meanwhile waits."""
        target = self._listening.get(address)
        nowhere = Way((port.name, port.name))  # until it is connected
        end = End(port, number, dialled=True, way=nowhere)
        self._ends.setdefault(port, {})[number] = end
        delay = self._delay(0.0) + (self._way(port.name, target.name).delay_s if target else 0.0)
        self._scheduler.call_at(self._scheduler.now() + delay, lambda: self._connect(end, address))

    def send(self, port: Port, number: int, frame: bytes) -> None:
        """Send a frame on a wire; nothing happens when it is closed."""
        end = self._ends[port].get(number) if port in self._ends else None
        if end is None:
            return
        if end.other is None:
            end.early.append(frame)
        elif end.severed or end.other.closed:
            self.frames_dropped += 1
        else:
            self._carry(end.other, frame)

    def hangup(self, port: Port, number: int) -> None:
        """Close our end of a wire; the other end is not told, what was sent before still arrives."""
        if port in self._ends and number in self._ends[port]:
            self._forget(self._ends[port][number])

    def detach(self, port: Port) -> None:
        """Take a port off the network at once, as when its process dies; whoever had dialled it notices."""
        for address in [a for a, p in self._listening.items() if p is port]:
            del self._listening[address]
        for end in list(self._ends.get(port, {}).values()):
            self._forget(end)
            other = end.other
            if other is not None and other.dialled and not other.closed and not end.severed:
                self._carry(other, CUT)
        self._ends.pop(port, None)
        self._paused.discard(port.name)

    # -- faults ----------------------------------------------------------------------------------------------------

    def partition(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Let nothing arrive between two endpoints until :meth:`heal`; ``one_way``: nothing from ``one`` to ``other``.

        Wires stay up, and frames wait.  A wire that is dialled meanwhile does not come about, whichever way is barred.
        """
        self._partitions.add((one, other))
        if not one_way:
            self._partitions.add((other, one))

    @property
    def partitions(self) -> tuple[tuple[str, str], ...]:
        """Where nothing arrives, as pairs of a sender and a receiver; a partition of both ways is two of them."""
        return tuple(sorted(self._partitions))

    def slow(self, one: str, other: str, *, bytes_per_s: float | None = None, delay_s: float = 0.0) -> None:
        """Give the wires between two endpoints a bandwidth (each wire, each way) and a further delay, until heal."""
        if (bytes_per_s is not None and bytes_per_s <= 0) or delay_s < 0:
            raise ValueError(f"a slow line has a bandwidth above 0 and no negative delay: {bytes_per_s}, {delay_s}")
        for way in self._both_ways(one, other):
            way.bytes_per_s = bytes_per_s
            way.delay_s = delay_s

    def heal(self, one: str, other: str) -> None:
        """End partitions, slowness and flapping between two endpoints; what waited arrives."""
        self._flapping.pop(frozenset((one, other)), None)
        self._partitions -= {(one, other), (other, one)}
        for way in self._both_ways(one, other):
            self._heal_way(way)

    def heal_all(self) -> None:
        """End all that is wrong, pauses included."""
        self._flapping.clear()
        self._partitions.clear()
        for way in self._ways.values():
            self._heal_way(way)
        for name in sorted(self._paused):
            self.unpause(name)

    def pause(self, name: str) -> None:
        """Deliver nothing to an endpoint until :meth:`unpause`, as when its process is stopped."""
        self._paused.add(name)

    def unpause(self, name: str) -> None:
        """Deliver again, first what waited."""
        self._paused.discard(name)
        for port, ends in self._ends.items():
            if port.name == name:
                for end in ends.values():
                    self._release(end)

    def cut(self, one: str, other: str) -> int:
        """Cut all wires between two endpoints; returns how many there were.

        Of what is in flight to either end a suffix is lost, of random length: never a hole.  What a partition or a thin
        line still holds back is lost in any case.
        """
        cut = 0
        for end in self._wires(one, other):
            end.severed = True
            self.frames_dropped += end.drop_after(self._chance.randint(0, self._may_be_through(end)))
            if end.dialled:
                cut += 1
                self._carry(end, CUT)
        self.cuts += cut
        return cut

    def flap(self, one: str, other: str, *, period_s: float, times: int) -> None:
        """Cut the wires between two endpoints so many times, first after one period, or until :meth:`heal`."""
        if period_s <= 0 or times < 1:
            raise ValueError(f"flapping has a period above 0 and happens at least once: {period_s}, {times}")
        self._flaps += 1
        self._flapping[frozenset((one, other))] = self._flaps
        self._flap_later(one, other, period_s, times, self._flaps)

    def half_open(self, one: str, other: str) -> int:
        """Let the wires between two endpoints die without telling either; returns how many there were.

        What is in flight, and all that is sent on them from now on, vanishes until both ends give up by themselves.
        """
        dead = 0
        for end in self._wires(one, other):
            end.severed = True
            self.frames_dropped += end.drop_after(0)
            dead += end.dialled
        return dead

    # -- ways ------------------------------------------------------------------------------------------------------

    def _way(self, sender: str, receiver: str) -> Way:
        pair = (sender, receiver)
        if pair not in self._ways:
            self._ways[pair] = Way(pair)
        return self._ways[pair]

    def _both_ways(self, one: str, other: str) -> tuple[Way, Way]:
        return self._way(one, other), self._way(other, one)

    def _wires(self, one: str, other: str) -> Iterator[End]:
        """Yield both ends of all wires between two endpoints that were not cut already."""
        for way in dict.fromkeys(self._both_ways(one, other)):  # an endpoint that dials itself has only one
            for end in way.ends:
                if not end.severed:
                    yield end

    def _may_be_through(self, end: End) -> int:
        """Return how much of what is coming TCP may have delivered already: what arrives within the ordinary delay."""
        if end.way.pair in self._partitions:
            return 0
        within = self._scheduler.now() + self.conditions.delay_s + self.conditions.jitter_s
        return bisect_right(end.coming, within, key=itemgetter(0))

    def _heal_way(self, way: Way) -> None:
        was_slow = way.bytes_per_s is not None or way.delay_s > 0
        way.bytes_per_s, way.delay_s = None, 0.0
        for end in way.ends:
            if was_slow:
                self._hasten(end)
            self._release(end)

    def _flap_later(self, one: str, other: str, period_s: float, times: int, call: int) -> None:
        def flap() -> None:
            if self._flapping.get(frozenset((one, other))) == call:
                self.cut(one, other)
                if times > 1:
                    self._flap_later(one, other, period_s, times - 1, call)
                else:
                    del self._flapping[frozenset((one, other))]

        self._scheduler.call_at(self._scheduler.now() + period_s, flap)

    # -- wires -----------------------------------------------------------------------------------------------------

    def _connect(self, end: End, address: str) -> None:
        target = self._listening.get(address)
        if end.closed:
            return
        if target is None:
            self._carry(end, Failure("refused", "nothing listens there (connection refused)"))
            return
        there, back = self._way(end.port.name, target.name), self._way(target.name, end.port.name)
        if there.pair in self._partitions or back.pair in self._partitions:
            return  # the handshake's patience will end
        end.port.dialled(end.number, target.key)
        number = target.accepted(end.port.name, end.port.key)
        other = End(target, number, dialled=False, way=there, jitter=self._random(), other=end)
        self._ends.setdefault(target, {})[number] = other
        end.way, end.jitter, end.other = back, self._random(), other
        there.ends[other] = back.ends[end] = None
        early, end.early = end.early, []
        for frame in early:
            self._carry(other, frame)
        target.round_done()

    def _delay(self, wires_jitter: float) -> float:
        conditions = self.conditions
        return conditions.delay_s + conditions.jitter_s * (wires_jitter + self._random()) / 2

    def _arrival(self, to: End, item: bytes | Failure) -> float:
        """Return when something arrives that is sent to an end now, behind all that is on its way already."""
        way, at = to.way, self._scheduler.now()
        rate = way.bytes_per_s or self.conditions.bytes_per_s
        if rate is not None and isinstance(item, bytes):
            at = to.line_free_at = max(to.line_free_at, at) + len(item) / rate
        at += way.delay_s + self._delay(to.jitter)
        if at > to.arrives_at:
            to.arrives_at = at
        return to.arrives_at

    def _carry(self, to: End, item: bytes | Failure) -> None:
        at = self._arrival(to, item)
        to.coming.append((at, item))
        if len(to.coming) == 1:  # else it waits for the first, which is waited for or held
            self._wake_at(to, at)

    def _hasten(self, end: End) -> None:
        """Let what queues for a slow line arrive as if it were sent now, where that is sooner."""
        coming = list(end.coming)
        end.coming.clear()
        end.arrives_at = end.line_free_at = 0.0
        for at, item in coming:
            end.coming.append((min(at, self._arrival(end, item)), item))
        end.arrives_at = end.coming[-1][0] if coming else 0.0

    def _wake_at(self, end: End, at: float) -> None:
        """Have an end looked at then, unless it will be before: one call for an end, however much is in flight."""
        if at < end.wakes_at:
            end.wakes_at = at
            self._scheduler.call_at(at, partial(self._wake, end))

    def _release(self, end: End) -> None:
        if end.coming:
            self._wake_at(end, max(self._scheduler.now(), end.coming[0][0]))

    def _wake(self, end: End) -> None:
        """Hand over what has arrived, in one round as a driver does that reads all there is."""
        now = self._scheduler.now()
        if now < end.wakes_at:
            return  # it was woken sooner than this was meant for
        end.wakes_at = math.inf
        if not end.coming:
            return  # lost meanwhile
        # What was in flight when a wire was cut has come through already: a partition does not hold it.
        if end.port.name in self._paused or (end.way.pair in self._partitions and not end.severed):
            return  # until it is released
        coming, received, number = end.coming, end.port.received, end.number
        while coming and coming[0][0] <= now:
            item = coming.popleft()[1]
            if type(item) is bytes:
                self.frames_carried += 1
                self.bytes_carried += len(item)
                received(number, item)
            elif isinstance(item, Failure):
                self._forget(end)
                end.port.lost(number, *item)
        self._release(end)
        end.port.round_done()

    def _forget(self, end: End) -> None:
        """Let a port have no more to do with a wire; what comes to it is dropped, what it sent is not."""
        end.closed = True
        self.frames_dropped += len(end.early) + end.drop_after(0)
        end.early.clear()
        self._ends[end.port].pop(end.number, None)
        end.way.ends.pop(end, None)
