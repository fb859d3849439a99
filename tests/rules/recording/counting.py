"""A small engine to be driven in tests: it counts, and keeps to the contract of the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from msgspec import Struct

from broker import Event, Message


class Made(Struct):
    rule: str
    event: Any
    topic: str | None
    time_ns: int
    actions: tuple[str, ...] = ()
    because: tuple[Message, ...] = ()


@attrs.define
class Outcome:
    made: list[Made] = attrs.Factory(list)
    problems: list[Any] = attrs.Factory(list)


@attrs.frozen
class Restored:
    dropped: tuple[Any, ...] = ()


class Counting:
    """Makes an event at every second message of a topic, and at every tick at which something had come."""

    def __init__(self, program: str = "count") -> None:
        self.program = program
        self.counts: dict[str, int] = {}
        self.fresh = 0

    def receive(self, messages: Sequence[Message], now_ns: int) -> Outcome:
        outcome = Outcome()
        for message in messages:
            count = self.counts[message.topic] = self.counts.get(message.topic, 0) + 1
            self.fresh += 1
            if count % 2 == 0:
                event = Event(self.program, (message.topic, count))
                outcome.made.append(Made("pairs", event, "made/pairs", now_ns, ("page",), (message,)))
        return outcome

    def tick(self, now_ns: int) -> Outcome:
        if not self.fresh:
            return Outcome()
        fresh, self.fresh = self.fresh, 0
        return Outcome([Made("ticks", Event(self.program, (fresh,)), "made/ticks", now_ns)])

    def next_deadline(self, now_ns: int) -> int | None:
        return now_ns + 1 if self.fresh else None

    def replace(self, program: str) -> None:
        self.program = program

    def state(self) -> Any:
        return {"counts": dict(self.counts), "fresh": self.fresh}

    def restore(self, data: Any) -> Restored:
        self.counts, self.fresh = dict(data["counts"]), data["fresh"]
        return Restored()
