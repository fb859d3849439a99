"""The core's handles for asyncio programs: made by ``tools/facades.py``, not to be edited.

It is long because it is the whole of what there is to be asked; what each does is told by the core.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, overload

from broker import endpoint as core
from broker.aio.base import (
    BaseBatch,
    BaseCollector,
    BaseEndpoint,
    BaseLogTopic,
    BaseLogWriter,
    BaseRules,
    BaseStatusReader,
    BaseStore,
    BaseStoreProxy,
    BaseSubscriber,
    BaseWatch,
    Handle,
)
from broker.figures import Figures
from broker.handles.log_writer import LogInfo
from broker.handles.rule_values import Action, RulesFigures
from broker.handles.store import StoreInfo
from broker.handles.store_writing import Level, Outcome
from broker.handles.watch import MISSING
from broker.journaling import Position
from broker.logs.batches import WriterLag
from broker.logs.collector import QUEUE_BYTES as COLLECTOR_QUEUE_BYTES
from broker.logs.messages import LogMessage
from broker.mesh import Mesh
from broker.protocol.predicates import Condition
from broker.protocol.subscriptions import QUEUE_BYTES, QUEUE_MESSAGES, STALL_S, Overflow
from broker.protocol.survey import Peer
from broker.protocol.wires import Timing
from broker.stores import asking
from broker.stores.asking import Lifetime
from broker.stores.retention import LOG_BYTES
from broker.trust.access import Access
from broker.trust.keys import PublicKey, SecretKey
from broker.values import Timestamp

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


class Subscriber(BaseSubscriber):
    """The messages of one subscription, in order: iterate over it, or call :meth:`receive`.

    See :class:`broker.Subscriber`.
    """


class StatusReader(BaseStatusReader):
    """Status events since it was entered, in order; a slow reader loses the oldest and is told how many.

    See :class:`broker.StatusReader`.
    """


class Batch(BaseBatch):
    """Gathers changes, and conditions for them; leaving its block has them done.

    See :class:`broker.Batch`.
    """

    async def commit(self) -> Position | None:
        """Have all of it done now, without a block; returns its position, None for an empty batch.

        See :meth:`broker.Batch.commit`.
        """
        return await self._call(self._core.commit)

    def expect(self, key: object, value: object) -> None:
        """Let the batch take place only if the entry has this value; :data:`~broker.ABSENT`: if there is none.

        See :meth:`broker.Batch.expect`.
        """
        self._core.expect(key, value)

    def put(self, key: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Set an entry, as :meth:`Store.put` does.

        See :meth:`broker.Batch.put`.
        """
        self._core.put(key, value, expires_in=expires_in)

    def put_unique(self, key: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Set an entry that there is not: else the batch raises KeyExists.  See :meth:`Store.put_unique`.

        See :meth:`broker.Batch.put_unique`.
        """
        self._core.put_unique(key, value, expires_in=expires_in)

    def compare_and_swap(self, key: object, expected: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Set an entry that has the value ``expected``: else the batch raises ValueDiffers.

        See :meth:`broker.Batch.compare_and_swap`.
        """
        self._core.compare_and_swap(key, expected, value, expires_in=expires_in)

    def erase(self, key: object, *, missing_ok: bool = False) -> None:
        """Remove an entry, as :meth:`Store.erase` does.

        See :meth:`broker.Batch.erase`.
        """
        self._core.erase(key, missing_ok=missing_ok)

    def clear(self) -> None:
        """Remove all entries there are before the batch, or that it has made so far.

        See :meth:`broker.Batch.clear`.
        """
        self._core.clear()

    def increment(self, key: object, amount: Any = 1, *, expires_in: Lifetime = None) -> None:
        """Add to a number; the new value is in ``results``.  See :meth:`Store.increment`.

        See :meth:`broker.Batch.increment`.
        """
        self._core.increment(key, amount, expires_in=expires_in)

    def decrement(self, key: object, amount: Any = 1, *, expires_in: Lifetime = None) -> None:
        """Take away from a number; the new value is in ``results``.  See :meth:`Store.decrement`.

        See :meth:`broker.Batch.decrement`.
        """
        self._core.decrement(key, amount, expires_in=expires_in)

    def append(self, key: object, tail: str | bytes, *, expires_in: Lifetime = None) -> None:
        """Append to a str, or to bytes; what it has become is in ``results``.  See :meth:`Store.append`.

        See :meth:`broker.Batch.append`.
        """
        self._core.append(key, tail, expires_in=expires_in)

    def insert_into(
        self, key: object, element: object, value: object = asking.ABSENT, *, expires_in: Lifetime = None
    ) -> None:
        """Insert a member into a set, or an item into a dict, as :meth:`Store.insert_into` does.

        See :meth:`broker.Batch.insert_into`.
        """
        self._core.insert_into(key, element, value, expires_in=expires_in)

    def remove_from(self, key: object, element: object, *, expires_in: Lifetime = None) -> None:
        """Remove a member from a set, or a key from a dict, as :meth:`Store.remove_from` does.

        See :meth:`broker.Batch.remove_from`.
        """
        self._core.remove_from(key, element, expires_in=expires_in)

    def push(self, key: object, value: object, *, expires_in: Lifetime = None) -> None:
        """Append an element to a list, as :meth:`Store.push` does.

        See :meth:`broker.Batch.push`.
        """
        self._core.push(key, value, expires_in=expires_in)

    def pop(self, key: object, *, expires_in: Lifetime = None) -> None:
        """Take the last element from a list; it is in ``results``.  See :meth:`Store.pop`.

        See :meth:`broker.Batch.pop`.
        """
        self._core.pop(key, expires_in=expires_in)

    def touch(self, key: object, *, expires_in: Lifetime) -> None:
        """Let an entry live so many seconds from now on, as :meth:`Store.touch` does.

        See :meth:`broker.Batch.touch`.
        """
        self._core.touch(key, expires_in=expires_in)

    @property
    def position(self) -> Position | None:
        """As the core has it."""
        return self._core.position

    @property
    def results(self) -> list[Any]:
        """As the core has it."""
        return self._core.results


class Watch(BaseWatch):
    """Changes of a store, as :meth:`Store.watch` gives them: iterate over it, or call :meth:`receive`.

    See :class:`broker.Watch`.
    """


class StoreWriting(Handle):
    """The writes of a store's handle, for masters, clones and proxies alike."""

    async def put(
        self,
        key: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Set an entry, and when it expires (in seconds; None: never); returns the write's position.

        See :meth:`broker.Store.put`.
        """
        return await self._call(self._core.put, key, value, expires_in=expires_in, level=level, timeout=timeout)

    async def put_unique(
        self,
        key: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Set an entry that there is not; raises KeyExists if there is.

        See :meth:`broker.Store.put_unique`.
        """
        return await self._call(self._core.put_unique, key, value, expires_in=expires_in, level=level, timeout=timeout)

    async def compare_and_swap(
        self,
        key: object,
        expected: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Set an entry that has the value ``expected``; :data:`~broker.ABSENT` for no entry, at either place.

        See :meth:`broker.Store.compare_and_swap`.
        """
        return await self._call(
            self._core.compare_and_swap, key, expected, value, expires_in=expires_in, level=level, timeout=timeout
        )

    async def erase(
        self, key: object, *, missing_ok: bool = False, level: Level = "durable", timeout: float | None = None
    ) -> Position:
        """Remove an entry; raises NoSuchKey where there is none, unless that does not matter.

        See :meth:`broker.Store.erase`.
        """
        return await self._call(self._core.erase, key, missing_ok=missing_ok, level=level, timeout=timeout)

    async def clear(self, *, level: Level = "durable", timeout: float | None = None) -> Position:
        """Remove all entries.

        See :meth:`broker.Store.clear`.
        """
        return await self._call(self._core.clear, level=level, timeout=timeout)

    async def increment(
        self,
        key: object,
        amount: Any = 1,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Add to a number, a timedelta or a timestamp; an entry that there is not begins with 0.

        See :meth:`broker.Store.increment`.
        """
        return await self._call(self._core.increment, key, amount, expires_in=expires_in, level=level, timeout=timeout)

    async def decrement(
        self,
        key: object,
        amount: Any = 1,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Take away from a number; a Count does not go below 0 (OutOfRange).

        See :meth:`broker.Store.decrement`.
        """
        return await self._call(self._core.decrement, key, amount, expires_in=expires_in, level=level, timeout=timeout)

    async def append(
        self,
        key: object,
        tail: str | bytes,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Outcome:
        """Append to a str, or to bytes; returns what it has become.  Raises TypeClash.

        See :meth:`broker.Store.append`.
        """
        return await self._call(self._core.append, key, tail, expires_in=expires_in, level=level, timeout=timeout)

    async def insert_into(
        self,
        key: object,
        element: object,
        value: object = asking.ABSENT,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Insert a member into a set or, with a value, an item into a dict; makes one where there is none.

        See :meth:`broker.Store.insert_into`.
        """
        return await self._call(
            self._core.insert_into, key, element, value, expires_in=expires_in, level=level, timeout=timeout
        )

    async def remove_from(
        self,
        key: object,
        element: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Remove a member from a set, or a key from a dict; raises NoSuchKey, NoSuchElement, TypeClash.

        See :meth:`broker.Store.remove_from`.
        """
        return await self._call(
            self._core.remove_from, key, element, expires_in=expires_in, level=level, timeout=timeout
        )

    async def push(
        self,
        key: object,
        value: object,
        *,
        expires_in: Lifetime = None,
        level: Level = "durable",
        timeout: float | None = None,
    ) -> Position:
        """Append an element to a list, made where there is none; raises TypeClash.

        See :meth:`broker.Store.push`.
        """
        return await self._call(self._core.push, key, value, expires_in=expires_in, level=level, timeout=timeout)

    async def pop(
        self, key: object, *, expires_in: Lifetime = None, level: Level = "durable", timeout: float | None = None
    ) -> Outcome:
        """Take the last element from a list; raises NoSuchKey, NoSuchElement (it is empty), TypeClash.

        See :meth:`broker.Store.pop`.
        """
        return await self._call(self._core.pop, key, expires_in=expires_in, level=level, timeout=timeout)

    async def touch(
        self, key: object, *, expires_in: Lifetime, level: Level = "durable", timeout: float | None = None
    ) -> Position:
        """Let an entry live so many seconds from now on (None: for ever); raises NoSuchKey.

        See :meth:`broker.Store.touch`.
        """
        return await self._call(self._core.touch, key, expires_in=expires_in, level=level, timeout=timeout)

    async def fetch(self, key: object, *, timeout: float | None = None) -> Any:
        """Read a value at the master: what it is after all writes that were acknowledged.  Raises NoSuchKey.

        See :meth:`broker.Store.fetch`.
        """
        return await self._call(self._core.fetch, key, timeout=timeout)

    def batch(self, *, level: Level = "durable", timeout: float | None = None) -> Batch:
        """Gather changes that take place together: ``async with store.batch() as batch: batch.put(...)``.

        See :meth:`broker.Store.batch`.
        """
        return Batch(self._core.batch(level=level, timeout=timeout), self._endpoint)

    @property
    def name(self) -> str:
        """As the core has it."""
        return self._core.name


class Store(BaseStore, StoreWriting, Mapping[Any, Any]):
    """What masters and clones have in common: ``store[key]``, ``key in store``, ``len(store)``, writes and watches.

    See :class:`broker.Store`.
    """

    def get_index(self, key: object, index: object) -> Any:
        """Return a dict's value at a key, a list's element at an index, or whether a set has a member.

        See :meth:`broker.Store.get_index`.
        """
        return self._ask(self._core.get_index, key, index)

    def size(self, key: object) -> int:
        """Return how many elements a list, dict or set has; raises NoSuchKey, TypeClash.

        See :meth:`broker.Store.size`.
        """
        return self._ask(self._core.size, key)

    def expires(self, key: object) -> Timestamp | None:
        """Return when an entry is over; None: never.  Raises NoSuchKey.

        See :meth:`broker.Store.expires`.
        """
        return self._ask(self._core.expires, key)

    @property
    def position(self) -> Position:
        """Where the contents are in the order of all operations.

        See :meth:`broker.Store.position`.
        """
        return self._get("position")

    @property
    def staleness(self) -> float:
        """For how many seconds something may have been missed: 0 at a master.

        See :meth:`broker.Store.staleness`.
        """
        return self._get("staleness")

    async def wait_for(self, position: Position) -> None:
        """Wait until the contents are at ``position`` or behind it: reads then see what was written there.

        See :meth:`broker.Store.wait_for`.
        """
        await self._call(self._core.wait_for, position)

    def watch(self, prefix: str | None = None, *, key: object = MISSING, since: Position | None = None) -> Watch:
        """Give every change, in order and once: ``async for change in store.watch("web-"):``.

        See :meth:`broker.Store.watch`.
        """
        return Watch(self._ask(self._core.watch, prefix, key=key, since=since), self._endpoint)

    async def backup(self, path: str | os.PathLike[str]) -> Position:
        """Copy the store as it is now to a new file, while it is used; returns the copy's position.

        See :meth:`broker.Store.backup`.
        """
        return await self._call(self._core.backup, path)

    async def compact(self) -> None:
        """Give the disk back what erased entries and the trimmed log have left free; writes wait meanwhile.

        See :meth:`broker.Store.compact`.
        """
        await self._call(self._core.compact)

    def info(self) -> StoreInfo:
        """Return what there is to say of it.

        See :meth:`broker.Store.info`.
        """
        return self._ask(self._core.info)


class StoreMaster(Store):
    """The authority of a store: what :meth:`Endpoint.master` gives.

    See :class:`broker.StoreMaster`.
    """


class StoreClone(Store):
    """A replica of a store: what :meth:`Endpoint.clone` gives.

    See :class:`broker.StoreClone`.
    """

    async def synced(self) -> None:
        """Wait until it has everything that the master had when this was called, or a moment later.

        See :meth:`broker.StoreClone.synced`.
        """
        await self._call(self._core.synced)

    @property
    def staleness(self) -> float:
        """For how many seconds something may have been missed; infinity: it never had everything.

        See :meth:`broker.StoreClone.staleness`.
        """
        return self._get("staleness")

    @property
    def master(self) -> str | None:
        """The endpoint that it follows; None: no master can be reached.

        See :meth:`broker.StoreClone.master`.
        """
        return self._get("master")

    async def backup(self, path: str | os.PathLike[str]) -> Position:
        """Only a master's backup can be a master again: raises NotMaster.

        See :meth:`broker.StoreClone.backup`.
        """
        return await self._call(self._core.backup, path)


class StoreProxy(BaseStoreProxy, StoreWriting):
    """A way to a store's master without a replica: what :meth:`Endpoint.proxy` gives.

    See :class:`broker.StoreProxy`.
    """

    @property
    def master(self) -> str | None:
        """The endpoint that it asks; None: no master can be reached.

        See :meth:`broker.StoreProxy.master`.
        """
        return self._get("master")

    def watch(self, prefix: str | None = None, *, key: object = MISSING) -> Watch:
        """Give every change from ``since`` on, in order and once, as :meth:`Store.watch` does.

        See :meth:`broker.StoreProxy.watch`.
        """
        return Watch(self._ask(self._core.watch, prefix, key=key), self._endpoint)

    @property
    def entries(self) -> int | None:
        """How many entries there were when it began to follow the log, or last did so anew; None without ``since``.

        See :meth:`broker.StoreProxy.entries`.
        """
        return self._get("entries")


class LogTopic(BaseLogTopic):
    """Writes records of one class as events on the topic ``log/STREAM``: what ``endpoint.log`` gives without a path.

    See :class:`broker.LogTopic`.
    """

    @property
    def name(self) -> str:
        """As the core has it."""
        return self._core.name

    @property
    def record(self) -> type:
        """As the core has it."""
        return self._core.record

    @property
    def topic(self) -> str:
        """As the core has it."""
        return self._core.topic


class LogWriter(BaseLogWriter):
    """The writer of a log stream at one endpoint: what :meth:`Endpoint.log` gives.

    See :class:`broker.LogWriter`.
    """

    async def write(self, record: object, *, durable: bool | None = None) -> int:
        """Write a record; returns its number.

        See :meth:`broker.LogWriter.write`.
        """
        return await self._call(self._core.write, record, durable=durable)

    def write_nowait(self, record: object) -> int:
        """Write a record, not durably yet, or raise :class:`trio.WouldBlock` when the spool is full.

        See :meth:`broker.LogWriter.write_nowait`.
        """
        return self._ask(self._core.write_nowait, record)

    async def flush(self) -> None:
        """Wait until everything that was written before is on disk.

        See :meth:`broker.LogWriter.flush`.
        """
        await self._call(self._core.flush)

    async def collected(self, *names: str) -> None:
        """Wait until these collectors (none: all that are registered) have acknowledged everything written so far.

        See :meth:`broker.LogWriter.collected`.
        """
        await self._call(self._core.collected, *names)

    @property
    def position(self) -> Position:
        """The end of what is on disk: a collector that begins ``since`` there gets what comes after it.

        See :meth:`broker.LogWriter.position`.
        """
        return self._get("position")

    def info(self) -> LogInfo:
        """Return how things stand with the spool and its collectors.

        See :meth:`broker.LogWriter.info`.
        """
        return self._ask(self._core.info)

    async def forget(self, name: str) -> None:
        """Let a collector that will not come back no longer hold records; KeyError when there is no such name.

        See :meth:`broker.LogWriter.forget`.
        """
        await self._call(self._core.forget, name)

    @property
    def name(self) -> str:
        """As the core has it."""
        return self._core.name

    @property
    def record(self) -> type:
        """As the core has it."""
        return self._core.record

    @property
    def path(self) -> Path:
        """As the core has it."""
        return self._core.path


class Collector(BaseCollector):
    """The records of one stream, from all its writers: what :meth:`Endpoint.collect` gives.

    See :class:`broker.Collector`.
    """

    def acknowledge(self, message: LogMessage, *, through: bool = False) -> int:
        """Acknowledge a record; with ``through`` all of its writer that were received up to it, too.

        See :meth:`broker.Collector.acknowledge`.
        """
        return self._ask(self._core.acknowledge, message, through=through)

    async def confirmed(self) -> None:
        """Wait until every acknowledgement made so far is on its writer's disk: then nothing of it comes again.

        See :meth:`broker.Collector.confirmed`.
        """
        await self._call(self._core.confirmed)

    def checkpoint(self, through: Iterable[LogMessage] = ()) -> bytes:
        """Return what was acknowledged and is not confirmed yet, and which member this is: for ``collect``.

        See :meth:`broker.Collector.checkpoint`.
        """
        return self._ask(self._core.checkpoint, through)

    def lag(self) -> tuple[WriterLag, ...]:
        """Return how far this collector's name is with each writer.

        See :meth:`broker.Collector.lag`.
        """
        return self._ask(self._core.lag)

    @property
    def refused(self) -> dict[str, str]:
        """The writers that give this collector nothing, and why.

        See :meth:`broker.Collector.refused`.
        """
        return self._get("refused")

    @property
    def stream(self) -> str:
        """As the core has it."""
        return self._core.stream


class Rules(BaseRules):
    """Rules that run on an endpoint's streams: what :meth:`Endpoint.rules` gives.

    See :class:`broker.Rules`.
    """

    async def receive(self) -> Action:
        """Return the next action, waiting for it; the one before it is done.

        See :meth:`broker.Rules.receive`.
        """
        return await self._call(self._core.receive)

    def receive_nowait(self) -> Action:
        """Return the next action, or raise :class:`trio.WouldBlock` when there is none.

        See :meth:`broker.Rules.receive_nowait`.
        """
        return self._ask(self._core.receive_nowait)

    async def reload(self, source: Any = None) -> None:
        """Read the rules again, or others from now on; rules that are as they were keep their state.

        See :meth:`broker.Rules.reload`.
        """
        await self._call(self._core.reload, source)

    def explain(self, rule: str, *events: object) -> Any:
        """Return, for a rule and an event or several, each clause with its values, and why it does not hold.

        See :meth:`broker.Rules.explain`.
        """
        return self._ask(self._core.explain, rule, *events)

    def figures(self) -> RulesFigures:
        """Return what they have done.

        See :meth:`broker.Rules.figures`.
        """
        return self._ask(self._core.figures)

    @property
    def name(self) -> str:
        """As the core has it."""
        return self._core.name


class Endpoint(BaseEndpoint):
    """One member of the mesh: it listens, peers, publishes and subscribes.

    See :class:`broker.Endpoint`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        keys: SecretKey | str | os.PathLike[str] | None = None,
        access: Access | str | os.PathLike[str] | None = None,
        forward: bool = True,
        timing: Timing | None = None,
        linger_s: float = 2.0,
        report_every: float | None = None,
        tracing: bool = False,
    ) -> None:
        self._begin(
            core.Endpoint(
                name,
                keys=keys,
                access=access,
                forward=forward,
                timing=timing,
                linger_s=linger_s,
                report_every=report_every,
                tracing=tracing,
            )
        )

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str],
        *,
        environ: Mapping[str, str] | None = None,
        name: str | None = None,
        forward: bool | None = None,
        keys: SecretKey | str | os.PathLike[str] | None = None,
        access: Access | str | os.PathLike[str] | None = None,
        listen: Iterable[str] | None = None,
        peer: Iterable[str] | None = None,
        insecure: bool | None = None,
    ) -> Self:
        """Make an endpoint from a configuration's file, such as ``examples/broker.toml``.

        See :meth:`broker.Endpoint.from_config`.
        """
        return cls._of(
            core.Endpoint.from_config(
                path,
                environ=environ,
                name=name,
                forward=forward,
                keys=keys,
                access=access,
                listen=listen,
                peer=peer,
                insecure=insecure,
            )
        )

    async def listen(self, address: str, *, insecure: bool = False) -> str:
        """Let others peer with us at ``address``; returns the bound address, with the port that was given for 0.

        See :meth:`broker.Endpoint.listen`.
        """
        return await self._call(self._core.listen, address, insecure=insecure)

    def addresses(self) -> tuple[str, ...]:
        """Return the addresses that we listen on, with the ports that were given for 0.

        See :meth:`broker.Endpoint.addresses`.
        """
        return self._ask(self._core.addresses)

    async def peer(
        self, address: str, *, timeout: float = 5.0, key: PublicKey | str | None = None, insecure: bool = False
    ) -> None:
        """Link with the endpoint at ``address``; returns when messages can flow both ways.

        See :meth:`broker.Endpoint.peer`.
        """
        await self._call(self._core.peer, address, timeout=timeout, key=key, insecure=insecure)

    def peers(self) -> tuple[Peer, ...]:
        """Return the endpoints that we are linked with directly.

        See :meth:`broker.Endpoint.peers`.
        """
        return self._ask(self._core.peers)

    def mesh(self) -> Mesh:
        """Return the whole graph as this endpoint knows it: endpoints, links with their round trips, subscriptions.

        See :meth:`broker.Endpoint.mesh`.
        """
        return self._ask(self._core.mesh)

    def figures(self) -> Figures:
        """Return what this endpoint counts and measures: events, losses, links, queues, stores, log streams.

        See :meth:`broker.Endpoint.figures`.
        """
        return self._ask(self._core.figures)

    def change_access(self, access: Access) -> None:
        """Go by other access rules from now on: who is no longer trusted is cut off at once.

        See :meth:`broker.Endpoint.change_access`.
        """
        self._ask(self._core.change_access, access)

    def change_key(self, key: SecretKey) -> None:
        """Have another key from now on, which peers have to trust already.

        See :meth:`broker.Endpoint.change_key`.
        """
        self._ask(self._core.change_key, key)

    def subscribe(
        self,
        prefix: str,
        *types: type | str,
        overflow: Overflow = "block",
        queue_messages: int = QUEUE_MESSAGES,
        queue_bytes: int = QUEUE_BYTES,
        stall_timeout: float = STALL_S,
        where: Condition | None = None,
    ) -> Subscriber:
        """Receive the messages whose topic starts with ``prefix``, of the event classes (or names) given; none: of any.

        See :meth:`broker.Endpoint.subscribe`.
        """
        return Subscriber(
            self._core.subscribe(
                prefix,
                *types,
                overflow=overflow,
                queue_messages=queue_messages,
                queue_bytes=queue_bytes,
                stall_timeout=stall_timeout,
                where=where,
            ),
            self,
        )

    async def subscribers(self, topic: str, at_least: int = 1) -> int:
        """Wait until ``at_least`` endpoints and own subscriptions want events on ``topic``; returns how many do.

        See :meth:`broker.Endpoint.subscribers`.
        """
        return await self._call(self._core.subscribers, topic, at_least)

    def subscriber_count(self, topic: str) -> int:
        """Return how many endpoints and own subscriptions want events on ``topic`` now, whatever their predicates.

        See :meth:`broker.Endpoint.subscriber_count`.
        """
        return self._ask(self._core.subscriber_count, topic)

    def status(self, queue_size: int = 1000) -> StatusReader:
        """Read what happens to peers and messages from now on: enter it with ``async with``, iterate over it.

        See :meth:`broker.Endpoint.status`.
        """
        return StatusReader(self._core.status(queue_size), self)

    def master(
        self,
        store: str,
        *,
        path: str | os.PathLike[str] | None = None,
        limit_bytes: int | None = None,
        log_bytes: int = LOG_BYTES,
        timeout: float = 10.0,
        write_timeout: float = 30.0,
    ) -> StoreMaster:
        """Be the authority of a store: enter it with ``async with``, as often in a mesh as there is no other.

        See :meth:`broker.Endpoint.master`.
        """
        return StoreMaster(
            self._core.master(
                store,
                path=path,
                limit_bytes=limit_bytes,
                log_bytes=log_bytes,
                timeout=timeout,
                write_timeout=write_timeout,
            ),
            self,
        )

    def clone(
        self,
        store: str,
        *,
        path: str | os.PathLike[str] | None = None,
        stale_after: float | None = None,
        log_bytes: int = LOG_BYTES,
        timeout: float = 5.0,
        write_timeout: float = 30.0,
    ) -> StoreClone:
        """Have a replica of a store, wherever in the mesh its master is or will be: enter it with ``async with``.

        See :meth:`broker.Endpoint.clone`.
        """
        return StoreClone(
            self._core.clone(
                store,
                path=path,
                stale_after=stale_after,
                log_bytes=log_bytes,
                timeout=timeout,
                write_timeout=write_timeout,
            ),
            self,
        )

    def proxy(
        self,
        store: str,
        *,
        since: Position | Literal["now"] | None = None,
        timeout: float = 5.0,
        write_timeout: float = 30.0,
    ) -> StoreProxy:
        """Write to a store, and read single values at its master, without a replica: enter it with ``async with``.

        See :meth:`broker.Endpoint.proxy`.
        """
        return StoreProxy(self._core.proxy(store, since=since, timeout=timeout, write_timeout=write_timeout), self)

    def stores(self) -> dict[str, tuple[str, ...]]:
        """Return the stores that have a master in the mesh, each with the endpoint that is it (two: a conflict).

        See :meth:`broker.Endpoint.stores`.
        """
        return self._ask(self._core.stores)

    @overload
    def log(
        self,
        stream: str,
        record: type,
        *,
        path: str | os.PathLike[str],
        durable: bool = True,
        delay_s: float = 0.02,
        limit_bytes: int = 1 << 30,
        limit_age_s: float = math.inf,
        overflow: Literal["block", "drop_oldest"] = "block",
        keep_bytes: int = 0,
        collectors: Iterable[str] = (),
    ) -> LogWriter: ...

    @overload
    def log(self, stream: str, record: type) -> LogTopic: ...

    def log(
        self,
        stream: str,
        record: type,
        *,
        path: str | os.PathLike[str] | None = None,
        durable: bool = True,
        delay_s: float = 0.02,
        limit_bytes: int = 1 << 30,
        limit_age_s: float = math.inf,
        overflow: Literal["block", "drop_oldest"] = "block",
        keep_bytes: int = 0,
        collectors: Iterable[str] = (),
    ) -> LogWriter | LogTopic:
        """Write a log stream: enter it with ``async with``.

        See :meth:`broker.Endpoint.log`.
        """
        made = self._core.log(
            stream,
            record,
            path=path,
            durable=durable,
            delay_s=delay_s,
            limit_bytes=limit_bytes,
            limit_age_s=limit_age_s,
            overflow=overflow,
            keep_bytes=keep_bytes,
            collectors=collectors,
        )
        return LogTopic(made, self) if path is None else LogWriter(made, self)

    def collect(
        self,
        stream: str,
        record: type | None = None,
        *,
        name: str | None = None,
        since: Literal["earliest", "now"] | datetime | Position | None = None,
        replay: bool = False,
        acknowledge: Literal["auto", "explicit"] = "auto",
        queue_bytes: int = COLLECTOR_QUEUE_BYTES,
        checkpoint: bytes | None = None,
    ) -> Collector:
        """Collect a log stream from all its writers in the mesh: enter it with ``async with``, iterate over it.

        See :meth:`broker.Endpoint.collect`.
        """
        return Collector(
            self._core.collect(
                stream,
                record,
                name=name,
                since=since,
                replay=replay,
                acknowledge=acknowledge,
                queue_bytes=queue_bytes,
                checkpoint=checkpoint,
            ),
            self,
        )

    def streams(self) -> dict[str, tuple[str, ...]]:
        """Return the log streams that have spools in the mesh, each with the endpoints that write it.

        See :meth:`broker.Endpoint.streams`.
        """
        return self._ask(self._core.streams)

    def rules(
        self,
        source: Any,
        *,
        name: str | None = None,
        path: str | os.PathLike[str] | None = None,
        topics: Iterable[str] = ("",),
        collect: Iterable[str] = (),
        lateness_s: float = 0.0,
        idle_s: float = 2.0,
        future_s: float = 60.0,
        events_max: int = 1000,
        partitions_max: int = 100000,
        overflow: Overflow = "block",
        queue_messages: int = QUEUE_MESSAGES,
        queue_bytes: int = QUEUE_BYTES,
        stall_timeout: float = STALL_S,
        queue_actions: int = 1000,
        give: Literal["actions", "all"] = "actions",
        dry_run: bool = False,
        watch: bool = True,
    ) -> Rules:
        """Run rules on the events of the mesh: enter it with ``async with``, iterate over it for the actions.

        See :meth:`broker.Endpoint.rules`.
        """
        return Rules(
            self._core.rules(
                source,
                name=name,
                path=path,
                topics=topics,
                collect=collect,
                lateness_s=lateness_s,
                idle_s=idle_s,
                future_s=future_s,
                events_max=events_max,
                partitions_max=partitions_max,
                overflow=overflow,
                queue_messages=queue_messages,
                queue_bytes=queue_bytes,
                stall_timeout=stall_timeout,
                queue_actions=queue_actions,
                give=give,
                dry_run=dry_run,
                watch=watch,
            ),
            self,
        )

    @property
    def name(self) -> str:
        """As the core has it."""
        return self._core.name
