"""What the handles for blocking programs have in common: asking the portal, and waiting for it.

The handles themselves, in :mod:`broker.blocking.handles`, are made from the core's signatures by ``tools/facades.py``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from broker.errors import EndpointClosed, StoreClosed
from broker.portal import Holder, Job, Portal
from broker.portal.parts import (
    CHUNK,
    Batching,
    Collecting,
    Elsewhere,
    Opened,
    Part,
    Publishing,
    Reading,
    ReadingStore,
    RunReading,
    Spooling,
    Waiter,
    Watching,
    WritingTopic,
    asked,
)

if TYPE_CHECKING:
    pass

__all__ = [
    "BaseBatch",
    "BaseCollector",
    "BaseEndpoint",
    "BaseLogTopic",
    "BaseLogWriter",
    "BaseRules",
    "BaseStatusReader",
    "BaseStore",
    "BaseStoreProxy",
    "BaseSubscriber",
    "BaseWatch",
    "Handle",
]

T = TypeVar("T")


class Handle(Part):
    """A handle, and how it waits."""

    _world, _with = "blocking", "with"

    def _call(self, function: Callable[..., Any], /, *args: Any, _timeout: float | None = None, **options: Any) -> Any:
        """Have something awaited."""
        return asked(self._ready(), partial(function, *args, **options), is_sync=False, timeout=_timeout)

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Enter it, as the core's ``async with`` does."""
        self._hold(self._core)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave it, as the core's ``async with`` does."""
        self._leave(kind, value, traceback)

    def _hold(self, manager: Any) -> None:
        portal, waiter = self._endpoint._ready(), Waiter()
        holder, entering = Holder(manager), Job(_nothing, waiter.wake)
        try:
            portal.enter(holder, entering)
            waiter.wait()
            entering.result()
            self._holder = holder
        except BaseException:
            if portal.cancel(entering):
                waiter.wait_on()
            if holder.entered:  # at just that moment
                self._holder = holder
                self._leave(*sys.exc_info())
            raise

    def _leave(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holder, self._holder = self._holder, None
        portal = self._endpoint._opened
        if holder is None or portal is None or portal.gone:
            return  # not entered, or its endpoint was left before it
        waiter = Waiter()
        leaving, info = Job(_nothing, waiter.wake), (kind, value, traceback)
        portal.check()
        try:
            portal.leave(holder, leaving, info)
            waiter.wait()
        except EndpointClosed:
            return  # at just that moment
        except BaseException:
            with suppress(EndpointClosed):
                portal.leave(holder, leaving, info)
            if portal.cancel(leaving):
                waiter.wait_on()
            raise
        leaving.result()


def _nothing() -> None:
    pass


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - monotonic())


def _patience(deadline: float | None) -> float:
    """Return what a lock waits; math.inf is for ever."""
    return -1 if deadline is None else min(max(0.0, deadline - monotonic()), threading.TIMEOUT_MAX)


class BaseEndpoint(Handle, Publishing):
    """An endpoint's life, and its publishing."""

    def __enter__(self) -> Self:
        """Start; nothing is listened on or dialled yet."""
        if self._opened is not None:
            raise EndpointClosed("an endpoint is entered once: make a new one")
        portal = self._opened = Portal.opened()
        try:
            self._outbox.open(portal)
            self._hold(self._outbox)
        except BaseException:
            try:
                self._leave(*sys.exc_info())  # interrupted when it had just been entered
            finally:
                portal.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what was published, wait up to ``linger_s`` for its acknowledgement, say goodbye, close everything."""
        if self._holder is None or self._opened is None:
            return
        try:
            self._leave(kind, value, traceback)
        finally:
            self._opened.release()

    def publish(self, topic: str, event: object, *, timeout: float | None = None) -> None:
        """Send an event to every subscription in the mesh that wants it; any thread may.

        Waits while a slow reader holds up 10,000 events, or 16 MiB, that were published before; raises TimeoutError
        when that takes longer than ``timeout`` seconds. Raises TopicError, EventDefinitionError (not an event),
        EventMisfit (a field that does not fit its annotation), NotCarried (a value that can't be carried) and
        NotPermitted; then nothing was sent. See :meth:`broker.Endpoint.publish`.
        """
        outbox = self._outbox
        entry = outbox.encode(topic, event)
        if outbox.put(entry):
            return
        deadline = _deadline(timeout)
        while True:
            room = threading.Lock()
            room.acquire()
            outbox.when_room(room.release)
            try:
                if not room.acquire(timeout=_patience(deadline)):
                    raise TimeoutError(f"a reader of {topic!r} was too slow for {timeout:g} s: nothing was sent")
            finally:
                outbox.forget(room.release)
            if outbox.put(entry):
                return

    def unpeer(self, address: str, *, timeout: float | None = None) -> None:
        """Withdraw the wish to be linked with ``address`` and end the link; KeyError when there was no such wish.

        What was published before is sent first.  See :meth:`broker.Endpoint.unpeer`.
        """
        self._call(self._outbox.unpeer, address, _timeout=timeout)


class BaseSubscriber(Handle, Reading):
    """Reads from runs; where there is none, waits for one."""

    def __iter__(self) -> Self:
        """Iterate over the messages, for ever."""
        return self

    def __next__(self) -> Any:
        for message in self._core._current:
            return message
        return self._next(None)

    def receive(self, *, timeout: float | None = None) -> Any:
        """Return the next message, waiting for it, at most ``timeout`` seconds: then TimeoutError is raised."""
        for message in self._core._current:
            return message
        return self._next(timeout)

    def _next(self, timeout: float | None) -> Any:
        deadline = _deadline(timeout)
        while True:
            self._wait(deadline)
            for message in self._core._current:
                return message

    def _wait(self, deadline: float | None) -> None:
        portal, runs, lock = self._portal(), self._runs, threading.Lock()
        lock.acquire()
        wake = lock.release
        try:
            runs.wait(portal, wake)
            woken = lock.acquire(timeout=_patience(deadline))
        except BaseException:
            runs.forget(portal, wake)
            raise
        if not woken:
            runs.forget(portal, wake)
            if not self._ask(self._core.fill):  # it may just have come
                raise TimeoutError("nothing has come in that time")
        runs.check()

    def receive_batch(self, *, timeout: float | None = None) -> list[Any]:
        """Return the next messages, which have arrived together, waiting for them as :meth:`receive` does."""
        deadline = _deadline(timeout)
        while not (messages := self._taken()):
            self._wait(deadline)
        return messages


class BaseCollector(BaseSubscriber, Collecting):
    """As a subscriber."""


class _RunReader(Handle, RunReading[T]):
    """Reads from a run that the portal fills."""

    def __iter__(self) -> Self:
        """Iterate, waiting for what comes."""
        return self

    def receive(self, *, timeout: float | None = None) -> T:
        """Return the next one, waiting for it, at most ``timeout`` seconds: then TimeoutError is raised."""
        reader = self._reader
        deadline = _deadline(timeout)
        while True:
            try:
                return self._taken(reader)
            except IndexError:
                pass
            try:
                self._call(reader.fill, _timeout=_left(deadline))
            except TimeoutError:
                raise TimeoutError("nothing has come in that time") from None


class BaseStatusReader(_RunReader[Any]):
    """Status events a run at a time."""

    def __next__(self) -> Any:
        return self.receive()


class BaseWatch(_RunReader[Any], Watching):
    """Changes a run at a time."""

    def __next__(self) -> Any:
        try:
            return self.receive()
        except StoreClosed:
            raise StopIteration from None


class BaseRules(Handle):
    """Actions one at a time."""

    receive: Callable[[], Any]

    def __iter__(self) -> Self:
        """Iterate over the actions, for ever."""
        return self

    def __next__(self) -> Any:
        return self.receive()


class BaseStore(Handle, ReadingStore):
    """A master or a clone."""


class BaseStoreProxy(Handle, Elsewhere):
    """A proxy."""


class BaseBatch(Batching):
    """Gathers changes, which needs no portal; having them done does."""

    def __init__(self, core: Any, endpoint: Opened) -> None:
        self._core = core
        self._handle = BaseStoreProxy(core, endpoint)

    def __enter__(self) -> Self:
        """Begin to gather."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have all of it done; returns when it is acknowledged.  After an exception nothing is done."""
        self._handle._call(self._core.__aexit__, kind, value, traceback)

    def _call(self, function: Callable[..., Any], /, *args: Any, _timeout: float | None = None, **options: Any) -> Any:
        return self._handle._call(function, *args, _timeout=_timeout, **options)


class BaseLogWriter(Handle, Spooling):
    """Many records at once, however they come."""

    def write_all(self, records: Iterable[object], *, durable: bool | None = None, timeout: float | None = None) -> int:
        """Write records one after the other; returns the number of the last (0: there were none), as :meth:`write`.

        When one does not fit, those before it are written; after a TimeoutError some may be.
        """
        number = 0
        records = iter(records)
        deadline = _deadline(timeout)
        while chunk := list(islice(records, CHUNK)):
            number = self._call(self._core.write_all, chunk, durable=durable, _timeout=_left(deadline))
        return number


class BaseLogTopic(Handle, WritingTopic):
    """Records that are published as the endpoint's events are, in order with them."""

    _endpoint: BaseEndpoint

    def write(self, record: object, *, timeout: float | None = None) -> int:
        """Publish a record; returns how many were, with it.  Waits and raises as :meth:`Endpoint.publish` does."""
        self._core._check(record)
        self._endpoint.publish(self._core.topic, record, timeout=timeout)
        self._count += 1
        return self._count

    def write_all(self, records: Iterable[object], *, timeout: float | None = None) -> int:
        """Publish records one after the other; returns how many were, with them.  Each may take ``timeout`` seconds."""
        for record in records:
            self.write(record, timeout=timeout)
        return self._count

    def flush(self, *, timeout: float | None = None) -> None:
        """Let what was published leave."""
        self._call(self._endpoint._outbox.flush, _timeout=timeout)
