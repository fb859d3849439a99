"""The file, LMDB's environment on it, and what the main thread reads through: who may use them when.

**Views.**  The main thread reads through one read transaction that is begun at need and ended when the thread is told
of a commit: so position, log and rows are of one moment, and what a worker has done in between is not seen by half.
Iterators keep theirs to their end, and so does a snapshot that is taken while the view is not the newest.

**Replacing.**  A file that is swapped or compacted is renamed over the old one.  The environment is then closed and
opened again, when no transaction is open: snapshots go on from a copy, and iterators are waited for.  LMDB's lock file
is removed with the file that it belonged to: it holds the number of the newest transaction.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import lmdb

from broker.errors import JournalDamaged, JournalError
from broker.journal.facts import IDENTITY_KEY, STATE_KEY, FactsDamaged, State
from broker.journal.lmdbs import (
    RESTORE,
    Tables,
    facts_of,
    fit_file,
    open_environment,
    remove_file,
    sync_directory,
    translated,
)

__all__ = ["Home", "View"]

_USERS_WAIT_S: Final = 60.0


class View:
    """One read transaction and what the journal says about itself in it."""

    __slots__ = ("transaction", "state", "position", "tables", "users")

    def __init__(self, environment: Any, tables: Tables) -> None:
        self.transaction = environment.begin()
        try:
            self.state = State.unpacked(self.transaction.get(STATE_KEY, db=tables.facts))
        except BaseException:
            self.transaction.abort()
            raise
        self.position = self.state.position
        self.tables = tables
        self.users = 0  # iterators that are under way, and snapshots


class Home:
    """One open file.  ``lock`` guards all that the main thread and the worker share."""

    def __init__(
        self, path: str, fd: int, names: tuple[str, ...], limit_bytes: int | None, check: Callable[[bytes | None], None]
    ) -> None:
        self.path = path
        self.names = names
        self._check = check  # of the identity, before anything else is read
        self.lock = threading.Lock()
        # Makes snapshots let go of their transactions; and whether one has none the less, taken just now.
        self.end_snapshots: Callable[[], None] = lambda: None
        self.has_snapshots: Callable[[], bool] = lambda: False
        self._unused = threading.Condition(self.lock)
        self._iterators = 0
        self._copies = 0
        self._wanted = False  # the worker waits for iterators to end: no new ones before it had its turn
        self._fd = fd  # holds the lock of the one who writes
        self._limit_bytes = limit_bytes
        self._map_bytes = limit_bytes
        self._view: View | None = None
        self.environment: Any = None
        self.tables: Tables
        self.state: State  # what is on disk, for the worker
        self._open()

    # -- reading --

    def view(self) -> View:
        """Return the view of what is committed.  The caller holds the lock."""
        if self._view is None:
            try:
                self._view = self._look()
            except (lmdb.Error, FactsDamaged) as error:
                raise self.failure(error) from error
        return self._view

    def _look(self) -> View:
        if self.environment is None:
            raise self.closed()
        return View(self.environment, self.tables)

    def closed(self) -> JournalError:
        """Return the error that tells so."""
        return JournalError(self.path, "it is closed, or could not be opened again after a failure")

    def snapshot_view(self) -> View:
        """Return a view of the same moment for longer use, to be given to :meth:`release`; the caller holds the lock.

        Raises what LMDB raises.
        """
        shown, view = self.view(), self._look()
        if view.transaction.id() != shown.transaction.id():
            # A worker has committed what this thread does not know of.
            view.transaction.abort()
            view = shown
        view.users += 1
        return view

    def release(self, view: View) -> None:
        """End the use of a view."""
        with self.lock:
            self._release(view)

    def _release(self, view: View) -> None:
        view.users -= 1
        if view.users == 0 and view is not self._view:
            view.transaction.abort()

    def refresh(self) -> None:
        """Let go of the view: what is read next is what is committed now."""
        with self.lock:
            self._drop_view()

    def failed_view(self, error: lmdb.Error) -> JournalError:
        """Return our error for what reading the view has raised, and let go of it: its transaction is of no use then.

        The caller holds the lock.
        """
        self._drop_view()
        return translated(self.path, error)

    def _drop_view(self) -> None:
        view, self._view = self._view, None
        if view is not None and view.users == 0:
            view.transaction.abort()

    @contextmanager
    def using_view(self) -> Iterator[View]:
        """Keep the present view as long as the block runs."""
        with self.lock:
            self._unused.wait_for(lambda: not self._wanted or self._iterators)
            view = self.view()
            view.users += 1
            self._iterators += 1
        try:
            yield view
        finally:
            with self.lock:
                self._release(view)
                self._iterators -= 1
                self._unused.notify_all()

    @contextmanager
    def using_environment(self) -> Iterator[Any]:
        """Keep the environment open as long as the block runs."""
        with self.lock:
            if self.environment is None:
                raise self.closed()
            environment = self.environment
            self._copies += 1
        try:
            yield environment
        finally:
            with self.lock:
                self._copies -= 1
                self._unused.notify_all()

    def failure(self, error: Exception) -> JournalError:
        """Return our error for one of LMDB's, the system's or the facts'."""
        if isinstance(error, FactsDamaged):
            return JournalDamaged(self.path, f"{error}: {RESTORE}")
        return translated(self.path, error)

    # -- the environment --

    def _open(self) -> None:
        meta = fit_file(self.path, self._fd)
        environment = open_environment(self.path, self._map_bytes)
        with environment.begin() as transaction:
            stale = transaction.id() != meta.transaction
        if stale:
            # The lock file is that of a file that was replaced, and some reader kept it in use.
            environment.close()
            Path(f"{self.path}-lock").unlink()
            environment = open_environment(self.path, self._map_bytes)
        try:
            environment.reader_check()
            facts = facts_of(self.path, environment)
            with environment.begin(db=facts) as transaction:
                self._check(transaction.get(IDENTITY_KEY))
                self.state = State.unpacked(transaction.get(STATE_KEY))
            self.tables = Tables(environment, self.names, create=False)
        except BaseException:
            environment.close()
            raise
        self.environment = environment

    @contextmanager
    def _without_readers(self) -> Iterator[None]:
        """Hold the lock while no transaction is open in this process; raises JournalError when one is not ended."""
        while True:
            self.end_snapshots()
            with self.lock:
                self._wanted = True
                try:
                    if not self._unused.wait_for(lambda: self._iterators == self._copies == 0, _USERS_WAIT_S):
                        raise JournalError(self.path, f"it was read for {_USERS_WAIT_S:.0f} s: end iterators, backups")
                    if self.has_snapshots():
                        continue
                    self._drop_view()
                    yield
                    return
                finally:
                    self._wanted = False
                    self._unused.notify_all()

    def grow(self, *, over_limit_bytes: int = 0) -> bool:
        """Double the address space, or go over the limit by so much; False: not possible.

        Raises JournalError when somebody goes on reading.
        """
        if self._limit_bytes is None:
            wanted = self.environment.info()["map_size"] * 2
        elif over_limit_bytes:
            wanted = self._limit_bytes + over_limit_bytes
        else:
            return False
        with self._without_readers():
            try:
                self.environment.set_mapsize(wanted)
            except (lmdb.Error, MemoryError, OverflowError):
                self._reopen()  # LMDB has let go of the old map
                return False
        return True

    def shrink_to_limit(self) -> None:
        """Return to the limit after having gone over it; if that cannot be done now, it stays above."""
        with suppress(JournalError, lmdb.Error), self._without_readers():
            self.environment.set_mapsize(self._limit_bytes)

    def recover(self) -> None:
        """After a commit that failed: look at what is on disk, through a new environment if need be.

        What the commit wrote behind the pages in use is cut off: on a full disk, others need the room.
        """
        try:
            # An environment that could not write its meta page refuses to write for ever.
            with self.environment.begin(write=True, db=self.tables.facts) as transaction:
                self.state = State.unpacked(transaction.get(STATE_KEY))
        except (lmdb.Error, FactsDamaged):
            with self._without_readers():
                self._reopen()
        with suppress(OSError):
            os.ftruncate(self._fd, self._length())

    def _reopen(self) -> None:
        if self.environment is not None:
            self.environment.close()
        self.environment = None
        try:
            self._open()
        except (lmdb.Error, OSError, FactsDamaged) as error:
            raise self.failure(error) from error

    def fit(self) -> None:
        """Make the file as long as it says, after a commit; if that fails, opening looks closer."""
        wanted = self._length()
        with suppress(OSError):
            if os.fstat(self._fd).st_size < wanted:
                os.ftruncate(self._fd, wanted)

    def _length(self) -> int:
        """Return how long the file must be."""
        length: int = (self.environment.info()["last_pgno"] + 1) * self.environment.stat()["psize"]
        return length

    def replace(self, path: str, fd: int) -> None:
        """Put another file, complete and on disk, in the place of this one; its descriptor becomes ours.

        Raises JournalError; then the old file is in its place.
        """
        with self._without_readers():
            self.environment.close()
            self.environment = None
            try:
                Path(path).replace(self.path)
            except OSError as error:
                self._reopen()
                raise self.failure(error) from error
            os.close(self._fd)
            self._fd = fd
            # After the file, never before it: whoever opens both in between makes the lock file anew for the new one.
            Path(f"{self.path}-lock").unlink(missing_ok=True)
            sync_directory(self.path)
            self._reopen()
        remove_file(path)

    @property
    def fd(self) -> int:
        """The descriptor that holds the lock of the one who writes."""
        return self._fd

    def file_bytes(self) -> int:
        """Return the file's length."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the environment and give up the lock; backups are waited for, and iterators end."""
        with self.lock:
            self._unused.wait_for(lambda: self._copies == 0)
            self._drop_view()
            if self.environment is not None:
                self.environment.close()
                self.environment = None
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)
