"""What a node wants done: values that its driver carries out, in order."""

from __future__ import annotations

from typing import NamedTuple

from broker.journaling import Work
from broker.protocol.subscriptions import Subscription
from broker.status import Status

__all__ = [
    "Action",
    "Answered",
    "CarryOut",
    "Changed",
    "Dial",
    "Hangup",
    "LogChanged",
    "Send",
    "StoreChanged",
    "Tell",
    "Wake",
]


class Send(NamedTuple):
    """Send the frame on that wire."""

    wire: int
    frame: bytes


class Dial(NamedTuple):
    """Open a wire to the address; say ``wire_lost`` if that fails."""

    wire: int
    address: str


class Hangup(NamedTuple):
    """Close the wire once what was sent on it has left.  It is forgotten already; nothing need be said of it."""

    wire: int


class Wake(NamedTuple):
    """The subscription's queue is no longer empty."""

    subscription: Subscription


class Tell(NamedTuple):
    """Hand the status event to whoever reads them."""

    status: Status


class Changed(NamedTuple):
    """Something that a program may wait for has changed: a peer, an acknowledgement, room to publish."""


class CarryOut(NamedTuple):
    """Carry out that work on the journal of ``owner``, in a thread; then say ``node.carried_out(owner, error)``."""

    owner: object
    work: Work


class Answered(NamedTuple):
    """The store's request is answered: its outcome is in it."""

    request: object


class StoreChanged(NamedTuple):
    """Something of that store has changed that a program may wait for: contents, position, who its master is."""

    store: str


class LogChanged(NamedTuple):
    """Something of that writer or collector has changed that a program may wait for: records, room, what is on disk."""

    owner: object


Action = Send | Dial | Hangup | Wake | Tell | Changed | CarryOut | Answered | StoreChanged | LogChanged
