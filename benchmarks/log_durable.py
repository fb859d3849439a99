"""Log records on disk before they are acknowledged to the writer, until the collector has acknowledged them all.

Two Python processes, in records a second from before the first record is made.  The headline is ``write_all`` in
batches of 500 beside JetStream's ``publish_async`` with 4,000 pending; 64 tasks that each await their own are in the
details.
"""

from __future__ import annotations

from benchmarks.harness import Options, Result
from benchmarks.log_shipping import Way, compare
from benchmarks.peers import JETSTREAM, JETSTREAM_SYNCED, OURS_LOGS, REDIS_STREAMS

__all__ = ["run"]

COUNT = 100_096
TASKS = 64
TARGETS = {"jetstream": 6.0}
MANY: dict[str, object] = {"tasks": TASKS}
PUSH: dict[str, object] = {"push": True}
WAYS = (
    Way("ours", OURS_LOGS),
    Way("jetstream", JETSTREAM),
    Way("jetstream, push", JETSTREAM, collect=PUSH),
    Way("jetstream, synced", JETSTREAM_SYNCED, part=0.1),
    Way("redis", REDIS_STREAMS),
    Way("ours, one by one at the collector", OURS_LOGS, collect={"batch": False}, peer=False),
    Way(f"ours, {TASKS} tasks", OURS_LOGS, log=MANY, collect=MANY, part=0.5, peer=False),
    Way(f"jetstream, {TASKS} tasks", JETSTREAM, log=MANY, collect=MANY | PUSH, part=0.5, peer=False),
    Way(f"jetstream, synced, {TASKS} tasks", JETSTREAM_SYNCED, log=MANY, collect=MANY | PUSH, part=0.1, peer=False),
)
NOTES = (
    "from before the first record is made until the collector has acknowledged all: of ours at the writer, on its disk",
    "ours: write_all of 500, each synced before it returns; receive_batch, acknowledge the last of it through=True",
    "jetstream: file storage, publish_async with 4,000 pending; a pull consumer, fetch of 1,000, AckAll on its last",
    "jetstream, push: a push consumer with a callback, which costs nats-py less than fetch; AckAll on each 1,000th",
    "jetstream by default syncs every two minutes, not before it acknowledges; 'synced' has sync_interval: always",
    "redis: appendonly yes, appendfsync always; XADD in pipelines of 1,000, XREADGROUP of 1,000 and one XACK",
    "the peers' records are tuples through msgpack, unchecked; ours are checked against their class",
    "jetstream and redis keep what is acknowledged; ours trims it from the spool",
    f"{TASKS} tasks: each awaits its write (ours) or publish (jetstream) before its next; with a push consumer",
)


def run(options: Options) -> Result:
    """Measure ours and every peer that is installed."""
    return compare("log-durable", WAYS, options, count=COUNT, unit=TASKS, targets=TARGETS, notes=NOTES)
