"""A log stream's writer and its collector for ``interop_child.py``: endpoints that do what they are told.

Options, as one JSON object: those of :mod:`interop_roles`, ``lease_s`` (how long members that are out of reach are
waited for, instead of the usual ten seconds), and

=========== ===========================================================================================================
writer      ``log``: keyword arguments of :meth:`Endpoint.log`; ``load``: write the numbered lines of ``writer`` until
            there are ``count`` of them, in ways that ``seed`` decides; at first only those that are ``granted``
collector   ``collect``: keyword arguments of :meth:`Endpoint.collect`; ``output``: a file that what it receives is
            written to; ``checkpoint``: a file that a checkpoint is kept in with it; ``keeps``: acknowledge nothing
=========== ===========================================================================================================

Each line on standard input is a JSON object, as for :mod:`interop_store_roles`, whose ``do`` names a method.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from interop_log_lines import Line, line, text_of
from interop_roles import member, tell
from interop_store_roles import obey

import broker
import broker.logs.groups
import broker.logs.serving
import broker.logs.source

__all__ = ["STREAM", "log_collector", "log_writer", "log_writers"]

STREAM: Final = "lines"
# What is received is kept this often, in lines, or when there is no more.
_SAVE_LINES: Final = 1000


def hasten(options: dict[str, Any]) -> None:
    """Let leases be shorter, at both ends."""
    if "lease_s" in options:
        for module in (broker.logs.groups, broker.logs.serving):
            vars(module)["LEASE_S"] = options["lease_s"]
        vars(broker.logs.source)["_LAPSE_S"] = 0.8 * options["lease_s"]


class Machine:
    """What a writer and a collector can both be told."""

    async def memory(self) -> int:
        """Return how much memory this process has that is not a file's, in bytes."""
        status = await trio.Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) << 10

    async def ballast(self, path: str, size: int) -> None:
        """Take so much room on a disk."""
        await trio.Path(path).write_bytes(bytes(size))

    async def unlink(self, path: str) -> None:
        await trio.Path(path).unlink()

    async def limit(self, size: int) -> None:
        """Let no file of this process become larger."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


# -- writers ---------------------------------------------------------------------------------------------------------


class Writing(Machine):
    """What a writer can be told to do."""

    def __init__(self, log: broker.LogWriter, writer: str) -> None:
        self.log = log
        self.writer = writer
        self.next = log.info().last + 1  # the spool knows how far the lines are numbered
        self.granted = 0
        self._more = trio.lowlevel.ParkingLot()

    async def write(self, count: int, durable: bool = True, size: int = 0) -> int:
        """Write the next lines, each of at least so many bytes; returns the last one's number."""
        last = self.next + count - 1
        while self.next <= last:
            end = min(last, self.next + 999)
            lines = [line(self.writer, number, size) for number in range(self.next, end + 1)]
            assert await self.log.write_all(lines, durable=durable) == end
            self.next = end + 1
            tell(wrote=end)
        return last

    async def write_each(self, count: int, size: int = 0) -> int:
        """Write the next lines, each when the one before it is on disk."""
        for _ in range(count):
            number = self.next
            self.next += 1
            assert await self.log.write(line(self.writer, number, size)) == number
            tell(wrote=number)
        return self.next - 1

    async def grant(self, upto: int) -> None:
        """Let the load come so far."""
        self.granted = max(self.granted, upto)
        self._more.unpark_all()

    async def load(self, count: int, seed: int, granted: int | None = None) -> None:
        """Write lines in all ways until there are so many; at first not more than are ``granted``."""
        chance = random.Random(f"{seed} {self.writer} {self.next}")
        await self.grant(count if granted is None else granted)
        while self.next <= count:
            if self.next > self.granted:
                await self.log.flush()
            while self.next > self.granted:
                await self._more.park()
            first, way = self.next, chance.randrange(4)
            last = min(self.granted, count, first + (chance.randrange(5) if way == 0 else chance.randrange(1, 500)))
            if way == 0:  # each by itself
                for number in range(first, last + 1):
                    assert await self.log.write(line(self.writer, number)) == number
            else:
                lines = [line(self.writer, number) for number in range(first, last + 1)]
                assert await self.log.write_all(lines, durable=way == 1) == last
            self.next = last + 1
            if way == 3:
                await self.log.flush()
            if way != 2:
                tell(durable=last)
        await self.log.flush()
        tell(durable=count, finished=True)

    async def info(self) -> dict[str, Any]:
        info = self.log.info()
        return {
            "first": info.first,
            "last": info.last,
            "bytes": info.bytes,
            "epoch": info.epoch,
            "dropped": info.dropped,
            "problem": info.problem,
            "collectors": {
                one.name: [one.acknowledged, one.behind, list(one.members), one.in_hand, one.lost]
                for one in info.collectors
            },
        }

    async def flush(self) -> None:
        await self.log.flush()

    async def collected(self, *, name: str) -> None:
        await self.log.collected(name)


async def log_writer(text: str) -> None:
    options = json.loads(text)
    hasten(options)
    async with member(options, listens=False) as here, trio.open_nursery() as nursery:
        await _join(here.endpoint, options, nursery)
        try:
            async with here.endpoint.log(STREAM, Line, **options["log"]) as log, trio.open_nursery() as tasks:
                doing = Writing(log, options.get("writer", options["name"]))
                tell(entered=doing.next - 1)
                if "load" in options:
                    tasks.start_soon(partial(doing.load, **options["load"]))
                await obey(doing, tasks)
                tasks.cancel_scope.cancel()
        except (broker.LogError, broker.JournalError) as error:
            tell(refused=[type(error).__name__, str(error)])
        nursery.cancel_scope.cancel()


async def log_writers(text: str) -> None:
    """Write ``count`` lines at each of so many ``endpoints``, their ``spools`` in a directory; end when all are had."""
    options = json.loads(text)

    async def write(name: str) -> None:
        timing = broker.Timing(**options["timing"])
        async with broker.Endpoint(name, timing=timing) as endpoint, trio.open_nursery() as nursery:
            await _join(endpoint, options, nursery)
            path = Path(options["spools"]) / f"{name}.spool"
            async with endpoint.log(STREAM, Line, path=path, collectors=["archive"]) as log:
                for first in range(1, options["count"] + 1, 50):
                    last = min(first + 49, options["count"])
                    await log.write_all([line(name, number) for number in range(first, last + 1)])
                await log.collected("archive")
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(options["endpoints"]):
            nursery.start_soon(write, f"{options['name']}-{number}")


# -- collectors ------------------------------------------------------------------------------------------------------


class Output:
    """A file of what was received, and beside it, if wanted, a checkpoint that changes with it in one step.

    The step is the checkpoint's renaming: it has the length of the file that it goes with, and what the file has beyond
    that is cut off by the next life.
    """

    def __init__(self, path: str, checkpoint: str | None) -> None:
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self.length = self.lines = 0
        self.kept: bytes | None = None
        if self._checkpoint is not None and self._checkpoint.exists():
            head, _, self.kept = self._checkpoint.read_bytes().partition(b"\n")
            self.length, self.lines = map(int, head.split())
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        if checkpoint is not None:
            os.ftruncate(self._file, self.length)
        os.lseek(self._file, 0, os.SEEK_END)

    def save(self, text: str, lines: int, checkpoint: bytes) -> None:
        data = text.encode()
        written = 0
        while written < len(data):
            written += os.write(self._file, data[written:])
        os.fsync(self._file)
        self.length += len(data)
        self.lines += lines
        if self._checkpoint is not None:
            aside = self._checkpoint.with_suffix(".new")
            with aside.open("wb") as file:
                file.write(b"%d %d\n" % (self.length, self.lines) + checkpoint)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(self._checkpoint)


class Collecting(Machine):
    """What a collector can be told to do."""

    def __init__(self, records: broker.Collector, output: Output, *, explicit: bool, keeps: bool) -> None:
        self._records = records
        self._output = output
        self._explicit = explicit
        self._keeps = keeps
        self._held: list[broker.LogMessage] = []
        self._rests_until = 0.0
        self.counted = {"redelivered": 0, "lost": 0}

    async def run(self) -> None:
        while True:
            messages = await self._gather()
            last = {message.epoch.journal: message for message in messages}  # of each writer
            kept = self._records.checkpoint(last.values()) if self._explicit else b""
            text = "".join(map(text_of, messages))
            with trio.CancelScope(shield=True):  # what is received and not saved would count as acknowledged
                await trio.sleep_until(self._rests_until)
                await trio.to_thread.run_sync(self._output.save, text, len(messages), kept)
            for message in messages:
                self.counted["redelivered"] += message.redelivered
                self.counted["lost"] += message.lost_before
            if self._keeps:
                self._held += last.values()
            elif self._explicit:
                for message in last.values():
                    self._records.acknowledge(message, through=True)
            tell(got=self._output.lines, **self.counted)

    async def _gather(self) -> list[broker.LogMessage]:
        messages = await self._records.receive_batch()
        try:
            while len(messages) < _SAVE_LINES and self._explicit:
                messages.append(self._records.receive_nowait())
        except trio.WouldBlock:
            pass
        return messages

    async def rest(self, seconds: float) -> None:
        """Do nothing with what is received for so long."""
        self._rests_until = trio.current_time() + seconds

    async def acknowledge(self) -> int:
        """Acknowledge what was kept; returns how many records that was."""
        return sum(self._records.acknowledge(message, through=True) for message in self._held)

    async def confirmed(self) -> None:
        await self._records.confirmed()

    async def lag(self) -> dict[str, list[Any]]:
        return {one.writer: [one.acknowledged, one.last, one.behind, one.reachable] for one in self._records.lag()}


async def log_collector(text: str) -> None:
    options = json.loads(text)
    hasten(options)
    output = Output(options["output"], options.get("checkpoint"))
    async with member(options, listens=False) as here, trio.open_nursery() as nursery:
        await _join(here.endpoint, options, nursery)
        how = {"name": "archive", "acknowledge": "explicit", "checkpoint": output.kept, **options.get("collect", {})}
        async with here.endpoint.collect(STREAM, Line, **how) as records, trio.open_nursery() as tasks:
            explicit = how["acknowledge"] == "explicit"
            doing = Collecting(records, output, explicit=explicit, keeps=options.get("keeps", False))
            tell(entered=output.lines)
            tasks.start_soon(doing.run)
            await obey(doing, tasks)
            tasks.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _join(endpoint: broker.Endpoint, options: dict[str, Any], nursery: trio.Nursery) -> None:
    """Listen, and dial for as long as this program lives."""
    tell(addresses=[await endpoint.listen(address) for address in options.get("listen", [])])
    for address in options.get("peer", []):
        nursery.start_soon(partial(endpoint.peer, address, timeout=math.inf))
