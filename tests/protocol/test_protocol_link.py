from __future__ import annotations

import pytest

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.frames import ACK_NOW, HEADER_BYTES, TTL_DEFAULT, Header, Kind
from broker.protocol.link import (
    ACK_BYTES,
    ACK_FRAMES,
    CONTROL_FRAMES,
    QUEUE_BYTES,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    Link,
    OutFrame,
)


def events(size: int = 10) -> OutFrame:
    return OutFrame(Kind.EVENTS, bytes(size))


def linked() -> tuple[Link, Link]:
    """Return both ends of a session on wire 1."""
    ends = Link("b", b"B" * 16, b"s"), Link("a", b"A" * 16, b"s")
    for end in ends:
        end.resume(1, 0)
    return ends


def carry(sender: Link, receiver: Link, sent: list[bytes] | None = None) -> list[bool]:
    """Let frames arrive; returns for each whether it was new."""
    return [
        receiver.receive(frames.unpack_header(frame), len(frame) - HEADER_BYTES)
        for frame in (sender.pump() if sent is None else sent)
    ]


def acknowledge(receiver: Link, sender: Link) -> None:
    sender.receive(frames.unpack_header(receiver.unsequenced(Kind.ACK)), 0)


def test_sequenced_frames_are_numbered_from_one_in_the_order_in_which_they_leave() -> None:
    one, _ = linked()
    for _ in range(3):
        one.send(events())
    assert [frames.unpack_header(frame).sequence for frame in one.pump()] == [1, 2, 3]
    assert one.pump() == []


def test_a_routed_frame_leaves_with_its_address_before_its_body_and_its_ttl() -> None:
    one, _ = linked()
    one.send(OutFrame(Kind.EVENTS, b"body", b"address", 7))
    (sent,) = one.pump()
    assert frames.unpack_header(sent) == (Kind.EVENTS, 0, 7, 1, 0)
    assert sent[HEADER_BYTES:] == b"addressbody"


def test_control_frames_leave_before_events() -> None:
    one, _ = linked()
    one.send(events())
    one.send(OutFrame(Kind.INTERESTS, b""))
    one.send(OutFrame(Kind.REPORT, b""))
    assert [frames.unpack_header(frame).kind for frame in one.pump()] == [Kind.INTERESTS, Kind.REPORT, Kind.EVENTS]


def test_nothing_leaves_without_a_wire() -> None:
    link = Link("b", bytes(16), b"s")
    link.send(events())
    assert link.pump() == []
    assert link.waiting_bytes == 10
    assert not link.drained


def test_a_frame_that_comes_twice_is_taken_once() -> None:
    one, two = linked()
    one.send(events())
    sent = one.pump()
    assert carry(one, two, sent) == [True]
    two.resume(2, 0)
    assert carry(one, two, sent) == [False]
    assert two.duplicates == 1
    assert two.received == 1


def test_a_frame_that_comes_twice_over_one_wire_breaks_the_protocol() -> None:
    one, two = linked()
    one.send(events())
    sent = one.pump()
    carry(one, two, sent)
    with pytest.raises(Malformed, match="frame 1 came after frame 1 on one connection"):
        carry(one, two, sent)


def test_a_gap_in_the_sequence_breaks_the_protocol() -> None:
    one, two = linked()
    for _ in range(2):
        one.send(events())
    with pytest.raises(Malformed, match="frame 2 came after frame 0"):
        carry(one, two, one.pump()[1:])


def test_a_gap_among_frames_that_were_there_before_breaks_the_protocol_too() -> None:
    one, two = linked()
    for _ in range(3):
        one.send(events())
    sent = one.pump()
    carry(one, two, sent)
    two.resume(2, 0)
    with pytest.raises(Malformed, match="frame 3 came after frame 1 on one connection"):
        carry(one, two, [sent[0], sent[2]])


def test_a_sequenced_frame_without_a_number_breaks_the_protocol() -> None:
    _, two = linked()
    with pytest.raises(Malformed, match="without a sequence number"):
        two.receive(Header(Kind.EVENTS, 0, 1, 0, 0), 0)


@pytest.mark.parametrize("kind", [Kind.ACK, Kind.MEMBER, Kind.EVENTS])
def test_a_ttl_above_the_limit_breaks_the_protocol(kind: Kind) -> None:
    _, two = linked()
    with pytest.raises(Malformed, match="may travel 33 hops: at most 32 are allowed"):
        two.receive(Header(kind, 0, TTL_DEFAULT + 1, 1, 0), 0)


@pytest.mark.parametrize("ack", [3, 2**64 - 1])
def test_an_acknowledgement_of_what_was_never_sent_breaks_the_protocol(ack: int) -> None:
    one, _ = linked()
    for _ in range(2):
        one.send(events())
    one.pump()
    with pytest.raises(Malformed, match=f"acknowledges frame {ack}, the last one sent was 2"):
        one.receive(Header(Kind.ACK, 0, 0, 0, ack), 0)


def test_an_acknowledgement_is_cumulative_and_an_old_one_changes_nothing() -> None:
    one, _ = linked()
    for _ in range(5):
        one.send(events())
    one.pump()
    one.receive(Header(Kind.ACK, 0, 0, 0, 3), 0)
    assert (one.acknowledged, len(one.sent)) == (3, 2)
    one.receive(Header(Kind.ACK, 0, 0, 0, 1), 0)
    assert (one.acknowledged, len(one.sent)) == (3, 2)
    assert not one.drained
    one.receive(Header(Kind.ACK, 0, 0, 0, 5), 0)
    assert one.drained


def test_at_most_a_window_of_frames_is_kept_unacknowledged() -> None:
    one, two = linked()
    for _ in range(WINDOW_FRAMES + 5):
        one.send(events(1))
    sent = one.pump()
    assert len(sent) == WINDOW_FRAMES
    assert one.pump() == []
    carry(one, two, sent)
    acknowledge(two, one)
    assert len(one.pump()) == 5


def test_at_most_a_window_of_bytes_is_kept_unacknowledged() -> None:
    one, _ = linked()
    for _ in range(6):
        one.send(events(WINDOW_BYTES // 4))
    assert len(one.pump()) == 4
    one.receive(Header(Kind.ACK, 0, 0, 0, 1), 0)
    assert len(one.pump()) == 1


def test_control_frames_leave_whatever_the_window() -> None:
    one, _ = linked()
    for _ in range(6):
        one.send(events(WINDOW_BYTES // 4))
    one.pump()
    one.send(OutFrame(Kind.INTERESTS, b""))
    assert [frames.unpack_header(frame).kind for frame in one.pump()] == [Kind.INTERESTS]


def test_what_waits_is_bounded_and_counted_in_bytes() -> None:
    link = Link("b", bytes(16), b"s")
    for _ in range(4):
        assert not link.is_full(Kind.EVENTS)
        link.send(OutFrame(Kind.EVENTS, bytes(QUEUE_BYTES // 4 - 100), bytes(100)))
    assert link.is_full(Kind.EVENTS)
    assert not link.is_full(Kind.REPORT), "reports are not data"
    link.resume(1, 0)
    link.pump()
    assert not link.is_full(Kind.EVENTS)


def test_reports_that_wait_are_bounded_in_number() -> None:
    link = Link("b", bytes(16), b"s")
    for _ in range(CONTROL_FRAMES):
        assert not link.is_full(Kind.REPORT)
        link.send(OutFrame(Kind.REPORT, b""))
    assert link.is_full(Kind.REPORT)
    assert not link.is_full(Kind.EVENTS)


@pytest.mark.parametrize("arrived", range(4))
def test_resuming_sends_again_exactly_what_is_missing(arrived: int) -> None:
    one, two = linked()
    for number in range(3):
        one.send(OutFrame(Kind.EVENTS, bytes((number,))))
    sent = one.pump()
    carry(one, two, sent[:arrived])
    again = one.resume(2, two.received)
    two.resume(2, 0)
    assert [frame[HEADER_BYTES:] for frame in again] == [bytes((number,)) for number in range(arrived, 3)]
    assert carry(one, two, again) == [True] * (3 - arrived)
    assert two.received == 3


def test_what_is_sent_again_is_not_charged_to_the_window_again() -> None:
    one, _ = linked()
    one.send(events(WINDOW_BYTES - 100))
    one.pump()
    for wire in range(2, 30):
        assert len(one.resume(wire, 0)) == 1
    one.send(events(1))
    assert len(one.pump()) == 1


def test_resuming_cannot_acknowledge_what_was_never_sent_and_changes_nothing() -> None:
    one, _ = linked()
    with pytest.raises(Malformed, match="acknowledges frame 1"):
        one.resume(2, 1)
    assert one.wire == 1


def test_another_session_begins_at_one_with_all_that_was_not_acknowledged() -> None:
    one, _ = linked()
    for number in range(3):
        one.send(OutFrame(Kind.EVENTS, bytes((number,))))
    one.send(OutFrame(Kind.INTERESTS, b"i"))
    one.pump()
    one.rebase(b"t")
    fresh = Link("a", bytes(16), b"t")
    fresh.resume(1, 0)
    one.resume(2, 0)
    sent = one.pump()
    assert [frames.unpack_header(frame).sequence for frame in sent] == [1, 2, 3, 4]
    assert [frame[HEADER_BYTES:] for frame in sent] == [b"i", b"\0", b"\1", b"\2"]
    assert carry(one, fresh, sent) == [True] * 4


def test_a_link_that_has_ended_keeps_no_frames() -> None:
    one, _ = linked()
    for _ in range(6):
        one.send(events(WINDOW_BYTES // 4))
    one.pump()
    one.send(OutFrame(Kind.REPORT, b""))
    one.end()
    assert one.ended
    assert (len(one.sent), len(one.waiting), len(one.control), one.waiting_bytes) == (0, 0, 0, 0)


def is_due(link: Link) -> bool:
    return link.ack_due


def test_an_acknowledgement_is_due_at_once_when_asked_for() -> None:
    one, two = linked()
    one.send(events())
    carry(one, two)
    assert (two.ack_due, two.owes) == (False, True)
    one.send(OutFrame(Kind.EVENTS, b"", flags=ACK_NOW))
    carry(one, two)
    assert is_due(two)
    acknowledge(two, one)
    assert (two.ack_due, two.owes) == (False, False)


def test_an_acknowledgement_is_due_after_a_number_of_frames_and_after_a_number_of_bytes() -> None:
    one, two = linked()
    for _ in range(ACK_FRAMES - 1):
        one.send(events(1))
    carry(one, two)
    assert not is_due(two)
    one.send(events(1))
    carry(one, two)
    assert is_due(two)
    acknowledge(two, one)
    one.send(events(ACK_BYTES - 1))
    carry(one, two)
    assert not is_due(two)
    one.send(events(1))
    carry(one, two)
    assert is_due(two)


def test_a_frame_that_was_there_before_is_acknowledged_at_once() -> None:
    one, two = linked()
    one.send(events())
    sent = one.pump()
    carry(one, two, sent)
    acknowledge(two, one)
    two.resume(2, 0)
    carry(one, two, sent)
    assert is_due(two), "its sender has not heard"


@pytest.mark.parametrize(
    ("turn", "dialler", "due"),
    [(6, b"z", True), (4, b"a", False), (5, b"m", True), (5, b"a", True), (5, b"z", False)],
)
def test_of_two_wires_dialled_at_once_both_ends_keep_the_same(turn: int, dialler: bytes, due: bool) -> None:
    link = Link("b", bytes(16), b"s")
    link.turn, link.dialler = 5, b"m"
    assert link.is_due(turn, dialler) is due
