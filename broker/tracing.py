"""OpenTelemetry: the trace that an event belongs to travels with it; needs the extra ``tracing``.

An endpoint with ``tracing=True`` looks, for each event that it is given, whether a span is active.  If so the event
takes it along, as the headers of W3C Trace Context, over any relays; the receiver needs to switch nothing on::

    with tracer.start_as_current_span("measure"):
        await endpoint.publish("host/web-01/disk", DiskUsage("web-01", "/", 0.91))

    async for message in messages:
        with tracer.start_as_current_span("handle", context=context_of(message)):
            ...

broker makes no spans itself.  Events published one after the other in one span share what it costs: some 70 bytes, and
a microsecond for each event.  An older version passes them on, and gives them without their trace.  Log records in
spools and operations of stores take no trace along.
"""

from __future__ import annotations

from broker.extras import needed_for
from broker.messages import TRACE_PARENT_MAX, TRACE_STATE_MAX, Message, Trace

with needed_for("traces"):
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["context_of", "current"]

_PROPAGATOR = TraceContextTextMapPropagator()


class _Last:
    """The span that was looked at last: events come in runs."""

    def __init__(self) -> None:
        self.pair: tuple[trace.SpanContext, Trace] | None = None


_last = _Last()


def current() -> Trace | None:
    """Return the active span as an event takes it along; None: there is none."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    last = _last.pair
    if last is not None and last[0] is span:
        return last[1]
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    parent, state = carrier.get("traceparent", ""), carrier.get("tracestate", "")
    if not 0 < len(parent) <= TRACE_PARENT_MAX:
        return None
    found = Trace(parent, state if len(state) <= TRACE_STATE_MAX else "")  # too long a state is left out, not cut
    _last.pair = span, found
    return found


def context_of(message: Message, context: Context | None = None) -> Context:
    """Return the context that a message was published in, for the spans of who handles it.

    Without a trace, or with one that is none, it is ``context`` (by default an empty one).
    """
    if message.trace is None:
        return Context() if context is None else context
    carrier = {"traceparent": message.trace.parent, "tracestate": message.trace.state}
    return _PROPAGATOR.extract(carrier, context)
