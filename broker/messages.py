"""What a subscriber receives: an event with its topic, its time and its origin."""

from __future__ import annotations

from typing import Any

import msgspec

from broker.values import Timestamp

__all__ = ["Message"]


# A Struct rather than an attrs class because one is made for every event received: 31 ns against 90 (attrs.define)
# and 300 (attrs.frozen).  gc=False keeps a long queue of messages out of the collector's way; a message holds an
# event and is held by none, so it is in no cycle unless someone builds one by hand.
class Message(msgspec.Struct, frozen=True, gc=False):
    """One event as it was published; frozen, compared and hashed by all its fields.

    ``topic`` is the topic it was published to, ``event`` the instance of its class (a ``broker.Event`` if this program
    knows no class of that name), ``time_ns`` the publisher's clock in nanoseconds since 1970-01-01T00:00Z, ``origin``
    the name of the publishing endpoint.  ``lost_before`` counts the messages that this subscription lost just before
    this one, 0 as a rule.
    """

    topic: str
    event: Any
    time_ns: int
    origin: str
    lost_before: int = 0

    @property
    def time(self) -> Timestamp:
        """The publisher's clock as an aware ``datetime`` in UTC that keeps the nanoseconds."""
        return Timestamp.from_ns(self.time_ns)
