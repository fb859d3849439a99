"""Log records that are on disk a little later than they are acknowledged to the writer, until all are collected.

As ``log-durable``, but the writer does not wait for the disk: ours ``write(durable=False)`` a record, JetStream as it
is by default, redis-server with appendfsync everysec.
"""

from __future__ import annotations

from benchmarks.harness import Options, Result
from benchmarks.log_shipping import Way, compare
from benchmarks.peers import JETSTREAM, OURS_LOGS, REDIS_STREAMS_BUFFERED

__all__ = ["run"]

COUNT = 100_000
WAYS = (
    Way("ours", OURS_LOGS, log={"durable": False, "batch": 1}),
    Way("jetstream", JETSTREAM),
    Way("jetstream, push", JETSTREAM, collect={"push": True}),
    Way("redis", REDIS_STREAMS_BUFFERED),
    Way("ours, write_all of 500", OURS_LOGS, log={"durable": False}, peer=False),
)
NOTES = (
    "from before the first record is made until the collector has acknowledged all, as in log-durable",
    "ours: await write(record, durable=False) for each, on disk within 20 ms",
    "jetstream: as in log-durable, synced every two minutes; redis: appendonly yes, appendfsync everysec",
)


def run(options: Options) -> Result:
    """Measure ours and every peer that is installed."""
    return compare("log-buffered", WAYS, options, count=COUNT, unit=1, targets={}, notes=NOTES)
