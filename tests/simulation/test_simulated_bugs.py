"""The simulation's own test: bugs planted on purpose have to be caught within a few seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from simulated_promises import Broken
from simulated_scenarios import run_scenario

from broker.messages import Message
from broker.node import Node
from broker.protocol.exchange import Exchange
from broker.protocol.frames import Header, Kind, Run
from broker.protocol.link import Link, OutFrame
from broker.protocol.outbox import Outbox, PendingRun
from broker.protocol.peerings import Peerings
from broker.protocol.routes import Lane, Routes
from broker.protocol.subscriptions import Delivery, Subscription
from broker.protocol.wires import Peering

SEEDS = range(2000, 2025)
Plant = Callable[[pytest.MonkeyPatch], None]


def duplicates_are_taken(patch: pytest.MonkeyPatch) -> None:
    receive, resume = Link.receive, Link.resume
    patch.setattr(Link, "receive", lambda self, *frame: receive(self, *frame) or frame[0].kind == Kind.EVENTS)
    # And one of them is sent: the last frame that the peer said it had.
    patch.setattr(Link, "resume", lambda self, wire, received, credit: resume(self, wire, max(0, received - 1), credit))


def nothing_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    resume = Link.resume

    def forgetful(self: Link, wire: int, received: int, credit: int) -> list[bytes]:
        again = resume(self, wire, received, credit)
        return again[1:]

    patch.setattr(Link, "resume", forgetful)


def gaps_are_accepted(patch: pytest.MonkeyPatch) -> None:
    nothing_is_sent_again(patch)
    receive = Link.receive

    def careless(self: Link, header: Header, payload_bytes: int) -> bool:
        if header.kind >= Kind.INTERESTS:
            self.received = max(self.received, header.sequence - 1)
        return receive(self, header, payload_bytes)

    patch.setattr(Link, "receive", careless)


def losses_are_counted_one_too_few(patch: pytest.MonkeyPatch) -> None:
    end = Link.end
    patch.setattr(Link, "end", lambda self: max(0, end(self) - 1))


def credit_is_ignored(patch: pytest.MonkeyPatch) -> None:
    pump = Link.pump

    def spendthrift(self: Link) -> list[bytes]:
        self._credit += 1 << 40
        return pump(self)

    patch.setattr(Link, "pump", spendthrift)


def full_queues_hold_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Link, "hold", lambda self, queue: None)


def a_drained_queue_tells_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Node, "drained", lambda self, subscription: None)


def a_batch_is_turned_round(patch: pytest.MonkeyPatch) -> None:
    flush = Outbox.flush

    def backwards(self: Outbox) -> Any:
        self.runs.reverse()
        return flush(self)

    patch.setattr(Outbox, "flush", backwards)


def runs_of_several_topics_lose_their_order(patch: pytest.MonkeyPatch) -> None:
    messages = Delivery.messages

    def sorted_by_topic(self: Delivery, wanted: frozenset[int] | None) -> list[Message]:
        return sorted(messages(self, wanted), key=lambda message: message.topic)

    patch.setattr(Delivery, "messages", sorted_by_topic)


def a_run_loses_its_last_event(patch: pytest.MonkeyPatch) -> None:
    take = Subscription.take

    def short(self: Subscription) -> list[Message] | None:
        taken = take(self)
        return taken[:-1] if taken is not None and len(taken) > 20 else taken

    patch.setattr(Subscription, "take", short)


def names_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    def everything(self: Routes, topic: str, name: str) -> Lane:
        links = tuple({link: None for link, _ in self._remote.match(topic)})
        local = tuple(subscription for subscription, _ in self._local.match(topic))
        return Lane(name, links, local, bool(links or local))

    patch.setattr(Routes, "_lane", everything)


def a_subscription_does_not_wait_for_its_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Node, "is_announced", lambda self, subscription: True)


def one_interest_of_many_is_not_announced(patch: pytest.MonkeyPatch) -> None:
    send = Node._send_interests

    def forgetful(self: Node, links: list[Link], reset: bool, added: Any, removed: Any) -> Any:
        return send(self, links, reset, tuple(added)[: 2 if reset else 1], removed)

    patch.setattr(Node, "_send_interests", forgetful)


def a_lost_wire_is_not_dialled_again(patch: pytest.MonkeyPatch) -> None:
    retry = Peerings.retry

    def resigned(self: Peerings, peering: Peering, *arguments: Any, **named: Any) -> None:
        retry(self, peering, *arguments, **named)
        peering.final = peering.final or peering.linked_once
        peering.dial_at = None if peering.linked_once else peering.dial_at

    patch.setattr(Peerings, "retry", resigned)


def a_switched_session_forgets_what_waited(patch: pytest.MonkeyPatch) -> None:
    rebase = Link.rebase

    def forgetful(self: Link, session: bytes) -> None:
        self.sent.clear()
        rebase(self, session)

    patch.setattr(Link, "rebase", forgetful)


def frames_of_an_ended_link_are_kept(patch: pytest.MonkeyPatch) -> None:
    flush = Exchange.flush

    def deaf(self: Exchange) -> list[Link]:
        return [link for link in flush(self) if not link.ended and len(link.waiting) < 2]

    send = Link.send

    def twice(self: Link, frame: OutFrame) -> None:
        send(self, frame)
        if frame.messages == 1:
            send(self, OutFrame(frame.kind, frame.payload, frame.messages, frame.ttl))

    patch.setattr(Exchange, "flush", deaf)
    patch.setattr(Link, "send", twice)


def peers_are_told_of_too_early(patch: pytest.MonkeyPatch) -> None:
    def early(self: Node, link: Link) -> None:
        first = self._first_interests.get(link)
        if first is not None:
            link.peer_interests_version = link.peer_interests_version or 1
            first.sequence = 0
            link.added = True

    patch.setattr(Node, "_check_added", early)


def topics_of_a_run_are_confused(patch: pytest.MonkeyPatch) -> None:
    seal = PendingRun.seal

    def confused(self: PendingRun) -> list[Run]:
        return [
            Run(run.topics[::-1], *(getattr(run, name) for name in Run.__struct_fields__[1:])) for run in seal(self)
        ]

    patch.setattr(PendingRun, "seal", confused)


def run_all() -> None:
    for seed in SEEDS:
        run_scenario(seed)


BUGS: list[Plant] = [
    duplicates_are_taken,
    nothing_is_sent_again,
    gaps_are_accepted,
    losses_are_counted_one_too_few,
    credit_is_ignored,
    full_queues_hold_nobody,
    a_drained_queue_tells_nobody,
    a_batch_is_turned_round,
    runs_of_several_topics_lose_their_order,
    a_run_loses_its_last_event,
    names_are_not_looked_at,
    a_subscription_does_not_wait_for_its_acknowledgement,
    one_interest_of_many_is_not_announced,
    a_lost_wire_is_not_dialled_again,
    a_switched_session_forgets_what_waited,
    frames_of_an_ended_link_are_kept,
    peers_are_told_of_too_early,
    topics_of_a_run_are_confused,
]


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken, match="replay: SIMULATION_SEEDS="):
        run_all()
