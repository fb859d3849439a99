"""Records as they wait in a collector's queue, and what its program makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from broker import events
from broker.errors import Malformed
from broker.logs.chunks import Chunk
from broker.logs.messages import LogMessage
from broker.logs.source import Key, Source
from broker.status import RecordMisfitted, RecordsLost, Status

__all__ = ["Batch", "WriterLag", "messages_of"]


class WriterLag(Struct, frozen=True):
    """How far a collector is with one writer."""

    writer: str
    journal: bytes
    acknowledged: int  # the record up to which everything of the name is done, as the writer has it written down
    last: int  # the writer's last record, as it was last heard
    behind: int  # records
    behind_s: float  # from the latest record that was acknowledged here to the writer's last
    reachable: bool


class Batch(Struct, eq=False):
    """Records that came together, of one epoch, with numbers that follow each other."""

    source: Source
    serial: int
    frame: int
    ends_frame: bool
    lost: int
    again: bool
    chunk: Chunk
    size: int

    @property
    def key(self) -> Key:
        """Its epoch."""
        return self.chunk.epoch, self.chunk.mark


def messages_of(batch: Batch, stream: str, tell: Callable[[Status], None]) -> tuple[list[LogMessage], list[int]]:
    """Return a batch's messages, as far as they are still ours, and the numbers of records that do not fit their class.

    Those, and records that were lost before these, are told of.  Raises Malformed.
    """
    source, chunk = batch.source, batch.chunk
    first, last = chunk.first, chunk.last
    schema = source.schemas.get(chunk.schema)
    origin = source.member.name
    base = source.base(batch.key)
    again = batch.again
    if schema is None:
        raise Malformed(f"{origin} sends records of {stream!r} without saying what they are")
    decoded, misfits = events.decoder_for(schema.record)(chunk.run, chunk.records, stream, origin)
    ours = source.give_out(batch.key, batch.serial, first, last)
    numbers: Iterable[int] = range(first, last + 1)
    bad = {first + misfit.index: misfit.error for misfit in misfits}
    if bad:
        numbers = [number for number in numbers if number not in bad]
        for number, error in bad.items():
            tell(RecordMisfitted(stream, origin, number, error.event, error.field, error.expected, error.found))
    messages = [
        LogMessage(stream, message.event, message.time_ns, origin, number, schema.columns, base, 0, again)
        for number, message in zip(numbers, decoded, strict=True)
    ]
    if ours != [(first, last)]:
        messages = [message for message in messages if any(one[0] <= message.number <= one[1] for one in ours)]
    if batch.lost and ours and ours[0][0] == first:  # who is given the first record is told what was lost before it
        tell(RecordsLost(stream, origin, batch.lost, "they were gone from its spool"))
        source.lost_untold += batch.lost
    if source.lost_untold and messages:
        messages[0] = msgspec.structs.replace(messages[0], lost_before=source.lost_untold)
        source.lost_untold = 0
    return messages, list(bad)
