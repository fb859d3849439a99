"""Status events: what an endpoint tells of itself, its peers and its losses.

``endpoint.status()`` gives them in the order in which they happened.  Each is a frozen class whose ``str`` is a
sentence for a log.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "EventMisfitted",
    "MessagesLost",
    "PeerAdded",
    "PeerInterrupted",
    "PeerLost",
    "PeerRefused",
    "PeerResumed",
    "PeeringFailed",
    "Status",
    "StatusLost",
]


class Status(Struct, frozen=True):
    """The base of all status events."""


class PeerAdded(Status, frozen=True):
    """A peer is linked and each end knows what the other subscribes to: messages flow."""

    peer: str
    address: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): linked"


class PeerInterrupted(Status, frozen=True):
    """The connection to a peer is gone; messages wait for it to come back, nothing is lost yet."""

    peer: str
    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): interrupted: {self.reason}"


class PeerResumed(Status, frozen=True):
    """An interrupted peer is back in the same session: nothing was lost."""

    peer: str
    address: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): resumed"


class PeerLost(Status, frozen=True):
    """The session with a peer is over."""

    peer: str
    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): lost: {self.reason}"


class PeerRefused(Status, frozen=True):
    """Somebody who dialled us was turned away, or sent what is not this protocol."""

    peer: str
    address: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} ({self.address}): refused ({self.code}): {self.reason}"


class PeeringFailed(Status, frozen=True):
    """An attempt to dial a peer failed; unless ``final``, it is tried again.

    ``code`` is one of refused, unreachable, silent, foreign, version, self, name, authentication, authorisation, full,
    protocol.
    """

    address: str
    code: str
    reason: str
    final: bool

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}{'' if self.final else '; will try again'}"


class MessagesLost(Status, frozen=True):
    """Messages for ``peer`` whose receipt it did not acknowledge before its session ended.

    ``count`` is all that is not known to have arrived; the last of them may have arrived, their acknowledgement not.
    """

    peer: str
    count: int
    reason: str

    def __str__(self) -> str:
        return f"{self.peer}: {self.count} messages lost: {self.reason}"


class EventMisfitted(Status, frozen=True):
    """An event that did not fit its class here; no subscriber got it."""

    topic: str
    origin: str
    event: str
    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.origin}: an event on {self.topic!r} does not fit {self.event}: "
            f"{self.field}: expected {self.expected}, found {self.found}"
        )


class StatusLost(Status, frozen=True):
    """This reader was too slow: ``count`` older status events were dropped before this one."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} status events lost: read them faster"
