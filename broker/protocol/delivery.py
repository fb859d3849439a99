"""What comes in: parcels of others in their order, to the subscriptions that want them, and reports back.

A full queue holds the flows that feed it, and our own publishers to it, unless it drops.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from broker.errors import EventMisfit, Malformed, TopicError
from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Tell, Wake
from broker.protocol.addresses import Entry
from broker.protocol.flows import REPORT_DELAY_S, ROOM_MAX, ROOM_MIN, ROOM_TOTAL, InFlow
from broker.protocol.frames import Batch, Kind, LostEvents, Probe, Run
from broker.protocol.losses import Losses
from broker.protocol.member import Member, Refused, not_told
from broker.protocol.routes import Routes
from broker.protocol.subscriptions import Delivery, Subscription
from broker.protocol.transit import Transit
from broker.status import EventMisfitted
from broker.topics import normalize_topic
from broker.trust.judge import EVERYTHING

__all__ = ["Delivering"]

# Flows that are remembered so that nothing comes twice if their publishers are heard again; a kilobyte each.
_FORMER_MAX: Final = 10_000
_NONE: Final[frozenset[int]] = frozenset()
_STALLED: Final = "its reader has taken nothing for {:g} s"


class Delivering:
    """The incoming flows of one endpoint, and the queues that they fill.

    ``released`` is told of subscriptions that hold our own publishers no longer.
    """

    def __init__(
        self,
        name: str,
        routes: Routes,
        transit: Transit,
        losses: Losses,
        act: Callable[[Action], None],
        released: Callable[[Subscription], None],
    ) -> None:
        self._name = name
        self._routes = routes
        self._transit = transit
        self._losses = losses
        self._act = act
        self._released = released
        self.misfits = 0
        self.received = 0  # messages of others,
        self.received_bytes = 0  # and the bytes of their parcels
        self.delivered = 0  # messages for our subscriptions, for each that wanted them
        self.refused: Refused = not_told
        self.condemned: list[tuple[Member, Malformed]] = []  # who sent what turned out to be no events
        self._flows = 0
        self._former: OrderedDict[bytes, InFlow] = OrderedDict()  # of those who were forgotten: they may come back
        self._owing: dict[Member, float] = {}  # who is owed a report, and since when
        self._full: dict[Subscription, tuple[object, float | None]] = {}  # what each had taken, and when it was seen

    # -- parcels -------------------------------------------------------------------------------------------------

    def take(self, member: Member, entry: Entry, kind: int, body: bytes, now: float) -> None:
        """Act on what came for us from an endpoint; raises Malformed when it breaks the protocol."""
        flow = member.incoming
        if flow is None or entry.flow > flow.number:
            flow = self._begin(member, entry.flow, kind, body)
        elif entry.flow < flow.number:
            return
        if kind == Kind.PROBE:
            self._take_probe(member, flow, frames.decode(Probe, body))
        elif flow.judge(entry.sequence, kind, body):
            self._act_on(member, flow, kind, body)
            self._act_on_early(member, flow)
        else:
            self._owing.setdefault(member, now)
        if flow.due:
            self._report(member, flow)
        elif flow.owes and member not in self._owing:
            self._owing[member] = now

    def _begin(self, member: Member, number: int, kind: int, body: bytes) -> InFlow:
        former = member.incoming
        if former is None:
            self._flows += 1
            former = self._former.pop(member.id, None)
            if former is not None and former.number >= number:
                member.incoming = former
                return former
        flow = member.incoming = InFlow(number)
        if former is not None:
            self._end(member, former)
            flow.holders = former.holders
        if kind == Kind.PROBE:  # what it has forgotten, we have had or told already
            flow.skip_to(frames.decode(Probe, body).oldest)
        return flow

    def _take_probe(self, member: Member, flow: InFlow, probe: Probe) -> None:
        flow.give_up(probe.given_up)
        missing = flow.skip_to(probe.oldest)
        self._losses.add(member.name, "in", "sender", "it no longer had them when they could be sent", missing)
        self._act_on_early(member, flow)
        flow.answers = probe.number
        flow.due = True

    def _act_on_early(self, member: Member, flow: InFlow) -> None:
        while (early := flow.next_early()) is not None:
            self._act_on(member, flow, *early)

    def _act_on(self, member: Member, flow: InFlow, kind: int, body: bytes) -> None:
        if kind == Kind.EVENTS:
            runs = frames.decode(Batch, body).runs
            for run in runs:
                self._check(run)
            messages = sum([run.count for run in runs])
            flow.advance(kind, len(body), messages)
            self.received += messages
            self.received_bytes += len(body)
            for run in runs:
                denied = _NONE if member.grants is EVERYTHING else self._deny(member, flow, run)
                if len(denied) < len(run.topics):
                    self.deliver(Delivery(run, member.name, member, self._report_misfit, self._condemn), denied)
        elif kind == Kind.LOST:
            lost = frames.decode(LostEvents, body).topics
            flow.advance(kind, len(body), sum([topic.count for topic in lost]))
            for topic in lost:
                if topic.topic and not member.grants.may_publish(topic.topic):
                    self.refused(member, "publish", topic.topic, topic.count)
                else:
                    for subscription in self._routes.readers(topic.topic, topic.name):
                        subscription.lose(topic.count)
                self._losses.add(member.name, "in", "sender", "it could not keep them", topic.count, [topic.topic])
        else:
            raise Malformed(f"frames of kind {kind} are not known in this version")

    def _check(self, run: Run) -> None:
        if len(run.topics) > 1 and (len(run.which) != run.count or max(run.which) >= len(run.topics)):
            raise Malformed("a run of several topics that does not say which event has which")
        for topic in run.topics:
            if self._routes.known(topic, run.name) is None:
                try:
                    normal = normalize_topic(topic, reserved=True)
                except TopicError as error:
                    raise Malformed(str(error)) from error
                if normal != topic:
                    raise Malformed(f"a topic that is not normalised: {topic!r:.100}")

    # -- to subscriptions ----------------------------------------------------------------------------------------

    def deliver_own(self, run: Run, local: tuple[Subscription, ...]) -> None:
        """Feed our own subscriptions with what was published here."""
        delivery = Delivery(run, self._name, None, self._report_misfit, self._condemn)
        for subscription in local:
            self._push(subscription, delivery, None, run.count)

    def _deny(self, member: Member, flow: InFlow, run: Run) -> frozenset[int]:
        """Return which of a run's topics its publisher has no right to; what is on them is dropped, and told."""
        may_publish = member.grants.may_publish
        denied = frozenset([index for index, topic in enumerate(run.topics) if not may_publish(topic)])
        for index in denied:
            count = run.which.count(index) if run.which else run.count
            if count:
                topic = run.topics[index]
                reason = "the access rules do not let it publish there"
                self._losses.add(member.name, "in", "refused", reason, count, [topic])
                self.refused(member, "publish", topic, count)
                flow.dropped += count
        return denied

    def deliver(self, delivery: Delivery, denied: frozenset[int] = _NONE) -> None:
        """Feed the subscriptions that want a run; of one with several topics they may want, or have, only some."""
        run = delivery.run
        if len(run.topics) == 1:
            for subscription in self._routes.route(run.topics[0], run.name).lane.local:
                self._push(subscription, delivery, None, run.count)
            return
        wanted: dict[Subscription, list[int]] = {}
        for index, topic in enumerate(run.topics):
            if index in denied:
                continue
            for subscription in self._routes.route(topic, run.name).lane.local:
                wanted.setdefault(subscription, []).append(index)
        for subscription, indexes in wanted.items():
            if len(indexes) == len(run.topics):
                self._push(subscription, delivery, None, run.count)
            else:
                count = sum(run.which.count(index) for index in indexes)
                if count:
                    self._push(subscription, delivery, frozenset(indexes), count)

    def _push(self, subscription: Subscription, delivery: Delivery, wanted: frozenset[int] | None, count: int) -> None:
        if subscription.ended:
            return  # it was there when the batch was gathered
        size = None
        accepted = subscription.sift(delivery, wanted)
        if accepted is not None:
            count, size = accepted.run.count, len(delivery.run.body) * accepted.run.count // delivery.run.count
            delivery, wanted = accepted, None
            if not count:
                return
        was_empty = subscription.empty
        self.delivered += count
        dropped = subscription.push(delivery, wanted, count, size)
        if was_empty and not subscription.empty:
            self._act(Wake(subscription))
        if dropped:
            self._tell_dropped(subscription, delivery, dropped)
        if subscription.full and subscription.blocks:
            self._hold(subscription, delivery)

    def _tell_dropped(self, subscription: Subscription, delivery: Delivery, dropped: int) -> None:
        member: Member | None = delivery.source
        how = _STALLED.format(subscription.stall_timeout) if subscription.stalled else subscription.overflow
        reason = f"slow subscription of {self._name}: {how}"
        prefix = subscription.interest.prefix or "(all topics)"
        self._losses.add(delivery.origin, "in", "slow", reason, dropped, [prefix])
        if member is not None and member.incoming is not None:
            member.incoming.dropped += dropped

    def _hold(self, subscription: Subscription, delivery: Delivery) -> None:
        subscription.holds = True
        if subscription not in self._full:
            self._full[subscription] = (None, None)
            self._act(Changed())  # its patience is limited
        member: Member | None = delivery.source
        if member is not None and member.incoming is not None:
            subscription.feeders[member] = None
            member.incoming.hold(subscription)

    def _report_misfit(self, delivery: Delivery, topic: str, error: EventMisfit) -> None:
        self.misfits += 1
        status = EventMisfitted(topic, delivery.origin, error.event, error.field, error.expected, error.found)
        self._act(Tell(status))

    def _condemn(self, delivery: Delivery, error: Malformed) -> None:
        if delivery.source is None:
            raise error  # what we encoded ourselves
        self.condemned.append((delivery.source, error))
        self._act(Changed())

    def drained(self, subscription: Subscription) -> None:
        """Release whom a queue held, once it is low, gone or stalled."""
        feeders = list(subscription.feeders)
        subscription.feeders.clear()
        subscription.holds = False
        self._full.pop(subscription, None)
        for member in feeders:
            flow = member.incoming
            if flow is not None:
                flow.release(subscription)
                if flow.due:
                    self._report(member, flow)
        self._released(subscription)

    # -- reports -------------------------------------------------------------------------------------------------

    def _report(self, member: Member, flow: InFlow) -> None:
        self._owing.pop(member, None)
        flow.share = max(ROOM_MIN, min(ROOM_MAX, ROOM_TOTAL // max(1, self._flows)))
        self._transit.send(Kind.REPORT, frames.encode(flow.report()), ((member, flow.number, 0),))

    def report_all(self) -> None:
        """Send every report that is owed: the endpoint closes, and its publishers are not to take it for lost."""
        for member in list(self._owing):
            if member.incoming is not None:
                self._report(member, member.incoming)

    def tick(self, now: float) -> None:
        """Send the reports that are owed; see whose patience is at its end."""
        for member, since in list(self._owing.items()):
            if now < since + REPORT_DELAY_S:
                break
            if member.incoming is not None:
                self._report(member, member.incoming)
            else:
                del self._owing[member]
        for subscription, (taken, since_taken) in list(self._full.items()):
            progress = subscription.progress()
            if since_taken is None or progress != taken:
                self._full[subscription] = (progress, now)
            elif now >= since_taken + subscription.stall_timeout:
                subscription.stalled = True
                self.drained(subscription)

    def next_report(self) -> float:
        """Return when a report is due."""
        for since in self._owing.values():  # the first one is owed longest
            return since + REPORT_DELAY_S
        return float("inf")

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        due = self.next_report()
        for subscription, (_, since) in self._full.items():
            due = min(due, float("-inf") if since is None else since + subscription.stall_timeout)
        return due

    # -- the end of a flow ---------------------------------------------------------------------------------------

    def forget(self, member: Member) -> None:
        """Drop the flow of an endpoint that will not come back; what came ahead of its turn is delivered."""
        flow = member.incoming
        if flow is None:
            return
        self._end(member, flow)
        member.incoming = None
        self._flows -= 1
        self._owing.pop(member, None)
        for subscription in list(flow.holders):
            if isinstance(subscription, Subscription):
                subscription.feeders.pop(member, None)
        flow.holders.clear()
        self._former[member.id] = flow
        if len(self._former) > _FORMER_MAX:
            self._former.popitem(last=False)

    def _end(self, member: Member, flow: InFlow) -> None:
        while flow.early:
            self._losses.add(member.name, "in", "gone", "its sender has gone", flow.skip_gap())
            try:
                self._act_on_early(member, flow)
            except Malformed:
                return
