"""Figures: what an endpoint counts and measures of itself, as ``endpoint.figures()`` gives it.

A snapshot of one moment.  What grows from when the endpoint began (the docstrings call it a counter) is never smaller
in a later snapshot, as long as what it belongs to lives: a link that ends and comes back begins at 0.  Times are in
seconds, amounts in bytes.  What is counted is counted per batch and per frame: it costs an event nothing.

An endpoint with ``report_every=`` publishes the parts as events, too: see :mod:`broker.reports`.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = [
    "REPORT_S_MIN",
    "CollectorFigures",
    "EndpointFigures",
    "Figures",
    "FollowerFigures",
    "LinkFigures",
    "LogFigures",
    "LossFigures",
    "NameFigures",
    "ReceiverFigures",
    "StoreFigures",
    "SubscriptionFigures",
    "SourceFigures",
]

# What is reported more often is a benchmark of reporting.
REPORT_S_MIN: Final = 0.1


class LossFigures(Struct, frozen=True):
    """Messages that were lost for one reason: on their way to others ("out"), or from others to us ("in").

    ``reason`` is one of: slow (a subscription of ours dropped them), remote (the receiver dropped them, because it is
    slow or its access rules do not let us publish there), refused (our access rules do not let them be published),
    unreachable (the receiver was given up), away (they passed while it was given up), gone (one end was closed, died or
    was replaced before they were known to have arrived), sender (the sender had lost them).
    """

    direction: str
    reason: str
    messages: int  # a counter


class EndpointFigures(Struct, frozen=True):
    """What an endpoint counts as a whole."""

    endpoint: str
    uptime_s: float
    mesh_endpoints: int  # that are known, with ourselves
    mesh_reachable: int  # of these, those that can be reached now
    # counters
    published: int  # events that were published here and that somebody wanted
    published_bytes: int  # what they were encoded to
    received: int  # messages that others published and that came for us
    received_bytes: int
    delivered: int  # messages for subscriptions of ours, for each of them that wanted it
    relayed_frames: int  # passed on for others, undecoded: a frame is a batch of events, or other word for somebody
    relayed_bytes: int
    stuck_frames: int  # of our own and others' that had no way, or no room on it; what is in them is sent again
    misfits: int  # events that did not fit their class
    refusals: int  # what access rules refused, here to others or there to us
    recovered: int  # messages counted as lost that had arrived after all
    reports_dropped: int = 0  # events of reports that were not published, because a reader of them is slow
    lost: tuple[LossFigures, ...] = ()
    filtered: int = 0  # messages that were not sent to an endpoint whose predicates (where=) accepted them not
    unjudged: int = 0  # times that a predicate could not be read, or asked about an event: then it counts as true


class LinkFigures(Struct, frozen=True):
    """A link with a peer.  Frames are those that are numbered and sent again if need be, and bytes are theirs."""

    peer: str
    address: str
    dialled: bool
    state: str  # linked; beginning: it does not carry messages yet; interrupted: its connection is gone for now
    rtt_s: float | None  # the last heartbeat's round trip
    # counters of this link
    frames_sent: int
    bytes_sent: int
    frames_received: int
    bytes_received: int
    frames_resent: int
    # now
    queued_frames: int  # they wait for the window, or for the connection
    queued_bytes: int
    unacknowledged_frames: int  # sent, and not acknowledged by the peer
    unacknowledged_bytes: int
    stalled: bool  # the connection is there, and the window is full: frames wait for the peer


class ReceiverFigures(Struct, frozen=True):
    """Another endpoint that gets events of ours and is not known to have all of them."""

    endpoint: str
    sent: int  # messages for it, in all: a counter
    unacknowledged: int  # of these, those that it has not reported as received
    waiting: bool  # it is slow: it has given no room for more, and publishers wait for it
    away: bool  # it was given up: what is for it is counted as lost


class SubscriptionFigures(Struct, frozen=True):
    """One subscription of this endpoint, and its queue."""

    prefix: str
    names: tuple[str, ...]  # of event classes; none: of any
    overflow: str
    delivered: int  # messages that came into its queue, a counter (less what drop_oldest took out of it)
    lost: int  # messages that it wanted and did not get, a counter
    queued: int  # messages that wait for the reader
    queued_bytes: int
    queue_messages: int  # the limits
    queue_bytes: int
    holding: bool  # its reader is slow: publishers wait for it
    stalled: bool  # its reader has taken nothing for too long: it drops what comes


class FollowerFigures(Struct, frozen=True):
    """A clone, as its master sees it."""

    endpoint: str
    sequence: int  # the last operation that it has committed
    behind: int  # operations that it lacks
    loading: bool  # it loads a snapshot


class StoreFigures(Struct, frozen=True):
    """A store that this endpoint has a handle of."""

    store: str
    role: str  # master, clone, or proxy, which has nothing of the store itself
    master: str  # the endpoint that is master; empty: none can be reached
    entries: int
    epoch: int  # how often a master of it has begun
    sequence: int  # of the last operation that it has
    staleness_s: float  # something may have been missed for so long: 0 at a master, infinity if it never had anything
    log_bytes: int
    file_bytes: int  # 0: it is in memory
    # counters
    operations: int  # records of the log that were committed here
    commits: int
    commit_s: float  # the time that they took in all; 0 in memory
    snapshots: int  # given to clones
    failing: str  # why it cannot be written, or followed; empty: it can
    followers: tuple[FollowerFigures, ...] = ()


class NameFigures(Struct, frozen=True):
    """A collector's name, as a writer of the stream has it."""

    collector: str
    acknowledged: int  # the record up to which it has acknowledged everything
    behind: int  # records that it has not acknowledged
    behind_s: float  # the age of the oldest of them against the latest record; infinity: it cannot be read
    members: int  # collectors that are there under the name now
    in_hand: int  # records that they have and have not acknowledged
    lost: int  # records that were gone before it had them: a counter


class LogFigures(Struct, frozen=True):
    """A log stream that this endpoint writes, and its spool."""

    stream: str
    last: int  # the number of the latest record on disk
    spool_bytes: int
    limit_bytes: int
    pending_bytes: int  # taken and not on disk yet
    # counters
    records: int  # written since the writer began
    dropped: int  # that the limits took before every collector had them, since the spool was made
    commits: int
    commit_s: float
    failing: str  # why it cannot be written; empty: it can
    collectors: tuple[NameFigures, ...] = ()


class SourceFigures(Struct, frozen=True):
    """One writer that a collector gets records from."""

    writer: str
    acknowledged: int  # the record up to which everything of the collector's name is done
    last: int  # the writer's last record, as it was last heard
    behind: int  # records
    behind_s: float
    reachable: bool


class CollectorFigures(Struct, frozen=True):
    """A collector of a log stream at this endpoint."""

    stream: str
    collector: str  # its name; empty: it has none
    queued_bytes: int
    # counters
    received: int  # records that its program was given
    acknowledged: int
    sources: tuple[SourceFigures, ...] = ()


class Figures(Struct, frozen=True):
    """What ``endpoint.figures()`` gives: everything that an endpoint counts and measures, at one moment."""

    endpoint: EndpointFigures
    links: tuple[LinkFigures, ...]
    receivers: tuple[ReceiverFigures, ...]
    subscriptions: tuple[SubscriptionFigures, ...]
    stores: tuple[StoreFigures, ...]
    logs: tuple[LogFigures, ...]
    collectors: tuple[CollectorFigures, ...]
