"""A subscription's queue: what was delivered to it and not taken yet, bounded in messages and bytes.

Messages arrive in chunks (the events of one run) and are kept so: to add or to take
a chunk costs the same whatever its size.  When the queue reaches a limit it is **full**, and whoever feeds it is held
until it has drained to half, so that holding and releasing do not alternate with every message.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from broker.messages import Message
from broker.protocol.frames import Interest
from broker.protocol.link import Link

__all__ = ["QUEUE_BYTES", "QUEUE_MESSAGES", "Subscription"]

# 10,000 messages of four fields take about 4 MB; at a million messages/s they last for 10 ms of a busy loop.
QUEUE_MESSAGES: Final = 10_000
QUEUE_BYTES: Final = 16 << 20


class Subscription:
    """One interest of this endpoint, and the queue of what it brought."""

    def __init__(self, interest: Interest, queue_messages: int = QUEUE_MESSAGES, queue_bytes: int = QUEUE_BYTES) -> None:
        self.interest = interest
        self.queue_messages = queue_messages
        self.queue_bytes = queue_bytes
        self.delivered = 0
        self.taken = 0  # counted a chunk at a time
        self.links: set[Link] = set()  # held by this queue
        self.holds = False  # it holds somebody: a link, or our own publishers
        self._bytes = 0
        self._chunks: deque[tuple[list[Message], int]] = deque()
        self._out: tuple[int, int] = (0, 0)  # messages and bytes of the chunk given out last

    @property
    def pending(self) -> int:
        """Messages delivered and not taken, with those of the chunk that was given out last."""
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
        return not self._chunks

    def push(self, messages: list[Message], nbytes: int) -> None:
        """Add a chunk; it is taken even by a full queue, because its sender had credit for it."""
        self._chunks.append((messages, nbytes))
        self.delivered += len(messages)
        self._bytes += nbytes

    def take(self) -> list[Message] | None:
        """Give out the next chunk, and count the one before it as taken; None when there is none."""
        messages, nbytes = self._out
        self.taken += messages
        self._bytes -= nbytes
        if not self._chunks:
            self._out = (0, 0)
            return None
        chunk, nbytes = self._chunks.popleft()
        self._out = (len(chunk), nbytes)
        return chunk
