"""Rules spelt in Python: no strings to misspell, and what does not fit is refused where it is written.

    disk = rules.of(DiskUsage)
    full = (disk.used > 0.9) & disk.host.matches("^web")
    full(DiskUsage("web-01", "/", 0.95))                        # True
    endpoint.subscribe("host/", DiskUsage, where=full)

- ``variables``: events, groups, absences; their members are terms;
- ``terms``: what operators make of terms, and predicates;
- ``aggregates``: figures of groups;
- ``building``: whole rules, and programs of them.
"""

from __future__ import annotations

from broker.rules.spelling.aggregates import count, distinct, first, last, len_, max, mean, min, percentile, slope, sum  # noqa: A004
from broker.rules.spelling.building import RuleSpelling, program, rule
from broker.rules.spelling.terms import Predicate, Term
from broker.rules.spelling.variables import EventVariable, absence_of, group_of, of, origin, time, topic

__all__ = [
    "EventVariable",
    "Predicate",
    "RuleSpelling",
    "Term",
    "absence_of",
    "count",
    "distinct",
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
