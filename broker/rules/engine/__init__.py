"""The engine: event time, dispatch through an index, patterns, windows, timers, state, figures.

Read ``engine`` first, then ``watermark``, ``dispatch``, ``plans`` and ``patterns``.
"""

from __future__ import annotations

from broker.rules.engine.engine import Engine
from broker.rules.engine.outcomes import (
    EngineFigures,
    Limits,
    Made,
    Outcome,
    Problem,
    Reloaded,
    Restored,
    RuleFigures,
    Seen,
)

__all__ = [
    "Engine",
    "EngineFigures",
    "Limits",
    "Made",
    "Outcome",
    "Problem",
    "Reloaded",
    "Restored",
    "RuleFigures",
    "Seen",
]
