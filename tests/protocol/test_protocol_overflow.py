"""A subscription's queue: what it takes, what it drops, and what it says of that."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_wiring import NOW_NS, read

from broker import Message, events
from broker.protocol.frames import Interest, Run
from broker.protocol.subscriptions import Delivery, Overflow, Subscription, check_limits
from broker.values import pack


def ignore(*_: object) -> None:
    raise AssertionError("nothing was wrong with it")


def delivery(*numbers: int, topics: list[str] | None = None, which: bytes = b"", size: int = 0) -> Delivery:
    """Return a run of events that are known by their numbers."""
    body = pack([[NOW_NS, number, bytes(size)] for number in numbers])
    run = Run(topics or ["t"], "overflow.Unheard", len(numbers), which, body)
    return Delivery(run, "origin", None, ignore, ignore)


def subscription(overflow: Overflow, messages: int = 10, size: int = 1 << 20) -> Subscription:
    return Subscription(Interest("", None), messages, size, overflow)


def push(queue: Subscription, *numbers: int) -> int:
    return queue.push(delivery(*numbers), None, len(numbers))


def numbers(messages: list[Message]) -> list[int]:
    return [message.event.args[0] for message in messages]


def numbers_and_losses(messages: list[Message]) -> list[tuple[int, int]]:
    return [(message.event.args[0], message.lost_before) for message in messages]


# -- block ----------------------------------------------------------------------------------------------------------


def test_a_queue_that_blocks_takes_what_its_sender_had_room_for() -> None:
    queue = subscription("block")
    for number in range(0, 40, 8):
        assert push(queue, *range(number, number + 8)) == 0
    assert queue.full
    assert queue.pending == 40
    assert numbers(read(queue)) == list(range(40))
    assert queue.lost == 0


def test_a_queue_is_low_when_it_has_drained_to_half_of_both_limits() -> None:
    queue = subscription("block", messages=10, size=10_000)
    for number in range(10):
        queue.push(delivery(number), None, 1)
    for number in range(10):
        assert queue.low == (number >= 5), number
        queue.take()
    queue.push(delivery(0, size=6_000), None, 1)
    assert (queue.low, queue.full) == (False, False)
    queue.push(delivery(1, size=6_000), None, 1)
    assert queue.full


def test_a_queue_that_has_stalled_drops_until_it_has_drained_to_half() -> None:
    queue = subscription("block")
    for number in range(10):
        push(queue, number)
    queue.stalled = True
    assert push(queue, 10, 11) == 2
    for _ in range(4):
        queue.take()
    assert push(queue, 12) == 1, "there is room, but it is not low yet"
    queue.take()
    assert queue.blocks
    assert push(queue, 13) == 0
    assert numbers_and_losses(read(queue)) == [(5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (13, 3)]


# -- drop_newest ----------------------------------------------------------------------------------------------------


def test_drop_newest_keeps_what_came_first_even_of_one_run() -> None:
    queue = subscription("drop_newest")
    assert push(queue, *range(8)) == 0
    assert push(queue, *range(8, 16)) == 6
    assert push(queue, 16) == 1
    assert numbers(read(queue)) == list(range(10))
    assert push(queue, 17, 18) == 0
    assert numbers_and_losses(read(queue)) == [(17, 7), (18, 0)]
    assert queue.lost == 7


def test_drop_newest_takes_nothing_beyond_its_bytes() -> None:
    queue = subscription("drop_newest", size=1000)
    queue.push(delivery(1, size=1000), None, 1)
    assert push(queue, 2) == 1
    assert numbers(read(queue)) == [1]


# -- drop_oldest ----------------------------------------------------------------------------------------------------


def test_drop_oldest_keeps_what_came_last_even_of_one_run() -> None:
    queue = subscription("drop_oldest")
    assert push(queue, *range(8)) == 0
    assert push(queue, *range(8, 16)) == 6
    assert numbers_and_losses(read(queue)) == [(6, 6), *((number, 0) for number in range(7, 16))]
    assert push(queue, *range(100, 125)) == 15
    assert numbers_and_losses(read(queue)) == [(115, 15), *((number, 0) for number in range(116, 125))]
    assert queue.lost == 21


def test_drop_oldest_drops_whole_runs_to_keep_its_bytes_and_always_keeps_the_last() -> None:
    queue = subscription("drop_oldest", size=1000)
    for number in range(3):
        queue.push(delivery(10 * number, 10 * number + 1, size=300), None, 2)
    assert numbers_and_losses(read(queue)) == [(20, 4), (21, 0)]
    assert queue.push(delivery(50, size=5000), None, 1) == 0
    assert numbers(read(queue)) == [50]


# -- what is lost ---------------------------------------------------------------------------------------------------


def test_messages_lost_on_the_way_are_told_with_the_next_one() -> None:
    queue = subscription("block")
    push(queue, 1)
    queue.lose(3)
    push(queue, 2, 3)
    queue.lose(4)
    assert numbers_and_losses(read(queue)) == [(1, 0), (2, 3), (3, 0)]
    push(queue, 5)
    assert numbers_and_losses(read(queue)) == [(5, 4)]
    assert queue.lost == 7


def test_losses_before_a_run_of_which_nothing_fits_are_told_with_the_next_one() -> None:
    queue = subscription("block")
    empty = Delivery(Run(["t"], "overflow.Unheard", 1, b"", b"\xc1"), "origin", None, ignore, lambda *_: None)
    queue.lose(2)
    queue.push(empty, None, 1)
    assert read(queue) == []
    queue.lose(1)
    queue.push(empty, None, 1)
    push(queue, 7)
    assert numbers_and_losses(read(queue)) == [(7, 3)]


def test_readers_that_share_a_run_are_told_their_own_losses() -> None:
    one, two = subscription("block"), subscription("block")
    one.lose(1)
    shared = delivery(1, 2)
    for queue in (one, two):
        queue.push(shared, None, 2)
    assert numbers_and_losses(read(one)) == [(1, 1), (2, 0)]
    assert numbers_and_losses(read(two)) == [(1, 0), (2, 0)]


# -- some topics of a run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest"])
def test_of_a_run_of_several_topics_only_those_wanted_are_given(overflow: Overflow) -> None:
    queue = subscription(overflow)
    run = delivery(0, 1, 2, 3, 4, topics=["a", "b", "c"], which=b"\0\1\2\1\0")
    assert queue.push(run, frozenset({0, 2}), 3) == 0
    assert queue.pending == 3
    taken = read(queue)
    assert numbers(taken) == [0, 2, 4]
    assert [message.topic for message in taken] == ["a", "c", "a"]


def test_what_is_dropped_of_a_partly_wanted_run_is_of_what_was_wanted() -> None:
    which = bytes(number % 2 for number in range(12))
    run = delivery(*range(12), topics=["a", "b"], which=which)
    oldest, newest = subscription("drop_oldest", 4), subscription("drop_newest", 4)
    assert oldest.push(run, frozenset({1}), 6) == newest.push(run, frozenset({1}), 6) == 2
    assert numbers_and_losses(read(oldest)) == [(5, 2), (7, 0), (9, 0), (11, 0)]
    assert numbers(read(newest)) == [1, 3, 5, 7]


# -- against a list -------------------------------------------------------------------------------------------------


class Model:
    """The same as a list of numbers: what is kept and how many were lost before each."""

    def __init__(self, overflow: Overflow, limit: int) -> None:
        self.overflow = overflow
        self.limit = limit
        self.kept: deque[tuple[int, int]] = deque()
        self.runs: deque[int] = deque()  # how many of the kept are of each run
        self.lost_before = 0

    def push(self, wanted: list[int]) -> None:
        room = len(wanted) if self.overflow != "drop_newest" else max(0, self.limit - len(self.kept))
        for number in wanted[:room]:
            self.kept.append((number, self.lost_before))
            self.lost_before = 0
        self.lost_before += len(wanted[room:])
        self.runs.append(len(wanted[:room]))
        while self.overflow == "drop_oldest" and len(self.kept) > self.limit:
            _, before = self.kept.popleft()
            while not self.runs[0]:
                self.runs.popleft()
            self.runs[0] -= 1
            if self.kept:
                number, lost = self.kept[0]
                self.kept[0] = number, lost + before + 1
            else:
                self.lost_before += before + 1

    def take(self) -> list[tuple[int, int]]:
        while self.runs and not self.runs[0]:
            self.runs.popleft()
        return [self.kept.popleft() for _ in range(self.runs.popleft())] if self.runs else []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 12), st.frozensets(st.integers(0, 2), max_size=3)),
        st.tuples(st.just("take"), st.just(0), st.just(frozenset[int]())),
        st.tuples(st.just("lose"), st.integers(1, 5), st.just(frozenset[int]())),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(st.sampled_from(["block", "drop_oldest", "drop_newest"]), st.integers(1, 15), STEPS, st.integers())
def test_every_message_is_given_or_counted_and_the_counts_stand_where_they_were_lost(
    overflow: Overflow, limit: int, steps: list[tuple[str, int, frozenset[int]]], seed: int
) -> None:
    queue, model, rng = subscription(overflow, limit), Model(overflow, limit), random.Random(seed)
    pushed = lost = 0
    given_out: list[tuple[int, int]] = []
    for what, count, topics in steps:
        if what == "push":
            run = range(pushed, pushed + count)
            which = bytes(rng.randrange(3) for _ in run)
            wanted = [number for number, index in zip(run, which, strict=True) if not topics or index in topics]
            pushed += count
            if wanted:
                model.push(wanted)
                sent = delivery(*run, topics=["a", "b", "c"], which=which)
                lost += queue.push(sent, topics or None, len(wanted))
        elif what == "lose":
            queue.lose(count)
            model.lost_before += count
            lost += count
        else:
            taken = numbers_and_losses(queue.take() or [])
            assert taken == model.take()
            given_out += taken
        assert queue.pending == len(model.kept)
        assert queue.lost == lost
    given_out += numbers_and_losses(read(queue))
    assert all(one[0] < other[0] for one, other in pairwise(given_out))
    assert sum(before for _, before in given_out) + queue._lost_before == lost


# -- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overflow", "messages", "size", "stall"),
    [
        ("drop", 1, 1, 1.0),
        ("block", 0, 1, 1.0),
        ("block", 1, 0, 1.0),
        ("block", 1, 1, 0.0),
        ("block", 1, 1, float("nan")),
    ],
)
def test_what_is_no_way_to_bound_a_queue_is_refused(overflow: str, messages: int, size: int, stall: float) -> None:
    with pytest.raises(ValueError, match=r"overflow is one of|room for at least|stall_timeout is a number"):
        check_limits(overflow, messages, size, stall)


def test_events_of_a_class_that_is_not_known_here_are_plain_ones() -> None:
    (message,) = delivery(5).messages(None)
    assert message.event == events.Event("overflow.Unheard", (5, b""))
