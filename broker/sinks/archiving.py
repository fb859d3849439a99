"""The loop from a collector to log files: append, commit, and only then acknowledge."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import trio

from broker.journaling import Position
from broker.log_records import Column
from broker.sinks.log_files import LogFiles
from broker.sinks.rows import Record

__all__ = ["ArchivedMessage", "ArchivedRecords", "archive"]

_log: Final = logging.getLogger("broker.sinks")

COMMIT_BYTES: Final = 8 << 20
"""Bytes in memory that are committed whatever ``commit_s`` and ``commit_records`` say."""

_IDLE_S: Final = 1.0  # how often it is looked whether a rotation by time is due, while no records come
_LAST_COMMIT_S: Final = 5.0  # at most for the commit when the loop is cancelled

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


class ArchivedMessage(Record, Protocol):
    """What is asked of a message: a record's time and value, what its fields are, and where it stands."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its writer."""
        ...

    @property
    def position(self) -> Position:
        """Its place in its writer's spool."""
        ...


class ArchivedRecords(Protocol):
    """What is asked of a collector, which was opened with ``acknowledge="explicit"`` and the files' checkpoint."""

    async def receive_batch(self) -> Sequence[Any]:
        """Messages of one writer, consecutive and in order, at least one.  Cancelling takes none.

        Raises trio.EndOfChannel when no more will come.
        """
        ...

    def checkpoint(self, *, through: Sequence[Any]) -> bytes:
        """The checkpoint as it will be once these messages, and all before them of their writers, are acknowledged."""
        ...

    def acknowledge(self, message: Any, *, through: bool = False) -> Any:
        """Acknowledge a message; with ``through`` all before it of its writer too."""
        ...


async def archive(
    records: ArchivedRecords,
    files: LogFiles,
    *,
    commit_s: float = 0.2,
    commit_records: int = 10_000,
    retry_s: float = 1.0,
) -> None:
    """Write a collector's records into log files, each exactly once; until cancelled, or until no more come.

    Records are committed ``commit_s`` seconds after the first of them came, or when there are ``commit_records``, and
    acknowledged after that: the checkpoint, which goes to the disk with the records, tells what the writers may not
    have heard yet.  Files are written in worker threads, rotated when it is due and tidied beside that.  While the disk
    is full it tries again every ``retry_s`` seconds, with a warning to the logger ``broker.sinks``; the spools keep the
    records then.  Cancelled, it commits what it has.  It leaves ``files`` open.

    Parquet files count when they are finished: records are acknowledged, and leave the spools, at each rotation, so let
    that be every few minutes.

    Raises what ``records`` and ``files`` raise.
    """
    async with trio.open_nursery() as nursery:
        await _Archive(records, files, commit_s, commit_records, retry_s, nursery).run()


class _Archive:
    def __init__(
        self,
        records: ArchivedRecords,
        files: LogFiles,
        commit_s: float,
        commit_records: int,
        retry_s: float,
        nursery: trio.Nursery,
    ) -> None:
        self._records = records
        self._files = files
        self._commit_s = commit_s
        self._commit_records = commit_records
        self._retry_s = retry_s
        self._nursery = nursery
        self._tidying = False
        # By epoch of a spool: of what was appended the greatest number, until it is acknowledged.  That need not be the
        # last, since what another member had and did not handle comes late.
        self._lasts: dict[tuple[bytes, int, bytes], ArchivedMessage] = {}
        self._appended = 0
        self._first_at = 0.0

    async def run(self) -> None:
        self._tidy_soon()
        try:
            while True:
                batch: Sequence[Any] = ()
                with trio.move_on_at(self._deadline()):
                    batch = await self._records.receive_batch()
                if batch:
                    await self._append(batch)
                if self._is_due():
                    await self._retrying(self._commit)
                if not self._appended and self._files.rotate_due():
                    await self._retrying(self._rotate)
        except trio.EndOfChannel:
            await self._retrying(self._commit)
        except BaseException:
            with trio.move_on_after(_LAST_COMMIT_S, shield=True):
                await self._commit_what_can_be()
            raise

    def _deadline(self) -> float:
        return self._first_at + self._commit_s if self._appended else trio.current_time() + _IDLE_S

    def _is_due(self) -> bool:
        return self._appended > 0 and (
            self._appended >= self._commit_records
            or trio.current_time() >= self._deadline()
            or self._files.pending_bytes >= COMMIT_BYTES
        )

    async def _append(self, batch: Sequence[ArchivedMessage]) -> None:
        if not self._appended:
            self._first_at = trio.current_time()
        columns = batch[-1].columns
        with trio.CancelScope(shield=True):  # Half of it must not be: it takes a few milliseconds.
            await trio.to_thread.run_sync(self._files.append, batch, columns)
            self._take_note(batch[-1])
            self._appended += len(batch)

    def _take_note(self, last: ArchivedMessage) -> None:
        position = last.position
        epoch = position.journal, position.epoch, position.checksum
        former = self._lasts.get(epoch)
        if former is None or former.position.sequence < position.sequence:
            self._lasts[epoch] = last

    async def _commit(self) -> None:
        if not self._appended:
            return
        checkpoint = self._records.checkpoint(through=list(self._lasts.values()))
        with trio.CancelScope(shield=True):  # Done, it must be known.
            durable = await trio.to_thread.run_sync(self._files.commit, checkpoint)
        self._appended = 0
        if durable:
            self._acknowledge()

    async def _rotate(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._files.rotate)
        self._acknowledge()
        self._tidy_soon()

    def _acknowledge(self) -> None:
        for message in self._lasts.values():
            self._records.acknowledge(message, through=True)
        self._lasts.clear()

    async def _commit_what_can_be(self) -> None:
        try:
            await self._commit()
            if not self._files.durable:
                # Closing the files finishes this one anyway; here its records can still be acknowledged.
                await trio.to_thread.run_sync(self._files.rotate)
                self._acknowledge()
        except OSError as error:
            _log.warning("the last records were not written, and will come again: %s", error)

    def _tidy_soon(self) -> None:
        if not self._tidying:
            self._tidying = True
            self._nursery.start_soon(self._tidy)

    async def _tidy(self) -> None:
        try:
            await trio.to_thread.run_sync(self._files.tidy)
        except OSError as error:
            _log.warning("finished log files were not tidied, which is tried again later: %s", error)
        finally:
            self._tidying = False

    async def _retrying(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it; while there is no room on the disk, again."""
        warned = False
        while True:
            try:
                await work()
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                if not warned:
                    _log.warning("log files wait for room on the disk: %s", error)
                    warned = True
            await trio.sleep(self._retry_s)
