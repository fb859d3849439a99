"""A walk over all pages that an LMDB file's trees use, by plain reading: LMDB trusts them, and we do not.

It finds pages that lie behind the file's end, and pages whose inner offsets lead out of them: both would kill a process
in which LMDB follows them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from itertools import islice
from struct import Struct as Layout
from struct import calcsize
from typing import Final, NamedTuple

from broker.journal.head import Meta, Tree

__all__ = ["Node", "PageDamaged", "entries_of", "nodes", "number_and_flags", "slack", "strewn_nodes", "walk"]

_WORD: Final = "Q" if calcsize("P") == 8 else "I"
_PAGE: Final = Layout(f"={_WORD}HHHH")  # number, pad, flags, and where the free space begins and ends
_PAGES: Final = Layout(f"={_WORD}HHI")  # of an overflow page: number, pad, flags, how many pages
_NODE: Final = Layout("=HHHH")  # size or child (low, high), flags or the child's highest bits, size of the key
_TREE: Final = Layout(f"=IHH5{_WORD}")
_NUMBER: Final = Layout(f"={_WORD}")
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_BIG, _SUBTREE = 0x01, 0x02
_EMPTY: Final = (1 << (8 * calcsize("P"))) - 1
_DEPTH_MAX: Final = 32  # LMDB's cursors go no deeper


_KEY_BYTES_MAX: Final = 511
# What a row's head looks like: its flags (a value that is long or not), and the size of its key.
_FLAGS_AT: Final = 4
_STREWN: Final = re.compile(
    rb"(?=[\x00\x01]\x00(?:[^\x00][\x00\x01]|\x00\x01))"
    if sys.byteorder == "little"
    else rb"(?=\x00[\x00\x01](?:[\x00\x01][^\x00]|\x01\x00))"
)


class Node(NamedTuple):
    """A row as it stands in a page: where its value begins there, and how long it is."""

    key: bytes
    start: int
    size: int
    overflow: int  # the page of a long value; 0: it stands in this one
    subtree: bool


class PageDamaged(ValueError):
    """A page that is not there, or not what was written."""


class _File(NamedTuple):
    fd: int
    page_bytes: int
    last_page: int

    def read(self, number: int) -> bytes:
        if number > self.last_page:
            raise PageDamaged(f"page {number} is asked for, and the last is {self.last_page}")
        data = os.pread(self.fd, self.page_bytes, number * self.page_bytes)
        if len(data) < self.page_bytes:
            raise PageDamaged(f"the file ends before page {number}")
        return data


def walk(fd: int, meta: Meta, most: int | None = None) -> int:
    """Look at each page that is in use, or at so many; returns how many.  Raises PageDamaged at the first that is bad.

    The file may be written to meanwhile if a read transaction holds the pages of ``meta``.
    """
    file = _File(fd, meta.page_bytes, meta.last_page)
    numbers = (number for tree in (meta.free, meta.main) for number in _tree(file, tree.root, tree.depth))
    return sum(1 for _ in islice(numbers, most))


def _tree(file: _File, root: int, depth: int, *, inner: bool = True) -> Iterator[int]:
    if root == _EMPTY:
        return
    if not 0 < depth <= _DEPTH_MAX:
        raise PageDamaged(f"a tree of depth {depth}")
    waiting = [(root, 1)]
    while waiting:
        number, level = waiting.pop()
        page = file.read(number)
        flags, offsets = _layout(page, number)
        yield number
        if bool(flags & _BRANCH) != (level < depth):
            raise PageDamaged(f"page {number} does not stand where it belongs in its tree")
        for offset in offsets:
            low, high, node_flags, key_bytes = _NODE.unpack_from(page, offset)
            if flags & _BRANCH:
                waiting.append((low | high << 16 | node_flags << 32, level + 1))
                continue
            size = low | high << 16
            start = offset + _NODE.size + key_bytes
            inline = _NUMBER.size if node_flags & _BIG else size
            if start + inline > file.page_bytes:
                raise PageDamaged(f"page {number} has a row that leads out of it")
            if node_flags & _BIG:
                yield _overflow(file, _NUMBER.unpack_from(page, start)[0], size)
            elif node_flags & _SUBTREE and inner:
                yield from _subtree(file, page, start, size)


def _layout(page: bytes, number: int) -> tuple[int, tuple[int, ...]]:
    """Return the page's flags and the offsets of its nodes."""
    own, _, flags, lower, upper = _PAGE.unpack_from(page)
    if own != number or flags not in (_BRANCH, _LEAF):
        raise PageDamaged(f"page {number} is not what was written")
    if not _PAGE.size <= lower <= upper <= len(page) or lower % 2:
        raise PageDamaged(f"page {number} has its rows in no possible place")
    count = (lower - _PAGE.size) // 2
    offsets = Layout(f"={count}H").unpack_from(page, _PAGE.size)
    if offsets and (min(offsets) < upper or max(offsets) > len(page) - _NODE.size):
        raise PageDamaged(f"page {number} has a row that leads out of it")
    return flags, offsets


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
    flags, offsets = _layout(page, number)
    if not flags & _LEAF:
        raise PageDamaged(f"page {number} has no rows")
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
    file = _File(fd, meta.page_bytes, meta.last_page)
    for number in _tree(file, meta.main.root, meta.main.depth, inner=False):
        page = file.read(number)
        if number_and_flags(page)[1] != _LEAF:
            continue
        for node in nodes(page, number):
            if node.key == name and node.subtree and node.size == _TREE.size:
                fields = _TREE.unpack_from(page, node.start)
                return set(_tree(file, fields[7], fields[2])), fields[6]
    raise PageDamaged(f"there is no database {name!r}")


def _overflow(file: _File, number: int, size: int) -> int:
    own, _, flags, count = _PAGES.unpack_from(file.read(number))
    if own != number or not flags & _OVERFLOW or count * file.page_bytes < size + _PAGE.size:
        raise PageDamaged(f"page {number} of a long value is not what was written")
    file.read(number + count - 1)
    return number


def _subtree(file: _File, page: bytes, start: int, size: int) -> Iterator[int]:
    if size != _TREE.size:
        raise PageDamaged("a tree's root is not what was written")
    fields = _TREE.unpack_from(page, start)
    tree = Tree(fields[1], fields[2], fields[6], fields[7])
    return _tree(file, tree.root, tree.depth)
