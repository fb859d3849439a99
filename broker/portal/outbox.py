"""Events on their way from the program's threads to the portal."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import time_ns
from types import TracebackType
from typing import Any, Final, Self

import trio

from broker import events
from broker.endpoint import Endpoint
from broker.errors import BrokerError, EndpointClosed, EventDefinitionError
from broker.log_format import about
from broker.messages import Trace
from broker.portal.thread import Portal
from broker.protocol.exchange import check_size
from broker.protocol.outbox import BATCH_BYTES
from broker.topics import normalize_topic
from broker.values import SMALL_BYTES

__all__ = ["Outbox"]

_log = logging.getLogger("broker.messages")

# Who publishes waits when so much has not been handed over: a queue's worth, as a subscription has by default.
_EVENTS_MAX: Final = 10_000
_BYTES_MAX: Final = 16 << 20
# The portal hands so many over before it lets others run: 2 ms' worth.
_EVENTS_PER_TURN: Final = 2_000
_TOPICS_MAX: Final = 10_000
# How long an endpoint that is left by an exception waits for slow readers, as the core does.
_HURRY_S: Final = 0.2

# Topic in its normal form, class, its name, the encoded event, the span that it was published in.
Entry = tuple[str, type, str, bytes, Trace | None]


class Outbox:
    """What was published and not handed over to the endpoint yet: bounded in events and bytes, in order.

    It stands for the endpoint where that is entered and left: leaving hands over what there is first.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._exchange = endpoint._exchange
        self._trace_now = endpoint._trace_now
        self._portal: Portal | None = None
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._lock = threading.RLock()  # a signal handler, or what garbage leaves to do, may publish, too
        self._room: list[Callable[[], object]] = []  # how those are woken who wait for room
        self._awake = False  # the portal knows that there is something
        self._blocked = False  # by a slow reader
        self._closed = True
        self._handed_over = 0  # how many, ever
        self._progress = trio.lowlevel.ParkingLot()  # for who waits until more of them are
        self._names: dict[type, tuple[str, Callable[[Any, int], bytes]]] = {}
        self._topics: dict[str, str] = {}  # as given: in its normal form, once it is known to be permitted
        self._rights: object = None  # of when that was found out

    # -- from any thread -------------------------------------------------------------------------------------------

    def open(self, portal: Portal) -> None:
        """Hand over by way of this portal."""
        self._portal = portal
        portal.end_with(self)

    def encode(self, topic: str, event: object) -> Entry:
        """Check and encode an event; raises as :meth:`Endpoint.publish` does."""
        if self._closed:
            self._check_open()
        kind = type(event)
        found = self._names.get(kind)
        if found is None:
            found = self._learn(event)
        name, encode = found
        guard = self._endpoint._node.guard
        if guard.own is not self._rights:
            self._topics.clear()
            self._rights = guard.own
        normal = self._topics.get(topic) if type(topic) is str else None
        if normal is None:
            normal = self._permitted(topic)
        data = encode(event, time_ns())
        if len(data) > SMALL_BYTES:
            check_size(data, "an event", name)
        return normal, kind, name, data, None if self._trace_now is None else self._trace_now()

    def _learn(self, event: object) -> tuple[str, Callable[[Any, int], bytes]]:
        if isinstance(event, type):
            raise EventDefinitionError(f"an event is published, not its class: give {event.__qualname__}(...)")
        if type(event) is events.Event:
            return event.name, lambda event, time_ns: events.encode(event, time_ns)[1]
        found = self._names[type(event)] = events.encoder_for(type(event))
        return found

    def _permitted(self, topic: str) -> str:
        normal = normalize_topic(topic)
        self._endpoint._node.check_right("publish", normal)
        if len(self._topics) >= _TOPICS_MAX:
            self._topics.clear()
        self._topics[topic] = normal
        return normal

    def _check_open(self) -> None:
        if self._portal is None:
            raise EndpointClosed("not started: use it inside its 'with' or 'async with' block")
        self._portal.check_open()
        if self._closed:
            raise EndpointClosed(f"endpoint {self._endpoint.name!r} is closed")

    def put(self, entry: Entry) -> bool:
        """Take an event, if there is room; whether there was."""
        asleep = False
        try:
            with self._lock:
                if self._closed:
                    self._check_open()
                if len(self._queue) >= _EVENTS_MAX or self._bytes >= _BYTES_MAX:
                    return False
                self._queue.append(entry)
                self._bytes += len(entry[3])
                if self._awake:
                    return True
                self._awake = asleep = True
            self._wake()
            asleep = False
        finally:
            if asleep:  # interrupted before the portal knew: whoever publishes next tells it
                self._awake = False
        return True

    def _wake(self) -> None:
        assert self._portal is not None
        self._portal.soon(self._hand_over)

    @property
    def waiting(self) -> bool:
        """Whether there is anything that was not handed over yet."""
        return bool(self._queue)

    @property
    def blocked(self) -> bool:
        """Whether a slow reader holds up what was published before."""
        return self._blocked

    def when_room(self, wake: Callable[[], object]) -> None:
        """Have ``wake`` called once when there may be room: in the portal's thread, or at once."""
        assert self._portal is not None
        self._portal.check()
        with self._lock:
            full = len(self._queue) >= _EVENTS_MAX or self._bytes >= _BYTES_MAX
            if full and not self._closed:
                self._room.append(wake)
                return
        wake()

    def forget(self, wake: Callable[[], object]) -> None:
        """No longer wait for room."""
        with self._lock:
            if wake in self._room:
                self._room.remove(wake)

    # -- in the portal's thread ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Enter the endpoint."""
        await self._endpoint.__aenter__()
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hand over what there is, then leave the endpoint."""
        linger_s = self._endpoint._linger_s
        try:
            with self._lock:
                self._closed = True
            with trio.move_on_after(linger_s if kind is None else min(_HURRY_S, linger_s), shield=True):
                while self._queue:
                    if not self._turn():
                        await self._endpoint._changed.park()
        finally:
            if self._queue:
                self._tell_lost(len(self._queue), "a reader was too slow for them until the end")
            self._drop()
            self._progress.unpark_all()
            await self._endpoint.__aexit__(kind, value, traceback)

    async def flush(self) -> None:
        """Wait until all that was published before has been handed over."""
        goal = self._handed_over + len(self._queue)
        self._hand_over()
        while self._handed_over < goal:
            self._check_open()
            await self._progress.park()

    async def unpeer(self, address: str) -> None:
        """End the link with an endpoint when it has got what was published before."""
        await self.flush()
        await self._endpoint.unpeer(address)

    def catch_up(self) -> None:
        """Hand over all that was published before, as far as readers are not too slow."""
        goal = self._handed_over + len(self._queue)
        while self._handed_over < goal and not self._blocked and not self._closed:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the endpoint what there is, as far as readers are not too slow."""
        if self._closed or self._blocked:
            return
        tasks = self._endpoint._nursery
        try:
            if not self._turn():
                tasks.start_soon(self._wait_for_readers)
                return
        except Exception as error:  # noqa: BLE001 - ends the endpoint, as it does in a task of the endpoint's own
            _log.exception("%s: what was published could not be handed over", self._endpoint.name)
            self._closed = True
            tasks.start_soon(_raise, error)
            return
        with self._lock:
            if not self._queue:
                self._bytes = 0  # a signal handler that published may have confused the sum
                self._awake = False
                return
        self._wake()

    async def _wait_for_readers(self) -> None:
        while not self._closed and not self._turn():  # first: they may have read before this task was begun
            await self._endpoint._changed.park()
        if not self._closed:
            self._wake()

    def _turn(self) -> bool:
        """Hand over a turn's worth; whether readers were quick enough for it."""
        self._blocked = False
        queue, exchange = self._queue, self._exchange
        left = _EVENTS_PER_TURN
        while queue and left > 0:
            run = [queue.popleft()]
            topic, kind, name, data, trace = run[0]
            size = len(data)
            while queue and len(run) < left and size < BATCH_BYTES:
                following = queue[0]
                if following[1] is not kind or following[0] != topic or following[2] != name:
                    break
                if following[4] != trace:
                    break
                run.append(queue.popleft())
                size += len(following[3])
            try:
                if not exchange.publish_encoded(topic, kind, name, [entry[3] for entry in run], trace):
                    queue.extendleft(reversed(run))
                    self._blocked = True
                    break
            except BrokerError as error:
                self._tell_lost(len(run), f"on {topic}: {error}")
            left -= len(run)
            self._handed_over += len(run)
            with self._lock:
                self._bytes -= size
        self._endpoint._node.flush()
        self._endpoint._carry_out()
        if self._room and (self._closed or 2 * len(queue) <= _EVENTS_MAX):
            self._let_in()
        self._progress.unpark_all()
        return not self._blocked

    def end(self, error: BaseException) -> None:  # noqa: ARG002 - whoever waits for room finds out by itself
        """Let all who wait know that the portal has ended."""
        self._closed = True
        self._drop()

    def forked(self) -> None:
        """Take nothing in the child process."""
        self._closed = True
        self._lock = threading.RLock()  # another thread may have held it

    def _drop(self) -> None:
        """Let those who wait find out that there is nothing more to wait for."""
        with self._lock:
            self._queue.clear()
            self._bytes = 0
        self._let_in()

    def _tell_lost(self, count: int, reason: str) -> None:
        name = self._endpoint.name
        told_of = about(name, count=count, reason=reason)
        _log.warning("%s: %d events that were published were not sent: %s", name, count, reason, extra=told_of)

    def _let_in(self) -> None:
        with self._lock:
            waiting, self._room = self._room, []
        for wake in waiting:
            wake()


async def _raise(error: Exception) -> None:
    raise error
