"""The truth about one store: every record that a master has committed, as a tree, and the model's state behind each.

Logs that agree in a checksum agree in all before it, so a position is a node of the tree.  A log that is continued in
two ways, as after a restore from a backup, is where the tree branches: each branch is a **generation**, and a position
**descends** from another when its log has that one's records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import attrs
from simulated_world import Broken
from stored_model import Item, State, Wrong, operate

from broker.journaling import Journal, Position, Record
from broker.stores import operations
from broker.stores.changes import ABSENT, LAST, OMITTED, Change, changes_of
from broker.stores.elements import gather
from broker.stores.entries import DICT, ELEMENTS, ENTRIES, EXPIRIES, LIST, SET, WHOLE, read_entry, unpack_key
from broker.stores.operations import Operation, decode_body
from broker.values import unpack

__all__ = ["History", "Node"]

Key = tuple[bytes, int, bytes]


@attrs.define(eq=False)
class Node:
    """A position that a master has committed."""

    key: Key
    parent: Node | None
    generation: int
    state: State
    found_at: float
    time_ns: int = 0
    writer: str = ""
    operations: tuple[Operation, ...] = ()
    tags: frozenset[int] = frozenset()
    digest: bytes | None = None  # of the rows of entries and elements
    expiries: set[tuple[int, bytes]] | None = None  # as rows say them
    claimed: object = None  # the request that it was made for

    @property
    def sequence(self) -> int:
        return self.key[1]

    def __str__(self) -> str:
        return f"{self.key[0].hex()[:4]}:{self.sequence}:{self.key[2].hex()[:6]}"


class History:
    """All positions of one store."""

    def __init__(self, store: str) -> None:
        self.store = store
        self.nodes: dict[Key, Node] = {}
        self.order: list[Node] = []  # as they became known
        self.tagged: dict[int, list[Node]] = {}
        self.expired = 0
        self._last: list[Node] = []  # by generation
        self._forks: list[Node | None] = []  # by generation: what it begins behind

    def find(self, position: Position) -> Node | None:
        return self.nodes.get((position.journal, position.sequence, position.checksum))

    def descends(self, one: Node, other: Node) -> bool:
        """Whether a log that has one has the other, too."""
        while one.generation != other.generation:
            fork = self._forks[one.generation]
            if fork is None:
                return False
            one = fork
        return one.sequence >= other.sequence

    @property
    def mixed(self) -> bool:
        """Whether it was restored, or begun anew, or had two masters."""
        return len(self._forks) > 1

    # -- learning --------------------------------------------------------------------------------------------------

    def learn(self, journal: Journal, now: float) -> Node:
        """Take note of what a master has committed; returns where it is."""
        position = journal.position
        found = self.find(position)
        if found is not None:
            return found
        if position.sequence == 0:
            return self._add((position.journal, 0, position.checksum), None, {}, now)
        unknown: list[tuple[int, bytes, bytes]] = []
        node = None
        for record in reversed(journal.read(journal.first - 1, 1 << 60)):
            node = self.nodes.get((position.journal, record.sequence, record.checksum))
            if node is not None:
                break
            unknown.append(record)
        if node is None:
            base = journal.checksum_at(journal.first - 1)
            assert base is not None
            node = self.nodes.get((position.journal, journal.first - 1, base))
        if node is None and journal.first == 1:
            node = self._add((position.journal, 0, bytes(8)), None, {}, now)
        if node is None:
            raise Broken(f"the log of {self.store} begins with {journal.first} behind what nobody has committed")
        for sequence, checksum, body in reversed(unknown):
            node = self._grow(node, (position.journal, sequence, checksum), body, now)
        return node

    def _add(self, key: Key, parent: Node | None, state: State, now: float, **named: Any) -> Node:
        if parent is not None and self._last[parent.generation] is parent:
            generation = parent.generation
        else:
            generation = len(self._forks)
            self._forks.append(parent)
            self._last.append(parent)  # type: ignore[arg-type]
        node = self.nodes[key] = Node(key, parent, generation, state, now, **named)
        self._last[generation] = node
        self.order.append(node)
        return node

    def _grow(self, parent: Node, key: Key, data: bytes, now: float) -> Node:
        body = decode_body(data)
        state, tags = parent.state, set[int]()
        for operation in body.operations:
            self._check_expiry(state, operation, body.time_ns)
            tags |= set(_tags_of(state, operation))
            try:
                state = operate(state, operation)
            except Wrong as wrong:
                raise Broken(f"record {key[1]} of {self.store}: {wrong}") from wrong
        self._check_changes(parent, state, Record(key[1], key[2], data))
        node = self._add(
            key,
            parent,
            state,
            now,
            time_ns=body.time_ns,
            writer=body.writer,
            operations=body.operations,
            tags=frozenset(tags),
        )
        if body.time_ns < parent.time_ns:
            raise Broken(f"record {key[1]} of {self.store} is older than the one before it")
        for tag in tags:
            for other in self.tagged.get(tag, ()):
                if self.descends(node, other):
                    raise Broken(f"request {tag} of {self.store} took place twice: at {other} and at {node}")
            self.tagged.setdefault(tag, []).append(node)
        return node

    def _check_changes(self, parent: Node, state: State, record: Record) -> None:
        """Check that who had everything and applies what watches tell has everything again."""
        before = Position(parent.key[0], 0, *parent.key[1:])
        position, changes = changes_of(record, before)
        values = {unpack_key(key): item.value for key, item in parent.state.items()}
        for change in changes:
            if change.position != position or change.final != (change is changes[-1]):
                raise Broken(f"{change} of {self.store} is not of {position}")
            watch(values, change)
        wanted = {unpack_key(key): item.value for key, item in state.items()}
        if values != wanted:
            raise Broken(
                f"watches of {self.store} tell {changes!r:.400} at {record.sequence}, and there is {wanted!r:.400}"
            )

    def _check_expiry(self, state: State, operation: Operation, time_ns: int) -> None:
        if type(operation) is operations.Erase and operation.expired:
            self.expired += 1
            item = state.get(operation.key)
            if item is None or not 0 < item.expiry <= time_ns:
                raise Broken(f"{operation} of {self.store} at {time_ns}, and it was {item}")

    # -- contents --------------------------------------------------------------------------------------------------

    def check_contents(self, node: Node, journal: Journal, whose: str) -> None:
        """Check that a replica's rows are those of its position: the model's, and everybody else's to the byte."""
        parts: list[bytes] = []
        for table in (ENTRIES, ELEMENTS):
            for key, row in journal.rows(table):
                parts += (b"%d %d %d " % (table, len(key), len(row)), key, row)
        found = blake2b(b"".join(parts), digest_size=16).digest()
        if node.digest is None:
            state = read_state(journal)
            if state != node.state:
                raise Broken(f"{whose} at {node} has {_differences(state, node.state)}")
            node.digest = found
        elif node.digest != found:
            state = read_state(journal)
            raise Broken(f"{whose} at {node} has rows of its own: {_differences(state, node.state)}")
        rows = {(int.from_bytes(row[:8], "big"), row[8:]) for row, _ in journal.rows(EXPIRIES)}
        if node.expiries is None:
            node.expiries = {(item.expiry, key) for key, item in node.state.items() if item.expiry}
        wanted = node.expiries
        if rows != wanted:
            raise Broken(f"{whose} at {node} lets expire {rows - wanted}, and not {wanted - rows}")


def watch(values: dict[Any, Any], change: Change) -> None:
    """Apply a change to values, which are not changed in place."""
    key, new = change.key, change.new
    if change.cause == "clear":
        values.clear()
    elif change.element is ABSENT:
        old = values.get(key, ABSENT)
        if (old is ABSENT) != (change.old is ABSENT) or change.old not in (old, OMITTED):
            raise Broken(f"{change} says what was there, and it was {old!r:.200}")
        if new is ABSENT:
            del values[key]
        else:
            values[key] = new
    elif change.element is LAST:
        values[key] = values[key][:-1] if new is ABSENT else [*values[key], new]
    elif type(values[key]) is set:
        values[key] = values[key] - {change.element} if new is ABSENT else values[key] | {change.element}
    else:
        rest = {element: item for element, item in values[key].items() if element != change.element}
        values[key] = rest if new is ABSENT else {**rest, change.element: new}


def read_state(journal: Journal) -> State:
    """Return a journal's entries as the model has them."""
    state: State = {}
    elements = 0
    for key, row in journal.rows(ENTRIES):
        entry = read_entry(row)
        if entry.kind == WHOLE:
            state[key] = Item(unpack(entry.value), entry.expiry)
            continue
        rows = list(journal.rows(ELEMENTS, entry.prefix))
        elements += len(rows)
        if len(rows) != entry.count:
            raise Broken(f"an entry says that it has {entry.count} elements, and it has {len(rows)}")
        assert entry.kind in {SET, DICT, LIST}
        state[key] = Item(gather(entry.kind, iter(rows)), entry.expiry)
    if elements != journal.count(ELEMENTS):
        raise Broken(f"{journal.count(ELEMENTS) - elements} elements are left over of entries that are gone")
    return state


def _differences(found: State, wanted: State) -> str:
    keys = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    return "; ".join(f"{unpack(key)!r}: {found.get(key)!r:.200} for {wanted.get(key)!r:.200}" for key in keys[:3])


def _tags_of(state: State, operation: Operation) -> Iterator[int]:
    """Give the number of the request that an operation comes from, where its value tells."""
    match operation:
        case operations.Put(key, value, _, _):
            new = unpack(value)
            old = state[key].value if key in state else None
            if type(new) is int:
                yield abs(new - (old if type(old) is int else 0))
            else:
                yield from _tags_in(new)
        case operations.Set(_, element, b"", _):
            yield from _tags_in(unpack(element))
        case operations.Set(_, _, value, _) | operations.Push(_, value):
            yield from _tags_in(unpack(value))


def _tags_in(value: Any) -> Iterator[int]:
    if type(value) is int:
        yield value
    elif type(value) is str and (match := re.search(r"(\d+)>?$", value)):
        yield int(match[1])
    elif type(value) is list and value:
        yield value[-1]
    elif type(value) is set and value:
        yield max(value)
    elif type(value) is dict and value:
        yield from _tags_in(value.get("t"))
