"""Flows to an endpoint that is given up and comes back: what arrived and what was lost add up to what was sent."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given, settings
from hypothesis import strategies as st
from test_protocol_flows import answer, fill, messages_of, parcel, take

from broker.protocol import frames
from broker.protocol.flows import LOST_TOPICS_MAX, ROOM_FIRST, InFlow, OutFlow
from broker.protocol.frames import Batch, Kind, LostEvents, Probe, Report


def test_to_give_up_counts_everything_unreported_sent_or_not() -> None:
    out, into = OutFlow(1), InFlow(1)
    sent = fill(out)
    for item in sent[:3]:
        take(into, *item)
    out.take_report(into.report())
    for _ in range(4):
        out.send(parcel(10))
    unreported = out.unreported
    assert out.give_up() == unreported == out.next_sequence - 1 - 3
    assert not out.congested, "it holds up nobody"


def test_who_is_given_up_again_before_it_has_settled_is_counted_once() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.send(parcel(3))
    assert out.give_up() == 3
    out.come_back()
    out.send(parcel(2))
    assert out.give_up() == 2
    out.come_back()
    outcome = out.take_report(answer(out, into))
    assert (outcome.recovered, outcome.lost) == (0, 0)
    assert [numbers for number, item in outcome.send for numbers in take(into, number, item)] == [1, 2, 3, 4, 5]


def test_what_had_arrived_after_all_is_recovered_exactly() -> None:
    out, into = OutFlow(1), InFlow(1)
    parcels = [parcel(2, f"t/{index}") for index in range(4)]
    numbers = [out.send(item) for item in parcels]
    for index in range(3):
        take(into, numbers[index], parcels[index])  # and the report is lost
    assert out.give_up() == 8
    out.come_back()
    outcome = out.take_report(answer(out, into))
    assert (outcome.recovered, outcome.lost) == (6, 0)
    ((number, lost),) = outcome.send
    assert (number, lost.kind, lost.topics) == (7, Kind.LOST, {("t/3", "E"): 2})
    assert take(into, number, lost) == [7, 8]
    assert into.messages == 6


def test_what_passed_while_it_was_away_is_told_when_it_is_back() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.give_up()
    assert out.send(parcel(3, "a")) == 0
    assert out.send(parcel(2, "b")) == 0
    assert not out.congested
    out.come_back()
    outcome = out.take_report(answer(out, into))
    assert (outcome.recovered, outcome.lost) == (0, 5)
    ((number, lost),) = outcome.send
    assert (number, lost.topics) == (1, {("a", "E"): 3, ("b", "E"): 2})


def test_what_is_sent_while_it_settles_waits_and_then_leaves() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.send(parcel(2))
    out.give_up()
    out.come_back()
    fresh = parcel(1)
    assert out.send(fresh) == 0
    outcome = out.take_report(answer(out, into))
    assert [number for number, _ in outcome.send] == [1, 3]
    assert outcome.send[1][1] is fresh
    assert outcome.lost == 0, "it was told as lost when it was given up"


def test_a_report_that_does_not_answer_does_not_settle() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.send(parcel(2))
    out.give_up()
    out.send(parcel(1))
    out.come_back()
    out.probe()
    early = out.take_report(into.report())
    assert (early.send, early.lost, early.recovered) == ([], 0, 0)
    assert out.take_report(answer(out, into)).lost == 1


def test_an_endpoint_that_was_away_without_anything_for_it_needs_no_settling() -> None:
    out = OutFlow(1)
    out.give_up()
    out.come_back()
    assert not out.pending
    assert out.send(parcel(1)) == 1


def test_a_report_while_it_is_away_changes_nothing() -> None:
    out = OutFlow(1)
    out.send(parcel(2))
    out.give_up()
    outcome = out.take_report(Report(1, 2, ROOM_FIRST, 0, 0))
    assert (outcome.send, outcome.recovered) == ([], 0)
    assert out.pending


def test_topics_are_kept_apart_up_to_a_limit_and_the_count_stays_exact() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.give_up()
    for number in range(LOST_TOPICS_MAX + 300):
        out.send(parcel(2 if number < 10 else 1, f"t/{number}"))
    out.come_back()
    outcome = out.take_report(answer(out, into))
    ((_, lost),) = outcome.send
    assert outcome.lost == lost.topics.total() == LOST_TOPICS_MAX + 310
    assert len(lost.topics) <= LOST_TOPICS_MAX + 1
    assert lost.topics["", ""] > 0
    assert all(lost.topics[f"t/{number}", "E"] == 2 for number in range(10)), "the rarest are lumped"


def test_what_passed_is_told_when_it_goes_away_again_before_it_has_settled() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.give_up()
    out.send(parcel(3))
    out.come_back()
    assert out.give_up() == 3
    out.come_back()
    outcome = out.take_report(answer(out, into))
    assert (outcome.lost, outcome.recovered) == (0, 0)


def test_what_arrived_as_lost_is_not_recovered_whoever_goes_away_meanwhile() -> None:
    out, into = OutFlow(1), InFlow(1)
    out.send(parcel(3))
    out.give_up()
    out.come_back()
    ((number, lost),) = out.take_report(answer(out, into)).send
    take(into, number, lost)
    out.give_up()
    out.come_back()
    outcome = out.take_report(answer(out, into))
    assert (outcome.send, outcome.lost, outcome.recovered) == ([], 0, 0)


def test_what_waited_for_its_turn_at_the_receiver_comes_as_lost_because_it_was_told_so() -> None:
    out, into = OutFlow(1), InFlow(1)
    parcels = [parcel(2), parcel(3)]
    numbers = [out.send(item) for item in parcels]
    take(into, numbers[1], parcels[1])
    assert out.give_up() == 5
    out.come_back()
    outcome = out.take_report(answer(out, into))
    for item in outcome.send:
        take(into, *item)
    assert take(into, numbers[0], parcels[0]) == [], "it is too late"
    assert (into.messages, into.expected) == (0, 6)
    assert (outcome.recovered, out.take_report(into.report()).recovered) == (0, 0)
    assert not out.pending


def test_what_comes_late_once_it_was_told_as_lost_is_not_taken_any_more() -> None:
    out, into = OutFlow(1), InFlow(1)
    late = parcel(2)
    number = out.send(late)
    out.give_up()
    out.come_back()
    outcome = out.take_report(answer(out, into))
    assert take(into, number, late) == []
    for item in outcome.send:
        assert take(into, *item) == [1, 2]
    assert into.messages == 0


class Line:
    """A flow over a line that loses, repeats and reorders, and what both ends know of it in the end."""

    def __init__(self) -> None:
        self.out, self.into = OutFlow(1), InFlow(1)
        self.forward: deque[tuple[int, int, bytes]] = deque()  # first message, kind, body
        self.back: deque[Report] = deque()
        self.sent: list[str] = []
        self.got: list[str | None] = []  # None: told as lost
        self.topics: Counter[str] = Counter()  # of those told as lost to the receiver
        self.told = 0  # lost, less what was recovered, as the sender tells it

    def publish(self, messages: int, size: int) -> None:
        topic = f"t/{len(self.sent) % 7}"
        item = parcel(messages, topic, size)
        self.sent += [topic] * messages
        number = self.out.send(item)
        if number:
            self.forward.append((number, item.kind, item.body))

    def ask(self) -> None:
        if not self.out.away:
            probe = self.out.probe()
            self.forward.append((0, Kind.PROBE, frames.encode(probe)))

    def arrive(self, index: int) -> None:
        item = self.forward[index]
        del self.forward[index]
        sequence, kind, body = item
        if kind == Kind.PROBE:
            probe = frames.decode(Probe, body)
            self.into.give_up(probe.given_up)
            assert self.into.skip_to(probe.oldest) == 0, "the sender has all that was not reported"
            self.into.answers = probe.number
            self.back.append(self.into.report())
        elif self.into.judge(sequence, kind, body):
            found: tuple[int, bytes] | None = (kind, body)
            while found is not None:
                self._act_on(*found)
                found = self.into.next_early()

    def _act_on(self, kind: int, body: bytes) -> None:
        self.into.advance(kind, len(body), messages_of(kind, body))
        if kind == Kind.LOST:
            for topic in frames.decode(LostEvents, body).topics:
                self.topics[topic.topic] += topic.count
                self.got += [None] * topic.count
        else:
            self.got += [run.topics[0] for run in frames.decode(Batch, body).runs for _ in range(run.count)]

    def heed(self, index: int) -> None:
        report = self.back[index]
        del self.back[index]
        outcome = self.out.take_report(report)
        self.told += outcome.lost - outcome.recovered
        self.forward.extend((number, item.kind, item.body) for number, item in outcome.send)

    def come_back(self) -> None:
        self.out.come_back()
        if self.out.sent:
            self.ask()

    def settle(self) -> None:
        """Let the line be good again until nothing is left to do."""
        if self.out.away:
            self.come_back()
        for _ in range(1000):
            while self.forward:
                self.arrive(0)
            if self.into.owes:
                self.back.append(self.into.report())
            while self.back:
                self.heed(0)
            if not self.forward:
                if not self.out.pending:
                    return
                self.ask()
        raise AssertionError("it never settles")


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 5), st.sampled_from([0, 100, 300_000])),
    st.tuples(st.sampled_from(["arrive", "repeat", "lose", "heed", "overtake"]), st.integers(0, 10), st.just(0)),
    st.tuples(st.sampled_from(["ask", "report", "give up", "come back"]), st.just(0), st.just(0)),
)


def step(line: Line, what: str, number: int, size: int) -> None:
    match what:
        case "publish":
            line.publish(number, size)
        case "arrive" if line.forward:
            line.arrive(number % len(line.forward))
        case "repeat" if line.forward and line.forward[0][1] != Kind.PROBE:
            line.forward.append(line.forward[0])
        case "lose" if line.forward:
            del line.forward[number % len(line.forward)]
        case "heed" if line.back:
            line.heed(number % len(line.back))
        case "overtake" if line.back:
            line.back.rotate(1)
        case "ask":
            line.ask()
        case "report":
            line.back.append(line.into.report())
        case "give up" if not line.out.away:
            line.told += line.out.give_up()
        case "come back" if line.out.away:
            line.come_back()


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_whatever_the_line_does_delivered_and_lost_are_what_was_sent_in_order_and_once(
    steps: list[tuple[str, int, int]],
) -> None:
    line = Line()
    for what, number, size in steps:
        step(line, what, number, size)
    line.settle()
    assert len(line.got) == len(line.sent)
    delivered = [(got, sent) for got, sent in zip(line.got, line.sent, strict=True) if got is not None]
    assert all(got == sent for got, sent in delivered), "in order, each in its place"
    lost = len(line.sent) - len(delivered)
    assert line.told == lost, "the sender's count is exact"
    missing = Counter(sent for got, sent in zip(line.got, line.sent, strict=True) if got is None)
    assert line.topics == missing, "so are the topics that the receiver is told"
