"""Log streams of a simulated endpoint: a writer and a collector as programs use them, without waiting.

What an :class:`~broker.handles.log_writer.LogWriter` waits for is here a property to be looked at, and ``on_change`` is
called when it may have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import trio

from broker import events
from broker.journaling import MemoryJournal, Position
from broker.log_records import columns_of
from broker.logs.batches import Batch, WriterLag
from broker.logs.collector import Collector
from broker.logs.messages import LogMessage
from broker.logs.ranges import Range
from broker.logs.spool import TABLES
from broker.logs.wire import Schema, Since
from broker.logs.writer import Options, Writer
from broker.protocol.actions import Action, CarryOut, LogChanged
from broker.testing.disk import DiskUser
from broker.values.timestamps import nanoseconds_of

if TYPE_CHECKING:
    from broker.testing.cluster import SimulatedEndpoint

__all__ = ["SimulatedCollector", "SimulatedLog", "SimulatedLogs"]

# How long leaving a collector waits for word of what was acknowledged, as broker.handles.collector does.
_LINGER_S = 2.0


class SimulatedLog(DiskUser):
    """The writer of a log stream.  Its spool is on the endpoint's simulated disk, or in memory."""

    machine: Writer

    def __init__(self, endpoint: SimulatedEndpoint, record: type, machine: Writer) -> None:
        super().__init__(endpoint, machine)
        self.stream: str = machine.name
        self.on_change: Callable[[], None] | None = None
        self._record = record
        self._encode = events.encoder_for(record)[1]

    def write(self, record: object, *, durable: bool = True) -> int:
        """Write a record; returns its number.

        Durable: it goes to the disk at once; it is there when :attr:`durable` has reached its number.  Otherwise it
        goes there within the writer's ``delay_s``.  Raises :class:`trio.WouldBlock` when the spool is full.
        """
        if type(record) is not self._record:
            raise TypeError(f"log stream {self.stream!r} has records of {self._record}, not {type(record)}")
        machine = self.machine
        if machine.pending_bytes >= machine.pending_limit:
            self.flush()
            raise trio.WouldBlock
        now_ns = self.endpoint.time_ns()
        number = machine.append(self._encode(record, now_ns), now_ns)
        if durable or machine.fills:
            self.flush()
        elif machine.wants_pump:
            machine.delay(self.endpoint.cluster.now())
            self.endpoint.round_done()
        return number

    def flush(self) -> None:
        """Have everything that was written go to the disk now."""
        cluster = self.endpoint.cluster
        self.machine.hurry(cluster.now())
        # It leaves when the loop comes round: after everything else that happens now.
        cluster.call_at(cluster.now(), self._flush)
        self.endpoint.round_done()

    def _flush(self) -> None:
        endpoint = self.endpoint
        if endpoint.alive and not endpoint.paused:
            endpoint.node.flush_logs(endpoint.cluster.now())
            endpoint.round_done()

    @property
    def durable(self) -> int:
        """Up to which record everything is on the disk."""
        return self.machine.durable

    @property
    def last(self) -> int:
        """The number of the record that was written last."""
        return self.machine.next - 1

    @property
    def oldest(self) -> int:
        """The number of the oldest record that is kept; one more than the last when there is none."""
        return self.machine.spool.oldest

    @property
    def collectors(self) -> dict[str, int]:
        """The names that are registered, and up to which record each has acknowledged everything."""
        return {name: group.floor for name, group in self.machine.groups.items()}

    def lost(self, name: str) -> int:
        """Return how many records were gone before a collector's name had them."""
        return self.machine.groups[name].lost

    @property
    def dropped(self) -> int:
        """How many records the limits took before every collector had them."""
        return self.machine.spool.state.dropped

    def is_collected(self, *names: str) -> bool:
        """Whether these (none: all) have acknowledged everything that was written, and that is on the disk."""
        groups = self.machine.groups
        return all(name in groups and groups[name].written >= self.last for name in names or groups)

    def forget(self, name: str) -> None:
        """Let a collector that will not come back no longer hold records; KeyError when there is no such name."""
        if not self.machine.serving.forget(name):
            raise KeyError(name)
        self.flush()

    @property
    def idle(self) -> bool:
        """Whether there is nothing on its way to the disk."""
        return self.machine.idle

    def close(self) -> None:
        """End; what is not on the disk is lost: :meth:`flush`, and wait until it is :attr:`idle`."""
        self.endpoint.logs.end_writer(self)

    def changed(self) -> None:
        """Take note that something has changed."""
        if self.on_change is not None:
            self.on_change()


class SimulatedCollector:
    """A collector whose messages gather in ``messages``, as they come or when they are asked for by :meth:`read`."""

    def __init__(self, endpoint: SimulatedEndpoint, machine: Collector, *, explicit: bool, reading: bool) -> None:
        self.endpoint = endpoint
        self.machine = machine
        self.messages: list[LogMessage] = []
        self.reading = reading
        self.on_messages: Callable[[list[LogMessage]], None] | None = None
        self.closed = False
        self._explicit = explicit
        self._closing = False
        self._batch: tuple[Batch, list[LogMessage]] | None = None  # given to the program and not acknowledged

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self) -> list[LogMessage]:
        """Return the next records of one writer, none when there are none; what was read before is acknowledged.

        That is so when it acknowledges by itself; otherwise see :meth:`acknowledge`.
        """
        if self.closed or self._closing:
            return []
        now = self.endpoint.cluster.now()
        self._finish()
        found = self.machine.next_batch(now)
        messages: list[LogMessage] = []
        if found is None:
            self.endpoint.node.flush_collector(self.machine, now)
        else:
            messages = found[1]
            self._batch = None if self._explicit else found
            self.messages += messages
            if self.on_messages is not None:
                self.on_messages(messages)
        self.endpoint.round_done()
        return messages

    def _finish(self) -> None:
        if self._batch is not None:
            (batch, messages), self._batch = self._batch, None
            now = self.endpoint.cluster.now()
            self.machine.finish(batch.source, batch.key, batch.chunk.first, batch.chunk.last, now)
            batch.source.done_ns = max(batch.source.done_ns, messages[-1].time_ns)

    def stop_reading(self) -> None:
        """Be a slow reader: let records pile up."""
        self.reading = False

    def go_on_reading(self) -> None:
        """Read what has piled up, and all that comes."""
        self.reading = True
        self.changed()

    def changed(self) -> None:
        """Take note that something has changed: read, if ``reading``."""
        if self._closing:
            if self.machine.settled_where_reachable:
                self._end()
            return
        while self.reading and not self.closed and not self.machine.empty and self.read():
            pass
        if self.reading and not self.closed and self.machine.empty and self._batch is not None:
            self.read()  # which acknowledges the last of them

    # -- acknowledging ---------------------------------------------------------------------------------------------

    def acknowledge(self, message: LogMessage, *, through: bool = False) -> int:
        """Acknowledge a record, or all of its writer that were received up to it; returns how many that was."""
        count = self.machine.acknowledge(message, through=through, now=self.endpoint.cluster.now())
        self.endpoint.round_done()
        return count

    def checkpoint(self, through: Iterable[LogMessage] = ()) -> bytes:
        """Return what was acknowledged and is not confirmed; as it will be when all up to these are, too."""
        return self.machine.checkpoint(through)

    @property
    def settled(self) -> bool:
        """Whether all that was acknowledged is on the writers' disks."""
        return self.machine.settled

    def lag(self) -> tuple[WriterLag, ...]:
        """Return how far this collector's name is with each writer."""
        return self.machine.lag()

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self, *, acknowledge: bool = True) -> None:
        """Leave as a program does: acknowledge what was read, wait a little for the writers' word, and end.

        Without ``acknowledge`` as after an exception: what was read last is not acknowledged.
        """
        if self.closed or self._closing:
            return
        if acknowledge:
            self._finish()
        self._closing = True
        cluster = self.endpoint.cluster
        self.endpoint.node.flush_collector(self.machine, cluster.now())
        cluster.call_at(cluster.now() + _LINGER_S, self._end)
        self.changed()
        self.endpoint.round_done()

    def _end(self) -> None:
        if self.endpoint.alive and not self.closed:
            self.endpoint.logs.end_collector(self, {})


class SimulatedLogs:
    """All log streams of one endpoint."""

    def __init__(self, endpoint: SimulatedEndpoint) -> None:
        self._endpoint = endpoint
        self.writers: dict[str, SimulatedLog] = {}
        self.collectors: list[SimulatedCollector] = []

    def begin_writer(self, stream: str, record: type, *, durable: bool, **options: Any) -> SimulatedLog:
        """Begin to write a stream."""
        endpoint, cluster = self._endpoint, self._endpoint.cluster
        endpoint.node.logs.check_free(stream)
        if durable:
            journal: MemoryJournal = cluster.disk.open(endpoint.name, f"log {stream}", len(TABLES))
        else:
            journal = MemoryJournal(cluster.random.randbytes(16), len(TABLES))
        schema = Schema(events.name_of(record), columns_of(record))
        machine = endpoint.node.attach_writer(
            stream, journal, schema, Options(**options), cluster.now(), endpoint.time_ns()
        )
        handle = self.writers[stream] = SimulatedLog(endpoint, record, machine)
        endpoint.round_done()
        return handle

    def begin_collector(
        self, stream: str, *, record: type | None, since: Any, explicit: bool, reading: bool, **options: Any
    ) -> SimulatedCollector:
        """Begin to collect a stream."""
        endpoint = self._endpoint
        options["since"] = _since(since)
        options["schema"] = None if record is None else Schema(events.name_of(record), columns_of(record))
        machine = endpoint.node.attach_collector(stream, endpoint.cluster.now(), **options)
        handle = SimulatedCollector(endpoint, machine, explicit=explicit, reading=reading)
        self.collectors.append(handle)
        endpoint.round_done()
        return handle

    def carry_out(self, action: Action) -> None:
        """Do what a log stream wants done."""
        owner = action.owner if isinstance(action, CarryOut | LogChanged) else None
        for writer in list(self.writers.values()):
            if writer.machine is owner:
                if isinstance(action, CarryOut):
                    writer.carry_out(action.work)
                else:
                    writer.changed()
        for collector in list(self.collectors):
            if collector.machine is owner:
                collector.changed()

    def end_writer(self, writer: SimulatedLog) -> None:
        """End a writer; what its disk has not done is lost."""
        if self.writers.get(writer.stream) is writer:
            del self.writers[writer.stream]
            writer.crash()
            self._endpoint.node.detach_writer(writer.machine, self._endpoint.cluster.now())
            self._endpoint.round_done()

    def end_collector(self, collector: SimulatedCollector, unread: Mapping[bytes, Iterable[Range]]) -> None:
        """End a collector."""
        collector.closed = True
        self.collectors.remove(collector)
        self._endpoint.node.detach_collector(collector.machine, unread, self._endpoint.cluster.now())
        self._endpoint.round_done()

    def crash(self) -> None:
        """Die with the endpoint."""
        for writer in self.writers.values():
            writer.crash()
        for collector in self.collectors:
            collector.closed = True


def _since(since: str | datetime | Position) -> Since:
    if isinstance(since, str):
        return Since(since)
    if isinstance(since, Position):
        return Since("position", since.sequence, since.epoch, since.checksum, since.journal)
    return Since("time", max(0, nanoseconds_of(since)))
