"""How what an engine was given, and what came of it, stands in a journal: calls, marks, snapshots, as bytes.

A **call** is one ``receive`` or ``tick`` with its time: a record of the journal.  Messages stand in it as on the wire,
in runs of one topic, origin and event name, so reading it again gives what a subscriber would get.  An **output** is an
event to be published or an action to be given out; the sequence of its call and its place in that call name it for
ever, as the same calls give the same outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from broker import events
from broker.errors import Malformed
from broker.messages import Message

__all__ = ["Call", "Head", "Mark", "Output", "Run", "carried", "messages_of", "pack", "runs_of", "unpack"]

T = TypeVar("T")

Mark = tuple[int, int]
"""Where outputs are done up to: the sequence of a call, and a place in it.  (0, 0) is before the first."""


class Run(Struct, frozen=True, array_like=True):
    """Messages that follow each other, of one topic, origin and event name."""

    topic: str
    origin: str
    name: str
    events: list[bytes]  # each the array that it is on the wire


class Call(Struct, frozen=True, array_like=True):
    """One call of the engine; without runs (None) it was a tick."""

    now_ns: int
    runs: list[Run] | None


class Output(Struct, array_like=True):
    """One thing that rules want done: publish ``event`` on ``topic`` (``action`` is empty), or do ``action`` with it.

    Without a topic, too, it is only to be shown.  ``because`` are the messages that it was made of.
    """

    call: int
    place: int
    rule: str
    action: str
    topic: str
    time_ns: int
    event: Any
    because: tuple[Message, ...] = ()
    called: bool = False  # of an event to be published: actions get it, too
    done: bool = False

    @property
    def mark(self) -> Mark:
        """Its name."""
        return self.call, self.place


class _KeptOutput(Struct, frozen=True, array_like=True):
    call: int
    place: int
    rule: str
    action: str
    topic: str
    time_ns: int
    event: Run | None
    because: list[Run]
    called: bool = False


class Head(Struct, array_like=True):
    """What a snapshot is: of which program and of behind which call, in how many parts; what was not done then."""

    program: bytes
    call: int
    parts: int
    outputs: list[_KeptOutput]

    @classmethod
    def of(cls, program: bytes, call: int, parts: int, outputs: Iterable[Output]) -> Head:
        """Make one."""
        return cls(program, call, parts, [_kept(output) for output in outputs])

    def undone(self) -> Iterator[Output]:
        """Give its outputs again; raises Malformed."""
        for kept in self.outputs:
            event = None if kept.event is None else messages_of([kept.event])[0].event
            because = tuple(messages_of(kept.because))
            told = (kept.rule, kept.action, kept.topic, kept.time_ns)
            yield Output(kept.call, kept.place, *told, event, because, kept.called)


def _kept(output: Output) -> _KeptOutput:
    run = None
    if output.event is not None:
        name, data = events.encode(output.event, output.time_ns)
        run = Run(output.topic, "", name, [data])
    told = (output.rule, output.action, output.topic, output.time_ns)
    return _KeptOutput(output.call, output.place, *told, run, runs_of(output.because), output.called)


def carried(message: Message) -> Message:
    """Return a message as an engine has it, as one that can be sent: events of types that rules declare have a name."""
    event = message.event
    if isinstance(event, Struct):  # the engine's own class
        values = [list(value) if type(value) is tuple else value for value in msgspec.structs.astuple(event)]
        event = events.Event(type(event).__name__, tuple(values))
    return Message(message.topic, event, message.time_ns, message.origin)


def runs_of(messages: Iterable[Message]) -> list[Run]:
    """Return messages as runs."""
    found: list[Run] = []
    key = ("", "", "")
    for message in messages:
        name, data = events.encode(message.event, message.time_ns)
        if not found or key != (message.topic, message.origin, name):
            key = (message.topic, message.origin, name)
            found.append(Run(*key, []))
        found[-1].events.append(data)
    return found


_HEADER: Final = msgspec.msgpack.Encoder()


def _body(arrays: Sequence[bytes]) -> bytes:
    """An array of these, each encoded already."""
    return _HEADER.encode([msgspec.Raw(array) for array in arrays])


def messages_of(runs: Iterable[Run]) -> list[Message]:
    """Return the messages of runs; raises Malformed, also for one that does not fit its class (which was changed)."""
    found: list[Message] = []
    for run in runs:
        messages, misfits = events.decoder_for(run.name)(_body(run.events), len(run.events), run.topic, run.origin)
        if misfits:
            raise Malformed(f"an event that does not fit its class any more: {misfits[0].error}")
        found += messages
    return found


def pack(value: Struct) -> bytes:
    """Return its bytes."""
    return msgspec.msgpack.encode(value)


def unpack(data: bytes, kind: type[T]) -> T:
    """Read what :func:`pack` gave; raises Malformed."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Malformed(f"not what was written: {error}") from None
