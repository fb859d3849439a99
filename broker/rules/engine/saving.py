"""Events as plain data, each once however many rules keep it, and back.

An event is saved as its name and its bytes, as it would be published; what comes back is checked as if it had just come
in, so a class that has changed in the meantime is told and does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from broker.errors import BrokerError, Malformed
from broker.events import decoder_for, encode
from broker.messages import Message
from broker.rules.engine.outcomes import Seen

__all__ = ["VERSION", "Lost", "Reader", "Writer", "check_state"]

VERSION: Final = 1

_LOST: Final = -1
_ONE: Final = b"\x91"  # an array of one: a run of one event


class Lost(Exception):
    """What was saved cannot be had again; the text tells why."""


class _Time(msgspec.Struct):
    at: int | None
    now: int
    highest: int
    clock: int
    moved: int
    sources: list[tuple[str, int, int]]


class _State(msgspec.Struct):
    watermark: _Time
    counters: tuple[int, int, int, int, int]
    ordered: int
    waiting: list[int]
    seen: dict[str, int]
    rules: dict[str, dict[str, Any]]
    events: list[tuple[str, bytes, int, str, str, int | None]]


def check_state(data: Any) -> None:
    """Raise Malformed for what is no saved state; what rules keep is looked at by them."""
    try:
        msgspec.convert(data, _State)
    except msgspec.ValidationError as error:
        raise Malformed(f"a saved state that is not what was written: {error}") from None


class Writer:
    """Numbers events."""

    def __init__(self, to_event: Callable[[Any], Any]) -> None:
        self.rows: list[list[Any]] = []
        self._to_event = to_event
        self._numbers: dict[int, int] = {}
        self._kept: list[Message] = []  # so that what `id` gave stays theirs

    def number(self, message: Message) -> int:
        """The number of an event, which is saved if it was not."""
        found = self._numbers.get(id(message))
        if found is None:
            found = self._numbers[id(message)] = self._add(message)
            self._kept.append(message)
        return found

    def numbers(self, found: Any) -> Any:
        """The same of bindings: lists of events, None."""
        if found is None:
            return None
        return [self.number(each) for each in found] if isinstance(found, list) else self.number(found)

    def _add(self, message: Message) -> int:
        try:
            name, body = encode(self._to_event(message.event), 0)
        except BrokerError:
            return _LOST  # a value that cannot be carried
        order = message.order if isinstance(message, Seen) else None
        self.rows.append([name, body, message.time_ns, message.topic, message.origin, order])
        return len(self.rows) - 1


class Reader:
    """Gives events by their numbers."""

    def __init__(self, rows: Sequence[Sequence[Any]], accept: Callable[[Any], Any]) -> None:
        """``accept`` makes of an event an instance, or raises Lost."""
        self._found: list[Message | str] = []
        for row in rows:
            try:
                self._found.append(_message(row, accept))
            except Lost as lost:
                self._found.append(str(lost))

    def message(self, number: int) -> Any:
        """An event.  Raises Lost."""
        if number == _LOST:
            raise Lost("an event could not be saved")
        found = self._found[number]
        if isinstance(found, str):
            raise Lost(found)
        return found

    def bindings(self, found: Any) -> Any:
        """What :meth:`Writer.numbers` took.  Raises Lost."""
        if found is None:
            return None
        return self.message(found) if isinstance(found, int) else [self.message(each) for each in found]


def _message(row: Sequence[Any], accept: Callable[[Any], Any]) -> Message:
    name, body, time_ns, topic, origin, order = row
    messages, misfits = decoder_for(name)(_ONE + body, 1, topic, origin)
    if misfits:
        raise Lost(str(misfits[0].error))
    event = accept(messages[0].event)
    if order is None:
        return Message(topic, event, time_ns, origin)
    return Seen(topic, event, time_ns, origin, order=order)
