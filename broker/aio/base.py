"""What the handles for asyncio programs have in common: asking the portal, and awaiting it.

The handles themselves, in :mod:`broker.aio.handles`, are made from the core's signatures by ``tools/facades.py``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from broker.errors import EndpointClosed, StoreClosed
from broker.handles.entering import EnteredAsync, check_world
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
    Watching,
    WritingTopic,
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
# A task that publishes or reads without ever having to wait lets others run this often.
_TURN_S: Final = 0.002
_LONE_S: Final = 0.000_1


def _nothing() -> None:
    pass


class _Waiter:
    """Where a task waits for a job; it may be cancelled, and then waits on until the job is over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()
        self._over = False

    def wake(self) -> None:
        """Let it go on; the portal calls this."""
        with suppress(RuntimeError):  # the event loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._over = True
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Wait, as long as we are not cancelled."""
        await self._future

    async def wait_on(self, error: BaseException) -> None:
        """Wait for the end, after we were cancelled, however often we are cancelled again."""
        if isinstance(error, GeneratorExit):
            return  # as in Handle._leave
        while not self._over:
            self._future = self._loop.create_future()
            with suppress(asyncio.CancelledError):
                await self._future


class Handle(Part):
    """A handle, and how it waits."""

    _world, _with = "aio", "async with"

    async def _call(
        self, function: Callable[..., Any], /, *args: Any, _timeout: float | None = None, **options: Any
    ) -> Any:
        """Have something awaited.  Cancelled, it is cancelled there, and waited for all the same."""
        waiter, portal = _Waiter(), self._ready()
        job = Job(partial(function, *args, **options), waiter.wake, timeout=_timeout)
        try:
            portal.submit(job)
            await waiter.wait()
        except BaseException as error:
            if portal.cancel(job):
                await waiter.wait_on(error)
            raise
        return job.result()

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Enter it, as the core's handle is entered."""
        await self._hold(self._core)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave it, as the core's handle is left."""
        await self._leave(kind, value, traceback)

    async def _hold(self, manager: Any) -> None:
        portal, waiter = self._endpoint._ready(), _Waiter()
        holder, entering = Holder(manager), Job(_nothing, waiter.wake)
        try:
            portal.enter(holder, entering)
            await waiter.wait()
            entering.result()
            self._holder = holder
        except BaseException as error:
            if portal.cancel(entering):
                await waiter.wait_on(error)
            if holder.entered:  # at just that moment
                self._holder = holder
                await self._leave(*sys.exc_info())
            raise

    async def _leave(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holder, self._holder = self._holder, None
        portal = self._endpoint._opened
        if holder is None or portal is None or portal.gone:
            return  # not entered, or its endpoint was left before it
        info = (kind, value, traceback)
        if kind is GeneratorExit:  # the event loop is gone, and we were garbage: nothing can be awaited any more
            portal.leave(holder, Job(_nothing, _nothing), info)
            return
        waiter = _Waiter()
        leaving = Job(_nothing, waiter.wake)
        portal.check()
        try:
            portal.leave(holder, leaving, info)
            await waiter.wait()
        except EndpointClosed:
            return  # at just that moment
        except BaseException as error:
            if portal.cancel(leaving):
                await waiter.wait_on(error)
            raise
        leaving.result()


class BaseEndpoint(Handle, Publishing, EnteredAsync):
    """An endpoint's life, and its publishing."""

    _turn_at = _published_at = 0.0

    async def __aenter__(self) -> Self:
        """Start; nothing is listened on or dialled yet."""
        if self._opened is not None:
            raise EndpointClosed("an endpoint is entered once: make a new one")
        check_world("asyncio")
        portal = self._opened = Portal.opened()
        try:
            self._outbox.open(portal)
            await self._hold(self._outbox)
        except BaseException:
            try:
                await self._leave(*sys.exc_info())  # interrupted when it had just been entered
            finally:
                portal.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what was published, wait up to ``linger_s`` for its acknowledgement, say goodbye, close everything."""
        if self._holder is None or self._opened is None:
            return
        try:
            await self._leave(kind, value, traceback)
        finally:
            self._opened.release()

    async def publish(self, topic: str, event: object) -> None:
        """Send an event to every subscription in the mesh that wants it; tasks of any event loop may.

        Waits while a slow reader holds up 10,000 events, or 16 MiB, that were published before. Raises TopicError,
        EventDefinitionError (not an event), EventMisfit (a field that does not fit its annotation), NotCarried (a value
        that can't be carried) and NotPermitted; then nothing was sent, and neither when it is cancelled. See
        :meth:`broker.Endpoint.publish`.
        """
        outbox = self._outbox
        entry = outbox.encode(topic, event)
        now = perf_counter()
        if now >= self._turn_at:
            if now < self._published_at + _LONE_S:  # one of many in a row
                await asyncio.sleep(0)
                now = perf_counter()
            self._turn_at = now + _TURN_S
        self._published_at = now
        while not outbox.put(entry):
            waiter = _Waiter()
            wake = waiter.wake
            outbox.when_room(wake)
            try:
                await waiter.wait()
            finally:
                outbox.forget(wake)

    async def unpeer(self, address: str) -> None:
        """Withdraw the wish to be linked with ``address`` and end the link; KeyError when there was no such wish.

        What was published before is sent first.  See :meth:`broker.Endpoint.unpeer`.
        """
        await self._call(self._outbox.unpeer, address)


class BaseSubscriber(Handle, Reading):
    """Reads from runs; where there is none, waits for one."""

    def __aiter__(self) -> Self:
        """Iterate over the messages, for ever."""
        return self

    async def __anext__(self) -> Any:
        for message in self._core._current:
            return message
        return await self._next()

    async def receive(self) -> Any:
        """Return the next message, waiting for it."""
        for message in self._core._current:
            return message
        return await self._next()

    async def _next(self) -> Any:
        while True:
            await self._wait()
            for message in self._core._current:
                return message

    async def _wait(self) -> None:
        portal, runs, waiter = self._portal(), self._runs, _Waiter()
        wake = waiter.wake
        try:
            runs.wait(portal, wake)
            await waiter.wait()
        except BaseException:
            runs.forget(portal, wake)
            raise
        runs.check()

    async def receive_batch(self) -> list[Any]:
        """Return the next messages, which have arrived together, waiting for them."""
        while not (messages := self._taken()):
            await self._wait()
        return messages


class BaseCollector(BaseSubscriber, Collecting):
    """As a subscriber."""


class _RunReader(Handle, RunReading[T]):
    """Reads from a run that the portal fills."""

    def __aiter__(self) -> Self:
        """Iterate, waiting for what comes."""
        return self

    async def receive(self) -> T:
        """Return the next one, waiting for it."""
        reader = self._reader
        while True:
            try:
                return self._taken(reader)
            except IndexError:
                await self._call(reader.fill)


class BaseStatusReader(_RunReader[Any]):
    """Status events a run at a time."""

    async def __anext__(self) -> Any:
        return await self.receive()


class BaseWatch(_RunReader[Any], Watching):
    """Changes a run at a time."""

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except StoreClosed:
            raise StopAsyncIteration from None


class BaseRules(Handle):
    """Actions one at a time."""

    receive: Callable[[], Any]

    def __aiter__(self) -> Self:
        """Iterate over the actions, for ever."""
        return self

    async def __anext__(self) -> Any:
        return await self.receive()


class BaseStore(Handle, ReadingStore):
    """A master or a clone."""


class BaseStoreProxy(Handle, Elsewhere):
    """A proxy."""


class BaseBatch(Batching):
    """Gathers changes, which needs no portal; having them done does."""

    def __init__(self, core: Any, endpoint: Opened) -> None:
        self._core = core
        self._handle = BaseStoreProxy(core, endpoint)

    async def __aenter__(self) -> Self:
        """Begin to gather."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have all of it done; returns when it is acknowledged.  After an exception nothing is done."""
        await self._handle._call(self._core.__aexit__, kind, value, traceback)

    async def _call(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        return await self._handle._call(function, *args, **options)


class BaseLogWriter(Handle, Spooling):
    """Many records at once, however they come."""

    async def write_all(self, records: Iterable[object], *, durable: bool | None = None) -> int:
        """Write records one after the other; returns the number of the last (0: there were none), as :meth:`write`.

        When one does not fit, those before it are written.
        """
        number = 0
        records = iter(records)
        while chunk := list(islice(records, CHUNK)):
            number = await self._call(self._core.write_all, chunk, durable=durable)
        return number


class BaseLogTopic(Handle, WritingTopic):
    """Records that are published as the endpoint's events are, in order with them."""

    _endpoint: BaseEndpoint

    async def write(self, record: object) -> int:
        """Publish a record; returns how many were, with it.  Waits and raises as :meth:`Endpoint.publish` does."""
        self._core._check(record)
        await self._endpoint.publish(self._core.topic, record)
        self._count += 1
        return self._count

    async def write_all(self, records: Iterable[object]) -> int:
        """Publish records one after the other; returns how many were, with them."""
        for record in records:
            await self.write(record)
        return self._count

    async def flush(self) -> None:
        """Let what was published leave."""
        await self._call(self._endpoint._outbox.flush)
