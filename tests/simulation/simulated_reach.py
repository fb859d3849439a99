"""What lives reach: counted, so that it is seen when a change makes them harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from broker.protocol.courier import Courier
from broker.protocol.delivery import Delivering
from broker.protocol.flows import InFlow, OutFlow
from broker.protocol.frames import Header, Kind
from broker.protocol.handshake import Handshake
from broker.protocol.interests import Interests
from broker.protocol.link import Link
from broker.protocol.members import Members
from broker.protocol.peerings import Peerings
from broker.protocol.subscriptions import Subscription
from broker.protocol.transit import Transit

__all__ = ["LEAST", "Counting", "counting", "look"]

# How often the ordinary lives have to reach each of these at least: about a tenth of what they do.
LEAST: dict[str, int] = {
    "LOST taken": 1000,
    "dial race resolved": 30,
    "drop_newest": 10_000,
    "drop_oldest": 10_000,
    "frame dropped that had come before": 500,
    "frame relayed": 30_000,
    "frames sent again over another wire": 700,
    "gap left by a dead publisher": 1,
    "interests sent whole": 800,
    "interests taken": 10_000,
    "member has left": 70,
    "member replaced": 300,
    "message counted for somebody away": 2000,
    "message not sent because of a predicate": 4000,
    "message recovered": 10,
    "messages given up": 200,
    "name or link probed": 500,
    "no room": 100,
    "parcel ahead of its turn": 900,
    "parcel dropped that had come before": 1500,
    "parcel sent again": 200,
    "peer replaced": 150,
    "publisher blocked": 2500,
    "publisher held": 40_000,
    "publisher released": 3000,
    "question asked": 4000,
    "receiver back": 120,
    "receiver given up": 700,
    "session given up": 100,
    "silence noticed": 400,
    "stalled": 900,
    "ttl used up": 2,
    "way changed": 3500,
    "window full": 140,
}


class Counting:
    """Wraps methods so that they count what they are called for."""

    def __init__(self, patch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
        self.patch = patch
        self.counts = counts

    def calls(self, kind: Any, name: str, what: str, when: Callable[..., Any] = lambda *_, **__: True) -> None:
        """Count the calls for which ``when`` holds beforehand."""
        original = getattr(kind, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if when(*arguments, **named):
                self.counts[what] += 1
            return original(*arguments, **named)

        self.patch.setattr(kind, name, wrapped)

    def results(self, kind: Any, name: str, look: Callable[..., str | None]) -> None:
        """Count what ``look`` makes of the result and the arguments."""
        original = getattr(kind, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            what = look(result, *arguments)
            if what is not None:
                self.counts[what] += 1
            return result

        self.patch.setattr(kind, name, wrapped)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what happens inside all nodes."""
    counts: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        wrap = Counting(patch, counts)
        _count_links(wrap)
        _count_flows(wrap)
        _count_mesh(wrap)
        _count_subscriptions(wrap)
        yield counts


def look(scenario: Any, counts: Counter[str]) -> None:
    """Count what a life has come to."""
    counts["publisher blocked"] += scenario.world.blocked
    filtered = [program.endpoint.node.exchange.filtered for program in scenario.world.lives]
    counts["message not sent because of a predicate"] += sum(filtered)
    counts.update({f"fault: {kind}": count for kind, count in scenario.faults.counts.items()})


def _count_links(wrap: Counting) -> None:
    def dropped(new: bool, link: Link, header: Header, payload_bytes: int) -> str | None:
        return None if new else "frame dropped that had come before"

    def held(sent: list[bytes], link: Link) -> str | None:
        return "window full" if link.wire is not None and link.waiting else None

    def resent(again: list[bytes], *_: object) -> str | None:
        return "frames sent again over another wire" if again else None

    wrap.results(Link, "receive", dropped)
    wrap.results(Link, "pump", held)
    wrap.results(Link, "resume", resent)
    wrap.calls(Handshake, "_switch", "dial race resolved")
    wrap.calls(Peerings, "probe", "name or link probed")
    wrap.calls(Peerings, "end", "session given up", lambda _, link, code, reason: code in ("cut", "silent"))
    wrap.calls(Peerings, "end", "peer replaced", lambda _, link, code, reason: code == "replaced")
    wrap.calls(Peerings, "_lose_wire", "silence noticed", lambda _, wire, code, *rest: code == "silent" and wire.link)


def _count_flows(wrap: Counting) -> None:
    def judged(now: bool, flow: InFlow, sequence: int, *_: object) -> str | None:
        if sequence in flow.early:
            return "parcel ahead of its turn"
        return "parcel dropped that had come before" if not now and sequence < flow.expected else None

    def sent(sequence: int, flow: OutFlow, *_: object) -> str | None:
        if not sequence and not flow.away:
            return "no room"
        return "message counted for somebody away" if flow.away else None

    def reported(outcome: Any, flow: OutFlow, report: Any) -> str | None:
        if outcome.recovered:
            return "message recovered"
        return "parcel sent again" if report.answers and outcome.send else None

    wrap.results(InFlow, "judge", judged)
    wrap.results(OutFlow, "send", sent)
    wrap.results(OutFlow, "take_report", reported)
    wrap.calls(OutFlow, "give_up", "receiver given up")
    wrap.calls(OutFlow, "give_up", "messages given up", lambda flow: flow.unreported)
    wrap.calls(OutFlow, "come_back", "receiver back")
    wrap.calls(InFlow, "skip_gap", "gap left by a dead publisher")
    wrap.calls(Delivering, "_act_on", "LOST taken", lambda _, member, flow, kind, body: kind == Kind.LOST)
    wrap.calls(Courier, "_ask", "question asked")


def _count_mesh(wrap: Counting) -> None:
    original = Members.compute

    def computing(members: Members, now: float) -> None:
        before = {member: member.hop for member in members.members.values()}
        original(members, now)
        for member, hop in before.items():
            if hop is not None and member.hop is not None and member.hop is not hop:
                wrap.counts["way changed"] += 1

    wrap.patch.setattr(Members, "compute", computing)
    pass_on = Transit._pass_on

    def passing(transit: Transit, header: Header, *rest: Any) -> None:
        relayed, dropped = transit.relayed, transit.dropped
        pass_on(transit, header, *rest)
        wrap.counts["frame relayed"] += transit.relayed - relayed
        wrap.counts["ttl used up"] += (transit.dropped - dropped) * (header.ttl == 1)

    wrap.patch.setattr(Transit, "_pass_on", passing)
    wrap.calls(Members, "forget", "member has left", lambda _, member, reason: "left" in reason)
    wrap.calls(Members, "forget", "member replaced", lambda _, member, reason: "replaced" in reason)
    wrap.calls(Interests, "send_all", "interests sent whole")
    wrap.calls(Interests, "take", "interests taken")


def _count_subscriptions(wrap: Counting) -> None:
    def pushed(dropped: int, subscription: Subscription, *_: object) -> str | None:
        if not dropped:
            return None
        return "stalled" if subscription.stalled else subscription.overflow

    wrap.results(Subscription, "push", pushed)
    wrap.calls(InFlow, "hold", "publisher held")
    wrap.calls(InFlow, "release", "publisher released")
