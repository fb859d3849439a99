"""The endpoint: what a program asks of it.  How it lives and carries things out is in :mod:`broker.endpoint_life`.

It is long because it is the whole of what there is to be asked, in one place, and its docstrings say it all.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

import trio

from broker import events
from broker.endpoint_life import EndpointLife
from broker.errors import AuthenticationFailed
from broker.figures import Figures
from broker.handles.collector import Collector, collector_name, since_of
from broker.handles.figures import figures_of
from broker.handles.log_topic import LogTopic, stream_name
from broker.handles.log_writer import LogWriter
from broker.handles.status_reader import StatusReader
from broker.handles.store_proxy import StoreProxy
from broker.handles.store_roles import StoreClone, StoreMaster
from broker.handles.subscriber import Subscriber
from broker.journaling import Position
from broker.log_records import columns_of
from broker.logs.checkpoints import read_checkpoint
from broker.logs.collector import QUEUE_BYTES as COLLECTOR_QUEUE_BYTES
from broker.logs.wire import Schema
from broker.logs.writer import Options
from broker.mesh import Mesh
from broker.protocol.exchange import BLOCKED, FIRST, FULL, GATHERED, Published
from broker.protocol.outbox import BATCH_BYTES
from broker.protocol.predicates import Condition, pack_where
from broker.protocol.subscriptions import QUEUE_BYTES, QUEUE_MESSAGES, STALL_S, Overflow, check_limits
from broker.protocol.survey import Peer
from broker.stores.retention import LOG_BYTES
from broker.topics import normalize_prefix
from broker.trust.access import Access
from broker.trust.keys import PublicKey, SecretKey

if TYPE_CHECKING:
    from broker.handles.rules import Rules

__all__ = ["Endpoint"]

# A lone event leaves at once; one that follows another this closely joins a batch.
_LONE_NS: Final = 100_000
# A publisher that never waits lets others run, and its batch leave, this often.
_YIELD_NS: Final = 2_000_000


class Endpoint(EndpointLife):
    """One member of the mesh: it listens, peers, publishes and subscribes.

    ``name`` is how others know it and has to be its own in the mesh (by default the host's name and the process's
    number); with ``forward=False`` it is a leaf, which relays nothing for others; ``timing`` says how long to wait
    for what; ``linger_s`` is how long leaving the ``async with`` block may wait for peers to acknowledge what was
    published.

    With ``keys`` (a :class:`broker.SecretKey`, the path of its file, or its name in the directory of keys) it encrypts
    all that it says, and talks only to whom ``access`` trusts: an :class:`broker.Access`, or the path of a file of
    rules, by default ``access.toml`` beside the key's.  Both files are read again when they change.

    With ``report_every`` it tells others of itself: its figures so often, in seconds, and its status events, as events
    on the reserved topics ``$broker/NAME/figures`` and ``$broker/NAME/status``; see :mod:`broker.reports`.

    With ``tracing`` an event that is published in an OpenTelemetry span takes that along: see :mod:`broker.tracing`.

    Use it as ``async with Endpoint("name") as endpoint:``, once.
    """

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

        Entered, it listens on the file's addresses, and dials its peers for ever: they need not be there yet, and who
        refuses us (a ``PeeringFailed`` status that is ``final``, and a warning in the log) is asked again every half
        minute.  What is said here comes before variables of the environment (``environ``, by default the process's;
        ``BROKER_ENDPOINT__NAME``, see :mod:`broker.config.overrides`), and they before the file.

        Its name, keys, rules, timing and addresses are taken from the file.  ``[stores]``, ``[[collect]]`` and
        ``[logging]`` are for ``broker node``: a program opens its own stores with :meth:`master` and :meth:`clone`.

        Raises :class:`~broker.errors.ConfigError` with all that is wrong in the file, and what :class:`Endpoint` and,
        when it is entered, :meth:`listen` raise.
        """
        # Who has no configuration does not wait for what it takes to be imported.
        from broker.config.overrides import from_arguments
        from broker.config_file import load_config
        from broker.handles.wiring import Wiring

        given = {
            "name": name,
            "forward": forward,
            "keys": "given" if isinstance(keys, SecretKey) else keys and os.fspath(keys),
            "access": "given" if isinstance(access, Access) else access and os.fspath(access),
            "listen": listen and list(listen),
            "peer": peer and list(peer),
            "insecure": insecure,
        }
        config = load_config(path, environ, from_arguments("{}=", given))
        options = config.endpoint_options()
        if isinstance(keys, SecretKey):
            options["keys"] = keys
        if isinstance(access, Access):
            options["access"] = access
        endpoint = cls(**options)
        endpoint._wiring = Wiring(endpoint, config)
        return endpoint

    # -- peers -------------------------------------------------------------------------------------------------------

    async def listen(self, address: str, *, insecure: bool = False) -> str:
        """Let others peer with us at ``address``; returns the bound address, with the port that was given for 0.

        Without keys only addresses that lead nowhere but to this machine are taken, unless ``insecure``: others raise
        :class:`~broker.errors.InsecureAddress`.

        Raises :class:`~broker.errors.AddressError` for what is not an address and
        :class:`~broker.errors.ListenError` (an OSError) when it is in use, not ours or not permitted.
        """
        self._check_open()
        bound = await self._network.listen(address, insecure=insecure)
        self._listening.append(bound)
        return bound

    def addresses(self) -> tuple[str, ...]:
        """Return the addresses that we listen on, with the ports that were given for 0."""
        return tuple(self._listening)

    async def peer(
        self, address: str, *, timeout: float = 5.0, key: PublicKey | str | None = None, insecure: bool = False
    ) -> None:
        """Link with the endpoint at ``address``; returns when messages can flow both ways.

        The link is kept up until :meth:`unpeer`: lost connections are dialled again.  When there is no link within
        ``timeout`` seconds (:data:`math.inf`: for ever), or it can't be had at all, the wish is withdrawn and one of
        these is raised: PeerUnavailable (refused, unreachable, silent), VersionMismatch, DuplicateName,
        AuthenticationFailed, AuthorizationFailed; AddressError for what can't be dialled, and for what leads to other
        machines while we have no keys, unless ``insecure``.

        An endpoint with keys talks to nobody but the holder of ``key``: a public key, its text, or the name of an entry
        of the access rules.  Without it, the keys are expected that the access rules have for the address.
        """
        self._check_open()
        self._network.check(address, insecure=insecure)
        self._expect(address, key)
        node = self._node
        if not node.wants(address):
            self._tentative[address] = 0
        if address in self._tentative:
            self._tentative[address] += 1
        peering = node.peer(address, trio.current_time())
        try:
            self._carry_out()
            with trio.move_on_after(timeout):
                await self._until(lambda: peering.linked or peering.final or peering.withdrawn)
            if not peering.linked:
                raise peering.error(timeout)
        finally:
            self._settle_wish(address, kept=peering.linked)

    def _expect(self, address: str, key: PublicKey | str | None) -> None:
        """See to it that it is known whose key is to be expected at an address."""
        if self._credentials is None:
            if key is not None:
                raise ValueError("key= is for endpoints that have keys: give Endpoint(keys=...), too")
            return
        self._credentials.expect(address, key)
        if not self._credentials.keys_for(address):
            raise AuthenticationFailed(address, self._credentials.why_no_key(address))

    def _settle_wish(self, address: str, *, kept: bool) -> None:
        """Keep a wish that was fulfilled; withdraw it when the last call that made it has failed."""
        if address not in self._tentative:
            return  # it was fulfilled before, or withdrawn
        self._tentative[address] -= 1
        if kept:
            del self._tentative[address]
        elif self._tentative[address] == 0:
            del self._tentative[address]
            self._node.unpeer(address)
            self._carry_out()

    async def unpeer(self, address: str) -> None:
        """Withdraw the wish to be linked with ``address`` and end the link; KeyError when there was no such wish."""
        self._check_open()
        self._node.flush()
        self._tentative.pop(address, None)
        dialling = self._wiring is not None and self._wiring.forget(address)
        if not self._node.unpeer(address) and not dialling:
            raise KeyError(f"{address} is not peered with: see peers()")
        self._carry_out()
        await trio.lowlevel.checkpoint()

    def peers(self) -> tuple[Peer, ...]:
        """Return the endpoints that we are linked with directly."""
        return self._node.peers()

    def mesh(self) -> Mesh:
        """Return the whole graph as this endpoint knows it: endpoints, links with their round trips, subscriptions."""
        return self._node.mesh()

    def figures(self) -> Figures:
        """Return what this endpoint counts and measures: events, losses, links, queues, stores, log streams.

        Counters begin at 0 with the endpoint.  It reads what is there anyway: it may be called every second.
        """
        self._check_started()
        return figures_of(self)

    # -- keys and access rules ---------------------------------------------------------------------------------------

    def change_access(self, access: Access) -> None:
        """Go by other access rules from now on: who is no longer trusted is cut off at once.

        For rules that were made in Python; those of a file are taken up by themselves when it changes.  Raises
        ValueError for an endpoint without keys.
        """
        self._change_credentials(None, access)

    def change_key(self, key: SecretKey) -> None:
        """Have another key from now on, which peers have to trust already.

        Connections are made anew with it; sessions go on over them, so that nothing is lost.  Raises ValueError for an
        endpoint without keys.
        """
        self._change_credentials(key, None)

    def _change_credentials(self, key: SecretKey | None, access: Access | None) -> None:
        self._check_open()
        if self._credentials is None:
            raise ValueError("an endpoint without keys gets none while it runs: make it with keys=")
        self._credentials.change(key, access)
        self._apply_credentials()

    # -- events ------------------------------------------------------------------------------------------------------

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

        Enter it with ``async with``: that returns once every endpoint of the mesh that can be reached knows of it, or
        has kept silent for half a minute.  When its queue has
        reached ``queue_messages`` or ``queue_bytes`` because the reader is slow, ``overflow`` says what happens:
        "block": publishers wait, but no longer than the reader takes nothing for ``stall_timeout`` seconds
        (:data:`math.inf`: for ever), then messages are dropped until it has caught up to half; "drop_oldest" and
        "drop_newest" drop at once.  What was dropped is counted in ``message.lost_before`` of the next message and
        told by a MessagesLost status here and at the publisher.

        With ``where``, a predicate on the events of exactly one class, only those that it accepts are received: their
        publishers ask it, so that others are not even sent.  What a publisher cannot ask, because it is of an older
        version or its class lacks a member, it sends, and it is asked here.

        Raises ValueError for limits that make no sense, TopicError, EventDefinitionError for a class that is not an
        event, EventMisfit for a name that no event can have, RuleError for a predicate that is none for that class,
        and NotCarried for one that is larger than 16 KiB.
        """
        packed = None if where is None else pack_where(where, types)
        names = [events.check_name(kind) if isinstance(kind, str) else events.name_of(kind) for kind in types]
        check_limits(overflow, queue_messages, queue_bytes, stall_timeout)
        limits = (queue_messages, queue_bytes, overflow, stall_timeout, packed)
        return Subscriber(self, normalize_prefix(prefix), names, limits)

    async def publish(self, topic: str, event: object) -> None:
        """Send an event to every subscription in the mesh that wants it.

        Waits while a reader's queue is full.  Raises TopicError, EventDefinitionError (not an event), EventMisfit (a
        field that does not fit its annotation) and NotCarried (a value that can't be carried); then nothing was sent,
        and neither when it is cancelled.  Many events in a row are gathered into batches and leave at the latest when
        the loop comes round; a lone one leaves at once.
        """
        now = time_ns()
        exchange = self._exchange
        # Nearly every event of a burst joins the run that the one before it joined: 395 ns, against 440 by its route.
        if topic == exchange.open_topic and type(event) is exchange.open_class and now < self._yield_at:
            data = exchange.encode(event, now)
            size = exchange.batch_bytes + len(data)
            if size < BATCH_BYTES:
                exchange.batch_bytes = size
                exchange.append(data)
                return
        if self._turn_due:
            self._turn_due = False
            # Here rather than after the event is taken, so that one who is cancelled knows that it was not.
            await trio.lowlevel.checkpoint()
            now = time_ns()
            self._yield_at = now + _YIELD_NS
        code = self._publish(topic, event, now)
        while code is BLOCKED:
            self._check_open()
            await self._changed.park()
            code = self._publish(topic, event, now)
        if self._after_publish(code, now):
            self._turn_due = True
            self._yield_at = 0

    def publish_nowait(self, topic: str, event: object) -> None:
        """Send an event like :meth:`publish`, or raise :class:`trio.WouldBlock` when that would have to wait."""
        now = time_ns()
        code = self._publish(topic, event, now)
        if code is BLOCKED:
            self._check_open()
            raise trio.WouldBlock
        self._after_publish(code, now)

    @trio.lowlevel.enable_ki_protection
    def _after_publish(self, code: Published, now: int) -> bool:
        """See to it that the batch leaves; returns whether the publisher should let others run."""
        if code is GATHERED and now < self._yield_at:
            return False
        self._check_open()
        if code is FIRST and now < self._lone_at:
            self._published.unpark()
            self._yield_at = now + _YIELD_NS
            return False
        if code is not FULL:
            self._node.flush()
        self._carry_out()
        self._lone_at = now + _LONE_NS
        self._yield_at = now + _YIELD_NS
        return True

    async def subscribers(self, topic: str, at_least: int = 1) -> int:
        """Wait until ``at_least`` endpoints and own subscriptions want events on ``topic``; returns how many do."""
        self._check_open()
        await trio.lowlevel.checkpoint()
        await self._until(lambda: self._node.readers(topic) >= at_least)
        return self._node.readers(topic)

    def subscriber_count(self, topic: str) -> int:
        """Return how many endpoints and own subscriptions want events on ``topic`` now, whatever their predicates."""
        return self._node.readers(topic)

    def status(self, queue_size: int = 1000) -> StatusReader:
        """Read what happens to peers and messages from now on: enter it with ``async with``, iterate over it.

        A reader that falls ``queue_size`` events behind loses the oldest, and is told how many.  All status events go
        to loggers below ``broker``, too, losses as warnings (see :mod:`broker.log_format`): there stands also what is
        told while the endpoint closes, such as messages whose receipt is not known, when its readers were left already.
        """
        return StatusReader(self, queue_size)

    # -- stores ------------------------------------------------------------------------------------------------------

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

        ``path`` is its file, made if there is none, which may grow to ``limit_bytes`` (None: as far as the disk goes;
        then writes raise StoreFull); without one it is kept in memory.  ``log_bytes`` is how much of the operations'
        log is kept for clones and watches to go on from; ``timeout`` how long entering may wait for another master to
        be gone; ``write_timeout`` how long a write may take before it raises.

        Entering raises MasterExists, StoreInUse, and JournalError for a file that cannot be used: JournalMismatch,
        JournalDamaged, JournalBusy, JournalUnreadable.
        """
        return StoreMaster(
            self,
            store,
            path,
            timeout=timeout,
            limit_bytes=limit_bytes,
            log_bytes=log_bytes,
            write_timeout=write_timeout,
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

        Entering waits until it has what the master has, at most ``timeout`` seconds; then it goes on to try (see
        :meth:`StoreClone.synced`).  With a ``path`` it goes on after a restart from where it was.  Other arguments as
        for :meth:`master`; ``stale_after``: see :class:`StoreClone`.
        """
        return StoreClone(
            self,
            store,
            path,
            timeout=timeout,
            stale_after=stale_after,
            log_bytes=log_bytes,
            write_timeout=write_timeout,
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

        For programs that look at a few entries of a large store.  With ``since`` it can be watched, too: from a
        position on, or from now on.  Entering waits for a master, at most ``timeout`` seconds; writes wait for one,
        too.  Raises ChangesLost when the master's log does not go back to that position.
        """
        return StoreProxy(self, store, since=since, timeout=timeout, write_timeout=write_timeout)

    def stores(self) -> dict[str, tuple[str, ...]]:
        """Return the stores that have a master in the mesh, each with the endpoint that is it (two: a conflict)."""
        return {store: tuple(names) for store, names in sorted(self._node.stores.survey().items())}

    # -- log streams -------------------------------------------------------------------------------------------------

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

        ``record`` is the class of its records, made by :func:`broker.log_record` (or :func:`broker.event`); ``path``
        the file of its spool, made if there is none.  Without one, records are published as events on the topic
        ``log/STREAM``: they may be lost.

        ``durable``: whether a write returns when the record is on disk, or when it is taken, to be on disk within
        ``delay_s``; each write can say so for itself.  The spool takes ``limit_bytes`` of records: with ``overflow``
        "block" writers wait when it is full, with "drop_oldest" the oldest go, counted and told; records older than
        ``limit_age_s`` go in any case.  What all collectors have is trimmed but for ``keep_bytes`` of it, for those
        that come later.  ``collectors`` are names that must have everything, even if they have never been there; others
        are registered when they first come.  As long as there are none, everything is kept.

        Entering raises LogInUse, and JournalError for a spool that cannot be used: JournalMismatch, JournalDamaged,
        JournalBusy, JournalUnreadable, JournalFull.
        """
        stream = stream_name(stream)
        if path is None:
            return LogTopic(self, stream, record)
        if overflow not in {"block", "drop_oldest"}:
            raise ValueError(f"overflow is 'block' or 'drop_oldest', not {overflow!r:.100}")
        if limit_bytes < 1 << 20 or not limit_age_s > 0 or keep_bytes < 0 or not 0 <= delay_s <= 3600:
            raise ValueError(
                f"limit_bytes is at least 1 MiB, limit_age_s positive, keep_bytes not negative, delay_s 0 to 3600: "
                f"{limit_bytes!r}, {limit_age_s!r}, {keep_bytes!r}, {delay_s!r}"
            )
        names = tuple(map(collector_name, collectors))
        options = Options(limit_bytes, limit_age_s, overflow == "drop_oldest", keep_bytes, delay_s, names)
        return LogWriter(self, stream, record, path, options, durable=durable)

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

        Writers remember how far ``name`` is: a collector of that name, here or at another endpoint, goes on from there
        and gets each record once; several at a time share the work.  Without a name nothing is remembered, and writers
        keep nothing for it.  ``since`` says where to begin at a writer that does not know the name: "earliest" (the
        default for a name), "now" (without one), a time, or behind a position; with ``replay`` also where it is known.

        ``record`` is the class that is expected; a writer refuses a name that is in use for records whose columns
        clash with it.  ``acknowledge``: see :class:`~broker.Collector`.  ``queue_bytes`` is how much may wait here in
        all, but at least 64 KiB for each writer.  ``checkpoint``: see :meth:`Collector.checkpoint`.

        Raises ValueError for arguments that make no sense, and Malformed for what is not a checkpoint.
        """
        stream = stream_name(stream)
        if acknowledge not in {"auto", "explicit"}:
            raise ValueError(f"acknowledge is 'auto' or 'explicit', not {acknowledge!r:.100}")
        if queue_bytes < 1:
            raise ValueError(f"queue_bytes is a positive number, not {queue_bytes!r}")
        if checkpoint is not None:
            read_checkpoint(checkpoint)
        options = {
            "name": "" if name is None else collector_name(name),
            "since": since_of(since if since is not None else "earliest" if name else "now"),
            "replay": replay,
            "schema": None if record is None else Schema(events.name_of(record), columns_of(record)),
            "queue_bytes": queue_bytes,
            "checkpoint": checkpoint,
        }
        return Collector(self, stream, explicit=acknowledge == "explicit", options=options)

    def streams(self) -> dict[str, tuple[str, ...]]:
        """Return the log streams that have spools in the mesh, each with the endpoints that write it."""
        return {stream: tuple(names) for stream, names in sorted(self._node.logs.survey().items())}

    # -- rules -------------------------------------------------------------------------------------------------------

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
        partitions_max: int = 100_000,
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

        ``source`` is the name of a file of the Event Language, or of a directory of them, several names, the directory
        of a configuration of Tornado's, or rules themselves: a program (:class:`broker.rules.model.Program`), a tree
        (:class:`broker.rules.tornado.Tree`).  What rules listen to is subscribed to, of the topics that begin with one
        of ``topics``; what they make for a topic is published, and what they do not publish their other rules see all
        the same.  An event that they have published themselves is not looked at again when it comes back.  With
        ``watch`` files are read again when they change: rules that are as they were keep their state, and files that
        make no sense leave the former rules in force (RulesReloaded, RulesBroken).

        Time is the events' own.  Rules with state wait until every endpoint that sends has come so far, ``lateness_s``
        more, and no longer than ``idle_s`` for one that is silent; events more than ``future_s`` ahead of our clock are
        taken as of now.  A rule keeps at most ``events_max`` events for each of ``partitions_max`` partitions.

        ``path`` is the file of a journal, made if there is none: with it, rules go on after a crash as if there had
        been none; :class:`Rules` says what is promised.  ``collect`` are log streams whose records are events too, on
        the topic ``log/STREAM``; ``name`` is then the collector's, and needed, as is ``path``: each record counts once.

        ``overflow`` and what follows it are as for :meth:`subscribe`.  Actions wait in a queue of ``queue_actions``:
        the oldest are dropped.  ``give="all"``: events that rules make for no action come out, too; ``dry_run``: they
        do, and nothing is published.

        Raises ValueError for arguments that make no sense; entering raises RuleError for rules, and JournalError.
        """
        from broker.handles.rule_values import rules_options  # who has no rules does not wait for them
        from broker.handles.rules import Rules

        check_limits(overflow, queue_messages, queue_bytes, stall_timeout)
        options = rules_options(
            name=name,
            path=path,
            topics=topics,
            collect=map(stream_name, collect),
            engine=(lateness_s, idle_s, future_s, events_max, partitions_max),
            limits=(queue_messages, queue_bytes, overflow, stall_timeout),
            queue_actions=queue_actions,
            give=give,
            dry_run=dry_run,
            watch=watch,
        )
        return Rules(self, source, options)
