"""What goes into an engine and what comes out, beside messages: limits, outcomes, figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from broker.messages import Message

__all__ = ["EngineFigures", "Limits", "Made", "Outcome", "Problem", "Reloaded", "Restored", "RuleFigures", "Seen"]


@attrs.frozen
class Limits:
    """Bounds of an engine's memory and of the work that one event can cause."""

    events_max: int = 1000  # events that a rule keeps in one partition
    partitions_max: int = 100_000  # partitions of a rule: the one that was used longest ago goes
    waiting_max: int = 100_000  # events that wait for the watermark: when there are more, it moves to the oldest
    search_max: int = 100_000  # combinations of events that are looked at because of one event
    boundaries_max: int = 10_000  # reports by time (`every`) of windows into which no event has come in between
    made_max: int = 10_000  # events made, by chains of rules, because of one message
    problems_max: int = 5  # problems told of one rule in ten seconds; they are counted all the same


# A message that rules with state keep: `order` numbers the events that they see, in the order in which they see them.
class Seen(Message, frozen=True, gc=False):
    """An event as the rules see it: its time is the one that they go by."""

    order: int = 0

    @classmethod
    def of(cls, message: Message, order: int) -> Seen:
        """A message as the rules see it, unless it is one already."""
        if message.__class__ is cls:
            return message
        return cls(message.topic, message.event, message.time_ns, message.origin, 0, None, order)


class Made(msgspec.Struct, frozen=True, gc=False):
    """What a rule made: ``event`` is to be published to ``topic`` (None: to none) and be given to the ``actions``.

    ``event`` is None if the rule makes none and only calls actions.  ``time_ns`` is the event time of what completed
    the match; ``because`` are the messages that it is made of, in their order: the latest hundred.
    """

    rule: str
    event: Any
    topic: str | None
    time_ns: int
    actions: tuple[str, ...]
    because: tuple[Message, ...]


class Problem(msgspec.Struct, frozen=True, gc=False):
    """What went wrong while the stream went on; ``rule`` is "" if it concerns none alone."""

    rule: str
    text: str


class Outcome(msgspec.Struct):
    """What is to be done, in this order, and what went wrong."""

    made: list[Made]
    problems: list[Problem]


@attrs.frozen
class Reloaded:
    """The rules of a new program: those whose state was kept, those that begin anew, those that are gone."""

    kept: int
    new: tuple[str, ...]
    gone: tuple[str, ...]


@attrs.frozen
class Restored:
    """What became of a saved state: how many rules have theirs again, and why others begin anew or lost events."""

    rules: int
    dropped: tuple[Problem, ...]


@attrs.frozen
class RuleFigures:
    """The figures of one rule since it was added.

    ``seen`` counts events of its types that came in; ``matched`` what fulfilled pattern and clauses: of these ``made``
    were reported, ``limited`` were beyond the rule's limit and ``failed`` could not be computed (clauses that failed
    are in it, too).  ``dropped`` counts what limits took away: kept events, partitions, combinations, boundaries.
    ``partitions`` and ``events`` are what it keeps now.  ``spent_ns`` estimates, from a sample, what its candidates
    took in patterns and windows, and what it made (0: not measured).
    """

    seen: int = 0
    matched: int = 0
    made: int = 0
    limited: int = 0
    dropped: int = 0
    failed: int = 0
    partitions: int = 0
    events: int = 0
    spent_ns: int = 0


@attrs.frozen
class EngineFigures:
    """The figures of an engine since it began; ``watermark_ns`` is None before the first event."""

    received: int
    late: int
    ahead: int
    misfits: int
    waiting: int
    forced: int  # events that were given to the rules before the watermark, because too many waited
    watermark_ns: int | None
    rules: Mapping[str, RuleFigures]
