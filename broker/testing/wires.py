"""What the simulated network is made of: ports, ways, and wires with their two ends.

A **port** is an endpoint's side of the network.  A **way** is one direction between two endpoints, by name: it
outlives their processes, and whatever is wrong with the network is wrong with a way.  A **wire** has two ends, and each
end has its own queue of what is on its way to it, with the times of arrival.  The queue is in order, as TCP's stream
is, and its last item may be the news that the wire is gone, which therefore never overtakes a frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from msgspec import Struct, field

__all__ = ["CUT", "Conditions", "End", "Failure", "Port", "Scheduler", "Way"]


class Conditions(Struct, frozen=True):
    """How the network treats a frame when nothing is wrong.

    A frame takes ``delay_s`` and up to ``jitter_s`` more.  Half of the jitter is drawn once for each wire and
    direction, the other half for each frame: so frames of two wires overtake each other, those of one never do.  With
    ``bytes_per_s`` the frames of a wire also queue behind each other, as over a thin line; None: unlimited.
    """

    delay_s: float = 0.001
    jitter_s: float = 0.0005
    bytes_per_s: float | None = None


class Scheduler(Protocol):
    """A clock that calls back."""

    def now(self) -> float:
        """Return the time in seconds."""

    def call_at(self, at: float, action: Callable[[], None]) -> None:
        """Call ``action`` at that time; actions of one time are called in the order in which they were given."""


class Port(Protocol):
    """One endpoint's side of the fabric."""

    name: str

    @property
    def key(self) -> bytes:
        """The public key that it shows, as CURVE proves it on real wires; empty without one."""

    def accepted(self, address: str, key: bytes) -> int:
        """Somebody opened a wire to us and has that key; returns its number."""

    def dialled(self, wire: int, key: bytes) -> None:
        """A wire that we opened is connected, to somebody who has that key."""

    def received(self, wire: int, frame: bytes) -> None:
        """A frame came."""

    def lost(self, wire: int, code: str, reason: str) -> None:
        """A wire is gone."""

    def round_done(self) -> None:
        """What came has been handed over."""


class Failure(NamedTuple):
    """Why a wire is gone, as its port is told."""

    code: str
    reason: str


CUT: Final = Failure("cut", "the connection was closed")


class Way(Struct, eq=False):
    """One direction between two endpoints, with what is wrong with it but for a partition."""

    pair: tuple[str, str]  # the sender's name, and the receiver's
    bytes_per_s: float | None = None
    delay_s: float = 0.0
    ends: dict[End, None] = field(default_factory=dict)  # where it arrives; a dict keeps the order, for the seed's sake


class End(Struct, eq=False):
    """One end of a wire, and what is on its way to it."""

    port: Port
    number: int
    dialled: bool
    way: Way  # by which frames come to this end
    jitter: float = 0.0  # this wire's own share, 0 to 1
    other: End | None = None
    closed: bool = False  # its port has no more to do with it
    severed: bool = False  # what is sent from it vanishes
    early: list[bytes] = field(default_factory=list)  # sent from it before it was connected
    coming: deque[tuple[float, bytes | Failure]] = field(default_factory=deque)
    arrives_at: float = 0.0  # when the last of them arrives
    line_free_at: float = 0.0  # when the last of them has gone through the line
    wakes_at: float = math.inf  # when the first of them is looked at; for ever while it is held

    def drop_after(self, kept: int) -> int:
        """Forget all but the first ``kept`` that are coming; returns how many frames were lost."""
        lost = 0
        while len(self.coming) > kept:
            lost += type(self.coming.pop()[1]) is bytes
        self.arrives_at = self.coming[-1][0] if self.coming else 0.0
        return lost
