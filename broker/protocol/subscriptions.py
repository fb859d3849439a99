"""A subscription's queue: what was delivered to it and not taken yet, bounded in messages and bytes.

Messages arrive in runs and are kept so, as bytes: to add a run costs the same whatever its size, and what a slow
reader leaves lying takes little memory.  A run is decoded when the first reader takes it.  When the queue reaches a
limit it is **full**, and whoever feeds it is held until it has drained to half, so that holding and releasing do not
alternate with every message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from broker import events
from broker.errors import EventMisfit, Malformed
from broker.messages import Message
from broker.protocol.frames import Interest, Run
from broker.protocol.link import Link

__all__ = ["QUEUE_BYTES", "QUEUE_MESSAGES", "Delivery", "Subscription"]

# 10,000 messages of four fields take less than 1 MB; at a million messages/s they last for 10 ms of a busy loop.
QUEUE_MESSAGES: Final = 10_000
QUEUE_BYTES: Final = 16 << 20


class Delivery(Struct, eq=False):
    """A run on its way to readers, who share what it decodes to."""

    run: Run
    origin: str
    link: Link | None  # that it came over; None: it is our own
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
            return messages
        misfitted = {misfit.index for misfit in misfits}
        self._which = bytes(index for at, index in enumerate(run.which) if at not in misfitted)
        return [
            Message(topics[index], message.event, message.time_ns, origin)
            for index, message in zip(self._which, messages, strict=True)
        ]


class Subscription:
    """One interest of this endpoint, and the queue of what it brought."""

    def __init__(
        self, interest: Interest, queue_messages: int = QUEUE_MESSAGES, queue_bytes: int = QUEUE_BYTES
    ) -> None:
        self.interest = interest
        self.queue_messages = queue_messages
        self.queue_bytes = queue_bytes
        self.delivered = 0
        self.taken = 0  # in runs: those of the last one may still be with the reader
        self.links: set[Link] = set()  # held by this queue
        self.ended = False
        self.holds = False  # it holds somebody: a link, or our own publishers
        self._bytes = 0
        self._queue: deque[tuple[Delivery, frozenset[int] | None, int]] = deque()

    @property
    def pending(self) -> int:
        """Messages delivered and not taken."""
        return self.delivered - self.taken

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

    def push(self, delivery: Delivery, wanted: frozenset[int] | None, count: int) -> None:
        """Add a run, or the ``count`` events of it whose topics are ``wanted``.

        It is taken even by a full queue, because its sender had credit for it.
        """
        self._queue.append((delivery, wanted, count))
        self.delivered += count
        self._bytes += len(delivery.run.body)

    def take(self) -> list[Message] | None:
        """Give out the next run that has messages; None when there is none."""
        while self._queue:
            delivery, wanted, count = self._queue.popleft()
            self.taken += count
            self._bytes -= len(delivery.run.body)
            messages = delivery.messages(wanted)
            if messages:
                return messages
        return None
