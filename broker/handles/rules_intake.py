"""What comes in for rules: what their subscriptions bring, in order, without what they published themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import trio

from broker.errors import EndpointClosed
from broker.events import Event, encode, name_of
from broker.messages import Message

if TYPE_CHECKING:
    from broker.handles.subscriber import Subscriber

__all__ = ["Intake"]

# Own publications whose copy may still come from the mesh.
_ECHOES_MAX: Final = 100_000
_TIME: Final = attrgetter("time_ns")


class Intake:
    """The subscriptions of one set of rules; ``backlog`` is what was taken from them and not looked at yet."""

    def __init__(self, origin: str) -> None:
        self.subscribers: list[Subscriber] = []
        self.backlog: deque[list[Message]] = deque()
        self.arrivals = trio.lowlevel.ParkingLot()  # where the reader waits
        self.lost = self.echoes = 0
        self._origin = origin
        self._echo: dict[tuple[str, str, bytes], int] = {}

    @property
    def holds(self) -> bool:
        """Whether publishers wait for one of our queues."""
        return any(one._subscription.holds for one in self.subscribers if one._subscription)

    def attach(self, subscribers: Sequence[Subscriber]) -> None:
        """Read these from now on; what the present ones have is read first, and nothing twice."""
        former = self.subscribers
        self.take_all()
        self.subscribers = list(subscribers)
        for subscriber in subscribers:
            if subscriber not in former:
                subscriber.on_wake = self._arrived
                self.backlog.append([one for one in self._taken(subscriber) if not _covered(one, former)])
        self.arrivals.unpark_all()

    def _arrived(self) -> None:
        self.arrivals.unpark_all()

    def _taken(self, subscriber: Subscriber) -> list[Message]:
        """Return all that waits in a subscription."""
        found: list[Message] = []
        try:
            while (messages := subscriber._take()) is not None:
                found += messages
        except EndpointClosed:
            pass
        self.lost += sum([message.lost_before for message in found])
        return [message for message in found if not self._is_echo(message)] if self._echo else found

    def take_all(self) -> None:
        """Take what waits in all subscriptions, at one time, so that each origin's messages stay in their order.

        Those of one origin that are in several queues are put in order by their times, which are its clock's.
        """
        found = [messages for one in self.subscribers if (messages := self._taken(one))]
        if len(found) > 1:
            found = [sorted(chain.from_iterable(found), key=_TIME)]
        self.backlog.extend(found)

    # -- what comes back -------------------------------------------------------------------------------------------

    def expect_echo(self, topic: str, event: object, now_ns: int) -> None:
        """Take note of what our own subscriptions will bring, too: the engine has seen it already."""
        made = Message(topic, event, now_ns, self._origin)
        if _covered(made, self.subscribers):
            if len(self._echo) >= _ECHOES_MAX:  # those were dropped on their way
                del self._echo[next(iter(self._echo))]
            key = _key(made)
            self._echo[key] = self._echo.get(key, 0) + 1

    def _is_echo(self, message: Message) -> bool:
        if message.origin != self._origin:
            return False
        key = _key(message)
        count = self._echo.pop(key, 0)
        if count > 1:
            self._echo[key] = count - 1
        self.echoes += count > 0
        return count > 0


def _covered(message: Message, subscribers: Sequence[Subscriber]) -> bool:
    """Whether one of the subscriptions brings that message."""
    name = _event_name(message.event)
    return any(message.topic.startswith(one._prefix) and (not one._names or name in one._names) for one in subscribers)


def _key(message: Message) -> tuple[str, str, bytes]:
    """What tells a message from all others of its origin: its topic and its bytes, with its time."""
    return message.topic, *encode(message.event, message.time_ns)


def _event_name(event: object) -> str:
    return event.name if type(event) is Event else name_of(type(event))
