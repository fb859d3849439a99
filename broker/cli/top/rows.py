"""What ``broker top`` tells: a row a thing, sorted so that what needs looking at comes first.

Rates are of the time between an endpoint's last two reports, by its own clock; None where there are not two yet.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["EndpointRow", "LinkRow", "Snapshot", "StoreRow", "StreamRow", "form_of"]


class EndpointRow(Struct, frozen=True, kw_only=True):
    """An endpoint of the mesh."""

    endpoint: str
    reports: bool  # False: it is known from the mesh alone
    reachable: bool
    report_age_s: float | None = None
    uptime_s: float | None = None
    out_per_s: float | None = None  # events that it published
    in_per_s: float | None = None  # messages that came for it
    relayed_per_s: float | None = None  # frames
    sent_bytes_per_s: float | None = None
    received_bytes_per_s: float | None = None
    lost: int | None = None  # messages, since it began
    lost_per_s: float | None = None
    slow: tuple[str, ...] = ()  # peers, receivers and readers of its own that hold it up now
    queued_bytes: int | None = None
    rtt_s: float | None = None  # of its slowest link

    @property
    def badness(self) -> tuple[Any, ...]:
        """The larger, the more it needs looking at."""
        return (
            not self.reachable,
            self.lost_per_s or 0,
            len(self.slow),
            self.queued_bytes or 0,
            self.lost or 0,
            (self.out_per_s or 0) + (self.in_per_s or 0),
        )


class LinkRow(Struct, frozen=True, kw_only=True):
    """A link, as one end reports it."""

    endpoint: str
    peer: str
    state: str
    rtt_s: float | None
    sent_bytes_per_s: float | None
    received_bytes_per_s: float | None
    queued_bytes: int
    unacknowledged_bytes: int
    resent: int  # frames
    stalled: bool

    @property
    def badness(self) -> tuple[Any, ...]:
        """The larger, the more it needs looking at."""
        return (self.state != "linked", self.stalled, self.queued_bytes, self.resent, self.rtt_s or 0)


class StoreRow(Struct, frozen=True, kw_only=True):
    """A store at one endpoint."""

    store: str
    endpoint: str
    role: str
    master: str
    entries: int
    operations_per_s: float | None
    staleness_s: float | None  # None: it never had anything
    behind: int  # operations that it lacks, as its master sees it; of a master: that its slowest clone lacks
    followers: int
    file_bytes: int
    failing: str

    @property
    def badness(self) -> tuple[Any, ...]:
        """The larger, the more it needs looking at."""
        stale_s = float("inf") if self.staleness_s is None else self.staleness_s
        return (bool(self.failing), not self.master, stale_s if stale_s > 1 else 0, self.behind, self.role == "master")


class StreamRow(Struct, frozen=True, kw_only=True):
    """A log stream at its writer, and one of its collectors' names; an empty one: it has none."""

    stream: str
    writer: str
    collector: str
    records_per_s: float | None
    last: int
    behind: int
    behind_s: float | None  # None: it cannot be read
    members: int
    lost: int
    spool_bytes: int
    limit_bytes: int
    dropped: int
    failing: str

    @property
    def badness(self) -> tuple[Any, ...]:
        """The larger, the more it needs looking at."""
        return (bool(self.failing), self.lost + self.dropped > 0, self.behind, self.spool_bytes)


class Snapshot(Struct, frozen=True, kw_only=True):
    """All of it at one moment.

    ``events`` are status events, the latest first, as time, endpoint and sentence; ``refused_by`` are endpoints whose
    access rules do not let us have reports.
    """

    endpoints: tuple[EndpointRow, ...]
    links: tuple[LinkRow, ...]
    stores: tuple[StoreRow, ...]
    streams: tuple[StreamRow, ...]
    events: tuple[tuple[str, str, str], ...]
    refused_by: tuple[str, ...] = ()


def form_of(snapshot: Snapshot, time: str) -> dict[str, Any]:
    """The snapshot as JSON."""
    form: dict[str, Any] = msgspec.to_builtins(snapshot)
    events = [{"time": at, "endpoint": endpoint, "status": text} for at, endpoint, text in snapshot.events]
    return {"time": time, **form, "events": events}
