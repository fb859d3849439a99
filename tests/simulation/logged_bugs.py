"""Bugs planted on purpose in log streams, one at a time: the checker has to catch each of them within a few lives.

It is long because it is a list.
"""

from __future__ import annotations

from typing import Any

import pytest
from logged_scenarios import Scenario
from planting import Plant, into, what_shows

from broker.logs import groups, serving
from broker.logs.chunks import Cutter
from broker.logs.collector import Collector
from broker.logs.groups import Group
from broker.logs.ranges import Ranges
from broker.logs.retention import Retention
from broker.logs.serving import Serving
from broker.logs.sessions import Session
from broker.logs.source import Source
from broker.logs.spool import Spool
from broker.logs.writer import Writer

__all__ = ["PLANTS", "SEEDS", "caught"]

SEEDS = (3000, 3007, 3001, 3003, 3022, 3002, 3008, *range(3009, 3012))  # first those that show most
PLANTS: dict[str, Plant] = {}
planted = into(PLANTS)


def caught(name: str) -> str:
    """Plant that bug, live, and return what gave it away; empty when nothing did."""
    return what_shows(PLANTS[name], SEEDS, lambda seed: Scenario(seed).run())


# -- the writer ------------------------------------------------------------------------------------------------------


@planted
def records_are_served_before_they_are_committed(patch: pytest.MonkeyPatch) -> None:
    made = Writer._made

    def eager(self: Writer, now: float, coming: int) -> Any:
        commit = made(self, now, coming)
        if self._under_way:
            self.durable = self._under_way[-1].first + len(self._under_way[-1].records) - 1
        return commit

    patch.setattr(Writer, "_made", eager)


@planted
def what_a_failed_commit_had_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    failed = Writer._failed

    def careless(self: Writer, error: Any, now: float) -> None:
        self._under_way = []
        failed(self, error, now)

    patch.setattr(Writer, "_failed", careless)


@planted
def what_a_failed_commit_had_comes_in_another_order(patch: pytest.MonkeyPatch) -> None:
    failed = Writer._failed

    def careless(self: Writer, error: Any, now: float) -> None:
        self._under_way.reverse()
        failed(self, error, now)

    patch.setattr(Writer, "_failed", careless)


@planted
def cursors_of_a_failed_commit_are_taken_for_written(patch: pytest.MonkeyPatch) -> None:
    failed = Writer._failed

    def careless(self: Writer, error: Any, now: float) -> None:
        self._written = []
        self.serving.committed()
        failed(self, error, now)

    patch.setattr(Writer, "_failed", careless)


@planted
def numbers_begin_anew_with_each_life(patch: pytest.MonkeyPatch) -> None:
    begin = Spool.begin_epoch

    def forgetful(self: Spool, mark: bytes, time_ns: int) -> Any:
        self.state.next = max(1, self.state.next - 1)
        return begin(self, mark, time_ns)

    patch.setattr(Spool, "begin_epoch", forgetful)


@planted
def commits_are_not_carried_on_with_at_the_next_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Writer, "wants_pump", property(lambda self: False))


# -- what is kept ----------------------------------------------------------------------------------------------------


@planted
def the_fastest_collector_decides_what_is_trimmed(patch: pytest.MonkeyPatch) -> None:
    watermark = property(lambda self: max((group.floor for group in self._groups.values()), default=0))
    patch.setattr(Retention, "watermark", watermark)


@planted
def what_is_not_done_yet_is_trimmed(patch: pytest.MonkeyPatch) -> None:
    def reached(self: Retention) -> int:
        return min((group.taken.last if group.taken else group.floor for group in self._groups.values()), default=0)

    patch.setattr(Retention, "watermark", property(reached))


@planted
def nothing_is_trimmed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Retention, "watermark", property(lambda self: 0))


@planted
def what_is_dropped_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    skip = Group.skip

    def discreet(self: Group, first: int, last: int) -> int:
        lost, before = self.lost, self.lost_before
        count = skip(self, first, last)
        self.lost, self.lost_before = lost, before
        return count

    patch.setattr(Group, "skip", discreet)


@planted
def a_journal_that_trims_in_steps_is_left_half_trimmed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Retention, "trimming", property(lambda self: False))


# -- who has what ----------------------------------------------------------------------------------------------------


@planted
def nobody_is_waited_for_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    loaded = Group.loaded.__func__  # type: ignore[attr-defined]

    def impatient(cls: type[Group], *arguments: Any) -> Group:
        group: Group = loaded(cls, *arguments)
        group.unknown = set()
        return group

    patch.setattr(Group, "loaded", classmethod(impatient))


@planted
def what_the_dead_had_is_not_marked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Group, "expire", Group._release)


@planted
def what_the_dead_had_is_lost(patch: pytest.MonkeyPatch) -> None:
    release = Group._release

    def careless(self: Group, member: bytes) -> None:
        if self.sessions and member not in self.sessions:
            for first, last in self.held.get(member, Ranges()):
                self.done.add(first, last)
            self.held.pop(member, None)
        release(self, member)

    patch.setattr(Group, "_release", careless)


@planted
def the_dead_keep_what_they_had(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Group, "tick", lambda self, now: False)
    patch.setattr(Group, "next_deadline", lambda self: float("inf"))


@planted
def the_lease_is_a_second(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(groups, "LEASE_S", 1.0)
    patch.setattr(serving, "LEASE_S", 1.0)


@planted
def a_record_goes_to_two_members(patch: pytest.MonkeyPatch) -> None:
    give = Group.give

    def generous(self: Group, session: Session, first: int, last: int) -> None:
        give(self, session, first, last)
        if len(self.sessions) > 1 and first % 5 == 0:
            self.taken.remove(first, first)
            self.held[session.holder.id].remove(first, first)

    patch.setattr(Group, "give", generous)


@planted
def who_asks_anew_is_given_everything_again(patch: pytest.MonkeyPatch) -> None:
    def deaf(self: Serving, group: Group, session: Session, collect: Any) -> list[Any]:
        return []

    patch.setattr(Serving, "_claims", deaf)


@planted
def who_asks_anew_keeps_what_was_on_its_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Group, "renounce", lambda self, session: None)


@planted
def what_a_member_hands_back_is_done(patch: pytest.MonkeyPatch) -> None:
    leave = Group.leave

    def hasty(self: Group, session: Session, begun: Any) -> None:
        for first, last in list(self.held.get(session.holder.id, ())):
            self.acknowledge(session, first, last)
        leave(self, session, begun)

    patch.setattr(Group, "leave", hasty)


@planted
def what_a_member_had_begun_is_not_marked_when_it_leaves(patch: pytest.MonkeyPatch) -> None:
    leave = Group.leave
    patch.setattr(Group, "leave", lambda self, session, begun: leave(self, session, ()))


@planted
def a_member_gets_records_before_it_is_written_down(patch: pytest.MonkeyPatch) -> None:
    join = Group.join

    def eager(self: Group, session: Session) -> None:
        join(self, session)
        session.active = True

    patch.setattr(Group, "join", eager)
    patch.setattr(Group, "cursor", _without_holders(Group.cursor))


def _without_holders(cursor: Any) -> Any:
    def forgetful(self: Group) -> Any:
        kept = cursor(self)
        kept.holders = ()
        return kept

    return forgetful


# -- what they say ---------------------------------------------------------------------------------------------------


@planted
def acknowledgements_are_confirmed_before_they_are_written_down(patch: pytest.MonkeyPatch) -> None:
    acknowledge = Serving._acknowledge

    def hasty(self: Serving, member: Any, word: Any, now: float) -> None:
        acknowledge(self, member, word, now)
        pair = self._sessions.get((member.id, word.serial))
        if pair is not None:
            pair[0].confirm(word.number)

    patch.setattr(Serving, "_acknowledge", hasty)


@planted
def all_that_was_sent_is_acknowledged(patch: pytest.MonkeyPatch) -> None:
    receive = Session.receive

    def hasty(self: Session, word: Any, now: float) -> bool:
        self._unreceived.clear()
        return receive(self, word, now)

    patch.setattr(Session, "receive", hasty)


@planted
def what_is_lost_on_the_way_is_not_missed(patch: pytest.MonkeyPatch) -> None:
    takes = Source.takes

    def careless(self: Source, sequence: int, now: float) -> bool:
        if self.state == "following" and sequence > self.received:
            self.received = sequence - 1
        return takes(self, sequence, now)

    patch.setattr(Source, "takes", careless)


@planted
def frames_that_come_twice_are_taken_twice(patch: pytest.MonkeyPatch) -> None:
    takes = Source.takes

    def careless(self: Source, sequence: int, now: float) -> bool:
        return takes(self, sequence, now) or (self.state == "following" and sequence <= self.received)

    patch.setattr(Source, "takes", careless)


@planted
def frames_of_a_former_session_are_taken(patch: pytest.MonkeyPatch) -> None:
    from broker.logs.logs import Logs

    patch.setattr(Logs, "over", lambda self, serial: None)


# -- the collector ---------------------------------------------------------------------------------------------------


@planted
def a_record_counts_as_done_when_it_comes(patch: pytest.MonkeyPatch) -> None:
    hold = Source.hold

    def hasty(self: Source, key: Any, first: int, last: int, now: float) -> None:
        hold(self, key, first, last, now)
        if first % 7 == 0:
            self.queued[key].remove(first, last)
            self.finish(key, first, last, now)

    patch.setattr(Source, "hold", hasty)


@planted
def what_is_not_ours_any_more_is_given_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Source, "give_out", lambda self, key, serial, first, last: [(first, last)])


@planted
def a_checkpoint_has_not_what_is_in_the_database(patch: pytest.MonkeyPatch) -> None:
    checkpoint = Collector.checkpoint
    patch.setattr(Collector, "checkpoint", lambda self, through=(): checkpoint(self))


@planted
def a_checkpoint_is_another_member(patch: pytest.MonkeyPatch) -> None:
    begin = Collector.__init__

    def renamed(self: Collector, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        self.member = named["member"]
        self._known = {}

    patch.setattr(Collector, "__init__", renamed)


@planted
def who_comes_back_does_not_say_what_is_done(patch: pytest.MonkeyPatch) -> None:
    follow = Source.follow

    def forgetful(self: Source, answer: Any, now: float, *, remembered: bool) -> None:
        follow(self, answer, now, remembered=remembered)
        self._fresh = []
        self.done.clear()

    patch.setattr(Source, "follow", forgetful)
    patch.setattr(Source, "claims", _without_done(Source.claims))


def _without_done(claims: Any) -> Any:
    def forgetful(self: Source, *, held: bool = False) -> Any:
        return claims(self, held=held) if not held else tuple(c for c in claims(self, held=True) if c.held)

    return forgetful


@planted
def a_writer_with_another_spool_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    find = Collector.find

    def stubborn(self: Collector, writers: Any, now: float) -> None:
        known = {source.member.name: journal for journal, source in self.sources.items()}
        find(self, [one for one in writers if known.get(one[0].name, one[1]) == one[1]], now)

    patch.setattr(Collector, "find", stubborn)


@planted
def half_a_chunk_is_cut_off(patch: pytest.MonkeyPatch) -> None:
    cut = Cutter.cut
    patch.setattr(
        Cutter, "cut", lambda self, key, chunk, first, last: cut(self, key, chunk, first, max(first, last - 1))
    )
