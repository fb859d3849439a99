"""What a subscriber receives: an event with its topic, its time and its origin."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from broker.values import Timestamp

__all__ = ["TRACE_PARENT_MAX", "TRACE_STATE_MAX", "Message", "Trace"]

# What versions of the standard that are to come may make of it; and what everybody has to pass on of a state.
TRACE_PARENT_MAX = 128
TRACE_STATE_MAX = 512


class Trace(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The span that an event was published in: the headers traceparent and tracestate of W3C Trace Context.

    They are as the publisher sent them; :func:`broker.tracing.context_of` makes of them what OpenTelemetry takes.
    """

    parent: Annotated[str, msgspec.Meta(max_length=TRACE_PARENT_MAX)]
    state: Annotated[str, msgspec.Meta(max_length=TRACE_STATE_MAX)] = ""


# A Struct rather than an attrs class because one is made for every event received: 31 ns against 90 (attrs.define)
# and 300 (attrs.frozen).  gc=False keeps a long queue of messages out of the collector's way; a message holds an
# event and is held by none, so it is in no cycle unless someone builds one by hand.
class Message(msgspec.Struct, frozen=True, gc=False):
    """One event as it was published; frozen, compared and hashed by all its fields.

    ``topic`` is the topic it was published to, ``event`` the instance of its class (a ``broker.Event`` if this program
    knows no class of that name), ``time_ns`` the publisher's clock in nanoseconds since 1970-01-01T00:00Z, ``origin``
    the name of the publishing endpoint.  ``lost_before`` counts the messages that this subscription lost just before
    this one, 0 as a rule.  ``trace`` is the span that it was published in, if it was in one and its endpoint tells of
    that (``Endpoint(tracing=True)``).
    """

    topic: str
    event: Any
    time_ns: int
    origin: str
    lost_before: int = 0
    trace: Trace | None = None

    @property
    def time(self) -> Timestamp:
        """The publisher's clock as an aware ``datetime`` in UTC that keeps the nanoseconds."""
        return Timestamp.from_ns(self.time_ns)
