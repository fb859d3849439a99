"""The handle that a program writes a log stream with: durable, with a spool on disk."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import trio
from msgspec import Struct

from broker import events
from broker.errors import EventDefinitionError, LogClosed, LogError
from broker.journaling import Position
from broker.log_records import columns_of
from broker.logs.spool import TABLES
from broker.logs.wire import Schema
from broker.logs.writer import Options, Writer
from broker.protocol.exchange import check_size
from broker.values import SMALL_BYTES

if TYPE_CHECKING:
    from broker.endpoint import Endpoint
    from broker.journal import DiskJournal

__all__ = ["CollectorInfo", "LogInfo", "LogWriter"]

# A writer that never has to wait lets others run, and its records leave, this often.
_YIELD_NS: Final = 2_000_000
# How long leaving waits for the disk, and for word of collectors that is under way.
_LINGER_S: Final = 5.0
# A spool of 200 MB of short records, or of more with long ones: about 1 s.
_CHECKED_PAGES: Final = 50_000


class CollectorInfo(Struct, frozen=True):
    """How far a collector's name is, as a writer has it."""

    name: str
    acknowledged: int  # the record up to which it has acknowledged everything
    behind: int  # records that it has not acknowledged
    behind_s: float  # the age of the oldest of them against the latest record, in seconds
    members: tuple[str, ...]  # the endpoints that collect under the name now
    in_hand: int  # records that they have and have not acknowledged
    lost: int  # records that were gone before it had them


class LogInfo(Struct, frozen=True):
    """What is to be said of a writer and its spool."""

    stream: str
    path: str
    journal: bytes
    epoch: int
    first: int  # the oldest record that is kept; one more than the last when there is none
    last: int  # the latest on disk
    bytes: int
    limit_bytes: int
    dropped: int  # records that the limits took before every collector had them, since the spool was made
    problem: str  # why the spool cannot be written; empty: it can
    collectors: tuple[CollectorInfo, ...]


class LogWriter:
    """The writer of a log stream at one endpoint: what :meth:`Endpoint.log` gives.

    Any number of tasks may write.  Records are numbered 1, 2, 3... in the order in which they were taken, for as long
    as the spool lives; every collector gets them in that order.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream: str,
        record: type,
        path: str | os.PathLike[str],
        options: Options,
        *,
        durable: bool,
    ) -> None:
        self.name = stream
        self.record = record
        self.path = Path(path)
        self._endpoint = endpoint
        self._options = options
        self._durable = durable
        self._record_name, self._encode = events.encoder_for(record)
        self._machine: Writer | None = None
        self._journal: DiskJournal | None = None
        self._left = False
        self._entered = False
        self._waiting: deque[tuple[int, trio.lowlevel.Task]] = deque()  # who waits for what to be on disk
        self._changed = trio.lowlevel.ParkingLot()
        self._yield_at = 0

    def __repr__(self) -> str:
        return f"<LogWriter {self.name!r} {self.path}>"

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the spool, made if there is none; collectors find it from now on."""
        endpoint = self._endpoint
        endpoint._check_open()
        if self._entered:
            raise LogClosed(self.name, "a writer is entered once: make a new one")
        self._entered = True
        driver, logs = endpoint._log_driver, endpoint._node.logs
        logs.check_free(self.name)
        if self.name in driver.opening:
            raise LogError(self.name, "its spool is just being opened by another task of this endpoint")
        driver.opening.add(self.name)
        try:
            self._journal = await trio.to_thread.run_sync(self._open)
        finally:
            driver.opening.discard(self.name)
        try:
            self._thread = driver.begin_thread(self.name, self._journal)
            schema = Schema(self._record_name, columns_of(self.record))
            machine = endpoint._node.attach_writer(
                self.name, self._journal, schema, self._options, trio.current_time(), time_ns()
            )
            self._machine = machine
            driver.writers[machine] = self
            endpoint._carry_out()
            await self._until(lambda: machine.ready or bool(machine.failing))
            if not machine.ready:
                raise LogError(self.name, f"its spool cannot be written: {machine.failing}")
        except BaseException:
            await self._close()
            raise
        return self

    def _open(self) -> DiskJournal:
        from broker.journal import open_journal  # it brings LMDB with it

        return open_journal(
            self.path,
            kind="log",
            name=self.name,
            role="writer",
            tables=TABLES,
            check_log=False,
            check_pages=_CHECKED_PAGES,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have everything on disk, then end.  Records that collectors lack stay in the spool."""
        try:
            machine = self._machine
            if machine is not None and not self._left:
                machine.closing = True
                with trio.move_on_after(_LINGER_S, shield=True):
                    await self._settle(machine)
        finally:
            await self._close()

    async def _settle(self, machine: Writer) -> None:
        machine.hurry(trio.current_time())
        self._endpoint._node.flush_logs(trio.current_time())
        self._endpoint._carry_out()
        while not machine.idle and self._endpoint._state == "open":
            await self._changed.park()

    async def _close(self) -> None:
        self.end()
        journal, self._journal = self._journal, None
        if journal is not None:
            with trio.CancelScope(shield=True):
                await self._thread.close()
                self._endpoint._log_driver.end_thread(self.name)

    def end(self) -> None:
        """Let nothing more be written; the endpoint calls this when it is closed."""
        machine = self._machine
        if machine is None or self._left:
            return
        self._left = True
        self._endpoint._log_driver.writers.pop(machine, None)
        self._endpoint._node.detach_writer(machine, trio.current_time())
        if self._endpoint._state == "open":
            self._endpoint._carry_out()
        self.wake()

    def wake(self) -> None:
        """Take note that something has changed."""
        machine, waiting = self._machine, self._waiting
        durable = float("inf") if self._left or machine is None else machine.durable
        while waiting and waiting[0][0] <= durable:
            trio.lowlevel.reschedule(waiting.popleft()[1])
        self._changed.unpark_all()

    async def _until(self, condition: Any) -> None:
        while not condition():
            self._open_machine()
            await self._changed.park()

    def _open_machine(self) -> Writer:
        machine = self._machine
        if machine is None:
            raise LogClosed(self.name, "not entered yet: use it inside its 'with' or 'async with' block")
        if self._left:
            raise LogClosed(self.name, "this writer was left")
        return machine

    # -- writing ---------------------------------------------------------------------------------------------------

    def _append(self, machine: Writer, record: object, now: int) -> int:
        if type(record) is not self.record:
            raise EventDefinitionError(
                f"log stream {self.name!r} has records of {self.record.__qualname__}, not {type(record).__qualname__}"
            )
        data = self._encode(record, now)
        if len(data) > SMALL_BYTES:
            check_size(data, "a record", self._record_name)
        return machine.append(data, now)

    async def write(self, record: object, *, durable: bool | None = None) -> int:
        """Write a record; returns its number.

        Durable: it is on disk when this returns.  Otherwise it is taken, and on disk within the writer's ``delay_s``.
        Waits while the spool is full.  Raises EventMisfit (a field that does not fit its annotation), NotCarried,
        EventDefinitionError (of another class); then nothing was written.  One who is cancelled while waiting for the
        disk does not know whether the record is there.
        """
        machine = self._machine
        if machine is None or self._left or machine.pending_bytes >= machine.pending_limit:
            machine = await self._room()
        now = time_ns()
        number = self._append(machine, record, now)
        if self._durable if durable is None else durable:
            await self._on_disk(machine, number)
        elif machine.wants_pump or now >= self._yield_at:
            await self._let_leave(machine, now)
        return number

    async def _room(self) -> Writer:
        machine = self._open_machine()
        if machine.pending_bytes >= machine.pending_limit:
            self._flush_soon(machine)
            await self._until(lambda: machine.pending_bytes < machine.pending_limit)
        return machine

    async def _let_leave(self, machine: Writer, now: int) -> None:
        """Have what was taken written in time, and let others run now and then."""
        self._note(machine)
        if now >= self._yield_at:
            await trio.lowlevel.checkpoint()
            self._yield_at = time_ns() + _YIELD_NS

    def _note(self, machine: Writer) -> None:
        if machine.fills:
            self._flush_soon(machine)
        elif machine.wants_pump:
            machine.delay(trio.current_time())
            self._endpoint._set_timer(changed=False)

    def _flush_soon(self, machine: Writer) -> None:
        machine.hurry(trio.current_time())
        self._endpoint._log_driver.flush_soon()

    async def _on_disk(self, machine: Writer, number: int) -> None:
        if machine.durable >= number:
            await trio.lowlevel.checkpoint()
            return
        self._flush_soon(machine)
        mine = (number, trio.lowlevel.current_task())
        self._waiting.append(mine)

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._waiting.remove(mine)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        if machine.durable < number:
            raise LogClosed(self.name, f"it was left before record {number} was known to be on disk")

    def write_nowait(self, record: object) -> int:
        """Write a record, not durably yet, or raise :class:`trio.WouldBlock` when the spool is full."""
        machine = self._open_machine()
        if machine.pending_bytes >= machine.pending_limit:
            self._flush_soon(machine)
            raise trio.WouldBlock
        number = self._append(machine, record, time_ns())
        self._note(machine)
        return number

    async def write_all(self, records: Iterable[object], *, durable: bool | None = None) -> int:
        """Write records one after the other; returns the number of the last (0: there were none), as :meth:`write`.

        When one does not fit, those before it are written.
        """
        number = 0
        machine = self._open_machine()
        try:
            for record in records:
                if machine.pending_bytes >= machine.pending_limit:
                    machine = await self._room()
                number = self._append(machine, record, time_ns())
        finally:
            self._note(machine)
        if number and (self._durable if durable is None else durable):
            await self._on_disk(machine, number)
        else:
            await trio.lowlevel.checkpoint()
        return number

    async def flush(self) -> None:
        """Wait until everything that was written before is on disk."""
        machine = self._open_machine()
        await self._on_disk(machine, machine.next - 1)

    async def collected(self, *names: str) -> None:
        """Wait until these collectors (none: all that are registered) have acknowledged everything written so far.

        That they have is on this disk, too: nothing of it comes again.
        """
        machine = self._open_machine()
        last = machine.next - 1
        await self.flush()
        await self._until(lambda: all(self._written(machine, name) >= last for name in names or machine.groups))

    def _written(self, machine: Writer, name: str) -> int:
        group = machine.groups.get(name)
        return -1 if group is None else group.written

    # -- looking ---------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """The end of what is on disk: a collector that begins ``since`` there gets what comes after it."""
        machine = self._open_machine()
        return machine.position

    def info(self) -> LogInfo:
        """Return how things stand with the spool and its collectors."""
        machine = self._open_machine()
        journal = machine.journal
        collectors = [
            CollectorInfo(
                name,
                group.floor,
                behind := machine.durable - group.floor - group.done.count,
                machine.age_of(group.floor + 1) if behind else 0.0,
                tuple(sorted(session.member.name for session in group.sessions.values())),
                sum(held.count for held in group.held.values()),
                group.lost,
            )
            for name, group in sorted(machine.groups.items())
        ]
        return LogInfo(
            self.name,
            str(self.path),
            journal.position.journal,
            machine.epoch,
            machine.spool.oldest,
            machine.durable,
            journal.log_bytes,
            self._options.limit_bytes,
            machine.spool.state.dropped,
            machine.failing,
            tuple(collectors),
        )

    async def forget(self, name: str) -> None:
        """Let a collector that will not come back no longer hold records; KeyError when there is no such name."""
        machine = self._open_machine()
        if not machine.serving.forget(name):
            raise KeyError(f"log stream {self.name!r} has no collector {name!r} here")
        self._flush_soon(machine)
        await self._until(lambda: name not in machine.serving.forgotten)
