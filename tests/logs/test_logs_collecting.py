"""What a collector makes of what writers send: what is held, given out, acknowledged and kept in a checkpoint."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from log_machines import SCHEMA, Peer

import broker
from broker.errors import Malformed
from broker.log_records import Column
from broker.logs import wire
from broker.logs.checkpoints import read_checkpoint
from broker.logs.chunks import cut, pack_chunk, read_chunk
from broker.logs.collector import Collector
from broker.logs.messages import LogMessage
from broker.logs.sessions import Post
from broker.logs.source import Source
from broker.logs.wire import RANGES_MAX, Acknowledge, Collect, Collected, LogKind, Piece, Records, Schema, Since, Tip
from broker.protocol.actions import Tell
from broker.status import CollectorRefused, RecordsLost, WriterReset

JOURNAL, MARK, ID = b"j" * 16, b"mark0001", b"schema01"


def chunk(first: int, count: int, epoch: int = 1, mark: bytes = MARK) -> bytes:
    parts = [msgspec.msgpack.encode([10**18, number]) for number in range(first, first + count)]
    return pack_chunk(first, 10**18, ID, epoch, mark, parts)


class Desk(Post):
    """A collector, and what it says; the test is its writers and its program."""

    def __init__(self, name: str = "a", **options: Any) -> None:
        self.now = 100.0
        self.serial = 0
        self.said: list[tuple[int, Any]] = []
        self.told: list[Any] = []
        self.collector = Collector(
            "s", self, self._act, name=name, member=b"m" * 16, since=Since("earliest"), **options
        )
        self.peer = Peer("w")

    def send(self, kind: int, body: bytes, member: Any, flow: int = 0, sequence: int = 0) -> None:
        kinds: dict[int, Any] = {
            LogKind.COLLECT: Collect,
            LogKind.ACKNOWLEDGE: Acknowledge,
            LogKind.LEAVE: wire.Leave,
        }
        self.said.append((kind, wire.decode(kinds[kind], body)))

    def reaches(self, member: Any) -> bool:
        return True

    def begin(self, source: Source) -> int:
        self.serial += 1
        return self.serial

    def over(self, serial: int) -> None:
        pass

    def _act(self, action: Any) -> None:
        if isinstance(action, Tell):
            self.told.append(action.status)

    # -- the writer

    def meet(self, since: int = 1, journal: bytes = JOURNAL) -> Source:
        self.collector.find([(self.peer, journal, since)], self.now)  # type: ignore[list-item]
        return self.collector.sources[journal]

    def answer(self, source: Source, yours: tuple[tuple[int, int], ...] = (), **more: Any) -> None:
        fields: dict[str, Any] = {"refused": "", "start": 0, "shared": False, "schemas": ((ID, SCHEMA),)}
        fields.update(more)
        answer = Collected(
            fields["refused"],
            source.journal,
            1,
            MARK,
            fields["start"],
            100,
            10**18,
            yours,
            fields["shared"],
            fields["schemas"],
        )
        self.take(source, LogKind.COLLECTED, answer)

    def take(self, source: Source, kind: int, payload: Any, sequence: int = 0) -> None:
        self.collector.take(source, sequence, kind, wire.encode(payload), self.now)

    def records(self, source: Source, sequence: int, *chunks: bytes, lost: int = 0) -> None:
        pieces = [Piece(lost if number == 0 else 0, False, data) for number, data in enumerate(chunks)]
        self.take(source, LogKind.RECORDS, Records(pieces), sequence)

    # -- the program

    def read(self) -> list[int]:
        return [message.number for message in self.batch()]

    def batch(self) -> list[LogMessage]:
        found = self.collector.next_batch(self.now)
        return [] if found is None else found[1]

    def asked(self) -> Collect:
        found: Collect = next(word for _, word in reversed(self.said) if isinstance(word, Collect))
        return found

    def acknowledged(self) -> Acknowledge:
        self.collector.flush(self.now)
        found: Acknowledge = next(word for _, word in reversed(self.said) if isinstance(word, Acknowledge))
        return found


@broker.event(name="T")
class T:
    n: int


def following(**options: Any) -> tuple[Desk, Source]:
    desk = Desk(**options)
    source = desk.meet()
    desk.answer(source)
    return desk, source


def test_what_comes_is_given_out_in_order() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 2), chunk(3, 1))
    desk.records(source, 2, chunk(4, 1))
    assert [desk.read(), desk.read(), desk.read(), desk.read()] == [[1, 2], [3], [4], []]


def test_a_frame_that_comes_twice_is_taken_once_and_one_that_comes_early_is_asked_for_again() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 1))
    desk.records(source, 1, chunk(1, 1))
    desk.records(source, 3, chunk(3, 1))
    assert [desk.read(), desk.read()] == [[1], []]
    assert desk.acknowledged().lost


def test_records_that_come_before_the_answer_are_not_taken() -> None:
    desk = Desk()
    source = desk.meet()
    desk.records(source, 1, chunk(1, 1))
    assert desk.read() == []
    desk.answer(source)
    assert desk.read() == []


def test_what_the_writer_does_not_grant_any_more_is_not_given_out() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 4))
    desk.meet(since=2)
    assert desk.asked().claims[0].held == ((1, 4),)
    desk.answer(source, ((3, 4),))
    assert desk.read() == [3, 4]


def test_what_comes_once_more_after_that_is_given_out_once() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 4))
    desk.meet(since=2)
    desk.answer(source, ((3, 4),))
    desk.records(source, 1, chunk(1, 2))
    assert [desk.read(), desk.read(), desk.read()] == [[3, 4], [1, 2], []]


def test_acknowledging_a_batch_does_not_take_what_came_once_more() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 4))
    desk.meet(since=2)
    desk.answer(source, ((3, 4),))
    desk.records(source, 1, chunk(1, 2))
    assert desk.read() == [3, 4]
    desk.collector.finish(source, (1, MARK), 1, 4, desk.now)
    assert [claim.done for claim in desk.acknowledged().done] == [((3, 4),)]


def test_acknowledging_through_a_record_takes_only_what_was_given_out() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(5, 2))
    desk.records(source, 2, chunk(1, 2))
    messages = desk.batch()
    assert desk.collector.acknowledge(messages[-1], through=True, now=desk.now) == 2
    assert [claim.done for claim in desk.acknowledged().done] == [((5, 6),)]


def test_a_checkpoint_has_what_was_acknowledged_and_what_is_about_to_be_and_not_what_waits() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(3, 3))
    desk.records(source, 2, chunk(1, 2))
    messages = desk.batch()
    kept = read_checkpoint(desk.collector.checkpoint(messages[1:2]))
    assert kept.member == b"m" * 16
    assert [(journal, [claim.done for claim in claims]) for journal, claims in kept.done] == [(JOURNAL, [((3, 4),)])]


def test_one_that_begins_with_a_checkpoint_says_what_is_done_and_who_it_is() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 2))
    data = desk.collector.checkpoint(desk.batch())
    later = Desk(checkpoint=data)
    later.meet()
    assert later.asked().member == b"m" * 16
    assert [claim.done for claim in later.asked().claims] == [((1, 2),)]


def test_what_is_confirmed_is_not_kept_in_mind() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 2))
    message = desk.batch()[0]
    desk.collector.acknowledge(message, through=False, now=desk.now)
    word = desk.acknowledged()
    assert not desk.collector.settled
    desk.take(source, LogKind.TIP, Tip(1, 2, 10**18, 0, word.number - 1, False))
    assert not desk.collector.settled
    desk.take(source, LogKind.TIP, Tip(1, 2, 10**18, 1, word.number, False))
    assert desk.collector.settled


def test_what_was_acknowledged_while_it_asked_is_confirmed_by_words_of_the_new_session_alone() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 2))
    desk.collector.acknowledge(desk.batch()[0], through=False, now=desk.now)
    word = desk.acknowledged()
    desk.meet(since=2)
    desk.answer(source, ((2, 2),))
    desk.take(source, LogKind.TIP, Tip(0, 2, 10**18, 0, word.number, False))
    assert not desk.collector.settled


def test_acknowledgements_that_have_no_room_in_a_frame_follow_when_others_are_confirmed() -> None:
    desk, source = following()
    count = 2 * RANGES_MAX + 10
    desk.records(source, 1, chunk(1, 8000), chunk(8001, 8000), chunk(16001, count - 16000))
    for _ in range(3):
        for number in desk.read():
            if number % 2:
                desk.collector.finish(source, (1, MARK), number, number, desk.now)
    first = desk.acknowledged()
    assert sum(len(claim.done) for claim in first.done) == RANGES_MAX
    desk.take(source, LogKind.TIP, Tip(1, count, 10**18, 0, first.number, False))
    assert source.disorder == 5
    desk.now += 1.0
    assert [len(claim.done) for claim in desk.acknowledged().done] == [5]


def test_what_waits_from_before_counts_against_the_window() -> None:
    desk, source = following(queue_bytes=1)
    whole = desk.asked().window
    data = chunk(1, 100)
    desk.records(source, 1, data)
    desk.meet(since=2)
    assert desk.asked().window == whole - len(data)
    desk.answer(source, ((1, 100),))
    desk.read()
    assert desk.acknowledged().window == whole


def test_lost_records_are_told_once_with_the_record_behind_them() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(4, 2), lost=3)
    assert [message.lost_before for message in desk.batch()] == [3, 0]
    assert [status.count for status in desk.told if isinstance(status, RecordsLost)] == [3]


def test_a_loss_goes_with_the_record_behind_it_to_whom_that_is_given() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(4, 2), lost=3)
    desk.meet(since=2)
    desk.answer(source, ((5, 5),))
    assert [message.lost_before for message in desk.batch()] == [0]
    assert desk.told == []


def test_one_that_shares_a_name_gives_nothing_out_while_it_does_not_follow() -> None:
    desk = Desk()
    source = desk.meet()
    desk.answer(source, shared=True)
    desk.records(source, 1, chunk(1, 1))
    desk.collector.find([], desk.now)
    assert desk.collector.empty
    assert desk.read() == []
    desk.meet(since=2)
    desk.answer(source, ((1, 1),))
    assert desk.read() == [1]


def test_a_writer_with_another_spool_is_told_of_once_and_nobody_waits_for_the_former_one() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 2))
    desk.collector.acknowledge(desk.batch()[0], through=False, now=desk.now)
    desk.meet(since=2, journal=b"k" * 16)
    desk.meet(since=2, journal=b"k" * 16)
    assert [(status.writer, status.lost) for status in desk.told if isinstance(status, WriterReset)] == [("w", 98)]
    assert desk.collector.settled
    assert [lag.journal for lag in desk.collector.lag()] == [b"k" * 16]


def test_one_that_is_refused_asks_again_and_is_told_so_once() -> None:
    desk = Desk()
    source = desk.meet()
    for _ in range(3):
        desk.answer(source, refused="no")
        desk.now = desk.collector.next_deadline()
        assert desk.now < 1000
        desk.collector.tick(desk.now)
    assert [status.reason for status in desk.told if isinstance(status, CollectorRefused)] == ["no"]
    assert desk.asked().serial == 4
    desk.answer(source)
    assert desk.collector.refused == {}


def test_a_writer_whose_columns_make_no_sense_is_refused() -> None:
    desk = Desk()
    source = desk.meet()
    desk.answer(source, schemas=((ID, Schema("T", (Column("n", "int"), Column("n", "str")))),))
    assert "two columns named 'n'" in desk.collector.refused["w"]


def test_one_that_leaves_says_what_its_program_had_begun() -> None:
    desk, source = following()
    desk.records(source, 1, chunk(1, 3))
    desk.records(source, 2, chunk(4, 2))
    desk.batch()
    desk.collector.finish(source, (1, MARK), 1, 1, desk.now)
    desk.collector.close({JOURNAL: [(3, 3)]})
    leave = desk.said[-1][1]
    assert leave.begun == ((2, 2),)
    assert [claim.done for claim in leave.done] == [((1, 1),)]


def test_an_answer_that_does_not_come_is_asked_for_again_ever_more_slowly() -> None:
    desk = Desk()
    desk.meet()
    waits = []
    for _ in range(8):
        at = desk.collector.next_deadline()
        waits.append(round(at - desk.now, 3))
        desk.now = at
        desk.collector.tick(at)
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_a_replay_is_asked_for_until_something_comes_since_a_writer_that_dies_forgets_it() -> None:
    desk = Desk(replay=True)
    source = desk.meet()
    desk.answer(source)
    assert desk.asked().replay
    desk.meet(since=2)
    assert desk.asked().replay
    desk.answer(source)
    desk.records(source, 1, chunk(1, 1))
    desk.meet(since=3)
    assert not desk.asked().replay


# -- chunks ------------------------------------------------------------------------------------------------------------


def test_a_part_of_a_chunk_is_a_chunk() -> None:
    part = read_chunk(cut(read_chunk(chunk(5, 4)), 6, 7))
    assert (part.first, part.last, part.epoch, part.mark, part.schema) == (6, 7, 1, MARK, ID)
    assert [row[1] for row in msgspec.msgpack.decode(part.run)] == [6, 7]


@pytest.mark.parametrize("index", range(len(chunk(5, 4))))
def test_a_chunk_with_a_flipped_bit_is_not_taken_for_one(index: int) -> None:
    data = bytearray(chunk(5, 4))
    data[index] ^= 0x10
    with pytest.raises(Malformed):
        read_chunk(bytes(data))
