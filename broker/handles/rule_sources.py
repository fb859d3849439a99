"""What the rules of a handle are made of: files, a program, a tree of Tornado's; and the engine that runs them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cached_property
from time import perf_counter_ns
from typing import Any, Final

import attrs
import msgspec

from broker.errors import BrokerError, RuleError
from broker.messages import Message
from broker.rule_files import RuleFiles, Stamp
from broker.rules.engine.interests import Interest, interests, least
from broker.rules.model import EventType, Program, from_data, to_data
from broker.rules.model.checking import check
from broker.rules.model.trees import FilterNode, IteratorNode, RulesetNode, TreeNode
from broker.rules.recording import Driven
from broker.rules.recording.parts import joined, split
from broker.topics import normalize_prefix

__all__ = ["EngineOptions", "Loaded", "RuleSource"]

_KEPT: Final = msgspec.msgpack.Encoder()


@attrs.frozen
class EngineOptions:
    """How an engine treats time, and how much it keeps."""

    lateness_s: float = 0.0
    idle_s: float = 2.0
    future_s: float = 60.0
    events_max: int = 1000
    partitions_max: int = 100_000

    def __attrs_post_init__(self) -> None:
        times = (self.lateness_s, self.idle_s, self.future_s)
        if not all(0 <= time_s < math.inf for time_s in times):
            raise ValueError(f"lateness_s, idle_s and future_s are numbers of seconds: {times!r:.100}")
        if self.events_max < 1 or self.partitions_max < 1:
            raise ValueError(f"events_max and partitions_max are at least 1: {self.events_max}, {self.partitions_max}")

    def engine(self, program: Program, now_ns: int) -> Driven:
        """Return an engine of a program."""
        from broker.rules.engine import Engine, Limits  # who has no rules does not load it

        limits = Limits(events_max=self.events_max, partitions_max=self.partitions_max)
        return Engine(
            program,
            limits=limits,
            lateness_s=self.lateness_s,
            idle_s=self.idle_s,
            future_s=self.future_s,
            now_ns=now_ns,
            clock=perf_counter_ns,
        )


@attrs.frozen
class Loaded:
    """Rules as they were read: a program, or a tree of Tornado's."""

    program: Any

    @cached_property
    def kept(self) -> bytes:
        """They as a journal keeps them: ten thousand rules take seconds."""
        model = self.program if isinstance(self.program, Program) else self.program.node
        return _KEPT.encode(split(to_data(model)))

    @classmethod
    def of(cls, program: Any, *, checked: bool = False) -> Loaded:
        """Look at rules; raises RuleError for a program that makes no sense, TypeError for what are no rules."""
        if isinstance(program, Program):
            problems = [] if checked else check(program)
            if problems:
                raise RuleError(problems)
        elif not _is_tree(program):
            what = type(program).__name__
            hint = ": broker.rules.program(...) makes one of it" if what == "RuleSpelling" else ""
            raise TypeError(f"rules are files, a Program or a Tree of broker.rules.tornado, not {what}{hint}")
        return cls(program)

    def interests(self, topics: Sequence[str]) -> tuple[Interest, ...]:
        """Return what they have to be given: a tree looks at everything."""
        if isinstance(self.program, Program):
            return interests(self.program, topics)
        return tuple(Interest(prefix) for prefix in least(map(normalize_prefix, topics)))

    @property
    def types(self) -> dict[str, EventType]:
        """The event types that they declare, or know, by their names."""
        return {one.name: one for one in self.program.types} if isinstance(self.program, Program) else {}

    def engine(self, options: EngineOptions, now_ns: int) -> Any:
        """Return an engine that runs them."""
        if isinstance(self.program, Program):
            return options.engine(self.program, now_ns)
        from broker.rules.tornado.engine import TreeEngine

        return TreeEngine(self.program)

    def explain(self, rule: str, messages: Sequence[Message]) -> Any:
        """Explain a rule for events; of a tree's, all of it for each."""
        if isinstance(self.program, Program):
            from broker.rules.explaining.streams import explain_stream

            return explain_stream(self.program, rule, messages)
        from broker.rules.tornado.engine import event_of, rules_of

        if rule not in (names := dict(rules_of(self.program.node))):
            raise KeyError(f"there is no rule {rule!r}: there are {', '.join(names) or 'none'}")
        return "\n".join(line for message in messages for line in self.program.explain(event_of(message)))

    def goes_on(self, former: Loaded) -> bool:
        """Whether an engine of others can go on with these: if they are of the same kind."""
        return isinstance(self.program, Program) == isinstance(former.program, Program)


def _is_tree(program: object) -> bool:
    # Who has no tree does not load what reads them.
    return type(program).__module__ == "broker.rules.tornado" and type(program).__name__ == "Tree"


class RuleSource:
    """Where rules come from, now and when they are read again."""

    def __init__(self, source: Any) -> None:
        self._files: RuleFiles | None = None
        self._program: Any = None
        self._stamp: Stamp = ()
        self._restless = False
        self.set(source)

    def set(self, source: Any) -> None:
        """Have them come from elsewhere from now on."""
        paths = [source] if isinstance(source, str | os.PathLike) else source
        if isinstance(paths, list | tuple) and all(isinstance(path, str | os.PathLike) for path in paths):
            self._files, self._program = RuleFiles(*paths), None
        else:
            self._files, self._program = None, source

    def __str__(self) -> str:
        return "the program" if self._files is None else str(self._files)

    def load(self) -> Loaded:
        """Read them; takes a disk's time and a processor's.  Raises RuleError."""
        if self._files is None:
            return Loaded.of(self._program)
        self._stamp = self._files.stamp()  # before: what changes meanwhile is seen at the next look
        return Loaded.of(self._files.load(), checked=True)

    def look(self) -> bool:
        """Whether files have changed since they were read, and are left alone since the last look."""
        if self._files is None:
            return False
        stamp = self._files.stamp()
        if stamp != self._stamp:
            self._stamp, self._restless = stamp, True
            return False
        due, self._restless = self._restless, False
        return due


def kept_engine(kept: bytes, today: Loaded, options: EngineOptions, now_ns: int) -> Driven | None:
    """Return an engine of a program as a journal has it; None: it makes no sense any more."""
    if kept == today.kept:
        driven: Driven = today.engine(options, now_ns)
        return driven
    try:
        data = joined(msgspec.msgpack.decode(kept, type=list[bytes]))
        if type(data) is dict and data.get("is") == "Program":
            return options.engine(from_data(data, Program), now_ns)
        from broker.rules.tornado import Tree
        from broker.rules.tornado.engine import TreeEngine

        kinds: tuple[type[TreeNode], ...] = (FilterNode, RulesetNode, IteratorNode)
        for kind in kinds:
            if type(data) is dict and data.get("is") == kind.__name__:
                return TreeEngine(Tree(from_data(data, kind)))
    except (BrokerError, msgspec.MsgspecError, ValueError, TypeError, LookupError):
        pass
    return None
