"""What the handles for blocking programs have in common: asking the portal, and waiting for it.

The handles themselves, in :mod:`broker.blocking.handles`, are made from the core's signatures by ``tools/facades.py``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from broker.errors import BrokerError, EndpointClosed, LogClosed, StoreClosed
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


class _Waiter:
    """Where a thread waits for a job; it may be interrupted (Ctrl-C), and then waits on until the job is over."""

    __slots__ = ("_lock", "_over", "wait")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._over = False
        self.wait = self._lock.acquire  # not a method of our own: each costs every call

    def wake(self) -> None:
        """Let it go on; the portal calls this."""
        self._over = True
        self._lock.release()

    def wait_on(self) -> None:
        """Wait for the end, after we were interrupted: perhaps after we had been woken."""
        while not self._over:
            self._lock.acquire()


def _asked(portal: Portal, function: Callable[[], Any], *, is_sync: bool, timeout: float | None = None) -> Any:
    """Have the portal do something, and wait for it.  Interrupted, it is cancelled, and waited for all the same."""
    waiter = _Waiter()
    job = Job(function, waiter.wake, timeout=timeout)
    job.is_sync = is_sync
    try:
        portal.submit(job)
        waiter.wait()
    except BaseException:  # Ctrl-C
        if portal.cancel(job):
            waiter.wait_on()
        raise
    return job.result()


class Handle:
    """Something of the core's, with the endpoint by whose portal it is asked."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        self._core = core
        self._endpoint = endpoint
        self._holder: Holder | None = None

    def __repr__(self) -> str:
        return f"<blocking {repr(self._core).removeprefix('<')}"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: another process opens an endpoint of its own")

    def _portal(self) -> Portal:
        portal = self._endpoint._opened
        if portal is None:
            raise EndpointClosed("not started: use it inside 'with Endpoint(...) as endpoint:'")
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

    def _call(self, function: Callable[..., Any], /, *args: Any, _timeout: float | None = None, **options: Any) -> Any:
        """Have something awaited."""
        return _asked(self._ready(), partial(function, *args, **options), is_sync=False, timeout=_timeout)

    def _ask(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Have something done that needs no waiting."""
        return _asked(self._ready(), partial(function, *args, **options), is_sync=True)

    def _get(self, name: str) -> Any:
        """Return a property of the core's."""
        return self._ask(getattr, self._core, name)

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
        portal, waiter = self._endpoint._ready(), _Waiter()
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
        waiter = _Waiter()
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


class BaseEndpoint(Handle):
    """An endpoint's life, and its publishing."""

    _opened: Portal | None = None

    def _begin(self, core: Any) -> None:
        super().__init__(core, self)
        self._outbox = Outbox(core)

    @classmethod
    def _of(cls, core: Any) -> Self:
        made = cls.__new__(cls)
        made._begin(core)
        return made

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

    def publish_nowait(self, topic: str, event: object) -> None:
        """Send an event like :meth:`publish`, or raise BlockingIOError when that would have to wait."""
        outbox = self._outbox
        entry = outbox.encode(topic, event)
        if outbox.blocked or not outbox.put(entry):
            raise BlockingIOError(f"a reader of {topic!r} is slow: this would have to wait")

    def unpeer(self, address: str, *, timeout: float | None = None) -> None:
        """Withdraw the wish to be linked with ``address`` and end the link; KeyError when there was no such wish.

        What was published before is sent first.  See :meth:`broker.Endpoint.unpeer`.
        """
        self._call(self._outbox.unpeer, address, _timeout=timeout)


class BaseSubscriber(Handle):
    """Reads from the run that the core has taken up; where there is none, the core is asked to."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        super().__init__(core, endpoint)
        self._runs = Runs(core)

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

    def receive_nowait(self) -> Any:
        """Return the next message, or raise BlockingIOError when there is none."""
        for message in self._core._current:
            return message
        while self._ask(self._core.fill):  # it takes none: interrupted, we would lose it
            for message in self._core._current:
                return message
        raise BlockingIOError("there is nothing now: this would have to wait")

    def receive_batch(self, *, timeout: float | None = None) -> list[Any]:
        """Return the next messages, which have arrived together, waiting for them as :meth:`receive` does."""
        deadline = _deadline(timeout)
        while not (messages := self._taken()):
            self._wait(deadline)
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

    def __next__(self) -> Any:
        return self.receive()


class BaseWatch(_RunReader[Any]):
    """Changes a run at a time; its position is that of what the program was given."""

    def __init__(self, core: Any, endpoint: BaseEndpoint) -> None:
        super().__init__(core, endpoint)
        self._given: Position = core.position

    def _closed(self) -> BrokerError:
        return StoreClosed(self._core._store.name, "its endpoint is closed")

    def __next__(self) -> Any:
        try:
            return self.receive()
        except StoreClosed:
            raise StopIteration from None

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

    def __enter__(self) -> Self:
        """Begin to gather."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have all of it done; returns when it is acknowledged.  After an exception nothing is done."""
        self._handle._call(self._core.__aexit__, kind, value, traceback)

    def __len__(self) -> int:
        """Return how many changes and conditions it has."""
        return len(self._core)

    def _call(self, function: Callable[..., Any], /, *args: Any, _timeout: float | None = None, **options: Any) -> Any:
        return self._handle._call(function, *args, _timeout=_timeout, **options)


class BaseLogWriter(Handle):
    """Many records at once, however they come."""

    def _closed(self) -> BrokerError:
        return LogClosed(self._core.name, "its endpoint is closed")

    def write_all(self, records: Iterable[object], *, durable: bool | None = None, timeout: float | None = None) -> int:
        """Write records one after the other; returns the number of the last (0: there were none), as :meth:`write`.

        When one does not fit, those before it are written; after a TimeoutError some may be.
        """
        number = 0
        records = iter(records)
        deadline = _deadline(timeout)
        while chunk := list(islice(records, _CHUNK)):
            number = self._call(self._core.write_all, chunk, durable=durable, _timeout=_left(deadline))
        return number


class BaseLogTopic(Handle):
    """Records that are published as the endpoint's events are, in order with them."""

    _count = 0

    def write(self, record: object, *, timeout: float | None = None) -> int:
        """Publish a record; returns how many were, with it.  Waits and raises as :meth:`Endpoint.publish` does."""
        self._core._check(record)
        self._endpoint.publish(self._core.topic, record, timeout=timeout)
        self._count += 1
        return self._count

    def write_nowait(self, record: object) -> int:
        """Publish a record, or raise BlockingIOError when that would have to wait."""
        self._core._check(record)
        self._endpoint.publish_nowait(self._core.topic, record)
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
