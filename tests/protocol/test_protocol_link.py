from __future__ import annotations

import pytest

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.frames import ACK_NOW, FRAME_BYTES_MAX, HEADER_BYTES, Header, Kind, charge_of
from broker.protocol.link import ACK_FRAMES, CREDIT_BYTES, WINDOW_BYTES, WINDOW_FRAMES, Link, OutFrame


def events(size: int = 10, messages: int = 1) -> OutFrame:
    return OutFrame(Kind.EVENTS, bytes(size), messages)


def linked() -> tuple[Link, Link]:
    """Return both ends of a session on wire 1."""
    ends = Link("b", b"B" * 16, b"s"), Link("a", b"A" * 16, b"s")
    for end in ends:
        end.resume(1, 0, CREDIT_BYTES)
    return ends


def carry(sender: Link, receiver: Link, sent: list[bytes] | None = None) -> list[bool]:
    """Let frames arrive; returns for each whether it was new."""
    taken = []
    for frame in sender.pump() if sent is None else sent:
        header = frames.unpack_header(frame)
        taken.append(receiver.receive(header, len(frame) - HEADER_BYTES))
        if taken[-1] and header.kind == Kind.EVENTS:
            receiver.charge_messages(1)
    return taken


def acknowledge(receiver: Link, sender: Link) -> None:
    sender.receive(frames.unpack_header(receiver.unsequenced(Kind.ACK)), 0)


def test_sequenced_frames_are_numbered_from_one_in_the_order_in_which_they_leave() -> None:
    one, _ = linked()
    for _ in range(3):
        one.send(events())
    assert [frames.unpack_header(frame).sequence for frame in one.pump()] == [1, 2, 3]
    assert one.pump() == []


def test_control_frames_leave_before_events() -> None:
    one, _ = linked()
    one.send(events())
    one.send(OutFrame(Kind.INTERESTS, b""))
    assert [frames.unpack_header(frame).kind for frame in one.pump()] == [Kind.INTERESTS, Kind.EVENTS]


def test_nothing_leaves_without_a_wire() -> None:
    link = Link("b", bytes(16), b"s")
    link.send(events())
    assert link.pump() == []
    assert link.congested


def test_a_frame_that_comes_twice_is_taken_once() -> None:
    one, two = linked()
    one.send(events())
    sent = one.pump()
    assert carry(one, two, sent) == [True]
    assert carry(one, two, sent) == [False]
    assert two.duplicates == 1
    assert two.received == 1


def test_a_gap_in_the_sequence_breaks_the_protocol() -> None:
    one, two = linked()
    for _ in range(2):
        one.send(events())
    with pytest.raises(Malformed, match="frame 2 came after frame 0"):
        carry(one, two, one.pump()[1:])


def test_a_sequenced_frame_without_a_number_breaks_the_protocol() -> None:
    _, two = linked()
    with pytest.raises(Malformed, match="without a sequence number"):
        two.receive(Header(Kind.EVENTS, 0, 0, 0, 0, 0), 0)


@pytest.mark.parametrize("ack", [3, 2**64 - 1])
def test_an_acknowledgement_of_what_was_never_sent_breaks_the_protocol(ack: int) -> None:
    one, _ = linked()
    for _ in range(2):
        one.send(events())
    one.pump()
    with pytest.raises(Malformed, match=f"acknowledges frame {ack}, the last one sent was 2"):
        one.receive(Header(Kind.ACK, 0, 0, 0, ack, 0), 0)


def test_an_acknowledgement_is_cumulative_and_an_old_one_changes_nothing() -> None:
    one, _ = linked()
    for _ in range(5):
        one.send(events(messages=2))
    one.pump()
    one.receive(Header(Kind.ACK, 0, 0, 0, 3, 0), 0)
    assert (one.acknowledged, one.unacknowledged_messages) == (3, 4)
    one.receive(Header(Kind.ACK, 0, 0, 0, 1, 0), 0)
    assert (one.acknowledged, one.unacknowledged_messages) == (3, 4)
    assert not one.drained
    one.receive(Header(Kind.ACK, 0, 0, 0, 5, 0), 0)
    assert one.drained


def test_events_leave_while_any_credit_is_left_and_then_wait() -> None:
    one, two = linked()
    size = CREDIT_BYTES // 4
    for _ in range(6):
        one.send(events(size))
    assert len(one.pump()) == 4  # the fourth began below the limit and ends above it
    assert one.congested
    assert one.pump() == []
    one.send(OutFrame(Kind.INTERESTS, b""))
    assert len(one.pump()) == 1, "control frames need no credit"
    del two


def test_credit_granted_anew_lets_what_waited_leave() -> None:
    one, two = linked()
    for _ in range(6):
        one.send(events(CREDIT_BYTES // 4))
    carry(one, two)
    acknowledge(two, one)
    assert len(one.pump()) == 2
    assert not one.congested


def test_who_sends_beyond_its_credit_breaks_the_protocol() -> None:
    one, two = linked()
    two.hold("a full queue")
    one._credit = 10 * CREDIT_BYTES
    for _ in range(6):
        one.send(events(CREDIT_BYTES // 4))
    with pytest.raises(Malformed, match="more events than its credit allows"):
        carry(one, two)


def test_a_held_link_grants_nothing_more_until_every_holder_has_released_it() -> None:
    one, two = linked()
    for _ in range(6):
        one.send(events(CREDIT_BYTES // 4))
    two.hold("one queue")
    two.hold("another")
    carry(one, two)
    two.ack_due = False
    for holder in ("one queue", "another"):
        acknowledge(two, one)
        assert one.pump() == [], f"{holder} holds still"
        two.release(holder)
    assert two.ack_due, "the news is due at once"
    acknowledge(two, one)
    assert len(one.pump()) == 2


def test_at_most_a_window_of_frames_is_kept_unacknowledged() -> None:
    one, two = linked()
    for _ in range(WINDOW_FRAMES + 5):
        one.send(events(1))
    sent = one.pump()
    assert len(sent) == WINDOW_FRAMES
    assert one.congested
    carry(one, two, sent)
    acknowledge(two, one)
    assert len(one.pump()) == 5


def test_at_most_a_window_of_bytes_is_kept_unacknowledged() -> None:
    one, _ = linked()
    one._credit = 100 * WINDOW_BYTES
    for _ in range(6):
        one.send(events(WINDOW_BYTES // 4))
    assert len(one.pump()) == 4
    one.receive(Header(Kind.ACK, 0, 0, 0, 1, 0), 0)
    assert len(one.pump()) == 1


@pytest.mark.parametrize("arrived", range(4))
def test_resuming_sends_again_exactly_what_is_missing(arrived: int) -> None:
    one, two = linked()
    for number in range(3):
        one.send(OutFrame(Kind.EVENTS, bytes((number,)), 1))
    sent = one.pump()
    carry(one, two, sent[:arrived])
    again = one.resume(2, two.received, two.credit_now())
    assert [frame[HEADER_BYTES:] for frame in again] == [bytes((number,)) for number in range(arrived, 3)]
    assert carry(one, two, again) == [True] * (3 - arrived)
    assert two.received == 3


def test_what_is_sent_again_is_not_charged_again() -> None:
    one, two = linked()
    one.send(events(CREDIT_BYTES - charge_of(100, 1)))
    one.pump()
    for wire in range(2, 30):
        carry(one, two, one.resume(wire, 0, 0))
    one.send(events(1))
    assert len(one.pump()) == 1


def test_resuming_cannot_acknowledge_what_was_never_sent() -> None:
    one, _ = linked()
    with pytest.raises(Malformed, match="acknowledges frame 1"):
        one.resume(2, 1, 0)


def test_another_session_begins_at_one_with_all_that_was_not_acknowledged() -> None:
    one, _ = linked()
    for number in range(3):
        one.send(OutFrame(Kind.EVENTS, bytes((number,)), 1))
    one.send(OutFrame(Kind.INTERESTS, b"i"))
    one.pump()
    one.rebase(b"t")
    fresh = Link("a", bytes(16), b"t")
    fresh.resume(1, 0, CREDIT_BYTES)
    one.resume(2, 0, CREDIT_BYTES)
    sent = one.pump()
    assert [frames.unpack_header(frame).sequence for frame in sent] == [1, 2, 3, 4]
    assert [frame[HEADER_BYTES:] for frame in sent] == [b"i", b"\0", b"\1", b"\2"]
    assert carry(one, fresh, sent) == [True] * 4


def test_the_end_counts_what_was_not_acknowledged_sent_or_not() -> None:
    one, _ = linked()
    for _ in range(6):
        one.send(events(CREDIT_BYTES // 4, messages=10))
    one.pump()
    one.receive(Header(Kind.ACK, 0, 0, 0, 1, 0), 0)
    assert one.end() == 50
    assert one.ended
    assert not one.congested


def is_due(link: Link) -> bool:
    return link.ack_due


def test_an_acknowledgement_is_due_at_once_when_asked_for_and_for_control_frames() -> None:
    one, two = linked()
    one.send(events())
    carry(one, two)
    assert (two.ack_due, two.owes) == (False, True)
    one.send(OutFrame(Kind.EVENTS, b"", 1, flags=ACK_NOW))
    carry(one, two)
    assert is_due(two)
    acknowledge(two, one)
    assert (two.ack_due, two.owes) == (False, False)
    one.send(OutFrame(Kind.INTERESTS, b""))
    carry(one, two)
    assert is_due(two)


def test_an_acknowledgement_is_due_after_a_number_of_frames_and_after_a_quarter_of_the_credit() -> None:
    one, two = linked()
    for _ in range(ACK_FRAMES - 1):
        one.send(events(1))
    carry(one, two)
    assert not is_due(two)
    one.send(events(1))
    carry(one, two)
    assert is_due(two)
    acknowledge(two, one)
    one.send(events(CREDIT_BYTES // 4))
    carry(one, two)
    assert is_due(two)


def test_a_claim_to_hold_more_events_than_bytes_breaks_the_protocol() -> None:
    _, two = linked()
    with pytest.raises(Malformed, match="claims to hold"):
        two.charge_messages(FRAME_BYTES_MAX + 1)


@pytest.mark.parametrize(
    ("turn", "dialler", "due"),
    [(6, b"z", True), (4, b"a", False), (5, b"m", True), (5, b"a", True), (5, b"z", False)],
)
def test_of_two_wires_dialled_at_once_both_ends_keep_the_same(turn: int, dialler: bytes, due: bool) -> None:
    link = Link("b", bytes(16), b"s")
    link.turn, link.dialler = 5, b"m"
    assert link.is_due(turn, dialler) is due
