"""The handle that a program collects a log stream with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import trio

from broker.errors import LogClosed
from broker.journaling import Position
from broker.logs.batches import Batch, WriterLag
from broker.logs.collector import Collector as Machine
from broker.logs.messages import LogMessage
from broker.logs.ranges import Range
from broker.logs.wire import Since
from broker.values.timestamps import nanoseconds_of

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["Collector", "collector_name", "since_of"]

# A reader that never has to wait lets others run after so many messages; a batch counts for some of them by itself.
_MESSAGES_PER_TURN: Final = 1024
_BATCH_COST: Final = 16
# How long leaving waits for the writers' word that they have written down what was acknowledged.
_LINGER_S: Final = 2.0


class Collector:
    """The records of one stream, from all its writers: what :meth:`Endpoint.collect` gives.

    Each writer's records come in its order; of several writers in the order in which they arrive.  Iterate over it, or
    call :meth:`receive` or :meth:`receive_batch`.  A record is acknowledged when the next one is asked for, and when
    the block is left without an exception; with ``acknowledge="explicit"`` by :meth:`acknowledge`.  Several tasks that
    share a collector need that, and a program that interrupts its work on a record by a cancel scope in the block.
    """

    def __init__(self, endpoint: Endpoint, stream: str, *, explicit: bool, options: dict[str, Any]) -> None:
        self.stream = stream
        self._endpoint = endpoint
        self._explicit = explicit
        self._options = options
        self._machine: Machine | None = None
        self._batch: Batch | None = None
        self._messages: list[LogMessage] = []
        self._current: Iterator[LogMessage] = iter(())
        self._waiting = trio.lowlevel.ParkingLot()
        self._changed = trio.lowlevel.ParkingLot()
        self._in_hand = 1  # how many messages of the batch the program has asked for at once, the last time
        self._budget = _MESSAGES_PER_TURN
        self._left = False
        self.on_wake: Callable[[], None] = _nothing  # for who waits elsewhere than in a task of ours

    def __repr__(self) -> str:
        return f"<Collector of {self.stream!r}>"

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Begin; writers are found wherever they are, now and later."""
        endpoint = self._endpoint
        endpoint._check_open()
        if self._machine is not None:
            raise LogClosed(self.stream, "a collector is entered once: make a new one")
        machine = endpoint._node.attach_collector(self.stream, trio.current_time(), **self._options)
        self._machine = machine
        machine.progress = self._progress
        endpoint._log_driver.collectors[machine] = self
        endpoint._carry_out()
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Acknowledge what was received (after an exception, not the last message or batch) and end."""
        try:
            if self._machine is not None and not self._left:
                self._finish(self._given() - (self._in_hand if kind is not None else 0))
                with trio.move_on_after(_LINGER_S, shield=True):
                    await self._confirmed(reachable=True)
        finally:
            self.end()

    def end(self) -> None:
        """Do that; one who waits gets LogClosed.  The endpoint calls this when it is closed."""
        machine = self._machine
        if machine is None or self._left:
            return
        self._left = True
        self._endpoint._log_driver.collectors.pop(machine, None)
        self._endpoint._node.detach_collector(machine, self._unread(), trio.current_time())
        if self._endpoint._state == "open":
            self._endpoint._carry_out()
        self._current = iter(())
        self._waiting.unpark_all()
        self._changed.unpark_all()
        self.on_wake()

    def _unread(self) -> dict[bytes, list[Range]]:
        """Return what was taken from the queue and not given to the program."""
        rest = self._messages[self._given() :]
        return {rest[0].epoch.journal: [(rest[0].number, rest[-1].number)]} if rest else {}

    def wake(self) -> None:
        """Take note that something has changed."""
        assert self._machine is not None
        if not self._machine.empty:
            self._waiting.unpark()
            self.on_wake()
        self._changed.unpark_all()

    def _open_machine(self) -> Machine:
        if self._machine is None:
            raise LogClosed(self.stream, "not entered yet: use it inside its 'with' or 'async with' block")
        if self._left:
            raise LogClosed(self.stream, "this collector was left")
        return self._machine

    # -- receiving -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        """Iterate over the records, for ever."""
        return self

    async def __anext__(self) -> LogMessage:
        """Return the next record, waiting for it."""
        for message in self._current:
            return message
        return await self._receive()

    async def receive(self) -> LogMessage:
        """Return the next record, waiting for it."""
        for message in self._current:
            return message
        return await self._receive()

    def receive_nowait(self) -> LogMessage:
        """Return the next record, or raise :class:`trio.WouldBlock` when there is none."""
        for message in self._current:
            return message
        if not self.fill():
            raise trio.WouldBlock
        return next(self._current)

    @property
    def idle(self) -> bool:
        """Whether :meth:`fill` has nothing to do or to say."""
        # A batch that is through is acknowledged by asking for the next one.
        return not self._left and self._machine is not None and self._machine.empty and self._batch is None

    def fill(self) -> bool:
        """Go on to the next batch where the last is through; whether there is anything to receive."""
        return length_hint(self._current) > 0 or self._take()

    async def receive_batch(self) -> list[LogMessage]:
        """Return the next records of one writer, which have arrived together, waiting for them: at most some 8,000."""
        if not length_hint(self._current):
            await self._wait()
        messages = list(self._current)
        self._in_hand = len(messages)
        return messages

    async def _receive(self) -> LogMessage:
        await self._wait()
        return next(self._current)

    async def _wait(self) -> None:
        """Wait until there is a record to receive."""
        if self._budget <= 0:
            self._budget = _MESSAGES_PER_TURN
            await trio.lowlevel.checkpoint()
        while not self.fill():
            self._budget = _MESSAGES_PER_TURN
            await self._waiting.park()
        self._budget -= len(self._messages) + _BATCH_COST
        # Let the next of the tasks that wait have the next record, if there is one.
        if self._waiting and (length_hint(self._current) > 1 or not self._open_machine().empty):
            self._waiting.unpark()

    def _take(self) -> bool:
        """Go on to the next batch; whether there is one."""
        machine, now = self._open_machine(), trio.current_time()
        self._finish(self._given())
        self._in_hand = 1
        found = machine.next_batch(now)
        if found is None:
            self._batch, self._messages, self._current = None, [], iter(())
            self._endpoint._node.flush_collector(machine, now)
        else:
            self._batch, self._messages = found
            self._current = iter(self._messages)
        self._endpoint._carry_out()
        return found is not None

    def _given(self) -> int:
        """Return how many of the batch the program has got."""
        return len(self._messages) - length_hint(self._current)

    # -- acknowledging ---------------------------------------------------------------------------------------------

    def _finish(self, count: int) -> None:
        """Acknowledge so many messages of the batch, as they are when the next is asked for."""
        batch, machine = self._batch, self._machine
        if batch is None or machine is None or self._explicit or count <= 0:
            return
        chunk = batch.chunk
        last = chunk.last if count == len(self._messages) else self._messages[count - 1].number
        machine.finish(batch.source, batch.key, chunk.first, last, trio.current_time())
        batch.source.done_ns = max(batch.source.done_ns, self._messages[count - 1].time_ns)

    def _progress(self) -> bool:
        """Acknowledge what the program has done of a batch that it is in the middle of."""
        if self._batch is None or self._explicit:
            return False
        self._finish(self._given() - self._in_hand)
        return True

    def acknowledge(self, message: LogMessage, *, through: bool = False) -> int:
        """Acknowledge a record; with ``through`` all of its writer that were received up to it, too.

        Returns how many records that were: none when it was acknowledged before, or has been given to another member
        meanwhile because this one could not be reached.
        """
        machine = self._open_machine()
        count = machine.acknowledge(message, through=through, now=trio.current_time())
        self._endpoint._wake_at(machine.next_deadline())
        return count

    async def confirmed(self) -> None:
        """Wait until every acknowledgement made so far is on its writer's disk: then nothing of it comes again."""
        await self._confirmed(reachable=False)

    async def _confirmed(self, *, reachable: bool) -> None:
        machine = self._open_machine()
        self._endpoint._node.flush_collector(machine, trio.current_time())
        self._endpoint._carry_out()
        await trio.lowlevel.checkpoint()
        while not (machine.settled_where_reachable if reachable else machine.settled):
            self._open_machine()
            await self._changed.park()

    def checkpoint(self, through: Iterable[LogMessage] = ()) -> bytes:
        """Return what was acknowledged and is not confirmed yet, and which member this is: for ``collect``.

        A program that keeps it together with what it made of the records, in one transaction, has each record's effect
        exactly once, however it dies.  ``through``: as it will be when all up to these messages are acknowledged.
        """
        return self._open_machine().checkpoint(through)

    # -- looking ---------------------------------------------------------------------------------------------------

    def lag(self) -> tuple[WriterLag, ...]:
        """Return how far this collector's name is with each writer."""
        return self._open_machine().lag()

    @property
    def refused(self) -> dict[str, str]:
        """The writers that give this collector nothing, and why."""
        return dict(self._open_machine().refused)


def collector_name(name: str) -> str:
    """Return a collector's name, if it is one; raises ValueError."""
    if type(name) is not str or not 1 <= len(name.encode(errors="replace")) <= 255 or not name.isprintable():
        raise ValueError(f"a collector's name is printable text of 1 to 255 bytes: {name!r:.100}")
    return name


def since_of(since: str | datetime | Position) -> Since:
    """Return where to begin, as it is told to writers; raises ValueError."""
    if isinstance(since, Position):
        return Since("position", since.sequence, since.epoch, since.checksum, since.journal)
    if isinstance(since, datetime):
        return Since("time", max(0, nanoseconds_of(since)))
    if since in {"earliest", "now"}:
        return Since(since)
    raise ValueError(f"since is 'earliest', 'now', an aware datetime or a Position, not {since!r:.100}")


def _nothing() -> None:
    pass
