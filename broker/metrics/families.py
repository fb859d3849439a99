"""Which metrics there are, and what of the figures each of them shows.

A **group** is a set of metrics with the same labels.  Its table is the only place where a metric is named; a test keeps
the list, as dashboards and alerts depend on it.  Units are seconds and bytes, as Prometheus asks for; a counter's name
ends in ``_total``.  No label is ever a topic or a prefix of some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, NamedTuple

from broker.figures import Figures

__all__ = ["GROUPS", "OTHER", "Group", "Metric", "Part"]

OTHER: Final = "other"
"""The label of what has no room for a label of its own."""

Part = tuple[tuple[str, ...], Any]
"""The values of a group's labels, and what its metrics look at."""


class Metric(NamedTuple):
    """One metric; ``value`` is a part's field, or a function of the part (None: it does not apply)."""

    name: str
    help: str
    value: str | Callable[[Any], float | None]
    merge: Callable[[float, float], float] = float.__add__
    """What two parts with the same labels make together."""

    @property
    def is_counter(self) -> bool:
        """Whether it only grows."""
        return self.name.endswith("_total")

    @property
    def read(self) -> Callable[[Any], float | None]:
        """The function that gives its value."""
        return attrgetter(self.value) if isinstance(self.value, str) else self.value


class Group(NamedTuple):
    """Metrics with the same labels."""

    labels: tuple[str, ...]
    parts: Callable[[Figures], Iterable[Part]]
    metrics: tuple[Metric, ...]


def _own(figures: Figures) -> Iterator[Part]:
    yield (), figures.endpoint


def _whole(figures: Figures) -> Iterator[Part]:
    yield (), figures


_ENDPOINT: Final = (
    Metric("broker_uptime_seconds", "Since the endpoint began.", "uptime_s"),
    Metric("broker_mesh_endpoints", "Endpoints of the mesh that are known, itself counted.", "mesh_endpoints"),
    Metric("broker_mesh_reachable_endpoints", "Of these, those that can be reached now.", "mesh_reachable"),
    Metric("broker_events_published_total", "Events that were published and that somebody wanted.", "published"),
    Metric("broker_events_published_bytes_total", "Bytes of these events, encoded.", "published_bytes"),
    Metric("broker_messages_received_total", "Messages of others that came for this endpoint.", "received"),
    Metric("broker_messages_received_bytes_total", "Bytes of these messages.", "received_bytes"),
    Metric("broker_messages_delivered_total", "Messages for own subscriptions, for each of them.", "delivered"),
    Metric("broker_relayed_frames_total", "Frames (batches of messages) passed on for others.", "relayed_frames"),
    Metric("broker_relayed_bytes_total", "Bytes of these frames.", "relayed_bytes"),
    Metric("broker_stuck_frames_total", "Frames without a way or room on it; their sender repeats.", "stuck_frames"),
    Metric("broker_events_misfitted_total", "Events that did not fit their class: nobody got them.", "misfits"),
    Metric("broker_access_refusals_total", "What access rules refused, here or to us.", "refusals"),
    Metric("broker_messages_recovered_total", "Messages counted as lost that had arrived after all.", "recovered"),
    Metric("broker_reports_dropped_total", "Events of reports that a slow reader had no room for.", "reports_dropped"),
    Metric("broker_messages_filtered_total", "Messages not sent: no predicate there accepted them.", "filtered"),
    Metric("broker_predicates_unjudged_total", "Times that a predicate could not be read or asked.", "unjudged"),
)

# Those that can be: each has a series from the start, as what appears with its first loss shows no increase by it.
LOSSES: Final = (
    *(("in", "gone"), ("in", "refused"), ("in", "sender"), ("in", "slow")),
    *(("out", "away"), ("out", "gone"), ("out", "remote"), ("out", "unreachable")),
)


def _losses(figures: Figures) -> Iterator[Part]:
    lost = {(loss.direction, loss.reason): loss.messages for loss in figures.endpoint.lost}
    return iter((dict.fromkeys(LOSSES, 0) | lost).items())


def _links(figures: Figures) -> Iterator[Part]:
    return (((link.peer,), link) for link in figures.links)


_LINK: Final = (
    Metric("broker_link_up", "Whether messages can flow over the link with the peer.", lambda x: x.state == "linked"),
    Metric("broker_link_stalled", "Whether frames wait because the peer takes none.", "stalled"),
    Metric("broker_link_round_trip_seconds", "The last heartbeat's round trip.", "rtt_s", max),
    Metric("broker_link_sent_frames_total", "Numbered frames sent.", "frames_sent"),
    Metric("broker_link_sent_bytes_total", "Bytes of these frames.", "bytes_sent"),
    Metric("broker_link_received_frames_total", "Numbered frames received.", "frames_received"),
    Metric("broker_link_received_bytes_total", "Bytes of these frames.", "bytes_received"),
    Metric("broker_link_resent_frames_total", "Frames sent again over a new connection.", "frames_resent"),
    Metric("broker_link_queued_frames", "Frames that wait to be sent.", "queued_frames"),
    Metric("broker_link_queued_bytes", "Bytes of events and records in these frames.", "queued_bytes"),
    Metric("broker_link_unacknowledged_frames", "Frames sent and not acknowledged.", "unacknowledged_frames"),
    Metric("broker_link_unacknowledged_bytes", "Bytes of these frames.", "unacknowledged_bytes"),
)

# Of all together: whose they are changes too often for labels, or is a topic.
_QUEUES: Final = (
    Metric("broker_receivers_behind", "Endpoints not known to have all that is for them.", lambda x: len(x.receivers)),
    Metric("broker_receivers_waiting", "Of these, those that publishers wait for.", lambda x: _count(x, "waiting")),
    Metric("broker_receivers_away", "Of these, those that were given up.", lambda x: _count(x, "away")),
    Metric(
        "broker_receivers_unacknowledged_messages",
        "Messages that they have not reported as received.",
        lambda x: sum([receiver.unacknowledged for receiver in x.receivers]),
    ),
    Metric("broker_subscriptions", "Subscriptions of this endpoint.", lambda x: len(x.subscriptions)),
    Metric(
        "broker_subscriptions_holding",
        "Of these, those whose slow reader holds up publishers.",
        lambda x: sum([one.holding for one in x.subscriptions]),
    ),
    Metric(
        "broker_subscriptions_stalled",
        "Of these, those whose reader takes nothing: they drop messages.",
        lambda x: sum([one.stalled for one in x.subscriptions]),
    ),
    Metric(
        "broker_subscriptions_queued_messages",
        "Messages that wait for their readers.",
        lambda x: sum([one.queued for one in x.subscriptions]),
    ),
    Metric(
        "broker_subscriptions_queued_bytes",
        "Bytes of these messages.",
        lambda x: sum([one.queued_bytes for one in x.subscriptions]),
    ),
)


def _count(figures: Figures, what: str) -> int:
    return sum([getattr(receiver, what) for receiver in figures.receivers])


def _stores(figures: Figures) -> Iterator[Part]:
    return (((store.store, store.role), store) for store in figures.stores)


def _of_copy(field: str) -> Callable[[Any], float | None]:
    """Return what reads a field of those who have a copy of the store."""
    return lambda store: None if store.role == "proxy" else getattr(store, field)


_STORE: Final = (
    Metric("broker_store_entries", "Entries of the store here.", _of_copy("entries")),
    Metric("broker_store_sequence", "The last operation that is here.", _of_copy("sequence"), max),
    Metric("broker_store_epoch", "How often a master of it has begun.", _of_copy("epoch"), max),
    Metric("broker_store_staleness_seconds", "For how long it may have missed changes.", _of_copy("staleness_s"), max),
    Metric("broker_store_log_bytes", "Bytes of the operations that are kept.", _of_copy("log_bytes")),
    Metric("broker_store_file_bytes", "Bytes of its file; 0 in memory.", _of_copy("file_bytes")),
    Metric("broker_store_operations_total", "Operations committed here.", _of_copy("operations")),
    Metric("broker_store_commits_total", "Commits.", _of_copy("commits")),
    Metric("broker_store_commit_seconds_total", "What they took in all; 0 in memory.", _of_copy("commit_s")),
    Metric("broker_store_snapshots_total", "Snapshots given to clones.", _of_copy("snapshots")),
    Metric("broker_store_failing", "Whether it cannot be written, or followed.", lambda x: bool(x.failing)),
    Metric("broker_store_reachable", "Whether a master of it can be reached.", lambda x: bool(x.master)),
    Metric(
        "broker_store_followers",
        "Clones that follow this master.",
        lambda x: len(x.followers) if x.role == "master" else None,
    ),
)


def _followers(figures: Figures) -> Iterator[Part]:
    return (((store.store, one.endpoint), one) for store in figures.stores for one in store.followers)


_FOLLOWER: Final = (
    Metric("broker_store_follower_lag_operations", "Operations that a clone lacks.", "behind", max),
    Metric("broker_store_follower_loading", "Whether it loads a snapshot.", "loading"),
)


def _logs(figures: Figures) -> Iterator[Part]:
    return (((log.stream,), log) for log in figures.logs)


_LOG: Final = (
    Metric("broker_log_records_total", "Records written to the spool.", "records"),
    Metric("broker_log_dropped_records_total", "Records that the spool's limits took too soon.", "dropped"),
    Metric("broker_log_spool_bytes", "Bytes of records in the spool.", "spool_bytes"),
    Metric("broker_log_spool_limit_bytes", "What the spool may take.", "limit_bytes"),
    Metric("broker_log_pending_bytes", "Bytes of records that wait to be on disk.", "pending_bytes"),
    Metric("broker_log_commits_total", "Commits.", "commits"),
    Metric("broker_log_commit_seconds_total", "What they took in all.", "commit_s"),
    Metric("broker_log_failing", "Whether the spool cannot be written.", lambda x: bool(x.failing)),
)


def _names(figures: Figures) -> Iterator[Part]:
    return (((log.stream, name.collector), name) for log in figures.logs for name in log.collectors)


_NAME: Final = (
    Metric("broker_log_collector_lag_records", "Records that a collector's name has not acknowledged.", "behind", max),
    Metric("broker_log_collector_lag_seconds", "The age of the oldest of these.", "behind_s", max),
    Metric("broker_log_collector_held_records", "Of these, those that its members have in hand.", "in_hand"),
    Metric("broker_log_collector_members", "Collectors under that name that are there.", "members"),
    Metric("broker_log_collector_lost_records_total", "Records that were gone before it had them.", "lost"),
)


def _collectors(figures: Figures) -> Iterator[Part]:
    return (((one.stream, one.collector), one) for one in figures.collectors)


_COLLECTOR: Final = (
    Metric("broker_collector_received_records_total", "Records given to the program.", "received"),
    Metric("broker_collector_acknowledged_records_total", "Records acknowledged by it.", "acknowledged"),
    Metric("broker_collector_queued_bytes", "Bytes of records that wait for it.", "queued_bytes"),
)


def _sources(figures: Figures) -> Iterator[Part]:
    return (
        ((one.stream, one.collector, source.writer), source) for one in figures.collectors for source in one.sources
    )


_SOURCE: Final = (
    Metric("broker_collector_lag_records", "Records of a writer that the name has not acknowledged.", "behind", max),
    Metric("broker_collector_lag_seconds", "The time between these and the writer's last.", "behind_s", max),
    Metric("broker_collector_writer_up", "Whether the writer can be reached and gives records.", "reachable"),
)

GROUPS: Final = (
    Group((), _own, _ENDPOINT),
    Group(
        ("direction", "reason"),
        _losses,
        (Metric("broker_messages_lost_total", "Messages lost to others (out) or from others (in).", float),),
    ),
    Group((), _whole, _QUEUES),
    Group(("peer",), _links, _LINK),
    Group(("store", "role"), _stores, _STORE),
    Group(("store", "follower"), _followers, _FOLLOWER),
    Group(("stream",), _logs, _LOG),
    Group(("stream", "collector"), _names, _NAME),
    Group(("stream", "collector"), _collectors, _COLLECTOR),
    Group(("stream", "collector", "writer"), _sources, _SOURCE),
)
