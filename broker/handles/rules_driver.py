"""What drives rules at an endpoint: tasks that read, tick, write down, publish, and look at files."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import trio

from broker.errors import BrokerError, EndpointClosed, JournalError
from broker.handles.journal_thread import JournalThread
from broker.handles.rules_intake import Intake
from broker.messages import Message
from broker.protocol.actions import Tell
from broker.protocol.exchange import BLOCKED
from broker.rules.recording import MARK_S, PENDING_BYTES, Recorder
from broker.rules.recording.calls import Output
from broker.status import ActionsLost, RuleFailed, RulesFailing, RulesRecovered, Status

if TYPE_CHECKING:
    from broker.endpoint import Endpoint
    from broker.handles.collector import Collector
    from broker.journaling import Journal
    from broker.logs.messages import LogMessage
    from broker.protocol.courier import Fence

__all__ = ["RulesDriver"]

# Messages that are given to the engine at once: the loop is held up by no more than some ms.
_BATCH: Final = 1000
# Outputs that wait to be published: at so many no more messages are taken.
_OUTPUTS_MAX: Final = 1000
# A journal that fails is tried again so often.
_RETRY_S: Final = 1.0
# A clock that jumps is noticed so soon by what waits for a time.
_LOOK_S: Final = 5.0
# The same failure of a rule is told so often.
_TELL_S: Final = 10.0


class RulesDriver:
    """The trio side of one set of rules."""

    def __init__(self, endpoint: Endpoint, name: str, *, queue_actions: int, give_all: bool, dry_run: bool) -> None:
        self._endpoint = endpoint
        self.name = name
        self.clock = endpoint._clock
        self.recorder: Recorder
        self.disk: JournalThread | None = None
        self.to_publish: deque[Output] = deque()
        self.to_act: deque[Output] = deque()
        # With a journal: what was published and is not known to have arrived, and what is waited for, of the first few.
        self._handed: deque[Output] = deque()
        self._fence: tuple[Fence, int] | None = None
        self.recovering = False  # in another thread: nothing is told, nobody woken
        self.intake = Intake(endpoint.name)
        self.published = self.failed = self.given = self.actions_lost = 0
        self.lost_untold = 0  # of actions, to the reader
        self._queue_actions = queue_actions
        self._give_all = give_all
        self._dry_run = dry_run
        self._room = trio.lowlevel.ParkingLot()
        self._work = trio.lowlevel.ParkingLot()  # where the publisher waits
        self.acts = trio.lowlevel.ParkingLot()  # where readers of actions wait
        self._marks = trio.lowlevel.ParkingLot()  # where what is written a moment later waits
        self._settled = trio.lowlevel.ParkingLot()
        self._timer_scope = trio.CancelScope()
        self._blocked = False  # the publisher waits for a slow reader
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self._checkpoints: list[tuple[int, Collector, LogMessage]] = []  # behind which call a record is acknowledged
        self.catching: set[Collector] = set()  # those that have not caught up with their writers

    # -- telling ---------------------------------------------------------------------------------------------------

    def tell(self, status: Status) -> None:
        """Tell what has happened."""
        self._endpoint._carry_out_rare(Tell(status))

    def tell_problems(self, problems: Sequence[Any]) -> None:
        """Tell what an engine says that it could not do, which it says seldom."""
        for problem in problems:
            self.tell(RuleFailed(self.name, problem.rule, problem.text))

    def _tell_failure(self, rule: str, error: BrokerError) -> None:
        self.failed += 1
        key, now = (rule, type(error).__name__), trio.current_time()
        until, count = self._told.get(key, (-math.inf, 0))
        if now < until:
            self._told[key] = until, count + 1
            return
        self._told[key] = now + _TELL_S, 0
        self.tell(RuleFailed(self.name, rule, str(error), count + 1))

    # -- in --------------------------------------------------------------------------------------------------------

    async def run_reader(self) -> None:
        """Give the engine what the subscriptions bring, for ever."""
        while True:
            self.intake.take_all()
            if not self.intake.backlog:
                await self.intake.arrivals.park()
                continue
            messages = self.intake.backlog.popleft()
            for start in range(0, len(messages), _BATCH):
                await self.room()
                self.feed(messages[start : start + _BATCH])
                await trio.lowlevel.checkpoint()

    def feed(self, messages: Sequence[Message]) -> None:
        """Give the engine messages."""
        self.recorder.receive(messages, self.clock())
        self.called()

    async def room(self) -> None:
        """Wait until there is room for what may come of more messages."""
        while self.recorder.pending_bytes >= PENDING_BYTES or len(self.to_publish) >= _OUTPUTS_MAX:
            if self._blocked and self.intake.holds:
                # What we publish waits for a full queue, and that is ours.
                self.intake.take_all()
                await trio.lowlevel.checkpoint()
            else:
                await self._room.park()

    def called(self) -> None:
        """See to what follows from a call of the engine."""
        self._wake()
        self.commit()
        deadline = self._due()
        if deadline < self._timer_scope.deadline:
            self._timer_scope.deadline = deadline

    def _wake(self) -> None:
        if self.to_publish:
            self._work.unpark()
        if self.to_act:
            self.acts.unpark(count=len(self.to_act))

    def _due(self) -> float:
        now_ns = self.clock()
        due_ns = self.recorder.engine.next_deadline(now_ns)
        wait_s = _LOOK_S if due_ns is None or self.catching else min(_LOOK_S, (due_ns - now_ns) / 1e9)
        return trio.current_time() + max(wait_s, 1e-3)

    async def run_timer(self) -> None:
        """Tell the engine the time when it wants to know it, for ever."""
        while True:
            with trio.CancelScope(deadline=self._due()) as self._timer_scope:
                await trio.sleep_forever()
            now_ns = self.clock()
            due_ns = self.recorder.engine.next_deadline(now_ns)
            if due_ns is not None and due_ns <= now_ns and not self.catching:
                await self.room()
                self.recorder.tick(now_ns)
                self.called()

    # -- out -------------------------------------------------------------------------------------------------------

    def publish(self, output: Output) -> None:
        """Have an event published, in its turn."""
        self.to_publish.append(output)

    def act(self, output: Output) -> None:
        """Have an action given out, in its turn; the oldest goes when there are too many."""
        self.to_act.append(output)
        if not self.recovering:
            self.shorten()

    def shorten(self) -> None:
        """Drop actions that nobody takes."""
        while len(self.to_act) > self._queue_actions:
            self._finish(self.to_act.popleft())
            self.actions_lost += 1
            self.lost_untold += 1
            self._tell_lost()

    def _tell_lost(self) -> None:
        now = trio.current_time()
        until, count = self._told.get(("", "lost"), (-math.inf, 0))
        if now < until:
            self._told["", "lost"] = until, count + 1
            return
        self._told["", "lost"] = now + _TELL_S, 0
        self.tell(ActionsLost(self.name, count + 1))

    def _finish(self, output: Output) -> None:
        self.recorder.done(output)
        if not self.recorder.idle:
            self._marks.unpark_all()

    def finished(self, output: Output) -> None:
        """Take note that an action was done."""
        self._finish(output)
        self._settled.unpark_all()

    def take_action(self) -> Output:
        """Return the action that is to be given out next."""
        self.given += 1
        return self.to_act.popleft()

    async def run_publisher(self) -> None:
        """Publish what rules make, in order, for ever."""
        while True:
            while not self.to_publish:
                self._settled.unpark_all()
                await self._work.park()
            output = self.to_publish[0]
            if output.topic and not self._dry_run:
                try:
                    await self._publish(output)
                except EndpointClosed:
                    return
                except BrokerError as error:  # a topic that is none, a right that we do not have, a value not carried
                    self._tell_failure(output.rule, error)
            self.to_publish.popleft()
            if self.disk is None:
                self.recorder.done(output)
            else:
                self._handed.append(output)
                self._marks.unpark_all()
            if self._give_all and not output.called:
                self.act(output)
                self.acts.unpark()
            if len(self.to_publish) < _OUTPUTS_MAX:
                self._room.unpark_all()

    async def _publish(self, output: Output) -> None:
        endpoint, now_ns = self._endpoint, self.clock()
        code = endpoint._publish_at(output.topic, output.event, now_ns)
        while code is BLOCKED:
            self._blocked = True
            self._room.unpark_all()
            endpoint._check_open()
            await endpoint._changed.park()
            self._blocked = False
            code = endpoint._publish_at(output.topic, output.event, now_ns)
        self.published += 1
        self.intake.expect_echo(output.topic, output.event, now_ns)
        if endpoint._after_publish(code, now_ns):
            await trio.lowlevel.checkpoint()

    # -- the journal -----------------------------------------------------------------------------------------------

    def begin_disk(self, journal: Journal) -> None:
        """Have calls written down from now on."""
        self.disk = JournalThread(self.name, journal, self._committed)

    def commit(self) -> None:
        """Have written down what is not, if it has to be, as soon as the disk is free."""
        if self.disk is None or self.recorder.failing:
            return
        if self.recorder.urgent:
            self._begin_commit()
        elif not self.recorder.idle:
            self._marks.unpark_all()

    def _begin_commit(self, *, snapshot: bool = False) -> None:
        work = self.recorder.take_work(snapshot=snapshot)
        if work is not None and self.disk is not None:
            self.disk.carry_out(work)

    def _committed(self, error: JournalError | None) -> None:
        failed = bool(self.recorder.failing)
        self.recorder.carried_out(error)
        if error is not None:
            if not failed:
                self.tell(RulesFailing(self.name, error.reason))
            self._marks.unpark_all()
            return
        if failed:
            self.tell(RulesRecovered(self.name))
        while self._checkpoints and self._checkpoints[0][0] <= self.recorder.committed:
            _, collector, message = self._checkpoints.pop(0)
            collector.acknowledge(message, through=True)
        self._wake()
        self.commit()
        self._room.unpark_all()
        self._settled.unpark_all()

    async def run_marks(self) -> None:
        """Write down what may wait a little, and what failed, for ever."""
        while True:
            if self.recorder.idle and not self._handed:
                await self._marks.park()
            failing = bool(self.recorder.failing)
            await trio.sleep(_RETRY_S if failing else MARK_S)
            self._look_for_arrival()
            self._begin_commit()

    def _look_for_arrival(self) -> None:
        """Take note of what has arrived of all that was published, and ask about the rest."""
        endpoint = self._endpoint
        courier = endpoint._exchange.courier
        while self._handed and endpoint._state == "open":
            if self._fence is None:
                endpoint._node.flush()
                self._fence = courier.fence(), len(self._handed)
                endpoint._carry_out()
            fence, count = self._fence
            if not courier.has_passed(fence):
                return
            self._fence = None
            for _ in range(count):
                self.recorder.done(self._handed.popleft())
            self._settled.unpark_all()

    async def settle(self) -> None:
        """Wait until everything is written down, and published, and has arrived where it is wanted."""
        while self.to_publish or self._handed or not self.recorder.idle:
            self._endpoint._check_open()
            if self.disk is not None and not self.recorder.failing:
                self._begin_commit()
            await self._settled.park()

    async def settle_disk(self) -> None:
        """Have all that there is, and the whole state, written down, if the disk takes it."""
        if self.disk is None:
            return
        await self._committed_all()
        if not self.recorder.failing and self._endpoint._state == "open":
            self._begin_commit(snapshot=True)
            await self._committed_all()

    async def _committed_all(self) -> None:
        while self.recorder.working and not self.recorder.failing and self._endpoint._state == "open":
            await self._settled.park()

    def end(self) -> None:
        """Let who waits find out that it is over."""
        for lot in (self.acts, self._room, self._work, self._settled, self._marks, self.intake.arrivals):
            lot.unpark_all()

    # -- log streams -----------------------------------------------------------------------------------------------

    async def collect(self, collector: Collector, patience_s: float) -> None:
        """Give the engine a log stream's records, which are acknowledged when they are written down.

        Until it has caught up with the writers, time is the records' own: what waited in a spool while nobody was here
        is not late.  It has when there is no more, or nothing has come for ``patience_s``.
        """
        topic = f"log/{collector.stream}"
        got: dict[bytes, int] = {}  # the last number from each spool
        self.catching.add(collector)
        try:
            while True:
                records: Sequence[LogMessage] = ()
                with trio.move_on_after(patience_s if collector in self.catching else math.inf):
                    records = await collector.receive_batch()
                for start in range(0, len(records), _BATCH):
                    batch = records[start : start + _BATCH]
                    await self.room()
                    self._take_records(topic, collector, batch)
                    got[batch[-1].epoch.journal] = batch[-1].number
                    await trio.lowlevel.checkpoint()
                if not records or _has_all(collector, got):
                    self.catching.discard(collector)
        except BrokerError:  # it was left
            pass
        finally:
            self.catching.discard(collector)

    def _take_records(self, topic: str, collector: Collector, batch: Sequence[LogMessage]) -> None:
        self.intake.lost += sum(record.lost_before for record in batch)
        messages = [Message(topic, record.record, record.time_ns, record.origin) for record in batch]
        self.recorder.receive(messages, batch[-1].time_ns if collector in self.catching else self.clock())
        self._checkpoints.append((self.recorder.calls, collector, batch[-1]))
        through = [message for _, one, message in self._checkpoints if one is collector]
        self.recorder.took(collector.stream, collector.checkpoint(through))
        self.called()


def _has_all(collector: Collector, got: Mapping[bytes, int]) -> bool:
    """Whether no writer that can be reached has more."""
    return all(got.get(one.journal, one.acknowledged) >= one.last for one in collector.lag() if one.reachable)
