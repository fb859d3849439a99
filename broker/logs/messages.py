"""What a collector receives: a log record with its stream, its time and its origin."""

from __future__ import annotations

from typing import Any

import msgspec

from broker.journaling import Position
from broker.log_records import Column
from broker.values import Timestamp

__all__ = ["LogMessage"]


class LogMessage(msgspec.Struct, frozen=True, gc=False):
    """One log record as it was written.

    ``record`` is the instance of its class (a ``broker.Event`` if this program knows no class of that name),
    ``time_ns`` the writer's clock in nanoseconds since 1970-01-01T00:00Z, ``origin`` the name of the writer's endpoint,
    ``number`` the record's place in its writer's spool.  ``lost_before`` counts the records that this collector's name
    lost just before this one; ``redelivered``: another member of the name may have been given it, and died.
    """

    stream: str
    record: Any
    time_ns: int
    origin: str
    number: int
    columns: tuple[Column, ...]  # what the record's fields are, as its writer describes them
    epoch: Position  # in which it was written: journal, epoch, 0, mark
    lost_before: int = 0
    redelivered: bool = False

    @property
    def time(self) -> Timestamp:
        """The writer's clock as an aware ``datetime`` in UTC that keeps the nanoseconds."""
        return Timestamp.from_ns(self.time_ns)

    @property
    def position(self) -> Position:
        """The record's position in its writer's spool; a collector can begin behind it."""
        return Position(self.epoch.journal, self.epoch.epoch, self.number, self.epoch.checksum)
