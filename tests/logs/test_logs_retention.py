"""What spools keep: trimmed in steps, full disks, limits, and what is counted."""

from __future__ import annotations

import pytest
from log_machines import Bench, Peer, SpoolJournal

from broker.journaling import Commit
from broker.logs.groups import LEASE_S
from broker.status import LogFailing, LogRecovered, RecordsDropped

ONE, TWO = b"1" * 16, b"2" * 16


def dropped(bench: Bench) -> list[tuple[int, tuple[str, ...]]]:
    return [(status.count, status.collectors) for status in bench.told if isinstance(status, RecordsDropped)]


def done(bench: Bench, peer: Peer, last: int, member: bytes = ONE) -> None:
    """Let a collector take everything up to a record."""
    bench.collect(peer, 1, member)
    bench.settle()
    bench.acknowledge(peer, 1, 1, bench.claim((1, last)))
    bench.settle(0.1)


def test_what_everybody_has_is_trimmed() -> None:
    bench = Bench()
    bench.settle()
    bench.write(3)
    bench.write(3)
    done(bench, Peer("p"), 3)
    assert bench.writer.spool.oldest == 4


def test_a_log_that_is_trimmed_in_steps_goes_on_being_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SpoolJournal._commit

    def one_by_one(self: SpoolJournal, work: Commit) -> None:
        work.trim = min(work.trim, self.first)
        whole(self, work)

    monkeypatch.setattr(SpoolJournal, "_commit", one_by_one)
    bench = Bench()
    bench.settle()
    for _ in range(20):
        bench.write(1)
    done(bench, Peer("p"), 20)
    assert bench.writer.spool.oldest == 21
    assert bench.journal.log_bytes == 0


def test_nothing_is_due_while_a_commit_is_under_way() -> None:
    bench = Bench(limit_age_s=1.0)
    bench.settle()
    bench.write(3)
    bench.now += 0.5
    bench.write(1, settle=False)
    bench.writer.pump(bench.now)
    assert bench.work is not None
    bench.now += 2.0
    assert bench.writer.next_deadline() > bench.now


def test_what_is_too_old_goes_when_it_is_due_and_not_before() -> None:
    bench = Bench(limit_age_s=10.0, collectors=("a",))
    bench.settle()
    bench.write(3)
    at = bench.writer.next_deadline()
    assert 110.0 <= at < 110.001
    bench.now = at
    bench.settle()
    assert bench.writer.spool.oldest == 4
    assert bench.writer.groups["a"].lost == 3


def test_what_a_member_may_have_is_not_lost_before_it_has_come_back() -> None:
    bench, peer = Bench(limit_age_s=10.0), Peer("p")
    bench.settle()
    bench.write(3)
    bench.collect(peer, 1, ONE)
    bench.settle()
    claim = bench.claim((1, 3))
    later = Bench(bench.journal, b"mark0002", limit_age_s=0.001)
    later.settle(1.0)
    assert later.writer.spool.oldest == 4
    later.collect(peer, 2, ONE, claims=(claim,))
    later.settle(1.5)
    assert later.writer.groups["a"].lost == 0
    assert dropped(later) == []


def test_what_a_member_had_that_died_and_is_gone_is_lost_to_the_next_one() -> None:
    bench, peer, other = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(3)
    bench.collect(peer, 1, ONE)
    bench.settle()
    later = Bench(bench.journal, b"mark0002", limit_age_s=0.001)
    later.settle(1.0)
    later.collect(other, 1, TWO)
    later.settle(5.0)
    later.acknowledge(other, 1, 1)
    later.settle(LEASE_S - 4.0)
    assert later.writer.groups["a"].lost == 3
    later.writer.retention.say_all()
    assert dropped(later) == [(3, ("a",))]


def test_losses_are_told_with_the_next_record_and_again_when_that_is_given_again() -> None:
    bench, peer = Bench(limit_bytes=3000, drop_oldest=True, collectors=("a",)), Peer("p")
    bench.settle()
    for _ in range(5):
        bench.write(1, 1000)
    lost = bench.writer.groups["a"].lost
    assert lost
    bench.collect(peer, 1, ONE)
    bench.settle()
    assert bench.given(peer, 1)[0] == (lost + 1, lost + 1, False, lost)
    assert sum(piece[3] for piece in bench.given(peer, 1)) == lost
    bench.collect(peer, 2, ONE)
    bench.settle()
    assert sum(piece[3] for piece in bench.given(peer, 2)) == lost


def test_a_full_disk_makes_room_at_once_by_an_eighth_of_the_spool() -> None:
    bench = Bench(drop_oldest=True, collectors=("a",))
    bench.settle()
    for _ in range(16):
        bench.write(1, 100)
    bench.write(1, 100, settle=False)
    bench.writer.pump(bench.now)
    bench.fail()
    work = bench.commit()
    assert not work.records
    assert work.trim == 2
    bench.settle()
    assert bench.writer.durable == 17
    assert bench.writer.groups["a"].lost == 2
    assert not [status for status in bench.told if isinstance(status, LogFailing)]


def test_a_disk_that_takes_nothing_costs_no_more_than_that_eighth() -> None:
    bench = Bench(drop_oldest=True, collectors=("a",))
    bench.settle()
    for _ in range(16):
        bench.write(1, 100)
    bench.write(1, 100, settle=False)
    for _ in range(10):
        bench.writer.pump(bench.now)
        while bench.work is not None:
            bench.fail()
        bench.now += 1.1
    assert bench.writer.groups["a"].lost == 2
    bench.settle(1.1)
    assert bench.writer.durable == 17
    assert [type(status) for status in bench.told if not isinstance(status, RecordsDropped)] == [
        LogFailing,
        LogRecovered,
    ]


def test_records_of_a_commit_that_failed_keep_their_numbers_and_their_order() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(2, settle=False)
    bench.writer.pump(bench.now)
    bench.fail()
    bench.write(2, settle=False)
    bench.settle(2.0)
    bench.collect(peer, 1, ONE)
    bench.settle()
    assert [piece[:2] for piece in bench.given(peer, 1)] == [(1, 2), (3, 4)] or bench.given(peer, 1)[0][:2] == (1, 4)


def test_a_commit_without_records_does_not_write_down_the_numbers_of_those_that_failed() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(2)
    bench.collect(peer, 1, ONE)
    bench.settle()
    bench.write(3, settle=False)
    bench.writer.pump(bench.now)
    bench.fail()
    bench.acknowledge(peer, 1, 1, bench.claim((1, 1)))
    bench.now += 0.5
    bench.writer.pump(bench.now)
    work = bench.commit()  # cursors alone
    assert not work.records
    assert bench.again(b"mark0002").writer.next == 3


def test_what_is_to_be_kept_never_fills_the_spool() -> None:
    bench = Bench(limit_bytes=2000, keep_bytes=5000)
    bench.settle()
    peer = Peer("p")
    for _ in range(4):
        bench.write(1, 400)
    done(bench, peer, 4)
    assert bench.journal.log_bytes <= 1500
    assert bench.writer.pending_limit > 0


def test_what_is_told_with_a_record_that_is_gone_itself_is_told_with_the_next() -> None:
    bench, peer = Bench(limit_bytes=3000, drop_oldest=True, collectors=("a",)), Peer("p")
    bench.settle()
    for _ in range(5):
        bench.write(1, 1000)
    bench.collect(peer, 1, ONE)
    bench.settle(0.1)
    assert bench.given(peer, 1)[0][3]
    bench.leave(peer, 1)
    for _ in range(5):
        bench.write(1, 1000)
    bench.collect(peer, 2, TWO)
    bench.settle(0.1)
    assert sum(piece[3] for piece in bench.given(peer, 2)) == bench.writer.groups["a"].lost
