"""LMDB as the journal uses it: which version, how much address space, what its errors mean, and files made anew."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import lmdb

from broker.errors import JournalBusy, JournalDamaged, JournalError, JournalFull, JournalMismatch, JournalUnreadable
from broker.journal.facts import IDENTITY_KEY, STATE_KEY, Identity, State
from broker.journal.head import Meta, read_meta

__all__ = [
    "RESTORE",
    "Tables",
    "appear",
    "engine",
    "facts_of",
    "lock_alone",
    "lock_file",
    "made_file",
    "open_environment",
    "probed",
    "quick_switching",
    "read_only_environment",
    "remove_file",
    "sync_directory",
    "translated",
]

# LMDB's map is address space, not memory or disk: so much that no journal outgrows it where pointers have 64 bits.
_RESERVED_BYTES: Final = 1 << 40 if sys.maxsize > 1 << 32 else 1 << 30
_RESERVED_BYTES_MIN: Final = 16 << 20
_READERS_MAX: Final = 512  # one slot for each open snapshot, and some for other processes
_SPARE_READERS: Final = 4
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CONDITIONS: Final = (*_FULL, errno.EIO, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL)
# What LMDB says of a file whose pages are not what was written; some of it means something else elsewhere.
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.CursorFullError,
    lmdb.NotFoundError,
    lmdb.IncompatibleError,
    lmdb.PageFullError,
    lmdb.BadValsizeError,
    lmdb.BadTxnError,
)
RESTORE: Final = (
    "restore it from a backup (of a log stream's spool, broker journal rescue saves what is intact), or remove it to "
    "begin anew"
)
_PROBE_BYTES: Final = 64 << 10
_QUICK_SWITCH_S: Final = 0.000_05


class Tables:
    """The handles of one environment's databases."""

    __slots__ = ("facts", "log", "rows")

    def __init__(self, environment: Any, names: tuple[str, ...], *, create: bool) -> None:
        self.facts = environment.open_db(b"facts", create=create)
        self.log = environment.open_db(b"log", create=create)
        self.rows = [environment.open_db(b"table." + name.encode(), create=create) for name in names]


def facts_of(path: str, environment: Any) -> Any:
    """Return the handle of the facts; raises JournalMismatch when there are none."""
    try:
        return environment.open_db(b"facts", create=False)
    except (lmdb.NotFoundError, lmdb.IncompatibleError):
        raise JournalMismatch(path, "it is no journal, but another program's LMDB file: name another file") from None


def engine(path: str) -> dict[str, int]:
    """Return the arguments that make LMDB's Python package use its 0.9; raises JournalMismatch if it has none.

    LMDB 1.0 writes another data format, which 0.9 cannot read: a file must not change by an update of a package.
    """
    try:
        found = lmdb.version(lib_version=0)
        return {"lib_version": 0}
    except TypeError:  # before py-lmdb 2: one LMDB alone
        found = lmdb.version()
    except lmdb.Error:
        found = lmdb.version()
    if tuple(found[:2]) != (0, 9):
        raise JournalMismatch(
            path,
            f"the installed package lmdb brings LMDB {'.'.join(map(str, found))} alone, and journals are in the data "
            "format of LMDB 0.9: install a version of the package that has it, such as lmdb 1.4.1 to 3.0",
        )
    return {}


def _number(error: Exception) -> int:
    """Return the system's number of what went wrong; 0: none that we know."""
    if isinstance(error, OSError):
        return error.errno or 0
    code = getattr(error, "code", 0)
    if code in _CONDITIONS:
        return int(code)
    text = str(error)
    return next((number for number in _CONDITIONS if os.strerror(number) in text), 0)


def translated(path: str, error: Exception) -> JournalError:
    """Return our error for one of LMDB's or the system's."""
    number = _number(error)
    text = os.strerror(number) if number else str(error)
    if number in _FULL:
        return JournalFull(path, f"{text}: make room; nothing of this was written, and reading goes on")
    if isinstance(error, lmdb.MapFullError):
        return JournalFull(path, "its limit is reached: remove something or raise the limit; reading goes on")
    if isinstance(error, _DAMAGE):
        return JournalDamaged(path, f"{error}: see broker journal verify, and {RESTORE}")
    if isinstance(error, lmdb.VersionMismatchError):
        return JournalMismatch(path, f"{error}: it was made by another version of LMDB")
    if "already open in this process" in str(error):
        return JournalBusy(path, "this process has it open already: use that handle")
    if isinstance(error, lmdb.ReadersFullError):
        return JournalError(path, f"more than {_READERS_MAX} readers: close snapshots")
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return JournalUnreadable(path, f"{text}: the file and its directory must be writable for this program's user")
    if number == errno.EIO or isinstance(error, OSError):
        return JournalUnreadable(path, text)
    return JournalError(path, text)


def _space_bytes() -> int:
    """Return how much address space to ask for: of a limited one a small part, or nothing is left for the program."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _RESERVED_BYTES if limit == resource.RLIM_INFINITY else min(_RESERVED_BYTES, max(limit // 8, 1 << 20))


def open_environment(path: str, map_bytes: int | None, **options: Any) -> Any:
    """Open LMDB's environment; raises what LMDB raises.  Without ``map_bytes`` as much space as can be had."""
    common = {"subdir": False, "max_dbs": 64, "max_readers": _READERS_MAX, "max_spare_txns": _SPARE_READERS}
    common |= engine(path) | {"mode": 0o600}
    size = map_bytes or _space_bytes()
    while True:
        try:
            return lmdb.open(path, map_size=size, **(common | options))
        except (lmdb.Error, MemoryError) as error:
            if _number(error) != errno.ENOMEM or map_bytes or size <= _RESERVED_BYTES_MIN:
                raise
            size //= 2


def read_only_environment(path: str, size_bytes: int) -> Any:
    """Open a file that another process may be writing to; raises what LMDB raises."""
    space = max(_space_bytes(), size_bytes * 2)
    return open_environment(path, None if space == _RESERVED_BYTES else space, readonly=True, create=False)


# -- files -----------------------------------------------------------------------------------------------------------


def sync_directory(path: str) -> None:
    """Make names in the file's directory last."""
    fd = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_file(path: str) -> None:
    """Remove an LMDB file and the lock file beside it, if they are there."""
    for name in (path, f"{path}-lock"):
        with suppress(FileNotFoundError):
            Path(name).unlink()


def appear(path: str, name: str) -> None:
    """Give a file its name, for good; raises FileExistsError when there is one of that name, and OSError."""
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP}:
            raise
        Path(path).rename(name)  # a file system without hard links: there, one that comes at this moment is lost
    sync_directory(name)


def _holder(fd: int) -> str:
    """Say who holds the lock, where the system tells (Linux: /proc/locks)."""
    stat = os.fstat(fd)
    wanted = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == wanted:
                own = int(words[4]) == os.getpid()
                if own:
                    return "this process has it open already: use that handle"
                return f"process {words[4]} has it open: end that one, or name another file"
    return "another process has it open: end that one, or name another file"


def lock_file(path: str, fd: int) -> None:
    """Take the lock of the one who writes; it ends with the process.  Raises JournalBusy."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            raise JournalBusy(path, f"{_holder(fd)}; only one writes") from None
        raise translated(path, error) from None


def lock_alone(path: str, flags: int) -> int:
    """Open and lock the file of that name; returns its descriptor.  Raises JournalBusy, OSError."""
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            lock_file(path, fd)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), Path(path).stat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # it was replaced while we waited for it


def made_file(path: str, identity: Identity, state: State) -> int:
    """Make an empty journal's file, in place of what was left there, and lock it; returns its descriptor."""
    fd = lock_alone(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, 0)
        with open_environment(path, None, lock=False) as environment:
            tables = Tables(environment, identity.tables, create=True)
            with environment.begin(write=True, db=tables.facts) as transaction:
                transaction.put(IDENTITY_KEY, identity.packed())
                transaction.put(STATE_KEY, state.packed())
    except BaseException:
        with suppress(OSError):
            Path(path).unlink()
        os.close(fd)
        raise
    return fd


def fit_file(path: str, fd: int) -> Meta:
    """Make the file as long as its newest meta page says; returns that.

    LMDB does not write a page at the file's end that was used and freed in one transaction: the file is then shorter
    than it says, as a truncated one is, and is not to be taken for it.
    """
    meta = read_meta(path, fd)
    wanted = (meta.last_page + 1) * meta.page_bytes
    if os.fstat(fd).st_size < wanted:
        os.ftruncate(fd, wanted)
    return meta


def probed(fd: int, error: Exception) -> Exception:
    """Return what really went wrong with writing to an LMDB file: LMDB calls a write that fell short an I/O error.

    It falls short where a disk becomes full, or the file as long as it may be; then no more can be written behind it.
    """
    if _number(error) != errno.EIO:
        return error
    try:
        size = os.fstat(fd).st_size
        try:
            written = os.pwrite(fd, bytes(_PROBE_BYTES), size)
        finally:
            os.ftruncate(fd, size)
    except OSError as found:
        return found
    return error if written == _PROBE_BYTES else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# -- threads ---------------------------------------------------------------------------------------------------------

_switching = threading.Lock()
_switching_users = 0
_switching_before_s = 0.0


@contextmanager
def quick_switching() -> Iterator[None]:
    """Let threads take turns quickly for a while.

    LMDB's Python package lets go of the interpreter's lock for each row it puts.  While the main thread computes, a
    worker waits for that lock up to the switch interval (5 ms), now and then: 0.2 ms a row on average were measured,
    and 2 µs with this interval.
    """
    global _switching_users, _switching_before_s  # noqa: PLW0603 - the interval is the process's
    with _switching:
        if _switching_users == 0:
            _switching_before_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_QUICK_SWITCH_S, _switching_before_s))
        _switching_users += 1
    try:
        yield
    finally:
        with _switching:
            _switching_users -= 1
            if _switching_users == 0:
                sys.setswitchinterval(_switching_before_s)
