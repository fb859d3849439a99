"""The handle that a program reads a subscription with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import trio

from broker.errors import EndpointClosed
from broker.messages import Message
from broker.protocol.subscriptions import Overflow, Subscription

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["Subscriber"]

# A reader that never has to wait lets others run after so many messages; a run counts for some of them by itself.
_MESSAGES_PER_TURN: Final = 1024
_RUN_COST: Final = 16


class Subscriber:
    """The messages of one subscription, in order: iterate over it, or call :meth:`receive`.

    Several tasks may read from one subscriber; each message goes to one of them.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        prefix: str,
        names: Sequence[str],
        limits: tuple[int, int, Overflow, float, bytes | None],
    ) -> None:
        self._endpoint = endpoint
        self._prefix = prefix
        self._names = names
        self._limits = limits  # queue_messages, queue_bytes, overflow, stall_timeout, where
        self._subscription: Subscription | None = None
        self._current: Iterator[Message] = iter(())
        self._waiting = trio.lowlevel.ParkingLot()
        self._budget = _MESSAGES_PER_TURN
        self.on_wake: Callable[[], None] = _nothing  # for who waits elsewhere than in a task of ours

    def __repr__(self) -> str:
        return f"<Subscriber to {self._prefix!r}>"

    async def __aenter__(self) -> Self:
        """Begin; returns when every endpoint of the mesh has acknowledged the subscription."""
        endpoint = self._endpoint
        endpoint._check_open()
        node = endpoint._node
        if self._subscription is not None:
            raise EndpointClosed("a subscriber is entered once: subscribe anew")
        subscription = self._subscription = node.subscribe(self._prefix, self._names, *self._limits)
        subscription.unread = self._unread
        endpoint._readers[subscription] = self
        try:
            endpoint._carry_out()
            await trio.lowlevel.checkpoint()
            await endpoint._until(lambda: node.is_announced(subscription))
        except BaseException:
            self.end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the subscription; messages not read yet are dropped."""
        self.end()

    def end(self) -> None:
        """Do that; one who waits for a message gets EndpointClosed.  The endpoint calls this when it is closed."""
        endpoint, subscription = self._endpoint, self._subscription
        assert subscription is not None
        if endpoint._readers.pop(subscription, None) is not None and endpoint._state == "open":
            endpoint._node.unsubscribe(subscription)
            endpoint._carry_out()
        self._current = iter(())
        self._waiting.unpark_all()
        self.on_wake()

    def _unread(self) -> int:
        return length_hint(self._current)

    def wake(self) -> None:
        """Let a waiting reader look: the queue has messages."""
        self._waiting.unpark()
        self.on_wake()

    def __aiter__(self) -> Self:
        """Iterate over the messages, for ever."""
        return self

    async def __anext__(self) -> Message:
        """Return the next message, waiting for it."""
        for message in self._current:
            return message
        return await self._receive()

    async def receive(self) -> Message:
        """Return the next message, waiting for it."""
        for message in self._current:
            return message
        return await self._receive()

    def receive_nowait(self) -> Message:
        """Return the next message, or raise :class:`trio.WouldBlock` when there is none."""
        for message in self._current:
            return message
        if not self.fill():
            raise trio.WouldBlock
        return next(self._current)

    @property
    def idle(self) -> bool:
        """Whether :meth:`fill` has nothing to do or to say."""
        subscription = self._subscription
        return subscription in self._endpoint._readers and subscription.empty

    def fill(self, gather: int = 1) -> bool:
        """Take up the next run, or so many that there are ``gather`` messages; whether there is anything to receive."""
        if not length_hint(self._current):
            messages = self._take()
            if messages is None:
                return False
            while len(messages) < gather and (more := self._take()) is not None:
                messages = [*messages, *more]
            self._budget -= len(messages) + _RUN_COST
            self._current = iter(messages)
        return True

    async def receive_batch(self) -> list[Message]:
        """Return the next messages, which have arrived together, waiting for them: at most some 8,000."""
        if not length_hint(self._current):
            await self._wait()
        return list(self._current)

    async def _receive(self) -> Message:
        await self._wait()
        return next(self._current)

    async def _wait(self) -> None:
        """Wait until there is a message to receive."""
        if self._budget <= 0:
            self._budget = _MESSAGES_PER_TURN
            await trio.lowlevel.checkpoint()
        while not self.fill():
            self._budget = _MESSAGES_PER_TURN
            await self._waiting.park()
        # Let the next of the tasks that wait have the next message, if there is one.
        if self._waiting and (length_hint(self._current) > 1 or not self._subscription.empty):  # type: ignore[union-attr]
            self._waiting.unpark()

    def _take(self) -> list[Message] | None:
        subscription = self._subscription
        if subscription is None:
            raise EndpointClosed("not subscribed yet: use it inside its 'with' or 'async with' block")
        if subscription not in self._endpoint._readers:
            raise EndpointClosed("this subscription has ended")
        messages = subscription.take()
        node = self._endpoint._node
        if subscription.holds and subscription.low:
            node.drained(subscription)
        if node.has_actions:
            self._endpoint._carry_out()
        return messages


def _nothing() -> None:
    pass
