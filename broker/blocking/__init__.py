"""broker for plain programs: every call of :mod:`broker`, without ``await``.

    with broker.blocking.Endpoint("web-01") as endpoint:
        endpoint.peer("tcp://127.0.0.1:9999")
        endpoint.publish("host/web-01/disk", DiskUsage("web-01", "/", 0.91))

    with endpoint.subscribe("host/", DiskUsage) as messages:
        for message in messages:
            ...

Handles are context managers and iterators; what waits takes ``timeout=`` in seconds and raises TimeoutError; what must
not wait (``..._nowait``) raises BlockingIOError.  Any thread may use any handle.  Ctrl-C interrupts whatever waits, and
nothing that was on its way to the program is lost by it.  One thread beside the program's, for all endpoints, runs the
core; how: :mod:`broker.portal`.  A process that is forked has none of its parent's endpoints: it opens its own.

Events, values, errors, keys and records are those of :mod:`broker` itself.
"""

from __future__ import annotations

from broker.blocking.handles import (
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
