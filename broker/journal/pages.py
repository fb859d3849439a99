"""A walk over all pages that an LMDB file's trees use, by plain reading: LMDB trusts them, and we do not.

What would kill a process in which LMDB follows it: pages that lie behind the file's end, and offsets that lead out of
their page.  What would have LMDB tell that a key is not there which is, or show a state that is no more:

- The rows of a page fill it from its end without a gap (LMDB moves them together when one is removed), so a row more or
  less, or one that is longer or elsewhere, is seen.
- Keys are in order in each page, and all of a page's are between those that lead to it from above.
- A tree has as many entries as it says.
- No page is used twice, or both used and free: so no pointer leads to a page's older version.

The layout is that of LMDB 0.9 (``MDB_page``, ``MDB_node`` and ``MDB_db`` in its mdb.c).  The values are not looked at:
rows, records and facts have checksums of their own.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from operator import lt
from struct import Struct as Layout
from struct import calcsize
from struct import error as struct_error
from typing import Final, NamedTuple

from broker.journal.head import Meta, Tree

__all__ = ["Node", "PageDamaged", "entries_of", "nodes", "number_and_flags", "slack", "strewn_nodes", "walk"]

_WORD: Final = "Q" if calcsize("P") == 8 else "I"
_PAGE: Final = Layout(f"={_WORD}HHHH")  # number, pad, flags, and where the free space begins and ends
_PAGES: Final = Layout(f"={_WORD}HHI")  # of an overflow page: number, pad, flags, how many pages
_NODE: Final = Layout("=HHHH")  # size or child (low, high), flags or the child's highest bits, size of the key
_TREE: Final = Layout(f"=IHH5{_WORD}")
_NUMBER: Final = Layout(f"={_WORD}")
_NODE_BYTES: Final = _NODE.size
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_BIG, _SUBTREE = 0x01, 0x02
_EMPTY: Final = (1 << (8 * calcsize("P"))) - 1
_DEPTH_MAX: Final = 32  # LMDB's cursors go no deeper
_KINDS, _NUMBERED = 0xFF, 0x08  # of what a tree's flags say: how its keys are ordered
_METAS: Final = 2  # the pages before all others
_FACTS, _LOG = b"facts", b"log"


_KEY_BYTES_MAX: Final = 511
# What a row's head looks like: its flags (a value that is long or not), and the size of its key.
_FLAGS_AT: Final = 4
_STREWN: Final = re.compile(
    rb"(?=[\x00\x01]\x00(?:[^\x00][\x00\x01]|\x00\x01))"
    if sys.byteorder == "little"
    else rb"(?=\x00[\x00\x01](?:[\x00\x01][^\x00]|\x01\x00))"
)


# A page that is to be looked at: its number, its level, and what its keys are not below, and below.
_Waiting = tuple[int, int, bytes, bytes | None]
_Rows = tuple[list[bytes], set[int], list[tuple[int, int]]]


class Node(NamedTuple):
    """A row as it stands in a page: where its value begins there, and how long it is."""

    key: bytes
    start: int
    size: int
    overflow: int  # the page of a long value; 0: it stands in this one
    subtree: bool


class PageDamaged(ValueError):
    """A page that is not there, or not what was written."""


def _raise(text: str) -> None:
    raise PageDamaged(text)


class _File(NamedTuple):
    fd: int
    page_bytes: int
    last_page: int
    tell: Callable[[str], None]  # what is wrong, and leads nobody astray

    def read(self, number: int) -> bytes:
        if number > self.last_page:
            raise PageDamaged(f"page {number} is asked for, and the last is {self.last_page}")
        data = os.pread(self.fd, self.page_bytes, number * self.page_bytes)
        if len(data) < self.page_bytes:
            raise PageDamaged(f"the file ends before page {number}")
        return data


class _Used(NamedTuple):
    """A page of a tree, or the pages of a long value."""

    number: int
    pages: int = 1
    leaf: bytes = b""


class _Map:
    """Which pages are in use."""

    def __init__(self, file: _File) -> None:
        self._pages = bytearray(os.fstat(file.fd).st_size // file.page_bytes)

    def add(self, used: _Used) -> None:
        number, count, _ = used
        if self._pages[number] or (count > 1 and any(self._pages[number : number + count])):
            raise PageDamaged(f"page {number} is in use twice")
        self._pages[number : number + count] = b"\1" * count

    def has(self, number: int) -> bool:
        return number < len(self._pages) and bool(self._pages[number])


def walk(fd: int, meta: Meta, most: int | None = None, tell: Callable[[str], None] = _raise) -> int:
    """Look at each page that is in use, or at so many; returns how many.  Raises PageDamaged at the first that is bad.

    Where LMDB can read on in safety, though it may not find all, ``tell`` is called instead, if it is given.

    A long value counts as one page.  The log comes after the tables, so with ``most`` all that is read by key is looked
    at in a small store with a long log.  Of a file without ``facts``, which is no journal, nothing more is said.  The
    file may be written to meanwhile if a read transaction holds the pages of ``meta``.
    """
    file = _File(fd, meta.page_bytes, meta.last_page, tell)
    seen = _Map(file)
    count = 0
    for used in islice(_pages(file, meta), most):
        seen.add(used)
        count += 1
    if most is None or count < most:
        _check_free(file, meta, seen)
    return count


def _pages(file: _File, meta: Meta) -> Iterator[_Used]:
    """Give all pages in use."""
    named: dict[bytes, Tree] = {}
    for used in _tree(file, meta.main, kinds=_BIG | _SUBTREE):
        yield used
        if used.leaf:
            named.update(_named(used))
    if _FACTS not in named:
        return
    if meta.main.flags or meta.free.flags & _KINDS != _NUMBERED:
        raise PageDamaged("a tree is none of a journal's kind")
    for name in sorted(named, key=lambda name: (name == _LOG, name)):
        if named[name].flags:
            raise PageDamaged(f"the database {name!r} is none of a journal's kind")
        yield from _tree(file, named[name])
    yield from _tree(file, meta.free, numbers=True)


def _named(used: _Used) -> Iterator[tuple[bytes, Tree]]:
    """Give the databases that a page of the main tree names."""
    for node in nodes(used.leaf, used.number):
        if node.subtree:
            if node.size != _TREE.size:
                raise PageDamaged("a tree's root is not what was written")
            fields = _TREE.unpack_from(used.leaf, node.start)
            yield node.key, Tree(fields[1], fields[2], fields[6], fields[7])


def _tree(file: _File, tree: Tree, *, numbers: bool = False, kinds: int = _BIG) -> Iterator[_Used]:
    """Give the pages of a tree.  Its keys are bytes, or numbers as the machine has them; its rows are of ``kinds``."""
    entries = 0
    waiting: list[_Waiting] = [] if tree.root == _EMPTY else [(tree.root, 1, b"", None)]
    if not (0 < tree.depth <= _DEPTH_MAX if waiting else tree.depth == 0):
        raise PageDamaged(f"a tree of depth {tree.depth}")
    while waiting:
        number, level, low, high = waiting.pop()
        page = file.read(number)
        flags, upper, offsets = _layout(page, number)
        if (flags == _BRANCH) != (level < tree.depth) or not offsets:
            raise PageDamaged(f"page {number} does not stand where it belongs in its tree")
        try:
            keys, rest, values = _branch(page, offsets) if flags == _BRANCH else _leaf(page, offsets, kinds)
        except struct_error:
            raise _row_astray(number) from None
        if rest != {upper, len(page)}:
            raise _row_astray(number)
        if numbers and sys.byteorder == "little":
            keys = [key[::-1] for key in keys]
        if flags == _BRANCH:
            del keys[0]  # it is none
            bounds = zip((low, *keys), (*keys, high), strict=True)
            waiting += [(child, level + 1, *pair) for (child, _), pair in zip(values, bounds, strict=True)]
        if not _in_order(keys, low, high):
            file.tell(f"page {number} has a key that is out of order")
        if flags == _BRANCH:
            yield _Used(number)
            continue
        entries += len(keys)
        yield _Used(number, 1, page)
        for at, size in values:
            yield _overflow(file, _NUMBER.unpack_from(page, at)[0], size)
    if entries != tree.entries:
        file.tell(f"a tree has {entries} entries, and says {tree.entries}")


def _in_order(keys: list[bytes], low: bytes, high: bytes | None) -> bool:
    """Whether keys rise, from ``low`` on and to below ``high``."""
    if not keys:  # of a branch page with one child
        return True
    return keys[0] >= low and (high is None or keys[-1] < high) and all(map(lt, keys, keys[1:]))


def _branch(page: bytes, offsets: tuple[int, ...]) -> _Rows:
    """Return a branch page's keys, what its rows leave between its ends, and its children."""
    keys, ends, children = [], [], []
    for at in offsets:
        low, high, highest, key_bytes = _NODE.unpack_from(page, at)
        end = at + _NODE_BYTES + key_bytes
        keys.append(page[at + _NODE_BYTES : end])
        ends.append((end + 1) & ~1)
        children.append((low | high << 16 | highest << 32, 0))
    return keys, set(offsets).symmetric_difference(ends), children


def _leaf(page: bytes, offsets: tuple[int, ...], kinds: int) -> _Rows:
    """Return a leaf's keys, what its rows leave between its ends, and its long values: where that stands, and sizes."""
    keys, ends, values = [], [], []
    unpack = _NODE.unpack_from
    for at in offsets:
        low, high, kind, key_bytes = unpack(page, at)
        end = at + _NODE_BYTES + key_bytes
        keys.append(page[at + _NODE_BYTES : end])
        if high or kind:
            if kind & ~kinds:
                raise struct_error("no row of a journal's")
            size = low | high << 16
            if kind & _BIG:
                values.append((end, size))
                size = _NUMBER.size
            ends.append((end + size + 1) & ~1)
        else:
            ends.append((end + low + 1) & ~1)
    return keys, set(offsets).symmetric_difference(ends), values


def _check_free(file: _File, meta: Meta, seen: _Map) -> None:
    """Check that no page is free that is in use: LMDB would write over it."""
    for used in _tree(file, meta.free, numbers=True):
        for node in nodes(used.leaf, used.number) if used.leaf else ():
            data = used.leaf[node.start : node.start + node.size]
            if node.overflow:
                start = node.overflow * file.page_bytes + _PAGE.size
                data = os.pread(file.fd, node.size, start)
            numbers = Layout(f"={len(data) // _NUMBER.size}{_WORD}").unpack_from(data)
            if not numbers or numbers[0] >= len(numbers):  # there may be room left behind them
                raise PageDamaged(f"page {used.number} has a list of free pages that is not what was written")
            for number in numbers[1 : numbers[0] + 1]:
                if seen.has(number) or not _METAS <= number <= file.last_page:
                    file.tell(f"page {number} is in use, and counts as free")


def _layout(page: bytes, number: int) -> tuple[int, int, tuple[int, ...]]:
    """Return the page's flags, where its free space ends, and the offsets of its nodes."""
    own, _, flags, lower, upper = _PAGE.unpack_from(page)
    if own != number or flags not in (_BRANCH, _LEAF):
        raise PageDamaged(f"page {number} is not what was written")
    if not _PAGE.size <= lower <= upper <= len(page) or lower % 2:
        raise PageDamaged(f"page {number} has its rows in no possible place")
    count = (lower - _PAGE.size) // 2
    offsets = Layout(f"={count}H").unpack_from(page, _PAGE.size)
    return flags, upper, offsets


def _row_astray(number: int) -> PageDamaged:
    return PageDamaged(f"page {number} has a row that leads out of it, or is not where it was written")


def number_and_flags(page: bytes) -> tuple[int, int, int]:
    """Return what a page says of itself: its number, what it is, and how many pages follow with it."""
    own, _, flags, count = _PAGES.unpack_from(page)
    return own, flags & 0x0F, count


def _node(page: bytes, offset: int) -> Node | None:
    """Return the row that stands there; None: there is none."""
    low, high, flags, key_bytes = _NODE.unpack_from(page, offset)
    size = low | high << 16
    start = offset + _NODE.size + key_bytes
    big = flags & _BIG
    if not 1 <= key_bytes <= _KEY_BYTES_MAX or flags & ~(_BIG | _SUBTREE):
        return None
    if start + (_NUMBER.size if big else size) > len(page):
        return None
    overflow = _NUMBER.unpack_from(page, start)[0] if big else 0
    return Node(page[offset + _NODE.size : start], start, size, overflow, bool(flags & _SUBTREE))


def nodes(page: bytes, number: int) -> Iterator[Node]:
    """Give the rows of a leaf by its own table of them; raises PageDamaged for what is none, or has no such table."""
    flags, upper, offsets = _layout(page, number)
    if not flags & _LEAF:
        raise PageDamaged(f"page {number} has no rows")
    if offsets and (min(offsets) < upper or max(offsets) > len(page) - _NODE.size):
        raise _row_astray(number)
    for offset in offsets:
        node = _node(page, offset)
        if node is not None:
            yield node


def slack(page: bytes) -> tuple[int, int]:
    """Return where a leaf's free space begins and ends: rows that were removed may still stand there."""
    _, _, _, lower, upper = _PAGE.unpack_from(page)
    return (lower, upper) if page[lower:upper].strip(b"\0") else (0, 0)


def strewn_nodes(page: bytes, start: int, end: int) -> Iterator[Node]:
    """Give whatever in a part of a page could be a row, where no table of them leads to it."""
    for match in _STREWN.finditer(page, start + _FLAGS_AT, end):
        offset = match.start() - _FLAGS_AT
        node = _node(page, offset) if offset % 2 == 0 and offset + _NODE.size < len(page) else None
        if node is not None:
            yield node


def entries_of(fd: int, meta: Meta, name: bytes) -> tuple[set[int], int]:
    """Return the pages of a named database, and how many rows it has; raises PageDamaged."""
    file = _File(fd, meta.page_bytes, meta.last_page, _raise)
    for used in _tree(file, meta.main, kinds=_BIG | _SUBTREE):
        for found, tree in _named(used) if used.leaf else ():
            if found == name:
                parts = list(_tree(file, tree))
                return {page for part in parts for page in range(part.number, part.number + part.pages)}, tree.entries
    raise PageDamaged(f"there is no database {name!r}")


def _overflow(file: _File, number: int, size: int) -> _Used:
    own, _, flags, count = _PAGES.unpack_from(file.read(number))
    if own != number or not flags & _OVERFLOW or count * file.page_bytes < size + _PAGE.size:
        raise PageDamaged(f"page {number} of a long value is not what was written")
    file.read(number + count - 1)
    return _Used(number, count)
