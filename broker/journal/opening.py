"""Opening a journal: each refusal says what the file is, and nothing on disk is changed by one."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import lmdb

from broker.errors import JournalDamaged, JournalError, JournalMismatch, JournalUnreadable
from broker.journal.disk import DiskJournal
from broker.journal.facts import FORMAT, IDENTITY_KEY, MAGIC, STATE_KEY, FactsDamaged, Identity, State
from broker.journal.head import NO_TURNS, read_meta, read_metas, take_turns
from broker.journal.home import Home
from broker.journal.lmdbs import RESTORE, appear, engine, lock_alone, made_file, remove_file, translated
from broker.journal.pages import PageDamaged, walk
from broker.journal.writing import SEQUENCE_BYTES
from broker.journaling import CHECKSUM_BYTES, Position, chain

__all__ = ["check_head", "check_identity", "open_journal", "read_facts"]

_ID_BYTES: Final = 16
_LIMIT_BYTES_MIN: Final = 1 << 20
_LEFT_OVER: Final = (".incoming", ".compact", ".new")
# Opening checks the end of the log, which is what a crash could have hurt: so many records and bytes, a few ms.
_CHECKED_RECORDS: Final = 1000
_CHECKED_BYTES: Final = 1 << 20


def open_journal(
    path: str | os.PathLike[str],
    *,
    kind: str,
    name: str,
    role: str,
    tables: tuple[str, ...],
    limit_bytes: int | None = None,
    create: bool = True,
    id_: bytes | None = None,
    snapshot_s: float = 5.0,
    check_log: bool = True,
    check_pages: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> DiskJournal:
    """Open the journal in the file of that name, or make one there.

    ``kind`` is what it is for ("store", "log"), ``name`` of which one, ``role`` what its owner is to it ("master",
    "clone"); ``tables`` are called by their index.  All four must be those that it was made with.  ``limit_bytes`` is
    the most that the file may take, at least 1 MiB.  ``id_`` is a new journal's id, 16 bytes; by default from
    ``os.urandom``.  A snapshot holds on to old pages for at most ``snapshot_s``.  Without ``check_log`` the end of the
    log is not looked at: for an owner who checks records himself, and goes on where one is damaged.  ``check_pages`` is
    how many of the file's pages are looked at before LMDB trusts them (25 µs each): where a disk has spoilt one, LMDB
    follows it out of the file, which kills the process, or does not find what is there.

    Takes a disk's time: call it in a thread.  Raises JournalMismatch, JournalDamaged, JournalUnreadable or JournalBusy;
    JournalFull when there is no room to make one.
    """
    # The program may change its directory; and a file that is replaced is to be the one that a link leads to.
    path = os.path.realpath(path)
    if limit_bytes is not None and limit_bytes < _LIMIT_BYTES_MIN:
        raise ValueError(f"limit_bytes is at least {_LIMIT_BYTES_MIN}, not {limit_bytes}")
    if id_ is not None and len(id_) != _ID_BYTES:
        raise ValueError(f"a journal's id has {_ID_BYTES} bytes, not {len(id_)}")
    wanted = Identity(kind, name, role, tables, ".".join(map(str, lmdb.version(**engine(path)))))
    fd = -1
    home: Home | None = None
    try:
        fd = _file(path, wanted, id_ or os.urandom(_ID_BYTES), create=create)
        check_head(path, fd)
        if check_pages:
            _check_pages(path, fd, check_pages)
        for suffix in _LEFT_OVER:
            remove_file(path + suffix)
        home = Home(path, fd, tables, limit_bytes, lambda data: _check_same(path, check_identity(path, data), wanted))
        with home.lock:
            view = home.view()
            identity = read_facts(path, view.transaction, view.tables.facts)[0]
            if check_log:
                _check_log(path, view.transaction, view.tables.log, view.state)
        return DiskJournal(home, identity, limit_bytes, snapshot_s, clock)
    except BaseException as error:
        if home is not None:
            home.close()
        elif fd >= 0:
            os.close(fd)
        if isinstance(error, FactsDamaged):
            raise JournalDamaged(path, f"{error}: {RESTORE}") from None
        if isinstance(error, (lmdb.Error, OSError)) and not isinstance(error, JournalError):
            raise translated(path, error) from error
        raise


def _file(path: str, identity: Identity, id_: bytes, *, create: bool) -> int:
    """Return a descriptor of the file that holds its lock; it is made if it is not there and may be."""
    while True:
        try:
            mode = Path(path).stat().st_mode
            if not stat.S_ISREG(mode):
                what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
                raise JournalUnreadable(path, f"it is {what}: name a file")
            return lock_alone(path, os.O_RDWR)
        except FileNotFoundError:
            pass
        if not create:
            raise JournalUnreadable(path, "there is no such file")
        if not Path(path).parent.is_dir():
            raise JournalUnreadable(path, "there is no such directory: make it first")
        # Whole from the first moment: an empty file of that name is one that lost its contents.
        fd = made_file(f"{path}.new", identity, State.at(Position(id_, 0, 0, bytes(CHECKSUM_BYTES))))
        try:
            appear(f"{path}.new", path)
        except FileExistsError:  # somebody was faster
            os.close(fd)
            continue
        except BaseException:
            os.close(fd)
            raise
        finally:
            remove_file(f"{path}.new")
        return fd


def check_head(path: str, fd: int) -> None:
    """Look at the file before LMDB does; raises JournalMismatch, JournalDamaged."""
    meta = read_meta(path, fd)
    if os.fstat(fd).st_size >= (meta.last_page + 1) * meta.page_bytes:
        return
    # It may be whole (see fit_file): that is so if no page in use is missing.
    try:
        walk(fd, meta)
    except PageDamaged as error:
        raise JournalDamaged(path, f"it is truncated ({error}): {RESTORE}") from None


def _check_pages(path: str, fd: int, most: int) -> None:
    metas = read_metas(path, fd)
    try:
        if not take_turns(metas):
            raise PageDamaged(NO_TURNS)
        walk(fd, metas[0], most)
    except PageDamaged as error:
        raise JournalDamaged(path, f"{error}: {RESTORE}") from None


def check_identity(path: str, data: bytes | None) -> Identity:
    """Return what the file says that it is; raises JournalDamaged, JournalMismatch."""
    try:
        identity = Identity.unpacked(data)
    except FactsDamaged as error:
        raise JournalDamaged(path, f"{error}: {RESTORE}") from None
    if identity.magic != MAGIC:
        raise JournalMismatch(path, "it is no journal: name another file")
    if identity.format > FORMAT:
        raise JournalMismatch(
            path,
            f"its format is {identity.format}, and this version of broker reads up to {FORMAT}: use the version that "
            "made it, or a newer one",
        )
    return identity


def read_facts(path: str, transaction: Any, facts: Any) -> tuple[Identity, State]:
    """Return identity and state; raises JournalDamaged, JournalMismatch."""
    identity = check_identity(path, transaction.get(IDENTITY_KEY, db=facts))
    try:
        return identity, State.unpacked(transaction.get(STATE_KEY, db=facts))
    except FactsDamaged as error:
        raise JournalDamaged(path, f"{error}: {RESTORE}") from None


def _check_same(path: str, found: Identity, wanted: Identity) -> None:
    for what in ("kind", "name", "role", "tables"):
        has, asked = getattr(found, what), getattr(wanted, what)
        if has != asked:
            raise JournalMismatch(
                path,
                f"its {what} is {has!r}, not {asked!r} (it is the journal of the {found.kind} {found.name!r}, "
                f"{found.role}): name another file",
            )


def _check_log(path: str, transaction: Any, log: Any, state: State) -> None:
    """Check that the log has as many records as it should, and the chain at its end."""
    records = transaction.stat(log)["entries"]
    if records != state.sequence - state.base:
        raise JournalDamaged(
            path,
            f"its log has {records} records, and should have {state.base + 1} to {state.sequence}: {RESTORE}",
        )
    if not records:
        if state.checksum != state.base_checksum:
            raise JournalDamaged(path, f"its position does not follow from its log: {RESTORE}")
        return
    with transaction.cursor(db=log) as cursor:
        cursor.last()
        _check_chain(path, cursor.iterprev(), state)


def _check_chain(path: str, newest_first: Iterable[tuple[bytes, bytes]], state: State) -> None:
    """Check records from the newest on, as many as opening may; each by the checksum of the one before it."""
    expected, size = state.sequence, 0
    checksum, body = state.checksum, b""
    for key, data in newest_first:
        own = data[:CHECKSUM_BYTES]
        if key != expected.to_bytes(SEQUENCE_BYTES, "big") or (expected == state.sequence and own != checksum):
            raise _log_damaged(path, expected)
        if expected < state.sequence and chain(own, body) != checksum:
            raise _log_damaged(path, expected + 1)
        expected, checksum, body = expected - 1, own, data[CHECKSUM_BYTES:]
        size += len(data)
        if state.sequence - expected > _CHECKED_RECORDS or size > _CHECKED_BYTES:
            return
    if chain(state.base_checksum, body) != checksum:
        raise _log_damaged(path, state.base + 1)


def _log_damaged(path: str, sequence: int) -> JournalDamaged:
    return JournalDamaged(path, f"its log is not what was written, at record {sequence}: {RESTORE}")
