"""Rules: filters, matches, patterns over sequences, windows and aggregates on the events of an endpoint.

The theory is in DESIGN.md beside this file; the rooms are:

- ``model``: rules as plain data, whatever they were spelt in;
- ``language``, ``tornado``, ``spelling``: the three spellings;
- ``operations``, ``interpreter``, ``compiling``: what an expression means, slowly and fast;
- ``engine``: event time, patterns, windows, state;
- ``explaining``: each clause, its values, and why it failed.

In Python rules are spelt by the names below, which are loaded with the first one that is asked for:

    disk = broker.rules.of(DiskUsage)
    full = (disk.used > 0.9) & disk.host.matches("^web")

No I/O here: no sockets, files, threads, clocks or chance.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.rules.event_types import event_type
    from broker.rules.explaining import explain, explain_where
    from broker.rules.spelling import (
        EventVariable,
        Predicate,
        RuleSpelling,
        Term,
        absence_of,
        count,
        distinct,
        first,
        group_of,
        last,
        len_,
        max,  # noqa: A004 - as in the Event Language, and used as rules.max(...)
        mean,
        min,  # noqa: A004
        of,
        origin,
        percentile,
        program,
        rule,
        slope,
        sum,  # noqa: A004
        time,
        topic,
    )

__all__ = [
    "EventVariable",
    "Predicate",
    "RuleSpelling",
    "Term",
    "absence_of",
    "count",
    "distinct",
    "event_type",
    "explain",
    "explain_where",
    "first",
    "group_of",
    "last",
    "len_",
    "max",
    "mean",
    "min",
    "of",
    "origin",
    "percentile",
    "program",
    "rule",
    "slope",
    "sum",
    "time",
    "topic",
]

_ELSEWHERE: Final = {"event_type": "event_types", "explain": "explaining", "explain_where": "explaining"}

if not TYPE_CHECKING:
    # Type checkers take a module's __getattr__ for leave to use any name.

    def __getattr__(name: str) -> Any:
        """Load what spells rules when it is first wanted: whoever only carries them need not have it."""
        if name not in __all__:
            raise AttributeError(f"module 'broker.rules' has no attribute {name!r}")
        return getattr(import_module(f"broker.rules.{_ELSEWHERE.get(name, 'spelling')}"), name)
