"""A store against a plain dict, under every command, with batches, failed commits and replicas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from store_model import CONTENTS, NOW_NS, Model, apply_blindly, decide, journal, normal, outcome, rows_of

from broker.errors import StoreError
from broker.journaling import Load, MemoryJournal, Swap
from broker.stores.commands import (
    Add,
    Append,
    Command,
    Compare,
    Erasure,
    Expect,
    Fetch,
    Increment,
    Insert,
    PopLast,
    PushLast,
    Remove,
    SetTo,
    Truncate,
    Until,
)
from broker.stores.contents import Contents
from broker.stores.deciding import erase_expired
from broker.stores.draft import Draft
from broker.stores.entries import pack_key
from broker.stores.operations import encode_body
from broker.testing import strategies
from broker.values import Count, Timestamp, pack, unpack

INSTANT = datetime(2026, 1, 2, tzinfo=UTC)
NAN = float("nan")
# What Python takes for the same, and keys that a disk would find hard.
TRICKY: list[Any] = [
    1,
    True,
    1.0,
    Count(1),
    0,
    -0.0,
    False,
    (1, "a"),
    (True, "a"),
    frozenset({1}),
    frozenset({1.0}),
    INSTANT,
    Timestamp.from_ns(1_767_312_000_000_000_000),
    Timestamp.from_ns(1_767_312_000_000_000_001),
    "",
    b"",
    "a",
    b"a",
    None,
    2**64 - 1,
    NAN,
]
KEYS = [pack_key(key) for key in [*TRICKY[:4], "", b"", "k", "k" * 600, b"\xff" * 700, ("k", ("k",)), frozenset()]]
LARGE = [
    {f"key-{number:04}": number for number in range(120)},
    {number: [number, {"b": 1, "a": 2}] for number in range(130)},
    {f"member-{number:04}" for number in range(120)},
    {1.0, (True, False), *(number / 4 for number in range(5, 140))},
    [f"element-{number:04}" for number in range(100)],
    "text " * 400,
    (["in a tuple"], *range(300)),
]
SMALL = [set(), {}, [], {1}, {1: "one"}, [1], "text", b"bytes", 0, Count(0), 0.5, timedelta(1), INSTANT, 2**64 - 1, NAN]

PACKED = [pack(value) for value in SMALL + LARGE]


def brief(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The same, with a short repr."""

    @st.composite
    def some(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return some()


keys: st.SearchStrategy[bytes] = brief(st.sampled_from(KEYS) | strategies.hashable_values().map(pack_key))
values: st.SearchStrategy[bytes] = brief(st.sampled_from(PACKED) | strategies.values(5).map(pack))
elements: st.SearchStrategy[bytes] = brief(
    st.sampled_from([*map(pack_key, TRICKY)]) | strategies.hashable_values().map(pack_key)
)
amounts = st.sampled_from([pack(amount) for amount in (1, Count(3), 0.5, timedelta(days=1), 2**63, "x", True, INSTANT)])
tails = st.sampled_from([pack(tail) for tail in ("text", b"bytes", "", 5)])
lifetimes = st.sampled_from([0, 1, 1000, 5 * 10**9, 2**63 - 1])
maybe = st.none() | lifetimes


def commands_of(key: st.SearchStrategy[bytes]) -> st.SearchStrategy[Command]:
    return st.one_of(
        st.builds(SetTo, key, values, lifetimes),
        st.builds(Add, key, values, lifetimes),
        st.builds(Compare, key, st.none() | values, st.none() | values, lifetimes),
        st.builds(Erasure, key, st.booleans()),
        st.builds(Increment, key, amounts, st.booleans(), maybe),
        st.builds(Append, key, tails, maybe),
        st.builds(Insert, key, elements, st.none() | values, maybe),
        st.builds(Insert, key, elements, st.none(), maybe),
        st.builds(Remove, key, elements, maybe),
        st.builds(PushLast, key, values, maybe),
        st.builds(PopLast, key, maybe),
        st.builds(Until, key, lifetimes),
        st.builds(Expect, key, st.none() | values),
        st.builds(Fetch, key),
        st.builds(Truncate) if key is keys else st.nothing(),
    )


of_any_key = commands_of(keys)
of_one_key = {key: st.lists(commands_of(st.just(key)), min_size=1, max_size=6) for key in KEYS[:2]}
some_elements = st.lists(st.tuples(elements, st.booleans()), min_size=1, max_size=6)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.journal = journal()
        self.contents = Contents("hosts", self.journal)
        self.draft, self.model = Draft(self.journal), Model()
        self.flying: tuple[Draft, Model] | None = None
        self.committed = Model()
        self.replica = journal()
        self.copies: list[MemoryJournal] = []
        self.now_ns = NOW_NS

    def request(self, *commands: Command) -> None:
        self.now_ns += 1
        before = self.draft.work()
        kept = (before.position, list(before.records), {table: dict(rows) for table, rows in before.rows.items()})
        cleared = list(before.cleared)
        self.model, expected = outcome(self.model, commands, self.now_ns)
        try:
            results = decide(self.draft, *commands, now_ns=self.now_ns)
        except StoreError as error:
            assert expected is type(error), error  # noqa: PT017 - which error, the model says
            after = self.draft.work()
            assert (after.position, after.records, after.rows) == kept
            assert after.cleared == cleared
            return
        assert isinstance(expected, list), expected
        assert [None if result is None else normal(unpack(result)) for result in results] == [
            None if result is None and found is None else normal(result)
            for result, found in zip(expected, results, strict=True)
        ]

    @rule(command=of_any_key)
    def one(self, command: Command) -> None:
        self.request(command)

    @rule(key=st.sampled_from(KEYS[:2]), together=st.booleans(), data=st.data())
    def many_of_one_key(self, key: bytes, together: bool, data: st.DataObject) -> None:
        commands = data.draw(of_one_key[key])
        if together:
            self.request(*commands)
            return
        for command in commands:
            self.request(command)

    @rule(key=st.sampled_from(KEYS[:2]), kind=st.sampled_from([set, dict]), changes=some_elements)
    def elements_of_one_key(self, key: bytes, kind: type, changes: list[tuple[bytes, bool]]) -> None:
        self.request(SetTo(key, pack(kind())))
        for element, removes in changes:
            self.request(Remove(key, element) if removes else Insert(key, element, None if kind is set else b"\x01"))

    @rule(commands=st.lists(of_any_key, min_size=2, max_size=5).map(tuple))
    def batch(self, commands: tuple[Command, ...]) -> None:
        self.request(*commands)

    @rule(later=st.sampled_from([10**9, 6 * 10**9, 2**62]))
    def expire(self, later: int) -> None:
        if self.flying is not None or self.draft.changes_anything:
            return
        self.now_ns += later if self.now_ns + later < 2**63 else 0
        operations = []
        for row, _ in list(self.journal.rows(2)):
            if int.from_bytes(row[:8], "big") <= self.now_ns:
                operation = erase_expired(self.draft, row[8:], int.from_bytes(row[:8], "big"))
                assert operation is not None
                operations.append(operation)
        if operations:
            self.draft.append(encode_body(self.now_ns, "", tuple(operations)), tuple(operations))
        for key, (_, expiry) in list(self.model.entries.items()):
            if expiry and expiry <= self.now_ns:
                del self.model.entries[key]

    @precondition(lambda self: self.flying is None and self.draft.changes_anything)
    @rule()
    def fly(self) -> None:
        self.flying = self.draft, self.model.copy()
        self.draft = Draft(self.journal, self.draft)

    @precondition(lambda self: self.flying is not None)
    @rule(trim=st.integers(0, 3))
    def land(self, trim: int) -> None:
        assert self.flying is not None
        (flown, self.committed), self.flying = self.flying, None
        self.journal.carry_out(flown.work(max(0, self.replica.position.sequence - trim)))
        self.draft.settle()
        self.contents.changed(flown.changed_keys)
        self.check_contents()
        self.check_replicas()

    @precondition(lambda self: self.flying is not None)
    @rule()
    def fail(self) -> None:
        self.flying, self.draft, self.model = None, Draft(self.journal), self.committed.copy()

    @rule()
    def copy_by_snapshot(self) -> None:
        snapshot = self.journal.snapshot(CONTENTS)
        copy = journal(b"c")
        first = True
        while rows := snapshot.read(500):
            copy.carry_out(Load(rows, first))
            first = False
        copy.carry_out(Swap(snapshot.position))
        self.copies = [*self.copies[-1:], copy]

    def check_replicas(self) -> None:
        for copy in (self.replica, *self.copies):
            apply_blindly(copy, self.journal.read(copy.position.sequence, 1 << 40))
            assert copy.position == self.journal.position
            assert rows_of(copy) == rows_of(self.journal)

    def check_contents(self) -> None:
        contents, entries = self.contents, self.committed.entries
        assert len(contents) == len(entries)
        assert [pack_key(key) for key in contents.keys()] == sorted(entries)  # noqa: SIM118 - its order is promised
        for packed, (value, expiry) in entries.items():
            key = unpack(packed)
            assert contents.has(key)
            assert contents.expiry(key) == expiry
            assert normal(contents.find(key)) == normal(value)
            assert type(contents.find(key)) is type(value)
            if type(value) in {set, dict, list}:
                assert contents.size(key) == len(value)
                check_elements(contents, key, value)


def check_elements(contents: Contents, key: object, value: Any) -> None:
    indices = range(len(value)) if type(value) is list else list(value)
    for index in [*indices[:4], *indices[-1:]]:
        found = contents.element(key, index)
        assert found is True if type(value) is set else normal(found) == normal(value[index])


StoreMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestStoreAgainstModel = StoreMachine.TestCase
