"""What rules at an endpoint give, and how they are attached."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from msgspec import Struct

from broker.handles.collector import collector_name
from broker.messages import Message
from broker.protocol.subscriptions import Overflow
from broker.topics import normalize_prefix
from broker.values import Timestamp

if TYPE_CHECKING:
    from broker.handles.rule_sources import EngineOptions

__all__ = ["Action", "RulesFigures", "RulesOptions", "rules_options"]


class Action(Struct, frozen=True, kw_only=True, gc=False):
    """What a rule wants done: ``name`` is the action's, ``event`` what the rule has made.

    ``time_ns`` is the event time at which the rule was fulfilled, in nanoseconds since 1970-01-01T00:00Z, ``because``
    the messages that did it, in the order of the rule's steps.  ``lost_before`` counts the actions that were dropped
    just before this one as nobody took them.

    ``topic`` is where the event was published, empty if it was not.  With ``give="all"`` (and ``dry_run``) an empty
    ``name`` tells of an event that no action gets.
    """

    name: str
    event: Any
    rule: str
    time_ns: int
    topic: str = ""
    because: tuple[Message, ...] = ()
    lost_before: int = 0

    @property
    def time(self) -> Timestamp:
        """The event time as an aware ``datetime`` in UTC that keeps the nanoseconds."""
        return Timestamp.from_ns(self.time_ns)


class RulesFigures(Struct, frozen=True, kw_only=True):
    """What rules have done since they were attached."""

    rules: dict[str, Any]  # of each rule what the engine counts: see broker.rules.engine
    received: int
    late: int  # events below the watermark: rules with state did not see them
    ahead: int  # events far ahead of the clock
    misfits: int  # events that are not what the rules' text says that they are
    watermark_ns: int
    published: int
    failed: int  # events that could not be published
    actions: int  # that were given out
    actions_lost: int  # that were dropped as nobody took them
    lost: int  # messages that were lost on their way to the rules
    echoes: int  # own events that came back and were not looked at again
    waiting: int  # events to be published, and actions to be taken
    problem: str  # why the journal cannot be written; empty: it can


@attrs.frozen
class RulesOptions:
    """How rules are attached: see :meth:`Endpoint.rules`."""

    name: str | None
    path: Path | None
    topics: tuple[str, ...]
    collect: tuple[str, ...]
    engine: EngineOptions
    limits: tuple[int, int, Overflow, float]  # of each subscription
    queue_actions: int
    give_all: bool
    dry_run: bool
    watch: bool


def rules_options(
    *,
    name: str | None,
    path: str | os.PathLike[str] | None,
    topics: Iterable[str],
    collect: Iterable[str],
    engine: tuple[float, float, float, int, int],
    limits: tuple[int, int, Overflow, float],
    queue_actions: int,
    give: str,
    dry_run: bool,
    watch: bool,
) -> RulesOptions:
    """Return the options of :meth:`Endpoint.rules`, if they make sense; raises ValueError, TopicError."""
    from broker.handles.rule_sources import EngineOptions

    if isinstance(topics, str) or isinstance(collect, str):
        raise ValueError("topics and collect are several texts: give a list or a tuple")
    streams = tuple(collect)
    if streams and (name is None or path is None):
        raise ValueError("records of log streams count once: that needs the collector's name= and path=, a journal")
    if queue_actions < 1:
        raise ValueError(f"a queue has room for at least one action, not {queue_actions!r}")
    if give not in {"actions", "all"}:
        raise ValueError(f"give is 'actions' or 'all', not {give!r:.100}")
    return RulesOptions(
        name=None if name is None else collector_name(name),
        path=None if path is None else Path(path),
        topics=tuple(map(normalize_prefix, topics)),
        collect=streams,
        engine=EngineOptions(*engine),
        limits=limits,
        queue_actions=queue_actions,
        give_all=give == "all" or dry_run,
        dry_run=dry_run,
        watch=watch,
    )
