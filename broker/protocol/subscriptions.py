"""A subscription's queue: what was delivered to it and not taken yet, bounded in messages and bytes.

Messages arrive in runs and are kept so, as bytes: to add a run costs the same whatever its size, and what a slow
reader leaves lying takes little memory.  A run is decoded when the first reader takes it.  When the queue reaches a
limit it is **full**, and ``overflow`` says what happens:

- ``block``: whoever feeds it is held until it has drained to half, so that holding and releasing do not alternate with
  every message.  It still takes what its feeders had room for.  One that stays full for ``stall_timeout`` is
  **stalled**: it holds nobody any more and drops what comes, until it has drained to half.
- ``drop_newest``: what comes is dropped; ``drop_oldest``: what has waited longest makes room.

Whatever is dropped is counted, and the next message that is taken says how many were lost just before it.

A subscription with a predicate decodes a run when it comes, and has only what it accepts in its queue: what it does not
want is to take no room there, and to be no loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from broker import events
from broker.errors import EventMisfit, Malformed
from broker.messages import Message
from broker.protocol.frames import Interest, Run

__all__ = ["QUEUE_BYTES", "QUEUE_MESSAGES", "STALL_S", "Delivery", "Overflow", "Subscription", "check_limits"]

# 10,000 messages of four fields take less than 1 MB; at a million messages/s they last for 10 ms of a busy loop.
QUEUE_MESSAGES: Final = 10_000
QUEUE_BYTES: Final = 16 << 20
STALL_S: Final = 30.0
# What a queue that holds its feeders takes beyond its limit, at most: all the room that they may have been given, and
# their parcels.  Only one that is fed by ever new publishers comes there; it drops what comes then.
_EXCESS_BYTES: Final = 96 << 20

Overflow = Literal["block", "drop_oldest", "drop_newest"]


def check_limits(overflow: str, queue_messages: int, queue_bytes: int, stall_timeout: float) -> None:
    """Raise ValueError for what is no way to bound a queue."""
    if overflow not in get_args(Overflow):
        raise ValueError(f"overflow is one of {', '.join(get_args(Overflow))}: {overflow!r}")
    if queue_messages < 1 or queue_bytes < 1:
        raise ValueError("a queue has room for at least one message and one byte")
    if not stall_timeout > 0:
        raise ValueError(f"stall_timeout is a number of seconds above 0 (math.inf: for ever): {stall_timeout!r}")


class Delivery(Struct, eq=False):
    """A run on its way to readers, who share what it decodes to."""

    run: Run
    origin: str
    source: Any  # the flow that it came in by; None: it is our own
    report: Callable[[Delivery, str, EventMisfit], None]  # told of an event that does not fit, and its topic
    condemn: Callable[[Delivery, Malformed], None]  # told that the body is not what it has to be
    _messages: list[Message] | None = None
    _which: bytes = b""

    def messages(self, wanted: frozenset[int] | None) -> list[Message]:
        """Return the messages that fit, of the topics with these indexes (None: of all)."""
        if self._messages is None:
            self._messages = self._decode()
        if wanted is None:
            return self._messages
        return [message for index, message in zip(self._which, self._messages, strict=True) if index in wanted]

    def _decode(self) -> list[Message]:
        run, topics, origin = self.run, self.run.topics, self.origin
        try:
            messages, misfits = events.decoder_for(run.name)(run.body, run.count, topics[0], origin)
        except (Malformed, EventMisfit) as error:  # EventMisfit: a name that no event can have
            self.condemn(self, Malformed(str(error)))
            return []
        for misfit in misfits:
            self.report(self, topics[run.which[misfit.index]] if len(topics) > 1 else topics[0], misfit.error)
        if len(topics) == 1:
            if run.trace is not None:
                return [Message(m.topic, m.event, m.time_ns, origin, 0, run.trace) for m in messages]
            return messages
        misfitted = {misfit.index for misfit in misfits}
        self._which = bytes(index for at, index in enumerate(run.which) if at not in misfitted)
        return [
            Message(topics[index], message.event, message.time_ns, origin, 0, run.trace)
            for index, message in zip(self._which, messages, strict=True)
        ]


class _Entry(Struct, eq=False):
    """A run in the queue, or the events of it whose topics are ``wanted``."""

    delivery: Delivery
    wanted: frozenset[int] | None
    count: int  # messages that are left of it
    size: int  # the bytes that they are counted for
    lost_before: int = 0
    skip: int = 0  # messages at its beginning that were dropped
    keep: int | None = None  # how many of it were taken up, None: all


class Subscription:
    """One interest of this endpoint, and the queue of what it brought."""

    def __init__(
        self,
        interest: Interest,
        queue_messages: int = QUEUE_MESSAGES,
        queue_bytes: int = QUEUE_BYTES,
        overflow: Overflow = "block",
        stall_timeout: float = STALL_S,
        accepts: Callable[[object], bool] | None = None,
    ) -> None:
        self.interest = interest
        self.accepts = accepts
        self.queue_messages = queue_messages
        self.queue_bytes = queue_bytes
        self.overflow = overflow
        self.stall_timeout = stall_timeout
        self.delivered = 0
        self.taken = 0  # in runs: those of the last one may still be with the reader
        self.lost = 0  # altogether
        self.feeders: dict[Any, None] = {}  # the flows that this queue holds
        self.ended = False
        self.holds = False  # it holds somebody: a flow, or our own publishers
        self.stalled = False
        self.unread: Callable[[], int] = _none  # how many of the run that was last taken the program has not seen
        self._bytes = 0
        self._lost_before = 0  # lost since the last message in the queue
        self._queue: deque[_Entry] = deque()

    @property
    def pending(self) -> int:
        """Messages delivered and not taken."""
        return self.delivered - self.taken

    @property
    def pending_bytes(self) -> int:
        """Bytes of the messages delivered and not taken."""
        return self._bytes

    def progress(self) -> object:
        """Return what changes when the reader reads."""
        return (self.taken, self.unread())

    @property
    def full(self) -> bool:
        """Whether a limit is reached."""
        return self.delivered - self.taken >= self.queue_messages or self._bytes >= self.queue_bytes

    @property
    def low(self) -> bool:
        """Whether it has drained to half of both limits."""
        return 2 * self.pending <= self.queue_messages and 2 * self._bytes <= self.queue_bytes

    @property
    def empty(self) -> bool:
        """Whether :meth:`take` would give nothing."""
        return not self._queue

    @property
    def blocks(self) -> bool:
        """Whether it holds its feeders when it is full."""
        return self.overflow == "block" and not self.stalled

    def lose(self, count: int) -> None:
        """Take note that messages that it wanted were lost before they came here.

        Of those only topics and names are known: whether its predicate would have accepted them is not asked.
        """
        self._lost_before += count
        self.lost += count

    def sift(self, delivery: Delivery, wanted: frozenset[int] | None) -> Delivery | None:
        """Return what the predicate accepts of a run, of the topics ``wanted``; None: there is no predicate."""
        accepts = self.accepts
        if accepts is None:
            return None
        accepted = [message for message in delivery.messages(wanted) if accepts(message.event)]
        # The messages alone are kept: of a run in which there are few its bytes may be many.
        run = msgspec.structs.replace(delivery.run, count=len(accepted), body=b"")
        return Delivery(run, delivery.origin, delivery.source, delivery.report, delivery.condemn, accepted)

    def push(self, delivery: Delivery, wanted: frozenset[int] | None, count: int, size: int | None = None) -> int:
        """Add a run, or the ``count`` events of it whose topics are ``wanted``; returns how many messages that drops.

        ``size`` is what they count for, if it is not the bytes of the run.  A full queue that blocks takes it all the
        same, because its sender had room for it.
        """
        entry = _Entry(delivery, wanted, count, len(delivery.run.body) if size is None else size)
        if self.blocks and self._bytes < self.queue_bytes + _EXCESS_BYTES:
            self._append(entry)
            return 0
        if self.overflow == "drop_oldest":
            self._append(entry)
            return self._make_room()
        room = 0 if self._bytes >= self.queue_bytes or self.stalled else self.queue_messages - self.pending
        dropped = count - max(0, min(room, count))
        if dropped < count:
            entry.count = entry.keep = count - dropped
            self._append(entry)
        self.lose(dropped)
        return dropped

    def _append(self, entry: _Entry) -> None:
        entry.lost_before, self._lost_before = self._lost_before, 0
        self._queue.append(entry)
        self.delivered += entry.count
        self._bytes += entry.size

    def _make_room(self) -> int:
        """Drop the oldest until both limits are kept; the last run of all stays, whatever its size."""
        dropped = 0
        while self.pending > self.queue_messages or (self._bytes > self.queue_bytes and len(self._queue) > 1):
            oldest = self._queue[0]
            excess = self.pending - self.queue_messages
            if self._bytes > self.queue_bytes and len(self._queue) > 1:
                excess = oldest.count
            gone = min(oldest.count, excess)
            oldest.skip += gone
            oldest.count -= gone
            oldest.lost_before += gone
            self.delivered -= gone
            dropped += gone
            if not oldest.count:
                self._queue.popleft()
                self._bytes -= oldest.size
                if self._queue:
                    self._queue[0].lost_before += oldest.lost_before
                else:
                    self._lost_before += oldest.lost_before
        self.lost += dropped
        return dropped

    def take(self) -> list[Message] | None:
        """Give out the next run that has messages; None when there is none."""
        carried = 0
        while self._queue:
            entry = self._queue.popleft()
            self.taken += entry.count
            self._bytes -= entry.size
            if self.stalled and self.low:
                self.stalled = False
            messages = entry.delivery.messages(entry.wanted)
            if entry.skip or entry.keep is not None:
                end = None if entry.keep is None else entry.keep
                messages = messages[entry.skip : end]
            lost = entry.lost_before + carried
            if messages:
                if lost:
                    messages = [msgspec.structs.replace(messages[0], lost_before=lost), *messages[1:]]
                return messages
            carried = lost  # none of them fitted: the next message tells
        self._lost_before += carried
        return None


def _none() -> int:
    return 0
