"""The handle of rules that run at an endpoint.

What it stands on is imported when it is entered: a program without rules does not wait for them to be loaded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import trio

from broker.errors import EndpointClosed, JournalDamaged, Malformed, RuleError
from broker.handles.rule_values import Action, RulesFigures, RulesOptions
from broker.messages import Message
from broker.status import RulesBroken, RulesRecovered, RulesReloaded

if TYPE_CHECKING:
    from broker.endpoint import Endpoint
    from broker.handles.collector import Collector
    from broker.handles.rule_sources import Loaded, RuleSource
    from broker.handles.rules_driver import RulesDriver
    from broker.handles.subscriber import Subscriber
    from broker.journal import DiskJournal
    from broker.rules.engine.interests import Interest
    from broker.rules.recording.calls import Output

__all__ = ["Rules"]

# Files are looked at so often.
_LOOK_S: Final = 0.5
# How long leaving waits for what was made to be published, and written down.
_LINGER_S: Final = 5.0
_CHECKED_PAGES: Final = 500
_TOLD_MAX: Final = 10  # of what could not be taken up


class Rules:
    """Rules that run on an endpoint's streams: what :meth:`Endpoint.rules` gives.

    Iterate over it for the actions that rules call, or call :meth:`receive`.  An action is done when the next one is
    asked for, and when the block is left without an exception.

    **With a journal** (``path=``) what rules were given is on disk before anything that they make of it is seen.  After
    a crash, kill -9 included, their state is what it was, as all that was recorded is given to them again, and what
    they had made is carried out from where that was left: nothing that was recorded is missing, and it counts once.
    What was published just before the crash, and not known to have arrived everywhere (a twentieth of a second, a round
    trip and a commit), is published once more, equal but for the time of publishing; so is an action given out again
    that was not known to be done.  What was given up as lost for a peer (MessagesLost) is not.  Messages that had not
    been recorded yet are gone with the process, as those of any subscriber; records of log streams (``collect=``) are
    not, and count exactly once.
    """

    def __init__(self, endpoint: Endpoint, source: Any, options: RulesOptions) -> None:
        from broker.handles.rule_sources import RuleSource

        self.name = options.name or _name_of(source)
        self._endpoint = endpoint
        self._source = RuleSource(source)
        self._options = options
        self._loaded: Loaded | None = None
        self._entered = False
        self._left = False
        self._nursery: trio.Nursery | None = None
        self._ended = trio.Event()
        self._made: RulesDriver | None = None
        self._subscribers: dict[Interest, Subscriber] = {}
        self._collectors: list[Collector] = []
        self._journal: DiskJournal | None = None
        self._in_hand: Output | None = None
        self._reloading = trio.Lock()

    def __repr__(self) -> str:
        return f"<Rules {self.name!r}>"

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Read the rules, take up their journal, subscribe to what they need.

        Raises RuleError with all that is wrong with them, and JournalError for a file that cannot be used.
        """
        from broker.handles.rules_driver import RulesDriver
        from broker.rules.recording import Recorder

        endpoint, options = self._endpoint, self._options
        endpoint._check_open()
        if self._entered:
            raise EndpointClosed("rules are entered once: attach them anew")
        self._entered = True
        loaded, kept = await trio.to_thread.run_sync(self._load, self._source)
        self._loaded = loaded
        driver = self._made = RulesDriver(
            endpoint,
            self.name,
            queue_actions=options.queue_actions,
            give_all=options.give_all,
            dry_run=options.dry_run,
        )
        engine = loaded.engine(options.engine, driver.clock())
        driver.recorder = Recorder(
            engine, kept, driver.publish, driver.act, driver.tell_problems, show_all=options.give_all
        )
        try:
            if options.path is not None:
                await self._recover(driver, loaded)
            endpoint._check_open()
            endpoint._rules.add(self)
            nursery = self._nursery = await endpoint._nursery.start(self._host)
            driver.intake.attach(await self._subscribe(loaded.interests(options.topics)))
            for task in (driver.run_publisher, driver.run_timer, driver.run_reader, driver.run_marks):
                nursery.start_soon(task)
            for stream in options.collect:
                await self._collect(driver, stream)
            if options.watch:
                nursery.start_soon(self._watch)
            driver.called()
        except BaseException:
            await self._close(linger_s=0)
            raise
        return self

    def _load(self, source: RuleSource) -> tuple[Loaded, bytes]:
        """Read rules, and pack them if there is a journal; takes its time."""
        loaded = source.load()
        return loaded, b"" if self._options.path is None else loaded.kept

    @trio.lowlevel.enable_ki_protection
    async def _host(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Have a nursery that lives as long as the rules run; one who is cancelled meanwhile still leaves in order."""
        try:
            async with trio.open_nursery() as nursery:
                task_status.started(nursery)
                await trio.sleep_forever()
        finally:
            self._ended.set()

    async def _recover(self, driver: RulesDriver, loaded: Loaded) -> None:
        from broker.handles.rule_sources import kept_engine

        journal = self._journal = await trio.to_thread.run_sync(self._open_journal)
        engine_options, now_ns = self._options.engine, driver.clock()

        def take_up() -> Sequence[str]:
            return driver.recorder.recover(journal, lambda kept: kept_engine(kept, loaded, engine_options, now_ns))

        driver.recovering = True
        try:
            lost = await trio.to_thread.run_sync(take_up)
        except Malformed as error:
            raise JournalDamaged(journal.path, f"{error}: name another file, or restore it from a backup") from None
        driver.recovering = False
        driver.recorder.replace(loaded.program, loaded.kept)
        if lost:
            driver.tell(RulesRecovered(self.name, "; ".join(lost[:_TOLD_MAX])))
        driver.begin_disk(journal)
        driver.shorten()
        assert driver.disk is not None
        self._endpoint._nursery.start_soon(driver.disk.run)

    def _open_journal(self) -> DiskJournal:
        from broker.journal import open_journal  # it brings LMDB with it
        from broker.rules.recording import TABLES

        path = self._options.path
        assert path is not None
        return open_journal(path, kind="rules", name="rules", role="engine", tables=TABLES, check_pages=_CHECKED_PAGES)

    async def _subscribe(self, wanted: Sequence[Interest]) -> list[Subscriber]:
        """Have a subscription for each interest; those that there are stay."""
        queue_messages, queue_bytes, overflow, stall_timeout = self._options.limits
        for interest in wanted:
            if interest not in self._subscribers:
                subscriber = self._endpoint.subscribe(
                    interest.prefix,
                    *interest.names,
                    overflow=overflow,
                    queue_messages=queue_messages,
                    queue_bytes=queue_bytes,
                    stall_timeout=stall_timeout,
                )
                await subscriber.__aenter__()
                self._subscribers[interest] = subscriber
        return [self._subscribers[interest] for interest in wanted]

    async def _collect(self, driver: RulesDriver, stream: str) -> None:
        checkpoint = driver.recorder.inputs().get(stream)
        collector = self._endpoint.collect(
            stream, name=self._options.name, acknowledge="explicit", checkpoint=checkpoint
        )
        await collector.__aenter__()
        self._collectors.append(collector)
        assert self._nursery is not None
        self._nursery.start_soon(driver.collect, collector, self._options.engine.idle_s)

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take no more messages; have what was made published, and written down, for up to five seconds; end.

        After an exception nothing is waited for, and the action that was given last is not known to be done.
        """
        if kind is None and self._made is not None:
            self._finish()
        await self._close(linger_s=_LINGER_S if kind is None else 0)

    async def _close(self, *, linger_s: float) -> None:
        driver, endpoint = self._made, self._endpoint
        with trio.CancelScope(shield=True):
            for subscriber in self._subscribers.values():
                subscriber.end()
            self._subscribers.clear()
            if driver is not None and not self._left and self._nursery is not None:
                with trio.move_on_after(linger_s), suppress(EndpointClosed):
                    await driver.settle()
            self.end()
            if self._nursery is not None:
                await self._ended.wait()
            if driver is not None:
                with trio.move_on_after(_LINGER_S):
                    for collector in self._collectors:
                        collector.end()
                    await driver.settle_disk()
            journal, self._journal = self._journal, None
            if driver is not None and driver.disk is not None:
                await driver.disk.close()
            elif journal is not None:
                await trio.to_thread.run_sync(journal.close)
            endpoint._rules.discard(self)

    def end(self) -> None:
        """Do nothing more; one who waits for an action gets EndpointClosed.  The endpoint calls this when it closes."""
        if self._left:
            return
        self._left = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        if self._made is not None:
            self._made.end()

    def _driver(self) -> RulesDriver:
        if self._made is None or self._nursery is None:
            raise EndpointClosed("these rules are not attached yet: use them inside their 'with' or 'async with' block")
        if self._left:
            raise EndpointClosed("these rules were left")
        return self._made

    # -- actions ---------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        """Iterate over the actions, for ever."""
        return self

    async def __anext__(self) -> Action:
        """Return the next action, waiting for it."""
        return await self.receive()

    async def receive(self) -> Action:
        """Return the next action, waiting for it; the one before it is done."""
        driver = self._driver()
        await trio.lowlevel.checkpoint()
        self._finish()
        while not driver.to_act:
            self._driver()
            await driver.acts.park()
        return self._give(driver)

    def receive_nowait(self) -> Action:
        """Return the next action, or raise :class:`trio.WouldBlock` when there is none."""
        driver = self._driver()
        self._finish()
        if not driver.to_act:
            raise trio.WouldBlock
        return self._give(driver)

    def _give(self, driver: RulesDriver) -> Action:
        output = self._in_hand = driver.take_action()
        lost, driver.lost_untold = driver.lost_untold, 0
        return Action(
            name=output.action,
            event=output.event,
            rule=output.rule,
            time_ns=output.time_ns,
            topic=output.topic,
            because=output.because,
            lost_before=lost,
        )

    def _finish(self) -> None:
        """Take note that the action that was given last is done."""
        output, self._in_hand = self._in_hand, None
        if output is not None and self._made is not None:
            self._made.finished(output)

    # -- other rules -----------------------------------------------------------------------------------------------

    async def reload(self, source: Any = None) -> None:
        """Read the rules again, or others from now on; rules that are as they were keep their state.

        All of it changes at one time.  Raises RuleError, and OSError, when they make no sense or cannot be read: then
        the former ones stay in force.
        """
        from broker.handles.rule_sources import RuleSource

        driver = self._driver()
        async with self._reloading:
            wanted = self._source if source is None else RuleSource(source)
            loaded, kept = await trio.to_thread.run_sync(self._load, wanted)
            if self._loaded is not None and not loaded.goes_on(self._loaded):
                raise RuleError.at("", "the Event Language and Tornado's trees do not follow each other: attach anew")
            interests = loaded.interests(self._options.topics)
            subscribers = await self._subscribe(interests)
            self._driver()
            self._source, self._loaded = wanted, loaded
            driver.intake.attach(subscribers)
            found = driver.recorder.replace(loaded.program, kept)
            for interest in self._subscribers.keys() - set(interests):
                self._subscribers.pop(interest).end()
            driver.called()
            driver.tell(
                RulesReloaded(self.name, str(wanted), _count(found.kept), _count(found.new), _count(found.gone))
            )

    async def _watch(self) -> None:
        """Read the rules again when their files have changed, and been left alone, for ever."""
        while True:
            await trio.sleep(_LOOK_S)
            if not await trio.to_thread.run_sync(self._source.look):
                continue
            try:
                await self.reload()
            except (RuleError, OSError) as error:
                self._driver().tell(RulesBroken(self.name, str(self._source), _in_a_line(error)))
            except EndpointClosed:
                return

    # -- looking ---------------------------------------------------------------------------------------------------

    def explain(self, rule: str, *events: object) -> Any:
        """Return, for a rule and an event or several, each clause with its values, and why it does not hold.

        An event is a message, or an event as it would be published; a step of the rule is the next one of its type.
        The ``str`` of what comes back is to be read (:class:`broker.rules.explaining.Explanation`).  Raises KeyError
        when there is no such rule, and RuleError for an event that is not what its type says.
        """
        self._driver()
        assert self._loaded is not None
        messages = [event if isinstance(event, Message) else Message("", event, 0, "") for event in events]
        return self._loaded.explain(rule, messages)

    def figures(self) -> RulesFigures:
        """Return what they have done."""
        driver = self._driver()
        engine: Any = driver.recorder.engine
        found = engine.figures()
        return RulesFigures(
            rules=dict(found.rules),
            received=found.received,
            late=found.late,
            ahead=found.ahead,
            misfits=found.misfits,
            watermark_ns=found.watermark_ns,
            published=driver.published,
            failed=driver.failed,
            actions=driver.given,
            actions_lost=driver.actions_lost,
            lost=driver.intake.lost,
            echoes=driver.intake.echoes,
            waiting=len(driver.to_publish) + len(driver.to_act),
            problem=driver.recorder.failing,
        )


def _in_a_line(error: RuleError | OSError) -> str:
    if isinstance(error, RuleError):
        return "; ".join(str(problem._replace(excerpt="")) for problem in error.problems)
    return str(error)


def _count(found: Any) -> int:
    return found if isinstance(found, int) else len(found)


def _name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return Path(source).name or str(source)
    return "rules"
