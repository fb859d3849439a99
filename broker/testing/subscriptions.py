"""A subscription of a simulated endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.messages import Message
from broker.protocol.subscriptions import Subscription

if TYPE_CHECKING:
    from broker.testing.cluster import SimulatedEndpoint

__all__ = ["SimulatedSubscription"]


class SimulatedSubscription:
    """A subscription whose messages gather in ``messages``."""

    def __init__(self, endpoint: SimulatedEndpoint, subscription: Subscription) -> None:
        self.messages: list[Message] = []
        self.reading = True
        self._endpoint = endpoint
        self._subscription = subscription

    @property
    def pending(self) -> int:
        """Messages delivered and not read."""
        return self._subscription.pending

    @property
    def announced(self) -> bool:
        """Whether every peer has acknowledged it."""
        return self._endpoint.node.is_announced(self._subscription)

    def read(self) -> None:
        """Read what is there, if ``reading``."""
        while self.reading and (chunk := self._subscription.take()) is not None:
            self.messages += chunk
        if self._subscription.holds and self._subscription.low:
            self._endpoint.node.drained(self._subscription)
        if self._endpoint.node.has_actions:
            self._endpoint.round_done()

    def stop_reading(self) -> None:
        """Be a slow reader: let messages pile up."""
        self.reading = False

    def go_on_reading(self) -> None:
        """Read what has piled up, and all that comes."""
        self.reading = True
        self.read()

    def close(self) -> None:
        """End the subscription."""
        self.reading = False
        self._endpoint.node.unsubscribe(self._subscription)
        self._endpoint.round_done()
