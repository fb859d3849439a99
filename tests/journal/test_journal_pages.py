"""LMDB trusts its pages: what is wrong with one is told at opening and by verifying, before a key seems not there."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from journals import commit, contents, opened, replaced

from broker.errors import JournalDamaged
from broker.journal import verify
from broker.journal.head import Meta, read_meta, read_metas, take_turns
from broker.journal.pages import entries_of, nodes, number_and_flags, walk

ALL = 1 << 30
BRANCH, LEAF = 1, 2
PAGE = 4096
HEADER = 16
# Within a page's header, a row's head, and a tree's root.
LOWER, UPPER = 12, 14
KEY = 8
ENTRIES, ROOT = 32, 40
FREE_FLAGS = HEADER + 28
MAIN_FLAGS = FREE_FLAGS + 48
TRANSACTION = HEADER + 128


class Spoilt:
    """A journal's file, to be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(path.read_bytes())
        with path.open("rb") as file:
            self.meta: Meta = read_meta(str(path), file.fileno())
            pages = sorted(entries_of(file.fileno(), self.meta, b"table.entries")[0])
        self.branch = next(number for number in pages if self.kind(number) == BRANCH)
        self.leaves = [number for number in pages if self.kind(number) == LEAF]

    def kind(self, number: int) -> int:
        return number_and_flags(self.page(number))[1]

    def page(self, number: int) -> bytes:
        return bytes(self.data[number * PAGE : (number + 1) * PAGE])

    def word(self, place: int, form: str = "H") -> int:
        return int(struct.unpack_from(f"={form}", self.data, place)[0])

    def put(self, place: int, value: int, form: str = "H") -> None:
        struct.pack_into(f"={form}", self.data, place, value)

    def row(self, number: int, index: int) -> int:
        """Where a page's row is in the file."""
        return number * PAGE + self.word(number * PAGE + HEADER + 2 * index)

    def named(self, name: bytes) -> int:
        """Where the root of a database is in the file."""
        number = self.meta.main.root
        return next(number * PAGE + node.start for node in nodes(self.page(number), number) if node.key == name)


@pytest.fixture
def spoilt(tmp_path: Path) -> Spoilt:
    path = tmp_path / "hosts.lmdb"
    journal = opened(path)
    commit(journal, *[b"record"] * 300, rows={0: {b"web-%03d" % number: b"v" * 60 for number in range(300)}})
    commit(journal, rows={0: {b"web-200": b"w" * 60}}, cleared=[(1, b"")])
    journal.close()
    return Spoilt(path)


def key_of_a_branch(file: Spoilt) -> str:
    file.data[file.row(file.branch, 1) + KEY] ^= 0x80
    return "a key that is out of order"


def key_of_a_branch_by_little(file: Spoilt) -> str:
    """It is between the keys of its page, and one in the page before is not below it."""
    place = file.row(file.branch, 2) + KEY + len(b"web-00")
    file.data[place] -= 1
    return "a key that is out of order"


def key_of_a_branch_by_little_upwards(file: Spoilt) -> str:
    """The first one in its page is below it."""
    place = file.row(file.branch, 2) + KEY + len(b"web-00")
    file.data[place] += 1
    return "a key that is out of order"


def key_of_a_leaf(file: Spoilt) -> str:
    """Of the row in the middle, at which each search looks first."""
    number = file.leaves[1]
    rows = (file.word(number * PAGE + LOWER) - HEADER) // 2
    file.data[file.row(number, (rows - 1) // 2) + KEY] ^= 0x02
    return "a key that is out of order"


def order_of_a_leaf(file: Spoilt) -> str:
    place = file.leaves[1] * PAGE + HEADER
    one, other = file.word(place + 4), file.word(place + 6)
    file.put(place + 4, other)
    file.put(place + 6, one)
    return "a key that is out of order"


def rows_of_a_leaf(file: Spoilt) -> str:
    """The last is beyond the end of its page's list."""
    place = file.leaves[1] * PAGE + LOWER
    file.put(place, file.word(place) - 2)
    return "is not where it was written"


def length_of_a_row(file: Spoilt) -> str:
    place = file.row(file.leaves[1], 3)
    file.put(place, file.word(place) ^ 2)
    return "is not where it was written"


def length_of_a_key(file: Spoilt) -> str:
    place = file.row(file.leaves[1], 3) + 6
    file.put(place, file.word(place) ^ 8)
    return "is not where it was written"


def kind_of_a_row(file: Spoilt) -> str:
    file.data[file.row(file.leaves[1], 3) + 4] ^= 4
    return "is not where it was written"


def row_that_would_be_a_tree(file: Spoilt) -> str:
    """LMDB would end the process that reads it."""
    file.data[file.row(file.leaves[1], 3) + 4] ^= 2
    return "is not where it was written"


def number_of_entries(file: Spoilt) -> str:
    place = file.named(b"table.entries") + ENTRIES
    file.put(place, file.word(place, "Q") ^ 1, "Q")
    return "a tree has 300 entries, and says 301"


def order_of_a_database(file: Spoilt) -> str:
    """Its keys would be compared from their ends."""
    file.data[file.named(b"table.entries") + 4] ^= 2
    return "is none of a journal's kind"


def kind_of_the_main_tree(file: Spoilt) -> str:
    """LMDB would end the process that opens it."""
    file.data[(file.meta.transaction & 1) * PAGE + MAIN_FLAGS] ^= 4
    return "a tree is none of a journal's kind"


def kind_of_the_free_tree(file: Spoilt) -> str:
    file.data[(file.meta.transaction & 1) * PAGE + FREE_FLAGS] ^= 4
    return "a tree is none of a journal's kind"


def depth_of_an_empty_database(file: Spoilt) -> str:
    """Writing to it would fail."""
    file.data[file.named(b"table.expiries") + 6] ^= 1
    return "a tree of depth 1"


def database_of_another(file: Spoilt) -> str:
    """Two of the names lead to the same pages."""
    one, other = file.named(b"facts"), file.named(b"table.elements")
    file.data[other : other + 48] = file.data[one : one + 48]
    return "is in use twice"


def page_of_before(file: Spoilt) -> str:
    """A branch leads to the version of a page that the last commit has replaced."""
    changed = next(number for number in file.leaves if b"w" * 60 in file.page(number))
    old = next(
        number
        for number in range(2, len(file.data) // PAGE)
        if number not in file.leaves and b"web-200\0" in file.page(number) and file.kind(number) == LEAF
    )
    for index in range(len(file.leaves)):
        place = file.row(file.branch, index)
        if file.word(place, "I") == changed:
            file.put(place, old, "I")
            return f"page {old} is in use, and counts as free"
    raise AssertionError("no branch leads to it")


def number_of_a_commit(file: Spoilt) -> str:
    """The last but one passes for the last."""
    place = (file.meta.transaction & 1) * PAGE + TRANSACTION
    assert file.word(place, "Q") == file.meta.transaction
    file.put(place, file.meta.transaction ^ 4, "Q")
    return "not of two commits, one after the other"


@pytest.mark.parametrize(
    "spoil",
    [
        key_of_a_branch,
        key_of_a_branch_by_little,
        key_of_a_branch_by_little_upwards,
        key_of_a_leaf,
        order_of_a_leaf,
        rows_of_a_leaf,
        length_of_a_row,
        length_of_a_key,
        kind_of_a_row,
        row_that_would_be_a_tree,
        number_of_entries,
        order_of_a_database,
        kind_of_the_main_tree,
        kind_of_the_free_tree,
        depth_of_an_empty_database,
        database_of_another,
        page_of_before,
        number_of_a_commit,
    ],
)
def test_what_would_hide_or_bring_back_an_entry_is_told(spoilt: Spoilt, spoil: Callable[[Spoilt], str]) -> None:
    told = spoil(spoilt)
    spoilt.path.write_bytes(spoilt.data)
    with pytest.raises(JournalDamaged, match=told):
        opened(spoilt.path, check_pages=ALL)
    assert spoilt.path.read_bytes() == spoilt.data
    problems = verify(spoilt.path).problems
    assert any(told in problem for problem in problems), problems


def key_of_a_leaf_in_order(file: Spoilt) -> str:
    """Nothing is wrong with the pages, but with the row."""
    at, key_bytes = file.row(file.leaves[1], 3), len(b"web-000\0")
    assert file.word(at + 6) == key_bytes
    file.data[at + KEY + key_bytes - 1] ^= 1
    return "is not what was written"


@pytest.mark.parametrize("spoil", [key_of_a_branch, key_of_a_branch_by_little, key_of_a_leaf, key_of_a_leaf_in_order])
def test_no_row_seems_not_to_be_there_in_pages_that_opening_did_not_look_at(
    spoilt: Spoilt, spoil: Callable[[Spoilt], str]
) -> None:
    """A search that has gone astray ends beside what tells so."""
    spoil(spoilt)
    spoilt.path.write_bytes(spoilt.data)
    journal = opened(spoilt.path)
    told: list[str] = []
    for number in range(300):
        key = b"web-%03d" % number
        with told_of_damage(told):
            assert journal.get(0, key) == (b"w" if number == 200 else b"v") * 60, key
        with told_of_damage(told):
            assert [row[0] for row in journal.rows(0, key)] == [key]
    assert 0 < len(told) < 600
    assert all("broker journal verify finds all" in text for text in told)
    journal.close()


@contextmanager
def told_of_damage(told: list[str]) -> Iterator[None]:
    try:
        yield
    except JournalDamaged as error:
        told.append(str(error))


def test_what_is_not_there_is_not_there(spoilt: Spoilt) -> None:
    journal = opened(spoilt.path)
    for key in (b"", b"a", b"web-", b"web-0001", b"web-150x", b"web-3", b"x", b"x" * 600):
        assert journal.get(0, key) is None
        assert journal.get(1, key) is None
    assert list(journal.rows(0, b"web-3")) == list(journal.rows(0, b"a")) == list(journal.rows(1, b"a")) == []
    assert len(list(journal.rows(0, b"web-2"))) == len(list(journal.rows(0, b"web-0"))) == 100
    journal.close()


def test_keys_are_looked_at_in_so_many_pages_as_opening_is_told(spoilt: Spoilt) -> None:
    told = key_of_a_branch(spoilt)
    spoilt.path.write_bytes(spoilt.data)
    opened(spoilt.path, check_pages=2).close()  # the first ones: the main tree's, and the facts'
    with pytest.raises(JournalDamaged, match=told):
        opened(spoilt.path, check_pages=3)


def test_no_whole_file_is_objected_to(tmp_path: Path) -> None:
    """Whatever was done to it: long keys and values, pages split, merged and freed; compacted, and swapped."""
    path = tmp_path / "hosts.lmdb"
    journal = opened(path)

    def look() -> None:
        with path.open("rb") as file:
            metas = read_metas(str(path), file.fileno())
            assert take_turns(metas)
            assert walk(file.fileno(), metas[0]) > 1

    for turn in range(6):
        rows = {b"%d" % (number * 7919 % 3000) + b"k" * (number % 600): b"v" * (number % 97) for number in range(700)}
        rows |= {b"long %d" % number: b"v" * (number * 1500) for number in range(turn * 2)}
        commit(journal, *[b"body" * 99] * 200, rows={0: dict(rows), 1: dict(rows)}, trim=turn * 150)
        look()
        gone = dict.fromkeys(list(rows)[turn :: turn + 2])
        commit(journal, rows={0: dict(gone), 1: dict(gone)}, cleared=[(2, b"")])
        look()
    for _ in range(3):
        journal.compact()
        look()
        commit(journal, b"body", rows={0: {b"more": b"v"}})
        look()
    before = contents(journal)
    journal.close()
    journal = opened(path, check_pages=ALL)
    assert contents(journal) == before
    replaced(journal, [(0, b"%08d" % number, b"v") for number in range(5000)], journal.position)
    look()
    commit(journal, cleared=[(0, b"0000")])
    look()
    journal.close()
    assert verify(path).ok
