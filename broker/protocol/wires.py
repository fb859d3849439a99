"""What peerings and the handshake keep books of: wishes and connections; and where time and chance come from."""

from __future__ import annotations

import math
from typing import Final, Protocol

from msgspec import Struct

from broker.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    DuplicateName,
    PeeringError,
    PeerUnavailable,
    VersionMismatch,
)
from broker.protocol.frames import Refusal
from broker.protocol.link import Link

__all__ = ["Chance", "Observer", "Peering", "Timing", "Wire"]

_ERRORS: Final[dict[str, type[PeeringError]]] = {
    "version": VersionMismatch,
    "self": DuplicateName,
    "name": DuplicateName,
    "authentication": AuthenticationFailed,
    "key": AuthenticationFailed,
    "authorisation": AuthorizationFailed,
}


class Chance(Protocol):
    """Where ids and jitter come from; :class:`random.Random` is one."""

    def random(self) -> float:
        """Return a float in [0, 1)."""

    def randbytes(self, n: int, /) -> bytes:
        """Return n random bytes."""


class Timing(Struct, frozen=True):
    """How long to wait for what, in seconds."""

    heartbeat_s: float = 1.0  # a wire that is silent for this long is sent a PING
    silence_s: float = 5.0  # one from which nothing came for this long is cut: four heartbeats were missed
    handshake_s: float = 3.0  # a wire on which the handshake takes longer is given up
    resume_s: float = 10.0  # a link without a wire is kept, and who cannot be reached is waited for, this long
    probe_s: float = 1.0  # a link whose name somebody else claims has this long to show that it lives
    redial_first_s: float = 0.05
    redial_max_s: float = 5.0


class Peering(Struct, eq=False):
    """The wish to be linked with whoever listens at ``address``."""

    address: str
    wire: int | None = None
    link: Link | None = None
    attempts: int = 0  # since it was last linked
    linked_once: bool = False
    dial_at: float | None = None
    failure: Refusal | None = None  # why the last attempt failed
    final: bool = False  # it will not be tried again
    withdrawn: bool = False  # it is wished no longer

    @property
    def linked(self) -> bool:
        """Whether messages can flow."""
        return self.link is not None and self.link.settled and self.link.wire is not None

    def error(self, waited_s: float) -> PeeringError:
        """Return the error that says why there is no link, after so many seconds."""
        if self.withdrawn:
            return PeerUnavailable(self.address, "unpeered while peer() was waiting")
        if self.failure is None:
            after = f"no link within {waited_s:g} s" if waited_s < math.inf else "no link"
            return PeerUnavailable(self.address, f"{after}: is it reachable, is it a broker endpoint?")
        tries = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return _ERRORS.get(self.failure.code, PeerUnavailable)(self.address, self.failure.text + tries)

    @property
    def idle(self) -> bool:
        """Whether nothing is done for it, because the link that it made do with has ended: it is to be dialled."""
        return self.link is None and self.wire is None and self.dial_at is None and not self.final


class Wire(Struct, eq=False):
    """One connection; ``link`` is None until the handshake is done."""

    number: int
    address: str
    peering: Peering | None  # the wish that dialled it; None when it was accepted
    opened: float
    heard: float
    spoke: float
    link: Link | None = None
    probe_until: float | None = None
    key: bytes = b""  # whose it is, as the driver has proved; empty where there are no keys


class Observer(Protocol):
    """Who is told of links: the node."""

    def known_key(self, id_: bytes) -> bytes | None:
        """Return the key of the endpoint with that id; None when there is none that we know."""

    def stranger_refused(self, name: str, address: str, code: str, reason: str) -> None:
        """Somebody who dialled us was turned away."""

    def link_started(self, link: Link) -> None:
        """A session has begun; its peer knows nothing of us yet."""

    def link_interrupted(self, link: Link) -> None:
        """A session has lost its wire, and waits for another."""

    def link_resumed(self, link: Link) -> None:
        """A session goes on over another wire."""

    def link_measured(self, link: Link) -> None:
        """A session's round trip was measured."""

    def link_ended(self, link: Link) -> None:
        """A session is over and its link already forgotten."""
