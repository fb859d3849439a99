"""What the rules of a handle are made of: files, a program, a tree of Tornado's; and the engine that runs them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import attrs

from broker.errors import BrokerError, NotCarried
from broker.rule_files import RuleFiles, Stamp
from broker.rules.interests import Interest, interests
from broker.rules.model import Program, from_data, to_data
from broker.rules.recording import Driven
from broker.values import pack, unpack

__all__ = ["EngineOptions", "Loaded", "RuleSource"]


@attrs.frozen
class EngineOptions:
    """How an engine treats time, and how much it keeps."""

    lateness_s: float = 0.0
    idle_s: float = 5.0
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
        )


@attrs.frozen
class Loaded:
    """Rules as they were read."""

    program: Any
    kept: bytes  # as a journal keeps them; empty: they are too large for that

    @classmethod
    def of(cls, program: Any) -> Loaded:
        """Look at what was read; raises TypeError for what are no rules."""
        if not isinstance(program, Program):
            raise TypeError(f"rules are a Program, or files of them, not {type(program).__name__}")
        try:
            return cls(program, pack(to_data(program)))
        except NotCarried:
            return cls(program, b"")

    def interests(self, topics: Sequence[str]) -> tuple[Interest, ...]:
        """Return what they have to be given."""
        return interests(self.program, topics)

    @property
    def actions(self) -> bool:
        """Whether any of them calls actions."""
        return any(rule.actions for rule in self.program.rules)


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
        return Loaded.of(self._files.load())

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


def kept_engine(kept: bytes, options: EngineOptions, now_ns: int) -> Driven | None:
    """Return an engine of a program as a journal has it; None: it makes no sense any more."""
    try:
        program = from_data(unpack(kept), Program)
        return options.engine(program, now_ns)
    except (BrokerError, ValueError, TypeError, LookupError):
        return None

