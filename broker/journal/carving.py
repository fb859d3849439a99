"""All rows that are in an LMDB file's pages, found by plain reading, whether its trees still lead to them or not.

A page that is no longer used holds what it held before, so of one row there may be many, and old ones among them: who
reads them decides which count.  A row is given only if who reads it says that it is what was written, by its checksum.

Leaves whose own table of their rows makes sense are read by it; what could be a row in the free space of these, of
branches, and behind long values is looked at, too.  Of the other pages those that are part of a long value are left out
(what stands in a value is nobody's row), as far as the value is whole; the first page of a long value to which no row
leads may still have one; and what is left is looked through for whatever could be a row, as a leaf has them whose first
bytes are lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from broker.journal.pages import Node, PageDamaged, nodes, number_and_flags, slack, strewn_nodes

__all__ = ["Carver", "Found"]

_METAS: Final = 2
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_HEAD_BYTES: Final = 16
# A long value is at most this: more is a length that is not what was written.
_VALUE_BYTES_MAX: Final = 64 << 20


class Found(NamedTuple):
    """A row, and where in the file its value is."""

    page: int  # that of whose rows it is; 0: of none, it stands there all the same
    key: bytes
    offset: int
    size: int


class Carver:
    """Reads one file.

    ``is_whole`` tells whether a row is what was written; ``size_of`` how long the value is that begins a run of bytes
    (0: it is none), where no row tells.
    """

    def __init__(
        self, fd: int, page_bytes: int, is_whole: Callable[[bytes, bytes], bool], size_of: Callable[[bytes, int], int]
    ) -> None:
        self._fd = fd
        self._page_bytes = page_bytes
        self._is_whole = is_whole
        self._size_of = size_of
        self._pages = os.fstat(fd).st_size // page_bytes
        self._taken = bytearray(self._pages)  # pages that are accounted for

    def read(self, found: Found) -> bytes:
        """Return a row's value."""
        return os.pread(self._fd, found.size, found.offset)

    def all(self) -> Iterator[Found]:
        """Give all rows that are whole."""
        for number in range(_METAS, self._pages):
            page = self._page(number)
            try:
                own = [*nodes(page, number)]
            except PageDamaged:
                continue
            self._taken[number] = 1
            yield from self._whole(number, own)
            yield from self._strewn(number, page, *slack(page))
        for number in range(_METAS, self._pages):
            if not self._taken[number]:
                yield from self._rest(number)

    def _page(self, number: int) -> bytes:
        return os.pread(self._fd, self._page_bytes, number * self._page_bytes)

    def _whole(self, number: int, candidates: Iterator[Node] | list[Node]) -> Iterator[Found]:
        for node in candidates:
            offset = number * self._page_bytes + node.start
            if node.overflow:
                offset = node.overflow * self._page_bytes + _HEAD_BYTES
            if node.subtree or node.size > _VALUE_BYTES_MAX or node.overflow >= self._pages:
                continue
            found = Found(number, node.key, offset, node.size)
            if not self._is_whole(node.key, self.read(found)):
                continue
            yield found
            if node.overflow:
                yield from self._take_run(node.overflow, node.size)

    def _strewn(self, number: int, page: bytes, start: int, end: int) -> Iterator[Found]:
        for found in self._whole(number, strewn_nodes(page, start, end)):
            yield found._replace(page=0)

    def _take_run(self, first: int, size: int) -> Iterator[Found]:
        """Account for the pages of a long value; gives what stands behind it in the last of them."""
        end = min(self._pages, first + -(-(_HEAD_BYTES + size) // self._page_bytes))
        if not self._taken[first]:
            self._taken[first:end] = b"\1" * (end - first)
            behind = (_HEAD_BYTES + size) % self._page_bytes
            if behind:
                yield from self._strewn(end - 1, self._page(end - 1), behind + behind % 2, self._page_bytes)

    def _rest(self, number: int) -> Iterator[Found]:
        """Look through a page that no row led to."""
        page = self._page(number)
        own, kind, count = number_and_flags(page)
        if own == number and kind == _BRANCH:
            yield from self._strewn(number, page, *slack(page))
            return
        if own == number and kind == _OVERFLOW and 0 < count <= self._pages - number:
            most = min(count * self._page_bytes - _HEAD_BYTES, _VALUE_BYTES_MAX)
            offset = number * self._page_bytes + _HEAD_BYTES
            least = max(0, most - self._page_bytes)
            size = self._size_of(os.pread(self._fd, most, offset), least)
            if size:
                yield Found(0, b"", offset, size)
                yield from self._take_run(number, size)
                return
        if own != number or kind != _OVERFLOW:
            yield from self._strewn(number, page, 0, len(page))
