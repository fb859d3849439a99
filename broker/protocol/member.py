"""Another endpoint of the mesh, as one endpoint knows it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from broker.protocol.apart import FAR
from broker.protocol.flows import InFlow, OutFlow
from broker.protocol.frames import Interest, Neighbour, Role
from broker.protocol.link import Link
from broker.protocol.topology import BROKEN
from broker.trust.judge import EVERYTHING
from broker.trust.rights import Grants

__all__ = ["Member", "Refused", "not_told"]


class Member(Struct, eq=False):
    """Another endpoint of the mesh, as we know it."""

    id: bytes
    name: str
    flow_number: int  # of our flow to it
    born: int = 0  # when its process began, in nanoseconds since 1970
    version: int = 0
    forward: bool = True
    neighbours: dict[bytes, Neighbour] = field(default_factory=dict)
    via: Link | None = None  # the link that first brought word of it
    interests: set[Interest] = field(default_factory=set)
    interests_version: int = 0
    interests_weight: int = 0
    interests_promised: int = 0  # the version that it had when it last announced itself
    learned: int = 0  # the version of our interests that it is known to have
    masters: tuple[Role, ...] = ()  # the stores that it is master of
    streams: tuple[Role, ...] = ()  # the log streams that it writes
    hop: Link | None = None  # the first link of the way to it; None: there is no way
    distance: int = FAR
    apart_since: float | None = None  # since when there is no unbroken way
    incoming: InFlow | None = None
    relayed: bool = False  # something that claims to be its has come by way of another
    mistrusted: bool = False  # it has broken the protocol, and that was told
    key: bytes = b""  # its public key
    grants: Grants = EVERYTHING  # what our access rules let it do
    announced: bytes = b""  # its last announcement in whole, with its signature, where there are keys
    seal_keys: tuple[bytes, bytes] | None = None  # of frames to it and from it, once they are needed
    former_key: bytes = b""  # what it had before that
    _out: OutFlow | None = None

    @property
    def out(self) -> OutFlow:
        """Our flow to it, made when it is first asked for: it takes four times the room of all the rest."""
        if self._out is None:
            self._out = OutFlow(self.flow_number)
        return self._out

    @property
    def has_flow(self) -> bool:
        """Whether that was ever asked for."""
        return self._out is not None

    @property
    def reachable(self) -> bool:
        """Whether there is an unbroken way to it."""
        return self.distance < BROKEN


class Refused(Protocol):
    """Who is told that an endpoint has no right to something: :meth:`broker.protocol.refusals.Refusals.add`."""

    def __call__(self, member: Member, right: str, what: str, count: int = 1, /) -> None:
        """Take note of it; so often."""


def not_told(member: Member, right: str, what: str, count: int = 1, /) -> None:
    """Tell nobody: what machines do that stand alone."""
