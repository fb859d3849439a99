"""A proxy of a store: asks its master to write and to read, and has nothing of the store itself.

Its requests go to the master as a clone's do (:mod:`broker.stores.forwarding`): numbered, repeated until answered, each
done once.  It follows nothing, so it costs the master nothing and has nothing to wait for: an endpoint that says that
it is the store's master is asked at once.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.protocol.actions import Action, StoreChanged
from broker.protocol.member import Member
from broker.stores import wire
from broker.stores.followers import Sender
from broker.stores.forwarding import Forwarding
from broker.stores.requests import Request
from broker.stores.wire import NotHere, Outcomes, StoreKind

__all__ = ["Proxy"]


class Proxy:
    """One way to a store's master."""

    serial = 0  # it asks for no operations

    def __init__(self, name: str, sender: Sender, act: Callable[[Action], None], *, writer: bytes) -> None:
        self.name = name
        self.forwarding = Forwarding(name, writer, sender, act)
        self.master: Member | None = None
        self.refused = ""  # what the master said instead of an answer
        self._act = act

    def follow(self, master: Member | None, now: float) -> None:
        """Ask that endpoint from now on; None: there is none that can be reached."""
        if master is self.master:
            return
        self.master, self.refused = master, ""
        if master is not None:
            self.forwarding.repeat(master, now)
            self.forwarding.pump(master, now)
        self._act(StoreChanged(self.name))

    def ways_changed(self, now: float) -> None:
        """Repeat what may be lost on ways that are no more."""
        if self.master is not None:
            self.forwarding.repeat(self.master, now)

    def take(self, member: Member, _serial: int, kind: int, body: bytes, now: float) -> None:
        """Act on what a master sends; raises Malformed when it makes no sense."""
        if member is not self.master:
            return
        if kind == StoreKind.OUTCOMES:
            self.refused = ""
            self.forwarding.take(wire.decode(Outcomes, body))
            self._act(StoreChanged(self.name))  # somebody may wait for room, or for the last answer
        elif kind == StoreKind.NOT_HERE:
            self.refused = wire.decode(NotHere, body).reason  # what was asked is asked again, until its time is up
            self._act(StoreChanged(self.name))
        # Anything else answers a clone that this endpoint had before.
        self.pump(now)

    @property
    def has_room(self) -> bool:
        """Whether requests are taken; else writers wait."""
        return self.forwarding.has_room

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be answered."""
        return self.forwarding.idle

    def submit(self, request: Request, _now: float) -> None:
        """Forward a request; see to it that :meth:`pump` is called."""
        self.forwarding.submit(request)

    def pump(self, now: float) -> None:
        """Send what may be sent."""
        self.forwarding.pump(self.master, now)

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        self.forwarding.tick(self.master, now)
        self.pump(now)

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return self.forwarding.next_deadline()

    def close(self) -> None:
        """Answer who still waits."""
        self.forwarding.close()
        self.master = None
