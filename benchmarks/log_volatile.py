"""Log records on a plain topic, without a spool, in records a second: as ``events``, with a log record class.

``events`` beside it are the same fields as an event of ours, published.
"""

from __future__ import annotations

import attrs

from benchmarks import events
from benchmarks.harness import Options, Result
from benchmarks.peers import NATS, OURS, OURS_LOGS, REDIS

__all__ = ["run"]

NOTES = (
    "the receiver takes the time from the first record to the last; each is checked: once and in order",
    "ours: await log.write(record) for each; nats: publish, callback; redis: PUBLISH in pipelines of 1,000, listen()",
    "events: our endpoint.publish and subscribe, the same fields",
)


def run(options: Options) -> Result:
    """Measure ours, our events and every peer that is installed."""
    sides = (OURS_LOGS, NATS, REDIS, attrs.evolve(OURS, name="events"))
    return events.compare(sides, options, name="log-volatile", unit="records/s", targets={}, notes=NOTES)
