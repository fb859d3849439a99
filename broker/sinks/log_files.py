"""Log files: a stream's records in a current file and rotated ones, each exactly once, whatever dies and when.

**The promise.**  :meth:`LogFiles.commit` puts records and the caller's checkpoint on the disk in one step.  After a
kill at any instruction the files hold exactly the records appended before the last commit that was done, and
:attr:`LogFiles.checkpoint` is that commit's.  A caller that acknowledges records only after their commit, and goes on
from the checkpoint, has each of them in the files once.

**How.**  Rows wait in memory until a commit.  It writes and syncs them, behind what is committed, and then replaces
the state file (:mod:`broker.sinks.state`), which holds the committed length and the checkpoint: its rename is the
moment of the commit.  Opening cuts the current file back to the committed length.  A new file is written under a
hidden name (``.conn.log.partial-1``) and the state says which files are to be renamed to what, so that a rotation
belongs to its commit: opening carries it out, or knows nothing of it and removes the hidden file.

**Parquet** files cannot be read before their end is written.  They count only when they are finished: ``commit``
returns False and its checkpoint is held until the file is rotated or closed.

**A full disk** makes ``commit`` or ``rotate`` raise OSError.  The file is as it was, the rows go on waiting in memory
and nothing is lost: call the same again when there is room.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import attrs
from msgspec.structs import replace

from broker.log_records import Column, flaw_in
from broker.sinks.disk import Disk
from broker.sinks.errors import LogFilesDamaged, LogFilesError, LogFilesInUse
from broker.sinks.formats import SUFFIXES, Format, check_arguments, encoder_maker
from broker.sinks.jsonlines import Timestamps
from broker.sinks.rotated import Compression, Rotated
from broker.sinks.rows import Record
from broker.sinks.segments import Segment
from broker.sinks.state import Move, State, read_state, write_state

__all__ = ["LogFiles", "LogFilesStats"]


@attrs.frozen
class LogFilesStats:
    """What one :class:`LogFiles` has done since it was made: ``records``, ``bytes`` committed, ``files`` rotated."""

    records: int
    bytes: int
    files: int


class LogFiles:
    """A stream's files of one format in a directory, which is made if it is not there.

    ``rotate_bytes`` and ``rotate_s`` say when a rotation is due: when the file is that large; when a multiple of that
    many seconds (UTC) has passed since it was begun, so that 3600 gives files by the hour.  Parquet needs one of them.
    Rotated files are compressed and all but the newest ``keep`` removed by :meth:`tidy`.  ``time_column`` names a
    column in front for the messages' times ("": none); by default ``ts`` is added if no column of the record is a
    time.  ``timestamps`` is for JSON.

    To be used from one thread at a time; :meth:`tidy` alone may run beside the others.

    Raises LogFilesInUse if the files are open elsewhere, LogFilesDamaged if the state or the current file is not what
    was written, LogFilesError if a file of somebody else's has the current file's name, ValueError for arguments that
    cannot be, ExtraMissing for a package that is not there, and OSError.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        stream: str,
        *,
        format: Format = "tsv",  # noqa: A002 - the word for it
        rotate_bytes: int | None = None,
        rotate_s: float | None = None,
        compress: Compression | None = None,
        keep: int | None = None,
        time_column: str | None = None,
        timestamps: Timestamps = "iso8601",
        clock: Callable[[], float] = time.time,
        disk: Disk | None = None,
    ) -> None:
        check_arguments(stream, format, rotate_bytes, rotate_s, compress, keep)
        self._directory = Path(directory)
        self._stream = stream
        self._encoder = encoder_maker(format, stream, time_column, timestamps)
        self._options = f"{time_column!r} {timestamps if format == 'json' else ''}"
        # Parquet's rows are gathered, and its files end with their index.
        self._appendable = format != "parquet"
        self._rotate_bytes = math.inf if rotate_bytes is None else rotate_bytes
        self._rotate_s = rotate_s
        self._compress = compress
        self._keep = keep
        self._clock = clock
        self._disk = disk or Disk()
        self._current = self._directory / (stream + SUFFIXES[format])
        self._state_path = self._hidden("state")
        self._rotated = Rotated(self._directory, stream, SUFFIXES[format], self._disk)
        # Files not yet finished, in order; the first may be the current file.
        self._segments: list[Segment] = []
        self._partials = 0
        self._appended = 0  # records since the last commit
        self._held: bytes | None = None  # the checkpoint of Parquet's last commit
        self._held_records = 0
        self._records = self._bytes = self._files = 0
        self._closed = False
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        try:
            self._state = self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The current file; of Parquet there is none, only rotated ones."""
        return self._current

    @property
    def durable(self) -> bool:
        """Whether a commit is on the disk when it returns, as a rule: of Parquet it is not."""
        return self._appendable

    @property
    def checkpoint(self) -> bytes | None:
        """The checkpoint of the last commit that is on the disk; None before the first."""
        return self._state.checkpoint

    @property
    def pending_bytes(self) -> int:
        """Bytes in memory that the next commit writes."""
        return sum(segment.waiting for segment in self._segments)

    @property
    def stats(self) -> LogFilesStats:
        """What was done so far."""
        return LogFilesStats(self._records, self._bytes, self._files)

    # --- the work ----------------------------------------------------------------------------------------------

    def append(self, messages: Sequence[Record], columns: Sequence[Column]) -> None:
        """Take records with their writer's columns; they are in memory until :meth:`commit`.

        Other columns than the current file's begin a new file, at the next commit; fewer do not.  Raises LogFilesError
        for columns that cannot stand in one file (``broker.log_records.flaw_in``).
        """
        self._check_open()
        if not messages:
            return
        columns = tuple(columns)
        if not self._segments or not self._segments[-1].takes(columns, self._options):
            if flaw := flaw_in(columns):
                raise LogFilesError(str(self._current), f"these columns cannot be written: {flaw}")
            self._partials += 1
            # No file was begun before the one before it, whatever was done to the clock: names are in order.
            opened_s = max(self._clock(), self._segments[-1].opened_s if self._segments else self._state.opened_s)
            self._begin(self._hidden(f"partial-{self._partials}"), columns, self._options, opened_s)
        self._segments[-1].add(messages)
        self._appended += len(messages)

    def commit(self, checkpoint: bytes) -> bool:
        """Put what was appended on the disk, with the checkpoint.  Returns whether it is there now.

        False is for Parquet alone: the records and the checkpoint are durable after :meth:`rotate` or :meth:`close`.
        Raises OSError if there is no room, or the disk fails: nothing is committed, and the rows go on waiting for the
        next call.
        """
        self._check_open()
        if not self._appendable and len(self._segments) == 1:
            self._segments[0].flush(sync=False)
            self._held = checkpoint
            self._held_records += self._appended
            self._appended = 0
            return False
        self._store(checkpoint, finish=not self._appendable)
        return True

    def rotate_due(self, now_s: float | None = None) -> bool:
        """Whether it is time for :meth:`rotate`; ``now_s`` is the time of day, the clock's own if it is None."""
        if not self._segments:
            return False
        segment = self._segments[0]
        if segment.written + segment.waiting >= self._rotate_bytes:
            return True
        if self._rotate_s is None:
            return False
        now_s = self._clock() if now_s is None else now_s
        return now_s // self._rotate_s > segment.opened_s // self._rotate_s

    def rotate(self) -> bool:
        """Finish the current file and give it its own name; the next record begins a new one.  Whether there was one.

        Parquet's held checkpoint is on the disk when this returns.  Raises OSError as :meth:`commit` does, and
        LogFilesError if records were appended and not committed.
        """
        self._check_open()
        if self._appended:
            raise LogFilesError(str(self._current), "rotate() between append() and commit(): commit first")
        if not self._segments:
            return False
        self._store(self.checkpoint if self._held is None else self._held, finish=True)
        return True

    def tidy(self) -> None:
        """Compress finished files and remove those that are not to be kept.  Slow: may run in a thread of its own.

        Raises OSError; calling it again goes on where it failed.
        """
        state = self._state  # It may be replaced meanwhile.
        self._rotated.tidy(self._compress, self._keep, 0 if state.moves else state.number)

    def close(self) -> None:
        """End the current file, let others have the files.  What was appended and not committed is forgotten.

        A TSV file is ended by its ``#close`` line, which goes away when it is opened again.  A Parquet file is
        finished, and its checkpoint durable, if all that was appended was committed; else the next start removes it.
        Raises OSError if a Parquet file cannot be finished; the files are closed nevertheless.
        """
        if self._closed:
            return
        try:
            if self._held is not None and not self._appended:
                self.rotate()
            elif self._appendable:
                self._end_for_now()
        finally:
            self._closed = True
            for segment in self._segments:
                with suppress(OSError):
                    segment.close()
            os.close(self._lock)

    def _begin(self, path: Path, columns: tuple[Column, ...], options: str, opened_s: float, written: int = 0) -> None:
        encoder = self._encoder(columns)
        self._segments.append(
            Segment(self._disk, path, encoder, columns=columns, options=options, opened_s=opened_s, written=written)
        )

    # --- how ---------------------------------------------------------------------------------------------------

    def _store(self, checkpoint: bytes | None, *, finish: bool) -> None:
        """Commit all that waits; the last file is finished too if ``finish``."""
        self._settle()
        # One that was ended by a rotation which failed is finished now.
        finish = finish or (bool(self._segments) and self._segments[-1].ended)
        finished = self._segments if finish else self._segments[:-1]
        current = None if finish or not self._segments else self._segments[-1]
        for segment in finished:
            segment.end(self._clock())
        for segment in self._segments:
            segment.flush()
        number, moves = self._moves(finished, current)
        if moves:
            self._disk.sync_directory(self._directory)
        written = sum(segment.written for segment in self._segments) - self._state.length
        opened_s = self._segments[-1].opened_s if self._segments else self._state.opened_s
        state = State(opened_s=opened_s, number=number, moves=moves, checkpoint=checkpoint)
        if current is not None:
            state = replace(state, length=current.written, columns=current.columns, options=current.options)
        write_state(self._disk, self._state_path, state)
        # Here it is done; what follows can be done again.
        self._state = state
        self._records += self._appended + self._held_records
        self._bytes += written
        self._files += len(finished)
        self._appended = self._held_records = 0
        self._held = None
        self._segments = [] if current is None else [current]
        for segment in finished:
            segment.close()
        self._settle()

    def _moves(self, finished: Sequence[Segment], current: Segment | None) -> tuple[int, tuple[Move, ...]]:
        """The number of the newest rotated file, and what is to be renamed, in order, for a commit."""
        number = self._state.number
        moves = []
        for segment in finished:
            number += 1
            while self._rotated.is_there(name := self._rotated.name(segment.opened_s, number)):
                number += 1
            moves.append(Move(segment.path.name, name))
        if current is not None and current.path != self._current:
            if self._segments[0].path != self._current:
                self._refuse_foreign(self._current)
            moves.append(Move(current.path.name, self._current.name))
        return number, tuple(moves)

    def _refuse_foreign(self, path: Path) -> None:
        if path.exists():
            raise LogFilesError(str(path), "a file that is not ours has this name: move it elsewhere")

    def _settle(self) -> None:
        """Carry out the moves of the last commit, as far as that is still to be done."""
        moves = self._state.moves
        if not moves:
            return
        for move in moves:
            source, target = self._directory / move.source, self._directory / move.target
            # A move that was made has left no source, but for the current file, which has a successor then.
            if not source.exists() or (source == self._current and self._rotated.is_there(move.target)):
                continue
            self._refuse_foreign(target)
            self._disk.rename(source, target)
        self._disk.sync_directory(self._directory)
        state = replace(self._state, moves=())
        write_state(self._disk, self._state_path, state)
        self._state = state
        for segment in self._segments:
            if state.length and segment.path.name == moves[-1].source:
                segment.path = self._current

    def _recover(self) -> State:
        """The state as it was left, with the files brought in line with it."""
        self._rotated.remove_left_over()
        self._disk.unlink(self._hidden("state.tmp"))
        state = read_state(self._state_path)
        self._state = state or State(number=max((number for number, _ in self._rotated.files()), default=0))
        self._settle()
        for path in self._directory.iterdir():
            if path.name.startswith(self._hidden("partial-").name):
                self._disk.unlink(path)
        if not self._state.length:
            if self._appendable:
                self._refuse_foreign(self._current)
            return self._state
        try:
            found = self._current.stat().st_size
        except FileNotFoundError:
            # Somebody took it away, with what was committed: it is theirs now.
            return replace(self._state, length=0, columns=())
        committed = self._state.length
        if found < committed:
            raise LogFilesDamaged(
                str(self._current),
                f"has {found} bytes, {committed} were committed: restore it, or move it elsewhere to begin a new one",
            )
        if found > committed:
            fd = self._disk.open(self._current)
            try:
                self._disk.truncate(fd, committed)
                self._disk.sync(fd)
            finally:
                self._disk.close(fd)
        self._begin(self._current, self._state.columns, self._state.options, self._state.opened_s, committed)
        return self._state

    def _end_for_now(self) -> None:
        """Write what ends the current file behind what is committed, where the next start cuts it off."""
        if self._state.moves or not self._state.length:
            return
        ending = self._encoder(self._state.columns).end(self._clock())
        with suppress(OSError):
            fd = self._disk.open(self._current)
            try:
                self._disk.truncate(fd, self._state.length)
                self._disk.write(fd, ending, self._state.length)
            finally:
                self._disk.close(fd)

    def _hidden(self, what: str) -> Path:
        return self._directory / f".{self._current.name}.{what}"

    def _take_lock(self) -> int:
        path = self._hidden("lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise LogFilesInUse(str(self._current), "another process writes this stream here") from None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _check_open(self) -> None:
        if self._closed:
            raise LogFilesError(str(self._current), "the log files are closed")
