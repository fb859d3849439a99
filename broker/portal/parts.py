"""What handles have in common in both worlds: all that needs no waiting, or only for a moment.

Each world's ``base`` module adds how it waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from broker.errors import BrokerError, EndpointClosed, LogClosed, StoreClosed
from broker.journaling import Position
from broker.portal.jobs import Holder, Job
from broker.portal.outbox import Outbox
from broker.portal.reading import Reader, Runs
from broker.portal.thread import Portal

if TYPE_CHECKING:
    from broker.stores.changes import Change

__all__ = [
    "CHUNK",
    "Batching",
    "Collecting",
    "Elsewhere",
    "Opened",
    "Part",
    "Publishing",
    "Reading",
    "ReadingStore",
    "RunReading",
    "Spooling",
    "Watching",
    "Waiter",
    "WritingTopic",
    "asked",
]

T = TypeVar("T")
# Records are given to the portal so many at a time: however long an iterable is, little of it is in memory.
CHUNK: Final = 1000


class Waiter:
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


def asked(portal: Portal, function: Callable[[], Any], *, is_sync: bool, timeout: float | None = None) -> Any:
    """Have the portal do something, and wait for it.  Interrupted, it is cancelled, and waited for all the same."""
    waiter = Waiter()
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


class Part:
    """Something of the core's, with the endpoint by whose portal it is asked."""

    _world: str  # what its name begins with where it is shown
    _with: str  # how an endpoint is entered

    def __init__(self, core: Any, endpoint: Opened) -> None:
        self._core = core
        self._endpoint = endpoint
        self._holder: Holder | None = None

    def __repr__(self) -> str:
        return f"<{self._world} {repr(self._core).removeprefix('<')}"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: another process opens an endpoint of its own")

    def _portal(self) -> Portal:
        portal = self._endpoint._opened
        if portal is None:
            raise EndpointClosed(f"not started: use it inside '{self._with} Endpoint(...) as endpoint:'")
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

    def _ask(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Have something done that needs no waiting: the thread waits for the moment that it takes."""
        return asked(self._ready(), partial(function, *args, **options), is_sync=True)

    def _get(self, name: str) -> Any:
        """Return a property of the core's."""
        return self._ask(getattr, self._core, name)


class Opened(Part):
    """An endpoint, and the portal that it has once it is entered."""

    _opened: Portal | None = None

    def _begin(self, core: Any) -> None:
        super().__init__(core, self)
        self._outbox = Outbox(core)

    @classmethod
    def _of(cls, core: Any) -> Self:
        made = cls.__new__(cls)
        made._begin(core)
        return made


class Publishing(Opened):
    """Publishing that does not wait."""

    def publish_nowait(self, topic: str, event: object) -> None:
        """Send an event like :meth:`publish`, or raise BlockingIOError when that would have to wait."""
        outbox = self._outbox
        entry = outbox.encode(topic, event)
        if outbox.blocked or not outbox.put(entry):
            raise BlockingIOError(f"a reader of {topic!r} is slow: this would have to wait")


class Reading(Part):
    """Reads from the run that the core has taken up; where there is none, the core is asked to."""

    def __init__(self, core: Any, endpoint: Opened) -> None:
        super().__init__(core, endpoint)
        self._runs = Runs(core)

    def receive_nowait(self) -> Any:
        """Return the next message, or raise BlockingIOError when there is none."""
        for message in self._core._current:
            return message
        while self._ask(self._core.fill):  # it takes none: interrupted, we would lose it
            for message in self._core._current:
                return message
        raise BlockingIOError("there is nothing now: this would have to wait")

    def _taken(self) -> list[Any]:
        return list(self._core._current)


class Collecting(Reading):
    """As a subscriber; what was read of a run tells the core what is acknowledged."""

    def _closed(self) -> BrokerError:
        return LogClosed(self._core.stream, "its endpoint is closed")

    def _taken(self) -> list[Any]:
        core = self._core
        core._in_hand = len(core._messages)  # more than these, as long as they are being taken
        messages = list(core._current)
        core._in_hand = len(messages)
        return messages


class RunReading(Part, Generic[T]):
    """Reads from a run that the portal fills."""

    def __init__(self, core: Any, endpoint: Opened) -> None:
        super().__init__(core, endpoint)
        self._reader: Reader[T] = Reader(core)

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


class Watching(RunReading[Any]):
    """Changes a run at a time; its position is that of what the program was given."""

    def __init__(self, core: Any, endpoint: Opened) -> None:
        super().__init__(core, endpoint)
        self._given: Position = core.position

    def _closed(self) -> BrokerError:
        return StoreClosed(self._core._store.name, "its endpoint is closed")

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


class OfStore(Part):
    def _closed(self) -> BrokerError:
        return StoreClosed(self._core.name, "its endpoint is closed")


class ReadingStore(OfStore):
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


class Elsewhere(OfStore):
    """What is read of a store elsewhere says that there is nothing to read here, and what to do."""

    def _nothing_here(self, *_arguments: object, **_options: object) -> NoReturn:
        """Raise StoreError."""
        self._core._nothing_here()
        raise AssertionError("it raises")

    __getitem__ = __contains__ = __len__ = __iter__ = _nothing_here
    get = get_index = size = expires = _nothing_here

    def __bool__(self) -> bool:
        return True  # a handle; there is no length


class Batching:
    """Gathers changes, which needs no portal; having them done does."""

    _core: Any

    def __len__(self) -> int:
        """Return how many changes and conditions it has."""
        return len(self._core)


class Spooling(Part):
    """A log stream's writer."""

    def _closed(self) -> BrokerError:
        return LogClosed(self._core.name, "its endpoint is closed")


class WritingTopic(Part):
    """Records that are published as the endpoint's events are, in order with them."""

    _count = 0
    _endpoint: Publishing

    def write_nowait(self, record: object) -> int:
        """Publish a record, or raise BlockingIOError when that would have to wait."""
        self._core._check(record)
        self._endpoint.publish_nowait(self._core.topic, record)
        self._count += 1
        return self._count
