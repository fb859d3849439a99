"""A look at an LMDB file's two meta pages before LMDB sees it.

LMDB maps the file into memory: of one that was truncated, reading kills the process (SIGBUS), and one of another data
format it may take for its own.  So both are found out here, by plain reading.  The layout is that of LMDB 0.9
(``MDB_page`` and ``MDB_meta`` in its mdb.c), in the machine's word size and byte order; :mod:`broker.journal.pages`
walks the pages behind it.
"""

from __future__ import annotations

import os
from struct import Struct as Layout
from struct import calcsize
from typing import Final, NamedTuple

from broker.errors import JournalDamaged, JournalMismatch

__all__ = ["DATA_VERSION", "NO_TURNS", "Meta", "Tree", "page_bytes_of", "read_meta", "read_metas", "take_turns"]

_MAGIC: Final = 0xBEEFC0DE
DATA_VERSION: Final = 1
_WORD: Final = "Q" if calcsize("P") == 8 else "I"
NO_TURNS: Final = "its first two pages are not of two commits, one after the other"
_HEADER_BYTES: Final = calcsize("P") + 8
_TREE_WORDS: Final = 5
_META: Final = Layout(f"=II{_WORD}{_WORD}" + f"IHH{_TREE_WORDS * _WORD}" * 2 + f"{_WORD}{_WORD}")
# The page size stands in the meta page itself; these are what systems have.
_PAGE_BYTES: Final = frozenset(1 << power for power in range(8, 17))
_REMEDY: Final = (
    "restore it from a backup (of a log stream's spool, broker journal rescue saves what is intact), or remove it to "
    "begin anew"
)


class Tree(NamedTuple):
    """The root of one of LMDB's B+ trees (``MDB_db``)."""

    flags: int
    depth: int
    entries: int
    root: int  # page number; all bits set: the tree is empty


class Meta(NamedTuple):
    """What the newer of the two meta pages says (``MDB_meta``)."""

    page_bytes: int
    last_page: int
    transaction: int
    free: Tree
    main: Tree


def _parse(path: str, page: bytes) -> Meta | None:
    """Read one meta page; None: it is none.  Raises JournalMismatch for another data format."""
    if len(page) < _HEADER_BYTES + _META.size:
        return None
    fields = _META.unpack_from(page, _HEADER_BYTES)
    magic, version = fields[:2]
    if magic != _MAGIC:
        return None
    if version != DATA_VERSION:
        raise JournalMismatch(
            path,
            f"it is in LMDB's data format {version}, and this version reads {DATA_VERSION} alone (LMDB 0.9): write its "
            "contents out with the version that made it (broker store dump), and load them again",
        )
    free, main = fields[4:12], fields[12:20]
    return Meta(
        page_bytes=free[0],
        last_page=fields[20],
        transaction=fields[21],
        free=Tree(free[1], free[2], free[6], free[7]),
        main=Tree(main[1], main[2], main[6], main[7]),
    )


def read_metas(path: str, fd: int) -> tuple[Meta, Meta]:
    """Return both meta pages of an open file, the newer one first.

    Raises JournalMismatch for what is no LMDB file, or one of another data format; JournalDamaged for one that has
    lost even these pages.
    """
    first = os.pread(fd, _HEADER_BYTES + _META.size, 0)
    if not first:
        raise JournalDamaged(path, f"it is empty, and a journal never is: {_REMEDY}")
    meta = _parse(path, first)
    if meta is None:
        raise JournalMismatch(path, "it is no journal (no LMDB file of this kind of machine): name another file")
    if meta.page_bytes not in _PAGE_BYTES:
        raise JournalDamaged(path, f"its first page is not what was written: {_REMEDY}")
    second = _parse(path, os.pread(fd, _HEADER_BYTES + _META.size, meta.page_bytes))
    if second is None or second.page_bytes != meta.page_bytes:
        raise JournalDamaged(path, f"its second page is missing or is not what was written: {_REMEDY}")
    return (meta, second) if meta.transaction > second.transaction else (second, meta)


def page_bytes_of(path: str, fd: int) -> int:
    """Return the size of a file's pages from whichever meta page is left; 0: none is."""
    for size in (0, *sorted(_PAGE_BYTES)):
        meta = _parse(path, os.pread(fd, _HEADER_BYTES + _META.size, size))
        if meta is not None and meta.page_bytes in _PAGE_BYTES and size in {0, meta.page_bytes}:
            return meta.page_bytes
    return 0


def read_meta(path: str, fd: int) -> Meta:
    """Return the newer meta page of an open file; raises as :func:`read_metas` does."""
    return read_metas(path, fd)[0]


def take_turns(metas: tuple[Meta, Meta]) -> bool:
    """Whether the two can be those of the last two commits, which write them in turn.

    Else one's number is not what was written, and the older state may pass for the newer.  If the file is written to
    meanwhile, two may have been read that never were there together.
    """
    newer, older = (meta.transaction for meta in metas)
    return newer - older == 1 or newer == older == 0
