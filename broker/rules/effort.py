"""What a predicate may cost whoever is asked it: bounded before it is compiled, because it comes from others.

An expression has a hundred bytes for each of its operators, and most operators take as long as a comparison.  Those
that walk through a vector or a text take as long as it is, so a few hundred bytes could say what takes seconds: such
walks are added up.  How long members are is not known before an event comes; they are taken for :data:`MEMBER_ITEMS`
numbers or characters.  What a long one takes besides is for the publisher to measure
(:mod:`broker.protocol.predicates`).
"""

from __future__ import annotations

from typing import Final

from broker.errors import RuleError
from broker.rules.model import OPERATORS, Apply, Constant, Expression, Member, children

__all__ = ["EFFORT_MAX", "MEMBER_ITEMS", "check_effort", "effort_of"]

EFFORT_MAX: Final = 10_000
"""Steps, each about as long as a comparison (a tenth of a microsecond): a predicate that takes more costs more than
sending the event to a hundred endpoints."""

MEMBER_ITEMS: Final = 100

# Steps that a regular expression takes at most for a character and a place in the pattern.
_PLACE_STEPS: Final = 0.15
# Texts are walked through by C: so many characters in a step.
_CHARACTERS: Final = 100


def check_effort(expression: Expression) -> None:
    """Raise RuleError for an expression of more than :data:`EFFORT_MAX` steps; it has been checked otherwise."""
    effort, _ = effort_of(expression)
    if effort > EFFORT_MAX:
        raise RuleError.at(
            "",
            f"a predicate that walks through too much: {effort:,} steps for an event (vectors and texts in it taken to "
            f"be {MEMBER_ITEMS} long); at most {EFFORT_MAX:,}",
        )


def effort_of(expression: Expression) -> tuple[int, int]:
    """The steps that an expression takes at most, and how many numbers or characters its value has."""
    match expression:
        case Constant(value=value):
            return 0, len(value) if isinstance(value, tuple | str | bytes) else 1
        case Member():
            return 1, MEMBER_ITEMS
        case Apply(operator="str.matches", operands=(text, Constant(value=str() as pattern))):
            return _matching(pattern, *effort_of(text))
        case Apply(operator=name, operands=operands):
            found = [effort_of(operand) for operand in operands]
            sizes = [size for _, size in found]
            steps = 1 + sum(steps for steps, _ in found)
            if name == "vec.of":
                return steps + len(sizes), len(sizes)
            if name.startswith("str."):
                return steps + sum(sizes) // _CHARACTERS, sum(sizes)
            if name.startswith(("vec.", "any.")) or (name == "num.in" and not isinstance(operands[1], Constant)):
                return steps + sum(sizes), max(sizes) if OPERATORS[name].result == "vector" else 1
            return steps, 1
        case _:
            return 1 + sum(effort_of(part)[0] for part in children(expression)), 1


def _matching(pattern: str, steps: int, characters: int) -> tuple[int, int]:
    # Here, because the package of the regular expressions is an optional one.
    from broker.rules import regex

    return steps + 1 + int(_PLACE_STEPS * characters * regex.compile(pattern).places), 1
