"""Both ends of a flow: what is sent arrives in order and once, or is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from broker.errors import Malformed
from broker.protocol import frames
from broker.protocol.flows import (
    LOST_TOPICS_MAX,
    PARCELS_MAX,
    REPORT_PARCELS,
    ROOM_FIRST,
    ROOM_MAX,
    ROOM_MIN,
    InFlow,
    Outcome,
    OutFlow,
    Parcel,
    lost_parcel,
)
from broker.protocol.frames import Batch, Kind, LostEvents, Report, Run, charge_of


def parcel(messages: int = 1, topic: str = "t", size: int = 0) -> Parcel:
    body = frames.encode(Batch([Run([topic], "E", messages, b"", bytes(size))]))
    return Parcel(Kind.EVENTS, body, messages, charge_of(len(body), messages))


def messages_of(kind: int, body: bytes) -> int:
    if kind == Kind.LOST:
        return sum(topic.count for topic in frames.decode(LostEvents, body).topics)
    return sum(run.count for run in frames.decode(Batch, body).runs)


def take(flow: InFlow, sequence: int, sent: Parcel) -> list[int]:
    """Let a parcel arrive; returns the numbers of the messages that are acted on."""
    if not flow.judge(sequence, sent.kind, sent.body):
        return []
    acted: list[int] = []
    found: tuple[int, bytes] | None = (sent.kind, sent.body)
    while found is not None:
        kind, body = found
        messages = messages_of(kind, body)
        acted += range(flow.expected, flow.expected + messages)
        flow.advance(kind, len(body), messages)
        found = flow.next_early()
    return acted


def answer(out: OutFlow, into: InFlow) -> Report:
    """Ask, and let the question arrive; returns the answer."""
    probe = out.probe()
    into.give_up(probe.given_up)
    into.skip_to(probe.oldest)
    into.answers = probe.number
    return into.report()


def is_due(flow: InFlow) -> bool:
    return flow.due


# -- in order, once -------------------------------------------------------------------------------------------------


def test_messages_are_numbered_from_one_and_a_parcel_takes_as_many_numbers_as_it_has() -> None:
    out, into = OutFlow(1), InFlow(1)
    parcels = [parcel(3), parcel(1), parcel(2)]
    numbers = [out.send(sent) for sent in parcels]
    assert numbers == [1, 4, 5]
    assert [take(into, *item) for item in zip(numbers, parcels, strict=True)] == [[1, 2, 3], [4], [5, 6]]
    assert into.messages == 6


def test_what_is_ahead_of_its_turn_waits_for_what_is_missing() -> None:
    into = InFlow(1)
    assert take(into, 3, parcel(2)) == []
    assert take(into, 2, parcel(1)) == []
    assert into.expected == 1
    assert take(into, 1, parcel(1)) == [1, 2, 3, 4]
    assert not into.early


def test_what_was_there_before_is_dropped_and_counted() -> None:
    into = InFlow(1)
    take(into, 1, parcel(2))
    take(into, 4, parcel(1))
    assert take(into, 1, parcel(2)) == []
    assert into.duplicates == 1
    assert take(into, 4, parcel(1)) == []
    assert take(into, 3, parcel(1)) == [3, 4], "the one that waits is kept once"


def test_only_so_many_parcels_wait_for_their_turn() -> None:
    into = InFlow(1)
    for sequence in range(2, PARCELS_MAX + 100):
        into.judge(sequence, Kind.LOST, b"x")
    assert len(into.early) == PARCELS_MAX


def test_a_gap_that_will_never_be_filled_is_skipped_and_counted() -> None:
    into = InFlow(1)
    take(into, 1, parcel(1))
    take(into, 5, parcel(2))
    take(into, 10, parcel(1))
    assert into.skip_gap() == 3
    assert into.expected == 5
    assert into.next_early() == (Kind.EVENTS, parcel(2).body)
    assert into.skip_to(9) == 4
    assert into.skip_to(3) == 0, "it never goes back"
    assert into.expected == 9
    assert into.skip_to(20) == 11
    assert not into.early, "what waited for an earlier place is too late"
    assert into.skip_gap() == 0


# -- room -----------------------------------------------------------------------------------------------------------


def fill(out: OutFlow, size: int = 100_000) -> list[tuple[int, Parcel]]:
    """Send until a parcel has to wait; returns what has left."""
    sent = []
    while not out.congested:
        item = parcel(size=size)
        number = out.send(item)
        if number:
            sent.append((number, item))
    return sent


def test_parcels_leave_while_any_room_is_left_and_then_wait_in_order() -> None:
    out = OutFlow(1)
    size = ROOM_FIRST // 4
    assert len(fill(out, size)) == 4, "the fourth began below the limit and ends above it"
    assert out.send(parcel()) == 0, "a small one does not overtake"
    assert [len(waiting.body) > 1000 for waiting in out.waiting] == [True, False]
    assert out.unreported == 6


def test_room_given_anew_lets_what_waited_leave() -> None:
    out, into = OutFlow(1), InFlow(1)
    sent = fill(out)
    for item in sent:
        take(into, *item)
    outcome = out.take_report(into.report())
    assert [(number, kept.messages) for number, kept in outcome.send] == [(len(sent) + 1, 1)]
    assert not out.congested
    assert out.room == ROOM_FIRST


def test_a_receiver_never_takes_room_back() -> None:
    out, into = OutFlow(1), InFlow(1)
    into.share = ROOM_MAX
    out.take_report(into.report())
    into.share = ROOM_MIN
    first = into.report()
    assert first.room == ROOM_MAX
    sent = fill(out)
    assert sum(item.charge for _, item in sent) >= ROOM_MAX
    for item in sent:
        take(into, *item)  # raises if it took any back
    assert into.report().room == ROOM_MIN


def test_who_sends_more_than_it_had_room_for_breaks_the_protocol() -> None:
    out, into = OutFlow(1), InFlow(1)
    sent = fill(out)
    for item in sent:
        take(into, *item)
    with pytest.raises(Malformed, match="more events than there was room given for"):
        into.judge(into.expected, Kind.EVENTS, parcel().body)


def test_what_waits_for_its_turn_takes_room_too() -> None:
    into = InFlow(1)
    for number in range(ROOM_FIRST // 100_000 + 1):
        assert not into.judge(2 + number, Kind.EVENTS, bytes(100_000))
    with pytest.raises(Malformed, match="more events than there was room given for"):
        into.judge(100, Kind.EVENTS, bytes(100_000))


def test_what_fills_a_gap_is_taken_though_what_was_sent_after_it_has_used_the_room_up() -> None:
    out, into = OutFlow(1), InFlow(1)
    sent = fill(out, 300_000)
    for item in sent[2:]:
        assert take(into, *item) == []
    acted = [number for item in sent[:2] for number in take(into, *item)]
    assert acted == list(range(1, len(sent) + 1))
    with pytest.raises(Malformed, match="more events than there was room given for"):
        into.judge(into.expected, Kind.EVENTS, parcel().body)


def test_what_waits_for_its_turn_is_bounded_in_whatever_order_it_comes() -> None:
    into = InFlow(1)
    with pytest.raises(Malformed, match="more events than there was room given for"):  # noqa: PT012
        for number in range(100, 1, -1):
            into.judge(number, Kind.EVENTS, bytes(1_000_000))
    assert sum(len(body) for _, body in into.early.values()) <= ROOM_FIRST + frames.FRAME_BYTES_MAX + 1_000_000


def test_a_parcel_that_stands_for_lost_ones_needs_no_room() -> None:
    into = InFlow(1)
    take(into, 1, parcel(size=ROOM_FIRST))
    assert take(into, 2, lost_parcel(Counter({("t", "E"): 5}))) == [2, 3, 4, 5, 6]


def test_at_most_a_window_of_parcels_is_unreported() -> None:
    out, into = OutFlow(1), InFlow(1)
    sent = fill(out, 0)
    assert len(out.sent) == len(sent) == PARCELS_MAX
    for item in sent[:10]:
        take(into, *item)
    for _ in range(20):
        out.send(parcel())
    assert len(out.take_report(into.report()).send) == 10


def test_a_full_queue_gives_no_more_room_until_every_holder_has_released_it() -> None:
    out, into = OutFlow(1), InFlow(1)
    into.hold("one queue")
    into.hold("another")
    for item in fill(out):
        take(into, *item)
    for holder in ("one queue", "another"):
        report = into.report()
        assert report.room == 0
        assert out.take_report(report).send == [], f"{holder} holds still"
        into.release(holder)
    assert into.due, "the news is due at once"
    assert len(out.take_report(into.report()).send) == 1


def test_a_held_flow_may_still_use_the_room_that_it_had() -> None:
    into = InFlow(1)
    take(into, 1, parcel(size=ROOM_FIRST // 2))
    into.hold("a queue")
    assert 0 < into.report().room < ROOM_FIRST // 2
    assert take(into, 2, parcel(size=100)) == [2]


# -- reports --------------------------------------------------------------------------------------------------------


def test_a_report_is_due_at_once_after_a_quarter_of_the_share_and_after_a_number_of_parcels() -> None:
    into = InFlow(1)
    for number in range(1, REPORT_PARCELS):
        take(into, number, parcel())
    assert (is_due(into), into.owes) == (False, True)
    take(into, REPORT_PARCELS, parcel())
    assert is_due(into)
    into.report()
    take(into, into.expected, parcel(size=into.share // 4))
    assert is_due(into)


def test_dropped_messages_are_owed_and_told_once() -> None:
    out, into = OutFlow(1), InFlow(1)
    into.dropped = 3
    assert [into.owes, out.take_report(into.report()).dropped, into.owes] == [True, 3, False]
    into.dropped = 5
    assert out.take_report(into.report()).dropped == 2


@pytest.mark.parametrize("away", [False, True])
def test_a_report_of_what_was_never_sent_breaks_the_protocol(away: bool) -> None:
    out = OutFlow(1)
    out.send(parcel(2))
    if away:
        out.give_up()
    with pytest.raises(Malformed, match="it reports message 3, the last one sent was 2"):
        out.take_report(Report(1, 3, 0, 0, 0))


def test_a_report_that_was_overtaken_is_not_heeded() -> None:
    out, into = OutFlow(1), InFlow(1)
    for _ in range(2):
        out.send(parcel())
    old = into.report()
    for number in (1, 2):
        take(into, number, parcel())
    new = into.report()
    out.take_report(new)
    assert not out.pending
    room = out.room
    assert out.take_report(old) == out.take_report(new) == Outcome([])
    assert out.room == room
    assert not out.pending


def test_a_report_forgets_whole_parcels_only() -> None:
    out = OutFlow(1)
    for _ in range(2):
        out.send(parcel(3))
    out.take_report(Report(1, 4, ROOM_FIRST, 0, 0))
    assert [number for number, _ in out.sent] == [4]
    assert out.unreported == 3


# -- questions ------------------------------------------------------------------------------------------------------


def test_the_answer_to_a_question_has_exactly_what_is_missing_sent_again() -> None:
    out, into = OutFlow(1), InFlow(1)
    parcels = [parcel(2, f"t/{index}") for index in range(5)]
    numbers = [out.send(item) for item in parcels]
    for index in (0, 1):
        take(into, numbers[index], parcels[index])
    report = answer(out, into)
    again = out.take_report(report).send
    assert again == [(numbers[index], parcels[index]) for index in (2, 3, 4)]
    assert [message for item in again for message in take(into, *item)] == [5, 6, 7, 8, 9, 10]


def test_what_left_after_the_question_is_not_sent_again() -> None:
    out, into = OutFlow(1), InFlow(1)
    lost, later = parcel(1, "lost"), parcel(1, "later")
    out.send(lost)
    report = answer(out, into)
    out.send(later)
    assert out.take_report(report).send == [(1, lost)]


def test_nothing_is_sent_again_for_a_report_that_answers_no_question_or_an_earlier_one() -> None:
    out, into = OutFlow(1), InFlow(1)
    for _ in range(3):
        out.send(parcel())
    unasked = into.report()
    assert out.take_report(unasked).send == []
    earlier = answer(out, into)
    out.probe()
    assert out.take_report(earlier).send == []


def test_nothing_is_sent_again_when_all_that_went_before_the_question_has_arrived() -> None:
    out, into = OutFlow(1), InFlow(1)
    take(into, out.send(first := parcel()), first)
    report = answer(out, into)
    out.send(parcel())
    assert out.take_report(report).send == []


def test_a_question_tells_the_first_message_that_can_still_be_sent_again() -> None:
    out = OutFlow(1)
    for _ in range(3):
        out.send(parcel(2))
    out.take_report(Report(1, 2, ROOM_FIRST, 0, 0))
    assert [(probe.number, probe.oldest) for probe in (out.probe(), out.probe())] == [(1, 3), (2, 3)]
    out.take_report(Report(2, 6, ROOM_FIRST, 0, 0))
    assert out.probe().oldest == 7


def test_what_a_parcel_holds_is_told_apart_by_topic_and_name() -> None:
    runs = [
        Run(["a"], "E", 2, b"", b""),
        Run(["a", "b", "c"], "F", 4, b"\0\1\1\0", b""),
    ]
    events = Parcel(Kind.EVENTS, frames.encode(Batch(runs)), 6, 0)
    assert events.topics == {("a", "E"): 2, ("a", "F"): 2, ("b", "F"): 2}
    assert set(events.topics) == {("a", "E"), ("a", "F"), ("b", "F")}, "nothing is said of a topic without messages"
    assert lost_parcel(events.topics).topics == events.topics
    assert Parcel(40, b"a later version's", 3, 0).topics == {("", ""): 3}


def test_of_lost_messages_only_so_many_topics_are_told_apart() -> None:
    topics: Counter[tuple[str, str]] = Counter({(f"t/{number}", "E"): 1 for number in range(LOST_TOPICS_MAX + 500)})
    topics["most", "E"] = 7
    lost = lost_parcel(topics)
    assert lost.messages == topics.total() == lost.topics.total()
    assert len(lost.topics) == LOST_TOPICS_MAX + 1
    assert lost.topics["most", "E"] == 7
    assert lost.topics["", ""] == 501
    assert lost.charge == 0
