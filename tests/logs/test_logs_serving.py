"""What a writer gives to whom: members, restarts, what the dead had, names that come and go."""

from __future__ import annotations

import copy

from log_machines import Bench, Peer

from broker.logs.groups import LEASE_S
from broker.logs.wire import Claim, LogKind, Since

ONE, TWO = b"1" * 16, b"2" * 16


def collecting(bench: Bench, peer: Peer, member: bytes, serial: int = 1, name: str = "a") -> None:
    assert bench.collect(peer, serial, member, name) is not None
    bench.settle(0.1)


def test_a_member_gets_what_there_is_once_it_is_written_down() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(3)
    bench.collect(peer, 1, ONE)
    assert not bench.given(peer, 1)
    bench.commit()
    assert bench.given(peer, 1) == [(1, 3, False, 0)]


def test_who_asks_twice_while_it_is_being_written_down_waits_for_that() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(3)
    bench.collect(peer, 1, ONE)
    bench.collect(peer, 2, ONE)
    assert not bench.given(peer, 2)
    bench.commit()
    assert bench.given(peer, 2) == [(1, 3, False, 0)]


def test_nothing_is_given_that_is_not_on_the_disk() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    collecting(bench, peer, ONE)
    bench.write(2, settle=False)
    bench.writer.pump(bench.now)
    assert not bench.given(peer, 1)
    bench.commit()
    assert bench.given(peer, 1) == [(1, 2, False, 0)]


def test_an_acknowledgement_is_confirmed_when_it_is_on_the_disk() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(2)
    collecting(bench, peer, ONE)
    session = bench.writer.groups["a"].sessions[ONE]
    bench.acknowledge(peer, 1, 1, bench.claim((1, 2)))
    assert session.confirmed == 0
    bench.now += 0.02
    bench.writer.pump(bench.now)
    bench.fail()
    assert session.confirmed == 0
    bench.settle(2.0)
    assert session.confirmed == 1
    assert bench.writer.groups["a"].written == 2


def test_a_record_goes_to_one_of_several_members() -> None:
    bench, one, two = Bench(), Peer("p"), Peer("q")
    bench.settle()
    collecting(bench, one, ONE)
    collecting(bench, two, TWO, 1)
    bench.sent.clear()
    bench.write(200)
    numbers = [
        number for peer in (one, two) for first, last, *_ in bench.given(peer, 1) for number in range(first, last + 1)
    ]
    assert sorted(numbers) == list(range(1, 201))
    assert bench.given(one, 1)
    assert bench.given(two, 1)


def test_what_a_member_had_that_is_not_heard_of_for_the_lease_is_given_to_another_one_and_marked() -> None:
    bench, one, two = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(2)
    collecting(bench, one, ONE)
    collecting(bench, two, TWO)
    bench.sent.clear()
    bench.now += LEASE_S - 1.0
    bench.acknowledge(two, 1, 1)
    bench.settle()
    assert not bench.given(two, 1)
    bench.settle(1.5)
    assert bench.given(two, 1) == [(1, 2, True, 0)]


def test_after_a_restart_a_member_that_comes_back_keeps_what_it_has_and_nothing_is_marked() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(5)
    collecting(bench, peer, ONE)
    claim = bench.claim((1, 1), held=((2, 3),))
    later = bench.again(b"mark0002")
    answer = later.collect(peer, 2, ONE, claims=(claim,))
    assert answer is not None
    assert answer.yours == ((2, 3),)
    later.settle()
    assert later.given(peer, 2) == [(4, 5, False, 0)]


def test_after_a_restart_a_member_that_may_have_records_is_waited_for_and_what_it_may_have_had_is_marked() -> None:
    bench, one, two = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(5)
    collecting(bench, one, ONE)
    later = bench.again(b"mark0002")
    collecting(later, two, TWO)
    later.write(1)
    assert not later.given(two, 1)
    later.now += 5.0
    later.acknowledge(two, 1, 1)
    later.settle(LEASE_S - 4.0)
    assert later.given(two, 1) == [(1, 5, True, 0), (6, 6, False, 0)]


def test_what_may_have_been_given_stays_marked_across_restarts() -> None:
    bench, one, two = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(5)
    collecting(bench, one, ONE)
    bench.leave(one, 1, ((1, 3),))
    bench.settle(1.0)
    later = bench.again(b"mark0002")
    collecting(later, two, TWO)
    assert later.given(two, 1) == [(1, 3, True, 0), (4, 5, False, 0)]


def test_what_a_member_hands_back_unread_is_not_marked() -> None:
    bench, one, two = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(5)
    collecting(bench, one, ONE)
    bench.leave(one, 1, (), bench.claim((1, 2)))
    collecting(bench, two, TWO)
    assert bench.given(two, 1) == [(3, 5, False, 0)]


def test_a_process_that_began_anew_is_not_waited_for() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(2)
    collecting(bench, peer, ONE)
    anew = Peer("p")
    anew.id = b"another-life....."[:16]
    bench.collect(anew, 1, TWO)
    bench.settle()
    assert bench.given(anew, 1) == [(1, 2, True, 0)]
    assert set(bench.writer.groups["a"].holders) == {TWO}


def test_a_question_that_was_overtaken_by_a_later_one_is_not_heeded() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(1)
    collecting(bench, peer, ONE, 5)
    assert bench.collect(peer, 4, ONE) is None
    assert bench.writer.groups["a"].sessions[ONE].serial == 5


def test_an_acknowledgement_of_a_session_that_is_over_is_answered() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(1)
    bench.acknowledge(peer, 9, 1, bench.claim((1, 1)))
    assert [kind for kind, *_ in bench.sent] == [LogKind.NO_STREAM]


# -- epochs ------------------------------------------------------------------------------------------------------------


def test_claims_of_a_time_line_that_a_restore_ended_are_not_taken_for_the_records_that_have_their_numbers_now() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(3)
    collecting(bench, peer, ONE)
    backup = copy.deepcopy(bench.journal)
    bench.write(4)
    claim = bench.claim((1, 7))
    later = bench.again(b"mark0002", journal=backup)
    later.write(4)
    answer = later.collect(peer, 2, ONE, claims=(claim,))
    assert answer is not None
    assert answer.start == 3
    later.settle()
    assert later.given(peer, 2) == [(4, 7, False, 0)]


def test_epochs_of_one_number_are_told_apart_by_their_marks() -> None:
    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(3)
    backup = copy.deepcopy(bench.journal)
    lost = bench.again(b"mark0002")
    lost.write(4)
    claim = lost.claim((4, 7))
    later = bench.again(b"mark0003", journal=backup)
    later.write(4)
    assert later.writer.epoch == lost.writer.epoch
    answer = later.collect(peer, 2, ONE, claims=(claim,))
    assert answer is not None
    assert answer.start == 0
    later.settle()
    assert later.given(peer, 2)[-1][1] == 7


def test_an_epoch_whose_beginning_failed_is_written_down_with_the_next_commit() -> None:
    bench = Bench()
    bench.settle()
    later = Bench(bench.journal, b"mark0002")
    later.fail()
    later.settle(2.0)
    later.write(2)
    assert later.again(b"mark0003").writer.spool.extent(later.writer.epoch, b"mark0002") == (1, 2)


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_replay_begins_anew_though_a_former_member_died() -> None:
    bench, peer, other = Bench(keep_bytes=1 << 20), Peer("p"), Peer("q")
    bench.settle()
    bench.write(3)
    collecting(bench, peer, ONE)
    bench.acknowledge(peer, 1, 1, bench.claim((1, 3)))
    bench.settle(LEASE_S + 1.0)
    answer = bench.collect(other, 1, TWO, replay=True)
    assert answer is not None
    assert answer.refused == ""
    bench.settle()
    assert bench.given(other, 1) == [(1, 3, False, 0)]


def test_a_replay_is_refused_while_another_member_is_there() -> None:
    bench, peer, other = Bench(), Peer("p"), Peer("q")
    bench.settle()
    collecting(bench, peer, ONE)
    answer = bench.collect(other, 1, TWO, replay=True)
    assert answer is not None
    assert "another member" in answer.refused


def test_a_name_that_comes_while_old_records_are_being_trimmed_begins_behind_them() -> None:
    bench, peer, other = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(3)
    collecting(bench, peer, ONE)
    bench.acknowledge(peer, 1, 1, bench.claim((1, 3)))
    bench.now += 0.02
    bench.writer.pump(bench.now)  # a commit is under way that trims them
    assert bench.work is not None
    assert bench.work.trim == 1
    answer = bench.collect(other, 1, TWO, "b")
    assert answer is not None
    assert answer.start == 3
    bench.settle()
    assert bench.writer.groups["b"].lost == 0


def test_one_that_begins_behind_a_position_is_told_how_much_is_gone_since() -> None:
    bench, peer, other = Bench(), Peer("p"), Peer("q")
    bench.settle()
    bench.write(3)
    bench.write(2)
    collecting(bench, peer, ONE)
    bench.acknowledge(peer, 1, 1, bench.claim((1, 3)))
    bench.settle(1.0)
    since = Since("position", 1, bench.writer.epoch, bench.writer.mark, bench.journal.position.journal)
    bench.collect(other, 1, TWO, "", since=since)
    bench.settle()
    assert bench.given(other, 1) == [(4, 5, False, 2)]


def test_a_forgotten_name_holds_nothing_any_more() -> None:
    bench = Bench(collectors=("a", "b"))
    bench.settle()
    bench.write(3)
    assert bench.writer.serving.forget("a")
    assert not bench.writer.serving.forget("a")
    bench.writer.pump(bench.now)
    bench.settle(1.0)
    assert set(bench.again(b"mark0002").writer.groups) == {"b"}


def test_without_any_name_everything_is_kept() -> None:
    bench = Bench(collectors=("a",))
    bench.settle()
    bench.write(3)
    bench.writer.serving.forget("a")
    bench.writer.pump(bench.now)
    bench.settle(1.0)
    assert bench.writer.spool.oldest == 1


def test_disorder_that_has_no_room_in_an_answer_is_given_again() -> None:
    from broker.logs.wire import RANGES_MAX

    bench, peer = Bench(), Peer("p")
    bench.settle()
    bench.write(2 * RANGES_MAX + 4)
    collecting(bench, peer, ONE)
    held = tuple((number, number) for number in range(1, 2 * RANGES_MAX, 2))
    mark, epoch = bench.writer.mark, bench.writer.epoch
    claims = (
        Claim(epoch, mark, held[:5000], ()),
        Claim(epoch, mark, held[5000:], ()),
        Claim(epoch, mark, ((20001, 20001),), ()),
    )
    answer = bench.collect(peer, 2, ONE, claims=claims)
    assert answer is not None
    assert len(answer.yours) == RANGES_MAX
    assert 20001 not in bench.writer.groups["a"].held[ONE]
