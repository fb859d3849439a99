"""The recorder: an engine whose calls are in a journal before anybody sees what comes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from broker.errors import JournalError, Malformed
from broker.journaling import Commit, Journal, Position, Record, chain
from broker.messages import Message
from broker.rules.recording import calls
from broker.rules.recording.calls import Call, Head, Mark, Output
from broker.rules.recording.parts import joined, split
from broker.values import pack, unpack

__all__ = ["MARK_S", "PENDING_BYTES", "TABLES", "Driven", "Recorder"]

TABLES: Final = ("state", "marks")
_STATE, _MARKS = range(2)
_HEAD: Final = b"head"
_PUBLISHED: Final = b"published"
_ACTED: Final = b"acted"
_INPUT: Final = b"input:"  # and the name of a log stream: its collector's checkpoint

MARK_S: Final = 0.05
"""How far outputs were carried out is written down so long after, at the latest."""
PENDING_BYTES: Final = 4 << 20
"""Calls that wait for the disk: while there is so much of them, no more should be made."""
SNAPSHOT_BYTES: Final = 4 << 20
"""So much log behind the last snapshot, or twice as much as that took, and there is another."""
_REPLAY_BYTES: Final = 1 << 20


class Driven(Protocol):
    """What is driven: an engine of rules, of whatever spelling."""

    def receive(self, messages: Sequence[Message], now_ns: int) -> Any:
        """Take messages; returns an outcome, with ``made`` and ``problems``."""

    def tick(self, now_ns: int) -> Any:
        """Take note of the time; returns an outcome."""

    def next_deadline(self, now_ns: int) -> int | None:
        """When to tick, in nanoseconds of the same clock; None: when something else happens."""

    def replace(self, program: Any) -> Any:
        """Go on with another program; returns what was kept, is new and is gone."""

    def state(self) -> Any:
        """Everything that it knows, as plain data."""

    def restore(self, data: Any) -> Any:
        """Take up a state; returns what became of it: ``dropped`` are the problems."""


class _Pending(Struct):
    """A call that was made and is not on disk yet."""

    body: bytes
    outputs: list[Output]
    lazy: bool  # a tick of which nothing came


class Recorder:
    """One engine, with its journal if it has one.

    ``publish`` and ``act`` are called with each output that may be carried out, in order; :meth:`done` is to be called
    when that was done.  With ``show_all`` events that are neither published nor given to an action are outputs, too.
    """

    def __init__(
        self,
        engine: Driven,
        program: bytes,
        publish: Callable[[Output], None],
        act: Callable[[Output], None],
        tell: Callable[[Sequence[Any]], None],
        *,
        show_all: bool = False,
    ) -> None:
        self.engine = engine
        self.program = program  # as it is kept: see recover()
        self.failing = ""  # why the last commit was not done; it is tried again
        self.pending_bytes = 0
        self.commits = 0
        self._publish = publish
        self._act = act
        self._tell = tell
        self._show_all = show_all
        self._journal: Journal | None = None
        self._position: Position | None = None
        self._pending: list[_Pending] = []
        self._working: tuple[Commit, list[Output]] | None = None
        self._under_way = False
        self._calls = 0  # without a journal they are counted here
        self._inputs: dict[str, bytes] = {}
        self._marks: dict[bytes, Mark] = {_PUBLISHED: (0, 0), _ACTED: (0, 0)}
        self._marks_changed = False
        # What may be carried out and was not yet; what is done behind something that is not stays there.
        self._waiting: dict[bytes, deque[Output]] = {_PUBLISHED: deque(), _ACTED: deque()}
        self._snapshot_call = -1  # behind which call the last snapshot was
        self._snapshot_bytes = 0
        self._log_bytes = 0  # behind it
        self._snapshot_due = False

    # -- calls -----------------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message], now_ns: int) -> None:
        """Have the engine take messages."""
        self._made(self.engine.receive(messages, now_ns), now_ns, messages)

    def tick(self, now_ns: int) -> None:
        """Have the engine take note of the time."""
        self._made(self.engine.tick(now_ns), now_ns, None)

    def _made(self, outcome: Any, now_ns: int, messages: Sequence[Message] | None) -> None:
        if outcome.problems:
            self._tell(outcome.problems)
        if self._position is None:
            self._calls += 1
            self._release(self._outputs(self._calls, outcome))
            return
        body = calls.pack(Call(now_ns, None if messages is None else calls.runs_of(messages)))
        self._position = _behind(self._position, body)
        outputs = self._outputs(self._position.sequence, outcome)
        self._pending.append(_Pending(body, outputs, lazy=messages is None and not outputs))
        self.pending_bytes += len(body)

    def replace(self, engine_program: Any, program: bytes) -> Any:
        """Have the engine go on with another program; with a journal there is a snapshot of it next."""
        found = self.engine.replace(engine_program)
        self.program = program
        self._snapshot_due = self._position is not None
        return found

    def took(self, stream: str, checkpoint: bytes) -> None:
        """Take note, together with the calls up to here, of how far the records of a log stream were taken."""
        self._inputs[stream] = checkpoint

    def _outputs(self, call: int, outcome: Any) -> list[Output]:
        """Return what is to be done of an outcome, named.

        What is not published has its place all the same, shown or not: names do not depend on that.
        """
        found: list[Output] = []
        place = 0
        for made in outcome.made:
            for action in ("", *made.actions):
                place += 1
                shown = self._show_all and made.event is not None and not made.actions
                if action or made.topic is not None or shown:
                    told = (made.rule, action, made.topic or "", made.time_ns)
                    because = tuple(map(calls.carried, made.because))
                    called = bool(made.actions) and not action
                    found.append(Output(call, place, *told, made.event, because, called))
        return found

    def _release(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            kind = _ACTED if output.action else _PUBLISHED
            if output.mark > self._marks[kind]:
                self._waiting[kind].append(output)
                (self._act if output.action else self._publish)(output)

    # -- what was carried out --------------------------------------------------------------------------------------

    def done(self, output: Output) -> None:
        """Take note that an output was carried out, or given up."""
        kind = _ACTED if output.action else _PUBLISHED
        output.done = True
        waiting = self._waiting[kind]
        while waiting and waiting[0].done:
            self._marks[kind] = waiting.popleft().mark
            self._marks_changed = self._position is not None

    # -- the journal -----------------------------------------------------------------------------------------------

    @property
    def urgent(self) -> bool:
        """Whether messages or outputs wait for a commit: what else there is to be written may wait a little."""
        return self._snapshot_due or any(not one.lazy for one in self._pending)

    @property
    def working(self) -> bool:
        """Whether a commit is under way, or failed."""
        return self._working is not None

    @property
    def calls(self) -> int:
        """How many calls there were, in the journal's counting."""
        return self._calls if self._position is None else self._position.sequence

    @property
    def committed(self) -> int:
        """How many of them are on disk."""
        return self._calls if self._journal is None else self._journal.position.sequence

    @property
    def idle(self) -> bool:
        """Whether everything is on disk."""
        return self._working is None and not self._pending and not self._marks_changed and not self._snapshot_due

    def take_work(self, *, snapshot: bool = False) -> Commit | None:
        """Return what is to be committed now, if there is anything and nothing is under way.

        What failed is given again, as it was.
        """
        assert self._journal is not None
        if self._working is not None:
            if self._under_way:
                return None
            self._under_way = True
            return self._working[0]
        if self.idle and not (snapshot and self._snapshot_call != self.calls):
            return None
        pending, self._pending = self._pending, []
        position, records = self._journal.position, []
        assert self._position is not None
        position = Position(position.journal, self._position.epoch, position.sequence, position.checksum)
        for one in pending:
            position = _behind(position, one.body)
            records.append(Record(position.sequence, position.checksum, one.body))
            self._log_bytes += len(one.body)
        rows: dict[int, dict[bytes, bytes | None]] = {_MARKS: self._mark_rows()}
        work = Commit(position, records, rows, [])
        outputs = [output for one in pending for output in one.outputs]
        if snapshot or self._snapshot_due or self._log_bytes > max(SNAPSHOT_BYTES, 2 * self._snapshot_bytes):
            self._add_snapshot(work, outputs)
        self._marks_changed = False
        self._working, self._under_way = (work, outputs), True
        self.pending_bytes = 0
        return work

    def _mark_rows(self) -> dict[bytes, bytes | None]:
        rows: dict[bytes, bytes | None] = {key: pack(list(mark)) for key, mark in self._marks.items()}
        rows |= {_INPUT + stream.encode(): checkpoint for stream, checkpoint in self._inputs.items()}
        return rows

    def _add_snapshot(self, work: Commit, outputs: list[Output]) -> None:
        parts = split(self.engine.state())
        undone = [output for waiting in self._waiting.values() for output in waiting if not output.done]
        head = Head.of(self.program, work.position.sequence, len(parts), undone + outputs)
        rows: dict[bytes, bytes | None] = {_HEAD: calls.pack(head)}
        rows |= {number.to_bytes(4, "big"): part for number, part in enumerate(parts)}
        work.cleared.append((_STATE, b""))
        work.rows[_STATE] = rows
        work.trim = work.position.sequence
        self._snapshot_bytes = sum(map(len, parts))
        self._snapshot_call, self._log_bytes, self._snapshot_due = work.position.sequence, 0, False

    def carried_out(self, error: JournalError | None) -> None:
        """Take note that a commit was done, or not."""
        assert self._working is not None
        self._under_way = False
        if error is not None:
            self.failing = error.reason
            return
        _, outputs = self._working
        self._working, self.failing = None, ""
        self.commits += 1
        self._release(outputs)

    # -- recovery --------------------------------------------------------------------------------------------------

    def inputs(self) -> dict[str, bytes]:
        """Return how far log streams were taken, by their names."""
        return dict(self._inputs)

    def recover(self, journal: Journal, engine_of: Callable[[bytes], Driven | None]) -> Sequence[str]:
        """Take up what a journal has, before anything else is done; returns what could not be taken up, and why.

        ``engine_of`` makes an engine of a program as it was kept; None: it cannot be had any more.  Afterwards
        :meth:`replace` is to be called with today's program.  Raises Malformed.
        """
        self._journal = journal
        at = journal.position
        self._position = Position(at.journal, at.epoch + 1, at.sequence, at.checksum)
        self._snapshot_due = True
        for key, value in journal.rows(_MARKS):
            if key.startswith(_INPUT):
                self._inputs[key[len(_INPUT) :].decode()] = value
            else:
                self._marks[key] = _mark(value)
        head_data = journal.get(_STATE, _HEAD)
        if head_data is None:
            return ()
        head = calls.unpack(head_data, Head)
        engine = engine_of(head.program)
        lost = []
        if engine is None:
            lost.append("the program that the state is of cannot be made any more: calls since are not made again")
            engine = self.engine
        lost += _restored(engine, journal, head)
        if engine is not self.engine:
            self.engine, self.program = engine, head.program
        self._release(head.undone())
        if not lost:
            self._replay(journal, head.call)
        return lost

    def _replay(self, journal: Journal, after: int) -> None:
        while records := journal.read(after, _REPLAY_BYTES):
            for record in records:
                call = calls.unpack(record.body, Call)
                if call.runs is None:
                    outcome = self.engine.tick(call.now_ns)
                else:
                    outcome = self.engine.receive(calls.messages_of(call.runs), call.now_ns)
                self._release(self._outputs(record.sequence, outcome))
                after = record.sequence


def _restored(engine: Driven, journal: Journal, head: Head) -> list[str]:
    parts = [journal.get(_STATE, number.to_bytes(4, "big")) for number in range(head.parts)]
    if None in parts:
        raise Malformed("a part of the rules' state is missing")
    found = engine.restore(joined(part for part in parts if part is not None))
    return [f"{problem.rule}: {problem.text}" for problem in found.dropped]


def _behind(position: Position, body: bytes) -> Position:
    return Position(position.journal, position.epoch, position.sequence + 1, chain(position.checksum, body))


def _mark(data: bytes) -> Mark:
    found = unpack(data)
    if not isinstance(found, list) or [type(part) for part in found] != [int, int]:
        raise Malformed("a mark that is not what was written")
    return found[0], found[1]
