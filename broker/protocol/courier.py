"""What leaves for other endpoints: parcels through their flows, questions after them, and what their reports bring
about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from broker.protocol import frames
from broker.protocol.actions import Action, Changed, Tell
from broker.protocol.flows import PROBE_S, UNANSWERED_MAX, OutFlow, Parcel
from broker.protocol.frames import Kind, Report
from broker.protocol.losses import Cause, Losses
from broker.protocol.member import Member
from broker.protocol.transit import Transit
from broker.status import MessagesRecovered

__all__ = ["Courier", "Fence"]

Fence = list[tuple[Member, OutFlow, int]]
"""Of flows: up to which message, exclusively."""

# After a change of the graph flows are asked after this: word of it takes a moment to be everywhere.
_CHANGE_S: Final = 0.05
# Who was given up because it did not answer, though it is there, is asked again this seldom: it may trust us by now.
_SELDOM_S: Final = 5.0


class Courier:
    """The outgoing flows of one endpoint.

    ``congestion`` is told of members to whom publishers have to wait, and of those to whom no longer.
    """

    def __init__(
        self,
        transit: Transit,
        losses: Losses,
        act: Callable[[Action], None],
        congestion: Callable[[Member], None],
    ) -> None:
        self._transit = transit
        self._losses = losses
        self._act = act
        self._congestion = congestion
        self._pending: dict[Member, None] = {}  # flows that may have something unreported
        self._silent: dict[Member, float] = {}  # who is given up though it is there: when it is asked again
        self._due = float("inf")
        self._now = 0.0
        self.recovered = 0  # messages told as lost that had arrived

    def send(self, members: Sequence[Member], parcel: Parcel) -> None:
        """Send a parcel to each of them, or keep it for those who have no room."""
        targets = []
        for member in members:
            flow = member.out
            sequence = flow.send(parcel)
            if sequence:
                targets.append((member, flow.number, sequence))
            elif flow.waiting:
                self._congestion(member)
            if member not in self._pending:
                self._pending[member] = None
                if self._now + PROBE_S < self._due:
                    self._due = self._now + PROBE_S
                    self._act(Changed())  # there is a deadline
        self._transit.send(parcel.kind, parcel.body, targets)

    def take_report(self, member: Member, number: int, report: Report, now: float) -> None:
        """Act on a report; raises Malformed when it tells of what was never sent."""
        flow = member.out
        if number != flow.number:
            return
        self._now = now
        if flow.away and member.reachable:  # it was given up because it did not answer
            self.come_back(member)
        outcome = flow.take_report(report)
        for sequence, parcel in outcome.send:
            self._transit.send(parcel.kind, parcel.body, ((member, number, sequence),))
        if outcome.recovered:
            self.recovered += outcome.recovered
            self._act(Tell(MessagesRecovered(member.name, outcome.recovered)))
        self._losses.add(member.name, "out", "away", "they passed while it was away", outcome.lost)
        self._losses.add(
            member.name, "out", "remote", "it dropped them: slow subscriptions, or its access rules", outcome.dropped
        )
        self._congestion(member)
        if not flow.pending:
            self._pending.pop(member, None)

    # -- questions -----------------------------------------------------------------------------------------------

    def _ask(self, member: Member, flow: OutFlow) -> None:
        self._transit.send(Kind.PROBE, frames.encode(flow.probe()), ((member, flow.number, 0),))

    def ask_all(self) -> None:
        """Ask everybody who has something unreported: the endpoint is about to close."""
        for member in self._pending:
            if member.out.pending and not member.out.away:
                self._ask(member, member.out)

    def fence(self) -> Fence:
        """Return what was sent and is not known to have arrived, and ask for word of it: see :meth:`has_passed`."""
        found = []
        for member in self._pending:
            flow = member.out
            if flow.pending and not flow.away:
                found.append((member, flow, flow.next_sequence + sum(parcel.messages for parcel in flow.waiting)))
                self._ask(member, flow)
        return found

    @staticmethod
    def has_passed(fence: Fence) -> bool:
        """Whether all of it has arrived, but for what was given up as lost."""
        return not any(member.out is flow and not flow.away and flow.lacks(end) for member, flow, end in fence)

    def ways_changed(self, now: float) -> None:
        """Ask soon: what was on its way may be lost."""
        soon = now + _CHANGE_S
        for member in self._pending:
            flow = member.out
            if not member.reachable:
                flow.unanswered = 0  # no wonder
            if flow.probe_at is None or soon < flow.probe_at:
                flow.probe_at = soon
        if self._pending:
            self._due = min(self._due, soon)

    def tick(self, now: float) -> None:
        """Ask where nothing was heard for a while."""
        self._now = now
        if now < self._due:
            return
        self._due = float("inf")
        for member in list(self._pending):
            flow = member.out
            if flow.away or not flow.pending:
                del self._pending[member]
            elif member.reachable:
                if flow.probe_at is None:
                    flow.probe_at = now + PROBE_S
                elif now >= flow.probe_at and self._is_silent(flow, now):
                    self.give_up(member, f"it answered none of {UNANSWERED_MAX} questions")
                    self._silent[member] = now + _SELDOM_S
                    continue
                elif now >= flow.probe_at:
                    if not flow.unanswered:
                        flow.asked_since = now
                    self._ask(member, flow)
                    flow.probe_at = now + PROBE_S
                self._due = min(self._due, flow.probe_at)
        self._ask_silent(now)

    @staticmethod
    def _is_silent(flow: OutFlow, now: float) -> bool:
        return flow.unanswered >= UNANSWERED_MAX and now >= flow.asked_since + UNANSWERED_MAX * PROBE_S

    def _ask_silent(self, now: float) -> None:
        for member, at in list(self._silent.items()):
            if not member.out.away or not member.reachable:
                del self._silent[member]  # it has answered; or when it can be reached again it is known
            elif now >= at:
                self._ask(member, member.out)
                self._silent[member] = now + _SELDOM_S
        if self._silent:
            self._due = min(self._due, *self._silent.values())

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return self._due

    # -- those who go and come back ------------------------------------------------------------------------------

    def give_up(self, member: Member, reason: str, cause: Cause = "unreachable") -> None:
        """Count what is for an endpoint that cannot be reached, instead of keeping it."""
        flow = member.out
        lost = flow.give_up()
        topics = (topic for _, parcel in flow.sent for topic, _ in parcel.topics)
        self._losses.add(member.name, "out", cause, reason, lost, topics)
        self._pending.pop(member, None)
        self._congestion(member)

    def come_back(self, member: Member) -> None:
        """Settle with an endpoint that was given up and is heard of again."""
        flow = member.out
        if flow.away:
            flow.come_back()
            if flow.sent:
                self._ask(member, flow)
        if flow.pending:
            self._pending[member] = None

    def forget(self, member: Member, reason: str) -> None:
        """Count what was for an endpoint that will not come back."""
        if member.out.away:
            self._losses.add(member.name, "out", "away", "they passed while it was away", member.out.passed)
        else:
            self.give_up(member, reason, "gone")
        self._silent.pop(member, None)

    def is_drained(self, members: Iterable[Member]) -> bool:
        """Whether all who can be reached have all that is for them."""
        return not any(member.reachable and member.out.pending and not member.out.away for member in members)
