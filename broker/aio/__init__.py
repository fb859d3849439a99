"""broker for asyncio programs: every call of :mod:`broker`, awaited in an asyncio event loop.

    async with broker.aio.Endpoint("web-01") as endpoint:
        await endpoint.peer("tcp://127.0.0.1:9999")
        await endpoint.publish("host/web-01/disk", DiskUsage("web-01", "/", 0.91))

    async with endpoint.subscribe("host/", DiskUsage) as messages:
        async for message in messages:
            ...

Cancelling a task cancels what it waits for, and nothing that was on its way to the program is lost by it; time limits
are asyncio's own (``asyncio.timeout``). What must not wait (``..._nowait``) raises BlockingIOError. What is only
looked at (``endpoint.peers()``, ``store[key]``) is no coroutine: the event loop waits for the moment that it takes.
One thread beside the program's, for all endpoints, runs the core; how: :mod:`broker.portal`. A process that is forked
has none of its parent's endpoints: it opens its own.

Events, values, errors, keys and records are those of :mod:`broker` itself.
"""

from __future__ import annotations

from broker.aio.handles import (
    Batch,
    Collector,
    Endpoint,
    LogTopic,
    LogWriter,
    Rules,
    StatusReader,
    Store,
    StoreClone,
    StoreMaster,
    StoreProxy,
    Subscriber,
    Watch,
)

__all__ = [
    "Batch",
    "Collector",
    "Endpoint",
    "LogTopic",
    "LogWriter",
    "Rules",
    "StatusReader",
    "Store",
    "StoreClone",
    "StoreMaster",
    "StoreProxy",
    "Subscriber",
    "Watch",
]
