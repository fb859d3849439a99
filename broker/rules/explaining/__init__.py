"""Explanations: why a rule does or does not hold, for people who look for a mistake.

``clauses`` tells of events that somebody has chosen each clause with its values; ``streams`` finds among many events
those that a rule's steps would take, or came closest to.
"""

from __future__ import annotations

from broker.rules.explaining.clauses import (
    VALUE_SHOWN_MAX,
    ClauseExplained,
    Explanation,
    Part,
    explain,
    explain_events,
    explain_where,
)

__all__ = [
    "VALUE_SHOWN_MAX",
    "ClauseExplained",
    "Explanation",
    "Part",
    "explain",
    "explain_events",
    "explain_where",
]
