"""A change of a container costs what the element costs: in rows and bytes on disk, and in bytes on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from store_model import NOW_NS, decide, do, journal

from broker.journaling import MemoryJournal
from broker.stores.commands import Command, Insert, PopLast, PushLast, Remove, SetTo
from broker.stores.draft import Draft
from broker.stores.entries import pack_key
from broker.values import pack

K = pack_key("members")
X = pack_key("member-x")


def whole(kind: type, size: int) -> Any:
    names = [f"member-{number:06}" for number in range(size)]
    return dict.fromkeys(names, 1) if kind is dict else kind(names)


@pytest.fixture(scope="module", params=[set, dict, list])
def small_and_large(request: pytest.FixtureRequest) -> tuple[MemoryJournal, MemoryJournal]:
    found = []
    for size in (10, 100_000):
        kept = journal()
        do(kept, SetTo(K, pack(whole(request.param, size)), 5))
        value = pack(1) if request.param is dict else None
        do(kept, PushLast(K, pack("y")) if request.param is list else Insert(K, pack_key("y"), value))
        found.append(kept)
    return found[0], found[1]


def changes(kept: MemoryJournal) -> list[Command]:
    head = kept.rows(0)
    row = next(head)[1]
    if row[0] == 1:
        return [Insert(K, X), Insert(K, X, None, 9), Remove(K, X)]
    if row[0] == 2:
        return [Insert(K, X, pack(1)), Insert(K, X, pack(2)), Insert(K, X, pack(2), 9), Remove(K, X)]
    return [PushLast(K, pack("x")), PushLast(K, pack("x"), 9), PopLast(K)]


def cost(kept: MemoryJournal, command: Command) -> tuple[int, int, int]:
    draft = Draft(kept)
    decide(draft, command, now_ns=NOW_NS)
    work = draft.work()
    kept.carry_out(work)
    assert work.cleared == []
    rows = [(key, row) for table in work.rows.values() for key, row in table.items()]
    return len(rows), sum(len(key) + len(row or b"") for key, row in rows), len(work.records[0].body)


def test_of_a_hundred_thousand_elements_one_costs_no_more_than_of_ten(
    small_and_large: tuple[MemoryJournal, MemoryJournal],
) -> None:
    small, large = small_and_large
    for command in changes(small):
        costs = cost(small, command), cost(large, command)
        assert costs[0] == costs[1]
        rows, row_bytes, record_bytes = costs[0]
        assert rows <= 4  # the entry, the element, two of its expiry
        assert row_bytes <= 160
        assert record_bytes <= 100


def test_a_value_that_is_put_again_does_not_carry_what_was_spread() -> None:
    kept = journal()
    do(kept, SetTo(K, pack(whole(list, 100_000))))
    assert cost_of_put(kept) < 50


def test_a_large_value_that_is_replaced_again_and_again_is_not_told_each_time() -> None:
    kept = journal()
    do(kept, SetTo(K, pack("x" * 100_000)))
    assert cost_of_put(kept) < 50
    do(kept, SetTo(K, pack({})), Insert(K, X, pack("x" * 100_000)))
    assert cost(kept, Insert(K, X, pack("y")))[2] < 50
    do(kept, Insert(K, X, pack("x" * 100_000)))
    assert cost(kept, Remove(K, X))[2] < 50
    do(kept, SetTo(K, pack([])), PushLast(K, pack("x" * 100_000)))
    assert cost(kept, PopLast(K))[2] < 50


def cost_of_put(kept: MemoryJournal) -> int:
    draft = Draft(kept)
    decide(draft, SetTo(K, pack(1)))
    kept.carry_out(draft.work())
    return len(draft.records[0].body)
