"""What a node counts and measures of itself, gathered from its parts: see :mod:`broker.figures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import JournalError
from broker.figures import (
    CollectorFigures,
    EndpointFigures,
    Figures,
    FollowerFigures,
    LinkFigures,
    LogFigures,
    LossFigures,
    NameFigures,
    ReceiverFigures,
    SourceFigures,
    StoreFigures,
    SubscriptionFigures,
)
from broker.logs.collector import Collector
from broker.logs.groups import Group
from broker.logs.writer import Writer
from broker.protocol.link import Link
from broker.protocol.member import Member
from broker.protocol.subscriptions import Subscription
from broker.stores.clone import Clone
from broker.stores.master import Master
from broker.stores.proxy import Proxy

if TYPE_CHECKING:
    from broker.node_life import NodeLife

__all__ = ["figures_of"]


def figures_of(node: NodeLife, now: float, started: float) -> Figures:
    """Return all figures of a node that began at ``started``; what only its driver knows of files is 0."""
    members = node.members.members
    stores: list[tuple[str, Master | Clone | Proxy]] = [*node.stores.masters.items(), *node.stores.clones.items()]
    return Figures(
        _endpoint(node, now - started),
        tuple(_link(link) for link in node.peerings.links.values()),
        tuple(_receiver(member) for member in members.values() if member.has_flow and _is_behind(member)),
        tuple(_subscription(one) for one in node.exchange.routes.subscriptions()),
        tuple(_store(machine, node.name, now) for _, machine in sorted(stores, key=lambda store: store[0])),
        tuple(_log(writer) for _, writer in sorted(node.logs.writers.items())),
        tuple(_collector(collector) for collector in node.logs.collectors),
    )


def _endpoint(node: NodeLife, uptime_s: float) -> EndpointFigures:
    exchange, transit, members = node.exchange, node.transit, node.members.members.values()
    delivering = exchange.delivering
    return EndpointFigures(
        node.name,
        uptime_s,
        1 + len(members),
        1 + sum([member.reachable for member in members]),
        exchange.published,
        exchange.published_bytes,
        delivering.received,
        delivering.received_bytes,
        delivering.delivered,
        transit.relayed,
        transit.relayed_bytes,
        transit.dropped,
        delivering.misfits,
        node.refusals.count,
        exchange.courier.recovered,
        lost=tuple(LossFigures(*key, messages) for key, messages in sorted(node.losses.totals.items())),
        filtered=exchange.filtered,
        unjudged=exchange.routes.predicates.unjudged,
    )


def _link(link: Link) -> LinkFigures:
    up = link.wire is not None
    state = "interrupted" if not up else "linked" if link.added else "beginning"
    return LinkFigures(
        link.peer_name,
        link.address,
        link.dialled,
        state,
        link.rtt_s,
        link.frames_sent,
        link.bytes_sent,
        link.received,
        link.bytes_received,
        link.frames_resent,
        len(link.waiting) + len(link.control),
        link.waiting_bytes,
        len(link.sent),
        link.unacknowledged_bytes,
        up and bool(link.waiting),
    )


def _is_behind(member: Member) -> bool:
    return member.out.pending or member.out.away


def _receiver(member: Member) -> ReceiverFigures:
    flow = member.out
    return ReceiverFigures(member.name, flow.next_sequence - 1, flow.unreported, flow.congested, flow.away)


def _subscription(one: Subscription) -> SubscriptionFigures:
    return SubscriptionFigures(
        one.interest.prefix,
        one.interest.names or (),
        one.overflow,
        one.delivered,
        one.lost,
        one.pending,
        one.pending_bytes,
        one.queue_messages,
        one.queue_bytes,
        one.holds,
        one.stalled,
    )


def _store(machine: Master | Clone | Proxy, endpoint: str, now: float) -> StoreFigures:
    if isinstance(machine, Master):
        role, master, staleness_s, snapshots = "master", endpoint, 0.0, machine.followers.snapshots
        failing = machine.failing or ("" if machine.rival is None else f"{machine.rival} is its master, too")
    else:
        role, snapshots = "proxy", 0
        master = "" if machine.master is None else machine.master.name
        failing, staleness_s = machine.refused, 0.0
        if isinstance(machine, Clone):
            failing = machine.failing or failing
            if not machine.bare:
                role, staleness_s = "clone", machine.staleness(now)
    if isinstance(machine, Proxy):
        return StoreFigures(machine.name, role, master, 0, 0, 0, 0.0, 0, 0, 0, 0, 0.0, 0, failing)
    journal = machine.journal
    tip = journal.position
    return StoreFigures(
        machine.name,
        role,
        master,
        len(machine.contents),
        tip.epoch,
        tip.sequence,
        staleness_s,
        journal.log_bytes,
        0,
        machine.operations,
        machine.commits,
        0.0,
        snapshots,
        failing,
        _followers(machine, tip.sequence) if isinstance(machine, Master) else (),
    )


def _followers(master: Master, tip: int) -> tuple[FollowerFigures, ...]:
    survey = master.followers.survey()
    return tuple(FollowerFigures(name, acked, tip - acked, loading) for name, acked, loading in survey)


def _log(writer: Writer) -> LogFigures:
    return LogFigures(
        writer.name,
        writer.durable,
        writer.journal.log_bytes,
        writer.options.limit_bytes,
        writer.pending_bytes,
        writer.durable - writer.before,
        writer.spool.state.dropped,
        writer.commits,
        0.0,
        writer.failing,
        tuple(_name(writer, group) for _, group in sorted(writer.groups.items())),
    )


def _name(writer: Writer, group: Group) -> NameFigures:
    behind = writer.durable - group.floor - group.done.count
    try:
        behind_s = writer.age_of(group.floor + 1) if behind else 0.0
    except JournalError:
        behind_s = float("inf")
    in_hand = sum([held.count for held in group.held.values()])
    return NameFigures(group.name, group.floor, behind, behind_s, len(group.sessions), in_hand, group.lost)


def _collector(collector: Collector) -> CollectorFigures:
    lag = collector.lag()
    sources = [SourceFigures(o.writer, o.acknowledged, o.last, o.behind, o.behind_s, o.reachable) for o in lag]
    return CollectorFigures(
        collector.stream,
        collector.name,
        collector.queued_bytes,
        collector.received,
        collector.acknowledged,
        tuple(sources),
    )
