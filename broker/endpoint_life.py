"""An endpoint's life: a :class:`~broker.node.Node` driven with trio and ZeroMQ.

It is thin.  The node decides; what it wants done comes out as actions, which :meth:`EndpointLife._carry_out` carries
out.  Three kinds of tasks run in the endpoint's nursery: one reader per socket (:mod:`broker.net`), one timer, and one
flusher, which sends what was published as soon as the loop comes round.  The file is long because
beginning, carrying out and ending have to be read together.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from time import perf_counter, perf_counter_ns, time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import trio

from broker.errors import EndpointClosed
from broker.handles.clocks import SimulatedClock
from broker.handles.entering import EnteredAsync, check_world, patience
from broker.handles.log_driver import LogDriver
from broker.handles.status_log import log_status
from broker.handles.status_reader import StatusReader
from broker.handles.store_driver import StoreDriver
from broker.handles.subscriber import Subscriber
from broker.logs.writer import Writer
from broker.messages import Trace
from broker.net.interface import NetworkDriver
from broker.node import Node
from broker.protocol.actions import (
    Action,
    Answered,
    CarryOut,
    Changed,
    Dial,
    Hangup,
    LogChanged,
    Send,
    StoreChanged,
    Tell,
    Wake,
)
from broker.protocol.exchange import Published
from broker.protocol.subscriptions import Subscription
from broker.protocol.wires import Chance, Timing
from broker.trust.access import Access
from broker.trust.keys import SecretKey

if TYPE_CHECKING:
    from broker.handles.credentials import Credentials
    from broker.handles.reporting import Reporting
    from broker.handles.rules import Rules
    from broker.handles.wiring import Wiring
    from broker.net.security import Security

__all__ = ["EndpointLife"]

# How often files of keys and rules are looked at; one that has changed is read at the next look: who is revoked is cut
# off well within a second.
LOOK_S: Final = 0.2

# How long an endpoint that is left by an exception waits for acknowledgements: a round trip of a slow link.
_HURRY_S: Final = 0.2
# How long its goodbyes may take to leave before the sockets are closed: a thousand times what they take on loopback.
_GOODBYE_S: Final = 0.02


def _credentials_of(
    keys: SecretKey | str | os.PathLike[str] | None, access: Access | str | os.PathLike[str] | None
) -> Credentials | None:
    """Read keys and access rules; who has none does not wait for what that takes to be imported (a fifth of it all)."""
    if keys is None and access is None:
        return None
    from broker.handles.credentials import Credentials

    return Credentials.of(keys, access)


def _trace_now() -> Callable[[], Trace | None]:
    """Return what tells the present span; raises ExtraMissing where OpenTelemetry is not installed."""
    from broker.tracing import current

    return current


def _reporting(endpoint: EndpointLife, every_s: float) -> Reporting:
    """Make what reports; who does not report does not wait for some forty event classes to be made."""
    from broker.handles.reporting import Reporting

    return Reporting(endpoint, every_s)


def _zmq_network(endpoint: EndpointLife, nursery: trio.Nursery) -> NetworkDriver:
    from broker.net.network import Network

    return Network(endpoint, nursery, endpoint.security())


class EndpointLife(EnteredAsync):
    """What an endpoint is made of, how it begins and ends, and how what its node wants is carried out."""

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
        network: Callable[[Any, trio.Nursery], NetworkDriver] = _zmq_network,
        chance: Chance | None = None,
    ) -> None:
        # At most 29 attributes: CPython 3.11 keeps those of objects of more in another way, and each look-up takes
        # longer: with 30 of them publish() takes 765 ns instead of 740.
        self._credentials = _credentials_of(keys, access)
        if name is None:
            name = f"{os.uname().nodename or 'host'}-{os.getpid()}"
            if self._credentials is not None:
                name = self._credentials.default_name(name)
        if type(name) is not str or not 1 <= len(name.encode(errors="replace")) <= 255 or not name.isprintable():
            raise ValueError(f"an endpoint's name is printable text of 1 to 255 bytes: {name!r:.100}")
        chance = chance or random.SystemRandom()
        guard = None if self._credentials is None else self._credentials.guard()
        self._node = Node(name, chance, timing, forward=forward, born=time_ns(), guard=guard)
        self._exchange = self._node.exchange
        self._trace_now = _trace_now() if tracing else None
        self._publish: Callable[[str, object, int], Published]
        self._publish = self._exchange.publish if self._trace_now is None else self._publish_traced
        self._clock: Callable[[], int] = time_ns
        self._exchange.routes.predicates.timer = perf_counter_ns
        if network is not _zmq_network:
            self._exchange.routes.predicates.timer = None  # what a simulation does is no matter of how quick we are
            self._clock = SimulatedClock()
            self._publish = self._publish_simulated
        self._make_network = network
        self._linger_s = patience(linger_s)
        self._state = "new"
        self._changed = trio.lowlevel.ParkingLot()
        self._tentative: dict[str, int] = {}  # wishes not fulfilled yet: how many calls of peer() wait for them
        self._readers: dict[Subscription, Subscriber] = {}
        self._status_readers: set[StatusReader] = set()
        self._wiring: Wiring | None = None  # of one that was made from a configuration
        self._listening: list[str] = []
        self._store_driver = StoreDriver(self, chance)
        self._log_driver = LogDriver(self)
        self._rules: set[Rules] = set()
        self._published = trio.lowlevel.ParkingLot()  # where the flusher waits
        self._yield_at = 0  # in wall nanoseconds: when a publisher has to let others run
        self._turn_due = False  # a publisher has to let others run before it goes on
        self._reporting = None if report_every is None else _reporting(self, report_every)
        self._lone_at = 0  # from when on an event is a lone one
        self._carrying = False

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self._node.name

    @trio.lowlevel.enable_ki_protection
    def __repr__(self) -> str:
        return f"<Endpoint {self.name!r}>"

    async def __aenter__(self) -> Self:
        """Start; nothing is listened on or dialled yet, but by one that was made from a configuration."""
        if self._state != "new":
            raise EndpointClosed("an endpoint is entered once: make a new one")
        check_world("trio")
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery] = trio.open_nursery()
        nursery = await self._nursery_manager.__aenter__()
        ready = trio.Event()
        nursery.start_soon(self._host, ready)
        with trio.CancelScope(shield=True):  # it takes one turn of the loop
            await ready.wait()
        self._network = self._make_network(self, self._nursery)
        self._timer_scope = trio.CancelScope()
        self._started_at = trio.current_time()
        self._state = "open"
        self._nursery.start_soon(self._run_flusher)
        self._nursery.start_soon(self._run_timer)
        if self._credentials is not None:
            self._nursery.start_soon(self._run_credentials)
        if self._reporting is not None:
            self._nursery.start_soon(self._reporting.run)
        if self._wiring is not None:
            try:
                await self._wiring.begin(self._nursery)
            except BaseException:
                await self.__aexit__(*sys.exc_info())
                raise
        return self

    @trio.lowlevel.enable_ki_protection
    async def _host(self, ready: trio.Event) -> None:
        """Have a nursery of the endpoint's own, which a cancellation from outside does not reach.

        Whoever leaves because of one still says goodbye, has records written and acknowledgements told: that needs it.
        """
        async with trio.open_nursery() as self._nursery:
            self._nursery.cancel_scope.shield = True
            ready.set()
            await trio.sleep_forever()

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what was published, wait up to ``linger_s`` for its acknowledgement, say goodbye, close everything.

        An exception or a cancellation on its way through is kept waiting for no more than the answer of a peer that is
        there: a fifth of a second.
        """
        try:
            await self._say_goodbye(hurried=kind is not None)
        finally:
            self._nursery.cancel_scope.cancel()
            # Not told of the body's exception, the nursery does not wrap it in a group: it passes through as it is.
            await self._nursery_manager.__aexit__(None, None, None)

    async def _say_goodbye(self, *, hurried: bool) -> None:
        try:
            self._node.begin_close()
            self._carry_out()
            if not self._node.is_drained:
                with trio.move_on_after(min(_HURRY_S, self._linger_s) if hurried else self._linger_s, shield=hurried):
                    await self._until(lambda: self._node.is_drained)
        finally:
            self._state = "closed"
            self._yield_at = 0
            linked = bool(self._node.peerings.links)
            self._node.close()
            self._carry_out()
            if linked:
                # ZeroMQ drops what was just sent when a socket is closed that has something to read: one BYE in 25.
                with trio.CancelScope(shield=True):
                    await trio.sleep(_GOODBYE_S)
            self._changed.unpark_all()
            for reader in self._readers.copy().values():
                reader.end()
            for status_reader in self._status_readers:
                status_reader.end()
            for store in list(self._store_driver.handles.values()):
                store.end()
            for writer in list(self._log_driver.writers.values()):
                writer.end()
            for collector in list(self._log_driver.collectors.values()):
                collector.end()
            for rules in list(self._rules):
                rules.end()
            self._network.close()

    def _publish_traced(self, topic: str, event: object, time_ns: int) -> Published:
        assert self._trace_now is not None
        return self._exchange.publish_traced(topic, event, time_ns, self._trace_now())

    def _publish_simulated(self, topic: str, event: object, _time_ns: int) -> Published:
        return self._publish_alone(topic, event, self._clock())

    def _publish_at(self, topic: str, event: object, time_ns: int) -> Published:
        """Publish at a time of the endpoint's clock that was asked for just before."""
        publish = self._publish_alone if isinstance(self._clock, SimulatedClock) else self._publish
        return publish(topic, event, time_ns)

    def _publish_alone(self, topic: str, event: object, time_ns: int) -> Published:
        """Publish so that the next event does not join the run with a time that is not this endpoint's."""
        return self._exchange.publish_traced(
            topic, event, time_ns, None if self._trace_now is None else self._trace_now()
        )

    def security(self) -> Security | None:
        """Return what connections are secured with; None without keys."""
        return None if self._credentials is None else self._credentials.security()

    def _check_started(self) -> None:
        if self._state == "new":
            raise EndpointClosed("not started: use it inside its 'with' or 'async with' block")

    def _check_open(self) -> None:
        self._check_started()
        if self._state == "closed":
            raise EndpointClosed(f"endpoint {self.name!r} is closed")

    # -- what the network tells (broker.net.network.Sink) --------------------------------------------------------------

    def accepted(self, address: str, key: bytes) -> int:
        """Take note of a wire that was opened to us."""
        return self._node.accept(address, trio.current_time(), key)

    def turned_away(self, address: str, code: str, reason: str) -> None:
        """Take note of somebody who was not let in."""
        self._node.turned_away(address, code, reason, trio.current_time())

    def received(self, wire: int, frame: bytes) -> None:
        """Take a frame."""
        self._node.receive(wire, frame, trio.current_time())

    def flooded(self, wire: int, reason: str) -> None:
        """Cut off a peer that sends more than can be acted on."""
        self._node.flooded(wire, reason, trio.current_time())

    def lost(self, wire: int, code: str, reason: str) -> None:
        """Take note of the loss of a wire."""
        self._node.wire_lost(wire, code, reason, trio.current_time())

    def round_done(self) -> None:
        """Carry out what follows from the frames that were handed over."""
        self._carry_out()

    # -- carrying out --------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    def _carry_out(self) -> None:
        """Carry out what the node wants, until it wants nothing more."""
        if self._carrying:
            return
        self._carrying = True
        node, network, stores = self._node, self._network, self._store_driver
        changed = False
        began = perf_counter()
        try:
            while True:
                for action in node.take_actions():
                    kind = type(action)
                    if kind is Send:
                        network.send(action.wire, action.frame)  # type: ignore[union-attr]
                    elif kind is Wake:
                        reader = self._readers.get(action.subscription)  # type: ignore[union-attr]
                        if reader is not None:
                            reader.wake()
                    elif kind is Changed:
                        changed = True
                    elif kind is Answered or kind is StoreChanged:
                        stores.carry_out(action)
                    elif kind is LogChanged:
                        self._log_driver.carry_out(action)
                    else:
                        self._carry_out_rare(action)
                if not network.settle(began) and not node.has_actions:
                    break
        finally:
            self._carrying = False
        if changed:
            self._changed.unpark_all()
        self._set_timer(changed)

    def _carry_out_rare(self, action: Action) -> None:
        match action:
            case CarryOut(owner):
                (self._log_driver if isinstance(owner, Writer) else self._store_driver).carry_out(action)
            case Dial(number, address):
                self._node.dialled(number, self._network.dial(number, address))
            case Hangup(number):
                self._network.hangup(number)
            case Tell(status):
                log_status(self.name, status, self._tentative)
                for reader in self._status_readers:
                    reader.put(status)
                if self._reporting is not None and self._state == "open":
                    self._reporting.tell(status)

    def _set_timer(self, changed: bool) -> None:
        self._wake_at(self._node.next_deadline() if changed else self._node.next_acknowledgement())

    def _wake_at(self, due: float) -> None:
        if due < self._timer_scope.deadline:
            self._timer_scope.deadline = due

    @trio.lowlevel.enable_ki_protection
    async def _run_timer(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._node.next_deadline()) as self._timer_scope:
                await trio.sleep_forever()
            self._node.tick(trio.current_time())
            self._carry_out()

    @trio.lowlevel.enable_ki_protection
    async def _run_flusher(self) -> None:
        while True:
            await self._published.park()
            self._node.flush()
            if self._store_driver.flush_due:
                self._store_driver.flush_due = False
                self._node.flush_stores(trio.current_time())
            if self._log_driver.flush_due:
                self._log_driver.flush_due = False
                self._node.flush_logs(trio.current_time())
            self._carry_out()

    # -- keys and access rules -----------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def _run_credentials(self) -> None:
        """Take up other keys and access rules when their files change, and what time does to them."""
        assert self._credentials is not None
        while True:
            await trio.sleep(LOOK_S)
            changed = await self._credentials.look()
            if changed:
                self._apply_credentials()

    @trio.lowlevel.enable_ki_protection
    def _apply_credentials(self) -> None:
        credentials = self._credentials
        assert credentials is not None
        for status in credentials.take_news():
            self._carry_out_rare(Tell(status))
        if credentials.take_changed():
            self._network.secure(credentials.security())
            self._node.trust(credentials.secret, credentials.judge, trio.current_time())
        self._carry_out()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._check_open()
            await self._changed.park()
