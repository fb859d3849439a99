"""What the handles for asyncio programs have in common: asking the portal, and awaiting it.

The handles themselves, in :mod:`broker.aio.handles`, are made from the core's signatures by ``tools/facades.py``.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from broker.errors import BrokerError, EndpointClosed, LogClosed, StoreClosed
from broker.handles.entering import EnteredAsync, check_world
from broker.journaling import Position
from broker.portal import Holder, Job, Outbox, Portal, Reader, Runs

if TYPE_CHECKING:
    from broker.stores.changes import Change

__all__ = [
    "BaseBatch",
    "BaseCollector",
    "BaseEndpoint",
    "BaseLogTopic",
    "BaseLogWriter",
    "BaseStatusReader",
    "BaseStore",
    "BaseStoreProxy",
    "BaseSubscriber",
    "BaseWatch",
    "Handle",
]

T = TypeVar("T")
# Records are given to the portal so many at a time: however long an iterable is, little of it is in memory.
_CHUNK: Final = 1000
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


class Handle:
    """Something of the core's, with the endpoint by whose portal it is asked."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        self._core = core
        self._endpoint = endpoint
        self._holder: Holder | None = None

    def __repr__(self) -> str:
        return f"<aio {repr(self._core).removeprefix('<')}"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: another process opens an endpoint of its own")

    def _portal(self) -> Portal:
        portal = self._endpoint._opened
        if portal is None:
            raise EndpointClosed("not started: use it inside 'async with Endpoint(...) as endpoint:'")
        if portal.ended:
            raise self._closed()
        return portal

    def _ready(self) -> Portal:
        """Return the portal, which does first what was published before."""
        portal, outbox = self._portal(), self._endpoint._outbox
        portal.check()
        if outbox.waiting:
            portal.soon(outbox.catch_up)
        return portal

    def _closed(self) -> BrokerError:
        """Return what the core raises where the endpoint is closed."""
        return EndpointClosed(f"endpoint {self._endpoint._core.name!r} is closed")

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

    def _ask(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Have something done that needs no waiting: the event loop waits for the moment that it takes."""
        done = threading.Lock()
        done.acquire()
        job = Job(partial(function, *args, **options), done.release)
        job.is_sync = True
        self._ready().submit(job)
        done.acquire()
        return job.result()

    def _get(self, name: str) -> Any:
        """Return a property of the core's."""
        return self._ask(getattr, self._core, name)

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


class BaseEndpoint(Handle, EnteredAsync):
    """An endpoint's life, and its publishing."""

    _opened: Portal | None = None
    _turn_at = _published_at = 0.0

    def _begin(self, core: Any) -> None:
        super().__init__(core, self)
        self._outbox = Outbox(core)

    @classmethod
    def _of(cls, core: Any) -> Self:
        made = cls.__new__(cls)
        made._begin(core)
        return made

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

    def publish_nowait(self, topic: str, event: object) -> None:
        """Send an event like :meth:`publish`, or raise BlockingIOError when that would have to wait."""
        outbox = self._outbox
        entry = outbox.encode(topic, event)
        if outbox.blocked or not outbox.put(entry):
            raise BlockingIOError(f"a reader of {topic!r} is slow: this would have to wait")

    async def unpeer(self, address: str) -> None:
        """Withdraw the wish to be linked with ``address`` and end the link; KeyError when there was no such wish.

        What was published before is sent first.  See :meth:`broker.Endpoint.unpeer`.
        """
        await self._call(self._outbox.unpeer, address)


class BaseSubscriber(Handle):
    """Reads from the run that the core has taken up; where there is none, the core is asked to."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        super().__init__(core, endpoint)
        self._runs = Runs(core)

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

    def receive_nowait(self) -> Any:
        """Return the next message, or raise BlockingIOError when there is none."""
        for message in self._core._current:
            return message
        while self._ask(self._core.fill):  # it takes none: interrupted, we would lose it
            for message in self._core._current:
                return message
        raise BlockingIOError("there is nothing now: this would have to wait")

    async def receive_batch(self) -> list[Any]:
        """Return the next messages, which have arrived together, waiting for them."""
        while not (messages := self._taken()):
            await self._wait()
        return messages

    def _taken(self) -> list[Any]:
        return list(self._core._current)


class BaseCollector(BaseSubscriber):
    """As a subscriber; what was read of a run tells the core what is acknowledged."""

    def _closed(self) -> BrokerError:
        return LogClosed(self._core.stream, "its endpoint is closed")

    def _taken(self) -> list[Any]:
        core = self._core
        core._in_hand = len(core._messages)  # more than these, as long as they are being taken
        messages = list(core._current)
        core._in_hand = len(messages)
        return messages


class _RunReader(Handle, Generic[T]):
    """Reads from a run that the portal fills."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        super().__init__(core, endpoint)
        self._reader: Reader[T] = Reader(core)

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

    def receive_nowait(self) -> T:
        """Return the next one, or raise BlockingIOError when there is none."""
        reader = self._reader
        if not reader.run:
            self._ask(reader.fill_nowait)
        try:
            return self._taken(reader)
        except IndexError:
            raise BlockingIOError("there is nothing now: this would have to wait") from None

    def _taken(self, reader: Reader[T]) -> T:
        return reader.run.popleft()


class BaseStatusReader(_RunReader[Any]):
    """Status events a run at a time."""

    async def __anext__(self) -> Any:
        return await self.receive()


class BaseWatch(_RunReader[Any]):
    """Changes a run at a time; its position is that of what the program was given."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        super().__init__(core, endpoint)
        self._given: Position = core.position

    def _closed(self) -> BrokerError:
        return StoreClosed(self._core._store.name, "its endpoint is closed")

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except StoreClosed:
            raise StopAsyncIteration from None

    def _taken(self, reader: Reader[Change]) -> Change:
        change = reader.run.popleft()
        if change.final:
            self._given = change.position
        return change

    @property
    def position(self) -> Position:
        """Behind the last record of which all that is wanted was given; it moves also when nothing was wanted."""
        position: Position = self._ask(self._position)
        return position

    def _position(self) -> Position:
        if not self._reader.run:
            self._given = self._core.position
        return self._given


class _OfStore(Handle):
    def _closed(self) -> BrokerError:
        return StoreClosed(self._core.name, "its endpoint is closed")


class BaseStore(_OfStore):
    """What is read of a store without asking the portal: what the core has at hand for whoever reads it again."""

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._core._plain[key]
        except (KeyError, TypeError):
            return self._ask(self._core.__getitem__, key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a key's value, or ``default`` where there is no entry; raises StaleData."""
        try:
            return self._core._plain[key]
        except (KeyError, TypeError):
            return self._ask(self._core.get, key, default)

    def __contains__(self, key: object) -> bool:
        return bool(self._ask(self._core.__contains__, key))

    def __len__(self) -> int:
        return int(self._ask(self._core.__len__))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ask(list, self._core))

    def __bool__(self) -> bool:
        return True  # a handle, whatever is in it

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def snapshot(self) -> dict[Any, Any]:
        """Return all entries as they are at one moment."""
        found: dict[Any, Any] = self._ask(dict, self._core)
        return found


class BaseStoreProxy(_OfStore):
    """What is read of a store elsewhere says that there is nothing to read here, and what to do."""

    def _nothing_here(self, *_arguments: object, **_options: object) -> NoReturn:
        """Raise StoreError."""
        self._core._nothing_here()
        raise AssertionError("it raises")

    __getitem__ = __contains__ = __len__ = __iter__ = _nothing_here
    get = get_index = size = expires = _nothing_here

    def __bool__(self) -> bool:
        return True  # a handle; there is no length


class BaseBatch:
    """Gathers changes, which needs no portal; having them done does."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        self._core = core
        self._handle = _OfStore(core, endpoint)

    async def __aenter__(self) -> Self:
        """Begin to gather."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have all of it done; returns when it is acknowledged.  After an exception nothing is done."""
        await self._handle._call(self._core.__aexit__, kind, value, traceback)

    def __len__(self) -> int:
        """Return how many changes and conditions it has."""
        return len(self._core)

    async def _call(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        return await self._handle._call(function, *args, **options)


class BaseLogWriter(Handle):
    """Many records at once, however they come."""

    def _closed(self) -> BrokerError:
        return LogClosed(self._core.name, "its endpoint is closed")

    async def write_all(self, records: Iterable[object], *, durable: bool | None = None) -> int:
        """Write records one after the other; returns the number of the last (0: there were none), as :meth:`write`.

        When one does not fit, those before it are written.
        """
        number = 0
        records = iter(records)
        while chunk := list(islice(records, _CHUNK)):
            number = await self._call(self._core.write_all, chunk, durable=durable)
        return number


class BaseLogTopic(Handle):
    """Records that are published as the endpoint's events are, in order with them."""

    _count = 0

    async def write(self, record: object) -> int:
        """Publish a record; returns how many were, with it.  Waits and raises as :meth:`Endpoint.publish` does."""
        self._core._check(record)
        await self._endpoint.publish(self._core.topic, record)
        self._count += 1
        return self._count

    def write_nowait(self, record: object) -> int:
        """Publish a record, or raise BlockingIOError when that would have to wait."""
        self._core._check(record)
        self._endpoint.publish_nowait(self._core.topic, record)
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
