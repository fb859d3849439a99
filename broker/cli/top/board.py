"""Reports as they come, made into rows: counters into rates, an endpoint's parts into one picture.

A report is several events, the last of which is the endpoint's own figures; what came before it belongs to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from broker import Mesh, MeshEndpoint, Status
from broker.cli.top.rows import EndpointRow, LinkRow, Snapshot, StoreRow, StreamRow
from broker.figures import (
    EndpointFigures,
    LinkFigures,
    LogFigures,
    NameFigures,
    ReceiverFigures,
    StoreFigures,
    SubscriptionFigures,
)

__all__ = ["Board"]

_EVENTS_KEPT: Final = 50
_ENDPOINTS_MAX: Final = 10_000
# Parts of one report: more are cut by who reports, too.
_PARTS_MAX: Final = 10_000
# An endpoint that has left the mesh is shown for so long: its end is what one looks for.
_GONE_S: Final = 15.0
_Figures = TypeVar("_Figures", bound=Struct)


class _Report:
    """One report of an endpoint: when it was made, by its clock, and its parts."""

    def __init__(self, time_ns: int, came_s: float, own: EndpointFigures, parts: Sequence[Struct]) -> None:
        self.time_ns = time_ns
        self.came_s = came_s
        self.own = own
        self.parts = parts

    def of(self, kind: type[_Figures]) -> list[_Figures]:
        return [part for part in self.parts if isinstance(part, kind)]


class _Reports:
    """What one endpoint has reported: the last two reports, and what came of the next."""

    def __init__(self) -> None:
        self.last: _Report | None = None
        self.before: _Report | None = None
        self._parts: list[Struct] = []

    def take(self, value: Struct, time_ns: int, now_s: float) -> None:
        if not isinstance(value, EndpointFigures):
            if len(self._parts) < _PARTS_MAX:
                self._parts.append(value)
            return
        restarted = self.last is not None and value.uptime_s < self.last.own.uptime_s
        self.before = None if restarted else self.last
        self.last = _Report(time_ns, now_s, value, self._parts)
        self._parts = []

    def rate(self, counter: str, now: Struct, before: Struct | None) -> float | None:
        """How much a counter grows in a second: of one part of the reports, as it is now and was before."""
        return self.between(getattr(now, counter), None if before is None else getattr(before, counter))

    def between(self, now: float, before: float | None) -> float | None:
        """So much a second; a counter that was not there before, or is smaller now, began in between."""
        if self.last is None or self.before is None or self.last.time_ns <= self.before.time_ns:
            return None
        grown = now if before is None or before > now else now - before
        return round(grown / ((self.last.time_ns - self.before.time_ns) / 1e9), 3)


class Board:
    """All that was reported so far."""

    def __init__(self) -> None:
        self._reports: dict[str, _Reports] = {}
        self._events: deque[tuple[str, str, str]] = deque(maxlen=_EVENTS_KEPT)
        self.refused_by: set[str] = set()  # endpoints whose rules do not let us have reports

    def take(self, origin: str, value: Struct, time_ns: int, now_s: float) -> None:
        """Take a part of a report, or a status event, of an endpoint."""
        if origin not in self._reports and len(self._reports) >= _ENDPOINTS_MAX:
            return
        if not isinstance(value, Status):
            self._reports.setdefault(origin, _Reports()).take(value, time_ns, now_s)

    def take_status(self, origin: str, value: Status, time: str) -> None:
        """Take a status event of an endpoint."""
        self._events.appendleft((time, origin, str(value)))

    def has_rates_of(self, names: Iterable[str]) -> bool:
        """Whether all of them have reported twice."""
        return all(name in self._reports and self._reports[name].before is not None for name in names)

    def snapshot(self, mesh: Mesh, now_s: float) -> Snapshot:
        """Everything now; without ourselves, who only look."""
        others = {endpoint.name: endpoint for endpoint in mesh.endpoints[1:]}
        for name in [name for name in self._reports if name not in others]:
            last = self._reports[name].last
            if last is not None and now_s - last.came_s > _GONE_S:
                del self._reports[name]
        rtts = _rtts(mesh)
        names = dict.fromkeys([*others, *self._reports])
        endpoints = [self._endpoint(name, others.get(name), rtts.get(name), now_s) for name in names]
        return Snapshot(
            endpoints=_worst_first(endpoints),
            links=_worst_first(
                row for name in self._reports for row in self._links(name) if row.peer != mesh.ourselves.name
            ),
            stores=_worst_first(row for name in self._reports for row in self._stores(name)),
            streams=_worst_first(row for name in self._reports for row in self._streams(name)),
            events=tuple(self._events),
            refused_by=tuple(sorted(self.refused_by)),
        )

    def _endpoint(self, name: str, member: MeshEndpoint | None, rtt_s: float | None, now_s: float) -> EndpointRow:
        reachable = member is not None and member.hops is not None
        reports = self._reports.get(name)
        if reports is None or reports.last is None:
            return EndpointRow(endpoint=name, reports=False, reachable=reachable, rtt_s=rtt_s)
        last, before = reports.last, reports.before
        own, then = last.own, before.own if before else None
        links = last.of(LinkFigures)
        rows = self._links(name)
        return EndpointRow(
            endpoint=name,
            reports=True,
            reachable=reachable,
            report_age_s=round(now_s - last.came_s, 3),
            uptime_s=own.uptime_s,
            out_per_s=reports.rate("published", own, then),
            in_per_s=reports.rate("received", own, then),
            relayed_per_s=reports.rate("relayed_frames", own, then),
            sent_bytes_per_s=_sum([row.sent_bytes_per_s for row in rows]) if before else None,
            received_bytes_per_s=_sum([row.received_bytes_per_s for row in rows]) if before else None,
            lost=_lost(own),
            lost_per_s=reports.between(_lost(own), _lost(then)),
            slow=_slow(last),
            queued_bytes=sum(link.queued_bytes for link in links)
            + sum(one.queued_bytes for one in last.of(SubscriptionFigures)),
            rtt_s=max((link.rtt_s for link in links if link.rtt_s is not None), default=rtt_s),
        )

    def _links(self, name: str) -> list[LinkRow]:
        reports = self._reports[name]
        if reports.last is None:
            return []
        former = {(link.peer, link.address): link for link in reports.before.of(LinkFigures)} if reports.before else {}
        rows = []
        for link in reports.last.of(LinkFigures):
            then = former.get((link.peer, link.address))
            rows.append(
                LinkRow(
                    endpoint=name,
                    peer=link.peer,
                    state=link.state,
                    rtt_s=link.rtt_s,
                    sent_bytes_per_s=reports.rate("bytes_sent", link, then),
                    received_bytes_per_s=reports.rate("bytes_received", link, then),
                    queued_bytes=link.queued_bytes,
                    unacknowledged_bytes=link.unacknowledged_bytes,
                    resent=link.frames_resent,
                    stalled=link.stalled,
                )
            )
        return rows

    def _stores(self, name: str) -> list[StoreRow]:
        reports = self._reports[name]
        if reports.last is None:
            return []
        former = {store.store: store for store in reports.before.of(StoreFigures)} if reports.before else {}
        rows = []
        for store in reports.last.of(StoreFigures):
            then = former.get(store.store)
            finite = store.staleness_s < float("inf")
            rows.append(
                StoreRow(
                    store=store.store,
                    endpoint=name,
                    role=store.role,
                    master=store.master,
                    entries=store.entries,
                    operations_per_s=reports.rate("operations", store, then),
                    staleness_s=round(store.staleness_s, 3) if finite else None,
                    behind=self._behind(name, store),
                    followers=len(store.followers),
                    file_bytes=store.file_bytes,
                    failing=store.failing,
                )
            )
        return rows

    def _behind(self, name: str, store: StoreFigures) -> int:
        if store.role == "master":
            return max((follower.behind for follower in store.followers), default=0)
        master = self._reports.get(store.master)
        if master is None or master.last is None:
            return 0
        for seen in master.last.of(StoreFigures):
            for follower in seen.followers:
                if seen.store == store.store and follower.endpoint == name:
                    return follower.behind
        return 0

    def _streams(self, name: str) -> list[StreamRow]:
        reports = self._reports[name]
        if reports.last is None:
            return []
        former = {log.stream: log for log in reports.before.of(LogFigures)} if reports.before else {}
        rows = []
        for log in reports.last.of(LogFigures):
            then = former.get(log.stream)
            rows += [
                StreamRow(
                    stream=log.stream,
                    writer=name,
                    collector=one.collector,
                    records_per_s=reports.rate("records", log, then),
                    last=log.last,
                    behind=one.behind,
                    behind_s=round(one.behind_s, 3) if one.behind_s < float("inf") else None,
                    members=one.members,
                    lost=one.lost,
                    spool_bytes=log.spool_bytes,
                    limit_bytes=log.limit_bytes,
                    dropped=log.dropped,
                    failing=log.failing,
                )
                for one in log.collectors or (_NOBODY,)
            ]
        return rows


_NOBODY: Final = NameFigures("", 0, 0, 0.0, 0, 0, 0)
_Row = TypeVar("_Row", EndpointRow, LinkRow, StoreRow, StreamRow)


def _worst_first(rows: Iterable[_Row]) -> tuple[_Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.badness, reverse=True))


def _lost(own: EndpointFigures | None) -> int:
    return 0 if own is None else sum(loss.messages for loss in own.lost)


def _sum(rates: Iterable[float | None]) -> float:
    return round(sum(rate or 0 for rate in rates), 3)


def _slow(report: _Report) -> tuple[str, ...]:
    """Who holds the endpoint up: peers that do not read, receivers without room, readers of its own."""
    slow = [link.peer for link in report.of(LinkFigures) if link.stalled]
    slow += [receiver.endpoint for receiver in report.of(ReceiverFigures) if receiver.waiting]
    slow += [f"own reader of {one.prefix!r}" for one in report.of(SubscriptionFigures) if one.holding or one.stalled]
    return tuple(dict.fromkeys(slow))


def _rtts(mesh: Mesh) -> dict[str, float]:
    """The round trip of each endpoint's slowest link, by its name; the links of who looks are not counted."""
    names = {endpoint.id: endpoint.name for endpoint in mesh.endpoints[1:]}
    slowest: dict[str, float] = {}
    for link in mesh.links:
        if link.one in names and link.other in names and link.rtt_s is not None:
            for end in (link.one, link.other):
                slowest[names[end]] = max(slowest.get(names[end], 0.0), link.rtt_s)
    return slowest
