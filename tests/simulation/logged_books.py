"""What was given to the programs that collect under one name, held against what is promised."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import attrs
from logged_model import Spool
from simulated_world import Broken

from broker.logs.messages import LogMessage

if TYPE_CHECKING:
    from logged_readers import Reader
    from logged_world import LoggedWorld

__all__ = ["Books", "Database", "Delivery"]

# A member that leaves may hand back what another one, which came since, is given out of order.
_HANDING_BACK_S = 25.0


@attrs.define(eq=False)
class Delivery:
    """A record that a program got."""

    reader: Reader
    message: LogMessage
    uid: int
    at: float


@attrs.define(eq=False)
class Database:
    """What a program makes of the records, and its collector's checkpoint: both change together, or neither does."""

    effects: dict[int, float] = attrs.field(factory=dict)  # by uid: since when
    checkpoint: bytes | None = None


@attrs.define(eq=False)
class Books:
    """All that one name got of a stream."""

    world: LoggedWorld
    stream: str
    name: str
    given: dict[int, Delivery] = attrs.field(factory=dict)  # by uid: the latest
    acknowledged: dict[int, Reader] = attrs.field(factory=dict)  # by uid: by whom first
    readers: list[Reader] = attrs.field(factory=list)
    lost_before: int = 0
    reached: dict[tuple[Reader, bytes], int] = attrs.field(factory=lambda: defaultdict(int))

    @property
    def passing(self) -> bool:
        return self.name.startswith("#")

    # -- what comes --------------------------------------------------------------------------------------------------

    def give(self, reader: Reader, messages: list[LogMessage]) -> None:
        """Take note of what a program got, and check it."""
        previous: LogMessage | None = None
        for message in messages:
            spool = self._check_truth(message)
            if previous is not None and message.number <= previous.number:
                raise Broken(f"{reader} got {message.number} after {previous.number}, together")
            previous = message
            self._check_order(reader, spool, message)
            self._check_once(reader, spool, message)
            self.lost_before += message.lost_before
            self.given[message.record.uid] = Delivery(reader, message, message.record.uid, self.world.now)
            self.world.counts["record given"] += 1
            self.world.counts["record given again"] += message.redelivered

    def _check_truth(self, message: LogMessage) -> Spool:
        """Check that it was committed, as it is."""
        spool = self.world.spools[message.epoch.journal]
        number, uid = message.number, message.record.uid
        line = spool.lines.get(number)
        if line is None or line.uid != uid:
            line = spool.ghosts.get(uid)
        if line is None or line.number != number:
            raise Broken(f"{self}: {number} of {spool} came with {uid}, there is {spool.lines.get(number)}")
        if line.mark and (line.epoch, line.mark) != (message.epoch.epoch, message.epoch.checksum):
            raise Broken(f"{self}: {number} of {spool} is of {message.epoch}, not of {line}")
        if (message.stream, message.origin) != (spool.stream, spool.writer):
            raise Broken(f"{self}: {message.stream} of {message.origin} is from {spool}")
        return spool

    def lone(self, reader: Reader) -> bool:
        """Whether no other member was there in a reader's time, or just before."""
        return all(
            other is reader or other.ended_at + (0.0 if other.crashed else _HANDING_BACK_S) < reader.began
            for other in self.readers
        )

    def _check_order(self, reader: Reader, spool: Spool, message: LogMessage) -> None:
        key = (reader, spool.journal)
        last = self.reached[key]
        reset = spool.was_reset(self.name, reader.began - _HANDING_BACK_S)
        if message.number <= last and not message.redelivered and not reset and self.lone(reader):
            raise Broken(f"{reader} got {message.number} of {spool} after {last}")
        if self.passing and last and not reset and message.number != last + 1 + message.lost_before:
            raise Broken(f"{reader} got {message.number} of {spool} after {last}, {message.lost_before} lost")
        self.reached[key] = max(last, message.number)

    def _check_once(self, reader: Reader, spool: Spool, message: LogMessage) -> None:
        world = self.world
        if message.redelivered and world.gentle and len(self.readers) == 1:
            raise Broken(f"{reader} got {message.number} of {spool} marked, and nobody else was there")
        if reader.database is not None:
            at = reader.database.effects.get(message.record.uid)
            if at is not None and not spool.was_reset(self.name, at - 60.0):
                raise Broken(f"{reader} got {message.number} of {spool}, which is in its database")
            return
        former = self.given.get(message.record.uid)
        if former is None or spool.was_reset(self.name, former.at - 60.0):
            return
        what = f"{reader} got {message.number} of {spool} ({message.record.uid}), which {former.reader} had"
        if not message.redelivered:
            raise Broken(f"{what}, and it was not marked")
        if former.reader.ended_at == float("inf") and not world.troubled(former.at):
            raise Broken(f"{what} and has")
        line = spool.lines.get(message.number)
        registration = spool.names.get(self.name)
        if line and registration and message.number in registration.done and not world.troubled(former.at):
            raise Broken(f"{what}, and it is written down that it is done")

    # -- what is done ------------------------------------------------------------------------------------------------

    def settle(self, spool: Spool, news: set[int], lost: int) -> int:
        """Check what a spool has newly written down as done against what programs have acknowledged."""
        world = self.world
        unread = dubious = 0
        for number in news:
            uid = spool.lines[number].uid if number in spool.lines else 0
            who = self.acknowledged.get(uid)
            if who is None:
                unread += 1
            elif who.ended_at < float("inf") or world.troubled(self.given[uid].at):
                dubious += 1
        if lost < unread or lost > unread + dubious:
            raise Broken(
                f"{spool} has {sorted(news)[:5]}... as done by {self.name}: {unread} of them were not acknowledged, "
                f"{lost} are counted as lost (and {dubious} may have been)"
            )
        if lost and not spool.limits:
            raise Broken(f"{spool} may drop nothing, and {lost} are lost to {self.name}: {sorted(news)[:5]}")
        return len(news) - unread

    def acknowledge(self, reader: Reader, messages: list[LogMessage]) -> None:
        """Take note of what a program is done with."""
        for message in messages:
            self.acknowledged.setdefault(message.record.uid, reader)

    def __str__(self) -> str:
        return f"{self.name} of {self.stream}"
