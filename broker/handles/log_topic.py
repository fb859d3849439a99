"""A plain log topic: log records that may be lost, published as events."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from broker import events
from broker.errors import EventDefinitionError, TopicError
from broker.topics import normalize_topic

if TYPE_CHECKING:
    from broker.endpoint import Endpoint

__all__ = ["LogTopic", "log_topic", "stream_name"]


def log_topic(stream: str) -> str:
    """Return the topic that a stream's records are published on, where there is no spool."""
    return f"log/{stream}"


def stream_name(stream: str) -> str:
    """Return a stream's name as it is part of a topic: ``a//b`` is ``a/b``."""
    name = normalize_topic(log_topic(normalize_topic(stream))).removeprefix(log_topic(""))
    if not name:
        raise TopicError(f"a log stream has a name, such as 'conn': {stream!r}")
    return name


class LogTopic:
    """Writes records of one class as events on the topic ``log/STREAM``: what ``endpoint.log`` gives without a path.

    It has the methods of :class:`broker.LogWriter` that make sense without a disk.  What events promise holds for
    records, too: in order, exactly once while both processes live, a loss is counted and told.
    """

    def __init__(self, endpoint: Endpoint, stream: str, record: type) -> None:
        events.name_of(record)
        self.name = stream
        self.record = record
        self.topic = log_topic(stream)
        self._endpoint = endpoint
        self._count = 0

    def __repr__(self) -> str:
        return f"<LogTopic {self.name!r}>"

    async def __aenter__(self) -> Self:
        """Begin."""
        self._endpoint._check_open()
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; nothing is to be done."""

    def _check(self, record: object) -> None:
        if type(record) is not self.record:
            raise EventDefinitionError(
                f"log stream {self.name!r} has records of {self.record.__qualname__}, not {type(record).__qualname__}"
            )

    async def write(self, record: object) -> int:
        """Publish a record; returns how many were, with it.  Waits and raises as :meth:`Endpoint.publish` does."""
        if type(record) is not self.record:
            self._check(record)
        await self._endpoint.publish(self.topic, record)
        self._count += 1
        return self._count

    def write_nowait(self, record: object) -> int:
        """Publish a record, or raise :class:`trio.WouldBlock` when that would have to wait."""
        self._check(record)
        self._endpoint.publish_nowait(self.topic, record)
        self._count += 1
        return self._count

    async def write_all(self, records: Iterable[object]) -> int:
        """Publish records one after the other; returns how many were, with them."""
        for record in records:
            await self.write(record)
        await trio.lowlevel.checkpoint()
        return self._count

    async def flush(self) -> None:
        """Let what was published leave."""
        self._endpoint._node.flush()
        self._endpoint._carry_out()
        await trio.lowlevel.checkpoint()
