"""Sets of numbers as ranges, against sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.logs.ranges import Ranges

small = st.integers(1, 40)
pairs = st.tuples(small, small).map(lambda pair: (min(pair), max(pair)))
steps = st.lists(st.tuples(st.booleans(), pairs), max_size=30)


def made(changes: list[tuple[bool, tuple[int, int]]]) -> tuple[Ranges, set[int]]:
    ranges, numbers = Ranges(), set[int]()
    for adding, (first, last) in changes:
        if adding:
            ranges.add(first, last)
            numbers |= set(range(first, last + 1))
        else:
            ranges.remove(first, last)
            numbers -= set(range(first, last + 1))
    return ranges, numbers


def expanded(ranges: object) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}  # type: ignore[attr-defined]


@given(steps)
def test_ranges_are_the_set_that_was_added_and_removed(changes: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, numbers = made(changes)
    assert expanded(ranges) == numbers
    assert ranges.count == len(numbers)
    assert bool(ranges) == bool(numbers)
    assert all((number in ranges) == (number in numbers) for number in range(42))


@given(steps)
def test_ranges_are_in_order_and_do_not_touch(changes: list[tuple[bool, tuple[int, int]]]) -> None:
    found = list(made(changes)[0])
    assert all(first <= last for first, last in found)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))


@given(steps, pairs)
def test_what_is_within_others_is_what_both_have(
    changes: list[tuple[bool, tuple[int, int]]], part: tuple[int, int]
) -> None:
    ranges, numbers = made(changes)
    assert expanded(ranges.within(*part)) == numbers & set(range(part[0], part[1] + 1))


@given(steps, small)
def test_a_gap_is_the_next_numbers_that_are_not_there(changes: list[tuple[bool, tuple[int, int]]], number: int) -> None:
    ranges, numbers = made(changes)
    first, last = ranges.gap(number)
    assert first == min(set(range(number, 43)) - numbers)
    later = [other for other in numbers if other > first]
    assert last == (min(later) - 1 if later else None)


@given(steps, steps)
def test_a_copy_goes_its_own_way(
    changes: list[tuple[bool, tuple[int, int]]], more: list[tuple[bool, tuple[int, int]]]
) -> None:
    ranges, numbers = made(changes)
    copy = ranges.copy()
    assert copy == ranges
    for adding, part in more:
        (copy.add if adding else copy.remove)(*part)
    assert expanded(ranges) == numbers


def test_nothing_has_no_first_and_no_last() -> None:
    with pytest.raises(IndexError):
        Ranges().first  # noqa: B018
    with pytest.raises(IndexError):
        Ranges().last  # noqa: B018


def test_ranges_that_end_before_they_begin_are_none() -> None:
    ranges = Ranges([(3, 5)])
    ranges.add(9, 8)
    ranges.remove(5, 3)
    assert list(ranges) == [(3, 5)]
    assert ranges.within(5, 3) == []
