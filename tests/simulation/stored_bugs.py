"""Bugs planted on purpose in stores, one at a time: the checker has to catch each of them within a few lives.

It is long because it is a list.
"""

from __future__ import annotations

from typing import Any

import pytest
from planting import Plant, into, what_shows
from stored_scenarios import Scenario

from broker.errors import Malformed, MasterUnavailable
from broker.journaling import MemoryJournal
from broker.stores import changes, clone, forwarding, wire
from broker.stores.clone import Clone
from broker.stores.contents import Contents
from broker.stores.deciding import Decider
from broker.stores.draft import Draft
from broker.stores.entries import ENTRIES, WRITERS
from broker.stores.followers import Followers
from broker.stores.forwarding import Forwarding
from broker.stores.master import Master
from broker.stores.operations import Pop, Put, decode_body
from broker.stores.requests import Request
from broker.stores.stores import Stores
from broker.stores.wire import Applied, Operations
from broker.stores.writers import Taken, Writers

__all__ = ["PLANTS", "SEEDS", "caught"]

SEEDS = (2019, 2011, 2007, 2003, 3075, 3142, *range(2000, 2016))  # first those that show most
PLANTS: dict[str, Plant] = {}
planted = into(PLANTS)


def caught(name: str) -> str:
    """Plant that bug, live, and return what gave it away; empty when nothing did."""
    return what_shows(PLANTS[name], SEEDS, lambda seed: Scenario(seed).run())


# -- following -------------------------------------------------------------------------------------------------------


@planted
def a_clone_skips_what_is_missing(patch: pytest.MonkeyPatch) -> None:
    take = Clone._take_operations

    def careless(self: Clone, body: bytes, now: float) -> None:
        operations = wire.decode(Operations, body)
        if self._loading is None and operations.after > self._received:
            for record in operations.bodies:
                decoded = decode_body(record).operations
                for place, operation in enumerate(decoded):
                    try:
                        self._draft.apply(operation, place)
                    except Malformed:
                        return
                self._draft.append(record, decoded)
            return
        take(self, body, now)

    patch.setattr(Clone, "_take_operations", careless)


@planted
def checksums_of_records_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    follow = Followers.follow

    def trusting(self: Followers, member: Any, asked: Any, now: float) -> None:
        journal = self._journal
        compare = journal.checksum_at
        if asked.have is not None and asked.have.journal == journal.position.journal:
            have = asked.have
            journal.checksum_at = lambda sequence: have.checksum if compare(sequence) else None  # type: ignore[method-assign]
            try:
                follow(self, member, asked, now)
            finally:
                del journal.checksum_at
        else:
            follow(self, member, asked, now)

    def apply(self: Clone, bodies: list[bytes], _checksum: bytes) -> None:
        for body in bodies:
            operations = decode_body(body).operations
            for place, operation in enumerate(operations):
                self._draft.apply(operation, place)
            self._draft.append(body, operations)

    patch.setattr(Followers, "follow", trusting)
    patch.setattr(Clone, "_apply", apply)


@planted
def what_is_lost_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Followers, "_send_again", lambda self, follower, applied, now: None)


@planted
def nobody_tells_where_the_log_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Followers, "_give_sign", lambda self, follower, now: None)


@planted
def a_fork_is_not_told(patch: pytest.MonkeyPatch) -> None:
    begin = Clone._begin

    def discreet(self: Clone, followed: Any, now: float) -> None:
        have, self._have = self._have, None
        begin(self, followed, now)
        self._have = have

    patch.setattr(Clone, "_begin", discreet)


@planted
def records_that_come_during_a_swap_are_forgotten_for_ever(patch: pytest.MonkeyPatch) -> None:
    swapped = Clone._swapped

    def forgetful(self: Clone) -> None:
        self._held.clear()
        swapped(self)
        self._heard = float("inf")

    patch.setattr(Clone, "_swapped", forgetful)
    patch.setattr(Clone, "_tell_lost", lambda self, now: None)


@planted
def a_trimmed_log_is_gone_on_with_where_it_begins(patch: pytest.MonkeyPatch) -> None:
    def blind(self: Followers, follower: Any, _now: float) -> None:
        follower.cursor = self._journal.first - 1

    patch.setattr(Followers, "_restart", blind)
    patch.setattr(Clone, "_due", lambda self: self._ask_at)


# -- snapshots -------------------------------------------------------------------------------------------------------


@planted
def half_a_snapshot_is_shown(patch: pytest.MonkeyPatch) -> None:
    take = Clone._take_chunk

    def eager(self: Clone, chunk: Any, now: float) -> None:
        if self._loading is not None and chunk.rows and not chunk.final and chunk.number == 1:
            for table, key, row in chunk.rows:
                self.journal._tables[table][key] = row  # type: ignore[attr-defined]
        take(self, chunk, now)

    patch.setattr(Clone, "_take_chunk", eager)


@planted
def a_chunk_of_a_snapshot_is_left_out(patch: pytest.MonkeyPatch) -> None:
    take = Clone._take_chunk

    def hasty(self: Clone, chunk: Any, now: float) -> None:
        loading = self._loading
        if loading is not None and chunk.number == loading.chunks + 2:
            loading.chunks += 1
        take(self, chunk, now)

    patch.setattr(Clone, "_take_chunk", hasty)


@planted
def a_snapshot_is_added_to_what_is_there(patch: pytest.MonkeyPatch) -> None:
    def mixing(self: MemoryJournal, position: Any, loaded: Any) -> None:
        for table, key, row in loaded:
            self._tables[table][key] = row
        self._log.clear()
        self._log_bytes = 0
        self._position, self._base = position, position.checksum

    patch.setattr(MemoryJournal, "_swap", mixing)


@planted
def a_snapshot_is_not_of_one_moment(patch: pytest.MonkeyPatch) -> None:
    take = MemoryJournal.snapshot

    def drifting(self: MemoryJournal, tables: tuple[int, ...]) -> Any:
        snapshot = take(self, tables)
        keys = ((table, key) for table in tables for key in list(self._tables[table]))
        snapshot._rows = ((table, key, self._tables[table].get(key, b"")) for table, key in keys)
        return snapshot

    patch.setattr(MemoryJournal, "snapshot", drifting)


# -- acknowledging ---------------------------------------------------------------------------------------------------


@planted
def it_acknowledges_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    submit = Master.submit

    def eager(self: Master, request: Request, now: float) -> None:
        submit(self, request, now)
        if request.error is None:
            self._answer(request)

    patch.setattr(Master, "submit", eager)


@planted
def a_clone_confirms_what_it_has_not_committed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Clone, "_committed", property(lambda self: self._draft.position.sequence))


@planted
def one_confirmation_is_enough(patch: pytest.MonkeyPatch) -> None:
    confirmed = Followers.confirmed
    patch.setattr(Followers, "confirmed", lambda self, replicas: confirmed(self, 1))


@planted
def a_former_life_counts_as_a_clone(patch: pytest.MonkeyPatch) -> None:
    follow = Followers.follow

    def lenient(self: Followers, member: Any, asked: Any, now: float) -> None:
        former = {id_: f for id_, f in self.followers.items() if f.member.name == member.name and id_ != member.id}
        follow(self, member, asked, now)
        self.followers.update(former)

    patch.setattr(Followers, "follow", lenient)


@planted
def a_failed_commit_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Master, "_failed", lambda self, error, batch, now: [self._committed(r) for r in batch.requests])


@planted
def a_refusal_survives_the_failed_commit_that_it_rests_on(patch: pytest.MonkeyPatch) -> None:
    failed = Master._failed

    def hasty(self: Master, error: Any, batch: Any, now: float) -> None:
        for request in batch.requests:
            if request.error is not None:
                self._answer(request)
        batch.requests = [request for request in batch.requests if not request.done or request.error is None]
        failed(self, error, batch, now)

    patch.setattr(Master, "_failed", hasty)


# -- forwarding ------------------------------------------------------------------------------------------------------


@planted
def repeated_requests_are_done_again(patch: pytest.MonkeyPatch) -> None:
    take = Writers.take

    def forgetful(self: Writers, commands: Any, now_ns: int) -> Taken:
        writer = self._writers.get(commands.writer)
        if writer is not None and commands.items:
            writer.last = min(writer.last, commands.items[0].number - 1)
        return take(self, commands, now_ns)

    patch.setattr(Writers, "take", forgetful)


@planted
def writers_are_forgotten_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    begin = Writers.__init__

    def empty(self: Writers, journal: Any) -> None:
        begin(self, journal)
        self._writers.clear()

    patch.setattr(Writers, "__init__", empty)


@planted
def outcomes_are_not_kept_with_their_effect(patch: pytest.MonkeyPatch) -> None:
    set_row = Draft.set_row

    def lazy(self: Draft, table: int, key: bytes, row: bytes | None) -> None:
        if table != WRITERS or row is None:
            set_row(self, table, key, row)

    patch.setattr(Draft, "set_row", lazy)


@planted
def a_former_life_has_confirmed_everything(patch: pytest.MonkeyPatch) -> None:
    take = Writers.take

    def trusting(self: Writers, commands: Any, now_ns: int) -> Taken:
        taken = take(self, commands, now_ns)
        return taken._replace(again=[*taken.again, *(outcome for _, outcome in taken.unconfirmed)], unconfirmed=[])

    patch.setattr(Writers, "take", trusting)


@planted
def who_has_asked_says_that_nobody_was_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forwarding, "OutcomeUnknown", MasterUnavailable)


@planted
def lost_answers_are_not_asked_for_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Forwarding, "repeat", lambda self, master, now: None)


# -- deciding and expiring -------------------------------------------------------------------------------------------


@planted
def a_batch_that_fails_leaves_its_beginning(patch: pytest.MonkeyPatch) -> None:
    begin = Decider.__init__

    def shared(self: Any, store: str, draft: Draft, now_ns: int) -> None:
        begin(self, store, draft._under if draft._under is not None and not draft.records else draft, now_ns)

    patch.setattr(Decider, "__init__", shared)


@planted
def clones_let_entries_expire_by_themselves(patch: pytest.MonkeyPatch) -> None:
    tick = Clone.tick

    def eager(self: Clone, now: float) -> None:
        tick(self, now)
        for key, row in list(self.journal.rows(ENTRIES)):
            expiry = int.from_bytes(row[1:9], "big")
            if 0 < expiry < 1_767_225_600_000_000_000 + round(now * 1e9):
                del self.journal._tables[ENTRIES][key]  # type: ignore[attr-defined]
                self.contents.changed([key])

    patch.setattr(Clone, "tick", eager)


@planted
def a_snapshot_brings_no_expiries(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clone, "expiries_of", lambda rows: ())


@planted
def entries_expire_too_early(patch: pytest.MonkeyPatch) -> None:
    time_ns = Master._time_ns
    patch.setattr(Master, "_when", lambda self, row: (int.from_bytes(row[:8], "big") - self._wall_ns) / 1e9 - 0.05)
    expire = Master._expire

    def early(self: Master, now: float) -> None:
        patch.setattr(Master, "_time_ns", lambda self, now: time_ns(self, now) + 50_000_000)
        expire(self, now)
        patch.setattr(Master, "_time_ns", time_ns)

    patch.setattr(Master, "_expire", early)


@planted
def entries_expire_only_where_nothing_else_happens(patch: pytest.MonkeyPatch) -> None:
    expire = Master._expire

    def patient(self: Master, now: float) -> None:
        if self._uncommitted:
            self._expire_at = now + 0.001
        else:
            expire(self, now)

    patch.setattr(Master, "_expire", patient)


@planted
def what_was_read_stays_in_the_cache(patch: pytest.MonkeyPatch) -> None:
    changed = Contents.changed
    patch.setattr(Contents, "changed", lambda self, keys: changed(self, list(keys)[1:] if keys else keys))


@planted
def watches_miss_what_is_popped(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(changes._TELL, Pop)


@planted
def watches_do_not_tell_what_was_there_before(patch: pytest.MonkeyPatch) -> None:
    tell = changes._TELL[Put]
    patch.setitem(changes._TELL, Put, lambda operation: (*tell(operation)[:2], changes.ABSENT, *tell(operation)[3:]))


# -- masters ---------------------------------------------------------------------------------------------------------


@planted
def two_masters_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Stores, "_settle_conflict", lambda self, store, master: None)


@planted
def the_younger_master_goes_on(patch: pytest.MonkeyPatch) -> None:
    settle = Stores._settle_conflict

    def reversed_(self: Stores, store: str, master: Master) -> None:
        since, master.started_ns = master.started_ns, 2 * 1_767_225_600_000_000_000 - master.started_ns
        settle(self, store, master)
        master.started_ns = since

    patch.setattr(Stores, "_settle_conflict", reversed_)


@planted
def a_yielding_master_writes(patch: pytest.MonkeyPatch) -> None:
    submit = Master.submit

    def stubborn(self: Master, request: Request, now: float) -> None:
        rival, self.rival = self.rival, None
        submit(self, request, now)
        self.rival = rival

    patch.setattr(Master, "submit", stubborn)


@planted
def staleness_never_grows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Clone, "staleness", lambda self, now: 0.0)


@planted
def clones_tell_staleness_of_what_they_have_not(patch: pytest.MonkeyPatch) -> None:
    def hopeful(self: Clone) -> None:
        while self._tips:
            self.current_at = self._tips.popleft()[1]

    patch.setattr(Clone, "_settle_tips", hopeful)


@planted
def who_confirms_is_told_apart_by_nothing(patch: pytest.MonkeyPatch) -> None:
    applied = Followers.applied

    def generous(self: Followers, member: Any, told: Any, now: float) -> bool:
        follower = self.followers.get(member.id)
        if follower is not None:
            told = Applied(told.store, told.serial, follower.cursor, told.chunks, told.lost, told.clock)
        return applied(self, member, told, now)

    patch.setattr(Followers, "applied", generous)
