"""Publish/subscribe and shared state for monitoring agents: endpoints that peer with each other, with no server.

An **endpoint** listens, peers with others, publishes and subscribes.  An **event** is an attrs class made by
:func:`event`; it is checked against its annotations where it is published and where it arrives.  A **topic** is a text
such as ``host/web-01/disk``; a subscription is a prefix of topics.  A **store** is a key-value store that endpoints
share: its **master** decides every write, **clones** are replicas of it, a **proxy** only asks.

    @broker.event
    class DiskUsage:
        host: str
        used: float

    async with broker.Endpoint("manager") as endpoint:
        address = await endpoint.listen("tcp://127.0.0.1:0")
        async with endpoint.subscribe("host/", DiskUsage) as messages, endpoint.master("disks") as disks:
            async for message in messages:
                await disks.put(message.event.host, message.event.used, expires_in=60)

The layers, each of which imports only from those below it: ``cli`` (the command line) and ``testing`` (endpoints on a
simulated network); ``public`` (these names, loaded with the first one); ``sinks`` (log files); ``endpoint`` and its
handles, such as ``store`` (trio); ``net`` (ZeroMQ), ``journal`` (LMDB) and ``keyring`` (files of keys and access
rules); ``node`` (an endpoint without I/O); ``stores`` (master and clones) and ``logs``; ``protocol`` (what endpoints
say to each other); ``trust`` (keys and rights); ``journaling`` (what a journal is); ``values``, ``events``,
``log_records``, ``topics``, ``errors`` (what is said).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from broker.public import *  # noqa: F403 - broker.public says which
else:
    # Type checkers take a module's __getattr__ for leave to use any name.

    def __getattr__(name: str) -> Any:
        """Load a module of that name, or else all public names with the first one."""
        if not name.startswith("_") and find_spec(f"broker.{name}") is not None:
            return import_module(f"broker.{name}")
        if name == "__all__" or not name.startswith("__"):
            _load()
        try:
            return globals()[name]
        except KeyError:
            raise AttributeError(f"module 'broker' has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        _load()
        return sorted(globals())

    def _load() -> None:
        from broker import public

        globals().update({each: getattr(public, each) for each in (*public.__all__, "__all__")})
