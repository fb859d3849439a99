"""Bugs planted on purpose, one at a time: the checker has to catch each of them within a few lives.

It is long because it is a list.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest
from planting import Plant, into, what_shows
from simulated_scenarios import Scenario

from broker.messages import Message
from broker.node import Node
from broker.protocol.addresses import Address, address_of
from broker.protocol.flows import InFlow, Outcome, OutFlow, Parcel
from broker.protocol.frames import HEADER_BYTES, Header, Kind, Report, Run, Sync
from broker.protocol.interests import Interests
from broker.protocol.link import Link, OutFrame
from broker.protocol.member import Member
from broker.protocol.members import Members
from broker.protocol.outbox import Outbox, PendingRun
from broker.protocol.peerings import Peerings
from broker.protocol.predicates import Fork
from broker.protocol.routes import Lane, Routes
from broker.protocol.subscriptions import Delivery, Subscription
from broker.protocol.transit import Transit
from broker.protocol.wires import Peering

__all__ = ["PLANTS", "SEEDS", "caught"]

FIRST = (2000, 2011, 2016, 2017, 2008, 2001, 2002)  # those that show most, or what others do not
SEEDS = (*FIRST, *(seed for seed in range(2000, 2025) if seed not in FIRST))
PLANTS: dict[str, Plant] = {}
planted = into(PLANTS)


def caught(name: str) -> str:
    """Plant that bug, live, and return what gave it away; empty when nothing did."""
    return what_shows(PLANTS[name], SEEDS, lambda seed: Scenario(seed).run())


# -- links -----------------------------------------------------------------------------------------------------------


@planted
def resuming_is_off_by_one(patch: pytest.MonkeyPatch) -> None:
    resume = Link.resume
    patch.setattr(Link, "resume", lambda self, wire, received: resume(self, wire, received)[1:])


@planted
def nothing_is_sent_again_and_gaps_are_accepted(patch: pytest.MonkeyPatch) -> None:
    resume, receive = Link.resume, Link.receive

    def careless(self: Link, header: Header, payload_bytes: int) -> bool:
        if header.kind >= Kind.SYNC:
            self.received = max(self.received, header.sequence - 1)
        return receive(self, header, payload_bytes)

    patch.setattr(Link, "receive", careless)
    patch.setattr(Link, "resume", lambda self, wire, received: resume(self, wire, received)[:0])


@planted
def a_lost_wire_is_not_dialled_again(patch: pytest.MonkeyPatch) -> None:
    retry = Peerings.retry

    def resigned(self: Peerings, peering: Peering, *arguments: Any, **named: Any) -> None:
        retry(self, peering, *arguments, **named)
        peering.final = peering.final or peering.linked_once
        peering.dial_at = None if peering.linked_once else peering.dial_at

    patch.setattr(Peerings, "retry", resigned)


@planted
def a_switched_session_forgets_what_waited(patch: pytest.MonkeyPatch) -> None:
    rebase = Link.rebase

    def forgetful(self: Link, session: bytes) -> None:
        self.sent.clear()
        rebase(self, session)

    patch.setattr(Link, "rebase", forgetful)


# -- flows -----------------------------------------------------------------------------------------------------------


@planted
def it_acknowledges_before_it_delivers(patch: pytest.MonkeyPatch) -> None:
    report = InFlow.report

    def eager(self: InFlow) -> Report:
        honest = report(self)
        early = max(self.early, default=0)
        return Report(honest.serial, max(honest.received, early), honest.room, honest.dropped, honest.answers)

    patch.setattr(InFlow, "report", eager)


@planted
def parcels_are_taken_twice(patch: pytest.MonkeyPatch) -> None:
    judge = InFlow.judge

    def greedy(self: InFlow, sequence: int, kind: int, body: bytes) -> bool:
        return judge(self, sequence, kind, body) or (kind == Kind.EVENTS and sequence < self.expected)

    patch.setattr(InFlow, "judge", greedy)


@planted
def parcels_are_taken_out_of_turn(patch: pytest.MonkeyPatch) -> None:
    judge = InFlow.judge

    def impatient(self: InFlow, sequence: int, kind: int, body: bytes) -> bool:
        self.expected = max(self.expected, sequence)
        return judge(self, sequence, kind, body)

    patch.setattr(InFlow, "judge", impatient)


@planted
def what_is_missing_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    take = OutFlow.take_report

    def lazy(self: OutFlow, report: Report) -> Outcome:
        unasked = Report(report.serial, report.received, report.room, report.dropped, 0)
        return take(self, unasked)

    patch.setattr(OutFlow, "take_report", lazy)


@planted
def sending_again_leaves_the_first_out(patch: pytest.MonkeyPatch) -> None:
    take = OutFlow.take_report

    def off_by_one(self: OutFlow, report: Report) -> Outcome:
        outcome = take(self, report)
        if report.answers and len(outcome.send) > 1:
            del outcome.send[0]
        return outcome

    patch.setattr(OutFlow, "take_report", off_by_one)


@planted
def room_is_ignored(patch: pytest.MonkeyPatch) -> None:
    send = OutFlow.send

    def spendthrift(self: OutFlow, parcel: Parcel) -> int:
        self.room = 1 << 40
        return send(self, parcel)

    patch.setattr(OutFlow, "send", spendthrift)


@planted
def room_leaks_away(patch: pytest.MonkeyPatch) -> None:
    number = OutFlow._number

    def leaking(self: OutFlow, parcel: Parcel) -> int:
        self._outstanding += parcel.charge // 4 + 20_000
        return number(self, parcel)

    patch.setattr(OutFlow, "_number", leaking)


@planted
def a_drained_queue_tells_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InFlow, "release", lambda self, queue: None)


@planted
def full_queues_hold_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InFlow, "hold", lambda self, queue: None)


# -- losses ----------------------------------------------------------------------------------------------------------


@planted
def losses_are_counted_one_too_few(patch: pytest.MonkeyPatch) -> None:
    give_up = OutFlow.give_up
    patch.setattr(OutFlow, "give_up", lambda self: max(0, give_up(self) - 1))


@planted
def who_comes_back_is_told_nothing(patch: pytest.MonkeyPatch) -> None:
    give_up = OutFlow.give_up

    def silent(self: OutFlow) -> int:
        lost = give_up(self)
        self.sent = deque()
        return lost

    patch.setattr(OutFlow, "give_up", silent)


@planted
def what_had_arrived_stays_lost(patch: pytest.MonkeyPatch) -> None:
    forget = OutFlow._forget_until

    def blind(self: OutFlow, received: int) -> int:
        forget(self, received)
        return 0

    patch.setattr(OutFlow, "_forget_until", blind)


@planted
def what_passes_an_absent_one_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    come_back = OutFlow.come_back

    def careless(self: OutFlow) -> None:
        self.next_sequence -= self._passing.total()
        self._passing = Counter()
        come_back(self)

    patch.setattr(OutFlow, "come_back", careless)


@planted
def a_subscription_does_not_hear_of_losses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Subscription, "lose", lambda self, count: None)


@planted
def the_oldest_is_dropped_uncounted(patch: pytest.MonkeyPatch) -> None:
    push = Subscription.push

    def uncounted(self: Subscription, *what: Any) -> int:
        dropped = push(self, *what)
        if dropped and self.overflow == "drop_oldest" and self._queue:
            self._queue[0].lost_before -= 1
        return dropped

    patch.setattr(Subscription, "push", uncounted)


@planted
def the_publisher_does_not_hear_of_drops(patch: pytest.MonkeyPatch) -> None:
    report = InFlow.report

    def discreet(self: InFlow) -> Report:
        honest = report(self)
        return Report(honest.serial, honest.received, honest.room, 0, honest.answers)

    patch.setattr(InFlow, "report", discreet)


# -- the mesh --------------------------------------------------------------------------------------------------------


@planted
def the_ttl_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    pass_on = Transit._pass_on

    def for_ever(self: Transit, header: Header, *rest: Any) -> None:
        pass_on(self, header._replace(ttl=header.ttl + 1), *rest)

    patch.setattr(Transit, "_pass_on", for_ever)


@planted
def a_relay_forgets_a_branch(patch: pytest.MonkeyPatch) -> None:
    pass_on = Transit._pass_on

    def one_way(self: Transit, header: Header, address: Address, frame: bytes, by_hop: Any) -> None:
        pass_on(self, header, address, frame, dict(list(by_hop.items())[:1]))

    # End to end it is noticed and mended; so let what is sent again be forgotten, too.
    patch.setattr(Transit, "_pass_on", one_way)
    what_is_missing_is_not_sent_again(patch)


@planted
def a_relay_sends_all_to_every_branch(patch: pytest.MonkeyPatch) -> None:
    def flooding(self: Transit, header: Header, address: Address, frame: bytes, by_hop: Any) -> None:
        everybody = [raw for entries in by_hop.values() for raw in entries]
        body = frame[HEADER_BYTES + address.size :]
        for hop in by_hop:
            hop.send(OutFrame(header.kind, body, address_of(address.origin, everybody), header.ttl - 1))
            self.touched[hop] = None

    patch.setattr(Transit, "_pass_on", flooding)
    parcels_are_taken_twice(patch)  # which otherwise hides it


@planted
def ways_lead_through_leaves(patch: pytest.MonkeyPatch) -> None:
    take = Members.take

    def blind(self: Members, link: Link, payload: bytes, now: float) -> None:
        take(self, link, payload, now)
        for member in self.members.values():
            member.forward = True

    patch.setattr(Members, "take", blind)


@planted
def interests_are_not_passed_on(patch: pytest.MonkeyPatch) -> None:
    flood = Members.flood

    def selfish(self: Members, kind: Kind, payload: bytes, source: Link | None) -> None:
        if kind != Kind.INTERESTS or source is None:
            flood(self, kind, payload, source)

    patch.setattr(Members, "flood", selfish)


@planted
def a_new_peer_is_told_only_of_ourselves(patch: pytest.MonkeyPatch) -> None:
    newer = Members.newer_than

    def curt(self: Members, sync: Sync) -> tuple[list[Member], list[Member]]:
        members, interested = newer(self, sync)
        return [m for m in members if m is self.own], [m for m in interested if m is self.own]

    patch.setattr(Members, "newer_than", curt)


@planted
def one_interest_of_many_is_not_announced(patch: pytest.MonkeyPatch) -> None:
    send_all = Interests.send_all

    def forgetful(self: Interests, link: Link, member: Member) -> None:
        wanted = set(member.interests)
        member.interests = set(sorted(wanted, key=lambda interest: interest.prefix)[1:])
        send_all(self, link, member)
        member.interests = wanted

    patch.setattr(Interests, "send_all", forgetful)


@planted
def a_subscription_does_not_wait_to_be_known(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Node, "is_announced", lambda self, subscription: True)


@planted
def who_has_left_is_not_told_of(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Members, "_graph_changed", lambda self, now: None)


# -- events ----------------------------------------------------------------------------------------------------------


@planted
def names_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    def everything(self: Routes, topic: str, name: str) -> Lane:
        members = tuple({member: None for member, _ in self._remote.match(topic)})
        local = tuple(subscription for subscription, _ in self._local.match(topic))
        return Lane(name, members, local, bool(members or local))

    patch.setattr(Routes, "_lane", everything)


@planted
def a_batch_is_turned_round(patch: pytest.MonkeyPatch) -> None:
    flush = Outbox.flush

    def backwards(self: Outbox) -> Any:
        self.runs.reverse()
        return flush(self)

    patch.setattr(Outbox, "flush", backwards)


@planted
def topics_of_a_run_are_confused(patch: pytest.MonkeyPatch) -> None:
    seal = PendingRun.seal

    def confused(self: PendingRun) -> list[Run]:
        return [Run(run.topics[::-1], run.name, run.count, run.which, run.body) for run in seal(self)]

    patch.setattr(PendingRun, "seal", confused)


@planted
def runs_of_several_topics_lose_their_order(patch: pytest.MonkeyPatch) -> None:
    messages = Delivery.messages

    def by_topic(self: Delivery, wanted: frozenset[int] | None) -> list[Message]:
        return sorted(messages(self, wanted), key=lambda message: message.topic)

    patch.setattr(Delivery, "messages", by_topic)


@planted
def a_run_loses_its_last_event(patch: pytest.MonkeyPatch) -> None:
    take = Subscription.take

    def short(self: Subscription) -> list[Message] | None:
        taken = take(self)
        return taken[:-1] if taken is not None and len(taken) > 20 else taken

    patch.setattr(Subscription, "take", short)


@planted
def a_subscription_does_not_ask_its_predicate_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Subscription, "sift", lambda self, delivery, wanted: None)


@planted
def who_has_no_predicate_is_forgotten_where_others_have_one(patch: pytest.MonkeyPatch) -> None:
    chosen = Fork.chosen

    def asked(self: Fork, answer: int) -> tuple[tuple[Member, ...], tuple[Subscription, ...]]:
        members, local = chosen(self, answer)
        without = {member for member, bits in self.members if not bits}
        return tuple([member for member in members if member not in without]), local

    patch.setattr(Fork, "chosen", asked)
