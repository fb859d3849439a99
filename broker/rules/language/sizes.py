"""How deep and how long an evaluation may become, calls included.

Without a bound twenty functions, each calling the one before it twice, make a predicate that runs for a second.
"""

from __future__ import annotations

from typing import Final

from broker.rules.model import Call, Expression, children
from broker.rules.model.data import DEPTH_MAX

__all__ = ["STEPS_MAX", "Sizes"]

STEPS_MAX: Final = 10_000
"""Steps of one evaluation with all that it calls: some milliseconds."""


class Sizes:
    """The depth and the steps of a program's functions, each added behind those that it calls."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def add(self, name: str, body: Expression) -> str:
        """Remember a function's; the problem with it, or empty."""
        self._known[name] = self._measure(body)
        problem = self.problem(body)
        if problem:
            self._known[name] = (1, 1)  # Told once, not again by everyone who calls it.
        return problem

    def problem(self, expression: Expression) -> str:
        """Why an expression cannot be evaluated in time; empty if it can."""
        depth, steps = self._measure(expression)
        if depth > DEPTH_MAX:
            return f"is nested more than {DEPTH_MAX} levels deep, with what it calls"
        if steps > STEPS_MAX:
            return f"takes more than {STEPS_MAX:,} steps, with what it calls"
        return ""

    def _measure(self, expression: Expression) -> tuple[int, int]:
        deepest, total = self._known.get(expression.function, (1, 1)) if isinstance(expression, Call) else (0, 0)
        for part in children(expression):
            depth, steps = self._measure(part)
            deepest = max(deepest, depth)
            total += steps
        return deepest + 1, total + 1
